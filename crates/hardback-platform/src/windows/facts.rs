//! What NTFS keeps beside the content, as the extended attributes of [`crate::ntfs`].

use crate::acl;
use crate::metadata::Xattrs;
use crate::name::{bytes_from_wide, wide_from_bytes};
use crate::ntfs;
use crate::reparse::{self, ReparseClass};
use crate::system::dir::{self, ITSELF, SHARE_ALL};
use crate::system::{id_of, os_error, sys, sys_facts as calls, unsupported};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::OpenOptionsExt;
use std::sync::{Mutex, OnceLock};
use windows_sys::Win32::Foundation as code;
use windows_sys::Win32::Security as security;
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::SystemServices::{
    ACCESS_SYSTEM_SECURITY, FILE_NAMED_STREAMS, FILE_PERSISTENT_ACLS, FILE_SUPPORTS_EXTENDED_ATTRIBUTES,
};

/// What everybody may ask for who may read a file.
const PARTS: u32 = OLD_PARTS | security::LABEL_SECURITY_INFORMATION;
/// All parts, also those to come; with the right to see audit lists.
const ALL_PARTS: u32 = PARTS
    | security::SACL_SECURITY_INFORMATION
    | security::ATTRIBUTE_SECURITY_INFORMATION
    | security::SCOPE_SECURITY_INFORMATION
    | security::BACKUP_SECURITY_INFORMATION;
/// The parts that are as old as NTFS, for servers that know no others.
const OLD_PARTS: u32 =
    security::OWNER_SECURITY_INFORMATION | security::GROUP_SECURITY_INFORMATION | security::DACL_SECURITY_INFORMATION;

/// Switches the rights of a backup on: to read and write every file and give it any owner, and to make symlinks. Where one
/// is missing, the call that needs it says so. Placeholders show from here on as what they are. Returns whether audit lists
/// can be seen and set.
pub(super) fn take_rights() -> bool {
    static SEES_AUDITS: OnceLock<bool> = OnceLock::new();
    *SEES_AUDITS.get_or_init(|| {
        calls::see_placeholders();
        for right in ["SeBackupPrivilege", "SeRestorePrivilege", "SeCreateSymbolicLinkPrivilege"] {
            calls::take_right(right);
        }
        calls::take_right("SeSecurityPrivilege")
    })
}

/// Longest stream that surely lies in the record of its file, which has 1 KiB for everything.
const RESIDENT_BYTES_MAX: usize = 256;

fn open(path: &OsStr, access: u32) -> io::Result<File> {
    dir::open(path, access, ITSELF)
}

/// Reads all that the volume has of an entry, sorted by name, and why some of it could not be read. `same` is the open
/// entry, if it is open: another one that has its path now is an error.
pub(super) fn read_all(path: &OsStr, same: Option<&File>) -> io::Result<(Xattrs, Option<io::Error>)> {
    let (file, sees_audits) = open_to_read(path)?;
    let information = sys::by_handle(&file)?;
    if let Some(same) = same
        && id_of(&sys::by_handle(same)?) != id_of(&information)
    {
        return Err(os_error(code::ERROR_FILE_NOT_FOUND));
    }
    let keeps = Keeps::of(&file, information.dwVolumeSerialNumber)?;
    let (mut all, mut lost) = (Xattrs::new(), None);
    let mut attributes = information.dwFileAttributes & !ntfs::NORMAL;
    if attributes & ntfs::REPARSE_POINT != 0 {
        let data = sys::reparse_data(&file)?;
        match reparse::class_of(attributes, reparse::tag_in(&data).unwrap_or(0)) {
            // Its content is read as everybody reads it; what it is made of belongs to this volume.
            ReparseClass::Through => attributes &= !ntfs::REPARSE_POINT,
            _ => all.push((ntfs::REPARSE.to_vec(), data)),
        }
    }
    all.push((ntfs::ATTRIBUTES.to_vec(), attributes.to_be_bytes().to_vec()));
    let mut read = |name: &[u8], value: io::Result<Option<Vec<u8>>>| match value {
        Ok(value) => all.extend(value.map(|value| (name.to_vec(), value))),
        Err(e) => drop(lost.get_or_insert(e)),
    };
    read(ntfs::CREATED, created(&file).map(|created| Some(created.to_be_bytes().to_vec())));
    if keeps.acls {
        read(ntfs::ACL, security_of(&file, sees_audits).map(Some));
    }
    if keeps.eas {
        read(ntfs::EA, eas_of(&file));
    }
    if keeps.streams {
        read_streams(path, &file, &mut all, &mut lost)?;
    }
    all.sort();
    Ok((all, lost))
}

