//! Purging: one path goes out of snapshots that are sealed. The one verb that changes a snapshot on purpose, for what must
//! not be in a backup at all. Tree and record stay one: the record without the path is written beside the old one, the
//! path is renamed into the trash, and the new record takes the old one's place. What a crash between leaves, the same
//! call mends.

use crate::backup::Appender;
use crate::catalog::{self, Snapshot};
use crate::context::Context;
use crate::error::{Error, UnderPath};
use crate::manifest::{
    ContentRef, Entry, Finished, Line, ManifestError, ManifestWriter, Reader, Seal, SealBase, Unstored,
};
use crate::problem::{Problem, ProblemKind};
use crate::report::{Phase, Problems};
use crate::target::trash::{self, IfBusy, TargetLock};
use crate::target::{Target, create_temporary, holder_words, layout, temporary_name};
use crate::verify::manifest_fault;
use hardback_platform::{Dir, Faults, FileRead, PathError, RelPath, Time};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

/// What to purge.
#[derive(Debug, Clone, Default)]
pub struct PurgeOptions {
    /// Job.
    pub job: String,
    /// Paths in the snapshots, with their source's folder.
    pub paths: Vec<Vec<u8>>,
    /// Only from these snapshots; from all where it is empty.
    pub snapshots: Vec<String>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

/// What a purge did.
#[derive(Debug, Default)]
#[must_use = "the report says whether something stays"]
pub struct PurgeReport {
    /// The snapshots that had one of the paths, oldest first.
    pub purged: Vec<Purged>,
    /// Other paths under which the chosen snapshots have the same content, which stays; each with the number of snapshots.
    pub same_content: BTreeMap<Vec<u8>, u64>,
    /// Names that were unlinked in the trash.
    pub unlinked: u64,
    /// Bytes that are free on the volume now and were not before, as far as can be told.
    pub freed_bytes: u64,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// A snapshot that had one of the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// Its name.
    pub snapshot: String,
    /// Entries that went, or would go.
    pub entries: u64,
    /// Their bytes, counted for each name.
    pub bytes: u64,
}

/// A path that a record has.
struct Place {
    /// The folder that it is in, and its name there, as they are stored.
    folder: RelPath,
    name: Vec<u8>,
    is_in_tree: bool,
    /// The folder's own time, which losing an entry changes.
    folder_mtime: Time,
}

/// What a record has of the paths.
#[derive(Default)]
struct Found {
    places: Vec<Place>,
    entries: u64,
    dirs: u64,
    bytes: u64,
    /// The contents of its files.
    contents: Vec<ContentRef>,
    /// Paths that stay and have a content that is looked for.
    same: Vec<Vec<u8>>,
}

/// Removes paths from sealed snapshots, and what is in the trash then.
///
/// # Errors
/// There is no such job or snapshot, a path is no path in a snapshot, another run is at work, or somebody restores. A
/// snapshot from which a path cannot be removed is a problem.
pub fn purge(ctx: &Context<'_>, target: &Target, options: &PurgeOptions) -> Result<PurgeReport, Error> {
    let began = hardback_platform::monotonic_now();
    let paths = checked(&options.paths)?;
    let contents = RefCell::default();
    let run = Run { ctx, target, job: &options.job, paths, contents, problems: Problems::default() };
    let mut report = PurgeReport::default();
    if options.dry_run {
        let chosen = run.chosen(&options.snapshots)?;
        run.look_for_contents(&chosen)?;
        for snapshot in chosen {
            run.keep(&mut report, &snapshot, run.look(&snapshot));
        }
    } else {
        let free_before = target.root.free_space().map_or(0, |space| space.free_bytes);
        run.purge(&options.snapshots, &mut report)?;
        let free_now = target.root.free_space().map_or(0, |space| space.free_bytes);
        report.freed_bytes = free_now.saturating_sub(free_before);
    }
    (report.problem_count, report.problems) = run.problems.take();
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began);
    Ok(report)
}

