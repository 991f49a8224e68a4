//! The Windows twin: a held directory handle, and calls on its full path and a name.
//!
//! Paths are verbatim (`\\?\`), so they may be long, and names may end with a dot or be called `CON`. Every entry is
//! opened as itself (`FILE_FLAG_OPEN_REPARSE_POINT`) and then asked what it is.
//!
//! Unlike on Unix the path is resolved at each call. While the handle is open NTFS lets nobody rename a folder *above*
//! it; but the folder itself can be renamed and replaced, as the handle shares everything so as not to be in the way of
//! the user. Where the folder itself is opened once more ([`dir::Dir::list`]), that it is still the same one is
//! checked; a call on a name in it is not safe from that. For the same reason a directory cannot be renamed while
//! anything below it is open.
//!
//! What Windows has no call for here (modes, owners, nodes) is an error of kind [`std::io::ErrorKind::Unsupported`].

pub(crate) mod awake;
pub(crate) mod clock;
pub(crate) mod dir;
mod encrypted;
mod facts;
pub(crate) mod file;
pub(crate) mod lock;
mod names;
pub(crate) mod owner;
pub(crate) mod privilege;
pub(crate) mod special;
mod sys;
mod sys_facts;
mod sys_names;
mod token;
pub(crate) mod volume;

use crate::error::Faults;
use crate::metadata::{Attributes, FileId, Kind, Metadata};
use crate::{records, reparse};
use std::fs::File;
use std::io;
use windows_sys::Win32::Foundation as code;
use windows_sys::Win32::Storage::FileSystem as fs;

/// Classifies an error by its number.
pub(crate) fn classify(error: &io::Error) -> Faults {
    let Some(raw) = error.raw_os_error() else {
        return Faults::of_kind(error.kind());
    };
    match u32::try_from(raw).unwrap_or(0) {
        code::ERROR_FILE_NOT_FOUND | code::ERROR_PATH_NOT_FOUND | code::ERROR_DELETE_PENDING => Faults::Vanished,
        code::ERROR_ACCESS_DENIED
        | code::ERROR_SHARING_VIOLATION
        | code::ERROR_LOCK_VIOLATION
        | code::ERROR_PRIVILEGE_NOT_HELD => Faults::Denied,
        code::ERROR_TOO_MANY_LINKS => Faults::TooManyLinks,
        code::ERROR_DISK_FULL | code::ERROR_HANDLE_DISK_FULL | code::ERROR_DISK_QUOTA_EXCEEDED => Faults::Full,
        code::ERROR_INVALID_NAME | code::ERROR_BAD_PATHNAME | code::ERROR_FILENAME_EXCED_RANGE => Faults::BadName,
        code::ERROR_FILE_EXISTS | code::ERROR_ALREADY_EXISTS => Faults::Exists,
        code::ERROR_INVALID_FUNCTION | code::ERROR_NOT_SUPPORTED | code::ERROR_CALL_NOT_IMPLEMENTED => {
            Faults::Unsupported
        }
        code::ERROR_NOT_SAME_DEVICE => Faults::OtherVolume,
        code::ERROR_DIRECTORY
        | code::ERROR_DIRECTORY_NOT_SUPPORTED
        | code::ERROR_STOPPED_ON_SYMLINK
        | code::ERROR_NOT_A_REPARSE_POINT => Faults::WrongKind,
        code::ERROR_CRC
        | code::ERROR_NOT_READY
        | code::ERROR_SEEK
        | code::ERROR_SECTOR_NOT_FOUND
        | code::ERROR_WRITE_FAULT
        | code::ERROR_READ_FAULT
        | code::ERROR_GEN_FAILURE
        | code::ERROR_DEV_NOT_EXIST
        | code::ERROR_NETNAME_DELETED
        | code::ERROR_UNEXP_NET_ERR
        | code::ERROR_IO_DEVICE
        | code::ERROR_DEVICE_NOT_CONNECTED => Faults::Io,
        code::ERROR_WRITE_PROTECT => Faults::ReadOnly,
        _ => Faults::Other,
    }
}

/// Makes the error of a number.
pub(crate) fn os_error(code: u32) -> io::Error {
    io::Error::from_raw_os_error(i32::try_from(code).expect("the numbers are small"))
}

/// The error of what Windows has no call for.
pub(crate) fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// Returns what an open entry is.
pub(crate) fn kind_of(file: &File) -> io::Result<Kind> {
    kind_by_attributes(file, sys::by_handle(file)?.dwFileAttributes)
}

/// Returns what an open entry with these attributes is.
fn kind_by_attributes(file: &File, attributes: u32) -> io::Result<Kind> {
    if attributes & fs::FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        // Volumes without reparse points need not know the call below.
        return Ok(reparse::kind_of(attributes, 0, true));
    }
    let mut attributes_and_tag = [0u64; 1];
    sys::information(file, fs::FileAttributeTagInfo, &mut attributes_and_tag)?;
    let [attributes, tag] = halves(attributes_and_tag[0]);
    Ok(reparse::kind_of(attributes, tag, true))
}

/// Returns the low and the high half.
fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// Returns the number of two halves.
fn whole(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Returns which file this is.
pub(crate) fn id_of(information: &fs::BY_HANDLE_FILE_INFORMATION) -> FileId {
    FileId {
        volume: u64::from(information.dwVolumeSerialNumber),
        file: whole(information.nFileIndexHigh, information.nFileIndexLow),
    }
}

/// Returns what is known about an open entry.
pub(crate) fn metadata_of(file: &File) -> io::Result<Metadata> {
    let information = sys::by_handle(file)?;
    let kind = kind_by_attributes(file, information.dwFileAttributes)?;
    let mut basic = [0u64; 5];
    sys::information(file, fs::FileBasicInfo, &mut basic)?;
    let [_creation, _access, mtime, ctime, _attributes] = basic;
    let mut standard = [0u64; 3];
    sys::information(file, fs::FileStandardInfo, &mut standard)?;
    Ok(Metadata {
        kind,
        size_bytes: match kind {
            Kind::File => whole(information.nFileSizeHigh, information.nFileSizeLow),
            Kind::Symlink => link_text(file)?.len() as u64,
            _ => 0,
        },
        mtime: records::time_of(mtime.cast_signed()),
        // FAT keeps none and says 0.
        ctime: (ctime != 0).then(|| records::time_of(ctime.cast_signed())),
        id: id_of(&information),
        // A volume that has no such ids says one of these of every file: none is told to be another's name.
        nlink: match id_of(&information).file {
            0 | u64::MAX => 1,
            _ => u64::from(information.nNumberOfLinks),
        },
        mode: None,
        owner: None,
        device: None,
        attributes: Attributes::default(),
        raw_of: None,
        // Rounded up: NTFS keeps a small file in less than a block.
        blocks: standard[0].div_ceil(512),
    })
}

/// Returns where an open symlink or junction points.
pub(crate) fn link_text(file: &File) -> io::Result<Vec<u8>> {
    reparse::link_bytes(&sys::reparse_data(file)?).ok_or_else(|| os_error(code::ERROR_NOT_A_REPARSE_POINT))
}
