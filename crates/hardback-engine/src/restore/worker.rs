//! Restores one entry: looks at what is there, decides, makes it.

use super::claims;
use super::folder::{Folder, Side};
use super::groups::{self, First};
use super::make::{Made, Maker};
use super::metadata;
use super::options::{Overwrite, RestoreAction};
use super::shared::Shared;
use crate::content::Stop;
use crate::error::Error;
use crate::groups::{Key, Turn};
use crate::manifest::Entry;
use crate::problem::{Problem, ProblemKind};
use crate::report::Counters;
use hardback_platform::{Dir, Faults, Kind, Metadata, PathError, ntfs};
use std::sync::Arc;

/// Times that an entry is tried while others keep putting something in its place.
const ATTEMPTS_MAX: u32 = 3;

/// Entries of one folder for a worker.
pub(super) struct Chunk {
    pub(super) folder: Arc<Folder>,
    pub(super) entries: Vec<Entry>,
    /// Number of the source's volume that they were on.
    pub(super) volume: u64,
}

/// A folder's handles while a chunk of it is worked on.
pub(super) struct At<'a> {
    pub(super) folder: &'a Arc<Folder>,
    pub(super) stored: Option<Arc<Dir>>,
    pub(super) place: Option<Arc<Dir>>,
}

impl At<'_> {
    pub(super) fn path_of(&self, entry: &Entry) -> Vec<u8> {
        self.folder.path_of(&entry.name)
    }
}

/// One of the threads that restore entries.
pub(super) struct Worker<'a, 'r> {
    pub(super) shared: &'a Shared<'r>,
    pub(super) maker: Maker<'a, 'r>,
}

/// What stands at a name.
pub(super) enum Found {
    Nothing,
    Entry(Metadata),
    /// What is restored for another name, or what cannot be looked at: it stays, and that is told.
    Told,
}

/// What to do about what stands at a name.
enum Verdict {
    /// Nothing is there.
    Free,
    /// It is as in the snapshot already.
    Same,
    /// It stays.
    Keep,
    /// It is replaced.
    Replace(Metadata),
    /// A folder that is moved aside.
    MoveAside(Metadata),
}

impl<'a, 'r> Worker<'a, 'r> {
    pub(super) fn new(shared: &'a Shared<'r>) -> Self {
        Self { shared, maker: Maker::new(shared) }
    }

    /// Restores the entries of a chunk. An error ends the restore.
    pub(super) fn chunk(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let handles = |side| chunk.folder.dir(side);
        let (stored, place) = match (handles(Side::Stored), handles(Side::Place)) {
            (Ok(stored), Ok(place)) => (stored, place),
            (Err(error), _) | (_, Err(error)) => return self.shared.place_failed(&chunk.folder.path(), error),
        };
        let at = At { folder: &chunk.folder, stored, place };
        for entry in &chunk.entries {
            if self.shared.is_stopped() {
                break;
            }
            self.entry(&at, entry, chunk.volume)?;
            Counters::add(&self.shared.sums.entries, 1);
            Counters::add(&self.shared.ctx.counters.entries, 1);
        }
        Ok(())
    }

    /// Counts the bytes that a dry run would write, once for all names of a file.
    fn would_write(&self, entry: &Entry) {
        if self.shared.options.dry_run && entry.kind == Kind::File && self.shared.is_first_of_its_names(entry) {
            Counters::add(&self.shared.sums.bytes, entry.size_bytes);
        }
    }

