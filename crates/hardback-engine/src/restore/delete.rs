//! Removing what the snapshot does not have, when that was asked for.

use super::folder::{Folder, Side};
use super::guard::{Entered, Guard};
use super::options::{ACTIONS_KEPT_MAX, RestoreAction};
use super::shared::Shared;
use crate::content::Stop;
use crate::error::Error;
use crate::exclude::same_folded;
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
        let (Ok(Some(dir)), Some(below)) = (folder.dir(Side::Place), below) else { return Ok(()) };
        let volume = dir.metadata()?.id.volume;
        for (name, kind) in self.names {
            if shared.is_stopped() {
                return Ok(());
            }
            if is_aside(&name) || guard.protects(shared, &dir, &below.join(&name), kind) {
                continue;
            }
            let path = || folder.path_of(&name);
            let removal = Removal { shared, bounds, volume, below, shown: folder.path() };
            let mut removed = Removed::default();
            match removal.entry(&dir, &name, kind == Kind::Dir, guard, &mut removed) {
                Ok(true) => {
                    folder.lost_entries();
                    shared.act(RestoreAction::Delete, path);
                }
                // What must stay kept the folder: the rest is told one by one.
                Ok(false) => removed.tell(shared, folder),
                Err(error) => {
                    removed.tell(shared, folder);
                    shared.place_failed(&path(), error)?;
                }
            }
        }
        Ok(())
    }
}

struct Removal<'a, 'r> {
    shared: &'a Shared<'r>,
    bounds: &'a Bounds,
    volume: u64,
    /// Path below the source of the folder that this began in.
    below: &'a RelPath,
    /// Its path as it is told.
    shown: Vec<u8>,
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
    fn push(&mut self, path: RelPath) {
        self.count += 1;
        self.bytes += path.as_bytes().len();
        if self.first.len() < ACTIONS_KEPT_MAX && self.bytes < REMOVED_BYTES_MAX {
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

/// A folder that is to go.
enum Step {
    /// It was not looked at yet.
    Enter(RelPath, Guard),
    /// All that may go in it is gone.
    Leave(RelPath),
}

/// What comes of the folders that are entered.
struct Found<'a> {
    pending: &'a mut Vec<Step>,
    kept: &'a mut Vec<RelPath>,
    removed: &'a mut Removed,
}

impl Removal<'_, '_> {
    /// Removes an entry; returns whether it is gone (or would be).
    fn entry(
        &self,
        dir: &Dir,
        name: &[u8],
        is_dir: bool,
        guard: &Guard,
        removed: &mut Removed,
    ) -> Result<bool, PathError> {
        if !is_dir {
            if !self.shared.options.dry_run {
                dir.unlink(name)?;
            }
            return Ok(true);
        }
        self.folder(dir, name, guard, removed)
    }

    /// Removes a folder, with a list of its own instead of recursion. What must stay keeps the folders above it.
    fn folder(&self, dir: &Dir, name: &[u8], guard: &Guard, removed: &mut Removed) -> Result<bool, PathError> {
        let mut pending = vec![Step::Enter(RelPath::root().join(name), guard.clone())];
        let mut kept: Vec<RelPath> = Vec::new();
        while let Some(step) = pending.pop() {
            if self.shared.is_stopped() {
                return Ok(false);
            }
            match step {
                Step::Enter(path, guard) => {
                    let mut found = Found { pending: &mut pending, kept: &mut kept, removed };
                    self.enter(dir, path, &guard, &mut found)?;
                }
                Step::Leave(path) if kept.iter().any(|k| k.is_at_or_below(&path)) => kept.push(path),
                Step::Leave(path) => {
                    if !self.shared.options.dry_run {
                        dir.open_dir_at(&path.parent())?.remove_dir(path.name())?;
                    }
                    removed.push(path);
                }
            }
        }
        Ok(kept.is_empty())
    }

    fn enter(&self, dir: &Dir, path: RelPath, guard: &Guard, found: &mut Found<'_>) -> Result<(), PathError> {
        let here = dir.open_dir_at(&path)?;
        let id = here.metadata()?.id;
        if id.volume != self.volume || here.is_mount_point()? || self.bounds.0.contains(&id) {
            found.kept.push(path);
            return Ok(());
        }
        let mut below = self.below.clone();
        path.components().for_each(|name| below.push(name));
        let shown = [&self.shown, &b"/"[..], path.as_bytes()].concat();
        let entered = Entered { place: &here, stored: None, below: Some(&below), shown: &shown };
        let guard = guard.enter(self.shared, &entered)?;
        if guard.keeps_all {
            found.kept.push(path);
            return Ok(());
        }
        found.pending.push(Step::Leave(path.clone()));
        for entry in here.list()?.iter() {
            let child = path.join(entry.name);
            if is_aside(entry.name) || guard.protects(self.shared, &here, &below.join(entry.name), entry.kind) {
                found.kept.push(child);
            } else if entry.kind == Kind::Dir {
                found.pending.push(Step::Enter(child, guard.clone()));
            } else {
                if !self.shared.options.dry_run {
                    here.unlink(entry.name)?;
                }
                found.removed.push(child);
            }
        }
        Ok(())
    }
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
