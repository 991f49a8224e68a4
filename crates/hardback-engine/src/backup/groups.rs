//! Several names of one inode at the source become several names of one inode in the snapshot.

use crate::manifest::{ContentRef, Digest, Entry};
use hardback_platform::FileId;
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

/// The groups that still miss names.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: Mutex<HashMap<FileId, Group>>,
    done: Condvar,
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
    /// Asks whether a name is the first of its group; waits while another worker stores the first.
    pub(super) fn turn(&self, id: FileId, nlink: u64) -> Turn {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        loop {
            match all.get_mut(&id) {
                None => {
                    all.insert(id, Group { state: State::Working, left: nlink.saturating_sub(1) });
                    return Turn::First;
                }
                Some(Group { state: State::Working, .. }) => {
                    all = self.done.wait(all).expect("no panic while the groups are held");
                }
                Some(group) => {
                    let State::Done(first) = &group.state else { continue };
                    let first = first.clone();
                    group.left = group.left.saturating_sub(1);
                    if group.left == 0 {
                        all.remove(&id);
                    }
                    return Turn::Link(first);
                }
            }
        }
    }

    /// The first name, or the fresh copy after the link limit, is stored.
    pub(super) fn stored(&self, id: FileId, first: First) {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        if let Some(group) = all.get_mut(&id) {
            if group.left == 0 {
                all.remove(&id);
            } else {
                group.state = State::Done(Arc::new(first));
            }
        }
        self.done.notify_all();
    }

    /// The first name could not be stored: the next one is the first.
    pub(super) fn failed(&self, id: FileId) {
        self.all.lock().expect("no panic while the groups are held").remove(&id);
        self.done.notify_all();
    }
}
