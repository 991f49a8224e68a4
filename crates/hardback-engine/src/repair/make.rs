//! Makes whole new files in a folder of ours: content proven while it is copied and again from the disk, metadata by
//! the record.
//!
//! A file stays there under a name that tells its content until the repair is done. An interrupted repair leaves it, and
//! the next one goes on with it.

use crate::backup::metadata::SET_ID_BITS;
use crate::content::{ContentError, ContentReader};
use crate::context::Context;
use crate::damage::{Contents, content_of_made, has_content};
use crate::error::{Error, UnderPath};
use crate::manifest::{ContentRef, Digest, Entry};
use crate::target::{Target, layout};
use crate::verify::Kept;
use crate::verify::check::wrong_metadata;
use hardback_platform::{Dir, Faults, FileRead, FileWrite, PathError, ntfs};
use std::collections::HashSet;

/// How a name ends that is on its way into a snapshot.
const LINK: &[u8] = b".link";
/// How the name of an empty file ends that stands for one which went into a snapshot and left no name here.
const MOVED: &[u8] = b"-0";
/// Files of one content with other metadata that are told apart.
const VARIANTS_MAX: u32 = 1000;

/// The folder in which a repair makes files for one job.
pub(super) struct Workshop {
    dir: Dir,
    path: Vec<u8>,
    /// Files in it: by content, and which file on the volume.
    made: HashSet<(ContentRef, u64)>,
    /// Those that stand in for a damaged one already: two that were apart stay so, as each has its limit of names.
    taken: HashSet<u64>,
    /// Contents of which a file went from here into a snapshot and left no name.
    moved: Contents,
}

/// A new file that is whole and on the disk.
#[derive(Debug, Clone)]
pub(super) struct NewFile {
    /// Its name in the folder.
    pub(super) name: Vec<u8>,
    /// Which file it is.
    pub(super) file: u64,
}

/// Why no file was made.
#[derive(Debug)]
pub(super) enum Failure {
    /// The target fails as a whole, or the user asked to stop.
    Stop(Error),
    /// This file cannot be made.
    This(String),
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self::Stop(error.into())
    }
}

/// What a new file must be.
pub(super) struct Wanted<'a> {
    pub(super) content: ContentRef,
    pub(super) digest: Digest,
    pub(super) entry: &'a Entry,
    /// What of its metadata the target keeps.
    pub(super) kept: Kept,
    /// The name here of the file that it is made from: perhaps the only one that has the content.
    pub(super) copy: Option<&'a [u8]>,
}

impl Workshop {
    /// Opens the folder of a job, with what an interrupted repair left in it.
    pub(super) fn open(target: &Target, job: &str) -> Result<Self, Error> {
        let names = [layout::REPAIR, job.as_bytes()];
        let path = target.ours_path(&names);
        let dir = target.ours_dir(&names)?;
        // A default ACL of the target's folder would be handed down to every file. Most have none to remove.
        for acl in [&b"system.posix_acl_default"[..], b"system.posix_acl_access"] {
            dir.remove_xattr(b"", acl).ok();
        }
        let (mut made, mut moved) = (HashSet::new(), Contents::new());
        for entry in dir.list().under(&path)?.iter() {
            match content_of_made(entry.name) {
                Some(content) if entry.name.ends_with(MOVED) => {
                    moved.insert(content);
                }
                Some(content) => {
                    made.insert((content, dir.stat(entry.name).under(&path)?.id.file));
                }
                // A name on its way, of a file that has its own name here.
                None => dir.unlink(entry.name).under(&path)?,
            }
        }
        Ok(Self { dir, path, made, taken: HashSet::new(), moved })
    }

    /// Returns the contents of the files that an interrupted repair left.
    pub(super) fn contents(target: &Target, job: &str) -> Result<Contents, Error> {
        let names = [layout::REPAIR, job.as_bytes()];
        let Some(dir) = target.ours_dir_if_any(&names)? else { return Ok(Contents::new()) };
        let listing = dir.list().under(&target.ours_path(&names))?;
        Ok(listing.iter().filter_map(|entry| content_of_made(entry.name)).collect())
    }

    /// Returns whether a file was made here, by this repair or by one that was interrupted, or may have been.
    pub(super) fn has_made(&self, content: ContentRef, file: u64) -> bool {
        self.made.contains(&(content, file)) || self.moved.contains(&content)
    }

