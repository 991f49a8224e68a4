//! Open files.

use crate::error::PathError;
use crate::metadata::{Attributes, Metadata, Owner, Time, XattrsRead};
use crate::seam::{Op, Seam};
use crate::system::ntfs::{self, View};
use crate::system::xattr::Place;
use rustix::fs::{AtFlags, FallocateFlags, Mode, SeekFrom, StatxFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// A file that is open for reading only.
#[derive(Debug)]
pub struct FileRead {
    pub(crate) fd: OwnedFd,
    pub(crate) seam: Seam,
    /// How the volume shows what NTFS has, once somebody wants to know.
    pub(crate) view: OnceLock<View>,
}

/// A new file that is open for writing; nothing else is ever opened for writing.
#[derive(Debug)]
pub struct FileWrite {
    pub(crate) fd: OwnedFd,
    pub(crate) seam: Seam,
    /// As with [`FileRead`].
    pub(crate) view: OnceLock<View>,
}

/// Makes an error about the open file itself.
fn fail(op: &'static str) -> impl FnOnce(Errno) -> PathError {
    move |e| PathError::new(op, b"", e)
}

impl FileRead {
    fn pass(&self, op: Op, what: &'static str) -> Result<(), PathError> {
        self.seam.pass(op, b"", i64::from(self.fd.as_raw_fd())).map_err(|e| PathError::new(what, b"", e))
    }

    /// Returns what is known about the open file.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of")?;
        let stat = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(fail("read the metadata of"))?;
        Ok(super::metadata_of(&stat))
    }

    /// Reads up to a buffer of bytes at an offset; 0 at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        self.pass(Op::Read, "read")?;
        loop {
            match rustix::io::pread(&self.fd, &mut *buffer, offset) {
                Err(Errno::INTR) => {}
                other => return other.map_err(fail("read")),
            }
        }
    }

    /// Returns the next range of data at or after an offset: holes are skipped. `None` when only a hole is left.
    ///
    /// A volume that knows no holes answers one range up to `size_bytes`; a file that shrank since has no data left.
    pub fn next_data(&self, offset: u64, size_bytes: u64) -> Result<Option<Range<u64>>, PathError> {
        if offset >= size_bytes {
            return Ok(None);
        }
        let seek = |to| {
            self.pass(Op::Read, "look for holes in")?;
            match rustix::fs::seek(&self.fd, to) {
                Ok(at) => Ok(Some(at)),
                // Behind the end, or nothing but a hole up to it.
                Err(Errno::NXIO) => Ok(None),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
                Err(e) => Err(fail("look for holes in")(e)),
            }
        };
        let Some(start) = seek(SeekFrom::Data(offset))? else { return Ok(None) };
        let Some(end) = seek(SeekFrom::Hole(start))? else { return Ok(None) };
        // Who knows no holes answers both with where it was asked.
        let end = if end > start { end } else { size_bytes };
        Ok((start < size_bytes).then(|| start..end.min(size_bytes)))
    }

    /// Tells where on the volume blocks of this file are that other files have too (reflinks), in bytes.
    pub fn cloned_ranges(&self, each: &mut dyn FnMut(Range<u64>)) -> Result<(), PathError> {
        self.pass(Op::Read, "look for shared blocks in")?;
        super::extents::cloned_ranges(self.fd.as_fd(), each).map_err(fail("look for shared blocks in"))
    }

    /// Reads the extended attributes, as far as they can be.
    pub fn read_xattrs(&self) -> Result<XattrsRead, PathError> {
        let what = "read the extended attributes of";
        self.pass(Op::GetXattrs, what)?;
        let view = *self.view.get_or_init(|| View::of(self.fd.as_fd()));
        let read = ntfs::read_all(Place::Fd(self.fd.as_fd()), view);
        let (xattrs, lost) = read.map_err(|e| PathError::new(what, b"", e))?;
        Ok(XattrsRead { xattrs, lost: lost.map(|e| PathError::new(what, b"", e)) })
    }

    /// Reads the attribute bits; none where the volume has none.
    pub fn attributes(&self) -> Attributes {
        read_attributes(self.fd.as_fd())
    }

    /// Tells the kernel that the file is read once, from start to end.
    pub fn advise_sequential(&self) {
        // Advice: a refusal changes nothing.
        rustix::fs::fadvise(&self.fd, 0, None, rustix::fs::Advice::Sequential).ok();
    }

    /// Drops the file's pages from the cache so that the next read comes from the disk.
    pub fn drop_cache(&self) {
        // Advice: a refusal changes nothing.
        rustix::fs::fadvise(&self.fd, 0, None, rustix::fs::Advice::DontNeed).ok();
    }
}

impl FileWrite {
    fn pass(&self, op: Op, what: &'static str) -> Result<(), PathError> {
        self.seam.pass(op, b"", i64::from(self.fd.as_raw_fd())).map_err(|e| PathError::new(what, b"", e))
    }

