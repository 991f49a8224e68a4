//! Finding paths in all snapshots by a pattern.
//!
//! A path that is the same in several snapshots (size, time and kind) is told once, with its first and last snapshot.
//! For that the records of a job are searched side by side in tree order, each by a thread of its own and at most
//! [`MANIFESTS_MAX`] at a time, newest first; a job with more snapshots tells a path once for each such batch.

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::error::Error;
use crate::exclude::{ExcludeBuilder, ExcludeRules, RuleOrigin};
use crate::failure::Failure;
use crate::lookup::open_cursor;
use crate::manifest::{Entry, ManifestError, TreeCursor};
use crate::problem::Problem;
use crate::report::{Counters, Problems};
use crate::target::Target;
use crate::tree_order::{Place, tree_order};
use crate::versions::unreadable;
use crossbeam_channel::{Receiver, Sender, bounded};
use hardback_platform::path::display;
use hardback_platform::{FileRead, Kind, Time};
use memchr::memmem::Finder;

/// Records that are searched at the same time; each takes about 1 MiB.
const MANIFESTS_MAX: usize = 32;
/// Entries found in a record that wait for the others to come to the same place.
const QUEUE_ENTRIES: usize = 256;

/// A path that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Job.
    pub job: String,
    /// Path in the snapshot.
    pub path: Vec<u8>,
    /// Size of a file in bytes.
    pub size_bytes: u64,
    /// Modification time.
    pub mtime: Time,
    /// What it is.
    pub kind: Kind,
    /// The oldest snapshot that has it like this.
    pub first: String,
    /// The newest snapshot that has it like this.
    pub last: String,
    /// How many snapshots have it like this; fewer than from first to last if it was another or gone between.
    pub snapshots: u64,
}

/// What to find.
#[derive(Debug, Clone, Default)]
pub struct FindOptions {
    /// Only this job.
    pub job: Option<String>,
    /// A pattern with `*`, `?` or `[` is one of [`crate::exclude::PATTERNS_HELP`] and must match a whole name, or with a
    /// `/` in it the whole path in the snapshot. Any other is looked for anywhere in the name, or with a `/` in it
    /// anywhere in the path.
    pub pattern: String,
    /// Capitals do not count. Where the pattern has none, they do not in any case.
    pub ignore_case: bool,
}

impl FindOptions {
    /// Says whether the pattern is one, without a target.
    ///
    /// # Errors
    /// [`Error::Refused`]: it is none.
    pub fn check(&self) -> Result<(), Error> {
        Pattern::new(&self.pattern, self.ignore_case).map(drop)
    }
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether all records could be searched"]
pub struct FindReport {
    /// Paths that were told.
    pub found: u64,
    /// Snapshots that were searched to the end.
    pub snapshots: u64,
    /// Number of problems: snapshots without a whole seal, and those whose record cannot be read to its end.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
}

/// Searches the snapshots of a job, or of all jobs, and tells each path found, in tree order; of a path that changed,
/// the newest first.
///
/// # Errors
/// The pattern is wrong, there is no such job, or a part of the search panicked. A record that cannot be read is a
/// problem; the others are searched.
pub fn find(
    ctx: &Context<'_>,
    target: &Target,
    options: &FindOptions,
    each: &mut dyn FnMut(&Found),
) -> Result<FindReport, Error> {
    let pattern = Pattern::new(&options.pattern, options.ignore_case)?;
    let jobs = match options.job.as_deref() {
        Some(job) => vec![catalog::choose_job(target, Some(job), "")?],
        None => catalog::jobs(target)?,
    };
    let mut report = FindReport::default();
    let problems = Problems::default();
    for job in jobs {
        let Snapshots { sealed: mut snapshots, unsealed } = match catalog::snapshots(target, &job) {
            Err(error) if options.job.is_none() => {
                problems.tell(ctx, catalog::closed_job(&job, error)?);
                continue;
            }
            other => other?,
        };
        unsealed.iter().for_each(|unsealed| problems.tell(ctx, unsealed.problem()));
        snapshots.reverse();
        for batch in snapshots.chunks(MANIFESTS_MAX) {
            let before = problems.count();
            let failure = Failure::default();
            let search = Search { ctx, target, pattern: &pattern, batch, problems: &problems, failure: &failure };
            report.found += search.run(each);
            ctx.check_cancel()?;
            failure.take()?;
            report.snapshots += batch.len() as u64 - (problems.count() - before);
        }
    }
    (report.problem_count, report.problems) = problems.take();
    Ok(report)
}

/// An entry that matches, on its way from the thread that reads its record.
struct Match {
    path: Vec<u8>,
    kind: Kind,
    size_bytes: u64,
    mtime: Time,
}

impl Match {
    fn place(&self) -> Place<'_> {
        Place { path: &self.path, is_dir: self.kind == Kind::Dir }
    }

