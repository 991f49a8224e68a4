//! The verify: proves records by their seals, trees by their records, and contents by their digests.
//!
//! Contents are read from the disk, not from the cache, and each stored file once, however many names it has. Snapshots
//! go oldest first. Everything that is found is a [`Problem`] at `SNAPSHOT/path`, what shares a damaged file one for all
//! its names; nothing is ever changed.

pub(crate) mod check;
mod current;
pub(crate) mod record;
mod seen;
mod unproven;
mod walk;

pub(crate) use record::manifest_fault;
pub(crate) use seen::Seen;
pub(crate) use unproven::Unread;

use crate::catalog;
use crate::content::Stop;
use crate::context::Context;
use crate::damage::{self, Bad, BadFiles, Damage, KeptDamage};
use crate::digests::DigestLists;
use crate::error::Error;
use crate::failure::Failure;
use crate::manifest::Seal;
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, LimitationKind, Phase, Problems, TIME_STEP_NS_MAX};
use crate::target::Target;
use current::Current;
use hardback_platform::{Dir, Faults, Time};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use unproven::Unproven;

/// Workers where none are asked for.
const WORKERS_DEFAULT: usize = 4;
/// Most workers.
const WORKERS_MAX: usize = 64;

/// Paths that changed since the snapshot of which a report keeps the names; all are counted.
pub const CHANGES_KEPT_MAX: usize = 10_000;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Only this job.
    pub job: Option<String>,
    /// Only these snapshots; none for all.
    pub snapshots: Vec<String>,
    /// How far to go.
    pub level: VerifyLevel,
    /// Compare with the live sources too: the named snapshots, or the newest of each job.
    pub against_source: bool,
    /// Threads; 0 chooses.
    pub workers: usize,
}

/// How far a verify goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VerifyLevel {
    /// Records whole, every entry there with its kind, size and metadata as far as one look tells. Reads no contents.
    Quick,
    /// Also this share of the contents, between 0 and 1, another one each time, and their extended attributes.
    Sample(f64),
    /// All contents.
    Full,
}

/// What a verify found.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether something is damaged"]
pub struct VerifyReport {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Entries of the snapshots that were looked at.
    pub entries: u64,
    /// Stored files that were read.
    pub files_read: u64,
    /// Bytes of them that were read.
    pub bytes_read: u64,
    /// Snapshots that were compared with the sources.
    pub compared: Vec<String>,
    /// What was looked at in the sources.
    pub source: SourceRead,
    /// Names whose file had been read under another name.
    pub shared: u64,
    /// Number of problems.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// The first damaged files, with all their names and where a good copy is; each is a problem too.
    pub damage: Vec<Damage>,
    /// Entries of the sources that changed since the snapshot.
    pub changed_count: u64,
    /// The first of them, as `SNAPSHOT/path`.
    pub changed: Vec<Vec<u8>>,
    /// Snapshots that were sealed with problems, and how many: no damage, and not all of the source either.
    pub incomplete: Vec<(String, u64)>,
    /// What is worth knowing and no damage.
    pub notices: Vec<String>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// What was looked at in the sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceRead {
    /// Entries.
    pub entries: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// What was looked at on one side of a record.
#[derive(Default)]
pub(crate) struct Looked {
    pub(crate) entries: AtomicU64,
    pub(crate) files_read: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
}

/// What all threads share, and what they find.
pub(crate) struct Findings<'a> {
    pub(crate) ctx: Context<'a>,
    level: VerifyLevel,
    workers: usize,
    seed: u64,
    seen: Seen,
    /// Files that could be read and that nothing proves.
    seen_unproven: Seen,
    pub(crate) snapshots: AtomicU64,
    /// The snapshot that is looked at.
    current: Mutex<Option<Current>>,
    pub(crate) in_trees: Looked,
    in_sources: Looked,
    compared: Mutex<Vec<String>>,
    pub(crate) shared: AtomicU64,
    unproven: Unproven,
    unread: Mutex<Unread>,
    pub(crate) failure: Failure,
    pub(crate) problems: Problems,
    /// Damaged files that are not told yet.
    pub(crate) bad: BadFiles,
    damage: Mutex<KeptDamage>,
    changed: Mutex<(u64, Vec<Vec<u8>>)>,
    incomplete: Mutex<Vec<(String, u64)>>,
    notices: Mutex<Vec<String>>,
}

