//! The backup: lock, recover, walk, plan, apply, seal.
//!
//! One thread walks the sources beside the base's record, workers store entries, and this thread brings the results
//! back into tree order and writes the record. Nothing holds more than a bounded number of entries.

mod collect;
mod copy;
mod elsewhere;
mod folder;
mod frozen;
mod groups;
pub(crate) mod metadata;
mod moved;
mod probe;
mod recover;
mod relink;
mod seal;
mod shared;
mod store;
mod throttle;
mod walk;
mod worker;
mod xattrs;

pub(crate) use collect::Appender;
pub use frozen::check_shadow;
pub use probe::check_new_target;

use crate::Excludes;
use crate::catalog::{self, Snapshot, Unsealed};
use crate::clock::timestamp;
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::{Error, UnderPath};
use crate::job::{BackupOptions, Job, JobSource};
use crate::manifest::{DIGEST_BYTES, Entry, ExcludeRecord, Header, ManifestError, ManifestWriter, Seal, Totals};
use crate::plan::Rules;
use crate::prune::{FoundChanged, RoomMaker};
use crate::report::{BackupReport, Counters, LimitationKind, Phase, Silent};
use crate::runs;
use crate::target::{PRIVATE_DIR, Target, holder_words, layout};
use crate::verify::manifest_fault;
use collect::{Collector, Output, Recorded};
use crossbeam_channel::bounded;
use folder::{Folder, Handles};
use frozen::Sources;
use hardback_platform::{Dir, FileId, Kind, Seam, Time};
use moved::MovedFiles;
use seal::Sealing;
use shared::{Parts, Shared};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use throttle::Throttle;
use walk::{Chunk, Cursor, Walk};
use worker::{At, Worker};

/// Files from this size on are shown as what is being worked on.
const LARGE_FILE_BYTES: u64 = 16 << 20;
/// Chunks that wait for a worker.
const CHUNK_QUEUE: usize = 32;
/// Outputs that wait for the collector.
const OUTPUT_QUEUE: usize = 1024;
/// Workers where none are asked for: two keep a warm cache busy, more keep a cold disk busy.
const WORKERS_DEFAULT: usize = 4;
/// Most workers.
const WORKERS_MAX: usize = 64;

/// Backs up a job into a target: one new snapshot, or with [`BackupOptions::dry_run`] what it would hold.
///
/// # Errors
/// When no snapshot could be made. What concerns single entries is in the report: a snapshot with problems is sealed
/// and counts as incomplete.
pub fn backup(ctx: &Context<'_>, target: &Target, job: &Job, excludes: &Excludes) -> Result<BackupReport, Error> {
    if job.options.dry_run {
        return preview(ctx, Some(target), job, excludes);
    }
    let began = hardback_platform::monotonic_now();
    let name = job.name.as_str();
    let lock = target.lock(&holder_words(ctx, &format!("job {name}")))?;
    let mut room = RoomMaker::new(ctx, target, name, &job.options.prune);
    let running = runs::begin(ctx, target, name);
    // A run whose sources are not what they should be removes nothing.
    let checked = open_sources(job).map(drop);
    let result = checked.and_then(|()| {
        frozen::with_frozen(ctx, target, job, excludes, |sources| {
            let excludes = &*sources.excludes(excludes)?;
            if let Some(report) = unchanged(ctx, target, job, sources, excludes) {
                return Ok(report);
            }
            let look = || changes_ahead(ctx, target, job, sources, excludes);
            with_room(&mut room, look, |found| {
                with_readable_base(ctx, |unreadable| back_up(ctx, target, job, sources, excludes, unreadable, found))
            })
        })
    });
    let result = result.map_err(|error| recover::with_unfinished(target, error));
    running.end(result.as_ref().err(), room.suspicion());
    let mut report = result?;
    report.removed_for_room = room.removed;
    // What is deleted from here on is in nobody's way.
    drop(lock);
    ctx.monitor.phase(Phase::Cleaning);
    recover::empty_trash(ctx, target);
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began);
    Ok(report)
}

