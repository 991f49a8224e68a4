//! Checks one entry of a tree, or of a source, against its record.

use super::{Findings, Kept, Looked, VerifyLevel};
use crate::backup::metadata::SET_ID_BITS;
use crate::content::{ContentError, ContentReader, Stop};
use crate::damage::Bad;
use crate::digests::{DigestLists, DigestWindow};
use crate::manifest::{ContentRef, Digest, Entry, Seal};
use crate::problem::ProblemKind;
use crate::report::Counters;
use crossbeam_channel::Receiver;
use hardback_platform::{Dir, Faults, FileRead, Kind, Metadata, PathError, RelPath, Xattrs, ntfs};
use std::sync::Arc;

/// From this size on the kernel is told that a file is read from start to end.
const LARGE_FILE_BYTES: u64 = 1 << 20;

/// Most entries of a chunk.
pub(crate) const CHUNK_ENTRIES: usize = 64;
/// Bytes of contents after which a chunk is handed out, so that a few large files keep all workers busy.
pub(crate) const CHUNK_BYTES: u64 = 4 << 20;
/// Chunks that wait for a worker; each may hold a folder open.
pub(crate) const CHUNK_QUEUE: usize = 64;
/// Levels above the current one whose handles stay open.
pub(crate) const OPEN_LEVELS_MAX: usize = 48;

/// Entries of one folder for a worker.
pub(crate) struct Chunk {
    pub(crate) dir: Arc<Dir>,
    /// Path in the snapshot.
    pub(crate) path: RelPath,
    pub(crate) entries: Vec<Entry>,
}

/// A worker's thread.
pub(crate) fn check_chunks(mut checker: Checker<'_>, chunks: Receiver<Chunk>) {
    for chunk in chunks {
        if checker.is_stopped() {
            break;
        }
        checker.chunk(&chunk);
    }
}

