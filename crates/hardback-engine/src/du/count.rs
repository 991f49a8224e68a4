//! Counts the snapshots of one job together, tree by tree.
//!
//! What a snapshot has alone is known when its tree was walked: it has all names. Of the files that have more, one line
//! for each goes on to the next trees; in the end it says in which snapshot the file was seen first and last, and
//! whether all of its names were.

use super::clones::{Clones, Kept};
use super::places::{LinkedFile, PlaceId, Places, Sums};
use super::rows::{STAYS, Sighting};
use super::runs::{Row, Runs, Scratches};
use super::walk::{self, BLOCK_BYTES, Linked, Look};
use crate::catalog::Snapshot;
use crate::context::Context;
use crate::error::Error;
use crate::groups::Scratch;
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, Problems};
use crate::target::{Target, layout};
use crate::verify::Seen;
use hardback_platform::PathError;
use std::sync::Mutex;

/// Files and folders, and bytes that they take on the volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// A snapshot as it was counted.
#[derive(Debug)]
pub(super) struct Counted {
    /// The paths that are told apart, the top first, and what is there.
    pub(super) places: Vec<(Vec<u8>, Sums)>,
    /// What it has and those before it have not.
    pub(super) adds: Amount,
    /// What goes with it when those before it are gone.
    pub(super) goes: Amount,
}

/// Which snapshots of a job are counted, and how.
pub(super) struct Count<'a> {
    pub(super) ctx: &'a Context<'a>,
    pub(super) target: &'a Target,
    pub(super) job: &'a str,
    pub(super) problems: &'a Problems,
    /// Levels below the top whose folders are told apart.
    pub(super) depth: usize,
    /// Threads; 0 chooses.
    pub(super) workers: usize,
}

impl Amount {
    /// Adds some.
    pub(super) fn add(&mut self, entries: u64, bytes: u64) {
        self.entries += entries;
        self.bytes += bytes;
    }
}

/// What is known so far of what several snapshots have.
struct Elsewhere {
    /// Files of which a snapshot has some names.
    files: Runs<Sighting<false>>,
    clones: Mutex<Clones>,
    /// How such blocks are kept on this volume, if it has any.
    kept: Option<Kept>,
    /// Files that were asked for them.
    asked: Seen,
}

impl Elsewhere {
    fn clones(&mut self) -> &mut Clones {
        self.clones.get_mut().expect("all threads are done")
    }
}

