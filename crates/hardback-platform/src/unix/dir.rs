//! Open directories: names are looked up in a held handle and never through a symlink.

use crate::error::PathError;
use crate::listing::Listing;
use crate::metadata::{Attributes, Kind, Metadata, Owner, Time, XattrsRead};
use crate::path::RelPath;
use crate::reparse::link_bytes;
use crate::seam::{Op, Seam};
use crate::system::file::{self, FileRead, FileWrite};
use crate::system::ntfs::{self, View};
use crate::system::volume;
use crate::system::xattr::Place;
use crate::volume::{FreeSpace, VolumeTraits};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// Flags of every directory handle.
const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Flags of a handle on a file to read it; neither a FIFO nor a terminal holds up whoever opens it.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// Bytes of directory entries that one system call fetches.
const LIST_BUFFER_BYTES: usize = 64 * 1024;

/// A held directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    seam: Seam,
    /// How the volume shows what NTFS has, once somebody wants to know.
    view: OnceLock<View>,
}

/// Makes an error about a name.
fn fail<'a>(op: &'static str, name: &'a [u8]) -> impl FnOnce(Errno) -> PathError + 'a {
    move |e| PathError::new(op, name, e)
}

/// Opens an entry to read it. Reading must not touch the access time; only the owner may ask for that.
fn open_quietly(dir: &OwnedFd, name: impl rustix::path::Arg + Copy, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
}

impl Dir {
    fn new(fd: OwnedFd, seam: Seam) -> Self {
        Self { fd, seam, view: OnceLock::new() }
    }

    fn view(&self) -> View {
        *self.view.get_or_init(|| View::of(self.fd.as_fd()))
    }

    /// Opens a directory by path; symlinks in the path are followed, as the user wrote it.
    pub fn open(path: &Path, seam: Seam) -> Result<Self, PathError> {
        let bytes = path.as_os_str().as_bytes();
        seam.pass(Op::OpenDir, bytes, -1).map_err(|e| PathError::new("open the folder", bytes, e))?;
        let fd = rustix::fs::open(path, DIR_FLAGS, Mode::empty()).map_err(fail("open the folder", bytes))?;
        Ok(Self::new(fd, seam))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn seam(&self) -> &Seam {
        &self.seam
    }

    pub(crate) fn handle(&self) -> i64 {
        i64::from(self.fd.as_raw_fd())
    }

    fn pass(&self, op: Op, what: &'static str, name: &[u8]) -> Result<(), PathError> {
        self.seam.pass(op, name, self.handle()).map_err(|e| PathError::new(what, name, e))
    }

    /// Where streams are shown as files, a name with `:` is that of a stream: there is no entry of this name, and none can
    /// be made.
    fn refuse_stream(&self, what: &'static str, name: &[u8], errno: Errno) -> Result<(), PathError> {
        if name.contains(&b':') && self.view() == View::AsFiles { Err(fail(what, name)(errno)) } else { Ok(()) }
    }

    /// As [`Dir::pass`], for a name that is looked up.
    fn pass_there(&self, op: Op, what: &'static str, name: &[u8]) -> Result<(), PathError> {
        self.pass(op, what, name)?;
        self.refuse_stream(what, name, Errno::NOENT)
    }

    /// As [`Dir::pass`], for a name that is made.
    fn pass_new(&self, op: Op, what: &'static str, name: &[u8]) -> Result<(), PathError> {
        self.pass(op, what, name)?;
        self.refuse_stream(what, name, Errno::INVAL)
    }

    /// Opens the same directory once more.
    pub fn try_clone(&self) -> Result<Self, PathError> {
        let fd = self.fd.try_clone().map_err(|e| PathError::new("open the folder", b"", e))?;
        Ok(Self::new(fd, self.seam.clone()))
    }

    /// Opens a subdirectory; a symlink there is an error.
    pub fn open_dir(&self, name: &[u8]) -> Result<Self, PathError> {
        self.pass_there(Op::OpenDir, "open the folder", name)?;
        let fd = rustix::fs::openat(&self.fd, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty())
            .map_err(fail("open the folder", name))?;
        Ok(Self::new(fd, self.seam.clone()))
    }

    /// Opens the directory above, which may be one that this user may pass but not list; the top of all is its own
    /// parent. The handle is good for [`Dir::metadata`] and [`Dir::parent`] only.
    pub fn parent(&self) -> Result<Self, PathError> {
        self.pass(Op::OpenDir, "open the folder", b"..")?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.fd, c"..", flags, Mode::empty()).map_err(fail("open the folder", b".."))?;
        Ok(Self::new(fd, self.seam.clone()))
    }

