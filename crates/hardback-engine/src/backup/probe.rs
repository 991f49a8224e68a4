//! Finds out by trying what a target can do. Limits that cannot be tried come with the kind of its file system.

use super::shared::TargetFacts;
use crate::error::Error;
use crate::job::{BackupOptions, Job};
use hardback_platform::{Dir, Faults, PathError, Seam, VolumeKind};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const PROBE: &[u8] = b"probe";
const PROBE_LINK: &[u8] = b"probe-link";
/// A mode that no volume has by default.
const PROBE_MODE: u32 = 0o606;

/// Tries the target in the folder of the unfinished snapshot.
pub(super) fn probe(dir: &Dir, options: &BackupOptions) -> Result<TargetFacts, Error> {
    let traits = dir.volume()?;
    let file = dir.create_file(PROBE, PROBE_MODE)?;
    let made = file.metadata()?;
    drop(file);
    let links = match dir.link(PROBE, dir, PROBE_LINK) {
        Ok(()) => {
            // A file system that "links" by copying shares nothing.
            let shared = dir.stat(PROBE)?.id == dir.stat(PROBE_LINK)?.id;
            dir.unlink(PROBE_LINK)?;
            shared
        }
        Err(e) if matches!(e.fault(), Faults::Denied | Faults::Unsupported | Faults::TooManyLinks) => false,
        Err(e) => return Err(e.into()),
    };
    dir.unlink(PROBE)?;
    let volume_sync = match dir.sync_volume() {
        // A file system in user space or across a network may answer without having asked its server.
        Ok(()) => !matches!(traits.kind, VolumeKind::Fuse | VolumeKind::Network),
        Err(e) if e.fault() == Faults::Unsupported || e.fault() == Faults::Denied => false,
        Err(e) => return Err(e.into()),
    };
    Ok(TargetFacts {
        links,
        default_owner: made.owner,
        exact_modes: made.mode == Some(PROBE_MODE),
        // A umask takes bits away; only a volume that makes modes up adds some.
        made_up_mode: made.mode.filter(|mode| mode & !PROBE_MODE != 0),
        links_max: options.max_links.or(traits.links_max),
        no_clone: AtomicBool::new(false),
        volume_sync,
    })
}

/// Facts for a dry run, which tries nothing.
pub(super) fn assumed(options: &BackupOptions) -> TargetFacts {
    TargetFacts {
        links: true,
        default_owner: None,
        exact_modes: true,
        made_up_mode: None,
        links_max: options.max_links,
        no_clone: AtomicBool::new(true),
        volume_sync: true,
    }
}

/// Returns an error if a source and the target lie in one another, or on one volume without leave.
pub(super) fn check_places(target: &Dir, roots: &[(String, Dir)], options: &BackupOptions) -> Result<(), Error> {
    for (path, root) in roots {
        check_apart(target, path, root, options)?;
        if is_above(target, root)? {
            return Err(Error::refused(
                format!("the source {path} is inside the target"),
                "snapshots are never backed up into their own target; choose another source",
            ));
        }
    }
    Ok(())
}

/// Refuses a place for a target that [`check_places`] would refuse, before anything is made there: looks at the folder
/// that is there or at the nearest one above it.
pub fn check_new_target(job: &Job, target: &Path) -> Result<(), Error> {
    let existing = target.ancestors().find_map(|path| Dir::open(path, Seam::default()).ok());
    let Some(existing) = existing else { return Ok(()) };
    for (path, root) in super::open_sources(job)? {
        check_apart(&existing, &path, &root, &job.options)?;
    }
    Ok(())
}

/// A target may be below a source only on another volume that the walk stays out of: `backup -x / /mnt/disk`.
fn check_apart(target: &Dir, path: &str, root: &Dir, options: &BackupOptions) -> Result<(), Error> {
    let (source_id, target_id) = (root.metadata()?.id, target.metadata()?.id);
    let stays_out = options.one_file_system && source_id.volume != target_id.volume;
    if source_id == target_id || (!stays_out && is_above(root, target)?) {
        return Err(inside_source(path, source_id.volume != target_id.volume));
    }
    let pool = target.volume()?.pool;
    let same_disk = source_id.volume == target_id.volume || (pool.is_some() && pool == root.volume()?.pool);
    if same_disk && !options.same_disk { Err(same_volume(path)) } else { Ok(()) }
}

fn inside_source(path: &str, other_volume: bool) -> Error {
    let hint = if other_volume {
        "stay out of other volumes with --one-file-system, or choose another target"
    } else {
        "a backup inside what it backs up grows without end; choose another target"
    };
    Error::refused(format!("the target is inside the source {path}"), hint)
}

fn same_volume(path: &str) -> Error {
    Error::refused(
        format!("the target is on the same volume as the source {path}"),
        "a disk that dies takes both; use another disk, or allow it with --same-disk",
    )
}

/// Returns whether a directory is above another, by going up from that one.
fn is_above(above: &Dir, below: &Dir) -> Result<bool, PathError> {
    let wanted = above.metadata()?.id;
    let mut dir = below.try_clone()?;
    loop {
        let here = dir.metadata()?.id;
        let parent = dir.parent()?;
        let up = parent.metadata()?.id;
        if up == wanted {
            return Ok(here != wanted);
        }
        if up == here {
            return Ok(false);
        }
        dir = parent;
    }
}
