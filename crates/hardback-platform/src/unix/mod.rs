//! The Unix twin: directory file descriptors and `*at` calls.

pub(crate) mod awake;
pub(crate) mod clock;
pub(crate) mod dir;
pub(crate) mod extents;
pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod ntfs;
pub(crate) mod owner;
pub(crate) mod privilege;
pub(crate) mod special;
pub(crate) mod volume;
pub(crate) mod xattr;

use crate::error::Faults;
use crate::metadata::{Attributes, FileId, Kind, Metadata, Owner, Time};
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

/// An entry is of a kind that cannot be opened as a file.
#[derive(Debug)]
pub(crate) struct WrongKind;

impl std::fmt::Display for WrongKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is no regular file")
    }
}

impl std::error::Error for WrongKind {}

impl From<WrongKind> for std::io::Error {
    fn from(error: WrongKind) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

/// Classifies an error by its number.
pub(crate) fn classify(error: &std::io::Error) -> Faults {
    let Some(raw) = error.raw_os_error() else {
        if error.get_ref().is_some_and(|e| e.is::<WrongKind>()) {
            return Faults::WrongKind;
        }
        return Faults::of_kind(error.kind());
    };
    match Errno::from_raw_os_error(raw) {
        Errno::NOENT => Faults::Vanished,
        Errno::ACCESS | Errno::PERM => Faults::Denied,
        Errno::MLINK => Faults::TooManyLinks,
        Errno::NOSPC | Errno::DQUOT => Faults::Full,
        Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG => Faults::BadName,
        Errno::EXIST => Faults::Exists,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY => Faults::Unsupported,
        Errno::XDEV => Faults::OtherVolume,
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR => Faults::WrongKind,
        // A stale handle is a server or disk that went away, not an entry that is gone.
        Errno::IO | Errno::NXIO | Errno::NODEV | Errno::STALE => Faults::Io,
        Errno::ROFS => Faults::ReadOnly,
        _ => Faults::Other,
    }
}

/// Converts a file type.
pub(crate) fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Unknown => Kind::Other,
    }
}

/// Converts the answer of `statx`.
pub(crate) fn metadata_of(stat: &Statx) -> Metadata {
    let file_type = FileType::from_raw_mode(u32::from(stat.stx_mode));
    let kind = kind_of(file_type);
    let time = |t: &rustix::fs::StatxTimestamp| Time { seconds: t.tv_sec, nanos: t.tv_nsec };
    let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    Metadata {
        kind,
        size_bytes: if matches!(kind, Kind::File | Kind::Symlink) { stat.stx_size } else { 0 },
        mtime: time(&stat.stx_mtime),
        ctime: Some(time(&stat.stx_ctime)),
        id: FileId {
            volume: (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor),
            file: stat.stx_ino,
        },
        nlink: u64::from(stat.stx_nlink),
        mode: Some(u32::from(stat.stx_mode) & 0o7777),
        owner: Some(Owner { uid: stat.stx_uid, gid: stat.stx_gid }),
        device: device.then_some((stat.stx_rdev_major, stat.stx_rdev_minor)),
        // STATX_ATTR_COMPRESSED, _IMMUTABLE, _APPEND and _NODUMP have the numbers of their FS_*_FL.
        attributes: Attributes(u32::try_from(stat.stx_attributes.bits() & 0x74).unwrap_or(0)),
        raw_of: None,
        blocks: stat.stx_blocks,
    }
}
