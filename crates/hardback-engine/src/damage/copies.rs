//! Finds a copy of a content that is good: it was read from the disk and has the digest.

use super::locate::{Located, StoredFile, StoredName, Suspect, TWINS_MAX};
use super::{GoodCopy, Twin};
use crate::catalog;
use crate::content::{ContentError, ContentReader};
use crate::context::Context;
use crate::error::Error;
use crate::manifest::{ContentRef, Digest};
use crate::target::{Target, layout};
use hardback_platform::path::display;
use hardback_platform::{Dir, Faults, FileRead, PathError, RelPath, Seam};
use std::collections::HashMap;
use std::path::Path;

/// Where copies are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// In the target.
    TargetOnly,
    /// Also at the source.
    SourceToo,
}

/// A copy of a content.
#[derive(Debug, Clone)]
pub(crate) enum CopyAt {
    /// Another file that has it by the records.
    Stored(StoredName),
    /// A file of another content with the same digest.
    Twin(Twin),
    /// A file that a repair made and could not put everywhere: its name in the folder of repairs.
    Made(Vec<u8>),
    /// A file of the source: its folder's path there, the path below that.
    Source(Vec<u8>, RelPath),
}

/// Looks for copies.
pub(crate) struct Copies<'a> {
    target: &'a Target,
    located: &'a Located,
    trees: Option<Dir>,
    /// `None` where there is nothing; an error where nobody knows.
    made: Result<Option<Made>, PathError>,
    reader: ContentReader<'a>,
    ctx: &'a Context<'a>,
    /// Which files were found to have a digest or not.
    judged: HashMap<(u64, Digest), bool>,
}

/// What an interrupted repair has left.
struct Made {
    dir: Dir,
    /// Names of files, with what they hold if they are whole.
    names: Vec<(ContentRef, Vec<u8>)>,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(ctx: &'a Context<'a>, target: &'a Target, located: &'a Located) -> Result<Self, Error> {
        Ok(Self {
            target,
            located,
            trees: target.job_dir_if_any(&located.job)?,
            made: made_by_repairs(target, &located.job),
            reader: ContentReader::new(ctx.counters, ctx.cancel),
            ctx,
            judged: HashMap::new(),
        })
    }

    /// Returns a good copy of what a damaged file should hold, if there is one.
    ///
    /// # Errors
    /// The user asked to stop.
    pub(crate) fn find(
        &mut self,
        content: ContentRef,
        (suspect, damaged): (&Suspect, &StoredFile),
        read: Read,
    ) -> Result<Option<CopyAt>, Error> {
        let Some(digest) = suspect.digest else { return Ok(None) };
        let size_bytes = damaged.entry.size_bytes;
        for file in suspect.files.iter().filter(|file| file.file != damaged.file) {
            if self.is_good_file(suspect, file)?
                && let Some(name) = file.names.first()
            {
                return Ok(Some(CopyAt::Stored(name.clone())));
            }
        }
        for twin in &suspect.twins {
            let copy = CopyAt::Twin(twin.clone());
            if self.is_good(&copy, digest, size_bytes)? {
                return Ok(Some(copy));
            }
        }
        for copy in self.made_of(content) {
            if self.is_good(&copy, digest, size_bytes)? {
                return Ok(Some(copy));
            }
        }
        if read == Read::SourceToo {
            for copy in self.at_source(damaged) {
                if self.is_good(&copy, digest, size_bytes)? {
                    return Ok(Some(copy));
                }
            }
        }
        Ok(None)
    }

    /// Returns what could not be looked at where no good copy was found: one may be there.
    pub(crate) fn unseen(&self, suspect: &Suspect, damaged: &StoredFile) -> Vec<String> {
        let mut unseen: Vec<String> = self.located.unseen.iter().map(|job| format!("a part of job {job}")).collect();
        if self.made.is_err() {
            unseen.push("what repairs have made".to_owned());
        }
        let others = suspect.files.iter().filter(|file| file.file != damaged.file);
        let others = others.filter_map(|file| Some(CopyAt::Stored(file.names.first()?.clone())));
        let twins = suspect.twins.iter().cloned().map(CopyAt::Twin);
        for copy in others.chain(twins).chain(self.at_source(damaged)) {
            let is_closed = match &copy {
                // A source that is not there may be another time.
                CopyAt::Source(root, _) if source_root(root).is_err() => true,
                _ => self.why_closed(&copy).is_some(),
            };
            let shown = display(self.shown(&copy).path()).to_string();
            if is_closed && !unseen.contains(&shown) {
                unseen.push(shown);
            }
        }
        if suspect.has_more_twins {
            unseen.push(format!("some of more than {TWINS_MAX} other files with its digest"));
        }
        unseen
    }

