//! Finds out by trying what a target can do. Limits that cannot be tried come with the kind of its file system.

use super::shared::{Ignored, TargetFacts, TimeStep};
use crate::error::{Error, UnderPath};
use crate::job::{BackupOptions, Job};
use crate::report::TIME_STEP_NS_MAX;
use crate::system::path_bytes;
use crate::target::Target;
use hardback_platform::{
    Dir, Faults, FileWrite, Metadata, Owner, PathError, Seam, Time, VolumeKind, Xattrs, is_privileged, ntfs,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const PROBE: &[u8] = b"probe";
const PROBE_LINK: &[u8] = b"probe-link";
const PROBE_DIR: &[u8] = b"probe-dir";
/// A mode that no volume has by default.
const PROBE_MODE: u32 = 0o606;
/// Another one.
const PROBE_MODE_2: u32 = 0o640;
/// An owner that is nobody's.
const PROBE_OWNER: Owner = Owner { uid: 54_321, gid: 54_322 };
/// Times with an odd second and all digits, from 1970 on and before.
const PROBE_TIMES: [Time; 2] =
    [Time { seconds: 1_600_000_001, nanos: 123_456_789 }, Time { seconds: -1_000_000_001, nanos: 123_456_789 }];
/// Steps in which volumes keep times: NTFS 100 ns, exFAT 10 ms, FAT 2 s.
const TIME_STEPS_NS: [u64; 7] = [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, TIME_STEP_NS_MAX];
/// An access list that says more than a mode: one more user may read.
const PROBE_ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x31\xd4\0\0\x04\0\x04\0\xff\xff\xff\xff\
\x10\0\x06\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
/// Attributes of all kinds: how their names begin, and one to try.
const PROBE_XATTRS: [(&[u8], &[u8], &[u8]); 4] = [
    (b"user.", b"user.hardback.probe", b"probe"),
    (b"trusted.", b"trusted.hardback.probe", b"probe"),
    (b"security.", b"security.hardback.probe", b"probe"),
    (b"system.posix_acl_", b"system.posix_acl_access", PROBE_ACL),
];

/// Tries the target in the folder of the unfinished snapshot.
pub(super) fn probe(dir: &Dir, options: &BackupOptions) -> Result<TargetFacts, Error> {
    let traits = dir.volume()?;
    let file = dir.create_file(PROBE, PROBE_MODE)?;
    let made = file.metadata()?;
    let keeps_ntfs = ntfs_is_kept(&file)?;
    let ignored = find_ignored(dir, &file, keeps_ntfs)?;
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
        ignored,
        windows_names: traits.kind == VolumeKind::Ntfs,
        keeps_ntfs,
        links_max: options.max_links.or(traits.links_max),
        no_clone: AtomicBool::new(false),
        volume_sync,
    })
}

/// Finds out by reading back what the target only pretends to keep. What it refuses is not ignored: it is tried for each
/// entry and told.
fn find_ignored(dir: &Dir, file: &FileWrite, keeps_ntfs: bool) -> Result<Ignored, Error> {
    let mut ignored = Ignored::default();
    for mode in [PROBE_MODE_2, PROBE_MODE] {
        if was_taken(file.set_mode(mode))? && file.metadata()?.mode != Some(mode) {
            dir.make_dir(PROBE_DIR, PROBE_MODE)?;
            let of_dirs = dir.stat(PROBE_DIR)?.mode;
            dir.remove_dir(PROBE_DIR)?;
            ignored.modes = Some([file.metadata()?.mode, of_dirs]);
            break;
        }
    }
    for (step, time) in ignored.time_steps_ns.iter_mut().zip(PROBE_TIMES) {
        if was_taken(file.set_mtime(time))? {
            *step = time_step(time, &file.metadata()?);
        }
    }
    let mut taken = Vec::new();
    for (prefix, name, value) in PROBE_XATTRS {
        if was_taken(file.set_xattr(name, value))? {
            taken.push((prefix, name));
        }
    }
    if !keeps_ntfs {
        ignored.xattrs.push(ntfs::PREFIX);
    } else if !is_privileged() {
        // Who is not may lose the right to link and to remove what others may only read.
        ignored.xattrs.push(ntfs::ACL);
    }
    let kept = if taken.is_empty() { Xattrs::new() } else { dir.xattrs(PROBE)? };
    let is_kept = |name: &[u8]| kept.iter().any(|(n, _)| n == name);
    ignored.xattrs.extend(taken.into_iter().filter(|(_, name)| !is_kept(name)).map(|(prefix, _)| prefix));
    // Last: who is not root may not be able to do any more with it.
    ignored.owners = was_taken(file.set_owner(PROBE_OWNER))? && file.metadata()?.owner != Some(PROBE_OWNER);
    Ok(ignored)
}

