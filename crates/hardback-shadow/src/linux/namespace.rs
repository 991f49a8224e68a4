//! A mount namespace of our own: what is mounted in it is seen by nobody else and goes with the process, whatever
//! happens to that.
//!
//! A namespace belongs to a thread. One thread makes it and does everything that must happen inside; handles that it
//! opened work everywhere.
#![allow(unsafe_code, reason = "one system call: a thread leaves the namespaces of its process")]

use crate::error::ShadowError;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::UnshareFlags;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// Where the views are, inside. A fixed path: programs that remember files by path find them there again.
pub(super) const BASE: &str = "/run/hardback/shadow";

type Work = Box<dyn FnOnce() + Send>;

/// The namespace, made when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Namespace(Mutex<Option<Inside>>);

#[derive(Debug)]
struct Inside {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Runs something inside.
    ///
    /// # Errors
    /// The namespace cannot be made, or what is run fails.
    pub(super) fn run<T, F>(&self, what: F) -> Result<T, ShadowError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, ShadowError> + Send + 'static,
    {
        let mut inside = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if inside.is_none() {
            *inside = Some(Inside::start()?);
        }
        let (sender, result) = channel();
        let work: Work = Box::new(move || drop(sender.send(what())));
        let sent = inside.as_ref().and_then(|inside| inside.work.as_ref()).map(|queue| queue.send(work));
        let ended = || ShadowError::system("work in the mount namespace", io::Error::other("its thread has ended"));
        match sent {
            Some(Ok(())) => result.recv().map_err(|_| ended())?,
            _ => Err(ended()),
        }
    }

    /// Ends it; the next that is made sees what is mounted then.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Returns whether there is one.
    pub(super) fn is_started(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
    }
}

impl Inside {
    fn start() -> Result<Self, ShadowError> {
        let (work, queue) = channel::<Work>();
        let (sender, entered) = channel();
        let thread = std::thread::Builder::new().name("mounts".into()).spawn(move || {
            let result = enter();
            let is_inside = result.is_ok();
            if sender.send(result).is_ok() && is_inside {
                queue.iter().for_each(|work| work());
            }
        });
        let thread = thread.map_err(|e| ShadowError::system("start a thread", e))?;
        entered.recv().map_err(|e| ShadowError::system("start a thread", io::Error::other(e)))??;
        Ok(Self { work: Some(work), thread: Some(thread) })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Gives this thread mounts of its own, and a place for more.
fn enter() -> Result<(), ShadowError> {
    // SAFETY: the thread was just started and shares no handles with code that relies on a table of its own; only the
    // mounts (and with them the current folder) become its own.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|e| ShadowError::system("make a mount namespace", e))?;
    // What is unmounted outside goes here too; nothing goes the other way.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|e| ShadowError::system("keep mounts apart from those of others", e))?;
    make_dirs(Path::new(BASE))?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("hardback", BASE, "tmpfs", flags, c"mode=0755,size=1m")
        .map_err(|e| ShadowError::system(format!("mount a place for views at {BASE}"), e))
}

/// Starts a program of which a folder is the root; to be called inside.
pub(super) fn spawn_below(root: &Path, mut command: Command) -> io::Result<Child> {
    let root = root.to_owned();
    let spawned = std::thread::spawn(move || {
        // SAFETY: as above; the root folder becomes this thread's own, and with it that of what it starts.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
        rustix::process::chroot(&root)?;
        rustix::process::chdir("/")?;
        command.spawn()
    });
    spawned.join().map_err(|_| io::Error::other("a thread panicked"))?
}

/// Unmounts a snapshot, if it is mounted; to be called inside.
pub(super) fn unmount_frozen(point: &Path) -> Result<(), ShadowError> {
    let unmounted = match unmount(point, UnmountFlags::empty()) {
        // Somebody still has it open, and it goes when that ends.
        Err(Errno::BUSY) => unmount(point, UnmountFlags::DETACH),
        other => other,
    };
    match unmounted {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(e) => Err(ShadowError::system(format!("unmount {}", point.display()), e)),
    }
}

/// Makes a folder and those above it.
pub(super) fn make_dirs(path: &Path) -> Result<(), ShadowError> {
    let mut so_far = PathBuf::new();
    for component in path.components() {
        so_far.push(component);
        match rustix::fs::mkdir(&so_far, rustix::fs::Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(ShadowError::system(format!("make the folder {}", so_far.display()), e)),
        }
    }
    Ok(())
}
