//! Makes entries at the place: contents proven while they are copied, and nothing there lost.

use super::delete::ASIDE;
use super::folder::Folder;
use super::metadata::{self, UNFINISHED_FILE};
use super::options::RestoreAction;
use super::shared::Shared;
use super::worker::At;
use crate::content::{ContentError, ContentReader};
use crate::digests::DigestWindow;
use crate::error::Error;
use crate::manifest::{Digest, Entry};
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, LimitationKind};
use hardback_platform::{Dir, Faults, FileWrite, Kind, Metadata, PathError, ntfs};
use std::sync::Arc;

/// Longest name that file systems have.
const NAME_BYTES_MAX: usize = 255;
/// Names that are tried for what is set aside.
const ASIDE_ATTEMPTS_MAX: u32 = 10_000;

/// What came of making an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It is there, as it was backed up.
    Whole,
    /// It is there, and its content is not what was backed up.
    Damaged,
    /// Nothing; that is reported.
    Nothing,
    /// Something has the name.
    Occupied,
}

/// Makes entries; one for each worker.
pub(super) struct Maker<'a, 'r> {
    shared: &'a Shared<'r>,
    contents: ContentReader<'a>,
    digests: DigestWindow,
}

impl<'a, 'r> Maker<'a, 'r> {
    pub(super) fn new(shared: &'a Shared<'r>) -> Self {
        Self { shared, contents: ContentReader::new(shared.ctx.counters, shared), digests: DigestWindow::default() }
    }

    /// Makes an entry under a name that is free. `sync` waits for the disk, for what is put over something else.
    pub(super) fn make(
        &mut self,
        at: &At<'_>,
        place: &Dir,
        entry: &Entry,
        name: &[u8],
        sync: bool,
    ) -> Result<Made, Error> {
        if entry.kind == Kind::File {
            let is_raw = entry.raw_of().is_some();
            return if is_raw {
                self.encrypted(at, place, entry, name, sync)
            } else {
                self.file(at, place, entry, name, sync)
            };
        }
        // These have no mark of being unfinished: they get their name when they are whole.
        let temporary = self.shared.temporary_name();
        let made = match entry.kind {
            Kind::Symlink => match link_text(at, entry) {
                Ok(text) => match make_reparse(place, entry, &temporary) {
                    // No NTFS, or no right to make one; some symlinks can be made without.
                    Err(error) if matches!(error.fault(), Faults::Unsupported | Faults::Denied) => {
                        place.symlink(&text, &temporary)
                    }
                    made => made,
                },
                Err(error) => {
                    self.shared.problem(Problem::new(&at.path_of(entry), ProblemKind::Missing, &error));
                    return Ok(Made::Nothing);
                }
            },
            // Only an NTFS has these; where it is none, that says so.
            Kind::Reparse => make_reparse(place, entry, &temporary),
            kind => place.make_node(&temporary, kind, 0o600, entry.device().unwrap_or_default()),
        };
        if let Err(error) = made {
            self.shared.place_failed(&at.path_of(entry), error)?;
            return Ok(Made::Nothing);
        }
        let path = || at.path_of(entry);
        if at.folder.standing.hands_down_acl {
            metadata::drop_handed_down(place, &temporary);
        }
        let owner = at.folder.standing.default_owner;
        let named = metadata::apply(self.shared, &metadata::At::Name(place, &temporary), entry, owner, &path)
            .and_then(|()| give_name(at, place, entry, &temporary, name));
        let Err(error) = named else { return Ok(Made::Whole) };
        self.remove(at, place, entry, &temporary)?;
        if error.fault() == Faults::Exists {
            return Ok(Made::Occupied);
        }
        self.shared.place_failed(&path(), error)?;
        Ok(Made::Nothing)
    }

