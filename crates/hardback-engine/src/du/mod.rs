//! The du: what snapshots take on the volume, what each has alone, and what removing some of them would free.
//!
//! The truth is the volume: a file goes when its last name goes, so names are counted in the trees and compared with
//! the link count that each file has. Where files can have blocks in common (XFS, Btrfs; a backup makes such files), these
//! go with the last of the files. Nothing is written but a temporary file for what does not fit in memory.

mod clones;
mod count;
mod places;
mod records;
mod rows;
mod runs;
mod walk;

pub(crate) use walk::{BLOCK_BYTES, BLOCKS_NOT_ASKED};

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::error::Error;
use crate::problem::Problem;
use crate::report::{Phase, Problems};
use crate::target::Target;
use count::{Amount, Count, Counted};
use places::Sums;
use records::Records;

/// What to count.
#[derive(Debug, Clone, Default)]
pub struct DuOptions {
    /// Only this job.
    pub job: Option<String>,
    /// Only these snapshots; none for all.
    pub snapshots: Vec<String>,
    /// Levels of folders that are told apart; 0 for whole snapshots only.
    pub depth: usize,
    /// Threads; 0 chooses.
    pub workers: usize,
}

/// What snapshots take.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether all could be counted"]
pub struct DuReport {
    /// The jobs.
    pub jobs: Vec<JobUsage>,
    /// Number of problems. With one, all that is told is the least.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// What the counted snapshots of a job take.
#[derive(Debug, Clone)]
pub struct JobUsage {
    /// Job.
    pub job: String,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotUsage>,
    /// Bytes of all records of the job.
    pub record_bytes: u64,
    /// What removing all of these snapshots would free, records included.
    pub freed: Freed,
}

/// What a snapshot takes.
#[derive(Debug, Clone)]
pub struct SnapshotUsage {
    /// Name.
    pub snapshot: String,
    /// What is in it.
    pub usage: Usage,
    /// Files and folders that it has and no older one of those that were counted.
    pub cumulative_entries: u64,
    /// Their bytes.
    pub cumulative_bytes: u64,
    /// Its folders, as deep as was asked for, in tree order; named as they are in the tree.
    pub folders: Vec<FolderUsage>,
}

/// What a folder of a snapshot takes.
#[derive(Debug, Clone)]
pub struct FolderUsage {
    /// Path in the snapshot's tree.
    pub path: Vec<u8>,
    /// What is in it.
    pub usage: Usage,
}

/// What is in a snapshot, or in a folder of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries below it, counted by their names.
    pub entries: u64,
    /// Bytes on the volume, a file with several names once.
    pub bytes: u64,
    /// Files and folders, itself included, that nothing else on the volume has a name of.
    pub unique_entries: u64,
    /// Bytes that would be freed if it alone were removed.
    pub unique_bytes: u64,
}

impl Usage {
    /// Returns the bytes that would stay if it alone were removed.
    pub fn shared_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.unique_bytes)
    }
}

/// What a removal frees.
#[derive(Debug, Clone, Default)]
#[must_use = "with a problem it is the least"]
pub struct Freed {
    /// Bytes on the volume, records included.
    pub bytes: u64,
    /// Files and folders that would be gone from the volume (inodes), records included.
    pub entries: u64,
    /// What each snapshot adds to that if they are removed in the order in which they were given.
    pub steps: Vec<FreedStep>,
    /// Number of problems. With one, all of this is the least.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
}

/// What one more removal frees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreedStep {
    /// The snapshot.
    pub snapshot: String,
    /// Bytes on the volume, records included.
    pub bytes: u64,
    /// Files and folders that would be gone from the volume.
    pub entries: u64,
}

/// Counts what snapshots take on the volume.
///
/// # Errors
/// The target cannot be read as a whole, there is no such job or snapshot, or the user asked to stop. What cannot be
/// counted is a problem, and the sums are the least then.
pub fn du(ctx: &Context<'_>, target: &Target, options: &DuOptions) -> Result<DuReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let problems = Problems::default();
    ctx.monitor.phase(Phase::Counting);
    let mut jobs = Vec::new();
    for Chosen { job, snapshots, neighbours } in chosen(ctx, target, options, &problems)? {
        let DuOptions { depth, workers, .. } = *options;
        let counted =
            Count { ctx, target, job: &job, problems: &problems, depth, workers }.run(&snapshots, &neighbours)?;
        let records = Records::open(target, &job)?;
        let freed = total(&snapshots, &counted, &records.freed(&snapshots)?);
        let record_bytes = records.all()?.bytes;
        let snapshots = snapshots.iter().zip(counted).map(|(snapshot, counted)| usage(snapshot, counted)).collect();
        jobs.push(JobUsage { job, snapshots, record_bytes, freed });
    }
    let (problem_count, problems) = problems.take();
    let elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began_ns);
    Ok(DuReport { jobs, problem_count, problems, elapsed_ns })
}

