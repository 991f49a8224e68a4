//! The distinct versions of one path over all snapshots of a job.
//!
//! Each record is read up to the path and no further, by a few threads. Versions are told apart by what a restore
//! would bring back: content (by digest) and metadata; file ids and change times do not count.

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::diff::compare::recorded_changes;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::failure::Failure;
use crate::lookup;
use crate::manifest::{ContentRef, Entry};
use crate::problem::{Problem, ProblemKind};
use crate::report::Problems;
use crate::target::Target;
use hardback_platform::path::display;
use hardback_platform::{Kind, RelPath, Time};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records that are read at the same time.
const THREADS: usize = 4;

/// All versions of a path.
#[derive(Debug, Clone, Default)]
#[must_use = "a snapshot whose record cannot be read may hold more"]
pub struct Versions {
    /// The versions, in the order in which they came up.
    pub versions: Vec<Version>,
    /// Snapshots without the path that are newer than the first one with it, oldest first.
    pub absent: Vec<String>,
    /// Snapshots that have nothing of the path but that it was there: it could not be read when they were made, and there
    /// was no older version. Oldest first.
    pub not_read: Vec<String>,
    /// Snapshots without a whole seal, and those whose record cannot be read, each oldest first; each is a problem.
    pub unreadable: Vec<String>,
    /// Number of problems.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
}

/// A version of a path.
#[derive(Debug, Clone)]
pub struct Version {
    /// All snapshots that hold it, oldest first; not always in a row: a version can come back.
    pub snapshots: Vec<String>,
    /// The oldest of them.
    pub first: String,
    /// The newest of them.
    pub last: String,
    /// Size of a file in bytes.
    pub size_bytes: u64,
    /// Modification time.
    pub mtime: Time,
    /// What it is.
    pub kind: Kind,
    /// Which content is stored, in the first of the snapshots.
    pub content: Option<ContentRef>,
    /// What is new in it against the version before.
    pub change: VersionChange,
}

/// What is new in a version against the one in the nearest older snapshot that has the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionChange {
    /// It is the first version.
    First,
    /// Another content; the metadata may be another too.
    Content,
    /// These parts of the metadata, named as in [`crate::Change::Metadata`].
    Metadata(Vec<&'static str>),
    /// Another kind of entry.
    Kind,
}

/// Returns the distinct versions of a path over all snapshots of a job.
///
/// A snapshot whose record is damaged is a problem and named in the answer; the others are still told.
///
/// # Errors
/// [`Error::NotFound`] when no snapshot has the path, with what comes nearest; and when the only records that could
/// have it are damaged, the first of those errors. Also when a part of the search panicked.
pub fn versions(ctx: &Context<'_>, target: &Target, job: &str, path: &[u8]) -> Result<Versions, Error> {
    let path = RelPath::from_bytes(path).map_err(|error| {
        Error::refused(
            format!("{} is no path in a snapshot: {error}", display(path)),
            "write it as it stands below the snapshot's folder, such as Documents/letter.odt",
        )
    })?;
    let Snapshots { sealed: snapshots, unsealed } = catalog::snapshots(target, job)?;
    if snapshots.is_empty() && unsealed.is_empty() {
        return Err(Error::not_found(format!("job {job:?} has no snapshot")));
    }
    let problems = Problems::default();
    let mut result = Versions::default();
    for unsealed in unsealed {
        problems.tell(ctx, unsealed.problem());
        result.unreadable.push(unsealed.name);
    }
    let looked_up = look_up_all(ctx, target, &snapshots, &path)?;
    let digests = DigestLists::open(target, job);
    let mut answer = Answer { digests, problems: &problems, held: Vec::new(), last: None };
    let mut failure = None;
    for (snapshot, found) in snapshots.iter().zip(looked_up) {
        match found {
            Ok(Some(entry)) if entry.kind == Kind::Other => result.not_read.push(snapshot.name.clone()),
            Ok(Some(entry)) => answer.add(ctx, &path, &snapshot.name, entry),
            Ok(None) if !answer.held.is_empty() => result.absent.push(snapshot.name.clone()),
            Ok(None) => {}
            Err(error) => {
                result.unreadable.push(snapshot.name.clone());
                problems.tell(ctx, unreadable(snapshot, &error));
                failure.get_or_insert(error);
            }
        }
    }
    (result.problem_count, result.problems) = problems.take();
    result.versions = answer.held.into_iter().map(|(_, version)| version).collect();
    match failure {
        _ if !result.versions.is_empty() || !result.not_read.is_empty() => Ok(result),
        Some(error) => Err(error),
        None => Err(not_found(target, &snapshots, &result.unreadable, &path)),
    }
}

