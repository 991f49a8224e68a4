//! The walk: lists the source's folders in tree order, pairs each with the base's record, makes the folders in the new
//! tree and hands their entries out in chunks.

use super::collect::{Numbered, Output};
use super::folder::{Folder, Handles, OPEN_LEVELS_MAX, Side};
use super::metadata;
use super::shared::{Item, Shared, SourceFacts};
use super::store;
use super::throttle::Throttle;
use super::xattrs;
use crate::Excludes;
use crate::error::Error;
use crate::exclude::{DIRECTORY_FILE_NAME, ExcludeRules};
use crate::excludes::IGNORE_FILE_BYTES_MAX;
use crate::job::JobSource;
use crate::manifest::{Entry, ManifestError, TreeCursor, Unstored};
use crate::plan::Rules;
use crate::problem::{Problem, ProblemKind};
use crate::report::Counters;
use crate::target::PRIVATE_DIR;
use crossbeam_channel::Sender;
use hardback_platform::{Dir, Faults, FileRead, Kind, Listing, Metadata, PathError, XattrsRead};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Entries of a chunk.
const CHUNK_ENTRIES: usize = 64;
/// Folders with at most this many entries are split in two, so that a few large files keep two workers busy.
const SMALL_FOLDER_ENTRIES: usize = 8;
/// Deepest folder that is walked; deeper ones are problems.
const DEPTH_MAX: usize = 50_000;

/// Entries of one folder for a worker.
pub(super) struct Chunk {
    pub(super) number: u64,
    pub(super) folder: Arc<Folder>,
    pub(super) items: Vec<Item>,
    pub(super) facts: SourceFacts,
}

/// The record of the base or of an unfinished run, walked beside the source.
pub(super) type Cursor = TreeCursor<FileRead>;

/// A folder that the walk is in.
struct Level {
    folder: Arc<Folder>,
    /// Subfolders and how far the walk has come; `None` where the source cannot be listed and the base stands in.
    listing: Option<(Listing, usize)>,
    /// Where the source is: path below the source's root, for the excludes.
    below: Option<Vec<u8>>,
    in_base: bool,
    in_adopted: Vec<bool>,
    facts: SourceFacts,
    volume: u64,
    keep_marker_only: Option<Vec<u8>>,
    /// The rules of the run and of the lists in the folders above.
    rules: ExcludeRules,
    /// What is left out here is named in the record: the list or marker by which it is, is not in the snapshot.
    names_left_out: bool,
}

/// What the walk needs beside the shared state.
pub(super) struct Walk<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) excludes: &'a Excludes,
    pub(super) base: Option<Cursor>,
    pub(super) adopted: Vec<Cursor>,
    pub(super) chunks: Sender<Chunk>,
    pub(super) outputs: Sender<Numbered>,
    pub(super) throttle: &'a Throttle,
    /// The target's top folder, which no source may contain.
    pub(super) target_id: hardback_platform::FileId,
    pub(super) next: u64,
    pub(super) rules: Box<dyn Fn(&Dir) -> Rules + Send + 'a>,
}

impl Level {
    /// A folder below this one whose source cannot be read.
    fn stood_in_for(&self, folder: Arc<Folder>, in_base: bool, in_adopted: Vec<bool>) -> Self {
        Self {
            folder,
            listing: None,
            below: None,
            in_base,
            in_adopted,
            facts: self.facts,
            volume: self.volume,
            keep_marker_only: None,
            rules: ExcludeRules::default(),
            names_left_out: false,
        }
    }
}

/// An empty mount point looks like a source whose files were all deleted.
pub(super) fn refuse_empty(path: &[u8]) -> Error {
    let name = hardback_platform::path::display(path);
    Error::refused(
        format!("the source of {name} is empty"),
        "is its disk mounted? if it is meant to be empty, run with --allow-empty",
    )
}

fn base_failed(source: ManifestError) -> Error {
    Error::Manifest { snapshot: "the base".into(), source }
}