/// Looks ahead where no snapshot is wanted if nothing changed; returns the report of a run that makes none.
fn unchanged(
    ctx: &Context<'_>,
    target: &Target,
    job: &Job,
    sources: &Sources<'_>,
    excludes: &Excludes,
) -> Option<BackupReport> {
    if !job.options.skip_unchanged {
        return None;
    }
    // What cannot be looked at is told by the run itself.
    let ahead = with_readable_base(ctx, |unreadable| look_ahead(ctx, Some(target), job, sources, excludes, unreadable));
    ahead.ok().map(|(report, _)| report).filter(|report| report.is_unchanged)
}

/// Looks ahead for how much of its base a run would find changed. Nobody hears of it: the run itself tells.
fn changes_ahead(
    ctx: &Context<'_>,
    target: &Target,
    job: &Job,
    sources: &Sources<'_>,
    excludes: &Excludes,
) -> Result<FoundChanged, Error> {
    let ctx = &Context { monitor: &Silent, counters: &Counters::default(), ..*ctx };
    let ahead = |unreadable: &[String]| look_ahead(ctx, Some(target), job, sources, excludes, unreadable);
    with_readable_base(ctx, ahead).map(|(_, changed)| changed)
}

/// Tries again where the target was full and something could go: what the first attempt stored is taken over.
fn with_room<T>(
    room: &mut RoomMaker<'_>,
    look: impl Fn() -> Result<FoundChanged, Error>,
    mut attempt: impl FnMut(&Cell<FoundChanged>) -> Result<T, Error>,
) -> Result<T, Error> {
    room.foresee()?;
    loop {
        let found = Cell::default();
        match attempt(&found) {
            Err(error) if error.is_full() && room.make_in_the_middle(found.get(), &look)? => {}
            other => return other,
        }
    }
}

/// Makes one snapshot, on a base that is none of those given.
fn back_up(
    ctx: &Context<'_>,
    target: &Target,
    job: &Job,
    sources: &Sources<'_>,
    excludes: &Excludes,
    unreadable: &[String],
    found: &Cell<FoundChanged>,
) -> Result<BackupReport, Error> {
    // Where the target lies is a question to the live sources.
    probe::check_places(target, &open_sources(job)?, job)?;
    let roots = sources.open()?;
    let mut run = Run::prepare(ctx, target, job, unreadable)?;
    let mut shared = run.shared(ctx, Some(target), job)?;
    shared.frozen = sources.frozen();
    let roots: Vec<Dir> = roots.into_iter().map(|(_, dir)| dir).collect();
    shared.set_source_roots(job, &roots)?;
    elsewhere::tell_hidden(&shared, job, &roots);
    ctx.monitor.phase(Phase::Copying);
    let stored = run.walk_and_store(&shared, excludes, job, sources, &roots);
    let check = || sources.check().and_then(|()| check_are_there(job, &roots));
    let recorded = match stored.and_then(|recorded| check().map(|()| recorded)) {
        Ok(recorded) => recorded,
        Err(error) => {
            found.set(run.changed(&shared));
            let settled: Vec<bool> = shared.adoptable.iter().map(shared::Adoptable::is_settled).collect();
            drop(shared);
            run.discard_settled(ctx, target, job, &settled);
            return Err(run.naming_base(error));
        }
    };
    let seal = match &run.partial {
        Some(partial) => Some(run.sealing(target, job, partial).seal(&shared, recorded.0)?),
        None => None,
    };
    let report = run.report(&shared, job, seal.as_ref(), recorded.1);
    // Windows renames no folder while a file below it is open.
    drop(shared);
    run.clean_up(ctx, target, job, seal.is_some());
    Ok(report)
}

/// Runs with an older base where the record of one turns out not to be readable, although it is what was sealed. What
/// the first attempt stored is taken over; nothing is sealed that stands on half a base.
fn with_readable_base<T>(
    ctx: &Context<'_>,
    mut attempt: impl FnMut(&[String]) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut unreadable = Vec::new();
    loop {
        match attempt(&unreadable) {
            // A disk that fails now may answer next time.
            Err(Error::Manifest { snapshot, source })
                if !matches!(source, ManifestError::Io(_)) && !unreadable.contains(&snapshot) =>
            {
                ctx.monitor.notice(&format!("snapshot {snapshot} cannot be the base: {source}; an older one is taken"));
                unreadable.push(snapshot);
            }
            other => return other,
        }
    }
}