fn checked(paths: &[Vec<u8>]) -> Result<Vec<RelPath>, Error> {
    let refused = |path: &[u8]| {
        let path = hardback_platform::path::display(path).to_string();
        Error::refused(format!("{path:?} is no path in a snapshot"), "write it as `hardback find` shows it")
    };
    let checked = |path: &Vec<u8>| match RelPath::from_bytes(path) {
        Ok(checked) if !checked.is_root() => Ok(checked),
        _ => Err(refused(path)),
    };
    paths.iter().map(checked).collect()
}

struct Run<'a> {
    ctx: &'a Context<'a>,
    target: &'a Target,
    job: &'a str,
    paths: Vec<RelPath>,
    /// What is purged, wherever it is: a name may be left out by whoever asks.
    contents: RefCell<HashSet<ContentRef>>,
    problems: Problems,
}

/// Contents that are looked for under other names; of more than that, nothing is told.
const CONTENTS_MAX: usize = 1_000_000;
/// Paths with the same content that are told.
const SAME_MAX: usize = 1000;

impl Run<'_> {
    fn purge(&self, snapshots: &[String], report: &mut PurgeReport) -> Result<(), Error> {
        let lock = self.target.lock(&holder_words(self.ctx, &format!("purge of job {}", self.job)))?;
        let Some(readers) = self.target.keep_readers_out()? else {
            return Err(Error::refused(
                "a restore or a verify reads the target",
                "wait for its end: what it reads must not change meanwhile",
            ));
        };
        let chosen = self.chosen(snapshots)?;
        self.look_for_contents(&chosen)?;
        self.discard_unfinished()?;
        for snapshot in chosen {
            self.ctx.check_cancel()?;
            self.ctx.counters.set_current(snapshot.name.as_bytes());
            self.keep(report, &snapshot, self.purge_one(&snapshot));
        }
        drop((readers, lock));
        self.ctx.monitor.phase(Phase::Cleaning);
        let emptied = trash::empty(self.target, self.ctx.cancel, self.ctx.counters, IfBusy::Wait, TargetLock::Others)?;
        report.unlinked = emptied.entries;
        for error in &emptied.failures.first {
            self.problems.tell(self.ctx, Problem::new(&error.path, ProblemKind::NotRemoved, error));
        }
        self.ctx.check_cancel()
    }

    /// Remembers what the paths hold in all the snapshots.
    fn look_for_contents(&self, chosen: &[Snapshot]) -> Result<(), Error> {
        for snapshot in chosen {
            self.ctx.check_cancel()?;
            // What cannot be read is told when it is to be purged.
            let Ok(found) = self.look(snapshot) else { continue };
            let mut contents = self.contents.borrow_mut();
            let room = CONTENTS_MAX.saturating_sub(contents.len());
            contents.extend(found.contents.into_iter().take(room));
        }
        Ok(())
    }

    /// Throws away what unfinished runs left: it may hold the paths, and is at the source if it is wanted. One that is
    /// sealed and lacks only its name is a snapshot that this does not reach.
    fn discard_unfinished(&self) -> Result<(), Error> {
        let names = [layout::PARTIAL, self.job.as_bytes()];
        let Some(partials) = self.target.ours_dir_if_any(&names)? else { return Ok(()) };
        let seals = catalog::seals(self.target, self.job)?;
        for entry in partials.list().under(&self.target.ours_path(&names))?.iter() {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            if seals.has(&name) {
                let what = "it was cut off before it had its name; run a backup of the job, then purge again";
                let path = format!("{}/{name}", self.job);
                self.problems.tell(self.ctx, Problem::with_detail(path.as_bytes(), ProblemKind::NotRemoved, what));
                continue;
            }
            trash::move_to_trash(self.target, &partials, entry.name)?;
            self.ctx.monitor.notice("an unfinished snapshot is thrown away too: the next run begins anew");
        }
        Ok(())
    }

    fn chosen(&self, names: &[String]) -> Result<Vec<Snapshot>, Error> {
        let all = catalog::snapshots(self.target, self.job)?;
        if names.is_empty() {
            all.unsealed.iter().for_each(|unsealed| self.problems.tell(self.ctx, unsealed.problem()));
            return Ok(all.sealed);
        }
        names.iter().map(|name| all.named(self.job, name).cloned()).collect()
    }

    /// Takes what became of a snapshot into the report.
    fn keep(&self, report: &mut PurgeReport, snapshot: &Snapshot, result: Result<Found, Error>) {
        if let Ok(found) = &result {
            for path in &found.same {
                if report.same_content.len() < SAME_MAX || report.same_content.contains_key(path) {
                    *report.same_content.entry(path.clone()).or_default() += 1;
                }
            }
        }
        match result {
            Ok(Found { entries: 0, .. }) => {}
            Ok(Found { entries, bytes, .. }) => {
                report.purged.push(Purged { snapshot: snapshot.name.clone(), entries, bytes });
            }
            Err(error) => {
                let path = format!("{}/{}", self.job, snapshot.name);
                let problem = Problem::with_detail(path.as_bytes(), ProblemKind::NotRemoved, error.with_causes());
                self.problems.tell(self.ctx, problem);
            }
        }
    }

    /// Finds the paths in a record and changes nothing.
    fn look(&self, snapshot: &Snapshot) -> Result<Found, Error> {
        self.go_through(snapshot, None::<&mut ManifestWriter<Appender>>)
    }

    fn purge_one(&self, snapshot: &Snapshot) -> Result<Found, Error> {
        let names = [layout::MANIFESTS, self.job.as_bytes()];
        let manifests = self.target.ours_dir(&names)?;
        let in_manifests = self.target.ours_path(&names);
        let seal = self.mended(&manifests, snapshot).under(&in_manifests)?;
        if let Some(fault) = manifest_fault(self.target, self.job, &seal)? {
            return Err(Error::refused(fault, "without its record it cannot be told what belongs to the path"));
        }
        let found = self.look(snapshot)?;
        if found.places.is_empty() {
            return Ok(found);
        }
        let file = create_temporary(&manifests, &layout::manifest_name(&snapshot.name), 0o600).under(&in_manifests)?;
        let header = catalog::open_manifest(self.target, self.job, &snapshot.name)?.header().clone();
        let written = |e| PathError::new("write", &layout::manifest_name(&snapshot.name), e).under(&in_manifests);
        let mut writer = ManifestWriter::create(Appender::new(Some(file)), &header).map_err(written)?;
        let found = self.go_through(snapshot, Some(&mut writer))?;
        writer.carry_over(&seal.totals, found.places.len() as u64);
        let finished = writer.finish().map_err(written)?;
        finished.sink.sync().under(&in_manifests)?;
        let seal = sealed_again(seal, &finished, &found);
        drop(finished);
        let seal_name = layout::seal_name(&snapshot.name);
        let file = create_temporary(&manifests, &seal_name, 0o600).under(&in_manifests)?;
        file.write_all_at(seal.to_text().as_bytes(), 0).and_then(|()| file.sync()).under(&in_manifests)?;
        drop(file);
        manifests.sync().under(&in_manifests)?;
        for (number, place) in found.places.iter().enumerate().filter(|(_, place)| place.is_in_tree) {
            // A name of any length has room for no more, and one file has the same name in each snapshot.
            let in_trash = format!("purged-{}-{number}", snapshot.name);
            self.remove_from_tree(snapshot, place, in_trash.as_bytes())?;
        }
        self.put_in_place(&manifests, snapshot).under(&in_manifests)?;
        Ok(found)
    }

    /// Returns the seal that counts: a purge that was cut off may have put the new record in place and not its seal.
    fn mended(&self, manifests: &Dir, snapshot: &Snapshot) -> Result<Seal, PathError> {
        let name = temporary_name(&layout::seal_name(&snapshot.name));
        let bytes = match manifests.open_file(&name) {
            Err(e) if e.fault() == Faults::Vanished => return Ok(snapshot.seal.clone()),
            opened => opened?.read_to_vec(catalog::SEAL_BYTES_MAX)?,
        };
        let is_of_record = |seal: &Seal| matches!(manifest_fault(self.target, self.job, seal), Ok(None));
        match catalog::whole_seal(&bytes).filter(|seal| seal.snapshot == snapshot.name && is_of_record(seal)) {
            Some(seal) => {
                manifests.rename_over(&name, manifests, &layout::seal_name(&snapshot.name))?;
                manifests.sync()?;
                Ok(seal)
            }
            None => Ok(snapshot.seal.clone()),
        }
    }

    fn put_in_place(&self, manifests: &Dir, snapshot: &Snapshot) -> Result<(), PathError> {
        for name in [layout::manifest_name(&snapshot.name), layout::seal_name(&snapshot.name)] {
            manifests.rename_over(&temporary_name(&name), manifests, &name)?;
        }
        manifests.sync()
    }

    /// Moves a path into the trash; its folder keeps its own time.
    fn remove_from_tree(&self, snapshot: &Snapshot, place: &Place, in_trash: &[u8]) -> Result<(), Error> {
        let in_tree = self.target.shown_path(&[self.job.as_bytes(), snapshot.name.as_bytes(), place.folder.as_bytes()]);
        let Some(trees) = self.target.job_dir_if_any(self.job)? else { return Ok(()) };
        let folder = trees.open_dir(snapshot.name.as_bytes()).and_then(|tree| tree.open_dir_at(&place.folder));
        let folder = folder.under(&in_tree)?;
        let before = folder.metadata().under(&in_tree)?;
        let rename = || trash::move_to_trash_as(self.target, &folder, &place.name, in_trash);
        let moved = match rename() {
            Err(e) if e.fault() == Faults::Denied => {
                folder.set_mode(b"", 0o700).under(&in_tree)?;
                let moved = rename();
                if let Some(mode) = before.mode {
                    folder.set_mode(b"", mode).under(&in_tree)?;
                }
                moved
            }
            other => other,
        };
        match moved {
            // A purge that was cut off, or somebody's hand, was here before.
            Err(e) if e.fault() == Faults::Vanished => {}
            other => other.under(&in_tree)?,
        }
        match folder.set_mtime(b"", place.folder_mtime) {
            Err(e) if e.fault() != Faults::Unsupported => Err(e.under(&in_tree).into()),
            _ => Ok(folder.sync().under(&in_tree)?),
        }
    }

    /// Goes through a record; what is not purged is written again, where that is wanted.
    fn go_through(&self, snapshot: &Snapshot, writer: Option<&mut ManifestWriter<Appender>>) -> Result<Found, Error> {
        let reader = catalog::open_manifest(self.target, self.job, &snapshot.name)?;
        let names = self.target.ours_path(&[layout::MANIFESTS, self.job.as_bytes()]);
        let contents = self.contents.borrow();
        let (paths, found) = (&self.paths, Found::default());
        Pass { paths, contents: &contents, writer, found, folders: Vec::new(), skipped: 0 }.run(reader).map_err(
            |error| match error {
                PassError::Read(source) => Error::Manifest { snapshot: snapshot.name.clone(), source },
                PassError::Write(e) => {
                    PathError::new("write", &layout::manifest_name(&snapshot.name), e).under(&names).into()
                }
            },
        )
    }
}

