//! ZFS: a snapshot of each dataset, read through `.zfs/snapshot`, by the `zfs` command. All datasets of a set are frozen by
//! one command, which is one moment for those of a pool. A dataset in a dataset is a mount of its own, so a place.

use super::namespace::Namespace;
use crate::error::ShadowError;
use crate::process::{self, Ended};
use crate::provider::{Answer, Copy, Piece, Place, Read, ShadowProvider, Volume};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long one call of the tool may take.
const LIMIT: Duration = Duration::from_secs(120);

const DATASET: &str = "dataset";
const MOUNTED: &str = "mounted";

/// Makes snapshots of ZFS datasets.
pub(super) struct Zfs {
    program: PathBuf,
    /// Tells what is mounted at a path, as those see it that read views.
    source_of: SourceOf,
}

/// Returns what is mounted at a path.
type SourceOf = Box<dyn Fn(PathBuf) -> Result<PathBuf, ShadowError> + Send + Sync>;

impl Zfs {
    /// Makes the provider; the tool is looked for where programs are.
    pub(super) fn new(namespace: Arc<Namespace>) -> Self {
        let source_of = Box::new(move |path: PathBuf| namespace.run(move || super::source_of(&path)));
        Self { program: PathBuf::from("zfs"), source_of }
    }

    /// Runs the tool and returns what it wrote.
    fn zfs(&self, arguments: &[&str]) -> Result<String, ShadowError> {
        #[allow(clippy::disallowed_methods, reason = "this provider is driven by the system's tool")]
        let mut command = Command::new(&self.program);
        command.args(arguments).env("LC_ALL", "C");
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

    fn volume(&self, place: &Place) -> Result<Volume, ShadowError> {
        let dataset = place
            .volume
            .device
            .to_str()
            .ok_or_else(|| ShadowError::refused("the name of its dataset is no text", "rename the dataset"))?;
        let line = self.zfs(&["list", "-Hp", "-t", "filesystem", "-o", "mounted,mountpoint", dataset])?;
        let mounted = line.trim_end_matches('\n').split_once('\t').filter(|(mounted, _)| *mounted == "yes");
        let (_, mounted) = mounted.filter(|(_, at)| at.starts_with('/')).ok_or_else(|| {
            ShadowError::refused(
                format!("the dataset {dataset} is not mounted at a mountpoint of its own"),
                "set its property mountpoint; a legacy mount has no .zfs where hardback could look for it",
            )
        })?;
        let fields = [(DATASET, dataset), (MOUNTED, mounted)];
        Ok(Volume {
            provider: "zfs".into(),
            shown: format!("ZFS dataset {dataset}"),
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>(),
        })
    }
}

impl std::fmt::Debug for Zfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zfs").field("program", &self.program).finish_non_exhaustive()
    }
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
        let names = copies.iter().map(snapshot_of).collect::<Result<Vec<_>, _>>()?;
        let mut arguments = vec!["snapshot"];
        arguments.extend(names.iter().map(String::as_str));
        self.zfs(&arguments)?;
        let read = |copy: &Copy| {
            let path = Path::new(copy.volume.field(MOUNTED)?).join(".zfs/snapshot").join(&copy.name);
            // The first look has it mounted, here and in the namespace of the views.
            let looked = rustix::fs::open(path.join("."), super::ENTER, rustix::fs::Mode::empty());
            looked.map_err(|e| ShadowError::system(format!("look into {}", path.display()), e))?;
            // Where nobody mounted it for us there is an empty folder.
            let (source, name) = ((self.source_of)(path.clone())?, snapshot_of(copy)?);
            if source != Path::new(&name) {
                let message = format!("{name} is not mounted at {}", path.display());
                let hint =
                    "ZFS mounts it for the system's own namespace of mounts; run hardback there, with `/` shared";
                return Err(ShadowError::refused(message, hint));
            }
            Ok(path)
        };
        copies.iter().map(read).collect()
    }

    fn check(&self, _copy: &Copy) -> Result<(), ShadowError> {
        // A snapshot shares the room of its pool and does not end before it is destroyed.
        Ok(())
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        let (dataset, snapshot) = (copy.volume.field(DATASET)?, snapshot_of(copy)?);
        let there = self.zfs(&["list", "-Hp", "-t", "snapshot", "-o", "name", "-d", "1", dataset])?;
        if !there.lines().any(|line| line == snapshot) {
            return Ok(());
        }
        self.zfs(&["destroy", &snapshot]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code")]

    use super::*;
    use crate::provider::MountedVolume;
    use std::os::unix::fs::PermissionsExt;

    /// A `zfs` that knows `tank/home`, keeps its snapshots as folders and what it was asked in a journal.
    const SCRIPT: &str = r#"#!/bin/sh
root=$(dirname "$0")
echo "$*" >> "$root/journal"
snapshots=$root/mnt/.zfs/snapshot
case "$1" in
list)
    for last; do :; done
    [ "$last" = tank/home ] || { echo "cannot open '$last': dataset does not exist" >&2; exit 1; }
    case "$*" in
    *filesystem*) printf 'yes\t%s\n' "$root/mnt" ;;
    *) for s in "$snapshots"/*; do [ -d "$s" ] && echo "tank/home@${s##*/}"; done ;;
    esac ;;
