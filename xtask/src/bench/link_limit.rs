//! What no tool of this kind can go below: one `linkat` an entry.
//!
//! Runs as a process of its own, so that it is measured like the others. It
//! reads all names first, makes the folders in order, and then threads take
//! folder by folder, open it in both trees, and link what is in it. The bare
//! links are timed without the names. From a cold cache that would be no limit,
//! as reading the names warms it, so there they count.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Mode, OFlags};

use super::measure::Cache;

/// A folder and the names in it that are not folders.
struct Folder {
    path: PathBuf,
    names: Vec<CString>,
}

/// The field of the report that has the time before the sync.
pub fn unsynced_field(cache: Cache) -> &'static str {
    match cache {
        Cache::Warm => "links_s",
        Cache::Cold => "names_and_links_s",
    }
}

/// Links every entry of `from` into `to`, a new folder, and says how long it
/// took before the sync, and what it did, as a line of JSON.
pub fn main(from: &Path, to: &Path, threads: &str) -> Result<()> {
    let threads: usize = threads.parse().context("not a number of threads")?;
    let begun = Instant::now();
    let mut folders = Vec::new();
    list(from, PathBuf::new(), &mut folders)?;
    let links: usize = folders.iter().map(|folder| folder.names.len()).sum();
    let from = rustix::fs::open(from, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;

    let started = Instant::now();
    fs::create_dir(to)?;
    let to_path = to;
    let to = rustix::fs::open(to, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    for folder in folders.iter().skip(1) {
        rustix::fs::mkdirat(&to, &folder.path, Mode::RWXU)?;
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            link_names(&from, &to, folder)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let [links_s, names_and_links_s] = [started, begun].map(|start| start.elapsed().as_secs_f64());
    rustix::fs::syncfs(File::open(to_path)?)?;
    println!(
        "{{\"links\":{links},\"dirs\":{},\"{}\":{links_s},\"{}\":{names_and_links_s}}}",
        folders.len(),
        unsynced_field(Cache::Warm),
        unsynced_field(Cache::Cold),
    );
    Ok(())
}

fn link_names(from: &impl std::os::fd::AsFd, to: &impl std::os::fd::AsFd, folder: &Folder) -> Result<()> {
    let path = match folder.path.as_os_str().is_empty() {
        true => Path::new("."),
        false => &folder.path,
    };
    let old = rustix::fs::openat(from, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let new = rustix::fs::openat(to, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    for name in &folder.names {
        rustix::fs::linkat(&old, name, &new, name, AtFlags::empty())?;
    }
    Ok(())
}

/// Adds the folder `path` below `root`, and then those in it.
fn list(root: &Path, path: PathBuf, folders: &mut Vec<Folder>) -> Result<()> {
    let mut names = Vec::new();
    let mut below = Vec::new();
    for entry in fs::read_dir(root.join(&path))? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => below.push(path.join(entry.file_name())),
            false => names.push(CString::new(entry.file_name().into_vec())?),
        }
    }
    folders.push(Folder { path, names });
    below.into_iter().try_for_each(|path| list(root, path, folders))
}