/// Verifies snapshots.
///
/// # Errors
/// The target cannot be read as a whole, there is no such job or snapshot, or the user asked to stop. What is damaged
/// is in the report.
pub fn verify(ctx: &Context<'_>, target: &Target, options: &VerifyOptions) -> Result<VerifyReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let _kept = target.share();
    let findings = Findings::new(*ctx, options.level, options.workers);
    let verified = findings.telling(|| {
        let told = |job: &str| damage::tell(&findings, target, job);
        verify_all(&findings, target, options, &told)?;
        record::leftovers(&findings, target, &wanted_jobs(target, options.job.as_deref())?)
    });
    verified.map(|()| findings.report(began_ns))
}

/// Verifies what is asked for; calls a function behind each job, with damaged files not told yet.
///
/// # Errors
/// As [`verify`].
pub(crate) fn verify_all(
    findings: &Findings<'_>,
    target: &Target,
    options: &VerifyOptions,
    behind_job: &dyn Fn(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let ctx = &findings.ctx;
    let jobs = wanted_jobs(target, options.job.as_deref())?;
    ctx.monitor.phase(Phase::Verifying);
    let mut missing = options.snapshots.clone();
    let mut sealed = Vec::new();
    for job in &jobs {
        match record::seals(findings, target, job, &options.snapshots, &mut missing) {
            Err(error) if options.job.is_none() => findings.tell(catalog::closed_job(job, error)?),
            other => sealed.push((job, other?)),
        }
    }
    if let Some(name) = missing.first() {
        return Err(Error::not_found(format!("there is no whole snapshot {name:?} in this target")));
    }
    for (_, seals) in &sealed {
        expect(ctx, seals, options);
    }
    for (job, seals) in sealed {
        verify_job(findings, target, job, &seals, options)?;
        behind_job(job)?;
    }
    Ok(())
}

/// Returns all jobs of a target, or the one that is asked for.
pub(crate) fn wanted_jobs(target: &Target, wanted: Option<&str>) -> Result<Vec<String>, Error> {
    let mut jobs = catalog::jobs(target)?;
    if let Some(wanted) = wanted {
        jobs.retain(|job| job == wanted);
        if jobs.is_empty() {
            return Err(Error::not_found(format!("there is no job {wanted:?} in this target")));
        }
    }
    Ok(jobs)
}

fn expect(ctx: &Context<'_>, seals: &[Seal], options: &VerifyOptions) {
    let sides = |index| 1 + u64::from(is_compared(options, index, seals));
    let entries = seals.iter().enumerate().map(|(index, s)| s.totals.entries * sides(index)).sum();
    Counters::add(&ctx.counters.expected_entries, entries);
}

/// Returns whether a snapshot is compared with its sources too.
fn is_compared(options: &VerifyOptions, index: usize, seals: &[Seal]) -> bool {
    options.against_source && (!options.snapshots.is_empty() || index + 1 == seals.len())
}

fn verify_job(
    findings: &Findings<'_>,
    target: &Target,
    job: &str,
    seals: &[Seal],
    options: &VerifyOptions,
) -> Result<(), Error> {
    let Some(trees) = target.job_dir_if_any(job)? else { return Ok(()) };
    let digests = DigestLists::open(target, job);
    for (index, seal) in seals.iter().enumerate() {
        findings.ctx.check_cancel()?;
        let tree = match trees.open_dir(seal.snapshot.as_bytes()) {
            Ok(tree) => tree,
            Err(error) if error.fault() == Faults::Vanished => {
                findings.notice(format!("snapshot {} was removed while this ran", seal.snapshot));
                continue;
            }
            Err(error) => {
                let detail = format!("cannot {}: {}; nothing in it was verified", error.op, error.source);
                findings.problem(seal.snapshot.as_bytes(), ProblemKind::Unreadable, detail);
                continue;
            }
        };
        findings.begin(&trees, &seal.snapshot)?;
        Counters::add(&findings.snapshots, 1);
        findings.sealed_with_problems(seal);
        let is_whole = record::check(findings, target, job, seal)?;
        let live = is_compared(options, index, seals);
        let sides = [Some(walk::Side::Tree(tree)), live.then_some(walk::Side::Source)];
        for side in sides.into_iter().flatten() {
            let reader = match catalog::open_manifest(target, job, &seal.snapshot) {
                Ok(reader) => reader,
                // Told already, with the record.
                Err(_) if !is_whole => break,
                Err(error) => return Err(error),
            };
            if matches!(side, walk::Side::Source) {
                findings.compared.lock().expect("no panic while the list is held").push(seal.snapshot.clone());
            }
            let compared = walk::compare(findings, &digests, seal, reader, side);
            findings.tell_unproven(&seal.snapshot);
            match compared {
                Err(Error::Manifest { .. }) if !is_whole => break,
                other => other?,
            }
        }
    }
    Ok(())
}

impl<'a> Findings<'a> {
    /// Tells of the files of a snapshot that were read and that nothing proves.
    pub(crate) fn tell_unproven(&self, snapshot: &str) {
        let unproven = self.unproven.take();
        if unproven.is_empty() || self.is_gone(snapshot.as_bytes()) {
            return;
        }
        for what in unproven {
            self.problem(snapshot.as_bytes(), ProblemKind::Damaged, what);
        }
    }

    pub(crate) fn new(ctx: Context<'a>, level: VerifyLevel, workers: usize) -> Self {
        let now = ctx.clock.now();
        Self {
            ctx,
            level,
            workers,
            seed: now.seconds.unsigned_abs() ^ (u64::from(now.nanos) << 32),
            seen: Seen::new(),
            seen_unproven: Seen::new(),
            snapshots: AtomicU64::new(0),
            current: Mutex::new(None),
            in_trees: Looked::default(),
            in_sources: Looked::default(),
            compared: Mutex::new(Vec::new()),
            shared: AtomicU64::new(0),
            unproven: Unproven::default(),
            unread: Mutex::default(),
            failure: Failure::default(),
            problems: Problems::default(),
            bad: BadFiles::default(),
            damage: Mutex::default(),
            changed: Mutex::new((0, Vec::new())),
            incomplete: Mutex::new(Vec::new()),
            notices: Mutex::new(Vec::new()),
        }
    }

    /// Begins with a snapshot, which somebody may remove by hand meanwhile.
    fn begin(&self, trees: &Dir, snapshot: &str) -> Result<(), Error> {
        *self.current() = Some(Current::new(trees.try_clone()?, snapshot));
        Ok(())
    }

    /// Begins with a snapshot without holding the readers' lock: whoever removes snapshots, or paths in them, is not to
    /// wait. What seems to be wrong is looked at again when nobody removes anything.
    pub(crate) fn begin_unkept(&self, target: &Target, trees: &Dir, (job, seal): (&str, &Seal)) -> Result<(), Error> {
        *self.current() = Some(Current::unkept(trees.try_clone()?, target, job, seal)?);
        Ok(())
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().expect("no panic while the snapshot is held")
    }

    /// Returns whether a path was removed from the snapshot since it was begun with, so that something was not told: it
    /// is to be begun with again.
    pub(crate) fn is_changed(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.is_changed && !current.is_gone)
    }

    /// Returns whether the snapshot was seen to be removed since it was begun with.
    pub(crate) fn is_removed(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.is_gone)
    }

    /// Returns whether a path, as it is reported, is in a snapshot that was removed, or changed, since it was begun with.
    fn is_gone(&self, path: &[u8]) -> bool {
        let mut current = self.current();
        let Some(current) = current.as_mut().filter(|current| current.has(path)) else { return false };
        if current.look_again() {
            self.notice(format!("snapshot {} was removed while this ran", current.name));
        }
        current.is_gone || current.is_changed
    }

    /// Tells of a problem: the only way to report one. What a snapshot lacks that is being removed, or a path in it, is
    /// none.
    pub(crate) fn problem(&self, path: &[u8], kind: ProblemKind, detail: String) {
        if kind != ProblemKind::Damaged && self.is_gone(path) {
            return;
        }
        self.tell(Problem::with_detail(path, kind, detail));
    }

    pub(crate) fn tell(&self, problem: Problem) {
        self.problems.tell(&self.ctx, problem);
    }

    /// Notes a damaged file, to be told when it is known where else it is; returns `false` for one that is noted.
    pub(crate) fn bad(&self, bad: Bad) -> bool {
        match self.bad.note(bad) {
            Ok(is_new) => is_new,
            // More than anybody can look at: told as it is.
            Err(bad) => {
                self.tell(bad.problem());
                true
            }
        }
    }

    /// Tells of a damaged file with all that is known about it.
    pub(crate) fn damaged(&self, damage: Damage) {
        self.tell(damage.problem());
        self.damage.lock().expect("no panic while the list is held").keep(damage);
    }

    /// Does a verb's work; if it ends early, damaged files are told as far as they are known.
    pub(crate) fn telling<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let done = work();
        self.bad.take().iter().for_each(|bad| self.tell(bad.problem()));
        done
    }

    /// Takes what was not read or not proven since this was asked for.
    pub(crate) fn take_unread(&self) -> Unread {
        std::mem::take(&mut *self.unread.lock().expect("no panic while the list is held"))
    }

    /// Returns how many threads look at entries.
    pub(crate) fn worker_count(&self) -> usize {
        if self.workers == 0 { WORKERS_DEFAULT } else { self.workers.min(WORKERS_MAX) }
    }

    /// Takes the damaged files that were told.
    pub(crate) fn take_damage(&self) -> Vec<Damage> {
        self.damage.lock().expect("no panic while the list is held").take()
    }

    /// Notes that an entry of a source changed since the snapshot.
    fn changed(&self, path: &[u8]) {
        let mut changed = self.changed.lock().expect("no panic while the list is held");
        changed.0 += 1;
        if changed.1.len() < CHANGES_KEPT_MAX {
            changed.1.push(path.to_vec());
        }
    }

    /// Notes what a snapshot lacks since it was made.
    fn sealed_with_problems(&self, seal: &Seal) {
        if seal.totals.problems > 0 {
            let mut incomplete = self.incomplete.lock().expect("no panic while the list is held");
            incomplete.push((seal.snapshot.clone(), seal.totals.problems));
        }
    }

    /// Tells what is worth knowing.
    pub(crate) fn notice(&self, text: String) {
        self.ctx.monitor.notice(&text);
        self.notices.lock().expect("no panic while notices are held").push(text);
    }

    fn report(self, began_ns: u64) -> VerifyReport {
        let damage = self.take_damage();
        let sum = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (problem_count, mut problems) = self.problems.take();
        let (changed_count, mut changed) = self.changed.into_inner().expect("all threads are done");
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        changed.sort();
        VerifyReport {
            snapshots: sum(&self.snapshots),
            entries: sum(&self.in_trees.entries),
            files_read: sum(&self.in_trees.files_read),
            bytes_read: sum(&self.in_trees.bytes_read),
            compared: self.compared.into_inner().expect("all threads are done"),
            source: SourceRead {
                entries: sum(&self.in_sources.entries),
                files: sum(&self.in_sources.files_read),
                bytes: sum(&self.in_sources.bytes_read),
            },
            shared: sum(&self.shared),
            problem_count,
            problems,
            damage,
            changed_count,
            changed,
            incomplete: self.incomplete.into_inner().expect("all threads are done"),
            notices: self.notices.into_inner().expect("all threads are done"),
            elapsed_ns: hardback_platform::monotonic_now().saturating_sub(began_ns),
        }
    }
}