    /// Makes an encrypted file of its raw stream, which is proven while it is copied beside it.
    fn encrypted(&mut self, at: &At<'_>, place: &Dir, entry: &Entry, name: &[u8], sync: bool) -> Result<Made, Error> {
        let stream = self.shared.temporary_name();
        let mut content = Entry { owner: None, mode: None, extra: None, ..entry.clone() };
        content.extra_mut().stored = Some(entry.stored_name().to_vec());
        let made = self.file(at, place, &content, &stream, sync)?;
        if !matches!(made, Made::Whole | Made::Damaged) {
            return Ok(made);
        }
        let imported = place.open_file(&stream).and_then(|stream| place.import_encrypted(&stream, name));
        self.remove(at, place, entry, &stream)?;
        let path = || at.path_of(entry);
        let owner = at.folder.standing.default_owner;
        let finished =
            imported.and_then(|()| metadata::apply(self.shared, &metadata::At::Name(place, name), entry, owner, &path));
        match finished {
            Ok(()) => Ok(made),
            Err(error) if error.fault() == Faults::Exists => Ok(Made::Occupied),
            Err(error) if error.fault() == Faults::Unsupported => {
                let what = "it is stored encrypted, and only Windows can restore it";
                self.shared.problem(Problem::with_detail(&path(), ProblemKind::NotRestored, what));
                Ok(Made::Nothing)
            }
            Err(error) => {
                self.shared.place_failed(&path(), error)?;
                Ok(Made::Nothing)
            }
        }
    }

    fn file(&mut self, at: &At<'_>, place: &Dir, entry: &Entry, name: &[u8], sync: bool) -> Result<Made, Error> {
        let source = match stored_file(at, entry) {
            Ok(source) => source,
            Err(error) => {
                let kind =
                    if error.fault() == Faults::Vanished { ProblemKind::Missing } else { ProblemKind::Unreadable };
                self.shared.problem(Problem::new(&at.path_of(entry), kind, &error));
                return Ok(Made::Nothing);
            }
        };
        let expected = self.expected(at, entry);
        let file = match create(at, place, entry, name) {
            Ok(file) => file,
            Err(error) if error.fault() == Faults::Exists => return Ok(Made::Occupied),
            Err(error) => {
                self.shared.place_failed(&at.path_of(entry), error)?;
                return Ok(Made::Nothing);
            }
        };
        if at.folder.standing.hands_down_acl {
            metadata::drop_handed_down(place, name);
        }
        let filled = self.fill(at, entry, &source, &file, sync);
        drop(file);
        let error = match filled {
            Ok(digest) if expected.is_none_or(|e| digest == Some(e)) && digest.is_some() => return Ok(Made::Whole),
            Ok(_) => return Ok(Made::Damaged),
            Err(error) => error,
        };
        self.remove(at, place, entry, name)?;
        match error {
            ContentError::Stopped => {}
            ContentError::Stored(error) => {
                self.shared.problem(Problem::new(&at.path_of(entry), ProblemKind::Unreadable, &error));
            }
            ContentError::Written(error) => self.shared.place_failed(&at.path_of(entry), error)?,
        }
        Ok(Made::Nothing)
    }

    /// Copies the content and sets the metadata; returns the digest, or `None` where the length is another.
    fn fill(
        &mut self,
        at: &At<'_>,
        entry: &Entry,
        source: &hardback_platform::FileRead,
        file: &FileWrite,
        sync: bool,
    ) -> Result<Option<Digest>, ContentError> {
        let path = || at.path_of(entry);
        metadata::apply_early(self.shared, file, entry, &path).map_err(ContentError::Written)?;
        let stored = source.metadata().map_err(ContentError::Stored)?;
        let size = entry.size_bytes;
        let content = self.contents.read(source, size, stored.blocks, Some(file))?;
        Counters::add(&self.shared.sums.bytes, content.written_bytes);
        // A file whose length was set before its data is on the disk has the right length and time after a power cut,
        // and zeros inside (RELIABILITY finding 2): a later restore would take it for whole.
        if sync || stored.blocks.saturating_mul(512) < size {
            file.sync().map_err(ContentError::Written)?;
        }
        let owner = at.folder.standing.default_owner;
        metadata::apply(self.shared, &metadata::At::File(file), entry, owner, &path).map_err(ContentError::Written)?;
        let whole = content.size_bytes == size && stored.size_bytes == size && stored.kind == Kind::File;
        Ok(whole.then_some(content.digest))
    }

    /// Returns the digest of an entry's content, if it has one that can be read.
    pub(super) fn digest(&mut self, entry: &Entry) -> Option<Digest> {
        self.digests.get(&self.shared.digests, entry.content?).ok()
    }

