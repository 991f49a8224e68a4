//! Open directories: a held handle, and its verbatim path to look names up.

use crate::error::PathError;
use crate::listing::Listing;
use crate::metadata::{Attributes, Kind, Metadata, Owner, Time, XattrsRead};
use crate::name::{bytes_from_os_str, os_str_from_bytes};
use crate::path::RelPath;
use crate::records;
use crate::reparse;
use crate::seam::{Op, Seam};
use crate::system::file::{self, FileRead, FileWrite};
use crate::system::{encrypted, facts, names, os_error, sys, sys_names, unsupported, volume};
use crate::volume::{FreeSpace, VolumeTraits};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Component, Path, Prefix};
use windows_sys::Win32::Foundation as code;
use windows_sys::Win32::Storage::FileSystem as fs;

/// What a directory handle is for.
const DIR_ACCESS: u32 = fs::FILE_LIST_DIRECTORY | fs::FILE_READ_ATTRIBUTES;
/// Others may do everything meanwhile.
pub(super) const SHARE_ALL: u32 = fs::FILE_SHARE_READ | fs::FILE_SHARE_WRITE | fs::FILE_SHARE_DELETE;
/// Opens the entry itself, whatever it is.
pub(super) const ITSELF: u32 = fs::FILE_FLAG_BACKUP_SEMANTICS | fs::FILE_FLAG_OPEN_REPARSE_POINT;
/// Numbers in the buffer of directory entries that one system call fetches: 64 KiB.
const LIST_BUFFER_NUMBERS: usize = 8 * 1024;

/// A held directory.
#[derive(Debug)]
pub struct Dir {
    file: File,
    /// The full path, with `\\?\`.
    path: OsString,
    seam: Seam,
}

/// Makes an error about a name.
fn fail<'a>(op: &'static str, name: &'a [u8]) -> impl FnOnce(io::Error) -> PathError + 'a {
    move |e| PathError::new(op, name, e)
}

/// Opens what is at a path.
pub(super) fn open(path: &OsStr, access: u32, flags: u32) -> io::Result<File> {
    OpenOptions::new().access_mode(access).share_mode(SHARE_ALL).custom_flags(flags).open(path)
}

/// Opens a directory itself.
fn open_dir(path: &OsStr) -> io::Result<File> {
    let file = open(path, DIR_ACCESS, ITSELF)?;
    match super::kind_of(&file)? {
        Kind::Dir => Ok(file),
        Kind::File => Err(os_error(code::ERROR_DIRECTORY)),
        _ => Err(os_error(code::ERROR_STOPPED_ON_SYMLINK)),
    }
}

/// Returns the verbatim form of the path that a user wrote to an open folder.
fn verbatim(file: &File, path: &Path) -> io::Result<OsString> {
    // A copy of a volume has the ids of the volume: whoever asked where it is might be led to the live one.
    const COPY: &[u8] = br"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy";
    if path.as_os_str().as_encoded_bytes().get(..COPY.len()).is_some_and(|start| start.eq_ignore_ascii_case(COPY)) {
        return Ok(path.as_os_str().to_owned());
    }
    match sys::final_path(file) {
        Ok(path) => Ok(path),
        // No drive letter leads there, as for a shadow copy, or only one that the mount manager does not know, as for many
        // virtual drives.
        Err(e) => verbatim_of(&std::path::absolute(path)?).ok_or(e),
    }
}

