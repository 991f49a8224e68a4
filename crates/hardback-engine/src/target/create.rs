//! Making a target and opening one, and telling a target from an empty mount point.

use super::{PRIVATE_DIR, Target, layout, open_or_make_dir, replace_file, temporary_name};
use crate::clock::{Clock, timestamp};
use crate::error::Error;
use hardback_platform::{Dir, Faults, Kind, Listing, PathError, Seam};
use std::path::Path;

const FORMAT: i64 = 1;

const README: &str = "\
This folder holds backups made by hardback.

Each dated folder (JOB/YYYY-MM-DD_HH.MM.SS) is a complete copy of what was backed up, as plain files. To get something
back, copy it out: with the file manager, with `cp -a`, or with `hardback restore`, which also brings back what this
disk cannot hold (owners, permissions, links on a foreign file system).

Do not edit files in here: a file that did not change is one file with a name in many dated folders, so an edit would
change all of them. To get rid of a snapshot, delete its dated folder as a whole; the others stay complete.

The folder .hardback holds checksums and metadata. The backups can be read without it.
";

/// How a target came to be open.
#[derive(Debug)]
pub struct Opened {
    /// The target.
    pub target: Target,
    /// It was made just now.
    pub created: bool,
}

/// Opens a target.
///
/// # Errors
/// A folder without our marker is refused.
pub fn open_target(path: &Path, seam: Seam) -> Result<Target, Error> {
    let root = Dir::open(path, seam)?;
    match read_marker(&root)? {
        Some((ours, id)) => Ok(Target { path: path.to_path_buf(), id, root, ours }),
        None => Err(Error::refused(
            format!("{} is no backup target: it has no .hardback/target.toml", path.display()),
            "is the disk mounted? `hardback init` makes a new target",
        )),
    }
}

/// Opens a target, or makes one of a folder that does not exist or is empty.
///
/// `known_id` is the id of the target that was last seen at this path: without its marker the folder is refused, as it
/// is the mount point of a disk that is not there.
///
/// # Errors
/// Refused: a folder that holds other things, and one that was a target before and has no marker now.
pub fn open_or_create_target(
    path: &Path,
    known_id: Option<&str>,
    clock: &dyn Clock,
    seam: Seam,
) -> Result<Opened, Error> {
    match Dir::open(path, seam.clone()) {
        Ok(root) => {
            if let Some((ours, id)) = read_marker(&root)? {
                let target = Target { path: path.to_path_buf(), id, root, ours };
                return Ok(Opened { target, created: false });
            }
            refuse_lost_marker(path, known_id)?;
            let listing = root.list().map_err(|e| at(path, e))?;
            if !is_as_good_as_empty(&listing) {
                return Err(Error::refused(
                    format!("{} is not empty and no backup target", path.display()),
                    "give an empty or new folder, or make it a target on purpose with `hardback init`",
                ));
            }
        }
        Err(e) if e.fault() == Faults::Vanished => refuse_lost_marker(path, known_id)?,
        Err(e) => return Err(e.into()),
    }
    Ok(Opened { target: init_target(path, clock, seam)?, created: true })
}

/// Makes a target: the folder if it is missing, the marker and the README. A target stays as it is.
pub fn init_target(path: &Path, clock: &dyn Clock, seam: Seam) -> Result<Target, Error> {
    let root = match Dir::open(path, seam.clone()) {
        Err(e) if e.fault() == Faults::Vanished => make_root(path, seam)?,
        other => other?,
    };
    if let Some((ours, id)) = read_marker(&root)? {
        return Ok(Target { path: path.to_path_buf(), id, root, ours });
    }
    let ours = open_or_make_dir(&root, layout::OURS, PRIVATE_DIR).map_err(|e| at(path, e))?;
    let id = new_id()?;
    if root.stat(layout::README).is_err() {
        replace_file(&root, layout::README, README.as_bytes()).map_err(|e| at(path, e))?;
    }
    let created = timestamp(clock.now());
    let marker = format!(
        "# This file proves that the right disk is mounted. Without it hardback refuses to write here.\n\
         id = \"{id}\"\nformat = {FORMAT}\ncreated = \"{created}\"\n"
    );
    replace_file(&ours, layout::MARKER, marker.as_bytes()).map_err(|e| at(path, e))?;
    root.sync().map_err(|e| at(path, e))?;
    Ok(Target { path: path.to_path_buf(), id, root, ours })
}

fn at(path: &Path, error: PathError) -> Error {
    error.under(path.as_os_str().as_encoded_bytes()).into()
}

fn make_root(path: &Path, seam: Seam) -> Result<Dir, Error> {
    let name = path.file_name().map(|n| n.as_encoded_bytes().to_vec()).unwrap_or_default();
    let parent_path = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let parent = Dir::open(parent_path, seam).map_err(|e| Error::Refused {
        message: format!("{e}: {}", e.source),
        hint: Some("the folder above the target must exist; is the disk mounted?".into()),
    })?;
    parent.make_dir(&name, PRIVATE_DIR).map_err(|e| at(parent_path, e))?;
    parent.sync().map_err(|e| at(parent_path, e))?;
    parent.open_dir(&name).map_err(|e| at(parent_path, e))
}

fn refuse_lost_marker(path: &Path, known_id: Option<&str>) -> Result<(), Error> {
    match known_id {
        None => Ok(()),
        Some(id) => Err(Error::refused(
            format!("{} was target {id} before and has no marker now", path.display()),
            "mount the disk; if this really is a new disk, say so with `hardback init --new-disk`",
        )),
    }
}

/// A fresh ext4 has `lost+found`, a desktop leaves trash and index folders, and making a target may have been cut short.
fn is_as_good_as_empty(listing: &Listing) -> bool {
    let harmless_dir = |name: &[u8]| {
        matches!(name, b"lost+found" | b"System Volume Information" | b"$RECYCLE.BIN" | b".hardback")
            || name.starts_with(b".Trash-")
    };
    let harmless_file = |name: &[u8]| name == layout::README || name == temporary_name(layout::README);
    listing.iter().all(|e| if e.kind == Kind::Dir { harmless_dir(e.name) } else { harmless_file(e.name) })
}

/// Opens our folder and reads the id; `None` where there is no marker.
fn read_marker(root: &Dir) -> Result<Option<(Dir, String)>, Error> {
    let missing = |e: &PathError| e.fault() == Faults::Vanished;
    let ours = match root.open_dir(layout::OURS) {
        Err(e) if missing(&e) => return Ok(None),
        other => other?,
    };
    let file = match ours.open_file(layout::MARKER) {
        Err(e) if missing(&e) => return Ok(None),
        other => other?,
    };
    let bytes = file.read_to_vec(65_536).map_err(|e| e.under(layout::MARKER))?;
    let refused = |what: String| {
        Error::refused(format!("the marker .hardback/target.toml {what}"), "restore it from a copy of the disk, or ask")
    };
    let text = String::from_utf8(bytes).map_err(|_| refused("is no text".into()))?;
    let table: toml::Table = text.parse().map_err(|e| refused(format!("cannot be understood: {e}")))?;
    let format = table.get("format").and_then(toml::Value::as_integer);
    if format != Some(FORMAT) {
        return Err(refused(format!("has format {format:?}; this hardback knows {FORMAT}")));
    }
    let id = table.get("id").and_then(toml::Value::as_str).ok_or_else(|| refused("has no id".into()))?;
    Ok(Some((ours, id.to_owned())))
}

fn new_id() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::refused(format!("no random numbers: {e}"), "ask the system"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