    /// Returns the digest that the content must have, if the record tells one.
    fn expected(&mut self, at: &At<'_>, entry: &Entry) -> Option<Digest> {
        let content = entry.content?;
        match self.digests.get(&self.shared.digests, content) {
            Ok(digest) => Some(digest),
            Err(error) => {
                let what = format!("it is restored, but nothing proves it: {error}");
                self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::Damaged, what));
                None
            }
        }
    }

    /// Returns whether what is there has the content of the snapshot's version.
    pub(super) fn has_content_of(&mut self, place: &Dir, entry: &Entry, existing: &Metadata) -> bool {
        if existing.kind != entry.kind {
            return false;
        }
        match entry.kind {
            Kind::File if existing.size_bytes == entry.size_bytes => {}
            Kind::File => return false,
            Kind::Symlink => return place.read_link(&entry.name).ok().as_deref() == entry.link_text(),
            Kind::Reparse => {
                let there = place.xattrs(&entry.name).unwrap_or_default();
                return ntfs::get(&there, ntfs::REPARSE) == ntfs::get(entry.xattrs(), ntfs::REPARSE);
            }
            _ => return existing.device == entry.device(),
        }
        if entry.size_bytes == 0 {
            return true;
        }
        let Some(expected) = self.digest(entry) else { return false };
        let Ok(file) = place.open_file(&entry.name) else { return false };
        self.contents
            .read(&file, existing.size_bytes, existing.blocks, None)
            .is_ok_and(|c| c.digest == expected && c.size_bytes == entry.size_bytes)
    }

    /// Sets what may only be set when an entry has its name: attributes; of a file with several names at the very end,
    /// as an immutable file gets no more names.
    pub(super) fn finish(&self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<(), Error> {
        self.encrypt(at, place, entry)?;
        clear_archive(place, entry);
        let attributes = entry.attributes();
        if attributes.0 == 0 || entry.kind != Kind::File {
            return Ok(());
        }
        if entry.nlink > 1 {
            self.shared.set_attributes_later(at.folder, &entry.name, attributes);
            return Ok(());
        }
        let set = place.set_attributes(&entry.name, attributes);
        match self.shared.limited(LimitationKind::Attributes, &|| at.path_of(entry), set) {
            Ok(_) => Ok(()),
            Err(error) => self.shared.place_failed(&at.path_of(entry), error),
        }
    }

    /// Has the system encrypt a file that was encrypted at the source and is stored in plain.
    fn encrypt(&self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<(), Error> {
        if !entry.is_decrypted() {
            return Ok(());
        }
        let done = place.encrypt(&entry.name).and_then(|()| place.set_mtime(&entry.name, entry.mtime));
        match self.shared.limited(LimitationKind::Attributes, &|| at.path_of(entry), done) {
            Ok(_) => Ok(()),
            Err(error) => self.shared.place_failed(&at.path_of(entry), error),
        }
    }

    /// Removes what was made and is not wanted.
    pub(super) fn remove(&self, at: &At<'_>, place: &Dir, entry: &Entry, name: &[u8]) -> Result<(), Error> {
        match place.unlink(name) {
            Err(error) if error.fault() != Faults::Vanished => self.shared.place_failed(&at.path_of(entry), error),
            _ => Ok(()),
        }
    }

    /// Gives what stands at a name one more name, so that the name is never without a file; returns whether it has.
    pub(super) fn keep_old(&self, folder: &Arc<Folder>, place: &Dir, name: &[u8]) -> Result<bool, Error> {
        // A run that was interrupted here has kept it already.
        let is_kept = |aside: &[u8]| place.stat(name).is_ok_and(|m| place.stat(aside).is_ok_and(|a| a.id == m.id));
        set_aside(self.shared, folder, name, |aside| match place.link(name, place, aside) {
            Err(e) if e.fault() == Faults::Exists && is_kept(aside) => Ok(()),
            Err(e) if matches!(e.fault(), Faults::Denied | Faults::Unsupported | Faults::TooManyLinks) => {
                place.rename_new(name, place, aside)
            }
            other => other,
        })
    }

    /// Moves what stands at a name aside; returns whether that worked.
    pub(super) fn move_aside(
        &self,
        folder: &Arc<Folder>,
        place: &Dir,
        name: &[u8],
        existing: &Metadata,
    ) -> Result<bool, Error> {
        let mut claims = folder.claims();
        let is_moved = set_aside(self.shared, folder, name, |aside| place.rename_new(name, place, aside))?;
        if is_moved {
            claims.give_up(existing.id, name);
        }
        Ok(is_moved)
    }
}

/// Finds a free name for what is set aside.
pub(super) fn set_aside(
    shared: &Shared<'_>,
    folder: &Arc<Folder>,
    name: &[u8],
    put: impl Fn(&[u8]) -> Result<(), PathError>,
) -> Result<bool, Error> {
    for attempt in 1..=ASIDE_ATTEMPTS_MAX {
        let aside = aside_name(name, attempt);
        match put(&aside) {
            Ok(()) => {
                shared.act(RestoreAction::SetAside, || folder.path_of(&aside));
                return Ok(true);
            }
            Err(error) if error.fault() == Faults::Exists => {}
            Err(error) => {
                shared.place_failed(&folder.path_of(name), error)?;
                return Ok(false);
            }
        }
    }
    let what = "every name under which the existing one could be kept is taken";
    shared.problem(Problem::with_detail(&folder.path_of(name), ProblemKind::NotRestored, what));
    Ok(false)
}

fn aside_name(name: &[u8], attempt: u32) -> Vec<u8> {
    let number = if attempt > 1 { format!("-{attempt}") } else { String::new() };
    let room = NAME_BYTES_MAX - ASIDE.len() - number.len();
    [&name[..name.len().min(room)], ASIDE, number.as_bytes()].concat()
}

/// Creates the file of an entry, and claims it if it has the entry's name already.
fn create(at: &At<'_>, place: &Dir, entry: &Entry, name: &[u8]) -> Result<FileWrite, PathError> {
    if at.folder.standing.is_fresh || name != &*entry.name {
        return place.create_file(name, UNFINISHED_FILE);
    }
    let mut claims = at.folder.claims();
    let file = place.create_file(name, UNFINISHED_FILE)?;
    match file.metadata() {
        Ok(there) => {
            claims.claim(there.id, name);
            Ok(file)
        }
        Err(error) => {
            drop(file);
            place.unlink(name)?;
            Err(PathError { path: name.to_vec(), ..error })
        }
    }
}

/// Gives what is whole its name, and claims it if that is the entry's.
fn give_name(at: &At<'_>, place: &Dir, entry: &Entry, temporary: &[u8], name: &[u8]) -> Result<(), PathError> {
    if at.folder.standing.is_fresh || name != &*entry.name {
        return place.rename_new(temporary, place, name);
    }
    let mut claims = at.folder.claims();
    let id = place.stat(temporary)?.id;
    place.rename_new(temporary, place, name)?;
    claims.claim(id, name);
    Ok(())
}

/// Takes the archive attribute of NTFS away again: a file gets it with each new name.
pub(super) fn clear_archive(place: &Dir, entry: &Entry) {
    if let Some(wanted) = ntfs::get(entry.xattrs(), ntfs::ATTRIBUTES)
        && ntfs::attributes_in(entry.xattrs()) & ntfs::ARCHIVE == 0
    {
        // Where there are no such attributes that was told when all of them were set.
        place.set_xattr(&entry.name, ntfs::ATTRIBUTES, wanted).ok();
    }
}

/// Makes an entry that is a reparse point.
fn make_reparse(place: &Dir, entry: &Entry, name: &[u8]) -> Result<(), PathError> {
    let Some(reparse) = ntfs::get(entry.xattrs(), ntfs::REPARSE) else {
        return Err(PathError::new("make the reparse point", name, std::io::ErrorKind::Unsupported));
    };
    place.make_reparse(name, ntfs::attributes_in(entry.xattrs()) & ntfs::DIRECTORY != 0, reparse)
}

fn stored_file(at: &At<'_>, entry: &Entry) -> Result<hardback_platform::FileRead, PathError> {
    if entry.size_bytes > 0 && entry.content.is_none() {
        let error = std::io::Error::new(std::io::ErrorKind::NotFound, "the backup could not read it");
        return Err(PathError::new("find the content", &entry.name, error));
    }
    stored_dir(at, entry)?.open_file(entry.stored_name())
}

fn link_text(at: &At<'_>, entry: &Entry) -> Result<Vec<u8>, PathError> {
    match entry.link_text() {
        Some(text) => Ok(text.to_vec()),
        None => stored_dir(at, entry)?.read_link(entry.stored_name()),
    }
}

fn stored_dir<'d>(at: &'d At<'_>, entry: &Entry) -> Result<&'d Dir, PathError> {
    at.stored.as_deref().filter(|_| entry.is_in_tree()).ok_or_else(|| {
        let error = std::io::Error::new(std::io::ErrorKind::NotFound, "the snapshot's folder does not have it");
        PathError::new("find", &entry.name, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_what_is_set_aside_is_never_too_long() {
        assert_eq!(aside_name(b"a", 1), b"a.before-restore");
        assert_eq!(aside_name(b"a", 2), b"a.before-restore-2");
        assert_eq!(aside_name(&[b'x'; 255], 10_000).len(), 255);
    }
}
