//! The walk: reads the record, makes the folders at the place and hands the entries out.

use super::claims::{self, Claims};
use super::delete::{Bounds, Leftovers, tell_kept};
use super::folder::{self, Folder, OPEN_LEVELS_MAX, Side, Standing, Start};
use super::guard::{Entered, Guard};
use super::make::set_aside;
use super::metadata::{self, OwnerMap, UNFINISHED_FOLDER};
use super::options::{Overwrite, Place, RestoreAction};
use super::select::{Part, Selection};
use super::shared::{Shared, is_temporary};
use super::worker::Chunk;
use crate::content::Stop;
use crate::error::Error;
use crate::manifest::{Entry, ManifestError, TreeCursor};
use crate::problem::{Problem, ProblemKind};
use crate::report::Counters;
use crossbeam_channel::Sender;
use hardback_platform::{Dir, Faults, FileId, FileRead, PathError, RelPath};
use std::sync::Arc;

/// Most entries of a chunk.
const CHUNK_ENTRIES: usize = 64;
/// Bytes of contents after which a chunk is handed out, so that a few large files keep all workers busy.
const CHUNK_BYTES: u64 = 4 << 20;

/// A folder that the walk is in.
struct Level {
    folder: Arc<Folder>,
    part: Part,
    leftovers: Option<Leftovers>,
    guard: Guard,
    volume: u64,
    /// It was not read when it was backed up, and nothing that is in it has come up yet.
    is_unread: bool,
}

/// What the walk needs beside the shared state.
pub(super) struct Walk<'a, 'r> {
    pub(super) shared: &'a Shared<'r>,
    pub(super) cursor: TreeCursor<FileRead>,
    pub(super) selection: Selection,
    pub(super) bounds: Bounds,
    pub(super) owners: OwnerMap,
    pub(super) chunks: Sender<Chunk>,
    /// The only source is the top itself.
    pub(super) is_single: bool,
    pub(super) path: RelPath,
}

impl Walk<'_, '_> {
    /// Walks the snapshot. On a damaged record what was entered is finished first.
    pub(super) fn run(&mut self, root: Entry, tree: Dir) -> Result<(), Error> {
        let mut stack = vec![self.top(root, tree)?];
        let result = self.walk(&mut stack);
        let is_record_damaged = matches!(result, Err(Error::Manifest { .. }));
        if result.is_ok() || is_record_damaged {
            while let Some(level) = stack.pop() {
                folder::release(self.shared, &level.folder)?;
            }
        }
        result
    }

    fn walk(&mut self, stack: &mut Vec<Level>) -> Result<(), Error> {
        self.hand_out_files(&mut stack[0])?;
        while let Some(level) = stack.last_mut() {
            if self.shared.is_stopped() {
                return Err(self.stopped());
            }
            if level.part == Part::Way && self.selection.is_done() {
                return Ok(());
            }
            let next = self.cursor.next_dir().map_err(|e| self.record_failed(e))?;
            for name in self.cursor.take_unstored() {
                self.take_leftover(level, &name);
            }
            match next {
                Some((entry, _)) => {
                    level.is_unread = false;
                    self.take_leftover(level, &entry.name);
                    let Some(mut below) = self.enter(level, entry)? else { continue };
                    self.hand_out_files(&mut below)?;
                    if let Some(far) = below.folder.ancestor(OPEN_LEVELS_MAX) {
                        far.close();
                    }
                    stack.push(below);
                }
                None => {
                    self.cursor.leave().map_err(|e| self.record_failed(e))?;
                    let mut level = stack.pop().expect("the loop runs on the last level");
                    self.tell_unread(&level);
                    if let Some(leftovers) = level.leftovers.take() {
                        let below = self.below_source();
                        leftovers.delete(self.shared, &self.bounds, &level.guard, &level.folder, below.as_ref())?;
                    }
                    folder::release(self.shared, &level.folder)?;
                    self.path.pop();
                }
            }
        }
        Ok(())
    }

