//! What is noted of files and of their blocks while trees are walked.

use super::runs::Row;

/// What becomes of a file that keeps a name: it goes with no snapshot that is counted.
pub(super) const STAYS: u32 = u32::MAX;

/// Names of one file that were seen. Those at one place become one (`AT_A_PLACE`), or all of one file do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting<const AT_A_PLACE: bool> {
    /// Number of the file on the volume.
    pub(super) file: u64,
    /// First and last place where it was seen: a folder's number, or a snapshot's.
    pub(super) low: u32,
    pub(super) high: u32,
    /// Names that were seen.
    pub(super) names: u32,
    /// Names that it has.
    pub(super) nlink: u32,
    /// 512-byte blocks that it has.
    pub(super) blocks: u64,
    /// Those of them that other files have too.
    pub(super) cloned: u64,
}

impl<const AT_A_PLACE: bool> Row for Sighting<AT_A_PLACE> {
    type Key = (u64, u32);
    const BYTES: usize = 40;

    fn key(&self) -> Self::Key {
        (self.file, self.low)
    }

    fn is_one_with(&self, other: &Self) -> bool {
        self.file == other.file && (!AT_A_PLACE || self.low == other.low)
    }

    /// A backup that is at work may give more names meanwhile: the most is what a file has.
    fn absorb(&mut self, other: &Self) {
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.names = self.names.saturating_add(other.names);
        self.nlink = self.nlink.max(other.nlink);
        self.blocks = self.blocks.max(other.blocks);
        self.cloned = self.cloned.max(other.cloned);
    }

    fn write(&self, out: &mut Vec<u8>) {
        [self.file, self.blocks, self.cloned].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        [self.low, self.high, self.names, self.nlink].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    }

    fn read(bytes: &[u8]) -> Self {
        let [low, high, names, nlink] = [24, 28, 32, 36].map(|at| short(bytes, at));
        Self { file: long(bytes, 0), low, high, names, nlink, blocks: long(bytes, 8), cloned: long(bytes, 16) }
    }
}

/// Blocks of a file that other files have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the file.
    pub(super) file: u64,
    /// Where on the volume they begin, in bytes.
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Row for Piece {
    type Key = (u64, u64);
    const BYTES: usize = 24;

    fn key(&self) -> Self::Key {
        (self.file, self.start)
    }

    fn is_one_with(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn absorb(&mut self, other: &Self) {
        self.length = self.length.max(other.length);
    }

    fn write(&self, out: &mut Vec<u8>) {
        [self.file, self.start, self.length].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    }

    fn read(bytes: &[u8]) -> Self {
        Self { file: long(bytes, 0), start: long(bytes, 8), length: long(bytes, 16) }
    }
}

/// With which snapshot a file goes, or [`STAYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// Number of the file.
    pub(super) file: u64,
    pub(super) step: u32,
}

impl Row for Fate {
    type Key = u64;
    const BYTES: usize = 12;

    fn key(&self) -> Self::Key {
        self.file
    }

    fn is_one_with(&self, other: &Self) -> bool {
        self.file == other.file
    }

    fn absorb(&mut self, other: &Self) {
        self.step = self.step.max(other.step);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.file.to_le_bytes());
        out.extend_from_slice(&self.step.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self { file: long(bytes, 0), step: short(bytes, 8) }
    }
}

/// Blocks of a file of which it is known with what it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where on the volume they begin, in bytes.
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) step: u32,
}

impl Row for Extent {
    type Key = u64;
    const BYTES: usize = 20;

    fn key(&self) -> Self::Key {
        self.start
    }

    /// Each is another file's.
    fn is_one_with(&self, _: &Self) -> bool {
        false
    }

    fn absorb(&mut self, _: &Self) {}

    fn write(&self, out: &mut Vec<u8>) {
        [self.start, self.length].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out.extend_from_slice(&self.step.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self { start: long(bytes, 0), length: long(bytes, 8), step: short(bytes, 16) }
    }
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<R: Row + PartialEq + std::fmt::Debug>(row: R) {
        let mut bytes = Vec::new();
        row.write(&mut bytes);
        assert_eq!((bytes.len(), R::read(&bytes)), (R::BYTES, row));
    }

    #[test]
    fn each_row_comes_back_from_its_bytes() {
        comes_back(Sighting::<true> { file: 1, low: 2, high: 3, names: 4, nlink: 5, blocks: 6, cloned: 7 });
        comes_back(Piece { file: 1, start: u64::MAX, length: 3 });
        comes_back(Fate { file: 1 << 40, step: STAYS });
        comes_back(Extent { start: 1, length: 1 << 50, step: 3 });
    }
}
