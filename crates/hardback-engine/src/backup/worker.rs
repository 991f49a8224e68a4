//! Stores one entry: looks at the source, asks the plan, obeys.

use super::copy::{Buffers, CopyError, ReadFrom, Sink, copy_content};
use super::elsewhere;
use super::folder::{Folder, Side};
use super::groups::{self, First, Stored};
use super::metadata::{self, Place};
use super::shared::{Item, Outcome, Shared, SourceFacts};
use super::store;
use super::xattrs;
use crate::error::{Error, UnderPath};
use crate::groups::{Key, Turn};
use crate::manifest::{Entry, Unstored};
use crate::plan::{self, Action};
use crate::problem::{Problem, ProblemKind};
use crate::report::Counters;
use hardback_platform::{Dir, Kind, Metadata, PathError, Time, ntfs, reparse};
use std::sync::Arc;

/// Times that a file which changes while it is read is read.
const READ_ATTEMPTS_MAX: u32 = 3;
/// Why a file is copied that the base has under another name.
pub(super) const MOVED: &str = "moved";

/// A folder's handles while a chunk of it is worked on.
pub(super) struct At<'a> {
    pub(super) folder: &'a Arc<Folder>,
    pub(super) source: Option<Arc<Dir>>,
    /// Why the source's folder could not be opened again.
    lost: Option<PathError>,
    pub(super) base: Option<Arc<Dir>>,
    pub(super) target: Option<Arc<Dir>>,
    pub(super) facts: SourceFacts,
    /// The time shortly before the entries are read.
    pub(super) now: Time,
}

impl<'a> At<'a> {
    pub(super) fn open(folder: &'a Arc<Folder>, facts: SourceFacts, now: Time) -> Result<Self, PathError> {
        let side = |side| if folder.has(side) { folder.dir(side).map(Some) } else { Ok(None) };
        // In a deep tree handles are opened again by name: a source that is gone meanwhile is a problem of these
        // entries, and without the base they are stored anew.
        let (source, lost) = match side(Side::Source) {
            Ok(source) => (source, None),
            Err(error) => (None, Some(error)),
        };
        Ok(Self {
            folder,
            source,
            lost,
            base: side(Side::Base).unwrap_or_default(),
            target: side(Side::Target)?,
            facts,
            now,
        })
    }
}

