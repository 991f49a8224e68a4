//! Open files.

use crate::error::PathError;
use crate::metadata::{Attributes, Metadata, Owner, Time, XattrsRead};
use crate::records;
use crate::seam::{Op, Seam};
use crate::system::{facts, os_error, sys, unsupported};
use std::ffi::OsString;
use std::fs::{File, FileTimes};
use std::io;
use std::ops::Range;
use std::os::windows::fs::FileExt;
use std::os::windows::io::AsRawHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windows_sys::Win32::Foundation as code;

/// A file that is open for reading only.
#[derive(Debug)]
pub struct FileRead {
    pub(crate) file: File,
    /// The encrypted file, if what is read is its raw stream.
    pub(crate) raw_of: Option<File>,
    /// Its content is what the volume has of it, and it is sparse.
    pub(crate) may_have_holes: bool,
    /// By which it was opened.
    pub(crate) path: OsString,
    pub(crate) seam: Seam,
}

/// A new file that is open for writing; nothing else is ever opened for writing.
#[derive(Debug)]
pub struct FileWrite {
    pub(crate) file: File,
    /// By which it was made.
    pub(crate) path: OsString,
    pub(crate) seam: Seam,
}

/// Makes an error about the open file itself.
fn fail(op: &'static str) -> impl FnOnce(io::Error) -> PathError {
    move |e| PathError::new(op, b"", e)
}

/// Returns the number of a handle, for recording.
pub(crate) fn number_of(file: &File) -> i64 {
    file.as_raw_handle().addr().cast_signed() as i64
}

impl FileRead {
    fn pass(&self, op: Op, what: &'static str) -> Result<(), PathError> {
        self.seam.pass(op, b"", number_of(&self.file)).map_err(fail(what))
    }

    /// Returns what is known about the open file.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of")?;
        let metadata = || {
            let Some(encrypted) = &self.raw_of else { return super::metadata_of(&self.file) };
            let plain = super::metadata_of(encrypted)?;
            let (raw_of, size_bytes) = (Some(plain.size_bytes), self.file.metadata()?.len());
            Ok(Metadata { raw_of, size_bytes, blocks: size_bytes.div_ceil(512), ..plain })
        };
        metadata().map_err(fail("read the metadata of"))
    }

    /// Reads up to a buffer of bytes at an offset; 0 at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        self.pass(Op::Read, "read")?;
        self.file.seek_read(buffer, offset).map_err(fail("read"))
    }

    /// Returns the next range of data at or after an offset: holes are skipped. `None` when only a hole is left.
    ///
    /// A volume that knows no holes answers one range up to `size_bytes`; a file that shrank since has no data left.
    pub fn next_data(&self, offset: u64, size_bytes: u64) -> Result<Option<Range<u64>>, PathError> {
        if offset >= size_bytes {
            return Ok(None);
        }
        self.pass(Op::Read, "look for holes in")?;
        if !self.may_have_holes {
            return Ok(Some(offset..size_bytes));
        }
        match sys::first_allocated(&self.file, offset..size_bytes) {
            // The answer is in whole units of allocation.
            Ok(range) => Ok(range
                .map(|range| range.start.max(offset)..range.end.min(size_bytes))
                .filter(|range| !range.is_empty())),
            Err(e) if sys::is(&e, code::ERROR_INVALID_FUNCTION) || sys::is(&e, code::ERROR_NOT_SUPPORTED) => {
                Ok(Some(offset..size_bytes))
            }
            Err(e) => Err(fail("look for holes in")(e)),
        }
    }

    /// Tells where on the volume blocks of this file are that other files have too: NTFS has no such blocks.
    pub fn cloned_ranges(&self, _each: &mut dyn FnMut(Range<u64>)) -> Result<(), PathError> {
        self.pass(Op::Read, "look for shared blocks in")?;
        Err(fail("look for shared blocks in")(unsupported()))
    }

    /// Reads what NTFS has of the file, as far as it can be: see [`crate::ntfs`].
    pub fn read_xattrs(&self) -> Result<XattrsRead, PathError> {
        let what = "read the extended attributes of";
        self.pass(Op::GetXattrs, what)?;
        let same = self.raw_of.as_ref().unwrap_or(&self.file);
        let (xattrs, lost) = facts::read_all(&self.path, Some(same)).map_err(fail(what))?;
        Ok(XattrsRead { xattrs, lost: lost.map(fail(what)) })
    }

    /// Reads the attribute bits; none where the volume has none.
    pub fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    /// Does nothing: files are opened for reading from start to end.
    pub fn advise_sequential(&self) {}

    /// Does nothing: Windows has no such advice.
    pub fn drop_cache(&self) {}
}

