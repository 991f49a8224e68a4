//! Making a target and opening one, and telling a target from an empty mount point.

use super::{PRIVATE_DIR, Target, layout, open_or_make_dir, replace_file, temporary_name};
use crate::clock::{Clock, timestamp};
use crate::error::Error;
use hardback_platform::{Dir, Faults, Kind, Listing, Lock, PathError, Seam};
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

/// Opens a target. `known_id` is the id of the target that was last seen at this path.
///
/// # Errors
/// A folder without our marker is refused.
pub fn open_target(path: &Path, known_id: Option<&str>, seam: Seam) -> Result<Target, Error> {
    let root = match Dir::open(path, seam) {
        Err(e) if e.fault() == Faults::Vanished => {
            refuse_lost_marker(path, known_id)?;
            return Err(e.into());
        }
        other => other?,
    };
    if let Some((ours, id)) = read_marker(&root)? {
        return Ok(Target { path: path.to_path_buf(), id, root, ours });
    }
    refuse_lost_marker(path, known_id)?;
    let hint = match target_above(path, &root) {
        Some(above) => format!("{above} is one, and this is in it: give that"),
        None => format!("is the disk mounted? `hardback init {}` makes a new target", path.display()),
    };
    Err(Error::refused(format!("{} is no backup target: it has no .hardback/target.toml", path.display()), hint))
}

/// Opens a target, or makes one of a folder that does not exist or is empty.
///
/// `known_id` is the id of the target that was last seen at this path: without its marker the folder is refused, as it
/// is the mount point of a disk that is not there.
///
/// # Errors
/// Refused: a folder that holds other things, one that was a target before and has no marker now, and one inside a
/// target.
pub fn open_or_create_target(
    path: &Path,
    known_id: Option<&str>,
    clock: &dyn Clock,
    seam: Seam,
) -> Result<Opened, Error> {
    match look(path, known_id, &seam)? {
        Place::Target(target) => Ok(Opened { target, created: false }),
        Place::Other => Err(not_empty(path)),
        Place::Missing | Place::Empty => Ok(Opened { target: make_target(path, clock, seam)?, created: true }),
    }
}

/// Says what [`open_or_create_target`] would do, and makes nothing; `None` where it would make a target.
///
/// # Errors
/// Where that refuses.
pub fn find_target(path: &Path, known_id: Option<&str>, seam: Seam) -> Result<Option<Target>, Error> {
    match look(path, known_id, &seam)? {
        Place::Target(target) => Ok(Some(target)),
        Place::Other => Err(not_empty(path)),
        Place::Missing | Place::Empty => Ok(None),
    }
}

/// What [`init_target`] found.
#[derive(Debug)]
pub struct Initialised {
    /// The target.
    pub target: Target,
    /// It was made just now.
    pub created: bool,
    /// It was made of a folder that holds other things, which stay.
    pub holds_others: bool,
}

/// Makes a target on purpose: the folder if it is missing, the marker and the README. A target stays as it is, and so
/// does what else is in the folder.
///
/// # Errors
/// Refused: a folder that was a target before and has no marker now, and one inside a target.
pub fn init_target(path: &Path, known_id: Option<&str>, clock: &dyn Clock, seam: Seam) -> Result<Initialised, Error> {
    let holds_others = match look(path, known_id, &seam)? {
        Place::Target(target) => return Ok(Initialised { target, created: false, holds_others: false }),
        Place::Other => true,
        Place::Missing | Place::Empty => false,
    };
    Ok(Initialised { target: make_target(path, clock, seam)?, created: true, holds_others })
}

/// What is at a path where a target is or shall be.
enum Place {
    Target(Target),
    Missing,
    Empty,
    /// A folder that holds other things.
    Other,
}