/// Returns whether the target keeps what NTFS has.
fn ntfs_is_kept(file: &FileWrite) -> Result<bool, Error> {
    was_taken(file.set_xattr(ntfs::ATTRIBUTES, &ntfs::ARCHIVE.to_be_bytes()))
}

/// Returns whether a call succeeded; a refusal is an answer, a failing target an error.
fn was_taken(result: Result<(), PathError>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.fault(), Faults::Io | Faults::ReadOnly) => Err(e.into()),
        Err(e) if e.source.kind() == std::io::ErrorKind::Interrupted => Err(e.into()),
        Err(_) => Ok(false),
    }
}

fn time_step(set: Time, found: &Metadata) -> TimeStep {
    let ns = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let lost = (ns(set) - ns(found.mtime)).unsigned_abs();
    TIME_STEPS_NS.into_iter().find(|step| lost < u128::from(*step)).map_or(TimeStep::Never, TimeStep::Ns)
}

/// Facts for a dry run, which tries nothing.
pub(super) fn assumed(options: &BackupOptions) -> TargetFacts {
    TargetFacts {
        links: true,
        default_owner: None,
        exact_modes: true,
        ignored: Ignored::default(),
        windows_names: false,
        keeps_ntfs: true,
        links_max: options.max_links,
        no_clone: AtomicBool::new(true),
        volume_sync: true,
    }
}

/// Returns an error if a source and the target lie in one another, or on one volume without leave.
pub(super) fn check_places(target: &Target, roots: &[(String, Dir)], job: &Job) -> Result<(), Error> {
    super::elsewhere::check(job)?;
    for (path, root) in roots {
        check_apart(&target.root, &target.path, path, root, &job.options)?;
        if is_above(&target.root, root).under(path.as_bytes())? {
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
    super::elsewhere::check(job)?;
    let near = [Some(target), target.parent().filter(|path| !path.as_os_str().is_empty())];
    let existing = near.into_iter().flatten().find_map(|path| Dir::open(path, Seam::default()).ok());
    let Some(existing) = existing else {
        // A mistyped path or a disk that is not mounted: making the target says so, where it is to be made.
        return Ok(());
    };
    for (path, root) in super::open_sources(job)? {
        check_apart(&existing, target, &path, &root, &job.options)?;
    }
    Ok(())
}

/// A target may be below a source only on another volume that the walk stays out of: `backup -x / /mnt/disk`.
fn check_apart(target: &Dir, target_path: &Path, path: &str, root: &Dir, options: &BackupOptions) -> Result<(), Error> {
    let (in_target, in_source) = (path_bytes(target_path), path.as_bytes());
    let source_id = root.metadata().under(in_source)?.id;
    let target_id = target.metadata().under(&in_target)?.id;
    let stays_out = options.one_file_system && source_id.volume != target_id.volume;
    if source_id == target_id || (!stays_out && is_above(root, target).under(&in_target)?) {
        return Err(inside_source(path, source_id.volume != target_id.volume));
    }
    let pool = target.volume().under(&in_target)?.pool;
    let pool_of_source = root.volume().under(in_source)?.pool;
    let same_disk = source_id.volume == target_id.volume || (pool.is_some() && pool == pool_of_source);
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
