//! Walks a record beside a tree, the snapshot's own or the live sources, and hands the entries out.

use super::check::{CHUNK_BYTES, CHUNK_ENTRIES, CHUNK_QUEUE, Checker, Chunk, OPEN_LEVELS_MAX, check_chunks};
use super::{Findings, Kept};
use crate::content::Stop;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::manifest::{Entry, ManifestError, Reader, Seal, TreeCursor};
use crate::problem::ProblemKind;
use crate::report::Counters;
use crossbeam_channel::{Sender, bounded};
use hardback_platform::{Dir, Faults, FileRead, Kind, Listing, PathError, RelPath, Seam};
use std::path::Path;
use std::sync::Arc;

/// What a record is compared with.
#[derive(Debug)]
pub(super) enum Side {
    /// The snapshot's tree.
    Tree(Dir),
    /// The sources as they are now.
    Source,
}

/// A folder that the walk is in.
struct Level {
    /// `None` while it is closed, and for the top where it only holds the sources' folders.
    dir: Option<Arc<Dir>>,
    /// Path of names as they are in the tree.
    stored: RelPath,
    listing: Listing,
    named: Vec<bool>,
    /// The entries of subfolders, to be checked as entries of this one.
    folders: Vec<Entry>,
    /// It was listed: what is not in it is missing.
    is_listed: bool,
}

struct Walk<'a> {
    findings: &'a Findings<'a>,
    seal: &'a Seal,
    cursor: TreeCursor<FileRead>,
    /// The tree, or each source by the path of its folder in the snapshot.
    roots: Vec<(RelPath, Dir)>,
    is_tree: bool,
    chunks: Sender<Chunk>,
    /// Path in the snapshot, of names as they were at the source.
    path: RelPath,
}

/// Compares a record with a side.
pub(super) fn compare(
    findings: &Findings<'_>,
    digests: &DigestLists,
    seal: &Seal,
    reader: Reader<FileRead>,
    side: Side,
) -> Result<(), Error> {
    let sources = reader.header().sources.clone();
    let failed = |source| Error::Manifest { snapshot: seal.snapshot.clone(), source };
    let (cursor, _) = TreeCursor::open(reader).map_err(failed)?;
    let is_tree = matches!(side, Side::Tree(_));
    let roots = match side {
        Side::Tree(dir) => vec![(RelPath::root(), dir)],
        Side::Source => open_sources(findings, seal, &sources),
    };
    let (sender, chunks) = bounded::<Chunk>(CHUNK_QUEUE);
    let mut walk = Walk { findings, seal, cursor, roots, is_tree, chunks: sender, path: RelPath::root() };
    let kept = Kept::of(seal);
    let walked = std::thread::scope(|scope| {
        for _ in 0..findings.worker_count() {
            let chunks = chunks.clone();
            scope.spawn(move || {
                let checker = || Checker::new(findings, digests, seal, kept, is_tree);
                findings.failure.guard(|| check_chunks(checker(), chunks));
            });
        }
        drop(chunks);
        let walked = Error::of_panic_in(|| walk.run());
        // The workers end when the queue is empty and closed.
        drop(walk);
        walked
    });
    findings.ctx.check_cancel()?;
    findings.failure.take()?;
    walked
}

