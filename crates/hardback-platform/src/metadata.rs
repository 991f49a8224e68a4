//! What is known about an entry: an open record in which each system fills what it has.

use crate::error::PathError;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Unix socket.
    Socket,
    /// Entry of NTFS of which there is nothing but a reparse point: a file that is in a cloud only, an alias of a
    /// program, a socket.
    Reparse,
    /// Something that this system does not name or cannot read (a file that a driver of Windows unpacks, a whiteout).
    Other,
}

impl Kind {
    /// Returns whether an entry has permission bits of its own.
    pub fn has_mode(self) -> bool {
        !matches!(self, Self::Symlink | Self::Reparse)
    }
}

/// A point in time: seconds since 1970 UTC and nanoseconds (0 to 999,999,999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01 00:00:00 UTC, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// Numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Which file this is on its volume, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId {
    /// The volume (`st_dev`; the volume serial number on Windows). Changes over reboots and remounts.
    pub volume: u64,
    /// The file (`st_ino`; the NTFS file id).
    pub file: u64,
}

/// Attribute bits that a file system keeps beside the mode (`chattr` on Linux).
///
/// The numbers are Linux's `FS_*_FL` of `<linux/fs.h>`, so they travel in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Attributes(pub u32);

impl Attributes {
    /// `FS_SECRM_FL` … the bits that a user may set and that make sense elsewhere; all others are dropped.
    pub const KEPT: u32 = Self::SYNC
        | Self::IMMUTABLE
        | Self::APPEND
        | Self::NODUMP
        | Self::NOATIME
        | Self::DIRSYNC
        | Self::NOCOW
        | Self::COMPRESS
        | Self::JOURNAL_DATA
        | Self::NOTAIL
        | Self::TOPDIR;
    /// Compress.
    pub const COMPRESS: u32 = 0x0000_0004;
    /// Synchronous updates.
    pub const SYNC: u32 = 0x0000_0008;
    /// Immutable.
    pub const IMMUTABLE: u32 = 0x0000_0010;
    /// Append only.
    pub const APPEND: u32 = 0x0000_0020;
    /// No dump.
    pub const NODUMP: u32 = 0x0000_0040;
    /// No access time updates.
    pub const NOATIME: u32 = 0x0000_0080;
    /// Data journalling.
    pub const JOURNAL_DATA: u32 = 0x0000_4000;
    /// No tail merging.
    pub const NOTAIL: u32 = 0x0000_8000;
    /// Synchronous directory updates.
    pub const DIRSYNC: u32 = 0x0001_0000;
    /// Top of a directory hierarchy.
    pub const TOPDIR: u32 = 0x0002_0000;
    /// No copy-on-write.
    pub const NOCOW: u32 = 0x0080_0000;

    /// Names of the kept bits, as libarchive spells them.
    pub const NAMES: [(u32, &'static str); 11] = [
        (Self::COMPRESS, "compress"),
        (Self::SYNC, "sync"),
        (Self::IMMUTABLE, "schg"),
        (Self::APPEND, "sappnd"),
        (Self::NODUMP, "nodump"),
        (Self::NOATIME, "noatime"),
        (Self::JOURNAL_DATA, "journal-data"),
        (Self::NOTAIL, "notail"),
        (Self::DIRSYNC, "dirsync"),
        (Self::TOPDIR, "topdir"),
        (Self::NOCOW, "nocow"),
    ];
}

/// Extended attributes by full name (`user.note`, `system.posix_acl_access`), sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Extended attributes, as far as they could be read.
#[derive(Debug)]
pub struct XattrsRead {
    /// Those that could.
    pub xattrs: Xattrs,
    /// Why others are missing; the first reason.
    pub lost: Option<PathError>,
}

/// What one call tells about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes of a file's content or of a symlink's text; 0 for others.
    pub size_bytes: u64,
    /// Time of the last change of the content.
    pub mtime: Time,
    /// Time of the last change of the inode, where the volume has it.
    pub ctime: Option<Time>,
    /// Which file it is.
    pub id: FileId,
    /// Number of names of this file.
    pub nlink: u64,
    /// Permission bits with set-user-id, set-group-id and sticky (octal 0 to 7777), where there are any.
    pub mode: Option<u32>,
    /// Owner and group, where there are any.
    pub owner: Option<Owner>,
    /// Device number (major, minor) of a device entry.
    pub device: Option<(u32, u32)>,
    /// Attribute bits that the same call tells (Linux: immutable, append, nodump, compress); the rest needs
    /// [`crate::FileRead::attributes`].
    pub attributes: Attributes,
    /// The content is the raw stream of an encrypted file, which has so many bytes for who can read it.
    pub raw_of: Option<u64>,
    /// 512-byte blocks that are allocated; fewer than the size for a sparse file.
    pub blocks: u64,
}