    /// Returns why a stored file may not be looked at, if that is so: then nobody knows whether it is damaged.
    pub(crate) fn closed(&self, file: &StoredFile) -> Option<PathError> {
        self.why_closed(&CopyAt::Stored(file.names.first()?.clone()))
    }

    fn why_closed(&self, copy: &CopyAt) -> Option<PathError> {
        let is_closed = |error: &PathError| !matches!(error.fault(), Faults::Io | Faults::Vanished | Faults::WrongKind);
        self.open(copy).err().filter(is_closed)
    }

    /// Returns whether a stored file has the content; each is read once.
    ///
    /// # Errors
    /// The user asked to stop.
    pub(crate) fn is_good_file(&mut self, suspect: &Suspect, file: &StoredFile) -> Result<bool, Error> {
        let (Some(digest), Some(name)) = (suspect.digest, file.names.first()) else { return Ok(false) };
        if let Some(known) = self.judged.get(&(file.file, digest)) {
            return Ok(*known);
        }
        let is_good = self.is_good(&CopyAt::Stored(name.clone()), digest, file.entry.size_bytes)?;
        self.judged.insert((file.file, digest), is_good);
        Ok(is_good)
    }

    fn is_good(&mut self, copy: &CopyAt, digest: Digest, size_bytes: u64) -> Result<bool, Error> {
        let is_good = match self.open(copy) {
            Ok(file) => has_content(&mut self.reader, &file, digest, size_bytes).unwrap_or(false),
            Err(_) => false,
        };
        self.ctx.check_cancel()?;
        Ok(is_good)
    }

    /// Opens a copy.
    pub(crate) fn open(&self, copy: &CopyAt) -> Result<FileRead, PathError> {
        match copy {
            CopyAt::Stored(name) => {
                let missing = || PathError::new("open the folder", b"", std::io::ErrorKind::NotFound);
                let tree = self.located.snapshots[name.snapshot].name.as_bytes();
                let tree = self.trees.as_ref().ok_or_else(missing)?.open_dir(tree)?;
                tree.open_dir_at(&name.folder.stored)?.open_file(&name.stored)
            }
            CopyAt::Twin(twin) => {
                let missing = || PathError::new("open the folder", b"", std::io::ErrorKind::NotFound);
                let trees = self.target.job_dir_if_any(&twin.job)?.ok_or_else(missing)?;
                let tree = trees.open_dir(twin.snapshot.as_bytes())?;
                tree.open_dir_at(&twin.folder.stored)?.open_file(&twin.stored)
            }
            CopyAt::Made(name) => {
                let missing = || PathError::new("open", name, std::io::ErrorKind::NotFound);
                self.made.as_ref().ok().and_then(Option::as_ref).ok_or_else(missing)?.dir.open_file(name)
            }
            CopyAt::Source(root, path) => source_root(root)?.open_dir_at(&path.parent())?.open_file(path.name()),
        }
    }

    /// Returns the files of a content that an interrupted repair has left.
    fn made_of(&self, content: ContentRef) -> Vec<CopyAt> {
        let names = self.made.iter().flatten().flat_map(|made| &made.names);
        names.filter(|(of, _)| *of == content).map(|(_, name)| CopyAt::Made(name.clone())).collect()
    }

    /// Returns where the source had, or has, the names of a file; that of the newest snapshot first.
    fn at_source(&self, file: &StoredFile) -> Vec<CopyAt> {
        let mut copies: Vec<CopyAt> = Vec::new();
        let mut last = None;
        for name in file.names.iter().rev() {
            let path = name.folder.path.join(&name.name);
            // Mostly it had one path all the time.
            if last.as_ref() == Some(&path) {
                continue;
            }
            let snapshot = &self.located.snapshots[name.snapshot].name;
            if let Ok(reader) = catalog::open_manifest(self.target, &self.located.job, snapshot) {
                copies.extend(reader.header().sources.iter().filter_map(|(folder, root)| below(folder, root, &path)));
            }
            last = Some(path);
        }
        copies
    }

