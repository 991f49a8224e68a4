//! A rule, where it was written, and what it says about an entry.

use std::fmt;

/// One pattern that excludes or re-includes entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The pattern as it was written, for people: other bytes as `\ooo`.
    pub pattern: String,
    /// Where it was written.
    pub origin: RuleOrigin,
    /// Begins with `!`.
    pub reincludes: bool,
    /// Ends in `/`.
    pub directories_only: bool,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            RuleOrigin::CommandLine { .. } => write!(formatter, "--exclude '{}'", self.pattern),
            origin => write!(formatter, "'{}' ({origin})", self.pattern),
        }
    }
}

/// Rules as they were written, so that they can be recorded and built again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenRules {
    /// All patterns, in order.
    pub patterns: Vec<WrittenPattern>,
    /// The source's absolute path, where patterns may spell it out.
    pub source_root: Option<Vec<u8>>,
    /// Lists in directories match in any case too.
    pub case_insensitive: bool,
}

/// A pattern as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPattern {
    /// Its bytes.
    pub text: Vec<u8>,
    /// It matches in any case.
    pub any_case: bool,
}

/// Where a rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOrigin {
    /// The `index`-th `--exclude`, from 0.
    CommandLine {
        /// Counts all `--exclude` options, from 0.
        index: usize,
    },
    /// A line of a list: an exclude file, the job's settings, or a directory's own list.
    File {
        /// The list's name, for people.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// What the system declares that no backup should have.
    System {
        /// The list, and the name in it, for people.
        name: String,
    },
    /// A line of a preset.
    Preset {
        /// The preset's name.
        name: &'static str,
        /// The line in the preset's text, from 1.
        line: usize,
    },
}

impl fmt::Display for RuleOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine { index } => {
                write!(formatter, "--exclude number {}", index.saturating_add(1))
            }
            Self::System { name } => formatter.write_str(name),
            Self::File { name, line } => write!(formatter, "{name}:{line}"),
            Self::Preset { name, line } => write!(formatter, "preset {name}:{line}"),
        }
    }
}

/// What the rules say about one entry, with the rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule matches: in.
    Included,
    /// The last rule that matches excludes it: out, and nothing below it is looked at.
    Excluded(&'a Rule),
    /// The last rule that matches begins with `!`: in.
    Reincluded(&'a Rule),
}

impl<'a> Verdict<'a> {
    /// Returns what a rule that matched says.
    pub(super) fn of(rule: &'a Rule) -> Self {
        if rule.reincludes { Self::Reincluded(rule) } else { Self::Excluded(rule) }
    }

    /// Tells whether the entry stays out.
    pub fn is_excluded(&self) -> bool {
        matches!(self, Self::Excluded(_))
    }

    /// Returns the rule that decided, if one did.
    pub fn rule(&self) -> Option<&'a Rule> {
        match *self {
            Self::Included => None,
            Self::Excluded(rule) | Self::Reincluded(rule) => Some(rule),
        }
    }
}

/// Tells whether two names differ by the case of their characters at most; bytes that are none must be equal.
pub(crate) fn same_folded(left: &[u8], right: &[u8]) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    let fold = |name: &[u8]| -> Vec<(String, Vec<u8>)> {
        name.utf8_chunks().map(|chunk| (chunk.valid().to_lowercase(), chunk.invalid().to_vec())).collect()
    };
    fold(left) == fold(right)
}
