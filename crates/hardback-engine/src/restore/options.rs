//! What a restore is asked to do, and what it says when it is done.

use crate::excludes::Excludes;
use crate::problem::Problem;
use crate::report::Limitation;
use hardback_platform::Seam;
use std::path::PathBuf;

/// A restore to make.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Job.
    pub job: String,
    /// Name of the snapshot.
    pub snapshot: String,
    /// Paths in the snapshot; none for all of it.
    pub paths: Vec<Vec<u8>>,
    /// Where to.
    pub place: Place,
    /// What happens to what is there already.
    pub overwrite: Overwrite,
    /// Remove what the snapshot does not have, below the restored folders. What stands on another volume, what was
    /// set aside and what [`RestoreOptions::protected`] names stays.
    pub delete: bool,
    /// What is not deleted beside what the backup left out. An older record does not say what that was; then it must be
    /// said here, or a restore that deletes is refused.
    pub protected: Protected,
    /// Delete what the backup left out on purpose too. What it could not store stays.
    pub delete_excluded: bool,
    /// Keep what is replaced as `NAME.before-restore`, unless its content is the same.
    pub keep_replaced: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Take the numbers of owners as they are, whatever they are called here.
    pub numeric_owner: bool,
    /// Threads; 0 chooses.
    pub workers: usize,
    /// Watches the calls at the place; for tests.
    pub seam: Seam,
}

impl RestoreOptions {
    /// Makes options with which all of a snapshot goes to a place and nothing that is there changes.
    pub fn new(job: &str, snapshot: &str, place: Place) -> Self {
        Self {
            job: job.to_owned(),
            snapshot: snapshot.to_owned(),
            paths: Vec::new(),
            place,
            overwrite: Overwrite::Never,
            delete: false,
            protected: Protected::default(),
            delete_excluded: false,
            keep_replaced: true,
            dry_run: false,
            numeric_owner: false,
            workers: 0,
            seam: Seam::default(),
        }
    }
}

/// What a delete leaves alone: what a backup with these choices leaves out.
#[derive(Debug, Clone, Default)]
pub struct Protected {
    /// Rules and markers; what is in a marked folder stays, with its marker.
    pub excludes: Excludes,
    /// Files above this many bytes.
    pub max_size_file_bytes: Option<u64>,
    /// What has the attribute "no dump".
    pub nodump: bool,
    /// Do not read lists of patterns in folders; otherwise what they leave out stays.
    pub no_ignore_files: bool,
}

impl Protected {
    /// Tells whether nothing is named; lists in folders protect even so.
    pub fn is_empty(&self) -> bool {
        let Excludes { rules, markers } = &self.excludes;
        rules.is_empty() && markers.is_empty() && self.max_size_file_bytes.is_none() && !self.nodump
    }
}

/// Where a restore puts things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Below this folder, each path with its source's folder. It is made if it is missing.
    To(PathBuf),
    /// Each source to the path that it was backed up from.
    InPlace,
}

/// What happens to what stands where something is restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays.
    Never,
    /// It is replaced where the snapshot's version was changed later.
    Newer,
    /// The user is asked.
    Ask,
    /// It is replaced.
    Always,
}

/// What the user says about one existing entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Replace this one.
    Replace,
    /// Keep this one.
    Keep,
    /// Replace this and all that follow.
    ReplaceAll,
    /// Keep this and all that follow.
    KeepAll,
    /// Stop the restore.
    Stop,
}

/// What would be, or was, done to a path; see [`RestoreReport::actions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RestoreAction {
    /// Made where nothing was.
    Make,
    /// Put over what was there.
    Replace,
    /// Left as it was, and it differs from the snapshot's.
    Keep,
    /// Moved aside or kept under another name; the path is the new one.
    SetAside,
    /// Removed.
    Delete,
}

impl RestoreAction {
    /// Returns the word for it in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::SetAside => "set-aside",
            Self::Delete => "delete",
        }
    }
}

/// Actions that a report keeps; all are counted.
pub const ACTIONS_KEPT_MAX: usize = 10_000;

/// What a restore did.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether entries are missing"]
pub struct RestoreReport {
    /// Name of the snapshot.
    pub snapshot: String,
    /// Entries that were looked at.
    pub entries: u64,
    /// Entries made where nothing was, folders included.
    pub made: u64,
    /// Entries put over what was there.
    pub replaced: u64,
    /// Entries that were there already as in the snapshot.
    pub unchanged: u64,
    /// Existing entries that differ and were left, as `overwrite` says.
    pub kept: u64,
    /// Names that were linked to another name of the same file.
    pub linked: u64,
    /// Entries that were kept under another name when they were replaced.
    pub set_aside: u64,
    /// Entries that were removed.
    pub deleted: u64,
    /// Entries of the snapshot that were stored with a problem (an older version, or read while it changed).
    pub stored_with_problem: u64,
    /// Bytes of contents written.
    pub bytes: u64,
    /// What was or would be done: all that is kept, set aside and deleted; in a dry run also what is made and replaced.
    pub actions: Vec<(Vec<u8>, RestoreAction)>,
    /// What the place cannot keep.
    pub limitations: Vec<Limitation>,
    /// Number of problems.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}
