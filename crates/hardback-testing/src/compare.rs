//! Compares two trees entry by entry, with code that shares nothing with the product.
//!
//! Folders are walked by handle and `..`, so the depth of a tree does not matter.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Statx, StatxFlags};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What is compared beside names, kinds, contents and symlink texts.
#[derive(Debug, Clone, Copy)]
pub struct Strictness {
    /// Owners, modes, extended attributes and device numbers.
    pub metadata: bool,
    /// Allowed difference of modification times, in nanoseconds.
    pub mtime_ns: i128,
    /// Names of one inode on the left are names of one inode on the right.
    pub groups_stay_whole: bool,
    /// Holes on the left are holes on the right.
    pub holes: bool,
}

impl Strictness {
    /// Everything.
    pub const FULL: Self = Self { metadata: true, mtime_ns: 0, groups_stay_whole: true, holes: true };
    /// What a target without owners and permissions can hold.
    pub const PLAIN: Self = Self { metadata: false, mtime_ns: 100, groups_stay_whole: true, holes: false };
}

/// Differences that are told; more say nothing new.
const DIFFERENCES_MAX: usize = 200;

type Id = (u32, u32, u64);

struct Comparer {
    strictness: Strictness,
    differences: Vec<String>,
    left_to_right: HashMap<Id, Id>,
    right_to_left: HashMap<Id, (Id, String)>,
}

/// Returns what differs between two trees; the top folders are compared too.
#[must_use]
pub fn differences(left: &Path, right: &Path, strictness: Strictness) -> Vec<String> {
    let mut comparer =
        Comparer { strictness, differences: Vec::new(), left_to_right: HashMap::new(), right_to_left: HashMap::new() };
    comparer.trees(open_dir_at(rustix::fs::CWD, left.as_os_str()), open_dir_at(rustix::fs::CWD, right.as_os_str()));
    comparer.differences
}

/// Panics unless two trees agree.
#[track_caller]
pub fn assert_same(left: &Path, right: &Path, strictness: Strictness) {
    let differences = differences(left, right, strictness);
    let (n, left, right) = (differences.len(), left.display(), right.display());
    assert!(differences.is_empty(), "{n} differences between {left} and {right}:\n{}", differences.join("\n"));
}

/// Panics unless paths have the same `chattr` flags in two trees, of those that a user sets.
#[track_caller]
pub fn assert_same_attributes(left: &Path, right: &Path, paths: &[&str]) {
    use rustix::fs::IFlags;
    let kept = IFlags::IMMUTABLE | IFlags::APPEND | IFlags::NODUMP | IFlags::NOATIME;
    let flags = |path: &Path| {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
        rustix::fs::ioctl_getflags(&fd).unwrap() & kept
    };
    for path in paths {
        assert_eq!(flags(&left.join(path)), flags(&right.join(path)), "flags of {path}");
    }
}

/// Panics if rsync, as a second opinion, finds a difference.
#[track_caller]
pub fn assert_rsync_agrees(left: &Path, right: &Path) {
    let slash = |p: &Path| [p.as_os_str().as_bytes(), b"/"].concat();
    let (left, right) = (slash(left), slash(right));
    let itemized = crate::run!("rsync", "-naHAXic", "--delete", OsStr::from_bytes(&left), OsStr::from_bytes(&right));
    assert!(itemized.is_empty(), "rsync finds differences:\n{itemized}");
}

/// A pair of folders on the way down.
struct Level {
    subdirs: std::vec::IntoIter<Vec<u8>>,
    path_length: usize,
}

impl Comparer {
    fn trees(&mut self, left: OwnedFd, right: OwnedFd) {
        let mut path = Vec::new();
        let (mut left, mut right) = (left, right);
        self.same_metadata(&path, b"", &stat(&left, b""), &stat(&right, b""), (left.as_fd(), right.as_fd()));
        let mut stack = vec![Level { subdirs: self.folder(&path, &left, &right), path_length: 0 }];
        while let Some(level) = stack.last_mut() {
            if self.differences.len() >= DIFFERENCES_MAX {
                return;
            }
            let Some(name) = level.subdirs.next() else {
                stack.pop();
                path.truncate(stack.last().map_or(0, |l| l.path_length));
                left = open_dir_at(&left, OsStr::new(".."));
                right = open_dir_at(&right, OsStr::new(".."));
                continue;
            };
            path.extend_from_slice(b"/");
            path.extend_from_slice(&name);
            left = open_dir_at(&left, OsStr::from_bytes(&name));
            right = open_dir_at(&right, OsStr::from_bytes(&name));
            let subdirs = self.folder(&path, &left, &right);
            stack.push(Level { subdirs, path_length: path.len() });
        }
    }

