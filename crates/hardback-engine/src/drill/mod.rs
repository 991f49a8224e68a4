//! The drill: restores a random sample of files as a restore would, compares it, and tells how long all would take.
//!
//! Who has never restored does not know that it works. The sample comes from several snapshots, from the disk and not
//! from the cache, and goes to a folder of its own that is removed afterwards. Nothing of the restore or of the comparing
//! is done here: those are `restore` and `verify`.

mod sample;

use crate::catalog::{self, Snapshot};
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::problem::Problem;
use crate::report::{Limitation, Monitor, Phase};
use crate::restore::{Answer, Place, RestoreOptions, RestoreReport, restore};
use crate::system::path_bytes;
use crate::target::{Target, trash};
use crate::verify::check::{Checker, Chunk};
use crate::verify::{Findings, Kept, VerifyLevel};
use hardback_platform::{Attributes, Dir, PathError, RelPath, Seam};
use sample::{Dice, Sampled};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most files of a drill.
pub const DRILL_FILES_MAX: u64 = 10_000;
/// Most snapshots that a sample comes from.
const SNAPSHOTS_MAX: usize = 5;
/// How the name of the folder that is removed begins; a random number follows.
const SCRATCH: &str = "hardback-drill-";

/// What to try.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// Job.
    pub job: String,
    /// How many files, at most [`DRILL_FILES_MAX`].
    pub files: u64,
    /// Where to restore to.
    pub place: DrillPlace,
    /// Threads; 0 chooses.
    pub workers: usize,
}

/// Where a drill restores to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillPlace {
    /// A new folder in this one, which is removed afterwards.
    Scratch(PathBuf),
    /// This folder, which is new or empty; it stays.
    Keep(PathBuf),
}

/// What came of a drill.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether a restore would work"]
pub struct DrillReport {
    /// Job.
    pub job: String,
    /// Snapshots that the sample comes from, oldest first.
    pub snapshots: Vec<String>,
    /// Files that were restored and compared. Never 0 without a problem.
    pub files: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Files of the sample that were left out, as they do not fit there.
    pub too_large: u64,
    /// How long restoring them took, in nanoseconds.
    pub restore_ns: u64,
    /// How long a restore of the whole newest snapshot would take at this rate, in nanoseconds; 0 if nothing tells. What
    /// finding the sample in the records took is not scaled.
    pub whole_ns: u64,
    /// Bytes of the whole newest snapshot.
    pub whole_bytes: u64,
    /// What the place cannot keep, which is not compared.
    pub limitations: Vec<Limitation>,
    /// Number of problems.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// Where the restored files are, if they stay.
    pub kept: Option<PathBuf>,
    /// How long all of it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// Restores a random sample of files and compares it.
///
/// # Errors
/// There is no such job, no snapshot or no file in any, the place cannot be used, or the restore fails as a whole. What is
/// wrong with single files is in the report.
pub fn drill(ctx: &Context<'_>, target: &Target, options: &DrillOptions) -> Result<DrillReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let snapshots = catalog::snapshots(target, &options.job)?;
    let Some(newest) = snapshots.sealed.last() else {
        return Err(Error::not_found(format!("job {:?} has no whole snapshot to restore from", options.job)));
    };
    let mut report = DrillReport { job: options.job.clone(), ..DrillReport::default() };
    let findings = Findings::new(*ctx, VerifyLevel::Full, options.workers);
    snapshots.unsealed.iter().for_each(|unsealed| findings.tell(unsealed.problem_of_job()));
    let place = Scratch::make(&options.place)?;
    let tried = findings.telling(|| {
        let mut dice = Dice::new()?;
        let chosen = sample::choose(&snapshots.sealed, options.files, &mut dice);
        let mut room = place.room()?;
        let count = chosen.len() as u64;
        let mut copying_ns = 0;
        for (index, snapshot) in chosen.into_iter().enumerate() {
            let wanted = options.files.min(DRILL_FILES_MAX);
            let wanted = wanted / count + u64::from((index as u64) < wanted % count);
            let looking_ns = hardback_platform::monotonic_now();
            let sampled = sample::of_snapshot(ctx, target, snapshot, wanted, &mut dice)?;
            let looking_ns = hardback_platform::monotonic_now().saturating_sub(looking_ns);
            let (fitting, too_large) = sample::fitting(sampled, &mut room);
            report.too_large += too_large;
            if !fitting.is_empty() {
                report.snapshots.push(snapshot.name.clone());
                let before_ns = report.restore_ns;
                one_snapshot(&findings, target, options, (snapshot, &fitting, &place.path), &mut report)?;
                // The restore goes through the record as the sample did, which all files would cost once.
                let restored_ns = report.restore_ns - before_ns;
                copying_ns += restored_ns.saturating_sub(looking_ns).max(restored_ns / 10);
            }
        }
        (report.whole_ns, report.whole_bytes) = (whole_ns(&report, newest, copying_ns), newest.seal.totals.bytes);
        match (report.files, report.too_large, findings.problems.count()) {
            (0, 1.., _) => Err(Error::refused(
                format!("there is no room for any file of the sample in {}", place.path.display()),
                "give a folder on a larger disk with --to",
            )),
            (0, 0, 0) => Err(Error::refused(
                format!("no file of job {:?} was restored, so nothing is known of a restore", options.job),
                "its snapshots may have folders only; `hardback find` lists what is in them",
            )),
            _ => Ok(()),
        }
    });
    let removed = place.remove(ctx);
    tried?;
    removed?;
    report.snapshots.sort();
    (report.problem_count, report.problems) = findings.problems.take();
    report.kept = match &options.place {
        DrillPlace::Keep(path) => Some(path.clone()),
        DrillPlace::Scratch(_) => None,
    };
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began_ns);
    Ok(report)
}

