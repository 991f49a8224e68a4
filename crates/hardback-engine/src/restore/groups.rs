//! Several names of one file at the source become several names of one file at the place.

use hardback_platform::{FileId, RelPath};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex};

/// Which file at the source: its volume as the manifest tells it, and its number there.
pub(super) type GroupKey = (u64, u64);

/// Where the first name of a group is.
#[derive(Debug, Clone)]
pub(super) struct First {
    /// Which of the places.
    pub(super) root: usize,
    /// Path of the folder below it.
    pub(super) folder: RelPath,
    /// Name in the folder.
    pub(super) name: Box<[u8]>,
    /// Which file it is there.
    pub(super) id: FileId,
}

#[derive(Debug)]
struct Group {
    /// `None` while a worker makes it.
    first: Option<First>,
    /// Names that have not come.
    left: u64,
}

/// The groups that still miss names.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: Mutex<HashMap<GroupKey, Group>>,
    done: Condvar,
}

impl Groups {
    /// Returns what to link a name to; `None` for the first, which its caller makes and then calls
    /// [`Groups::made`] or [`Groups::failed`]. Waits while another worker makes the first.
    pub(super) fn turn(&self, key: GroupKey, nlink: u64) -> Option<First> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        loop {
            match all.get_mut(&key) {
                None => {
                    all.insert(key, Group { first: None, left: nlink.saturating_sub(1) });
                    return None;
                }
                Some(Group { first: None, .. }) => {
                    all = self.done.wait(all).expect("no panic while the groups are held");
                }
                Some(Group { first: Some(first), left }) => {
                    let first = first.clone();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        all.remove(&key);
                    }
                    return Some(first);
                }
            }
        }
    }

    /// The first name, or the fresh copy with which a full group goes on, is there.
    pub(super) fn made(&self, key: GroupKey, first: First) {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        if let Some(group) = all.get_mut(&key) {
            if group.left == 0 {
                all.remove(&key);
            } else {
                group.first = Some(first);
            }
        }
        drop(all);
        self.done.notify_all();
    }

    /// The first name could not be made, or something else stays there: the next one is the first.
    pub(super) fn failed(&self, key: GroupKey) {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        if all.get(&key).is_some_and(|g| g.first.is_none()) {
            all.remove(&key);
        }
        drop(all);
        self.done.notify_all();
    }
}
