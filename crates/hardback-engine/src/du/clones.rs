//! Blocks that several files have: they go with the last of these files.
//!
//! A volume says which blocks of a file others have too, and not which files. So what was found is put in the order of
//! the volume, where pieces of several files lie over each other.

use super::rows::{Extent, Fate, Piece, STAYS};
use super::runs::{Runs, Scratches};
use hardback_platform::{PathError, VolumeKind};
use std::ops::Range;

/// What keeps blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Each is kept by the files that have it.
    Alone,
    /// All that were written at once are kept by the files that have any of them: pieces that overlap go together. What
    /// was overwritten of them is in no file and comes on top of what is told.
    Together,
}

impl Kept {
    /// Returns how it is on a volume; `None` where files have no blocks in common.
    pub(super) fn on(kind: VolumeKind) -> Option<Self> {
        match kind {
            VolumeKind::Xfs => Some(Self::Alone),
            VolumeKind::Btrfs => Some(Self::Together),
            _ => None,
        }
    }
}

/// What was found of such blocks.
#[derive(Debug)]
pub(super) struct Clones {
    pieces: Runs<Piece>,
    fates: Runs<Fate>,
    is_empty: bool,
}

impl Clones {
    pub(super) fn new(scratches: &dyn Scratches) -> Self {
        Self { pieces: Runs::new(scratches), fates: Runs::new(scratches), is_empty: true }
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Notes blocks of a file that others have too.
    pub(super) fn found(&mut self, file: u64, blocks: &Range<u64>) -> Result<(), PathError> {
        self.is_empty = false;
        self.pieces.push(Piece { file, start: blocks.start, length: blocks.end.saturating_sub(blocks.start) })
    }

    /// Notes with which snapshot a file goes that has such blocks.
    pub(super) fn goes(&mut self, file: u64, step: u32) -> Result<(), PathError> {
        self.fates.push(Fate { file, step })
    }

    /// Tells with which snapshot blocks go, and how many bytes. A file of which it is not known stays.
    pub(super) fn resolve(
        self,
        scratches: &dyn Scratches,
        kept: Kept,
        mut each: impl FnMut(u32, u64),
    ) -> Result<(), PathError> {
        let mut extents = Runs::new(scratches);
        let mut fates = self.fates.merged()?;
        let mut fate = fates.next().transpose()?;
        for piece in self.pieces.merged()? {
            let Piece { file, start, length } = piece?;
            while fate.is_some_and(|fate| fate.file < file) {
                fate = fates.next().transpose()?;
            }
            let step = fate.filter(|fate| fate.file == file).map_or(STAYS, |fate| fate.step);
            extents.push(Extent { start, length, step })?;
        }
        let mut sweep = Sweep { kept, at: 0, bytes: 0, open: Vec::new() };
        for extent in extents.merged()? {
            sweep.add(&extent?, &mut each);
        }
        sweep.go_to(u64::MAX, &mut each);
        Ok(())
    }
}

/// Goes over the volume from its start to its end.
struct Sweep {
    kept: Kept,
    at: u64,
    /// Bytes of the pieces that are looked at together.
    bytes: u64,
    /// The ends of the pieces that are looked at, each with what its file goes with.
    open: Vec<(u64, u32)>,
}

impl Sweep {
    fn add(&mut self, extent: &Extent, each: &mut impl FnMut(u32, u64)) {
        self.go_to(extent.start, each);
        self.open.push((extent.start.saturating_add(extent.length), extent.step));
    }

    /// Goes on to a place where another piece begins.
    fn go_to(&mut self, place: u64, each: &mut impl FnMut(u32, u64)) {
        while self.at < place {
            let ends = self.open.iter().map(|(end, _)| *end).filter(|end| *end > self.at);
            let Some(end) = (match self.kept {
                Kept::Alone => ends.min(),
                Kept::Together => ends.max(),
            }) else {
                break;
            };
            let next = end.min(place);
            self.bytes += next - self.at;
            self.at = next;
            if self.kept == Kept::Alone || end <= place {
                self.tell(each);
            }
        }
        if self.open.is_empty() {
            self.at = place;
        }
    }

