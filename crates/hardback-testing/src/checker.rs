//! "Never written": proves that no run changes anything below a sealed snapshot.
//!
//! A [`Checker`] watches every call of a target's handles while it is made and looks up where the handle is; an
//! [`Inventory`] of the sealed trees before and after finds what slipped past the seam.

use hardback_platform::{Call, Op, Verdict, Watch};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Watches the calls on a target.
#[derive(Debug)]
pub struct Checker {
    target: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    violations: Vec<String>,
    changes: HashMap<Op, u64>,
}

impl Checker {
    /// Watches the target at a path.
    pub fn new(target: &Path) -> Self {
        let parent = target.parent().unwrap().canonicalize().unwrap();
        Self { target: parent.join(target.file_name().unwrap()), seen: Mutex::default() }
    }

    /// Returns the calls that changed something below a sealed snapshot, or replaced one.
    pub fn violations(&self) -> Vec<String> {
        self.seen.lock().unwrap().violations.clone()
    }

    /// Returns how many calls of a kind were seen.
    pub fn count(&self, op: Op) -> u64 {
        self.seen.lock().unwrap().changes.get(&op).copied().unwrap_or(0)
    }

    /// Returns whether a call changes what is sealed.
    fn is_violation(&self, call: &Call<'_>) -> Option<String> {
        if !call.op.changes() || matches!(call.op, Op::SyncFile | Op::SyncDir | Op::SyncVolume) || call.handle < 0 {
            return None;
        }
        let place = std::fs::read_link(format!("/proc/self/fd/{}", call.handle)).ok()?;
        let below = place.strip_prefix(&self.target).ok()?;
        let mut parts = below.components().map(|c| c.as_os_str().as_bytes());
        let job = parts.next()?;
        if job == b".hardback" {
            return None;
        }
        // A folder of the job only takes new names; what is in a dated folder is sealed.
        let inside = parts.next().is_some();
        let replaces = !inside
            && place.is_dir()
            && call.name != b"latest"
            && (call.op != Op::Rename || std::fs::symlink_metadata(place.join(as_path(call.name))).is_ok());
        (inside || replaces).then(|| format!("{:?} of {:?} in {}", call.op, as_path(call.name), place.display()))
    }
}

fn as_path(name: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name))
}

impl Watch for Checker {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let violation = self.is_violation(call);
        let mut seen = self.seen.lock().unwrap();
        *seen.changes.entry(call.op).or_default() += 1;
        seen.violations.extend(violation);
        Verdict::Go
    }
}

/// What a sealed tree was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory(BTreeMap<Vec<u8>, String>);

impl Inventory {
    /// Takes the inventory of all snapshots of all jobs in a target.
    pub fn of_target(target: &Path) -> Self {
        let mut inventory = Self::default();
        let Ok(jobs) = std::fs::read_dir(target) else { return inventory };
        let mut hashes = HashMap::new();
        for job in jobs.map(|j| j.unwrap()).filter(|j| j.file_type().unwrap().is_dir() && j.file_name() != ".hardback")
        {
            for snapshot in std::fs::read_dir(job.path()).unwrap().map(|s| s.unwrap()) {
                if snapshot.file_type().unwrap().is_dir() {
                    inventory.take(&snapshot.path(), &mut hashes);
                }
            }
        }
        inventory
    }

    fn take(&mut self, top: &Path, hashes: &mut HashMap<u64, String>) {
        let mut path = top.as_os_str().as_bytes().to_vec();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |fd: &OwnedFd, name: &[u8]| rustix::fs::openat(fd, name, flags, Mode::empty()).unwrap();
        let mut dir = rustix::fs::open(top, flags, Mode::empty()).unwrap();
        let top_facts = self.facts(&dir, b"", hashes).0;
        self.0.insert(path.clone(), top_facts);
        let mut stack = vec![(self.folder(&path, &dir, hashes), path.len())];
        while let Some((subdirs, length)) = stack.last_mut() {
            path.truncate(*length);
            let Some(name) = subdirs.pop() else {
                stack.pop();
                dir = open(&dir, b"..");
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(&name);
            dir = open(&dir, &name);
            let below = self.folder(&path, &dir, hashes);
            stack.push((below, path.len()));
        }
    }

    fn folder(&mut self, path: &[u8], dir: &OwnedFd, hashes: &mut HashMap<u64, String>) -> Vec<Vec<u8>> {
        let mut subdirs = Vec::new();
        for entry in rustix::fs::Dir::read_from(dir).unwrap() {
            let name = entry.unwrap().file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            let (facts, is_dir) = self.facts(dir, &name, hashes);
            self.0.insert([path, b"/", &name].concat(), facts);
            if is_dir {
                subdirs.push(name);
            }
        }
        subdirs
    }

    fn facts(&self, dir: &OwnedFd, name: &[u8], hashes: &mut HashMap<u64, String>) -> (String, bool) {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let stat = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS).unwrap();
        let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
        let content = match kind {
            // One inode in many snapshots is read once.
            FileType::RegularFile => {
                hashes.entry(stat.stx_ino).or_insert_with(|| hash(dir, name, stat.stx_size)).clone()
            }
            FileType::Symlink => format!("{:?}", rustix::fs::readlinkat(dir, name, Vec::new()).unwrap()),
            _ => String::new(),
        };
        let xattrs = crate::compare::xattrs(dir.as_fd(), name);
        let (time, owner) = ((stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec), (stat.stx_uid, stat.stx_gid));
        let size = if kind == FileType::Directory { 0 } else { stat.stx_size };
        let facts = format!("{} {size} {:o} {owner:?} {time:?} {content} {xattrs:?}", stat.stx_ino, stat.stx_mode);
        (facts, kind == FileType::Directory)
    }

    /// Returns what a later inventory has lost or has otherwise; what was added since does not matter.
    pub fn changes_in(&self, later: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (path, facts) in &self.0 {
            match later.0.get(path) {
                Some(now) if now == facts => {}
                now => changes.push(format!("{}: {facts} became {now:?}", String::from_utf8_lossy(path))),
            }
        }
        changes
    }
}

/// Hashes the data of a file and where it lies; holes cost nothing.
fn hash(dir: &OwnedFd, name: &[u8], size: u64) -> String {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return "unreadable".into() };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    for (start, end) in crate::compare::data_ranges(&fd, size) {
        hasher.update(&start.to_le_bytes());
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap().min(buffer.len());
            let n = crate::compare::read_full(&fd, &mut buffer[..want], at);
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            at += n as u64;
        }
    }
    hasher.finalize().to_hex().to_string()
}
