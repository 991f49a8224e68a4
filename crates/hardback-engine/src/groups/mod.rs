//! Several names of one file stay several names of one file: the first that comes is made, the others are linked to it.
//!
//! For the workers of one verb, which meet the names in any order. What is known of groups that miss names is bounded:
//! some are in memory, the rest in a nameless file.

mod table;

use crate::content::Stop;
use hardback_platform::{Dir, Faults, FileWrite, PathError};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use table::GroupTable;

/// After this time a worker that waits for another looks whether the run stops.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Groups that are kept in memory; more go into a file.
const GROUPS_IN_MEMORY_MAX: usize = 20_000;

/// Which group: a file id, or a hash.
pub(crate) type Key = [u8; 16];

/// What the other names of a group need to know of the first.
pub(crate) trait First: Sized {
    /// Returns it as bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// Reverses [`First::to_bytes`].
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// What a worker must do with a name of a group.
#[derive(Debug)]
pub(crate) enum Turn<F> {
    /// It is the first: make it, then call [`Groups::made`] or [`Groups::failed`].
    First,
    /// Link to the first.
    Link(Arc<F>),
    /// Nothing: the run stops.
    Stop,
}

/// Where the file of what does not fit in memory goes.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) dir: Dir,
    /// How the names begin that its files have for a moment; a number follows.
    pub(crate) prefix: Vec<u8>,
}

impl Scratch {
    /// Makes a file without a name. Windows keeps the name until the file is closed, so each has another one.
    pub(crate) fn nameless(&self, number: u64) -> Result<FileWrite, PathError> {
        let name = [&self.prefix[..], format!("{number:020}").as_bytes()].concat();
        let file = self.dir.create_file(&name, 0o600)?;
        match self.dir.unlink(&name) {
            // Who empties the folder was faster.
            Err(error) if error.fault() != Faults::Vanished => Err(error),
            _ => Ok(file),
        }
    }
}

#[derive(Debug)]
struct Group<F> {
    /// `None` while a worker makes it.
    first: Option<Arc<F>>,
    /// Names that have not come.
    left: u64,
}

/// The groups that still miss names.
#[derive(Debug)]
pub(crate) struct Groups<F> {
    all: Mutex<Known<F>>,
    done: Condvar,
}

#[derive(Debug)]
struct Known<F> {
    memory: HashMap<Key, Group<F>>,
    memory_max: usize,
    /// Where the file may go, best first.
    scratches: Vec<Scratch>,
    /// Which of them have been tried.
    tried: usize,
    file: Option<GroupTable>,
    /// Why there is no file: all stays in memory.
    refused: Option<PathError>,
}

impl<F: First> Groups<F> {
    /// Makes room for groups. The file goes to the first place that takes it; without one, as in a dry run, no group may
    /// be made.
    pub(crate) fn new(scratches: impl IntoIterator<Item = Scratch>) -> Self {
        Self::with_room(scratches, GROUPS_IN_MEMORY_MAX)
    }

    fn with_room(scratches: impl IntoIterator<Item = Scratch>, memory_max: usize) -> Self {
        let mut scratches: Vec<_> = scratches.into_iter().collect();
        // They are taken from the end.
        scratches.reverse();
        let known = Known { memory: HashMap::new(), memory_max, scratches, tried: 0, file: None, refused: None };
        Self { all: Mutex::new(known), done: Condvar::new() }
    }

    /// Asks whether a name is the first of its group; waits while another worker makes the first, unless the run stops.
    pub(crate) fn turn(&self, key: Key, nlink: u64, stop: &dyn Stop) -> Result<Turn<F>, PathError> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        loop {
            match all.memory.get_mut(&key) {
                None => {
                    if let Some(first) = all.take_from_file(key)? {
                        return Ok(Turn::Link(Arc::new(first)));
                    }
                    all.memory.insert(key, Group { first: None, left: nlink.saturating_sub(1) });
                    return Ok(Turn::First);
                }
                Some(Group { first: None, .. }) if stop.is_stopped() => return Ok(Turn::Stop),
                Some(Group { first: None, .. }) => {
                    let waited = self.done.wait_timeout(all, STOP_CHECK_INTERVAL);
                    all = waited.expect("no panic while the groups are held").0;
                }
                Some(Group { first: Some(first), left }) => {
                    let first = first.clone();
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        all.memory.remove(&key);
                    }
                    return Ok(Turn::Link(first));
                }
            }
        }
    }

    /// The first name, or the fresh copy with which a full group goes on, is there.
    pub(crate) fn made(&self, key: Key, first: F) -> Result<(), PathError> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        match all.memory.get_mut(&key) {
            Some(group) if group.left == 0 => {
                all.memory.remove(&key);
            }
            Some(group) => group.first = Some(Arc::new(first)),
            None => {
                if let Some(file) = &mut all.file {
                    file.replace(key, &first)?;
                }
            }
        }
        let spilled = all.spill();
        drop(all);
        self.done.notify_all();
        spilled
    }

    /// Returns, once, why no place takes the file and all stays in memory, with the number of that place.
    pub(crate) fn take_refused(&self) -> Option<(usize, PathError)> {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        let last = all.tried.saturating_sub(1);
        all.refused.take().map(|error| (last, error))
    }

    /// Returns the number of the place where the file is, or was tried last.
    pub(crate) fn scratch_index(&self) -> usize {
        self.all.lock().expect("no panic while the groups are held").tried.saturating_sub(1)
    }

    /// The first name could not be made, or something else stays there: the next one is the first.
    pub(crate) fn failed(&self, key: Key) {
        let mut all = self.all.lock().expect("no panic while the groups are held");
        if all.memory.get(&key).is_some_and(|group| group.first.is_none()) {
            all.memory.remove(&key);
        }
        drop(all);
        self.done.notify_all();
    }
}

