//! What the walk and the workers of one restore have in common.

use super::folder::Folder;
use super::groups::First;
use super::guard::Protection;
use super::options::{ACTIONS_KEPT_MAX, Answer, Overwrite, RestoreAction, RestoreOptions, RestoreReport};
use super::place::PlaceRoot;
use crate::content::Stop;
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::groups::{Groups, Scratch};
use crate::manifest::{ContentRef, Entry};
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, LimitationKind, Limitations, Problems};
use hardback_platform::{Attributes, Faults, PathError, RelPath};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Files with several names that a dry run remembers, so that each counts once.
const COUNTED_MAX: usize = 100_000;

/// How the name of a file that is being written starts; the run's number and its own follow.
const TEMPORARY: &str = ".hardback-restore-";

/// Returns how the names begin of what a run is writing.
fn prefix_of(run: u64) -> Vec<u8> {
    format!("{TEMPORARY}{run:016x}-").into_bytes()
}

/// Returns whether a name is one of [`Shared::temporary_name`], of any run.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(TEMPORARY.as_bytes()) else { return false };
    let is_run = |run: &[u8]| run.len() == 16 && run.iter().all(u8::is_ascii_hexdigit);
    rest.get(..16).is_some_and(is_run)
        && rest.get(16) == Some(&b'-')
        && rest.len() > 17
        && rest[17..].iter().all(u8::is_ascii_digit)
}

/// Asks the user about one existing entry.
pub(super) type Ask<'a> = &'a mut (dyn FnMut(&RelPath) -> Answer + Send);

/// Counts of a restore.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) entries: AtomicU64,
    pub(super) made: AtomicU64,
    pub(super) replaced: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) linked: AtomicU64,
    pub(super) set_aside: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) stored_with_problem: AtomicU64,
    pub(super) bytes: AtomicU64,
}

struct Asker<'a> {
    ask: Ask<'a>,
    /// What the user said about all that follow.
    settled: Option<bool>,
}

/// What [`Shared::new`] takes.
pub(super) struct Parts {
    pub(super) digests: DigestLists,
    pub(super) roots: Vec<PlaceRoot>,
    pub(super) protections: Vec<Protection>,
}

/// What all threads share.
pub(super) struct Shared<'a> {
    pub(super) ctx: Context<'a>,
    pub(super) options: &'a RestoreOptions,
    pub(super) digests: DigestLists,
    /// What a delete leaves alone.
    pub(super) protections: Vec<Protection>,
    pub(super) groups: Groups<First>,
    pub(super) limitations: Limitations,
    pub(super) sums: Sums,
    /// The places by number; opened once.
    pub(super) roots: Vec<PlaceRoot>,
    pub(super) is_privileged: bool,
    asker: Mutex<Asker<'a>>,
    run: u64,
    next_temporary: AtomicU64,
    actions: Mutex<Vec<(Vec<u8>, RestoreAction)>>,
    problems: Problems,
    /// Attributes of files with several names.
    later: Mutex<Vec<Later>>,
    /// Contents of files with several names that a dry run has counted; forgotten when there are very many.
    counted: Mutex<HashSet<(u64, ContentRef)>>,
    failure: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

