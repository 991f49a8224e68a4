//! Removing what the snapshot does not have, when that was asked for.

use super::folder::{Folder, Side};
use super::options::RestoreAction;
use super::shared::Shared;
use crate::content::Stop;
use crate::error::Error;
use crate::exclude::Verdict;
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
        folder: &Arc<Folder>,
        below: Option<&RelPath>,
    ) -> Result<(), Error> {
        let Ok(Some(dir)) = folder.dir(Side::Place) else { return Ok(()) };
        let volume = dir.metadata()?.id.volume;
        for (name, kind) in self.names {
            if shared.is_stopped() {
                return Ok(());
            }
            let is_dir = kind == Kind::Dir;
            let is_protected = |path: RelPath| is_protected(shared, &path, is_dir);
            if name.windows(ASIDE.len()).any(|w| w == ASIDE) || below.is_some_and(|b| is_protected(b.join(&name))) {
                continue;
            }
            let path = || folder.path_of(&name);
            let removal = Removal { shared, bounds, volume, below: below.map(|b| b.join(&name)) };
            match removal.entry(&dir, &name, is_dir) {
                Ok(true) => shared.act(RestoreAction::Delete, path),
                Ok(false) => {}
                Err(error) => shared.place_failed(&path(), error)?,
            }
        }
        Ok(())
    }
}

fn is_protected(shared: &Shared<'_>, below: &RelPath, is_dir: bool) -> bool {
    let rules = &shared.options.protected;
    !rules.is_empty() && matches!(rules.check(below.as_bytes(), is_dir), Verdict::Excluded(_))
}

struct Removal<'a, 'r> {
    shared: &'a Shared<'r>,
    bounds: &'a Bounds,
    volume: u64,
    below: Option<RelPath>,
}

impl Removal<'_, '_> {
    /// Removes an entry; returns whether it is gone (or would be).
    fn entry(&self, dir: &Dir, name: &[u8], is_dir: bool) -> Result<bool, PathError> {
        if !is_dir {
            if !self.shared.options.dry_run {
                dir.unlink(name)?;
            }
            return Ok(true);
        }
        self.folder(dir, name)
    }

    /// Removes a folder, with a list of its own instead of recursion. What must stay keeps the folders above it.
    fn folder(&self, dir: &Dir, name: &[u8]) -> Result<bool, PathError> {
        let dry_run = self.shared.options.dry_run;
        let mut pending = vec![(RelPath::root().join(name), false)];
        let mut kept: Vec<RelPath> = Vec::new();
        while let Some((path, is_emptied)) = pending.pop() {
            if self.shared.is_stopped() {
                return Ok(false);
            }
            let holder = dir.open_dir_at(&path.parent())?;
            if is_emptied {
                if kept.iter().any(|k| k.is_at_or_below(&path)) {
                    kept.push(path);
                } else if !dry_run {
                    holder.remove_dir(path.name())?;
                }
                continue;
            }
            let here = holder.open_dir(path.name())?;
            let id = here.metadata()?.id;
            if id.volume != self.volume || self.bounds.0.contains(&id) {
                kept.push(path);
                continue;
            }
            pending.push((path.clone(), true));
            for entry in here.list()?.iter() {
                let child = path.join(entry.name);
                let is_dir = entry.kind == Kind::Dir;
                if self.is_protected(&child, is_dir) {
                    kept.push(child);
                } else if is_dir {
                    pending.push((child, false));
                } else if !dry_run {
                    here.unlink(entry.name)?;
                }
            }
        }
        Ok(kept.is_empty())
    }

    fn is_protected(&self, path: &RelPath, is_dir: bool) -> bool {
        let Some(below) = &self.below else { return false };
        let mut full = below.parent();
        path.components().for_each(|name| full.push(name));
        is_protected(self.shared, &full, is_dir)
    }
}
