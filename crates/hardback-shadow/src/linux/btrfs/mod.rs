//! Btrfs: a read-only snapshot of the subvolume that a place lies in, and of every subvolume below it, as a snapshot has
//! an empty folder where another subvolume was.
//!
//! A snapshot has what was written to files before its transaction, and whatever was done to names until then: a file that
//! is written and renamed in between would be there and empty. So the option `flushoncommit` is on while snapshots are made.
//!
//! The snapshots are made at the very top of the file system, which is mounted for that in the namespace of our own, so
//! nothing is written into a source. They keep the numbers of the files and have another number of the device.

mod ioctl;

use super::namespace::{BASE, Namespace, make_dirs};
use crate::error::ShadowError;
use crate::provider::{Answer, Copy, Meanwhile, NAME_PREFIX, Piece, Place, Read, ShadowProvider, Volume};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, StatxFlags, flock, open, openat, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsPickFlags, MountFlags, UnmountFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick, mount, unmount,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fields of a [`Volume`] of this provider.
const FILE_SYSTEM: &str = "filesystem";
const DEVICE: &str = "device";
const SUBVOLUME: &str = "path";
/// Number of the subvolume, as its path may be that of another one by now.
const NUMBER: &str = "subvolume";
/// Whether [`FLUSH`] may have been left on by us: `yes`, or `no` where it was on before, or the snapshots are made.
const SWITCH: &str = "switch-flush";

/// The mount option that writes all files with each transaction, so that a snapshot is of one moment.
const FLUSH: &str = "flushoncommit";
const NO_FLUSH: &str = "noflushoncommit";

/// Folder of the mounted tops, in the place for views.
const TOPS: &str = "btrfs";

/// Flags of a handle for the calls of [`ioctl`].
const ASK: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The same, in a tree that another may have put symlinks into.
const STEP: OFlags = ASK.union(OFlags::NOFOLLOW);

/// Makes snapshots of Btrfs subvolumes.
#[derive(Debug)]
pub(super) struct Btrfs {
    namespace: Arc<Namespace>,
}

/// The very top of a file system, mounted.
struct Top {
    dir: OwnedFd,
    mounted: PathBuf,
}

/// A subvolume below a place, and where it lies in the file system.
struct Nested {
    inside: PathBuf,
    number: u64,
}

impl Btrfs {
    /// Makes the provider.
    pub(super) fn new(namespace: Arc<Namespace>) -> Self {
        Self { namespace }
    }

    fn pieces(&self, place: &Place, wants: &dyn Fn(&Path) -> bool) -> Result<Vec<Piece>, ShadowError> {
        let live = open(&place.path, ASK, Mode::empty()).map_err(failed("open", &place.path))?;
        let (id, devices) = ioctl::file_system(&live).map_err(failed("ask the file system of", &place.path))?;
        let devices = [place.volume.device.clone()].into_iter().chain(devices.into_iter().map(path_of_bytes));
        let devices: Vec<PathBuf> = devices.filter(|device| device.is_absolute()).collect();
        let file_system = hex(&id);
        let (inside, live_path) = (relative(&place.volume.inside), place.path.clone());
        let fs = file_system.clone();
        let (device, (around, number), nested) = self.namespace.run(move || {
            let (top, device) = mount_top(&fs, &devices)?;
            let dir = step_into(&top.dir, &inside).map_err(failed("find in its file system", &live_path))?;
            check_same(&live, &dir, &live_path)?;
            let around = subvolume_around(&top.dir, &inside).map_err(failed("find the subvolume of", &live_path))?;
            let nested = nested_below(&top, &around, &inside).map_err(failed("find the subvolumes below", &live_path));
            let number = ioctl::subvolume_of(dir.as_fd()).map_err(failed("find the subvolume of", &live_path))?;
            release_tops();
            Ok((device, (around, number), nested?))
        })?;
        let inside = relative(&place.volume.inside);
        let switches = !place.volume.options.split(',').any(|option| option == FLUSH);
        let volume = |subvolume: &Path, number: u64| volume_of((&file_system, &device), (subvolume, number), switches);
        let below_subvolume = inside.strip_prefix(&around).unwrap_or(Path::new("")).to_owned();
        let mut pieces = vec![Piece {
            below: PathBuf::new(),
            read: Read::Frozen { volume: volume(&around, number), inside: below_subvolume },
        }];
        for Nested { inside: subvolume, number } in nested {
            let Ok(below) = subvolume.strip_prefix(&inside) else { continue };
            let path = place.path.join(below);
            let is_below_other = |above: &PathBuf| path.starts_with(above);
            if place.covered.iter().any(is_below_other) || is_ours(&subvolume) {
                continue;
            }
            // What lies in one that is read live is seen in it.
            let in_live = |piece: &Piece| piece.read == Read::Live && below.starts_with(&piece.below);
            if pieces.iter().any(in_live) {
                continue;
            }
            let is_read = !place.one_file_system && wants(&place.below.join(below));
            let frozen = || Read::Frozen { volume: volume(&subvolume, number), inside: PathBuf::new() };
            pieces.push(Piece { below: below.to_owned(), read: if is_read { frozen() } else { Read::Live } });
        }
        Ok(pieces)
    }
}

