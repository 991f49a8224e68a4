//! NTFS as ntfs-3g shows it: facts of NTFS as extended attributes that no list names, and named streams as extended
//! attributes or as files `name:stream`, as it was mounted.
//!
//! What it answers was measured with ntfs-3g 2022.10.3; see docs/pitfalls.md.

use crate::metadata::{Kind, Xattrs};
use crate::ntfs;
use crate::reparse;
use crate::system::xattr::{self, Place, XATTR_BYTES_MAX};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What lists the streams where they are files.
const STREAMS_LIST: &CStr = c"ntfs.streams.list";
/// Facts that every entry may have; the reparse point comes with its attribute.
const FACTS: [&[u8]; 4] = [ntfs::ACL, ntfs::ATTRIBUTES, ntfs::CREATED, ntfs::EA];

/// How a volume shows named streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// It is no NTFS.
    NotNtfs,
    /// As extended attributes `user.NAME`.
    AsXattrs,
    /// As files `name:NAME`.
    AsFiles,
    /// Not at all, or by names that nobody else uses (`streams_interface=none`, `openxattr`).
    Hidden,
}

impl View {
    /// Asks the volume of an open entry.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Self {
        const FUSE: u64 = 0x6573_5546;
        if rustix::fs::fstatfs(fd).map_or(0, |stat| stat.f_type as u64 & 0xffff_ffff) != FUSE {
            return Self::NotNtfs;
        }
        // Only ntfs-3g knows these names.
        let mut buffer = vec![0; XATTR_BYTES_MAX];
        if rustix::fs::fgetxattr(fd, c"system.ntfs_attrib_be", &mut buffer[..]).is_err() {
            Self::NotNtfs
        } else if rustix::fs::fgetxattr(fd, STREAMS_LIST, &mut buffer[..]).is_ok() {
            Self::AsFiles
        } else {
            let mut is_no_data = |name: &CStr| rustix::fs::fgetxattr(fd, name, &mut buffer[..]) == Err(Errno::NODATA);
            // With `openxattr` every name may be that of a stream, with `none` no name is.
            let shows = is_no_data(c"user.hardback.not-there") && !is_no_data(c"hardback.not-there");
            if shows { Self::AsXattrs } else { Self::Hidden }
        }
    }
}

/// Reads all extended attributes with those that NTFS has, sorted by name; and why others could not be read.
pub(crate) fn read_all(place: Place<'_>, view: View) -> io::Result<(Xattrs, Option<io::Error>)> {
    let mut lost = None;
    // Where streams are files, a list answers nothing or with an error of something else: ntfs-3g returns an old errno.
    let is_listed = matches!(view, View::NotNtfs | View::AsXattrs);
    let mut all = if is_listed { xattr::read_all(place, &mut lost)? } else { Xattrs::new() };
    if view == View::NotNtfs {
        return Ok((all, lost));
    }
    for name in FACTS {
        read_into(place, name, &mut all, &mut lost);
    }
    let attributes = ntfs::attributes_in(&all);
    if attributes & ntfs::REPARSE_POINT != 0 {
        read_into(place, ntfs::REPARSE, &mut all, &mut lost);
    }
    if attributes & ntfs::ENCRYPTED != 0 && ntfs::get(&all, ntfs::EFS).is_none() {
        read_into(place, ntfs::EFS, &mut all, &mut lost);
    }
    if view == View::AsFiles {
        read_streams(place, &mut all, &mut lost)?;
    }
    all.sort();
    Ok((all, lost))
}

fn read_into(place: Place<'_>, name: &[u8], all: &mut Xattrs, lost: &mut Option<io::Error>) {
    match read(place, name) {
        Ok(value) => all.extend(value.map(|value| (name.to_vec(), value))),
        Err(e) => drop(lost.get_or_insert(e)),
    }
}

/// Reads one fact; `None` where an entry does not have it.
fn read(place: Place<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; XATTR_BYTES_MAX];
    match place.get(&CString::new(name)?, &mut value) {
        Ok(length) => value.truncate(length),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    if name == ntfs::ATTRIBUTES
        && let Ok(number) = <[u8; 4]>::try_from(&value[..])
    {
        value = (u32::from_be_bytes(number) & !ntfs::NORMAL).to_be_bytes().to_vec();
    }
    Ok(Some(value))
}

fn read_streams(place: Place<'_>, all: &mut Xattrs, lost: &mut Option<io::Error>) -> io::Result<()> {
    let mut names = vec![0; XATTR_BYTES_MAX];
    match place.get(STREAMS_LIST, &mut names) {
        Ok(length) => names.truncate(length),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        match read_stream(place, name) {
            Ok(value) => all.push(([ntfs::STREAM_PREFIX, name].concat(), value)),
            Err(e) => drop(lost.get_or_insert_with(|| ntfs::lost_stream(name, &e))),
        }
    }
    Ok(())
}

