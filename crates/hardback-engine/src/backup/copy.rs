//! Copying a content while hashing it: holes stay holes, and on a volume that can, unchanged blocks stay shared.

use super::shared::Shared;
use crate::content::{HOLE_BYTES_MIN, write_data};
use crate::manifest::Digest;
use crate::report::Counters;
use hardback_platform::{FileRead, FileWrite, PathError};

/// Bytes that are read and written at a time.
pub(super) const BUFFER_BYTES: usize = 512 * 1024;
/// Blocks that are compared one by one when a file starts as a clone of the base's.
const CLONE_BLOCK_BYTES: usize = 16 * 1024;

/// On which side a copy failed: an unreadable source is a problem of one entry, a failing target may end the run.
#[derive(Debug)]
pub(super) enum CopyError {
    Source(PathError),
    Target(PathError),
}

/// Buffers of a worker.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) read: Vec<u8>,
    pub(super) compare: Vec<u8>,
}

/// Whose file is read; a report tells what was read from the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFrom {
    Source,
    Target,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { read: vec![0; BUFFER_BYTES], compare: Vec::new() }
    }
}

/// A content that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub(super) digest: Digest,
    /// Bytes that the file had.
    pub(super) size_bytes: u64,
}

/// What to do with the bytes that are read.
pub(super) enum Sink<'a> {
    /// Hash them only.
    Hash,
    /// Write them to a new, empty file.
    Write(&'a FileWrite),
    /// Write those that differ from what is there: the file is a clone of an older version of this length or another.
    Patch(&'a FileWrite),
}

/// Reads a file to its end, hashing, into a sink. `size_bytes` and `blocks` are what its metadata said.
pub(super) fn copy_content(
    shared: &Shared<'_>,
    (read_from, source): (ReadFrom, &FileRead),
    size_bytes: u64,
    blocks: u64,
    sink: &Sink<'_>,
    buffers: &mut Buffers,
) -> Result<Content, CopyError> {
    let mut copy = Copy {
        shared,
        read_from,
        hasher: blake3::Hasher::new(),
        offset: 0,
        there: match sink {
            Sink::Patch(file) => file.metadata().map_err(CopyError::Target)?.size_bytes,
            _ => 0,
        },
        holes_are_hidden: false,
        content: Content { digest: [0; 32], size_bytes: 0 },
    };
    let sparse = blocks.saturating_mul(512) < size_bytes;
    if sparse {
        while let Some(range) = source.next_data(copy.offset, size_bytes).map_err(CopyError::Source)? {
            copy.holes_are_hidden = range == (0..size_bytes);
            copy.hole(range.start, sink, buffers)?;
            copy.data(source, range.end, sink, buffers)?;
            if copy.offset < range.end {
                break;
            }
        }
        let known = source.metadata().map_err(CopyError::Source)?.size_bytes;
        copy.hole(size_bytes.min(known), sink, buffers)?;
    } else {
        copy.data(source, size_bytes, sink, buffers)?;
    }
    match sink {
        Sink::Write(file) if sparse => file.set_len(copy.offset).map_err(CopyError::Target)?,
        Sink::Patch(file) => file.set_len(copy.offset).map_err(CopyError::Target)?,
        _ => {}
    }
    copy.content.size_bytes = copy.offset;
    copy.content.digest = *copy.hasher.finalize().as_bytes();
    Ok(copy.content)
}

struct Copy<'a> {
    shared: &'a Shared<'a>,
    read_from: ReadFrom,
    hasher: blake3::Hasher,
    offset: u64,
    /// Bytes that a clone starts with.
    there: u64,
    /// The file has holes, and its volume does not tell where.
    holes_are_hidden: bool,
    content: Content,
}

impl Copy<'_> {
    /// A large file must not keep a run from stopping.
    fn check_stop(&self) -> Result<(), CopyError> {
        if self.shared.is_stopped() {
            return Err(CopyError::Target(PathError::new("store", b"", std::io::ErrorKind::Interrupted)));
        }
        Ok(())
    }

    /// Copies data up to an offset or the end of the file.
    fn data(&mut self, source: &FileRead, end: u64, sink: &Sink<'_>, buffers: &mut Buffers) -> Result<(), CopyError> {
        while self.offset < end {
            self.check_stop()?;
            let want = usize::try_from(end - self.offset).unwrap_or(usize::MAX).min(buffers.read.len());
            let n = source.read_full_at(&mut buffers.read[..want], self.offset).map_err(CopyError::Source)?;
            if n == 0 {
                return Ok(());
            }
            self.hasher.update(&buffers.read[..n]);
            let counters = self.shared.ctx.counters;
            let counter = match self.read_from {
                ReadFrom::Source => &counters.bytes_read,
                ReadFrom::Target => &counters.bytes_read_back,
            };
            Counters::add(counter, n as u64);
            match sink {
                Sink::Hash => {}
                Sink::Write(file) => {
                    let pieces = if self.holes_are_hidden { HOLE_BYTES_MIN } else { BUFFER_BYTES };
                    let written = write_data(file, &buffers.read[..n], self.offset, pieces);
                    Counters::add(&self.shared.ctx.counters.bytes_written, written.map_err(CopyError::Target)?);
                }
                Sink::Patch(file) => {
                    let written = patch(file, self.offset, n, buffers).map_err(CopyError::Target)?;
                    Counters::add(&self.shared.ctx.counters.bytes_written, written);
                }
            }
            self.offset += n as u64;
        }
        Ok(())
    }

    /// Hashes the zeros of a hole. A clone gets the hole too; where it cannot, zeros are written over other bytes.
    /// Behind the end of the clone there is nothing but a hole.
    fn hole(&mut self, end: u64, sink: &Sink<'_>, buffers: &mut Buffers) -> Result<(), CopyError> {
        if let Sink::Patch(file) = sink {
            let length_bytes = end.min(self.there).saturating_sub(self.offset);
            if length_bytes > 0 && file.punch_hole(self.offset, length_bytes).is_err() {
                return self.zeros(end, Some(file), buffers);
            }
        }
        self.zeros(end, None, buffers)
    }

    fn zeros(&mut self, end: u64, clone: Option<&FileWrite>, buffers: &mut Buffers) -> Result<(), CopyError> {
        while self.offset < end {
            self.check_stop()?;
            let n = usize::try_from(end - self.offset).unwrap_or(usize::MAX).min(buffers.read.len());
            buffers.read[..n].fill(0);
            self.hasher.update(&buffers.read[..n]);
            let n_there = usize::try_from(self.there.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(n);
            if let Some(file) = clone.filter(|_| n_there > 0) {
                let written = patch(file, self.offset, n_there, buffers).map_err(CopyError::Target)?;
                Counters::add(&self.shared.ctx.counters.bytes_written, written);
            }
            self.offset += n as u64;
        }
        Ok(())
    }
}

/// Writes the blocks of `buffers.read[..length]` that differ from the file; returns the bytes written.
fn patch(file: &FileWrite, offset: u64, length: usize, buffers: &mut Buffers) -> Result<u64, PathError> {
    buffers.compare.resize(BUFFER_BYTES, 0);
    let there = file.read_full_at(&mut buffers.compare[..length], offset)?;
    let mut written = 0;
    let mut start = 0;
    while start < length {
        let end = (start + CLONE_BLOCK_BYTES).min(length);
        let new = &buffers.read[start..end];
        if end > there || new != &buffers.compare[start..end] {
            file.write_all_at(new, offset + start as u64)?;
            written += (end - start) as u64;
        }
        start = end;
    }
    Ok(written)
}
