//! Groups of names that do not fit in memory: a hash table in a nameless temporary file, and a log of what their first
//! names stored. So a source of millions of files with two names each costs disk, not memory.

use super::groups::{First, Stored};
use crate::manifest::{ContentRef, DIGEST_BYTES, entry_from_bytes, entry_to_bytes};
use hardback_platform::{Dir, FileId, FileWrite, PathError};

/// Bytes of a slot: volume, file id, place in the log plus one (0: empty), names left.
const SLOT_BYTES: usize = 32;
/// Slots that are read at a time.
const PAGE_SLOTS: u64 = 128;
/// Slots of the first table.
const SLOTS_MIN: u64 = 1 << 16;

/// The table and its log.
#[derive(Debug)]
pub(super) struct GroupTable {
    dir: Dir,
    table: FileWrite,
    slots: u64,
    used: u64,
    log: FileWrite,
    log_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    id: FileId,
    place: u64,
    left: u64,
}

impl Slot {
    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        for (to, n) in bytes.chunks_exact_mut(8).zip([self.id.volume, self.id.file, self.place, self.left]) {
            to.copy_from_slice(&n.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
        let mut next = || numbers.next().unwrap_or_default();
        Self { id: FileId { volume: next(), file: next() }, place: next(), left: next() }
    }
}

fn nameless(dir: &Dir, name: &[u8]) -> Result<FileWrite, PathError> {
    let file = dir.create_file(name, 0o600)?;
    dir.unlink(name)?;
    Ok(file)
}

impl GroupTable {
    /// Makes an empty table in a folder.
    pub(super) fn create(dir: Dir) -> Result<Self, PathError> {
        let table = nameless(&dir, b"groups")?;
        let log = nameless(&dir, b"groups-log")?;
        Ok(Self { dir, table, slots: SLOTS_MIN, used: 0, log, log_bytes: 0 })
    }

    /// Adds a group with the number of names that have not been seen.
    pub(super) fn insert(&mut self, id: FileId, first: &First, left: u64) -> Result<(), PathError> {
        if (self.used + 1) * 2 > self.slots {
            self.grow()?;
        }
        let place = self.write_first(first)? + 1;
        let (number, _) = self.find(id)?;
        self.put(number, Slot { id, place, left })?;
        self.used += 1;
        Ok(())
    }

    /// Takes one name of a group: returns what its first stored.
    pub(super) fn take(&mut self, id: FileId) -> Result<Option<First>, PathError> {
        if self.used == 0 {
            return Ok(None);
        }
        let (number, Some(slot)) = self.find(id)? else { return Ok(None) };
        // A group that is complete keeps its slot; its file may get no more names in this run.
        self.put(number, Slot { left: slot.left.saturating_sub(1), ..slot })?;
        self.read_first(slot.place - 1).map(Some)
    }

    /// Gives a group another first: it goes on with a fresh copy. Returns whether the group is here.
    pub(super) fn replace(&mut self, id: FileId, first: &First) -> Result<bool, PathError> {
        if self.used == 0 {
            return Ok(false);
        }
        let (number, Some(slot)) = self.find(id)? else { return Ok(false) };
        let place = self.write_first(first)? + 1;
        self.put(number, Slot { place, ..slot })?;
        Ok(true)
    }

    fn put(&self, number: u64, slot: Slot) -> Result<(), PathError> {
        self.table.write_all_at(&slot.to_bytes(), number * SLOT_BYTES as u64)
    }

    /// Finds the slot of a group, or the empty one where it goes.
    fn find(&self, id: FileId) -> Result<(u64, Option<Slot>), PathError> {
        let mut number = hash(id) & (self.slots - 1);
        let mut page = [0; SLOT_BYTES * PAGE_SLOTS as usize];
        loop {
            let count = PAGE_SLOTS.min(self.slots - number);
            let bytes = &mut page[..usize::try_from(count).expect("a page") * SLOT_BYTES];
            // The file is as long as what was written: behind its end all slots are empty.
            bytes.fill(0);
            self.table.read_full_at(bytes, number * SLOT_BYTES as u64)?;
            for bytes in bytes.chunks_exact(SLOT_BYTES) {
                let slot = Slot::from_bytes(bytes);
                if slot.place == 0 {
                    return Ok((number, None));
                }
                if slot.id == id {
                    return Ok((number, Some(slot)));
                }
                number += 1;
            }
            number &= self.slots - 1;
        }
    }

