//! Putting entries into the new tree: names that fit, links, new files.

use super::copy::CopyError;
use super::folder::{Folder, Side};
use super::groups::{First, Stored};
use super::metadata;
use super::shared::{Outcome, Shared};
use super::worker::At;
use crate::du::{BLOCK_BYTES, BLOCKS_NOT_ASKED};
use crate::error::Error;
use crate::manifest::Entry;
use crate::problem::ProblemKind;
use crate::report::LimitationKind;
use crate::target::escape::{escape_name, fits_windows};
use hardback_platform::{Dir, Faults, FileId, FileWrite, Metadata, PathError, RelPath, is_privileged, ntfs};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Escaped names that are tried where a target folds case.
const NAME_ATTEMPTS_MAX: u32 = 16;
/// Files of at least this many bytes start as a clone of the base's where the volume can.
const CLONE_BYTES_MIN: u64 = 1 << 20;

/// Makes something under the entry's name, or under an escaped one where the target cannot hold the name, or Windows
/// could not open it there, or the target has it already because it folds case. The entry remembers the name.
pub(super) fn with_name<T>(
    shared: &Shared<'_>,
    folder: &Folder,
    entry: &mut Entry,
    mut make: impl FnMut(&[u8]) -> Result<T, PathError>,
) -> Result<T, PathError> {
    // Linux takes names on NTFS that Windows could not open.
    let foreign = shared.target.windows_names && entry.stored_name() == &entry.name[..] && !fits_windows(&entry.name);
    if foreign {
        entry.extra_mut().stored = Some(escape_name(&entry.name, 1));
    }
    let first = make(entry.stored_name());
    if foreign && first.is_ok() {
        shared.limitation(LimitationKind::Names, || folder.path_of(&entry.name), "Windows cannot hold the name");
    }
    let error = match first {
        Err(error) if matches!(error.fault(), Faults::BadName | Faults::Exists) => error,
        other => return other,
    };
    for attempt in 1..=NAME_ATTEMPTS_MAX {
        let stored = escape_name(&entry.name, attempt);
        if stored == entry.stored_name() {
            continue;
        }
        match make(&stored) {
            Err(e) if matches!(e.fault(), Faults::BadName | Faults::Exists) => {}
            Ok(made) => {
                shared.limitation(LimitationKind::Names, || folder.path_of(&entry.name), &error.source);
                entry.extra_mut().stored = Some(stored);
                return Ok(made);
            }
            Err(e) => return Err(e),
        }
    }
    Err(error)
}

/// A new file, open.
pub(super) struct Made {
    pub(super) file: FileWrite,
    /// It starts with the blocks of the base's version.
    pub(super) is_clone: bool,
    /// Its name in the tree.
    pub(super) name: Vec<u8>,
}

/// Makes the file of an entry; a large one starts as a clone of the base's version where the volume can.
pub(super) fn create(
    shared: &Shared<'_>,
    at: &At<'_>,
    entry: &mut Entry,
    base: Option<&Entry>,
) -> Result<Made, CopyError> {
    let target = at.target.as_ref().expect("files are made only with a target");
    let mode = entry.mode.unwrap_or(0o644) & 0o777;
    let made = with_name(shared, at.folder, entry, |name| target.create_file(name, mode));
    let file = made.map_err(CopyError::Target)?;
    metadata::apply_early(shared, &metadata::Place::File(&file), entry);
    let worth = |b: &&Entry| b.is_in_tree() && b.size_bytes.min(entry.size_bytes) >= CLONE_BYTES_MIN;
    let is_clone = base.filter(worth).is_some_and(|base| clone_base(shared, at, base, &file));
    Ok(Made { file, is_clone, name: entry.stored_name().to_vec() })
}