    /// Returns a copy as it is told.
    pub(crate) fn shown(&self, copy: &CopyAt) -> GoodCopy {
        match copy {
            CopyAt::Stored(name) => {
                GoodCopy::Stored([self.located.job.as_bytes(), b"/", &self.located.shown(name)].concat())
            }
            CopyAt::Twin(twin) => {
                let path = twin.folder.path.join(&twin.name);
                let names = [twin.job.as_bytes(), b"/", twin.snapshot.as_bytes(), b"/", path.as_bytes()];
                GoodCopy::Stored(names.concat())
            }
            CopyAt::Made(name) => {
                let folders = [layout::OURS, layout::REPAIR, self.located.job.as_bytes(), name];
                GoodCopy::Stored(folders.join(&b'/'))
            }
            CopyAt::Source(root, path) => {
                let slash = if root.ends_with(b"/") { &b""[..] } else { b"/" };
                GoodCopy::Source([root, slash, path.as_bytes()].concat())
            }
        }
    }
}

/// Returns where a source has a path of its snapshots, if that is below its folder.
fn below(folder: &[u8], root: &[u8], path: &RelPath) -> Option<CopyAt> {
    let folder = RelPath::from_bytes(folder).ok()?;
    if !path.is_at_or_below(&folder) {
        return None;
    }
    let mut rest = RelPath::root();
    path.components().skip(folder.components().count()).for_each(|name| rest.push(name));
    (!rest.is_root()).then(|| CopyAt::Source(root.to_vec(), rest))
}

/// Opens the folder of a source.
fn source_root(root: &[u8]) -> Result<Dir, PathError> {
    let local = hardback_platform::name::os_str_from_bytes(root)
        .ok_or_else(|| PathError::new("open the folder", root, std::io::ErrorKind::InvalidInput))?;
    Dir::open(Path::new(&local), Seam::default())
}

/// Returns the folder in which repairs of a job make files, and what is in it; `None` where there is none.
fn made_by_repairs(target: &Target, job: &str) -> Result<Option<Made>, PathError> {
    let Some(dir) = target.ours_dir_if_any(&[layout::REPAIR, job.as_bytes()])? else { return Ok(None) };
    let listing = dir.list()?;
    let names = listing.iter().filter_map(|entry| Some((content_of_made(entry.name)?, entry.name.to_vec()))).collect();
    Ok(Some(Made { dir, names }))
}

/// Returns the content of a file that a repair made, by its name: `GENERATION.ORDINAL-N`.
pub(crate) fn content_of_made(name: &[u8]) -> Option<ContentRef> {
    let (content, variant) = std::str::from_utf8(name).ok()?.split_once('-')?;
    variant.parse::<u32>().ok()?;
    let (generation, ordinal) = content.split_once('.')?;
    Some(ContentRef { generation: generation.parse().ok()?, ordinal: ordinal.parse().ok()? })
}

/// Reads a file from the disk; returns whether it has a content.
///
/// # Errors
/// It cannot be read, or the user asked to stop: nobody knows what it holds.
pub(crate) fn has_content(
    reader: &mut ContentReader<'_>,
    file: &FileRead,
    digest: Digest,
    size_bytes: u64,
) -> Result<bool, ContentError> {
    file.drop_cache();
    let found = file.metadata().map_err(ContentError::Stored)?;
    if found.size_bytes != size_bytes {
        return Ok(false);
    }
    let content = reader.read(file, size_bytes, found.blocks, None)?;
    Ok(content.digest == digest && content.size_bytes == size_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_content_and_a_name_on_its_way_none() {
        let content = |generation, ordinal| Some(ContentRef { generation, ordinal });
        assert_eq!(content_of_made(b"2.17-1"), content(2, 17));
        assert_eq!(content_of_made(b"2.17-30"), content(2, 17));
        for other in [&b"2.17-1.link"[..], b"2.17", b"2-1", b"x", b"2.x-1", b"\xff"] {
            assert_eq!(content_of_made(other), None);
        }
    }
}
