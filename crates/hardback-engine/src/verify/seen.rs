//! Remembers which stored files were proven, so that a file with many names is read once.

use crate::manifest::ContentRef;
use std::collections::HashMap;
use std::sync::Mutex;

/// Files of a leaf: numbers of files lie close together on all file systems that have hard links.
const LEAF_FILES: u64 = 64;
/// Leaves of all shards: 48 MiB. Files beyond them are read again under each name, which costs time only.
const LEAVES_MAX: usize = 300_000;
/// Parts with a lock each.
const SHARDS: usize = 16;

type Leaf = [u16; LEAF_FILES as usize];

/// For each file a mark of the content that it was proven to have.
///
/// The mark has 16 bits: a record that refers to another content than the one that was proven is noticed, but for one
/// in 65,535, and the file read again.
#[derive(Debug)]
pub(crate) struct Seen {
    shards: [Mutex<HashMap<u64, Box<Leaf>>>; SHARDS],
}

fn mark_of(content: ContentRef) -> u16 {
    let mixed = (content.ordinal ^ (u64::from(content.generation) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    u16::try_from(mixed).unwrap_or(0).max(1)
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(HashMap::new())) }
    }

    fn shard(&self, leaf: u64) -> std::sync::MutexGuard<'_, HashMap<u64, Box<Leaf>>> {
        let shard = &self.shards[(leaf % SHARDS as u64) as usize];
        shard.lock().expect("no panic while the marks are held")
    }

    /// Returns whether a file was proven to have this content.
    pub(crate) fn has(&self, file: u64, content: ContentRef) -> bool {
        let leaf = file / LEAF_FILES;
        let marks = self.shard(leaf);
        marks.get(&leaf).is_some_and(|l| l[(file % LEAF_FILES) as usize] == mark_of(content))
    }

    /// Notes that a file was proven to have this content.
    pub(crate) fn note(&self, file: u64, content: ContentRef) {
        let leaf = file / LEAF_FILES;
        let mut marks = self.shard(leaf);
        if marks.len() < LEAVES_MAX / SHARDS || marks.contains_key(&leaf) {
            marks.entry(leaf).or_insert_with(|| Box::new([0; LEAF_FILES as usize]))[(file % LEAF_FILES) as usize] =
                mark_of(content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_proven_only_for_its_content() {
        let seen = Seen::new();
        let content = |generation, ordinal| ContentRef { generation, ordinal };
        seen.note(65, content(1, 7));
        assert!(seen.has(65, content(1, 7)));
        assert!(!seen.has(65, content(1, 8)) && !seen.has(65, content(2, 7)) && !seen.has(1, content(1, 7)));
    }

    #[test]
    fn memory_stays_bounded_with_files_far_apart() {
        let seen = Seen::new();
        let content = ContentRef { generation: 1, ordinal: 0 };
        (0..2 * LEAVES_MAX as u64).for_each(|n| seen.note(n * LEAF_FILES, content));
        let leaves: usize = seen.shards.iter().map(|s| s.lock().unwrap().len()).sum();
        assert!(leaves <= LEAVES_MAX, "{leaves}");
    }
}
