//! What the walk, the workers and the collector of one run have in common.

use super::groups::{First, Stored};
use super::moved::MovedFiles;
use crate::content::Stop;
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::exclude::{RuleOrigin, Verdict};
use crate::excludes::is_left_out;
use crate::groups::{Groups, Scratch};
use crate::job::{BackupOptions, Job};
use crate::manifest::{DIGEST_BYTES, Entry};
use crate::plan::Rules;
use crate::problem::Problem;
use crate::report::{Counters, LimitationKind, Limitations, Noted, PROBLEMS_KEPT_MAX};
use hardback_platform::{Dir, FileId, FileRead, Metadata, Owner, RelPath, Time};
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was found out about the target by trying.
#[derive(Debug)]
pub(super) struct TargetFacts {
    /// Hard links share the file.
    pub(super) links: bool,
    /// Owner that a new file has; `None` where owners mean nothing.
    pub(super) default_owner: Option<Owner>,
    /// A new file has exactly the mode that it was created with.
    pub(super) exact_modes: bool,
    /// What it takes without an error and does not keep.
    pub(super) ignored: Ignored,
    /// Names that Windows cannot hold are stored escaped, whoever mounts the volume now.
    pub(super) windows_names: bool,
    /// The volume keeps what NTFS has: it is one, and whoever mounted it lets us.
    pub(super) keeps_ntfs: bool,
    /// Most names that a file gets.
    pub(super) links_max: Option<u64>,
    /// Cloning failed once as the volume does not know it.
    pub(super) no_clone: AtomicBool,
    /// The volume can be synced as a whole; otherwise each file is.
    pub(super) volume_sync: bool,
}

/// What a target takes without an error and does not keep: it is not asked to.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Modes; all files have the first, all folders the second.
    pub(super) modes: Option<[Option<u32>; 2]>,
    /// Owners.
    pub(super) owners: bool,
    /// How names of extended attributes begin.
    pub(super) xattrs: Vec<&'static [u8]>,
    /// Steps in which times are kept, in nanoseconds: from 1970 on, and before.
    pub(super) time_steps_ns: [TimeStep; 2],
}

impl Ignored {
    /// Returns whether an extended attribute of this name is one of those.
    pub(super) fn ignores_xattr(&self, name: &[u8]) -> bool {
        self.xattrs.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// A step in which times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeStep {
    /// So many nanoseconds.
    Ns(u64),
    /// Times are not kept at all.
    Never,
}

impl Default for TimeStep {
    fn default() -> Self {
        Self::Ns(1)
    }
}

/// Counts of a run.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) linked: AtomicU64,
    pub(super) moved: AtomicU64,
    /// Those of them that have another last name than in the base.
    pub(super) renamed: AtomicU64,
    /// Folders whose own metadata is that of the base.
    pub(super) same_dirs: AtomicU64,
    /// The source is the top, and that has other metadata than in the base.
    pub(super) changed_top: AtomicU64,
    /// Files of the base that have another content.
    pub(super) replaced: AtomicU64,
    /// Files that the base does not have.
    pub(super) added: AtomicU64,
    /// Paths of the base that are gone because their file moved.
    pub(super) moved_away: AtomicU64,
    pub(super) adopted: AtomicU64,
    pub(super) adopted_bytes: AtomicU64,
    pub(super) restamped: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) excluded: AtomicU64,
    /// Contents that a dry run would copy from the source, and their bytes.
    pub(super) would_be_new: AtomicU64,
    pub(super) would_be_new_bytes: AtomicU64,
    /// Problems of entries that have no line in the manifest.
    pub(super) problems_without_line: AtomicU64,
}

/// An unfinished snapshot of an interrupted run, whose finished files can be taken over.
#[derive(Debug)]
pub(super) struct Adoptable {
    pub(super) generation: u32,
    pub(super) tree: Dir,
    pub(super) digests: hardback_platform::FileRead,
    /// Files of its own that this run took over or has no use for.
    pub(super) settled: AtomicU64,
}

impl Adoptable {
    /// Returns whether it has no file of its own left that may be wanted.
    pub(super) fn is_settled(&self) -> bool {
        let stored = self.digests.metadata().map(|list| list.size_bytes / DIGEST_BYTES as u64);
        stored.is_ok_and(|stored| self.settled.load(Ordering::Relaxed) >= stored)
    }
}

