//! A folder that is being restored: its handles in the snapshot and at the place.

use super::claims::Claims;
use super::metadata;
use super::shared::Shared;
use crate::error::Error;
use crate::manifest::Entry;
use hardback_platform::{Dir, Owner, PathError, RelPath};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Levels above the current one whose handles stay open; deeper trees open them again when they come back.
pub(super) const OPEN_LEVELS_MAX: usize = 48;

/// The two trees that a folder is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The snapshot, read only.
    Stored,
    /// Where it goes.
    Place,
}

/// How a folder came to be at the place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Made by this run: nothing else is in it.
    pub(super) is_fresh: bool,
    /// It gets the snapshot's metadata when all of its entries are in.
    pub(super) takes_metadata: bool,
    /// The user named it as the place: it keeps its time.
    pub(super) keeps_time: bool,
    /// Owner of what is made in it, if that is known.
    pub(super) default_owner: Option<Owner>,
    /// It hands down an access list that the snapshot's entries do not have.
    pub(super) hands_down_acl: bool,
}

/// A folder on its way to the place.
#[derive(Debug)]
pub(super) struct Folder {
    parent: Option<Arc<Folder>>,
    pub(super) depth: usize,
    pub(super) entry: Entry,
    pub(super) standing: Standing,
    /// Which of the places it is in.
    pub(super) root: usize,
    /// It is the top of that place.
    is_root: bool,
    has: [bool; 2],
    handles: Mutex<[Option<Arc<Dir>>; 2]>,
    claims: Mutex<Claims>,
    /// Something was deleted in it, so its time moved.
    lost_entries: AtomicBool,
    /// Chunks and subfolders that are not done, and one for the walk itself.
    pending: AtomicUsize,
}

/// What a folder starts with.
pub(super) struct Start {
    pub(super) entry: Entry,
    pub(super) standing: Standing,
    pub(super) stored: Option<Dir>,
    pub(super) place: Option<Dir>,
    /// The place that it is the top of.
    pub(super) root: Option<usize>,
}

impl Folder {
    pub(super) fn new(parent: Option<Arc<Folder>>, start: Start) -> Self {
        if let Some(parent) = &parent {
            parent.hold();
        }
        Self {
            depth: parent.as_ref().map_or(0, |p| p.depth + 1),
            root: start.root.or(parent.as_ref().map(|p| p.root)).unwrap_or(0),
            is_root: start.root.is_some(),
            parent,
            entry: start.entry,
            standing: start.standing,
            has: [start.stored.is_some(), start.place.is_some()],
            claims: Mutex::new(Claims::new(start.standing.is_fresh, start.place.as_ref())),
            handles: Mutex::new([start.stored.map(Arc::new), start.place.map(Arc::new)]),
            lost_entries: AtomicBool::new(false),
            pending: AtomicUsize::new(1),
        }
    }

    /// Returns the path in the snapshot.
    pub(super) fn path(&self) -> Vec<u8> {
        self.path_from(|folder| folder.parent.is_none()).as_bytes().to_vec()
    }

    /// Returns the path of an entry in the snapshot.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        self.path_from(|folder| folder.parent.is_none()).join(name).as_bytes().to_vec()
    }

    /// Returns the path below its place.
    pub(super) fn place_path(&self) -> RelPath {
        self.path_from(|folder| folder.is_root || folder.parent.is_none())
    }

    fn path_from(&self, is_top: impl Fn(&Self) -> bool) -> RelPath {
        let mut names = Vec::new();
        let mut folder = self;
        while !is_top(folder) {
            names.push(&folder.entry.name);
            let Some(parent) = &folder.parent else { break };
            folder = parent;
        }
        let mut path = RelPath::root();
        names.iter().rev().for_each(|name| path.push(name));
        path
    }

    /// Returns whether the folder is in a tree.
    pub(super) fn has(&self, side: Side) -> bool {
        self.has[side as usize]
    }

    /// Returns for which names its entries at the place stand. Held while one is looked at and claimed.
    pub(super) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().expect("no panic while the names are held")
    }

    fn slot(&self) -> MutexGuard<'_, [Option<Arc<Dir>>; 2]> {
        self.handles.lock().expect("no panic while handles are held")
    }

    /// Returns the handle in a tree, opening it again if it was closed; `None` where the folder is not in it.
    pub(super) fn dir(self: &Arc<Self>, side: Side) -> Result<Option<Arc<Dir>>, PathError> {
        if !self.has(side) {
            return Ok(None);
        }
        if let Some(dir) = &self.slot()[side as usize] {
            return Ok(Some(dir.clone()));
        }
        // Downwards from the nearest folder that is open; the last levels stay open, as the walk comes through them.
        let mut closed = vec![self.clone()];
        let mut dir = loop {
            let Some(parent) = closed.last().and_then(|f| f.parent.clone()) else {
                return Err(PathError::new("open again", b"", std::io::Error::other("the top is never closed")));
            };
            let open = parent.slot()[side as usize].clone();
            match open {
                Some(dir) => break dir,
                None => closed.push(parent),
            }
        };
        while let Some(folder) = closed.pop() {
            let name = if side == Side::Stored { folder.entry.stored_name() } else { &folder.entry.name };
            let opened = Arc::new(dir.open_dir(name)?);
            if closed.len() < OPEN_LEVELS_MAX {
                folder.slot()[side as usize] = Some(opened.clone());
            }
            dir = opened;
        }
        Ok(Some(dir))
    }

    /// Closes the handles, unless this is the top or that of a place, which are held to the end.
    pub(super) fn close(&self) {
        if self.depth > 1 {
            *self.slot() = [None, None];
        }
    }

    /// Counts one more chunk or subfolder that must be done before the folder is.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that something was deleted in it.
    pub(super) fn lost_entries(&self) {
        self.lost_entries.store(true, Ordering::Release);
    }

    /// Gives a folder whose entries are all in what it takes of the snapshot's.
    fn finish(self: &Arc<Self>, shared: &Shared<'_>) -> Result<(), PathError> {
        let takes_time = self.lost_entries.load(Ordering::Acquire) && !self.standing.keeps_time;
        if shared.options.dry_run || !(self.standing.takes_metadata || takes_time) {
            return Ok(());
        }
        let Some(dir) = self.dir(Side::Place)? else { return Ok(()) };
        match self.standing.takes_metadata {
            true => metadata::finish_folder(shared, &dir, self),
            false => metadata::put_back_time(shared, &dir, self),
        }
    }

    /// Returns the folder `levels` above, if there is one.
    pub(super) fn ancestor(self: &Arc<Self>, levels: usize) -> Option<Arc<Folder>> {
        let mut folder = self.clone();
        for _ in 0..levels {
            let parent = folder.parent.clone()?;
            folder = parent;
        }
        Some(folder)
    }
}

/// Counts a chunk, a subfolder or the walk as done. With the last one the folder gets its metadata, and it is done for
/// its own parent: whatever is above can be entered until nothing below needs it any more.
pub(super) fn release(shared: &Shared<'_>, folder: &Arc<Folder>) -> Result<(), Error> {
    let mut folder = folder.clone();
    while folder.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
        if let Err(error) = folder.finish(shared) {
            shared.place_failed(&folder.path(), error)?;
        }
        folder.close();
        let Some(parent) = folder.parent.clone() else { break };
        folder = parent;
    }
    Ok(())
}

impl Drop for Folder {
    /// A chain of parents is taken down in a loop: a deep tree would overflow the stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(folder) = parent {
            parent = Arc::try_unwrap(folder).ok().and_then(|mut f| f.parent.take());
        }
    }
}
