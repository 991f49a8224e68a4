//! Volumes by the name of their file system.

use crate::system::sys;
use crate::volume::{NTFS_LINKS_MAX, VolumeKind, VolumeTraits};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use windows_sys::Win32::Storage::FileSystem as fs;

/// Returns what the volume of an open entry can be relied on for.
pub(crate) fn traits_of(file: &File) -> io::Result<VolumeTraits> {
    let name = sys::file_system_name(file)?;
    let name = name.to_string_lossy();
    let ntfs = name.eq_ignore_ascii_case("NTFS");
    // A server names its own file system; ids over the wire are only as good as the server.
    let kind = if is_remote(file) {
        VolumeKind::Network
    } else if ntfs {
        VolumeKind::Ntfs
    } else if ["FAT", "FAT12", "FAT16", "FAT32", "exFAT"].iter().any(|fat| name.eq_ignore_ascii_case(fat)) {
        VolumeKind::Fat
    } else {
        VolumeKind::Other
    };
    Ok(VolumeTraits {
        pool: None,
        hides_streams: false,
        kind,
        // ReFS ids have 128 bits and need not fit the 64 that are kept.
        stable_ids: kind == VolumeKind::Ntfs,
        // NTFS keeps a change time, but a program may set it back (FILE_BASIC_INFO), and it has not been seen on a
        // real Windows which changes move it; Wine answers the ctime of the Unix below.
        reliable_ctime: false,
        links_max: ntfs.then_some(NTFS_LINKS_MAX),
    })
}

/// Returns whether an open entry is on a server.
fn is_remote(file: &File) -> bool {
    // FILE_REMOTE_PROTOCOL_INFO has 116 bytes; the call fails for a local file.
    let mut buffer = [0u64; 15];
    sys::information(file, fs::FileRemoteProtocolInfo, &mut buffer).is_ok()
}

/// Returns the path by which the whole volume of a folder is opened, as a device.
pub(crate) fn device_path(dir: &OsStr) -> io::Result<OsString> {
    let mount_point = sys::mount_point(dir)?;
    let text = mount_point.to_string_lossy();
    let letter = text.trim_start_matches(r"\\?\");
    if let [drive, b':', b'\\'] = letter.as_bytes()
        && drive.is_ascii_alphabetic()
    {
        return Ok(format!(r"\\.\{}:", char::from(*drive)).into());
    }
    // Mounted in a folder: the volume has a name of its own. With the last `\` it would be the root folder.
    let name = sys::volume_name(&mount_point)?;
    Ok(name.to_string_lossy().trim_end_matches('\\').into())
}
