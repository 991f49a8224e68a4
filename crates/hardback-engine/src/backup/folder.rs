//! A folder that is being backed up: its handles at the source, in the base and in the new tree.

use crate::manifest::Entry;
use hardback_platform::{Dir, PathError, RelPath};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Levels above the current one whose handles stay open; deeper trees open them again when they come back.
pub(super) const OPEN_LEVELS_MAX: usize = 48;

/// The three trees that a folder is in. A place without one stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Base,
    Target,
}

/// A folder on its way into the snapshot.
#[derive(Debug)]
pub(super) struct Folder {
    parent: Option<Arc<Folder>>,
    pub(super) depth: usize,
    /// What becomes of it; the metadata is set when the last of its entries is in.
    pub(super) entry: Entry,
    /// Name in the base's tree, if the base has it.
    base_name: Option<Box<[u8]>>,
    handles: Mutex<[Option<Arc<Dir>>; 3]>,
    /// Which sides it has at all.
    has: [bool; 3],
    /// Chunks that are not done, and one for the walk itself.
    pending: AtomicUsize,
}

/// The handles that a folder starts with.
#[derive(Debug, Default)]
pub(super) struct Handles {
    pub(super) source: Option<Dir>,
    pub(super) base: Option<Dir>,
    pub(super) target: Option<Dir>,
}

impl Folder {
    pub(super) fn new(parent: Option<Arc<Folder>>, entry: Entry, base_name: Option<&[u8]>, handles: Handles) -> Self {
        let has = [handles.source.is_some(), handles.base.is_some(), handles.target.is_some()];
        let depth = parent.as_ref().map_or(0, |p| p.depth + 1);
        Self {
            parent,
            depth,
            entry,
            base_name: base_name.map(Into::into),
            handles: Mutex::new([handles.source, handles.base, handles.target].map(|h| h.map(Arc::new))),
            has,
            pending: AtomicUsize::new(1),
        }
    }

    /// Returns the path in the snapshot.
    pub(super) fn path(&self) -> Vec<u8> {
        self.path_of_names(|entry| &entry.name).as_bytes().to_vec()
    }

    /// Returns the path in the tree, of names as they are stored.
    pub(super) fn stored_path(&self) -> RelPath {
        self.path_of_names(Entry::stored_name)
    }

    fn path_of_names(&self, name_of: impl Fn(&Entry) -> &[u8]) -> RelPath {
        let mut names = Vec::new();
        let mut folder = self;
        while let Some(parent) = &folder.parent {
            names.push(name_of(&folder.entry));
            folder = parent;
        }
        let mut path = RelPath::root();
        names.iter().rev().for_each(|name| path.push(name));
        path
    }

    /// Returns the path of an entry in the snapshot.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn slot(&self, side: Side) -> std::sync::MutexGuard<'_, [Option<Arc<Dir>>; 3]> {
        debug_assert!(self.has[side as usize], "asked only for sides that the folder has");
        self.handles.lock().expect("no panic while handles are held")
    }

    /// Returns whether the folder is in a tree.
    pub(super) fn has(&self, side: Side) -> bool {
        self.has[side as usize]
    }

    /// Returns the handle in a tree, opening it again if it was closed.
    pub(super) fn dir(self: &Arc<Self>, side: Side) -> Result<Arc<Dir>, PathError> {
        if let Some(dir) = &self.slot(side)[side as usize] {
            return Ok(dir.clone());
        }
        // Downwards from the nearest folder that is open; the last levels stay open, as the walk comes through them.
        let mut closed = vec![self.clone()];
        let mut dir = loop {
            let Some(parent) = closed.last().and_then(|f| f.parent.clone()) else {
                return Err(PathError::new("open again", b"", std::io::Error::other("the top is never closed")));
            };
            if !parent.has(side) {
                return Err(PathError::new("open again", b"", std::io::Error::other("no such tree above")));
            }
            let open = parent.slot(side)[side as usize].clone();
            match open {
                Some(dir) => break dir,
                None => closed.push(parent),
            }
        };
        while let Some(folder) = closed.pop() {
            let opened = Arc::new(dir.open_dir(folder.name_in(side))?);
            if closed.len() < OPEN_LEVELS_MAX {
                folder.slot(side)[side as usize] = Some(opened.clone());
            }
            dir = opened;
        }
        Ok(dir)
    }

    fn name_in(&self, side: Side) -> &[u8] {
        match side {
            Side::Source => &self.entry.name,
            Side::Base => self.base_name.as_deref().unwrap_or(&self.entry.name),
            Side::Target => self.entry.stored_name(),
        }
    }

    /// Closes the handles, unless this is the top or a source's root, which are held to the end.
    pub(super) fn close(&self) {
        if self.depth > 1 {
            *self.handles.lock().expect("no panic while handles are held") = [None, None, None];
        }
    }

    /// Counts one more chunk that must be done before the folder is.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one chunk, or the walk, as done; returns whether that was the last.
    pub(super) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
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

impl Drop for Folder {
    /// A chain of parents is taken down in a loop: a deep tree would overflow the stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(folder) = parent {
            parent = Arc::try_unwrap(folder).ok().and_then(|mut f| f.parent.take());
        }
    }
}