/// One of the threads that store entries.
pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) buffers: Buffers,
    /// Names in the chunk that were left out for what the entries are now, or that were gone when they were read.
    pub(super) unstored: Vec<(Unstored, Box<[u8]>)>,
    /// That some of the entry's metadata cannot be read was told: it is read again where the entry is stored anew.
    pub(super) is_loss_told: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, buffers: Buffers::new(), unstored: Vec::new(), is_loss_told: false }
    }

    /// Stores the entries of a chunk. An error is one of the target and ends the run; what was stored before it stays
    /// in the record.
    pub(super) fn chunk(&mut self, at: &At<'_>, items: Vec<Item>, outcomes: &mut Vec<Outcome>) -> Result<(), Error> {
        outcomes.reserve(items.len());
        for item in items {
            if self.shared.is_stopped() {
                break;
            }
            let mut outcome = self.item(at, item)?;
            if let Some(outcome) = &mut outcome {
                self.note_elsewhere(at, &mut outcome.entry);
            }
            outcomes.extend(outcome);
            Counters::add(&self.shared.ctx.counters.entries, 1);
        }
        Ok(())
    }

    fn item(&mut self, at: &At<'_>, mut item: Item) -> Result<Option<Outcome>, Error> {
        self.is_loss_told = false;
        if let Some(error) = &at.lost {
            return self.source_failed(at, item, error);
        }
        let Some(source) = &at.source else { return self.carry(at, item, None) };
        let looked = look_first(at, source, &mut item).and_then(|metadata| self.fetch(source, &mut item, metadata));
        let metadata = match looked {
            Ok(metadata) if matches!(metadata.kind, Kind::Dir | Kind::Other) => {
                let (kind, what) = match metadata.kind {
                    Kind::Dir => {
                        (ProblemKind::Replaced, "it is a folder now, and was none when its folder was listed".into())
                    }
                    _ => (ProblemKind::Unsupported, why_unknown(source, &item.name)),
                };
                self.shared.problem(Problem::with_detail(&at.folder.path_of(&item.name), kind, what));
                return self.carry(at, item, Some(kind));
            }
            Ok(metadata) => metadata,
            Err(error) => return self.source_failed(at, item, &error),
        };
        if self.shared.leaves_out(&metadata) || self.skips_encrypted(source, &item, &metadata) {
            Counters::add(&self.shared.sums.excluded, 1);
            self.unstored.push((Unstored::Excluded, item.name));
            return Ok(None);
        }
        self.present(at, item, metadata)
    }

    /// Stores an entry that is there.
    fn present(&mut self, at: &At<'_>, item: Item, metadata: Metadata) -> Result<Option<Outcome>, Error> {
        let rules = at.facts.rules;
        let action = plan::decide(&metadata, None, item.base.as_ref(), rules);
        if action == Action::Link {
            // Names of one inode were linked to each other in the base: no need to look for the others, unless some of
            // them may have failed.
            return match &item.base {
                Some(base) if metadata.nlink > 1 && !self.shared.base_is_whole => {
                    let entry = base.clone();
                    self.in_turn(at, item, entry, &metadata, action)
                }
                _ => self.link_unchanged(at, item, &metadata),
            };
        }
        let mut entry = metadata::entry_of(&item.name, &metadata, rules.reliable_ctime, rules.stable_ids);
        let action = if matches!(action, Action::Look) {
            match self.look(at, &mut entry) {
                Ok(()) => {
                    let full = (&entry.xattrs().to_vec(), entry.link_text());
                    plan::decide(&metadata, Some(full), item.base.as_ref(), rules)
                }
                // What is not known for all of it is stored anew, and that tells what it lacks.
                Err(error) if !is_gone(&error) => Action::Copy,
                Err(error) => return self.source_failed(at, item, &error),
            }
        } else {
            action
        };
        self.in_turn(at, item, entry, &metadata, action)
    }

    /// Links an entry that is as it was; stores it anew if the base's file cannot be linked.
    fn link_unchanged(&mut self, at: &At<'_>, mut item: Item, metadata: &Metadata) -> Result<Option<Outcome>, Error> {
        let mut entry = item.base.take().expect("only what is in the base is linked");
        if store::link_from_base(self.shared, at, &mut entry)? {
            Counters::add(&self.shared.sums.linked, 1);
            let stored = store::known(&entry);
            return Ok(Some(Outcome { entry, stored, group: None }));
        }
        item.base = Some(entry.clone());
        let action = if entry.kind == Kind::File { Action::Restamp } else { Action::Copy };
        self.in_turn(at, item, entry, metadata, action)
    }

    /// Stores an entry; of several names of one inode only the first, to which the others are linked.
    fn in_turn(
        &mut self,
        at: &At<'_>,
        item: Item,
        entry: Entry,
        metadata: &Metadata,
        action: Action,
    ) -> Result<Option<Outcome>, Error> {
        let group = (metadata.nlink > 1).then_some(metadata.id);
        let Some(id) = group.filter(|_| at.target.is_some()) else {
            return self.perform(at, item, entry, metadata, action);
        };
        let key = groups::key_of(id);
        match self.shared.groups.turn(key, metadata.nlink, self.shared).under(&self.shared.in_partial)? {
            // An entry is missing, and so is the seal.
            Turn::Stop => Ok(None),
            Turn::Link(first) => {
                if item.base.is_none() && metadata.kind == Kind::File {
                    self.count_moved_away(at, metadata);
                }
                self.join_group(at, item, metadata, &first)
            }
            Turn::First => {
                let outcome = self.perform(at, item, entry, metadata, action);
                match &outcome {
                    Ok(Some(outcome)) if store::may_lead(outcome, id) => {
                        self.lead(key, at, outcome)?;
                    }
                    _ => self.shared.groups.failed(key),
                }
                outcome
            }
        }
    }

    /// Lets the other names of a group know what was stored.
    fn lead(&self, key: Key, at: &At<'_>, outcome: &Outcome) -> Result<(), PathError> {
        self.shared.groups.made(key, store::first_of(at, outcome)).under(&self.shared.in_partial)
    }

    /// Reads what `stat` does not tell.
    pub(super) fn look(&mut self, at: &At<'_>, entry: &mut Entry) -> Result<(), PathError> {
        let source = at.source.as_ref().expect("looked at only with a source");
        let read = source.read_xattrs(&entry.name)?;
        let name = entry.name.clone();
        xattrs::take(self.shared, entry, Ok(read), &mut self.is_loss_told, &|| at.folder.path_of(&name));
        if entry.kind == Kind::Symlink {
            let text = source.read_link(&entry.name)?;
            entry.extra_mut().link_text = Some(text);
        }
        if entry.kind == Kind::File
            && let Ok(file) = source.open_file(&entry.name)
        {
            // Attribute bits that stat does not tell.
            let attributes = file.attributes();
            if attributes.0 != 0 {
                entry.extra_mut().attributes = attributes;
            }
        }
        Ok(())
    }

    fn perform(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
        action: Action,
    ) -> Result<Option<Outcome>, Error> {
        if entry.kind != Kind::File {
            return self.special(at, item, entry, metadata, action);
        }
        if action != Action::Link
            && let Some(outcome) = self.adopt(at, &item, &entry, metadata)?
        {
            return Ok(Some(outcome));
        }
        match (action, item.base.as_ref()) {
            (Action::Link, Some(_)) => self.link_or_refill(at, item, entry, metadata),
            (Action::Restamp, Some(_)) => self.refill(at, item, entry, metadata),
            (Action::Compare, Some(base)) => {
                let base = base.clone();
                match self.same_content(at, &entry, metadata, &base) {
                    Ok(true) => self.as_compared(at, item, entry, metadata, &base),
                    Ok(false) => self.copy(at, item, entry, metadata, "content changed"),
                    Err(CopyError::Source(error)) => self.source_failed(at, item, &error),
                    Err(CopyError::Target(error)) => Err(error.into()),
                }
            }
            // The same file with other content; without the same id it may have come from elsewhere.
            (_, Some(base)) if base.inode == entry.inode => self.copy(at, item, entry, metadata, "changed"),
            (_, base) => {
                let why = if base.is_some() { "changed" } else { "new" };
                match self.find_moved(at, &mut entry, metadata)? {
                    Some(found) => self.link_moved(at, item, entry, metadata, &found),
                    None => self.copy(at, item, entry, metadata, why),
                }
            }
        }
    }

    /// The content is as in the base: link if the metadata is too, else fill a new inode from the base.
    fn as_compared(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
        base: &Entry,
    ) -> Result<Option<Outcome>, Error> {
        entry.hot = self.is_hot(at, metadata);
        if entry.extra.as_ref().is_none_or(|e| e.xattrs.is_empty())
            && let Err(error) = self.look(at, &mut entry)
        {
            return self.source_failed(at, item, &error);
        }
        let same = base.mode == entry.mode && base.owner == entry.owner && base.still_has_xattrs(entry.xattrs());
        if same { self.link_or_refill(at, item, entry, metadata) } else { self.refill(at, item, entry, metadata) }
    }

    /// Copies from the source, again if it changed meanwhile.
    pub(super) fn copy(
        &mut self,
        at: &At<'_>,
        mut item: Item,
        entry: Entry,
        metadata: &Metadata,
        why: &'static str,
    ) -> Result<Option<Outcome>, Error> {
        let sums = &self.shared.sums;
        if at.target.is_none() {
            let is_first = self.shared.would_be_new(at.folder.path_of(&entry.name), metadata, why);
            // A file that moved cannot be told from a new one here, but has its old time.
            if is_first && item.base.is_some() {
                Counters::add(&sums.replaced, 1);
            } else if is_first && self.shared.base_started.is_some_and(|base| metadata.mtime >= base) {
                Counters::add(&sums.added, 1);
            }
            return Ok(Some(Outcome { entry, stored: Stored::Nothing, group: None }));
        }
        // What moved is counted by its name.
        if why != MOVED {
            Counters::add(if item.base.is_some() { &sums.replaced } else { &sums.added }, 1);
        }
        self.settle(at, &item, None, &entry.name);
        if metadata.size_bytes >= super::LARGE_FILE_BYTES {
            self.shared.ctx.counters.set_current(&at.folder.path_of(&entry.name));
        }
        for attempt in 1..=READ_ATTEMPTS_MAX {
            match self.copy_once(at, &mut item, &entry) {
                Ok((mut outcome, settled)) => {
                    if settled {
                        return Ok(Some(outcome));
                    }
                    if attempt == READ_ATTEMPTS_MAX {
                        let path = at.folder.path_of(&entry.name);
                        let what = format!("read {attempt} times; the last reading is stored");
                        self.shared.problem(Problem::with_detail(&path, ProblemKind::Changing, what));
                        outcome.entry.extra_mut().problem = Some(ProblemKind::Changing);
                        return Ok(Some(outcome));
                    }
                    store::remove(at, &outcome.entry)?;
                }
                Err(CopyError::Source(error)) => return self.source_failed(at, item, &error),
                Err(CopyError::Target(error)) => return self.target_failed(at, item, error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Copies once; returns the outcome and whether the source stood still meanwhile.
    fn copy_once(&mut self, at: &At<'_>, item: &mut Item, entry: &Entry) -> Result<(Outcome, bool), CopyError> {
        let source = at.source.as_ref().expect("copied only with a source");
        let opened = match item.opened.take() {
            Some(opened) => Ok(opened),
            None => elsewhere::open(source, &entry.name, entry.raw_of().is_some()),
        };
        let (file, before) = opened.map_err(CopyError::Source)?;
        let rules = at.facts.rules;
        let mut entry = metadata::entry_of(&entry.name, &before, rules.reliable_ctime, rules.stable_ids);
        entry.hot = self.is_hot(at, &before);
        let name = entry.name.clone();
        let read = file.read_xattrs();
        xattrs::take(self.shared, &mut entry, read, &mut self.is_loss_told, &|| at.folder.path_of(&name));
        let attributes = file.attributes();
        if attributes.0 != 0 {
            entry.extra_mut().attributes = attributes;
        }
        let made = store::create(self.shared, at, &mut entry, item.base.as_ref())?;
        let filled = self.fill(at, &file, &before, &made, entry);
        if filled.is_err() {
            store::free_name(at, &made);
        }
        filled
    }

    /// Fills a new file from the source and sets its metadata.
    fn fill(
        &mut self,
        at: &At<'_>,
        file: &hardback_platform::FileRead,
        before: &Metadata,
        made: &store::Made,
        mut entry: Entry,
    ) -> Result<(Outcome, bool), CopyError> {
        let sink = if made.is_clone { Sink::Patch(&made.file) } else { Sink::Write(&made.file) };
        let content = copy_content(
            self.shared,
            (ReadFrom::Source, file),
            before.size_bytes,
            before.blocks,
            &sink,
            &mut self.buffers,
        )
        .map_err(|e| store::named(e, &entry.name))?;
        let after = file.metadata().map_err(CopyError::Source)?;
        let settled = content.size_bytes == before.size_bytes && is_same_moment(before, &after);
        entry.size_bytes = content.size_bytes;
        let path = || at.folder.path_of(&entry.name);
        let finished = metadata::apply(self.shared, &Place::File(&made.file), &entry, &path)
            .and_then(|()| store::sync_alone(self.shared, &made.file));
        finished.map_err(store::as_copy_error)?;
        let stored = if content.size_bytes == 0 { Stored::Nothing } else { Stored::New(content.digest) };
        let group = (before.nlink > 1).then_some(before.id);
        Ok((Outcome { entry, stored, group }, settled))
    }

    /// Returns whether the source's file has the base's content, by reading it.
    fn same_content(
        &mut self,
        at: &At<'_>,
        entry: &Entry,
        metadata: &Metadata,
        base: &Entry,
    ) -> Result<bool, CopyError> {
        let Some(content) = base.content else { return Ok(metadata.size_bytes == 0) };
        let Ok(known) = self.shared.digests.get(content) else { return Ok(false) };
        Ok(self.digest_of(at, entry, metadata)? == Some(known))
    }

    /// Reads and hashes the source's file; `None` if it changed meanwhile.
    pub(super) fn digest_of(
        &mut self,
        at: &At<'_>,
        entry: &Entry,
        metadata: &Metadata,
    ) -> Result<Option<crate::manifest::Digest>, CopyError> {
        let source = at.source.as_ref().expect("compared only with a source");
        let (file, _) = elsewhere::open(source, &entry.name, metadata.raw_of.is_some()).map_err(CopyError::Source)?;
        let read = copy_content(
            self.shared,
            (ReadFrom::Source, &file),
            metadata.size_bytes,
            metadata.blocks,
            &Sink::Hash,
            &mut self.buffers,
        )?;
        let after = file.metadata().map_err(CopyError::Source)?;
        let settled = read.size_bytes == metadata.size_bytes && is_same_moment(metadata, &after);
        Ok(settled.then_some(read.digest))
    }

    /// A file touched shortly before it was read may change again without moving its times.
    pub(super) fn is_hot(&self, at: &At<'_>, metadata: &Metadata) -> bool {
        let window_s = self.shared.options.hot_window_s;
        let touched = metadata.ctime.filter(|_| at.facts.rules.reliable_ctime).unwrap_or(metadata.mtime);
        window_s > 0 && at.now.seconds.saturating_sub(touched.seconds) < window_s
    }

    /// The source's entry cannot be read: its base's version stands in, and it is a problem.
    pub(super) fn source_failed(
        &mut self,
        at: &At<'_>,
        item: Item,
        error: &PathError,
    ) -> Result<Option<Outcome>, Error> {
        let kind = ProblemKind::of_source(error);
        self.shared.problem(Problem::new(&at.folder.path_of(&item.name), kind, error));
        self.carry(at, item, Some(kind))
    }

    /// The target refused one entry; a failing target ends the run.
    pub(super) fn target_failed(
        &mut self,
        at: &At<'_>,
        item: Item,
        error: PathError,
    ) -> Result<Option<Outcome>, Error> {
        let path = at.folder.path_of(&item.name);
        if is_fatal(&error) {
            return Err(PathError { path, ..error }.into());
        }
        self.shared.problem(Problem::new(&path, ProblemKind::NotStored, &error));
        self.carry(at, item, Some(ProblemKind::NotStored))
    }

    /// Links the base's version of an entry whose source cannot be read. What vanished is gone, but may come back at any
    /// moment: it was not looked at, and the record says so.
    fn carry(&mut self, at: &At<'_>, item: Item, problem: Option<ProblemKind>) -> Result<Option<Outcome>, Error> {
        if problem == Some(ProblemKind::Vanished) {
            Counters::add(&self.shared.sums.problems_without_line, 1);
            self.unstored.push((Unstored::Vanished, item.name));
            return Ok(None);
        }
        let Some(mut entry) = item.base else {
            let Some(kind) = problem else { return Ok(None) };
            let mut entry = Entry::new(&item.name, Kind::Other);
            entry.extra_mut().absent = true;
            entry.extra_mut().problem = Some(kind);
            return Ok(Some(Outcome { entry, stored: Stored::Nothing, group: None }));
        };
        // Below an unreadable folder only the folder is a problem.
        if let Some(kind) = problem {
            entry.extra_mut().problem = Some(kind);
        }
        if entry.is_in_tree()
            && at.target.is_some()
            && !store::link_from_base(self.shared, at, &mut entry)?
            && !self.stand_in(at, &mut entry)?
        {
            entry.extra_mut().absent = true;
            if problem.is_none() {
                let path = at.folder.path_of(&entry.name);
                let what = "its source cannot be read, and the base's version is lost";
                self.shared.problem(Problem::with_detail(&path, ProblemKind::NotStored, what));
                entry.extra_mut().problem = Some(ProblemKind::NotStored);
            }
        }
        let stored = entry.content.map_or(Stored::Nothing, Stored::Known);
        Ok(Some(Outcome { entry, stored, group: None }))
    }

    /// One more name of what the first of a group stored.
    fn join_group(
        &mut self,
        at: &At<'_>,
        item: Item,
        metadata: &Metadata,
        first: &First,
    ) -> Result<Option<Outcome>, Error> {
        if !is_as_stored(&first.entry, metadata) {
            let rules = at.facts.rules;
            let mut entry = metadata::entry_of(&item.name, metadata, rules.reliable_ctime, rules.stable_ids);
            // The next run looks at it again, and makes one file of the names that are one.
            entry.hot = true;
            return self.lead_on(at, item, entry, metadata);
        }
        let mut entry = Entry { name: item.name.clone(), ..first.entry.clone() };
        if let Some(extra) = &mut entry.extra {
            extra.stored = None;
        }
        let is_told = self.is_loss_told && entry.problem() == Some(ProblemKind::Metadata);
        if let Some(kind) = entry.problem().filter(|_| !is_told) {
            let what = "another name of it had this problem";
            self.shared.problem(Problem::with_detail(&at.folder.path_of(&entry.name), kind, what));
        }
        if store::link_to_first(self.shared, at, &mut entry, first)? {
            return Ok(Some(Outcome { entry, stored: first.stored, group: Some(metadata.id) }));
        }
        // The group is as large as the volume allows: it goes on with a fresh copy.
        self.lead_on(at, item, entry, metadata)
    }

    /// Stores a name of a group by itself; the names to come are linked to it.
    fn lead_on(
        &mut self,
        at: &At<'_>,
        item: Item,
        entry: Entry,
        metadata: &Metadata,
    ) -> Result<Option<Outcome>, Error> {
        let is_hot = entry.hot;
        let mut outcome = if entry.kind == Kind::File {
            self.copy(at, item, entry, metadata, "another name of a file")?
        } else {
            self.special(at, item, entry, metadata, Action::Copy)?
        };
        if let Some(outcome) = &mut outcome {
            outcome.entry.hot |= is_hot;
        }
        if let Some(outcome) = outcome.as_ref().filter(|outcome| store::may_lead(outcome, metadata.id)) {
            self.lead(groups::key_of(metadata.id), at, outcome)?;
        }
        Ok(outcome)
    }
}

/// Returns whether a file is still the one that was stored for another of its names. One that changed whenever it was
/// read is taken for it: that is told as a problem, and the next run reads it again.
fn is_as_stored(first: &Entry, metadata: &Metadata) -> bool {
    let is_same = first.kind == metadata.kind
        && (first.kind != Kind::File || first.size_bytes == metadata.size_bytes)
        && first.mtime == metadata.mtime
        && first.mode == metadata.mode
        && first.owner == metadata.owner
        && first.ctime.is_none_or(|ctime| Some(ctime) == metadata.ctime);
    is_same || first.problem() == Some(ProblemKind::Changing)
}

/// Returns whether an error says that an entry is not there any more, or is another.
pub(super) fn is_gone(error: &PathError) -> bool {
    use hardback_platform::Faults;
    matches!(error.fault(), Faults::Vanished | Faults::WrongKind)
}

/// Returns why an entry of an unknown kind cannot be backed up.
fn why_unknown(source: &Dir, name: &[u8]) -> String {
    let xattrs = source.read_xattrs(name).map(|read| read.xattrs).unwrap_or_default();
    match ntfs::get(&xattrs, ntfs::REPARSE).and_then(reparse::tag_in) {
        Some(tag) => format!(
            "only Windows can read its content, and what is below it, which is behind the reparse point {tag:#010x}; back \
             this disk up on Windows"
        ),
        None => "it is of an unknown kind, or became one since its folder was listed".to_owned(),
    }
}

/// Returns what is known about an entry. A file that nobody knows yet is opened for it, as it will be read anyway.
fn look_first(at: &At<'_>, source: &Dir, item: &mut Item) -> Result<Metadata, PathError> {
    if item.is_new_file
        && at.target.is_some()
        && let Ok((file, metadata)) = source.open_file_and_look(&item.name)
    {
        item.opened = Some((file, metadata));
        return Ok(metadata);
    }
    source.stat(&item.name)
}

/// Returns whether an error of the target ends the run: the disk is full or fails, or a test's watch stops the run.
pub(super) fn is_fatal(error: &PathError) -> bool {
    use hardback_platform::Faults;
    matches!(error.fault(), Faults::Full | Faults::Io | Faults::ReadOnly | Faults::Vanished)
        || error.source.kind() == std::io::ErrorKind::Interrupted
}

/// Returns whether a file has not been touched between two looks.
fn is_same_moment(before: &Metadata, after: &Metadata) -> bool {
    before.size_bytes == after.size_bytes
        && before.mtime == after.mtime
        && before.ctime == after.ctime
        && before.id == after.id
}
