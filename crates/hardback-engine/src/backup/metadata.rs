//! Giving entries in the new tree the metadata of the source's, as far as the target can hold it.

use super::shared::{Shared, TimeStep};
use crate::error::Error;
use crate::manifest::Entry;
use crate::report::LimitationKind;
use hardback_platform::{Dir, Faults, FileWrite, Kind, Metadata, PathError, ntfs};

/// Makes the manifest's entry from what the source says.
pub(crate) fn entry_of(name: &[u8], metadata: &Metadata, reliable_ctime: bool, stable_ids: bool) -> Entry {
    let mut entry = Entry::new(name, metadata.kind);
    entry.size_bytes = if metadata.kind == Kind::File { metadata.size_bytes } else { 0 };
    entry.mtime = metadata.mtime;
    entry.inode = stable_ids.then_some(metadata.id.file);
    entry.ctime = metadata.ctime.filter(|_| reliable_ctime && stable_ids);
    entry.nlink = metadata.nlink;
    entry.mode = metadata.mode;
    entry.owner = metadata.owner;
    if metadata.attributes.0 != 0 {
        entry.extra_mut().attributes = metadata.attributes;
    }
    if metadata.raw_of.is_some() {
        entry.extra_mut().raw_of = metadata.raw_of;
    }
    if metadata.device.is_some() {
        entry.extra_mut().device = metadata.device;
    }
    entry
}

/// Bits by which a program runs as its owner and group; without the owner they are not set.
pub(crate) const SET_ID_BITS: u32 = 0o6000;

/// An entry of the new tree whose metadata is set: an open file, or a name in a folder (empty: the folder itself).
pub(super) enum Place<'a> {
    File(&'a FileWrite),
    Name(&'a Dir, &'a [u8]),
}

impl Place<'_> {
    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), PathError> {
        match self {
            Place::File(file) => file.set_xattr(name, value),
            Place::Name(dir, at) => dir.set_xattr(at, name, value),
        }
    }
}

/// Compresses a new file or folder of an NTFS, if it is to be, before anything is in it.
pub(super) fn apply_early(shared: &Shared<'_>, place: &Place<'_>, entry: &Entry) {
    let early = ntfs::attributes_in(entry.xattrs()) & ntfs::COMPRESSED;
    if early != 0 && shared.target.keeps_ntfs {
        // What is refused is seen when all attributes are set.
        place.set_xattr(ntfs::ATTRIBUTES, &early.to_be_bytes()).ok();
    }
}

/// Sets owner, extended attributes, mode and time, in the order in which none undoes another. What the target only
/// pretends to keep is a limitation at once.
pub(super) fn apply(
    shared: &Shared<'_>,
    place: &Place<'_>,
    entry: &Entry,
    path: &dyn Fn() -> Vec<u8>,
) -> Result<(), Error> {
    let new_file = matches!(place, Place::File(_));
    let limit = |kind, result: Result<(), PathError>| limited(shared, kind, path, result);
    let ignored = &shared.target.ignored;
    tell_ignored(shared, entry, path);
    let chown = entry.owner.is_some() && entry.owner != shared.target.default_owner;
    let mut owner_kept = !(chown && ignored.owners);
    if chown
        && owner_kept
        && let Some(owner) = entry.owner
    {
        let result = match place {
            Place::File(file) => file.set_owner(owner),
            Place::Name(dir, name) => dir.set_owner(name, owner),
        };
        owner_kept = result.is_ok();
        limit(LimitationKind::Owners, result)?;
    }
    let kept = || ntfs::to_set(entry.kind, entry.xattrs()).filter(|(name, _)| !ignored.ignores_xattr(name));
    for (name, value) in kept().filter(|(name, _)| !ntfs::is_late(name)) {
        limit(LimitationKind::Xattrs, place.set_xattr(name, value))?;
    }
    if let Some(mode) = entry.mode.filter(|_| entry.kind.has_mode() && ignored.modes.is_none()) {
        // What runs as its owner must not run as whoever made the backup.
        let mode = if owner_kept { mode } else { mode & !SET_ID_BITS };
        let as_created = new_file && shared.target.exact_modes && mode & 0o7000 == 0 && entry.xattrs().is_empty();
        if !as_created {
            let result = match place {
                Place::File(file) => file.set_mode(mode),
                Place::Name(dir, name) => dir.set_mode(name, mode),
            };
            limit(LimitationKind::Modes, result)?;
        }
    }
    let result = match place {
        Place::File(file) => file.set_mtime(entry.mtime),
        Place::Name(dir, name) => dir.set_mtime(name, entry.mtime),
    };
    limit(LimitationKind::Times, result)?;
    for (name, value) in kept().filter(|(name, _)| ntfs::is_late(name)) {
        limit(LimitationKind::Xattrs, place.set_xattr(name, value))?;
    }
    Ok(())
}

/// Counts what an entry loses because the target takes it and does not keep it.
pub(super) fn tell_ignored(shared: &Shared<'_>, entry: &Entry, path: &dyn Fn() -> Vec<u8>) {
    let ignored = &shared.target.ignored;
    let lost = |kind, what: &str| shared.limitation(kind, path, what);
    if ignored.owners && entry.owner.is_some() && entry.owner != shared.target.default_owner {
        lost(LimitationKind::Owners, "they are taken and ignored");
    }
    let mode = entry.mode.filter(|_| entry.kind.has_mode());
    if ignored.modes.is_some_and(|all| mode.is_some() && mode != all[usize::from(entry.is_dir())]) {
        lost(LimitationKind::Modes, "they are taken and ignored");
    }
    if let Some((name, _)) = entry.xattrs().iter().find(|(name, _)| ignored.ignores_xattr(name)) {
        let what = format!("{} is not kept", hardback_platform::path::display(name));
        lost(LimitationKind::Xattrs, &what);
    }
    match ignored.time_steps_ns[usize::from(entry.mtime.seconds < 0)] {
        TimeStep::Ns(1) => {}
        TimeStep::Ns(step_ns) => {
            let ns = i128::from(entry.mtime.seconds) * 1_000_000_000 + i128::from(entry.mtime.nanos);
            if ns.rem_euclid(i128::from(step_ns)) != 0 {
                lost(LimitationKind::TimeSteps, &format!("steps of {step_ns} nanoseconds"));
            }
        }
        TimeStep::Never => lost(LimitationKind::Times, "they are taken and ignored"),
    }
}

/// Turns "the target cannot" into a limitation; a failing target stays an error.
pub(super) fn limited(
    shared: &Shared<'_>,
    kind: LimitationKind,
    path: &dyn Fn() -> Vec<u8>,
    result: Result<(), PathError>,
) -> Result<(), Error> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => match error.fault() {
            // No room for an attribute is the attribute's limit on ext4 and btrfs, and the disk's on none.
            Faults::Full if kind == LimitationKind::Xattrs => {
                shared.limitation(kind, path, &error.source);
                Ok(())
            }
            Faults::Io | Faults::ReadOnly | Faults::Full => Err(error.under(&path()).into()),
            _ => {
                shared.limitation(kind, path, &error.source);
                Ok(())
            }
        },
    }
}
