//! A kernel lock on an open file: it dies with the process.

use crate::error::PathError;
use crate::seam::Op;
use crate::system::dir::Dir;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use std::os::fd::OwnedFd;

/// An exclusive lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock on the file `name` of a directory, creating it; `Ok(None)` when another process has it.
    ///
    /// `info` is written into the file for messages only; the lock is the kernel's.
    pub fn try_take(dir: &Dir, name: &[u8], info: &[u8]) -> Result<Option<Self>, PathError> {
        Self::take_as(dir, name, info, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock as [`Lock::try_take`] does, and waits for it: for locks that are held for moments.
    pub fn take(dir: &Dir, name: &[u8], info: &[u8]) -> Result<Self, PathError> {
        loop {
            match Self::take_as(dir, name, info, FlockOperation::LockExclusive) {
                Ok(Some(lock)) => return Ok(lock),
                // A signal came; its handler may end the process.
                Err(e) if e.source.kind() != std::io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
    }

    /// Takes a share of the lock, which others may have too; waits while somebody has it whole.
    pub fn share(dir: &Dir, name: &[u8]) -> Result<Self, PathError> {
        let fail = |e: std::io::Error| PathError::new("lock", name, e);
        dir.seam().pass(Op::Lock, name, dir.handle()).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = match openat(dir.fd(), name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => openat(dir.fd(), name, flags | OFlags::CREATE, Mode::from_raw_mode(0o600)),
            other => other,
        };
        let file = opened.map_err(|e| fail(e.into()))?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockShared)).map_err(|e| fail(e.into()))?;
        Ok(Self { file })
    }

    fn take_as(dir: &Dir, name: &[u8], info: &[u8], how: FlockOperation) -> Result<Option<Self>, PathError> {
        let fail = |e: std::io::Error| PathError::new("lock", name, e);
        dir.seam().pass(Op::Lock, name, dir.handle()).map_err(fail)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(dir.fd(), name, flags, Mode::from_raw_mode(0o600)).map_err(|e| fail(e.into()))?;
        match flock(&file, how) {
            Ok(()) => {}
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => return Ok(None),
            Err(e) => return Err(fail(e.into())),
        }
        // For messages only, and a full volume has no room for it.
        rustix::fs::ftruncate(&file, 0).ok();
        rustix::io::pwrite(&file, info, 0).ok();
        Ok(Some(Self { file }))
    }

    /// Lets programs that are started from now on hold the lock too, or not any more. It is free when all have ended, or
    /// this lock is dropped.
    pub fn let_children_hold(&self, hold: bool) -> std::io::Result<()> {
        let flags = if hold { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
        Ok(rustix::io::fcntl_setfd(&self.file, flags)?)
    }

    /// Returns what the present holder wrote about itself.
    pub fn holder(dir: &Dir, name: &[u8]) -> Option<String> {
        dir.open_file(name).ok()?.read_to_vec(4096).ok().map(|b| String::from_utf8_lossy(&b).trim().to_owned())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The text would only mislead. Closing unlocks, but not while a process that this one is just starting still has
        // a copy of the handle.
        rustix::fs::ftruncate(&self.file, 0).ok();
        flock(&self.file, FlockOperation::Unlock).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::Seam;

    #[test]
    fn a_dropped_lock_is_free_though_a_child_has_a_copy_of_the_handle() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        let lock = Lock::try_take(&dir, b"lock", b"first").unwrap().expect("nobody has it");
        let copy_of_a_child = rustix::io::dup(&lock.file).unwrap();
        assert!(Lock::try_take(&dir, b"lock", b"second").unwrap().is_none());
        drop(lock);
        assert!(Lock::try_take(&dir, b"lock", b"second").unwrap().is_some());
        drop(copy_of_a_child);
    }

    #[test]
    fn shares_exclude_only_who_wants_it_whole() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        let shares = [0, 1].map(|_| Lock::share(&dir, b"lock").unwrap());
        assert!(Lock::try_take(&dir, b"lock", b"").unwrap().is_none());
        drop(shares);
        assert!(Lock::try_take(&dir, b"lock", b"").unwrap().is_some());
    }

    #[test]
    fn who_waits_for_a_lock_gets_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        let lock = Lock::take(&dir, b"lock", b"first").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::take(&dir, b"lock", b"second").unwrap());
            drop(lock);
            drop(waiting.join().unwrap());
        });
        assert!(Lock::try_take(&dir, b"lock", b"third").unwrap().is_some());
    }
}
