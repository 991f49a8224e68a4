//! Raw streams of files that Windows encrypts (EFS): read and made without a key.
//!
//! `ReadEncryptedFileRaw` and its twin call back with a piece after the other; both pass through a temporary file, so
//! that nobody else has to be called back.
#![allow(unsafe_code, reason = "system calls that call back; each gets only memory of its own function")]

use crate::system::{os_error, sys};
use std::ffi::{OsStr, c_void};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use windows_sys::Win32::Foundation as code;
use windows_sys::Win32::Storage::FileSystem as fs;

/// `CREATE_FOR_IMPORT`: the file is made.
const FOR_IMPORT: u32 = 1;

/// A context of the calls, closed when it is dropped.
struct Context(*mut c_void);

impl Context {
    fn open(path: &OsStr, flags: u32) -> io::Result<Self> {
        let path = sys::with_nul(path)?;
        let mut context = ptr::null_mut();
        // SAFETY: the path ends with NUL and lives over the call, which writes one pointer.
        check(unsafe { fs::OpenEncryptedFileRawW(path.as_ptr(), flags, &raw mut context) })?;
        Ok(Self(context))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it came from the call that opens, and nobody uses it any more.
        unsafe { fs::CloseEncryptedFileRaw(self.0) };
    }
}

fn check(answer: u32) -> io::Result<()> {
    if answer == code::ERROR_SUCCESS { Ok(()) } else { Err(os_error(answer)) }
}

/// A file, and what went wrong with it while we were called back.
struct Spool<'a> {
    file: &'a File,
    failed: Option<io::Error>,
}

/// Returns the raw stream of an encrypted file, in a temporary file that goes with its handle.
pub(super) fn export(path: &OsStr) -> io::Result<File> {
    unsafe extern "system" fn take(data: *const u8, spool: *const c_void, length: u32) -> u32 {
        // SAFETY: it is the structure below, which nobody else uses during the call.
        let spool = unsafe { &mut *spool.cast_mut().cast::<Spool<'_>>() };
        if length == 0 {
            return code::ERROR_SUCCESS;
        }
        // SAFETY: the system gives that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(data, length as usize) };
        keep(spool, |mut file| file.write_all(bytes))
    }
    let file = temporary()?;
    let context = Context::open(path, 0)?;
    let mut spool = Spool { file: &file, failed: None };
    // SAFETY: the context is open, and the structure lives over the call.
    let answer = unsafe { fs::ReadEncryptedFileRaw(Some(take), (&raw mut spool).cast::<c_void>(), context.0) };
    end(spool, answer)?;
    Ok(file)
}

/// Makes an encrypted file of its raw stream; an entry of that name is an error.
pub(super) fn import(path: &OsStr, stream: &File) -> io::Result<()> {
    unsafe extern "system" fn give(data: *mut u8, spool: *const c_void, length: *mut u32) -> u32 {
        // SAFETY: it is the structure below, which nobody else uses during the call.
        let spool = unsafe { &mut *spool.cast_mut().cast::<Spool<'_>>() };
        // SAFETY: the system gives room for as many bytes as it says there.
        let room = unsafe { std::slice::from_raw_parts_mut(data, *length as usize) };
        let mut read = 0;
        let answer = keep(spool, |mut file| {
            read = file.read(room)?;
            Ok(())
        });
        // SAFETY: as above; 0 is the end.
        unsafe { *length = u32::try_from(read).unwrap_or(0) };
        answer
    }
    if sys::exists(path) {
        return Err(os_error(code::ERROR_ALREADY_EXISTS));
    }
    let mut start = stream;
    start.seek(SeekFrom::Start(0))?;
    let context = Context::open(path, FOR_IMPORT)?;
    let mut spool = Spool { file: stream, failed: None };
    // SAFETY: the context is open, and the structure lives over the call.
    let answer = unsafe { fs::WriteEncryptedFileRaw(Some(give), (&raw mut spool).cast::<c_void>(), context.0) };
    drop(context);
    let made = end(spool, answer);
    if made.is_err() {
        // What is left over is told with the error itself.
        std::fs::remove_file(path).ok();
    }
    made
}

/// Does a step with the file; what goes wrong is kept, and ends the calling back.
fn keep(spool: &mut Spool<'_>, step: impl FnOnce(&File) -> io::Result<()>) -> u32 {
    match step(spool.file) {
        Ok(()) => code::ERROR_SUCCESS,
        Err(error) => {
            spool.failed = Some(error);
            code::ERROR_WRITE_FAULT
        }
    }
}

fn end(spool: Spool<'_>, answer: u32) -> io::Result<()> {
    spool.failed.map_or_else(|| check(answer), Err)
}

/// Makes a file that is gone when its handle is closed.
fn temporary() -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("hardback-{}-{}.efs", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).share_mode(0);
    options.attributes(fs::FILE_ATTRIBUTE_TEMPORARY).custom_flags(fs::FILE_FLAG_DELETE_ON_CLOSE);
    options.open(std::env::temp_dir().join(name))
}