snapshot)
    shift
    for name; do mkdir "$snapshots/${name#*@}" || exit 1; done ;;
destroy) rmdir "$snapshots/${2#*@}" ;;
esac
exit 0
"#;

    struct Bench {
        temp: tempfile::TempDir,
        zfs: Zfs,
    }

    impl Bench {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let program = temp.path().join("zfs");
            std::fs::create_dir_all(temp.path().join("mnt/.zfs/snapshot")).unwrap();
            std::fs::write(&program, SCRIPT).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            let name = |path: PathBuf| PathBuf::from(format!("tank/home@{}", path.file_name().unwrap().display()));
            Self { temp, zfs: Zfs { program, source_of: Box::new(move |path| Ok(name(path))) } }
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
        let bench = Bench::new();
        let Answer::Can(pieces) = bench.zfs.look(&bench.place("tank/home"), &|_| true) else { panic!() };
        let [Piece { read: Read::Frozen { volume, inside }, .. }] = &pieces[..] else { panic!("{pieces:?}") };
        assert_eq!(inside, Path::new("docs"));
        let copies = ["hardback-shadow-0123456789abcdef-0", "hardback-shadow-0123456789abcdef-1"]
            .map(|name| Copy { name: name.into(), volume: volume.clone() });
        let paths = bench.zfs.create(&copies).unwrap();
        assert_eq!(paths[1], bench.temp.path().join("mnt/.zfs/snapshot").join(&copies[1].name));
        let journal = std::fs::read_to_string(bench.temp.path().join("journal")).unwrap();
        assert_eq!(journal.lines().filter(|line| line.starts_with("snapshot ")).count(), 1, "one moment: {journal}");
        for copy in &copies {
            bench.zfs.remove(copy).unwrap();
            bench.zfs.remove(copy).unwrap();
        }
        assert_eq!(bench.snapshots(), 0);
    }

    #[test]
    fn a_snapshot_that_nobody_mounted_is_no_empty_folder() {
        let mut bench = Bench::new();
        bench.zfs.source_of = Box::new(|_| Ok(PathBuf::from("tank/home")));
        let volume = bench.zfs.volume(&bench.place("tank/home")).unwrap();
        let copy = Copy { name: "hardback-shadow-0123456789abcdef-0".into(), volume };
        let error = bench.zfs.create(std::slice::from_ref(&copy)).unwrap_err();
        assert!(error.to_string().contains("is not mounted at"), "{error}");
        bench.zfs.remove(&copy).unwrap();
        assert_eq!(bench.snapshots(), 0);
    }

    #[test]
    fn what_the_tool_says_is_told() {
        let bench = Bench::new();
        let Answer::Cannot(error) = bench.zfs.look(&bench.place("tank/gone"), &|_| true) else { panic!() };
        assert_eq!(error.to_string(), "zfs list failed: cannot open 'tank/gone': dataset does not exist");
        let source_of = Box::new(|_| Ok(PathBuf::new()));
        let missing = Zfs { program: bench.temp.path().join("missing"), source_of };
        let Answer::Cannot(error) = missing.look(&bench.place("tank/home"), &|_| true) else { panic!() };
        assert_eq!(error.to_string(), "the command zfs is not there");
        assert!(error.hint().unwrap().contains("zfsutils-linux"));
        let mut other = bench.place("tank/home");
        other.volume.file_system = "ext4".into();
        assert!(matches!(bench.zfs.look(&other, &|_| true), Answer::NotMine));
    }
}