/// Returns the verbatim form of an absolute path, as it is written.
fn verbatim_of(path: &Path) -> Option<OsString> {
    let text = path.as_os_str().as_encoded_bytes();
    if text.starts_with(br"\\?\") {
        return Some(path.as_os_str().to_owned());
    }
    let mut verbatim = OsString::from(r"\\?\");
    match path.components().next()? {
        Component::Prefix(prefix) => match prefix.kind() {
            Prefix::Disk(_) => verbatim.push(path),
            Prefix::UNC(..) => {
                verbatim.push("UNC");
                verbatim.push(&path.as_os_str().to_str()?[1..]);
            }
            _ => return None,
        },
        _ => return None,
    }
    Some(verbatim)
}

impl Dir {
    /// Opens a directory by path; symlinks in the path are followed, as the user wrote it.
    pub fn open(path: &Path, seam: Seam) -> Result<Self, PathError> {
        let bytes = bytes_from_os_str(path.as_os_str());
        seam.pass(Op::OpenDir, &bytes, -1).map_err(fail("open the folder", &bytes))?;
        facts::take_rights();
        let open = || {
            let file = open(path.as_os_str(), DIR_ACCESS, fs::FILE_FLAG_BACKUP_SEMANTICS)?;
            if sys::by_handle(&file)?.dwFileAttributes & fs::FILE_ATTRIBUTE_DIRECTORY == 0 {
                return Err(os_error(code::ERROR_DIRECTORY));
            }
            let path = verbatim(&file, path)?;
            Ok((file, path))
        };
        let (file, path) = open().map_err(fail("open the folder", &bytes))?;
        Ok(Self { file, path, seam })
    }

    pub(crate) fn seam(&self) -> &Seam {
        &self.seam
    }

    pub(crate) fn handle(&self) -> i64 {
        file::number_of(&self.file)
    }

    fn pass(&self, op: Op, what: &'static str, name: &[u8]) -> Result<(), PathError> {
        self.seam.pass(op, name, self.handle()).map_err(fail(what, name))
    }

    /// Returns the path of a name in this directory.
    fn child(&self, name: &[u8]) -> io::Result<OsString> {
        // `\` would lead elsewhere, and `:` to a stream of the file before it.
        let leads_elsewhere = name.iter().any(|b| matches!(b, b'\\' | b'/' | b':' | 0));
        if leads_elsewhere || matches!(name, b"" | b"." | b"..") {
            return Err(os_error(code::ERROR_INVALID_NAME));
        }
        let name = os_str_from_bytes(name).ok_or_else(|| os_error(code::ERROR_INVALID_NAME))?;
        let mut path = self.path_with_slash();
        path.push(name);
        Ok(path)
    }

    fn path_with_slash(&self) -> OsString {
        let mut path = self.path.clone();
        if !path.as_encoded_bytes().ends_with(br"\") {
            path.push(r"\");
        }
        path
    }

    /// Opens this directory once more, with its own position and other rights.
    ///
    /// Links are followed, as the path may be the folder that a volume is mounted in; but what is opened is this
    /// directory, or the directory has vanished from its path.
    fn reopen(&self, access: u32) -> io::Result<File> {
        let flags = fs::FILE_FLAG_BACKUP_SEMANTICS;
        let again = |flags| open(&self.path_with_slash(), access | fs::FILE_READ_ATTRIBUTES, flags);
        let file = again(flags).or_else(|e| if is_of_cloud(&self.file) { again(ITSELF) } else { Err(e) })?;
        let id = |file| sys::by_handle(file).map(|information| super::id_of(&information));
        if id(&file)? == id(&self.file)? { Ok(file) } else { Err(os_error(code::ERROR_PATH_NOT_FOUND)) }
    }

    /// Returns whether a volume is mounted on this directory: never, as a folder that is a mount point is not opened.
    pub fn is_mount_point(&self) -> Result<bool, PathError> {
        self.pass(Op::Stat, "read the metadata of", b"")?;
        Ok(false)
    }

    /// Opens a regular file for reading and writing, making it if it is not there; for a lock.
    pub(crate) fn open_or_create(&self, name: &[u8]) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).share_mode(SHARE_ALL);
        let file = options.custom_flags(ITSELF).open(self.child(name)?)?;
        refuse_all_but_files(&file)?;
        Ok(file)
    }

    /// Opens the same directory once more.
    pub fn try_clone(&self) -> Result<Self, PathError> {
        let file = self.file.try_clone().map_err(fail("open the folder", b""))?;
        Ok(Self { file, path: self.path.clone(), seam: self.seam.clone() })
    }

    /// Opens a subdirectory; a symlink there is an error.
    pub fn open_dir(&self, name: &[u8]) -> Result<Self, PathError> {
        self.pass(Op::OpenDir, "open the folder", name)?;
        self.enter(name).map_err(fail("open the folder", name))
    }

    fn enter(&self, name: &[u8]) -> io::Result<Self> {
        let (file, path) = if name == b"." {
            (self.reopen(DIR_ACCESS)?, self.path.clone())
        } else {
            let path = self.child(name)?;
            (open_dir(&path)?, path)
        };
        Ok(Self { file, path, seam: self.seam.clone() })
    }

    /// Opens the directory at a path below this one; a symlink anywhere on the way is an error.
    pub fn open_dir_at(&self, path: &RelPath) -> Result<Self, PathError> {
        if path.is_root() {
            return self.open_dir(b".");
        }
        self.pass(Op::OpenDir, "open the folder", path.as_bytes())?;
        let mut parts = path.components();
        let first = self.enter(parts.next().unwrap_or(b"."));
        parts.fold(first, |dir, name| dir?.enter(name)).map_err(fail("open the folder", path.as_bytes()))
    }

    /// Opens the directory above; the top of all is its own parent.
    pub fn parent(&self) -> Result<Self, PathError> {
        match Path::new(&self.path).parent() {
            Some(parent) => Self::open(parent, self.seam.clone()),
            None => self.try_clone(),
        }
    }

    /// Lists the directory.
    pub fn list(&self) -> Result<Listing, PathError> {
        self.pass(Op::List, "list", b"")?;
        // A second handle: the position of this one belongs to nobody.
        let dir = self.reopen(DIR_ACCESS).map_err(fail("list", b""))?;
        let mut buffer = vec![0u64; LIST_BUFFER_NUMBERS];
        let mut listing = Listing::default();
        let is_root = self.path.as_encoded_bytes().ends_with(br"\");
        loop {
            match sys::next_entries(&dir, &mut buffer) {
                Ok(true) => {}
                Ok(false) => break,
                // The top of a volume that is empty: it has not even the names of itself and of what is above it.
                Err(e) if is_root && listing.is_empty() && sys::is(&e, code::ERROR_FILE_NOT_FOUND) => break,
                Err(e) => return Err(fail("list", b"")(e)),
            }
            records::push_entries(sys::bytes_of(&buffer), &mut listing)
                .ok_or_else(|| fail("list", b"")(io::ErrorKind::InvalidData.into()))?;
        }
        listing.sort();
        Ok(listing)
    }

    /// Returns what is known about an entry; a symlink is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of", name)?;
        let path = self.child(name);
        path.and_then(|path| open(&path, fs::FILE_READ_ATTRIBUTES, ITSELF))
            .and_then(|file| super::metadata_of(&file))
            .map_err(fail("read the metadata of", name))
    }

    /// Returns what is known about this directory.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of", b"")?;
        super::metadata_of(&self.file).map_err(fail("read the metadata of", b""))
    }

    /// Opens a regular file for reading. Never follows a symlink; anything but a regular file is an error of kind
    /// [`crate::Faults::WrongKind`].
    pub fn open_file(&self, name: &[u8]) -> Result<FileRead, PathError> {
        self.pass(Op::OpenFile, "open", name)?;
        let open = || {
            let path = self.child(name)?;
            let (file, may_have_holes) = open_content(&path)?;
            Ok(FileRead { file, raw_of: None, may_have_holes, path, seam: self.seam.clone() })
        };
        open().map_err(fail("open", name))
    }

    /// Opens a regular file for reading as [`Dir::open_file`] does, and returns what is known about the open file.
    pub fn open_file_and_look(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        let file = self.open_file(name)?;
        let metadata = file.metadata().map_err(|e| e.under(name))?;
        Ok((file, metadata))
    }

    /// Opens a placeholder so that its content is fetched while it is read, and returns what is known about that file.
    pub fn open_placeholder(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        self.pass(Op::OpenFile, "open", name)?;
        let open = || {
            let path = self.child(name)?;
            // Not as itself: then the program of the cloud is asked for it.
            let flags = fs::FILE_FLAG_BACKUP_SEMANTICS | fs::FILE_FLAG_SEQUENTIAL_SCAN;
            let file = open(&path, fs::FILE_GENERIC_READ, flags)?;
            let metadata = Metadata { kind: Kind::File, ..super::metadata_of(&file)? };
            let size_bytes = file.metadata()?.len();
            Ok((file, path, Metadata { size_bytes, ..metadata }))
        };
        let (file, path, metadata) = open().map_err(fail("open", name))?;
        Ok((FileRead { file, raw_of: None, may_have_holes: false, path, seam: self.seam.clone() }, metadata))
    }

    /// Opens the raw stream of an encrypted file, which everybody may have who may back the file up. It is put into a
    /// temporary file first, encrypted as it is, as Windows hands it out from start to end only.
    pub fn open_encrypted(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        self.pass(Op::OpenFile, "open", name)?;
        let open = || {
            let path = self.child(name)?;
            let file = open(&path, fs::FILE_READ_ATTRIBUTES, ITSELF)?;
            refuse_all_but_files(&file)?;
            let raw = encrypted::export(&path)?;
            Ok(FileRead { file: raw, raw_of: Some(file), may_have_holes: false, path, seam: self.seam.clone() })
        };
        let raw = open().map_err(fail("open", name))?;
        let metadata = raw.metadata().map_err(|e| e.under(name))?;
        Ok((raw, metadata))
    }

    /// Has the system encrypt a file for its user, while nobody has it open.
    pub fn encrypt(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "encrypt", name)?;
        self.child(name).and_then(|path| facts::encrypt(&path)).map_err(fail("encrypt", name))
    }

    /// Makes an encrypted file of its raw stream; an entry of that name is an error.
    pub fn import_encrypted(&self, stream: &FileRead, name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::CreateFile, "create", name)?;
        self.child(name).and_then(|path| encrypted::import(&path, &stream.file)).map_err(fail("create", name))
    }

    /// Reads the text of a symlink or junction.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, PathError> {
        self.pass(Op::ReadLink, "read the symlink", name)?;
        let path = self.child(name);
        path.and_then(|path| open(&path, fs::FILE_READ_ATTRIBUTES, ITSELF))
            .and_then(|file| match super::kind_of(&file)? {
                Kind::Symlink => super::link_text(&file),
                _ => Err(os_error(code::ERROR_NOT_A_REPARSE_POINT)),
            })
            .map_err(fail("read the symlink", name))
    }

    /// Makes a subdirectory. Windows has no modes; it inherits its permissions.
    pub fn make_dir(&self, name: &[u8], _mode: u32) -> Result<(), PathError> {
        self.pass(Op::MakeDir, "make the folder", name)?;
        let make = |path: OsString| match std::fs::create_dir(&path) {
            // Whom the access list keeps out, and who has the right to restore.
            Err(e) if sys::is(&e, code::ERROR_ACCESS_DENIED) => sys_names::make_dir(&path).map_err(|_| e),
            other => other,
        };
        self.child(name).and_then(make).map_err(fail("make the folder", name))
    }

    /// Makes a new file; an entry of that name is an error. Windows has no modes; it inherits its permissions.
    pub fn create_file(&self, name: &[u8], _mode: u32) -> Result<FileWrite, PathError> {
        self.pass(Op::CreateFile, "create", name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).share_mode(SHARE_ALL).custom_flags(ITSELF);
        let open = || {
            let path = self.child(name)?;
            Ok((options.open(&path)?, path))
        };
        let (file, path) = open().map_err(fail("create", name))?;
        Ok(FileWrite { file, path, seam: self.seam.clone() })
    }

    /// Opens a regular file to write over what is in it.
    pub fn open_file_to_write(&self, name: &[u8]) -> Result<FileWrite, PathError> {
        self.pass(Op::CreateFile, "open", name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).share_mode(SHARE_ALL).custom_flags(ITSELF);
        let open = || {
            let path = self.child(name)?;
            let file = options.open(&path)?;
            refuse_all_but_files(&file)?;
            Ok((file, path))
        };
        let (file, path) = open().map_err(fail("open", name))?;
        Ok(FileWrite { file, path, seam: self.seam.clone() })
    }

    /// Gives a file one more name; a symlink is linked itself, not what it points to.
    pub fn link(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        new_dir.pass(Op::Link, "hard link", new_name)?;
        let link = || names::link(&self.child(name)?, &new_dir.child(new_name)?);
        link().map_err(fail("hard link", new_name))
    }

    /// Makes a symlink: one to a directory if the text leads to one now, as Windows wants to know.
    pub fn symlink(&self, text: &[u8], name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::Symlink, "make the symlink", name)?;
        self.make_symlink(text, name).map_err(fail("make the symlink", name))
    }

    fn make_symlink(&self, text: &[u8], name: &[u8]) -> io::Result<()> {
        let path = self.child(name)?;
        let text = os_str_from_bytes(text).ok_or_else(|| os_error(code::ERROR_INVALID_NAME))?;
        // `join` resolves `..` itself, as it must in a verbatim path.
        let target = Path::new(&self.path).join(&*text);
        if std::fs::metadata(target).is_ok_and(|target| target.is_dir()) {
            std::os::windows::fs::symlink_dir(&*text, &path)?;
        } else {
            std::os::windows::fs::symlink_file(&*text, &path)?;
        }
        // Wine says that it did, and does nothing.
        match open(&path, fs::FILE_READ_ATTRIBUTES, ITSELF).and_then(|link| super::kind_of(&link)) {
            Ok(Kind::Symlink) => Ok(()),
            _ => Err(unsupported()),
        }
    }

    /// Makes a FIFO, socket or device: not on Windows.
    pub fn make_node(&self, name: &[u8], _kind: Kind, _mode: u32, _device: (u32, u32)) -> Result<(), PathError> {
        self.pass(Op::MakeNode, "make the special file", name)?;
        Err(fail("make the special file", name)(unsupported()))
    }

    /// Renames an entry; an entry of the new name is an error.
    pub fn rename_new(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        self.rename(name, new_dir, new_name, fs::MOVEFILE_WRITE_THROUGH)
    }

    /// Renames an entry over whatever has the new name, which must be no directory on Windows.
    pub fn rename_over(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        self.rename(name, new_dir, new_name, fs::MOVEFILE_REPLACE_EXISTING | fs::MOVEFILE_WRITE_THROUGH)
    }

    fn rename(&self, name: &[u8], new_dir: &Dir, new_name: &[u8], flags: u32) -> Result<(), PathError> {
        new_dir.pass(Op::Rename, "rename to", new_name)?;
        let rename = || names::rename(&self.child(name)?, &new_dir.child(new_name)?, flags);
        rename().map_err(fail("rename to", new_name))
    }

    /// Removes an entry that is no directory.
    pub fn unlink(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::Unlink, "remove", name)?;
        self.child(name).and_then(|path| names::remove(&path, |kind| kind != Kind::Dir)).map_err(fail("remove", name))
    }

    /// Removes an empty subdirectory.
    pub fn remove_dir(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::RemoveDir, "remove the folder", name)?;
        self.child(name)
            .and_then(|path| names::remove(&path, |kind| kind == Kind::Dir))
            .map_err(fail("remove the folder", name))
    }

    /// Sets owner and group: Windows has other owners.
    pub fn set_owner(&self, name: &[u8], _owner: Owner) -> Result<(), PathError> {
        self.pass(Op::SetOwner, "set the owner of", name)?;
        Err(fail("set the owner of", name)(unsupported()))
    }

    /// Sets the permission bits: Windows has none.
    pub fn set_mode(&self, name: &[u8], _mode: u32) -> Result<(), PathError> {
        self.pass(Op::SetMode, "set the mode of", name)?;
        Err(fail("set the mode of", name)(unsupported()))
    }

    /// Sets the time of the last change of an entry, or of this directory where the name is empty.
    pub fn set_mtime(&self, name: &[u8], mtime: Time) -> Result<(), PathError> {
        self.pass(Op::SetTimes, "set the times of", name)?;
        let file = if name.is_empty() {
            self.reopen(fs::FILE_WRITE_ATTRIBUTES)
        } else {
            self.child(name).and_then(|path| open(&path, fs::FILE_WRITE_ATTRIBUTES, ITSELF))
        };
        file.and_then(|file| file::set_mtime(&file, mtime)).map_err(fail("set the times of", name))
    }

    /// Reads what NTFS has of an entry, or of this directory where the name is empty, as far as it can be: see
    /// [`crate::ntfs`].
    pub fn read_xattrs(&self, name: &[u8]) -> Result<XattrsRead, PathError> {
        let what = "read the extended attributes of";
        self.pass(Op::GetXattrs, what, name)?;
        let (path, same) = self.place(name).map_err(fail(what, name))?;
        let (xattrs, lost) = facts::read_all(&path, same).map_err(fail(what, name))?;
        Ok(XattrsRead { xattrs, lost: lost.map(fail(what, name)) })
    }

    /// Sets one of them.
    pub fn set_xattr(&self, name: &[u8], attribute: &[u8], value: &[u8]) -> Result<(), PathError> {
        let what = "set an extended attribute of";
        self.pass(Op::SetXattr, what, name)?;
        self.place(name).and_then(|(path, _)| facts::set(&path, attribute, value)).map_err(fail(what, name))
    }

    /// Makes an entry that is a reparse point: a symlink, a junction, a placeholder. `is_dir` says whether it is a
    /// directory to Windows.
    pub fn make_reparse(&self, name: &[u8], is_dir: bool, reparse: &[u8]) -> Result<(), PathError> {
        let what = "make the reparse point";
        self.pass(Op::Symlink, what, name)?;
        self.child(name).and_then(|path| facts::make_reparse(&path, is_dir, reparse)).map_err(fail(what, name))
    }

    /// Returns the path of a name, or of this directory where the name is empty, and then its handle.
    fn place(&self, name: &[u8]) -> io::Result<(OsString, Option<&File>)> {
        if name.is_empty() { Ok((self.path.clone(), Some(&self.file))) } else { Ok((self.child(name)?, None)) }
    }

    /// Removes one of them: a named stream.
    pub fn remove_xattr(&self, name: &[u8], attribute: &[u8]) -> Result<(), PathError> {
        let what = "remove an extended attribute of";
        self.pass(Op::SetXattr, what, name)?;
        self.place(name).and_then(|(path, _)| facts::remove(&path, attribute)).map_err(fail(what, name))
    }

    /// Reads the attribute bits of this directory.
    pub fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    /// Sets the attribute bits of a file or directory, or of this directory where the name is empty: not on Windows.
    pub fn set_attributes(&self, name: &[u8], attributes: Attributes) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "set the attributes of", name)?;
        file::refuse_attributes(attributes).map_err(fail("set the attributes of", name))
    }

    /// Waits until the entries of this directory are on the disk.
    pub fn sync(&self) -> Result<(), PathError> {
        self.pass(Op::SyncDir, "sync the folder", b"")?;
        // Only a handle that may write is flushed.
        match self.reopen(fs::FILE_ADD_FILE).and_then(|dir| dir.sync_all()) {
            // A server flushes no folders: SMB has no such call, and some servers say so in odd ways. What it has
            // promised of a name is all that there is.
            Err(e) if self.is_of_server() && (names::is_unknown(&e) || sys::is(&e, code::ERROR_ACCESS_DENIED)) => {
                Ok(())
            }
            other => other.map_err(fail("sync the folder", b"")),
        }
    }

    fn is_of_server(&self) -> bool {
        self.path.as_encoded_bytes().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(br"\\?\UNC\"))
    }

    /// Says whether this directory is still where it was opened. One whose disk was taken out is not, also when the disk is
    /// back; and what could not be found meanwhile had not gone.
    pub fn check_is_there(&self) -> Result<(), PathError> {
        self.pass(Op::Stat, "find", b"")?;
        self.reopen(fs::FILE_READ_ATTRIBUTES).map(drop).map_err(fail("find", b""))
    }

    /// Waits until all of the volume is on the disk. An error is final.
    ///
    /// Needs the right to write to the volume as a device, which administrators have. Without it the error is of kind
    /// [`crate::Faults::Unsupported`], and each file is to be synced by itself.
    pub fn sync_volume(&self) -> Result<(), PathError> {
        self.pass(Op::SyncVolume, "sync the volume of", b"")?;
        let access = fs::FILE_GENERIC_READ | fs::FILE_GENERIC_WRITE;
        let device = volume::device_path(&self.path)
            .and_then(|path| open(&path, access, 0))
            .map_err(|e| fail("sync the volume of", b"")(io::Error::new(io::ErrorKind::Unsupported, e)))?;
        device.sync_all().map_err(fail("sync the volume of", b""))
    }

    /// Returns what the volume of this directory can be relied on for.
    pub fn volume(&self) -> Result<VolumeTraits, PathError> {
        volume::traits_of(&self.file).map_err(fail("ask the volume of", b""))
    }

    /// Returns the free room of the volume.
    pub fn free_space(&self) -> Result<FreeSpace, PathError> {
        let (free_bytes, total_bytes) =
            sys::free_and_total_bytes(&self.path_with_slash()).map_err(fail("ask the volume of", b""))?;
        Ok(FreeSpace { free_bytes, total_bytes, free_entries: None, total_entries: None })
    }
}

