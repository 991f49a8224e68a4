//! What interrupted runs left: a sealed tree is given its name, finished files are offered for taking over, the rest
//! goes.

use super::shared::Adoptable;
use super::walk::Cursor;
use crate::catalog;
use crate::context::Context;
use crate::error::{Error, UnderPath};
use crate::manifest::Reader;
use crate::report::Counters;
use crate::target::trash::{self, IfBusy, TargetLock};
use crate::target::{Target, layout, replace_file};
use crate::verify::manifest_fault;
use hardback_platform::{Dir, Faults, Kind, PathError};
use std::sync::atomic::AtomicU64;

/// Unfinished snapshots that are taken over at most; older ones go to the trash.
const ADOPTABLE_MAX: usize = 3;

/// What recovering found.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) adoptable: Vec<Adoptable>,
    pub(super) cursors: Vec<Cursor>,
    /// Highest generation that an unfinished run had.
    pub(super) generation: u32,
    /// Names in the folder of unfinished snapshots.
    pub(super) names: Vec<Vec<u8>>,
}

/// Looks at what unfinished runs of a job left.
pub(super) fn recover(ctx: &Context<'_>, target: &Target, job: &str) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    if let Some(dir) = target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])? {
        look_at_partials(ctx, target, job, &dir, &mut recovered)?;
    }
    Ok(recovered)
}

/// Removes what is in the trash; a failure costs room, not safety.
pub(super) fn empty_trash(ctx: &Context<'_>, target: &Target) {
    let failures = match trash::empty(target, ctx.cancel, &Counters::default(), IfBusy::Leave, TargetLock::Others) {
        Ok(emptied) => emptied.failures,
        Err(error) => trash::Failures { first: vec![error], count: 1 },
    };
    for error in &failures.first {
        ctx.monitor.notice(&format!("the trash could not be emptied: {error}: {}", error.source));
    }
    if let Some(more) = failures.count.checked_sub(failures.first.len() as u64).filter(|more| *more > 0) {
        ctx.monitor.notice(&format!("{more} more entries of the trash stay"));
    }
}

fn look_at_partials(
    ctx: &Context<'_>,
    target: &Target,
    job: &str,
    dir: &Dir,
    recovered: &mut Recovered,
) -> Result<(), Error> {
    let path = target.ours_path(&[layout::PARTIAL, job.as_bytes()]);
    let listing = dir.list().under(&path)?;
    let mut names: Vec<&[u8]> = listing.iter().filter(|e| e.kind == Kind::Dir).map(|e| e.name).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    for name in names {
        let partial = match dir.open_dir(name) {
            // Another user's run: it stays for that user.
            Err(e) if e.fault() == Faults::Denied => {
                ctx.monitor.notice(&format!("an unfinished snapshot is left alone: {e}: {}", e.source));
                continue;
            }
            other => other.under(&path)?,
        };
        let is_published = publish_if_sealed(ctx, target, job, name, &partial)?;
        let may_adopt = !is_published && recovered.cursors.len() < ADOPTABLE_MAX;
        let offered = if may_adopt { adoptable(&partial) } else { None };
        // Windows renames no folder that is open.
        drop(partial);
        if is_published {
            ctx.monitor.notice(&format!(
                "snapshot {} of an interrupted run was complete and has its name now",
                String::from_utf8_lossy(name)
            ));
            trash::move_to_trash(target, dir, name)?;
            continue;
        }
        match offered {
            Some((adoptable, cursor)) => {
                recovered.generation = recovered.generation.max(adoptable.generation);
                recovered.adoptable.push(adoptable);
                recovered.cursors.push(cursor);
                recovered.names.push(name.to_vec());
            }
            None => trash::move_to_trash(target, dir, name)?,
        }
    }
    Ok(())
}

