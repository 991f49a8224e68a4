//! The restore: reads the record of a snapshot, makes the folders, and fills them with as many workers as are useful.
//!
//! Everything at the place goes through held handles and never through a symlink. Contents are proven while they are
//! copied; what is replaced gets its successor only when that is whole and on the disk, and is kept under another name
//! if its content differs. Files and folders that are not whole yet have modes that no others have
//! ([`metadata::UNFINISHED_FILE`]), so that a restore that was interrupted can be run again. Nothing is ever written in
//! the target.

mod claims;
mod delete;
mod folder;
mod groups;
mod guard;
mod join;
mod make;
mod metadata;
mod options;
mod place;
mod select;
mod shared;
mod walk;
mod worker;

pub use options::{
    ACTIONS_KEPT_MAX, Answer, Overwrite, Place, Protected, RestoreAction, RestoreOptions, RestoreReport,
};

use crate::catalog::{self, Snapshot};
use crate::content::Stop;
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::lookup;
use crate::manifest::{Header, TreeCursor};
use crate::problem::{Problem, ProblemKind};
use crate::report::Phase;
use crate::target::Target;
use crate::verify::manifest_fault;
use crossbeam_channel::{Receiver, bounded};
use hardback_platform::{Dir, Faults, RelPath};
use place::PlaceRoot;
use select::Selection;
use shared::{Ask, Parts, Shared};
use std::sync::atomic::Ordering;
use walk::Walk;
use worker::{Chunk, Worker};

/// Chunks that wait for a worker; each may hold two folders open.
const CHUNK_QUEUE: usize = 64;
/// Workers where none are asked for.
const WORKERS_DEFAULT: usize = 4;
/// Most workers.
const WORKERS_MAX: usize = 64;

/// Writes a snapshot, or paths of it, back.
///
/// `ask` is called for each existing entry that differs, if [`Overwrite::Ask`] is chosen; from any thread, one at a
/// time.
///
/// # Errors
/// There is no such snapshot or path, the place cannot be used, it is inside the target, or it failed as a whole
/// (full, broken, read-only). What concerns single entries is in the report.
pub fn restore(
    ctx: &Context<'_>,
    target: &Target,
    options: &RestoreOptions,
    ask: Ask<'_>,
) -> Result<RestoreReport, Error> {
    let _kept = target.share();
    restore_all(ctx, target, options, ask).map_err(|error| no_room(options, &[], error))
}

/// The hint of a full target would have the user remove snapshots, and those take no room here.
fn no_room(options: &RestoreOptions, roots: &[PlaceRoot], error: Error) -> Error {
    let error = match error {
        Error::Path(error) if error.fault() == Faults::Full => error,
        other => return other,
    };
    let place = match &options.place {
        Place::To(path) => path.display().to_string(),
        Place::InPlace => "the volume of the source".to_owned(),
    };
    let mut spaces = roots.iter().filter_map(|root| root.dir.as_ref()?.free_space().ok());
    let rest = "what was restored stays; free some room there and restore again, or give another folder with --to";
    if spaces.any(|space| space.lacks_entries()) {
        return Error::refused(
            format!("{place} has no file entries left: {error}: {}", error.source),
            format!("it has room for bytes, but each file and folder takes an entry (inode); {rest}"),
        );
    }
    Error::refused(format!("{place} is full: {error}: {}", error.source), rest)
}

fn restore_all(
    ctx: &Context<'_>,
    target: &Target,
    options: &RestoreOptions,
    ask: Ask<'_>,
) -> Result<RestoreReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let snapshot = catalog::snapshots(target, &options.job)?.named(&options.job, &options.snapshot)?.clone();
    let selection = Selection::new(&options.paths)?;
    let fault = manifest_fault(target, &options.job, &snapshot.seal)?;
    refuse_delete_by_damaged_record(options, fault.as_deref())?;
    let reader = catalog::open_manifest(target, &options.job, &options.snapshot)?;
    let failed = |source| Error::Manifest { snapshot: options.snapshot.clone(), source };
    let (mut cursor, root) = TreeCursor::open(reader).map_err(failed)?;
    let header = cursor.reader().header().clone();
    refuse_delete_of_excluded(options, &snapshot, &header)?;
    if options.delete {
        // What was gone just then, or could not be named, nobody left out.
        cursor.collect_unstored(options.delete_excluded);
    }
    let tree = open_tree(target, options)?;
    ctx.monitor.phase(Phase::Restoring);
    let roots =
        place::open_places(target, options, &header, &selection, &|| refuse_unknown(target, &snapshot, &selection))?;
    if selection.is_all() {
        ctx.counters.expected_entries.store(snapshot.seal.totals.entries, Ordering::Relaxed);
        ctx.counters.expected_bytes.store(snapshot.seal.totals.bytes, Ordering::Relaxed);
    }
    let protections = guard::protections(options, header.excludes.as_ref())?;
    let digests = DigestLists::open(target, &options.job);
    let shared = Shared::new(*ctx, options, Parts { digests, roots, protections }, ask)?;
    if let Some(fault) = fault {
        let what = format!("{fault}; what it still tells is restored");
        shared.problem(Problem::with_detail(options.snapshot.as_bytes(), ProblemKind::Damaged, what));
    }
    let (sender, chunks) = bounded::<Chunk>(CHUNK_QUEUE);
    let walk = Walk {
        shared: &shared,
        cursor,
        selection,
        bounds: delete::Bounds(place::ids_upwards(&target.root)?),
        owners: metadata::OwnerMap::new(options.numeric_owner),
        chunks: sender,
        is_single: matches!(&header.sources[..], [(folder, _)] if folder.is_empty()),
        path: RelPath::root(),
    };
    let selection = run(&shared, walk, root, tree, chunks);
    let finished = selection.and_then(|selection| {
        tell_missing(&shared, target, &snapshot, &selection)?;
        finish(&shared)
    });
    finished.map_err(|error| no_room(options, &shared.roots, error))?;
    Ok(shared.report(began_ns))
}