/// One of the threads that check entries.
pub(crate) struct Checker<'a> {
    findings: &'a Findings<'a>,
    digests: &'a DigestLists,
    seal: &'a Seal,
    kept: Kept,
    is_tree: bool,
    contents: ContentReader<'a>,
    window: DigestWindow,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(
        findings: &'a Findings<'a>,
        digests: &'a DigestLists,
        seal: &'a Seal,
        kept: Kept,
        is_tree: bool,
    ) -> Self {
        let contents = ContentReader::new(findings.ctx.counters, findings);
        Self { findings, digests, seal, kept, is_tree, contents, window: DigestWindow::default() }
    }

    fn is_stopped(&self) -> bool {
        self.findings.is_stopped()
    }

    fn looked(&self) -> &Looked {
        if self.is_tree { &self.findings.in_trees } else { &self.findings.in_sources }
    }

    /// Checks the entries of a chunk.
    pub(crate) fn chunk(&mut self, chunk: &Chunk) {
        for entry in &chunk.entries {
            if self.is_stopped() {
                break;
            }
            if self.is_tree {
                self.stored(chunk, entry);
            } else {
                self.live(chunk, entry);
            }
            Counters::add(&self.looked().entries, 1);
            Counters::add(&self.findings.ctx.counters.entries, 1);
        }
    }

    fn shown(&self, chunk: &Chunk, entry: &Entry) -> Vec<u8> {
        let path = chunk.path.join(&entry.name);
        [self.seal.snapshot.as_bytes(), b"/", path.as_bytes()].concat()
    }

    fn problem(&self, chunk: &Chunk, entry: &Entry, kind: ProblemKind, detail: impl Into<String>) {
        self.findings.problem(&self.shown(chunk, entry), kind, detail.into());
    }

    /// Checks an entry of the snapshot's tree.
    fn stored(&mut self, chunk: &Chunk, entry: &Entry) {
        let name = entry.stored_name();
        let found = match chunk.dir.stat(name) {
            Ok(found) => found,
            Err(error) => {
                let is_missing = error.fault() == Faults::Vanished;
                let kind = if is_missing { ProblemKind::Missing } else { ProblemKind::Unreadable };
                // What is missing was mostly removed by somebody, and may be a great many files.
                if !is_missing {
                    self.unread(entry);
                }
                return self.problem(chunk, entry, kind, error.source.to_string());
            }
        };
        if found.kind != entry.kind {
            let what = format!("it is a {:?} and was backed up as a {:?}", found.kind, entry.kind);
            return self.problem(chunk, entry, ProblemKind::Damaged, what);
        }
        if found.kind == Kind::File && found.size_bytes != entry.size_bytes {
            let what = format!("it has {} bytes and should have {}", found.size_bytes, entry.size_bytes);
            return self.damaged(chunk, entry, &found, ProblemKind::Damaged, what);
        }
        let wrong = wrong_metadata(self.kept, entry, &found);
        if !wrong.is_empty() {
            self.problem(chunk, entry, ProblemKind::Metadata, wrong.join(", "));
        }
        if found.kind == Kind::Symlink && entry.link_text().is_some() {
            match chunk.dir.read_link(name) {
                Ok(text) if Some(&text[..]) == entry.link_text() => {}
                Ok(_) => self.problem(chunk, entry, ProblemKind::Damaged, "it points elsewhere"),
                Err(error) => self.problem(chunk, entry, ProblemKind::Unreadable, error.source.to_string()),
            }
        }
        self.content(chunk, entry, &found);
    }

    /// Notes a stored file whose content is not what was backed up.
    fn damaged(&self, chunk: &Chunk, entry: &Entry, found: &Metadata, kind: ProblemKind, why: impl Into<String>) {
        let (path, why) = (self.shown(chunk, entry), why.into());
        let Some(content) = entry.content else { return self.findings.problem(&path, kind, why) };
        if !self.findings.bad(Bad { content, file: found.id.file, path, kind, why }) {
            Counters::add(&self.findings.shared, 1);
        }
    }

    /// Reads what the level asks for, each file once.
    fn content(&mut self, chunk: &Chunk, entry: &Entry, found: &Metadata) {
        let is_read = match (self.findings.level, entry.content) {
            (VerifyLevel::Quick, _) => return,
            (VerifyLevel::Full, _) => true,
            (VerifyLevel::Sample(share), Some(content)) => self.is_sampled(content, share),
            (VerifyLevel::Sample(_), None) => true,
        };
        let Some(content) = entry.content.filter(|_| entry.kind == Kind::File) else {
            return self.xattrs(chunk, entry, || chunk.dir.xattrs(entry.stored_name()));
        };
        if !is_read {
            return;
        }
        if found.nlink > 1 && self.findings.seen.has(found.id.file, content) {
            return Counters::add(&self.findings.shared, 1);
        }
        if self.findings.bad.has(found.id.file, content) {
            return Counters::add(&self.findings.shared, 1);
        }
        let file = chunk.dir.open_file(entry.stored_name());
        if let Ok(file) = &file {
            self.xattrs(chunk, entry, || file.xattrs());
        }
        let expected = self.window.get(self.digests, content);
        let seen = if expected.is_ok() { &self.findings.seen } else { &self.findings.seen_unproven };
        if let Err(error) = &expected {
            self.findings.unproven.note(content.generation, error, || chunk.path.join(&entry.name));
            self.findings.unread.lock().expect("no panic while the list is held").lists.insert(content.generation);
            if found.nlink > 1 && seen.has(found.id.file, content) {
                return Counters::add(&self.findings.shared, 1);
            }
        }
        // Without a digest it is still seen whether it can be read.
        match file.map_err(ContentError::Stored).and_then(|file| self.digest_of(&file, found)) {
            Ok(digest) if expected.as_ref().ok().is_none_or(|expected| digest == *expected) => {
                if found.nlink > 1 {
                    seen.note(found.id.file, content);
                }
            }
            Ok(_) => {
                let what = "its content is not what was backed up";
                self.damaged(chunk, entry, found, ProblemKind::Damaged, what);
            }
            Err(ContentError::Stopped) => {}
            Err(error) => {
                let error = error.into_path_error();
                let what = format!("cannot {}: {}", error.op, error.source);
                // A bad sector is damage of the file; who may not read it knows nothing about it.
                match error.fault() {
                    Faults::Io => self.damaged(chunk, entry, found, ProblemKind::Unreadable, what),
                    _ => {
                        self.unread(entry);
                        self.problem(chunk, entry, ProblemKind::Unreadable, what);
                    }
                }
            }
        }
    }

    /// Notes an entry that could not be looked at.
    fn unread(&self, entry: &Entry) {
        if let Some(content) = entry.content {
            self.findings.unread.lock().expect("no panic while the list is held").note(content);
        }
    }

    fn is_sampled(&self, content: ContentRef, share: f64) -> bool {
        let mixed = (content.ordinal ^ (u64::from(content.generation) << 40) ^ self.findings.seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 11;
        (mixed as f64) < share * (1u64 << 53) as f64
    }

    fn xattrs(&self, chunk: &Chunk, entry: &Entry, read: impl FnOnce() -> Result<Xattrs, PathError>) {
        // Where the target could not keep all of them, what it does have of a user's must be right.
        let is_right = |found: &Xattrs| match self.kept.xattrs {
            true => entry.has_xattrs(found),
            false => found.iter().all(|(name, value)| {
                let recorded = ntfs::get(entry.xattrs(), name).filter(|_| name.starts_with(b"user."));
                recorded.is_none_or(|recorded| recorded == value)
            }),
        };
        if !self.kept.xattrs && entry.xattrs().is_empty() {
            return;
        }
        match read() {
            Ok(found) if is_right(&found) => {}
            Ok(_) => self.problem(chunk, entry, ProblemKind::Metadata, "its extended attributes are others"),
            // A folder that keeps out whoever verifies, as it kept out the backup.
            Err(error)
                if entry.is_dir()
                    && error.fault() == Faults::Denied
                    && entry.problem() == Some(ProblemKind::Unreadable) => {}
            Err(error) => self.problem(chunk, entry, ProblemKind::Unreadable, error.source.to_string()),
        }
    }

    /// Reads and hashes a file from the disk.
    fn digest_of(&mut self, file: &FileRead, found: &Metadata) -> Result<Digest, ContentError> {
        file.drop_cache();
        if found.size_bytes >= LARGE_FILE_BYTES {
            file.advise_sequential();
        }
        let read = self.contents.read(file, found.size_bytes, found.blocks, None)?;
        Counters::add(&self.looked().files_read, 1);
        Counters::add(&self.looked().bytes_read, read.size_bytes);
        Ok(read.digest)
    }

    /// Compares a live entry of a source. What was touched after the snapshot began is a change and no damage.
    fn live(&mut self, chunk: &Chunk, entry: &Entry) {
        let found = match chunk.dir.stat(&entry.name) {
            Ok(found) => found,
            Err(error) if error.fault() == Faults::Vanished => return self.findings.changed(&self.shown(chunk, entry)),
            Err(error) => {
                let what = format!("at the source: {}", error.source);
                return self.problem(chunk, entry, ProblemKind::Unreadable, what);
            }
        };
        let same_stat = found.kind == entry.kind
            && (found.kind != Kind::File || found.size_bytes == entry.size_bytes)
            && found.mtime == entry.mtime
            && found.mode == entry.mode
            && found.owner == entry.owner;
        let why = if !same_stat {
            Some("size, time or metadata differ and were not changed since")
        } else {
            match self.live_content(chunk, entry, &found) {
                Ok(why) => why,
                Err(error) => {
                    let what = format!("at the source: cannot {}: {}", error.op, error.source);
                    return self.problem(chunk, entry, ProblemKind::Unreadable, what);
                }
            }
        };
        let Some(why) = why else { return };
        let touched = found.ctime.unwrap_or(found.mtime).max(found.mtime);
        if touched >= self.seal.started {
            self.findings.changed(&self.shown(chunk, entry));
        } else {
            self.problem(chunk, entry, ProblemKind::Differs, why);
        }
    }

    /// Returns how a live entry that looks the same differs, if it does.
    fn live_content(
        &mut self,
        chunk: &Chunk,
        entry: &Entry,
        found: &Metadata,
    ) -> Result<Option<&'static str>, PathError> {
        if found.kind == Kind::Symlink {
            let is_same = Some(&chunk.dir.read_link(&entry.name)?[..]) == entry.link_text();
            return Ok((!is_same).then_some("it points elsewhere"));
        }
        let Some(content) = entry.content.filter(|_| self.findings.level == VerifyLevel::Full) else { return Ok(None) };
        // A digest that cannot be read was told with the snapshot's own file.
        let Ok(expected) = self.window.get(self.digests, content) else { return Ok(None) };
        let file = chunk.dir.open_file(&entry.name).map_err(ContentError::Stored);
        match file.and_then(|file| self.digest_of(&file, found)) {
            Ok(digest) if digest == expected => Ok(None),
            Ok(_) => Ok(Some("the content differs though size and time are the same")),
            Err(ContentError::Stopped) => Ok(None),
            Err(error) => Err(error.into_path_error()),
        }
    }
}