/// Gives a tree its name if its run was interrupted between its seal and its last rename: then it is complete, as
/// everything was synced before the seal was written. If it was interrupted before, its record is taken back from
/// where sealing put it, so that its files can be taken over.
fn publish_if_sealed(ctx: &Context<'_>, target: &Target, job: &str, name: &[u8], partial: &Dir) -> Result<bool, Error> {
    let Ok(snapshot) = std::str::from_utf8(name) else { return Ok(false) };
    let in_manifests = target.ours_path(&[layout::MANIFESTS, job.as_bytes()]);
    match partial.stat(layout::PARTIAL_TREE) {
        // It has its name, or never came to be.
        Err(e) if e.fault() == Faults::Vanished => return Ok(false),
        other => other.under(&target.ours_path(&[layout::PARTIAL, job.as_bytes(), name]))?,
    };
    let Some(manifests) = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])? else { return Ok(false) };
    let seal_name = layout::seal_name(snapshot);
    let bytes = match manifests.open_file(&seal_name) {
        Ok(file) => Some(file.read_to_vec(catalog::SEAL_BYTES_MAX).under(&seal_name).under(&in_manifests)?),
        Err(e) if e.fault() == Faults::Vanished => None,
        Err(e) => return Err(e.under(&in_manifests).into()),
    };
    let seal = bytes.as_deref().and_then(catalog::whole_seal);
    match (seal, &bytes) {
        (Some(seal), Some(bytes)) if seal.snapshot == snapshot && manifest_fault(target, job, &seal)?.is_none() => {
            // The run may have died before its seal was on the disk.
            replace_file(&manifests, &seal_name, bytes).under(&in_manifests)?;
            let trees = target.root.open_dir(job.as_bytes()).under(&target.shown_path(&[]))?;
            let in_trees = target.shown_path(&[job.as_bytes()]);
            partial.rename_new(layout::PARTIAL_TREE, &trees, name).under(&in_trees)?;
            trees.sync().under(&in_trees)?;
            super::seal::point_latest(ctx, target, &trees, snapshot);
            Ok(true)
        }
        (_, bytes) => {
            if bytes.is_some() {
                manifests.unlink(&seal_name).under(&in_manifests)?;
            }
            let in_partial = target.ours_path(&[layout::PARTIAL, job.as_bytes(), name]);
            take_back(target, job, snapshot, &manifests, partial).under(&in_partial)?;
            Ok(false)
        }
    }
}

/// Takes the record of a run that was cut off while it was sealed back into its folder.
fn take_back(target: &Target, job: &str, snapshot: &str, manifests: &Dir, partial: &Dir) -> Result<(), Error> {
    match manifests.rename_new(&layout::manifest_name(snapshot), partial, layout::PARTIAL_MANIFEST) {
        Err(e) if !matches!(e.fault(), Faults::Vanished | Faults::Exists) => return Err(e.into()),
        _ => {}
    }
    let Some(generation) = generation_of(partial) else { return Ok(()) };
    let Some(lists) = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()])? else { return Ok(()) };
    let seals = catalog::seals(target, job)?;
    // A seal that cannot be read may be the one that the list belongs to.
    if !seals.broken.is_empty() || seals.whole.iter().any(|seal| seal.generation == generation) {
        return Ok(());
    }
    match lists.rename_new(&layout::digests_name(generation), partial, layout::PARTIAL_DIGESTS) {
        Err(e) if !matches!(e.fault(), Faults::Vanished | Faults::Exists) => Err(e.into()),
        _ => Ok(()),
    }
}

fn generation_of(partial: &Dir) -> Option<u32> {
    let reader = Reader::open(partial.open_file(layout::PARTIAL_MANIFEST).ok()?).ok()?;
    Some(reader.header().generation)
}

/// Opens what can be taken over; `None` where there is no record that can be read.
fn adoptable(partial: &Dir) -> Option<(Adoptable, Cursor)> {
    let reader = Reader::open(partial.open_file(layout::PARTIAL_MANIFEST).ok()?).ok()?;
    let generation = reader.header().generation;
    let (cursor, _) = Cursor::open_lenient(reader).ok()?;
    let tree = partial.open_dir(layout::PARTIAL_TREE).ok()?;
    let digests = partial.open_file(layout::PARTIAL_DIGESTS).ok()?;
    Some((Adoptable { generation, tree, digests, settled: AtomicU64::new(0) }, cursor))
}

/// Throws away what runs left, after a run was sealed or has what they stored.
pub(super) fn discard<'a>(target: &Target, job: &str, names: impl Iterator<Item = &'a [u8]>) -> Result<(), PathError> {
    let Some(dir) = target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])? else { return Ok(()) };
    for name in names {
        trash::move_to_trash(target, &dir, name)?;
    }
    Ok(())
}

/// Tells with a full target what it lacks, and how many unfinished snapshots hold room there, beside that of the run.
pub(super) fn with_unfinished(target: &Target, error: Error) -> Error {
    match error {
        Error::Path(error) if error.fault() == Faults::Full => {
            let lacks_entries = target.root.free_space().is_ok_and(|space| space.lacks_entries());
            match unfinished(target).saturating_sub(1) {
                0 if !lacks_entries => error.into(),
                unfinished => {
                    Error::Full { message: error.to_string(), lacks_entries, unfinished, source: error.source }
                }
            }
        }
        error => error,
    }
}

/// Counts the unfinished snapshots of all jobs that can be seen.
fn unfinished(target: &Target) -> usize {
    let Ok(Some(dir)) = target.ours_dir_if_any(&[layout::PARTIAL]) else { return 0 };
    let Ok(jobs) = dir.list() else { return 0 };
    jobs.iter().filter_map(|job| dir.open_dir(job.name).ok()?.list().ok()).map(|listing| listing.len()).sum()
}