enum PassError {
    Read(ManifestError),
    Write(std::io::Error),
}

impl From<ManifestError> for PassError {
    fn from(error: ManifestError) -> Self {
        Self::Read(error)
    }
}

impl From<std::io::Error> for PassError {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

/// One pass through a record.
struct Pass<'a> {
    paths: &'a [RelPath],
    contents: &'a HashSet<ContentRef>,
    writer: Option<&'a mut ManifestWriter<Appender>>,
    found: Found,
    /// The folders that are open: path, stored path, own time.
    folders: Vec<(RelPath, RelPath, Time)>,
    /// Levels that are open of a folder that is purged.
    skipped: usize,
}

impl Pass<'_> {
    fn run(mut self, mut reader: Reader<FileRead>) -> Result<Found, PassError> {
        loop {
            let Some((line, _)) = reader.next_line()? else {
                return Err(ManifestError::Damaged { offset: 0, what: "it has no end" }.into());
            };
            match line {
                Line::End => return Ok(self.found),
                Line::Up if self.skipped > 0 => self.skipped -= 1,
                Line::Entry(entry) if self.skipped > 0 => {
                    self.count(&entry);
                    self.skipped += usize::from(entry.is_dir());
                }
                Line::Unstored(..) if self.skipped > 0 => {}
                Line::Up => {
                    self.folders.pop();
                    self.write(|writer| {
                        writer.up();
                        Ok(())
                    })?;
                }
                Line::Entry(entry) => self.entry(&entry)?,
                Line::Unstored(why, name) => self.write(|writer| writer.unstored(why, &name))?,
                Line::User(uid, name) => self.write(|writer| {
                    writer.user(uid, Some(&name));
                    Ok(())
                })?,
                Line::Group(gid, name) => self.write(|writer| {
                    writer.group(gid, Some(&name));
                    Ok(())
                })?,
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), PassError> {
        let Some((folder, stored_folder, mtime)) = self.folders.last() else {
            self.folders.push((RelPath::root(), RelPath::root(), entry.mtime));
            return self.write(|writer| writer.entry(entry));
        };
        let path = folder.join(&entry.name);
        if self.paths.contains(&path) {
            self.found.places.push(Place {
                folder: stored_folder.clone(),
                name: entry.stored_name().to_vec(),
                is_in_tree: entry.is_in_tree(),
                folder_mtime: *mtime,
            });
            self.count(entry);
            self.skipped = usize::from(entry.is_dir());
            // A restore with --delete leaves alone what the user has and the snapshot lost.
            return self.write(|writer| writer.unstored(Unstored::Purged, &entry.name));
        }
        if entry.content.is_some_and(|content| self.contents.contains(&content)) && self.found.same.len() < SAME_MAX {
            self.found.same.push(path.as_bytes().to_vec());
        }
        if entry.is_dir() {
            let stored = stored_folder.join(entry.stored_name());
            self.folders.push((path, stored, entry.mtime));
        }
        self.write(|writer| writer.entry(entry))
    }

    /// Counts an entry that goes.
    fn count(&mut self, entry: &Entry) {
        self.found.entries += 1;
        self.found.dirs += u64::from(entry.is_dir());
        self.found.bytes += entry.size_bytes;
        if self.found.contents.len() < CONTENTS_MAX {
            self.found.contents.extend(entry.content);
        }
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut ManifestWriter<Appender>) -> std::io::Result<()>,
    ) -> Result<(), PassError> {
        self.writer.as_deref_mut().map_or(Ok(()), |writer| Ok(write(writer)?))
    }
}

fn sealed_again(seal: Seal, finished: &Finished<Appender>, found: &Found) -> Seal {
    // What was purged did not go at the source: no guard is to see a snapshot that shrank.
    let base = seal.base.map(|base| SealBase {
        entries: base.entries.saturating_sub(found.entries),
        dirs: base.dirs.saturating_sub(found.dirs),
        bytes: base.bytes.saturating_sub(found.bytes),
        ..base
    });
    Seal {
        base,
        manifest: finished.digest,
        manifest_bytes: finished.written_bytes,
        generations: finished.generations.clone(),
        totals: finished.totals,
        ..seal
    }
}