/// Opens an entry to read what belongs to it; says whether audit lists are among that.
fn open_to_read(path: &OsStr) -> io::Result<(File, bool)> {
    let access = fs::FILE_READ_ATTRIBUTES | fs::FILE_READ_EA | fs::READ_CONTROL;
    if take_rights()
        && let Ok(file) = open(path, access | ACCESS_SYSTEM_SECURITY)
    {
        return Ok((file, true));
    }
    // Who may not read all of it is told of each part that is missing.
    Ok((open(path, access).or_else(|_| open(path, fs::FILE_READ_ATTRIBUTES))?, false))
}

/// What a volume keeps beside contents and attributes.
#[derive(Debug, Clone, Copy)]
struct Keeps {
    acls: bool,
    eas: bool,
    streams: bool,
}

impl Keeps {
    /// Asks the volume of an open entry, once for each.
    fn of(file: &File, serial: u32) -> io::Result<Self> {
        static KNOWN: Mutex<Vec<(u32, Keeps)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().expect("no panic while the list is held");
        if let Some((_, keeps)) = known.iter().find(|(number, _)| *number == serial) {
            return Ok(*keeps);
        }
        let flags = calls::volume_flags(file)?;
        let has = |flag| flags & flag != 0;
        let keeps = Self {
            acls: has(FILE_PERSISTENT_ACLS),
            eas: has(FILE_SUPPORTS_EXTENDED_ATTRIBUTES),
            // Where there are none, a name with `:` may be taken for that of another file (Wine).
            streams: has(FILE_NAMED_STREAMS),
        };
        known.push((serial, keeps));
        Ok(keeps)
    }

    fn of_path(path: &OsStr) -> io::Result<Self> {
        let file = open(path, fs::FILE_READ_ATTRIBUTES)?;
        Self::of(&file, sys::by_handle(&file)?.dwVolumeSerialNumber)
    }
}

fn security_of(file: &File, sees_audits: bool) -> io::Result<Vec<u8>> {
    let (parts, old) = match sees_audits {
        true => (ALL_PARTS, OLD_PARTS | security::SACL_SECURITY_INFORMATION),
        false => (PARTS, OLD_PARTS),
    };
    match calls::security_of(file, parts) {
        // A server that does not know all of them.
        Err(e) if sys::is(&e, code::ERROR_INVALID_PARAMETER) || sys::is(&e, code::ERROR_NOT_SUPPORTED) => {
            calls::security_of(file, old)
        }
        other => other,
    }
}

fn eas_of(file: &File) -> io::Result<Option<Vec<u8>>> {
    let given = calls::eas_of(file)?;
    if given.is_empty() {
        return Ok(None);
    }
    let list = ntfs::ea_from_windows(&given).and_then(|list| ntfs::without_kernel_eas(&list));
    let list = list.ok_or(io::ErrorKind::InvalidData)?;
    Ok((!list.is_empty()).then_some(list))
}

/// Returns when an open entry was created: 100 ns since 1601.
fn created(file: &File) -> io::Result<u64> {
    let mut basic = [0u64; 5];
    sys::information(file, fs::FileBasicInfo, &mut basic)?;
    Ok(basic[0])
}

fn read_streams(path: &OsStr, file: &File, all: &mut Xattrs, lost: &mut Option<io::Error>) -> io::Result<()> {
    let streams = ntfs::streams(&calls::stream_information(file)?).ok_or(io::ErrorKind::InvalidData)?;
    for stream in streams {
        let name = bytes_from_wide(stream.name.iter().copied());
        match read_stream(path, &stream.name) {
            Ok(value) => all.push(([ntfs::STREAM_PREFIX, &name].concat(), value)),
            Err(e) => drop(lost.get_or_insert_with(|| ntfs::lost_stream(&name, &e))),
        }
    }
    Ok(())
}

