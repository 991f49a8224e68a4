//! Deleting: a rename into the trash, then the unlinking behind it, resumable after any crash.

use super::{Target, layout};
use crate::error::UnderPath;
use crate::report::Cancel;
use hardback_platform::{Dir, Faults, Kind, PathError};

/// Levels of a tree that are open at a time. A folder below them is moved up into the trash and removed from there: so
/// depth costs neither handles nor, by paths from the top, its square in time.
const LEVELS_MAX: usize = 32;
/// Folders that are moved up before those are removed.
const MOVED_UP_MAX: usize = 32;
/// Failures that are named.
const FAILURES_KEPT_MAX: usize = 10;

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

/// Moves an entry into the trash under a free name.
pub(crate) fn move_to_trash(target: &Target, dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    let trash = target.ours_dir(&[layout::TRASH])?;
    move_up(dir, name, &trash, name, &mut 1).under(&target.ours_path(&[layout::TRASH])).map(drop)
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
///
/// # Errors
/// The trash itself cannot be listed.
pub(crate) fn empty(target: &Target, cancel: &Cancel) -> Result<Failures, PathError> {
    let Some(trash) = target.ours_dir_if_any(&[layout::TRASH])? else { return Ok(Failures::default()) };
    empty_folder(&trash, target.ours_path(&[layout::TRASH]), cancel)
}

/// Removes what is in a folder of ours, wherever that is; `path` is where, for messages. As [`empty`] otherwise.
pub(crate) fn empty_folder(folder: &Dir, path: Vec<u8>, cancel: &Cancel) -> Result<Failures, PathError> {
    let listing = folder.list().under(&path)?;
    let failures = Failures::default();
    let mut removal =
        Removal { trash: folder, path, cancel, moved_up: Vec::new(), next_number: 1, is_among_moved: false, failures };
    for entry in listing.iter() {
        if cancel.is_cancelled() {
            break;
        }
        removal.entry(entry.name, entry.kind);
        removal.remove_moved_up();
    }
    Ok(removal.failures)
}

/// A run through the trash.
struct Removal<'a> {
    trash: &'a Dir,
    path: Vec<u8>,
    cancel: &'a Cancel,
    /// Names in the trash of folders that lay too deep.
    moved_up: Vec<Vec<u8>>,
    /// What the name of the next one is tried with: from the start each time, many of them would take their square.
    next_number: u64,
    /// What was moved up is being removed.
    is_among_moved: bool,
    failures: Failures,
}

/// A folder that is being emptied.
struct Level {
    name: Vec<u8>,
    dir: Dir,
    folders: Vec<Vec<u8>>,
    /// Something in it stays.
    stays: bool,
}

impl Removal<'_> {
    fn entry(&mut self, name: &[u8], kind: Kind) {
        let mut levels = Vec::new();
        if kind != Kind::Dir {
            let removed = remove_file(self.trash, name);
            self.note(&mut levels, removed);
            return;
        }
        self.enter(&mut levels, name);
        while let Some(level) = levels.last_mut() {
            if self.cancel.is_cancelled() {
                return;
            }
            match level.folders.pop() {
                Some(folder) if levels.len() < LEVELS_MAX => self.enter(&mut levels, &folder),
                Some(folder) => self.move_up(&mut levels, &folder),
                None => self.leave(&mut levels),
            }
        }
    }

    /// Opens a folder and removes what is in it but folders.
    fn enter(&mut self, levels: &mut Vec<Level>, name: &[u8]) {
        let holder = levels.last().map_or(self.trash, |level| &level.dir);
        let opened = open_writable(holder, name).and_then(|dir| Ok((dir.list().under(name)?, dir)));
        let Some((listing, dir)) = self.note(levels, opened) else { return };
        levels.push(Level { name: name.to_vec(), dir, folders: Vec::new(), stays: false });
        for entry in listing.iter() {
            if self.cancel.is_cancelled() {
                return;
            }
            let Some(level) = levels.last_mut() else { return };
            if entry.kind == Kind::Dir {
                level.folders.push(entry.name.to_vec());
            } else {
                let removed = remove_file(&level.dir, entry.name);
                self.note(levels, removed);
            }
        }
    }

    fn move_up(&mut self, levels: &mut [Level], name: &[u8]) {
        let Some(level) = levels.last() else { return };
        // What is moved gets another parent, which is a change of it; Windows moves only what is closed.
        let writable = open_writable(&level.dir, name).map(drop);
        let moved = writable.and_then(|()| move_up(&level.dir, name, self.trash, b"deep", &mut self.next_number));
        if let Some(name) = self.note(levels, moved) {
            self.moved_up.push(name);
        }
        if self.moved_up.len() >= MOVED_UP_MAX {
            self.remove_moved_up();
        }
    }

    /// Removes what was moved up, and what lay too deep in that; not within itself, so that it holds two trees open.
    fn remove_moved_up(&mut self) {
        if std::mem::replace(&mut self.is_among_moved, true) {
            return;
        }
        while !self.cancel.is_cancelled()
            && let Some(name) = self.moved_up.pop()
        {
            self.entry(&name, Kind::Dir);
        }
        self.is_among_moved = false;
    }

    fn leave(&mut self, levels: &mut Vec<Level>) {
        let Some(Level { name, stays, .. }) = levels.pop() else { return };
        if stays {
            levels.iter_mut().for_each(|level| level.stays = true);
            return;
        }
        let removed = levels.last().map_or(self.trash, |level| &level.dir).remove_dir(&name);
        self.note(levels, removed);
    }

    /// Takes a result; a failure is kept with its path, and the folders that are open stay.
    fn note<T>(&mut self, levels: &mut [Level], result: Result<T, PathError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = levels.iter().rev().fold(error, |error, level| error.under(&level.name));
                self.failures.push(error.under(&self.path));
                levels.iter_mut().for_each(|level| level.stays = true);
                None
            }
        }
    }
}

fn remove_file(dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    match dir.unlink(name) {
        Err(e) if e.fault() != Faults::Vanished => Err(e),
        _ => Ok(()),
    }
}

/// Opens a folder; one without write permission (a source's own mode) gets it first.
fn open_writable(holder: &Dir, name: &[u8]) -> Result<Dir, PathError> {
    let dir = match holder.open_dir(name) {
        Err(e) if e.fault() == Faults::Denied => {
            holder.set_mode(name, 0o700)?;
            holder.open_dir(name)?
        }
        other => other?,
    };
    if dir.metadata().under(name)?.mode.is_some_and(|m| m & 0o300 != 0o300) {
        dir.set_mode(b"", 0o700).under(name)?;
    }
    Ok(dir)
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
        let failures = empty(&target, &Cancel::default()).unwrap();
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
        assert_eq!(empty(&target, &cancelled).unwrap().count, 0);
        assert_eq!((renames(), trash.list().unwrap().len()), (before, 3));
        let failures = empty(&target, &Cancel::default()).unwrap();
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
        let failures = empty(&target, &Cancel::default()).unwrap();
        assert_eq!((failures.count, failures.first.len()), (2, 2));
        let first = failures.first[0].to_string();
        assert!(first.starts_with("cannot remove ") && first.ends_with("/.hardback/trash/a/sub/stuck"), "{first}");
        let names = |dir: &Dir| dir.list().unwrap().iter().map(|e| e.name.to_vec()).collect::<Vec<_>>();
        assert_eq!(names(&trash), [b"a", b"c"]);
        assert_eq!(names(&trash.open_dir(b"a").unwrap().open_dir(b"sub").unwrap()), [b"stuck"]);
    }
}
