//! Giving restored entries the metadata of the snapshot's, as far as the place can hold it.

use super::folder::Folder;
use super::shared::Shared;
use crate::manifest::{Entry, OwnerNames};
use crate::problem::{Problem, ProblemKind};
use crate::report::LimitationKind;
use hardback_platform::{Attributes, Dir, FileWrite, Kind, Metadata, Owner, PathError, ntfs};
use std::collections::HashMap;

/// Mode of a file of ours that is not whole: no file has it by chance, and nobody can read it meanwhile.
pub(super) const UNFINISHED_FILE: u32 = 0o1000;
/// Mode of a folder of ours that is not whole.
pub(super) const UNFINISHED_FOLDER: u32 = 0o1700;
/// Bits that a file must have before it gets its first byte.
const EARLY: u32 = Attributes::NOCOW | Attributes::COMPRESS;
/// The access list that a folder hands down.
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";
/// The access list of an entry.
const ACL_ACCESS: &[u8] = b"system.posix_acl_access";

/// An entry at the place: an open file, or a name in a folder (empty: the folder itself).
pub(super) enum At<'a> {
    File(&'a FileWrite),
    Name(&'a Dir, &'a [u8]),
}

/// Returns whether a file or folder is the unfinished work of an earlier run.
pub(super) fn is_unfinished(metadata: &Metadata) -> bool {
    match metadata.kind {
        Kind::File => metadata.mode == Some(UNFINISHED_FILE) && metadata.nlink == 1,
        // A folder with the set-group-id bit hands that down.
        Kind::Dir => metadata.mode.is_some_and(|m| m & !0o2000 == UNFINISHED_FOLDER),
        _ => false,
    }
}

/// Sets owner, extended attributes, time and mode, in the order in which none undoes another. The mode comes last: with
/// it the entry stops being unfinished.
pub(super) fn apply(
    shared: &Shared<'_>,
    at: &At<'_>,
    entry: &Entry,
    default_owner: Option<Owner>,
    path: &dyn Fn() -> Vec<u8>,
) -> Result<(), PathError> {
    let mut has_owner = true;
    if let Some(owner) = entry.owner.filter(|_| entry.owner != default_owner) {
        let result = match at {
            At::File(file) => file.set_owner(owner),
            At::Name(dir, name) => dir.set_owner(name, owner),
        };
        has_owner = shared.limited(LimitationKind::Owners, path, result)?;
    }
    // An access list changes the mode too.
    let (acl, others): (Vec<_>, Vec<_>) =
        ntfs::to_set(entry.kind, entry.xattrs()).partition(|(name, _)| name == ACL_ACCESS);
    let (late, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(name, _)| ntfs::is_late(name));
    for (name, value) in others {
        let is_set = shared.limited(LimitationKind::Xattrs, path, at.set_xattr(name, value))?;
        if !is_set && name == ntfs::EFS {
            let what = "it is encrypted, and its keys can be put only on an NTFS that ntfs-3g mounts with efs_raw";
            shared.problem(Problem::with_detail(&path(), ProblemKind::NotRestored, what));
        }
    }
    let result = match at {
        At::File(file) => file.set_mtime(entry.mtime),
        At::Name(dir, name) => dir.set_mtime(name, entry.mtime),
    };
    shared.limited(LimitationKind::Times, path, result)?;
    for (name, value) in acl {
        shared.limited(LimitationKind::Xattrs, path, at.set_xattr(name, value))?;
    }
    if entry.kind.has_mode() {
        apply_mode(shared, at, entry, has_owner, path)?;
    }
    // Where these are kept, the mode is one way to write the access list.
    for (name, value) in late {
        shared.limited(LimitationKind::Xattrs, path, at.set_xattr(name, value))?;
    }
    Ok(())
}

/// Sets the mode.
fn apply_mode(
    shared: &Shared<'_>,
    at: &At<'_>,
    entry: &Entry,
    has_owner: bool,
    path: &dyn Fn() -> Vec<u8>,
) -> Result<(), PathError> {
    let unknown = if entry.is_dir() { 0o700 } else { 0o600 };
    // A program that runs as its owner must not run as someone else.
    let kept = if has_owner { 0o7777 } else { 0o1777 };
    let mode = entry.mode.unwrap_or(unknown) & kept;
    let result = match at {
        At::File(file) => file.set_mode(mode),
        At::Name(dir, name) => dir.set_mode(name, mode),
    };
    shared.limited(LimitationKind::Modes, path, result).map(drop)
}

impl At<'_> {
    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), PathError> {
        match self {
            At::File(file) => file.set_xattr(name, value),
            At::Name(dir, at) => dir.set_xattr(at, name, value),
        }
    }
}