    /// A folder that was not read when it was backed up: an older snapshot's may stand in for what is in it.
    fn tell_unread(&self, level: &Level) {
        if level.is_unread {
            let what = "the snapshot has nothing of what is in it; it could not be read when it was made";
            self.shared.problem(Problem::with_detail(self.path.as_bytes(), ProblemKind::NotRestored, what));
        } else if level.part == Part::Whole && level.folder.entry.problem().is_some() {
            Counters::add(&self.shared.sums.stored_with_problem, 1);
        }
    }

    fn stopped(&self) -> Error {
        self.shared.take_failure().unwrap_or(Error::Interrupted)
    }

    fn record_failed(&self, source: ManifestError) -> Error {
        Error::Manifest { snapshot: self.shared.options.snapshot.clone(), source }
    }

    /// Returns the path of the folder that the walk is in below its source.
    fn below_source(&self) -> Option<RelPath> {
        if self.is_single {
            return Some(self.path.clone());
        }
        let mut names = self.path.components();
        names.next()?;
        let mut below = RelPath::root();
        names.for_each(|name| below.push(name));
        Some(below)
    }

    fn top(&mut self, mut entry: Entry, tree: Dir) -> Result<Level, Error> {
        let part = self.selection.folder(&RelPath::root());
        let root = self.shared.roots.iter().position(|r| r.folder.is_root());
        let mut standing = Standing::default();
        let mut place = None;
        if let Some(place_root) = root.map(|i| &self.shared.roots[i]) {
            place = place_root.dir.as_ref().map(Dir::try_clone).transpose()?;
            if let Some(dir) = &place {
                standing = self.standing_of_existing(dir, &entry, part)?;
                // The folder that the user named keeps its own metadata; a source that goes back does not.
                let is_source = self.is_single && self.shared.options.place == Place::InPlace;
                standing.keeps_time = !is_source;
                standing.takes_metadata =
                    self.is_single && (place_root.is_made || (is_source && standing.takes_metadata));
            }
        }
        self.map_owner(&mut entry);
        let volume = entry.volume().unwrap_or(0);
        let guard = self.guard(&Guard::new(&self.shared.protections), &entry, place.as_ref(), Some(&tree));
        let deletes = self.is_single && part == Part::Whole;
        let leftovers = self.leftovers(place.as_ref().filter(|_| deletes), &guard);
        let start = Start { entry, standing, stored: Some(tree), place, root };
        let folder = Arc::new(Folder::new(None, start));
        Ok(Level { folder, part, leftovers, guard, volume, is_unread: false })
    }

    /// Returns what must stay in a folder that is entered.
    fn guard(&self, above: &Guard, entry: &Entry, place: Option<&Dir>, stored: Option<&Dir>) -> Guard {
        let Some(place) = place.filter(|_| self.shared.options.delete) else { return above.clone() };
        let below = self.below_source();
        let entered = Entered { place, stored, below: below.as_ref(), shown: self.path.as_bytes() };
        above.below(self.shared, entry, &entered)
    }

    /// Lists a folder for a delete; if that fails, nothing in it is removed.
    fn leftovers(&self, place: Option<&Dir>, guard: &Guard) -> Option<Leftovers> {
        let dir = place.filter(|_| self.shared.options.delete && !guard.keeps_all)?;
        let listed = Leftovers::list(dir);
        listed.map_err(|error| tell_kept(self.shared, self.path.as_bytes(), &error)).ok()
    }

    /// The snapshot has an entry of this name: what is at the place under it stays.
    fn take_leftover(&self, level: &mut Level, name: &[u8]) {
        let Some(leftovers) = &mut level.leftovers else { return };
        if let Err(error) = leftovers.take(name, || level.folder.dir(Side::Place)) {
            tell_kept(self.shared, self.path.as_bytes(), &error);
            level.leftovers = None;
        }
    }

