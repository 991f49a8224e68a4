//! What interrupted runs left: a sealed tree is given its name, finished files are offered for taking over, the rest
//! goes.

use super::shared::Adoptable;
use super::walk::Cursor;
use crate::context::Context;
use crate::error::Error;
use crate::manifest::{Reader, Seal};
use crate::target::{Target, layout, trash};
use hardback_platform::{Dir, Faults, Kind};

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
    let Some(dir) = target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])? else { return Ok(recovered) };
    let listing = dir.list()?;
    let mut names: Vec<&[u8]> = listing.iter().filter(|e| e.kind == Kind::Dir).map(|e| e.name).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    for name in names {
        let partial = dir.open_dir(name)?;
        if publish_if_sealed(target, job, name, &partial)? {
            ctx.monitor.notice(&format!(
                "snapshot {} of an interrupted run was complete and has its name now",
                String::from_utf8_lossy(name)
            ));
            trash::move_to_trash(target, &dir, name)?;
            continue;
        }
        match adoptable(&partial).filter(|_| recovered.cursors.len() < ADOPTABLE_MAX) {
            Some((adoptable, cursor)) => {
                recovered.generation = recovered.generation.max(adoptable.generation);
                recovered.adoptable.push(adoptable);
                recovered.cursors.push(cursor);
                recovered.names.push(name.to_vec());
            }
            None => trash::move_to_trash(target, &dir, name)?,
        }
    }
    Ok(recovered)
}

/// A run that was interrupted between its seal and its last rename is complete: everything was synced before the seal
/// was written.
fn publish_if_sealed(target: &Target, job: &str, name: &[u8], partial: &Dir) -> Result<bool, Error> {
    let Ok(snapshot) = std::str::from_utf8(name) else { return Ok(false) };
    let Some(manifests) = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])? else { return Ok(false) };
    let seal_name = layout::seal_name(snapshot);
    let bytes = match manifests.open_file(&seal_name) {
        Ok(file) => file.read_to_vec(1 << 20)?,
        Err(e) if e.fault() == Faults::Vanished => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    let seal = std::str::from_utf8(&bytes).ok().and_then(Seal::from_text).filter(|s| s.snapshot == snapshot);
    let Some(seal) = seal else {
        // Cut off while it was written: the snapshot was not sealed.
        manifests.unlink(&seal_name)?;
        return Ok(false);
    };
    if !is_whole(&manifests, snapshot, &seal)? || partial.stat(layout::PARTIAL_TREE).is_err() {
        return Ok(false);
    }
    let trees = target.root.open_dir(job.as_bytes())?;
    partial.rename_new(layout::PARTIAL_TREE, &trees, name)?;
    trees.sync()?;
    super::seal::point_latest(target, &trees, snapshot)?;
    Ok(true)
}

/// Returns whether the manifest is what its seal says.
fn is_whole(manifests: &Dir, snapshot: &str, seal: &Seal) -> Result<bool, Error> {
    let file = match manifests.open_file(&layout::manifest_name(snapshot)) {
        Err(e) if e.fault() == Faults::Vanished => return Ok(false),
        other => other?,
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let n = file.read_full_at(&mut buffer, at)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        at += n as u64;
    }
    Ok(at == seal.manifest_bytes && *hasher.finalize().as_bytes() == seal.manifest)
}

/// Opens what can be taken over; `None` where there is no record that can be read.
fn adoptable(partial: &Dir) -> Option<(Adoptable, Cursor)> {
    let reader = Reader::open(partial.open_file(layout::PARTIAL_MANIFEST).ok()?).ok()?;
    let generation = reader.header().generation;
    let (cursor, _) = Cursor::open_lenient(reader).ok()?;
    let tree = partial.open_dir(layout::PARTIAL_TREE).ok()?;
    let digests = partial.open_file(layout::PARTIAL_DIGESTS).ok()?;
    Some((Adoptable { generation, tree, digests }, cursor))
}

/// Throws away what unfinished runs left, after a run was sealed.
pub(super) fn discard(target: &Target, job: &str, names: &[Vec<u8>]) -> Result<(), Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])? else { return Ok(()) };
    for name in names {
        trash::move_to_trash(target, &dir, name)?;
    }
    Ok(())
}
