//! What a delete leaves alone: what the backup left out, and other volumes.
//!
//! The backup's own rules are in the record; the user may name more. A list in a folder counts as it is at the place and
//! as it is in the snapshot: either may be the one by which the backup left something out. What is left out for its size
//! or attributes at that time, or by a list or marker that the snapshot does not have, the record has by name.

use super::options::{Protected, RestoreOptions};
use super::shared::Shared;
use crate::error::Error;
use crate::exclude::{DIRECTORY_FILE_NAME, ExcludeBuilder, ExcludeRules};
use crate::excludes::{Excludes, IGNORE_FILE_BYTES_MAX};
use crate::manifest::{Entry, ExcludeRecord};
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Attributes, Dir, Faults, Kind, PathError, RelPath};

/// What a delete leaves alone for one reason: as the record says it, or as the user does.
pub(super) struct Protection {
    what: Protected,
    /// The backup did not enter other volumes.
    one_file_system: bool,
}

/// What must stay in one folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// For each protection its rules.
    rules: Vec<Rules>,
    /// Nothing in this folder or below it may go.
    pub(super) keeps_all: bool,
}

/// The rules of a protection.
#[derive(Debug, Clone)]
struct Rules {
    /// With the lists at the place.
    live: ExcludeRules,
    /// With the lists in the snapshot.
    stored: ExcludeRules,
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

/// Returns what a delete leaves alone.
pub(super) fn protections(
    options: &RestoreOptions,
    recorded: Option<&ExcludeRecord>,
) -> Result<Vec<Protection>, Error> {
    if !options.delete || options.delete_excluded {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    if let Some(recorded) = recorded {
        let rules = ExcludeBuilder::from_written(&recorded.rules).build().map_err(|error| {
            let what = format!("the record says by which rules the backup left things out, and one is wrong: {error}");
            Error::refused(what, "restore without --delete, or remove what was left out too with --delete-excluded")
        })?;
        let what = Protected {
            excludes: Excludes { rules, markers: recorded.markers.clone() },
            max_size_file_bytes: recorded.max_size_file_bytes,
            nodump: recorded.nodump,
            no_ignore_files: recorded.no_ignore_files,
        };
        all.push(Protection { what, one_file_system: recorded.one_file_system });
    }
    if recorded.is_none() || !options.protected.is_empty() {
        all.push(Protection { what: options.protected.clone(), one_file_system: false });
    }
    Ok(all)
}

impl Guard {
    /// The guard above all folders.
    pub(super) fn new(protections: &[Protection]) -> Self {
        let rules = protections.iter().map(|p| &p.what.excludes.rules);
        let rules = rules.map(|rules| Rules { live: rules.clone(), stored: rules.clone() });
        Self { rules: rules.collect(), keeps_all: false }
    }

    /// Returns the guard of a folder of the snapshot.
    pub(super) fn below(&self, shared: &Shared<'_>, entry: &Entry, entered: &Entered<'_>) -> Result<Self, PathError> {
        // What could not be listed when it was backed up is not gone.
        let mut guard = self.enter(shared, entered)?;
        guard.keeps_all |= entry.problem().is_some();
        // Another volume begins there, and only its folder was looked at.
        let is_crossed = entered.below.is_some_and(|below| !below.is_root()) && entry.volume().is_some();
        guard.keeps_all |= is_crossed && shared.protections.iter().any(|p| p.one_file_system);
        Ok(guard)
    }

    /// Returns the guard of a folder, by what it says of itself: a marker, a list.
    pub(super) fn enter(&self, shared: &Shared<'_>, entered: &Entered<'_>) -> Result<Self, PathError> {
        let mut guard = self.clone();
        let Some(below) = entered.below.filter(|_| !guard.keeps_all) else { return Ok(guard) };
        for (Protection { what, .. }, rules) in shared.protections.iter().zip(&mut guard.rules) {
            for dir in [Some(entered.place), entered.stored].into_iter().flatten() {
                if !what.excludes.markers.is_empty() {
                    guard.keeps_all |= what.excludes.marker_in(&dir.list()?, dir).is_some();
                }
            }
            if !what.no_ignore_files
                && let Err(what) = rules.read_lists(entered, below)
            {
                let path = [entered.shown, b"/", DIRECTORY_FILE_NAME].concat();
                let what = format!("{what}; nothing in this folder is removed");
                shared.problem(Problem::with_detail(&path, ProblemKind::Other, what));
                guard.keeps_all = true;
            }
            if guard.keeps_all {
                break;
            }
        }
        Ok(guard)
    }

    /// Returns whether an entry must stay. `path` is its path below its source.
    pub(super) fn protects(&self, shared: &Shared<'_>, dir: &Dir, path: &RelPath, kind: Kind) -> bool {
        let is_dir = kind == Kind::Dir;
        let is_excluded =
            |rules: &ExcludeRules| !rules.is_empty() && rules.check(path.as_bytes(), is_dir).is_excluded();
        self.keeps_all
            || self.rules.iter().any(|rules| is_excluded(&rules.live) || is_excluded(&rules.stored))
            || shared.protections.iter().any(|p| is_left_out_for_what_it_is(&p.what, dir, path.name()))
    }
}

/// Returns whether a backup would leave an entry out for its size or an attribute.
fn is_left_out_for_what_it_is(protected: &Protected, dir: &Dir, name: &[u8]) -> bool {
    if !protected.nodump && protected.max_size_file_bytes.is_none() {
        return false;
    }
    dir.stat(name).is_ok_and(|found| {
        let is_large = |max| found.kind == Kind::File && found.size_bytes > max;
        (protected.nodump && found.attributes.0 & Attributes::NODUMP != 0)
            || protected.max_size_file_bytes.is_some_and(is_large)
    })
}

impl Rules {
    /// Adds the lists that a folder has at the place and in the snapshot.
    fn read_lists(&mut self, entered: &Entered<'_>, below: &RelPath) -> Result<(), String> {
        for (rules, dir) in [(&mut self.live, Some(entered.place)), (&mut self.stored, entered.stored)] {
            if let Some(with_list) = dir.map_or(Ok(None), |dir| with_list(rules, dir, below))? {
                *rules = with_list;
            }
        }
        Ok(())
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
