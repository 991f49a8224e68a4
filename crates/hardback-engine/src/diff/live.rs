//! The sources as they are now, as the new side of a comparison.

use super::Change;
use super::compare::metadata_changes;
use super::merge::path_of;
use super::rules::{InFolder, Recorded};
use super::tree::Tree;
use crate::backup::{metadata::entry_of, rules_of};
use crate::content::{ContentError, ContentReader};
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::job::BackupOptions;
use crate::manifest::{ContentRef, Entry, Header};
use crate::plan::{self, Action, Rules, STAT_ATTRIBUTES};
use crate::problem::{Problem, ProblemKind};
use crate::report::Problems;
use crate::target::Target;
use hardback_platform::{
    Attributes, Dir, Faults, FileId, Kind, Listing, Metadata, PathError, RelPath, Seam, Xattrs, name,
};
use std::path::Path;

/// Levels above the current one whose handles stay open; those further up are opened again when they are come back to.
const OPEN_LEVELS_MAX: usize = 48;

/// A folder that the walk is in.
struct Level {
    /// `None`: closed for now, or the top folder that holds the sources.
    dir: Option<Dir>,
    listing: Listing,
    next_file: usize,
    next_dir: usize,
    rules: Rules,
    /// What a backup leaves out of it.
    left_out: InFolder,
    /// A backup leaves the folder itself out.
    is_left_out: bool,
    /// Number of its volume, where that is known.
    volume: Option<u64>,
    /// It cannot be listed.
    unknown: bool,
}

/// The sources of a snapshot.
pub(super) struct Live<'a> {
    ctx: Context<'a>,
    digests: DigestLists,
    /// Each source's folder in the snapshot and its top, sorted.
    roots: Vec<(Vec<u8>, Dir)>,
    /// Which of them the walk is in.
    root: usize,
    /// The folders that hold the sources are below a top folder of ours.
    has_top: bool,
    /// Path of the current folder in its source.
    below: RelPath,
    stack: Vec<Level>,
    recorded: Recorded,
    /// What the system said of the file that was returned last.
    last: Option<Metadata>,
    /// The target's top folder, which no backup contains.
    target_id: FileId,
    reader: ContentReader<'a>,
    problems: &'a Problems,
}

impl<'a> Live<'a> {
    /// Opens the sources that a record names; returns the entry of the top too, if that is a source.
    pub(super) fn open(
        ctx: &Context<'a>,
        target: &Target,
        header: &Header,
        digests: DigestLists,
        problems: &'a Problems,
    ) -> Result<(Self, Option<Entry>), Error> {
        let host = hardback_platform::local_host_name();
        if header.host != host {
            let text = format!(
                "snapshot {} was made on {}; it is compared with the folders of the same paths here",
                header.snapshot, header.host
            );
            ctx.monitor.notice(&text);
        }
        if header.sources.is_empty() {
            return Err(Error::refused("the record of the snapshot names no source", "compare two snapshots instead"));
        }
        let mut roots = Vec::with_capacity(header.sources.len());
        for (folder, path) in &header.sources {
            roots.push((folder.clone(), open_source(path)?));
        }
        roots.sort_by(|a, b| a.0.cmp(&b.0));
        let has_top = !matches!(&roots[..], [(folder, _)] if folder.is_empty());
        let mut live = Self {
            ctx: *ctx,
            digests,
            roots,
            root: 0,
            has_top,
            below: RelPath::root(),
            stack: Vec::new(),
            recorded: Recorded::of(ctx, header),
            last: None,
            target_id: target.root.metadata()?.id,
            reader: ContentReader::new(ctx.counters, ctx.cancel),
            problems,
        };
        if live.has_top {
            let folders = live.roots.iter().map(|(folder, _)| (&folder[..], Kind::Dir));
            let listing = Listing::from_entries(folders);
            let rules = Rules { stable_ids: false, reliable_ctime: false, checksum: false };
            live.stack.push(Level {
                dir: None,
                listing,
                next_file: 0,
                next_dir: 0,
                rules,
                left_out: InFolder::default(),
                is_left_out: false,
                volume: None,
                unknown: false,
            });
            return Ok((live, None));
        }
        let (_, dir) = &live.roots[0];
        let dir = dir.try_clone()?;
        let entry = live.push(b".", dir)?;
        Ok((live, Some(entry)))
    }