/// Sets the attributes that must be there before the content.
pub(super) fn apply_early(
    shared: &Shared<'_>,
    file: &FileWrite,
    entry: &Entry,
    path: &dyn Fn() -> Vec<u8>,
) -> Result<(), PathError> {
    let early = entry.attributes().0 & EARLY;
    if early != 0 {
        shared.limited(LimitationKind::Attributes, path, file.set_attributes(Attributes(early)))?;
    }
    compress(&At::File(file), entry);
    Ok(())
}

/// Compresses a new file or folder of an NTFS, if it is to be, before anything is in it.
pub(super) fn compress(at: &At<'_>, entry: &Entry) {
    let early = ntfs::attributes_in(entry.xattrs()) & ntfs::COMPRESSED;
    if early != 0 {
        // What is refused is seen when all attributes are set.
        at.set_xattr(ntfs::ATTRIBUTES, &early.to_be_bytes()).ok();
    }
}

/// Gives a folder whose entries are all in its metadata.
pub(super) fn finish_folder(shared: &Shared<'_>, dir: &Dir, folder: &Folder) -> Result<(), PathError> {
    let path = || folder.path();
    let entry = &folder.entry;
    // Of a folder that could not be read as a whole, what it has here may be the only one.
    let is_known = entry.problem().is_none();
    if is_known && (!folder.standing.is_fresh || folder.standing.hands_down_acl) {
        drop_foreign_xattrs(shared, dir, entry, &path)?;
    }
    apply(shared, &At::Name(dir, b""), entry, None, &path)?;
    if entry.attributes().0 != 0 {
        let result = dir.set_attributes(b"", entry.attributes());
        shared.limited(LimitationKind::Attributes, &path, result)?;
    }
    Ok(())
}

/// Gives an existing folder in which something was deleted the time of the snapshot's, and nothing else.
pub(super) fn put_back_time(shared: &Shared<'_>, dir: &Dir, folder: &Folder) -> Result<(), PathError> {
    let set = dir.set_mtime(b"", folder.entry.mtime);
    shared.limited(LimitationKind::Times, &|| folder.path(), set).map(drop)
}

/// Removes what an existing folder has and the snapshot's does not. Labels of the system's own policy stay.
fn drop_foreign_xattrs(
    shared: &Shared<'_>,
    dir: &Dir,
    entry: &Entry,
    path: &dyn Fn() -> Vec<u8>,
) -> Result<(), PathError> {
    for (name, _) in dir.xattrs(b"").unwrap_or_default() {
        let is_ours = name.starts_with(b"user.") || name == ACL_ACCESS || name == ACL_DEFAULT;
        if is_ours && !entry.xattrs().iter().any(|(n, _)| *n == name) {
            shared.limited(LimitationKind::Xattrs, path, dir.remove_xattr(b"", &name))?;
        }
    }
    Ok(())
}

/// Returns whether a folder hands down an access list.
pub(super) fn hands_down_acl(dir: &Dir) -> bool {
    dir.xattrs(b"").is_ok_and(|all| all.iter().any(|(name, _)| name == ACL_DEFAULT))
}

/// Takes away the access list that a new entry got from its folder.
pub(super) fn drop_handed_down(dir: &Dir, name: &[u8]) {
    // Not there is as good; one that stays is seen when the entry's own metadata is set.
    dir.remove_xattr(name, ACL_ACCESS).ok();
}

/// Takes away both access lists that a new folder got from its parent.
pub(super) fn drop_handed_down_folder(dir: &Dir) {
    dir.remove_xattr(b"", ACL_DEFAULT).ok();
    dir.remove_xattr(b"", ACL_ACCESS).ok();
}

/// Finds the local numbers of the owners that a manifest names.
#[derive(Debug, Default)]
pub(super) struct OwnerMap {
    numeric: bool,
    users: HashMap<u32, u32>,
    groups: HashMap<u32, u32>,
}

impl OwnerMap {
    pub(super) fn new(numeric: bool) -> Self {
        Self { numeric, ..Self::default() }
    }

    /// Returns the owner here: by name where the name is known here, else by number.
    pub(super) fn local(&mut self, owner: Owner, names: &OwnerNames) -> Owner {
        if self.numeric {
            return owner;
        }
        let find = |map: &mut HashMap<u32, u32>, id: u32, name: Option<&String>, look_up: fn(&str) -> Option<u32>| {
            let found = || if id == 0 { None } else { name.and_then(|n| look_up(n)) };
            *map.entry(id).or_insert_with(|| found().unwrap_or(id))
        };
        Owner {
            uid: find(&mut self.users, owner.uid, names.users.get(&owner.uid), hardback_platform::user_id),
            gid: find(&mut self.groups, owner.gid, names.groups.get(&owner.gid), hardback_platform::group_id),
        }
    }
}
