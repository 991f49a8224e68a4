//! Whether a volume takes `Letter` and `letter` for one name: found out by looking, as no system tells it of a folder.
//!
//! NTFS answers differently under Windows and under Linux, vfat ignores case under both, and Windows has folders that
//! do not. So a name that is there is asked for in the other case: on a volume that ignores case it is the same file.

use hardback_platform::{Dir, FileId, Seam};
use std::path::Path;

/// Names of a folder that are tried: one that is both there and stays there is enough.
const NAMES_TRIED_MAX: usize = 16;

/// Returns whether the names in a folder are the same in any case. Where nothing in it tells (no name has a Latin
/// letter, or it cannot be read) it is what this system does by itself: Windows ignores case.
pub fn ignores_case(folder: &Path) -> bool {
    let by_looking = Dir::open(folder, Seam::default()).ok().and_then(|dir| look(&dir));
    by_looking.unwrap_or(std::env::consts::FAMILY == "windows")
}

fn look(dir: &Dir) -> Option<bool> {
    let listing = dir.list().ok()?;
    let is_listed = |name: &[u8]| listing.iter().any(|entry| entry.name == name);
    let names = listing.iter().map(|entry| (entry.name, in_other_case(entry.name)));
    // Where both are listed, each is a file of its own, and that says it too.
    let mut tried = names.filter(|(name, other)| other != name).take(NAMES_TRIED_MAX);
    tried.find_map(|(name, other)| if is_listed(&other) { Some(false) } else { is_the_same(dir, name, &other) })
}

/// Returns whether two names are one entry; `None` where the first cannot be looked at (any more).
fn is_the_same(dir: &Dir, name: &[u8], other: &[u8]) -> Option<bool> {
    let id = dir.stat(name).ok()?.id;
    match dir.stat(other) {
        Ok(found) => Some(found.id == id && id != FileId::default()),
        Err(error) => (error.fault() == hardback_platform::Faults::Vanished).then_some(false),
    }
}

/// Turns capitals into small letters and the other way, in ASCII: every volume that folds at all folds these.
fn in_other_case(name: &[u8]) -> Vec<u8> {
    let swap = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    name.iter().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_other_case_has_the_same_letters() {
        assert_eq!(in_other_case(b"Ab-1 \xc3\xa4.TXT"), b"aB-1 \xc3\xa4.txt");
        assert_eq!(in_other_case(b"123"), b"123");
    }

    #[test]
    fn a_folder_that_says_nothing_is_what_the_system_does() {
        let place = tempfile::tempdir().unwrap();
        let of_the_system = std::env::consts::FAMILY == "windows";
        assert_eq!(ignores_case(place.path()), of_the_system);
        assert_eq!(ignores_case(&place.path().join("not there")), of_the_system);
    }
}
