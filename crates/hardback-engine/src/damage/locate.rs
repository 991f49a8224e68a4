//! One pass over the records: every name of some contents, and other contents with the same digest.

use super::Contents;
use crate::catalog::{self, Snapshot};
use crate::context::Context;
use crate::digests::{DigestLists, DigestWindow};
use crate::error::Error;
use crate::lookup;
use crate::manifest::{ContentRef, Digest, Entry, ManifestError};
use crate::report::Counters;
use crate::target::Target;
use hardback_platform::{Dir, Faults, Kind, PathError, RelPath, Time};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Places that are kept that could not be looked at; the others are counted.
const UNREAD_MAX: usize = 1000;
/// Files of other contents with the same digest that are kept: one that is good is enough.
pub(super) const TWINS_MAX: usize = 32;

/// A folder of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Path of names as they were at the source.
    pub(crate) path: RelPath,
    /// Path of names as they are in the tree.
    pub(crate) stored: RelPath,
    /// Its time, by the record.
    pub(crate) mtime: Time,
}

/// A name of a stored file.
#[derive(Debug, Clone)]
pub(crate) struct StoredName {
    /// Which of [`Located::snapshots`].
    pub(crate) snapshot: usize,
    pub(crate) folder: Arc<Place>,
    pub(crate) name: Arc<[u8]>,
    /// Its name in the tree.
    pub(crate) stored: Arc<[u8]>,
}

impl StoredName {
    /// Makes one; what is as in the name before, mostly that of the snapshot before, is not kept twice.
    fn new(snapshot: usize, folder: &FolderOf<'_>, entry: &Entry, before: Option<&Self>) -> Self {
        let same_folder = before.filter(|before| folder.is_at(&before.folder));
        let shared = |bytes: &[u8], before: Option<&Arc<[u8]>>| match before {
            Some(before) if **before == *bytes => before.clone(),
            _ => bytes.into(),
        };
        Self {
            snapshot,
            folder: same_folder.map_or_else(|| Arc::new(folder.place()), |before| before.folder.clone()),
            name: shared(&entry.name, before.map(|before| &before.name)),
            stored: shared(entry.stored_name(), before.map(|before| &before.stored)),
        }
    }
}

/// A stored file: one, however many names it has.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    /// Which file it is on its volume.
    pub(crate) file: u64,
    /// How many names the volume says that it has.
    pub(crate) nlink: u64,
    /// What the record of the newest snapshot that has it says of it.
    pub(crate) entry: Entry,
    /// All names by the records, oldest snapshot first.
    pub(crate) names: Vec<StoredName>,
}

/// A content, and what there is of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspect {
    /// `None` where its digest cannot be read, and nothing can be proven.
    pub(crate) digest: Option<Digest>,
    /// The files that the records say have it.
    pub(crate) files: Vec<StoredFile>,
    /// Files of other contents with its digest.
    pub(crate) twins: Vec<Twin>,
    /// There are more of them than are kept.
    pub(crate) has_more_twins: bool,
}

/// A file of another content with the same digest, by one of its names.
#[derive(Debug, Clone)]
pub(crate) struct Twin {
    file: u64,
    pub(crate) job: String,
    pub(crate) snapshot: String,
    pub(crate) folder: Place,
    pub(crate) name: Box<[u8]>,
    pub(crate) stored: Box<[u8]>,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) job: String,
    /// The snapshots of the job, oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) suspects: BTreeMap<ContentRef, Suspect>,
    /// Snapshots and folders of the job that cannot be looked at, and why: they may have more names.
    pub(crate) unread: Vec<(Vec<u8>, String)>,
    /// Those that are not kept.
    pub(crate) unread_more: u64,
    /// Jobs of which not all could be looked at: there may be more copies.
    pub(crate) unseen: BTreeSet<String>,
}

impl Located {
    /// Returns the names of a file as `SNAPSHOT/path`, and the snapshots that it is in.
    pub(crate) fn names_of(&self, file: &StoredFile) -> (Vec<Vec<u8>>, Vec<String>) {
        let names = file.names.iter().map(|name| self.shown(name)).collect();
        let mut snapshots: Vec<String> = file.names.iter().map(|n| self.snapshots[n.snapshot].name.clone()).collect();
        snapshots.dedup();
        (names, snapshots)
    }

    /// Notes what cannot be looked at; a folder once, though it may have many names.
    fn note_unread(&mut self, path: Vec<u8>, why: String) {
        if self.unread.last().is_some_and(|(last, _)| *last == path) {
            return;
        }
        self.unseen.insert(self.job.clone());
        match self.unread.len() < UNREAD_MAX {
            true => self.unread.push((path, why)),
            false => self.unread_more += 1,
        }
    }

