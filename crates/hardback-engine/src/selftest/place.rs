//! The folder of a selftest: everything is made in it, and it goes when the test does.

use crate::error::Error;
use crate::system::path_bytes;
use crate::target::trash;
use hardback_platform::{Attributes, Dir, Faults, Kind, PathError, Seam};
use std::path::{Path, PathBuf};

/// How the name begins; a random number follows.
const PREFIX: &str = "hardback-selftest-";

/// A folder of our own.
pub(super) struct TestFolder {
    above: Dir,
    name: Vec<u8>,
    path: PathBuf,
}

impl TestFolder {
    /// Makes it in another folder.
    pub(super) fn make(folder: &Path) -> Result<Self, Error> {
        let above = Dir::open(folder, Seam::default())?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|e| Error::refused(format!("no random numbers: {e}"), "ask the system"))?;
        let name = format!("{PREFIX}{:016x}", u64::from_ne_bytes(random));
        above.make_dir(name.as_bytes(), 0o700).map_err(|e| e.under(&path_bytes(folder)))?;
        Ok(Self { above, path: folder.join(&name), name: name.into_bytes() })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Dir, PathError> {
        self.above.open_dir(&self.name)
    }

    /// Makes a folder in it.
    pub(super) fn make_dir(&self, name: &str) -> Result<(Dir, PathBuf), PathError> {
        let dir = self.open()?;
        dir.make_dir(name.as_bytes(), 0o700)?;
        Ok((dir.open_dir(name.as_bytes())?, self.path.join(name)))
    }

    /// Removes it with all that is in it; says what stays.
    pub(super) fn remove(&self) -> Result<Option<String>, Error> {
        let removed = || -> Result<Option<String>, PathError> {
            let dir = self.open()?;
            remove_what_is_in(&dir);
            // What is left is what the simple way could not remove: that says why.
            let failures = trash::empty_folder(&dir, path_bytes(&self.path), &Default::default())?;
            let first = failures.first.first().map(|error| format!("{error}: {}", error.source));
            drop(dir);
            if failures.count == 0 {
                self.above.remove_dir(&self.name)?;
            }
            Ok(first)
        };
        Ok(removed()?)
    }
}

/// Removes all that lets itself be removed: entries that cannot even be looked at are among them.
pub(super) fn remove_what_is_in(dir: &Dir) {
    let Ok(listing) = dir.list() else { return };
    for entry in listing.iter() {
        if entry.kind == Kind::Dir
            && let Ok(inner) = dir.open_dir(entry.name)
        {
            if inner.attributes().0 != 0 {
                inner.set_attributes(b"", Attributes(0)).ok();
            }
            remove_what_is_in(&inner);
            drop(inner);
            dir.remove_dir(entry.name).ok();
        } else {
            remove_entry(dir, entry.name);
        }
    }
}

/// Removes an entry that is no folder, or one that only looks like a folder.
fn remove_entry(dir: &Dir, name: &[u8]) {
    if let Err(error) = dir.unlink(name)
        && error.fault() != Faults::Vanished
    {
        dir.set_attributes(name, Attributes(0)).ok();
        // A junction is a folder to some calls. What stays even so is told by the caller.
        dir.unlink(name).or_else(|_| dir.remove_dir(name)).ok();
    }
}
