//! Removing what the snapshot does not have, when that was asked for.

use super::folder::{Folder, OPEN_LEVELS_MAX, Side};
use super::guard::{Entered, Guard};
use super::options::{ACTIONS_KEPT_MAX, RestoreAction};
use super::shared::Shared;
use crate::content::Stop;
use crate::error::Error;
use crate::exclude::{DIRECTORY_FILE_NAME, same_folded};
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Dir, Faults, FileId, Kind, PathError, RelPath};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is added to the name of an entry that is set aside.
pub(super) const ASIDE: &[u8] = b".before-restore";

/// Returns whether a name is one under which a restore set something aside: that stays until the user removes it.
fn is_aside(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let numbered = name[..name.len() - digits].strip_suffix(b"-").filter(|_| digits > 0);
    [Some(name), numbered].into_iter().flatten().any(|name| name.ends_with(ASIDE))
}

/// What a folder held before it was restored and the snapshot has not named yet.
#[derive(Debug)]
pub(super) struct Leftovers {
    names: BTreeMap<Box<[u8]>, Kind>,
    /// Which file each is; looked up when it is asked for.
    ids: Option<Vec<(Box<[u8]>, FileId)>>,
}

/// Where deleting must stop: the target and the folders above it.
#[derive(Debug)]
pub(super) struct Bounds(pub(super) Vec<FileId>);

impl Leftovers {
    /// Lists a folder.
    pub(super) fn list(dir: &Dir) -> Result<Self, PathError> {
        let listing = dir.list()?;
        Ok(Self { names: listing.iter().map(|e| (e.name.into(), e.kind)).collect(), ids: None })
    }

    /// The snapshot has an entry of this name. Asked before anybody works on that entry.
    ///
    /// A name that is not in the listing may be there all the same: where a volume folds case, and as a short name. What
    /// it means is listed under another name, and stays. A hard link of it stays too, which does no harm.
    pub(super) fn take(
        &mut self,
        name: &[u8],
        dir: impl FnOnce() -> Result<Option<Arc<Dir>>, PathError>,
    ) -> Result<(), PathError> {
        if self.names.remove(name).is_some() || self.names.is_empty() {
            return Ok(());
        }
        let Some(dir) = dir()? else { return Ok(()) };
        let meant = match dir.stat(name) {
            Ok(found) => found.id,
            Err(error) if matches!(error.fault(), Faults::Vanished | Faults::BadName) => return Ok(()),
            Err(error) => return Err(error),
        };
        let ids = self.ids.get_or_insert_with(|| {
            let all = self.names.keys();
            all.filter_map(|listed| Some((listed.clone(), dir.stat(listed).ok()?.id))).collect()
        });
        for (listed, _) in ids.iter().filter(|(_, id)| *id == meant) {
            self.names.remove(listed);
        }
        // Not each volume that folds case has ids that last.
        self.names.retain(|listed, _| !same_folded(listed, name));
        Ok(())
    }

    /// Removes what is left. `below` is the folder's path below its source, for the rules.
    pub(super) fn delete(
        self,
        shared: &Shared<'_>,
        bounds: &Bounds,
        guard: &Guard,
        folder: &Arc<Folder>,
        below: Option<&RelPath>,
    ) -> Result<(), Error> {
        let Some(below) = below.filter(|_| !self.names.is_empty()) else { return Ok(()) };
        let opened = folder.dir(Side::Place).and_then(|dir| {
            let volume = dir.as_ref().map(|dir| Ok::<_, PathError>(dir.metadata()?.id.volume)).transpose()?;
            Ok(dir.zip(volume))
        });
        let (dir, volume) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            Err(error) => {
                tell_kept(shared, &folder.path(), &error);
                return Ok(());
            }
        };
        for (name, kind) in self.names {
            if shared.is_stopped() {
                return Ok(());
            }
            let path = || folder.path_of(&name);
            let protects = || guard.protects(shared, &dir, &below.join(&name), kind, &path);
            if is_aside(&name) || guard.is_list(&name) || protects() {
                continue;
            }
            let is_gone = if kind == Kind::Dir {
                let mut removal = Removal::new(shared, bounds, &dir, volume, folder.path(), below.clone());
                let is_gone = removal.folder(&name, guard)?;
                if !is_gone {
                    // What must stay kept the folder: the rest is told one by one.
                    removal.removed.tell(shared, folder);
                }
                is_gone
            } else {
                unlink(shared, &dir, &name, path)?
            };
            if is_gone {
                folder.lost_entries();
                shared.act(RestoreAction::Delete, path);
            }
        }
        Ok(())
    }
}

