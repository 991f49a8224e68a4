//! Deleting: a rename into the trash, then the unlinking behind it: by folder handles, on several threads, resumable
//! after any crash.
//!
//! A thread removes one tree from its top down and hands folders of it to threads that have nothing to do. Who removes
//! the last entry of a folder removes the folder.

use super::{Target, layout};
use crate::error::UnderPath;
use crate::report::{Cancel, Counters};
use hardback_platform::{Dir, Faults, Kind, Lock, PathError, VolumeKind};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Levels of a tree that a thread has open at a time. A folder below them is moved up into the trash and removed from
/// there: so depth costs neither handles nor, by paths from the top, its square in time.
const LEVELS_MAX: usize = 32;
/// Folders that wait in the trash's top after they were moved up, before those are removed.
const MOVED_UP_MAX: usize = 32;
/// Failures that are named.
const FAILURES_KEPT_MAX: usize = 10;
/// Most threads: more of them only wait for the volume's journal.
const THREADS_MAX: usize = 4;
/// Folders after which a thread looks again whether another run is at work.
const FOLDERS_BETWEEN_LOOKS: u32 = 256;

/// What became of the trash.
#[derive(Debug, Default)]
pub(crate) struct Emptied {
    /// Another process empties it.
    pub(crate) is_busy: bool,
    /// Names that were removed, folders too.
    pub(crate) entries: u64,
    /// What stays.
    pub(crate) failures: Failures,
}

/// What could not be removed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The first few.
    pub(crate) first: Vec<PathError>,
    /// How many there are.
    pub(crate) count: u64,
}

impl Failures {
    fn push(&mut self, error: PathError) {
        self.count += 1;
        if self.first.len() < FAILURES_KEPT_MAX {
            self.first.push(error);
        }
    }
}

/// How often the trash's lock is asked for while another process has it, and the user may want to stop.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// What to do while another process empties the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfBusy {
    /// Wait for its end, and remove what it left.
    Wait,
    /// Leave it to that process.
    Leave,
}

/// Who may have the lock of the target meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetLock {
    /// This run, which waits for the room.
    Ours,
    /// Another run, if it is taken at all: the deletion stands back for it.
    Others,
}

/// Moves an entry into the trash under a free name.
pub(crate) fn move_to_trash(target: &Target, dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    move_to_trash_as(target, dir, name, name)
}

/// Moves an entry into the trash under a name like this one that is free. Of a file with several names each needs one of
/// its own: where two names of one file meet, Wine takes the rename for done.
pub(crate) fn move_to_trash_as(target: &Target, dir: &Dir, name: &[u8], wanted: &[u8]) -> Result<(), PathError> {
    let trash = target.ours_dir(&[layout::TRASH])?;
    move_up(dir, name, &trash, wanted, &mut 1).under(&target.ours_path(&[layout::TRASH])).map(drop)
}

/// Moves an entry into the trash under a name like this one that is free; returns that. `number` is the first one that
/// is tried, and then the one behind that name's.
fn move_up(dir: &Dir, name: &[u8], trash: &Dir, wanted: &[u8], number: &mut u64) -> Result<Vec<u8>, PathError> {
    loop {
        let free = match *number {
            1 => wanted.to_vec(),
            n => [wanted, format!("-{n}").as_bytes()].concat(),
        };
        let moved = dir.rename_new(name, trash, &free);
        let is_taken = moved.as_ref().is_err_and(|e| e.fault() == Faults::Exists);
        if is_taken || moved.is_ok() {
            *number += 1;
        }
        if !is_taken {
            return moved.map(|()| free);
        }
    }
}

