//! Walks the tree of one snapshot, not its record: how many names and blocks a file has, only the volume knows.
//!
//! One thread lists folders, some others look at what is in them. No folder is entered by a path, and only the last
//! levels stay open, so a tree may be as deep as it likes.

use super::clones::Clones;
use super::places::{PlaceId, Places, Sums};
use super::rows::{STAYS, Sighting};
use super::runs::Runs;
use crate::context::Context;
use crate::error::Error;
use crate::manifest::ContentRef;
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, Problems};
use crate::verify::Seen;
use crossbeam_channel::{Receiver, Sender, bounded};
use hardback_platform::{Dir, Kind, Listing, Metadata, PathError, RelPath};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Most entries of a chunk.
const CHUNK_ENTRIES: usize = 256;
/// Chunks that wait for a worker; each may hold a folder open.
const CHUNK_QUEUE: usize = 64;
/// Levels above the current one whose handles stay open.
const OPEN_LEVELS_MAX: usize = 48;
/// Workers where none are asked for: disks that must be waited for reward four.
const WORKERS_DEFAULT: usize = 4;
/// Most workers.
const WORKERS_MAX: usize = 64;
/// Folders that are told apart.
const PLACES_MAX: usize = 100_000;
/// Bytes of a block as it is counted.
pub(crate) const BLOCK_BYTES: u64 = 512;
/// A file of not more blocks is not asked for those that it shares: what it has is one block of the volume, and a backup
/// lets none share it.
pub(crate) const BLOCKS_NOT_ASKED: u64 = 8;
/// The mark of a file that was asked.
const ASKED: ContentRef = ContentRef { generation: 1, ordinal: 0 };

/// The tree of a snapshot, and what is found in it.
pub(super) struct Tree<'a> {
    ctx: &'a Context<'a>,
    problems: &'a Problems,
    /// Job and snapshot, as problems name them.
    shown: String,
    look: Look<'a>,
    volume: u64,
    places: Mutex<Places>,
    linked: Mutex<Linked>,
    failure: Mutex<Option<Error>>,
}

/// Files with several names that were seen in one tree, by place.
pub(super) type Linked = Runs<Sighting<true>>;

/// How a tree is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// Levels below the top whose folders are told apart.
    pub(super) depth: usize,
    /// Threads; 0 chooses.
    pub(super) workers: usize,
    /// Number of the snapshot, or [`STAYS`] if it is looked at only for the blocks that it has in common with others.
    pub(super) step: u32,
    /// Files can have such blocks there.
    pub(super) has_clones: bool,
    /// Files that were asked for them.
    pub(super) asked: &'a Seen,
    /// What they said.
    pub(super) clones: &'a Mutex<Clones>,
}

/// Entries of one folder for a worker.
struct Chunk {
    dir: Arc<Dir>,
    path: Arc<RelPath>,
    listing: Arc<Listing>,
    entries: Range<usize>,
    place: PlaceId,
}

/// A folder that the walk is in.
struct Level {
    name: Vec<u8>,
    /// `None` while it is closed; the top never is.
    dir: Option<Arc<Dir>>,
    listing: Arc<Listing>,
    /// The next of its folders in the listing.
    next: usize,
    place: PlaceId,
}

struct Walk<'t, 'a> {
    tree: &'t Tree<'a>,
    levels: Vec<Level>,
    path: RelPath,
    chunks: Sender<Chunk>,
}

/// Counts what is in a tree: by place what is there, and beside that the files with several names.
pub(super) fn walk(
    ctx: &Context<'_>,
    problems: &Problems,
    shown: String,
    top: Dir,
    linked: Linked,
    look: Look<'_>,
) -> Result<(Places, Linked), Error> {
    let volume = top.metadata()?.id.volume;
    let tree = Tree {
        ctx,
        problems,
        shown,
        look,
        volume,
        places: Mutex::new(Places::new()),
        linked: Mutex::new(linked),
        failure: Mutex::new(None),
    };
    let (sender, chunks) = bounded(CHUNK_QUEUE);
    let walked = std::thread::scope(|scope| {
        for _ in 0..if look.workers == 0 { WORKERS_DEFAULT } else { look.workers.min(WORKERS_MAX) } {
            let (tree, chunks) = (&tree, chunks.clone());
            scope.spawn(move || tree.work(&chunks));
        }
        drop(chunks);
        // The workers end when the queue is empty and closed.
        Walk { tree: &tree, levels: Vec::new(), path: RelPath::root(), chunks: sender }.run(top)
    });
    if let Some(failure) = tree.failure.into_inner().expect("all threads are done") {
        return Err(failure);
    }
    ctx.check_cancel()?;
    walked?;
    let places = tree.places.into_inner().expect("all threads are done");
    Ok((places, tree.linked.into_inner().expect("all threads are done")))
}