/// Returns how the metadata of a stored entry differs from its record, beside extended attributes.
pub(crate) fn wrong_metadata(kept: Kept, entry: &Entry, found: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    // Where the access list of NTFS is kept, mode and owner are made of it, by whoever has mounted the volume.
    let by_acl = kept.xattrs && ntfs::get(entry.xattrs(), ntfs::ACL).is_some();
    let kept = Kept { modes: kept.modes && !by_acl, owners: kept.owners && !by_acl, ..kept };
    let set_id = if kept.owners { 0 } else { SET_ID_BITS };
    let same_mode = found.mode.map(|m| m & !set_id) == entry.mode.map(|m| m & !set_id);
    if kept.modes && entry.kind.has_mode() && entry.mode.is_some() && !same_mode {
        wrong.push(format!("mode is {:o}, was {:o}", found.mode.unwrap_or(0), entry.mode.unwrap_or(0)));
    }
    if kept.owners
        && entry.owner.is_some()
        && found.owner != entry.owner
        && let (Some(is), Some(was)) = (found.owner, entry.owner)
    {
        wrong.push(format!("owner is {}:{}, was {}:{}", is.uid, is.gid, was.uid, was.gid));
    }
    if !kept.is_same_time(found.mtime, entry.mtime) {
        wrong.push("the time of the last change is another".into());
    }
    if found.device != entry.device() {
        wrong.push("the device number is another".into());
    }
    wrong
}