    /// Returns a file that is as wanted: one that is here already, or a new one from a copy.
    pub(super) fn file(&mut self, ctx: &Context<'_>, wanted: &Wanted<'_>, copy: &FileRead) -> Result<NewFile, Failure> {
        let mut reader = ContentReader::new(ctx.counters, ctx.cancel);
        for variant in 1..=VARIANTS_MAX {
            let name = format!("{}.{}-{variant}", wanted.content.generation, wanted.content.ordinal).into_bytes();
            match self.look(&mut reader, &name, wanted)? {
                Look::Is(file) if self.taken.insert(file) => return Ok(NewFile { name, file }),
                Look::Is(_) => continue,
                Look::Other => continue,
                Look::Free => {}
            }
            if ctx.cancel.is_cancelled() {
                return Err(Failure::Stop(Error::Interrupted));
            }
            let made = self.make(&mut reader, &name, wanted, copy);
            if made.is_err() {
                // It is tried again from the start; what cannot be removed is looked at then.
                self.dir.unlink(&name).ok();
            }
            return made;
        }
        Err(Failure::This("there are too many files of this content with other metadata".to_owned()))
    }

    /// Looks at what has a name here.
    fn look(&self, reader: &mut ContentReader<'_>, name: &[u8], wanted: &Wanted<'_>) -> Result<Look, Failure> {
        let file = match self.dir.open_file(name) {
            Ok(file) => file,
            Err(error) if error.fault() == Faults::Vanished => return Ok(Look::Free),
            Err(error) => return Err(error.under(&self.path).into()),
        };
        let is_copy = wanted.copy == Some(name);
        match has_content(reader, &file, wanted.digest, wanted.entry.size_bytes) {
            Ok(true) => {}
            Ok(false) if !is_copy => {
                // A repair was interrupted while it wrote this; no snapshot has it.
                drop(file);
                self.dir.unlink(name).under(&self.path)?;
                return Ok(Look::Free);
            }
            Err(ContentError::Stopped) => return Err(Failure::Stop(Error::Interrupted)),
            // Nobody knows what it holds.
            _ => return Ok(Look::Other),
        }
        let found = file.metadata().under(name).under(&self.path)?;
        match self.faults(&file, wanted) {
            Ok(faults) if faults.is_empty() => Ok(Look::Is(found.id.file)),
            // It has no name in a snapshot: it was cut short before its metadata was set.
            Ok(_) if found.nlink == 1 && !is_copy => {
                drop(file);
                self.dir.unlink(name).under(&self.path)?;
                Ok(Look::Free)
            }
            _ => Ok(Look::Other),
        }
    }

    fn make(
        &mut self,
        reader: &mut ContentReader<'_>,
        name: &[u8],
        wanted: &Wanted<'_>,
        copy: &FileRead,
    ) -> Result<NewFile, Failure> {
        let at = |error: PathError| error.under(name).under(&self.path);
        let file = self.dir.create_file(name, 0o600).under(&self.path)?;
        copy.drop_cache();
        let blocks = copy.metadata().map_err(|e| Failure::This(e.source.to_string()))?.blocks;
        let size_bytes = wanted.entry.size_bytes;
        match reader.read(copy, size_bytes, blocks, Some(&file)) {
            Ok(content) if content.digest == wanted.digest && content.size_bytes == size_bytes => {}
            Ok(_) => return Err(Failure::This("the copy changed while it was read".to_owned())),
            Err(ContentError::Stopped) => return Err(Failure::Stop(Error::Interrupted)),
            Err(ContentError::Stored(error)) => return Err(Failure::This(error.source.to_string())),
            Err(ContentError::Written(error)) => return Err(at(error).into()),
        }
        // Data first: a file whose time is set before its data is on the disk looks whole after a power cut.
        file.sync().map_err(at)?;
        give_metadata(&file, wanted).map_err(at)?;
        file.sync().map_err(at)?;
        drop(file);
        self.dir.sync().under(&self.path)?;
        let file = self.dir.open_file(name).under(&self.path)?;
        let what = match has_content(reader, &file, wanted.digest, size_bytes) {
            Ok(true) => None,
            Ok(false) => Some("is not what was written".to_owned()),
            Err(ContentError::Stopped) => return Err(Failure::Stop(Error::Interrupted)),
            Err(error) => Some(format!("gives an error: {}", error.into_path_error().source)),
        };
        if let Some(what) = what {
            return Err(Failure::This(format!("the new file, read from the disk, {what}")));
        }
        let faults = self.faults(&file, wanted).map_err(at)?;
        if !faults.is_empty() {
            let what = format!("the new file does not get the metadata of the record ({})", faults.join(", "));
            return Err(Failure::This(what));
        }
        let file = file.metadata().map_err(at)?.id.file;
        self.made.insert((wanted.content, file));
        self.taken.insert(file);
        Ok(NewFile { name: name.to_vec(), file })
    }

