//! A target: the place that holds snapshots. Opened once, by handle; everything goes through that handle.

mod create;
pub(crate) mod escape;
pub(crate) mod layout;
pub(crate) mod trash;

pub use create::{Initialised, Opened, find_target, init_target, open_or_create_target, open_target};

use crate::clock::timestamp;
use crate::context::Context;
use crate::error::{Error, UnderPath};
use hardback_platform::{Dir, Faults, FileWrite, Lock, PathError};
use std::path::PathBuf;

/// Mode of the folders that gate a target: set-user-id programs in it are nobody's but the owner's to run.
pub(crate) const PRIVATE_DIR: u32 = 0o700;

/// Returns what a run leaves in a lock for others to read: what it does, and who it is.
pub(crate) fn holder_words(ctx: &Context<'_>, what: &str) -> String {
    format!("{what}, process {}, since {}\n", std::process::id(), timestamp(ctx.clock.now()))
}

/// How often the lock of the target is tried: who asks whether somebody has it has it for a moment.
const LOCK_ATTEMPTS: u32 = 20;

/// An open target.
#[derive(Debug)]
pub struct Target {
    /// The path that the user gave, for messages.
    pub path: PathBuf,
    /// Random id of the target.
    pub id: String,
    pub(crate) root: Dir,
    pub(crate) ours: Dir,
}

impl Target {
    /// Returns the path below the target, for messages.
    pub(crate) fn shown_path(&self, names: &[&[u8]]) -> Vec<u8> {
        let mut path = crate::system::path_bytes(&self.path);
        for name in names {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// Returns the path of a folder of ours, for messages.
    pub(crate) fn ours_path(&self, names: &[&[u8]]) -> Vec<u8> {
        self.shown_path(&[&[layout::OURS], names].concat())
    }

    /// Opens a folder of ours, making what is missing.
    pub(crate) fn ours_dir(&self, names: &[&[u8]]) -> Result<Dir, PathError> {
        let mut dir = self.ours.try_clone().under(&self.ours_path(&[]))?;
        for (depth, name) in names.iter().enumerate() {
            dir = open_or_make_dir(&dir, name, PRIVATE_DIR).under(&self.ours_path(&names[..depth]))?;
        }
        Ok(dir)
    }

    /// Opens a folder of ours if it is there.
    pub(crate) fn ours_dir_if_any(&self, names: &[&[u8]]) -> Result<Option<Dir>, PathError> {
        let mut dir = self.ours.try_clone().under(&self.ours_path(&[]))?;
        for (depth, name) in names.iter().enumerate() {
            dir = match dir.open_dir(name) {
                Ok(dir) => dir,
                Err(e) if e.fault() == Faults::Vanished => return Ok(None),
                Err(e) => return Err(e.under(&self.ours_path(&names[..depth]))),
            };
        }
        Ok(Some(dir))
    }

    /// Opens the folder of a job if it is there.
    pub(crate) fn job_dir_if_any(&self, job: &str) -> Result<Option<Dir>, PathError> {
        match self.root.open_dir(job.as_bytes()) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.fault() == Faults::Vanished => Ok(None),
            Err(e) => Err(e.under(&self.shown_path(&[]))),
        }
    }

    /// Takes the lock of the target.
    pub(crate) fn lock(&self, info: &str) -> Result<Lock, Error> {
        for _ in 0..LOCK_ATTEMPTS {
            if let Some(lock) = Lock::try_take(&self.ours, layout::LOCK, info.as_bytes()).under(&self.ours_path(&[]))? {
                return Ok(lock);
            }
            std::thread::yield_now();
        }
        Err(Error::Locked { holder: self.named_holder() })
    }

    /// Keeps snapshots from being removed while they are read. Where nothing can be locked, as on a target that this user
    /// may only read, nothing is kept.
    pub(crate) fn share(&self) -> Option<Lock> {
        Lock::share(&self.ours, layout::READERS_LOCK).ok()
    }

    /// Takes what removing snapshots needs: that nobody reads them at length. `None` while somebody does.
    pub(crate) fn keep_readers_out(&self) -> Result<Option<Lock>, Error> {
        Ok(Lock::try_take(&self.ours, layout::READERS_LOCK, b"").under(&self.ours_path(&[]))?)
    }

    /// Returns what the run that is at work says of itself, if there is one.
    pub(crate) fn holder(&self) -> Option<String> {
        let holder = self.named_holder()?;
        // A run that was killed leaves its words and no lock. Where nothing can be locked nothing is at work.
        matches!(Lock::try_take(&self.ours, layout::LOCK, b""), Ok(None)).then_some(holder)
    }

    fn named_holder(&self) -> Option<String> {
        Lock::holder(&self.ours, layout::LOCK).filter(|holder| !holder.is_empty())
    }
}

/// Opens a subdirectory, making it if it is missing.
pub(crate) fn open_or_make_dir(dir: &Dir, name: &[u8], mode: u32) -> Result<Dir, PathError> {
    match dir.open_dir(name) {
        Err(e) if e.fault() == Faults::Vanished => {
            match dir.make_dir(name, mode) {
                Err(e) if e.fault() != Faults::Exists => return Err(e),
                _ => {}
            }
            dir.open_dir(name)
        }
        other => other,
    }
}

/// Writes a small file whole: a temporary name, sync, rename over the old, sync of the folder.
pub(crate) fn replace_file(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<(), PathError> {
    let temporary = temporary_name(name);
    drop(write_temporary(dir, name, bytes)?);
    dir.rename_over(&temporary, dir, name)?;
    dir.sync()
}

/// Writes a small file whole as [`replace_file`] does, and keeps it open, to be written over.
pub(crate) fn replace_file_and_keep(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<FileWrite, PathError> {
    let file = write_temporary(dir, name, bytes)?;
    dir.rename_over(&temporary_name(name), dir, name)?;
    dir.sync()?;
    Ok(file)
}

/// Makes the file that a small file is until it is whole, in the place of one that a run which was cut off left.
pub(crate) fn create_temporary(dir: &Dir, name: &[u8], mode: u32) -> Result<FileWrite, PathError> {
    let temporary = temporary_name(name);
    dir.unlink(&temporary).or_else(trash::unless_gone)?;
    dir.create_file(&temporary, mode)
}

fn write_temporary(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<FileWrite, PathError> {
    let file = create_temporary(dir, name, 0o644)?;
    file.write_all_at(bytes, 0).map_err(|e| e.under(name))?;
    file.sync().map_err(|e| e.under(name))?;
    Ok(file)
}

/// Returns the name that a small file has until it is whole.
pub(crate) fn temporary_name(name: &[u8]) -> Vec<u8> {
    [name, b".new"].concat()
}