    /// Tells what goes of the bytes that were passed. Where only one file was seen that has them, others were not.
    fn tell(&mut self, each: &mut impl FnMut(u32, u64)) {
        let step = self.open.iter().map(|(_, step)| *step).max().unwrap_or(STAYS);
        let bytes = std::mem::take(&mut self.bytes);
        if step != STAYS && self.open.len() > 1 && bytes > 0 {
            each(step, bytes);
        }
        self.open.retain(|(end, _)| *end > self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Scratch;

    /// All fits in memory.
    struct Nowhere;

    impl Scratches for Nowhere {
        fn scratch(&self) -> Result<Scratch, PathError> {
            Err(PathError::new("open", b"", std::io::ErrorKind::NotFound))
        }
    }

    /// A file: its number, its ranges, and what it goes with.
    type Found<'a> = (u64, &'a [(u64, u64)], u32);

    /// Says what goes when files were found.
    fn told(kept: Kept, files: &[Found<'_>]) -> Vec<(u32, u64)> {
        let mut clones = Clones::new(&Nowhere);
        for (file, ranges, step) in files {
            ranges.iter().for_each(|(start, end)| clones.found(*file, &(*start..*end)).unwrap());
            clones.goes(*file, *step).unwrap();
        }
        let mut told: Vec<(u32, u64)> = Vec::new();
        let each = |step, bytes| match told.last_mut() {
            Some((last, sum)) if *last == step => *sum += bytes,
            _ => told.push((step, bytes)),
        };
        clones.resolve(&Nowhere, kept, each).unwrap();
        told
    }

    #[test]
    fn blocks_go_with_the_last_file_that_has_them() {
        for kept in [Kept::Alone, Kept::Together] {
            assert_eq!(told(kept, &[(7, &[(10, 100)], 2), (3, &[(10, 100)], 5)]), [(5, 90)]);
            assert_eq!(told(kept, &[(7, &[(10, 100)], 2), (3, &[(10, 100)], STAYS)]), []);
            // Who else has them was not seen.
            assert_eq!(told(kept, &[(7, &[(10, 100)], 2)]), []);
            let apart = [(1, &[(0, 100), (100, 200)][..], 0), (2, &[(0, 100)], 1), (3, &[(100, 200)], STAYS)];
            assert_eq!(told(kept, &apart), [(1, 100)]);
        }
    }

    #[test]
    fn pieces_that_overlap_go_together_or_each_block_for_itself() {
        let files = [
            (1, &[(0, 100), (200, 300)][..], 0),
            (2, &[(50, 120)], 1),
            (3, &[(200, 260)], STAYS),
            (4, &[(110, 120)], 3),
        ];
        // From 0 to 50 and from 100 to 110 nobody else was seen.
        assert_eq!(told(Kept::Alone, &files), [(1, 50), (3, 10)]);
        assert_eq!(told(Kept::Together, &files), [(3, 120)]);
        let nested = [(1, &[(0, 100)][..], 2), (2, &[(10, 20)], STAYS), (3, &[(30, 50)], 1), (4, &[(0, 100)], 0)];
        assert_eq!(told(Kept::Alone, &nested), [(2, 90)]);
        assert_eq!(told(Kept::Together, &nested), []);
    }

    #[test]
    fn a_file_whose_fate_is_not_known_keeps_its_blocks() {
        let mut clones = Clones::new(&Nowhere);
        clones.found(1, &(0..10)).unwrap();
        clones.found(2, &(0..10)).unwrap();
        clones.goes(2, 0).unwrap();
        assert!(!clones.is_empty());
        clones.resolve(&Nowhere, Kept::Alone, |_, _| panic!("nothing goes")).unwrap();
    }
}