fn open_sources(findings: &Findings<'_>, seal: &Seal, sources: &[(Vec<u8>, Vec<u8>)]) -> Vec<(RelPath, Dir)> {
    let mut roots = Vec::new();
    for (folder, path) in sources {
        let opened = match (RelPath::from_bytes(folder), hardback_platform::name::os_str_from_bytes(path)) {
            (Ok(folder), Some(local)) => Dir::open(Path::new(&local), Seam::default()).map(|dir| (folder, dir)),
            _ => Err(PathError::new("open the folder", path, std::io::Error::from(std::io::ErrorKind::InvalidInput))),
        };
        match opened {
            Ok(root) => roots.push(root),
            Err(error) => {
                let at = [seal.snapshot.as_bytes(), b"/", folder].concat();
                findings.problem(&at, ProblemKind::Differs, format!("{error}: {}", error.source));
            }
        }
    }
    roots
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let top = self.roots.iter().position(|(folder, _)| folder.is_root());
        let dir = top.map(|i| self.roots[i].1.try_clone()).transpose()?;
        let mut stack = vec![self.level(dir, RelPath::root())];
        self.hand_out_files(&mut stack[0])?;
        while let Some(level) = stack.last_mut() {
            if self.findings.is_stopped() {
                return Err(Error::Interrupted);
            }
            match self.cursor.next_dir().map_err(|e| self.record_failed(e))? {
                Some((entry, _)) => {
                    let Some(mut below) = self.enter(level, entry)? else { continue };
                    if stack.len() > OPEN_LEVELS_MAX {
                        let far = stack.len() - OPEN_LEVELS_MAX;
                        stack[far].dir = None;
                    }
                    self.hand_out_files(&mut below)?;
                    stack.push(below);
                }
                None => {
                    self.cursor.leave().map_err(|e| self.record_failed(e))?;
                    let level = stack.pop().expect("the loop runs on the last level");
                    self.leave(level)?;
                    self.path.pop();
                }
            }
        }
        Ok(())
    }

    fn record_failed(&self, source: ManifestError) -> Error {
        Error::Manifest { snapshot: self.seal.snapshot.clone(), source }
    }

    /// Returns a path as it is reported.
    fn shown(&self, name: &[u8]) -> Vec<u8> {
        let mut shown = self.seal.snapshot.as_bytes().to_vec();
        for part in [self.path.as_bytes(), name] {
            if !part.is_empty() {
                shown.push(b'/');
                shown.extend_from_slice(part);
            }
        }
        shown
    }

    /// Returns how a problem begins: paths are told as those of the snapshot.
    fn whose(&self) -> &'static str {
        if self.is_tree { "" } else { "at the source: " }
    }

    fn level(&self, dir: Option<Dir>, stored: RelPath) -> Level {
        let (listing, is_listed) = match dir.as_ref().map(Dir::list) {
            None => (Listing::default(), false),
            Some(Ok(listing)) => (listing, true),
            Some(Err(error)) => {
                let text = format!("{}its folder cannot be listed: {}", self.whose(), error.source);
                self.findings.problem(&self.shown(b""), ProblemKind::Unreadable, text);
                (Listing::default(), false)
            }
        };
        let named = vec![false; listing.len()];
        Level { dir: dir.map(Arc::new), stored, listing, named, folders: Vec::new(), is_listed }
    }

    /// Returns the handle of a level, opening it again if it was closed.
    fn dir_of(&self, level: &mut Level) -> Result<Arc<Dir>, Error> {
        if let Some(dir) = &level.dir {
            return Ok(dir.clone());
        }
        let is_its = |(folder, _): &&(RelPath, Dir)| level.stored.is_at_or_below(folder);
        let (folder, root) = self.roots.iter().find(is_its).ok_or(Error::Interrupted)?;
        let mut below = RelPath::root();
        level.stored.components().skip(folder.components().count()).for_each(|name| below.push(name));
        let dir = Arc::new(root.open_dir_at(&below)?);
        level.dir = Some(dir.clone());
        Ok(dir)
    }

    /// Looks an entry up in the listing of its folder; what is missing or of another kind is told.
    fn is_there(&self, level: &mut Level, entry: &Entry) -> bool {
        let name = self.name_of(entry);
        let files = level.listing.files_len();
        let (same, other) = if entry.is_dir() {
            (files..level.listing.len(), 0..files)
        } else {
            (0..files, files..level.listing.len())
        };
        let look = |range: std::ops::Range<usize>| {
            let (mut low, mut high) = (range.start, range.end);
            while low < high {
                let middle = low.midpoint(high);
                match level.listing.get(middle).name.cmp(name) {
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Greater => high = middle,
                    std::cmp::Ordering::Equal => return Some(middle),
                }
            }
            None
        };
        if let Some(index) = look(same) {
            level.named[index] = true;
            return true;
        }
        let shown = self.shown(&entry.name);
        let other = look(other);
        if let Some(index) = other {
            level.named[index] = true;
        }
        match (self.is_tree, other.is_some()) {
            (false, _) => self.findings.changed(&shown),
            (true, true) => {
                let what = if entry.is_dir() { "it was a folder and is none" } else { "it is a folder and was none" };
                self.findings.problem(&shown, ProblemKind::Damaged, what.into());
            }
            (true, false) => self.findings.problem(&shown, ProblemKind::Missing, "its record has it".into()),
        }
        false
    }

    fn name_of<'e>(&self, entry: &'e Entry) -> &'e [u8] {
        if self.is_tree { entry.stored_name() } else { &entry.name }
    }

    /// Enters a folder; `None` where it is not there, and all below it is passed over.
    fn enter(&mut self, level: &mut Level, entry: Entry) -> Result<Option<Level>, Error> {
        let stored = level.stored.join(self.name_of(&entry));
        self.path.push(&entry.name);
        let root = self.roots.iter().position(|(folder, _)| !folder.is_root() && *folder == self.path);
        self.path.pop();
        let opened = match root {
            Some(root) => Ok(self.roots[root].1.try_clone()?),
            None if !self.is_to_compare(level, &entry) => {
                let below = self.cursor.leave().map_err(|e| self.record_failed(e))?;
                Counters::add(&self.findings.ctx.counters.entries, below + 1);
                return Ok(None);
            }
            None => self.dir_of(level)?.open_dir(self.name_of(&entry)),
        };
        let dir = match opened {
            Ok(dir) => Some(dir),
            Err(error) => {
                let below = self.cursor.leave().map_err(|e| self.record_failed(e))?;
                if self.is_tree && below == 0 && entry.problem() == Some(ProblemKind::Unreadable) {
                    // It has the mode by which its source could not be read, and the snapshot has nothing of what is in it.
                    self.check_folder(level, entry)?;
                } else {
                    self.not_opened(&entry, &error);
                }
                return Ok(None);
            }
        };
        let name = entry.name.clone();
        if root.is_none() {
            self.check_folder(level, entry)?;
        }
        self.path.push(&name);
        Ok(Some(self.level(dir, stored)))
    }

    /// Keeps a subfolder of the current folder to be checked as an entry of it.
    fn check_folder(&mut self, level: &mut Level, entry: Entry) -> Result<(), Error> {
        level.folders.push(entry);
        if level.folders.len() >= CHUNK_ENTRIES {
            let folders = std::mem::take(&mut level.folders);
            self.hand_out(level, self.path.clone(), folders)?;
        }
        Ok(())
    }

    /// Returns whether an entry can be compared with what the side has; if it should have it and cannot be, that is told.
    fn is_to_compare(&self, level: &mut Level, entry: &Entry) -> bool {
        if !level.is_listed || (self.is_tree && !entry.is_in_tree()) || !self.is_there(level, entry) {
            return false;
        }
        let was_read = |problem| matches!(problem, ProblemKind::Changing | ProblemKind::Metadata);
        match entry.problem().filter(|_| !self.is_tree) {
            Some(problem) if !was_read(problem) => {
                let what = "when it was backed up: the snapshot has an older version of it, or nothing";
                self.findings.problem(&self.shown(&entry.name), problem, what.into());
                false
            }
            _ => true,
        }
    }

    fn not_opened(&self, entry: &Entry, error: &PathError) {
        let shown = self.shown(&entry.name);
        if !self.is_tree && matches!(error.fault(), Faults::Vanished | Faults::WrongKind) {
            self.findings.changed(&shown);
        } else {
            let text = format!("{}cannot {}: {}", self.whose(), error.op, error.source);
            self.findings.problem(&shown, ProblemKind::Unreadable, text);
        }
    }

    /// Hands out the entries of a folder that are no folders.
    fn hand_out_files(&mut self, level: &mut Level) -> Result<(), Error> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some((entry, _)) = self.cursor.next_file().map_err(|e| self.record_failed(e))? {
            if !self.is_to_compare(level, &entry) {
                Counters::add(&self.findings.ctx.counters.entries, 1);
                continue;
            }
            bytes += entry.size_bytes;
            entries.push(entry);
            if entries.len() >= CHUNK_ENTRIES || bytes >= CHUNK_BYTES {
                bytes = 0;
                let path = self.path.clone();
                self.hand_out(level, path, std::mem::take(&mut entries))?;
            }
        }
        let path = self.path.clone();
        self.hand_out(level, path, entries)
    }

    fn hand_out(&mut self, level: &mut Level, path: RelPath, entries: Vec<Entry>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let dir = self.dir_of(level)?;
        // The workers go only when the user asked to stop.
        self.chunks.send(Chunk { dir, path, entries }).map_err(|_| Error::Interrupted)
    }

    /// What the listing has and the record has not.
    fn leave(&mut self, mut level: Level) -> Result<(), Error> {
        let folders = std::mem::take(&mut level.folders);
        let path = self.path.clone();
        self.hand_out(&mut level, path, folders)?;
        for index in 0..level.listing.len() {
            if level.named[index] {
                continue;
            }
            let extra = level.listing.get(index);
            if self.is_tree {
                let what = if extra.kind == Kind::Dir { "the whole folder" } else { "its record does not have it" };
                self.findings.problem(&self.shown(extra.name), ProblemKind::Extra, what.into());
            } else if let Some(dir) = &level.dir
                && dir.stat(extra.name).is_ok_and(|m| m.ctime.unwrap_or(m.mtime) >= self.seal.started)
            {
                // What is older was left out by a rule.
                self.findings.changed(&self.shown(extra.name));
            }
        }
        Ok(())
    }
}
