//! What this process may not do for want of rights, in words: for a notice before a backup begins.
//!
//! Only what is missed in silence counts. On Unix a file that may not be read is a problem of the run, and an owner that
//! cannot be kept is a limitation, so there is nothing to say before. On Windows a part of a file's metadata is hidden
//! from who lacks a privilege, and nothing fails.

/// What this process may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingRights {
    /// Each of it, as it goes on after "cannot".
    pub cannot: Vec<&'static str>,
    /// How to get the rights.
    pub how: &'static str,
}

impl MissingRights {
    /// Returns whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.cannot.is_empty()
    }
}

/// A privilege of Windows, and what cannot be done without it.
#[cfg(any(windows, test))]
pub(crate) const PRIVILEGES: [(&str, &str); 3] = [
    ("SeBackupPrivilege", "read files that are closed to this user"),
    ("SeSecurityPrivilege", "see who is audited at a file (its SACL)"),
    ("SeRestorePrivilege", "give files in the target, or restored ones, the owners that they had"),
];

/// What goes without any privilege's name: the service for shadow copies asks for an administrator.
#[cfg(any(windows, test))]
const SHADOW_COPIES: &str = "make shadow copies, and so read files that programs hold open";

/// Returns what is missing on Windows, by what the process has.
#[cfg(any(windows, test))]
pub(crate) fn missing_on_windows(is_elevated: bool, holds: impl Fn(&str) -> bool) -> MissingRights {
    let mut cannot: Vec<_> = PRIVILEGES.iter().filter(|(name, _)| !holds(name)).map(|(_, what)| *what).collect();
    if !is_elevated {
        cannot.push(SHADOW_COPIES);
    }
    let how = match is_elevated {
        false => "start it in a terminal that was opened with \"Run as administrator\"",
        true => {
            "the account needs the rights \"Back up files and directories\", \"Restore files and directories\" and \
             \"Manage auditing and security log\" (secpol.msc, User Rights Assignment), and a new login"
        }
    };
    MissingRights { cannot, how }
}

/// Returns the privileges in a `TOKEN_PRIVILEGES`: the two halves of each number, low and high; `None` if it is malformed.
#[cfg(any(windows, test))]
pub(crate) fn privileges_in(buffer: &[u8]) -> Option<Vec<(u32, i32)>> {
    const BYTES_OF_ONE: usize = 12;
    let (count, list) = buffer.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let list = list.get(..count.checked_mul(BYTES_OF_ONE)?)?;
    let one = |bytes: &[u8; BYTES_OF_ONE]| {
        let [a, b, c, d, e, f, g, h, ..] = *bytes;
        (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]))
    };
    Some(list.as_chunks().0.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_elevated_and_holds_all_privileges_lacks_nothing() {
        assert!(missing_on_windows(true, |_| true).is_empty());
    }

    #[test]
    fn who_is_not_elevated_is_told_all_that_is_missing_and_the_way_to_it() {
        // The privileges of a user: SeChangeNotifyPrivilege and its like.
        let missing = missing_on_windows(false, |_| false);
        assert_eq!(missing.cannot.len(), 4);
        for word in ["closed to this user", "SACL", "owners", "shadow copies"] {
            assert!(missing.cannot.iter().any(|what| what.contains(word)), "{word}");
        }
        assert!(missing.how.contains("Run as administrator"));
    }

    #[test]
    fn a_backup_operator_lacks_the_audit_rules_alone() {
        let missing = missing_on_windows(true, |name| name != "SeSecurityPrivilege");
        assert_eq!(missing.cannot, ["see who is audited at a file (its SACL)"]);
        assert!(missing.how.contains("Manage auditing"));
    }

    #[test]
    fn privileges_are_read_from_what_the_system_writes() {
        let one = |low: u32| [low.to_le_bytes(), 0u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
        let buffer = [&2u32.to_le_bytes()[..], &one(17), &one(8), &[0; 5]].concat();
        assert_eq!(privileges_in(&buffer).unwrap(), [(17, 0), (8, 0)]);
        assert_eq!(privileges_in(&[0; 4]).unwrap(), []);
        let cut = [&3u32.to_le_bytes()[..], &one(17)].concat();
        for malformed in [&[][..], &[1, 0, 0], &cut, &[255; 16]] {
            assert_eq!(privileges_in(malformed), None);
        }
    }
}
