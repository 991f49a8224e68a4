//! Walking a manifest beside another tree in the same order, one directory at a time.

use super::reader::{FrameEntry, read_frame_entries};
use super::{Entry, Line, ManifestError, Position, ReadAt, Reader, Unstored};
use hardback_platform::RelPath;
use std::collections::{BTreeMap, VecDeque};

/// Parsed frames that [`EntriesByPosition`] keeps.
const CACHED_FRAMES: usize = 4;
/// Most that the names of one directory that have no entry may take in memory: far above what a directory has, and a
/// bound against a hostile record.
const UNSTORED_BYTES_MAX: usize = 256 << 20;
/// What a name takes beside its bytes, about.
const UNSTORED_NAME_BYTES: usize = 32;

/// A manifest as a tree that is entered directory by directory, in tree order.
///
/// In each directory: [`TreeCursor::next_file`] until `None`, then [`TreeCursor::next_dir`] or
/// [`TreeCursor::enter`], each followed by its directory's calls and [`TreeCursor::leave`].
#[derive(Debug)]
pub struct TreeCursor<R> {
    reader: Reader<R>,
    ahead: Option<(Line, Position)>,
    depth: usize,
    complete: bool,
    lenient: bool,
    /// The root was taken.
    entered: bool,
    /// What follows cannot be read.
    cut_off: bool,
    names: OwnerNames,
    /// What the directory's lines so far name as not stored, if anybody asks.
    unstored: Option<Names>,
}

/// Names of one directory that have no entry.
#[derive(Debug)]
struct Names {
    names: Vec<Box<[u8]>>,
    /// What was left out on purpose is not wanted.
    without_excluded: bool,
    /// What they may still take.
    bytes_left: usize,
    bytes_max: usize,
}

impl Names {
    fn new(without_excluded: bool, bytes_max: usize) -> Self {
        Self { names: Vec::new(), without_excluded, bytes_left: bytes_max, bytes_max }
    }

    fn push(&mut self, why: Unstored, name: Box<[u8]>) -> Result<(), ManifestError> {
        if self.without_excluded && why == Unstored::Excluded {
            return Ok(());
        }
        let more = self.bytes_left.checked_sub(name.len() + UNSTORED_NAME_BYTES);
        let what = "a folder names more as not stored than can be looked at";
        self.bytes_left = more.ok_or(ManifestError::Damaged { offset: 0, what })?;
        self.names.push(name);
        Ok(())
    }

    fn take(&mut self) -> Vec<Box<[u8]>> {
        self.bytes_left = self.bytes_max;
        std::mem::take(&mut self.names)
    }
}

/// Names of the users and groups that a manifest has told so far; each stands before the first entry that it owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerNames {
    /// Users by number.
    pub users: BTreeMap<u32, String>,
    /// Groups by number.
    pub groups: BTreeMap<u32, String>,
}

impl<R: ReadAt> TreeCursor<R> {
    /// Starts at the top; returns the cursor and the entry of the root.
    pub fn open(reader: Reader<R>) -> Result<(Self, Entry), ManifestError> {
        let mut cursor = Self {
            reader,
            ahead: None,
            depth: 1,
            complete: false,
            lenient: false,
            entered: false,
            cut_off: false,
            names: OwnerNames::default(),
            unstored: None,
        };
        match cursor.take()? {
            Some((Line::Entry(root), _)) if root.is_dir() => Ok((cursor, root)),
            _ => Err(ManifestError::Damaged { offset: 0, what: "no root entry" }),
        }
    }

    /// Starts at the top of the record of an unfinished run, which may end anywhere, also within a frame, and may be
    /// damaged or unreadable from anywhere on.
    pub fn open_lenient(reader: Reader<R>) -> Result<(Self, Entry), ManifestError> {
        let (cursor, root) = Self::open(reader)?;
        Ok((Self { lenient: true, ..cursor }, root))
    }

    /// Returns whether the end was reached and stood there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Makes sure that the record ends where its top folder was left: what it lacks would count as removed.
    pub fn finish(&mut self) -> Result<(), ManifestError> {
        let more = self.peek()?.is_some();
        if self.complete && !more {
            return Ok(());
        }
        Err(ManifestError::Damaged { offset: 0, what: "it goes on behind its last folder" })
    }

    /// Returns the reader, for its header and sums.
    pub fn reader(&self) -> &Reader<R> {
        &self.reader
    }

    /// Returns the names of owners that stand before the entries that were returned.
    pub fn owner_names(&self) -> &OwnerNames {
        &self.names
    }

    /// Asks for what [`TreeCursor::take_unstored`] returns.
    pub fn collect_unstored(&mut self, without_excluded: bool) {
        self.unstored = Some(Names::new(without_excluded, UNSTORED_BYTES_MAX));
    }

    /// Returns the names of this directory that its lines so far say have no entry, each once. Asked behind each
    /// [`TreeCursor::next_dir`], before anything in that directory, it returns those of the directory around it.
    pub fn take_unstored(&mut self) -> Vec<Box<[u8]>> {
        self.unstored.as_mut().map(Names::take).unwrap_or_default()
    }

