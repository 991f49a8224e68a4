//! Rows of numbers, sorted: what does not fit in memory goes into a nameless file, in sorted runs that are merged when they
//! are read. So millions of files cost disk, not memory.

use crate::groups::Scratch;
use hardback_platform::{Faults, FileWrite, PathError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Rows in memory: some 10 MiB.
const IN_MEMORY_MAX: usize = 262_144;
/// Runs in the file; then they become one.
const RUNS_MAX: usize = 64;
/// Rows that are read or written at a time.
const PAGE_ROWS: usize = 1024;

/// What is sorted.
pub(super) trait Row: Copy {
    /// What it is sorted by.
    type Key: Ord + Copy;
    /// Bytes in the file.
    const BYTES: usize;

    fn key(&self) -> Self::Key;
    /// Returns whether two rows become one. Between them are none but such.
    fn is_one_with(&self, other: &Self) -> bool;
    /// Takes another row in.
    fn absorb(&mut self, other: &Self);
    fn write(&self, out: &mut Vec<u8>);
    /// Reverses [`Row::write`].
    fn read(bytes: &[u8]) -> Self;
}

/// Knows where files of what does not fit in memory go.
pub(super) trait Scratches {
    /// Returns such a place, another one each time.
    fn scratch(&self) -> Result<Scratch, PathError>;
}

/// Rows, in any order.
#[derive(Debug)]
pub(super) struct Runs<R> {
    memory: Vec<R>,
    memory_max: usize,
    /// Why there can be no file, if that is so: then all stays in memory.
    scratch: Result<Scratch, Option<PathError>>,
    next_file: u64,
    file: Option<RunFile>,
    refused: Option<PathError>,
}

/// Sorted runs, one behind the other.
#[derive(Debug)]
struct RunFile {
    file: FileWrite,
    /// Numbers of the rows behind each run.
    ends: Vec<u64>,
}

/// Sorts rows and makes one of those that belong together.
fn condense<R: Row>(all: &mut Vec<R>) {
    all.sort_unstable_by_key(Row::key);
    all.dedup_by(|next, kept| {
        let are_one = kept.is_one_with(next);
        if are_one {
            kept.absorb(next);
        }
        are_one
    });
}

impl<R: Row> Runs<R> {
    /// Makes room for rows. Where there is no place for a file, all stays in memory.
    pub(super) fn new(scratches: &dyn Scratches) -> Self {
        Self::with_room(scratches.scratch(), IN_MEMORY_MAX)
    }

    fn with_room(scratch: Result<Scratch, PathError>, memory_max: usize) -> Self {
        let scratch = scratch.map_err(Some);
        Self { memory: Vec::new(), memory_max, scratch, next_file: 0, file: None, refused: None }
    }

    /// Adds one.
    pub(super) fn push(&mut self, row: R) -> Result<(), PathError> {
        self.memory.push(row);
        if self.memory.len() < self.memory_max { Ok(()) } else { self.spill() }
    }

    /// Returns, once, why there can be no file.
    pub(super) fn take_refused(&mut self) -> Option<PathError> {
        self.refused.take()
    }

    /// Returns all, sorted.
    pub(super) fn merged(mut self) -> Result<Merge<R>, PathError> {
        condense(&mut self.memory);
        Merge::new(self.memory, self.file)
    }

    /// Moves what is in memory into the file.
    fn spill(&mut self) -> Result<(), PathError> {
        condense(&mut self.memory);
        if self.memory.len() < self.memory_max / 2 {
            return Ok(());
        }
        if self.scratch.is_ok() {
            match self.write_run() {
                Ok(()) => return Ok(()),
                // Who counts because the volume is full, or may only read it, is told all the same.
                Err(error) if matches!(error.fault(), Faults::Full | Faults::Denied | Faults::ReadOnly) => {
                    self.scratch = Err(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if let Err(why) = &mut self.scratch
            && let Some(why) = why.take()
        {
            self.refused = Some(why);
        }
        self.memory_max = self.memory.len().saturating_mul(2).max(self.memory_max);
        Ok(())
    }

    fn write_run(&mut self) -> Result<(), PathError> {
        if self.file.as_ref().is_some_and(|file| file.ends.len() >= RUNS_MAX) {
            self.make_one()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.new_file()?,
        };
        let appended = file.append(self.memory.iter().copied().map(Ok));
        self.file = Some(file);
        appended?;
        self.memory.clear();
        Ok(())
    }

    /// Makes one run of all that are in the file; if that fails, they stay.
    fn make_one(&mut self) -> Result<(), PathError> {
        let mut one = self.new_file()?;
        let mut merge = Merge::<R>::new(Vec::new(), self.file.take())?;
        let appended = one.append(&mut merge);
        self.file = match &appended {
            Ok(()) => Some(one),
            Err(_) => merge.file,
        };
        appended
    }

    fn new_file(&mut self) -> Result<RunFile, PathError> {
        let scratch = self.scratch.as_ref().expect("asked only where there is a place");
        let file = scratch.nameless(self.next_file)?;
        self.next_file += 1;
        Ok(RunFile { file, ends: Vec::new() })
    }
}

impl RunFile {
    /// Writes a run of sorted rows.
    fn append<R: Row>(&mut self, sorted: impl IntoIterator<Item = Result<R, PathError>>) -> Result<(), PathError> {
        let mut end = self.ends.last().copied().unwrap_or(0);
        let mut page = Vec::with_capacity(PAGE_ROWS * R::BYTES);
        let mut write = |page: &mut Vec<u8>| {
            self.file.write_all_at(page, end * R::BYTES as u64)?;
            end += (page.len() / R::BYTES) as u64;
            page.clear();
            Ok::<_, PathError>(())
        };
        for row in sorted {
            row?.write(&mut page);
            if page.len() >= PAGE_ROWS * R::BYTES {
                write(&mut page)?;
            }
        }
        write(&mut page)?;
        self.ends.push(end);
        Ok(())
    }
}

/// Rows in order; those that belong together are one.
pub(super) struct Merge<R: Row> {
    file: Option<RunFile>,
    /// What is read of each run.
    sources: Vec<Source<R>>,
    /// The next of each run.
    heads: BinaryHeap<Reverse<(R::Key, usize)>>,
}

#[derive(Debug)]
struct Source<R> {
    page: Vec<R>,
    at: usize,
    /// What of the file follows.
    next: u64,
    end: u64,
}

impl<R: Row> Merge<R> {
    fn new(memory: Vec<R>, file: Option<RunFile>) -> Result<Self, PathError> {
        let mut sources = vec![Source { page: memory, at: 0, next: 0, end: 0 }];
        let mut next = 0;
        for end in file.iter().flat_map(|file| &file.ends) {
            sources.push(Source { page: Vec::new(), at: 0, next, end: *end });
            next = *end;
        }
        let mut merge = Self { file, sources, heads: BinaryHeap::new() };
        (0..merge.sources.len()).try_for_each(|index| merge.look(index))?;
        Ok(merge)
    }

    /// Puts the next of a run among the heads.
    fn look(&mut self, index: usize) -> Result<(), PathError> {
        let source = &mut self.sources[index];
        if source.at == source.page.len() && source.next < source.end {
            let count = (source.end - source.next).min(PAGE_ROWS as u64);
            let mut bytes = vec![0; usize::try_from(count).expect("a page") * R::BYTES];
            if let Some(file) = &self.file {
                file.file.read_full_at(&mut bytes, source.next * R::BYTES as u64)?;
            }
            source.next += count;
            source.page = bytes.chunks_exact(R::BYTES).map(R::read).collect();
            source.at = 0;
        }
        if let Some(head) = source.page.get(source.at) {
            self.heads.push(Reverse((head.key(), index)));
        }
        Ok(())
    }

    /// Returns the next row that waits.
    fn head(&self) -> Option<&R> {
        let Reverse((_, index)) = self.heads.peek()?;
        let source = &self.sources[*index];
        source.page.get(source.at)
    }

    fn take(&mut self) -> Result<Option<R>, PathError> {
        let Some(Reverse((_, index))) = self.heads.pop() else { return Ok(None) };
        let source = &mut self.sources[index];
        let row = source.page[source.at];
        source.at += 1;
        self.look(index)?;
        Ok(Some(row))
    }

    fn take_one(&mut self) -> Result<Option<R>, PathError> {
        let Some(mut one) = self.take()? else { return Ok(None) };
        while self.head().is_some_and(|head| one.is_one_with(head)) {
            if let Some(other) = self.take()? {
                one.absorb(&other);
            }
        }
        Ok(Some(one))
    }
}

impl<R: Row> Iterator for Merge<R> {
    type Item = Result<R, PathError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take_one().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Sighting;
    use super::*;
    use hardback_platform::{Call, Dir, Op, Seam, Verdict, Watch};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn scratch(temp: &tempfile::TempDir, seam: Seam) -> Scratch {
        Scratch { dir: Dir::open(temp.path(), seam).unwrap(), prefix: b"du-".to_vec() }
    }

    /// Numbers in no order.
    fn mixed(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }

    fn check<const AT_A_PLACE: bool>(scratch: Result<Scratch, PathError>, is_in_memory: bool) {
        let mut runs = Runs::with_room(scratch, 50);
        let mut expected: BTreeMap<(u64, u32), (u32, u32)> = BTreeMap::new();
        for n in 0..20_000 {
            let (file, low) = (mixed(n) % 3_000, u32::try_from(mixed(n + 1) % 7).unwrap());
            let blocks = file * 8;
            runs.push(Sighting::<AT_A_PLACE> { file, low, high: low, names: 1, nlink: 9, blocks, cloned: 0 }).unwrap();
            let (names, high) = expected.entry((file, if AT_A_PLACE { low } else { 0 })).or_default();
            *names += 1;
            *high = (*high).max(low);
            assert!(is_in_memory || runs.memory.len() <= 50);
        }
        assert_eq!(runs.file.as_ref().is_none_or(|file| file.ends.is_empty()), is_in_memory);
        assert_eq!(runs.take_refused().is_some(), is_in_memory);
        assert!(runs.take_refused().is_none());
        let merged: Vec<_> = runs.merged().unwrap().collect::<Result<_, _>>().unwrap();
        assert!(merged.is_sorted_by_key(Row::key));
        assert!(merged.iter().all(|s| s.nlink == 9 && s.blocks == s.file * 8));
        let key = |s: &Sighting<AT_A_PLACE>| (s.file, if AT_A_PLACE { s.low } else { 0 });
        let found: BTreeMap<_, _> = merged.iter().map(|s| (key(s), (s.names, s.high))).collect();
        assert_eq!(merged.len(), expected.len());
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_come_back_sorted_and_condensed_from_many_runs() {
        let temp = tempfile::tempdir().unwrap();
        check::<true>(Ok(scratch(&temp, Seam::default())), false);
        check::<false>(Ok(scratch(&temp, Seam::default())), false);
        assert!(scratch(&temp, Seam::default()).dir.list().unwrap().is_empty(), "the files go with their handles");
    }

    /// Has no room.
    struct Full;

    impl Watch for Full {
        fn before(&self, call: &Call<'_>) -> Verdict {
            match call.op {
                Op::Write => Verdict::Fail(std::io::ErrorKind::StorageFull.into()),
                _ => Verdict::Go,
            }
        }
    }

    #[test]
    fn where_there_can_be_no_file_all_stays_in_memory() {
        let temp = tempfile::tempdir().unwrap();
        check::<true>(Ok(scratch(&temp, Seam::watched(Arc::new(Full)))), true);
        check::<false>(Err(PathError::new("open the folder", b"trash", std::io::ErrorKind::PermissionDenied)), true);
    }
}
