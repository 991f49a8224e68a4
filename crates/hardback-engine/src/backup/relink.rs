//! The ways in which a worker avoids reading the source: linking, refilling from the base, adopting, moving.

use super::copy::{CopyError, ReadFrom, Sink, copy_content};
use super::groups::Stored;
use super::metadata::{self, Place};
use super::shared::{Item, Outcome};
use super::store;
use super::worker::{At, MOVED, Worker, is_fatal, is_gone};
use super::xattrs;
use crate::error::{Error, UnderPath};
use crate::manifest::{DIGEST_BYTES, Digest, Entry};
use crate::plan::Action;
use crate::report::{Counters, LimitationKind};
use hardback_platform::{Dir, Faults, FileRead, Kind, Metadata, PathError, RelPath, ntfs};

/// Seconds in which the times of the coarsest volumes step.
const COARSEST_TIME_S: u64 = 2;

/// A file of the base that moved.
pub(super) struct Found {
    dir: Dir,
    entry: Entry,
    /// Its metadata is still that of the source.
    same_metadata: bool,
}

impl Worker<'_> {
    /// Links an entry whose content and metadata were found to be the base's, or refills it where links have an end.
    pub(super) fn link_or_refill(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
    ) -> Result<Option<Outcome>, Error> {
        let Some(base) = item.base.as_ref() else { return self.copy(at, item, entry, metadata, "new") };
        if let Some(stored) = base.extra.as_ref().and_then(|e| e.stored.clone()) {
            entry.extra_mut().stored = Some(stored);
        }
        entry.content = base.content;
        if is_still_of_group(at, base, metadata) && store::link_from_base(self.shared, at, &mut entry)? {
            Counters::add(&self.shared.sums.linked, 1);
            let stored = store::known(&entry);
            let group = (metadata.nlink > 1).then_some(metadata.id);
            return Ok(Some(Outcome { entry, stored, group }));
        }
        self.refill(at, item, entry, metadata)
    }

    /// Makes a new inode with the base's content: a clone where the volume can, else a copy of the base's file. The
    /// old inode is not touched: its names belong to older snapshots. The source is not read.
    pub(super) fn refill(
        &mut self,
        at: &At<'_>,
        item: Item,
        entry: Entry,
        metadata: &Metadata,
    ) -> Result<Option<Outcome>, Error> {
        let Some(base) = item.base.as_ref() else { return self.copy(at, item, entry, metadata, "new") };
        if at.target.is_none() {
            self.shared.would_copy(at.folder.path_of(&entry.name), metadata.size_bytes, "metadata changed");
            Counters::add(&self.shared.sums.restamped, 1);
            return Ok(Some(Outcome { entry, stored: Stored::Nothing, group: None }));
        }
        self.settle(at, &item, None, &entry.name);
        let mut entry = entry;
        entry.content = base.content;
        match self.fill_from_base(at, base, &mut entry) {
            Ok(true) => {
                Counters::add(&self.shared.sums.restamped, 1);
                let group = (metadata.nlink > 1).then_some(metadata.id);
                Ok(Some(Outcome { stored: store::known(&entry), entry, group }))
            }
            Ok(false) => self.copy(at, item, entry, metadata, "base unreadable"),
            Err(CopyError::Source(error)) => self.source_failed(at, item, &error),
            Err(CopyError::Target(error)) => self.target_failed(at, item, error),
        }
    }

    /// Fills a new file from the base; `false` where the base's file is missing or not what it should be.
    fn fill_from_base(&mut self, at: &At<'_>, base: &Entry, entry: &mut Entry) -> Result<bool, CopyError> {
        let Some(Ok(old)) = at.base.as_ref().map(|dir| dir.open_file(base.stored_name())) else { return Ok(false) };
        let Ok(there) = old.metadata() else { return Ok(false) };
        let made = store::create(self.shared, at, entry, None)?;
        let filled = self.fill_and_describe(at, base, (&old, &there), &made, entry);
        if !matches!(filled, Ok(true)) {
            store::free_name(at, &made);
        }
        filled
    }

    fn fill_and_describe(
        &mut self,
        at: &At<'_>,
        base: &Entry,
        (old, there): (&FileRead, &Metadata),
        made: &store::Made,
        entry: &Entry,
    ) -> Result<bool, CopyError> {
        let path = || at.folder.path_of(&entry.name);
        let whole = there.kind == Kind::File && there.size_bytes == base.size_bytes;
        if !whole || !store::clone_base(self.shared, at, base, &made.file) {
            let known = base.content.and_then(|c| self.shared.digests.get(c).ok());
            let sink = Sink::Write(&made.file);
            let copied = copy_content(
                self.shared,
                (ReadFrom::Target, old),
                there.size_bytes,
                there.blocks,
                &sink,
                &mut self.buffers,
            );
            let wrong = match copied {
                Ok(content) if whole && (content.size_bytes == 0 || Some(content.digest) == known) => None,
                Ok(_) if whole && known.is_none() => Some("its digest cannot be read, so nothing proves it"),
                Ok(_) | Err(CopyError::Source(_)) => Some("its content is not what was stored"),
                Err(error) => return Err(store::named(error, &entry.name)),
            };
            if let Some(wrong) = wrong {
                self.shared.limitation(LimitationKind::Base, path, wrong);
                return Ok(false);
            }
        }
        metadata::apply(self.shared, &Place::File(&made.file), entry, &path)
            .and_then(|()| store::sync_alone(self.shared, &made.file))
            .map_err(store::as_copy_error)?;
        Ok(true)
    }

    /// Stores a symlink, FIFO, socket or device.
    pub(super) fn special(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
        action: Action,
    ) -> Result<Option<Outcome>, Error> {
        if action == Action::Link && item.base.as_ref().is_some_and(|base| is_still_of_group(at, base, metadata)) {
            return self.link_special(at, item, entry, metadata);
        }
        if let Some(source) = &at.source {
            match source.read_xattrs(&entry.name) {
                Err(error) if is_gone(&error) => return self.source_failed(at, item, &error),
                read => {
                    let name = entry.name.clone();
                    xattrs::take(self.shared, &mut entry, read, &mut self.is_loss_told, &|| at.folder.path_of(&name));
                }
            }
        }
        if entry.kind == Kind::Symlink && entry.link_text().is_none() {
            let source = at.source.as_ref().expect("made anew only from a source");
            match source.read_link(&entry.name) {
                Ok(text) => entry.extra_mut().link_text = Some(text),
                Err(error) => return self.source_failed(at, item, &error),
            }
        }
        let group = (metadata.nlink > 1).then_some(metadata.id);
        let Some(target) = &at.target else { return Ok(Some(Outcome { entry, stored: Stored::Nothing, group })) };
        match self.make_special(at, target, &mut entry)? {
            Ok(()) => {}
            Err(error) => return self.target_failed(at, item, error),
        }
        Ok(Some(Outcome { entry, stored: Stored::Nothing, group }))
    }

    /// Makes what an entry says, with its metadata; what the target cannot hold is in the record only.
    fn make_special(&self, at: &At<'_>, target: &Dir, entry: &mut Entry) -> Result<Result<(), PathError>, Error> {
        let text = entry.link_text().map(<[u8]>::to_vec);
        let reparse = ntfs::get(entry.xattrs(), ntfs::REPARSE).map(<[u8]>::to_vec);
        let is_dir = ntfs::attributes_in(entry.xattrs()) & ntfs::DIRECTORY != 0;
        let (kind, mode, device) = (entry.kind, entry.mode.unwrap_or(0o600), entry.device().unwrap_or((0, 0)));
        let make_plain = |name: &[u8]| match &text {
            Some(text) => target.symlink(text, name),
            None => target.make_node(name, kind, mode, device),
        };
        let made = store::with_name(self.shared, at.folder, entry, |name| match &reparse {
            Some(reparse) if self.shared.target.keeps_ntfs => target.make_reparse(name, is_dir, reparse),
            _ => make_plain(name),
        });
        match made {
            Ok(()) => {
                let path = || at.folder.path_of(&entry.name);
                metadata::apply(self.shared, &Place::Name(target, entry.stored_name()), entry, &path)?;
            }
            Err(error) if matches!(error.fault(), Faults::Denied | Faults::Unsupported | Faults::BadName) => {
                let what = if text.is_some() { LimitationKind::Symlinks } else { LimitationKind::Specials };
                self.shared.limitation(what, || at.folder.path_of(&entry.name), &error.source);
                entry.extra_mut().absent = true;
            }
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Makes the base's version of an entry anew that can be neither read at the source nor linked.
    pub(super) fn stand_in(&mut self, at: &At<'_>, entry: &mut Entry) -> Result<bool, Error> {
        let Some(target) = &at.target else { return Ok(false) };
        let base = entry.clone();
        let made = match entry.kind {
            Kind::File => self.fill_from_base(at, &base, entry),
            _ => self.make_special(at, target, entry)?.map(|()| true).map_err(CopyError::Target),
        };
        match made {
            Err(CopyError::Target(error)) if is_fatal(&error) => Err(error.under(&at.folder.path()).into()),
            made => Ok(made.unwrap_or(false)),
        }
    }

    fn link_special(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
    ) -> Result<Option<Outcome>, Error> {
        let base = item.base.as_ref().expect("linked only with a base");
        if let Some(extra) = &base.extra {
            let own = entry.extra_mut();
            own.stored = extra.stored.clone();
            own.link_text = extra.link_text.clone();
            own.xattrs = extra.xattrs.clone();
        }
        let group = (metadata.nlink > 1).then_some(metadata.id);
        if store::link_from_base(self.shared, at, &mut entry)? {
            Counters::add(&self.shared.sums.linked, 1);
            return Ok(Some(Outcome { entry, stored: Stored::Nothing, group }));
        }
        self.special(at, Item { base: None, ..item }, entry, metadata, Action::Copy)
    }

    /// Takes over what an interrupted run finished, if it is still the source's version and its bytes are what was
    /// read then. What was hot then may have changed without moving its times: it is compared with the source.
    pub(super) fn adopt(
        &mut self,
        at: &At<'_>,
        item: &Item,
        entry: &Entry,
        metadata: &Metadata,
    ) -> Result<Option<Outcome>, Error> {
        if at.target.is_none() || metadata.size_bytes == 0 {
            return Ok(None);
        }
        for (index, old) in &item.adopted {
            let partial = &self.shared.adoptable[*index];
            let Some(content) = old.content.filter(|c| c.generation == partial.generation) else { continue };
            let same = old.size_bytes == entry.size_bytes
                && old.mtime == entry.mtime
                && old.ctime.is_some()
                && old.ctime == entry.ctime
                && old.inode == entry.inode
                && old.mode == entry.mode
                && old.owner == entry.owner
                && old.problem().is_none();
            if !same {
                continue;
            }
            let Ok(dir) = partial.tree.open_dir_at(&at.folder.stored_path()) else { continue };
            let mut digest = [0; DIGEST_BYTES];
            let offset = content.ordinal.saturating_mul(DIGEST_BYTES as u64);
            if partial.digests.read_full_at(&mut digest, offset).ok() != Some(DIGEST_BYTES)
                || self.stored_digest(&dir, old) != Some(digest)
                || (old.hot && !self.is_as_adopted(at, entry, metadata, old, digest))
            {
                continue;
            }
            let hot = old.hot && self.is_hot(at, metadata);
            let mut taken = Entry { nlink: metadata.nlink, hot, ..old.clone() };
            taken.content = None;
            let name_there = old.stored_name().to_vec();
            if store::link_from(self.shared, at, &mut taken, &dir, &name_there)? {
                let path = || at.folder.path_of(&taken.name);
                metadata::tell_ignored(self.shared, &taken, &path);
                if taken.owner != self.shared.target.default_owner && !hardback_platform::is_privileged() {
                    self.shared.limitation(LimitationKind::Owners, path, "the interrupted run could not set them");
                }
                self.settle(at, item, Some(*index), &entry.name);
                Counters::add(&self.shared.sums.adopted, 1);
                Counters::add(&self.shared.sums.adopted_bytes, old.size_bytes);
                let group = (metadata.nlink > 1).then_some(metadata.id);
                return Ok(Some(Outcome { entry: taken, stored: Stored::New(digest), group }));
            }
        }
        Ok(None)
    }

    /// Removes what unfinished runs have of a file that is taken over from one of them or copied: it would keep its room
    /// from this run. If it cannot be removed it stays until a run is sealed.
    pub(super) fn settle(&self, at: &At<'_>, item: &Item, taken_from: Option<usize>, name: &[u8]) {
        for (index, partial) in self.shared.adoptable.iter().enumerate() {
            let recorded = item.adopted.iter().find(|(of, _)| *of == index).map(|(_, old)| old);
            if recorded.is_some_and(|old| old.content.is_some_and(|c| c.generation == partial.generation)) {
                Counters::add(&partial.settled, 1);
            }
            if taken_from == Some(index) {
                continue;
            }
            // A run that was killed stored files that are not in its record.
            let stored = recorded.map_or(name, Entry::stored_name);
            let Ok(dir) = partial.tree.open_dir_at(&at.folder.stored_path()) else { continue };
            if let Err(error) = dir.unlink(stored)
                && error.fault() == Faults::Denied
                && dir.set_mode(b"", 0o700).is_ok()
            {
                dir.unlink(stored).ok();
            }
        }
    }

    /// Returns whether the source's file, read again, is what an interrupted run stored while it was hot.
    fn is_as_adopted(&mut self, at: &At<'_>, entry: &Entry, metadata: &Metadata, old: &Entry, known: Digest) -> bool {
        let mut now = entry.clone();
        // What cannot be read is told by the copy that is tried instead.
        let same_xattrs = self.look(at, &mut now).is_ok() && old.still_has_xattrs(now.xattrs());
        same_xattrs && matches!(self.digest_of(at, entry, metadata), Ok(Some(digest)) if digest == known)
    }

    /// Hashes a file of an unfinished tree, from the disk and not from the cache.
    fn stored_digest(&mut self, dir: &Dir, entry: &Entry) -> Option<Digest> {
        let file = dir.open_file(entry.stored_name()).ok()?;
        file.drop_cache();
        let there = file.metadata().ok()?;
        // After a power cut a volume without a journal may have the content and not what was set last.
        let same_time = there.mtime.seconds.abs_diff(entry.mtime.seconds) <= COARSEST_TIME_S;
        let ignored = &self.shared.target.ignored;
        let same_mode = there.mode == entry.mode || ignored.modes.is_some_and(|[of_files, _]| there.mode == of_files);
        // An unprivileged run cannot set owners, now or then; a privileged one must not keep those of the other.
        let owners_are_lost = !hardback_platform::is_privileged() || ignored.owners;
        let made_by_us = owners_are_lost && there.owner == self.shared.target.default_owner;
        let same_owner = there.owner == entry.owner || made_by_us;
        // Both are made of the access list there.
        let by_acl = !ignored.ignores_xattr(ntfs::ACL) && ntfs::get(entry.xattrs(), ntfs::ACL).is_some();
        let (same_mode, same_owner) = (same_mode || by_acl, same_owner || by_acl);
        let has_any = entry.xattrs().iter().any(|(name, _)| !ignored.ignores_xattr(name));
        let is_lost = |name: &[u8]| ignored.ignores_xattr(name);
        let same_xattrs = !has_any || file.xattrs().is_ok_and(|there| entry.has_xattrs_but(&there, is_lost));
        let same_file = there.kind == Kind::File && there.size_bytes == entry.size_bytes;
        if !(same_file && same_time && same_mode && same_owner && same_xattrs) {
            return None;
        }
        let content = copy_content(
            self.shared,
            (ReadFrom::Target, &file),
            there.size_bytes,
            there.blocks,
            &Sink::Hash,
            &mut self.buffers,
        )
        .ok()?;
        Some(content.digest)
    }

    /// Looks for a new file in the base under another name: the same file id, size and time.
    ///
    /// With the same ctime it is the same file, untouched (its folder moved); otherwise its content must be the same.
    pub(super) fn find_moved(
        &mut self,
        at: &At<'_>,
        entry: &mut Entry,
        metadata: &Metadata,
    ) -> Result<Option<Found>, Error> {
        let rules = at.facts.rules;
        let Some(base_tree) = &self.shared.base_tree else { return Ok(None) };
        if !rules.stable_ids || metadata.size_bytes == 0 || at.target.is_none() {
            return Ok(None);
        }
        for (folder, old) in self.shared.moved.find(metadata.id.file).under(&self.shared.in_partial)? {
            let fits = old.size_bytes == metadata.size_bytes
                && old.mtime == metadata.mtime
                && old.problem().is_none()
                && old.is_in_tree();
            if !fits || self.is_taken(&folder, &old, metadata) {
                continue;
            }
            let untouched = rules.reliable_ctime && old.ctime == metadata.ctime && !old.hot && !rules.checksum;
            if untouched {
                entry.extra = old.extra.clone();
            } else if !self.has_content_of(at, entry, metadata, &old) {
                continue;
            } else if let Some(Ok(mut xattrs)) = at.source.as_ref().map(|s| s.xattrs(&entry.name)) {
                ntfs::drop_reparse(&mut xattrs);
                entry.extra_mut().xattrs = xattrs;
            } else {
                // What cannot be read is told by the copy that is tried instead.
                continue;
            }
            if let Some(extra) = entry.extra.as_mut() {
                extra.stored = None;
                extra.volume = None;
            }
            let same_metadata =
                old.mode == entry.mode && old.owner == entry.owner && old.still_has_xattrs(entry.xattrs());
            let Ok(dir) = base_tree.open_dir_at(&folder) else { continue };
            return Ok(Some(Found { dir, entry: old, same_metadata }));
        }
        Ok(None)
    }

    /// Counts the names of a file that the base has and that are gone for new ones: no more than it has new names. A file
    /// with several names is counted with the first of the new ones.
    pub(super) fn count_moved_away(&self, at: &At<'_>, metadata: &Metadata) {
        if !at.facts.rules.stable_ids || (metadata.nlink > 1 && !self.shared.is_first_moved(metadata.id)) {
            return;
        }
        let names = match self.shared.moved.find(metadata.id.file).under(&self.shared.in_partial) {
            Ok(names) => names,
            Err(error) => {
                let what = "paths that are gone as their files moved count as removed, and files that move are copied";
                self.shared.ctx.monitor.notice(&format!("{what}: {}", error.with_causes()));
                return;
            }
        };
        let (mut gone, mut kept) = (0, 0);
        for (folder, old) in names {
            if old.size_bytes != metadata.size_bytes || old.mtime != metadata.mtime {
                continue;
            }
            match self.shared.stat_source(&folder.join(&old.name)) {
                None => gone += 1,
                Some(there) if there.id == metadata.id => kept += 1,
                Some(_) => {}
            }
        }
        let moved = metadata.nlink.saturating_sub(kept).min(gone);
        Counters::add(&self.shared.sums.moved_away, moved);
    }

    fn has_content_of(&mut self, at: &At<'_>, entry: &Entry, metadata: &Metadata, old: &Entry) -> bool {
        let Some(known) = old.content.and_then(|c| self.shared.digests.get(c).ok()) else { return false };
        matches!(self.digest_of(at, entry, metadata), Ok(Some(digest)) if digest == known)
    }

    /// Returns whether another file of the source now has the old path and looks the same: it may link to the same file
    /// of the base, and two files of the source must not become one.
    fn is_taken(&self, folder: &RelPath, old: &Entry, metadata: &Metadata) -> bool {
        let path = folder.join(&old.name);
        match self.shared.stat_source(&path) {
            Some(there) => {
                let looks_the_same = there.size_bytes == old.size_bytes && there.mtime == old.mtime;
                there.kind == Kind::File && there.id != metadata.id && looks_the_same
            }
            None => false,
        }
    }

    /// Links to where the base has the file, or fills a new inode from there.
    pub(super) fn link_moved(
        &mut self,
        at: &At<'_>,
        item: Item,
        mut entry: Entry,
        metadata: &Metadata,
        found: &Found,
    ) -> Result<Option<Outcome>, Error> {
        entry.content = found.entry.content;
        entry.hot = self.is_hot(at, metadata);
        if found.entry.name != entry.name {
            Counters::add(&self.shared.sums.renamed, 1);
        }
        let group = (metadata.nlink > 1).then_some(metadata.id);
        if found.same_metadata && store::link_from(self.shared, at, &mut entry, &found.dir, found.entry.stored_name())?
        {
            Counters::add(&self.shared.sums.moved, 1);
            self.count_moved_away(at, metadata);
            Counters::add(&self.shared.sums.linked, 1);
            return Ok(Some(Outcome { stored: store::known(&entry), entry, group }));
        }
        self.copy(at, item, entry, metadata, MOVED)
    }
}

/// Returns whether an entry may share the base's inode with the base's other names of it: names that were one file and
/// are two now, equal or not, must not stay one.
fn is_still_of_group(at: &At<'_>, base: &Entry, metadata: &Metadata) -> bool {
    let same_file = match at.facts.rules.stable_ids {
        true => base.inode == Some(metadata.id.file),
        false => base.nlink == metadata.nlink,
    };
    base.nlink <= 1 || same_file
}