impl Tree<'_> {
    fn is_stopped(&self) -> bool {
        self.ctx.cancel.is_cancelled() || self.failure.lock().expect("no panic while it is held").is_some()
    }

    fn problem(&self, path: &RelPath, name: &[u8], kind: ProblemKind, detail: String) {
        let mut shown = self.shown.as_bytes().to_vec();
        for part in [path.as_bytes(), name] {
            if !part.is_empty() {
                shown.push(b'/');
                shown.extend_from_slice(part);
            }
        }
        self.problems.tell(self.ctx, Problem::with_detail(&shown, kind, detail));
    }

    fn not_looked_at(&self, path: &RelPath, name: &[u8], error: &PathError) {
        let detail = format!("cannot {}: {}", error.op, error.source);
        self.problem(path, name, ProblemKind::of_source(error), detail);
    }

    fn count(&self, place: PlaceId, sums: &Sums) {
        self.places.lock().expect("no panic while places are held").count(place, sums);
    }

    fn work(&self, chunks: &Receiver<Chunk>) {
        for chunk in chunks {
            if self.is_stopped() {
                return;
            }
            let worked = Error::of_panic_in(|| self.chunk(&chunk));
            if let Err(error) = worked {
                self.failure.lock().expect("no panic while it is held").get_or_insert(error);
                return;
            }
        }
    }

    fn chunk(&self, chunk: &Chunk) -> Result<(), Error> {
        let mut sums = Sums::default();
        let mut sightings = Vec::new();
        let count = chunk.entries.len() as u64;
        for index in chunk.entries.clone() {
            let name = chunk.listing.get(index).name;
            match chunk.dir.stat(name) {
                Ok(found) if found.kind == Kind::Dir => {
                    let what = "it was no folder when its own was listed";
                    self.problem(&chunk.path, name, ProblemKind::Replaced, what.into());
                }
                Ok(found) => {
                    sums.entries += 1;
                    let cloned = self.cloned_blocks(chunk, name, &found)?;
                    if found.nlink <= 1 {
                        sums.add_only_here(found.blocks * BLOCK_BYTES, cloned * BLOCK_BYTES);
                    } else if self.look.step != STAYS {
                        sightings.push(sighting(&found, cloned, chunk.place));
                    }
                }
                Err(error) => self.not_looked_at(&chunk.path, name, &error),
            }
        }
        Counters::add(&self.ctx.counters.entries, count);
        self.count(chunk.place, &sums);
        let mut linked = self.linked.lock().expect("no panic while sightings are held");
        sightings.into_iter().try_for_each(|sighting| linked.push(sighting))?;
        Ok(())
    }

    /// Returns how many of a file's blocks others have too, and notes which. Each file is asked once.
    fn cloned_blocks(&self, chunk: &Chunk, name: &[u8], found: &Metadata) -> Result<u64, Error> {
        let can_have = self.look.has_clones && found.kind == Kind::File && found.blocks > BLOCKS_NOT_ASKED;
        let file = found.id.file;
        if !can_have || (found.nlink > 1 && self.look.asked.has(file, ASKED)) {
            return Ok(0);
        }
        if found.nlink > 1 {
            self.look.asked.note(file, ASKED);
        }
        let mut common = Vec::new();
        let asked = chunk.dir.open_file(name).and_then(|file| file.cloned_ranges(&mut |range| common.push(range)));
        if let Err(error) = asked {
            // What is promised must come: of what is not known, nothing.
            self.not_looked_at(&chunk.path, name, &error);
            return Ok(found.blocks);
        }
        if common.is_empty() {
            return Ok(0);
        }
        let mut clones = self.look.clones.lock().expect("no panic while clones are held");
        common.iter().try_for_each(|range| clones.found(file, range))?;
        if found.nlink <= 1 || self.look.step == STAYS {
            clones.goes(file, self.look.step)?;
        }
        let bytes: u64 = common.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        Ok((bytes / BLOCK_BYTES).min(found.blocks))
    }
}

fn sighting(found: &Metadata, cloned: u64, place: PlaceId) -> Sighting<true> {
    let nlink = u32::try_from(found.nlink).unwrap_or(u32::MAX);
    Sighting { file: found.id.file, low: place, high: place, names: 1, nlink, blocks: found.blocks, cloned }
}

