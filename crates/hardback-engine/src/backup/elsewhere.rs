//! Files whose content is not simply there: in a cloud only, or encrypted for somebody.

use super::shared::{Item, Shared};
use super::worker::{At, Worker};
use crate::error::Error;
use crate::job::{Efs, Job, Placeholders};
use crate::manifest::Entry;
use crate::problem::{Problem, ProblemKind};
use crate::report::Counters;
use hardback_platform::reparse::{self, ReparseClass};
use hardback_platform::{Dir, FileRead, Kind, Metadata, PathError, ntfs};
use hardback_shadow::Mode;

/// Refuses what this system cannot do, and what cannot be done together.
pub(super) fn check(job: &Job) -> Result<(), Error> {
    let mode = job.shadow.as_ref().map_or(Mode::Never, |shadow| shadow.mode);
    check_fetching(job.options.placeholders, mode, hardback_platform::FETCHES_PLACEHOLDERS)
}

fn check_fetching(placeholders: Placeholders, mode: Mode, can_fetch: bool) -> Result<(), Error> {
    if placeholders != Placeholders::Download {
        return Ok(());
    }
    if !can_fetch {
        return Err(Error::refused(
            "files that are in a cloud only can be downloaded by Windows alone",
            "back up there, or leave out --placeholders download: the placeholders are kept and listed",
        ));
    }
    // What is downloaded is written to the volume that is read.
    if mode != Mode::Never {
        return Err(Error::refused(
            "files that are in a cloud only cannot be downloaded into a shadow copy, which nobody can write to",
            "read the live files with --shadow never, or leave out --placeholders download: the placeholders are kept and \
             listed",
        ));
    }
    Ok(())
}

/// Tells of each source of which the volume shows contents only: nobody can tell what is missing.
pub(super) fn tell_hidden(shared: &Shared<'_>, job: &Job, roots: &[Dir]) {
    for (source, _) in job.sources.iter().zip(roots).filter(|(_, root)| root.volume().is_ok_and(|v| v.hides_streams)) {
        let what = "its NTFS is mounted so that streams, and what else is beside the contents, cannot be seen; \
                    mount it with ntfs-3g and streams_interface=windows";
        shared.problem(Problem::with_detail(&source.folder, ProblemKind::Metadata, what));
        Counters::add(&shared.sums.problems_without_line, 1);
    }
}

impl Worker<'_> {
    /// Returns whether an entry is encrypted, and is to be left out for that.
    pub(super) fn skips_encrypted(&self, source: &Dir, item: &Item, metadata: &Metadata) -> bool {
        self.shared.options.efs == Efs::Skip && is_encrypted(source, item, metadata)
    }

    /// Makes of a file that is encrypted, and is to be stored so, what is stored of it. How long the raw stream is, is
    /// known when it is read; until then it is as long as it was.
    fn as_raw(&self, source: &Dir, item: &mut Item, metadata: Metadata) -> Metadata {
        let wanted = self.shared.options.efs == Efs::Raw && hardback_platform::EXPORTS_ENCRYPTED;
        if !wanted || !is_encrypted(source, item, &metadata) {
            return metadata;
        }
        // What was opened to be read has the plain content.
        item.opened = None;
        let raw_of = Some(metadata.size_bytes);
        let as_before = item.base.as_ref().filter(|base| base.raw_of() == raw_of);
        Metadata { raw_of, size_bytes: as_before.map_or(0, |base| base.size_bytes), ..metadata }
    }

    /// Opens a placeholder so that its content is fetched, if that is wanted; returns what it is then.
    pub(super) fn fetch(&self, source: &Dir, item: &mut Item, metadata: Metadata) -> Result<Metadata, PathError> {
        if self.shared.options.placeholders == Placeholders::Keep
            || metadata.kind != Kind::Reparse
            || reparse::class_in(&source.read_xattrs(&item.name)?.xattrs) != Some(ReparseClass::Placeholder)
        {
            return Ok(self.as_raw(source, item, metadata));
        }
        let (file, metadata) = source.open_placeholder(&item.name)?;
        item.opened = Some((file, metadata));
        Ok(metadata)
    }

    /// Notes an entry whose content the snapshot does not have, or has otherwise than the source.
    pub(super) fn note_elsewhere(&self, at: &At<'_>, entry: &mut Entry) {
        let stays_out = self.shared.options.one_file_system || !hardback_platform::MOUNTS_ARE_LINKS;
        if !stays_out && entry.kind == Kind::Symlink && is_mounted_volume(entry) && entry.problem().is_none() {
            let what = "another volume is mounted there, which is not backed up with this one; name it as a source of its own, \
                        or say --one-file-system";
            self.shared.problem(Problem::with_detail(&at.folder.path_of(&entry.name), ProblemKind::Unsupported, what));
            entry.extra_mut().problem = Some(ProblemKind::Unsupported);
        }
        let list = match entry.kind {
            Kind::Reparse if reparse::class_in(entry.xattrs()) == Some(ReparseClass::Placeholder) => {
                &self.shared.placeholders
            }
            Kind::File if entry.is_decrypted() => &self.shared.encrypted,
            _ => return,
        };
        list.lock().expect("no panic while the list is held").note(at.folder.path_of(&entry.name));
    }
}

/// Returns whether a file is encrypted at the source.
fn is_encrypted(source: &Dir, item: &Item, metadata: &Metadata) -> bool {
    metadata.kind == Kind::File
        // What cannot be read is told when it is stored.
        && source.read_xattrs(&item.name).is_ok_and(|read| ntfs::attributes_in(&read.xattrs) & ntfs::ENCRYPTED != 0)
}

/// Returns whether a link is a folder in which a volume is mounted.
fn is_mounted_volume(entry: &Entry) -> bool {
    entry.link_text().is_some_and(|text| text.starts_with(br"\\?\Volume{"))
}

/// Opens a file to read what is stored of it.
pub(super) fn open(source: &Dir, name: &[u8], is_raw: bool) -> Result<(FileRead, Metadata), PathError> {
    if is_raw { source.open_encrypted(name) } else { source.open_file_and_look(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_downloaded_where_it_cannot_be_or_into_a_shadow_copy() {
        use Placeholders::{Download, Keep};
        for mode in [Mode::Never, Mode::WhenAvailable, Mode::Always] {
            check_fetching(Keep, mode, true).unwrap();
            check_fetching(Keep, mode, false).unwrap();
            assert!(check_fetching(Download, mode, false).unwrap_err().to_string().contains("by Windows alone"));
        }
        check_fetching(Download, Mode::Never, true).unwrap();
        for mode in [Mode::WhenAvailable, Mode::Always] {
            let refused = check_fetching(Download, mode, true).unwrap_err();
            assert!(refused.to_string().contains("into a shadow copy"), "{refused}");
            assert!(refused.hint().unwrap().contains("--shadow never"), "{refused:?}");
        }
    }
}