    fn entry(&mut self, at: &At<'_>, entry: &Entry, volume: u64) -> Result<(), Error> {
        if entry.kind == Kind::Other {
            let what = "the snapshot has nothing of it; it could not be read when it was made";
            self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::NotRestored, what));
            return Ok(());
        }
        if entry.problem().is_some() {
            Counters::add(&self.shared.sums.stored_with_problem, 1);
        }
        if at.place.is_some() {
            at.folder.claims().begin(&entry.name);
        }
        let content = if entry.nlink > 1 { self.maker.digest(entry) } else { None };
        let key = groups::key_of(volume, entry, content);
        let (Some(key), Some(place)) = (key, &at.place) else { return self.restore(at, entry).map(drop) };
        let turn = self.shared.groups.turn(key, entry.nlink, self.shared);
        match turn.map_err(|e| self.shared.groups_failed(e))? {
            Turn::Link(first) => self.join(at, place, entry, key, &first),
            Turn::First => self.first(at, place, entry, key),
            Turn::Stop => Ok(()),
        }
    }

    /// Restores the first name of a group, or a fresh copy with which it goes on.
    pub(super) fn first(&mut self, at: &At<'_>, place: &Dir, entry: &Entry, key: Key) -> Result<(), Error> {
        let restored = self.restore(at, entry);
        let id = match &restored {
            Ok(true) if !self.shared.options.dry_run => place.stat(&entry.name).ok().map(|m| m.id),
            _ => None,
        };
        match id {
            Some(id) => {
                let (root, folder) = (at.folder.root, at.folder.place_path());
                let made = self.shared.groups.made(key, First { root, folder, name: entry.name.clone(), id });
                made.map_err(|e| self.shared.groups_failed(e))?;
                self.shared.tell_refused_scratch();
            }
            None => self.shared.groups.failed(key),
        }
        restored.map(drop)
    }

    /// Restores an entry by itself; returns whether it is there now, as in the snapshot.
    fn restore(&mut self, at: &At<'_>, entry: &Entry) -> Result<bool, Error> {
        let path = || at.path_of(entry);
        let Some(place) = &at.place else {
            // A dry run below a folder that is not there yet.
            self.would_write(entry);
            self.shared.act(RestoreAction::Make, path);
            return Ok(true);
        };
        if at.folder.standing.is_fresh {
            return match self.make_free(at, place, entry)? {
                Some(there) => Ok(there),
                None => self.tell_not_alone(at, place, entry),
            };
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.look(at, place, entry)? {
                None | Some(Verdict::Keep) => return Ok(false),
                Some(Verdict::Same) => return Ok(true),
                Some(Verdict::Free) => {}
                Some(Verdict::Replace(_)) if self.shared.options.dry_run => {
                    self.would_write(entry);
                    self.shared.act(RestoreAction::Replace, path);
                    return Ok(true);
                }
                Some(Verdict::MoveAside(existing)) => {
                    let moves = !self.shared.options.dry_run;
                    if moves && !self.maker.move_aside(at.folder, place, &entry.name, &existing)? {
                        return Ok(false);
                    }
                }
                Some(Verdict::Replace(existing)) => return self.replace(at, place, entry, &existing),
            }
            if let Some(there) = self.make_free(at, place, entry)? {
                return Ok(there);
            }
        }
        self.tell_not_alone(at, place, entry)
    }

    /// Something has the name that was free: tells what it is.
    fn tell_not_alone(&self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<bool, Error> {
        if matches!(self.find(at, place, entry)?, Found::Told) {
            return Ok(false);
        }
        let what = "somebody else puts something there; it stays";
        self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::NotRestored, what));
        Ok(false)
    }

    /// Looks at what stands at a name, and claims it for the name.
    pub(super) fn find(&self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<Found, Error> {
        let mut claims = at.folder.claims();
        let existing = match place.stat(&entry.name) {
            Ok(existing) => existing,
            Err(error) if error.fault() == Faults::Vanished => return Ok(Found::Nothing),
            Err(error) => {
                drop(claims);
                self.shared.place_failed(&at.path_of(entry), error)?;
                return Ok(Found::Told);
            }
        };
        if let Some(other) = claims.other_name(place, &entry.name, &existing) {
            drop(claims);
            claims::tell_taken(self.shared, at.folder, &entry.name, &other);
            return Ok(Found::Told);
        }
        claims.claim(existing.id, &entry.name);
        Ok(Found::Entry(existing))
    }

    /// Makes an entry where nothing should be; `None` if something is there after all.
    fn make_free(&mut self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<Option<bool>, Error> {
        if !self.shared.options.dry_run {
            match self.maker.make(at, place, entry, &entry.name, false)? {
                Made::Occupied => return Ok(None),
                Made::Nothing => return Ok(Some(false)),
                Made::Damaged => {
                    let what = "the stored file is not what was backed up; it is restored as it is stored";
                    self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::Damaged, what));
                }
                Made::Whole => {}
            }
            self.maker.finish(at, place, entry)?;
        }
        self.would_write(entry);
        self.shared.act(RestoreAction::Make, || at.path_of(entry));
        Ok(Some(true))
    }

    /// Looks at what is there and decides; `None` if nothing can be restored, which is reported.
    fn look(&mut self, at: &At<'_>, place: &Dir, entry: &Entry) -> Result<Option<Verdict>, Error> {
        let existing = match self.find(at, place, entry)? {
            Found::Entry(existing) => existing,
            Found::Nothing => return Ok(Some(Verdict::Free)),
            Found::Told => return Ok(None),
        };
        if metadata::is_unfinished(&existing) && existing.kind == Kind::File {
            return Ok(Some(Verdict::Replace(existing)));
        }
        if self.is_same(at, place, entry, &existing) && self.has_same_content(place, entry, &existing) {
            Counters::add(&self.shared.sums.unchanged, 1);
            return Ok(Some(Verdict::Same));
        }
        let is_newer = entry.mtime > existing.mtime && existing.kind != Kind::Dir;
        let may = self.shared.may_replace(|| at.path_of(entry), is_newer)?;
        if existing.kind == Kind::Dir && !may {
            let what = "a folder stands there; it is moved aside only where everything may be overwritten";
            self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::NotRestored, what));
            return Ok(None);
        }
        Ok(Some(match (may, existing.kind) {
            (false, _) => {
                self.shared.act(RestoreAction::Keep, || at.path_of(entry));
                Verdict::Keep
            }
            (true, Kind::Dir) => Verdict::MoveAside(existing),
            (true, _) => Verdict::Replace(existing),
        }))
    }

    /// Returns whether what is there is what would be restored, without reading contents.
    pub(super) fn is_same(&self, at: &At<'_>, place: &Dir, entry: &Entry, existing: &Metadata) -> bool {
        let same_stat = existing.kind == entry.kind
            && existing.mtime == entry.mtime
            && (entry.kind != Kind::File || existing.size_bytes == entry.size_bytes)
            && existing.device == entry.device();
        let same_mode = (!entry.kind.has_mode() || existing.mode == entry.mode)
            && (existing.owner == entry.owner || !self.shared.is_privileged);
        // On an NTFS mode and owner are made of its access list.
        let has_acl = |xattrs: &[(Vec<u8>, Vec<u8>)]| ntfs::get(xattrs, ntfs::ACL).is_some();
        if !same_stat || !(same_mode || has_acl(entry.xattrs())) {
            return false;
        }
        if entry.kind == Kind::Symlink && place.read_link(&entry.name).ok().as_deref() != entry.link_text() {
            return false;
        }
        // Someone may have "restored" by hard links: what is ours to write must not be the snapshot's own file.
        let stored = at.stored.as_ref().filter(|_| existing.nlink > 1 && entry.is_in_tree());
        let is_stored = |dir: &Arc<Dir>| dir.stat(entry.stored_name()).is_ok_and(|m| m.id == existing.id);
        if stored.is_some_and(is_stored) {
            return false;
        }
        place.xattrs(&entry.name).is_ok_and(|here| entry.has_xattrs(&here) && (same_mode || has_acl(&here)))
    }

    /// Returns whether a file that looks like the one that would be restored has its content. Only the very file that was
    /// backed up, untouched since, is believed: an edit can put size and time back. Where nothing is overwritten it makes
    /// no difference, and nothing is read.
    fn has_same_content(&mut self, place: &Dir, entry: &Entry, existing: &Metadata) -> bool {
        if entry.kind != Kind::File || self.shared.options.overwrite == Overwrite::Never {
            return true;
        }
        let untouched = !entry.hot
            && entry.ctime.is_some()
            && entry.ctime == existing.ctime
            && entry.inode == Some(existing.id.file);
        untouched || self.maker.has_content_of(place, entry, existing)
    }

    /// Makes the entry beside what is there, proves it, and puts it over that.
    fn replace(&mut self, at: &At<'_>, place: &Dir, entry: &Entry, existing: &Metadata) -> Result<bool, Error> {
        let temporary = self.shared.temporary_name();
        match self.maker.make(at, place, entry, &temporary, true)? {
            Made::Nothing => return Ok(false),
            Made::Occupied => {
                let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
                self.shared.place_failed(&at.path_of(entry), PathError::new("create", &temporary, error))?;
                return Ok(false);
            }
            Made::Damaged => {
                let what = "the stored file is not what was backed up; the one that is there was left";
                self.shared.problem(Problem::with_detail(&at.path_of(entry), ProblemKind::Damaged, what));
                self.maker.remove(at, place, entry, &temporary)?;
                return Ok(false);
            }
            Made::Whole => {}
        }
        self.put_over(at, place, entry, &temporary, existing)
    }

    /// Puts a finished entry over what is there, which is kept under another name if its content differs.
    pub(super) fn put_over(
        &mut self,
        at: &At<'_>,
        place: &Dir,
        entry: &Entry,
        temporary: &[u8],
        existing: &Metadata,
    ) -> Result<bool, Error> {
        let keep = self.shared.options.keep_replaced
            && !metadata::is_unfinished(existing)
            && !(has_streams_of(place, entry) && self.maker.has_content_of(place, entry, existing));
        if !self.take_over(at, place, entry, temporary, (existing, keep))? {
            return Ok(false);
        }
        self.maker.finish(at, place, entry)?;
        self.shared.act(RestoreAction::Replace, || at.path_of(entry));
        Ok(true)
    }

    /// Gives a finished entry the name of what is there and whether that is kept; returns whether it has it. Meanwhile
    /// nobody looks at that folder by another name.
    fn take_over(
        &self,
        at: &At<'_>,
        place: &Dir,
        entry: &Entry,
        temporary: &[u8],
        (existing, keep): (&Metadata, bool),
    ) -> Result<bool, Error> {
        let mut claims = at.folder.claims();
        if keep && !self.maker.keep_old(at.folder, place, &entry.name)? {
            drop(claims);
            self.maker.remove(at, place, entry, temporary)?;
            return Ok(false);
        }
        let finished = place.stat(temporary);
        let renamed = finished.and_then(|m| place.rename_over(temporary, place, &entry.name).map(|()| m.id));
        match renamed {
            Ok(id) => {
                claims.give_up(existing.id, &entry.name);
                claims.claim(id, &entry.name);
                Ok(true)
            }
            Err(error) => {
                drop(claims);
                self.maker.remove(at, place, entry, temporary)?;
                self.shared.place_failed(&at.path_of(entry), error)?;
                Ok(false)
            }
        }
    }
}

/// Returns whether what is there has no stream, or attribute of a user, but those of the snapshot's version. Of one that
/// could not be read as a whole nobody knows.
fn has_streams_of(place: &Dir, entry: &Entry) -> bool {
    let of_user = |xattrs: &[(Vec<u8>, Vec<u8>)]| -> Vec<(Vec<u8>, Vec<u8>)> {
        xattrs.iter().filter(|(name, _)| name.starts_with(b"user.")).cloned().collect()
    };
    let there = place.xattrs(&entry.name).map(|there| of_user(&there));
    // A symlink of Linux has none and cannot be asked everywhere.
    let none = || entry.kind == Kind::Symlink && there.is_err();
    none() || (entry.problem().is_none() && there.as_ref().is_ok_and(|there| *there == of_user(entry.xattrs())))
}
