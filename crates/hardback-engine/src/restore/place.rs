//! Opening the folders that a restore writes below, once.

use super::metadata::UNFINISHED_FOLDER;
use super::options::{Place, RestoreOptions};
use super::select::Selection;
use crate::error::Error;
use crate::manifest::Header;
use crate::target::Target;
use hardback_platform::{Dir, Faults, FileId, PathError, RelPath};
use std::path::{Path, PathBuf};

/// Mode of folders above a place that had to be made: what is restored may have lain in a private folder.
const ABOVE_PLACE: u32 = 0o700;

/// A folder that a restore writes below.
#[derive(Debug)]
pub(super) struct PlaceRoot {
    /// `None` where a dry run would have made it.
    pub(super) dir: Option<Dir>,
    /// It was made by this run.
    pub(super) is_made: bool,
    /// The path at the top of the snapshot that goes there; the root for the top itself.
    pub(super) folder: RelPath,
    /// Where it is, for messages.
    pub(super) path: Vec<u8>,
}

/// Returns an error if nothing of what is asked for is in the snapshot.
pub(super) type Unknown<'a> = &'a dyn Fn() -> Result<(), Error>;

/// Opens the places, making those that are missing, unless nothing would come there.
pub(super) fn open_places(
    target: &Target,
    options: &RestoreOptions,
    header: &Header,
    selection: &Selection,
    unknown: Unknown<'_>,
) -> Result<Vec<PlaceRoot>, Error> {
    let is_single = matches!(&header.sources[..], [(folder, _)] if folder.is_empty());
    match &options.place {
        Place::To(path) => {
            let mode = if is_single { UNFINISHED_FOLDER } else { ABOVE_PLACE };
            Ok(vec![open_place(target, options, path, mode, RelPath::root(), unknown)?])
        }
        Place::InPlace => {
            let mut roots = Vec::new();
            for (folder, path) in &header.sources {
                let folder = RelPath::from_bytes(folder).map_err(|e| bad_source(folder, &e.to_string()))?;
                if !selection.touches(&folder) {
                    continue;
                }
                let local = hardback_platform::name::os_str_from_bytes(path).map(|p| PathBuf::from(p.into_owned()));
                let local = local.filter(|p| p.is_absolute());
                let local = local.ok_or_else(|| bad_source(path, "it is no absolute path of this system"))?;
                roots.push(open_place(target, options, &local, UNFINISHED_FOLDER, folder, unknown)?);
            }
            if roots.is_empty() {
                unknown()?;
                return Err(Error::not_found("none of the paths is in the snapshot"));
            }
            Ok(roots)
        }
    }
}

fn bad_source(path: &[u8], why: &str) -> Error {
    let shown = hardback_platform::path::display(path);
    Error::refused(format!("source {shown} cannot be restored in place: {why}"), "restore to a folder with --to DIR")
}

fn open_place(
    target: &Target,
    options: &RestoreOptions,
    path: &Path,
    mode: u32,
    folder: RelPath,
    unknown: Unknown<'_>,
) -> Result<PlaceRoot, Error> {
    // From the first folder that is there downwards.
    let mut missing = Vec::new();
    let mut above = path;
    let mut dir = loop {
        let here = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match Dir::open(here, options.seam.clone()) {
            Ok(dir) => break dir,
            Err(error) if error.fault() == Faults::Vanished => {
                let name = above.file_name().ok_or_else(|| Error::from(error))?;
                missing.push(hardback_platform::name::bytes_from_os_str(name).into_owned());
                above = above.parent().unwrap_or(Path::new(""));
            }
            Err(error) => return Err(error.into()),
        }
    };
    refuse_target(target, &dir, path)?;
    let shown = path.as_os_str().as_encoded_bytes().to_vec();
    let is_made = !missing.is_empty();
    if is_made && options.dry_run {
        return Ok(PlaceRoot { dir: None, is_made, folder, path: shown });
    }
    if is_made {
        unknown()?;
    }
    let under = |e: PathError| e.under(above.as_os_str().as_encoded_bytes());
    while let Some(name) = missing.pop() {
        dir.make_dir(&name, if missing.is_empty() { mode } else { ABOVE_PLACE }).map_err(under)?;
        dir = dir.open_dir(&name).map_err(under)?;
    }
    Ok(PlaceRoot { dir: Some(dir), is_made, folder, path: shown })
}

/// Nothing is ever written into a target but by a backup.
fn refuse_target(target: &Target, dir: &Dir, path: &Path) -> Result<(), Error> {
    if ids_upwards(dir)?.contains(&target.root.metadata()?.id) {
        return Err(Error::refused(
            format!("{} is inside the target", path.display()),
            "snapshots are never written to; restore to a folder elsewhere",
        ));
    }
    Ok(())
}

/// Returns which folder this is, and which are above it.
pub(super) fn ids_upwards(dir: &Dir) -> Result<Vec<FileId>, PathError> {
    let mut ids = vec![dir.metadata()?.id];
    let mut dir = dir.parent()?;
    loop {
        let id = dir.metadata()?.id;
        if ids.last() == Some(&id) {
            return Ok(ids);
        }
        ids.push(id);
        dir = dir.parent()?;
    }
}
