//! The two sides of a comparison, as trees that are entered directory by directory in tree order.

use super::Change;
use super::compare::recorded_changes;
use super::merge::path_of;
use crate::catalog;
use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::manifest::{ContentRef, Entry, Header, ManifestError, TreeCursor};
use crate::problem::{Problem, ProblemKind};
use crate::report::Problems;
use crate::target::Target;
use hardback_platform::{FileRead, Kind};

/// The new side of a comparison.
///
/// In each directory: `next_file` until `None`, then `next_dir` until `None`, each directory followed by its calls and
/// `leave`.
pub(super) trait Tree {
    /// Returns the next entry of this directory that is no directory.
    fn next_file(&mut self) -> Result<Option<Entry>, Error>;
    /// Enters the next subdirectory.
    fn next_dir(&mut self) -> Result<Option<Entry>, Error>;
    /// Leaves this directory.
    fn leave(&mut self) -> Result<(), Error>;
    /// Returns whether this directory cannot be listed, so that nothing is known of what is in it.
    fn is_unknown(&self) -> bool;
    /// Returns whether a backup by the rules of the old side leaves out the entry that was returned last.
    fn leaves_out(&self, entry: &Entry) -> bool;
    /// Returns the name of the snapshot, if this is one.
    fn snapshot(&self) -> Option<&str>;
    /// Compares an old entry with the one of the same kind that was returned last; both are in a folder of this path.
    fn compare(&mut self, dir: &[u8], old: &Entry, new: &Entry) -> Result<Option<Change>, Error>;
    /// Ends.
    fn finish(self) -> Result<(), Error>;
}

/// The record of a snapshot.
pub(super) struct Record {
    cursor: TreeCursor<FileRead>,
    pub(super) snapshot: String,
    /// The top folder.
    pub(super) root: Entry,
}

impl Record {
    pub(super) fn open(target: &Target, job: &str, snapshot: &str) -> Result<Self, Error> {
        catalog::snapshots(target, job)?.named(job, snapshot)?;
        let reader = catalog::open_manifest(target, job, snapshot)?;
        let failed = |source| Error::Manifest { snapshot: snapshot.to_owned(), source };
        let (cursor, root) = TreeCursor::open(reader).map_err(failed)?;
        Ok(Self { cursor, snapshot: snapshot.to_owned(), root })
    }

    pub(super) fn header(&self) -> &Header {
        self.cursor.reader().header()
    }

    /// Returns whether the top folder is a source itself and no folder of ours that holds the sources.
    pub(super) fn top_is_source(&self) -> bool {
        matches!(&self.header().sources[..], [(folder, _)] if folder.is_empty())
    }

    fn failed(&self) -> impl FnOnce(ManifestError) -> Error {
        let snapshot = self.snapshot.clone();
        |source| Error::Manifest { snapshot, source }
    }

    pub(super) fn next_file(&mut self) -> Result<Option<Entry>, Error> {
        let next = self.cursor.next_file();
        Ok(next.map_err(self.failed())?.map(|(entry, _)| entry))
    }

    pub(super) fn next_dir(&mut self) -> Result<Option<Entry>, Error> {
        let next = self.cursor.next_dir();
        Ok(next.map_err(self.failed())?.map(|(entry, _)| entry))
    }

    pub(super) fn leave(&mut self) -> Result<(), Error> {
        let left = self.cursor.leave();
        left.map_err(self.failed()).map(drop)
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        let finished = self.cursor.finish();
        finished.map_err(self.failed())
    }
}

/// A snapshot as the new side.
pub(super) struct Recorded<'a> {
    pub(super) ctx: Context<'a>,
    pub(super) record: Record,
    pub(super) digests: DigestLists,
    pub(super) problems: &'a Problems,
}

impl Recorded<'_> {
    /// Returns whether two stored contents of one size are the same.
    fn same_content(&mut self, dir: &[u8], old: &Entry, new: &Entry) -> bool {
        if old.size_bytes != new.size_bytes {
            return false;
        }
        if old.content == new.content {
            // Of a file without a stored content only the time can tell.
            return old.content.is_some() || old.size_bytes == 0 || old.mtime == new.mtime;
        }
        let Some((old_content, new_content)) = old.content.zip(new.content) else { return false };
        self.same_digest(&path_of(dir, &new.name), old_content, new_content)
    }

    fn same_digest(&mut self, path: &[u8], old: ContentRef, new: ContentRef) -> bool {
        match (self.digests.get(old), self.digests.get(new)) {
            (Ok(old), Ok(new)) => old == new,
            (Err(error), _) | (_, Err(error)) => {
                let detail = format!("its digest cannot be read, so it counts as changed: {error}");
                self.problems.tell(&self.ctx, Problem::with_detail(path, ProblemKind::Other, detail));
                false
            }
        }
    }
}

impl Tree for Recorded<'_> {
    fn next_file(&mut self) -> Result<Option<Entry>, Error> {
        self.record.next_file()
    }

    fn next_dir(&mut self) -> Result<Option<Entry>, Error> {
        self.record.next_dir()
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.record.leave()
    }

    fn is_unknown(&self) -> bool {
        false
    }

    fn leaves_out(&self, _: &Entry) -> bool {
        false
    }

    fn snapshot(&self) -> Option<&str> {
        Some(&self.record.snapshot)
    }

    fn compare(&mut self, dir: &[u8], old: &Entry, new: &Entry) -> Result<Option<Change>, Error> {
        if new.kind == Kind::File && !self.same_content(dir, old, new) {
            return Ok(Some(Change::Content));
        }
        let changes = recorded_changes(old, new);
        Ok((!changes.is_empty()).then_some(Change::Metadata(changes)))
    }

    fn finish(self) -> Result<(), Error> {
        self.record.finish()
    }
}
