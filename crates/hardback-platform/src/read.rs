//! Reading to the end of a buffer or a file: what the twins do alike, on top of one call to the system.

use crate::error::PathError;
use crate::metadata::{Xattrs, XattrsRead};
use crate::system::dir::Dir;
use crate::system::file::FileRead;
use std::io;

impl XattrsRead {
    /// Returns all of them, or why some are missing.
    ///
    /// # Errors
    /// Some could not be read.
    pub fn whole(self) -> Result<Xattrs, PathError> {
        self.lost.map_or(Ok(self.xattrs), Err)
    }
}

impl Dir {
    /// Reads the extended attributes of an entry, or of this directory where the name is empty, with what NTFS has: see
    /// [`crate::ntfs`].
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn xattrs(&self, name: &[u8]) -> Result<Xattrs, PathError> {
        self.read_xattrs(name)?.whole()
    }
}

impl FileRead {
    /// Reads all extended attributes, as [`Dir::xattrs`].
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn xattrs(&self) -> Result<Xattrs, PathError> {
        self.read_xattrs()?.whole()
    }

    /// Reads from an offset until the buffer is full or the file ends; returns the number of bytes.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Reads the whole file, if it is not longer than a limit.
    pub fn read_to_vec(&self, bytes_max: usize) -> Result<Vec<u8>, PathError> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let n = self.read_at(&mut buffer, all.len() as u64)?;
            if n == 0 {
                return Ok(all);
            }
            all.extend_from_slice(&buffer[..n]);
            if all.len() > bytes_max {
                let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes"));
                return Err(PathError::new("read", b"", error));
            }
        }
    }
}