    /// Enters a folder; `None` if nothing of it is restored.
    fn enter(&mut self, level: &Level, mut entry: Entry) -> Result<Option<Level>, Error> {
        self.path.push(&entry.name);
        let part = match level.part {
            Part::Whole if self.selection.nested => {
                self.selection.pass(&self.path);
                Part::Whole
            }
            Part::Whole => Part::Whole,
            _ => self.selection.folder(&self.path),
        };
        if part == Part::None {
            return self.pass_over().map(|_| None);
        }
        self.map_owner(&mut entry);
        let root = self.shared.roots.iter().position(|r| r.folder == self.path);
        let placed = match root {
            Some(root) => self.place_of_root(root, &entry, part)?,
            None => self.place_of(level, &entry, part)?,
        };
        let Some((place, mut standing)) = placed else { return Ok(None) };
        let stored = self.stored_of(level, &entry)?;
        let existing = place.as_ref().filter(|_| !standing.is_fresh);
        let mut guard = self.guard(&level.guard, &entry, existing, stored.as_ref());
        if let Some(existing) = existing.filter(|_| root.is_none()) {
            // What is mounted there, unless it is where the user sent it, may be all of another disk: it may get entries
            // that it misses, and is not made into what the snapshot has.
            let is_mounted = is_mounted(level, existing);
            standing.takes_metadata &= !is_mounted;
            // What was mounted and is not now hid what is there from the backup.
            let was_mounted = entry.volume().is_some() && self.shared.options.place == Place::InPlace;
            guard.keeps_all |= is_mounted || was_mounted;
        }
        let leftovers = self.leftovers(existing.filter(|_| part == Part::Whole), &guard);
        let volume = entry.volume().unwrap_or(level.volume);
        let is_unread = part == Part::Whole && entry.problem().is_some_and(|p| p != ProblemKind::Metadata);
        Counters::add(&self.shared.sums.entries, 1);
        Counters::add(&self.shared.ctx.counters.entries, 1);
        let start = Start { entry, standing, stored, place, root };
        let folder = Arc::new(Folder::new(Some(level.folder.clone()), start));
        Ok(Some(Level { folder, part, leftovers, guard, volume, is_unread }))
    }

    /// Passes over a folder that was entered; returns the number of entries below it.
    fn pass_over(&mut self) -> Result<u64, Error> {
        self.path.pop();
        self.cursor.leave().map_err(|e| self.record_failed(e))
    }

    fn map_owner(&mut self, entry: &mut Entry) {
        entry.owner = entry.owner.map(|owner| self.owners.local(owner, self.cursor.owner_names()));
    }

    fn stored_of(&mut self, level: &Level, entry: &Entry) -> Result<Option<Dir>, Error> {
        let parent = if entry.is_in_tree() { level.folder.dir(Side::Stored) } else { Ok(None) };
        match parent.and_then(|dir| dir.map(|d| d.open_dir(entry.stored_name())).transpose()) {
            Ok(stored) => Ok(stored),
            Err(error) => {
                let was_unreadable = entry.problem() == Some(ProblemKind::Unreadable);
                if was_unreadable && self.cursor.is_at_end().map_err(|e| self.record_failed(e))? {
                    // It may keep us out as its source did the backup; that nothing of it comes back is told once.
                    return Ok(None);
                }
                let kind = match error.fault() {
                    Faults::Vanished | Faults::WrongKind => ProblemKind::Missing,
                    _ => ProblemKind::Unreadable,
                };
                self.shared.problem(Problem::new(self.path.as_bytes(), kind, &error));
                Ok(None)
            }
        }
    }

    /// A source's folder that goes back to where it was.
    fn place_of_root(&self, root: usize, entry: &Entry, part: Part) -> Result<Option<(Option<Dir>, Standing)>, Error> {
        let place_root = &self.shared.roots[root];
        let Some(dir) = &place_root.dir else {
            self.shared.act(RestoreAction::Make, || self.path.as_bytes().to_vec());
            return Ok(Some((None, Standing::default())));
        };
        let mut standing = self.standing_of_existing(dir, entry, part)?;
        standing.takes_metadata |= place_root.is_made;
        Ok(Some((Some(dir.try_clone()?), standing)))
    }