/// Removes what is in the trash. What cannot be removed stays, with the folders above it, and does not keep the rest.
/// Needs no lock of the target: nothing in the trash is anything else's.
///
/// # Errors
/// The trash itself cannot be locked or listed.
pub(crate) fn empty(
    target: &Target,
    cancel: &Cancel,
    counters: &Counters,
    if_busy: IfBusy,
    whose: TargetLock,
) -> Result<Emptied, PathError> {
    let Some(trash) = target.ours_dir_if_any(&[layout::TRASH])? else { return Ok(Emptied::default()) };
    let path = target.ours_path(&[layout::TRASH]);
    if trash.list().under(&path)?.is_empty() {
        return Ok(Emptied::default());
    }
    let info = format!("process {}\n", std::process::id());
    let take = || Lock::try_take(&target.ours, layout::TRASH_LOCK, info.as_bytes()).under(&target.ours_path(&[]));
    let mut lock = take()?;
    let (_never, never) = std::sync::mpsc::channel::<()>();
    while lock.is_none() && if_busy == IfBusy::Wait && !cancel.is_cancelled() {
        never.recv_timeout(LOCK_POLL).ok();
        lock = take()?;
    }
    let Some(_lock) = lock else {
        return Ok(Emptied { is_busy: true, ..Emptied::default() });
    };
    let work = trash.list().under(&path)?.iter().map(|entry| Work::top(entry.name, entry.kind)).collect();
    let gives_way = Some(target).filter(|_| whose == TargetLock::Others);
    Ok(remove_all(gives_way, (trash, path), work, (cancel, counters)))
}

/// Removes what is in a folder of ours, where it is, but for what is to be kept: for a volume that has not even room for a
/// rename.
pub(crate) fn remove_in_place(
    target: &Target,
    names: &[&[u8]],
    cancel: &Cancel,
    is_kept: &dyn Fn(&[u8]) -> bool,
) -> Result<Emptied, PathError> {
    let Some(dir) = target.ours_dir_if_any(names)? else { return Ok(Emptied::default()) };
    let path = target.ours_path(names);
    let listing = dir.list().under(&path)?;
    let goes = listing.iter().filter(|entry| !is_kept(entry.name));
    let work = goes.map(|entry| Work::top(entry.name, entry.kind)).collect();
    Ok(remove_all(None, (dir, path), work, (cancel, &Counters::default())))
}

/// Removes what is in a folder of ours that lies in no target; `path` is where, for messages.
pub(crate) fn empty_folder(folder: &Dir, path: Vec<u8>, cancel: &Cancel) -> Result<Failures, PathError> {
    let work = folder.list().under(&path)?.iter().map(|entry| Work::top(entry.name, entry.kind)).collect();
    let dir = folder.try_clone().under(&path)?;
    Ok(remove_all(None, (dir, path), work, (cancel, &Counters::default())).failures)
}

/// Removes; `gives_way` is the target for whose other runs it stands back.
fn remove_all(
    gives_way: Option<&Target>,
    (trash, path): (Dir, Vec<u8>),
    work: VecDeque<Work>,
    (cancel, counters): (&Cancel, &Counters),
) -> Emptied {
    let removal = Removal {
        gives_way,
        trash: Arc::new(trash),
        path,
        cancel,
        counters,
        queue: Mutex::new(Queue { work, busy: 0, entries: 0, failures: Failures::default() }),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
        next_number: Mutex::new(1),
        is_gentle: AtomicBool::new(false),
    };
    let threads = threads(&removal.trash);
    std::thread::scope(|scope| {
        // The caller's thread is not made gentle: it has other things to do behind this.
        (0..threads).for_each(|_| drop(scope.spawn(|| removal.work())));
    });
    let Queue { entries, mut failures, .. } = removal.queue.into_inner().unwrap_or_else(|e| e.into_inner());
    failures.first.sort_by(|a, b| a.path.cmp(&b.path));
    Emptied { is_busy: false, entries, failures }
}

/// Returns how many threads the volume rewards.
fn threads(trash: &Dir) -> usize {
    match trash.volume().map(|traits| traits.kind) {
        // One tree of its own for all folders, or one process for all calls.
        Ok(VolumeKind::Btrfs | VolumeKind::Fuse | VolumeKind::Ntfs) => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from).clamp(1, THREADS_MAX),
    }
}

/// A run through the trash.
struct Removal<'a> {
    /// The target for whose other runs the threads stand back.
    gives_way: Option<&'a Target>,
    trash: Arc<Dir>,
    path: Vec<u8>,
    cancel: &'a Cancel,
    counters: &'a Counters,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Threads that wait for work.
    hungry: AtomicUsize,
    /// What the name of the next folder that is moved up is tried with: from the start each time, many of them would take
    /// their square.
    next_number: Mutex<u64>,
    /// Another run was at work, and the threads stand back.
    is_gentle: AtomicBool,
}