fn read_stream(path: &OsStr, name: &[u16]) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    let most = ntfs::STREAM_BYTES_MAX + 1;
    open_stream(path, name, OpenOptions::new().read(true))?.take(most).read_to_end(&mut value)?;
    if value.len() as u64 == most { Err(ntfs::too_long()) } else { Ok(value) }
}

fn open_stream(path: &OsStr, name: &[u16], options: &mut OpenOptions) -> io::Result<File> {
    options.share_mode(SHARE_ALL).custom_flags(ITSELF).open(stream_path(path, name)?)
}

fn stream_path(path: &OsStr, name: &[u16]) -> io::Result<OsString> {
    ntfs::check_stream(&bytes_from_wide(name.iter().copied()))?;
    let mut path = path.to_owned();
    path.push(":");
    path.push(OsString::from_wide(name));
    Ok(path)
}

/// Sets one attribute.
pub(super) fn set(path: &OsStr, name: &[u8], value: &[u8]) -> io::Result<()> {
    if let Some(stream) = ntfs::stream_in(name)? {
        let stream = wide_from_bytes(stream).ok_or_else(|| os_error(code::ERROR_INVALID_NAME))?;
        if !Keeps::of_path(path)?.streams {
            return Err(unsupported());
        }
        // Never "create always": that asks for the attributes of the file too.
        let mut file = open_stream(path, &stream, OpenOptions::new().write(true).create(true).truncate(false))?;
        file.set_len(0)?;
        file.write_all(value)?;
        // Flushing the file does not flush its streams; a short one lies in the record of the file itself.
        return if value.len() > RESIDENT_BYTES_MAX { file.sync_all() } else { Ok(()) };
    }
    let number = |value: &[u8]| value.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    if name == ntfs::ATTRIBUTES {
        set_attributes(path, u32::from_be_bytes(number(value)?))
    } else if name == ntfs::CREATED {
        let ticks = u64::from_be_bytes(value.try_into().map_err(|_| io::ErrorKind::InvalidInput)?);
        let file = open(path, fs::FILE_READ_ATTRIBUTES | fs::FILE_WRITE_ATTRIBUTES)?;
        calls::set_created(&file, ticks.cast_signed())?;
        // Wine says that it did, and does nothing.
        if created(&file)? == ticks { Ok(()) } else { Err(unsupported()) }
    } else if name == ntfs::ACL {
        set_security(path, value)
    } else if name == ntfs::EA {
        // One that was made on another system may have what only the kernel sets.
        let list = ntfs::without_kernel_eas(value).ok_or(io::ErrorKind::InvalidInput)?;
        if list.is_empty() {
            return Ok(());
        }
        let list = ntfs::ea_for_windows(&list).ok_or(io::ErrorKind::InvalidInput)?;
        calls::set_eas(&open(path, fs::FILE_WRITE_EA)?, &list)
    } else if name == ntfs::REPARSE {
        set_reparse(path, value)
    } else {
        Err(unsupported())
    }
}

/// Sets a reparse point that is not there yet.
fn set_reparse(path: &OsStr, data: &[u8]) -> io::Result<()> {
    let file = open(path, fs::FILE_READ_ATTRIBUTES | fs::FILE_WRITE_ATTRIBUTES)?;
    if sys::reparse_data(&file).is_ok_and(|there| there == data) {
        return Ok(());
    }
    calls::set_reparse_data(&file, data)
}

