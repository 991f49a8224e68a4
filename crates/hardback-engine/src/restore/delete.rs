//! Removing what the snapshot does not have, when that was asked for.

use super::folder::{Folder, Side};
use super::guard::{Entered, Guard};
use super::options::RestoreAction;
use super::shared::Shared;
use crate::content::Stop;
use crate::error::Error;
use hardback_platform::{Dir, FileId, Kind, PathError, RelPath};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is added to the name of an entry that is set aside.
pub(super) const ASIDE: &[u8] = b".before-restore";

/// What a folder held before it was restored and the snapshot has not named yet.
#[derive(Debug)]
pub(super) struct Leftovers {
    names: BTreeMap<Box<[u8]>, Kind>,
}

/// Where deleting must stop: the target and the folders above it.
#[derive(Debug)]
pub(super) struct Bounds(pub(super) Vec<FileId>);

impl Leftovers {
    /// Lists a folder.
    pub(super) fn list(dir: &Dir) -> Result<Self, PathError> {
        let listing = dir.list()?;
        Ok(Self { names: listing.iter().map(|e| (e.name.into(), e.kind)).collect() })
    }

    /// The snapshot has an entry of this name.
    pub(super) fn take(&mut self, name: &[u8]) {
        self.names.remove(name);
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
            let is_aside = name.windows(ASIDE.len()).any(|w| w == ASIDE);
            if is_aside || guard.protects(shared, &dir, &below.join(&name), kind) {
                continue;
            }
            let path = || folder.path_of(&name);
            let removal = Removal { shared, bounds, volume, below, shown: folder.path() };
            match removal.entry(&dir, &name, kind == Kind::Dir, guard) {
                Ok(true) => {
                    folder.lost_entries();
                    shared.act(RestoreAction::Delete, path);
                }
                Ok(false) => {}
                Err(error) => shared.place_failed(&path(), error)?,
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

/// A folder that is to go.
enum Step {
    /// It was not looked at yet.
    Enter(RelPath, Guard),
    /// All that may go in it is gone.
    Leave(RelPath),
}

impl Removal<'_, '_> {
    /// Removes an entry; returns whether it is gone (or would be).
    fn entry(&self, dir: &Dir, name: &[u8], is_dir: bool, guard: &Guard) -> Result<bool, PathError> {
        if !is_dir {
            if !self.shared.options.dry_run {
                dir.unlink(name)?;
            }
            return Ok(true);
        }
        self.folder(dir, name, guard)
    }

    /// Removes a folder, with a list of its own instead of recursion. What must stay keeps the folders above it.
    fn folder(&self, dir: &Dir, name: &[u8], guard: &Guard) -> Result<bool, PathError> {
        let mut pending = vec![Step::Enter(RelPath::root().join(name), guard.clone())];
        let mut kept: Vec<RelPath> = Vec::new();
        while let Some(step) = pending.pop() {
            if self.shared.is_stopped() {
                return Ok(false);
            }
            match step {
                Step::Enter(path, guard) => self.enter(dir, path, &guard, &mut pending, &mut kept)?,
                Step::Leave(path) if kept.iter().any(|k| k.is_at_or_below(&path)) => kept.push(path),
                Step::Leave(_) if self.shared.options.dry_run => {}
                Step::Leave(path) => dir.open_dir_at(&path.parent())?.remove_dir(path.name())?,
            }
        }
        Ok(kept.is_empty())
    }

    fn enter(
        &self,
        dir: &Dir,
        path: RelPath,
        guard: &Guard,
        pending: &mut Vec<Step>,
        kept: &mut Vec<RelPath>,
    ) -> Result<(), PathError> {
        let here = dir.open_dir_at(&path)?;
        let id = here.metadata()?.id;
        if id.volume != self.volume || here.is_mount_point()? || self.bounds.0.contains(&id) {
            kept.push(path);
            return Ok(());
        }
        let mut below = self.below.clone();
        path.components().for_each(|name| below.push(name));
        let shown = [&self.shown, &b"/"[..], path.as_bytes()].concat();
        let entered = Entered { place: &here, stored: None, below: Some(&below), shown: &shown };
        let guard = guard.enter(self.shared, &entered)?;
        if guard.keeps_all {
            kept.push(path);
            return Ok(());
        }
        pending.push(Step::Leave(path.clone()));
        for entry in here.list()?.iter() {
            let child = path.join(entry.name);
            if guard.protects(self.shared, &here, &below.join(entry.name), entry.kind) {
                kept.push(child);
            } else if entry.kind == Kind::Dir {
                pending.push(Step::Enter(child, guard.clone()));
            } else if !self.shared.options.dry_run {
                here.unlink(entry.name)?;
            }
        }
        Ok(())
    }
}