/// Says what [`backup`] would do, and does nothing. Without a target everything is new.
///
/// # Errors
/// When the sources or the target cannot be read.
pub fn preview(
    ctx: &Context<'_>,
    target: Option<&Target>,
    job: &Job,
    excludes: &Excludes,
) -> Result<BackupReport, Error> {
    let began = hardback_platform::monotonic_now();
    let live = Sources::live(job);
    let ahead = |unreadable: &[String]| look_ahead(ctx, target, job, &live, excludes, unreadable);
    let (mut report, _) = with_readable_base(ctx, ahead)?;
    report.shadow = frozen::look_ahead(job, excludes)?;
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began);
    Ok(report)
}

fn look_ahead(
    ctx: &Context<'_>,
    target: Option<&Target>,
    job: &Job,
    sources: &Sources<'_>,
    excludes: &Excludes,
    unreadable: &[String],
) -> Result<(BackupReport, FoundChanged), Error> {
    let roots = sources.open()?;
    let mut run = Run::new(ctx);
    if let Some(target) = target {
        probe::check_places(target, &open_sources(job)?, job)?;
        run.choose_base(ctx, target, job, unreadable)?;
        run.target_id = target.root.metadata().under(&target.shown_path(&[]))?.id;
    }
    let shared = run.shared(ctx, target, job)?;
    let roots: Vec<Dir> = roots.into_iter().map(|(_, dir)| dir).collect();
    elsewhere::tell_hidden(&shared, job, &roots);
    ctx.monitor.phase(Phase::Copying);
    let recorded =
        run.walk_and_store(&shared, excludes, job, sources, &roots).map_err(|error| run.naming_base(error))?;
    sources.check()?;
    check_are_there(job, &roots)?;
    let header = run.header(job, excludes);
    let is_same = |base: &Header| (&base.sources, &base.excludes) == (&header.sources, &header.excludes);
    let mut report = run.report(&shared, job, None, recorded.1);
    report.is_unchanged &= run.base_header.as_ref().is_some_and(is_same);
    Ok((report, run.changed(&shared)))
}

/// Opens the sources once; everything else goes through these handles.
fn open_sources(job: &Job) -> Result<Vec<(String, Dir)>, Error> {
    job.sources.iter().map(|source| open_source(job, source)).collect()
}

/// Makes sure that nothing counts as gone because its disk was taken out meanwhile.
fn check_are_there(job: &Job, roots: &[Dir]) -> Result<(), Error> {
    for (source, root) in job.sources.iter().zip(roots) {
        root.check_is_there().map_err(|error| Error::Refused {
            message: format!("the source {} went away during the run: {}", source.path.display(), error.source),
            hint: Some("is its disk still there? What was stored is taken over by the next run".into()),
        })?;
    }
    Ok(())
}

fn open_source(job: &Job, source: &JobSource) -> Result<(String, Dir), Error> {
    match Dir::open(&source.path, Seam::clone(&job.source_seam)) {
        // The walk looks again; here nothing was made yet.
        Ok(dir) if !job.options.allow_empty && dir.list().is_ok_and(|listing| listing.is_empty()) => {
            Err(walk::refuse_empty(&source.folder))
        }
        Ok(dir) => Ok((source.path.display().to_string(), dir)),
        Err(error) => Err(Error::Refused {
            message: format!("{error}: {}", error.source),
            hint: Some("a source is a folder that exists and may be read; is its disk mounted?".into()),
        }),
    }
}

/// A run between its start and its seal.
struct Run {
    snapshot: String,
    generation: u32,
    started: Time,
    utc_offset_s: i32,
    host: String,
    base: Option<Snapshot>,
    base_cursor: Option<Cursor>,
    base_top: Option<Entry>,
    /// What the base was made of: its sources and its rules.
    base_header: Option<Header>,
    recovered: recover::Recovered,
    /// The folder of the unfinished snapshot; `None` in a dry run.
    partial: Option<Dir>,
    target_id: FileId,
    /// The run has failed, and what it stored is in its record.
    is_recorded: bool,
}