/// What all threads of a run share.
pub(super) struct Shared<'a> {
    pub(super) ctx: Context<'a>,
    pub(super) options: &'a BackupOptions,
    pub(super) target: TargetFacts,
    pub(super) limitations: Limitations,
    pub(super) groups: Groups<First>,
    pub(super) digests: DigestLists,
    pub(super) sums: Sums,
    pub(super) moved: MovedFiles,
    pub(super) adoptable: Vec<Adoptable>,
    /// Path of the folder of the unfinished snapshot, for messages.
    pub(super) in_partial: Vec<u8>,
    /// The new tree; `None` in a dry run.
    pub(super) tree: Option<Dir>,
    /// The base's tree.
    pub(super) base_tree: Option<Dir>,
    /// Since when the sources stand still, if they do.
    pub(super) frozen: Option<Time>,
    /// The base was sealed without problems.
    pub(super) base_is_whole: bool,
    /// When the run that made the base began.
    pub(super) base_started: Option<Time>,
    /// The sources' folders and handles.
    source_roots: Mutex<Vec<(Vec<u8>, Dir)>>,
    pub(super) problems: Mutex<Vec<Problem>>,
    /// Files that are in a cloud only.
    pub(super) placeholders: Mutex<Noted>,
    /// Files that are encrypted at the source.
    pub(super) encrypted: Mutex<Noted>,
    /// What each rule of the system left out.
    pub(super) left_out_by_system: Mutex<BTreeMap<String, u64>>,
    pub(super) would_copy: Mutex<Vec<(Vec<u8>, u64, &'static str)>>,
    /// Files with several names that a dry run has counted.
    would_be_new_groups: Mutex<HashSet<FileId>>,
    /// Files with several names that moved and are counted.
    moved_groups: Mutex<HashSet<FileId>>,
    /// Held while names are counted and one is added.
    link_count: Mutex<()>,
    failure: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

/// Entries of a dry run's list that are kept while it runs; the largest stay.
const WOULD_COPY_MAX: usize = 100_000;
/// Files with several names that are remembered, so that each counts once.
const COUNTED_MAX: usize = 100_000;

impl<'a> Shared<'a> {
    pub(super) fn new(ctx: Context<'a>, options: &'a BackupOptions, parts: Parts) -> Self {
        Self {
            ctx,
            options,
            target: parts.target,
            limitations: Limitations::default(),
            groups: Groups::new(parts.scratch.map(|dir| Scratch { dir, prefix: b"groups-".to_vec() })),
            digests: parts.digests,
            sums: Sums::default(),
            moved: parts.moved,
            adoptable: parts.adoptable,
            in_partial: parts.in_partial,
            tree: parts.tree,
            base_tree: parts.base_tree,
            frozen: None,
            base_is_whole: parts.base_is_whole,
            base_started: parts.base_started,
            source_roots: Mutex::new(Vec::new()),
            problems: Mutex::new(Vec::new()),
            placeholders: Mutex::default(),
            encrypted: Mutex::default(),
            left_out_by_system: Mutex::default(),
            would_copy: Mutex::new(Vec::new()),
            would_be_new_groups: Mutex::default(),
            moved_groups: Mutex::default(),
            link_count: Mutex::new(()),
            failure: Mutex::new(None),
            stopped: AtomicBool::new(false),
        }
    }

    /// Takes handles of the sources, for looking at single paths.
    pub(super) fn set_source_roots(&self, job: &Job, roots: &[Dir]) -> Result<(), Error> {
        let mut all = self.source_roots.lock().expect("no panic while the roots are held");
        for (source, root) in job.sources.iter().zip(roots) {
            all.push((source.folder.clone(), root.try_clone()?));
        }
        Ok(())
    }

    /// Looks at a path of the snapshot in the sources.
    pub(super) fn stat_source(&self, path: &RelPath) -> Option<Metadata> {
        let roots = self.source_roots.lock().expect("no panic while the roots are held");
        let (below, root) = roots.iter().find_map(|(folder, root)| {
            let bytes = path.as_bytes();
            let below = if folder.is_empty() { bytes } else { bytes.strip_prefix(&folder[..])?.strip_prefix(b"/")? };
            Some((RelPath::from_bytes(below).ok()?, root))
        })?;
        root.open_dir_at(&below.parent()).ok()?.stat(below.name()).ok()
    }

    /// Returns when the sources are as they are read now: a file that was touched right before that is hot.
    pub(super) fn read_at(&self) -> Time {
        let now = self.ctx.clock.now();
        self.frozen.map_or(now, |frozen| frozen.min(now))
    }

    /// Returns whether an entry is left out for what it is: its size, an attribute.
    pub(super) fn leaves_out(&self, metadata: &Metadata) -> bool {
        is_left_out(metadata, self.options.max_size_file_bytes, self.options.exclude_nodump)
    }

    /// Counts what a rule of the system leaves out, which no user wrote.
    pub(super) fn count_left_out(&self, verdict: &Verdict<'_>) {
        let Verdict::Excluded(rule) = verdict else { return };
        if let RuleOrigin::System { name } = &rule.origin {
            let mut counts = self.left_out_by_system.lock().expect("no panic while counts are held");
            *counts.entry(name.clone()).or_default() += 1;
        }
    }

    /// Tells of a problem: the only way to report one.
    pub(super) fn problem(&self, problem: Problem) {
        Counters::add(&self.ctx.counters.problems, 1);
        self.ctx.monitor.problem(&problem);
        let mut kept = self.problems.lock().expect("no panic while problems are held");
        if kept.len() < PROBLEMS_KEPT_MAX {
            kept.push(problem);
        }
    }

    /// Keeps others from adding names, where there is a limit of ours to them.
    pub(super) fn count_links(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.target.links_max.map(|_| self.link_count.lock().expect("no panic while links are counted"))
    }

    /// Counts a limitation of the target.
    pub(super) fn limitation(
        &self,
        kind: LimitationKind,
        path: impl FnOnce() -> Vec<u8>,
        detail: impl std::fmt::Display,
    ) {
        self.limitations.meet(kind, path, detail);
    }

    /// Stops the run. The first error wins.
    pub(super) fn fail(&self, error: Error) {
        keep_first(&mut self.failure.lock().expect("no panic while the failure is held"), error);
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Does a part of the run's work; its error stops the run, and so does its panic. Returns whether it did not panic.
    pub(super) fn guard(&self, work: impl FnOnce() -> Result<(), Error>) -> bool {
        let Err(error) = Error::of_panic_in(work) else { return true };
        let is_panic = matches!(error, Error::Bug { .. });
        self.fail(error);
        !is_panic
    }

    /// Returns whether the run stops: a failure, or the user asked.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.ctx.cancel.is_cancelled()
    }

    /// Returns why the run stopped, if it did; asked once, when all threads are done.
    pub(super) fn take_failure(&self) -> Option<Error> {
        let failure = self.failure.lock().expect("no panic while the failure is held").take();
        // What fails because the user asked to stop is no failure of its own.
        if self.ctx.cancel.is_cancelled() { Some(Error::Interrupted) } else { failure }
    }

    /// Notes what a dry run would copy from the source, once for all names of a file. Returns whether this is the first.
    pub(super) fn would_be_new(&self, path: Vec<u8>, metadata: &Metadata, why: &'static str) -> bool {
        if metadata.nlink > 1 && !is_first(&self.would_be_new_groups, metadata.id) {
            return false;
        }
        if metadata.size_bytes > 0 {
            Counters::add(&self.sums.would_be_new, 1);
            Counters::add(&self.sums.would_be_new_bytes, metadata.size_bytes);
        }
        self.would_copy(path, metadata.size_bytes, why);
        true
    }

    /// Returns whether a name of a file that moved is the first of its names that is counted.
    pub(super) fn is_first_moved(&self, id: FileId) -> bool {
        is_first(&self.moved_groups, id)
    }

    /// Notes what a dry run would copy, from wherever.
    pub(super) fn would_copy(&self, path: Vec<u8>, bytes: u64, why: &'static str) {
        let mut list = self.would_copy.lock().expect("no panic while the list is held");
        list.push((path, bytes, why));
        if list.len() >= 2 * WOULD_COPY_MAX {
            list.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
            list.truncate(WOULD_COPY_MAX);
        }
    }
}

/// Keeps the first error. A thread that only stops as another has failed may be the first to tell.
fn keep_first(kept: &mut Option<Error>, error: Error) {
    if matches!(kept, None | Some(Error::Interrupted)) {
        *kept = Some(error);
    }
}

/// Returns whether a file is counted for the first time. When there are very many they are forgotten.
fn is_first(counted: &Mutex<HashSet<FileId>>, id: FileId) -> bool {
    let mut counted = counted.lock().expect("no panic while the files are held");
    if counted.len() >= COUNTED_MAX {
        counted.clear();
    }
    counted.insert(id)
}

impl Stop for Shared<'_> {
    fn is_stopped(&self) -> bool {
        self.is_stopped()
    }
}