impl Walk<'_, '_> {
    fn run(mut self, top: Dir) -> Result<(), Error> {
        let found = top.metadata()?;
        self.push(Vec::new(), Arc::new(top), &found, 0)?;
        while let Some(level) = self.levels.last_mut() {
            if self.tree.is_stopped() {
                return Ok(());
            }
            let folder = (level.next < level.listing.len()).then(|| level.listing.get(level.next).name.to_vec());
            match folder {
                Some(name) => {
                    level.next += 1;
                    self.enter(name)?;
                }
                None => {
                    self.levels.pop();
                    self.path.pop();
                }
            }
        }
        Ok(())
    }

    /// Enters a folder of the current one. What cannot be entered is told, and counted as far as it can be seen.
    fn enter(&mut self, name: Vec<u8>) -> Result<(), Error> {
        Counters::add(&self.tree.ctx.counters.entries, 1);
        let dir = match self.dir_of_last() {
            Ok(dir) => dir,
            Err(error) => {
                // It was closed meanwhile and is not there any more.
                self.tree.not_looked_at(&self.path, b"", &error);
                self.last().next = usize::MAX;
                return Ok(());
            }
        };
        let above = self.last().place;
        let mut entry = Sums { entries: 1, ..Sums::default() };
        match dir.open_dir(&name).and_then(|below| Ok((below.metadata()?, below))) {
            Ok((found, _)) if found.id.volume != self.tree.volume => {
                let what = "another volume is mounted there, which is not looked at";
                self.tree.problem(&self.path, &name, ProblemKind::Extra, what.into());
                Ok(())
            }
            Ok((found, below)) => {
                self.tree.count(above, &entry);
                self.path.push(&name);
                let place = self.place(above)?;
                self.push(name, Arc::new(below), &found, place)
            }
            Err(error) => {
                self.tree.not_looked_at(&self.path, &name, &error);
                if let Ok(found) = dir.stat(&name) {
                    entry.add_only_here(found.blocks * BLOCK_BYTES, 0);
                    self.tree.count(above, &entry);
                }
                Ok(())
            }
        }
    }

    fn last(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the walk is in a folder")
    }

    /// Returns the place of the folder that was entered: its own if it is to be told apart, else that of the one above.
    fn place(&self, above: PlaceId) -> Result<PlaceId, Error> {
        if self.levels.len() > self.tree.look.depth {
            return Ok(above);
        }
        let mut places = self.tree.places.lock().expect("no panic while places are held");
        places.add(above, self.path.as_bytes(), PLACES_MAX).ok_or_else(|| {
            Error::refused(
                format!("{} has more than {PLACES_MAX} folders to be told", self.tree.shown),
                "ask for fewer levels of folders",
            )
        })
    }

    /// Counts an open folder and hands out what is in it.
    fn push(&mut self, name: Vec<u8>, dir: Arc<Dir>, found: &Metadata, place: PlaceId) -> Result<(), Error> {
        let mut own = Sums::default();
        own.add_only_here(found.blocks * BLOCK_BYTES, 0);
        self.tree.count(place, &own);
        self.tree.ctx.counters.set_current(self.path.as_bytes());
        let listing = Arc::new(dir.list().unwrap_or_else(|error| {
            self.tree.not_looked_at(&self.path, b"", &error);
            Listing::default()
        }));
        let path = Arc::new(self.path.clone());
        let files = listing.files_len();
        for start in (0..files).step_by(CHUNK_ENTRIES) {
            let entries = start..files.min(start + CHUNK_ENTRIES);
            let (dir, path, listing) = (dir.clone(), path.clone(), listing.clone());
            if self.chunks.send(Chunk { dir, path, listing, entries, place }).is_err() {
                // The workers go only when the work stops.
                return Ok(());
            }
        }
        if let Some(far) = self.levels.len().checked_sub(OPEN_LEVELS_MAX).filter(|far| *far > 0) {
            self.levels[far].dir = None;
        }
        self.levels.push(Level { name, dir: Some(dir), listing, next: files, place });
        Ok(())
    }

    /// Returns the handle of the current folder. If it was closed, it is opened again from the nearest one above that is
    /// open, and so are the last levels on the way, as the walk comes back through them.
    fn dir_of_last(&mut self) -> Result<Arc<Dir>, PathError> {
        let last = self.levels.len().saturating_sub(1);
        let is_open = |level: &Level| level.dir.is_some();
        let open = self.levels.iter().rposition(is_open).expect("the top is never closed");
        let mut dir = self.levels[open].dir.clone().expect("it is open");
        for (index, level) in self.levels.iter_mut().enumerate().skip(open + 1) {
            dir = Arc::new(dir.open_dir(&level.name)?);
            if index + OPEN_LEVELS_MAX > last {
                level.dir = Some(dir.clone());
            }
        }
        Ok(dir)
    }
}