impl Run {
    /// A run without a target, base or predecessor.
    fn new(ctx: &Context<'_>) -> Self {
        let started = ctx.clock.now();
        Self {
            snapshot: String::new(),
            generation: 1,
            started,
            utc_offset_s: timestamp(started).to_zoned(ctx.clock.zone()).offset().seconds(),
            host: hardback_platform::local_host_name(),
            base: None,
            base_cursor: None,
            base_top: None,
            base_header: None,
            recovered: recover::Recovered::default(),
            partial: None,
            target_id: FileId::default(),
            is_recorded: false,
        }
    }

    fn prepare(ctx: &Context<'_>, target: &Target, job: &Job, unreadable: &[String]) -> Result<Self, Error> {
        let name = job.name.as_str();
        ctx.monitor.phase(Phase::Recovering);
        let mut run = Self::new(ctx);
        run.target_id = target.root.metadata().under(&target.shown_path(&[]))?.id;
        run.recovered = recover::recover(ctx, target, name)?;
        run.choose_base(ctx, target, job, unreadable)?;
        let seals = catalog::seals(target, name)?;
        let highest = catalog::highest_generation(target, name, &seals)?.max(run.recovered.generation);
        run.generation = highest.checked_add(1).ok_or_else(|| no_generation_left(name))?;
        let trees = target.job_dir_if_any(name)?.map(|dir| dir.list()).transpose()?.unwrap_or_default();
        let is_taken = |n: &str| {
            let in_trees = trees.iter().any(|e| e.name == n.as_bytes());
            in_trees || seals.has(n) || run.recovered.names.iter().any(|p| p == n.as_bytes())
        };
        run.snapshot = layout::snapshot_name(timestamp(run.started), &ctx.clock.zone(), is_taken);
        run.partial = Some(make_partial(target, name, &run.snapshot)?);
        Ok(run)
    }

    /// Takes the newest snapshot whose record is what its seal says as the base.
    fn choose_base(
        &mut self,
        ctx: &Context<'_>,
        target: &Target,
        job: &Job,
        unreadable: &[String],
    ) -> Result<(), Error> {
        let name = job.name.as_str();
        let snapshots = catalog::snapshots(target, name)?;
        for Unsealed { name, why, .. } in &snapshots.unsealed {
            // No problem of the new snapshot, which is as whole as without it.
            ctx.monitor.notice(&format!("snapshot {name} is left alone: {why}; `hardback verify` tells more"));
        }
        for base in snapshots.sealed.iter().rev().filter(|base| !unreadable.contains(&base.name)) {
            if let Some(fault) = manifest_fault(target, name, &base.seal)? {
                let damaged = &base.name;
                ctx.monitor.notice(&format!("snapshot {damaged} cannot be the base: {fault}; an older one is taken"));
                continue;
            }
            ctx.counters.expected_entries.store(base.seal.totals.entries, Ordering::Relaxed);
            let reader = catalog::open_manifest(target, name, &base.name)?;
            let failed = |source| Error::Manifest { snapshot: base.name.clone(), source };
            tell_other_sources(ctx, job, reader.header());
            self.base_header = Some(reader.header().clone());
            let (cursor, top) = Cursor::open(reader).map_err(failed)?;
            (self.base_cursor, self.base_top) = (Some(cursor), Some(top));
            self.base = Some(base.clone());
            break;
        }
        Ok(())
    }

