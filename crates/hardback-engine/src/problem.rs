//! What can go wrong with one entry while the work goes on.

use hardback_platform::{Faults, PathError};
use std::fmt;

/// What went wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// It could not be read; nothing or its base's version is stored.
    Unreadable,
    /// It was listed and then not there.
    Vanished,
    /// It changed each time that it was read; what was read last is stored.
    Changing,
    /// Its kind changed between listing and reading.
    Replaced,
    /// It could not be written to the target.
    NotStored,
    /// Part of its metadata could not be read or stored.
    Metadata,
    /// It cannot be kept in a backup of this kind.
    Unsupported,
    /// It could not be written back.
    NotRestored,
    /// It could not be removed.
    NotRemoved,
    /// The record has it and the snapshot's tree has not.
    Missing,
    /// The snapshot's tree has it and the record has not.
    Extra,
    /// What is stored is not what was backed up.
    Damaged,
    /// A folder that looks like a snapshot has no whole seal.
    Unsealed,
    /// The source differs from the snapshot and did so when the snapshot was made.
    Differs,
    /// A problem of a later version of the format.
    Other,
}

impl ProblemKind {
    /// Returns the word for it in manifests and JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Changing => "changing",
            Self::Replaced => "replaced",
            Self::NotStored => "not-stored",
            Self::Metadata => "metadata",
            Self::Unsupported => "unsupported",
            Self::NotRestored => "not-restored",
            Self::NotRemoved => "not-removed",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Damaged => "damaged",
            Self::Unsealed => "unsealed",
            Self::Differs => "differs",
            Self::Other => "other",
        }
    }

    /// Reverses [`ProblemKind::code`].
    pub fn from_code(code: &[u8]) -> Self {
        let all = [
            Self::Unreadable,
            Self::Vanished,
            Self::Changing,
            Self::Replaced,
            Self::NotStored,
            Self::Metadata,
            Self::Unsupported,
            Self::NotRestored,
            Self::NotRemoved,
            Self::Missing,
            Self::Extra,
            Self::Damaged,
            Self::Unsealed,
            Self::Differs,
        ];
        all.into_iter().find(|k| k.code().as_bytes() == code).unwrap_or(Self::Other)
    }

    /// Returns which problem an error with a source's entry is.
    pub fn of_source(error: &PathError) -> Self {
        match error.fault() {
            Faults::Vanished => Self::Vanished,
            Faults::WrongKind => Self::Replaced,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "could not be read",
            Self::Vanished => "vanished during the run",
            Self::Changing => "changed while it was read",
            Self::Replaced => "was replaced by another kind of entry during the run",
            Self::NotStored => "could not be stored",
            Self::Metadata => "lacks part of its metadata",
            Self::Unsupported => "is of a kind that cannot be backed up",
            Self::NotRestored => "could not be restored",
            Self::NotRemoved => "could not be removed",
            Self::Missing => "is missing from the snapshot's folder",
            Self::Extra => "is in the snapshot's folder and was not backed up",
            Self::Damaged => "is damaged",
            Self::Unsealed => "has no whole seal",
            Self::Differs => "differs from the source",
            Self::Other => "has a problem",
        })
    }
}

/// One entry that was not stored, restored or verified exactly.
#[derive(Debug, Clone)]
#[must_use = "a problem that nobody hears of is a silent loss"]
pub struct Problem {
    /// Path in the snapshot, raw bytes.
    pub path: Vec<u8>,
    /// What went wrong.
    pub kind: ProblemKind,
    /// What the system said, and what was done instead.
    pub detail: String,
}

impl Problem {
    /// Makes a problem from an error.
    pub fn new(path: &[u8], kind: ProblemKind, error: &PathError) -> Self {
        Self { path: path.to_vec(), kind, detail: format!("cannot {}: {}", error.op, error.source) }
    }

    /// Makes a problem with a text of its own.
    pub fn with_detail(path: &[u8], kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { path: path.to_vec(), kind, detail: detail.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", hardback_platform::path::display(&self.path), self.kind, self.detail)
    }
}
