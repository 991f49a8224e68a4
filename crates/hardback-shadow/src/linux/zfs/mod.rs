//! ZFS: a snapshot of each dataset, made by the `zfs` command and mounted read-only in the namespace of our own. All
//! datasets of a pool are frozen by one command, which is one moment for them; pools come one after the other. A dataset in
//! a dataset is a mount of its own, so a place.

use super::namespace::{BASE, Namespace, make_dirs, unmount_frozen};
use super::tool::{PATH, REMOVE_TRIES, pause};
use crate::error::ShadowError;
use crate::process::{self, Ended};
use crate::provider::{Answer, Copy, Meanwhile, NAME_PREFIX, Piece, Place, Read, ShadowProvider, Volume};
use rustix::mount::{MountFlags, mount};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long one call of the tool may take.
const LIMIT: Duration = Duration::from_secs(120);

const DATASET: &str = "dataset";
/// Where the dataset is mounted, if that is where ZFS mounts it by itself.
const MOUNTED: &str = "mounted";

/// Makes snapshots of ZFS datasets.
pub(super) struct Zfs {
    program: PathBuf,
    mounts: Box<dyn Mounts>,
}

/// What is mounted where views are made.
trait Mounts: Send + Sync {
    /// Writes what a mounted dataset has in memory.
    fn flush(&self, dataset: &str) -> Result<(), ShadowError>;

    /// Mounts a snapshot.
    fn mount(&self, snapshot: &str, point: &Path) -> Result<(), ShadowError>;

    /// Returns what is mounted at a path.
    fn source_of(&self, path: &Path) -> Result<PathBuf, ShadowError>;

    /// Unmounts a snapshot, if it is mounted.
    fn unmount(&self, point: &Path) -> Result<(), ShadowError>;
}

impl Mounts for Arc<Namespace> {
    fn flush(&self, dataset: &str) -> Result<(), ShadowError> {
        super::flush(|mount| mount.file_system == "zfs" && mount.source == Path::new(dataset))
    }

    fn mount(&self, snapshot: &str, point: &Path) -> Result<(), ShadowError> {
        let (snapshot, point) = (snapshot.to_owned(), point.to_owned());
        self.run(move || {
            make_dirs(&point)?;
            let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
            mount(&snapshot, &point, "zfs", flags, c"")
                .map_err(|e| ShadowError::system(format!("mount the snapshot {snapshot} read-only"), e))
        })
    }

    fn source_of(&self, path: &Path) -> Result<PathBuf, ShadowError> {
        let path = path.to_owned();
        self.run(move || super::source_of(&path))
    }

    fn unmount(&self, point: &Path) -> Result<(), ShadowError> {
        // Another process's mounts went with it.
        if !self.is_started() {
            return Ok(());
        }
        let point = point.to_owned();
        self.run(move || unmount_frozen(&point))
    }
}

impl Zfs {
    /// Makes the provider; the tool is looked for where programs are.
    pub(super) fn new(namespace: Arc<Namespace>) -> Self {
        Self { program: PathBuf::from("zfs"), mounts: Box::new(namespace) }
    }

    /// Runs the tool and returns what it wrote.
    fn zfs(&self, arguments: &[&str]) -> Result<String, ShadowError> {
        #[allow(clippy::disallowed_methods, reason = "this provider is driven by the system's tool")]
        let mut command = Command::new(&self.program);
        command.args(arguments).env("PATH", PATH).env("LC_ALL", "C");
        let what = format!("zfs {}", arguments.first().unwrap_or(&""));
        let tool = |message, hint: &str| ShadowError::Tool { message, hint: Some(hint.into()) };
        let hint = "is the pool in order? `zpool status` tells; --shadow never reads the live files";
        match process::run_and_read(&mut command, LIMIT) {
            Ok((Ended::Status(status), out, _)) if status.success() => Ok(out),
            Ok((Ended::Status(_), _, err)) => Err(tool(format!("{what} failed: {}", err.trim()), hint)),
            Ok((Ended::TimedOut, ..)) => {
                let message = format!("{what} did not end within {} s and was killed", LIMIT.as_secs());
                Err(tool(message, hint))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(tool("the command zfs is not there".into(), "install ZFS's tools (Debian: zfsutils-linux)"))
            }
            Err(error) => Err(ShadowError::system(format!("start {what}"), error)),
        }
    }

    /// Mounts a snapshot where views are made; returns its path.
    fn read(&self, copy: &Copy) -> Result<PathBuf, ShadowError> {
        let (name, point) = (snapshot_of(copy)?, mount_point(&copy.name));
        if let Err(error) = self.mounts.mount(&name, &point) {
            return self.automounted(copy, &name).ok_or(error);
        }
        let source = self.mounts.source_of(&point)?;
        if source != Path::new(&name) {
            let message = format!("{} is mounted at {} instead of {name}", source.display(), point.display());
            return Err(ShadowError::refused(message, "try again"));
        }
        Ok(point)
    }