    fn shared<'a>(&mut self, ctx: &Context<'a>, target: Option<&Target>, job: &'a Job) -> Result<Shared<'a>, Error> {
        let name = job.name.as_str();
        let in_partial = self.in_partial(target, job);
        let facts = match &self.partial {
            Some(partial) => probe::probe(partial, &job.options).under(&in_partial)?,
            None => probe::assumed(&job.options),
        };
        let base_tree = match (target, &self.base) {
            (Some(target), Some(base)) => {
                target.job_dir_if_any(name)?.map(|trees| trees.open_dir(base.name.as_bytes())).transpose()?
            }
            _ => None,
        };
        let moved = match (target, &self.base, &self.partial) {
            // The index knows the names at the source: where folders are stored under others it would lead astray.
            (Some(target), Some(base), Some(partial)) if !has_other_names(base) => {
                let index = catalog::open_manifest(target, name, &base.name)?;
                let entries = catalog::open_manifest_file(target, name, &base.name)?;
                MovedFiles::new(index, entries, partial.try_clone()?)
            }
            _ => MovedFiles::default(),
        };
        let tree = match &self.partial {
            Some(partial) => {
                partial.make_dir(layout::PARTIAL_TREE, 0o755).under(&in_partial)?;
                Some(partial.open_dir(layout::PARTIAL_TREE).under(&in_partial)?)
            }
            None => None,
        };
        let adoptable = std::mem::take(&mut self.recovered.adoptable);
        let digests = match target {
            Some(target) => DigestLists::open(target, name),
            None => DigestLists::none(),
        };
        let base_is_whole = self.base.as_ref().is_some_and(|base| base.seal.totals.problems == 0);
        let parts = Parts {
            in_partial,
            scratch: self.partial.as_ref().map(Dir::try_clone).transpose()?,
            target: facts,
            digests,
            moved,
            adoptable,
            tree,
            base_tree,
            base_is_whole,
            base_started: self.base.as_ref().map(|base| base.seal.started),
        };
        Ok(Shared::new(*ctx, &job.options, parts))
    }

    /// Returns the path of the unfinished snapshot, for messages.
    fn in_partial(&self, target: Option<&Target>, job: &Job) -> Vec<u8> {
        let names = [layout::PARTIAL, job.name.as_str().as_bytes(), self.snapshot.as_bytes()];
        target.map(|target| target.ours_path(&names)).unwrap_or_default()
    }

    fn header(&self, job: &Job, excludes: &Excludes) -> Header {
        let options = &job.options;
        let excludes = ExcludeRecord {
            rules: excludes.rules.written().clone(),
            markers: excludes.markers.clone(),
            max_size_file_bytes: options.max_size_file_bytes,
            nodump: options.exclude_nodump,
            one_file_system: options.one_file_system,
            no_ignore_files: options.no_ignore_files,
        };
        Header {
            job: job.name.as_str().to_owned(),
            snapshot: self.snapshot.clone(),
            generation: self.generation,
            started: self.started,
            utc_offset_s: self.utc_offset_s,
            host: self.host.clone(),
            base: self.base.as_ref().map(|b| (b.name.clone(), b.seal.generation)),
            sources: job.sources.iter().map(|s| (s.folder.clone(), s.path_bytes.clone())).collect(),
            excludes: Some(excludes),
        }
    }

    /// Runs the walk, the workers and the collector; returns the record.
    fn walk_and_store(
        &mut self,
        shared: &Shared<'_>,
        excludes: &Excludes,
        job: &Job,
        sources: &Sources<'_>,
        roots: &[Dir],
    ) -> Result<(Recorded, Totals), Error> {
        let in_partial = &shared.in_partial;
        let create =
            |name: &[u8]| self.partial.as_ref().map(|dir| dir.create_file(name, 0o600).under(in_partial)).transpose();
        let sink = Appender::new(create(layout::PARTIAL_MANIFEST)?);
        let digests = Appender::new(create(layout::PARTIAL_DIGESTS)?);
        let manifest = ManifestWriter::create(sink, &self.header(job, excludes))
            .map_err(|e| hardback_platform::PathError::new("write", layout::PARTIAL_MANIFEST, e).under(in_partial))?;
        let mut collector = Collector::new(shared, self.generation, manifest, digests);
        let throttle = Throttle::default();
        let (chunk_sender, chunks) = bounded::<Chunk>(CHUNK_QUEUE);
        let (output_sender, outputs) = bounded(OUTPUT_QUEUE);
        let mut walk = Walk {
            shared,
            excludes,
            base: self.base_cursor.take(),
            adopted: std::mem::take(&mut self.recovered.cursors),
            chunks: chunk_sender,
            outputs: output_sender.clone(),
            throttle: &throttle,
            target_id: self.target_id,
            next: 0,
            rules: Box::new(|dir| rules_of(dir, &job.options)),
        };
        let top = self.top(shared, job, roots)?;
        let (reading, done) = bounded(0);
        let is_sound = std::thread::scope(|scope| {
            scope.spawn(|| shared.guard(move || sources.watch(&done, frozen::WATCH_PAUSE)));
            for _ in 0..worker_count(&job.options) {
                let (chunks, outputs) = (chunks.clone(), output_sender.clone());
                scope.spawn(|| shared.guard(|| store_chunks(shared, chunks, outputs)));
            }
            drop((chunks, output_sender));
            scope.spawn(|| shared.guard(move || walk.run(top, &job.sources, roots)));
            let is_sound = shared.guard(|| collector.run(&outputs, &throttle));
            // Senders that wait must see that nobody takes any more.
            drop(outputs);
            throttle.wake();
            drop(reading);
            is_sound
        });
        if let Some(error) = shared.take_failure() {
            // A record that was left in the middle of a line is not written down.
            self.is_recorded = is_sound && collector.abandon();
            return Err(error);
        }
        let recorded = collector.finish()?;
        let totals = recorded.manifest.totals;
        Ok((recorded, totals))
    }

