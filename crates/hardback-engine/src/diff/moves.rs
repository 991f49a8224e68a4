//! Holds differences back for a while, so that what is gone here and new there is told as moved.
//!
//! The window is bounded: a move whose two ends lie further apart is told as one removed and one added.

use super::{Change, DiffReport, Difference};
use crate::manifest::{ContentRef, Entry};
use crate::tree_order::{Place, tree_order};
use hardback_platform::{Kind, Time};
use std::collections::{HashMap, VecDeque};

/// Differences that are held back: 34 MiB at the peak, and moves of up to 32,000 entries at once.
const WINDOW_DIFFERENCES: usize = 65_536;
/// Names of one content that are looked through for one of the same name.
const SAME_NAME_TRIES: usize = 16;

/// What stays the same when an entry moves.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum MoveKey {
    Content(ContentRef),
    /// File ids are used again, so size and time must agree too.
    Node {
        kind: Kind,
        inode: u64,
        size_bytes: u64,
        mtime: Time,
    },
}

impl MoveKey {
    /// Returns the key of an entry, if it has one. A source's file has no reference to a stored content.
    pub(super) fn of(entry: &Entry, by_content: bool) -> Option<Self> {
        if by_content && let Some(content) = entry.content {
            return Some(Self::Content(content));
        }
        let (kind, size_bytes, mtime) = (entry.kind, entry.size_bytes, entry.mtime);
        entry.inode.map(|inode| Self::Node { kind, inode, size_bytes, mtime })
    }
}

/// Differences on their way to the caller, in tree order.
pub(super) struct Moves<'a> {
    each: &'a mut dyn FnMut(&Difference),
    held: Vec<(Difference, Option<MoveKey>)>,
    pub(super) report: DiffReport,
}

impl<'a> Moves<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(&Difference)) -> Self {
        Self { each, held: Vec::new(), report: DiffReport::default() }
    }

    /// Takes a difference; the key is of use for what was added or removed.
    pub(super) fn push(&mut self, difference: Difference, key: Option<MoveKey>) {
        self.held.push((difference, key));
        if self.held.len() >= WINDOW_DIFFERENCES {
            self.flush();
        }
    }

    /// Tells all that is held.
    pub(super) fn flush(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable_by(|(a, _), (b, _)| tree_order(place_of(a), place_of(b)));
        let gone = pair(&mut held);
        for ((difference, _), gone) in held.iter().zip(gone) {
            if !gone {
                self.report.count(difference);
                (self.each)(difference);
            }
        }
    }
}

fn place_of(difference: &Difference) -> Place<'_> {
    Place { path: &difference.path, is_dir: difference.kind == Kind::Dir }
}

/// Turns additions into moves; returns which removals they explain.
fn pair(held: &mut [(Difference, Option<MoveKey>)]) -> Vec<bool> {
    let mut gone = vec![false; held.len()];
    let mut removed: HashMap<MoveKey, VecDeque<usize>> = HashMap::new();
    for (index, (difference, key)) in held.iter_mut().enumerate() {
        if difference.change == Change::Removed
            && let Some(key) = key.take()
        {
            removed.entry(key).or_default().push_back(index);
        }
    }
    for index in 0..held.len() {
        let (difference, Some(key)) = &held[index] else { continue };
        if difference.change != Change::Added {
            continue;
        }
        let Some(candidates) = removed.get_mut(key) else { continue };
        let name = name_of(&difference.path);
        let same_name = candidates.iter().take(SAME_NAME_TRIES).position(|&i| name_of(&held[i].0.path) == name);
        let Some(old) = candidates.remove(same_name.unwrap_or(0)) else { continue };
        gone[old] = true;
        let (from, old_bytes) = (held[old].0.path.clone(), held[old].0.old_bytes);
        let moved = &mut held[index].0;
        moved.change = Change::Moved { from };
        moved.old_bytes = old_bytes;
    }
    gone
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells removals and then additions of the same contents; returns how many of each came out.
    fn tell(count: u64) -> (u64, u64, u64) {
        let mut told = 0;
        let mut each = |_: &Difference| told += 1;
        let mut moves = Moves::new(&mut each);
        for (change, folder) in [(Change::Removed, "a"), (Change::Added, "b")] {
            for ordinal in 0..count {
                let path = format!("{folder}/{ordinal:08}").into_bytes();
                let change = change.clone();
                let difference = Difference { path, kind: Kind::File, change, old_bytes: None, new_bytes: None };
                moves.push(difference, Some(MoveKey::Content(ContentRef { generation: 1, ordinal })));
            }
        }
        moves.flush();
        let report = moves.report;
        assert_eq!(told, report.differences());
        (report.moved.entries, report.removed.entries, report.added.entries)
    }

    #[test]
    fn a_move_within_the_window_is_told_as_one_and_nothing_is_lost_beyond_it() {
        let half = WINDOW_DIFFERENCES as u64 / 2;
        assert_eq!(tell(half), (half, 0, 0));
        let (moved, removed, added) = tell(half + 10);
        assert_eq!((moved + removed, moved + added), (half + 10, half + 10));
    }
}
