//! What was begun and must be removed: a small file for each set of shadow copies, written before the first of them is
//! made, and a kernel lock beside it that tells whether its owner lives.
//!
//! The lock says more than a process number: it holds in containers, after the number was used again, and as long as a
//! program that was started with the views still reads them. What is not on record is never removed.

use crate::error::ShadowError;
use crate::provider::{Copy, NAME_PREFIX};
use hardback_platform::{Dir, Faults, Lock, PathError, Seam};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest record that is read, in bytes.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// How the name of a record ends.
const RECORD_SUFFIX: &str = ".toml";
/// How the name of a lock ends.
const LOCK_SUFFIX: &str = ".lock";
/// Mode of the folder and of what is in it.
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// What a set was meant to consist of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The set's id, which is part of the names of its copies.
    pub id: String,
    /// Which start of the computer it was made in.
    pub boot_id: String,
    /// Process that made it.
    pub pid: u32,
    /// When, in seconds since 1970.
    pub created_s: i64,
    /// What for: a job, a command.
    pub purpose: String,
    /// The copies, each of which may or may not have been made.
    pub copies: Vec<Copy>,
}

/// The folder of the records.
#[derive(Debug, Clone)]
pub struct Records {
    path: PathBuf,
}

/// A record whose owner is this process, or was until it ended.
#[derive(Debug)]
pub(crate) struct Owned {
    dir: Dir,
    pub(crate) record: Record,
    lock: Lock,
}

/// A set that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The record.
    pub record: Record,
    /// Whether somebody still uses it.
    pub is_in_use: bool,
}

impl Records {
    /// Keeps records in a folder, which is made when it is needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes a record and takes its lock.
    ///
    /// # Errors
    /// The folder cannot be written to: without a record nothing is frozen.
    pub(crate) fn begin(&self, record: Record) -> Result<Owned, ShadowError> {
        let dir = open_or_make(&self.path).map_err(|e| at(&self.path, e))?;
        let dir = self.checked(dir)?;
        let lock_name = [record.id.as_bytes(), LOCK_SUFFIX.as_bytes()].concat();
        let lock = Lock::try_take(&dir, &lock_name, b"").map_err(|e| at(&self.path, e))?;
        let lock = lock.ok_or_else(|| ShadowError::refused("the id of a new set is taken", "try again"))?;
        let owned = Owned { dir, record, lock };
        owned.write().map_err(|e| at(&self.path, e))?;
        // A sweep may have taken the lock for a leftover between its making and our taking it.
        match Lock::try_take(&owned.dir, &owned.lock_name(), b"").map_err(|e| at(&self.path, e))? {
            None => Ok(owned),
            Some(_) => Err(ShadowError::refused("another run took the lock of this one for a leftover", "try again")),
        }
    }