    /// Enters an open folder; returns its entry.
    fn push(&mut self, name: &[u8], dir: Dir) -> Result<Entry, PathError> {
        let metadata = dir.metadata()?;
        let volume = Some(metadata.id.volume);
        let rules = match self.stack.last() {
            Some(around) if around.volume == volume => around.rules,
            _ => rules_of(&dir, &BackupOptions::default()),
        };
        let mut entry = entry_of(name, &metadata, rules.reliable_ctime, rules.stable_ids);
        let (listing, unknown) = match dir.list() {
            Ok(listing) => (listing, false),
            Err(error) => {
                let path = self.path_of(b".");
                entry.extra_mut().problem = Some(self.problem(&path, &error));
                (Listing::default(), true)
            }
        };
        if let Some(far) = self.stack.len().checked_sub(OPEN_LEVELS_MAX) {
            self.stack[far].dir = None;
        }
        let (around, is_left_out) = self.around(Some(&metadata));
        let left_out = self.recorded.enter(around, &dir, &listing, &self.below);
        self.stack.push(Level {
            dir: Some(dir),
            listing,
            next_file: 0,
            next_dir: 0,
            rules,
            left_out,
            is_left_out,
            volume,
            unknown,
        });
        Ok(entry)
    }

    /// Returns what a backup leaves out of the folder that is entered, as far as that is known from outside, and whether
    /// it leaves out the folder itself.
    fn around(&self, metadata: Option<&Metadata>) -> (InFolder, bool) {
        let Some(around) = self.stack.last().filter(|_| !self.below.is_root()) else {
            return (self.recorded.top(), false);
        };
        let inside = around.left_out.clone();
        let is_left_out =
            inside.leaves_out(&self.below, true) || metadata.is_some_and(|metadata| self.recorded.leaves_out(metadata));
        let is_crossed = metadata.is_some_and(|metadata| around.volume != Some(metadata.id.volume));
        let is_closed = is_left_out || (is_crossed && self.recorded.stays_on_volume());
        (if is_closed { inside.nothing() } else { inside }, is_left_out)
    }

    /// Enters a folder that cannot be opened.
    fn push_unknown(&mut self, name: &[u8], error: &PathError, metadata: Option<Metadata>) -> Entry {
        let rules = self.level().rules;
        let mut entry = match metadata {
            Some(metadata) => entry_of(name, &metadata, rules.reliable_ctime, rules.stable_ids),
            None => Entry::new(name, Kind::Dir),
        };
        entry.kind = Kind::Dir;
        let path = self.path_of(b".");
        entry.extra_mut().problem = Some(self.problem(&path, error));
        let listing = Listing::default();
        let (left_out, is_left_out) = self.around(metadata.as_ref());
        self.stack.push(Level {
            dir: None,
            listing,
            next_file: 0,
            next_dir: 0,
            rules,
            left_out,
            is_left_out,
            volume: None,
            unknown: true,
        });
        entry
    }

    fn level(&mut self) -> &mut Level {
        self.stack.last_mut().expect("calls come between the first folder and the last leave")
    }

    /// Returns the handle of the current folder, opened again if it was closed.
    fn dir(&mut self) -> Result<&Dir, PathError> {
        let level = self.stack.last_mut().expect("calls come between the first folder and the last leave");
        if level.dir.is_none() {
            let (_, root) = &self.roots[self.root];
            level.dir = Some(root.open_dir_at(&self.below)?);
        }
        Ok(level.dir.as_ref().expect("it was opened above"))
    }