    /// Opens or makes a folder at its place; `None` if it cannot be, which is reported, and it is passed over.
    fn place_of(&mut self, level: &Level, entry: &Entry, part: Part) -> Result<Option<(Option<Dir>, Standing)>, Error> {
        let path = || self.path.as_bytes().to_vec();
        let made = |dir| Ok(Some(dir));
        let parent = level.folder.dir(Side::Place)?;
        let Some(parent) = parent else {
            self.shared.act(RestoreAction::Make, path);
            return made((None, Standing::default()));
        };
        level.folder.claims().begin(&entry.name);
        if !level.folder.standing.is_fresh {
            match self.open_existing(level, &parent, entry)? {
                Existing::Dir(dir) => {
                    let standing = self.standing_of_existing(&dir, entry, part)?;
                    Counters::add(&self.shared.sums.unchanged, 1);
                    return made((Some(dir), standing));
                }
                Existing::Nothing => {}
                Existing::NoDir => {
                    if !self.make_way(level, &parent, entry)? {
                        self.skip("something that is no folder stands there")?;
                        return Ok(None);
                    }
                }
                Existing::OfOther(other) => {
                    self.skip(&claims::taken(&other))?;
                    return Ok(None);
                }
                Existing::Failed(error) => return self.folder_failed(error),
            }
        }
        if self.shared.options.dry_run {
            self.shared.act(RestoreAction::Make, path);
            return made((None, Standing::default()));
        }
        let mut claims = level.folder.claims();
        match make_folder(&parent, entry, level.folder.standing.hands_down_acl) {
            Ok((dir, id, standing)) => {
                claims.claim(id, &entry.name);
                self.shared.act(RestoreAction::Make, path);
                made((Some(dir), standing))
            }
            Err(error) => {
                let other = other_name(&claims, &parent, &entry.name).filter(|_| error.fault() == Faults::Exists);
                drop(claims);
                match other {
                    Some(other) => self.skip(&claims::taken(&other)).map(|()| None),
                    None => self.folder_failed(error),
                }
            }
        }
    }

    /// Opens the folder that is there, and claims it for its name.
    fn open_existing(&self, level: &Level, parent: &Dir, entry: &Entry) -> Result<Existing, Error> {
        let mut claims = level.folder.claims();
        let opened = parent.open_dir(&entry.name);
        if let Some(other) = other_name(&claims, parent, &entry.name) {
            return Ok(Existing::OfOther(other));
        }
        Ok(match opened {
            Ok(dir) => {
                claims.claim(dir.metadata().map_err(|e| e.under(self.path.as_bytes()))?.id, &entry.name);
                Existing::Dir(dir)
            }
            Err(error) if error.fault() == Faults::Vanished => Existing::Nothing,
            Err(error) if error.fault() == Faults::WrongKind => Existing::NoDir,
            Err(error) => Existing::Failed(error),
        })
    }

    /// Moves what stands in a folder's place aside, if it may; returns whether the way is free.
    fn make_way(&self, level: &Level, parent: &Dir, entry: &Entry) -> Result<bool, Error> {
        if !self.shared.may_replace(|| self.path.as_bytes().to_vec(), false)? {
            return Ok(false);
        }
        if self.shared.options.dry_run {
            return Ok(true);
        }
        set_aside(self.shared, &level.folder, &entry.name, |aside| parent.rename_new(&entry.name, parent, aside))
    }

    fn folder_failed<T>(&mut self, error: PathError) -> Result<Option<T>, Error> {
        let why = format!("cannot {}: {}", error.op, error.source);
        if matches!(error.fault(), Faults::Full | Faults::Io | Faults::ReadOnly)
            || error.source.kind() == std::io::ErrorKind::Interrupted
        {
            return Err(PathError { path: self.path.as_bytes().to_vec(), ..error }.into());
        }
        self.skip(&why)?;
        Ok(None)
    }

    /// Passes over a folder that has no place: one problem for it and all that is below.
    fn skip(&mut self, why: &str) -> Result<(), Error> {
        let path = self.path.clone();
        let below = self.pass_over()?;
        let what = match below {
            0 => why.to_owned(),
            1 => format!("{why}; 1 entry below it is not restored either"),
            _ => format!("{why}; {below} entries below it are not restored either"),
        };
        self.shared.problem(Problem::with_detail(path.as_bytes(), ProblemKind::NotRestored, what));
        Ok(())
    }

