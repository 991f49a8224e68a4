//! What the binary needs of this computer and may not ask itself: the process, names, paths, and which target was
//! seen where.
//!
//! The environment comes in as a function: only the binary reads it.

use crate::error::Error;
use crate::target::{PRIVATE_DIR, open_or_make_dir, replace_file};
use hardback_platform::{Dir, Faults, Kind, Metadata, PathError, Seam};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

pub use hardback_platform::path::display as display_path;
pub use hardback_platform::{KeepAwake, MissingRights, missing_rights};

/// Longest text file (known targets, exclude lists) that is read.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Symlinks that are followed to a text file, as many as the kernel follows.
const SYMLINKS_FOLLOWED_MAX: usize = 40;
/// File of the known targets in the state directory.
const KNOWN_TARGETS: &[u8] = b"targets.toml";

/// Prepares the process for backups; the binary calls it once, before any thread starts.
pub fn prepare_process() {
    hardback_platform::clear_umask();
    hardback_platform::raise_open_file_limit();
}

/// Returns the host's name up to the first dot.
pub fn host_name() -> String {
    hardback_platform::local_host_name()
}

/// Returns the directory for what this computer remembers; `None` where the environment names none.
pub fn state_dir(var: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = |name| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(own) = dir("HARDBACK_STATE_DIR") {
        return Some(own);
    }
    if std::env::consts::FAMILY == "windows" {
        return dir("LOCALAPPDATA").map(|d| d.join("hardback"));
    }
    if hardback_platform::is_privileged() {
        return Some(PathBuf::from("/var/lib/hardback"));
    }
    let xdg = dir("XDG_STATE_HOME").filter(|d| d.is_absolute());
    let state = xdg.or_else(|| dir("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("hardback"))
}

/// Returns an absolute path without `.` and `..`, which are resolved as `cd` does it: by the text.
pub fn absolute_path(path: &Path, current_dir: &Path) -> PathBuf {
    let mut absolute = PathBuf::new();
    for component in current_dir.join(path).components() {
        match component {
            Component::CurDir => {}
            // At the top there is nothing above, and the top stays.
            Component::ParentDir => drop(absolute.pop()),
            other => absolute.push(other),
        }
    }
    absolute
}

/// Returns a path at this host as bytes for the record.
pub fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// Returns the path that [`path_bytes`] made bytes of; `None` if it is none of this system's.
pub fn path_from_bytes(bytes: &[u8]) -> Option<PathBuf> {
    hardback_platform::name::os_str_from_bytes(bytes).map(|path| PathBuf::from(path.into_owned()))
}

/// Returns the last component of a path as bytes; empty for a top such as `/`.
pub fn last_component(path: &Path) -> Vec<u8> {
    path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default()
}

/// Returns a path in a snapshot as bytes joined by `/`; a slash at its start or end does not count.
///
/// # Errors
/// Refused: `..` and a drive letter.
pub fn snapshot_path(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                if !bytes.is_empty() {
                    bytes.push(b'/');
                }
                bytes.extend_from_slice(name.as_encoded_bytes());
            }
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::refused(
                    format!("{} is no path in a snapshot", path.display()),
                    "write it as it is shown by `hardback find`, for example Documents/letter.txt",
                ));
            }
        }
    }
    Ok(bytes)
}

/// Returns the word for a kind of entry in JSON.
pub fn kind_code(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "dir",
        Kind::Symlink => "symlink",
        Kind::Fifo => "fifo",
        Kind::CharDevice => "char-device",
        Kind::BlockDevice => "block-device",
        Kind::Socket => "socket",
        Kind::Reparse => "reparse",
        Kind::Other => "other",
    }
}

/// Reads a text file that the user named; symlinks are followed, as the user wrote it.
///
/// # Errors
/// It cannot be read, or is longer than any list of patterns.
pub fn read_text_file(path: &Path) -> Result<Vec<u8>, Error> {
    let at = |e: PathError| PathError { op: "read", path: path_bytes(path), ..e };
    let mut place = path.to_path_buf();
    for _ in 0..SYMLINKS_FOLLOWED_MAX {
        let name = last_component(&place);
        let dir = Dir::open(parent_of(&place), Seam::default()).map_err(at)?;
        match dir.open_file(&name) {
            Err(e) if e.fault() == Faults::WrongKind => match dir.read_link(&name) {
                Ok(text) => place = parent_of(&place).join(String::from_utf8_lossy(&text).as_ref()),
                Err(_) => return Err(at(e).into()),
            },
            other => return Ok(other.and_then(|file| file.read_to_vec(TEXT_BYTES_MAX)).map_err(at)?),
        }
    }
    Err(Error::refused(format!("too many symlinks at {}", path.display()), "name the file itself"))
}

/// Writes a text file that the user asked for, over an older one; makes its directory.
///
/// # Errors
/// It cannot be written.
pub fn write_text_file(dir: &Path, name: &str, text: &[u8]) -> Result<(), Error> {
    let dir_handle = open_or_make_dirs(dir, 0o755)?;
    Ok(replace_file(&dir_handle, name.as_bytes(), text).map_err(|e| e.under(&path_bytes(dir)))?)
}

/// Returns whether a path is a directory and no symlink; `None` where there is nothing that can be looked at.
pub fn is_dir(path: &Path) -> Option<bool> {
    let name = last_component(path);
    if name.is_empty() {
        return Some(true);
    }
    look_at(path, &name).map(|metadata| metadata.kind == Kind::Dir)
}

