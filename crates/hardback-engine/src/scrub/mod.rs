//! The scrub: reads a share of the stored files again, another one with each run, until all were read, and begins anew.
//!
//! A pass goes through the snapshots of a job, oldest first. `position` is where it is, `run` goes on from there, `walk`
//! hands out what is to be read, `verify` reads and compares, `damage` says where else a damaged file is. How it comes that
//! a pass leaves out no file that is there all the time is in `docs/design/003b-bit-rot.md`. Nothing is written but the
//! position.

pub(crate) mod position;
mod run;
mod walk;

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::damage::{self, Damage};
use crate::digests::DigestLists;
use crate::error::{Error, UnderPath};
use crate::manifest::Seal;
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, Phase};
use crate::target::{Target, holder_words, layout};
use crate::verify::{Findings, VerifyLevel, record, wanted_jobs};
use hardback_platform::{Lock, Time};
use position::Position;
use run::{Limits, Run, Told};
use std::sync::atomic::Ordering;

/// All of a pass, in hundredths of a percent.
pub const SHARE_WHOLE: u32 = 10_000;
/// What opening a file costs beside its bytes, in bytes that could be read meanwhile.
const FILE_COST: u64 = 4096;
/// What it costs to see that a file is that of the snapshot before.
const COMPARED_COST: u64 = 1024;
/// Cost after which the position is written down: so much is read twice after a kill.
const LEG_COST: u64 = 1 << 30;

/// What to scrub.
#[derive(Debug, Clone)]
pub struct ScrubOptions {
    /// Only this job.
    pub job: Option<String>,
    /// How much of a pass this run does at least, in hundredths of a percent (1 to [`SHARE_WHOLE`]).
    pub share: u32,
    /// Threads; 0 chooses.
    pub workers: usize,
}

/// What a scrub found.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether something is damaged"]
pub struct ScrubReport {
    /// The jobs, with how far their passes are.
    pub jobs: Vec<ScrubbedJob>,
    /// Stored files that were read.
    pub files_read: u64,
    /// Bytes of them that were read.
    pub bytes_read: u64,
    /// Number of problems.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// The first damaged files, with all their names and where a good copy is; each is a problem too.
    pub damage: Vec<Damage>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// How far the pass of a job is.
#[derive(Debug, Clone)]
pub struct ScrubbedJob {
    /// Job.
    pub job: String,
    /// When the pass began.
    pub began: Time,
    /// Runs of it so far, with this one.
    pub runs: u32,
    /// Runs that it takes at most from here on, if they have this run's share; 0 when it is whole.
    pub runs_left: u32,
    /// Part of it that is done, by the estimate, between 0 and 1.
    pub done: f64,
    /// It is whole with this run: the next one begins anew.
    pub is_whole: bool,
    /// Contents of which a stored file was found to be damaged, by this run or others, and no repair was seen.
    pub damaged: u64,
    /// What else the runs of the pass have told so far, this one among them: not all of it was read, or proven. What
    /// several runs tell counts for each.
    pub problems: u64,
    /// What the runs of the pass before have told, while this one is not whole.
    pub problems_before: u64,
}

/// Reads a share of the stored files again.
///
/// # Errors
/// There is no such job, or nothing is left of it; another scrub is at work, the target cannot be read as a whole or its
/// position not be written, or the user asked to stop. What is damaged is in the report.
pub fn scrub(ctx: &Context<'_>, target: &Target, options: &ScrubOptions) -> Result<ScrubReport, Error> {
    scrub_in_legs(ctx, target, options, LEG_COST)
}

/// Does what [`scrub`] does, and writes the position down after another cost: tests have no gigabytes.
///
/// # Errors
/// As [`scrub`].
#[doc(hidden)]
pub fn scrub_in_legs(
    ctx: &Context<'_>,
    target: &Target,
    options: &ScrubOptions,
    leg_cost: u64,
) -> Result<ScrubReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let jobs = wanted_jobs(target, options.job.as_deref())?;
    let _lock = lock(ctx, target)?;
    ctx.monitor.phase(Phase::Verifying);
    let findings = Findings::new(*ctx, VerifyLevel::Full, options.workers);
    let mut report = ScrubReport::default();
    findings.telling(|| {
        for job in &jobs {
            let scrubbed = scrub_job(&findings, target, job, (options, leg_cost));
            // Damage is told with the job that it is of, however that ends.
            let told = damage::tell(&findings, target, job);
            match scrubbed.and_then(|scrubbed| told.map(|()| scrubbed)) {
                Err(error) if options.job.is_none() => findings.tell(catalog::closed_job(job, error)?),
                scrubbed => report.jobs.extend(scrubbed?),
            }
        }
        Ok(())
    })?;
    report.files_read = findings.in_trees.files_read.load(Ordering::Relaxed);
    report.bytes_read = findings.in_trees.bytes_read.load(Ordering::Relaxed);
    report.damage = findings.take_damage();
    (report.problem_count, report.problems) = findings.problems.take();
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began_ns);
    Ok(report)
}