    fn is_same_as(&self, found: &Found) -> bool {
        self.kind == found.kind && self.size_bytes == found.size_bytes && self.mtime == found.mtime
    }
}

/// A search of some snapshots of one job, newest first.
struct Search<'a> {
    ctx: &'a Context<'a>,
    target: &'a Target,
    pattern: &'a Pattern,
    batch: &'a [Snapshot],
    problems: &'a Problems,
    failure: &'a Failure,
}

impl Search<'_> {
    fn run(&self, each: &mut dyn FnMut(&Found)) -> u64 {
        std::thread::scope(|scope| {
            let receivers = self.batch.iter().map(|snapshot| {
                let (sender, receiver) = bounded(QUEUE_ENTRIES);
                scope.spawn(move || self.failure.guard(|| self.search(snapshot, &sender)));
                receiver
            });
            self.merge(receivers.collect(), each)
        })
    }

    /// Brings the matches of all snapshots together; returns how many were told.
    fn merge(&self, receivers: Vec<Receiver<Match>>, each: &mut dyn FnMut(&Found)) -> u64 {
        // A record whose thread has ended has no next match. All matches of a thread come in tree order.
        let mut heads: Vec<Option<Match>> = receivers.iter().map(|r| r.recv().ok()).collect();
        let mut told = 0;
        loop {
            let least = heads.iter().flatten().min_by(|a, b| tree_order(a.place(), b.place()));
            // Without the matches of a thread that failed a path may seem to be what it is not.
            let Some(least) = least.filter(|_| !self.failure.is_set()) else { return told };
            let (path, is_dir) = (least.path.clone(), least.kind == Kind::Dir);
            let mut group: Vec<Found> = Vec::new();
            for ((head, receiver), snapshot) in heads.iter_mut().zip(&receivers).zip(self.batch) {
                let here = head.take_if(|m| m.path == path && (m.kind == Kind::Dir) == is_dir);
                if let Some(here) = here {
                    add(&mut group, here, snapshot);
                    *head = receiver.recv().ok();
                }
            }
            told += group.len() as u64;
            group.iter().for_each(&mut *each);
        }
    }

    /// Sends the matches of one record.
    fn search(&self, snapshot: &Snapshot, sender: &Sender<Match>) {
        let done = open_cursor(self.target, snapshot).and_then(|(mut cursor, _)| {
            let failed = |source| Error::Manifest { snapshot: snapshot.name.clone(), source };
            self.search_tree(&mut cursor, sender).map_err(failed)
        });
        if let Err(error) = done {
            self.problems.tell(self.ctx, unreadable(snapshot, &error));
        }
    }

    fn search_tree(&self, cursor: &mut TreeCursor<FileRead>, sender: &Sender<Match>) -> Result<(), ManifestError> {
        let mut path = Vec::new();
        let mut fold = Vec::new();
        let mut lengths: Vec<usize> = Vec::new();
        loop {
            let outer = path.len();
            while let Some((entry, _)) = cursor.next_file()? {
                join(&mut path, &entry.name);
                self.offer(&path, &entry, &mut fold, sender);
                path.truncate(outer);
            }
            if self.ctx.cancel.is_cancelled() || self.failure.is_set() {
                return Ok(());
            }
            // Into the next subfolder, or out until there is one.
            loop {
                if let Some((entry, _)) = cursor.next_dir()? {
                    lengths.push(path.len());
                    join(&mut path, &entry.name);
                    self.offer(&path, &entry, &mut fold, sender);
                    break;
                }
                cursor.leave()?;
                let Some(outer) = lengths.pop() else { return cursor.finish() };
                path.truncate(outer);
            }
        }
    }

    fn offer(&self, path: &[u8], entry: &Entry, fold: &mut Vec<u8>, sender: &Sender<Match>) {
        Counters::add(&self.ctx.counters.entries, 1);
        // Of other kinds nothing was stored.
        if entry.kind != Kind::Other && self.pattern.matches(path, entry, fold) {
            let Entry { kind, size_bytes, mtime, .. } = *entry;
            // The receiver lives as long as this search.
            sender.send(Match { path: path.to_vec(), kind, size_bytes, mtime }).ok();
        }
    }
}

/// Adds a match to those of the same path; snapshots come newest first.
fn add(group: &mut Vec<Found>, here: Match, snapshot: &Snapshot) {
    if let Some(found) = group.iter_mut().find(|found| here.is_same_as(found)) {
        found.first.clone_from(&snapshot.name);
        found.snapshots += 1;
        return;
    }
    group.push(Found {
        job: snapshot.job.clone(),
        path: here.path,
        size_bytes: here.size_bytes,
        mtime: here.mtime,
        kind: here.kind,
        first: snapshot.name.clone(),
        last: snapshot.name.clone(),
        snapshots: 1,
    });
}