    /// Names the base in an error of its record, the only one that a run must be able to read.
    fn naming_base(&self, error: Error) -> Error {
        match (error, &self.base) {
            (Error::Manifest { source, .. }, Some(base)) => Error::Manifest { snapshot: base.name.clone(), source },
            (error, _) => error,
        }
    }

    /// The top folder: the only source itself, or one that holds the sources' folders.
    fn top(&self, shared: &Shared<'_>, job: &Job, roots: &[Dir]) -> Result<Folder, Error> {
        let mut entry = Entry::new(b".", Kind::Dir);
        entry.mtime = self.started;
        // Where sources have no modes, nothing here has.
        entry.mode = roots.first().and_then(|root| root.metadata().ok()).and_then(|m| m.mode).map(|_| 0o755);
        let mut handles = Handles::default();
        if let ([source], [root]) = (&job.sources[..], roots)
            && source.folder.is_empty()
        {
            let metadata = root.metadata()?;
            let rules = rules_of(root, &job.options);
            entry = metadata::entry_of(b".", &metadata, rules.reliable_ctime, rules.stable_ids);
            entry.extra_mut().volume = Some(metadata.id.volume);
            xattrs::take(shared, &mut entry, root.read_xattrs(b""), &mut false, &Vec::new);
            let attributes = root.attributes();
            entry.extra_mut().attributes = attributes;
            if !self.base_top.as_ref().is_some_and(|base| walk::is_same_folder(base, &entry)) {
                Counters::add(&shared.sums.changed_top, 1);
            }
            handles.source = Some(root.try_clone()?);
        }
        handles.base = shared.base_tree.as_ref().map(Dir::try_clone).transpose()?;
        handles.target = shared.tree.as_ref().map(Dir::try_clone).transpose()?;
        Ok(Folder::new(None, entry, None, handles))
    }

    fn sealing<'a>(&'a self, target: &'a Target, job: &'a Job, partial: &'a Dir) -> Sealing<'a> {
        Sealing {
            target,
            job: job.name.as_str(),
            snapshot: &self.snapshot,
            generation: self.generation,
            started: self.started,
            utc_offset_s: self.utc_offset_s,
            base: self.base.as_ref().map(|base| &base.seal),
            partial,
        }
    }

    /// Throws away the unfinished snapshots of which the run that failed has all that is wanted, or they would pile up.
    fn discard_settled(&self, ctx: &Context<'_>, target: &Target, job: &Job, settled: &[bool]) {
        let names = self.recovered.names.iter().zip(settled).filter(|(_, settled)| **settled && self.is_recorded);
        if let Err(error) = recover::discard(target, job.name.as_str(), names.map(|(name, _)| name.as_slice())) {
            ctx.monitor.notice(&format!("an older unfinished snapshot stays for now: {error}: {}", error.source));
        }
    }

    /// Removes what is left over. The snapshot is sealed: a failure here costs room, not safety.
    fn clean_up(&self, ctx: &Context<'_>, target: &Target, job: &Job, sealed: bool) {
        if !sealed {
            return;
        }
        let names = self.recovered.names.iter().map(Vec::as_slice).chain([self.snapshot.as_bytes()]);
        if let Err(error) = recover::discard(target, job.name.as_str(), names) {
            ctx.monitor.notice(&format!("what unfinished runs left stays for now: {error}: {}", error.source));
        }
    }