/// Takes the lock of the position: two scrubs at once would undo each other's, and slow each other down.
pub(crate) fn lock(ctx: &Context<'_>, target: &Target) -> Result<Lock, Error> {
    let dir = target.ours_dir(&[layout::SCRUB])?;
    let in_scrub = target.ours_path(&[layout::SCRUB]);
    let info = holder_words(ctx, "scrub");
    match Lock::try_take(&dir, layout::LOCK, info.as_bytes()).under(&in_scrub)? {
        Some(lock) => Ok(lock),
        None => Err(Error::Locked { holder: Lock::holder(&dir, layout::LOCK).filter(|holder| !holder.is_empty()) }),
    }
}

/// Returns the snapshots of a job, and all its seals. Tells of those that are gone and have a record: a single one is its
/// owner's right to delete, but where all are gone nothing can be well.
fn snapshots(
    findings: &Findings<'_>,
    target: &Target,
    job: &str,
    is_named: bool,
) -> Result<(Snapshots, Vec<Seal>), Error> {
    // Whoever removes a snapshot takes its record too; whoever makes one has it among the unfinished before.
    let _kept = target.share();
    let seals = catalog::seals(target, job)?;
    let mut there = record::unfinished(target, job)?;
    let snapshots = catalog::snapshots(target, job)?;
    there.extend(snapshots.sealed.iter().map(|sealed| sealed.name.clone().into_bytes()));
    there.extend(snapshots.unsealed.iter().map(|unsealed| unsealed.name.clone().into_bytes()));
    let names = seals.whole.iter().map(|seal| &seal.snapshot).chain(seals.broken.iter().map(|unsealed| &unsealed.name));
    let deleted: Vec<String> = names.filter(|name| !there.contains(name.as_bytes())).cloned().collect();
    if deleted.is_empty() || !snapshots.sealed.is_empty() || !snapshots.unsealed.is_empty() {
        record::tell_deleted(findings, job, &deleted);
        return Ok((snapshots, seals.whole));
    }
    let what = match deleted.len() {
        1 => "its only snapshot is gone, and its record is there".to_owned(),
        count => format!("all of its {count} snapshots are gone, and their records are there"),
    };
    let hint = "if they were deleted on purpose, its folder in .hardback/manifests can be removed too";
    if is_named {
        return Err(Error::NotFound { message: format!("job {job:?}: {what}"), hint: Some(hint.to_owned()) });
    }
    findings.problem(job.as_bytes(), ProblemKind::Missing, format!("{what}; {hint}"));
    Ok((snapshots, seals.whole))
}