impl<F: First> Known<F> {
    fn take_from_file(&mut self, key: Key) -> Result<Option<F>, PathError> {
        self.file.as_mut().map_or(Ok(None), |file| file.take(key))
    }

    /// Moves what is made into the file when there is too much in memory.
    fn spill(&mut self) -> Result<(), PathError> {
        if self.memory.len() < self.memory_max {
            return Ok(());
        }
        while self.file.is_none() {
            let Some(scratch) = self.scratches.pop() else { return Ok(()) };
            self.tried += 1;
            match GroupTable::create(scratch) {
                Ok(file) => self.file = Some(file),
                // Some may only write further down.
                Err(error) if matches!(error.fault(), Faults::Denied | Faults::ReadOnly) => self.refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        self.refused = None;
        let Some(file) = &mut self.file else { return Ok(()) };
        for (key, group) in &self.memory {
            if let Some(first) = &group.first {
                file.insert(*key, &**first, group.left)?;
            }
        }
        self.memory.retain(|_, group| group.first.is_none());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::{Call, Op, Seam, Verdict, Watch};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct Text(String);

    impl First for Text {
        fn to_bytes(&self) -> Vec<u8> {
            self.0.clone().into_bytes()
        }

        fn from_bytes(bytes: &[u8]) -> Option<Self> {
            String::from_utf8(bytes.to_vec()).ok().map(Self)
        }
    }

    /// Goes on for a few checks.
    struct Soon(AtomicU64);

    impl Stop for Soon {
        fn is_stopped(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst) >= 2
        }
    }

    fn stop() -> Soon {
        Soon(AtomicU64::new(0))
    }

    #[test]
    fn who_waits_for_a_first_name_that_never_comes_ends_with_the_run() {
        let (groups, stop) = (Groups::<Text>::new(None), stop());
        assert!(matches!(groups.turn([0; 16], 2, &stop), Ok(Turn::First)));
        assert!(matches!(groups.turn([0; 16], 2, &stop), Ok(Turn::Stop)));
        assert_eq!(stop.0.into_inner(), 3);
    }

    /// Lets nobody make a file.
    struct Closed;

    impl Watch for Closed {
        fn before(&self, call: &Call<'_>) -> Verdict {
            match call.op {
                Op::CreateFile => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
                _ => Verdict::Go,
            }
        }
    }

    #[test]
    fn where_no_file_may_be_made_the_next_place_is_tried_and_then_all_stays_in_memory() {
        let temp = tempfile::tempdir().unwrap();
        let scratch = |is_closed| {
            let seam = if is_closed { Seam::watched(Arc::new(Closed)) } else { Seam::default() };
            Scratch { dir: Dir::open(temp.path(), seam).unwrap(), prefix: b"groups-".to_vec() }
        };
        let key = |n: u64| -> Key { u128::from(n).to_le_bytes() };
        for (closed, in_memory) in [(&[true, false][..], false), (&[true, true], true)] {
            let groups = Groups::with_room(closed.iter().map(|closed| scratch(*closed)), 10);
            for n in 0..100 {
                assert!(matches!(groups.turn(key(n), 2, &stop()), Ok(Turn::First)));
                groups.made(key(n), Text(format!("first {n}"))).unwrap();
            }
            assert_eq!(groups.all.lock().unwrap().memory.len() > 10, in_memory);
            assert_eq!(groups.scratch_index(), 1);
            let refused = groups.take_refused();
            assert_eq!(
                refused.as_ref().map(|(place, error)| (*place, error.fault())),
                in_memory.then_some((1, Faults::Denied))
            );
            assert!(groups.take_refused().is_none());
            for n in 0..100 {
                let Ok(Turn::Link(first)) = groups.turn(key(n), 2, &stop()) else { panic!("{n}") };
                assert_eq!(first.0, format!("first {n}"));
            }
        }
    }

    #[test]
    fn what_does_not_fit_in_memory_comes_back_from_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let open = || Dir::open(temp.path(), Seam::default()).unwrap();
        let groups = Groups::with_room(Some(Scratch { dir: open(), prefix: b"groups-".to_vec() }), 10);
        let key = |n: u64| -> Key { u128::from(n).to_le_bytes() };
        for n in 0..1000 {
            assert!(matches!(groups.turn(key(n), 3, &stop()), Ok(Turn::First)));
            match n % 5 {
                0 => groups.failed(key(n)),
                _ => groups.made(key(n), Text(format!("first {n}"))).unwrap(),
            }
            assert!(groups.all.lock().unwrap().memory.len() <= 10);
        }
        groups.made(key(6), Text("a fresh copy".to_owned())).unwrap();
        for n in 0..1000 {
            for _ in 0..2 {
                match (groups.turn(key(n), 3, &stop()).unwrap(), n) {
                    (Turn::First, n) => {
                        assert_eq!(n % 5, 0);
                        groups.failed(key(n));
                    }
                    (Turn::Link(first), 6) => assert_eq!(first.0, "a fresh copy"),
                    (Turn::Link(first), n) => assert_eq!(first.0, format!("first {n}")),
                    (Turn::Stop, _) => panic!("nobody stops"),
                }
            }
        }
        drop(groups);
        assert!(open().list().unwrap().is_empty(), "the file goes with its handle");
    }
}