impl ShadowProvider for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs"
    }

    fn look(&self, place: &Place, wants: &dyn Fn(&Path) -> bool) -> Answer {
        if place.volume.file_system != "btrfs" {
            return Answer::NotMine;
        }
        match self.pieces(place, wants) {
            Ok(pieces) => Answer::Can(pieces),
            Err(error) => Answer::Cannot(error),
        }
    }

    fn create(&self, copies: &[Copy], _: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
        let copies = copies.to_vec();
        self.namespace.run(move || {
            let exact = tops_of(&copies)?.into_iter().map(Exact::switch_on).collect::<Result<Vec<_>, _>>()?;
            let made = copies.iter().map(create).collect::<Result<Vec<_>, _>>()?;
            exact.iter().try_for_each(Exact::check)?;
            Ok(made)
        })
    }

    fn settle(&self, volume: &mut Volume) -> bool {
        volume.fields.insert(SWITCH.into(), "no".into()).is_some_and(|before| before != "no")
    }

    fn rest(&self) {
        if self.namespace.is_started() {
            drop(self.namespace.run(|| {
                release_tops();
                Ok(())
            }));
        }
    }

    fn check(&self, _copy: &Copy) -> Result<(), ShadowError> {
        // A snapshot shares the room of its file system and does not end before it is removed.
        Ok(())
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        let copy = copy.clone();
        self.namespace.run(move || {
            let removed = remove(&copy);
            release_tops();
            removed
        })
    }
}

fn create(copy: &Copy) -> Result<PathBuf, ShadowError> {
    let volume = &copy.volume;
    let (top, _) = mount_top(volume.field(FILE_SYSTEM)?, &[PathBuf::from(volume.field(DEVICE)?)])?;
    let path = path_from_field(volume.field(SUBVOLUME)?);
    let cannot = |e: Errno| ShadowError::system(format!("make a snapshot of {}", volume.shown), e);
    let subvolume = step_into(&top.dir, &path).map_err(cannot)?;
    let number = ioctl::subvolume_of(subvolume.as_fd()).map_err(cannot)?;
    if number.to_string() != volume.field(NUMBER)? || inode_of(&subvolume).map_err(cannot)? != ioctl::TOP_INODE {
        let message = format!("{} is another subvolume than it was a moment ago", volume.shown);
        return Err(ShadowError::refused(message, "try again"));
    }
    ioctl::create_snapshot(top.dir.as_fd(), &hidden(&copy.name), subvolume.as_fd()).map_err(cannot)?;
    Ok(top.mounted.join(hidden(&copy.name)))
}

/// Returns the file systems of copies, each once.
fn tops_of(copies: &[Copy]) -> Result<Vec<Top>, ShadowError> {
    let mut tops: Vec<Top> = Vec::new();
    for copy in copies {
        let (top, _) = mount_top(copy.volume.field(FILE_SYSTEM)?, &[PathBuf::from(copy.volume.field(DEVICE)?)])?;
        if !tops.iter().any(|other| other.mounted == top.mounted) {
            tops.push(top);
        }
    }
    Ok(tops)
}

/// A file system on which snapshots are exact, until this is dropped: [`FLUSH`] is on, and no other run switches it.
struct Exact {
    top: Top,
    is_ours: bool,
}