impl Count<'_> {
    /// Counts snapshots, in their order. Their neighbours in time, which stay, are looked at where files have blocks in
    /// common: blocks are handed on from one snapshot to the next, so what none of those has goes.
    pub(super) fn run(&self, snapshots: &[Snapshot], neighbours: &[Snapshot]) -> Result<Vec<Counted>, Error> {
        self.expect(snapshots);
        let mut elsewhere = Elsewhere {
            files: Runs::new(self),
            clones: Mutex::new(Clones::new(self)),
            kept: self.target.root.volume().ok().and_then(|volume| Kept::on(volume.kind)),
            asked: Seen::new(),
        };
        let mut counted = Vec::with_capacity(snapshots.len());
        for (index, snapshot) in snapshots.iter().enumerate() {
            let step = u32::try_from(index).expect("there are fewer snapshots than generations");
            counted.push(self.snapshot(snapshot, step, &mut elsewhere)?);
        }
        if !elsewhere.clones().is_empty() {
            self.expect(neighbours);
            for neighbour in neighbours {
                self.walk(neighbour, STAYS, &elsewhere)?;
            }
        }
        let Elsewhere { mut files, clones, kept, .. } = elsewhere;
        let mut clones = clones.into_inner().expect("all threads are done");
        self.tell_refused(&mut files);
        for file in files.merged()? {
            let file = file?;
            counted[file.low as usize].adds.add(1, file.blocks * BLOCK_BYTES);
            if file.names >= file.nlink {
                let bytes = file.blocks.saturating_sub(file.cloned) * BLOCK_BYTES;
                counted[file.high as usize].goes.add(1, bytes);
                note_fate(&mut clones, &file, file.high)?;
            }
        }
        if let Some(kept) = kept {
            clones.resolve(self, kept, |step, bytes| counted[step as usize].goes.bytes += bytes)?;
        }
        self.ctx.check_cancel()?;
        Ok(counted)
    }

    fn expect(&self, snapshots: &[Snapshot]) {
        let expected = snapshots.iter().map(|s| s.seal.totals.entries).sum();
        Counters::add(&self.ctx.counters.expected_entries, expected);
    }

    /// Counts one; files that have names elsewhere are handed on.
    fn snapshot(&self, snapshot: &Snapshot, step: u32, elsewhere: &mut Elsewhere) -> Result<Counted, Error> {
        let places = match self.walk(snapshot, step, elsewhere)? {
            Some((mut places, linked)) => {
                self.linked_files(linked, &mut places, step, elsewhere)?;
                places
            }
            None => Places::new(),
        };
        let places = places.finish();
        let alone = places.first().map(|(_, sums)| *sums).unwrap_or_default();
        let goes = Amount { entries: alone.unique_entries, bytes: alone.unique_bytes };
        let adds = Amount { entries: alone.unique_entries, bytes: alone.unique_bytes + alone.cloned_bytes };
        Ok(Counted { places, adds, goes })
    }

    /// Walks the tree of a snapshot; that it cannot be opened is told.
    fn walk(&self, snapshot: &Snapshot, step: u32, elsewhere: &Elsewhere) -> Result<Option<(Places, Linked)>, Error> {
        let look = Look {
            depth: if step == STAYS { 0 } else { self.depth },
            workers: self.workers,
            step,
            has_clones: elsewhere.kept.is_some(),
            asked: &elsewhere.asked,
            clones: &elsewhere.clones,
        };
        let shown = format!("{}/{}", self.job, snapshot.name);
        let name = snapshot.name.as_bytes();
        let trees = self.target.job_dir_if_any(self.job)?;
        let gone = || PathError::new("open the folder", name, std::io::ErrorKind::NotFound);
        match trees.ok_or_else(gone).and_then(|trees| trees.open_dir(name)) {
            Ok(top) => walk::walk(self.ctx, self.problems, shown, top, Runs::new(self), look).map(Some),
            Err(error) => {
                let detail = format!("cannot {}: {}; nothing in it was counted", error.op, error.source);
                let kind = ProblemKind::of_source(&error);
                self.problems.tell(self.ctx, Problem::with_detail(shown.as_bytes(), kind, detail));
                Ok(None)
            }
        }
    }

    /// Counts the files with several names that one tree has.
    fn linked_files(
        &self,
        mut linked: Linked,
        places: &mut Places,
        step: u32,
        elsewhere: &mut Elsewhere,
    ) -> Result<(), Error> {
        self.tell_refused(&mut linked);
        let mut file: Option<Sighting<true>> = None;
        let mut held_at = Vec::new();
        for sighting in linked.merged()? {
            let sighting = sighting?;
            match &mut file {
                Some(file) if file.file == sighting.file => file.absorb(&sighting),
                file => {
                    if let Some(done) = file.replace(sighting) {
                        linked_file(&done, &held_at, places, step, elsewhere)?;
                        held_at.clear();
                        self.ctx.check_cancel()?;
                    }
                }
            }
            held_at.push((sighting.low, u64::from(sighting.names)));
        }
        match file {
            Some(done) => linked_file(&done, &held_at, places, step, elsewhere),
            None => Ok(()),
        }
    }

    fn tell_refused<R: Row>(&self, runs: &mut Runs<R>) {
        if let Some(error) = runs.take_refused() {
            let text = format!(
                "there is no room for a temporary file (cannot {}: {}); what files share is kept in memory",
                error.op, error.source
            );
            self.ctx.monitor.notice(&text);
        }
    }
}

impl Scratches for Count<'_> {
    /// What a killed run leaves in the trash is removed.
    fn scratch(&self) -> Result<Scratch, PathError> {
        let mut run = [0; 8];
        let failed = |error: getrandom::Error| std::io::Error::other(error.to_string());
        getrandom::fill(&mut run).map_err(|e| PathError::new("make a name for", b"a temporary file", failed(e)))?;
        let prefix = format!("du-{:016x}-", u64::from_le_bytes(run)).into_bytes();
        let dir = match self.target.ours_dir_if_any(&[layout::TRASH])? {
            Some(trash) => trash,
            None => self.target.ours.try_clone()?,
        };
        Ok(Scratch { dir, prefix })
    }
}

fn linked_file(
    file: &Sighting<true>,
    held_at: &[(PlaceId, u64)],
    places: &mut Places,
    step: u32,
    elsewhere: &mut Elsewhere,
) -> Result<(), Error> {
    let linked = LinkedFile {
        held_at,
        nlink: u64::from(file.nlink),
        bytes: file.blocks * BLOCK_BYTES,
        cloned_bytes: file.cloned * BLOCK_BYTES,
    };
    places.count_linked(&linked);
    let names = u32::try_from(linked.names()).unwrap_or(u32::MAX);
    let Sighting { file, nlink, blocks, cloned, .. } = *file;
    let seen = Sighting { file, low: step, high: step, names, nlink, blocks, cloned };
    if linked.is_only_here() {
        note_fate(elsewhere.clones(), &seen, step)?;
    } else {
        elsewhere.files.push(seen)?;
    }
    Ok(())
}

/// Notes that a file goes; only of those with blocks that others have too it matters.
fn note_fate(clones: &mut Clones, file: &Sighting<false>, step: u32) -> Result<(), PathError> {
    if file.cloned > 0 { clones.goes(file.file, step) } else { Ok(()) }
}
