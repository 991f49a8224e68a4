//! The calls of Windows that the standard library does not make: one call, one function, and all `unsafe` of the twin.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::system::token;
use std::ffi::{OsStr, OsString, c_void};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::AsRawHandle;
use std::ptr;
use windows_sys::Win32::Foundation::{
    ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_MORE_DATA, ERROR_NO_MORE_FILES, HANDLE,
};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation};
use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::{DeviceIoControl, OVERLAPPED};
use windows_sys::Win32::System::Ioctl as ioctl;
use windows_sys::Win32::System::SystemInformation::{ComputerNamePhysicalDnsHostname, GetComputerNameExW};
use windows_sys::Win32::System::Threading::{GetCurrentThread, SetThreadPriority, THREAD_MODE_BACKGROUND_BEGIN};

/// Longest path of Windows in 16-bit units, with the NUL.
const PATH_UNITS_MAX: usize = 32_768;

pub(super) fn handle(file: &File) -> HANDLE {
    file.as_raw_handle()
}

/// Turns the answer of a call into a result.
pub(super) fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn length_of<T>(buffer: &[T]) -> u32 {
    u32::try_from(size_of_val(buffer)).expect("our buffers are small")
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
fn until_nul(wide: &[u16]) -> OsString {
    let end = wide.iter().position(|&unit| unit == 0).unwrap_or(wide.len());
    OsString::from_wide(&wide[..end])
}

/// `GetFileInformationByHandle`.
pub(super) fn by_handle(file: &File) -> io::Result<fs::BY_HANDLE_FILE_INFORMATION> {
    let mut information = fs::BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open while `file` lives; the call fills the structure that it is given.
    check(unsafe { fs::GetFileInformationByHandle(handle(file), &raw mut information) })?;
    Ok(information)
}

/// `GetFileInformationByHandleEx` into a buffer of numbers, which has the alignment of every class.
pub(super) fn information(file: &File, class: fs::FILE_INFO_BY_HANDLE_CLASS, buffer: &mut [u64]) -> io::Result<()> {
    let length = length_of(buffer);
    // SAFETY: the handle is open while `file` lives; the call writes at most `length` bytes into `buffer`.
    check(unsafe { fs::GetFileInformationByHandleEx(handle(file), class, buffer.as_mut_ptr().cast(), length) })
}

/// Fetches the next entries of a directory; false at the end.
pub(super) fn next_entries(dir: &File, buffer: &mut [u64]) -> io::Result<bool> {
    match information(dir, fs::FileFullDirectoryInfo, buffer) {
        Ok(()) => Ok(true),
        Err(e) if is(&e, ERROR_NO_MORE_FILES) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Returns the bytes of numbers, as the system wrote them.
pub(super) fn bytes_of(buffer: &[u64]) -> &[u8] {
    // SAFETY: every byte of a u64 is initialized, and the length is that of the same slice.
    unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), size_of_val(buffer)) }
}

/// Returns whether an error is this one of the system.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == i32::try_from(code).ok()
}

/// Marks an open entry for removal with `FileDispositionInfoEx`: the name goes at once, also of a read-only file.
pub(super) fn remove_now(file: &File) -> io::Result<()> {
    let info = fs::FILE_DISPOSITION_INFO_EX {
        Flags: fs::FILE_DISPOSITION_FLAG_DELETE
            | fs::FILE_DISPOSITION_FLAG_POSIX_SEMANTICS
            | fs::FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE,
    };
    set_information(file, fs::FileDispositionInfoEx, &info)
}

/// Marks an open entry for removal with `FileDispositionInfo`: the name goes when the last handle is closed.
pub(super) fn remove_on_close(file: &File) -> io::Result<()> {
    set_information(file, fs::FileDispositionInfo, &fs::FILE_DISPOSITION_INFO { DeleteFile: true })
}

/// Sets the attributes of an open entry with `FileBasicInfo`, and none of its times.
pub(super) fn set_attributes(file: &File, attributes: u32) -> io::Result<()> {
    set_information(file, fs::FileBasicInfo, &fs::FILE_BASIC_INFO { FileAttributes: attributes, ..Default::default() })
}

/// `SetFileInformationByHandle`; the class is that of the structure.
pub(super) fn set_information<T: Copy>(file: &File, class: fs::FILE_INFO_BY_HANDLE_CLASS, info: &T) -> io::Result<()> {
    let length = length_of(std::slice::from_ref(info));
    // SAFETY: the handle is open while `file` lives; the call reads `length` bytes, which is the size of `T`.
    check(unsafe { fs::SetFileInformationByHandle(handle(file), class, ptr::from_ref(info).cast(), length) })
}

