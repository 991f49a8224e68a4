//! Walks a record beside that of the snapshot before and hands out the files that the pass has not read yet.

use super::{COMPARED_COST, FILE_COST};
use crate::digests::DigestLists;
use crate::error::Error;
use crate::manifest::{Entry, ManifestError, Reader, Seal, TreeCursor};
use crate::problem::ProblemKind;
use crate::report::Counters;
use crate::tree_order::{self, tree_order};
use crate::verify::check::{CHUNK_BYTES, CHUNK_ENTRIES, CHUNK_QUEUE, Checker, Chunk, OPEN_LEVELS_MAX, check_chunks};
use crate::verify::{Findings, Kept, Unread};
use crossbeam_channel::{Sender, bounded};
use hardback_platform::{Dir, FileRead, Kind, PathError, RelPath};
use std::sync::Arc;

/// A record and its tree.
type Recorded = (Reader<FileRead>, Dir);

/// A folder that the walk is in.
struct Level {
    /// `None` while it is closed.
    dir: Option<Arc<Dir>>,
    /// Path of names as they are in the tree.
    stored: RelPath,
    /// All its files were looked at.
    is_listed: bool,
    /// The same folder in the snapshot before, if that has it.
    before: Option<BeforeLevel>,
}

/// A folder of the snapshot before.
struct BeforeLevel {
    /// `None` where it cannot be opened, or is closed.
    dir: Option<Dir>,
    stored: RelPath,
}

/// The snapshot before.
struct Before {
    cursor: TreeCursor<FileRead>,
    tree: Dir,
}

/// A walk through a snapshot that can be left and gone on with.
pub(super) struct Walk<'a, 'f> {
    findings: &'a Findings<'f>,
    digests: &'a DigestLists,
    seal: Arc<Seal>,
    /// What the pass has been at and not read.
    unread: Unread,
    /// A folder could not be entered.
    has_gap: bool,
    cursor: TreeCursor<FileRead>,
    tree: Dir,
    /// `None` where there is none, or it can no longer be read: then everything is read.
    before: Option<Before>,
    levels: Vec<Level>,
    /// Path of names as they were at the source.
    path: RelPath,
    /// Up to here the pass has been; the root once that is behind.
    skipped_to: RelPath,
    /// The last entry that was handed out or passed over.
    at: RelPath,
    cost: u64,
}

impl<'a, 'f> Walk<'a, 'f> {
    /// Starts at the top.
    pub(super) fn open(
        findings: &'a Findings<'f>,
        digests: &'a DigestLists,
        seal: Seal,
        unread: &Unread,
        (reader, tree): Recorded,
        before: Option<Recorded>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Manifest { snapshot: seal.snapshot.clone(), source };
        let (cursor, _) = TreeCursor::open(reader).map_err(failed)?;
        let before = before.and_then(|(reader, tree)| {
            let (cursor, _) = TreeCursor::open(reader).ok()?;
            Some(Before { cursor, tree })
        });
        let top_before = |before: &Before| BeforeLevel { dir: before.tree.try_clone().ok(), stored: RelPath::root() };
        let top = Level {
            dir: Some(Arc::new(tree.try_clone()?)),
            stored: RelPath::root(),
            is_listed: false,
            before: before.as_ref().map(top_before),
        };
        Ok(Self {
            findings,
            digests,
            seal: Arc::new(seal),
            unread: unread.clone(),
            has_gap: false,
            cursor,
            tree,
            before,
            levels: vec![top],
            path: RelPath::root(),
            skipped_to: RelPath::root(),
            at: RelPath::root(),
            cost: 0,
        })
    }

    /// Passes over everything up to a path, which is no folder.
    pub(super) fn skip_to(&mut self, path: &RelPath) {
        (self.skipped_to, self.at) = (path.clone(), path.clone());
    }

    /// Returns up to where everything was read.
    pub(super) fn done_to(&self) -> &RelPath {
        &self.at
    }

    /// Returns whether a folder could not be entered, so that nothing in it was read.
    pub(super) fn has_gap(&self) -> bool {
        self.has_gap
    }