/// Tells that nothing is removed from a folder, as that failed.
pub(super) fn tell_kept(shared: &Shared<'_>, folder: &[u8], error: &PathError) {
    let what = format!("cannot {}: {}; nothing in this folder is removed", error.op, error.source);
    shared.problem(Problem::with_detail(folder, ProblemKind::Other, what));
}

/// Removes what is no folder; returns whether it is gone (or would be). A failure is told.
fn unlink(shared: &Shared<'_>, dir: &Dir, name: &[u8], path: impl FnOnce() -> Vec<u8>) -> Result<bool, Error> {
    if shared.options.dry_run {
        return Ok(true);
    }
    match dir.unlink(name) {
        Err(error) if error.fault() != Faults::Vanished => shared.place_failed(&path(), error).map(|()| false),
        _ => Ok(true),
    }
}

/// Bytes of paths that are remembered while a folder is removed: in a deep one each is long.
const REMOVED_BYTES_MAX: usize = 16 << 20;

/// What went of a folder.
#[derive(Default)]
struct Removed {
    count: usize,
    first: Vec<RelPath>,
    bytes: usize,
}

impl Removed {
    fn push(&mut self, path: impl FnOnce() -> RelPath) {
        self.count += 1;
        if self.first.len() < ACTIONS_KEPT_MAX && self.bytes < REMOVED_BYTES_MAX {
            let path = path();
            self.bytes += path.as_bytes().len();
            self.first.push(path);
        }
    }

    fn tell(self, shared: &Shared<'_>, folder: &Folder) {
        for index in 0..self.count {
            // Those that are not remembered count at their folder.
            shared.act(RestoreAction::Delete, || {
                self.first.get(index).map_or_else(|| folder.path(), |path| join(folder.path(), path))
            });
        }
    }
}

fn join(mut folder: Vec<u8>, below: &RelPath) -> Vec<u8> {
    if !folder.is_empty() {
        folder.push(b'/');
    }
    folder.extend_from_slice(below.as_bytes());
    folder
}

/// The removal of a folder, from the bottom up, with a list of its own instead of recursion. What must stay, and what
/// cannot be removed, keeps the folders above it.
struct Removal<'a, 'r> {
    shared: &'a Shared<'r>,
    bounds: &'a Bounds,
    /// The folder that this began in.
    top: &'a Dir,
    volume: u64,
    /// Path of that folder as it is told.
    shown: Vec<u8>,
    /// Path of the folder that this is in, below its source.
    below: RelPath,
    /// The same below the top.
    path: RelPath,
    levels: Vec<Level>,
    /// Something of all this stays.
    stays: bool,
    removed: Removed,
}

/// A folder that is being emptied.
struct Level {
    name: Box<[u8]>,
    /// `None` while the removal is far below.
    dir: Option<Dir>,
    id: FileId,
    guard: Guard,
    folders: Vec<Box<[u8]>>,
    /// It has a list by which things stay: that goes when nothing did.
    has_list: bool,
    /// Something in it stays.
    stays: bool,
}

impl<'a, 'r> Removal<'a, 'r> {
    fn new(
        shared: &'a Shared<'r>,
        bounds: &'a Bounds,
        top: &'a Dir,
        volume: u64,
        shown: Vec<u8>,
        below: RelPath,
    ) -> Self {
        let (path, levels, removed) = (RelPath::root(), Vec::new(), Removed::default());
        Self { shared, bounds, top, volume, shown, below, path, levels, stays: false, removed }
    }

    /// Removes a folder; returns whether it is gone (or would be).
    fn folder(&mut self, name: &[u8], guard: &Guard) -> Result<bool, Error> {
        self.enter(name, guard)?;
        while let Some(level) = self.levels.last_mut() {
            if self.shared.is_stopped() {
                return Ok(false);
            }
            match level.folders.pop() {
                Some(name) => {
                    let guard = level.guard.clone();
                    self.enter(&name, &guard)?;
                }
                None => self.leave()?,
            }
        }
        Ok(!self.stays)
    }

    fn stay(&mut self) {
        *self.levels.last_mut().map_or(&mut self.stays, |level| &mut level.stays) = true;
    }

    /// Returns the folder that this is in. The last level is always open.
    fn here(&self) -> &Dir {
        self.levels.last().and_then(|level| level.dir.as_ref()).unwrap_or(self.top)
    }