impl Walk<'_> {
    /// Walks all sources.
    pub(super) fn run(&mut self, top: Folder, sources: &[JobSource], roots: &[Dir]) -> Result<(), Error> {
        let top = Arc::new(top);
        self.emit(Output::Dir(top.entry.clone()))?;
        let in_adopted = vec![true; self.adopted.len()];
        let in_base = self.base.is_some();
        if let ([source], [root]) = (sources, roots)
            && source.folder.is_empty()
        {
            let level = self.level_of_root(top, root.try_clone()?, in_base, in_adopted)?;
            return self.run_level(level);
        }
        for (source, root) in sources.iter().zip(roots) {
            let (entry, base_entry) = self.enter_named(&source.folder, in_base)?;
            let in_adopted = self.enter_adopted(&source.folder, &in_adopted)?;
            let mut entry = entry;
            self.describe_root(&mut entry, root, base_entry.as_ref())?;
            let handles = self.handles(&top, &mut entry, Some(root.try_clone()?), base_entry.as_ref())?;
            let base_name = base_entry.as_ref().map(Entry::stored_name);
            let folder = Arc::new(Folder::new(Some(top.clone()), entry, base_name, handles));
            self.emit(Output::Dir(folder.entry.clone()))?;
            let level = self.level_of_root(folder, root.try_clone()?, base_entry.is_some(), in_adopted)?;
            self.run_level(level)?;
        }
        self.leave_top(top)
    }

    fn leave_top(&mut self, top: Arc<Folder>) -> Result<(), Error> {
        if let Some(base) = &mut self.base {
            let passed = base.leave().map_err(base_failed)?;
            Counters::add(&self.shared.sums.removed, passed);
        }
        self.emit(Output::Up)?;
        self.finish(&top)
    }

    /// Makes the entry of a folder; its attributes are read again only if its ctime moved.
    fn folder_entry(
        &self,
        name: &[u8],
        metadata: &Metadata,
        rules: Rules,
        dir: &Dir,
        base: Option<&Entry>,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Entry {
        let mut entry = metadata::entry_of(name, metadata, rules.reliable_ctime, rules.stable_ids);
        let same = entry.ctime.is_some() && base.is_some_and(|b| b.ctime == entry.ctime && b.inode == entry.inode);
        let usable = base.filter(|b| same && b.problem().is_none());
        let of_base = |base: &Entry| Ok(XattrsRead { xattrs: base.xattrs().to_vec(), lost: None });
        let read = usable.map_or_else(|| dir.read_xattrs(b""), of_base);
        let attributes = usable.map_or_else(|| dir.attributes(), Entry::attributes);
        xattrs::take(self.shared, &mut entry, read, &mut false, path);
        if attributes.0 != 0 {
            entry.extra_mut().attributes = attributes;
        }
        if base.is_some_and(|base| is_same_folder(base, &entry)) {
            Counters::add(&self.shared.sums.same_dirs, 1);
        }
        entry
    }

    fn describe_root(&self, entry: &mut Entry, root: &Dir, base: Option<&Entry>) -> Result<(), Error> {
        let metadata = root.metadata()?;
        let rules = (self.rules)(root);
        let name = entry.name.clone();
        *entry = self.folder_entry(&name, &metadata, rules, root, base, &|| name.to_vec());
        entry.extra_mut().volume = Some(metadata.id.volume);
        Ok(())
    }

    fn level_of_root(
        &mut self,
        folder: Arc<Folder>,
        root: Dir,
        in_base: bool,
        in_adopted: Vec<bool>,
    ) -> Result<Level, Error> {
        let facts = SourceFacts { rules: (self.rules)(&root) };
        let metadata = root.metadata()?;
        let listing = root.list().map_err(|e| e.under(&folder.path()))?;
        if listing.is_empty() && !self.shared.options.allow_empty {
            return Err(refuse_empty(&folder.path()));
        }
        let mut level = Level {
            folder,
            listing: Some((listing, 0)),
            below: Some(Vec::new()),
            in_base,
            in_adopted,
            facts,
            volume: metadata.id.volume,
            keep_marker_only: None,
            rules: ExcludeRules::default(),
            names_left_out: false,
        };
        self.read_markers(&mut level, &root, self.excludes.rules.clone());
        Ok(level)
    }

    /// Walks a folder and all below it, with a stack of its own.
    fn run_level(&mut self, first: Level) -> Result<(), Error> {
        let mut stack = vec![first];
        self.hand_out_files(&mut stack[0])?;
        while let Some(level) = stack.last_mut() {
            if self.shared.is_stopped() {
                return Err(Error::Interrupted);
            }
            let next = if level.listing.is_some() { self.next_listed(level)? } else { self.next_of_base(level)? };
            match next {
                Some(mut below) => {
                    self.hand_out_files(&mut below)?;
                    if let Some(far) = below.folder.ancestor(OPEN_LEVELS_MAX) {
                        far.close();
                    }
                    stack.push(below);
                }
                None => {
                    let level = stack.pop().expect("the loop runs on the last level");
                    self.leave(&level)?;
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, level: &Level) -> Result<(), Error> {
        if level.in_base
            && let Some(base) = &mut self.base
        {
            let passed = base.leave().map_err(base_failed)?;
            Counters::add(&self.shared.sums.removed, passed);
        }
        for (adopted, inside) in self.adopted.iter_mut().zip(&level.in_adopted) {
            if *inside {
                adopted.leave().map_err(base_failed)?;
            }
        }
        self.emit(Output::Up)?;
        self.finish(&level.folder)
    }

    fn finish(&self, folder: &Arc<Folder>) -> Result<(), Error> {
        if folder.release() { store::finish_folder(self.shared, folder) } else { Ok(()) }
    }

    /// Enters the next subfolder that the source lists.
    fn next_listed(&mut self, level: &mut Level) -> Result<Option<Level>, Error> {
        loop {
            let Some((listing, at)) = &mut level.listing else { return Ok(None) };
            let index = (*at).max(listing.files_len());
            if level.keep_marker_only.is_some() {
                // Only the marker was handed out.
                Counters::add(&self.shared.sums.excluded, (listing.len() - index) as u64);
                if level.names_left_out {
                    (index..listing.len()).try_for_each(|i| self.left_out(listing.get(i).name))?;
                }
                return Ok(None);
            }
            if index >= listing.len() {
                return Ok(None);
            }
            *at = index + 1;
            let name = listing.get(index).name.to_vec();
            if self.is_excluded(level, &name, true)? {
                continue;
            }
            if let Some(below) = self.enter(level, &name)? {
                return Ok(Some(below));
            }
        }
    }

    /// Enters a subfolder of the source.
    fn enter(&mut self, level: &Level, name: &[u8]) -> Result<Option<Level>, Error> {
        let (_, base_entry) = self.enter_named(name, level.in_base)?;
        let in_adopted = self.enter_adopted(name, &level.in_adopted)?;
        let opened = level.folder.dir(Side::Source).and_then(|source| source.open_dir(name));
        let opened = opened.and_then(|dir| Ok((dir.metadata()?, dir)));
        let (metadata, dir) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.unreadable(level, name, base_entry, in_adopted, &error),
        };
        let is_shadow_copy = hardback_shadow::is_name_of_copy(name);
        if metadata.id == self.target_id || is_shadow_copy || self.shared.leaves_out(&metadata) {
            Counters::add(&self.shared.sums.excluded, 1);
            self.skip_entered(base_entry.is_some(), &in_adopted)?;
            self.left_out(name)?;
            return Ok(None);
        }
        let crosses = metadata.id.volume != level.volume;
        let facts = if crosses { SourceFacts { rules: (self.rules)(&dir) } } else { level.facts };
        let path = || level.folder.path_of(name);
        let mut entry = self.folder_entry(name, &metadata, facts.rules, &dir, base_entry.as_ref(), &path);
        if crosses {
            entry.extra_mut().volume = Some(metadata.id.volume);
        }
        let stay_out = crosses && self.shared.options.one_file_system;
        let too_deep = level.folder.depth >= DEPTH_MAX;
        let listing = if stay_out {
            self.tell_subvolume(level, name, &dir);
            Counters::add(&self.shared.sums.excluded, 1);
            Ok(Listing::default())
        } else if too_deep {
            Err(deep_error(name))
        } else {
            dir.list()
        };
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return self.unreadable(level, name, base_entry, in_adopted, &error),
        };
        let below_path = level.below.as_ref().map(|below| join(below, name));
        let handles = match self.handles(&level.folder, &mut entry, Some(dir), base_entry.as_ref()) {
            Err(Error::Path(error)) if error.fault() == Faults::BadName => {
                self.shared.problem(Problem::new(&level.folder.path_of(name), ProblemKind::NotStored, &error));
                let in_base = base_entry.is_some();
                return self.pass_over(Unstored::Unnameable, name, in_base, &in_adopted).map(|()| None);
            }
            other => other?,
        };
        let base_name = base_entry.as_ref().map(Entry::stored_name);
        let folder = Arc::new(Folder::new(Some(level.folder.clone()), entry, base_name, handles));
        self.emit(Output::Dir(folder.entry.clone()))?;
        let mut below = Level {
            folder,
            listing: Some((listing, 0)),
            below: below_path,
            in_base: base_entry.is_some(),
            in_adopted,
            facts,
            volume: metadata.id.volume,
            keep_marker_only: None,
            rules: ExcludeRules::default(),
            names_left_out: false,
        };
        below.names_left_out = level.names_left_out;
        if let Ok(source) = below.folder.dir(Side::Source) {
            self.read_markers(&mut below, &source, level.rules.clone());
        }
        Ok(Some(below))
    }

    /// Tells of a part of the same file system that is stayed out of: many do not know that their folder is one.
    fn tell_subvolume(&self, level: &Level, name: &[u8], dir: &Dir) {
        let pool = |dir: &Dir| dir.volume().ok().and_then(|volume| volume.pool);
        let around = level.folder.dir(Side::Source).ok().and_then(|around| pool(&around));
        if around.is_some() && around == pool(dir) {
            let path = hardback_platform::path::display(&level.folder.path_of(name)).to_string();
            let what = "is a subvolume of its own: --one-file-system leaves out what is in it";
            self.shared.ctx.monitor.notice(&format!("{path} {what}"));
        }
    }

    /// A folder that cannot be opened or listed: a problem, and the base's version of all of it stands in.
    fn unreadable(
        &mut self,
        level: &Level,
        name: &[u8],
        base_entry: Option<Entry>,
        in_adopted: Vec<bool>,
        error: &PathError,
    ) -> Result<Option<Level>, Error> {
        let kind = ProblemKind::of_source(error);
        let path = || level.folder.path_of(name);
        if kind == ProblemKind::Vanished {
            self.shared.problem(Problem::new(&path(), kind, error));
            let in_base = base_entry.is_some();
            return self.pass_over(Unstored::Vanished, name, in_base, &in_adopted).map(|()| None);
        }
        self.skip_adopted(&in_adopted)?;
        let in_adopted = vec![false; in_adopted.len()];
        let in_base = base_entry.is_some();
        let metadata = level.folder.dir(Side::Source).ok().and_then(|source| source.stat(name).ok());
        let mut entry = match (base_entry.clone(), metadata) {
            (Some(base), _) => base,
            (None, Some(m)) => {
                metadata::entry_of(name, &m, level.facts.rules.reliable_ctime, level.facts.rules.stable_ids)
            }
            (None, None) => Entry { mode: Some(PRIVATE_DIR), ..Entry::new(name, Kind::Dir) },
        };
        entry.kind = Kind::Dir;
        entry.extra_mut().problem = Some(kind);
        let handles = match self.handles(&level.folder, &mut entry, None, base_entry.as_ref()) {
            Err(Error::Path(unnamable)) if unnamable.fault() == Faults::BadName => {
                let read = format!("cannot {}: {}", error.op, error.source);
                let what = format!("{read}; nor can the target hold its name: {}", unnamable.source);
                self.shared.problem(Problem::with_detail(&path(), ProblemKind::NotStored, what));
                return self.pass_over(Unstored::Unnameable, name, in_base, &in_adopted).map(|()| None);
            }
            other => other?,
        };
        self.shared.problem(Problem::new(&path(), kind, error));
        let base_name = base_entry.as_ref().map(Entry::stored_name);
        let folder = Arc::new(Folder::new(Some(level.folder.clone()), entry, base_name, handles));
        self.emit(Output::Dir(folder.entry.clone()))?;
        Ok(Some(level.stood_in_for(folder, in_base, in_adopted)))
    }

    /// Passes over a folder that was entered and has no line, but may be there again: that is a problem.
    fn pass_over(&mut self, why: Unstored, name: &[u8], in_base: bool, in_adopted: &[bool]) -> Result<(), Error> {
        Counters::add(&self.shared.sums.problems_without_line, 1);
        self.skip_entered(in_base, in_adopted)?;
        self.emit(Output::Unstored(why, name.into()))
    }

    /// Names what is left out on purpose.
    fn left_out(&mut self, name: &[u8]) -> Result<(), Error> {
        self.emit(Output::Unstored(Unstored::Excluded, name.into()))
    }

    /// Enters the next subfolder of the base, where the base stands in.
    fn next_of_base(&mut self, level: &Level) -> Result<Option<Level>, Error> {
        loop {
            let Some(base) = self.base.as_mut().filter(|_| level.in_base) else { return Ok(None) };
            let Some((base_entry, _)) = base.next_dir().map_err(base_failed)? else { return Ok(None) };
            let mut entry = base_entry.clone();
            let handles = match self.handles(&level.folder, &mut entry, None, Some(&base_entry)) {
                Err(Error::Path(error)) if error.fault() == Faults::BadName => {
                    let path = level.folder.path_of(&base_entry.name);
                    self.shared.problem(Problem::new(&path, ProblemKind::NotStored, &error));
                    self.pass_over(Unstored::Unnameable, &base_entry.name, true, &[])?;
                    continue;
                }
                other => other?,
            };
            let name = Some(base_entry.stored_name());
            let folder = Arc::new(Folder::new(Some(level.folder.clone()), entry, name, handles));
            self.emit(Output::Dir(folder.entry.clone()))?;
            let in_adopted = vec![false; level.in_adopted.len()];
            return Ok(Some(level.stood_in_for(folder, true, in_adopted)));
        }
    }

    fn handles(
        &self,
        parent: &Arc<Folder>,
        entry: &mut Entry,
        source: Option<Dir>,
        base: Option<&Entry>,
    ) -> Result<Handles, Error> {
        let base = match base {
            Some(base) if parent.has(Side::Base) => {
                parent.dir(Side::Base).and_then(|dir| dir.open_dir(base.stored_name())).ok()
            }
            _ => None,
        };
        let target = store::make_folder(self.shared, parent, entry)?;
        Ok(Handles { source, base, target })
    }

    fn enter_named(&mut self, name: &[u8], in_base: bool) -> Result<(Entry, Option<Entry>), Error> {
        let mut passed = 0;
        let base = match self.base.as_mut().filter(|_| in_base) {
            Some(base) => base.enter(name, &mut passed).map_err(base_failed)?,
            None => None,
        };
        Counters::add(&self.shared.sums.removed, passed);
        Ok((Entry::new(name, Kind::Dir), base))
    }

    fn enter_adopted(&mut self, name: &[u8], inside: &[bool]) -> Result<Vec<bool>, Error> {
        let mut entered = Vec::with_capacity(inside.len());
        for (cursor, inside) in self.adopted.iter_mut().zip(inside) {
            entered.push(*inside && cursor.enter(name, &mut 0).map_err(base_failed)?.is_some());
        }
        Ok(entered)
    }

    fn skip_entered(&mut self, in_base: bool, in_adopted: &[bool]) -> Result<(), Error> {
        if in_base && let Some(base) = &mut self.base {
            let passed = base.leave().map_err(base_failed)?;
            Counters::add(&self.shared.sums.removed, passed + 1);
        }
        self.skip_adopted(in_adopted)
    }

    fn skip_adopted(&mut self, in_adopted: &[bool]) -> Result<(), Error> {
        for (cursor, inside) in self.adopted.iter_mut().zip(in_adopted) {
            if *inside {
                cursor.leave().map_err(base_failed)?;
            }
        }
        Ok(())
    }

    /// Hands out the entries of a folder that are no folders.
    fn hand_out_files(&mut self, level: &mut Level) -> Result<(), Error> {
        let Some((listing, _)) = level.listing.take() else { return self.hand_out_base(level) };
        let count = listing.files_len();
        let chunk_entries = if count <= SMALL_FOLDER_ENTRIES { count.div_ceil(2).max(1) } else { CHUNK_ENTRIES };
        let mut items = Vec::with_capacity(chunk_entries.min(count));
        for index in 0..count {
            let listed = listing.get(index);
            if self.is_excluded(level, listed.name, false)? {
                continue;
            }
            items.push(self.item(level, listed.name, listed.kind)?);
            if items.len() == chunk_entries {
                self.hand_out(level, std::mem::take(&mut items))?;
            }
        }
        level.listing = Some((listing, 0));
        self.hand_out(level, items)
    }

    fn item(&mut self, level: &Level, name: &[u8], listed: Kind) -> Result<Item, Error> {
        let mut item = Item::new(name.into(), None);
        if level.in_base
            && let Some(base) = &mut self.base
        {
            let mut passed = 0;
            item.base = base.file_named(name, &mut passed).map_err(base_failed)?;
            if passed > 0 {
                Counters::add(&self.shared.sums.removed, passed);
            }
        }
        for (index, (cursor, inside)) in self.adopted.iter_mut().zip(&level.in_adopted).enumerate() {
            if *inside && let Some(entry) = cursor.file_named(name, &mut 0).map_err(base_failed)? {
                item.adopted.push((index, entry));
            }
        }
        item.is_new_file = listed == Kind::File && item.base.is_none() && item.adopted.is_empty();
        Ok(item)
    }

    /// Hands out what the base has in a folder whose source cannot be read.
    fn hand_out_base(&mut self, level: &Level) -> Result<(), Error> {
        let mut items = Vec::new();
        while let Some(base) = self.base.as_mut().filter(|_| level.in_base) {
            let Some((entry, _)) = base.next_file().map_err(base_failed)? else { break };
            items.push(Item::new(entry.name.clone(), Some(entry)));
            if items.len() == CHUNK_ENTRIES {
                self.hand_out(level, std::mem::take(&mut items))?;
            }
        }
        self.hand_out(level, items)
    }

    fn hand_out(&mut self, level: &Level, items: Vec<Item>) -> Result<(), Error> {
        if items.is_empty() {
            return Ok(());
        }
        self.throttle.enter(items.len(), 1, || self.shared.is_stopped());
        level.folder.hold();
        let chunk = Chunk { number: self.next, folder: level.folder.clone(), items, facts: level.facts };
        self.next += 1;
        self.chunks.send(chunk).map_err(|_| Error::Interrupted)
    }

    fn emit(&mut self, output: Output) -> Result<(), Error> {
        self.throttle.enter(1, 0, || self.shared.is_stopped());
        let number = self.next;
        self.next += 1;
        self.outputs.send((number, output)).map_err(|_| Error::Interrupted)
    }

    fn is_excluded(&mut self, level: &Level, name: &[u8], is_dir: bool) -> Result<bool, Error> {
        let excluded = match (&level.keep_marker_only, &level.below) {
            (Some(marker), _) => marker != name,
            (None, Some(below)) if !level.rules.is_empty() => {
                let verdict = level.rules.check(&join(below, name), is_dir);
                self.shared.count_left_out(&verdict);
                verdict.is_excluded()
            }
            _ => false,
        };
        if excluded {
            self.shared.sums.excluded.fetch_add(1, Ordering::Relaxed);
            if level.names_left_out {
                self.left_out(name)?;
            }
        }
        Ok(excluded)
    }

    /// Looks for what a folder says of itself: a marker that keeps everything else out, and a list of patterns.
    fn read_markers(&self, level: &mut Level, source: &Dir, rules: ExcludeRules) {
        level.rules = rules;
        let (Some((listing, _)), Some(below)) = (&level.listing, &level.below) else { return };
        level.keep_marker_only = self.excludes.marker_in(listing, source).unwrap_or_else(|error| {
            let what = format!("cannot {}: {}; nothing is left out by it", error.op, error.source);
            let path = level.folder.path_of(&error.path);
            self.shared.problem(Problem::with_detail(&path, ProblemKind::Other, what));
            Counters::add(&self.shared.sums.problems_without_line, 1);
            None
        });
        let is_kept = |name: &[u8]| source.stat(name).is_ok_and(|metadata| !self.shared.leaves_out(&metadata));
        // Of a file that cannot be opened the snapshot has nothing.
        let is_marker_kept = |marker: &Vec<u8>| {
            let is_file = source.stat(marker).is_ok_and(|metadata| metadata.kind == Kind::File);
            listing.has_file(marker) && is_kept(marker) && (!is_file || source.open_file(marker).is_ok())
        };
        level.names_left_out |= level.keep_marker_only.as_ref().is_some_and(|marker| !is_marker_kept(marker));
        if self.shared.options.no_ignore_files || !listing.has_file(DIRECTORY_FILE_NAME) {
            return;
        }
        let text = source.open_file(DIRECTORY_FILE_NAME).and_then(|file| file.read_to_vec(IGNORE_FILE_BYTES_MAX));
        let read = text.map_err(|e| format!("cannot {}: {}", e.op, e.source));
        let rules = read.and_then(|text| {
            let rules = level.rules.with_directory_file(below, &text);
            rules.map_err(|e| format!("{e} (nothing is left out by it)"))
        });
        match rules {
            Ok(rules) => {
                level.rules = rules;
                let leaves_itself_out = level.rules.check(&join(below, DIRECTORY_FILE_NAME), false).is_excluded();
                level.names_left_out |= leaves_itself_out || !is_kept(DIRECTORY_FILE_NAME);
            }
            // What cannot be understood leaves nothing out.
            Err(what) => {
                let path = level.folder.path_of(DIRECTORY_FILE_NAME);
                self.shared.problem(Problem::with_detail(&path, ProblemKind::Other, what));
                Counters::add(&self.shared.sums.problems_without_line, 1);
            }
        }
    }
}

fn join(below: &[u8], name: &[u8]) -> Vec<u8> {
    if below.is_empty() { name.to_vec() } else { [below, b"/", name].concat() }
}

fn deep_error(name: &[u8]) -> PathError {
    PathError::new("list", name, std::io::Error::other(format!("deeper than {DEPTH_MAX} folders")))
}

/// Returns whether a folder's own metadata is that of the base.
pub(super) fn is_same_folder(base: &Entry, entry: &Entry) -> bool {
    let own = |e: &Entry| (e.kind, e.mode, e.owner, e.mtime, e.attributes().0, e.problem().is_some());
    own(base) == own(entry) && base.still_has_xattrs(entry.xattrs())
}