/// Returns how long a whole restore would take: by bytes or by files, whichever is longer.
fn whole_ns(report: &DrillReport, newest: &Snapshot, copying_ns: u64) -> u64 {
    let totals = newest.seal.totals;
    let scaled = |all: u64, part: u64| {
        let ns = u128::from(copying_ns) * u128::from(all) / u128::from(part.max(1));
        if part == 0 { 0 } else { u64::try_from(ns).unwrap_or(u64::MAX) }
    };
    scaled(totals.bytes, report.bytes).max(scaled(totals.entries.saturating_sub(totals.dirs), report.files))
}

/// Restores files of one snapshot and compares them.
fn one_snapshot(
    findings: &Findings<'_>,
    target: &Target,
    options: &DrillOptions,
    (snapshot, sampled, place): (&Snapshot, &[Sampled], &Path),
    report: &mut DrillReport,
) -> Result<(), Error> {
    sample::drop_caches(target, snapshot, sampled)?;
    let place = place.join(&snapshot.name);
    let named = Named { inner: findings.ctx.monitor, snapshot: &snapshot.name };
    let ctx = Context { monitor: &named, ..findings.ctx };
    let restore_options = RestoreOptions {
        paths: sampled.iter().map(|file| file.path().as_bytes().to_vec()).collect(),
        // The record's numbers are compared, whoever has them here.
        numeric_owner: true,
        workers: options.workers,
        ..RestoreOptions::new(&options.job, &snapshot.name, Place::To(place.clone()))
    };
    let restored = restore(&ctx, target, &restore_options, &mut |_| Answer::Keep)?;
    report.restore_ns += restored.elapsed_ns;
    let failed: HashSet<&[u8]> = restored.problems.iter().map(|problem| &problem.path[..]).collect();
    for limitation in &restored.limitations {
        report.limited(limitation, |path| [snapshot.name.as_bytes(), b"/", path].concat());
    }
    let compared = compare(findings, target, snapshot, (&place, sampled, &restored), &failed)?;
    report.files += compared.0;
    report.bytes += compared.1;
    // The restore has told them.
    for problem in &restored.problems {
        findings.problems.keep(named.under(problem));
    }
    Ok(())
}

impl DrillReport {
    /// Takes over what was met with one of the snapshots.
    fn limited(&mut self, met: &Limitation, shown: impl FnOnce(&[u8]) -> Vec<u8>) {
        match self.limitations.iter_mut().find(|known| known.kind == met.kind) {
            Some(known) => known.entries += met.entries,
            None => self.limitations.push(Limitation { example: shown(&met.example), ..met.clone() }),
        }
    }
}

/// Compares restored files with their record; those of which the restore told are as it said. Returns how many files
/// were compared, and their bytes.
fn compare(
    findings: &Findings<'_>,
    target: &Target,
    snapshot: &Snapshot,
    (place, sampled, restored): (&Path, &[Sampled], &RestoreReport),
    failed: &HashSet<&[u8]>,
) -> Result<(u64, u64), Error> {
    findings.ctx.monitor.phase(Phase::Verifying);
    let digests = DigestLists::open(target, &snapshot.job);
    let kept = Kept::without(|kind| restored.limitations.iter().any(|limitation| limitation.kind == kind));
    let mut checker = Checker::new(findings, &digests, &snapshot.seal, kept, true);
    let root = Dir::open(place, Seam::default())?;
    let (mut files, mut bytes) = (0, 0);
    for file in sampled.iter().filter(|file| !failed.contains(file.path().as_bytes())) {
        findings.ctx.check_cancel()?;
        let mut entry = file.entry.clone();
        if let Some(extra) = entry.extra.as_mut() {
            // What comes back has its own name.
            extra.stored = None;
        }
        let dir = match root.open_dir_at(&file.folder) {
            Ok(dir) => Arc::new(dir),
            Err(error) => {
                let shown = [snapshot.name.as_bytes(), b"/", file.path().as_bytes()].concat();
                findings.tell(Problem::new(&shown, crate::problem::ProblemKind::NotRestored, &error));
                continue;
            }
        };
        checker.chunk(&Chunk { dir, path: file.folder.clone(), entries: vec![entry] });
        files += 1;
        bytes += file.entry.size_bytes;
    }
    // A file that was being compared then is not.
    findings.ctx.check_cancel()?;
    findings.tell_unproven(&snapshot.name);
    findings.bad.take().iter().for_each(|bad| findings.tell(bad.problem()));
    Ok((files, bytes))
}

