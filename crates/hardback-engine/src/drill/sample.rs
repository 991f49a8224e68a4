//! A random sample of the files of some snapshots.

use crate::catalog::Snapshot;
use crate::context::Context;
use crate::damage::for_each_file;
use crate::error::Error;
use crate::manifest::Entry;
use crate::target::Target;
use hardback_platform::{Kind, RelPath};

use super::{DRILL_FILES_MAX, SNAPSHOTS_MAX};

/// A file of a sample.
#[derive(Debug, Clone)]
pub(super) struct Sampled {
    /// Its folder, by names as they were at the source.
    pub(super) folder: RelPath,
    /// Its folder, by names as they are in the tree.
    stored: RelPath,
    pub(super) entry: Entry,
}

impl Sampled {
    /// Returns its path in the snapshot.
    pub(super) fn path(&self) -> RelPath {
        self.folder.join(&self.entry.name)
    }
}

/// Random numbers.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(random()? | 1))
    }

    /// Returns a number below a limit.
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64: it decides nothing but which files are tried.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}

/// Returns a random number.
pub(super) fn random() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| Error::refused(format!("no random numbers: {e}"), "ask the system"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Chooses snapshots: the newest, the oldest, and some between; no more than files are wanted. The newest comes first.
pub(super) fn choose<'a>(sealed: &'a [Snapshot], files: u64, dice: &mut Dice) -> Vec<&'a Snapshot> {
    let count = SNAPSHOTS_MAX.min(sealed.len()).min(usize::try_from(files.max(1)).unwrap_or(SNAPSHOTS_MAX));
    let mut left: Vec<&Snapshot> = sealed.iter().collect();
    let mut chosen: Vec<&Snapshot> = left.pop().into_iter().collect();
    if count > 1 && !left.is_empty() {
        chosen.push(left.remove(0));
    }
    while chosen.len() < count && !left.is_empty() {
        let at = usize::try_from(dice.below(left.len() as u64)).unwrap_or(0);
        chosen.push(left.swap_remove(at));
    }
    chosen
}

/// Takes some files of a snapshot, each as likely as any other.
pub(super) fn of_snapshot(
    ctx: &Context<'_>,
    target: &Target,
    snapshot: &Snapshot,
    wanted: u64,
    dice: &mut Dice,
) -> Result<Vec<Sampled>, Error> {
    let wanted = usize::try_from(wanted.min(DRILL_FILES_MAX)).unwrap_or(usize::MAX);
    let mut sample: Vec<Sampled> = Vec::new();
    let mut seen = 0;
    for_each_file(ctx, target, snapshot, |folder, entry| {
        // What has no content could not be read when it was backed up; that was told then.
        if entry.kind != Kind::File || (entry.size_bytes > 0 && entry.content.is_none()) {
            return;
        }
        seen += 1;
        let slot = if sample.len() < wanted { sample.len() as u64 } else { dice.below(seen) };
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        if slot >= wanted {
            return;
        }
        let taken = Sampled { folder: folder.path.clone(), stored: folder.stored.clone(), entry: entry.clone() };
        match sample.get_mut(slot) {
            Some(place) => *place = taken,
            None => sample.push(taken),
        }
    })?;
    Ok(sample)
}

/// Returns the files that there is room for, and how many there are that do not fit.
pub(super) fn fitting(sampled: Vec<Sampled>, room_bytes: &mut u64) -> (Vec<Sampled>, u64) {
    let count = sampled.len() as u64;
    let fits = |file: &Sampled| match room_bytes.checked_sub(file.entry.size_bytes) {
        Some(rest) => {
            *room_bytes = rest;
            true
        }
        None => false,
    };
    let fitting: Vec<Sampled> = sampled.into_iter().filter(fits).collect();
    let too_large = count - fitting.len() as u64;
    (fitting, too_large)
}

/// Drops stored files from the cache: a restore after a disaster has a cold one.
pub(super) fn drop_caches(target: &Target, snapshot: &Snapshot, sampled: &[Sampled]) -> Result<(), Error> {
    let Some(trees) = target.job_dir_if_any(&snapshot.job)? else { return Ok(()) };
    let Ok(tree) = trees.open_dir(snapshot.name.as_bytes()) else { return Ok(()) };
    for file in sampled {
        // What cannot be opened is told by the restore.
        if let Ok(stored) = tree.open_dir_at(&file.stored).and_then(|dir| dir.open_file(file.entry.stored_name())) {
            stored.drop_cache();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_smaller_files_are_not() {
        let file = |size_bytes| {
            let mut entry = Entry::new(b"f", Kind::File);
            entry.size_bytes = size_bytes;
            Sampled { folder: RelPath::root(), stored: RelPath::root(), entry }
        };
        let mut room = 10;
        let (fitting, too_large) = fitting([4, 20, 6, 1].map(file).to_vec(), &mut room);
        assert_eq!((fitting.len(), too_large, room), (2, 2, 0));
    }

    #[test]
    fn every_number_below_a_limit_comes_up() {
        let mut dice = Dice(1);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| dice.below(5)).collect();
        assert_eq!(seen.len(), 5);
    }
}