impl Stop for Findings<'_> {
    fn is_stopped(&self) -> bool {
        self.failure.is_set() || self.ctx.cancel.is_cancelled()
    }
}

/// What of a snapshot's metadata its target could not keep, by its seal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) owners: bool,
    pub(crate) modes: bool,
    pub(crate) times: Times,
    pub(crate) xattrs: bool,
}

/// How exactly times were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Exact,
    InSteps,
    No,
}

impl Kept {
    pub(crate) fn of(seal: &Seal) -> Self {
        Self::without(|kind| seal.limitations.iter().any(|l| l == kind.code()))
    }

    /// Returns what is kept where some limitations were met.
    pub(crate) fn without(is_met: impl Fn(LimitationKind) -> bool) -> Self {
        let kept = |kind| !is_met(kind);
        Self {
            owners: kept(LimitationKind::Owners),
            modes: kept(LimitationKind::Modes),
            times: match (kept(LimitationKind::Times), kept(LimitationKind::TimeSteps)) {
                (true, true) => Times::Exact,
                (true, false) => Times::InSteps,
                (false, _) => Times::No,
            },
            xattrs: kept(LimitationKind::Xattrs),
        }
    }

    /// Returns whether a time is the recorded one, as exactly as times were kept.
    pub(crate) fn is_same_time(self, found: Time, recorded: Time) -> bool {
        let ns = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        match self.times {
            Times::Exact => found == recorded,
            // The seal does not tell the step: the coarsest.
            Times::InSteps => (ns(found) - ns(recorded)).unsigned_abs() < u128::from(TIME_STEP_NS_MAX),
            Times::No => true,
        }
    }
}
