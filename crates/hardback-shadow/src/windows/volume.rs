//! Which volume a folder lies on.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::error::ShadowError;
use crate::provider::MountedVolume;
use crate::vss::{NETWORK, UNMANAGED};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem as fs;

/// Longest path of Windows in 16-bit units, with the NUL.
const PATH_UNITS_MAX: u32 = 32_768;
/// Longest name of a volume, or of a file system.
const NAME_UNITS_MAX: u32 = 261;
/// `DRIVE_REMOTE`.
const REMOTE: u32 = 4;
/// How a path begins that the system takes as it is.
const VERBATIM: &str = r"\\?\";

/// A folder, and the volume that it lies on.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is: no link is in it.
    pub(super) path: PathBuf,
    pub(super) volume: MountedVolume,
}

/// Looks at a folder.
pub(super) fn of(path: &Path) -> Result<Found, ShadowError> {
    let cannot = |error| ShadowError::system(format!("look at {}", path.display()), error);
    let dir = open(path).map_err(cannot)?;
    named(path, final_path(&dir), volume_name)
}

/// Says where a folder lies. What the mount manager does not know has no path with a letter and no name of its volume: a
/// disk in memory, or one that a program plays.
fn named(
    path: &Path,
    real: io::Result<OsString>,
    volume_name: impl FnOnce(&OsStr) -> io::Result<OsString>,
) -> Result<Found, ShadowError> {
    let unmanaged = |path: &OsStr| {
        let file_system = UNMANAGED.to_owned();
        let volume = MountedVolume { file_system, device: path.into(), ..MountedVolume::default() };
        Ok(Found { path: shown(path).into(), volume })
    };
    let Ok(real) = real else { return unmanaged(path.as_os_str()) };
    let Ok(mount_point) = mount_point(&real) else { return unmanaged(&real) };
    let file_system = match drive_type(&mount_point) {
        REMOTE => NETWORK.to_owned(),
        // Where it has no name, VSS itself says whether it can be frozen.
        _ => file_system(&mount_point).unwrap_or_default(),
    };
    let device = match volume_name(&mount_point) {
        Ok(name) => name,
        Err(_) if file_system == NETWORK => mount_point.clone(),
        Err(_) => return unmanaged(&real),
    };
    let cannot = || ShadowError::system(format!("look at {}", path.display()), io::ErrorKind::InvalidFilename);
    let inside = inside(&real, &mount_point).ok_or_else(cannot)?;
    let volume = MountedVolume { file_system, device: device.into(), inside, ..MountedVolume::default() };
    Ok(Found { path: shown(&real).into(), volume })
}

/// Returns what follows the place where a volume is mounted in a path.
fn inside(path: &OsStr, mount_point: &OsStr) -> Option<PathBuf> {
    let (path, mount_point): (Vec<u16>, Vec<u16>) = (path.encode_wide().collect(), mount_point.encode_wide().collect());
    let same = |a: &u16, b: &u16| {
        let lower = |unit: u16| u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into());
        lower(*a) == lower(*b)
    };
    // The folder of the mount itself may be written without the last `\`.
    let length = mount_point.len().min(path.len());
    let is_below = length + 1 >= mount_point.len() && path.iter().zip(&mount_point).all(|(a, b)| same(a, b));
    is_below.then(|| OsString::from_wide(&path[length..]).into())
}

/// Returns a path for people, and for calls that know no other form: without `\\?\`.
pub(super) fn shown(path: &OsStr) -> OsString {
    let Some(text) = path.to_str() else { return path.to_owned() };
    match text.strip_prefix(r"\\?\UNC\") {
        Some(share) => format!(r"\\{share}").into(),
        None => match text.strip_prefix(VERBATIM) {
            Some(plain) if plain.as_bytes().get(1) == Some(&b':') => plain.into(),
            _ => path.to_owned(),
        },
    }
}

/// Returns a path as the calls want it.
pub(super) fn with_nul(path: &OsStr) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = path.encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    wide.push(0);
    Ok(wide)
}