fn look(path: &Path, known_id: Option<&str>, seam: &Seam) -> Result<Place, Error> {
    let root = match Dir::open(path, seam.clone()) {
        Ok(root) => Some(root),
        Err(e) if e.fault() == Faults::Vanished => None,
        Err(e) => return Err(e.into()),
    };
    if let Some(root) = &root
        && let Some((ours, id)) = read_marker(root)?
    {
        return Ok(Place::Target(Target { path: path.to_path_buf(), id, root: root.try_clone()?, ours }));
    }
    refuse_lost_marker(path, known_id)?;
    let near = root.as_ref().map_or_else(|| open_above(path, seam), |root| Ok(root.try_clone()?))?;
    if let Some(above) = target_above(path, &near) {
        return Err(Error::refused(
            format!("{} is inside a backup target", path.display()),
            format!("{above} is one: give that, or a folder elsewhere"),
        ));
    }
    let Some(root) = root else { return Ok(Place::Missing) };
    let listing = root.list().map_err(|e| at(path, e))?;
    Ok(if is_as_good_as_empty(&listing) { Place::Empty } else { Place::Other })
}

/// Returns the path of the target that a path is in, as far as it can be looked at; `dir` is the folder at the path or
/// the one above. What is mounted in a target is not in it.
fn target_above(path: &Path, dir: &Dir) -> Option<String> {
    let volume = dir.metadata().ok()?.id.volume;
    let mut dir = dir.try_clone().ok()?;
    loop {
        let here = dir.metadata().ok()?.id;
        if here.volume != volume {
            return None;
        }
        if let Ok(Some(_)) = read_marker(&dir) {
            // The path may lead through symlinks: it is named only where its text leads there too.
            let is_it = |above: &&Path| {
                let id = Dir::open(above, Seam::default()).and_then(|dir| dir.metadata()).map(|m| m.id);
                id.is_ok_and(|id| id == here)
            };
            let named = path.ancestors().filter(|above| !above.as_os_str().is_empty()).find(is_it);
            return Some(named.map_or("the folder above".to_owned(), |above| above.display().to_string()));
        }
        let above = dir.parent().ok()?;
        if above.metadata().ok()?.id == here {
            return None;
        }
        dir = above;
    }
}

/// Makes a target of a folder, or of one that is missing.
fn make_target(path: &Path, clock: &dyn Clock, seam: Seam) -> Result<Target, Error> {
    let root = match Dir::open(path, seam.clone()) {
        Err(e) if e.fault() == Faults::Vanished => make_root(path, &seam)?,
        other => other?,
    };
    let ours = open_or_make_dir(&root, layout::OURS, PRIVATE_DIR).map_err(|e| at(path, e))?;
    let id = new_id()?;
    // Made while there is room: a target that is full must be able to give some back.
    for folder in [layout::TRASH, layout::RUNS] {
        open_or_make_dir(&ours, folder, PRIVATE_DIR).map_err(|e| at(path, e))?;
    }
    for lock in [layout::TRASH_LOCK, layout::NOTES_LOCK, layout::READERS_LOCK] {
        drop(Lock::share(&ours, lock).map_err(|e| at(path, e))?);
    }
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

fn make_root(path: &Path, seam: &Seam) -> Result<Dir, Error> {
    let name = path.file_name().map(|n| n.as_encoded_bytes().to_vec()).unwrap_or_default();
    let parent_path = parent_of(path);
    let parent = open_above(path, seam)?;
    parent.make_dir(&name, PRIVATE_DIR).map_err(|e| at(parent_path, e))?;
    parent.sync().map_err(|e| at(parent_path, e))?;
    parent.open_dir(&name).map_err(|e| at(parent_path, e))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens the folder above a target that is to be made.
fn open_above(path: &Path, seam: &Seam) -> Result<Dir, Error> {
    Dir::open(parent_of(path), seam.clone()).map_err(|e| Error::Refused {
        message: format!("{e}: {}", e.source),
        hint: Some("the folder above the target must exist; is the disk mounted?".into()),
    })
}

fn not_empty(path: &Path) -> Error {
    let hint =
        format!("give an empty or new folder, or make it a target on purpose with `hardback init {}`", path.display());
    Error::refused(format!("{} is not empty and no backup target", path.display()), hint)
}

fn refuse_lost_marker(path: &Path, known_id: Option<&str>) -> Result<(), Error> {
    match known_id {
        None => Ok(()),
        Some(id) => Err(Error::refused(
            format!("{} was target {id} before and has no marker now", path.display()),
            format!(
                "mount the disk; if this really is a new disk, say so with `hardback init --new-disk {}`",
                path.display()
            ),
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