    fn tell(&mut self, path: &[u8], name: &[u8], what: impl std::fmt::Display) {
        let place = String::from_utf8_lossy(path);
        let place = if place.len() > 300 { format!("…({} bytes)", place.len()) } else { place.into_owned() };
        self.differences.push(format!("{place}/{}: {what}", String::from_utf8_lossy(name).escape_debug()));
    }

    /// Compares the entries of a folder; returns the subfolders that are on both sides.
    fn folder(&mut self, path: &[u8], left: &OwnedFd, right: &OwnedFd) -> std::vec::IntoIter<Vec<u8>> {
        let (left_names, right_names) = (list(left), list(right));
        let mut subdirs = Vec::new();
        for name in left_names.keys().filter(|n| !right_names.contains_key(*n)) {
            self.tell(path, name, "only on the left");
        }
        for name in right_names.keys().filter(|n| !left_names.contains_key(*n)) {
            self.tell(path, name, "only on the right");
        }
        for name in left_names.keys().filter(|n| right_names.contains_key(*n)) {
            if self.entry(path, name, left, right) {
                subdirs.push(name.clone());
            }
        }
        subdirs.into_iter()
    }

    /// Compares an entry; returns whether it is a folder on both sides.
    fn entry(&mut self, path: &[u8], name: &[u8], left: &OwnedFd, right: &OwnedFd) -> bool {
        let (a, b) = (stat(left, name), stat(right, name));
        let (kind_a, kind_b) = (kind(&a), kind(&b));
        if kind_a != kind_b {
            self.tell(path, name, format_args!("kind {kind_a:?} and {kind_b:?}"));
            return false;
        }
        self.same_metadata(path, name, &a, &b, (left.as_fd(), right.as_fd()));
        match kind_a {
            FileType::Directory => return true,
            FileType::RegularFile => self.same_content(path, name, (&a, &b), left, right),
            FileType::Symlink => {
                let text = |fd: &OwnedFd| rustix::fs::readlinkat(fd, name, Vec::new()).unwrap();
                let (a, b) = (text(left), text(right));
                if a != b {
                    self.tell(path, name, format_args!("symlink {a:?} and {b:?}"));
                }
            }
            _ => {}
        }
        self.same_group(path, name, &a, &b);
        false
    }

    fn same_metadata(
        &mut self,
        path: &[u8],
        name: &[u8],
        a: &Statx,
        b: &Statx,
        dirs: (BorrowedFd<'_>, BorrowedFd<'_>),
    ) {
        let time = |s: &Statx| i128::from(s.stx_mtime.tv_sec) * 1_000_000_000 + i128::from(s.stx_mtime.tv_nsec);
        if (time(a) - time(b)).abs() > self.strictness.mtime_ns {
            self.tell(path, name, format_args!("mtime {} and {}", time(a), time(b)));
        }
        if !self.strictness.metadata {
            return;
        }
        let facts = |s: &Statx| {
            let device = (s.stx_rdev_major, s.stx_rdev_minor);
            format!("mode {:o} owner {}:{} device {device:?}", s.stx_mode & 0o7777, s.stx_uid, s.stx_gid)
        };
        if facts(a) != facts(b) {
            self.tell(path, name, format_args!("{} and {}", facts(a), facts(b)));
        }
        let (a, b) = (xattrs(dirs.0, name), xattrs(dirs.1, name));
        if a != b {
            self.tell(path, name, format_args!("extended attributes {a:?} and {b:?}"));
        }
    }

    fn same_group(&mut self, path: &[u8], name: &[u8], a: &Statx, b: &Statx) {
        let shown = || format!("{}/{}", String::from_utf8_lossy(path), String::from_utf8_lossy(name));
        let (a, b) = (id(a), id(b));
        let first = *self.left_to_right.entry(a).or_insert(b);
        if first != b && self.strictness.groups_stay_whole {
            self.tell(path, name, "is another inode than the other names of its group");
        }
        let (other, there) = self.right_to_left.entry(b).or_insert_with(|| (a, shown())).clone();
        if other != a {
            self.tell(path, name, format_args!("shares its inode with {there}, which is another file on the left"));
        }
    }

