//! Linux: the mount table, a mount namespace for the views, and the providers.

mod btrfs;
mod lvm;
mod mounts;
mod namespace;
mod tool;
mod zfs;

use crate::error::ShadowError;
use crate::machine::{Machine, Request, ViewPlan};
use crate::provider::{MountedVolume, Place, ShadowProvider, ShadowSize};
use crate::set::Shadows;
use hardback_platform::{Dir, PathError, Seam};
use mounts::Mount;
use namespace::{BASE, Namespace, make_dirs};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};
use rustix::mount::{UnmountFlags, mount_bind, mount_bind_recursive, unmount};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};

/// Flags of a handle that is only looked at; it wakes no automounter.
const LOOK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Returns what makes shadow copies on Linux.
pub(super) fn system(records: PathBuf, size: ShadowSize) -> Shadows {
    let namespace = Arc::new(Namespace::default());
    let machine = LinuxMachine { namespace: namespace.clone(), views: Mutex::default(), new_root: Mutex::default() };
    let providers: Vec<Arc<dyn ShadowProvider>> = vec![
        Arc::new(btrfs::Btrfs::new(namespace.clone())),
        Arc::new(lvm::Lvm::new(namespace, size)),
        Arc::new(zfs::Zfs::new()),
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
                    Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
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
    let show = |from: &Path, at: &Path| {
        mount_bind(from, at).map_err(|e| ShadowError::system(format!("show {} at {}", from.display(), at.display()), e))
    };
    show(&plan.top, place)?;
    for graft in &plan.grafts {
        match show(&graft.from, &place.join(&graft.below)) {
            Err(error) if graft.is_wanted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the places of one source.
fn survey_source(source: usize, path: &Path, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
    let cannot = |e: rustix::io::Errno| ShadowError::system(format!("look at {}", path.display()), e);
    let top = open(path, LOOK, Mode::empty()).map_err(cannot)?;
    let real = real_path(&top).map_err(cannot)?;
    let (top_mount, top_device) = mount_of(&top).map_err(cannot)?;
    let table = mount_table()?;
    let unknown = || {
        let message = format!("nobody can tell what is mounted at {}", path.display());
        ShadowError::refused(message, "is /proc mounted?")
    };
    let mount = table.iter().find(|mount| mount.id == top_mount).ok_or_else(unknown)?;
    let new_place = |mount: &Mount, path: PathBuf, is_wanted| Place {
        source,
        below: path.strip_prefix(&real).unwrap_or(Path::new("")).to_owned(),
        volume: volume_of(mount, &path),
        is_wanted,
        one_file_system: request.one_file_system,
        covered: Vec::new(),
        path,
    };
    let mut places = vec![new_place(mount, real.clone(), true)];
    for mount in table.iter().filter(|m| m.id != top_mount && m.point != real && m.point.starts_with(&real)) {
        let looked = open(&mount.point, LOOK | OFlags::NOFOLLOW, Mode::empty()).and_then(mount_of);
        let is_entered = match looked {
            // Another mount hides it.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => continue,
            Ok((id, _)) if id != mount.id => continue,
            Ok((_, device)) => !request.one_file_system || device == top_device,
            Err(_) => !request.one_file_system,
        };
        let below = mount.point.strip_prefix(&real).unwrap_or(Path::new(""));
        places.push(new_place(mount, mount.point.clone(), is_entered && (request.wants)(source, below)));
    }
    let paths: Vec<PathBuf> = places.iter().map(|place| place.path.clone()).collect();
    for place in &mut places {
        let below = paths.iter().filter(|path| **path != place.path && path.starts_with(&place.path));
        place.covered = below.cloned().collect();
    }
    Ok(places)
}

fn volume_of(mount: &Mount, path: &Path) -> MountedVolume {
    let below = path.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    MountedVolume {
        file_system: mount.file_system.clone(),
        device: mount.source.clone(),
        device_id: mount.device_id,
        inside: if below.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(below) },
        is_read_only: mount.is_read_only(),
        options: mount.options.clone(),
    }
}

/// Returns the path of an open folder, without symlinks.
fn real_path(dir: &OwnedFd) -> rustix::io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(dir));
    let path = rustix::fs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

/// Returns the number of the mount that an open folder is on, and of its device.
fn mount_of(dir: impl AsFd) -> rustix::io::Result<(u64, (u32, u32))> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    let stat = statx(dir, c"", flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
    Ok((stat.stx_mnt_id, (stat.stx_dev_major, stat.stx_dev_minor)))
}

/// Returns the options of the file system that an open folder is on.
fn options_of(dir: &OwnedFd) -> Result<String, ShadowError> {
    let (id, _) = mount_of(dir).map_err(|e| ShadowError::system("look at a mount", e))?;
    Ok(mount_table()?.into_iter().find(|mount| mount.id == id).map(|mount| mount.options).unwrap_or_default())
}

fn mount_table() -> Result<Vec<Mount>, ShadowError> {
    let cannot = |e: rustix::io::Errno| ShadowError::system("read /proc/self/mountinfo", e);
    let file = open(c"/proc/thread-self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(cannot)?;
    let (mut table, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match rustix::io::read(&file, &mut buffer).map_err(cannot)? {
            0 => return Ok(mounts::parse(&table)),
            n => table.extend_from_slice(&buffer[..n]),
        }
    }
}