    /// Returns a name as `SNAPSHOT/path`.
    pub(crate) fn shown(&self, name: &StoredName) -> Vec<u8> {
        let path = name.folder.path.join(&name.name);
        [self.snapshots[name.snapshot].name.as_bytes(), b"/", path.as_bytes()].concat()
    }
}

/// Looks for all names of some contents of a job, and for other contents with their digests in all jobs.
///
/// # Errors
/// The target cannot be read as a whole, or the user asked to stop.
pub(crate) fn locate(ctx: &Context<'_>, target: &Target, job: &str, contents: &Contents) -> Result<Located, Error> {
    let digests = DigestLists::open(target, job);
    let mut located = Located { job: job.to_owned(), ..Located::default() };
    let mut by_digest: HashMap<Digest, Vec<ContentRef>> = HashMap::new();
    for &content in contents {
        let digest = digests.get(content).ok();
        located.suspects.insert(content, Suspect { digest, ..Suspect::default() });
        if let Some(digest) = digest {
            by_digest.entry(digest).or_default().push(content);
        }
    }
    let snapshots = catalog::snapshots(target, job)?;
    located.snapshots = snapshots.sealed;
    for unsealed in snapshots.unsealed {
        located.note_unread(unsealed.name.into_bytes(), unsealed.why);
    }
    if let Some(trees) = target.job_dir_if_any(job)? {
        for index in 0..located.snapshots.len() {
            let snapshot = located.snapshots[index].clone();
            let tree = match trees.open_dir(snapshot.name.as_bytes()) {
                Ok(tree) => tree,
                Err(error) if error.fault() == Faults::Vanished => continue,
                Err(error) => {
                    located.note_unread(snapshot.name.into_bytes(), error_words(&error));
                    continue;
                }
            };
            let mut pass = Pass { located: &mut located, by_digest: &by_digest, digests: &digests };
            let mut window = DigestWindow::default();
            let walked = for_each_file(ctx, target, &snapshot, |folder, entry| {
                if let Some(content) = entry.content {
                    pass.take(index, &tree, &folder, entry, content);
                    pass.twin((&snapshot, &tree), &folder, entry, content, &mut window);
                }
            });
            let is_over = matches!(walked, Err(Error::Interrupted));
            match walked {
                Err(error) if !is_over => located.note_unread(snapshot.name.into_bytes(), error.with_causes()),
                other => other?,
            }
        }
    }
    find_in_other_jobs(ctx, target, &mut located, &by_digest)?;
    Ok(located)
}

/// Another job may have the same content; what of it cannot be read has no copy to give.
fn find_in_other_jobs(
    ctx: &Context<'_>,
    target: &Target,
    located: &mut Located,
    by_digest: &HashMap<Digest, Vec<ContentRef>>,
) -> Result<(), Error> {
    let own = located.job.clone();
    for other in catalog::jobs(target)?.into_iter().filter(|other| *other != own) {
        let digests = DigestLists::open(target, &other);
        let (trees, snapshots) = match (target.job_dir_if_any(&other), catalog::snapshots(target, &other)) {
            (Ok(Some(trees)), Ok(snapshots)) => (trees, snapshots),
            (Ok(None), _) => continue,
            _ => {
                located.unseen.insert(other);
                continue;
            }
        };
        let mut is_seen = snapshots.unsealed.is_empty();
        for snapshot in snapshots.sealed {
            let tree = match trees.open_dir(snapshot.name.as_bytes()) {
                Ok(tree) => tree,
                Err(error) => {
                    is_seen &= error.fault() == Faults::Vanished;
                    continue;
                }
            };
            let mut pass = Pass { located, by_digest, digests: &digests };
            let mut window = DigestWindow::default();
            let walked = for_each_file(ctx, target, &snapshot, |folder, entry| {
                if let Some(content) = entry.content {
                    pass.twin((&snapshot, &tree), &folder, entry, content, &mut window);
                }
            });
            match walked {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                other => is_seen &= other.is_ok(),
            }
        }
        if !is_seen {
            located.unseen.insert(other);
        }
    }
    Ok(())
}

/// Takes what is looked for out of a record.
struct Pass<'a> {
    located: &'a mut Located,
    by_digest: &'a HashMap<Digest, Vec<ContentRef>>,
    digests: &'a DigestLists,
}