/// Returns the problem of a record that cannot be read.
pub(crate) fn unreadable(snapshot: &Snapshot, error: &Error) -> Problem {
    let path = format!("{}/{}", snapshot.job, snapshot.name);
    Problem::with_detail(path.as_bytes(), ProblemKind::Unreadable, error.with_causes())
}

type LookedUp = Result<Option<Entry>, Error>;

/// Looks the path up in all snapshots; the results are in their order.
fn look_up_all(
    ctx: &Context<'_>,
    target: &Target,
    snapshots: &[Snapshot],
    path: &RelPath,
) -> Result<Vec<LookedUp>, Error> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, LookedUp)>> = Mutex::new(Vec::with_capacity(snapshots.len()));
    let failure = Failure::default();
    let look_up = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let is_stopped = ctx.cancel.is_cancelled() || failure.is_set();
            let Some(snapshot) = snapshots.get(index).filter(|_| !is_stopped) else { return };
            let found = lookup::look_up(target, snapshot, path);
            results.lock().expect("no panic while the list is held").push((index, found));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(snapshots.len()) {
            scope.spawn(|| failure.guard(look_up));
        }
    });
    ctx.check_cancel()?;
    failure.take()?;
    let mut results = results.into_inner().expect("no panic while the list is held");
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, found)| found).collect())
}

/// Versions as they are found, each with its entry.
struct Answer<'a> {
    digests: DigestLists,
    problems: &'a Problems,
    held: Vec<(Entry, Version)>,
    /// Which version the newest snapshot so far has.
    last: Option<usize>,
}

impl Answer<'_> {
    fn add(&mut self, ctx: &Context<'_>, path: &RelPath, snapshot: &str, entry: Entry) {
        // Most often it is the version of the snapshot before.
        let order = self.last.into_iter().chain((0..self.held.len()).rev());
        let known = order.into_iter().find(|&i| self.change(ctx, path, &self.held[i].0, &entry).is_none());
        if let Some(index) = known {
            let version = &mut self.held[index].1;
            version.snapshots.push(snapshot.to_owned());
            version.last = snapshot.to_owned();
            self.last = Some(index);
            return;
        }
        let change = self.last.and_then(|i| self.change(ctx, path, &self.held[i].0, &entry));
        let version = Version {
            snapshots: vec![snapshot.to_owned()],
            first: snapshot.to_owned(),
            last: snapshot.to_owned(),
            size_bytes: entry.size_bytes,
            mtime: entry.mtime,
            kind: entry.kind,
            content: entry.content,
            change: change.unwrap_or(VersionChange::First),
        };
        self.last = Some(self.held.len());
        self.held.push((entry, version));
    }

    /// Returns what is new in an entry; `None` if it is the same version.
    fn change(&self, ctx: &Context<'_>, path: &RelPath, old: &Entry, new: &Entry) -> Option<VersionChange> {
        if old.kind != new.kind {
            return Some(VersionChange::Kind);
        }
        if old.size_bytes != new.size_bytes || !self.same_content(ctx, path, old.content, new.content) {
            return Some(VersionChange::Content);
        }
        let changes = recorded_changes(old, new);
        (!changes.is_empty()).then_some(VersionChange::Metadata(changes))
    }

    fn same_content(
        &self,
        ctx: &Context<'_>,
        path: &RelPath,
        old: Option<ContentRef>,
        new: Option<ContentRef>,
    ) -> bool {
        let Some((old, new)) = old.zip(new).filter(|(old, new)| old != new) else { return old == new };
        match (self.digests.get(old), self.digests.get(new)) {
            (Ok(old), Ok(new)) => old == new,
            (Err(error), _) | (_, Err(error)) => {
                let detail = format!("its digest cannot be read, so it counts as another version: {error}");
                self.problems.tell(ctx, Problem::with_detail(path.as_bytes(), ProblemKind::Other, detail));
                false
            }
        }
    }
}

fn not_found(target: &Target, snapshots: &[Snapshot], unreadable: &[String], path: &RelPath) -> Error {
    let mut message = format!("no snapshot has {}", display(path.as_bytes()));
    if !unreadable.is_empty() {
        message = format!("{message} ({} cannot be read)", unreadable.join(", "));
    }
    Error::NotFound { message, hint: snapshots.last().and_then(|newest| lookup::hint(target, newest, path)) }
}