    /// Returns whether a look ahead found everything as in the base. What it cannot tell counts as a change.
    fn is_unchanged(&self, sums: &shared::Sums, totals: &Totals) -> bool {
        let sum = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let Some(base) = &self.base else { return false };
        let of_base = &base.seal.totals;
        let same = sum(&sums.linked) + sum(&sums.same_dirs);
        let changes = [totals.problems, of_base.problems, totals.new_files, sum(&sums.removed), sum(&sums.changed_top)];
        changes == [0; 5] && (same, totals.entries, totals.bytes) == (totals.entries, of_base.entries, of_base.bytes)
    }

    /// Returns how much of the base this run has found changed so far.
    fn changed(&self, shared: &Shared<'_>) -> FoundChanged {
        let sum = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let sums = &shared.sums;
        let totals = self.base.as_ref().map(|base| base.seal.totals).unwrap_or_default();
        FoundChanged {
            replaced: sum(&sums.replaced),
            renamed: sum(&sums.renamed),
            added: sum(&sums.added),
            removed: sum(&sums.removed),
            of: totals.entries.saturating_sub(totals.dirs),
            base: self.base.as_ref().map(|base| base.seal.generation),
        }
    }

    fn report(&self, shared: &Shared<'_>, job: &Job, seal: Option<&Seal>, totals: Totals) -> BackupReport {
        let sum = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let sums = &shared.sums;
        let mut would_copy = std::mem::take(&mut *shared.would_copy.lock().expect("all threads are done"));
        would_copy.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
        let (adopted, adopted_bytes) = (sum(&sums.adopted), sum(&sums.adopted_bytes));
        let record_bytes = seal.map_or(0, |s| s.manifest_bytes + DIGEST_BYTES as u64 * totals.new_files);
        let totals = match seal {
            // They are new in the snapshot, and were copied by another run.
            Some(_) => Totals {
                new_files: totals.new_files.saturating_sub(adopted),
                new_bytes: totals.new_bytes.saturating_sub(adopted_bytes),
                ..totals
            },
            // Nothing was copied that the record could count.
            None => Totals { new_files: sum(&sums.would_be_new), new_bytes: sum(&sums.would_be_new_bytes), ..totals },
        };
        BackupReport {
            job: job.name.as_str().to_owned(),
            snapshot: seal.map(|s| s.snapshot.clone()),
            is_unchanged: seal.is_none() && self.is_unchanged(sums, &totals),
            generation: self.generation,
            base: self.base.as_ref().map(|b| b.name.clone()),
            totals,
            linked: sum(&sums.linked),
            moved: sum(&sums.moved),
            adopted,
            adopted_bytes,
            restamped: sum(&sums.restamped),
            removed: sum(&sums.removed).saturating_sub(sum(&sums.moved_away)),
            bytes_read: shared.ctx.counters.bytes_read.load(Ordering::Relaxed),
            record_bytes,
            limitations: shared.limitations.list(),
            placeholders: std::mem::take(&mut *shared.placeholders.lock().expect("all threads are done")),
            encrypted: std::mem::take(&mut *shared.encrypted.lock().expect("all threads are done")),
            left_out_by_system: std::mem::take(&mut *shared.left_out_by_system.lock().expect("all threads are done")),
            removed_for_room: Vec::new(),
            problems: std::mem::take(&mut *shared.problems.lock().expect("all threads are done")),
            shadow: None,
            elapsed_ns: 0,
            would_copy,
        }
    }
}

/// No job comes so far by itself. With a number that was used before, runs would overwrite each other's digest lists.
fn no_generation_left(job: &str) -> Error {
    Error::refused(
        format!(
            "job {job} has a record or a digest list of generation {}, which is the last that there can be",
            u32::MAX
        ),
        "it is damaged or was not made by hardback; see `hardback verify`, or go on with another --job",
    )
}

