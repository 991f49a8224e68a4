//! Linux: the mount table, a mount namespace for the views, and the providers.

mod btrfs;
mod lvm;
mod mounts;
mod namespace;
mod tool;
mod zfs;

use crate::error::ShadowError;
use crate::machine::{Graft, Machine, Request, ViewPlan};
use crate::provider::{MountedVolume, Place, ShadowProvider, ShadowSize};
use crate::set::{Shadows, joined};
use hardback_platform::{Dir, PathError, Seam};
use mounts::Mount;
use namespace::{BASE, Namespace, make_dirs};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, open, openat2, statx, syncfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_remount, unmount};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};

/// Flags of a handle on what is there; it wakes no automounter, and what is no folder is opened too.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags of a handle on a folder, which an automounter is woken for.
const ENTER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// How often the table of mounts is read anew where something was mounted meanwhile.
const LOOKS: usize = 5;
/// Flags of a mount that its view has too.
const KEPT_FLAGS: [(&str, MountFlags); 4] = [
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("ro", MountFlags::RDONLY),
];

/// Returns what makes shadow copies on Linux.
pub(super) fn system(records: PathBuf, size: ShadowSize) -> Shadows {
    let namespace = Arc::new(Namespace::default());
    let machine = LinuxMachine { namespace: namespace.clone(), views: Mutex::default(), new_root: Mutex::default() };
    let providers: Vec<Arc<dyn ShadowProvider>> = vec![
        Arc::new(btrfs::Btrfs::new(namespace.clone())),
        Arc::new(lvm::Lvm::new(namespace.clone(), size)),
        Arc::new(zfs::Zfs::new(namespace)),
    ];
    Shadows::new(Arc::new(machine), providers, records)
}

/// A Linux computer.
#[derive(Debug)]
struct LinuxMachine {
    namespace: Arc<Namespace>,
    /// Where views are mounted, inside of the namespace.
    views: Mutex<Vec<PathBuf>>,
    /// The view that is the root of all that programs see which are started from now on.
    new_root: Mutex<Option<PathBuf>>,
}

impl Machine for LinuxMachine {
    fn survey(&self, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
        let mut places = Vec::new();
        for (source, path) in request.sources.iter().enumerate() {
            places.extend(survey_source(source, path, request)?);
        }
        Ok(places)
    }

    fn refresh(&self) {
        self.namespace.end();
    }

    fn assemble(&self, plans: &[ViewPlan]) -> Result<Vec<PathBuf>, ShadowError> {
        let mut paths = Vec::new();
        for plan in plans {
            let view = Path::new(BASE).join(plan.source.to_string());
            held(&self.views).push(view.clone());
            let (plan, place) = (plan.clone(), view.clone());
            self.namespace.run(move || assemble(&plan, &place))?;
            paths.push(view);
        }
        Ok(paths)
    }

    fn show_in_place(&self, views: &[(PathBuf, PathBuf)]) -> Result<(), ShadowError> {
        let mut views = views.to_vec();
        // Those above first: they would hide what is shown below them.
        views.sort_by_key(|(path, _)| path.components().count());
        // Nothing can be shown in the place of the root; it becomes the root.
        let root = views.iter().find(|(path, _)| path == Path::new("/")).map(|(_, view)| view.clone());
        *held(&self.new_root) = root.clone();
        let places = views.into_iter().filter(|(path, _)| path != Path::new("/"));
        for (path, view) in places {
            let place = match &root {
                Some(root) => root.join(path.strip_prefix("/").unwrap_or(&path)),
                None => path.clone(),
            };
            let at = place.clone();
            self.namespace.run(move || {
                mount_bind_recursive(view, &at)
                    .map_err(|e| ShadowError::system(format!("show the shadow copy at {}", path.display()), e))
            })?;
            held(&self.views).push(place);
        }
        Ok(())
    }

    fn open(&self, path: &Path, seam: Seam) -> Result<Dir, PathError> {
        let (path, bytes) = (path.to_owned(), path.as_os_str().as_encoded_bytes().to_vec());
        let opened = self.namespace.run(move || Ok(Dir::open(&path, seam)));
        opened.map_err(|e| PathError::new("open the folder", &bytes, io::Error::other(e)))?
    }

    fn has(&self, path: &Path) -> bool {
        let path = path.to_owned();
        let look = move || Ok(statx(rustix::fs::CWD, &path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).is_ok());
        self.namespace.run(look).unwrap_or(false)
    }

    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        if !self.namespace.is_started() {
            return command.spawn();
        }
        let root = held(&self.new_root).clone();
        let spawn = move || match root {
            Some(root) => namespace::spawn_below(&root, command),
            None => command.spawn(),
        };
        self.namespace.run(move || Ok(spawn())).map_err(io::Error::other)?
    }

    fn dismantle(&self) -> Result<(), ShadowError> {
        let views = std::mem::take(&mut *held(&self.views));
        *held(&self.new_root) = None;
        if views.is_empty() {
            return Ok(());
        }
        self.namespace.run(move || {
            // What is shown in another's place holds up the removal as well.
            for view in views.into_iter().rev() {
                match unmount(&view, UnmountFlags::DETACH) {
                    // It never came to be.
                    Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(e) => return Err(ShadowError::system(format!("unmount {}", view.display()), e)),
                }
            }
            Ok(())
        })
    }

    fn boot_id(&self) -> String {
        let read = || {
            let dir = Dir::open(Path::new("/proc/sys/kernel/random"), Seam::default())?;
            dir.open_file(b"boot_id")?.read_to_vec(64)
        };
        read().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).unwrap_or_default()
    }
}

