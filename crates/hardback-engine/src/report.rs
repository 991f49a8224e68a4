//! What a verb tells while it works and when it is done.

use crate::context::Context;
use crate::manifest::Totals;
use crate::problem::Problem;
use hardback_shadow::{FailedHook, Mode, ShadowReport};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Hears what happens. Called from several threads.
pub trait Monitor: Send + Sync {
    /// One entry was not handled exactly. Called once for each.
    fn problem(&self, problem: &Problem);
    /// Something that the user should read, such as a limitation of the volume.
    fn notice(&self, text: &str);
    /// A step of the verb began.
    fn phase(&self, phase: Phase);
}

/// Hears nothing.
pub(crate) struct Silent;

impl Monitor for Silent {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, _: Phase) {}
}

/// The steps of the verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Running hooks and making shadow copies of the sources.
    Freezing,
    /// Clearing up after an interrupted run.
    Recovering,
    /// Reading the sources and storing what is new.
    Copying,
    /// Waiting for the disk.
    Syncing,
    /// Removing what is left over.
    Cleaning,
    /// Reading stored files to prove them.
    Verifying,
    /// Writing files back.
    Restoring,
    /// Counting what is on the volume.
    Counting,
    /// Putting good files in the place of damaged ones.
    Repairing,
}

/// Counts that a progress display reads while the work goes on.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries done.
    pub entries: AtomicU64,
    /// Bytes read from the sources (or, restoring and verifying, from the snapshots).
    pub bytes_read: AtomicU64,
    /// Bytes that a backup read from the target: the base's files, and those of an interrupted run.
    pub bytes_read_back: AtomicU64,
    /// Bytes written to the target.
    pub bytes_written: AtomicU64,
    /// Entries linked to the base.
    pub linked: AtomicU64,
    /// Problems so far.
    pub problems: AtomicU64,
    /// Entries that are expected in all, 0 if that is not known: the number of the base.
    pub expected_entries: AtomicU64,
    /// Bytes that are expected to be read in all, 0 if that is not known.
    pub expected_bytes: AtomicU64,
    current: Mutex<Vec<u8>>,
}

impl Counters {
    /// Adds to a count.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets the path that is being worked on.
    pub fn set_current(&self, path: &[u8]) {
        if let Ok(mut current) = self.current.try_lock() {
            current.clear();
            current.extend_from_slice(path);
        }
    }

    /// Returns the path that is being worked on.
    pub fn current(&self) -> Vec<u8> {
        self.current.lock().map(|c| c.clone()).unwrap_or_default()
    }
}

/// Asks the work to stop at the next entry.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether it was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Coarsest step of times that is [`LimitationKind::TimeSteps`], in nanoseconds: that of FAT.
pub(crate) const TIME_STEP_NS_MAX: u64 = 2_000_000_000;

/// What a volume cannot keep. Told once for each snapshot and kept in the manifest; no exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitationKind {
    /// Owners and groups.
    Owners,
    /// Permission bits.
    Modes,
    /// Times of the last change.
    Times,
    /// Times to the nanosecond.
    TimeSteps,
    /// Extended attributes and ACLs.
    Xattrs,
    /// Some names.
    Names,
    /// Symlinks.
    Symlinks,
    /// Devices, FIFOs and sockets.
    Specials,
    /// Hard links.
    Links,
    /// A file has reached the number of links that the volume allows.
    LinkLimit,
    /// A file of the base is missing or cannot be linked.
    Base,
    /// Attribute bits (`chattr`).
    Attributes,
}

impl LimitationKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Owners,
        Self::Modes,
        Self::Times,
        Self::TimeSteps,
        Self::Xattrs,
        Self::Names,
        Self::Symlinks,
        Self::Specials,
        Self::Links,
        Self::LinkLimit,
        Self::Base,
        Self::Attributes,
    ];

    /// Returns the word for it in seals and JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::Modes => "modes",
            Self::Times => "times",
            Self::TimeSteps => "time-steps",
            Self::Xattrs => "xattrs",
            Self::Names => "names",
            Self::Symlinks => "symlinks",
            Self::Specials => "specials",
            Self::Links => "links",
            Self::LinkLimit => "link-limit",
            Self::Base => "base",
            Self::Attributes => "attributes",
        }
    }
}

impl fmt::Display for LimitationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owners => "the target cannot keep owners (needs root and a volume that has owners)",
            Self::Modes => "the target cannot keep permission bits",
            Self::Times => "the target cannot keep some modification times",
            Self::TimeSteps => "the target keeps modification times in coarser steps",
            Self::Xattrs => "the target cannot keep some extended attributes or ACLs; the record has them",
            Self::Names => "the target cannot hold some names; they are stored escaped",
            Self::Symlinks => "the target cannot hold symlinks",
            Self::Specials => "the target cannot hold devices, FIFOs, sockets or reparse points; the record has them",
            Self::Links => "the target cannot hard link; files are copied",
            Self::LinkLimit => "some files have all the links that the volume allows; a fresh copy was made",
            Self::Base => "files of the base snapshot were missing or could not be linked; they were copied again",
            Self::Attributes => "attributes such as immutable or no-dump cannot be set there",
        })
    }
}

/// A limitation that was met.
#[derive(Debug, Clone)]
pub struct Limitation {
    /// Which.
    pub kind: LimitationKind,
    /// For how many entries.
    pub entries: u64,
    /// The first of them.
    pub example: Vec<u8>,
    /// What the system said.
    pub detail: String,
}