    /// Writes all bytes at an offset.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), PathError> {
        let write = |bytes: &[u8]| {
            let mut done = 0;
            while done < bytes.len() {
                match rustix::io::pwrite(&self.fd, &bytes[done..], offset + done as u64) {
                    Ok(0) => return Err(Errno::IO),
                    Ok(n) => done += n,
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        };
        let short = self.seam.pass_write(i64::from(self.fd.as_raw_fd()));
        match short.map_err(|e| PathError::new("write", b"", e))? {
            None => write(bytes).map_err(fail("write")),
            Some((length, error)) => {
                write(&bytes[..length.min(bytes.len())]).map_err(fail("write"))?;
                Err(PathError::new("write", b"", error))
            }
        }
    }

    /// Sets the length: makes or cuts a hole at the end.
    pub fn set_len(&self, size_bytes: u64) -> Result<(), PathError> {
        self.pass(Op::SetLen, "set the length of")?;
        rustix::fs::ftruncate(&self.fd, size_bytes).map_err(fail("set the length of"))
    }

    /// Makes this file share all blocks of another (reflink).
    pub fn clone_from(&self, source: &FileRead) -> Result<(), PathError> {
        self.pass(Op::Clone, "clone")?;
        rustix::fs::ioctl_ficlone(&self.fd, &source.fd).map_err(fail("clone"))
    }

    /// Makes a hole in what was written or cloned; the length stays.
    pub fn punch_hole(&self, offset: u64, length_bytes: u64) -> Result<(), PathError> {
        self.pass(Op::SetLen, "make a hole in")?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.fd, flags, offset, length_bytes).map_err(fail("make a hole in"))
    }

    /// Reads back what was written or cloned.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.fd, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(fail("read")(e)),
            }
        }
        Ok(done)
    }

    /// Returns what is known about the open file.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of")?;
        let stat = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(fail("read the metadata of"))?;
        Ok(super::metadata_of(&stat))
    }

    /// Sets owner and group. Clears set-user-id bits, so the mode comes after.
    pub fn set_owner(&self, owner: Owner) -> Result<(), PathError> {
        self.pass(Op::SetOwner, "set the owner of")?;
        let (uid, gid) = raw_owner(owner);
        rustix::fs::fchown(&self.fd, Some(uid), Some(gid)).map_err(fail("set the owner of"))
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<(), PathError> {
        self.pass(Op::SetMode, "set the mode of")?;
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode)).map_err(fail("set the mode of"))
    }

    /// Sets the time of the last change.
    pub fn set_mtime(&self, mtime: Time) -> Result<(), PathError> {
        self.pass(Op::SetTimes, "set the times of")?;
        rustix::fs::futimens(&self.fd, &timestamps(mtime)).map_err(fail("set the times of"))
    }

    /// Sets one extended attribute.
    pub fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetXattr, "set an extended attribute of")?;
        let view = *self.view.get_or_init(|| View::of(self.fd.as_fd()));
        ntfs::set(Place::Fd(self.fd.as_fd()), view, name, value)
            .map_err(|e| PathError::new("set an extended attribute of", b"", e))
    }

    /// Sets the attribute bits.
    pub fn set_attributes(&self, attributes: Attributes) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "set the attributes of")?;
        write_attributes(self.fd.as_fd(), attributes).map_err(fail("set the attributes of"))
    }

    /// Waits until the file is on the disk.
    pub fn sync(&self) -> Result<(), PathError> {
        self.pass(Op::SyncFile, "sync")?;
        rustix::fs::fsync(&self.fd).map_err(fail("sync"))
    }
}

/// Returns the kernel's form of a time to set; the access time is left alone.
pub(crate) fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanos) },
    }
}

/// Returns the kernel's form of an owner.
pub(crate) fn raw_owner(owner: Owner) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid))
}

/// Reads `FS_IOC_GETFLAGS`; none on any failure, as many volumes do not know the call.
pub(crate) fn read_attributes(fd: std::os::fd::BorrowedFd<'_>) -> Attributes {
    let bits = rustix::fs::ioctl_getflags(fd).map_or(0, |flags| flags.bits());
    Attributes(bits & Attributes::KEPT)
}

/// Writes the kept bits of `FS_IOC_SETFLAGS`, leaving the others as they are.
pub(crate) fn write_attributes(fd: std::os::fd::BorrowedFd<'_>, attributes: Attributes) -> Result<(), Errno> {
    let old = rustix::fs::ioctl_getflags(fd)?.bits();
    let new = (old & !Attributes::KEPT) | (attributes.0 & Attributes::KEPT);
    if new == old {
        return Ok(());
    }
    rustix::fs::ioctl_setflags(fd, rustix::fs::IFlags::from_bits_retain(new))
}