    /// Returns where ZFS mounts a snapshot by itself. It does so for the system's own namespace of mounts, and ours sees it
    /// where `/` is shared; elsewhere there is an empty folder, which is not returned.
    fn automounted(&self, copy: &Copy, name: &str) -> Option<PathBuf> {
        let path = Path::new(copy.volume.fields.get(MOUNTED)?).join(".zfs/snapshot").join(&copy.name);
        // The first look has it mounted.
        rustix::fs::open(path.join("."), super::ENTER, rustix::fs::Mode::empty()).ok()?;
        let is_it = self.mounts.source_of(&path).is_ok_and(|source| source == Path::new(name));
        is_it.then_some(path)
    }

    fn volume(&self, place: &Place) -> Result<Volume, ShadowError> {
        let dataset = place
            .volume
            .device
            .to_str()
            .ok_or_else(|| ShadowError::refused("the name of its dataset is no text", "rename the dataset"))?;
        let line = self.zfs(&["list", "-Hp", "-t", "filesystem", "-o", "mounted,mountpoint", dataset])?;
        let mounted = line.trim_end_matches('\n').split_once('\t').filter(|(mounted, _)| *mounted == "yes");
        let mounted = mounted.filter(|(_, at)| at.starts_with('/')).map(|(_, at)| (MOUNTED, at));
        let fields = [(DATASET, dataset)].into_iter().chain(mounted);
        Ok(Volume {
            provider: "zfs".into(),
            shown: format!("ZFS dataset {dataset}"),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>(),
        })
    }
}

impl std::fmt::Debug for Zfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zfs").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Where a snapshot is mounted, inside of the namespace.
fn mount_point(name: &str) -> PathBuf {
    Path::new(BASE).join("zfs").join(name)
}

/// Returns the full names of snapshots by the pools that they are in.
fn by_pool(copies: &[Copy]) -> Result<BTreeMap<String, Vec<String>>, ShadowError> {
    let mut pools: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for copy in copies {
        let name = snapshot_of(copy)?;
        let pool = name.split(['/', '@']).next().unwrap_or_default().to_owned();
        pools.entry(pool).or_default().push(name);
    }
    Ok(pools)
}

/// Returns the full name of a snapshot.
fn snapshot_of(copy: &Copy) -> Result<String, ShadowError> {
    Ok(format!("{}@{}", copy.volume.field(DATASET)?, copy.name))
}

impl ShadowProvider for Zfs {
    fn name(&self) -> &'static str {
        "zfs"
    }

    fn look(&self, place: &Place, _wants: &dyn Fn(&Path) -> bool) -> Answer {
        if place.volume.file_system != "zfs" {
            return Answer::NotMine;
        }
        let inside = place.volume.inside.strip_prefix("/").unwrap_or(&place.volume.inside).to_owned();
        match self.volume(place) {
            Ok(volume) => Answer::Can(vec![Piece { below: PathBuf::new(), read: Read::Frozen { volume, inside } }]),
            Err(error) => Answer::Cannot(error),
        }
    }

    fn create(&self, copies: &[Copy], _: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
        // A snapshot lacks what programs wrote by mappings and nobody has given to ZFS yet.
        for copy in copies {
            self.mounts.flush(copy.volume.field(DATASET)?)?;
        }
        // One command for several pools is refused.
        for names in by_pool(copies)?.values() {
            let arguments: Vec<&str> = ["snapshot"].into_iter().chain(names.iter().map(String::as_str)).collect();
            self.zfs(&arguments)?;
        }
        copies.iter().map(|copy| self.read(copy)).collect()
    }

    fn check(&self, _copy: &Copy) -> Result<(), ShadowError> {
        // A snapshot shares the room of its pool and does not end before it is destroyed.
        Ok(())
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        // Whatever stands in a record, a name that is not ours is not touched.
        if !copy.name.starts_with(NAME_PREFIX) {
            return Err(ShadowError::refused(format!("{} is none of our names", copy.name), "remove it by hand"));
        }
        let (dataset, snapshot) = (copy.volume.field(DATASET)?, snapshot_of(copy)?);
        self.mounts.unmount(&mount_point(&copy.name))?;
        let there = self.zfs(&["list", "-Hp", "-t", "snapshot", "-o", "name", "-d", "1", dataset])?;
        if !there.lines().any(|line| line == snapshot) {
            return Ok(());
        }
        let mut tries = 1;
        loop {
            match self.zfs(&["destroy", &snapshot]) {
                // Mounts of a process that was killed go a moment after it.
                Err(error) if error.to_string().contains("busy") && tries < REMOVE_TRIES => pause(),
                result => return result.map(drop),
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests;