    /// Returns the path in the snapshot of an entry of the current folder, or of the folder itself (`.`).
    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let folder = self.roots.get(self.root).map_or(&b""[..], |(folder, _)| folder);
        let below = self.below.as_bytes();
        let dir = if below.is_empty() {
            folder.to_vec()
        } else if folder.is_empty() {
            below.to_vec()
        } else {
            [folder, b"/", below].concat()
        };
        path_of(&dir, name)
    }

    fn problem(&mut self, path: &[u8], error: &PathError) -> ProblemKind {
        let kind = ProblemKind::of_source(error);
        self.problems.tell(&self.ctx, Problem::new(path, kind, error));
        kind
    }

    /// Enters the source of the top folder's next entry.
    fn enter_source(&mut self, index: usize) -> Result<Option<Entry>, Error> {
        self.root = index;
        let Some((folder, dir)) = self.roots.get(index) else { return Ok(None) };
        let (folder, dir) = (folder.clone(), dir.try_clone()?);
        Ok(Some(self.push(&folder, dir)?))
    }

    /// Enters a folder; `None` if it is not there any more, or is the target.
    fn enter(&mut self, name: &[u8]) -> Result<Option<Entry>, Error> {
        let opened = self.dir().and_then(|around| around.open_dir(name));
        match opened.and_then(|dir| Ok((dir.metadata()?.id, dir))) {
            Err(error) if error.fault() == Faults::Vanished => Ok(None),
            Ok((id, _)) if id == self.target_id => Ok(None),
            Err(error) => {
                let metadata = self.dir().ok().and_then(|around| around.stat(name).ok());
                self.below.push(name);
                Ok(Some(self.push_unknown(name, &error, metadata)))
            }
            Ok((_, dir)) => {
                self.below.push(name);
                Ok(Some(self.push(name, dir)?))
            }
        }
    }

    fn compare_dir(&mut self, old: &Entry, new: &Entry) -> Result<Option<Change>, PathError> {
        let mut new = new.clone();
        let same_inode = new.ctime.is_some() && new.ctime == old.ctime && new.inode == old.inode;
        let (xattrs, attributes) = if same_inode {
            (old.xattrs().to_vec(), old.attributes())
        } else {
            let dir = self.dir()?;
            (dir.xattrs(b"")?, dir.attributes())
        };
        new.extra_mut().xattrs = xattrs;
        if attributes.0 != 0 {
            new.extra_mut().attributes = attributes;
        }
        let changes = metadata_changes(old, &new, Attributes::KEPT);
        Ok((!changes.is_empty()).then_some(Change::Metadata(changes)))
    }

    fn compare_file(&mut self, old: &Entry, new: &Entry, metadata: &Metadata) -> Result<Option<Change>, PathError> {
        let rules = self.level().rules;
        if plan::decide(metadata, None, Some(old), rules) == Action::Link {
            return Ok(None);
        }
        // What is stored encrypted is compared by what is known of it without a key.
        let is_raw = new.kind == Kind::File && old.raw_of().is_some();
        if is_raw && (old.raw_of() != Some(metadata.size_bytes) || old.mtime != metadata.mtime) {
            return Ok(Some(Change::Content));
        }
        let dir = self.dir()?;
        let xattrs = dir.xattrs(&new.name)?;
        let link_text = if new.kind == Kind::Symlink { Some(dir.read_link(&new.name)?) } else { None };
        if new.kind == Kind::File
            && !is_raw
            && !self.same_content(old, new, metadata, (&xattrs, link_text.as_deref()))?
        {
            return Ok(Some(Change::Content));
        }
        let mut new = new.clone();
        new.extra_mut().xattrs = xattrs;
        new.extra_mut().link_text = link_text;
        let changes = metadata_changes(old, &new, STAT_ATTRIBUTES);
        Ok((!changes.is_empty()).then_some(Change::Metadata(changes)))
    }

    /// Returns whether the source's file has the recorded content; it is read where size and times do not decide.
    fn same_content(
        &mut self,
        old: &Entry,
        new: &Entry,
        metadata: &Metadata,
        full: (&Xattrs, Option<&[u8]>),
    ) -> Result<bool, PathError> {
        if old.size_bytes != metadata.size_bytes {
            return Ok(false);
        }
        let rules = self.level().rules;
        match (plan::decide(metadata, Some(full), Some(old), rules), old.content) {
            _ if metadata.size_bytes == 0 => Ok(true),
            (Action::Link | Action::Restamp, _) => Ok(true),
            (_, None) => Ok(false),
            (_, Some(content)) => self.has_content(&new.name, metadata, content),
        }
    }

    fn has_content(&mut self, name: &[u8], metadata: &Metadata, content: ContentRef) -> Result<bool, PathError> {
        let known = match self.digests.get(content) {
            Ok(known) => known,
            Err(Error::Path(error)) => return Err(error),
            Err(error) => return Err(PathError::new("read the digest of", name, std::io::Error::other(error))),
        };
        let file = self.dir()?.open_file(name)?;
        file.advise_sequential();
        match self.reader.read(&file, metadata.size_bytes, metadata.blocks, None) {
            Ok(read) => Ok(read.digest == known && file.metadata()?.size_bytes == metadata.size_bytes),
            // The merge asks again at the next entry and stops there.
            Err(ContentError::Stopped) => Ok(true),
            Err(error) => Err(error.into_path_error()),
        }
    }
}

