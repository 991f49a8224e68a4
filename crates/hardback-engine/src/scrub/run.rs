//! One run: goes on from a position until its share is done.

use super::position::Position;
use super::walk::Walk;
use crate::catalog::{self, Snapshot};
use crate::digests::DigestLists;
use crate::error::Error;
use crate::manifest::Seal;
use crate::problem::ProblemKind;
use crate::report::Counters;
use crate::target::{Target, layout};
use crate::verify::{Findings, manifest_fault};
use hardback_platform::{Dir, Faults};

/// A run through the snapshots of a job.
pub(super) struct Run<'a, 'f> {
    findings: &'a Findings<'f>,
    target: &'a Target,
    job: &'a str,
    trees: Dir,
    digests: &'a DigestLists,
    /// Whether the records of snapshots that were looked at can be relied on.
    faults: Vec<(u32, bool)>,
    limits: Limits,
    /// What this run has cost so far.
    cost: u64,
    told: Told,
}

/// How a walk through a snapshot ended.
enum Walked {
    ToItsEnd,
    /// The run has done its share.
    Partly,
    /// The snapshot was changed meanwhile; the last leg does not count.
    OnWhatChanged,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// What it costs at most.
    pub(super) budget: u64,
    /// Cost after which the position is written down.
    pub(super) leg_cost: u64,
}

/// How many problems there were before a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Told by the scrub so far, of other jobs.
    pub(super) before: u64,
    /// Of the pass, in other runs.
    pub(super) of_pass: u64,
}

impl<'a, 'f> Run<'a, 'f> {
    /// Makes ready for a run.
    pub(super) fn new(
        findings: &'a Findings<'f>,
        target: &'a Target,
        job: &'a str,
        (trees, digests): (Dir, &'a DigestLists),
        limits: Limits,
        told: Told,
    ) -> Self {
        Self { findings, target, job, trees, digests, faults: Vec::new(), limits, cost: 0, told }
    }

    /// Goes on from a position; returns whether the pass is whole.
    pub(super) fn go(&mut self, position: &mut Position, sealed: &'a [Snapshot]) -> Result<bool, Error> {
        let first = sealed.partition_point(|snapshot| snapshot.seal.generation < position.generation);
        for index in first..sealed.len() {
            if !self.snapshot(position, sealed, index)? {
                return Ok(false);
            }
            if self.cost >= self.limits.budget && index + 1 < sealed.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes through a snapshot; returns whether it came to its end.
    fn snapshot(&mut self, position: &mut Position, sealed: &'a [Snapshot], index: usize) -> Result<bool, Error> {
        let snapshot = &sealed[index];
        self.findings.ctx.check_cancel()?;
        if position.generation != snapshot.seal.generation {
            // Where it was is gone, or is done.
            position.enter(snapshot.seal.generation);
        }
        loop {
            let Some(walk) = self.open(position, sealed, index)? else {
                position.has_gap = true;
                break;
            };
            match self.walk(position, walk)? {
                Walked::ToItsEnd => break,
                Walked::Partly => return Ok(false),
                // A path was purged: once more from where the position is, by the record as it is now.
                Walked::OnWhatChanged => {}
            }
        }
        self.note(position);
        position.leave();
        self.write(position)?;
        Ok(true)
    }

    /// Walks on, leg by leg.
    fn walk(&mut self, position: &mut Position, mut walk: Walk<'_, '_>) -> Result<Walked, Error> {
        while !walk.is_at_end() {
            if self.cost >= self.limits.budget {
                return Ok(Walked::Partly);
            }
            let cost = walk.leg(self.limits.leg_cost.min(self.limits.budget - self.cost))?;
            self.cost += cost;
            if self.findings.is_changed() {
                return Ok(Walked::OnWhatChanged);
            }
            position.cost = position.cost.saturating_add(cost);
            position.path = walk.done_to().clone();
            position.has_gap |= walk.has_gap() || self.findings.is_removed();
            if !walk.is_at_end() {
                self.write(position)?;
            }
        }
        Counters::add(&self.findings.snapshots, 1);
        Ok(Walked::ToItsEnd)
    }

    /// Opens a snapshot where the pass is in it; `None` where it cannot be read, which is told. Nobody removes anything
    /// meanwhile; later somebody may.
    fn open(
        &mut self,
        position: &Position,
        sealed: &'a [Snapshot],
        index: usize,
    ) -> Result<Option<Walk<'a, 'f>>, Error> {
        let name = &sealed[index].name;
        let _kept = self.target.share();
        let tree = match self.trees.open_dir(name.as_bytes()) {
            Ok(tree) => tree,
            Err(error) if error.fault() == Faults::Vanished => return Ok(None),
            Err(error) => {
                let what = format!("cannot {}: {}; nothing in it was read", error.op, error.source);
                self.findings.problem(name.as_bytes(), ProblemKind::Unreadable, what);
                return Ok(None);
            }
        };
        let records = self.target.ours_dir(&[layout::MANIFESTS, self.job.as_bytes()])?;
        let Some(seal) = catalog::seal_in(&records, name) else {
            let what = "its seal was whole when this began and is no more; nothing in it was read";
            self.findings.problem(name.as_bytes(), ProblemKind::Unsealed, what.into());
            return Ok(None);
        };
        if !self.is_whole(&seal, true) {
            return Ok(None);
        }
        let is_read = |before: &&Snapshot| position.read.contains(&before.seal.generation);
        let before = sealed[..index].iter().rev().filter(is_read).find(|before| self.is_whole(&before.seal, false));
        let before = before.and_then(|before| {
            let tree = self.trees.open_dir(before.name.as_bytes()).ok()?;
            Some((catalog::open_manifest(self.target, self.job, &before.name).ok()?, tree))
        });
        let reader = catalog::open_manifest(self.target, self.job, name)?;
        self.findings.begin_unkept(self.target, &self.trees, (self.job, &seal))?;
        let mut walk = Walk::open(self.findings, self.digests, seal, &position.unread, (reader, tree), before)?;
        walk.skip_to(&position.path);
        Ok(Some(walk))
    }

    /// Returns whether the record of a snapshot is the one that was sealed. What is wrong is told where it is to be read.
    fn is_whole(&mut self, seal: &Seal, is_told: bool) -> bool {
        if let Some((_, is_whole)) = self.faults.iter().find(|(of, _)| *of == seal.generation)
            && (*is_whole || !is_told)
        {
            return *is_whole;
        }
        let fault = match manifest_fault(self.target, self.job, seal) {
            Ok(fault) => fault,
            Err(error) => Some(format!("its record cannot be read: {}", error.with_causes())),
        };
        let is_whole = fault.is_none();
        if let Some(fault) = fault.filter(|_| is_told) {
            let what = format!("{fault}; what only this snapshot has is not read");
            self.findings.problem(seal.snapshot.as_bytes(), ProblemKind::Damaged, what);
        }
        self.faults.push((seal.generation, is_whole));
        is_whole
    }

    /// Writes the position down, with what was found.
    fn write(&self, position: &mut Position) -> Result<(), Error> {
        self.note(position);
        position.write(self.target, self.job)
    }

    /// Notes in a position what was found. Damaged files are told behind the job, and are no problems before.
    pub(super) fn note(&self, position: &mut Position) {
        position.extend_unread(self.findings.take_unread());
        position.damaged.extend(self.findings.bad.contents());
        let told = self.findings.problems.count().saturating_sub(self.told.before);
        position.problems = self.told.of_pass.saturating_add(told);
    }
}