fn set_attributes(path: &OsStr, wanted: u32) -> io::Result<()> {
    const CHECKED: u32 = ntfs::SETTABLE | ntfs::COMPRESSED;
    let attributes_of = |file: &File| sys::by_handle(file).map(|information| information.dwFileAttributes);
    let there = attributes_of(&open(path, fs::FILE_READ_ATTRIBUTES)?)?;
    // What is refused here is seen when all is set.
    if (wanted ^ there) & ntfs::COMPRESSED != 0
        && let Ok(file) = open(path, fs::FILE_GENERIC_READ | fs::FILE_GENERIC_WRITE)
    {
        calls::set_compression(&file, wanted & ntfs::COMPRESSED != 0).ok();
    }
    if wanted & !there & ntfs::SPARSE != 0
        && wanted & ntfs::DIRECTORY == 0
        && let Ok(file) = open(path, fs::FILE_GENERIC_WRITE)
    {
        sys::set_sparse(&file).ok();
    }
    let file = open(path, fs::FILE_READ_ATTRIBUTES | fs::FILE_WRITE_ATTRIBUTES)?;
    // None at all is a word of its own; 0 would change none.
    let settable = wanted & ntfs::SETTABLE;
    sys::set_attributes(&file, if settable == 0 { ntfs::NORMAL } else { settable })?;
    match (wanted ^ attributes_of(&file)?) & CHECKED {
        0 => Ok(()),
        lost => Err(ntfs::lost_attributes(lost)),
    }
}

/// Sets a security descriptor: all of it at once for who may, else as much as can be; the first refusal is the answer.
fn set_security(path: &OsStr, value: &[u8]) -> io::Result<()> {
    if !acl::is_valid(value) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the security descriptor is malformed"));
    }
    if !Keeps::of_path(path)?.acls {
        return Err(unsupported());
    }
    let [owner, group, dacl, sacl] = acl::parts(value).ok_or(io::ErrorKind::InvalidInput)?;
    let descriptor = acl::for_windows(value);
    let part = |is_there, parts| if is_there { parts } else { 0 };
    let owners = part(owner, security::OWNER_SECURITY_INFORMATION) | part(group, security::GROUP_SECURITY_INFORMATION);
    let list = part(dacl, security::DACL_SECURITY_INFORMATION | acl::dacl_protection(value));
    let audits = part(sacl, security::SACL_SECURITY_INFORMATION | acl::sacl_protection(value));
    if take_rights() {
        let access = fs::WRITE_DAC | fs::WRITE_OWNER | ACCESS_SYSTEM_SECURITY;
        let parts = owners | list | audits | security::BACKUP_SECURITY_INFORMATION;
        if open(path, access).and_then(|file| calls::set_security(&file, parts, &descriptor)).is_ok() {
            return Ok(());
        }
    }
    // Whom it lets in first: only who has the right to restore can give a file away.
    let set = |access, parts: u32| match parts {
        0 => Ok(()),
        parts => open(path, access).and_then(|file| calls::set_security(&file, parts, &descriptor)),
    };
    let label = part(acl::has_label(value), security::LABEL_SECURITY_INFORMATION);
    let steps = [
        set(fs::WRITE_DAC, list),
        set(fs::WRITE_OWNER, owners),
        set(fs::WRITE_OWNER, label),
        if acl::has_audits(value) { set(ACCESS_SYSTEM_SECURITY, audits) } else { Ok(()) },
    ];
    steps.into_iter().collect()
}

/// Has Windows encrypt a file for the user of this process.
pub(super) fn encrypt(path: &OsStr) -> io::Result<()> {
    calls::encrypt(path)
}

/// Removes one attribute.
pub(super) fn remove(path: &OsStr, name: &[u8]) -> io::Result<()> {
    let Some(stream) = ntfs::stream_in(name)? else { return Err(unsupported()) };
    let stream = wide_from_bytes(stream).ok_or_else(|| os_error(code::ERROR_INVALID_NAME))?;
    std::fs::remove_file(stream_path(path, &stream)?)
}

/// Makes a new entry that is a reparse point.
pub(super) fn make_reparse(path: &OsStr, is_dir: bool, data: &[u8]) -> io::Result<()> {
    take_rights();
    if is_dir {
        std::fs::create_dir(path)?;
    } else {
        OpenOptions::new().write(true).create_new(true).share_mode(SHARE_ALL).custom_flags(ITSELF).open(path)?;
    }
    let set = set_reparse(path, data);
    if set.is_err() {
        // What is left over is told with the error itself.
        if is_dir {
            std::fs::remove_dir(path).ok()
        } else {
            std::fs::remove_file(path).ok()
        };
    }
    set
}