    fn shown(&self, name: &[u8]) -> Vec<u8> {
        join(self.shown.clone(), &self.path.join(name))
    }

    fn failed(&mut self, name: &[u8], error: PathError) -> Result<(), Error> {
        self.stay();
        self.shared.place_failed(&self.shown(name), error)
    }

    /// Opens a folder that may go.
    fn open(&self, name: &[u8]) -> Result<Option<(Dir, FileId)>, PathError> {
        let dir = self.here().open_dir(name)?;
        let id = dir.metadata()?.id;
        let may_go = id.volume == self.volume && !dir.is_mount_point()? && !self.bounds.0.contains(&id);
        Ok(may_go.then_some((dir, id)))
    }

    /// Opens a folder and removes what is in it but folders.
    fn enter(&mut self, name: &[u8], above: &Guard) -> Result<(), Error> {
        let (dir, id) = match self.open(name) {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                self.stay();
                return Ok(());
            }
            Err(error) => return self.failed(name, error),
        };
        let shown = self.shown(name);
        let below = self.below.join(name);
        let guard =
            above.enter(self.shared, &Entered { place: &dir, stored: None, below: Some(&below), shown: &shown });
        if guard.keeps_all {
            self.stay();
            return Ok(());
        }
        let listing = match dir.list() {
            Ok(listing) => listing,
            Err(error) => return self.failed(name, error),
        };
        self.path.push(name);
        self.below = below;
        let folders = Vec::new();
        self.levels.push(Level {
            name: name.into(),
            dir: Some(dir),
            id,
            guard,
            folders,
            has_list: false,
            stays: false,
        });
        if let Some(far) = self.levels.len().checked_sub(OPEN_LEVELS_MAX + 1) {
            self.levels[far].dir = None;
        }
        for entry in listing.iter() {
            if self.shared.is_stopped() {
                return Ok(());
            }
            self.listed(entry.name, entry.kind)?;
        }
        Ok(())
    }

    /// Removes an entry, unless it is a folder.
    fn listed(&mut self, name: &[u8], kind: Kind) -> Result<(), Error> {
        let Some(Level { guard, dir: Some(dir), .. }) = self.levels.last() else { return Ok(()) };
        let protects = || guard.protects(self.shared, dir, &self.below.join(name), kind, &|| self.shown(name));
        let (stays, is_list) = (is_aside(name) || protects(), guard.is_list(name));
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        match kind {
            _ if stays => level.stays = true,
            Kind::Dir => level.folders.push(name.into()),
            _ if is_list => level.has_list = true,
            _ => self.unlink(name)?,
        }
        Ok(())
    }

    fn unlink(&mut self, name: &[u8]) -> Result<(), Error> {
        if unlink(self.shared, self.here(), name, || self.shown(name))? {
            self.removed.push(|| self.path.join(name));
        } else {
            self.stay();
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        if self.levels.last().is_some_and(|level| level.has_list && !level.stays) {
            self.unlink(DIRECTORY_FILE_NAME)?;
        }
        let Some(Level { name, dir, stays, .. }) = self.levels.pop() else { return Ok(()) };
        self.path.pop();
        self.below.pop();
        if let Some(level) = self.levels.last_mut().filter(|level| level.dir.is_none()) {
            match above(dir.as_ref(), level.id) {
                Ok(above) => level.dir = Some(above),
                Err(error) => {
                    self.levels.clear();
                    return self.failed(&name, error);
                }
            }
        }
        // Windows removes only what is closed.
        drop(dir);
        if stays {
            self.stay();
            return Ok(());
        }
        if !self.shared.options.dry_run
            && let Err(error) = self.here().remove_dir(&name)
        {
            return self.failed(&name, error);
        }
        self.removed.push(|| self.path.join(&name));
        Ok(())
    }
}

/// Opens the folder above one again.
fn above(dir: Option<&Dir>, id: FileId) -> Result<Dir, PathError> {
    let moved = || PathError::new("go back up from", b"", std::io::Error::other("it was moved meanwhile"));
    let above = dir.ok_or_else(moved)?.parent()?;
    if above.metadata()?.id == id { Ok(above) } else { Err(moved()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_was_set_aside_are_known() {
        for name in ["a.before-restore", "a.before-restore-2", ".before-restore-10000"] {
            assert!(is_aside(name.as_bytes()), "{name}");
        }
        for name in ["a", "", "12", "a.before-restore.txt", "a.before-restore-", "a.before-restore2", "before-restore"]
        {
            assert!(!is_aside(name.as_bytes()), "{name}");
        }
    }
}