impl Tree for Live<'_> {
    fn next_file(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let level = self.level();
            if level.next_file >= level.listing.files_len() {
                return Ok(None);
            }
            let listed = level.listing.get(level.next_file);
            let (name, kind, rules) = (listed.name.to_vec(), listed.kind, level.rules);
            level.next_file += 1;
            self.last = None;
            match self.dir().and_then(|dir| dir.stat(&name)) {
                Ok(metadata) if metadata.kind != Kind::Dir => {
                    self.last = Some(metadata);
                    return Ok(Some(entry_of(&name, &metadata, rules.reliable_ctime, rules.stable_ids)));
                }
                Err(error) if error.fault() == Faults::Vanished => {}
                result => {
                    let replaced = || PathError::new("compare", &name, std::io::Error::other("it became a folder"));
                    let error = result.err().unwrap_or_else(replaced);
                    let mut entry = Entry::new(&name, kind);
                    entry.extra_mut().problem = Some(self.problem(&self.path_of(&name), &error));
                    return Ok(Some(entry));
                }
            }
        }
    }

    fn next_dir(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let depth = self.stack.len();
            let level = self.level();
            let index = level.next_dir.max(level.listing.files_len());
            if index >= level.listing.len() {
                return Ok(None);
            }
            level.next_dir = index + 1;
            let name = level.listing.get(index).name.to_vec();
            let entered = if self.has_top && depth == 1 { self.enter_source(index)? } else { self.enter(&name)? };
            if entered.is_some() {
                return Ok(entered);
            }
        }
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.stack.pop();
        self.below.pop();
        Ok(())
    }

    fn is_unknown(&self) -> bool {
        self.stack.last().is_some_and(|level| level.unknown)
    }

    fn leaves_out(&self, entry: &Entry) -> bool {
        let Some(level) = self.stack.last() else { return false };
        if entry.is_dir() {
            return level.is_left_out;
        }
        level.left_out.leaves_out(&self.below.join(&entry.name), false)
            || self.last.is_some_and(|metadata| self.recorded.leaves_out(&metadata))
    }

    fn snapshot(&self) -> Option<&str> {
        None
    }

    fn compare(&mut self, dir: &[u8], old: &Entry, new: &Entry) -> Result<Option<Change>, Error> {
        if new.problem().is_some() || new.kind == Kind::Other {
            return Ok(None);
        }
        let compared = match self.last.filter(|_| new.kind != Kind::Dir) {
            Some(metadata) => self.compare_file(old, new, &metadata),
            None => self.compare_dir(old, new),
        };
        compared.or_else(|error| {
            self.problem(&path_of(dir, &new.name), &error);
            Ok(None)
        })
    }

    fn finish(self) -> Result<(), Error> {
        Ok(())
    }
}

/// Opens a source by the path that the record has.
fn open_source(path: &[u8]) -> Result<Dir, Error> {
    let refused = |why: String| {
        let shown = hardback_platform::path::display(path);
        Error::refused(
            format!("cannot open the source {shown}: {why}"),
            "is its disk mounted? two snapshots can be compared without it",
        )
    };
    let native = name::os_str_from_bytes(path).ok_or_else(|| refused("it is a path of another system".into()))?;
    Dir::open(Path::new(&*native), Seam::default()).map_err(|e| refused(e.source.to_string()))
}
