//! The calls of Windows for what NTFS keeps beside the content: one call, one function.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::system::sys::{self, bytes_of, check, handle, is, set_information, with_nul};
use crate::system::token;
use std::ffi::{OsStr, c_void};
use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use windows_sys::Wdk::Storage::FileSystem as nt;
use windows_sys::Win32::Foundation::{
    ERROR_HANDLE_EOF, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_MORE_DATA,
    ERROR_NOT_ALL_ASSIGNED, ERROR_NOT_SUPPORTED, NTSTATUS, RtlNtStatusToDosError, STATUS_EAS_NOT_SUPPORTED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_EAS_ON_FILE, STATUS_NOT_IMPLEMENTED, STATUS_NOT_SUPPORTED,
};
use windows_sys::Win32::Security as security;
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::{DeviceIoControl, IO_STATUS_BLOCK};
use windows_sys::Win32::System::Ioctl as ioctl;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};

/// Most bytes of the extended attributes of one file.
const EA_BYTES_MAX: usize = 65_536;
/// Most bytes of the answer that lists streams that we ask for.
const STREAM_INFO_BYTES_MAX: usize = 16 << 20;

/// Turns a status of the kernel into a result.
pub(super) fn check_status(status: NTSTATUS) -> io::Result<()> {
    if status >= 0 {
        return Ok(());
    }
    // SAFETY: the call maps one number to another.
    let code = unsafe { RtlNtStatusToDosError(status) };
    Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(0)))
}

/// `GetKernelObjectSecurity`: the parts that `wanted` names, as `*_SECURITY_INFORMATION`.
pub(super) fn security_of(file: &File, wanted: u32) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u64; 64];
    loop {
        let length = u32::try_from(size_of_val(&buffer[..])).expect("descriptors have at most 64 KiB");
        let mut needed = 0;
        // SAFETY: the handle is open while `file` lives; the call writes at most `length` bytes into `buffer`.
        let answer = check(unsafe {
            let to = buffer.as_mut_ptr().cast();
            security::GetKernelObjectSecurity(handle(file), wanted, to, length, &raw mut needed)
        });
        let needed = needed as usize;
        match answer {
            Ok(()) => {
                let bytes = bytes_of(&buffer);
                return Ok(bytes[..needed.min(bytes.len())].to_vec());
            }
            Err(e) if is(&e, ERROR_INSUFFICIENT_BUFFER) && needed > size_of_val(&buffer[..]) => {
                buffer = vec![0; needed.div_ceil(size_of::<u64>())];
            }
            Err(e) => return Err(e),
        }
    }
}

/// `SetKernelObjectSecurity`; the descriptor is one that [`crate::acl::is_valid`] accepts.
pub(super) fn set_security(file: &File, parts: u32, descriptor: &[u8]) -> io::Result<()> {
    // Aligned, and longer than any offset in it that was checked.
    let mut aligned = vec![0u64; descriptor.len().div_ceil(size_of::<u64>())];
    for (number, bytes) in aligned.iter_mut().zip(descriptor.chunks(size_of::<u64>())) {
        let mut whole = [0; size_of::<u64>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        *number = u64::from_le_bytes(whole);
    }
    let there: security::PSECURITY_DESCRIPTOR = aligned.as_mut_ptr().cast();
    // SAFETY: the call reads a self-relative descriptor; `acl::is_valid` found all of its parts to lie inside of it.
    check(unsafe { security::SetKernelObjectSecurity(handle(file), parts, there) })
}

/// `NtQueryEaFile`: the whole list; nothing where there is none.
pub(super) fn eas_of(file: &File) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u64; EA_BYTES_MAX / size_of::<u64>()];
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open and synchronous (std opens it so); the call writes at most the given length.
    let answer = unsafe {
        let to = buffer.as_mut_ptr().cast::<c_void>();
        let length = EA_BYTES_MAX as u32;
        nt::NtQueryEaFile(handle(file), &raw mut status, to, length, false, ptr::null(), 0, ptr::null(), true)
    };
    // None, or a driver that knows none.
    const NONE: [NTSTATUS; 5] = [
        STATUS_NO_EAS_ON_FILE,
        STATUS_EAS_NOT_SUPPORTED,
        STATUS_INVALID_DEVICE_REQUEST,
        STATUS_NOT_SUPPORTED,
        STATUS_NOT_IMPLEMENTED,
    ];
    if NONE.contains(&answer) {
        return Ok(Vec::new());
    }
    check_status(answer)?;
    let bytes = bytes_of(&buffer);
    Ok(bytes[..status.Information.min(bytes.len())].to_vec())
}