/// What to look for.
enum Pattern {
    Glob(ExcludeRules),
    Text { finder: Box<Finder<'static>>, in_path: bool, fold: bool },
}

impl Pattern {
    fn new(text: &str, ignore_case: bool) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::refused(
                "there is nothing to look for",
                "give a part of a name, or a pattern as '*.odt'",
            ));
        }
        let fold = ignore_case || !text.chars().any(char::is_uppercase);
        if !text.contains(['*', '?', '[']) {
            let wanted =
                if fold { folded(text.as_bytes(), &mut Vec::new()).to_vec() } else { text.as_bytes().to_vec() };
            return Ok(Self::Text {
                finder: Box::new(Finder::new(&wanted).into_owned()),
                in_path: text.contains('/'),
                fold,
            });
        }
        // In a list of excludes this means the opposite of what follows; here it is part of the name.
        let escaped = if text.starts_with('!') { format!("\\{text}") } else { text.to_owned() };
        let rules = ExcludeBuilder::new()
            .case_insensitive(fold)
            .pattern(escaped.as_bytes(), RuleOrigin::CommandLine { index: 0 })
            .build()
            .map_err(|error| {
                let why = match &error {
                    crate::exclude::ExcludeError::BadPattern { fault, .. } => fault.to_string(),
                    other => other.to_string(),
                };
                Error::refused(format!("cannot look for {}: {why}", display(text.as_bytes())), error.hint())
            })?;
        Ok(Self::Glob(rules))
    }

    fn matches(&self, path: &[u8], entry: &Entry, buffer: &mut Vec<u8>) -> bool {
        match self {
            Self::Glob(rules) => rules.check(path, entry.is_dir()).is_excluded(),
            Self::Text { finder, in_path, fold } => {
                let text = if *in_path { path } else { &*entry.name };
                finder.find(if *fold { folded(text, buffer) } else { text }).is_some()
            }
        }
    }
}

/// Returns the text without capitals, in a buffer; bytes that are no UTF-8 stay.
fn folded<'a>(text: &[u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    if text.is_ascii() {
        buffer.extend(text.iter().map(u8::to_ascii_lowercase));
        return buffer;
    }
    for chunk in text.utf8_chunks() {
        buffer.extend_from_slice(chunk.valid().to_lowercase().as_bytes());
        buffer.extend_from_slice(chunk.invalid());
    }
    buffer
}

fn join(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        check_with(false, pattern, path, expected);
    }

    #[track_caller]
    fn check_with(ignore_case: bool, pattern: &str, path: &str, expected: bool) {
        let name = path.rsplit('/').next().unwrap();
        let entry = Entry::new(name.as_bytes(), Kind::File);
        let pattern_text = pattern;
        let pattern = Pattern::new(pattern, ignore_case).unwrap();
        assert_eq!(pattern.matches(path.as_bytes(), &entry, &mut Vec::new()), expected, "{pattern_text} {path}");
    }

    #[test]
    fn text_is_looked_for_in_the_name_and_globs_match_it_whole() {
        check("rep", "docs/report.txt", true);
        check("docs", "docs/report.txt", false);
        check("docs/rep", "docs/report.txt", true);
        check("ocs/rep", "docs/report.txt", true);
        check("*.txt", "docs/report.txt", true);
        check("*.tx", "docs/report.txt", false);
        check("docs/*.txt", "docs/report.txt", true);
        check("docs/*.txt", "docs/sub/report.txt", false);
        check("docs/**/*.txt", "docs/sub/report.txt", true);
        check("!*", "docs/report.txt", false);
        check("!*", "docs/!report.txt", true);
    }

    #[test]
    fn capitals_count_only_where_the_pattern_has_some() {
        check("report", "docs/REPORT.txt", true);
        check("Report", "docs/REPORT.txt", false);
        check("*.jpg", "photos/IMG_1.JPG", true);
        check("*.Jpg", "photos/IMG_1.JPG", false);
        check("straße", "docs/STRASSE", false);
        check("über", "docs/ÜBER.txt", true);
        check_with(true, "REPORT", "docs/report.txt", true);
        check_with(true, "Docs/Rep", "docs/report.txt", true);
        check_with(true, "*.JPG", "photos/img_1.jpg", true);
        check_with(true, "Docs/*.Txt", "docs/report.TXT", true);
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_a_hint() {
        let error = Pattern::new("[a", false).err().unwrap();
        assert!(error.to_string().starts_with("cannot look for [a"), "{error}");
        assert!(error.hint().is_some());
        assert!(Pattern::new("", true).is_err());
    }
}