    /// Lists what is on record. A record that cannot be read is an error beside the others.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<(Vec<Listed>, Vec<ShadowError>), ShadowError> {
        let (mut listed, mut unread) = (Vec::new(), Vec::new());
        let Some(dir) = self.dir()? else { return Ok((listed, unread)) };
        for name in record_names(&dir).map_err(|e| at(&self.path, e))? {
            match self.read(&dir, &name) {
                Ok(Some(record)) => {
                    let lock_name = [record.id.as_bytes(), LOCK_SUFFIX.as_bytes()].concat();
                    let lock = Lock::try_take(&dir, &lock_name, b"").map_err(|e| at(&self.path, e))?;
                    listed.push(Listed { record, is_in_use: lock.is_none() });
                }
                Ok(None) => {}
                Err(error) => unread.push(error),
            }
        }
        listed.sort_by(|a, b| (a.record.created_s, &a.record.id).cmp(&(b.record.created_s, &b.record.id)));
        Ok((listed, unread))
    }

    /// Takes over all records whose owners are gone.
    pub(crate) fn take_over(&self) -> Result<(Vec<Owned>, Vec<ShadowError>), ShadowError> {
        let (mut owned, mut unread) = (Vec::new(), Vec::new());
        let Some(dir) = self.dir()? else { return Ok((owned, unread)) };
        clear_up(&dir).map_err(|e| at(&self.path, e))?;
        for name in record_names(&dir).map_err(|e| at(&self.path, e))? {
            let id = &name[..name.len() - RECORD_SUFFIX.len()];
            let lock_name = [id, LOCK_SUFFIX.as_bytes()].concat();
            let Some(lock) = Lock::try_take(&dir, &lock_name, b"").map_err(|e| at(&self.path, e))? else { continue };
            // It may have been released between the listing and the lock.
            match self.read(&dir, &name) {
                Ok(Some(record)) => {
                    let dir = dir.try_clone().map_err(|e| at(&self.path, e))?;
                    owned.push(Owned { dir, record, lock });
                }
                Ok(None) => drop(dir.unlink(&lock_name)),
                Err(error) => unread.push(error),
            }
        }
        Ok((owned, unread))
    }

    fn dir(&self) -> Result<Option<Dir>, ShadowError> {
        match Dir::open(&self.path, Seam::default()) {
            Ok(dir) => self.checked(dir).map(Some),
            Err(error) if error.fault() == Faults::Vanished => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a folder that another user may write records into: they say what is removed.
    fn checked(&self, dir: Dir) -> Result<Dir, ShadowError> {
        let metadata = dir.metadata().map_err(|e| at(&self.path, e))?;
        let is_closed = metadata.mode.is_none_or(|mode| mode & 0o022 == 0);
        // Where there are owners, a file of ours tells whose we are.
        let is_ours = match metadata.owner {
            Some(owner) if hardback_platform::is_privileged() => owner.uid == 0,
            _ => true,
        };
        if is_closed && is_ours {
            return Ok(dir);
        }
        Err(ShadowError::refused(
            format!("others may write to {}, where the records of shadow copies are", self.path.display()),
            "let it belong to root with mode 0700, or set HARDBACK_STATE_DIR to such a folder",
        ))
    }

    /// Reads a record; `None` where it is gone by now.
    fn read(&self, dir: &Dir, name: &[u8]) -> Result<Option<Record>, ShadowError> {
        let bytes = match dir.open_file(name).and_then(|file| file.read_to_vec(RECORD_BYTES_MAX)) {
            Ok(bytes) => bytes,
            Err(error) if error.fault() == Faults::Vanished => return Ok(None),
            Err(error) => return Err(at(&self.path, error)),
        };
        let shown = || self.path.join(String::from_utf8_lossy(name).as_ref()).display().to_string();
        let damaged = |why: String| {
            let hint = "look for what is named hardback-shadow on your volumes, remove it by hand, then this file";
            ShadowError::refused(format!("{} is no record of a shadow copy: {why}", shown()), hint)
        };
        let text = String::from_utf8(bytes).map_err(|e| damaged(e.to_string()))?;
        let record: Record = toml::from_str(&text).map_err(|e| damaged(e.message().to_owned()))?;
        let is_named_so = name.strip_suffix(RECORD_SUFFIX.as_bytes()) == Some(record.id.as_bytes());
        // Whatever stands in a record: nothing is removed that does not have one of our names.
        let prefix = format!("{NAME_PREFIX}{}-", record.id);
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let is_ours = |copy: &Copy| copy.name.strip_prefix(&prefix).is_some_and(is_number);
        let is_id = record.id.len() == ID_DIGITS && record.id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_named_so || !is_id || !record.copies.iter().all(is_ours) {
            return Err(damaged("its names are not ours".into()));
        }
        Ok(Some(record))
    }
}

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 16;

/// Makes an id that no other set has.
pub(crate) fn new_id() -> Result<String, ShadowError> {
    let mut bytes = [0; ID_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|e| ShadowError::system("get random numbers", std::io::Error::other(e)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Owned {
    /// Writes the record anew, for what is left to be removed.
    pub(crate) fn write(&self) -> Result<(), PathError> {
        let name = self.name();
        let temporary = [&name[..], b".new"].concat();
        let text = toml::to_string(&self.record).map_err(std::io::Error::other);
        let text = text.map_err(|e| PathError::new("write", &name, e))?;
        match self.dir.unlink(&temporary) {
            Err(error) if error.fault() != Faults::Vanished => return Err(error),
            _ => {}
        }
        let file = self.dir.create_file(&temporary, PRIVATE_FILE)?;
        file.write_all_at(text.as_bytes(), 0).map_err(|e| e.under(&temporary))?;
        file.sync().map_err(|e| e.under(&temporary))?;
        drop(file);
        self.dir.rename_over(&temporary, &self.dir, &name)?;
        self.dir.sync()
    }

    /// Removes the record: nothing is left that it tells of.
    pub(crate) fn end(self) -> Result<(), PathError> {
        self.dir.unlink(&self.name())?;
        // Windows removes no file that is open.
        let lock_name = [self.record.id.as_bytes(), LOCK_SUFFIX.as_bytes()].concat();
        drop(self.lock);
        self.dir.unlink(&lock_name).ok();
        Ok(())
    }

    /// Lets programs that are started from now on hold the lock too, or not any more.
    pub(crate) fn let_children_hold(&self, hold: bool) -> std::io::Result<()> {
        self.lock.let_children_hold(hold)
    }

    fn lock_name(&self) -> Vec<u8> {
        [self.record.id.as_bytes(), LOCK_SUFFIX.as_bytes()].concat()
    }

    fn name(&self) -> Vec<u8> {
        [self.record.id.as_bytes(), RECORD_SUFFIX.as_bytes()].concat()
    }
}

/// Removes what runs left that were killed before their record was there, or right after it went.
fn clear_up(dir: &Dir) -> Result<(), PathError> {
    let listing = dir.list()?;
    for entry in listing.iter().filter(|entry| entry.name.ends_with(LOCK_SUFFIX.as_bytes())) {
        let id = &entry.name[..entry.name.len() - LOCK_SUFFIX.len()];
        let record = [id, RECORD_SUFFIX.as_bytes()].concat();
        if listing.iter().any(|other| other.name == record) {
            continue;
        }
        // Whoever has it is just beginning.
        let Some(lock) = Lock::try_take(dir, entry.name, b"")? else { continue };
        if dir.stat(&record).is_err() {
            dir.unlink(&[&record[..], b".new"].concat()).ok();
            // Before it is let go: whoever waits for it finds that it has no name any more. (Windows removes no open file.)
            if dir.unlink(entry.name).is_err() {
                drop(lock);
                dir.unlink(entry.name).ok();
            }
        }
    }
    Ok(())
}

fn record_names(dir: &Dir) -> Result<Vec<Vec<u8>>, PathError> {
    let listing = dir.list()?;
    let names = listing.iter().map(|entry| entry.name.to_vec());
    Ok(names.filter(|name| name.ends_with(RECORD_SUFFIX.as_bytes()) && name.is_ascii()).collect())
}

fn at(path: &Path, error: PathError) -> ShadowError {
    error.under(path.as_os_str().as_encoded_bytes()).into()
}

fn open_or_make(path: &Path) -> Result<Dir, PathError> {
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, name.as_encoded_bytes()),
        _ => return Dir::open(path, Seam::default()),
    };
    match Dir::open(path, Seam::default()) {
        Err(error) if error.fault() == Faults::Vanished => {
            let parent = open_or_make(parent)?;
            match parent.make_dir(name, PRIVATE_DIR) {
                // Another run was faster.
                Err(error) if error.fault() != Faults::Exists => return Err(error),
                _ => {}
            }
            parent.open_dir(name)
        }
        other => other,
    }
}