/// Opens a regular file to read it; says whether it may have holes. One with a content that a driver makes is opened as
/// everybody opens it, and what takes no room of it is no hole.
fn open_content(path: &OsStr) -> io::Result<(File, bool)> {
    let file = open(path, fs::FILE_GENERIC_READ, ITSELF | fs::FILE_FLAG_SEQUENTIAL_SCAN)?;
    refuse_all_but_files(&file)?;
    let attributes = sys::by_handle(&file)?.dwFileAttributes;
    if attributes & fs::FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        return Ok((file, attributes & fs::FILE_ATTRIBUTE_SPARSE_FILE != 0));
    }
    let through = fs::FILE_FLAG_BACKUP_SEMANTICS | fs::FILE_FLAG_SEQUENTIAL_SCAN;
    // What a cloud's program has fetched is there, also in a shadow copy, where that program is not at work.
    let content =
        open(path, fs::FILE_GENERIC_READ, through).or_else(|e| if is_of_cloud(&file) { Ok(file) } else { Err(e) })?;
    Ok((content, false))
}

/// Returns whether an open entry belongs to a cloud.
fn is_of_cloud(file: &File) -> bool {
    let mut attributes_and_tag = [0u64; 1];
    let asked = sys::information(file, fs::FileAttributeTagInfo, &mut attributes_and_tag);
    asked.is_ok() && reparse::is_of_cloud(super::halves(attributes_and_tag[0])[1])
}

/// Makes anything but a regular file an error.
fn refuse_all_but_files(file: &File) -> io::Result<()> {
    match super::kind_of(file)? {
        Kind::File => Ok(()),
        Kind::Dir => Err(os_error(code::ERROR_DIRECTORY_NOT_SUPPORTED)),
        _ => Err(os_error(code::ERROR_STOPPED_ON_SYMLINK)),
    }
}