    fn take(&mut self) -> Result<Option<(Line, Position)>, ManifestError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            let line = match self.reader.next_line() {
                // Behind what cannot be read it is not known where one is.
                _ if self.cut_off => None,
                Err(_) if self.lenient => {
                    self.cut_off = true;
                    None
                }
                other => other?,
            };
            match line {
                // A whole record says where it ends: without that the rest would count as deleted.
                None if !self.lenient && !self.complete => {
                    return Err(ManifestError::Damaged { offset: 0, what: "it ends before its end" });
                }
                Some((Line::User(id, name), _)) => {
                    self.names.users.insert(id, name);
                }
                Some((Line::Unstored(why, name), _)) => {
                    if let Some(unstored) = &mut self.unstored {
                        unstored.push(why, name)?;
                    }
                }
                Some((Line::Group(id, name), _)) => {
                    self.names.groups.insert(id, name);
                }
                Some((Line::End, _)) => {
                    self.complete = true;
                    return Ok(None);
                }
                Some((Line::Entry(entry), _)) if *entry.name == *b"." && self.entered && self.lenient => {
                    self.cut_off = true;
                }
                Some((Line::Entry(entry), _)) if *entry.name == *b"." && self.entered => {
                    return Err(ManifestError::Damaged { offset: 0, what: "a second root entry" });
                }
                other => {
                    self.entered = true;
                    return Ok(other);
                }
            }
        }
    }

    fn peek(&mut self) -> Result<Option<&(Line, Position)>, ManifestError> {
        if self.ahead.is_none() {
            self.ahead = self.take()?;
        }
        Ok(self.ahead.as_ref())
    }

    /// Returns the next entry of this directory that is no directory.
    pub fn next_file(&mut self) -> Result<Option<(Entry, Position)>, ManifestError> {
        match self.peek()? {
            Some((Line::Entry(entry), _)) if !entry.is_dir() => {}
            _ => return Ok(None),
        }
        Ok(match self.ahead.take() {
            Some((Line::Entry(entry), position)) => Some((entry, position)),
            _ => None,
        })
    }

    /// Returns whether nothing of this directory is left.
    pub fn is_at_end(&mut self) -> Result<bool, ManifestError> {
        Ok(!matches!(self.peek()?, Some((Line::Entry(_), _))))
    }

    /// Returns the next file if its name is the given one; files with a lesser name are passed over and counted.
    pub fn file_named(&mut self, name: &[u8], passed: &mut u64) -> Result<Option<Entry>, ManifestError> {
        loop {
            match self.peek()? {
                Some((Line::Entry(entry), _)) if !entry.is_dir() && &*entry.name <= name => {}
                _ => return Ok(None),
            }
            if let Some((Line::Entry(entry), _)) = self.ahead.take() {
                if &*entry.name == name {
                    return Ok(Some(entry));
                }
                *passed += 1;
            }
        }
    }

    /// Enters the next subdirectory of this directory; files that were not asked for are passed over.
    pub fn next_dir(&mut self) -> Result<Option<(Entry, Position)>, ManifestError> {
        while self.next_file()?.is_some() {}
        match self.peek()? {
            Some((Line::Entry(_), _)) => {}
            _ => return Ok(None),
        }
        self.depth += 1;
        Ok(match self.ahead.take() {
            Some((Line::Entry(entry), position)) => Some((entry, position)),
            _ => None,
        })
    }

    /// Enters the subdirectory of a name, if there is one; those with a lesser name are passed over, their entries
    /// counted.
    pub fn enter(&mut self, name: &[u8], passed: &mut u64) -> Result<Option<Entry>, ManifestError> {
        while self.next_file()?.is_some() {
            *passed += 1;
        }
        loop {
            match self.peek()? {
                Some((Line::Entry(entry), _)) if &*entry.name <= name => {}
                _ => return Ok(None),
            }
            let Some((Line::Entry(entry), _)) = self.ahead.take() else { return Ok(None) };
            self.depth += 1;
            if &*entry.name == name {
                return Ok(Some(entry));
            }
            *passed += 1 + self.leave()?;
        }
    }

    /// Leaves this directory; returns the number of entries that were passed over.
    pub fn leave(&mut self) -> Result<u64, ManifestError> {
        let outside = self.depth - 1;
        let mut passed = 0;
        // Nobody asks for what has no entry in directories that are passed over.
        let unstored = self.unstored.take();
        while self.depth > outside {
            match self.take()? {
                Some((Line::Entry(entry), _)) => {
                    passed += 1;
                    self.depth += usize::from(entry.is_dir());
                }
                Some((Line::Up, _)) => self.depth -= 1,
                // An unfinished record: all open directories end with it.
                _ => {
                    self.depth = outside;
                }
            }
        }
        self.unstored = unstored.map(|names| Names::new(names.without_excluded, names.bytes_max));
        Ok(passed)
    }
}

/// Entries of a manifest by their position, for entries that moved: a moved directory asks for neighbours.
#[derive(Debug)]
pub struct EntriesByPosition<R> {
    file: R,
    frames: VecDeque<(u64, Vec<FrameEntry>)>,
}

