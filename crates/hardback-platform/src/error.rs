//! Errors of the file system with the operation and the path that they belong to.

use std::fmt;
use std::io;

/// An I/O error, what was tried and on which path.
///
/// `Display` says what could not be done; the cause is [`std::error::Error::source`].
#[derive(Debug)]
pub struct PathError {
    /// What was tried, as a verb phrase: "open", "hard link".
    pub op: &'static str,
    /// The path or name as raw bytes; [`PathError::under`] puts the folder before it.
    pub path: Vec<u8>,
    /// The cause.
    pub source: io::Error,
}

impl PathError {
    /// Makes an error from its three parts.
    pub fn new(op: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self { op, path: path.to_vec(), source: source.into() }
    }

    /// Puts a folder before the path; one that is absolute already stays.
    #[must_use]
    pub fn under(mut self, dir: &[u8]) -> Self {
        let native = crate::name::os_str_from_bytes(&self.path);
        let is_absolute = native.is_some_and(|path| std::path::Path::new(&*path).is_absolute());
        if !dir.is_empty() && !is_absolute {
            let mut path = dir.to_vec();
            if !self.path.is_empty() {
                path.push(b'/');
                path.extend_from_slice(&self.path);
            }
            self.path = path;
        }
        self
    }

    /// Returns the kind of the cause.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns which of the faults that the engine reacts to this is.
    pub fn fault(&self) -> Faults {
        Faults::of(&self.source)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.op, crate::path::display(&self.path))
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The faults that the engine reacts to, whatever the system's number for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// The entry does not exist (any more).
    Vanished,
    /// No permission.
    Denied,
    /// This file takes no more hard links.
    TooManyLinks,
    /// No space, no inodes or over quota.
    Full,
    /// The target cannot hold this name.
    BadName,
    /// The name is taken.
    Exists,
    /// The volume or kernel does not know this call.
    Unsupported,
    /// The call crosses volumes.
    OtherVolume,
    /// A symlink stands where none may be followed, or the kind is not the expected one.
    WrongKind,
    /// The device fails.
    Io,
    /// Read-only volume.
    ReadOnly,
    /// Anything else.
    Other,
}

impl Faults {
    /// Classifies an I/O error.
    pub fn of(error: &io::Error) -> Self {
        crate::system::classify(error)
    }

    /// Classifies an error without a number of the system: made by a library, or by a test that runs on every system.
    pub(crate) fn of_kind(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Self::Vanished,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::Unsupported => Self::Unsupported,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Other,
        }
    }
}
