//! The distinct versions of one path over all snapshots of a job.
//!
//! Each record is read up to the path and no further, by a few threads. Versions are told apart by what a restore
//! would bring back: content (by digest) and metadata; file ids and change times do not count.

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::diff::compare::recorded_changes;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::manifest::{ContentRef, Entry, ManifestError, TreeCursor};
use crate::problem::{Problem, ProblemKind};
use crate::report::Problems;
use crate::target::Target;
use hardback_platform::path::display;
use hardback_platform::{FileRead, Kind, RelPath, Time};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records that are read at the same time.
const THREADS: usize = 4;
/// Names that are offered where one is not found.
const SIMILAR_NAMES: usize = 3;

/// All versions of a path.
#[derive(Debug, Clone, Default)]
#[must_use = "a snapshot whose record cannot be read may hold more"]
pub struct Versions {
    /// The versions, in the order in which they came up.
    pub versions: Vec<Version>,
    /// Snapshots without the path that are newer than the first one with it, oldest first.
    pub absent: Vec<String>,
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
/// have it are damaged, the first of those errors.
pub fn versions(ctx: &Context<'_>, target: &Target, job: &str, path: &[u8]) -> Result<Versions, Error> {
    let path = RelPath::from_bytes(path).map_err(|error| {
        Error::refused(
            format!("{} is no path in a snapshot: {error}", display(path)),
            "write it as it stands below the snapshot's folder, such as Documents/letter.odt",
        )
    })?;
    let Snapshots { sealed: snapshots, unsealed } = catalog::snapshots(target, job)?;
    if snapshots.is_empty() && unsealed.is_empty() {
        return Err(Error::NotFound(format!("job {job:?} has no snapshot")));
    }
    let problems = Problems::default();
    let mut result = Versions::default();
    for unsealed in unsealed {
        problems.tell(ctx, unsealed.problem());
        result.unreadable.push(unsealed.name);
    }
    let looked_up = look_up_all(ctx, target, &snapshots, &path)?;
    let digests = DigestLists::open(target, job)?;
    let mut answer = Answer { digests, problems: &problems, held: Vec::new(), last: None };
    let mut failure = None;
    for (snapshot, found) in snapshots.iter().zip(looked_up) {
        match found {
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
        _ if !result.versions.is_empty() => Ok(result),
        Some(error) => Err(error),
        None => Err(not_found(target, &snapshots, &result.unreadable, &path)),
    }
}

/// Returns the problem of a record that cannot be read.
pub(crate) fn unreadable(snapshot: &Snapshot, error: &Error) -> Problem {
    let path = format!("{}/{}", snapshot.job, snapshot.name);
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    Problem::with_detail(path.as_bytes(), ProblemKind::Unreadable, detail)
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
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(snapshots.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(snapshot) = snapshots.get(index).filter(|_| !ctx.cancel.is_cancelled()) else { return };
                    let found = look_up(target, snapshot, path);
                    results.lock().expect("no panic while the list is held").push((index, found));
                }
            });
        }
    });
    ctx.check_cancel()?;
    let mut results = results.into_inner().expect("no panic while the list is held");
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, found)| found).collect())
}

fn look_up(target: &Target, snapshot: &Snapshot, path: &RelPath) -> LookedUp {
    let (mut cursor, root) = open_cursor(target, snapshot)?;
    let find = || -> Result<Option<Entry>, ManifestError> {
        if path.is_root() {
            return Ok(Some(root));
        }
        for name in path.parent().components() {
            if cursor.enter(name, &mut 0)?.is_none() {
                return Ok(None);
            }
        }
        match cursor.file_named(path.name(), &mut 0)? {
            Some(entry) => Ok(Some(entry)),
            None => cursor.enter(path.name(), &mut 0),
        }
    };
    find().map_err(|source| Error::Manifest { snapshot: snapshot.name.clone(), source })
}

/// Opens the record of a snapshot at its top.
pub(crate) fn open_cursor(target: &Target, snapshot: &Snapshot) -> Result<(TreeCursor<FileRead>, Entry), Error> {
    let reader = catalog::open_manifest(target, &snapshot.job, &snapshot.name)?;
    TreeCursor::open(reader).map_err(|source| Error::Manifest { snapshot: snapshot.name.clone(), source })
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

/// Says what comes nearest to a path that no snapshot has, by the newest snapshot.
fn not_found(target: &Target, snapshots: &[Snapshot], unreadable: &[String], path: &RelPath) -> Error {
    let near = snapshots.last().and_then(|newest| nearest(target, newest, path).ok());
    let mut what = format!("no snapshot has {}", display(path.as_bytes()));
    if !unreadable.is_empty() {
        what = format!("{what} ({} cannot be read)", unreadable.join(", "));
    }
    let Some((parent, similar)) = near else { return Error::NotFound(what) };
    let place = if parent.is_root() { "the top of the newest one".to_owned() } else { parent.to_string() };
    let similar: Vec<String> = similar.iter().map(|name| display(name).to_string()).collect();
    if similar.is_empty() {
        return Error::NotFound(format!("{what}; the nearest folder is {place}"));
    }
    Error::NotFound(format!("{what}; {place} has {}", similar.join(", ")))
}

/// Returns the deepest folder on the way to a path, and the names in it that are most like the next one.
fn nearest(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Result<(RelPath, Vec<Vec<u8>>), Error> {
    let failed = |source| Error::Manifest { snapshot: snapshot.name.clone(), source };
    let (mut cursor, _) = open_cursor(target, snapshot)?;
    let mut parent = RelPath::root();
    let mut missing: &[u8] = b"";
    for name in path.components() {
        if cursor.enter(name, &mut 0).map_err(failed)?.is_none() {
            missing = name;
            break;
        }
        parent.push(name);
    }
    // The search has passed over the folder's names: once more to the folder, then through it.
    let (mut cursor, _) = open_cursor(target, snapshot)?;
    for name in parent.components() {
        cursor.enter(name, &mut 0).map_err(failed)?;
    }
    let mut best: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut offer = |name: &[u8]| {
        if let Some(distance) = distance(missing, name) {
            best.push((distance, name.to_vec()));
            best.sort();
            best.truncate(SIMILAR_NAMES);
        }
    };
    while let Some((entry, _)) = cursor.next_file().map_err(failed)? {
        offer(&entry.name);
    }
    while let Some((entry, _)) = cursor.next_dir().map_err(failed)? {
        offer(&entry.name);
        cursor.leave().map_err(failed)?;
    }
    Ok((parent, best.into_iter().map(|(_, name)| name).collect()))
}

/// Returns how unlike two names are, capitals aside; `None` if they have little in common.
fn distance(wanted: &[u8], name: &[u8]) -> Option<usize> {
    let (wanted, name) = (wanted.to_ascii_lowercase(), name.to_ascii_lowercase());
    if wanted.is_empty() || wanted.len().abs_diff(name.len()) > wanted.len() {
        return None;
    }
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in name.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    let distance = row[name.len()];
    let begins = name.starts_with(&wanted) || wanted.starts_with(&name);
    (distance * 3 <= wanted.len() || begins).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_near_and_others_are_not() {
        let near = |a: &str, b: &str| distance(a.as_bytes(), b.as_bytes());
        assert_eq!(near("letter.odt", "letter.odt"), Some(0));
        assert_eq!(near("Letter.odt", "letter.odt"), Some(0));
        assert_eq!(near("leter.odt", "letter.odt"), Some(1));
        assert_eq!(near("letter", "letter.odt"), Some(4));
        assert_eq!(near("letter.odt", "invoice.pdf"), None);
        assert_eq!(near("a", "zebra"), None);
    }
}
