//! Files and volumes of this operating system, by handle.
//!
//! The only crate of hardback that touches the file system, and the only place for `cfg(unix)` and `cfg(windows)`.
//! Everything goes through a [`Dir`]: a handle to an open directory and calls that take one name in it, so that no
//! path string is resolved twice and nobody can swap a directory for a link between two calls. Each call asks the
//! [`seam::Seam`] of its handle first; tests count, fail and record there. (On Windows a name is looked up by the
//! directory's path, with less of that safety; the twin says how much.)
//!
//! The twins `unix` and `windows` have one signature set; what a system lacks is an error of kind
//! [`std::io::ErrorKind::Unsupported`], never a silent success.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this crate is the one that the bans point to")]

mod acl;
pub mod error;
mod listing;
pub mod metadata;
pub mod name;
pub mod ntfs;
pub mod path;
mod read;
#[cfg(any(windows, test))]
mod records;
pub mod reparse;
mod rights;
pub mod seam;
mod volume;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

pub use error::{Faults, PathError};
pub use listing::{ListedEntry, Listing};
pub use metadata::{Attributes, FileId, Kind, Metadata, Owner, Time, Xattrs, XattrsRead};
pub use path::RelPath;
pub use rights::MissingRights;
pub use seam::{Call, Op, Seam, Verdict, Watch};
pub use system::awake::KeepAwake;
pub use system::clock::{local_host_name, monotonic_now, now};
pub use system::dir::Dir;
pub use system::file::{FileRead, FileWrite};
pub use system::lock::Lock;
pub use system::owner::{group_id, group_name, user_id, user_name};
pub use system::privilege::{
    Inherited, clear_umask, is_privileged, lower_thread_priority, missing_rights, raise_open_file_limit,
};
pub use system::special::{Held, encrypt, hold_exclusively, system_version};
/// Whether this system has the content of a placeholder fetched when it is read.
pub const FETCHES_PLACEHOLDERS: bool = cfg!(windows);

/// Whether a folder that a volume is mounted in is a link here, which nobody follows; elsewhere it is a folder.
pub const MOUNTS_ARE_LINKS: bool = cfg!(windows);

/// Whether a symlink to a folder can be renamed over as any other entry can; elsewhere it is a folder itself.
pub const REPLACES_LINKS_TO_FOLDERS: bool = cfg!(unix);

/// Whether this system has the raw stream of an encrypted file for everybody who may back it up.
pub const EXPORTS_ENCRYPTED: bool = cfg!(windows);

pub use volume::{FreeSpace, VolumeKind, VolumeTraits};
