//! What a selftest says.

use hardback_platform::MissingRights;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It is as expected.
    Passed,
    /// It is not.
    Failed {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// This volume, system or user cannot do it.
    NotPossible {
        /// Why.
        why: String,
    },
}

impl CheckOutcome {
    /// Makes a failure.
    pub(super) fn failed(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Failed { expected: expected.into(), found: found.into() }
    }

    /// Makes what could not be tried.
    pub(super) fn not_possible(why: impl Into<String>) -> Self {
        Self::NotPossible { why: why.into() }
    }

    /// Returns the word for it in reports and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::NotPossible { .. } => "not possible here",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in a few words.
    pub what: String,
    /// What came of it.
    pub outcome: CheckOutcome,
}

/// Something that was measured and is neither right nor wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// What.
    pub what: String,
    /// What was found.
    pub found: String,
}

/// What a selftest found. It holds no path above the folder of the test, and no name of a user.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says what failed"]
pub struct SelftestReport {
    /// Which system, in which version.
    pub system: String,
    /// Which file system the folder is on.
    pub volume: String,
    /// Whether it ran as root or elevated.
    pub is_privileged: bool,
    /// What it may not do, where nothing else would say so.
    pub missing_rights: MissingRights,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
    /// What was measured.
    pub measured: Vec<Measured>,
    /// What the target could not keep by itself; it is in the record.
    pub limitations: Vec<String>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

impl SelftestReport {
    /// Adds a check.
    pub(super) fn check(&mut self, what: impl Into<String>, outcome: CheckOutcome) {
        self.checks.push(Check { what: what.into(), outcome });
    }

    /// Returns how many checks passed, failed, and were not possible.
    pub fn counts(&self) -> [usize; 3] {
        let count = |wanted: fn(&CheckOutcome) -> bool| self.checks.iter().filter(|c| wanted(&c.outcome)).count();
        [
            count(|outcome| matches!(outcome, CheckOutcome::Passed)),
            count(|outcome| matches!(outcome, CheckOutcome::Failed { .. })),
            count(|outcome| matches!(outcome, CheckOutcome::NotPossible { .. })),
        ]
    }

    /// Writes `FOLDER` for a path in all that was found.
    pub(super) fn hide(&mut self, path: &str) {
        let texts = self.checks.iter_mut().flat_map(|check| match &mut check.outcome {
            CheckOutcome::Passed => vec![],
            CheckOutcome::Failed { expected, found } => vec![expected, found],
            CheckOutcome::NotPossible { why } => vec![why],
        });
        let measured = self.measured.iter_mut().map(|measured| &mut measured.found);
        for text in texts.chain(measured).chain(&mut self.limitations) {
            *text = hidden(text, path);
        }
    }
}

/// Writes `FOLDER` for a path, with either separator, and hides all others.
fn hidden(text: &str, path: &str) -> String {
    let plain = path.strip_prefix(r"\\?\").unwrap_or(path).trim_end_matches(['/', '\\']);
    if plain.is_empty() {
        return text.to_owned();
    }
    let text = text.replace(plain, "FOLDER").replace(&plain.replace('\\', "/"), "FOLDER");
    text.split_inclusive('\n').map(without_paths).collect()
}

/// Writes `PATH` for what is left of a line from the first path of this computer on, other than that of a device: names
/// have spaces, so nobody can tell where one ends.
fn without_paths(line: &str) -> String {
    let starts = |(at, _): &(usize, char)| {
        let is_first = *at == 0 || line[..*at].ends_with([' ', '(', '"', '\'', '=', ',']);
        is_first && is_path(&line[*at..])
    };
    match line.char_indices().find(starts) {
        Some((at, _)) => format!("{}PATH{}", &line[..at], &line[line.trim_end().len()..]),
        None => line.to_owned(),
    }
}

fn is_path(text: &str) -> bool {
    let is_drive = matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let is_share = text.starts_with(r"\\") && !text.starts_with(r"\\?\FOLDER");
    let is_absolute = text.starts_with('/') && text.len() > 1 && !text.starts_with("/dev/") && !text.starts_with("/ ");
    is_drive || is_share || is_absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_above_the_folder_are_not_in_a_report() {
        let path = r"\\?\C:\Users\anna\Temp\hardback-selftest-1";
        let text =
            r"cannot open \\?\C:\Users\anna\Temp\hardback-selftest-1\a, C:/Users/anna/Temp/hardback-selftest-1/b";
        assert_eq!(hidden(text, path), r"cannot open \\?\FOLDER\a, FOLDER/b");
        assert_eq!(hidden("cannot open /tmp/x/a", "/tmp/x"), "cannot open FOLDER/a");
        let others = "its volume /srv/anna/disk (fuse), \"C:\\Users\\anna\\x\" and /dev/sda1 have none; I/O error";
        assert_eq!(hidden(others, "/tmp/x"), "its volume PATH");
        let two = "on /dev/sda1: I/O error\nC:\\Users\\Anna Livia\\x y\nand \\\\server\\anna, \\\\?\\C:\\Users\\anna\n";
        assert_eq!(hidden(two, "/tmp/x"), "on /dev/sda1: I/O error\nPATH\nand PATH\n");
        let mut report = SelftestReport::default();
        report.check("a", CheckOutcome::failed("/tmp/x", "not /tmp/x/y"));
        report.check("b", CheckOutcome::not_possible("/tmp/x is full"));
        report.limitations.push("/tmp/x/z".to_owned());
        report.hide("/tmp/x");
        assert!(!format!("{report:?}").contains("/tmp/x"), "{report:?}");
        assert_eq!(report.counts(), [0, 1, 1]);
    }
}