    fn same_content(&mut self, path: &[u8], name: &[u8], stats: (&Statx, &Statx), left: &OwnedFd, right: &OwnedFd) {
        let (a, b) = stats;
        if a.stx_size != b.stx_size {
            self.tell(path, name, format_args!("{} and {} bytes", a.stx_size, b.stx_size));
            return;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOATIME;
        let open = |fd: &OwnedFd| rustix::fs::openat(fd, name, flags, Mode::empty()).unwrap();
        let (left, right) = (open(left), open(right));
        let (data_a, data_b) = (data_ranges(&left, a.stx_size), data_ranges(&right, b.stx_size));
        if let Some(offset) = first_difference(&left, &right, &data_a, &data_b) {
            self.tell(path, name, format_args!("contents differ near byte {offset}"));
        }
        // File systems allocate in blocks of their own; what counts is that no large hole is filled.
        let sum = |ranges: &[(u64, u64)]| ranges.iter().map(|(start, end)| end - start).sum::<u64>();
        let allowed = sum(&data_a) + 65_536 * (data_a.len() as u64 + 1);
        if self.strictness.holes && sum(&data_b) > allowed {
            self.tell(path, name, format_args!("holes are filled: data at {data_a:?} and {data_b:?}"));
        }
    }
}

fn id(stat: &Statx) -> Id {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

fn open_dir_at(fd: impl AsFd, name: &OsStr) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, name, flags, Mode::empty()).unwrap_or_else(|e| panic!("cannot open {name:?}: {e}"))
}

fn stat(fd: impl AsFd, name: &[u8]) -> Statx {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    rustix::fs::statx(fd, name, flags, StatxFlags::BASIC_STATS).unwrap_or_else(|e| panic!("cannot stat {name:?}: {e}"))
}

fn list(fd: &OwnedFd) -> BTreeMap<Vec<u8>, ()> {
    let names = rustix::fs::Dir::read_from(fd).unwrap().map(|e| e.unwrap().file_name().to_bytes().to_vec());
    names.filter(|n| n != b"." && n != b"..").map(|n| (n, ())).collect()
}

/// Returns the extended attributes of a name in a folder, or of the folder itself.
pub fn xattrs(dir: BorrowedFd<'_>, name: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let path = CString::new(path).unwrap();
    let mut names = vec![0; 65_536];
    let n = match rustix::fs::llistxattr(&path, &mut names) {
        Ok(n) => n,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(e) => panic!("cannot list the extended attributes of {path:?}: {e}"),
    };
    let mut value = vec![0; 65_536];
    let of = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut get = |name: &[u8]| {
        let n = rustix::fs::lgetxattr(&path, CString::new(name).unwrap(), &mut value).unwrap();
        value[..n].to_vec()
    };
    names[..n].split(|&b| b == 0).filter(|n| !n.is_empty()).map(|n| (of(n), get(n))).collect()
}

/// Returns where a file has data: start and end of each range.
pub fn data_ranges(fd: &OwnedFd, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(fd, SeekFrom::Data(at)) else { break };
        let end = rustix::fs::seek(fd, SeekFrom::Hole(start)).unwrap().min(size);
        ranges.push((start, end));
        at = end;
    }
    ranges
}

fn first_difference(left: &OwnedFd, right: &OwnedFd, a: &[(u64, u64)], b: &[(u64, u64)]) -> Option<u64> {
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for &(start, end) in a.iter().chain(b) {
        let mut at = start;
        while at < end {
            let n = usize::try_from(end - at).unwrap().min(x.len());
            if read_full(left, &mut x[..n], at) != read_full(right, &mut y[..n], at) || x[..n] != y[..n] {
                return Some(at);
            }
            at += n as u64;
        }
    }
    None
}

/// Reads from an offset until the buffer is full or the file ends.
pub fn read_full(fd: &OwnedFd, buffer: &mut [u8], offset: u64) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[done..], offset + done as u64).unwrap() {
            0 => break,
            n => done += n,
        }
    }
    done
}