    fn standing_of_existing(&self, dir: &Dir, entry: &Entry, part: Part) -> Result<Standing, Error> {
        let here = dir.metadata().map_err(|e| e.under(self.path.as_bytes()))?;
        if !self.shared.options.dry_run {
            self.remove_temporaries(dir)?;
        }
        let asked = match self.shared.options.overwrite {
            Overwrite::Always => true,
            Overwrite::Newer => entry.mtime > here.mtime,
            Overwrite::Never | Overwrite::Ask => false,
        };
        Ok(Standing {
            is_fresh: false,
            takes_metadata: metadata::is_unfinished(&here) || (part == Part::Whole && asked),
            keeps_time: false,
            default_owner: None,
            hands_down_acl: metadata::hands_down_acl(dir),
        })
    }

    /// Removes what an interrupted restore was writing.
    fn remove_temporaries(&self, dir: &Dir) -> Result<(), Error> {
        let Ok(listing) = dir.list() else { return Ok(()) };
        for entry in listing.iter().take(listing.files_len()).filter(|e| is_temporary(e.name)) {
            match dir.unlink(entry.name) {
                Err(error) if error.fault() != Faults::Vanished => {
                    self.shared.place_failed(self.path.join(entry.name).as_bytes(), error)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Hands out the entries of a folder that are no folders.
    fn hand_out_files(&mut self, level: &mut Level) -> Result<(), Error> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some((mut entry, _)) = self.cursor.next_file().map_err(|e| self.record_failed(e))? {
            level.is_unread = false;
            match level.part {
                Part::Whole if self.selection.nested => self.selection.pass(&self.path.join(&entry.name)),
                Part::Whole => {}
                _ if !self.selection.file(&self.path, &entry.name) => continue,
                _ => {}
            }
            self.take_leftover(level, &entry.name);
            self.map_owner(&mut entry);
            bytes += entry.size_bytes;
            entries.push(entry);
            if entries.len() >= CHUNK_ENTRIES || bytes >= CHUNK_BYTES {
                bytes = 0;
                self.hand_out(level, std::mem::take(&mut entries))?;
            }
        }
        self.hand_out(level, entries)
    }

    fn hand_out(&mut self, level: &Level, entries: Vec<Entry>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        level.folder.hold();
        let chunk = Chunk { folder: level.folder.clone(), entries, volume: level.volume };
        self.chunks.send(chunk).map_err(|_| self.stopped())
    }
}

/// What stands where a folder goes.
enum Existing {
    Dir(Dir),
    Nothing,
    NoDir,
    /// What is restored for another name.
    OfOther(Box<[u8]>),
    Failed(PathError),
}

/// Returns another name of the folder's that leads to what stands at a name.
fn other_name(claims: &Claims, parent: &Dir, name: &[u8]) -> Option<Box<[u8]>> {
    parent.stat(name).ok().and_then(|there| claims.other_name(parent, name, &there))
}

/// Makes a folder and opens it.
fn make_folder(parent: &Dir, entry: &Entry, hands_down_acl: bool) -> Result<(Dir, FileId, Standing), PathError> {
    parent.make_dir(&entry.name, UNFINISHED_FOLDER)?;
    let dir = parent.open_dir(&entry.name)?;
    metadata::compress(&metadata::At::Name(&dir, b""), entry);
    if hands_down_acl {
        metadata::drop_handed_down_folder(&dir);
    }
    let there = dir.metadata()?;
    let (is_fresh, takes_metadata) = (true, true);
    let standing = Standing { is_fresh, takes_metadata, default_owner: there.owner, ..Standing::default() };
    Ok((dir, there.id, standing))
}

/// Returns whether another volume, or another part of this one, is mounted on a folder at the place.
fn is_mounted(above: &Level, dir: &Dir) -> bool {
    let Ok(Some(above)) = above.folder.dir(Side::Place) else { return true };
    let same_volume = match (above.metadata(), dir.metadata()) {
        (Ok(above), Ok(here)) => above.id.volume == here.id.volume,
        _ => false,
    };
    dir.is_mount_point().unwrap_or(true) || !same_volume
}