impl<R: ReadAt> EntriesByPosition<R> {
    /// Takes the manifest's file.
    pub fn new(file: R) -> Self {
        Self { file, frames: VecDeque::new() }
    }

    /// Returns the entry whose line is at a position, and its directory.
    pub fn get(&mut self, position: Position) -> Result<Option<(RelPath, Entry)>, ManifestError> {
        let at = match self.frames.iter().position(|(offset, _)| *offset == position.frame) {
            Some(at) => at,
            None => {
                let entries = read_frame_entries(&self.file, position.frame)?;
                self.frames.truncate(CACHED_FRAMES - 1);
                self.frames.push_front((position.frame, entries));
                0
            }
        };
        let entries = &self.frames[at].1;
        Ok(entries
            .binary_search_by_key(&position.line, |(line, _, _)| *line)
            .ok()
            .map(|i| (entries[i].1.clone(), entries[i].2.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Header, ManifestWriter};
    use hardback_platform::Kind;
    use std::io;

    /// A record of which no more than the first bytes can be read.
    struct Bad(Vec<u8>, usize);

    impl ReadAt for Bad {
        fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let end = self.1 as u64;
            if offset >= end { Err(io::Error::other("a bad sector")) } else { self.0.read_full_at(buffer, offset) }
        }
    }

    #[test]
    fn an_unfinished_record_that_cannot_be_read_to_its_end_ends_there() {
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        writer.entry(&Entry::new(b"a", Kind::File)).unwrap();
        writer.flush().unwrap();
        let good = writer.written_bytes();
        writer.entry(&Entry::new(b"b", Kind::File)).unwrap();
        let all = writer.finish().unwrap().sink;
        let (mut cursor, _) =
            TreeCursor::open_lenient(Reader::open(Bad(all, usize::try_from(good).unwrap())).unwrap()).unwrap();
        assert_eq!(*cursor.next_file().unwrap().unwrap().0.name, *b"a");
        assert!(cursor.next_file().unwrap().is_none());
        assert!(cursor.next_dir().unwrap().is_none());
        assert_eq!(cursor.leave().unwrap(), 0);
    }

    #[test]
    fn a_second_root_entry_is_damage_and_no_name() {
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        writer.entry(&Entry::new(b".", Kind::Fifo)).unwrap();
        writer.up();
        let bytes = writer.finish().unwrap().sink;
        let (mut cursor, _) = TreeCursor::open(Reader::open(bytes.clone()).unwrap()).unwrap();
        assert!(matches!(cursor.next_file(), Err(ManifestError::Damaged { .. })));
        // As all damage, it ends the record of an unfinished run.
        let (mut cursor, _) = TreeCursor::open_lenient(Reader::open(bytes).unwrap()).unwrap();
        assert!(cursor.next_file().unwrap().is_none() && cursor.next_dir().unwrap().is_none());
    }

    #[test]
    fn names_without_an_entry_are_collected_up_to_a_bound_for_each_directory() {
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        for (dir, count) in [(&b"a"[..], 2), (b"b", 2), (b"c", 3)] {
            writer.entry(&Entry::new(dir, Kind::Dir)).unwrap();
            (0..count).for_each(|_| writer.unstored(Unstored::Excluded, b"name").unwrap());
            writer.up();
        }
        writer.up();
        let bytes = writer.finish().unwrap().sink;
        let open = || {
            let mut cursor = TreeCursor::open(Reader::open(bytes.clone()).unwrap()).unwrap().0;
            cursor.unstored = Some(Names::new(false, 2 * (4 + UNSTORED_NAME_BYTES)));
            cursor
        };
        let mut cursor = open();
        for _ in 0..2 {
            cursor.next_dir().unwrap().unwrap();
            assert!(cursor.next_dir().unwrap().is_none());
            assert_eq!(cursor.take_unstored().len(), 2);
            cursor.leave().unwrap();
        }
        cursor.next_dir().unwrap().unwrap();
        assert!(matches!(cursor.next_dir(), Err(ManifestError::Damaged { .. })));
        // What is passed over is not collected.
        let mut cursor = open();
        for _ in 0..3 {
            cursor.next_dir().unwrap().unwrap();
            cursor.leave().unwrap();
        }
        assert!(cursor.next_dir().unwrap().is_none() && cursor.take_unstored().is_empty());
    }

    #[test]
    fn names_that_were_left_out_on_purpose_are_told_from_the_others() {
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        let all = [Unstored::Excluded, Unstored::Vanished, Unstored::Unnameable, Unstored::Purged];
        all.into_iter().for_each(|why| writer.unstored(why, why.code().as_bytes()).unwrap());
        writer.up();
        let bytes = writer.finish().unwrap().sink;
        for (without_excluded, expected) in [(false, &all[..]), (true, &all[1..])] {
            let mut cursor = TreeCursor::open(Reader::open(bytes.clone()).unwrap()).unwrap().0;
            cursor.collect_unstored(without_excluded);
            assert!(cursor.next_dir().unwrap().is_none());
            let names: Vec<_> = expected.iter().map(|why| Box::from(why.code().as_bytes())).collect();
            assert_eq!(cursor.take_unstored(), names);
        }
    }
}
