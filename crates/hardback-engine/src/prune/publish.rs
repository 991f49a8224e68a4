//! Taking a snapshot out of sight: its tree goes to the trash by one rename, and with it the snapshot is gone; then its
//! record follows. Whatever is left by a crash between has no tree, so it is no snapshot, and the next pruning clears it.

use super::{Run, State};
use crate::catalog::{self, Snapshot};
use crate::error::{Error, UnderPath};
use crate::notes;
use crate::target::{layout, trash};
use hardback_platform::{Dir, Faults, PathError};

/// Renames the tree of a snapshot into the trash. Nothing else of it is touched before that is on the disk.
pub(super) fn take_out_of_sight(run: &Run<'_>, snapshot: &Snapshot) -> Result<(), Error> {
    let (target, job) = (run.target, run.job);
    let Some(trees) = target.job_dir_if_any(job)? else { return Ok(()) };
    let rename = || trash::move_to_trash(target, &trees, snapshot.name.as_bytes());
    let moved = match rename() {
        // A quota of Btrfs has not even room for a rename, but lets names be removed. What an unfinished snapshot has
        // stored is at the source too.
        Err(error) if error.fault() == Faults::Full => {
            let seals = catalog::seals(target, job)?;
            // One that is sealed lacks only its name.
            let is_sealed = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| seals.has(name));
            let partials = [layout::PARTIAL, job.as_bytes()];
            let emptied = trash::remove_in_place(target, &partials, run.ctx.cancel, &is_sealed)?;
            if emptied.entries == 0 {
                return Err(error.into());
            }
            run.ctx.monitor.notice("the target is so full that an unfinished snapshot was removed: it is begun anew");
            target.root.sync_volume().ok();
            rename()
        }
        other => other,
    };
    Ok(moved.under(&target.shown_path(&[job.as_bytes()]))?)
}

/// Brings the renames to the disk, then removes what belonged to the snapshots that are gone.
pub(super) fn settle(run: &Run<'_>, gone: &[Snapshot]) -> Result<(), Error> {
    let (target, job) = (run.target, run.job.as_bytes());
    if let Some(trees) = target.job_dir_if_any(run.job)? {
        trees.sync().under(&target.shown_path(&[job]))?;
    }
    target.ours_dir(&[layout::TRASH])?.sync().under(&target.ours_path(&[layout::TRASH]))?;
    for snapshot in gone {
        remove_record(run, &snapshot.name)?;
    }
    remove_digest_lists(run)
}

/// Clears what earlier prunings, or people who deleted a snapshot's folder, left: records and notes without a tree.
pub(super) fn clear_leftovers(run: &Run<'_>, state: &State) -> Result<(), Error> {
    let (target, job) = (run.target, run.job.as_bytes());
    let Some(manifests) = target.ours_dir_if_any(&[layout::MANIFESTS, job])? else { return Ok(()) };
    let path = target.ours_path(&[layout::MANIFESTS, job]);
    let trees = target.job_dir_if_any(run.job)?;
    // Where all are gone, somebody has moved the job's folder, and may move it back.
    if state.snapshots.sealed.is_empty() {
        return Ok(());
    }
    let mut cleared = false;
    for entry in manifests.list().under(&path)?.iter() {
        let Some(name) = layout::snapshot_of_seal(entry.name).or_else(|| layout::snapshot_of_manifest(entry.name))
        else {
            continue;
        };
        if is_there(trees.as_ref(), name).under(&target.shown_path(&[job]))? || is_unfinished(run, name)? {
            continue;
        }
        // A pinned one is wanted: it may only be elsewhere for a while.
        if state.notes.of(name).stays() {
            continue;
        }
        remove_record(run, name)?;
        cleared = true;
    }
    let notes = target.ours_dir_if_any(&[layout::NOTES, job])?;
    for name in state.notes.names() {
        if let Some(notes) = &notes
            && !state.notes.of(name).stays()
            && !is_there(trees.as_ref(), name).under(&target.shown_path(&[job]))?
        {
            notes::remove(notes, name).under(&target.ours_path(&[layout::NOTES, job]))?;
        }
    }
    if cleared { remove_digest_lists(run) } else { Ok(()) }
}

/// Returns whether the folder of a job has an entry of this name, whatever it is.
fn is_there(trees: Option<&Dir>, name: &str) -> Result<bool, PathError> {
    match trees.map(|trees| trees.stat(name.as_bytes())) {
        None => Ok(false),
        Some(Err(e)) if e.fault() == Faults::Vanished => Ok(false),
        Some(other) => other.map(|_| true),
    }
}

/// Returns whether a run was interrupted between its seal and the last rename: the next one gives the tree its name.
fn is_unfinished(run: &Run<'_>, name: &str) -> Result<bool, Error> {
    let names = [layout::PARTIAL, run.job.as_bytes(), name.as_bytes(), layout::PARTIAL_TREE];
    Ok(run.target.ours_dir_if_any(&names)?.is_some())
}

/// Removes manifest, seal and note of a snapshot whose tree is gone. The seal first: without it the rest is nothing.
fn remove_record(run: &Run<'_>, name: &str) -> Result<(), Error> {
    let (target, job) = (run.target, run.job.as_bytes());
    if let Some(manifests) = target.ours_dir_if_any(&[layout::MANIFESTS, job])? {
        for name in [layout::seal_name(name), layout::manifest_name(name)] {
            manifests.unlink(&name).or_else(trash::unless_gone).under(&target.ours_path(&[layout::MANIFESTS, job]))?;
        }
    }
    if let Some(dir) = target.ours_dir_if_any(&[layout::NOTES, job])? {
        notes::remove(&dir, name).under(&target.ours_path(&[layout::NOTES, job]))?;
    }
    Ok(())
}

/// Removes the digest lists that no snapshot refers to any more. While a seal cannot be read nobody knows which these
/// are.
fn remove_digest_lists(run: &Run<'_>) -> Result<(), Error> {
    let (target, job) = (run.target, run.job.as_bytes());
    let seals = catalog::seals(target, run.job)?;
    let Some(lists) = target.ours_dir_if_any(&[layout::DIGESTS, job])? else { return Ok(()) };
    let path = target.ours_path(&[layout::DIGESTS, job]);
    let highest = seals.whole.iter().map(|seal| seal.generation).max();
    for entry in lists.list().under(&path)?.iter() {
        let Some(generation) = layout::generation_of_digests(entry.name) else { continue };
        let is_wanted = !seals.broken.is_empty()
            // What is newer is of a run that has no seal yet.
            || highest.is_none_or(|highest| generation >= highest)
            || seals.whole.iter().any(|s| s.generation == generation || s.generations.contains(&generation));
        if !is_wanted {
            lists.unlink(entry.name).or_else(trash::unless_gone).under(&path)?;
        }
    }
    Ok(())
}
