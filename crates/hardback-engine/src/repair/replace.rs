//! Renames a new file over every name of a damaged one, and puts the times of the folders back.

pub(super) use super::make::Failure;
use super::make::{NewFile, Wanted, Workshop};
use crate::damage::{Copies, CopyAt, Located, StoredFile, StoredName, Suspect};
use crate::error::Error;
use crate::manifest::ContentRef;
use crate::target::Target;
use crate::verify::{Findings, Kept, Times};
use hardback_platform::{Dir, Faults, PathError};

/// What replacing needs to know.
pub(super) struct Replacing<'a, 'f> {
    pub(super) findings: &'a Findings<'f>,
    pub(super) target: &'a Target,
    pub(super) located: &'a Located,
}

impl Replacing<'_, '_> {
    /// Makes a good file from a copy and gives it all names of a damaged one that are known; returns whether there are no
    /// others. A file that takes no more names is followed by another.
    pub(super) fn replace(
        &self,
        workshop: &mut Workshop,
        copies: &Copies<'_>,
        copy: &CopyAt,
        (content, suspect, damaged): (ContentRef, &Suspect, &StoredFile),
    ) -> Result<bool, Failure> {
        let ctx = &self.findings.ctx;
        let Some((digest, newest)) = suspect.digest.zip(damaged.names.last()) else {
            return Err(Failure::This("nothing proves any copy of it".to_owned()));
        };
        let kept = Kept::of(&self.located.snapshots[newest.snapshot].seal);
        let name_here = match copy {
            CopyAt::Made(name) => Some(&name[..]),
            _ => None,
        };
        let wanted = Wanted { content, digest, entry: &damaged.entry, kept, copy: name_here };
        // It is not held open while names are renamed: it may be one of them.
        let open = || copies.open(copy).map_err(|e| Failure::This(e.source.to_string()));
        let mut new = workshop.file(ctx, &wanted, &open()?)?;
        for name in &damaged.names {
            ctx.check_cancel().map_err(Failure::Stop)?;
            let is_only = damaged.names.len() == 1;
            let name_it = |new: &NewFile, workshop: &Workshop| {
                self.name(workshop, new, name, damaged.file, is_only).map_err(|e| self.failed(name, e))
            };
            if !name_it(&new, workshop)? {
                new = workshop.file(ctx, &wanted, &open()?)?;
                if !name_it(&new, workshop)? {
                    return Err(Failure::This("a new file takes no name beside its first".to_owned()));
                }
            }
        }
        let others = damaged.nlink.saturating_sub(damaged.names.len() as u64);
        if others > 0 {
            let (first, _) = self.located.names_of(damaged);
            let shown = hardback_platform::path::display(first.first().map_or(&[][..], Vec::as_slice)).to_string();
            self.findings.notice(format!(
                "the damaged file of {shown} has {others} more names that were not found by the records of job {}; they \
                 stay as they are",
                self.located.job
            ));
        }
        Ok(others == 0)
    }

    /// The target failed: of this name, or as a whole.
    fn failed(&self, name: &StoredName, error: PathError) -> Failure {
        let shown = self.located.shown(name);
        match error.fault() {
            Faults::Full | Faults::Io | Faults::ReadOnly => Failure::Stop(PathError { path: shown, ..error }.into()),
            _ if error.source.kind() == std::io::ErrorKind::Interrupted => Failure::Stop(Error::Interrupted),
            _ => {
                let shown = hardback_platform::path::display(&shown).to_string();
                Failure::This(format!("cannot {} {shown}: {}", error.op, error.source))
            }
        }
    }

    /// Puts a new file in the place of a damaged one under one of its names; returns `false` where it takes no more.
    fn name(
        &self,
        workshop: &Workshop,
        new: &NewFile,
        name: &StoredName,
        damaged: u64,
        is_only: bool,
    ) -> Result<bool, PathError> {
        let dir = folder_of(self.target, self.located, name)?;
        let there = dir.stat(&name.stored)?.id.file;
        if there == new.file {
            return put_back(&dir, self.located, name).map(|()| true);
        }
        if there != damaged {
            let error = std::io::Error::other("it is another file since it was read");
            return Err(PathError::new("replace", &name.stored, error));
        }
        let before = dir.metadata()?.mtime;
        let link = match workshop.link(new) {
            Err(error) if error.fault() == Faults::TooManyLinks => return Ok(false),
            // A volume without links: the file itself goes there.
            Err(error) if is_only && matches!(error.fault(), Faults::Unsupported | Faults::Denied) => {
                workshop.note_move(new)?
            }
            other => other?,
        };
        workshop.put_over(&link, &dir, &name.stored)?;
        let seal = &self.located.snapshots[name.snapshot].seal;
        let is_as_recorded = Kept::of(seal).is_same_time(before, name.folder.mtime);
        dir.set_mtime(b"", if is_as_recorded { before } else { name.folder.mtime }).map(|()| true)
    }
}

/// Gives the folder of a name its recorded time, if a repair was interrupted before it did.
pub(super) fn put_back_time(target: &Target, located: &Located, name: &StoredName) -> Result<(), PathError> {
    put_back(&folder_of(target, located, name)?, located, name)
}

fn put_back(dir: &Dir, located: &Located, name: &StoredName) -> Result<(), PathError> {
    let kept = Kept::of(&located.snapshots[name.snapshot].seal);
    if kept.times == Times::No || kept.is_same_time(dir.metadata()?.mtime, name.folder.mtime) {
        return Ok(());
    }
    dir.set_mtime(b"", name.folder.mtime)
}

/// Opens the folder of a name.
fn folder_of(target: &Target, located: &Located, name: &StoredName) -> Result<Dir, PathError> {
    let missing = || PathError::new("open the folder", b"", std::io::ErrorKind::NotFound);
    let trees = target.job_dir_if_any(&located.job)?.ok_or_else(missing)?;
    let tree = trees.open_dir(located.snapshots[name.snapshot].name.as_bytes())?;
    tree.open_dir_at(&name.folder.stored)
}
