//! The provider beside a stand-in for the tool `zfs`; `cargo xtask guest` has the real one.
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code")]

use super::*;
use crate::provider::{Meanwhile, MountedVolume};
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
    fn flush(&self, dataset: &str) -> Result<(), ShadowError> {
        match dataset {
            "other" if self.1 => Err(ShadowError::refused("nothing can be written", "go on")),
            _ => Ok(()),
        }
    }

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
    let paths = bench.zfs.create(&copies, &Meanwhile::ALONE).unwrap();
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
    assert_eq!(bench.zfs.create(&copies, &Meanwhile::ALONE).unwrap().len(), 3);
    let base = "@hardback-shadow-0123456789abcdef-";
    let expected = [format!("snapshot other{base}1"), format!("snapshot tank/home{base}0 tank/home{base}2")];
    assert_eq!(bench.journal("snapshot "), expected);
}

#[test]
fn where_nothing_can_be_mounted_zfs_does_it_by_itself() {
    let bench = Bench::new(Mounted(Arc::default(), true));
    let copies = bench.copies(&["tank/home"]);
    // An empty folder is no snapshot.
    let error = bench.zfs.create(&copies, &Meanwhile::ALONE).unwrap_err();
    assert_eq!(error.to_string(), "nothing can be mounted");
    bench.zfs.remove(&copies[0]).unwrap();
    let path = bench.temp.path().join("mnt/.zfs/snapshot").join(&copies[0].name);
    bench.mounted.0.lock().unwrap().insert(path.clone(), format!("tank/home@{}", copies[0].name).into());
    assert_eq!(bench.zfs.create(&copies, &Meanwhile::ALONE).unwrap(), [path]);
}

#[test]
fn nothing_is_frozen_that_cannot_be_written_out_before() {
    let bench = Bench::new(Mounted(Arc::default(), true));
    let error = bench.zfs.create(&bench.copies(&["tank/home", "other"]), &Meanwhile::ALONE).unwrap_err();
    assert_eq!((error.to_string().as_str(), bench.snapshots()), ("nothing can be written", 0));
}

#[test]
fn another_thing_in_its_place_is_no_snapshot() {
    /// Whatever is mounted, something else is seen.
    struct Elsewhere;
    impl Mounts for Elsewhere {
        fn flush(&self, _: &str) -> Result<(), ShadowError> {
            Ok(())
        }
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
    let error = bench.zfs.create(&bench.copies(&["tank/home"]), &Meanwhile::ALONE).unwrap_err();
    assert!(error.to_string().starts_with("tank/home is mounted at /run/hardback/shadow/zfs/"), "{error}");
}

#[test]
fn a_snapshot_that_is_busy_for_a_moment_is_removed() {
    let bench = Bench::new(Mounted::default());
    let mut copies = bench.copies(&["tank/home"]);
    bench.zfs.create(&copies, &Meanwhile::ALONE).unwrap();
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