/// Makes a new file share the blocks of the base's version; returns whether it does. A file of so few blocks that du does
/// not ask it for those that it shares gets its own, or du would promise what is not freed.
pub(super) fn clone_base(shared: &Shared<'_>, at: &At<'_>, base: &Entry, file: &FileWrite) -> bool {
    if shared.target.no_clone.load(Ordering::Relaxed) {
        return false;
    }
    let Some(Ok(old)) = at.base.as_ref().map(|dir| dir.open_file(base.stored_name())) else { return false };
    let is_asked = |old: &Metadata| old.blocks > BLOCKS_NOT_ASKED && old.size_bytes > BLOCKS_NOT_ASKED * BLOCK_BYTES;
    if !old.metadata().is_ok_and(|old| is_asked(&old)) {
        return false;
    }
    match file.clone_from(&old) {
        Ok(()) => true,
        Err(error) => {
            if error.fault() == Faults::Unsupported {
                shared.target.no_clone.store(true, Ordering::Relaxed);
            }
            false
        }
    }
}

/// Takes back a file that could not be filled: its name must be free for what stands in. If this fails too, that will
/// say so.
pub(super) fn free_name(at: &At<'_>, made: &Made) {
    if let Some(target) = &at.target {
        target.unlink(&made.name).ok();
    }
}

/// Removes what was made for an entry, to make it again.
pub(super) fn remove(at: &At<'_>, entry: &Entry) -> Result<(), Error> {
    let target = at.target.as_ref().expect("removed only from a target");
    Ok(target.unlink(entry.stored_name()).map_err(|e| e.under(&at.folder.path()))?)
}

/// Links an entry to the base's file of the same path. `false` where it has to be stored anew.
pub(super) fn link_from_base(shared: &Shared<'_>, at: &At<'_>, entry: &mut Entry) -> Result<bool, Error> {
    let Some(target) = &at.target else { return Ok(true) };
    // A junction is a directory to Windows, and has one name.
    if shared.target.keeps_ntfs && ntfs::attributes_in(entry.xattrs()) & ntfs::DIRECTORY != 0 {
        return Ok(false);
    }
    let Some(base) = &at.base else {
        let what = "the base's folder cannot be opened";
        shared.limitation(LimitationKind::Base, || at.folder.path_of(&entry.name), what);
        return Ok(false);
    };
    let base_name = entry.stored_name().to_vec();
    let _counted = shared.count_links();
    if !may_link(shared, at.folder, &entry.name, base, &base_name, Spread::of(entry)) {
        return Ok(false);
    }
    let linked = with_name(shared, at.folder, entry, |name| base.link(&base_name, target, name));
    linked_or_not(shared, at.folder, &entry.name, linked)
}

/// Links an entry to a file of the base at another path.
pub(super) fn link_from(
    shared: &Shared<'_>,
    at: &At<'_>,
    entry: &mut Entry,
    dir: &Dir,
    name_there: &[u8],
) -> Result<bool, Error> {
    let target = at.target.as_ref().expect("linked only into a target");
    let _counted = shared.count_links();
    if !may_link(shared, at.folder, &entry.name, dir, name_there, Spread::None) {
        return Ok(false);
    }
    let linked = with_name(shared, at.folder, entry, |name| dir.link(name_there, target, name));
    linked_or_not(shared, at.folder, &entry.name, linked)
}

/// Links an entry to the first name of its group.
pub(super) fn link_to_first(shared: &Shared<'_>, at: &At<'_>, entry: &mut Entry, first: &First) -> Result<bool, Error> {
    let path = RelPath::from_bytes(&first.path).expect("paths in the tree are made of names");
    let dir = open_near(at.folder, &path.parent()).map_err(|e| e.under(&at.folder.path()))?;
    link_from(shared, at, entry, &dir, path.name())
}

/// Opens a folder of the tree from the nearest one that is above it and above this one. Names of a group mostly stand
/// near each other, and from the top a deep one costs a lookup for each level.
fn open_near(folder: &Arc<Folder>, path: &RelPath) -> Result<Arc<Dir>, PathError> {
    let here = folder.stored_path();
    let common = here.components().zip(path.components()).take_while(|(here, there)| here == there).count();
    let above = folder.ancestor(folder.depth - common).expect("the path has a name for each level");
    let mut rest = RelPath::root();
    path.components().skip(common).for_each(|name| rest.push(name));
    let dir = above.dir(Side::Target)?;
    if rest.is_root() { Ok(dir) } else { Ok(Arc::new(dir.open_dir_at(&rest)?)) }
}