/// Attributes to set when all names are there.
struct Later {
    root: usize,
    folder: RelPath,
    name: Box<[u8]>,
    attributes: Attributes,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        ctx: Context<'a>,
        options: &'a RestoreOptions,
        parts: Parts,
        ask: Ask<'a>,
    ) -> Result<Self, Error> {
        let Parts { digests, roots, protections } = parts;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|e| Error::refused(format!("no random numbers: {e}"), "ask the system"))?;
        let run = u64::from_ne_bytes(run);
        // A dry run makes no group.
        let dirs = roots.iter().filter_map(|root| root.dir.as_ref()).filter(|_| !options.dry_run);
        let scratches = dirs.map(|dir| Ok(Scratch { dir: dir.try_clone()?, prefix: prefix_of(run) }));
        let scratches: Vec<_> = scratches.collect::<Result<_, PathError>>()?;
        Ok(Self {
            ctx,
            options,
            digests,
            protections,
            groups: Groups::new(scratches),
            limitations: Limitations::default(),
            sums: Sums::default(),
            roots,
            is_privileged: hardback_platform::is_privileged(),
            asker: Mutex::new(Asker { ask, settled: None }),
            run,
            next_temporary: AtomicU64::new(0),
            actions: Mutex::new(Vec::new()),
            problems: Problems::default(),
            later: Mutex::new(Vec::new()),
            counted: Mutex::default(),
            failure: Mutex::new(None),
            stopped: AtomicBool::new(false),
        })
    }

    /// Tells of a problem: the only way to report one.
    pub(super) fn problem(&self, problem: Problem) {
        self.problems.tell(&self.ctx, problem);
    }

    /// Something at the place failed: the problem of one entry, or the end where nothing else can succeed either.
    pub(super) fn place_failed(&self, path: &[u8], error: PathError) -> Result<(), Error> {
        let is_end = matches!(error.fault(), Faults::Full | Faults::Io | Faults::ReadOnly)
            || error.source.kind() == std::io::ErrorKind::Interrupted;
        if is_end {
            return Err(PathError { path: path.to_vec(), ..error }.into());
        }
        self.problem(Problem::new(path, ProblemKind::NotRestored, &error));
        Ok(())
    }

    /// The file of names of one file failed: adds where it is.
    pub(super) fn groups_failed(&self, error: PathError) -> Error {
        self.in_scratch(self.groups.scratch_index(), error).into()
    }

    fn in_scratch(&self, number: usize, error: PathError) -> PathError {
        let mut opened = self.roots.iter().filter(|root| root.dir.is_some());
        match opened.nth(number) {
            Some(root) => error.under(&root.path),
            None => error,
        }
    }

    /// Tells if names of files are kept in memory for want of a place that may be written.
    pub(super) fn tell_refused_scratch(&self) {
        if let Some((number, error)) = self.groups.take_refused() {
            let error = self.in_scratch(number, error);
            let why = &error.source;
            self.ctx
                .monitor
                .notice(&format!("{error}: {why}; what is known of files with several names stays in memory"));
        }
    }

    /// Counts what the place cannot keep; a failing place stays an error.
    pub(super) fn limited(
        &self,
        kind: LimitationKind,
        path: &dyn Fn() -> Vec<u8>,
        result: Result<(), PathError>,
    ) -> Result<bool, PathError> {
        let Err(error) = result else { return Ok(true) };
        match error.fault() {
            Faults::Full if kind == LimitationKind::Xattrs => {}
            Faults::Full | Faults::Io | Faults::ReadOnly => return Err(error),
            _ if error.source.kind() == std::io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.limitations.meet(kind, path, &error.source);
        Ok(false)
    }

    /// Notes an action and counts it. What is made and replaced is listed in a dry run only.
    pub(super) fn act(&self, action: RestoreAction, path: impl FnOnce() -> Vec<u8>) {
        let (counter, listed) = match action {
            RestoreAction::Make => (&self.sums.made, self.options.dry_run),
            RestoreAction::Replace => (&self.sums.replaced, self.options.dry_run),
            RestoreAction::Keep => (&self.sums.kept, true),
            RestoreAction::SetAside => (&self.sums.set_aside, true),
            RestoreAction::Delete => (&self.sums.deleted, true),
        };
        Counters::add(counter, 1);
        if listed {
            let mut actions = self.actions.lock().expect("no panic while the list is held");
            if actions.len() < ACTIONS_KEPT_MAX {
                actions.push((path(), action));
            }
        }
    }

    /// Returns whether an existing entry may be replaced; `is_newer` says whether the snapshot's changed later.
    pub(super) fn may_replace(&self, path: impl FnOnce() -> Vec<u8>, is_newer: bool) -> Result<bool, Error> {
        match self.options.overwrite {
            Overwrite::Never => Ok(false),
            Overwrite::Newer => Ok(is_newer),
            Overwrite::Always => Ok(true),
            // A dry run asks nobody.
            Overwrite::Ask if self.options.dry_run => Ok(true),
            Overwrite::Ask => self.ask(&path()),
        }
    }

    fn ask(&self, path: &[u8]) -> Result<bool, Error> {
        let mut asker = self.asker.lock().expect("no panic while the user is asked");
        if let Some(settled) = asker.settled {
            return Ok(settled);
        }
        let path = RelPath::from_bytes(path).map_err(|why| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
            PathError::new("take the name from the record of", path, error)
        })?;
        Ok(match (asker.ask)(&path) {
            Answer::Replace => true,
            Answer::Keep => false,
            Answer::ReplaceAll => *asker.settled.insert(true),
            Answer::KeepAll => *asker.settled.insert(false),
            Answer::Stop => return Err(Error::Interrupted),
        })
    }

    /// Returns whether a dry run comes to a file for the first time.
    pub(super) fn is_first_of_its_names(&self, entry: &Entry) -> bool {
        let Some((inode, content)) = entry.inode.zip(entry.content).filter(|_| entry.nlink > 1) else { return true };
        let mut counted = self.counted.lock().expect("no panic while the list is held");
        if counted.len() >= COUNTED_MAX {
            counted.clear();
        }
        counted.insert((inode, content))
    }

    /// Notes attributes for [`Shared::set_late_attributes`].
    pub(super) fn set_attributes_later(&self, folder: &Folder, name: &[u8], attributes: Attributes) {
        let later = Later { root: folder.root, folder: folder.place_path(), name: name.into(), attributes };
        self.later.lock().expect("no panic while the list is held").push(later);
    }

    /// Sets the attributes of files with several names.
    pub(super) fn set_late_attributes(&self) -> Result<(), Error> {
        let all = std::mem::take(&mut *self.later.lock().expect("no panic while the list is held"));
        for later in all {
            let Some(root) = &self.roots[later.root].dir else { continue };
            let path = || later.folder.join(&later.name).as_bytes().to_vec();
            let set = root.open_dir_at(&later.folder).and_then(|d| d.set_attributes(&later.name, later.attributes));
            if let Err(error) = self.limited(LimitationKind::Attributes, &path, set) {
                self.place_failed(&path(), error)?;
            }
        }
        Ok(())
    }

    /// Returns a name for a file that is being written.
    pub(super) fn temporary_name(&self) -> Vec<u8> {
        let n = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        [prefix_of(self.run), n.to_string().into_bytes()].concat()
    }

    /// Stops the restore. The first error wins.
    pub(super) fn fail(&self, error: Error) {
        self.failure.lock().expect("no panic while the failure is held").get_or_insert(error);
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Returns why it stopped, if it did.
    pub(super) fn take_failure(&self) -> Option<Error> {
        let failure = self.failure.lock().expect("no panic while the failure is held").take();
        failure.or_else(|| self.ctx.cancel.is_cancelled().then_some(Error::Interrupted))
    }

    /// Makes the report.
    pub(super) fn report(self, began_ns: u64) -> RestoreReport {
        let sum = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (problem_count, problems) = self.problems.take();
        let mut actions = self.actions.into_inner().expect("all threads are done");
        actions.sort();
        RestoreReport {
            snapshot: self.options.snapshot.clone(),
            entries: sum(&self.sums.entries),
            made: sum(&self.sums.made),
            replaced: sum(&self.sums.replaced),
            unchanged: sum(&self.sums.unchanged),
            kept: sum(&self.sums.kept),
            linked: sum(&self.sums.linked),
            set_aside: sum(&self.sums.set_aside),
            deleted: sum(&self.sums.deleted),
            stored_with_problem: sum(&self.sums.stored_with_problem),
            bytes: sum(&self.sums.bytes),
            actions,
            limitations: self.limitations.list(),
            problem_count,
            problems,
            elapsed_ns: hardback_platform::monotonic_now().saturating_sub(began_ns),
        }
    }
}

impl Stop for Shared<'_> {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.ctx.cancel.is_cancelled()
    }
}