/// Returns the full path of an open file without links, with `\\?\`.
pub(super) fn final_path(file: &File) -> io::Result<OsString> {
    let mut buffer = vec![0u16; PATH_UNITS_MAX];
    let length = u32::try_from(buffer.len()).expect("a path's length");
    // SAFETY: the handle is open while `file` lives; the call writes at most `length` units into `buffer`.
    let units = unsafe {
        let flags = fs::FILE_NAME_NORMALIZED | fs::VOLUME_NAME_DOS;
        fs::GetFinalPathNameByHandleW(handle(file), buffer.as_mut_ptr(), length, flags)
    };
    match buffer.get(..units as usize) {
        Some([]) => Err(io::Error::last_os_error()),
        Some(path) => Ok(OsString::from_wide(path)),
        None => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

/// Returns whether there is anything at a path.
pub(super) fn exists(path: &OsStr) -> bool {
    // SAFETY: the path ends with NUL and lives over the call.
    with_nul(path).is_ok_and(|path| unsafe { fs::GetFileAttributesW(path.as_ptr()) } != fs::INVALID_FILE_ATTRIBUTES)
}

/// `MoveFileExW`.
pub(super) fn move_file(from: &OsStr, to: &OsStr, flags: fs::MOVE_FILE_FLAGS) -> io::Result<()> {
    let (from, to) = (with_nul(from)?, with_nul(to)?);
    // SAFETY: both texts end with NUL and live over the call.
    check(unsafe { fs::MoveFileExW(from.as_ptr(), to.as_ptr(), flags) })
}

/// What is wanted of a lock, and what to do while another handle has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum IfLocked {
    /// All of it; an answer at once.
    Fail,
    /// All of it, whenever that is.
    Wait,
    /// A share of it, whenever that is.
    WaitToShare,
}

/// Takes an exclusive lock on one byte that no file reaches, without waiting; false when another handle has it.
pub(super) fn lock_far_byte(file: &File, how: IfLocked) -> io::Result<bool> {
    /// A locked byte cannot be read through another handle, so it lies behind every text that a holder leaves.
    const OFFSET_HIGH: u32 = 0x4000_0000;
    let mut overlapped = OVERLAPPED::default();
    overlapped.Anonymous.Anonymous.OffsetHigh = OFFSET_HIGH;
    let flags = match how {
        IfLocked::Fail => fs::LOCKFILE_EXCLUSIVE_LOCK | fs::LOCKFILE_FAIL_IMMEDIATELY,
        IfLocked::Wait => fs::LOCKFILE_EXCLUSIVE_LOCK,
        IfLocked::WaitToShare => 0,
    };
    // SAFETY: the handle is synchronous (std opens it so), so nothing uses `overlapped` after the call.
    match check(unsafe { fs::LockFileEx(handle(file), flags, 0, 1, 0, &raw mut overlapped) }) {
        Ok(()) => Ok(true),
        Err(e) if is(&e, ERROR_LOCK_VIOLATION) || is(&e, ERROR_IO_PENDING) => Ok(false),
        Err(e) => Err(e),
    }
}

/// `DeviceIoControl` on a synchronous handle; returns the number of bytes answered. More than fits is no error.
fn control(file: &File, code: u32, input: &[i64], output: &mut [u64]) -> io::Result<usize> {
    let mut answered = 0;
    let (input_length, output_length) = (length_of(input), length_of(output));
    // SAFETY: the handle is open and synchronous; the call reads and writes at most the two lengths.
    let answer = unsafe {
        let (from, to) = (input.as_ptr().cast::<c_void>(), output.as_mut_ptr().cast::<c_void>());
        DeviceIoControl(handle(file), code, from, input_length, to, output_length, &raw mut answered, ptr::null_mut())
    };
    match check(answer) {
        Ok(()) => Ok(answered as usize),
        Err(e) if is(&e, ERROR_MORE_DATA) => Ok(answered as usize),
        Err(e) => Err(e),
    }
}

/// Returns the `REPARSE_DATA_BUFFER` of an entry that was opened as itself.
pub(super) fn reparse_data(file: &File) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u64; fs::MAXIMUM_REPARSE_DATA_BUFFER_SIZE as usize / size_of::<u64>()];
    let length = control(file, ioctl::FSCTL_GET_REPARSE_POINT, &[], &mut buffer)?;
    let bytes = bytes_of(&buffer);
    Ok(bytes[..length.min(bytes.len())].to_vec())
}

