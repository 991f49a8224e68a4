//! Groups of names that do not fit in memory: a hash table in a nameless temporary file, and a log of their first names.
//! So a tree of millions of files with two names each costs disk, not memory.

use super::{First, Key, Scratch};
use hardback_platform::{FileWrite, PathError};

/// Bytes of a slot: key, place in the log plus one (0: empty), names left.
const SLOT_BYTES: usize = 32;
/// Slots that are read at a time.
const PAGE_SLOTS: u64 = 128;
/// Slots of the first table.
const SLOTS_MIN: u64 = 1 << 16;

/// The table and its log.
#[derive(Debug)]
pub(super) struct GroupTable {
    scratch: Scratch,
    /// Number of the next file.
    next_file: u64,
    table: FileWrite,
    slots: u64,
    used: u64,
    log: FileWrite,
    log_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Key,
    place: u64,
    left: u64,
}

impl Slot {
    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..16].copy_from_slice(&self.key);
        bytes[16..24].copy_from_slice(&self.place.to_le_bytes());
        bytes[24..].copy_from_slice(&self.left.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (key, numbers) = bytes.split_first_chunk().expect("a slot has a key");
        let (place, left) = numbers.split_first_chunk().expect("a slot has two numbers");
        let left = left.try_into().expect("a slot has two numbers");
        Self { key: *key, place: u64::from_le_bytes(*place), left: u64::from_le_bytes(left) }
    }
}

impl GroupTable {
    /// Makes an empty table.
    pub(super) fn create(scratch: Scratch) -> Result<Self, PathError> {
        let (log, table) = (scratch.nameless(0)?, scratch.nameless(1)?);
        Ok(Self { scratch, next_file: 2, table, slots: SLOTS_MIN, used: 0, log, log_bytes: 0 })
    }

    /// Adds a group with the number of names that have not been seen.
    pub(super) fn insert(&mut self, key: Key, first: &impl First, left: u64) -> Result<(), PathError> {
        if (self.used + 1) * 2 > self.slots {
            self.grow()?;
        }
        let place = self.write_first(first)? + 1;
        let (number, _) = self.find(key)?;
        self.put(number, Slot { key, place, left })?;
        self.used += 1;
        Ok(())
    }

    /// Takes one name of a group: returns what its first stored.
    pub(super) fn take<F: First>(&mut self, key: Key) -> Result<Option<F>, PathError> {
        if self.used == 0 {
            return Ok(None);
        }
        let (number, Some(slot)) = self.find(key)? else { return Ok(None) };
        // A group that is complete keeps its slot; its file may get no more names in this run.
        self.put(number, Slot { left: slot.left.saturating_sub(1), ..slot })?;
        self.read_first(slot.place - 1).map(Some)
    }

    /// Gives a group another first: it goes on with a fresh copy. Returns whether the group is here.
    pub(super) fn replace(&mut self, key: Key, first: &impl First) -> Result<bool, PathError> {
        if self.used == 0 {
            return Ok(false);
        }
        let (number, Some(slot)) = self.find(key)? else { return Ok(false) };
        let place = self.write_first(first)? + 1;
        self.put(number, Slot { place, ..slot })?;
        Ok(true)
    }

    fn put(&self, number: u64, slot: Slot) -> Result<(), PathError> {
        self.table.write_all_at(&slot.to_bytes(), number * SLOT_BYTES as u64)
    }

    /// Finds the slot of a group, or the empty one where it goes.
    fn find(&self, key: Key) -> Result<(u64, Option<Slot>), PathError> {
        let mut number = spread(key) & (self.slots - 1);
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
                if slot.key == key {
                    return Ok((number, Some(slot)));
                }
                number += 1;
            }
            number &= self.slots - 1;
        }
    }

    fn grow(&mut self) -> Result<(), PathError> {
        let larger = self.scratch.nameless(self.next_file)?;
        self.next_file += 1;
        let old_slots = self.slots;
        self.slots *= 2;
        let old = std::mem::replace(&mut self.table, larger);
        let mut page = vec![0; SLOT_BYTES * PAGE_SLOTS as usize];
        for number in (0..old_slots).step_by(PAGE_SLOTS as usize) {
            page.fill(0);
            old.read_full_at(&mut page, number * SLOT_BYTES as u64)?;
            for slot in page.chunks_exact(SLOT_BYTES).map(Slot::from_bytes).filter(|s| s.place > 0) {
                let (to, _) = self.find(slot.key)?;
                self.put(to, slot)?;
            }
        }
        Ok(())
    }

    fn write_first(&mut self, first: &impl First) -> Result<u64, PathError> {
        let record = first.to_bytes();
        let length = u32::try_from(record.len()).expect("a name and its entry are shorter than 4 GiB");
        let at = self.log_bytes;
        self.log.write_all_at(&length.to_le_bytes(), at)?;
        self.log.write_all_at(&record, at + 4)?;
        self.log_bytes += 4 + u64::from(length);
        Ok(at)
    }

    fn read_first<F: First>(&self, at: u64) -> Result<F, PathError> {
        let mut length = [0; 4];
        self.log.read_full_at(&mut length, at)?;
        let mut record = vec![0; u32::from_le_bytes(length) as usize];
        self.log.read_full_at(&mut record, at + 4)?;
        F::from_bytes(&record).ok_or_else(|| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, "a record that was not written like this");
            PathError::new("read the table of", b"names of one file", error)
        })
    }
}

/// Spreads keys, which may be file ids and come in runs, over the table.
fn spread(key: Key) -> u64 {
    let key = u128::from_le_bytes(key);
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed = (low ^ high.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::{Dir, Seam};

    #[derive(Debug, PartialEq)]
    struct Number(u64);

    impl First for Number {
        fn to_bytes(&self) -> Vec<u8> {
            self.0.to_le_bytes().to_vec()
        }

        fn from_bytes(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(|bytes| Self(u64::from_le_bytes(bytes)))
        }
    }

    #[test]
    fn a_hundred_thousand_groups_come_back_and_a_fresh_copy_takes_over() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        let mut table = GroupTable::create(Scratch { dir, prefix: b"groups-".to_vec() }).unwrap();
        let key = |n: u64| -> Key { (u128::from(n % 3) << 64 | u128::from(n * 2)).to_le_bytes() };
        for n in 0..100_000 {
            table.insert(key(n), &Number(n), 1).unwrap();
        }
        for n in [0, 1, 2, 65_535, 99_999] {
            assert_eq!(table.take(key(n)).unwrap(), Some(Number(n)));
        }
        assert_eq!(table.take::<Number>([9; 16]).unwrap(), None);
        assert!(table.replace(key(5), &Number(77)).unwrap());
        assert_eq!(table.take(key(5)).unwrap(), Some(Number(77)));
        assert!(!table.replace([9; 16], &Number(1)).unwrap());
    }
}
