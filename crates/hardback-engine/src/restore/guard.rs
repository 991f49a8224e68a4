//! What a delete leaves alone: what the backup left out, and other volumes.
//!
//! The backup's own rules are in the record; the user may name more. A list in a folder counts as it is at the place and
//! as it is in the snapshot: either may be the one by which the backup left something out. What is left out for its size
//! or attributes at that time, or by a list or marker that the snapshot does not have, the record has by name; so it has
//! what was gone just then or could not be named, which stays even where what was left out goes.

use super::delete::tell_kept;
use super::options::{Protected, RestoreOptions};
use super::shared::Shared;
use crate::error::Error;
use crate::exclude::{DIRECTORY_FILE_NAME, ExcludeRules};
use crate::excludes::{Excludes, IGNORE_FILE_BYTES_MAX, is_left_out};
use crate::manifest::{Entry, ExcludeRecord};
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Dir, Faults, Kind, PathError, RelPath};

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
    /// The folder itself has a list at the place, by which things stay: without it the next run would remove them.
    has_list: bool,
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
        let excludes = Excludes::of_record(recorded).map_err(|error| {
            let what = format!("the record says by which rules the backup left things out, and one is wrong: {error}");
            Error::refused(what, "restore without --delete, or remove what was left out too with --delete-excluded")
        })?;
        let what = Protected {
            excludes,
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
        Self { rules: rules.collect(), ..Self::default() }
    }

    /// Returns the guard of a folder of the snapshot.
    pub(super) fn below(&self, shared: &Shared<'_>, entry: &Entry, entered: &Entered<'_>) -> Self {
        // What could not be listed when it was backed up is not gone.
        let mut guard = self.enter(shared, entered);
        guard.keeps_all |= entry.problem().is_some();
        // Another volume begins there, and only its folder was looked at.
        let is_crossed = entered.below.is_some_and(|below| !below.is_root()) && entry.volume().is_some();
        guard.keeps_all |= is_crossed && shared.protections.iter().any(|p| p.one_file_system);
        guard
    }

    /// Returns the guard of a folder, by what it says of itself: a marker, a list. Where that cannot be read, all stays.
    pub(super) fn enter(&self, shared: &Shared<'_>, entered: &Entered<'_>) -> Self {
        let mut guard = Self { has_list: false, ..self.clone() };
        let Some(below) = entered.below.filter(|_| !guard.keeps_all) else { return guard };
        for (Protection { what, .. }, rules) in shared.protections.iter().zip(&mut guard.rules) {
            match is_marked(what, entered) {
                Ok(is_marked) => guard.keeps_all |= is_marked,
                Err(error) => {
                    tell_kept(shared, entered.shown, &error);
                    guard.keeps_all = true;
                }
            }
            if !what.no_ignore_files && !guard.keeps_all {
                match rules.read_lists(entered, below) {
                    Ok(has_list) => guard.has_list |= has_list,
                    Err(what) => {
                        let path = [entered.shown, b"/", DIRECTORY_FILE_NAME].concat();
                        let what = format!("{what}; nothing in this folder is removed");
                        shared.problem(Problem::with_detail(&path, ProblemKind::Other, what));
                        guard.keeps_all = true;
                    }
                }
            }
            if guard.keeps_all {
                break;
            }
        }
        guard
    }

    /// Returns whether an entry is the list by which things in its folder stay.
    pub(super) fn is_list(&self, name: &[u8]) -> bool {
        self.has_list && name == DIRECTORY_FILE_NAME
    }

    /// Returns whether an entry must stay. `path` is its path below its source, `shown` the one that is told.
    pub(super) fn protects(
        &self,
        shared: &Shared<'_>,
        dir: &Dir,
        path: &RelPath,
        kind: Kind,
        shown: &dyn Fn() -> Vec<u8>,
    ) -> bool {
        let is_dir = kind == Kind::Dir;
        let is_excluded =
            |rules: &ExcludeRules| !rules.is_empty() && rules.check(path.as_bytes(), is_dir).is_excluded();
        self.keeps_all
            || self.rules.iter().any(|rules| is_excluded(&rules.live) || is_excluded(&rules.stored))
            || is_left_out_for_what_it_is(shared, dir, path.name(), shown)
    }
}

/// Returns whether a folder has a marker, at the place or in the snapshot.
fn is_marked(what: &Protected, entered: &Entered<'_>) -> Result<bool, PathError> {
    if what.excludes.markers.is_empty() {
        return Ok(false);
    }
    for dir in [Some(entered.place), entered.stored].into_iter().flatten() {
        if what.excludes.marker_in(&dir.list()?, dir)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether a backup would leave an entry out for its size or an attribute. What cannot be looked at may be one.
fn is_left_out_for_what_it_is(shared: &Shared<'_>, dir: &Dir, name: &[u8], shown: &dyn Fn() -> Vec<u8>) -> bool {
    let asks = |p: &&Protection| p.what.nodump || p.what.max_size_file_bytes.is_some();
    let mut asking = shared.protections.iter().filter(asks).map(|p| &p.what).peekable();
    if asking.peek().is_none() {
        return false;
    }
    let found = match dir.stat(name) {
        Ok(found) => found,
        Err(error) => {
            if error.fault() != Faults::Vanished {
                let what = format!("cannot {}: {}; it is not removed", error.op, error.source);
                shared.problem(Problem::with_detail(&shown(), ProblemKind::Other, what));
            }
            return true;
        }
    };
    asking.any(|what| is_left_out(&found, what.max_size_file_bytes, what.nodump))
}

impl Rules {
    /// Adds the lists that a folder has at the place and in the snapshot; returns whether the place has one.
    fn read_lists(&mut self, entered: &Entered<'_>, below: &RelPath) -> Result<bool, String> {
        let live = with_list(&self.live, entered.place, below)?;
        let has_list = live.is_some();
        live.into_iter().for_each(|rules| self.live = rules);
        if let Some(stored) = entered.stored {
            with_list(&self.stored, stored, below)?.into_iter().for_each(|rules| self.stored = rules);
        }
        Ok(has_list)
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