/// Least limit of names under which fresh copies are spread over runs: below it a file is copied often anyway.
const SPREAD_FROM_LINKS: u64 = 100;

/// Whether a file may get its fresh copy before it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Somewhere in the upper half of the limit: a tree that was stored in one run would else meet it in one run too.
    UpperHalf,
    /// Only at the limit: the names of a group stay one file as long as they can.
    None,
}

impl Spread {
    fn of(entry: &Entry) -> Self {
        if entry.nlink > 1 { Self::None } else { Self::UpperHalf }
    }

    /// Returns how many names a stored file may have.
    fn links_max(self, max: u64, file: u64) -> u64 {
        if self == Self::None || max < SPREAD_FROM_LINKS {
            return max;
        }
        // The golden ratio puts the numbers of neighbouring inodes evenly into the range.
        let even = u128::from(file.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let early = (even * u128::from(max / 2)) >> 64;
        max - u64::try_from(early).unwrap_or(0)
    }
}

/// Returns whether the target has hard links and the file may get one more name. Its names are counted only where we
/// set a limit of our own; the volume's own limit is met by trying.
fn may_link(shared: &Shared<'_>, folder: &Folder, name: &[u8], dir: &Dir, name_there: &[u8], spread: Spread) -> bool {
    if !shared.target.links {
        shared.limitation(LimitationKind::Links, || folder.path_of(name), "a link was tried and shares nothing");
        return false;
    }
    let Some(max) = shared.target.links_max else { return true };
    let Ok(there) = dir.stat(name_there) else { return true };
    if there.nlink >= max {
        shared.limitation(LimitationKind::LinkLimit, || folder.path_of(name), format_args!("{max} links"));
    }
    there.nlink < spread.links_max(max, there.id.file)
}

fn linked_or_not(
    shared: &Shared<'_>,
    folder: &Folder,
    name: &[u8],
    linked: Result<(), PathError>,
) -> Result<bool, Error> {
    let Err(error) = linked else { return Ok(true) };
    let kind = match error.fault() {
        Faults::TooManyLinks => LimitationKind::LinkLimit,
        Faults::Denied | Faults::Unsupported | Faults::OtherVolume => LimitationKind::Links,
        Faults::Vanished | Faults::WrongKind => LimitationKind::Base,
        // Neither the name nor an escaped one fits: the copy that is tried next says so for this entry.
        Faults::BadName => LimitationKind::Names,
        _ => return Err(error.under(&folder.path()).into()),
    };
    shared.limitation(kind, || folder.path_of(name), &error.source);
    Ok(false)
}

/// Waits for one file, where the volume cannot be waited for as a whole.
pub(super) fn sync_alone(shared: &Shared<'_>, file: &FileWrite) -> Result<(), Error> {
    if shared.target.volume_sync { Ok(()) } else { Ok(file.sync()?) }
}

/// What the other names of a group need to know of the first.
pub(super) fn first_of(at: &At<'_>, outcome: &Outcome) -> First {
    let mut path = at.folder.stored_path();
    path.push(outcome.entry.stored_name());
    First { path: path.as_bytes().to_vec(), stored: outcome.stored, entry: outcome.entry.clone() }
}

/// Returns whether the other names of a file may be linked to what was stored for one of them: it is that file and not
/// another one that took its name, and not what stands in for one that could not be read.
pub(super) fn may_lead(outcome: &Outcome, id: FileId) -> bool {
    outcome.group == Some(id) && outcome.entry.is_in_tree() && is_of_source(&outcome.entry)
}

/// Returns whether what is stored was read from the source, though perhaps not exactly.
fn is_of_source(entry: &Entry) -> bool {
    matches!(entry.problem(), None | Some(ProblemKind::Changing | ProblemKind::Metadata))
}

/// Puts the name before an error about an open file.
pub(super) fn named(error: CopyError, name: &[u8]) -> CopyError {
    let with_name = |e: PathError| if e.path.is_empty() { PathError { path: name.to_vec(), ..e } } else { e };
    match error {
        CopyError::Source(e) => CopyError::Source(with_name(e)),
        CopyError::Target(e) => CopyError::Target(with_name(e)),
    }
}

/// Makes an error of setting metadata one of the target.
pub(super) fn as_copy_error(error: Error) -> CopyError {
    match error {
        Error::Path(error) => CopyError::Target(error),
        other => CopyError::Target(PathError::new("store", b"", std::io::Error::other(other.to_string()))),
    }
}

/// Makes the folder of an entry in the tree of its parent.
pub(super) fn make_folder(shared: &Shared<'_>, parent: &Arc<Folder>, entry: &mut Entry) -> Result<Option<Dir>, Error> {
    if !parent.has(Side::Target) {
        return Ok(None);
    }
    let target = parent.dir(Side::Target)?;
    let made = with_name(shared, parent, entry, |name| target.make_dir(name, 0o700));
    made.map_err(|e| e.under(&parent.path()))?;
    let dir = target.open_dir(entry.stored_name()).map_err(|e| e.under(&parent.path()))?;
    metadata::apply_early(shared, &metadata::Place::Name(&dir, b""), entry);
    Ok(Some(dir))
}

/// Sets the metadata of a folder whose entries are all in.
pub(super) fn finish_folder(shared: &Shared<'_>, folder: &Arc<Folder>) -> Result<(), Error> {
    // The top of several sources is ours and has no metadata of theirs.
    if folder.has(Side::Target) && (folder.depth > 0 || folder.has(Side::Source)) {
        let dir = folder.dir(Side::Target)?;
        let mut entry = std::borrow::Cow::Borrowed(&folder.entry);
        // Only root can rename a folder that is not writable, and this one is still to get its name.
        if let Some(mode) = entry.mode.filter(|m| folder.depth == 0 && m & 0o200 == 0 && !is_privileged()) {
            shared.limitation(LimitationKind::Modes, Vec::new, "the snapshot's own folder must be writable");
            entry.to_mut().mode = Some(mode | 0o200);
        }
        metadata::apply(shared, &metadata::Place::Name(&dir, b""), &entry, &|| folder.path())?;
    }
    if folder.has(Side::Target) && !shared.target.volume_sync {
        folder.dir(Side::Target)?.sync().map_err(|e| e.under(&folder.path()))?;
    }
    folder.close();
    Ok(())
}

/// Returns what a stored content is recorded as.
pub(super) fn known(entry: &Entry) -> Stored {
    entry.content.map_or(Stored::Nothing, Stored::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_copies_of_a_tree_are_spread_over_runs() {
        const MAX: u64 = 1000;
        const FILES: u64 = 1000;
        let mut copies = vec![0; 1101];
        // Inode and names of each file; the tree was stored in one run, its inodes stand near each other.
        let mut files: Vec<(u64, u64)> = (0..FILES).map(|n| (4000 + n, 1)).collect();
        let mut next_inode = 90_000;
        for copied in copies.iter_mut().skip(1) {
            for (inode, links) in &mut files {
                if *links < Spread::UpperHalf.links_max(MAX, *inode) {
                    *links += 1;
                } else {
                    (*inode, *links) = (next_inode, 1);
                    next_inode += 1;
                    *copied += 1;
                }
            }
        }
        let (most, all) = (copies.iter().max().unwrap(), copies.iter().sum::<u64>());
        assert!(*most <= FILES / 100, "{most} copies in one run");
        assert!((FILES..FILES * 2).contains(&all), "{all} copies in 1,100 runs");
        assert_eq!(Spread::UpperHalf.links_max(99, 4000), 99);
        assert_eq!(Spread::None.links_max(MAX, 4000), MAX);
    }
}
