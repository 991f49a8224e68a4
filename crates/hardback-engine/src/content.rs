//! Reading a content while hashing it, and writing it elsewhere: holes stay holes.
//!
//! For the verbs that read snapshots and compare; a backup has more ways to store a content and its own `copy`.

use crate::manifest::Digest;
use crate::report::{Cancel, Counters};
use hardback_platform::{FileRead, FileWrite, PathError};
use std::io;

/// Bytes that are read and written at a time.
const BUFFER_BYTES: usize = 512 * 1024;
/// Zeros that become a hole where the volume does not tell the holes of a sparse file.
pub(crate) const HOLE_BYTES_MIN: usize = 16 * 1024;

/// On which side a copy failed.
#[derive(Debug)]
pub(crate) enum ContentError {
    /// The stored file cannot be read.
    Stored(PathError),
    /// The new file cannot be written.
    Written(PathError),
    /// The user asked to stop, or something else ended the verb.
    Stopped,
}

/// A content that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    /// BLAKE3.
    pub(crate) digest: Digest,
    /// Bytes that the file had, up to what was expected.
    pub(crate) size_bytes: u64,
    /// Bytes that were written: without holes.
    pub(crate) written_bytes: u64,
}

/// Knows whether the work stops: a large file must not keep it.
pub(crate) trait Stop {
    /// Returns whether it does.
    fn is_stopped(&self) -> bool;
}

impl Stop for Cancel {
    fn is_stopped(&self) -> bool {
        self.is_cancelled()
    }
}

/// Reads contents; one for each worker.
pub(crate) struct ContentReader<'a> {
    counters: &'a Counters,
    stop: &'a dyn Stop,
    buffer: Vec<u8>,
}

impl<'a> ContentReader<'a> {
    pub(crate) fn new(counters: &'a Counters, stop: &'a dyn Stop) -> Self {
        Self { counters, stop, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Reads a file, hashing, and writes it to a new, empty file if one is given. `size_bytes` is what it should have,
    /// `blocks` what its metadata said.
    pub(crate) fn read(
        &mut self,
        stored: &FileRead,
        size_bytes: u64,
        blocks: u64,
        to: Option<&FileWrite>,
    ) -> Result<Content, ContentError> {
        let mut reading =
            Reading { hasher: blake3::Hasher::new(), offset: 0, written_bytes: 0, holes_are_hidden: false };
        let is_sparse = blocks.saturating_mul(512) < size_bytes;
        if is_sparse {
            while let Some(range) = stored.next_data(reading.offset, size_bytes).map_err(ContentError::Stored)? {
                reading.holes_are_hidden = range == (0..size_bytes);
                self.hole(&mut reading, range.start)?;
                self.data(&mut reading, stored, range.end, to)?;
                if reading.offset < range.end {
                    break;
                }
            }
            let known = stored.metadata().map_err(ContentError::Stored)?.size_bytes;
            self.hole(&mut reading, size_bytes.min(known))?;
            if let Some(to) = to {
                to.set_len(reading.offset).map_err(ContentError::Written)?;
            }
        } else {
            self.data(&mut reading, stored, size_bytes, to)?;
        }
        let digest = *reading.hasher.finalize().as_bytes();
        Ok(Content { digest, size_bytes: reading.offset, written_bytes: reading.written_bytes })
    }

    fn data(
        &mut self,
        reading: &mut Reading,
        stored: &FileRead,
        end: u64,
        to: Option<&FileWrite>,
    ) -> Result<(), ContentError> {
        while reading.offset < end {
            if self.stop.is_stopped() {
                return Err(ContentError::Stopped);
            }
            let want = usize::try_from(end - reading.offset).unwrap_or(usize::MAX).min(self.buffer.len());
            let n = stored.read_full_at(&mut self.buffer[..want], reading.offset).map_err(ContentError::Stored)?;
            if n == 0 {
                return Ok(());
            }
            reading.hasher.update(&self.buffer[..n]);
            Counters::add(&self.counters.bytes_read, n as u64);
            if let Some(to) = to {
                let pieces = if reading.holes_are_hidden { HOLE_BYTES_MIN } else { BUFFER_BYTES };
                let written = write_data(to, &self.buffer[..n], reading.offset, pieces);
                let written = written.map_err(ContentError::Written)?;
                Counters::add(&self.counters.bytes_written, written);
                reading.written_bytes += written;
            }
            reading.offset += n as u64;
        }
        Ok(())
    }

    /// Hashes the zeros of a hole.
    fn hole(&mut self, reading: &mut Reading, end: u64) -> Result<(), ContentError> {
        let zeros_end = self.buffer.len().min(usize::try_from(end - reading.offset.min(end)).unwrap_or(usize::MAX));
        self.buffer[..zeros_end].fill(0);
        while reading.offset < end {
            if self.stop.is_stopped() {
                return Err(ContentError::Stopped);
            }
            let n = usize::try_from(end - reading.offset).unwrap_or(usize::MAX).min(self.buffer.len());
            reading.hasher.update(&self.buffer[..n]);
            reading.offset += n as u64;
        }
        Ok(())
    }
}

struct Reading {
    hasher: blake3::Hasher,
    offset: u64,
    written_bytes: u64,
    /// The file has holes, and the volume (ntfs-3g, say) does not tell where.
    holes_are_hidden: bool,
}

/// Writes bytes at an offset; of several pieces those that are zeros stay a hole. Returns the number of bytes written.
pub(crate) fn write_data(to: &FileWrite, bytes: &[u8], offset: u64, piece_bytes: usize) -> Result<u64, PathError> {
    if piece_bytes >= bytes.len() {
        to.write_all_at(bytes, offset)?;
        return Ok(bytes.len() as u64);
    }
    let mut written = 0;
    for (index, piece) in bytes.chunks(piece_bytes).enumerate() {
        if piece.iter().any(|&b| b != 0) {
            to.write_all_at(piece, offset + (index * piece_bytes) as u64)?;
            written += piece.len() as u64;
        }
    }
    Ok(written)
}

impl ContentError {
    /// Returns the error of either side.
    pub(crate) fn into_path_error(self) -> PathError {
        match self {
            Self::Stored(error) | Self::Written(error) => error,
            Self::Stopped => PathError::new("read", b"", io::ErrorKind::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::{Dir, Seam};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Goes on this many times.
    struct After(AtomicU64);

    impl Stop for After {
        fn is_stopped(&self) -> bool {
            self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err()
        }
    }

    #[test]
    fn a_hole_that_is_not_read_to_its_end_is_no_content() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        let size_bytes = 4 * BUFFER_BYTES as u64;
        dir.create_file(b"sparse", 0o600).unwrap().set_len(size_bytes).unwrap();
        let file = dir.open_file(b"sparse").unwrap();
        for checks in [0, 1, 3, 4] {
            let (counters, stop) = (Counters::default(), After(AtomicU64::new(checks)));
            let read = ContentReader::new(&counters, &stop).read(&file, size_bytes, 0, None);
            match read {
                Err(ContentError::Stopped) => assert!(checks < 4),
                other => assert_eq!((other.unwrap().size_bytes, checks), (size_bytes, 4)),
            }
        }
    }
}