    /// Returns how the metadata of a file is not that of the record.
    fn faults(&self, file: &FileRead, wanted: &Wanted<'_>) -> Result<Vec<String>, PathError> {
        let mut faults = wrong_metadata(wanted.kept, wanted.entry, &file.metadata()?);
        if wanted.kept.xattrs && !wanted.entry.has_xattrs(&file.xattrs()?) {
            faults.push("its extended attributes are others".to_owned());
        }
        Ok(faults)
    }

    /// Gives a file one more name here, which is then renamed into a snapshot.
    pub(super) fn link(&self, file: &NewFile) -> Result<Vec<u8>, PathError> {
        let link = [&file.name[..], LINK].concat();
        match self.dir.link(&file.name, &self.dir, &link) {
            Err(error) if error.fault() == Faults::Exists => {
                self.dir.unlink(&link).under(&self.path)?;
                self.dir.link(&file.name, &self.dir, &link).under(&self.path)?;
            }
            other => other.under(&self.path)?,
        }
        Ok(link)
    }

    /// Notes that a file goes into a snapshot and leaves no name here: the time of the folder there is still to be put
    /// back. Returns the name that goes.
    pub(super) fn note_move(&self, file: &NewFile) -> Result<Vec<u8>, PathError> {
        let content = file.name.iter().position(|&byte| byte == b'-').unwrap_or(file.name.len());
        let note = [&file.name[..content], MOVED].concat();
        match self.dir.create_file(&note, 0o600) {
            Err(error) if error.fault() != Faults::Exists => return Err(error.under(&self.path)),
            _ => self.dir.sync().under(&self.path)?,
        }
        Ok(file.name.clone())
    }

    /// Renames a name of this folder over one in a snapshot; if that fails, a name that is on its way goes.
    pub(super) fn put_over(&self, name: &[u8], dir: &Dir, stored: &[u8]) -> Result<(), PathError> {
        self.dir.rename_over(name, dir, stored).inspect_err(|_| {
            // On a volume without links it is the only name of the new file.
            if content_of_made(name).is_none() {
                // The error is what is told.
                self.dir.unlink(name).ok();
            }
        })
    }

    /// Waits for the disk, then removes the names here of contents that are settled: what was repaired has its names in
    /// the snapshots. All others stay, as each may be the only good copy; the next repair goes on with them.
    pub(super) fn finish(self, settled: &Contents) -> Result<(), Error> {
        match self.dir.sync_volume().under(&self.path) {
            Err(error) if error.fault() != Faults::Unsupported => return Err(error.into()),
            _ => {}
        }
        for entry in self.dir.list().under(&self.path)?.iter() {
            if content_of_made(entry.name).is_none_or(|content| settled.contains(&content)) {
                self.dir.unlink(entry.name).under(&self.path)?;
            }
        }
        Ok(())
    }
}

/// What has a name in the folder.
enum Look {
    /// A file as it is wanted.
    Is(u64),
    /// A file with other metadata that is in snapshots, one that nobody can read, or the copy itself: it stays.
    Other,
    /// Nothing.
    Free,
}

/// Gives a file the metadata of its record, in the order in which none undoes another. What the target cannot keep is
/// seen when the file is compared with the record.
fn give_metadata(file: &FileWrite, wanted: &Wanted<'_>) -> Result<(), PathError> {
    let entry = wanted.entry;
    let mut has_owner = true;
    if let Some(owner) = entry.owner
        && file.metadata()?.owner != Some(owner)
    {
        has_owner = is_kept(file.set_owner(owner))?;
    }
    for (name, value) in ntfs::to_set(entry.kind, entry.xattrs()).filter(|(name, _)| !ntfs::is_late(name)) {
        is_kept(file.set_xattr(name, value))?;
    }
    if let Some(mode) = entry.mode {
        // What runs as its owner must not run as whoever repairs.
        is_kept(file.set_mode(if has_owner { mode } else { mode & !SET_ID_BITS }))?;
    }
    is_kept(file.set_mtime(entry.mtime))?;
    for (name, value) in ntfs::to_set(entry.kind, entry.xattrs()).filter(|(name, _)| ntfs::is_late(name)) {
        is_kept(file.set_xattr(name, value))?;
    }
    Ok(())
}

/// Returns whether something could be set; a failing target stays an error.
fn is_kept(result: Result<(), PathError>) -> Result<bool, PathError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.fault(), Faults::Io | Faults::ReadOnly) => Err(error),
        Err(_) => Ok(false),
    }
}