/// What the backup left out is not in the snapshot, and would be deleted for that, if nothing tells what that was.
fn refuse_delete_of_excluded(options: &RestoreOptions, snapshot: &Snapshot, header: &Header) -> Result<(), Error> {
    let excluded = snapshot.seal.totals.excluded;
    let is_known = header.excludes.is_some() || !options.protected.is_empty();
    if !options.delete || options.delete_excluded || excluded == 0 || is_known {
        return Ok(());
    }
    let entries = if excluded == 1 { "1 entry".to_owned() } else { format!("{excluded} entries") };
    Err(Error::refused(
        format!("the backup left out {entries} that --delete would remove now"),
        "repeat the backup's exclude options here, and what they name stays; or remove it too with --delete-excluded",
    ))
}

/// By a record that is not whole everything behind its end would count as not in the snapshot.
fn refuse_delete_by_damaged_record(options: &RestoreOptions, fault: Option<&str>) -> Result<(), Error> {
    match fault.filter(|_| options.delete) {
        Some(fault) => Err(Error::refused(
            format!("nothing is deleted by the record of snapshot {}: {fault}", options.snapshot),
            "restore without --delete, or from another snapshot",
        )),
        None => Ok(()),
    }
}

fn open_tree(target: &Target, options: &RestoreOptions) -> Result<Dir, Error> {
    let trees = target.job_dir_if_any(&options.job)?;
    let trees = trees.ok_or_else(|| Error::not_found(format!("there is no job {:?} in this target", options.job)))?;
    Ok(trees.open_dir(options.snapshot.as_bytes())?)
}

/// Runs the walk and the workers to their end.
fn run(
    shared: &Shared<'_>,
    mut walk: Walk<'_, '_>,
    root: crate::manifest::Entry,
    tree: Dir,
    chunks: Receiver<Chunk>,
) -> Result<Selection, Error> {
    let (walked, selection) = std::thread::scope(|scope| {
        let workers = shared.options.workers;
        for _ in 0..if workers == 0 { WORKERS_DEFAULT } else { workers.min(WORKERS_MAX) } {
            let chunks = chunks.clone();
            scope.spawn(move || {
                Error::of_panic_in(|| restore_chunks(shared, &chunks)).unwrap_or_else(|error| shared.fail(error));
            });
        }
        drop(chunks);
        let walked = match Error::of_panic_in(|| walk.run(root, tree)) {
            // What was read of a damaged record is restored before that ends the restore.
            Err(error @ Error::Manifest { .. }) => Err(error),
            Err(error) => {
                shared.fail(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        // Dropping the walk closes the queue: the workers end when it is empty.
        (walked, walk.selection)
    });
    if let Some(error) = shared.take_failure() {
        return Err(error);
    }
    walked?;
    Ok(selection)
}

/// Tells which of the paths that were asked for are not in the snapshot.
fn tell_missing(shared: &Shared<'_>, target: &Target, snapshot: &Snapshot, selection: &Selection) -> Result<(), Error> {
    for path in selection.missing() {
        if !selection.is_any_found() {
            return Err(unknown(target, snapshot, &path));
        }
        let hint = lookup::hint(target, snapshot, &path).map_or(String::new(), |hint| format!("; {hint}"));
        let what = format!("there is no such path in the snapshot{hint}");
        shared.problem(Problem::with_detail(path.as_bytes(), ProblemKind::Missing, what));
    }
    Ok(())
}

/// Returns an error if none of the paths that are asked for is in the snapshot, as far as its record can be read.
fn refuse_unknown(target: &Target, snapshot: &Snapshot, selection: &Selection) -> Result<(), Error> {
    for path in selection.paths() {
        match lookup::look_up(target, snapshot, path) {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Ok(()),
        }
    }
    selection.paths().first().map_or(Ok(()), |path| Err(unknown(target, snapshot, path)))
}

fn unknown(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Error {
    let message = format!("{path} is not in snapshot {} of job {}", snapshot.name, snapshot.job);
    Error::NotFound { message, hint: lookup::hint(target, snapshot, path) }
}

/// A worker's thread.
fn restore_chunks(shared: &Shared<'_>, chunks: &Receiver<Chunk>) -> Result<(), Error> {
    let mut worker = Worker::new(shared);
    for chunk in chunks {
        if shared.is_stopped() {
            break;
        }
        worker.chunk(&chunk)?;
        // If it stopped in between, some of it may be missing: its folder stays unfinished.
        if !shared.is_stopped() {
            folder::release(shared, &chunk.folder)?;
        }
    }
    Ok(())
}

/// Sets what comes last and waits for the disk.
fn finish(shared: &Shared<'_>) -> Result<(), Error> {
    if shared.options.dry_run {
        return Ok(());
    }
    shared.set_late_attributes()?;
    shared.ctx.monitor.phase(Phase::Syncing);
    for root in &shared.roots {
        let Some(dir) = &root.dir else { continue };
        match dir.sync_volume() {
            Err(e) if !matches!(e.fault(), hardback_platform::Faults::Unsupported) => {
                return Err(e.under(&root.path).into());
            }
            _ => {}
        }
    }
    Ok(())
}