/// Returns what a lock holds; what is behind these locks is whole at any time.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Puts a view together.
fn assemble(plan: &ViewPlan, place: &Path) -> Result<(), ShadowError> {
    make_dirs(place)?;
    let at = |e: Errno| ShadowError::system(format!("look at {}", place.display()), e);
    show(&plan.top, &open(place, ENTER, Mode::empty()).map_err(at)?, plan.flags.as_str())?;
    let top = open(place, ENTER, Mode::empty()).map_err(at)?;
    // No symlink leads out of the view, and none of the parts elsewhere.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for graft in &plan.grafts {
        let found = openat2(&top, &graft.below, LOOK, Mode::empty(), resolve);
        let shown = found
            .map_err(|e| ShadowError::system(format!("find the place of {}", graft.from.display()), e))
            .and_then(|at| show(&graft.from, &at, &graft.flags).and(check_live(graft)));
        match shown {
            Err(error) if graft.is_wanted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes sure that what is read live is what was looked at, and not the folder below a mount that is not seen here.
fn check_live(graft: &Graft) -> Result<(), ShadowError> {
    let Some(expected) = graft.live else { return Ok(()) };
    let failed = |e: Errno| ShadowError::system(format!("look at {}", graft.from.display()), e);
    let stat =
        statx(rustix::fs::CWD, &graft.from, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map_err(failed)?;
    if ((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino) == expected {
        return Ok(());
    }
    let message = format!("what is mounted at {} is another thing than a moment ago", graft.from.display());
    Err(ShadowError::refused(message, "try again when it is quiet there"))
}

/// Shows a folder or a file at an open place, with flags of a mount.
fn show(from: &Path, at: &OwnedFd, flags: &str) -> Result<(), ShadowError> {
    let failed = |e: Errno| ShadowError::system(format!("show {} in a view", from.display()), e);
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let from = openat2(rustix::fs::CWD, from, LOOK, Mode::empty(), resolve).map_err(failed)?;
    let at = fd_path(at);
    mount_bind(fd_path(&from), &at).map_err(failed)?;
    let kept = flags.split(',').filter_map(|flag| KEPT_FLAGS.iter().find(|(name, _)| *name == flag));
    let kept = kept.fold(MountFlags::empty(), |all, (_, flag)| all | *flag);
    if kept.is_empty() {
        return Ok(());
    }
    // The path through the handle is below the new mount.
    let on_top = rustix::fs::readlink(&at, Vec::new()).map_err(failed)?;
    mount_remount(on_top, kept | MountFlags::BIND, "").map_err(failed)
}

/// A path that leads to what is open, whatever is at its name now.
fn fd_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd))
}

/// Returns the places of one source.
fn survey_source(source: usize, path: &Path, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
    for _ in 0..LOOKS {
        if let Some(places) = look_at_source(source, path, request)? {
            return Ok(places);
        }
    }
    let message = format!("nobody can tell what is mounted at {} and below", path.display());
    Err(ShadowError::refused(message, "is /proc mounted? are volumes mounted there all the time?"))
}

/// Returns the places of one source; `None` where something was mounted between two looks.
fn look_at_source(source: usize, path: &Path, request: &Request<'_>) -> Result<Option<Vec<Place>>, ShadowError> {
    let cannot = |e: Errno| ShadowError::system(format!("look at {}", path.display()), e);
    let top = open(path, ENTER, Mode::empty()).map_err(cannot)?;
    let real = real_path(&top).map_err(cannot)?;
    let (top_mount, top_number, _) = mount_of(&top).map_err(cannot)?;
    let table = mount_table()?;
    let Some(mount) = table.iter().find(|mount| mount.id == top_mount) else { return Ok(None) };
    let new_place = |mount: &Mount, path: PathBuf, number, (is_wanted, is_file): (bool, bool)| Place {
        source,
        below: path.strip_prefix(&real).unwrap_or(Path::new("")).to_owned(),
        volume: MountedVolume { top: number, ..volume_of(mount, &path) },
        is_wanted,
        is_file,
        one_file_system: request.one_file_system,
        covered: Vec::new(),
        path,
    };
    let mut places = vec![new_place(mount, real.clone(), top_number, (true, false))];
    let is_below = |m: &&Mount| m.id != top_mount && m.point != real && m.point.starts_with(&real);
    for mount in table.iter().filter(is_below).filter(|mount| !mount.is_automounted_snapshot()) {
        let below = mount.point.strip_prefix(&real).unwrap_or(Path::new(""));
        let wants = |is_entered: bool| is_entered && (request.wants)(source, below);
        let looked = open(&mount.point, LOOK, Mode::empty()).and_then(mount_of);
        let (number, is_wanted, is_file) = match looked {
            // Another mount hides it, or a folder above it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Ok((id, ..)) if id != mount.id && table.iter().any(|other| other.id == id) => continue,
            Ok((id, ..)) if id != mount.id => return Ok(None),
            Ok((_, number, is_dir)) => {
                let is_same = number.0 == top_number.0;
                (number, wants(!request.one_file_system || is_same || !is_dir), !is_dir)
            }
            Err(_) => (Default::default(), wants(!request.one_file_system), false),
        };
        // A walk would wake it. What is mounted then is another mount, above this one.
        let is_woken = is_wanted
            && mount.file_system == "autofs"
            && open(&mount.point, ENTER, Mode::empty()).and_then(mount_of).is_ok_and(|(id, ..)| id != mount.id);
        if is_woken {
            return Ok(None);
        }
        places.push(new_place(mount, mount.point.clone(), number, (is_wanted, is_file)));
    }
    let paths: Vec<PathBuf> = places.iter().map(|place| place.path.clone()).collect();
    for place in &mut places {
        let below = paths.iter().filter(|path| **path != place.path && path.starts_with(&place.path));
        place.covered = below.cloned().collect();
    }
    Ok(Some(places))
}

fn volume_of(mount: &Mount, path: &Path) -> MountedVolume {
    let below = path.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    MountedVolume {
        file_system: mount.file_system.clone(),
        device: mount.source.clone(),
        device_id: mount.device_id,
        inside: joined(&mount.root, below),
        top: Default::default(),
        // Of a network's or a stack's nobody knows who else writes to it.
        is_read_only: mount.is_zfs_snapshot() || (mount.is_read_only() && mount.source.starts_with("/dev")),
        is_idmapped: mount.flags.split(',').any(|flag| flag == "idmapped"),
        flags: mount.flags.clone(),
        options: mount.options.clone(),
    }
}

/// Returns the path of an open folder, without symlinks.
fn real_path(dir: &OwnedFd) -> rustix::io::Result<PathBuf> {
    let path = rustix::fs::readlink(fd_path(dir), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

/// Number of a device (major, minor), and of a file on it.
type Number = ((u32, u32), u64);

/// Returns the number of the mount that something open is on, its own, and whether it is a folder.
fn mount_of(dir: impl AsFd) -> rustix::io::Result<(u64, Number, bool)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    let stat = statx(dir, c"", flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.stx_mode.into()) == rustix::fs::FileType::Directory;
    Ok((stat.stx_mnt_id, ((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino), is_dir))
}

/// Returns what is mounted at a path.
fn source_of(path: &Path) -> Result<PathBuf, ShadowError> {
    let failed = |e: Errno| ShadowError::system(format!("look at {}", path.display()), e);
    let (id, ..) = open(path, ENTER, Mode::empty()).and_then(mount_of).map_err(failed)?;
    Ok(mount_table()?.into_iter().find(|mount| mount.id == id).map(|mount| mount.source).unwrap_or_default())
}

/// Returns the options of the file system that an open folder is on.
fn options_of(dir: &OwnedFd) -> Result<String, ShadowError> {
    let (id, ..) = mount_of(dir).map_err(|e| ShadowError::system("look at a mount", e))?;
    Ok(mount_table()?.into_iter().find(|mount| mount.id == id).map(|mount| mount.options).unwrap_or_default())
}

/// Writes what a mounted file system has in memory, before it is frozen.
fn flush(is_it: impl Fn(&Mount) -> bool) -> Result<(), ShadowError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for mount in mount_table()?.iter().filter(|mount| is_it(mount)) {
        let Ok(top) = open(&mount.point, flags, Mode::empty()) else { continue };
        // Another mount may hide this one.
        if mount_of(&top).is_ok_and(|(id, ..)| id == mount.id) {
            let failed =
                |e: Errno| ShadowError::system(format!("write what is in memory of {}", mount.point.display()), e);
            return syncfs(&top).map_err(failed);
        }
    }
    Err(ShadowError::refused("it is mounted nowhere that can be reached", "is it unmounted just now? try again"))
}

fn mount_table() -> Result<Vec<Mount>, ShadowError> {
    let cannot = |e: Errno| ShadowError::system("read /proc/self/mountinfo", e);
    let file = open(c"/proc/thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(cannot)?;
    let (mut table, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match rustix::io::read(&file, &mut buffer).map_err(cannot)? {
            0 => return Ok(mounts::parse(&table)),
            n => table.extend_from_slice(&buffer[..n]),
        }
    }
}