impl FileWrite {
    fn pass(&self, op: Op, what: &'static str) -> Result<(), PathError> {
        self.seam.pass(op, b"", number_of(&self.file)).map_err(fail(what))
    }

    /// Writes all bytes at an offset.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), PathError> {
        match self.seam.pass_write(number_of(&self.file)).map_err(fail("write"))? {
            None => write_all_at(&self.file, bytes, offset).map_err(fail("write")),
            Some((length, error)) => {
                write_all_at(&self.file, &bytes[..length.min(bytes.len())], offset).map_err(fail("write"))?;
                Err(PathError::new("write", b"", error))
            }
        }
    }

    /// Sets the length: makes or cuts a hole at the end.
    pub fn set_len(&self, size_bytes: u64) -> Result<(), PathError> {
        self.pass(Op::SetLen, "set the length of")?;
        let set = || {
            if size_bytes > self.file.metadata()?.len() {
                // A volume without holes writes zeros instead: more room, the same content.
                sys::set_sparse(&self.file).ok();
            }
            self.file.set_len(size_bytes)
        };
        set().map_err(fail("set the length of"))
    }

    /// Makes this file share all blocks of another (reflink): not on Windows so far.
    pub fn clone_from(&self, _source: &FileRead) -> Result<(), PathError> {
        self.pass(Op::Clone, "clone")?;
        Err(fail("clone")(unsupported()))
    }

    /// Makes a hole in what was written or cloned: nothing is cloned on Windows so far.
    pub fn punch_hole(&self, _offset: u64, _length_bytes: u64) -> Result<(), PathError> {
        self.pass(Op::SetLen, "make a hole in")?;
        Err(fail("make a hole in")(unsupported()))
    }

    /// Reads back what was written or cloned.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.seek_read(&mut buffer[done..], offset + done as u64).map_err(fail("read"))? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Returns what is known about the open file.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of")?;
        super::metadata_of(&self.file).map_err(fail("read the metadata of"))
    }

    /// Sets owner and group: Windows has other owners.
    pub fn set_owner(&self, _owner: Owner) -> Result<(), PathError> {
        self.pass(Op::SetOwner, "set the owner of")?;
        Err(fail("set the owner of")(unsupported()))
    }

    /// Sets the permission bits: Windows has none.
    pub fn set_mode(&self, _mode: u32) -> Result<(), PathError> {
        self.pass(Op::SetMode, "set the mode of")?;
        Err(fail("set the mode of")(unsupported()))
    }

    /// Sets the time of the last change.
    pub fn set_mtime(&self, mtime: Time) -> Result<(), PathError> {
        self.pass(Op::SetTimes, "set the times of")?;
        set_mtime(&self.file, mtime).map_err(fail("set the times of"))
    }

    /// Sets one of what NTFS has of the file.
    pub fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetXattr, "set an extended attribute of")?;
        facts::set(&self.path, name, value).map_err(fail("set an extended attribute of"))
    }

    /// Sets the attribute bits: not on Windows.
    pub fn set_attributes(&self, attributes: Attributes) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "set the attributes of")?;
        refuse_attributes(attributes).map_err(fail("set the attributes of"))
    }

    /// Waits until the file is on the disk.
    pub fn sync(&self) -> Result<(), PathError> {
        self.pass(Op::SyncFile, "sync")?;
        self.file.sync_all().map_err(fail("sync"))
    }
}

/// Writes all bytes at an offset.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.seek_write(&bytes[done..], offset + done as u64)? {
            0 => return Err(os_error(code::ERROR_WRITE_FAULT)),
            n => done += n,
        }
    }
    Ok(())
}

/// Sets the time of the last change; the other times are left alone.
pub(crate) fn set_mtime(file: &File, mtime: Time) -> io::Result<()> {
    let time = system_time(mtime).ok_or_else(|| os_error(code::ERROR_INVALID_TIME))?;
    file.set_times(FileTimes::new().set_modified(time))
}

/// Returns the time as Windows keeps it; `None` where it cannot.
fn system_time(time: Time) -> Option<SystemTime> {
    records::ticks_of(time)?;
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let second = if time.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    second?.checked_add(Duration::from_nanos(u64::from(time.nanos / 100 * 100)))
}

/// Refuses attribute bits, if there are any to set.
pub(crate) fn refuse_attributes(attributes: Attributes) -> io::Result<()> {
    if attributes.0 & Attributes::KEPT == 0 { Ok(()) } else { Err(unsupported()) }
}