/// Returns the text before the NUL.
pub(super) fn until_nul(wide: &[u16]) -> OsString {
    let end = wide.iter().position(|&unit| unit == 0).unwrap_or(wide.len());
    OsString::from_wide(&wide[..end])
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens a folder to ask for its names.
fn open(path: &Path) -> io::Result<OwnedHandle> {
    let name = with_nul(path.as_os_str())?;
    let share = fs::FILE_SHARE_READ | fs::FILE_SHARE_WRITE | fs::FILE_SHARE_DELETE;
    let (access, flags) = (fs::FILE_READ_ATTRIBUTES, fs::FILE_FLAG_BACKUP_SEMANTICS);
    // SAFETY: the name ends with NUL; the handle that is answered is ours.
    unsafe {
        let handle =
            fs::CreateFileW(name.as_ptr(), access, share, ptr::null(), fs::OPEN_EXISTING, flags, ptr::null_mut());
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}

/// Returns the path of an open folder with all links followed.
fn final_path(dir: &OwnedHandle) -> io::Result<OsString> {
    // A volume may have neither a letter nor a folder.
    path_of(dir, fs::VOLUME_NAME_DOS).or_else(|error| path_of(dir, fs::VOLUME_NAME_GUID).map_err(|_| error))
}

/// Returns the path of an open folder, with the name of its volume in one of the forms.
fn path_of(dir: &OwnedHandle, form: u32) -> io::Result<OsString> {
    let mut buffer = vec![0; PATH_UNITS_MAX as usize];
    // SAFETY: the handle is open; the call writes at most that many units.
    let units = unsafe {
        let kind = fs::FILE_NAME_NORMALIZED | form;
        fs::GetFinalPathNameByHandleW(dir.as_raw_handle(), buffer.as_mut_ptr(), PATH_UNITS_MAX, kind)
    };
    match buffer.get(..units as usize) {
        Some([]) => Err(io::Error::last_os_error()),
        Some(path) => Ok(OsString::from_wide(path)),
        None => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

/// Returns the folder that the volume of a path is mounted at, with `\` at the end.
fn mount_point(path: &OsStr) -> io::Result<OsString> {
    let path = with_nul(path)?;
    let mut buffer = vec![0; PATH_UNITS_MAX as usize];
    // SAFETY: the path ends with NUL; the call writes at most that many units.
    check(unsafe { fs::GetVolumePathNameW(path.as_ptr(), buffer.as_mut_ptr(), PATH_UNITS_MAX) })?;
    Ok(until_nul(&buffer))
}

/// Returns the name `\\?\Volume{…}\` of the volume that is mounted at a folder.
fn volume_name(mount_point: &OsStr) -> io::Result<OsString> {
    let mount_point = with_nul(&shown(mount_point))?;
    let mut name = [0; NAME_UNITS_MAX as usize];
    // SAFETY: the path ends with NUL; the call writes at most that many units.
    check(unsafe { fs::GetVolumeNameForVolumeMountPointW(mount_point.as_ptr(), name.as_mut_ptr(), NAME_UNITS_MAX) })?;
    Ok(until_nul(&name))
}

fn drive_type(mount_point: &OsStr) -> u32 {
    // SAFETY: the path ends with NUL.
    with_nul(&shown(mount_point)).map_or(0, |path| unsafe { fs::GetDriveTypeW(path.as_ptr()) })
}

/// Returns the name of a volume's file system.
fn file_system(mount_point: &OsStr) -> io::Result<String> {
    let path = with_nul(&shown(mount_point))?;
    let mut name = [0; NAME_UNITS_MAX as usize];
    // SAFETY: the path ends with NUL; the call writes at most that many units, and nothing where it is given null.
    check(unsafe {
        let none = ptr::null_mut();
        let to = name.as_mut_ptr();
        fs::GetVolumeInformationW(path.as_ptr(), none, 0, none.cast(), none.cast(), none.cast(), to, NAME_UNITS_MAX)
    })?;
    Ok(until_nul(&name).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_of_a_volume_follows_its_mount_point() {
        let check = |path: &str, mount_point: &str, expected: Option<&str>| {
            let found = inside(OsStr::new(path), OsStr::new(mount_point));
            assert_eq!(found, expected.map(PathBuf::from), "{path} in {mount_point}");
        };
        check(r"\\?\C:\Users\anna", r"\\?\C:\", Some(r"Users\anna"));
        check(r"\\?\C:\Users", r"\\?\c:\", Some("Users"));
        check(r"\\?\C:\", r"\\?\C:\", Some(""));
        check(r"\\?\C:\mnt\disk", r"\\?\C:\mnt\disk\", Some(""));
        check(r"\\?\C:\mnt\disk\a", r"\\?\C:\mnt\disk\", Some("a"));
        check(r"\\?\C:\Users", r"\\?\D:\", None);
    }

    #[test]
    fn paths_are_shown_without_their_prefix() {
        assert_eq!(shown(OsStr::new(r"\\?\C:\a")), r"C:\a");
        assert_eq!(shown(OsStr::new(r"\\?\UNC\server\share\a")), r"\\server\share\a");
        assert_eq!(shown(OsStr::new(r"\\?\Volume{1}\a")), r"\\?\Volume{1}\a");
    }

    #[test]
    fn a_folder_says_which_volume_it_lies_on() {
        let temp = tempfile::tempdir().unwrap();
        let found = of(temp.path()).unwrap();
        let device = found.volume.device.to_str().unwrap().to_owned();
        assert!(device.starts_with(r"\\?\Volume{") && device.ends_with('\\'), "{device}");
        assert!(found.path.ends_with(&found.volume.inside), "{found:?}");
        assert!(!found.volume.inside.has_root(), "{found:?}");
        of(Path::new(r"C:\no such folder")).unwrap_err();
    }

    #[test]
    fn what_the_mount_manager_does_not_know_is_a_place_all_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path();
        let real = final_path(&open(path).unwrap()).unwrap();
        let unknown = || io::Error::from(io::ErrorKind::NotFound);
        let without_path = named(path, Err(unknown()), volume_name).unwrap();
        let without_name = named(path, Ok(real.clone()), |_| Err(unknown())).unwrap();
        for found in [&without_path, &without_name] {
            assert_eq!(found.volume.file_system, UNMANAGED);
        }
        assert_eq!(without_path.path, path);
        assert_eq!(without_name.path, Path::new(&shown(&real)));
        assert_ne!(named(path, Ok(real), volume_name).unwrap().volume.file_system, UNMANAGED);
    }
}
