//! Extended attributes by file descriptor, and by `/proc/self/fd/N/name` for entries that cannot be opened.

use crate::metadata::Xattrs;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// Most bytes of names, and of one value, that Linux allows.
pub(crate) const XATTR_BYTES_MAX: usize = 65_536;

/// Where the attributes are.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Fd(BorrowedFd<'a>),
    Path(&'a CStr),
}

impl Place<'_> {
    fn list(self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Place::Fd(fd) => rustix::fs::flistxattr(fd, buffer),
            Place::Path(path) => rustix::fs::llistxattr(path, buffer),
        }
    }

    /// Reads one attribute into a buffer; returns its length.
    pub(crate) fn get(self, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Place::Fd(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Place::Path(path) => rustix::fs::lgetxattr(path, name, buffer),
        }
    }

    /// Sets one attribute.
    pub(crate) fn set(self, name: &[u8], value: &[u8]) -> std::io::Result<()> {
        let flags = rustix::fs::XattrFlags::empty();
        match self {
            Place::Fd(fd) => rustix::fs::fsetxattr(fd, name, value, flags)?,
            Place::Path(path) => rustix::fs::lsetxattr(path, name, value, flags)?,
        }
        Ok(())
    }

    /// Removes one attribute.
    pub(crate) fn remove(self, name: &[u8]) -> std::io::Result<()> {
        match self {
            Place::Fd(fd) => rustix::fs::fremovexattr(fd, name)?,
            Place::Path(path) => rustix::fs::lremovexattr(path, name)?,
        }
        Ok(())
    }
}

/// Reads all attributes, sorted by name; none where the volume has no attributes. Why one could not be read goes into
/// `lost`, and the others are read all the same.
///
/// Values are asked for with a buffer of the largest size: ntfs-3g answers EIO, not ERANGE, to a small one.
pub(crate) fn read_all(place: Place<'_>, lost: &mut Option<std::io::Error>) -> std::io::Result<Xattrs> {
    let mut small = [0u8; 512];
    let mut large;
    let names: &[u8] = match place.list(&mut small) {
        Ok(0) => return Ok(Vec::new()),
        Ok(n) => &small[..n],
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            large = vec![0; XATTR_BYTES_MAX];
            let n = place.list(&mut large)?;
            &large[..n]
        }
        Err(e) => return Err(e.into()),
    };
    let mut value = vec![0; XATTR_BYTES_MAX];
    let mut all = Xattrs::new();
    for name in names.split_inclusive(|&b| b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match place.get(name, &mut value) {
            Ok(n) => all.push((name.to_bytes().to_vec(), value[..n].to_vec())),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(e) => drop(lost.get_or_insert_with(|| lost_attribute(name.to_bytes(), e))),
        }
    }
    all.sort();
    Ok(all)
}

/// The error of one attribute that could not be read.
fn lost_attribute(name: &[u8], error: Errno) -> std::io::Error {
    let shown = crate::path::display(name);
    let error = std::io::Error::from(error);
    let what = match error.kind() {
        // ntfs-3g has streams of any length, and Linux no attribute that is longer.
        std::io::ErrorKind::ArgumentListTooLong => format!("{shown} has more than {} KiB", XATTR_BYTES_MAX >> 10),
        _ => format!("{shown}: {error}"),
    };
    std::io::Error::new(error.kind(), what)
}