/// `NtSetEaFile`.
pub(super) fn set_eas(file: &File, list: &[u8]) -> io::Result<()> {
    let length = u32::try_from(list.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut status = IO_STATUS_BLOCK::default();
    // SAFETY: the handle is open and synchronous; the call reads the given length.
    let answer = unsafe { nt::NtSetEaFile(handle(file), &raw mut status, list.as_ptr().cast(), length) };
    check_status(answer)
}

/// `GetFileInformationByHandleEx(FileStreamInfo)`; nothing where the volume has no streams.
pub(super) fn stream_information(file: &File) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u64; 512];
    loop {
        match sys::information(file, fs::FileStreamInfo, &mut buffer) {
            Ok(()) => return Ok(bytes_of(&buffer).to_vec()),
            Err(e) if is(&e, ERROR_MORE_DATA) && size_of_val(&buffer[..]) < STREAM_INFO_BYTES_MAX => {
                buffer = vec![0; buffer.len() * 4];
            }
            // A folder without any; FAT; Wine.
            Err(e)
                if is(&e, ERROR_HANDLE_EOF)
                    || is(&e, ERROR_INVALID_FUNCTION)
                    || is(&e, ERROR_INVALID_PARAMETER)
                    || is(&e, ERROR_NOT_SUPPORTED) =>
            {
                return Ok(Vec::new());
            }
            Err(e) => return Err(e),
        }
    }
}

/// Returns the flags of the volume of an open entry (`FILE_NAMED_STREAMS` …).
pub(super) fn volume_flags(file: &File) -> io::Result<u32> {
    let mut flags = 0;
    // SAFETY: the handle is open while `file` lives; the call writes one number, and nothing where it is given null.
    check(unsafe {
        let (text, number) = (ptr::null_mut(), ptr::null_mut());
        fs::GetVolumeInformationByHandleW(handle(file), text, 0, number, number, &raw mut flags, text, 0)
    })?;
    Ok(flags)
}

/// Sets the time of creation with `FileBasicInfo`, and nothing else.
pub(super) fn set_created(file: &File, ticks: i64) -> io::Result<()> {
    set_information(file, fs::FileBasicInfo, &fs::FILE_BASIC_INFO { CreationTime: ticks, ..Default::default() })
}

/// `DeviceIoControl` that only takes.
fn control(file: &File, code: u32, input: &[u8]) -> io::Result<()> {
    let length = u32::try_from(input.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut answered = 0;
    // SAFETY: the handle is open and synchronous; the call reads the given length and writes only `answered`.
    check(unsafe {
        let from = input.as_ptr().cast::<c_void>();
        let (to, overlapped) = (ptr::null_mut(), ptr::null_mut());
        DeviceIoControl(handle(file), code, from, length, to, 0, &raw mut answered, overlapped)
    })
}

/// `FSCTL_SET_REPARSE_POINT`.
pub(super) fn set_reparse_data(file: &File, data: &[u8]) -> io::Result<()> {
    control(file, ioctl::FSCTL_SET_REPARSE_POINT, data)
}

/// `FSCTL_SET_COMPRESSION`, with the volume's own way to compress or none.
pub(super) fn set_compression(file: &File, is_wanted: bool) -> io::Result<()> {
    control(file, ioctl::FSCTL_SET_COMPRESSION, &u16::from(is_wanted).to_le_bytes())
}

/// `EncryptFileW`: for the user of this process.
pub(super) fn encrypt(path: &OsStr) -> io::Result<()> {
    let path = with_nul(path)?;
    // SAFETY: the path ends with NUL and lives over the call.
    check(unsafe { fs::EncryptFileW(path.as_ptr()) })
}

/// `AdjustTokenPrivileges`: switches a right of this process on; returns whether it has it.
pub(super) fn take_right(name: &str) -> bool {
    let (Ok(number), Ok(token)) = (token::number_of(name), token::own(security::TOKEN_ADJUST_PRIVILEGES)) else {
        return false;
    };
    let mut right = security::TOKEN_PRIVILEGES { PrivilegeCount: 1, ..Default::default() };
    right.Privileges[0] = security::LUID_AND_ATTRIBUTES { Luid: number, Attributes: security::SE_PRIVILEGE_ENABLED };
    // SAFETY: the token is open; the call reads one structure and writes nothing, as it is given null.
    let answer = check(unsafe {
        let (to, length) = (ptr::null_mut(), ptr::null_mut());
        security::AdjustTokenPrivileges(token.as_raw_handle(), 0, &raw const right, 0, to, length)
    });
    // It succeeds even where the token does not have the right, and says so here alone.
    answer.is_ok() && !is(&io::Error::last_os_error(), ERROR_NOT_ALL_ASSIGNED)
}

/// `RtlSetProcessPlaceholderCompatibilityMode`, where Windows has it (10, version 1803): from here on this process sees a
/// placeholder as what it is. Without that Windows may decide to show it as an ordinary file, and reading it fetches it.
pub(super) fn see_placeholders() {
    type SetMode = unsafe extern "system" fn(mode: i8) -> i8;
    /// `PHCM_EXPOSE_PLACEHOLDERS`.
    const EXPOSE: i8 = 2;
    // SAFETY: both texts end with NUL; ntdll is in every process and stays; the function has this type, and takes a number.
    unsafe {
        let ntdll = GetModuleHandleA(c"ntdll.dll".as_ptr().cast());
        if !ntdll.is_null()
            && let Some(function) = GetProcAddress(ntdll, c"RtlSetProcessPlaceholderCompatibilityMode".as_ptr().cast())
        {
            std::mem::transmute::<unsafe extern "system" fn() -> isize, SetMode>(function)(EXPOSE);
        }
    }
}
