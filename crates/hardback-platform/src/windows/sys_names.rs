//! The calls of Windows that make and change names, as the kernel has them.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::system::dir::SHARE_ALL;
use crate::system::sys::handle;
use crate::system::sys_facts::check_status;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::FromRawHandle;
use std::ptr;
use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem as nt;
use windows_sys::Win32::Foundation::{OBJ_CASE_INSENSITIVE, UNICODE_STRING};
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

/// Returns a verbatim path as the kernel has it: `\??\C:\a` for `\\?\C:\a`.
fn kernel_path(path: &OsStr) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = path.encode_wide().collect();
    if !path.as_encoded_bytes().starts_with(br"\\?\") || wide.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    wide[1] = u16::from(b'?');
    Ok(wide)
}

/// `FileLinkInformation`: one more name, which must be new.
pub(super) fn link(file: &File, new: &OsStr) -> io::Result<()> {
    set_name(file, nt::FileLinkInformation, 0, new)
}

/// `FileRenameInformationEx`: renames over what is there, also if it is read-only or open.
pub(super) fn replace(file: &File, new: &OsStr) -> io::Result<()> {
    let flags =
        nt::FILE_RENAME_REPLACE_IF_EXISTS | nt::FILE_RENAME_POSIX_SEMANTICS | nt::FILE_RENAME_IGNORE_READONLY_ATTRIBUTE;
    set_name(file, nt::FileRenameInformationEx, flags, new)
}

/// `NtSetInformationFile` with `FILE_LINK_INFORMATION` or `FILE_RENAME_INFORMATION`, which are laid out alike.
fn set_name(file: &File, class: nt::FILE_INFORMATION_CLASS, flags: u32, new: &OsStr) -> io::Result<()> {
    const LENGTH_AT: usize = offset_of!(nt::FILE_RENAME_INFORMATION, FileNameLength);
    const NAME_AT: usize = offset_of!(nt::FILE_RENAME_INFORMATION, FileName);
    const _: () = assert!(
        LENGTH_AT == offset_of!(nt::FILE_LINK_INFORMATION, FileNameLength)
            && NAME_AT == offset_of!(nt::FILE_LINK_INFORMATION, FileName)
    );
    let name: Vec<u8> = kernel_path(new)?.into_iter().flat_map(u16::to_le_bytes).collect();
    let length = (NAME_AT + name.len()).max(size_of::<nt::FILE_RENAME_INFORMATION>());
    let mut bytes = vec![0u8; length.next_multiple_of(size_of::<u64>())];
    bytes[..4].copy_from_slice(&flags.to_le_bytes());
    let name_bytes = u32::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidFilename)?;
    bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&name_bytes.to_le_bytes());
    bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(&name);
    // The structures begin where a number of 8 bytes may.
    let numbers: Vec<u64> = bytes
        .chunks_exact(size_of::<u64>())
        .map(|eight| eight.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        .collect();
    let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidFilename)?;
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open and synchronous (std opens it so); the call reads the given length of `numbers`.
    let answer =
        unsafe { nt::NtSetInformationFile(handle(file), &raw mut status, numbers.as_ptr().cast(), length, class) };
    check_status(answer)
}

/// `NtCreateFile`: makes a folder with the wish to restore it, which `CreateDirectory` cannot say.
pub(super) fn make_dir(path: &OsStr) -> io::Result<()> {
    let mut name = kernel_path(path)?;
    let bytes = u16::try_from(size_of_val(&name[..])).map_err(|_| io::ErrorKind::InvalidFilename)?;
    let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: name.as_mut_ptr() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).expect("a small structure"),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        ..Default::default()
    };
    let options = nt::FILE_DIRECTORY_FILE | nt::FILE_OPEN_FOR_BACKUP_INTENT | nt::FILE_SYNCHRONOUS_IO_NONALERT;
    let (mut made, mut status) = (ptr::null_mut(), IO_STATUS_BLOCK::default());
    // SAFETY: the name and what points to it live over the call, which writes a handle and a status.
    let answer = unsafe {
        nt::NtCreateFile(
            &raw mut made,
            fs::FILE_READ_ATTRIBUTES | fs::SYNCHRONIZE,
            &raw const attributes,
            &raw mut status,
            ptr::null(),
            fs::FILE_ATTRIBUTE_NORMAL,
            SHARE_ALL,
            nt::FILE_CREATE,
            options,
            ptr::null(),
            0,
        )
    };
    check_status(answer)?;
    // SAFETY: the handle is new and nobody else's; it is closed here.
    drop(unsafe { File::from_raw_handle(made) });
    Ok(())
}