/// Returns the size of a regular file in bytes; `None` where there is none that can be looked at.
pub fn file_bytes(path: &Path) -> Option<u64> {
    let metadata = look_at(path, &last_component(path))?;
    (metadata.kind == Kind::File).then_some(metadata.size_bytes)
}

fn look_at(path: &Path, name: &[u8]) -> Option<Metadata> {
    Dir::open(parent_of(path), Seam::default()).ok()?.stat(name).ok()
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open_or_make_dirs(path: &Path, mode: u32) -> Result<Dir, PathError> {
    match Dir::open(path, Seam::default()) {
        Err(e) if e.fault() == Faults::Vanished && path.parent().is_some() && path.file_name().is_some() => {
            let parent = open_or_make_dirs(parent_of(path), mode)?;
            open_or_make_dir(&parent, &last_component(path), mode).map_err(|e| e.under(&path_bytes(parent_of(path))))
        }
        other => other,
    }
}

/// Which target was last seen at which path: a mount point without its disk looks like a new, empty folder.
#[derive(Debug)]
pub struct KnownTargets {
    dir: PathBuf,
    ids: BTreeMap<String, String>,
}

impl KnownTargets {
    /// Reads what is known; nothing if nothing was ever remembered.
    ///
    /// # Errors
    /// The file is there and cannot be read or understood.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let none = Self { dir: dir.to_path_buf(), ids: BTreeMap::new() };
        let missing = |e: &PathError| e.fault() == Faults::Vanished;
        let file = match Dir::open(dir, Seam::default()).and_then(|d| d.open_file(KNOWN_TARGETS)) {
            Err(e) if missing(&e) => return Ok(none),
            other => other.map_err(|e| PathError { path: none.file_bytes(), ..e })?,
        };
        let bytes = file.read_to_vec(TEXT_BYTES_MAX).map_err(|e| e.under(&none.file_bytes()))?;
        let table = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<toml::Table>().ok());
        let table = table.and_then(|t| t.get("targets")?.as_table().cloned()).ok_or_else(|| {
            let file = none.file_bytes();
            Error::refused(
                format!("cannot understand {}", display_path(&file)),
                "remove it; it only remembers which target was seen at which path",
            )
        })?;
        let ids = table.iter().filter_map(|(path, id)| Some((path.clone(), id.as_str()?.to_owned()))).collect();
        Ok(Self { ids, ..none })
    }

    /// Returns the id of the target that was last seen at an absolute path.
    pub fn id_of(&self, path: &Path) -> Option<&str> {
        self.ids.get(&key(path)).map(String::as_str)
    }

    /// Remembers a target; writes nothing if it is known already.
    ///
    /// # Errors
    /// The file cannot be written; the target is then not remembered.
    pub fn remember(&mut self, path: &Path, id: &str) -> Result<(), Error> {
        if self.id_of(path) == Some(id) {
            return Ok(());
        }
        let mut ids = self.ids.clone();
        ids.insert(key(path), id.to_owned());
        let mut text = "# Which target was last seen at which path. Without an entry, an unmounted disk looks like a \
                        new target.\n[targets]\n"
            .to_owned();
        for (path, id) in &ids {
            text.push_str(&format!("{} = {}\n", quoted(path), quoted(id)));
        }
        let dir = open_or_make_dirs(&self.dir, PRIVATE_DIR)?;
        replace_file(&dir, KNOWN_TARGETS, text.as_bytes()).map_err(|e| e.under(&path_bytes(&self.dir)))?;
        self.ids = ids;
        Ok(())
    }

    fn file_bytes(&self) -> Vec<u8> {
        path_bytes(&self.dir.join("targets.toml"))
    }
}

/// Paths are any bytes and TOML is UTF-8: the manifest's escape.
fn key(path: &Path) -> String {
    let mut key = Vec::new();
    crate::manifest::escape(&mut key, &path_bytes(path));
    String::from_utf8(key).expect("an escaped path is UTF-8")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_in_a_path_are_resolved_by_its_text() {
        let absolute = |p| absolute_path(Path::new(p), Path::new("/home/anna"));
        assert_eq!(absolute("Documents/"), Path::new("/home/anna/Documents"));
        assert_eq!(absolute("."), Path::new("/home/anna"));
        assert_eq!(absolute("../../srv/./x"), Path::new("/srv/x"));
        assert_eq!(absolute("/../.."), Path::new("/"));
    }

    #[test]
    fn a_path_in_a_snapshot_has_no_way_out() {
        assert_eq!(snapshot_path(Path::new("/a//./b/")).unwrap(), b"a/b");
        assert_eq!(snapshot_path(Path::new("")).unwrap(), b"");
        assert!(snapshot_path(Path::new("a/../../b")).is_err());
    }

    #[test]
    fn a_target_is_known_again_whatever_its_path_holds() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("not/yet/there");
        let path = Path::new("/mnt/a \"b\" \\ = ä#");
        let mut known = KnownTargets::open(&state).unwrap();
        assert_eq!(known.id_of(path), None);
        known.remember(path, "0123").unwrap();
        known.remember(Path::new("/mnt/other"), "4567").unwrap();
        let again = KnownTargets::open(&state).unwrap();
        assert_eq!(again.id_of(path), Some("0123"));
        assert_eq!(again.id_of(Path::new("/mnt/other")), Some("4567"));
    }

    #[test]
    fn the_state_directory_follows_the_environment() {
        let own = |name: &str| (name == "HARDBACK_STATE_DIR").then(|| OsString::from("/x"));
        assert_eq!(state_dir(&own), Some(PathBuf::from("/x")));
    }
}