/// Passes on what a restore tells, with the snapshot before each path.
struct Named<'a> {
    inner: &'a dyn Monitor,
    snapshot: &'a str,
}

impl Named<'_> {
    fn under(&self, problem: &Problem) -> Problem {
        let path = match &problem.path[..] {
            path if path == self.snapshot.as_bytes() => path.to_vec(),
            path => [self.snapshot.as_bytes(), b"/", path].concat(),
        };
        Problem { path, ..problem.clone() }
    }
}

impl Monitor for Named<'_> {
    fn problem(&self, problem: &Problem) {
        self.inner.problem(&self.under(problem));
    }

    fn notice(&self, text: &str) {
        self.inner.notice(text);
    }

    fn phase(&self, phase: Phase) {
        self.inner.phase(phase);
    }
}

/// The folder that a drill restores to.
struct Scratch {
    path: PathBuf,
    /// The folder above and the name in it, where it is removed afterwards.
    removed: Option<(Dir, Vec<u8>)>,
}

impl Scratch {
    fn make(place: &DrillPlace) -> Result<Self, Error> {
        match place {
            DrillPlace::Keep(path) => {
                let is_free = match Dir::open(path, Seam::default()) {
                    Ok(dir) => dir.list().map_err(|e| e.under(&path_bytes(path)))?.is_empty(),
                    Err(error) => error.fault() == hardback_platform::Faults::Vanished,
                };
                if !is_free {
                    return Err(Error::refused(
                        format!("{} is there and not an empty folder", path.display()),
                        "a drill restores to a folder of its own: give a new one with --to, or none",
                    ));
                }
                Ok(Self { path: path.clone(), removed: None })
            }
            DrillPlace::Scratch(above) => {
                let dir = Dir::open(above, Seam::default())?;
                let name = format!("{SCRATCH}{:016x}", sample::random()?);
                dir.make_dir(name.as_bytes(), 0o700).map_err(|e| e.under(&path_bytes(above)))?;
                Ok(Self { path: above.join(&name), removed: Some((dir, name.into_bytes())) })
            }
        }
    }

    /// Returns how many bytes may be restored: half of what is free.
    fn room(&self) -> Result<u64, Error> {
        let mut here: &Path = &self.path;
        loop {
            match Dir::open(here, Seam::default()) {
                Ok(dir) => return Ok(dir.free_space()?.free_bytes / 2),
                // It is made by the restore.
                Err(error) => match here.parent() {
                    Some(above) if !above.as_os_str().is_empty() => here = above,
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Removes the folder and what is in it, if it is not to stay. What cannot be removed is told.
    fn remove(&self, ctx: &Context<'_>) -> Result<(), Error> {
        let Some((above, name)) = &self.removed else { return Ok(()) };
        let shown = path_bytes(&self.path);
        let removed = || -> Result<u64, PathError> {
            let dir = above.open_dir(name)?;
            allow_removal(&dir)?;
            // Not at the user's wish to stop: nothing is to stay.
            let failures = trash::empty_folder(&dir, shown.clone(), &Default::default())?;
            for error in &failures.first {
                ctx.monitor.notice(&format!("what was restored for a try stays: {error}: {}", error.source));
            }
            drop(dir);
            if failures.count == 0 {
                above.remove_dir(name)?;
            }
            Ok(failures.count)
        };
        removed().map(drop).map_err(|error| error.under(&shown).into())
    }
}

/// Takes away the attributes by which nothing can be removed.
fn allow_removal(top: &Dir) -> Result<(), PathError> {
    let mut pending = vec![RelPath::root()];
    while let Some(path) = pending.pop() {
        let dir = top.open_dir_at(&path)?;
        if dir.attributes().0 != 0 {
            dir.set_attributes(b"", Attributes(0))?;
        }
        let listing = dir.list()?;
        for (index, entry) in listing.iter().enumerate() {
            if index >= listing.files_len() {
                pending.push(path.join(entry.name));
            } else if dir.stat(entry.name)?.attributes.0 & (Attributes::IMMUTABLE | Attributes::APPEND) != 0 {
                dir.set_attributes(entry.name, Attributes(0))?;
            }
        }
    }
    Ok(())
}