impl Exact {
    fn switch_on(top: Top) -> Result<Self, ShadowError> {
        let failed = |e: Errno| ShadowError::system(format!("switch on {FLUSH} on {}", top.mounted.display()), e);
        rustix::io::retry_on_intr(|| flock(&top.dir, FlockOperation::LockExclusive)).map_err(failed)?;
        let is_on = has_flush(&top)?;
        let exact = Self { top, is_ours: !is_on };
        if !is_on {
            let shown = exact.top.mounted.display();
            let failed = |e: Errno| ShadowError::system(format!("switch on {FLUSH} on {shown}"), e);
            switch(&exact.top, FLUSH).map_err(failed)?;
        }
        Ok(exact)
    }

    /// Makes sure that it was on all the time: another program may have mounted the file system with other options.
    fn check(&self) -> Result<(), ShadowError> {
        if has_flush(&self.top)? {
            return Ok(());
        }
        let message = format!("somebody switched {FLUSH} off while snapshots were made");
        Err(ShadowError::refused(message, "try again"))
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        if self.is_ours {
            switch(&self.top, NO_FLUSH).ok();
        }
        flock(&self.top.dir, FlockOperation::Unlock).ok();
    }
}

fn has_flush(top: &Top) -> Result<bool, ShadowError> {
    Ok(super::options_of(&top.dir)?.split(',').any(|option| option == FLUSH))
}

/// Sets an option of a file system, and leaves all others as they are: mount(2) would set all flags anew.
fn switch(top: &Top, option: &str) -> rustix::io::Result<()> {
    let picked = fspick(rustix::fs::CWD, &top.mounted, FsPickFlags::FSPICK_CLOEXEC)?;
    fsconfig_set_flag(&picked, option)?;
    fsconfig_reconfigure(&picked)
}

/// Unmounts the tops of all file systems; views keep what they show.
fn release_tops() {
    let base = Path::new(BASE).join(TOPS);
    let Ok(dir) = open(&base, STEP, Mode::empty()) else { return };
    let Ok(entries) = rustix::fs::Dir::read_from(&dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            unmount(base.join(OsStr::from_bytes(name)), UnmountFlags::DETACH).ok();
        }
    }
}

/// Removes a snapshot: only one that has the name of ours, at the very top, and is what we make.
fn remove(copy: &Copy) -> Result<(), ShadowError> {
    let volume = &copy.volume;
    let (top, _) = mount_top(volume.field(FILE_SYSTEM)?, &[PathBuf::from(volume.field(DEVICE)?)])?;
    if volume.fields.get(SWITCH).is_some_and(|switch| switch == "yes") {
        // The run was killed while it made snapshots. Who makes some now has the lock.
        rustix::io::retry_on_intr(|| flock(&top.dir, FlockOperation::LockExclusive))
            .map_err(|e| ShadowError::system(format!("lock {}", top.mounted.display()), e))?;
        drop(Exact { is_ours: has_flush(&top)?, top: Top { dir: reopen(&top)?, mounted: top.mounted.clone() } });
    }
    let name = hidden(&copy.name);
    let cannot = |e: Errno| ShadowError::system(format!("remove the snapshot {name} of {}", volume.shown), e);
    let found = match openat(&top.dir, &name, STEP, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(cannot)?,
    };
    let is_subvolume = inode_of(&found).map_err(cannot)? == ioctl::TOP_INODE;
    if !is_subvolume || !ioctl::is_read_only(found.as_fd()).map_err(cannot)? {
        let message = format!("{name} of {} is no snapshot of ours: it can be written to", volume.shown);
        return Err(ShadowError::refused(message, "look at it, and remove it by hand"));
    }
    drop(found);
    ioctl::remove_subvolume(top.dir.as_fd(), &name).map_err(cannot)
}

/// The name of a snapshot on the volume: hidden, as it stands beside the folders of its users.
fn hidden(name: &str) -> String {
    format!(".{name}")
}

/// Returns whether a path at the top of a file system is a snapshot of hardback.
fn is_ours(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(hidden(NAME_PREFIX).as_bytes())
}

fn volume_of((file_system, device): (&str, &Path), (subvolume, number): (&Path, u64), switches: bool) -> Volume {
    let what = match subvolume.as_os_str().is_empty() {
        true => "Btrfs top level".to_owned(),
        false => format!("Btrfs subvolume {}", subvolume.display()),
    };
    let fields = [
        (FILE_SYSTEM, file_system.to_owned()),
        (DEVICE, device.to_string_lossy().into_owned()),
        (SUBVOLUME, field_of_path(subvolume)),
        (NUMBER, number.to_string()),
        (SWITCH, if switches { "yes" } else { "no" }.to_owned()),
    ];
    Volume {
        provider: "btrfs".into(),
        shown: format!("{what} on {}", device.display()),
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
    }
}

