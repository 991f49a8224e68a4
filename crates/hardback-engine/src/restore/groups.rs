//! Several names of one file at the source become several names of one file at the place.
//!
//! Only names that are stored alike: where some could not be read, what an older run stored of them was carried over, and
//! the others may have another content by now.

use crate::content::Stop;
use crate::manifest::{Digest, Entry};
use hardback_platform::{FileId, RelPath};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// After this time a worker that waits for another looks whether the run stops.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Which file at the source, in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    /// Number of its volume, as the manifest tells it.
    volume: u64,
    /// Its number there.
    inode: u64,
    /// Hash of all that its names have in common once they are one file.
    version: Digest,
}

impl GroupKey {
    /// Returns the key of an entry; `None` if it is its file's only name. `content` is its digest, if it has one that
    /// can be read.
    pub(super) fn new(volume: u64, entry: &Entry, content: Option<Digest>) -> Option<Self> {
        let inode = entry.inode.filter(|_| entry.nlink > 1)?;
        let mut version = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            version.update(&(bytes.len() as u64).to_le_bytes());
            version.update(bytes);
        };
        match (content, entry.content) {
            (Some(digest), _) => add(&digest),
            // Without their digests two contents are one only if one copy is behind both.
            (None, Some(copy)) => add(&[&copy.generation.to_le_bytes()[..], &copy.ordinal.to_le_bytes()].concat()),
            (None, None) => add(b""),
        }
        let (kind, time) = (entry.kind, entry.mtime);
        add(format!("{kind:?} {} {} {}", entry.size_bytes, time.seconds, time.nanos).as_bytes());
        let attributes = entry.attributes().0;
        add(format!("{:?} {:?} {:?} {attributes}", entry.mode, entry.owner, entry.device()).as_bytes());
        add(entry.link_text().unwrap_or_default());
        for (name, value) in entry.xattrs() {
            add(name);
            add(value);
        }
        Some(Self { volume, inode, version: *version.finalize().as_bytes() })
    }
}

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

/// What a worker does with a name.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is the first: its worker makes it and then calls [`Groups::made`] or [`Groups::failed`].
    Make,
    /// It is linked to the first.
    Link(First),
    /// Nothing: the run stops.
    Stop,
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
    /// Returns what to do with a name. Waits while another worker makes the first, unless the run stops.
    pub(super) fn turn(&self, key: GroupKey, nlink: u64, stop: &dyn Stop) -> Turn {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        loop {
            match all.get_mut(&key) {
                None => {
                    all.insert(key, Group { first: None, left: nlink.saturating_sub(1) });
                    return Turn::Make;
                }
                Some(Group { first: None, .. }) if stop.is_stopped() => return Turn::Stop,
                Some(Group { first: None, .. }) => {
                    let waited = self.done.wait_timeout(all, STOP_CHECK_INTERVAL);
                    all = waited.expect("no panic while the groups are held").0;
                }
                Some(Group { first: Some(first), left }) => {
                    let first = first.clone();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        all.remove(&key);
                    }
                    return Turn::Link(first);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Goes on for a few checks.
    struct Soon(AtomicU64);

    impl Stop for Soon {
        fn is_stopped(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst) >= 2
        }
    }

    #[test]
    fn who_waits_for_a_first_name_that_never_comes_ends_with_the_run() {
        let (groups, stop) = (Groups::default(), Soon(AtomicU64::new(0)));
        let key = GroupKey { volume: 0, inode: 1, version: [0; 32] };
        assert!(matches!(groups.turn(key, 2, &stop), Turn::Make));
        assert!(matches!(groups.turn(key, 2, &stop), Turn::Stop));
        assert_eq!(stop.0.into_inner(), 3);
    }
}