/// Collects limitations during a run.
#[derive(Debug, Default)]
pub(crate) struct Limitations(Mutex<Vec<Limitation>>);

impl Limitations {
    /// Counts one.
    pub(crate) fn meet(&self, kind: LimitationKind, path: impl FnOnce() -> Vec<u8>, detail: impl fmt::Display) {
        let mut all = self.0.lock().expect("no panic while the list is held");
        match all.iter_mut().find(|l| l.kind == kind) {
            Some(limitation) => limitation.entries += 1,
            None => all.push(Limitation { kind, entries: 1, example: path(), detail: detail.to_string() }),
        }
    }

    /// Returns all, sorted by kind.
    pub(crate) fn list(&self) -> Vec<Limitation> {
        let mut all = self.0.lock().expect("no panic while the list is held").clone();
        all.sort_by_key(|l| l.kind);
        all
    }
}

/// Entries that are no problem, and that the user should hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// How many.
    pub entries: u64,
    /// The first of them, in no order.
    pub first: Vec<Vec<u8>>,
}

impl Noted {
    /// Notes one.
    pub(crate) fn note(&mut self, path: Vec<u8>) {
        self.entries += 1;
        if self.first.len() < PROBLEMS_KEPT_MAX {
            self.first.push(path);
        }
    }
}

/// What a backup did.
#[derive(Debug, Clone)]
#[must_use = "the report says whether entries are missing"]
pub struct BackupReport {
    /// Job.
    pub job: String,
    /// Name of the snapshot; `None` for a dry run, and where nothing changed and none was wanted then.
    pub snapshot: Option<String>,
    /// All is as in the base. Known after a look ahead only: a dry run, or one that skips what did not change.
    pub is_unchanged: bool,
    /// Generation.
    pub generation: u32,
    /// Name of the base.
    pub base: Option<String>,
    /// Sums of the snapshot; of its new contents those that this run copied, or would copy.
    pub totals: Totals,
    /// Entries that were linked to the base.
    pub linked: u64,
    /// Files whose content was found in the base under another name.
    pub moved: u64,
    /// Files that were taken over from an interrupted run.
    pub adopted: u64,
    /// Bytes taken over from an interrupted run.
    pub adopted_bytes: u64,
    /// Files copied within the target because only their metadata changed.
    pub restamped: u64,
    /// Entries of the base that are gone from the sources and were not found under another name; only files with a
    /// content are looked for, and a dry run looks for none.
    pub removed: u64,
    /// Bytes that were read from the sources.
    pub bytes_read: u64,
    /// Bytes of the record beside the tree: manifest and digest list.
    pub record_bytes: u64,
    /// Snapshots that were removed because there was no room.
    pub removed_for_room: Vec<String>,
    /// What the target cannot keep.
    pub limitations: Vec<Limitation>,
    /// Files that are in a cloud only: of them the snapshot has the placeholder.
    pub placeholders: Noted,
    /// Files that are encrypted at the source, and in plain in the snapshot.
    pub encrypted: Noted,
    /// How many entries each rule of [`RuleOrigin::System`](crate::exclude::RuleOrigin::System) left out, by its name; a
    /// folder counts once.
    pub left_out_by_system: BTreeMap<String, u64>,
    /// The first problems; all are counted in the totals and marked in the manifest.
    pub problems: Vec<Problem>,
    /// What became of shadow copies and hooks, where the job has any; for a dry run, what would be read live.
    pub shadow: Option<ShadowOutcome>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
    /// For a dry run: what would be copied, largest first (path, bytes, why).
    pub would_copy: Vec<(Vec<u8>, u64, &'static str)>,
}

/// What became of the shadow copies and hooks of a run.
#[derive(Debug, Clone)]
pub struct ShadowOutcome {
    /// How much they were wanted.
    pub mode: Mode,
    /// What was frozen, and what was read live instead.
    pub report: ShadowReport,
    /// Copies that could not be removed again: name, and why.
    pub left: Vec<(String, String)>,
    /// Hooks that failed.
    pub failed_hooks: Vec<FailedHook>,
    /// Names of the leftovers of other runs that were removed.
    pub swept: Vec<String>,
}

impl ShadowOutcome {
    /// Returns whether all was as wanted.
    pub fn is_as_wanted(&self) -> bool {
        self.report.live.is_empty() && self.left.is_empty() && self.failed_hooks.is_empty()
    }
}

/// The problems of a verb: all are told and counted, the first are kept for its report.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<(u64, Vec<Problem>)>);

impl Problems {
    /// Tells of a problem.
    pub(crate) fn tell(&self, ctx: &Context<'_>, problem: Problem) {
        Counters::add(&ctx.counters.problems, 1);
        ctx.monitor.problem(&problem);
        self.keep(problem);
    }

    /// Takes over a problem that was told already.
    pub(crate) fn keep(&self, problem: Problem) {
        let mut kept = self.0.lock().expect("no panic while problems are held");
        kept.0 += 1;
        if kept.1.len() < PROBLEMS_KEPT_MAX {
            kept.1.push(problem);
        }
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().expect("no panic while problems are held").0
    }

    /// Returns how many there were, and the first.
    pub(crate) fn take(&self) -> (u64, Vec<Problem>) {
        std::mem::take(&mut *self.0.lock().expect("no panic while problems are held"))
    }
}

/// Problems that a report keeps; all are counted.
pub const PROBLEMS_KEPT_MAX: usize = 10_000;