/// Mounts the very top of a file system, unless it is; returns it and the device that did it.
fn mount_top(file_system: &str, devices: &[PathBuf]) -> Result<(Top, PathBuf), ShadowError> {
    if file_system.len() != 32 || !file_system.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ShadowError::refused(
            format!("{file_system:?} is no id of a Btrfs file system"),
            "the record is damaged",
        ));
    }
    let mounted = Path::new(BASE).join(TOPS).join(file_system);
    let open_top = || {
        let dir = open(&mounted, STEP, Mode::empty())?;
        let is_it = ioctl::file_system(&dir).is_ok_and(|(id, _)| hex(&id) == file_system);
        rustix::io::Result::Ok(is_it.then(|| Top { dir, mounted: mounted.clone() }))
    };
    let first = devices.first().cloned().unwrap_or_default();
    if let Ok(Some(top)) = open_top() {
        return Ok((top, first));
    }
    refuse_read_only(file_system)?;
    make_dirs(&mounted)?;
    // Whoever runs a command on views has no business with the whole file system.
    rustix::fs::chmod(Path::new(BASE).join(TOPS), Mode::from_raw_mode(0o700)).ok();
    let mut failure = ShadowError::refused(
        format!("no device of the Btrfs file system {file_system} is there"),
        "is its disk connected?",
    );
    for device in devices.iter().cloned().chain([by_uuid(file_system)]) {
        // Nothing is mounted, and no log replayed, on a device that has another file system now.
        if id_on(&device).is_none_or(|id| hex(&id) != file_system) {
            continue;
        }
        match mount(&device, &mounted, "btrfs", MountFlags::NOATIME, c"subvolid=5") {
            Ok(()) => match open_top() {
                Ok(Some(top)) => return Ok((top, device)),
                // Another file system has this name now.
                _ => drop(unmount(&mounted, UnmountFlags::DETACH)),
            },
            Err(e) => failure = ShadowError::system(format!("mount the top of {}", device.display()), e),
        }
    }
    Err(failure)
}

/// Opens a top once more.
fn reopen(top: &Top) -> Result<OwnedFd, ShadowError> {
    top.dir.try_clone().map_err(|e| ShadowError::system(format!("open {}", top.mounted.display()), e))
}

/// Refuses a file system that somebody mounted to be read only: our mount would make it writable.
fn refuse_read_only(file_system: &str) -> Result<(), ShadowError> {
    for mount in super::mount_table()?.iter().filter(|mount| mount.file_system == "btrfs" && mount.is_read_only()) {
        let Ok(dir) = open(&mount.point, ASK, Mode::empty()) else { continue };
        if ioctl::file_system(&dir).is_ok_and(|(id, _)| hex(&id) == file_system) {
            let message = format!("the file system of {} is mounted read-only", mount.point.display());
            return Err(ShadowError::refused(message, "mount it to be written to, and try again"));
        }
    }
    Ok(())
}

/// Returns the id of the Btrfs file system on a device, from its first superblock: 64 KiB from the start, the id 0x20
/// bytes in it, the magic number 0x40.
fn id_on(device: &Path) -> Option<[u8; 16]> {
    const SUPERBLOCK: u64 = 64 << 10;
    let device = open(device, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).ok()?;
    let mut block = [0; 0x48];
    let read = rustix::io::retry_on_intr(|| rustix::io::pread(&device, &mut block, SUPERBLOCK)).ok()?;
    (read == block.len() && &block[0x40..] == b"_BHRfS_M").then(|| block[0x20..].first_chunk().copied())?
}

/// Returns where udev has the device of a file system, whatever it is called since the last start.
fn by_uuid(file_system: &str) -> PathBuf {
    let [a, b, c, d] = [8, 12, 16, 20].map(|at| file_system.split_at(at).1);
    let parts = [&file_system[..8], &a[..4], &b[..4], &c[..4], d];
    Path::new("/dev/disk/by-uuid").join(parts.join("-"))
}

