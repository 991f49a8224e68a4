//! ZFS: a snapshot of each dataset, made by the `zfs` command and mounted read-only in the namespace of our own. All
//! datasets of a pool are frozen by one command, which is one moment for them; pools come one after the other. A dataset in
//! a dataset is a mount of its own, so a place.

use super::namespace::{BASE, Namespace, make_dirs, unmount_frozen};
use super::tool::{PATH, REMOVE_TRIES, pause};
use crate::error::ShadowError;
use crate::process::{self, Ended};
use crate::provider::{Answer, Copy, NAME_PREFIX, Piece, Place, Read, ShadowProvider, Volume};
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
    /// Mounts a snapshot.
    fn mount(&self, snapshot: &str, point: &Path) -> Result<(), ShadowError>;

    /// Returns what is mounted at a path.
    fn source_of(&self, path: &Path) -> Result<PathBuf, ShadowError>;

    /// Unmounts a snapshot, if it is mounted.
    fn unmount(&self, point: &Path) -> Result<(), ShadowError>;
}

impl Mounts for Arc<Namespace> {
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
        match process::run_and_read(&mut command, LIMIT) {
            Ok((Ended::Status(status), out, _)) if status.success() => Ok(out),
            Ok((Ended::Status(_), _, err)) => {
                let hint = "making shadow copies of ZFS needs root, or `zfs allow` of snapshot, mount and destroy";
                Err(tool(format!("{what} failed: {}", err.trim()), hint))
            }
            Ok((Ended::TimedOut, ..)) => {
                let message = format!("{what} did not end within {} s and was killed", LIMIT.as_secs());
                Err(tool(message, "is the pool in order? `zpool status` tells"))
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

    fn create(&self, copies: &[Copy]) -> Result<Vec<PathBuf>, ShadowError> {
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
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code")]

    use super::*;
    use crate::provider::MountedVolume;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    /// A `zfs` that knows `tank/home` and `other`, keeps its snapshots as folders and what it was asked in a journal.
    const SCRIPT: &str = r#"#!/bin/sh
root=$(dirname "$0")
echo "$*" >> "$root/journal"
snapshots=$root/mnt/.zfs/snapshot
case "$1" in
list)
    for last; do :; done
    [ "$last" = tank/home ] || [ "$last" = other ] || { echo "cannot open '$last': dataset does not exist" >&2; exit 1; }
    case "$*" in
    *filesystem*) printf 'yes\t%s\n' "$root/mnt" ;;
    *) for s in "$snapshots"/*; do [ -d "$s" ] && echo "$last@${s##*/}"; done ;;
    esac ;;
snapshot)
    shift
    for name; do [ "${name%%[/@]*}" = "${1%%[/@]*}" ] || { echo "snapshots must be in the same pool" >&2; exit 1; }; done
    for name; do mkdir "$snapshots/${name#*@}" || exit 1; done ;;
destroy)
    [ ! -e "$root/busy" ] || { rm "$root/busy"; echo "cannot destroy snapshot $2: dataset is busy" >&2; exit 1; }
    rmdir "$snapshots/${2#*@}" ;;