/// Scrubs a job; `None` where it has no snapshot.
fn scrub_job(
    findings: &Findings<'_>,
    target: &Target,
    job: &str,
    (options, leg_cost): (&ScrubOptions, u64),
) -> Result<Option<ScrubbedJob>, Error> {
    let share = options.share.clamp(1, SHARE_WHOLE);
    let mut told_before = findings.problems.count();
    let (snapshots, seals) = snapshots(findings, target, job, options.job.is_some())?;
    snapshots.unsealed.iter().for_each(|unsealed| findings.tell(unsealed.problem_of_job()));
    let (Some(trees), false) = (target.job_dir_if_any(job)?, snapshots.sealed.is_empty()) else { return Ok(None) };
    if let Err(error) = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()]) {
        let what = format!("nothing of it can be proven: {}", Error::from(error).with_causes());
        findings.problem(job.as_bytes(), ProblemKind::Unreadable, what);
        return Ok(None);
    }
    let digests = DigestLists::open(target, job).proven_by(seals);
    let mut position = Position::read(target, job).unwrap_or_else(|lost| {
        findings.tell(lost.problem("a new pass begins, which comes by it again"));
        // That pass does not lack anything for it.
        told_before += 1;
        Position::default()
    });
    if share >= SHARE_WHOLE && position.began.is_some() {
        // Who asks for all does not mean the rest of it.
        position = position.anew();
    }
    let began = *position.began.get_or_insert(findings.ctx.clock.now());
    let total = total_cost(&snapshots.sealed);
    let promised = position.promised.saturating_add(share);
    let budget = budget(&position, total, share);
    Counters::add(&findings.ctx.counters.expected_bytes, budget.min(total.saturating_sub(position.cost)));
    let told = Told { before: told_before, of_pass: position.problems };
    let mut run = Run::new(findings, target, job, (trees, &digests), Limits { budget, leg_cost }, told);
    let is_whole = run.go(&mut position, &snapshots.sealed)?;
    position.runs = position.runs.saturating_add(1);
    let (runs, done) = (position.runs, if is_whole { 1.0 } else { position.cost as f64 / total.max(1) as f64 });
    position.promised = promised;
    run.note(&mut position);
    let problems = position.problems;
    let problems_before = if is_whole { 0 } else { position.last_problems };
    if is_whole {
        position.begin_anew(findings.ctx.clock.now());
    }
    position.write(target, job)?;
    let runs_left = if is_whole { 0 } else { SHARE_WHOLE.saturating_sub(promised).div_ceil(share) };
    let damaged = position.damaged.len() as u64;
    let (job, done) = (job.to_owned(), done.min(1.0));
    Ok(Some(ScrubbedJob { job, began, runs, runs_left, done, is_whole, damaged, problems, problems_before }))
}

/// Returns what a pass through snapshots costs, by their seals.
fn total_cost(sealed: &[Snapshot]) -> u64 {
    let cost = |(index, snapshot): (usize, &Snapshot)| {
        let totals = snapshot.seal.totals;
        let files = totals.entries.saturating_sub(totals.dirs);
        let (new_files, new_bytes) = match index {
            0 => (files, totals.bytes),
            _ => (totals.new_files.min(files), totals.new_bytes),
        };
        let opened = new_files.saturating_mul(FILE_COST);
        new_bytes.saturating_add(opened).saturating_add((files - new_files).saturating_mul(COMPARED_COST))
    };
    sealed.iter().enumerate().map(cost).fold(0, u64::saturating_add)
}

/// Returns what a run does at most: its share, or its part of what is left if that is more. The run with which the
/// promised shares are the whole does all that is left.
fn budget(position: &Position, total: u64, share: u32) -> u64 {
    let left = SHARE_WHOLE.saturating_sub(position.promised);
    if left <= share {
        return u64::MAX;
    }
    let of_all = u128::from(total) * u128::from(share) / u128::from(SHARE_WHOLE);
    let of_rest = total.saturating_sub(position.cost) / u64::from(left.div_ceil(share));
    u64::try_from(of_all).unwrap_or(u64::MAX).max(of_rest).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_a_pass_are_as_many_as_the_share_says() {
        for (share, runs_max) in [(1, 10_000), (200, 50), (300, 34), (3333, 4), (3334, 3), (5000, 2), (10_000, 1)] {
            let mut position = Position::default();
            let mut runs = 0;
            loop {
                runs += 1;
                let budget = budget(&position, 1 << 40, share);
                if budget == u64::MAX {
                    break;
                }
                // What was estimated, and half as much again, has come up so far.
                assert!(budget >= (1u64 << 40) / 10_000 * u64::from(share) - 1, "{share}");
                position.cost += budget / 2;
                position.promised += share;
            }
            assert_eq!(runs, runs_max, "{share}");
        }
    }

    #[test]
    fn what_is_left_is_spread_over_the_runs_that_are_left() {
        // Half of the runs are over and nothing is done yet.
        let position = Position { promised: 5000, ..Position::default() };
        assert_eq!(budget(&position, 1_000_000, 1000), 200_000);
        let position = Position { promised: 5000, cost: 900_000, ..Position::default() };
        assert_eq!(budget(&position, 1_000_000, 1000), 100_000);
    }
}