/// What [`Shared::new`] takes.
pub(super) struct Parts {
    pub(super) target: TargetFacts,
    pub(super) digests: DigestLists,
    pub(super) moved: MovedFiles,
    pub(super) adoptable: Vec<Adoptable>,
    pub(super) in_partial: Vec<u8>,
    pub(super) tree: Option<Dir>,
    pub(super) base_tree: Option<Dir>,
    /// Where temporary files go.
    pub(super) scratch: Option<Dir>,
    pub(super) base_is_whole: bool,
    pub(super) base_started: Option<Time>,
}

/// An entry that a worker decides about.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: Box<[u8]>,
    /// What the base has at this path.
    pub(super) base: Option<Entry>,
    /// What unfinished runs have at this path.
    pub(super) adopted: Vec<(usize, Entry)>,
    /// Neither the base nor an unfinished run has it, and the listing says that it is a regular file.
    pub(super) is_new_file: bool,
    /// The source's file and what is known about it, if it was opened already.
    pub(super) opened: Option<(FileRead, Metadata)>,
}

impl Item {
    pub(super) fn new(name: Box<[u8]>, base: Option<Entry>) -> Self {
        Self { name, base, adopted: Vec::new(), is_new_file: false, opened: None }
    }
}

/// Where the facts about a source's volume are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceFacts {
    pub(super) rules: Rules,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) entry: Entry,
    pub(super) stored: Stored,
    /// The group of names that it belongs to.
    pub(super) group: Option<FileId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stops_with_the_others_does_not_hide_why() {
        let full = || Error::refused("the disk is full", "");
        let orders = [vec![Error::Interrupted, full()], vec![full(), Error::Interrupted]];
        for errors in orders {
            let mut kept = None;
            errors.into_iter().for_each(|error| keep_first(&mut kept, error));
            assert!(matches!(kept, Some(Error::Refused { .. })), "{kept:?}");
        }
    }
}