esac
exit 0
"#;

    /// What is mounted, by its path; or nothing can be.
    #[derive(Clone, Default)]
    struct Mounted(Arc<Mutex<BTreeMap<PathBuf, PathBuf>>>, bool);

    impl Mounts for Mounted {
        fn mount(&self, snapshot: &str, point: &Path) -> Result<(), ShadowError> {
            if self.1 {
                return Err(ShadowError::refused("nothing can be mounted", "go on"));
            }
            self.0.lock().unwrap().insert(point.to_owned(), snapshot.into());
            Ok(())
        }

        fn source_of(&self, path: &Path) -> Result<PathBuf, ShadowError> {
            Ok(self.0.lock().unwrap().get(path).cloned().unwrap_or_default())
        }

        fn unmount(&self, point: &Path) -> Result<(), ShadowError> {
            self.0.lock().unwrap().remove(point);
            Ok(())
        }
    }

    struct Bench {
        temp: tempfile::TempDir,
        zfs: Zfs,
        mounted: Mounted,
    }

    impl Bench {
        fn new(mounted: Mounted) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let program = temp.path().join("zfs");
            std::fs::create_dir_all(temp.path().join("mnt/.zfs/snapshot")).unwrap();
            std::fs::write(&program, SCRIPT).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            Self { temp, zfs: Zfs { program, mounts: Box::new(mounted.clone()) }, mounted }
        }

        fn journal(&self, command: &str) -> Vec<String> {
            let journal = std::fs::read_to_string(self.temp.path().join("journal")).unwrap();
            journal.lines().filter(|line| line.starts_with(command)).map(str::to_owned).collect()
        }

        fn copies(&self, datasets: &[&str]) -> Vec<Copy> {
            let volume = |dataset: &&str| self.zfs.volume(&self.place(dataset)).unwrap();
            let name = |at: usize| format!("hardback-shadow-0123456789abcdef-{at}");
            datasets.iter().map(volume).enumerate().map(|(at, volume)| Copy { name: name(at), volume }).collect()
        }

        fn place(&self, dataset: &str) -> Place {
            Place {
                source: 0,
                path: self.temp.path().join("mnt/docs"),
                below: PathBuf::new(),
                volume: MountedVolume {
                    file_system: "zfs".into(),
                    device: dataset.into(),
                    inside: "/docs".into(),
                    ..MountedVolume::default()
                },
                is_wanted: true,
                is_file: false,
                one_file_system: false,
                covered: Vec::new(),
            }
        }

        fn snapshots(&self) -> usize {
            std::fs::read_dir(self.temp.path().join("mnt/.zfs/snapshot")).unwrap().count()
        }
    }

    #[test]
    fn a_dataset_is_frozen_read_and_let_go() {
        let bench = Bench::new(Mounted::default());
        let Answer::Can(pieces) = bench.zfs.look(&bench.place("tank/home"), &|_| true) else { panic!() };
        let [Piece { read: Read::Frozen { inside, .. }, .. }] = &pieces[..] else { panic!("{pieces:?}") };
        assert_eq!(inside, Path::new("docs"));
        let copies = bench.copies(&["tank/home", "tank/home"]);
        let paths = bench.zfs.create(&copies).unwrap();
        assert_eq!(paths[1], Path::new("/run/hardback/shadow/zfs").join(&copies[1].name));
        assert_eq!(bench.journal("snapshot ").len(), 1, "one moment");
        for copy in &copies {
            bench.zfs.remove(copy).unwrap();
            bench.zfs.remove(copy).unwrap();
        }
        assert_eq!((bench.snapshots(), bench.mounted.0.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn pools_are_frozen_one_after_the_other() {
        let bench = Bench::new(Mounted::default());
        let copies = bench.copies(&["tank/home", "other", "tank/home"]);
        assert_eq!(bench.zfs.create(&copies).unwrap().len(), 3);
        let base = "@hardback-shadow-0123456789abcdef-";
        let expected = [format!("snapshot other{base}1"), format!("snapshot tank/home{base}0 tank/home{base}2")];
        assert_eq!(bench.journal("snapshot "), expected);
    }

    #[test]
    fn where_nothing_can_be_mounted_zfs_does_it_by_itself() {
        let bench = Bench::new(Mounted(Arc::default(), true));
        let copies = bench.copies(&["tank/home"]);
        // An empty folder is no snapshot.
        let error = bench.zfs.create(&copies).unwrap_err();
        assert_eq!(error.to_string(), "nothing can be mounted");
        bench.zfs.remove(&copies[0]).unwrap();
        let path = bench.temp.path().join("mnt/.zfs/snapshot").join(&copies[0].name);
        bench.mounted.0.lock().unwrap().insert(path.clone(), format!("tank/home@{}", copies[0].name).into());
        assert_eq!(bench.zfs.create(&copies).unwrap(), [path]);
    }

    #[test]
    fn another_thing_in_its_place_is_no_snapshot() {
        /// Whatever is mounted, something else is seen.
        struct Elsewhere;
        impl Mounts for Elsewhere {
            fn mount(&self, _: &str, _: &Path) -> Result<(), ShadowError> {
                Ok(())
            }
            fn source_of(&self, _: &Path) -> Result<PathBuf, ShadowError> {
                Ok("tank/home".into())
            }
            fn unmount(&self, _: &Path) -> Result<(), ShadowError> {
                Ok(())
            }
        }
        let mut bench = Bench::new(Mounted::default());
        bench.zfs.mounts = Box::new(Elsewhere);
        let error = bench.zfs.create(&bench.copies(&["tank/home"])).unwrap_err();
        assert!(error.to_string().starts_with("tank/home is mounted at /run/hardback/shadow/zfs/"), "{error}");
    }

    #[test]
    fn a_snapshot_that_is_busy_for_a_moment_is_removed() {
        let bench = Bench::new(Mounted::default());
        let mut copies = bench.copies(&["tank/home"]);
        bench.zfs.create(&copies).unwrap();
        std::fs::write(bench.temp.path().join("busy"), "").unwrap();
        bench.zfs.remove(&copies[0]).unwrap();
        assert_eq!((bench.snapshots(), bench.journal("destroy ").len()), (0, 2));
        // Nothing else is touched.
        copies[0].name = "monday".into();
        assert!(bench.zfs.remove(&copies[0]).is_err());
        assert_eq!(bench.journal("destroy ").len(), 2);
    }

    #[test]
    fn what_the_tool_says_is_told() {
        let bench = Bench::new(Mounted::default());
        let Answer::Cannot(error) = bench.zfs.look(&bench.place("tank/gone"), &|_| true) else { panic!() };
        assert_eq!(error.to_string(), "zfs list failed: cannot open 'tank/gone': dataset does not exist");
        let missing = Zfs { program: bench.temp.path().join("missing"), mounts: Box::new(Mounted::default()) };
        let Answer::Cannot(error) = missing.look(&bench.place("tank/home"), &|_| true) else { panic!() };
        assert_eq!(error.to_string(), "the command zfs is not there");
        assert!(error.hint().unwrap().contains("zfsutils-linux"));
        let mut other = bench.place("tank/home");
        other.volume.file_system = "ext4".into();
        assert!(matches!(bench.zfs.look(&other, &|_| true), Answer::NotMine));
    }
}