    fn grow(&mut self) -> Result<(), PathError> {
        let old_slots = self.slots;
        self.slots *= 2;
        // Windows keeps the name of a removed file until it is closed.
        let name = format!("groups-{}", self.slots);
        let old = std::mem::replace(&mut self.table, nameless(&self.dir, name.as_bytes())?);
        let mut page = vec![0; SLOT_BYTES * PAGE_SLOTS as usize];
        for number in (0..old_slots).step_by(PAGE_SLOTS as usize) {
            page.fill(0);
            old.read_full_at(&mut page, number * SLOT_BYTES as u64)?;
            for slot in page.chunks_exact(SLOT_BYTES).map(Slot::from_bytes).filter(|s| s.place > 0) {
                let (to, _) = self.find(slot.id)?;
                self.put(to, slot)?;
            }
        }
        Ok(())
    }

    fn write_first(&mut self, first: &First) -> Result<u64, PathError> {
        let mut record = Vec::new();
        match first.stored {
            Stored::Nothing => record.push(0),
            Stored::New(digest) => {
                record.push(1);
                record.extend_from_slice(&digest);
            }
            Stored::Known(content) => {
                record.push(2);
                record.extend_from_slice(&content.generation.to_le_bytes());
                record.extend_from_slice(&content.ordinal.to_le_bytes());
            }
        }
        let path_bytes = u32::try_from(first.path.len()).expect("a path is shorter than 4 GiB");
        record.extend_from_slice(&path_bytes.to_le_bytes());
        record.extend_from_slice(&first.path);
        record.extend_from_slice(&entry_to_bytes(&first.entry));
        let length = u32::try_from(record.len()).expect("an entry is shorter than 4 GiB");
        let at = self.log_bytes;
        self.log.write_all_at(&length.to_le_bytes(), at)?;
        self.log.write_all_at(&record, at + 4)?;
        self.log_bytes += 4 + u64::from(length);
        Ok(at)
    }

    fn read_first(&self, at: u64) -> Result<First, PathError> {
        let mut length = [0; 4];
        self.log.read_full_at(&mut length, at)?;
        let mut record = vec![0; u32::from_le_bytes(length) as usize];
        self.log.read_full_at(&mut record, at + 4)?;
        parse_first(&record).ok_or_else(|| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, "a record that was not written like this");
            PathError::new("read the table of", b"names of one inode", error)
        })
    }
}

fn parse_first(record: &[u8]) -> Option<First> {
    let (&tag, rest) = record.split_first()?;
    let (stored, rest) = match tag {
        0 => (Stored::Nothing, rest),
        1 => {
            let (digest, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
            (Stored::New(*digest), rest)
        }
        _ => {
            let (generation, rest) = rest.split_first_chunk::<4>()?;
            let (ordinal, rest) = rest.split_first_chunk::<8>()?;
            let content =
                ContentRef { generation: u32::from_le_bytes(*generation), ordinal: u64::from_le_bytes(*ordinal) };
            (Stored::Known(content), rest)
        }
    };
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (path, entry) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some(First { path: path.to_vec(), stored, entry: entry_from_bytes(entry)? })
}

/// Spreads file ids, which come in runs, over the table.
fn hash(id: FileId) -> u64 {
    let mixed = (id.file ^ id.volume.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Entry;
    use hardback_platform::{Kind, Seam};

    fn first(n: u64) -> First {
        let mut entry = Entry::new(format!("name {n}").as_bytes(), Kind::File);
        entry.size_bytes = n;
        entry.inode = Some(n);
        entry.ctime = Some(entry.mtime);
        entry.content = (n > 0).then_some(ContentRef { generation: 3, ordinal: n });
        let stored = if n.is_multiple_of(2) {
            Stored::New([7; 32])
        } else {
            entry.content.map_or(Stored::Nothing, Stored::Known)
        };
        First { path: format!("a/b/{n}").into_bytes(), stored, entry }
    }

    #[test]
    fn a_hundred_thousand_groups_come_back_and_a_fresh_copy_takes_over() {
        let temp = tempfile::tempdir().unwrap();
        let mut table = GroupTable::create(Dir::open(temp.path(), Seam::default()).unwrap()).unwrap();
        let id = |n: u64| FileId { volume: n % 3, file: n * 2 };
        for n in 0..100_000 {
            table.insert(id(n), &first(n), 1).unwrap();
        }
        for n in [0, 1, 2, 65_535, 99_999] {
            let (found, expected) = (table.take(id(n)).unwrap().unwrap(), first(n));
            assert_eq!((found.path, found.stored), (expected.path, expected.stored));
            assert_eq!(found.entry, expected.entry);
        }
        assert!(table.take(FileId { volume: 9, file: 2 }).unwrap().is_none());
        assert!(table.replace(id(5), &first(77)).unwrap());
        assert_eq!(table.take(id(5)).unwrap().unwrap().path, b"a/b/77");
        assert!(!table.replace(FileId { volume: 9, file: 2 }, &first(1)).unwrap());
    }
}