/// Returns the path of the subvolume that a path lies in.
fn subvolume_around(top: &OwnedFd, inside: &Path) -> rustix::io::Result<PathBuf> {
    for path in inside.ancestors() {
        if inode_of(&step_into(top, path)?)? == ioctl::TOP_INODE {
            return Ok(path.to_owned());
        }
    }
    Ok(PathBuf::new())
}

/// Returns all subvolumes below a path that lies in a subvolume, those above first.
fn nested_below(top: &Top, around: &Path, inside: &Path) -> rustix::io::Result<Vec<Nested>> {
    let mut nested = Vec::new();
    let first = ioctl::subvolume_of(step_into(&top.dir, around)?.as_fd())?;
    let mut open = vec![(first, around.to_owned())];
    while let Some((subvolume, path)) = open.pop() {
        for (child, child_path) in children(top.dir.as_fd(), subvolume, &path)? {
            if child_path.starts_with(inside) && child_path != inside {
                open.push((child, child_path.clone()));
                nested.push(Nested { inside: child_path, number: child });
            }
        }
    }
    nested.sort_by(|a, b| a.inside.cmp(&b.inside));
    Ok(nested)
}

/// Returns the subvolumes that lie right in another, with their paths.
fn children(top: BorrowedFd<'_>, subvolume: u64, path: &Path) -> rustix::io::Result<Vec<(u64, PathBuf)>> {
    let mut children = Vec::new();
    for (kind, child, item) in ioctl::search(top, subvolume, ioctl::ROOT_REF)? {
        let Some(found) = ioctl::root_ref(&item).filter(|_| kind == ioctl::ROOT_REF) else { continue };
        let dir = match found.dir {
            ioctl::TOP_INODE => Vec::new(),
            // A folder that was removed meanwhile has nothing in it.
            dir => match ioctl::path_of(top, subvolume, dir) {
                Err(Errno::NOENT) => continue,
                other => other?,
            },
        };
        let below = [dir, found.name].concat();
        children.push((child, path.join(OsStr::from_bytes(&below))));
    }
    Ok(children)
}

/// Makes sure that a folder of the live file system is what its path in the whole file system leads to.
fn check_same(live: &OwnedFd, found: &OwnedFd, path: &Path) -> Result<(), ShadowError> {
    let number = |dir: &OwnedFd| Ok((inode_of(dir)?, ioctl::subvolume_of(dir.as_fd())?));
    let both = number(live).and_then(|live| Ok((live, number(found)?)));
    match both.map_err(failed("find in its file system", path))? {
        (live, found) if live == found => Ok(()),
        _ => Err(ShadowError::refused(
            format!("nobody can tell where {} is in its file system", path.display()),
            "was it renamed just now? try again",
        )),
    }
}

/// Opens a folder below another, step by step; nobody leads us elsewhere by a symlink.
fn step_into(top: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut dir = openat(top, ".", STEP, Mode::empty())?;
    for name in path.components() {
        dir = openat(&dir, name.as_os_str(), STEP, Mode::empty())?;
    }
    Ok(dir)
}

fn inode_of(dir: &OwnedFd) -> rustix::io::Result<u64> {
    Ok(statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?.stx_ino)
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(Errno) -> ShadowError + 'a {
    move |e| ShadowError::system(format!("{what} {}", path.display()), e)
}

/// The path in a file system without the slash before it.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn path_of_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as text in a record, of which it can be made again: what is no UTF-8, and the percent sign, in hexadecimal.
fn field_of_path(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02x}")));
    }
    text
}

fn path_from_field(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    path_of_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_a_record() {
        for bytes in [&b"@home"[..], b"a b/\xff\xfe%41/\xc3\xa4", b"%", b"%2", b"", b"100%25"] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(path_from_field(&field_of_path(path)), path);
        }
    }

    #[test]
    fn a_device_is_looked_for_by_its_id() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(by_uuid(id), Path::new("/dev/disk/by-uuid/01234567-89ab-cdef-0123-456789abcdef"));
        assert_eq!(id_on(Path::new("/dev/null")), None);
        assert!(mount_top("/tmp/elsewhere", &[]).is_err_and(|error| error.to_string().contains("is no id")));
    }

    #[test]
    fn only_our_own_snapshots_at_the_top_are_ours() {
        assert!(is_ours(Path::new(".hardback-shadow-0123456789abcdef-0")));
        assert!(!is_ours(Path::new("home/.hardback-shadow-0123456789abcdef-0")));
        assert!(!is_ours(Path::new(".hardback")));
    }
}
