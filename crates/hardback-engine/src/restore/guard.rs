//! What a delete leaves alone: what the backup left out, and other volumes.
//!
//! A list in a folder counts as it is at the place and as it is in the snapshot: either may be the one by which the
//! backup left something out.

use super::options::{Protected, RestoreOptions};
use super::shared::Shared;
use crate::exclude::{DIRECTORY_FILE_NAME, ExcludeRules};
use crate::excludes::IGNORE_FILE_BYTES_MAX;
use crate::manifest::Entry;
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Attributes, Dir, Faults, Kind, PathError, RelPath};

/// What must stay in one folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// The rules, with the lists at the place.
    live: ExcludeRules,
    /// The rules, with the lists in the snapshot.
    stored: ExcludeRules,
    /// Nothing in this folder or below it may go.
    pub(super) keeps_all: bool,
}

/// A folder that is entered.
pub(super) struct Entered<'a> {
    /// It at the place.
    pub(super) place: &'a Dir,
    /// It in the snapshot, if it is there.
    pub(super) stored: Option<&'a Dir>,
    /// Its path below its source; `None` above all sources.
    pub(super) below: Option<&'a RelPath>,
    /// Its path as it is told.
    pub(super) shown: &'a [u8],
}

fn protected<'a>(shared: &'a Shared<'_>) -> Option<&'a Protected> {
    Some(&shared.options.protected).filter(|_| !shared.options.delete_excluded)
}

impl Guard {
    /// The guard above all folders.
    pub(super) fn new(options: &RestoreOptions) -> Self {
        let rules = match options.delete_excluded {
            true => ExcludeRules::default(),
            false => options.protected.excludes.rules.clone(),
        };
        Self { live: rules.clone(), stored: rules, keeps_all: false }
    }

    /// Returns the guard of a folder of the snapshot.
    pub(super) fn below(&self, shared: &Shared<'_>, entry: &Entry, entered: &Entered<'_>) -> Result<Self, PathError> {
        // What could not be listed when it was backed up is not gone.
        let mut guard = self.enter(shared, entered)?;
        guard.keeps_all |= entry.problem().is_some();
        Ok(guard)
    }

    /// Returns the guard of a folder, by what it says of itself: a marker, a list.
    pub(super) fn enter(&self, shared: &Shared<'_>, entered: &Entered<'_>) -> Result<Self, PathError> {
        let mut guard = self.clone();
        let Some(protected) = protected(shared).filter(|_| !guard.keeps_all) else { return Ok(guard) };
        let Some(below) = entered.below else { return Ok(guard) };
        for dir in [Some(entered.place), entered.stored].into_iter().flatten() {
            if !protected.excludes.markers.is_empty() {
                guard.keeps_all |= protected.excludes.marker_in(&dir.list()?, dir).is_some();
            }
        }
        if protected.no_ignore_files {
            return Ok(guard);
        }
        for (rules, dir) in [(&mut guard.live, Some(entered.place)), (&mut guard.stored, entered.stored)] {
            match dir.map_or(Ok(None), |dir| with_list(rules, dir, below)) {
                Ok(None) => {}
                Ok(Some(with_list)) => *rules = with_list,
                Err(what) => {
                    let path = [entered.shown, b"/", DIRECTORY_FILE_NAME].concat();
                    let what = format!("{what}; nothing in this folder is removed");
                    shared.problem(Problem::with_detail(&path, ProblemKind::Other, what));
                    guard.keeps_all = true;
                    break;
                }
            }
        }
        Ok(guard)
    }

    /// Returns whether an entry must stay. `path` is its path below its source.
    pub(super) fn protects(&self, shared: &Shared<'_>, dir: &Dir, path: &RelPath, kind: Kind) -> bool {
        let is_dir = kind == Kind::Dir;
        let is_excluded =
            |rules: &ExcludeRules| !rules.is_empty() && rules.check(path.as_bytes(), is_dir).is_excluded();
        if self.keeps_all || is_excluded(&self.live) || is_excluded(&self.stored) {
            return true;
        }
        let Some(protected) = protected(shared).filter(|p| p.nodump || p.max_size_file_bytes.is_some()) else {
            return false;
        };
        dir.stat(path.name()).is_ok_and(|found| {
            let is_large = |max| found.kind == Kind::File && found.size_bytes > max;
            (protected.nodump && found.attributes.0 & Attributes::NODUMP != 0)
                || protected.max_size_file_bytes.is_some_and(is_large)
        })
    }
}

/// Returns rules with those of a folder's list on top; `None` where there is no list.
fn with_list(rules: &ExcludeRules, dir: &Dir, below: &RelPath) -> Result<Option<ExcludeRules>, String> {
    let text = match dir.open_file(DIRECTORY_FILE_NAME).and_then(|file| file.read_to_vec(IGNORE_FILE_BYTES_MAX)) {
        Ok(text) => text,
        // As for a backup, only a file is a list.
        Err(error) if matches!(error.fault(), Faults::Vanished | Faults::WrongKind) => return Ok(None),
        Err(error) => return Err(format!("cannot {}: {}", error.op, error.source)),
    };
    rules.with_directory_file(below.as_bytes(), &text).map(Some).map_err(|e| e.to_string())
}