    /// Returns whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.levels.is_empty()
    }

    /// Goes on until a cost is reached and all that was handed out is read; returns the cost.
    ///
    /// # Errors
    /// The record cannot be read, or the user asked to stop: then nothing of the leg counts.
    pub(super) fn leg(&mut self, cost_max: u64) -> Result<u64, Error> {
        self.cost = 0;
        let (findings, digests, seal) = (self.findings, self.digests, Arc::clone(&self.seal));
        let (seal, kept) = (&*seal, Kept::of(&seal));
        let (sender, chunks) = bounded::<Chunk>(CHUNK_QUEUE);
        let walked = std::thread::scope(|scope| {
            for _ in 0..findings.worker_count() {
                let chunks = chunks.clone();
                scope.spawn(move || {
                    let checker = || Checker::new(findings, digests, seal, kept, true);
                    findings.failure.guard(|| check_chunks(checker(), chunks));
                });
            }
            drop(chunks);
            let walked = Error::of_panic_in(|| self.walk(cost_max, &sender));
            // The workers end when the queue is empty and closed.
            drop(sender);
            walked
        });
        findings.tell_unproven(&seal.snapshot);
        findings.ctx.check_cancel()?;
        findings.failure.take()?;
        walked.map(|()| self.cost)
    }

    fn walk(&mut self, cost_max: u64, chunks: &Sender<Chunk>) -> Result<(), Error> {
        while let Some(level) = self.levels.last_mut() {
            self.findings.ctx.check_cancel()?;
            if !level.is_listed {
                if !self.files(cost_max, chunks)? {
                    return Ok(());
                }
                if let Some(level) = self.levels.last_mut() {
                    level.is_listed = true;
                }
            }
            if self.cost >= cost_max {
                return Ok(());
            }
            match self.cursor.next_dir().map_err(|e| self.record_failed(e))? {
                Some((entry, _)) => self.enter(&entry)?,
                None => self.leave()?,
            }
        }
        Ok(())
    }

    fn record_failed(&self, source: ManifestError) -> Error {
        Error::Manifest { snapshot: self.seal.snapshot.clone(), source }
    }

    /// Hands out the files of the folder; returns whether it came to the last.
    fn files(&mut self, cost_max: u64, chunks: &Sender<Chunk>) -> Result<bool, Error> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        loop {
            if self.cost >= cost_max {
                self.hand_out(chunks, entries)?;
                return Ok(false);
            }
            let Some((entry, _)) = self.cursor.next_file().map_err(|e| self.record_failed(e))? else {
                self.hand_out(chunks, entries)?;
                return Ok(true);
            };
            let path = self.path.join(&entry.name);
            let is_read = entry.kind == Kind::File && entry.content.is_some() && entry.is_in_tree();
            if self.is_skipped(&path) || !is_read {
                Counters::add(&self.findings.ctx.counters.entries, 1);
                continue;
            }
            self.at = path;
            if self.is_as_before(&entry) {
                self.cost = self.cost.saturating_add(COMPARED_COST);
                Counters::add(&self.findings.ctx.counters.entries, 1);
                continue;
            }
            self.cost = self.cost.saturating_add(FILE_COST).saturating_add(entry.size_bytes);
            bytes += entry.size_bytes;
            entries.push(entry);
            if entries.len() >= CHUNK_ENTRIES || bytes >= CHUNK_BYTES {
                bytes = 0;
                self.hand_out(chunks, std::mem::take(&mut entries))?;
            }
        }
    }

    /// Returns whether the pass has been at an entry that is no folder.
    fn is_skipped(&mut self, path: &RelPath) -> bool {
        if self.skipped_to.is_root() {
            return false;
        }
        let place = |path, is_dir| tree_order::Place { path, is_dir };
        let order = tree_order(place(path.as_bytes(), false), place(self.skipped_to.as_bytes(), false));
        if order.is_gt() {
            // What follows is further still.
            self.skipped_to = RelPath::root();
        }
        order.is_le()
    }

    /// Returns whether a file could not be read, or not proven, when the pass was at it, and may be now.
    fn is_unread(&self, entry: &Entry) -> bool {
        let Some(content) = entry.content else { return false };
        let can_be_proven_now = || self.digests.has(content.generation);
        self.unread.contents.contains(&content)
            || (self.unread.lists.contains(&content.generation) && can_be_proven_now())
    }

    /// Returns whether a file is that of the snapshot before under the same path: the pass has been there.
    fn is_as_before(&mut self, entry: &Entry) -> bool {
        if self.is_unread(entry) {
            return false;
        }
        let Some(here) = self.levels.last() else { return false };
        let (Some(at), Some(before)) = (&here.before, &mut self.before) else { return false };
        let old = match before.cursor.file_named(&entry.name, &mut 0) {
            Ok(Some(old)) if old.content == entry.content && old.is_in_tree() => old,
            Ok(_) => return false,
            Err(_) => {
                self.before = None;
                return false;
            }
        };
        let reopened;
        let old_dir = match &at.dir {
            Some(dir) => dir,
            None => match before.tree.open_dir_at(&at.stored) {
                Ok(dir) => {
                    reopened = dir;
                    &reopened
                }
                Err(_) => return false,
            },
        };
        let Some(dir) = &here.dir else { return false };
        // What cannot be looked at is handed out, and told by whoever cannot read it.
        match (dir.stat(entry.stored_name()), old_dir.stat(old.stored_name())) {
            (Ok(now), Ok(then)) => now.id == then.id,
            _ => false,
        }
    }

    fn hand_out(&mut self, chunks: &Sender<Chunk>, entries: Vec<Entry>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let level = self.levels.last_mut().expect("entries are those of a folder");
        let dir = dir_of(&self.tree, level)?;
        // The workers go only when the user asked to stop.
        chunks.send(Chunk { dir, path: self.path.clone(), entries }).map_err(|_| Error::Interrupted)
    }

    /// Enters a folder, or passes it over.
    fn enter(&mut self, entry: &Entry) -> Result<(), Error> {
        let path = self.path.join(&entry.name);
        if !entry.is_in_tree() || self.is_folder_skipped(&path) {
            return self.pass_over().map(drop);
        }
        let level = self.levels.last_mut().expect("a folder is in a folder");
        let stored = level.stored.join(entry.stored_name());
        let opened = dir_of(&self.tree, level).and_then(|dir| dir.open_dir(entry.stored_name()));
        let dir = match opened {
            Ok(dir) => Arc::new(dir),
            Err(error) => {
                let below = self.pass_over()?;
                if below > 0 || entry.problem() != Some(ProblemKind::Unreadable) {
                    self.has_gap = true;
                    let shown = [self.seal.snapshot.as_bytes(), b"/", path.as_bytes()].concat();
                    let what = format!("cannot {}: {}; nothing in it was read", error.op, error.source);
                    self.findings.problem(&shown, ProblemKind::Unreadable, what);
                }
                return Ok(());
            }
        };
        let before = self.enter_before(entry);
        self.path = path;
        self.levels.push(Level { dir: Some(dir), stored, is_listed: false, before });
        if let Some(far) = self.levels.len().checked_sub(OPEN_LEVELS_MAX + 1) {
            self.levels[far].dir = None;
            if let Some(before) = &mut self.levels[far].before {
                before.dir = None;
            }
        }
        Ok(())
    }

    /// Enters the folder of the same path in the snapshot before.
    fn enter_before(&mut self, entry: &Entry) -> Option<BeforeLevel> {
        let above = self.levels.last()?.before.as_ref()?;
        let before = self.before.as_mut()?;
        match before.cursor.enter(&entry.name, &mut 0) {
            Ok(None) => None,
            Ok(Some(old)) => {
                let stored = above.stored.join(old.stored_name());
                let dir = match &above.dir {
                    Some(dir) => dir.open_dir(old.stored_name()).ok(),
                    None => before.tree.open_dir_at(&stored).ok(),
                };
                Some(BeforeLevel { dir, stored })
            }
            Err(_) => {
                self.before = None;
                None
            }
        }
    }

    /// Returns whether the pass has been at everything in a folder.
    fn is_folder_skipped(&self, path: &RelPath) -> bool {
        if self.skipped_to.is_root() || self.skipped_to.is_at_or_below(path) {
            return false;
        }
        let place = |path, is_dir| tree_order::Place { path, is_dir };
        tree_order(place(path.as_bytes(), true), place(self.skipped_to.as_bytes(), false)).is_lt()
    }

    /// Passes over a folder that was entered in the record; returns the number of entries below it.
    fn pass_over(&mut self) -> Result<u64, Error> {
        let below = self.cursor.leave().map_err(|e| self.record_failed(e))?;
        Counters::add(&self.findings.ctx.counters.entries, below + 1);
        Ok(below)
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.cursor.leave().map_err(|e| self.record_failed(e))?;
        let left = self.levels.pop();
        if left.is_some_and(|level| level.before.is_some())
            && let Some(before) = &mut self.before
            && before.cursor.leave().is_err()
        {
            self.before = None;
        }
        self.path.pop();
        Counters::add(&self.findings.ctx.counters.entries, 1);
        Ok(())
    }
}

/// Returns the handle of a folder, opening it again if it was closed.
fn dir_of(tree: &Dir, level: &mut Level) -> Result<Arc<Dir>, PathError> {
    if let Some(dir) = &level.dir {
        return Ok(dir.clone());
    }
    let dir = Arc::new(tree.open_dir_at(&level.stored)?);
    level.dir = Some(dir.clone());
    Ok(dir)
}
