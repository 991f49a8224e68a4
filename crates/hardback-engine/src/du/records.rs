//! What the records of snapshots take on the volume, and what of them goes with which snapshot.

use super::count::Amount;
use super::walk::BLOCK_BYTES;
use crate::catalog::{self, Seals, Snapshot};
use crate::error::Error;
use crate::manifest::Seal;
use crate::target::{Target, layout};
use hardback_platform::{Dir, Faults};
use std::collections::{BTreeMap, BTreeSet};

/// The records of a job.
pub(super) struct Records {
    manifests: Option<Dir>,
    digests: Option<Dir>,
    seals: Seals,
}

impl Records {
    /// Opens them.
    pub(super) fn open(target: &Target, job: &str) -> Result<Self, Error> {
        let folder = |name| target.ours_dir_if_any(&[name, job.as_bytes()]);
        Ok(Self {
            manifests: folder(layout::MANIFESTS)?,
            digests: folder(layout::DIGESTS)?,
            seals: catalog::seals(target, job)?,
        })
    }

    /// Returns what all of them take.
    pub(super) fn all(&self) -> Result<Amount, Error> {
        let mut all = Amount::default();
        for dir in [&self.manifests, &self.digests].into_iter().flatten() {
            for entry in dir.list()?.iter() {
                add_file(&mut all, Some(dir), entry.name)?;
            }
        }
        Ok(all)
    }

    /// Returns what goes with each snapshot when they are removed in this order: its manifest and its seal, and the digest
    /// lists that no other seal names then.
    pub(super) fn freed(&self, snapshots: &[Snapshot]) -> Result<Vec<Amount>, Error> {
        let mut freed = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            let mut amount = Amount::default();
            for name in [layout::manifest_name(&snapshot.name), layout::seal_name(&snapshot.name)] {
                add_file(&mut amount, self.manifests.as_ref(), &name)?;
            }
            freed.push(amount);
        }
        for (generation, last) in self.unnamed_lists(snapshots) {
            add_file(&mut freed[last], self.digests.as_ref(), &layout::digests_name(generation))?;
        }
        Ok(freed)
    }

    /// Returns the generations that only these snapshots name, each with the last that does.
    fn unnamed_lists(&self, snapshots: &[Snapshot]) -> BTreeMap<u32, usize> {
        let mut lists = BTreeMap::new();
        if !self.seals.broken.is_empty() {
            // Nobody knows what those name.
            return lists;
        }
        for (index, snapshot) in snapshots.iter().enumerate() {
            lists.extend(named(&snapshot.seal).map(|generation| (generation, index)));
        }
        let go: BTreeSet<u32> = snapshots.iter().map(|s| s.seal.generation).collect();
        for seal in self.seals.whole.iter().filter(|seal| !go.contains(&seal.generation)) {
            for generation in named(seal) {
                lists.remove(&generation);
            }
        }
        lists
    }
}

/// Returns the generations whose digest lists a seal names.
fn named(seal: &Seal) -> impl Iterator<Item = u32> {
    seal.generations.iter().copied().chain(std::iter::once(seal.generation))
}

/// Adds a file of ours, if it is there.
fn add_file(amount: &mut Amount, dir: Option<&Dir>, name: &[u8]) -> Result<(), Error> {
    match dir.map(|dir| dir.stat(name)) {
        Some(Ok(found)) => amount.add(1, found.blocks * BLOCK_BYTES),
        Some(Err(error)) if error.fault() != Faults::Vanished => return Err(error.into()),
        _ => {}
    }
    Ok(())
}
