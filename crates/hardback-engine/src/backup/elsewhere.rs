//! Files whose content is not simply there: in a cloud only, or encrypted for somebody.

use super::shared::Item;
use super::worker::{At, Worker};
use crate::error::Error;
use crate::job::{BackupOptions, Efs, Placeholders};
use crate::manifest::Entry;
use hardback_platform::reparse::{self, ReparseClass};
use hardback_platform::{Dir, Kind, Metadata, PathError, ntfs};

/// Refuses what this system cannot do.
pub(super) fn check(options: &BackupOptions) -> Result<(), Error> {
    if options.placeholders == Placeholders::Download && !hardback_platform::FETCHES_PLACEHOLDERS {
        return Err(Error::refused(
            "files that are in a cloud only can be downloaded by Windows alone",
            "back up there, or leave out --placeholders download: the placeholders are kept and listed",
        ));
    }
    Ok(())
}

impl Worker<'_> {
    /// Returns whether an entry is encrypted, and is to be left out for that.
    pub(super) fn skips_encrypted(&self, source: &Dir, item: &Item, metadata: &Metadata) -> bool {
        self.shared.options.efs == Efs::Skip
            && metadata.kind == Kind::File
            // What cannot be read is told when it is stored.
            && source.xattrs(&item.name).is_ok_and(|xattrs| ntfs::attributes_in(&xattrs) & ntfs::ENCRYPTED != 0)
    }

    /// Opens a placeholder so that its content is fetched, if that is wanted; returns what it is then.
    pub(super) fn fetch(&self, source: &Dir, item: &mut Item, metadata: Metadata) -> Result<Metadata, PathError> {
        if self.shared.options.placeholders == Placeholders::Keep
            || metadata.kind != Kind::Reparse
            || reparse::class_in(&source.xattrs(&item.name)?) != Some(ReparseClass::Placeholder)
        {
            return Ok(metadata);
        }
        let (file, metadata) = source.open_placeholder(&item.name)?;
        item.opened = Some((file, metadata));
        Ok(metadata)
    }

    /// Notes an entry whose content the snapshot does not have, or has otherwise than the source.
    pub(super) fn note_elsewhere(&self, at: &At<'_>, entry: &Entry) {
        let list = match entry.kind {
            Kind::Reparse if reparse::class_in(entry.xattrs()) == Some(ReparseClass::Placeholder) => {
                &self.shared.placeholders
            }
            Kind::File if ntfs::attributes_in(entry.xattrs()) & ntfs::ENCRYPTED != 0 => &self.shared.encrypted,
            _ => return,
        };
        list.lock().expect("no panic while the list is held").note(at.folder.path_of(&entry.name));
    }
}