/// Returns what removing these snapshots together would free on the volume, and what each adds in the order in which they
/// are given. Only their trees are read, and where files have blocks in common those of the snapshots beside them.
///
/// # Errors
/// One of them is not there or has no whole seal, the target cannot be read as a whole, or the user asked to stop. What
/// cannot be counted is a problem; it is told, and what is returned is the least then.
pub fn freed(ctx: &Context<'_>, target: &Target, job: &str, snapshots: &[String]) -> Result<Freed, Error> {
    let known = catalog::snapshots(target, job)?;
    let mut chosen: Vec<Snapshot> = Vec::with_capacity(snapshots.len());
    for name in snapshots {
        if chosen.iter().all(|snapshot| snapshot.name != *name) {
            chosen.push(known.named(job, name)?.clone());
        }
    }
    let problems = Problems::default();
    let neighbours = neighbours(&known.sealed, |snapshot| chosen.iter().any(|c| c.name == snapshot.name));
    let count = Count { ctx, target, job, problems: &problems, depth: 0, workers: 0 };
    let counted = count.run(&chosen, &neighbours)?;
    let records = Records::open(target, job)?.freed(&chosen)?;
    let (problem_count, problems) = problems.take();
    Ok(Freed { problem_count, problems, ..total(&chosen, &counted, &records) })
}

/// The snapshots of a job that are meant.
struct Chosen {
    job: String,
    /// Oldest first.
    snapshots: Vec<Snapshot>,
    /// Those that come right before or after one of them and are not meant.
    neighbours: Vec<Snapshot>,
}

/// Returns the jobs and their snapshots that are meant.
fn chosen(ctx: &Context<'_>, target: &Target, options: &DuOptions, problems: &Problems) -> Result<Vec<Chosen>, Error> {
    let jobs = match options.job.as_deref() {
        Some(job) => vec![catalog::choose_job(target, Some(job), "")?],
        None => catalog::jobs(target)?,
    };
    let is_meant = |name: &String| options.snapshots.is_empty() || options.snapshots.contains(name);
    let mut missing = options.snapshots.clone();
    let mut chosen = Vec::new();
    for job in jobs {
        let Snapshots { mut sealed, mut unsealed } = match catalog::snapshots(target, &job) {
            Err(error) if options.job.is_none() => {
                problems.tell(ctx, catalog::closed_job(&job, error)?);
                continue;
            }
            other => other?,
        };
        let neighbours = neighbours(&sealed, |snapshot| is_meant(&snapshot.name));
        sealed.retain(|snapshot| is_meant(&snapshot.name));
        unsealed.retain(|unsealed| is_meant(&unsealed.name));
        unsealed.iter().for_each(|unsealed| problems.tell(ctx, unsealed.problem()));
        missing.retain(|name| {
            sealed.iter().all(|snapshot| snapshot.name != *name) && unsealed.iter().all(|u| u.name != *name)
        });
        if !sealed.is_empty() {
            chosen.push(Chosen { job, snapshots: sealed, neighbours });
        }
    }
    match missing.first() {
        Some(name) => Err(Error::not_found(format!("there is no snapshot {name:?} in this target"))),
        None => Ok(chosen),
    }
}

/// Returns those of a row of snapshots that are not meant and beside one that is.
fn neighbours(all: &[Snapshot], is_meant: impl Fn(&Snapshot) -> bool) -> Vec<Snapshot> {
    let is_beside = |index: usize| {
        let beside = [index.checked_sub(1), index.checked_add(1)].into_iter().flatten();
        beside.filter_map(|index| all.get(index)).any(&is_meant)
    };
    let beside = all.iter().enumerate().filter(|(index, snapshot)| !is_meant(snapshot) && is_beside(*index));
    beside.map(|(_, snapshot)| snapshot.clone()).collect()
}

fn usage(snapshot: &Snapshot, counted: Counted) -> SnapshotUsage {
    let usage_of = |sums: Sums| {
        let Sums { entries, bytes, unique_entries, unique_bytes, .. } = sums;
        Usage { entries, bytes, unique_entries, unique_bytes }
    };
    let mut places = counted.places.into_iter();
    let top = places.next().map(|(_, sums)| sums).unwrap_or_default();
    SnapshotUsage {
        snapshot: snapshot.name.clone(),
        usage: usage_of(top),
        cumulative_entries: counted.adds.entries,
        cumulative_bytes: counted.adds.bytes,
        folders: places.map(|(path, sums)| FolderUsage { path, usage: usage_of(sums) }).collect(),
    }
}

/// Adds up what each snapshot frees, its record included.
fn total(snapshots: &[Snapshot], counted: &[Counted], records: &[Amount]) -> Freed {
    let mut freed = Freed::default();
    for ((snapshot, counted), record) in snapshots.iter().zip(counted).zip(records) {
        let (bytes, entries) = (counted.goes.bytes + record.bytes, counted.goes.entries + record.entries);
        freed.bytes += bytes;
        freed.entries += entries;
        freed.steps.push(FreedStep { snapshot: snapshot.name.clone(), bytes, entries });
    }
    freed
}
