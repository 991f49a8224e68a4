//! Finding moved files in the base by their file id.
//!
//! The index is built when the first new file is met: sorted runs of (file id, position of the manifest line) in a
//! nameless temporary file, with one key of each page in memory. So it costs nothing when nothing is new, and a few
//! hundred kilobytes of memory for millions of entries.

use crate::error::Error;
use crate::manifest::{EntriesByPosition, Entry, Line, ManifestError, Position, Reader};
use hardback_platform::{Dir, FileRead, FileWrite, Kind, PathError, RelPath};
use std::sync::Mutex;

/// Bytes of a record: file id, frame offset, line offset.
const RECORD_BYTES: usize = 20;
/// Records of a page, the unit that is read.
const PAGE_RECORDS: usize = 200;
/// Records that are sorted in memory at a time.
const RUN_RECORDS: usize = 262_144;
/// Name of the temporary file; removed while it is open.
const INDEX_NAME: &[u8] = b"moved-index";

/// Files of the base by file id.
#[derive(Debug, Default)]
pub(super) struct MovedFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    /// No base, or ids that prove nothing.
    #[default]
    None,
    /// Not built yet: the manifest, opened once for building and once for looking up, and where the index goes.
    Unbuilt(Box<(Reader<FileRead>, FileRead, Dir)>),
    Built(Box<Index>),
}

#[derive(Debug)]
struct Index {
    file: FileWrite,
    runs: Vec<Run>,
    entries: EntriesByPosition<FileRead>,
}

#[derive(Debug)]
struct Run {
    /// Number of the first record in the file.
    start: usize,
    length: usize,
    /// First file id of each page.
    fence: Vec<u64>,
}

impl MovedFiles {
    /// Prepares to build the index of a manifest in a folder, when it is needed.
    pub(super) fn new(for_index: Reader<FileRead>, for_entries: FileRead, dir: Dir) -> Self {
        Self { state: Mutex::new(State::Unbuilt(Box::new((for_index, for_entries, dir)))) }
    }

    /// Returns the files of the base that had a file id, each with its folder. An index that fails is given up: the error
    /// comes once.
    pub(super) fn find(&self, inode: u64) -> Result<Vec<(RelPath, Entry)>, Error> {
        let mut state = self.state.lock().expect("no panic while the index is held");
        if let State::Unbuilt(_) = &*state
            && let State::Unbuilt(parts) = std::mem::take(&mut *state)
        {
            *state = State::Built(Box::new(build(*parts)?));
        }
        let found = match &mut *state {
            State::Built(index) => index.find(inode),
            _ => Ok(Vec::new()),
        };
        if found.is_err() {
            *state = State::None;
        }
        found
    }
}

fn build((mut reader, entries, dir): (Reader<FileRead>, FileRead, Dir)) -> Result<Index, Error> {
    let name = reader.header().snapshot.clone();
    let failed = |source: ManifestError| Error::Manifest { snapshot: name.clone(), source };
    let file = dir.create_file(INDEX_NAME, 0o600)?;
    dir.unlink(INDEX_NAME)?;
    let mut index = Index { file, runs: Vec::new(), entries: EntriesByPosition::new(entries) };
    let mut records: Vec<(u64, Position)> = Vec::new();
    while let Some((line, position)) = reader.next_line().map_err(&failed)? {
        if let Line::Entry(entry) = line
            && entry.kind == Kind::File
            && entry.content.is_some()
            && let Some(inode) = entry.inode
        {
            records.push((inode, position));
            if records.len() == RUN_RECORDS {
                index.add_run(&mut records)?;
            }
        }
    }
    index.add_run(&mut records)?;
    Ok(index)
}

impl Index {
    fn add_run(&mut self, records: &mut Vec<(u64, Position)>) -> Result<(), PathError> {
        records.sort_unstable_by_key(|(inode, position)| (*inode, *position));
        let start = self.runs.last().map_or(0, |r| r.start + r.length);
        let mut bytes = Vec::with_capacity(records.len() * RECORD_BYTES);
        for (inode, position) in records.iter() {
            bytes.extend_from_slice(&inode.to_le_bytes());
            bytes.extend_from_slice(&position.frame.to_le_bytes());
            bytes.extend_from_slice(&position.line.to_le_bytes());
        }
        self.file.write_all_at(&bytes, (start * RECORD_BYTES) as u64)?;
        let fence = records.iter().step_by(PAGE_RECORDS).map(|(inode, _)| *inode).collect();
        self.runs.push(Run { start, length: records.len(), fence });
        records.clear();
        Ok(())
    }

    fn find(&mut self, inode: u64) -> Result<Vec<(RelPath, Entry)>, Error> {
        let mut positions = Vec::new();
        for run in &self.runs {
            // The page before the first fence above the id; equal ids may go on in the next ones.
            let mut page = run.fence.partition_point(|&first| first < inode).saturating_sub(1);
            while page < run.fence.len() && run.fence[page] <= inode {
                positions.extend(read_page(&self.file, run, page, inode)?);
                page += 1;
            }
        }
        let mut found = Vec::new();
        for position in positions {
            let entry = self.entries.get(position);
            found.extend(entry.map_err(|source| Error::Manifest { snapshot: "the base".into(), source })?);
        }
        Ok(found)
    }
}

fn read_page(file: &FileWrite, run: &Run, page: usize, inode: u64) -> Result<Vec<Position>, PathError> {
    let first = page * PAGE_RECORDS;
    let count = PAGE_RECORDS.min(run.length - first);
    let mut bytes = vec![0; count * RECORD_BYTES];
    let n = file.read_full_at(&mut bytes, ((run.start + first) * RECORD_BYTES) as u64)?;
    let mut positions = Vec::new();
    for record in bytes[..n].chunks_exact(RECORD_BYTES) {
        let (id, rest) = record.split_at(8);
        if id == inode.to_le_bytes() {
            let (frame, line) = rest.split_at(8);
            positions.push(Position {
                frame: u64::from_le_bytes(frame.try_into().expect("8 bytes")),
                line: u32::from_le_bytes(line.try_into().expect("4 bytes")),
            });
        }
    }
    Ok(positions)
}