impl Pass<'_> {
    /// Takes a name of one of the contents.
    fn take(&mut self, snapshot: usize, tree: &Dir, folder: &FolderOf<'_>, entry: &Entry, content: ContentRef) {
        if !self.located.suspects.contains_key(&content) {
            return;
        }
        let in_snapshot =
            |path: &RelPath| [self.located.snapshots[snapshot].name.as_bytes(), b"/", path.as_bytes()].concat();
        let looked = match tree.open_dir_at(folder.stored) {
            Ok(dir) => dir.stat(entry.stored_name()).map_err(|e| (in_snapshot(&folder.path.join(&entry.name)), e)),
            Err(error) => Err((in_snapshot(folder.path), error)),
        };
        let found = match looked {
            Ok(found) if found.kind == Kind::File => found,
            Ok(_) => return,
            Err((_, error)) if error.fault() == Faults::Vanished => return,
            Err((path, error)) => return self.located.note_unread(path, error_words(&error)),
        };
        let Some(suspect) = self.located.suspects.get_mut(&content) else { return };
        match suspect.files.iter_mut().find(|file| file.file == found.id.file) {
            Some(file) => {
                file.entry = entry.clone();
                let name = StoredName::new(snapshot, folder, entry, file.names.last());
                file.names.push(name);
            }
            None => suspect.files.push(StoredFile {
                file: found.id.file,
                nlink: found.nlink,
                entry: entry.clone(),
                names: vec![StoredName::new(snapshot, folder, entry, None)],
            }),
        }
    }

    /// Takes a name of another content with the same digest, if it is that of another file.
    fn twin(
        &mut self,
        (snapshot, tree): (&Snapshot, &Dir),
        folder: &FolderOf<'_>,
        entry: &Entry,
        content: ContentRef,
        window: &mut DigestWindow,
    ) {
        if self.by_digest.is_empty() {
            return;
        }
        let Ok(digest) = window.get(self.digests, content) else { return self.note_unseen(&snapshot.job) };
        let is_own = snapshot.job == self.located.job;
        for sought in self.by_digest.get(&digest).into_iter().flatten().filter(|sought| !is_own || **sought != content)
        {
            let Some(suspect) = self.located.suspects.get_mut(sought) else { continue };
            if suspect.has_more_twins {
                continue;
            }
            let file = match tree.open_dir_at(folder.stored).and_then(|dir| dir.stat(entry.stored_name())) {
                Ok(found) if found.kind == Kind::File => found.id.file,
                Ok(_) => continue,
                Err(error) if error.fault() == Faults::Vanished => continue,
                Err(_) => return self.note_unseen(&snapshot.job),
            };
            if suspect.twins.iter().any(|twin| twin.file == file) {
                continue;
            }
            suspect.has_more_twins = suspect.twins.len() == TWINS_MAX;
            if !suspect.has_more_twins {
                suspect.twins.push(Twin {
                    file,
                    job: snapshot.job.clone(),
                    snapshot: snapshot.name.clone(),
                    folder: folder.place(),
                    name: entry.name.clone(),
                    stored: entry.stored_name().into(),
                });
            }
        }
    }

    /// Not all of a job could be looked at.
    fn note_unseen(&mut self, job: &str) {
        if !self.located.unseen.contains(job) {
            self.located.unseen.insert(job.to_owned());
        }
    }
}

fn error_words(error: &PathError) -> String {
    format!("cannot {}: {}", error.op, error.source)
}

/// The folder that a walk through a record is in.
#[derive(Clone, Copy)]
pub(crate) struct FolderOf<'a> {
    pub(crate) path: &'a RelPath,
    pub(crate) stored: &'a RelPath,
    pub(crate) mtime: Time,
}

impl FolderOf<'_> {
    fn is_at(&self, place: &Place) -> bool {
        (self.path, self.stored, self.mtime) == (&place.path, &place.stored, place.mtime)
    }

    pub(crate) fn place(&self) -> Place {
        Place { path: self.path.clone(), stored: self.stored.clone(), mtime: self.mtime }
    }
}

/// Calls a function for each entry of a record that is in the tree and no folder.
///
/// # Errors
/// The record cannot be read, or the user asked to stop.
pub(crate) fn for_each_file(
    ctx: &Context<'_>,
    target: &Target,
    snapshot: &Snapshot,
    mut visit: impl FnMut(FolderOf<'_>, &Entry),
) -> Result<(), Error> {
    let failed = |source: ManifestError| Error::Manifest { snapshot: snapshot.name.clone(), source };
    let (mut cursor, root) = lookup::open_cursor(target, snapshot)?;
    let (mut path, mut stored) = (RelPath::root(), RelPath::root());
    let mut mtimes = vec![root.mtime];
    while let Some(&mtime) = mtimes.last() {
        ctx.check_cancel()?;
        while let Some((entry, _)) = cursor.next_file().map_err(failed)? {
            if entry.is_in_tree() {
                visit(FolderOf { path: &path, stored: &stored, mtime }, &entry);
            }
            Counters::add(&ctx.counters.entries, 1);
        }
        match cursor.next_dir().map_err(failed)? {
            Some((entry, _)) => {
                path.push(&entry.name);
                stored.push(entry.stored_name());
                mtimes.push(entry.mtime);
            }
            None => {
                cursor.leave().map_err(failed)?;
                mtimes.pop();
                path.pop();
                stored.pop();
            }
        }
    }
    Ok(())
}