fn read_stream(place: Place<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    let stream = open_stream(place, name, OFlags::RDONLY)?;
    let mut value = Vec::new();
    let most = ntfs::STREAM_BYTES_MAX + 1;
    io::Read::read_to_end(&mut io::Read::take(stream, most), &mut value)?;
    if value.len() as u64 == most { Err(ntfs::too_long()) } else { Ok(value) }
}

/// Opens a named stream of an entry, and makes sure that it is a stream of that entry: its path may be another's now.
fn open_stream(place: Place<'_>, name: &[u8], flags: OFlags) -> io::Result<File> {
    let path = stream_path(place, name)?;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let stream = rustix::fs::open(path.as_c_str(), flags, Mode::from_raw_mode(0o600))?;
    let of_entry = match place {
        Place::Path(path) => rustix::fs::lstat(path)?,
        Place::Fd(fd) => rustix::fs::fstat(fd)?,
    };
    let of_stream = rustix::fs::fstat(&stream)?;
    if (of_stream.st_dev, of_stream.st_ino) != (of_entry.st_dev, of_entry.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(stream.into())
}

fn stream_path(place: Place<'_>, name: &[u8]) -> io::Result<CString> {
    ntfs::check_stream(name)?;
    let mut path = match place {
        Place::Path(path) => path.to_bytes().to_vec(),
        Place::Fd(fd) => {
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            rustix::fs::readlink(link, Vec::new())?.into_bytes()
        }
    };
    path.push(b':');
    path.extend_from_slice(name);
    Ok(CString::new(path)?)
}

/// Sets one attribute.
pub(crate) fn set(place: Place<'_>, view: View, name: &[u8], value: &[u8]) -> io::Result<()> {
    if view == View::NotNtfs {
        return place.set(name, value);
    }
    if let (View::AsFiles, Some(stream)) = (view, ntfs::stream_in(name)?) {
        // Cut only when it is known to be a stream of this entry.
        let mut file = open_stream(place, stream, OFlags::WRONLY | OFlags::CREATE)?;
        file.set_len(0)?;
        return io::Write::write_all(&mut file, value);
    }
    if name == ntfs::REPARSE {
        return set_reparse(place, value);
    }
    if name != ntfs::ATTRIBUTES {
        return place.set(name, value);
    }
    let wanted = u32::from_be_bytes(value.try_into().map_err(|_| io::ErrorKind::InvalidInput)?);
    place.set(name, value)?;
    let kept = read(place, name)?.map_or(0, |kept| ntfs::attributes_in(&[(name.to_vec(), kept)]));
    // It takes every number and keeps what it can.
    match (wanted ^ kept) & (ntfs::SETTABLE | ntfs::COMPRESSED) {
        0 => Ok(()),
        lost => Err(ntfs::lost_attributes(lost)),
    }
}

fn set_reparse(place: Place<'_>, value: &[u8]) -> io::Result<()> {
    if read(place, ntfs::REPARSE)?.is_some_and(|there| there == value) {
        return Ok(());
    }
    place.set(ntfs::REPARSE, value)?;
    if let Place::Path(path) = place {
        // The kernel still takes it for what it was, finds out now, answers EIO once and looks anew.
        rustix::fs::lstat(path).ok();
    }
    Ok(())
}

/// Removes one attribute.
pub(crate) fn remove(place: Place<'_>, view: View, name: &[u8]) -> io::Result<()> {
    match (view, ntfs::stream_in(name)?) {
        (View::AsFiles, Some(stream)) => Ok(rustix::fs::unlink(stream_path(place, stream)?.as_c_str())?),
        _ => place.remove(name),
    }
}

/// Returns what an entry is that looks like a symlink, and its reparse point where it has one: ntfs-3g shows all of
/// them so.
pub(crate) fn link_of(place: Place<'_>) -> io::Result<(Kind, Option<Vec<u8>>)> {
    // What ntfs-3g makes for a symlink of Linux has none.
    let Some(reparse) = read(place, ntfs::REPARSE)? else { return Ok((Kind::Symlink, None)) };
    let attributes = read(place, ntfs::ATTRIBUTES)?.unwrap_or_default();
    let attributes = ntfs::attributes_in(&[(ntfs::ATTRIBUTES.to_vec(), attributes)]) | ntfs::REPARSE_POINT;
    let kind = reparse::kind_of(attributes, reparse::tag_in(&reparse).unwrap_or(0), false);
    Ok((kind, Some(reparse)))
}