    /// Opens the directory at a path below this one; a symlink anywhere on the way is an error.
    pub fn open_dir_at(&self, path: &RelPath) -> Result<Self, PathError> {
        if path.is_root() {
            return self.open_dir(b".");
        }
        self.pass(Op::OpenDir, "open the folder", path.as_bytes())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, path.as_bytes(), DIR_FLAGS, Mode::empty(), resolve) {
            Ok(fd) => Ok(Self::new(fd, self.seam.clone())),
            // No openat2 in this kernel, or the path is longer than PATH_MAX: name by name.
            Err(Errno::NOSYS | Errno::NAMETOOLONG | Errno::PERM) => {
                let mut dir = self.open_dir(b".")?;
                for name in path.components() {
                    dir = dir.open_dir(name).map_err(|e| PathError { path: path.as_bytes().to_vec(), ..e })?;
                }
                Ok(dir)
            }
            Err(e) => Err(fail("open the folder", path.as_bytes())(e)),
        }
    }

    /// Lists the directory.
    pub fn list(&self) -> Result<Listing, PathError> {
        self.pass(Op::List, "list", b"")?;
        // A second handle: the position of this one belongs to nobody.
        let fd = open_quietly(&self.fd, c".", DIR_FLAGS).map_err(fail("list", b""))?;
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; LIST_BUFFER_BYTES];
        let mut raw = RawDir::new(fd, &mut buffer);
        let mut listing = Listing::default();
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(fail("list", b""))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let mut kind = super::kind_of(entry.file_type());
            // ntfs-3g shows every reparse point as a symlink.
            if kind == Kind::Other || (kind == Kind::Symlink && self.view() != View::NotNtfs) {
                kind = self.stat(name).map_or(Kind::Other, |m| m.kind);
            }
            listing.push(name, kind);
        }
        listing.sort();
        Ok(listing)
    }

    /// Returns what is known about an entry; a symlink is not followed.
    pub fn stat(&self, name: &[u8]) -> Result<Metadata, PathError> {
        self.pass_there(Op::Stat, "read the metadata of", name)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(&self.fd, name, flags, StatxFlags::BASIC_STATS)
            .map_err(fail("read the metadata of", name))?;
        let mut metadata = super::metadata_of(&stat);
        if metadata.kind == Kind::Symlink && self.view() != View::NotNtfs {
            let (kind, reparse) = self.link_of(name, "read the metadata of")?;
            metadata.kind = kind;
            metadata.size_bytes = match (kind, reparse) {
                (Kind::Symlink, None) => metadata.size_bytes,
                (Kind::Symlink, Some(reparse)) => link_bytes(&reparse).map_or(0, |text| text.len() as u64),
                _ => 0,
            };
        }
        Ok(metadata)
    }

    /// Returns what an entry of an NTFS is that looks like a symlink, and its reparse point.
    fn link_of(&self, name: &[u8], what: &'static str) -> Result<(Kind, Option<Vec<u8>>), PathError> {
        self.at_place(name, ntfs::link_of).map_err(|e| PathError::new(what, name, e))
    }

    /// Returns what is known about this directory.
    pub fn metadata(&self) -> Result<Metadata, PathError> {
        self.pass(Op::Stat, "read the metadata of", b"")?;
        let stat = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(fail("read the metadata of", b""))?;
        Ok(super::metadata_of(&stat))
    }

    /// Returns whether a volume, or a part of one, is mounted on this directory.
    pub fn is_mount_point(&self) -> Result<bool, PathError> {
        self.pass(Op::Stat, "read the metadata of", b"")?;
        let stat = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
            .map_err(fail("read the metadata of", b""))?;
        Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// Opens a regular file for reading. Never blocks on a FIFO and never follows a symlink; anything but a regular
    /// file is an error of kind [`crate::Faults::WrongKind`].
    pub fn open_file(&self, name: &[u8]) -> Result<FileRead, PathError> {
        Ok(self.open_regular(name)?.0)
    }

    /// Opens a regular file for reading as [`Dir::open_file`] does, and returns what is known about the open file.
    pub fn open_file_and_look(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        let opened = self.open_regular(name)?;
        self.pass_there(Op::Stat, "read the metadata of", name)?;
        Ok(opened)
    }

    /// The kind is known only from the open file, and with it everything else.
    fn open_regular(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        self.pass_there(Op::OpenFile, "open", name)?;
        let fd = match open_quietly(&self.fd, name, FILE_FLAGS) {
            // A socket, or a device that is not there.
            Err(Errno::NXIO) => return Err(PathError::new("open", name, super::WrongKind)),
            other => other.map_err(fail("open", name))?,
        };
        let stat = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
        let metadata = super::metadata_of(&stat.map_err(fail("read the metadata of", name))?);
        match metadata.kind {
            Kind::File => Ok((FileRead { fd, seam: self.seam.clone(), view: self.view.clone() }, metadata)),
            _ => Err(PathError::new("open", name, super::WrongKind)),
        }
    }

    /// Opens a placeholder so that its content is fetched: Windows alone does that.
    pub fn open_placeholder(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        self.pass_there(Op::OpenFile, "open", name)?;
        Err(fail("open", name)(Errno::OPNOTSUPP))
    }

    /// Opens the raw stream of an encrypted file: Windows alone has one.
    pub fn open_encrypted(&self, name: &[u8]) -> Result<(FileRead, Metadata), PathError> {
        self.open_placeholder(name)
    }

    /// Has the system encrypt a file for its user: Windows alone does that.
    pub fn encrypt(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "encrypt", name)?;
        Err(fail("encrypt", name)(Errno::OPNOTSUPP))
    }

    /// Makes an encrypted file of its raw stream: Windows alone can do that.
    pub fn import_encrypted(&self, _stream: &FileRead, name: &[u8]) -> Result<(), PathError> {
        self.pass_new(Op::CreateFile, "create", name)?;
        Err(fail("create", name)(Errno::OPNOTSUPP))
    }

    /// Reads the text of a symlink.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, PathError> {
        self.pass_there(Op::ReadLink, "read the symlink", name)?;
        // What ntfs-3g says leads to where the volume is mounted.
        if self.view() != View::NotNtfs
            && let (_, Some(reparse)) = self.link_of(name, "read the symlink")?
        {
            return link_bytes(&reparse).ok_or_else(|| PathError::new("read the symlink", name, super::WrongKind));
        }
        let text = rustix::fs::readlinkat(&self.fd, name, Vec::new()).map_err(fail("read the symlink", name))?;
        Ok(text.into_bytes())
    }

    /// Makes a subdirectory.
    pub fn make_dir(&self, name: &[u8], mode: u32) -> Result<(), PathError> {
        self.pass_new(Op::MakeDir, "make the folder", name)?;
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)).map_err(fail("make the folder", name))
    }

    /// Makes a new file; an entry of that name is an error.
    pub fn create_file(&self, name: &[u8], mode: u32) -> Result<FileWrite, PathError> {
        self.pass_new(Op::CreateFile, "create", name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)).map_err(fail("create", name))?;
        Ok(FileWrite { fd, seam: self.seam.clone(), view: self.view.clone() })
    }

    /// Opens a regular file to write over what is in it.
    pub fn open_file_to_write(&self, name: &[u8]) -> Result<FileWrite, PathError> {
        self.pass(Op::CreateFile, "open", name)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(fail("open", name))?;
        Ok(FileWrite { fd, seam: self.seam.clone(), view: self.view.clone() })
    }

    /// Gives a file one more name; a symlink is linked itself, not what it points to.
    pub fn link(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        new_dir.pass_new(Op::Link, "hard link", new_name)?;
        rustix::fs::linkat(&self.fd, name, &new_dir.fd, new_name, AtFlags::empty()).map_err(fail("hard link", new_name))
    }

    /// Makes a symlink.
    pub fn symlink(&self, text: &[u8], name: &[u8]) -> Result<(), PathError> {
        self.pass_new(Op::Symlink, "make the symlink", name)?;
        rustix::fs::symlinkat(text, &self.fd, name).map_err(fail("make the symlink", name))
    }

    /// Makes an entry that is a reparse point, on NTFS: a symlink, a junction, a placeholder. `is_dir` says whether it is
    /// a directory to Windows.
    pub fn make_reparse(&self, name: &[u8], is_dir: bool, reparse: &[u8]) -> Result<(), PathError> {
        let what = "make the reparse point";
        self.pass_new(Op::Symlink, what, name)?;
        if self.view() == View::NotNtfs {
            return Err(fail(what, name)(Errno::OPNOTSUPP));
        }
        if is_dir {
            rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700)).map_err(fail(what, name))?;
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600)).map_err(fail(what, name))?;
        }
        let view = self.view();
        let set = self.at_place(name, |place| ntfs::set(place, view, crate::ntfs::REPARSE, reparse));
        if let Err(e) = set {
            let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            // What is left over is told with the error itself.
            rustix::fs::unlinkat(&self.fd, name, flags).ok();
            return Err(PathError::new(what, name, e));
        }
        Ok(())
    }

    /// Makes a FIFO, socket or device.
    pub fn make_node(&self, name: &[u8], kind: Kind, mode: u32, device: (u32, u32)) -> Result<(), PathError> {
        self.pass_new(Op::MakeNode, "make the special file", name)?;
        let file_type = match kind {
            Kind::Fifo => rustix::fs::FileType::Fifo,
            Kind::Socket => rustix::fs::FileType::Socket,
            Kind::CharDevice => rustix::fs::FileType::CharacterDevice,
            Kind::BlockDevice => rustix::fs::FileType::BlockDevice,
            _ => return Err(PathError::new("make the special file", name, Errno::INVAL)),
        };
        let device = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(&self.fd, name, file_type, Mode::from_raw_mode(mode), device)
            .map_err(fail("make the special file", name))
    }

    /// Renames an entry; an entry of the new name is an error.
    pub fn rename_new(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        new_dir.pass_new(Op::Rename, "rename to", new_name)?;
        match rustix::fs::renameat_with(&self.fd, name, &new_dir.fd, new_name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL | Errno::NOSYS) => {
                // The volume does not know RENAME_NOREPLACE: the target's lock keeps others of us out.
                if new_dir.stat(new_name).is_ok() {
                    return Err(fail("rename to", new_name)(Errno::EXIST));
                }
                rustix::fs::renameat(&self.fd, name, &new_dir.fd, new_name).map_err(fail("rename to", new_name))
            }
            Err(e) => Err(fail("rename to", new_name)(e)),
        }
    }

    /// Renames an entry over whatever has the new name.
    pub fn rename_over(&self, name: &[u8], new_dir: &Dir, new_name: &[u8]) -> Result<(), PathError> {
        new_dir.pass_new(Op::Rename, "rename to", new_name)?;
        rustix::fs::renameat(&self.fd, name, &new_dir.fd, new_name).map_err(fail("rename to", new_name))
    }

    /// Removes an entry that is no directory.
    pub fn unlink(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass_there(Op::Unlink, "remove", name)?;
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()).map_err(fail("remove", name))
    }

    /// Removes an empty subdirectory.
    pub fn remove_dir(&self, name: &[u8]) -> Result<(), PathError> {
        self.pass_there(Op::RemoveDir, "remove the folder", name)?;
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR).map_err(fail("remove the folder", name))
    }

    /// Sets owner and group of an entry, or of this directory where the name is empty. A symlink is not followed.
    pub fn set_owner(&self, name: &[u8], owner: Owner) -> Result<(), PathError> {
        self.pass(Op::SetOwner, "set the owner of", name)?;
        let (uid, gid) = file::raw_owner(owner);
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        rustix::fs::chownat(&self.fd, name, Some(uid), Some(gid), flags).map_err(fail("set the owner of", name))
    }

    /// Sets the permission bits of an entry that is no symlink, or of this directory where the name is empty.
    pub fn set_mode(&self, name: &[u8], mode: u32) -> Result<(), PathError> {
        self.pass(Op::SetMode, "set the mode of", name)?;
        let mode = Mode::from_raw_mode(mode);
        let result = if name.is_empty() {
            rustix::fs::fchmod(&self.fd, mode)
        } else {
            // fchmodat follows links; a handle on the entry itself does not.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let itself =
                rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(fail("set the mode of", name))?;
            match rustix::fs::chmod(proc_path(itself.as_fd(), b"").as_c_str(), mode) {
                Err(Errno::NOENT) => {
                    let opened =
                        self.open_without_proc(name).map_err(|e| PathError::new("set the mode of", name, e))?;
                    rustix::fs::fchmod(opened, mode)
                }
                other => other,
            }
        };
        result.map_err(fail("set the mode of", name))
    }

    /// Sets the time of the last change of an entry, or of this directory where the name is empty.
    pub fn set_mtime(&self, name: &[u8], mtime: Time) -> Result<(), PathError> {
        self.pass(Op::SetTimes, "set the times of", name)?;
        let times = file::timestamps(mtime);
        let result = if name.is_empty() {
            rustix::fs::futimens(&self.fd, &times)
        } else {
            rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        };
        result.map_err(fail("set the times of", name))
    }

    /// Reads the extended attributes of an entry, or of this directory where the name is empty, as far as they can be.
    pub fn read_xattrs(&self, name: &[u8]) -> Result<XattrsRead, PathError> {
        let what = "read the extended attributes of";
        self.pass(Op::GetXattrs, what, name)?;
        let view = self.view();
        let read = self.at_place(name, |place| ntfs::read_all(place, view));
        let (xattrs, lost) = read.map_err(|e| PathError::new(what, name, e))?;
        Ok(XattrsRead { xattrs, lost: lost.map(|e| PathError::new(what, name, e)) })
    }

    /// Sets an extended attribute of an entry, or of this directory where the name is empty.
    pub fn set_xattr(&self, name: &[u8], attribute: &[u8], value: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetXattr, "set an extended attribute of", name)?;
        let view = self.view();
        self.at_place(name, |place| ntfs::set(place, view, attribute, value))
            .map_err(|e| PathError::new("set an extended attribute of", name, e))
    }

    /// Removes an extended attribute of an entry, or of this directory where the name is empty.
    pub fn remove_xattr(&self, name: &[u8], attribute: &[u8]) -> Result<(), PathError> {
        self.pass(Op::SetXattr, "remove an extended attribute of", name)?;
        let view = self.view();
        self.at_place(name, |place| ntfs::remove(place, view, attribute))
            .map_err(|e| PathError::new("remove an extended attribute of", name, e))
    }

    fn at_place<T>(&self, name: &[u8], f: impl Fn(Place<'_>) -> std::io::Result<T>) -> std::io::Result<T> {
        if name.is_empty() {
            return f(Place::Fd(self.fd.as_fd()));
        }
        match f(Place::Path(&proc_path(self.fd.as_fd(), name))) {
            // The entry is gone, or there is no `/proc`.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => f(Place::Fd(self.open_without_proc(name)?.as_fd())),
            other => other,
        }
    }

    /// Opens a file or directory, for the calls that take no name in a directory where `/proc` is not mounted. Opening
    /// anything else may block, or wake a device.
    fn open_without_proc(&self, name: &[u8]) -> std::io::Result<OwnedFd> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(&self.fd, name, flags, StatxFlags::TYPE)?;
        match super::kind_of(rustix::fs::FileType::from_raw_mode(u32::from(stat.stx_mode))) {
            Kind::File | Kind::Dir => Ok(open_quietly(&self.fd, name, FILE_FLAGS)?),
            _ => Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "/proc is not mounted")),
        }
    }

    /// Reads the attribute bits of this directory.
    pub fn attributes(&self) -> Attributes {
        file::read_attributes(self.fd.as_fd())
    }

    /// Sets the attribute bits of a file or directory, or of this directory where the name is empty.
    pub fn set_attributes(&self, name: &[u8], attributes: Attributes) -> Result<(), PathError> {
        self.pass(Op::SetAttributes, "set the attributes of", name)?;
        let result = if name.is_empty() {
            file::write_attributes(self.fd.as_fd(), attributes)
        } else {
            rustix::fs::openat(&self.fd, name, FILE_FLAGS, Mode::empty())
                .and_then(|fd| file::write_attributes(fd.as_fd(), attributes))
        };
        result.map_err(fail("set the attributes of", name))
    }

    /// Waits until the entries of this directory are on the disk.
    pub fn sync(&self) -> Result<(), PathError> {
        self.pass(Op::SyncDir, "sync the folder", b"")?;
        rustix::fs::fsync(&self.fd).map_err(fail("sync the folder", b""))
    }

    /// Says whether this directory is still where it was opened: here what is held is found until it is let go, and a disk
    /// that was taken out is an error of each call.
    pub fn check_is_there(&self) -> Result<(), PathError> {
        Ok(())
    }

    /// Waits until all of the volume is on the disk. An error is final: the kernel reports it once.
    pub fn sync_volume(&self) -> Result<(), PathError> {
        self.pass(Op::SyncVolume, "sync the volume of", b"")?;
        rustix::fs::syncfs(&self.fd).map_err(fail("sync the volume of", b""))
    }

    /// Returns what the volume of this directory can be relied on for.
    pub fn volume(&self) -> Result<VolumeTraits, PathError> {
        let stat = rustix::fs::fstatfs(&self.fd).map_err(fail("ask the volume of", b""))?;
        let pool_id = rustix::fs::fstatvfs(&self.fd).map_err(fail("ask the volume of", b""))?.f_fsid;
        let traits = volume::traits_of(&stat, pool_id);
        if self.view() != View::NotNtfs {
            let hides_streams = self.view() == View::Hidden;
            return Ok(VolumeTraits { stable_ids: true, hides_streams, ..traits.as_ntfs() });
        }
        Ok(traits)
    }

    /// Returns the free room of the volume.
    pub fn free_space(&self) -> Result<FreeSpace, PathError> {
        let stat = rustix::fs::fstatvfs(&self.fd).map_err(fail("ask the volume of", b""))?;
        Ok(volume::free_space_of(&stat))
    }
}

/// Returns the path by which `/proc` reaches a name in a held directory, for the calls that take no handle.
fn proc_path(fd: BorrowedFd<'_>, name: &[u8]) -> CString {
    let mut path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    CString::new(path).expect("names have no NUL byte")
}