/// Two commands with other sources and one job take turns at being each other's base: nothing is ever linked.
fn tell_other_sources(ctx: &Context<'_>, job: &Job, base: &Header) {
    let gone = base.sources.iter().filter(|(folder, _)| !job.sources.iter().any(|s| s.folder == *folder));
    let names: Vec<String> = gone.map(|(folder, _)| hardback_platform::path::display(folder).to_string()).collect();
    if !names.is_empty() {
        ctx.monitor.notice(&format!(
            "snapshot {} of job {} has {}, which this run does not back up; give other sources a job of their own with \
             --job, or name all of them in one command",
            base.snapshot,
            job.name,
            names.join(", ")
        ));
    }
}

/// Returns whether some names in a snapshot's tree are not those of the source.
fn has_other_names(snapshot: &Snapshot) -> bool {
    snapshot.seal.limitations.iter().any(|code| code == LimitationKind::Names.code())
}

/// A worker's thread.
fn store_chunks(
    shared: &Shared<'_>,
    chunks: crossbeam_channel::Receiver<Chunk>,
    outputs: crossbeam_channel::Sender<collect::Numbered>,
) -> Result<(), Error> {
    let mut worker = Worker::new(shared);
    for chunk in chunks {
        if shared.is_stopped() {
            break;
        }
        store_chunk(shared, &mut worker, chunk, &outputs)?;
    }
    Ok(())
}

fn store_chunk(
    shared: &Shared<'_>,
    worker: &mut Worker<'_>,
    chunk: Chunk,
    outputs: &crossbeam_channel::Sender<collect::Numbered>,
) -> Result<(), Error> {
    let Chunk { number, folder, items, facts } = chunk;
    let handed_out = items.len();
    shared.ctx.counters.set_current(&folder.path());
    let at = At::open(&folder, facts, shared.read_at()).map_err(|e| e.under(&folder.path()))?;
    let mut outcomes = Vec::new();
    let stored = worker.chunk(&at, items, &mut outcomes);
    drop(at);
    let finished = match stored {
        Ok(()) if folder.release() => store::finish_folder(shared, &folder),
        stored => stored,
    };
    // The collector is gone only when the run stops.
    let output = Output::Entries { handed_out, outcomes, unstored: std::mem::take(&mut worker.unstored) };
    let sent = outputs.send((number, output)).map_err(|_| Error::Interrupted);
    finished.and(sent)
}

fn worker_count(options: &BackupOptions) -> usize {
    if options.workers == 0 { WORKERS_DEFAULT } else { options.workers.min(WORKERS_MAX) }
}

/// Returns what the volume of a source's folder can be relied on for.
pub(crate) fn rules_of(dir: &Dir, options: &BackupOptions) -> Rules {
    let traits = dir.volume().ok();
    Rules {
        stable_ids: traits.is_some_and(|t| t.stable_ids),
        reliable_ctime: traits.is_some_and(|t| t.reliable_ctime),
        checksum: options.checksum,
    }
}

/// Makes the folder of the unfinished snapshot.
fn make_partial(target: &Target, job: &str, snapshot: &str) -> Result<Dir, Error> {
    let parent = target.ours_dir(&[layout::PARTIAL, job.as_bytes()])?;
    // A manifest without a seal can only be that of a run that died before it was sealed.
    let manifests = target.ours_dir(&[layout::MANIFESTS, job.as_bytes()])?;
    match manifests.unlink(&layout::manifest_name(snapshot)) {
        Err(e) if e.fault() != hardback_platform::Faults::Vanished => {
            return Err(e.under(&target.ours_path(&[layout::MANIFESTS, job.as_bytes()])).into());
        }
        _ => {}
    }
    let in_parent = target.ours_path(&[layout::PARTIAL, job.as_bytes()]);
    parent.make_dir(snapshot.as_bytes(), PRIVATE_DIR).under(&in_parent)?;
    let partial = parent.open_dir(snapshot.as_bytes()).under(&in_parent)?;
    // A default ACL of the target's folder would be handed down to every entry. Most have none to remove.
    for acl in [&b"system.posix_acl_default"[..], b"system.posix_acl_access"] {
        partial.remove_xattr(b"", acl).ok();
    }
    Ok(partial)
}