/// Returns the first range with data in a range of a file; `None` when it is all hole.
pub(super) fn first_allocated(file: &File, within: Range<u64>) -> io::Result<Option<Range<u64>>> {
    let signed = |n: u64| i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let input = [signed(within.start)?, signed(within.end - within.start)?];
    let mut output = [0u64; 2];
    let length = control(file, ioctl::FSCTL_QUERY_ALLOCATED_RANGES, &input, &mut output)?;
    let [start, bytes] = output;
    Ok((length == size_of_val(&output)).then(|| start..start.saturating_add(bytes)))
}

/// Lets holes of a file take no room.
pub(super) fn set_sparse(file: &File) -> io::Result<()> {
    control(file, ioctl::FSCTL_SET_SPARSE, &[], &mut []).map(drop)
}

/// Returns the name of the file system that an open file is on.
pub(super) fn file_system_name(file: &File) -> io::Result<OsString> {
    let mut name = [0u16; 64];
    // SAFETY: the handle is open while `file` lives; the call writes at most the given length into `name`, and
    // nothing where it is given null.
    check(unsafe {
        fs::GetVolumeInformationByHandleW(
            handle(file),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            name.as_mut_ptr(),
            64,
        )
    })?;
    Ok(until_nul(&name))
}

/// Returns the folder that the volume of a path is mounted at, with `\` at the end.
pub(super) fn mount_point(path: &OsStr) -> io::Result<OsString> {
    let path = with_nul(path)?;
    let mut buffer = vec![0u16; PATH_UNITS_MAX];
    let length = u32::try_from(buffer.len()).expect("a path's length");
    // SAFETY: the path ends with NUL; the call writes at most `length` units into `buffer`.
    check(unsafe { fs::GetVolumePathNameW(path.as_ptr(), buffer.as_mut_ptr(), length) })?;
    Ok(until_nul(&buffer))
}

/// Returns the name `\\?\Volume{…}\` of the volume that is mounted at a folder.
pub(super) fn volume_name(mount_point: &OsStr) -> io::Result<OsString> {
    let mount_point = with_nul(mount_point)?;
    let mut name = [0u16; 64];
    // SAFETY: the path ends with NUL; the call writes at most the given length into `name`.
    check(unsafe { fs::GetVolumeNameForVolumeMountPointW(mount_point.as_ptr(), name.as_mut_ptr(), 64) })?;
    Ok(until_nul(&name))
}

/// Returns the bytes that this user can still write, and all bytes, of the volume of a folder.
pub(super) fn free_and_total_bytes(dir: &OsStr) -> io::Result<(u64, u64)> {
    let dir = with_nul(dir)?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: the path ends with NUL; the call writes two numbers, and nothing where it is given null.
    check(unsafe { fs::GetDiskFreeSpaceExW(dir.as_ptr(), &raw mut free, &raw mut total, ptr::null_mut()) })?;
    Ok((free, total))
}

/// Returns the DNS name of this computer, without its domain.
pub(super) fn computer_name() -> io::Result<OsString> {
    let mut name = [0u16; 256];
    let mut length = 256;
    // SAFETY: the call writes at most `length` units into `name`.
    check(unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, name.as_mut_ptr(), &raw mut length) })?;
    Ok(until_nul(&name))
}

/// Returns whether this process runs elevated.
pub(super) fn is_elevated() -> io::Result<bool> {
    let token = token::own(TOKEN_QUERY)?;
    let mut elevation = TOKEN_ELEVATION::default();
    let length = length_of(std::slice::from_ref(&elevation));
    let mut written = 0;
    // SAFETY: the token is open; the call writes at most `length` bytes, which is the size of the structure.
    check(unsafe {
        let to = (&raw mut elevation).cast();
        GetTokenInformation(token.as_raw_handle(), TokenElevation, to, length, &raw mut written)
    })?;
    Ok(elevation.TokenIsElevated != 0)
}

/// `SetThreadPriority` with the mode that lowers the priority of input and output too.
pub(super) fn begin_background_mode() {
    // SAFETY: the pseudo handle of the calling thread is always good. A refusal leaves the priority as it is.
    unsafe { SetThreadPriority(GetCurrentThread(), THREAD_MODE_BACKGROUND_BEGIN) };
}