/// What the threads share.
struct Queue {
    work: VecDeque<Work>,
    /// Threads that have some.
    busy: usize,
    entries: u64,
    failures: Failures,
}

/// A tree to remove, or an entry that is none.
struct Work {
    /// Where it is; at the top of the trash without one.
    holder: Option<Arc<Level>>,
    name: Vec<u8>,
    kind: Kind,
}

impl Work {
    fn top(name: &[u8], kind: Kind) -> Self {
        Self { holder: None, name: name.to_vec(), kind }
    }
}

/// A folder that is being emptied.
struct Level {
    holder: Option<Arc<Level>>,
    name: Vec<u8>,
    depth: usize,
    /// Closed before the folder is removed, as Windows removes none that is open.
    dir: Mutex<Option<Arc<Dir>>>,
    /// Subfolders that are not done, and one for the thread that goes through it.
    pending: AtomicUsize,
    /// Something in it stays.
    stays: AtomicBool,
}

/// A folder that a thread goes through, with the subfolders that it did not begin.
struct Open {
    level: Arc<Level>,
    dir: Arc<Dir>,
    folders: Vec<Vec<u8>>,
}

impl Removal<'_> {
    /// A thread's work.
    fn work(&self) {
        let mut pace = Pace::default();
        while let Some(work) = self.next() {
            let busy = Busy(self);
            self.remove(work, &mut pace);
            self.queue().entries += std::mem::take(&mut pace.entries);
            drop(busy);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What a thread that panicked left is still right: each change is one step.
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits for work; `None` at the end.
    fn next(&self) -> Option<Work> {
        let mut queue = self.queue();
        loop {
            if self.cancel.is_cancelled() {
                return None;
            }
            if let Some(work) = queue.work.pop_front() {
                queue.busy += 1;
                return Some(work);
            }
            if queue.busy == 0 {
                return None;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            queue = self.wake.wait(queue).unwrap_or_else(|e| e.into_inner());
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, work: Work, pace: &mut Pace) {
        if work.kind == Kind::Dir {
            self.tree(work.holder, &work.name, pace);
            return;
        }
        let removed = remove_file(&self.trash, &work.name, &mut true);
        if self.note(None, removed).is_some() {
            pace.count(self);
        }
    }

    /// Removes a tree, or the part of it that no other thread takes.
    fn tree(&self, holder: Option<Arc<Level>>, name: &[u8], pace: &mut Pace) {
        let mut stack = Vec::new();
        self.enter(holder, name, &mut stack, pace);
        while let Some(open) = stack.last_mut() {
            if self.cancel.is_cancelled() {
                return;
            }
            let Some(folder) = open.folders.pop() else {
                let Some(Open { level, dir, .. }) = stack.pop() else { return };
                drop(dir);
                self.release(level, pace);
                continue;
            };
            if open.level.depth + 1 < LEVELS_MAX {
                let level = Arc::clone(&open.level);
                level.pending.fetch_add(1, Ordering::SeqCst);
                self.enter(Some(level), &folder, &mut stack, pace);
                self.share(&mut stack);
            } else if let Some(moved) = self.move_up(open, &folder) {
                self.moved_up(moved, pace);
            }
        }
    }

    /// Gives a folder near the top of what a thread goes through to one that has nothing to do.
    fn share(&self, stack: &mut [Open]) {
        if self.hungry.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(open) = stack.iter_mut().find(|open| !open.folders.is_empty()) else { return };
        let Some(name) = open.folders.pop() else { return };
        open.level.pending.fetch_add(1, Ordering::SeqCst);
        let holder = Some(Arc::clone(&open.level));
        self.queue().work.push_back(Work { holder, name, kind: Kind::Dir });
        self.wake.notify_one();
    }

    /// Opens a folder and removes what is in it but folders.
    fn enter(&self, holder: Option<Arc<Level>>, name: &[u8], stack: &mut Vec<Open>, pace: &mut Pace) {
        pace.folder(self);
        let dir_above = holder.as_ref().map_or_else(|| Some(Arc::clone(&self.trash)), |level| level.dir());
        // A folder is closed only when all in it are done.
        let Some(dir_above) = dir_above else { return };
        let opened = open_readable(&dir_above, name).and_then(|dir| Ok((dir.list().under(name)?, dir)));
        drop(dir_above);
        let Some((listing, dir)) = self.note(holder.as_deref(), opened) else {
            if let Some(holder) = holder {
                self.release(holder, pace);
            }
            return;
        };
        let dir = Arc::new(dir);
        let depth = holder.as_ref().map_or(0, |holder| holder.depth + 1);
        let level = Arc::new(Level {
            holder,
            name: name.to_vec(),
            depth,
            dir: Mutex::new(Some(Arc::clone(&dir))),
            pending: AtomicUsize::new(1),
            stays: AtomicBool::new(false),
        });
        let mut folders = Vec::new();
        let mut may_open = true;
        for entry in listing.iter() {
            if self.cancel.is_cancelled() {
                break;
            }
            if entry.kind == Kind::Dir {
                folders.push(entry.name.to_vec());
            } else {
                let removed = remove_file(&dir, entry.name, &mut may_open);
                if self.note(Some(&level), removed).is_some() {
                    pace.count(self);
                }
            }
        }
        stack.push(Open { level, dir, folders });
    }

    /// Moves a folder that lies too deep into the trash; returns its name there.
    fn move_up(&self, open: &Open, name: &[u8]) -> Option<Vec<u8>> {
        let mut number = self.next_number.lock().unwrap_or_else(|e| e.into_inner());
        // What is moved gets another parent, which is a change of it; Windows moves only what is closed.
        let writable = open_readable(&open.dir, name).and_then(|dir| make_writable(&dir).under(name));
        let moved = writable.and_then(|()| match move_up(&open.dir, name, &self.trash, b"deep", &mut number) {
            Err(e) if e.fault() == Faults::Denied => {
                make_writable(&open.dir)?;
                move_up(&open.dir, name, &self.trash, b"deep", &mut number)
            }
            other => other,
        });
        self.note(Some(&open.level), moved)
    }

    /// Leaves what was moved up to whoever has time; removes it here where too much waits, but not within itself, so that
    /// a thread holds two trees open.
    fn moved_up(&self, name: Vec<u8>, pace: &mut Pace) {
        let mut queue = self.queue();
        let is_enough = queue.work.len() >= MOVED_UP_MAX && !pace.is_among_moved;
        if !is_enough {
            queue.work.push_back(Work::top(&name, Kind::Dir));
            drop(queue);
            self.wake.notify_one();
            return;
        }
        drop(queue);
        pace.is_among_moved = true;
        self.tree(None, &name, pace);
        pace.is_among_moved = false;
    }

    /// One part of a folder is done; behind the last one the folder goes, and so on upwards.
    fn release(&self, level: Arc<Level>, pace: &mut Pace) {
        let mut level = Some(level);
        while let Some(done) = level {
            if done.pending.fetch_sub(1, Ordering::SeqCst) > 1 {
                return;
            }
            drop(done.close());
            let holder = done.holder.as_ref();
            if done.stays.load(Ordering::SeqCst) {
                if let Some(holder) = holder {
                    holder.stays.store(true, Ordering::SeqCst);
                }
            } else if let Some(dir) = holder.map_or_else(|| Some(Arc::clone(&self.trash)), |holder| holder.dir()) {
                let removed = remove_dir(&dir, &done.name);
                drop(dir);
                if self.note(holder.map(|holder| &**holder), removed).is_some() {
                    pace.count(self);
                }
            }
            level = done.holder.clone();
        }
    }

    /// Takes a result; a failure is kept with its path, and the folder that it is in stays.
    fn note<T>(&self, level: Option<&Level>, result: Result<T, PathError>) -> Option<T> {
        let mut error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut above = level;
        while let Some(level) = above {
            level.stays.store(true, Ordering::SeqCst);
            error = error.under(&level.name);
            above = level.holder.as_deref();
        }
        self.queue().failures.push(error.under(&self.path));
        None
    }
}

impl Level {
    fn dir(&self) -> Option<Arc<Dir>> {
        self.dir.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn close(&self) -> Option<Arc<Dir>> {
        self.dir.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

/// A thread that has work. It ends by a panic too: the others must not wait for it.
struct Busy<'a>(&'a Removal<'a>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.queue().busy -= 1;
        self.0.wake.notify_all();
    }
}

/// What a thread keeps of its own.
#[derive(Default)]
struct Pace {
    /// Names that it removed and has not told.
    entries: u64,
    folders: u32,
    /// What was moved up is being removed.
    is_among_moved: bool,
    /// This thread stands back.
    is_gentle: bool,
}

impl Pace {
    fn count(&mut self, removal: &Removal<'_>) {
        self.entries += 1;
        Counters::add(&removal.counters.entries, 1);
    }

    /// Stands back, for good, when another run is at work: a deletion can wait.
    fn folder(&mut self, removal: &Removal<'_>) {
        let Some(target) = removal.gives_way.filter(|_| !self.is_gentle) else { return };
        if self.folders.is_multiple_of(FOLDERS_BETWEEN_LOOKS) && target.holder().is_some() {
            removal.is_gentle.store(true, Ordering::Relaxed);
        }
        self.folders = self.folders.wrapping_add(1);
        if removal.is_gentle.load(Ordering::Relaxed) {
            hardback_platform::lower_thread_priority();
            self.is_gentle = true;
        }
    }
}

/// Removes a file; a folder without write permission (a source's own mode) gets it, once.
fn remove_file(dir: &Dir, name: &[u8], may_open: &mut bool) -> Result<(), PathError> {
    let removed = match dir.unlink(name) {
        Err(e) if e.fault() == Faults::Denied && std::mem::replace(may_open, false) => {
            make_writable(dir)?;
            dir.unlink(name)
        }
        other => other,
    };
    removed.or_else(unless_gone)
}

/// Removes an empty folder, from a folder that may have no write permission.
fn remove_dir(dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    let removed = match dir.remove_dir(name) {
        Err(e) if e.fault() == Faults::Denied => {
            make_writable(dir)?;
            dir.remove_dir(name)
        }
        other => other,
    };
    removed.or_else(unless_gone)
}

/// Lets an entry pass that somebody else has removed.
pub(crate) fn unless_gone(error: PathError) -> Result<(), PathError> {
    if error.fault() == Faults::Vanished { Ok(()) } else { Err(error) }
}

/// Opens a folder; one that its owner may not read (a source's own mode) is opened to him first.
fn open_readable(holder: &Dir, name: &[u8]) -> Result<Dir, PathError> {
    match holder.open_dir(name) {
        Err(e) if e.fault() == Faults::Denied => {
            holder.set_mode(name, 0o700)?;
            holder.open_dir(name)
        }
        other => other,
    }
}

/// Lets the owner of a folder change what is in it.
fn make_writable(dir: &Dir) -> Result<(), PathError> {
    if dir.metadata()?.mode.is_some_and(|mode| mode & 0o300 != 0o300) {
        dir.set_mode(b"", 0o700)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::target::init_target;
    use hardback_platform::{Call, Op, Seam, Verdict, Watch};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Counts directories that are opened and renames, and lets nobody remove what is called `stuck`.
    #[derive(Default)]
    struct Opens(AtomicU64, AtomicU64);

    impl Watch for Opens {
        fn before(&self, call: &Call<'_>) -> Verdict {
            self.0.fetch_add(u64::from(call.op == Op::OpenDir), Ordering::SeqCst);
            self.1.fetch_add(u64::from(call.op == Op::Rename), Ordering::SeqCst);
            match (call.op, call.name) {
                (Op::Unlink, b"stuck") => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
                _ => Verdict::Go,
            }
        }
    }

    fn target_in(temp: &tempfile::TempDir, opens: &Arc<Opens>) -> (Target, Dir) {
        let path = temp.path().join("target");
        let made = init_target(&path, None, &SystemClock, Seam::watched(opens.clone())).unwrap();
        let target = made.target;
        let trash = target.ours_dir(&[layout::TRASH]).unwrap();
        (target, trash)
    }

    fn folder(dir: &Dir, name: &[u8]) -> Dir {
        dir.make_dir(name, 0o700).unwrap();
        dir.open_dir(name).unwrap()
    }

    #[test]
    fn a_deep_tree_is_removed_in_steps_that_do_not_grow_with_its_depth() {
        const LEVELS: u64 = 300;
        let temp = tempfile::tempdir().unwrap();
        let opens = Arc::new(Opens::default());
        let (target, trash) = target_in(&temp, &opens);
        let mut dir = folder(&trash, b"top");
        for n in 0..LEVELS {
            folder(&dir, b"beside");
            drop(dir.create_file(b"file", 0o400).unwrap());
            let below = folder(&dir, b"d");
            // As a source may have it.
            dir.set_mode(b"", if n % 7 == 0 { 0o500 } else { 0o700 }).ok();
            dir = below;
        }
        // Windows keeps what is open.
        drop(dir);
        let before = opens.0.load(Ordering::SeqCst);
        let failures = empty(&target, &Cancel::default(), &Counters::default(), IfBusy::Wait, TargetLock::Others)
            .map(|e| e.failures)
            .unwrap();
        assert_eq!(failures.count, 0, "{:?}", failures.first);
        assert!(trash.list().unwrap().is_empty());
        let opened = opens.0.load(Ordering::SeqCst) - before;
        assert!(opened <= 3 * LEVELS, "{opened} folders were opened");
    }

    #[test]
    fn many_folders_that_lie_too_deep_are_moved_once_each() {
        let temp = tempfile::tempdir().unwrap();
        let calls = Arc::new(Opens::default());
        let (target, trash) = target_in(&temp, &calls);
        // Names of an interrupted run.
        for name in [&b"deep"[..], b"deep-2"] {
            folder(&trash, name);
        }
        let mut dir = folder(&trash, b"top");
        for _ in 1..LEVELS_MAX {
            dir = folder(&dir, b"d");
        }
        for n in 0..100 {
            folder(&folder(&dir, format!("{n}").as_bytes()), b"below");
        }
        drop(dir);
        let renames = || calls.1.load(Ordering::SeqCst);
        let before = renames();
        let cancelled = Cancel::default();
        cancelled.cancel();
        assert_eq!(
            empty(&target, &cancelled, &Counters::default(), IfBusy::Wait, TargetLock::Others)
                .map(|e| e.failures)
                .unwrap()
                .count,
            0
        );
        assert_eq!((renames(), trash.list().unwrap().len()), (before, 3));
        let failures = empty(&target, &Cancel::default(), &Counters::default(), IfBusy::Wait, TargetLock::Others)
            .map(|e| e.failures)
            .unwrap();
        assert_eq!(failures.count, 0, "{:?}", failures.first);
        assert!(trash.list().unwrap().is_empty());
        let renamed = renames() - before;
        assert!((100..110).contains(&renamed), "{renamed} renames");
    }

    #[test]
    fn what_cannot_be_removed_is_named_and_the_rest_goes() {
        let temp = tempfile::tempdir().unwrap();
        let (target, trash) = target_in(&temp, &Arc::default());
        for top in [&b"a"[..], b"b", b"c"] {
            let sub = folder(&folder(&trash, top), b"sub");
            for name in [&b"before"[..], b"stuck", b"then"] {
                if name != b"stuck" || top != b"b" {
                    drop(sub.create_file(name, 0o600).unwrap());
                }
            }
        }
        let failures = empty(&target, &Cancel::default(), &Counters::default(), IfBusy::Wait, TargetLock::Others)
            .map(|e| e.failures)
            .unwrap();
        assert_eq!((failures.count, failures.first.len()), (2, 2));
        let first = failures.first[0].to_string();
        assert!(first.starts_with("cannot remove ") && first.ends_with("/.hardback/trash/a/sub/stuck"), "{first}");
        let names = |dir: &Dir| dir.list().unwrap().iter().map(|e| e.name.to_vec()).collect::<Vec<_>>();
        assert_eq!(names(&trash), [b"a", b"c"]);
        assert_eq!(names(&trash.open_dir(b"a").unwrap().open_dir(b"sub").unwrap()), [b"stuck"]);
    }
}
