//! Several names of one inode at the source become several names of one inode in the snapshot.

use super::group_table::GroupTable;
use crate::manifest::{ContentRef, Digest, Entry};
use hardback_platform::{Dir, FileId, PathError};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

/// What the first name of a group stored.
#[derive(Debug, Clone)]
pub(super) struct First {
    /// Path in the new tree, of names as they are stored.
    pub(super) path: Vec<u8>,
    /// The content.
    pub(super) stored: Stored,
    /// Its entry. The other names are recorded with this one's metadata, not with what the source says when their turn
    /// comes: if it changed meanwhile, the next run must see that.
    pub(super) entry: Entry,
}

/// Where a content is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing to record: an empty file, or no file.
    Nothing,
    /// Copied by this run.
    New(Digest),
    /// Recorded by an earlier run.
    Known(ContentRef),
}

#[derive(Debug)]
enum State {
    Working,
    Done(Arc<First>),
}

#[derive(Debug)]
struct Group {
    state: State,
    /// Names at the source that have not been seen.
    left: u64,
}

/// Groups that are kept in memory; more go into a file.
const GROUPS_IN_MEMORY_MAX: usize = 20_000;

/// The groups that still miss names.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: Mutex<Table>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    memory: HashMap<FileId, Group>,
    /// Where the file goes; none in a dry run, which has no groups.
    dir: Option<Dir>,
    file: Option<GroupTable>,
}

impl Table {
    /// Moves what is done into the file when there is too much in memory.
    fn spill(&mut self) -> Result<(), PathError> {
        if self.memory.len() < GROUPS_IN_MEMORY_MAX {
            return Ok(());
        }
        if self.file.is_none() {
            let Some(dir) = self.dir.take() else { return Ok(()) };
            self.file = Some(GroupTable::create(dir)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for (id, group) in &self.memory {
            if let State::Done(first) = &group.state {
                file.insert(*id, first, group.left)?;
            }
        }
        self.memory.retain(|_, group| matches!(group.state, State::Working));
        Ok(())
    }
}

/// What a worker must do with a name of a group.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is the first: store it, then call [`Groups::stored`] or [`Groups::failed`].
    First,
    /// Link to what the first stored.
    Link(Arc<First>),
}

impl Groups {
    /// Makes room for groups: what does not fit in memory goes into a nameless file in a folder.
    pub(super) fn new(dir: Option<Dir>) -> Self {
        Self { all: Mutex::new(Table { dir, ..Table::default() }), done: Condvar::new() }
    }

    /// Asks whether a name is the first of its group; waits while another worker stores the first.
    pub(super) fn turn(&self, id: FileId, nlink: u64) -> Result<Turn, PathError> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        loop {
            match all.memory.get_mut(&id) {
                None => {
                    let stored = all.file.as_mut().map(|file| file.take(id)).transpose()?.flatten();
                    if let Some(first) = stored {
                        return Ok(Turn::Link(Arc::new(first)));
                    }
                    all.memory.insert(id, Group { state: State::Working, left: nlink.saturating_sub(1) });
                    return Ok(Turn::First);
                }
                Some(Group { state: State::Working, .. }) => {
                    all = self.done.wait(all).expect("no panic while the groups are held");
                }
                Some(group) => {
                    let State::Done(first) = &group.state else { continue };
                    let first = first.clone();
                    group.left = group.left.saturating_sub(1);
                    if group.left == 0 {
                        all.memory.remove(&id);
                    }
                    return Ok(Turn::Link(first));
                }
            }
        }
    }

    /// The first name, or the fresh copy after the link limit, is stored.
    pub(super) fn stored(&self, id: FileId, first: First) -> Result<(), PathError> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        match all.memory.get_mut(&id) {
            Some(group) if group.left == 0 => {
                all.memory.remove(&id);
            }
            Some(group) => group.state = State::Done(Arc::new(first)),
            None => {
                if let Some(file) = &mut all.file {
                    file.replace(id, &first)?;
                }
            }
        }
        let spilled = all.spill();
        drop(all);
        self.done.notify_all();
        spilled
    }

    /// The first name could not be stored: the next one is the first.
    pub(super) fn failed(&self, id: FileId) {
        self.all.lock().expect("no panic while the groups are held").memory.remove(&id);
        self.done.notify_all();
    }
}
