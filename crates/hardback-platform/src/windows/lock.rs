//! A kernel lock on an open file: it dies with the process.

use crate::error::PathError;
use crate::seam::Op;
use crate::system::dir::Dir;
use crate::system::{file, sys};
use std::fs::File;

/// An exclusive lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock on the file `name` of a directory, creating it; `Ok(None)` when another process has it.
    ///
    /// `info` is written into the file for messages only; the lock is the kernel's.
    pub fn try_take(dir: &Dir, name: &[u8], info: &[u8]) -> Result<Option<Self>, PathError> {
        Self::take_as(dir, name, info, sys::IfLocked::Fail)
    }

    /// Takes the lock as [`Lock::try_take`] does, and waits for it: for locks that are held for moments.
    pub fn take(dir: &Dir, name: &[u8], info: &[u8]) -> Result<Self, PathError> {
        loop {
            if let Some(lock) = Self::take_as(dir, name, info, sys::IfLocked::Wait)? {
                return Ok(lock);
            }
        }
    }

    /// Takes a share of the lock, which others may have too; waits while somebody has it whole.
    pub fn share(dir: &Dir, name: &[u8]) -> Result<Self, PathError> {
        let fail = |e| PathError::new("lock", name, e);
        dir.seam().pass(Op::Lock, name, dir.handle()).map_err(fail)?;
        let file = dir.open_or_create(name).map_err(fail)?;
        while !sys::lock_far_byte(&file, sys::IfLocked::WaitToShare).map_err(fail)? {}
        Ok(Self { file })
    }

    fn take_as(dir: &Dir, name: &[u8], info: &[u8], how: sys::IfLocked) -> Result<Option<Self>, PathError> {
        let fail = |e| PathError::new("lock", name, e);
        dir.seam().pass(Op::Lock, name, dir.handle()).map_err(fail)?;
        let file = dir.open_or_create(name).map_err(fail)?;
        if !sys::lock_far_byte(&file, how).map_err(fail)? {
            return Ok(None);
        }
        let lock = Self { file };
        // For messages only, and a full volume has no room for it.
        lock.file.set_len(0).ok();
        file::write_all_at(&lock.file, info, 0).ok();
        Ok(Some(lock))
    }

    /// On Windows a lock belongs to a process: programs that it starts never hold it.
    pub fn let_children_hold(&self, _hold: bool) -> std::io::Result<()> {
        Ok(())
    }

    /// Returns what the present holder wrote about itself.
    pub fn holder(dir: &Dir, name: &[u8]) -> Option<String> {
        dir.open_file(name).ok()?.read_to_vec(4096).ok().map(|b| String::from_utf8_lossy(&b).trim().to_owned())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing unlocks; the text would only mislead.
        self.file.set_len(0).ok();
    }
}
