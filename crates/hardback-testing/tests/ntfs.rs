//! NTFS that ntfs-3g mounts, as a target: it takes what it does not keep, and names that Windows cannot open.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]

use hardback_engine::{BackupReport, LimitationKind, Overwrite, RestoreAction};
use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::zoo::{Zoo, ZooOptions};
use hardback_testing::{skip, volume};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MIB: u64 = 400;

fn zoo(from: &Volume) -> Zoo {
    let options = ZooOptions { symlink_bytes_max: 1000, levels: 50, privileged: true, foreign_names: true };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    fs::remove_file(zoo.root().join("contents/huge")).unwrap();
    zoo
}

fn kinds(report: &BackupReport) -> Vec<LimitationKind> {
    report.limitations.iter().map(|l| l.kind).collect()
}

/// Restores a snapshot to a volume that holds everything, and compares all there is.
fn assert_comes_back(bench: &Bench, report: &BackupReport, zoo: &Zoo) {
    let back = Volume::mount(VolumeKind::Ext4, MIB).unwrap();
    let restored = bench.restore_all(report, &back.root().join("restored"));
    compare::assert_same(zoo.root(), &restored, Strictness::FULL);
    compare::assert_rsync_agrees(zoo.root(), &restored);
}

/// Every file of the first tree is the same file in the second, under the same stored name.
fn assert_shared(first: &Path, second: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(first).unwrap() {
        let entry = entry.unwrap();
        let there = second.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files += assert_shared(&entry.path(), &there);
        } else if kind.is_file() {
            let ids = [entry.path(), there].map(|p| fs::symlink_metadata(p).unwrap().ino());
            assert_eq!(ids[0], ids[1], "{}", entry.path().display());
            files += 1;
        }
    }
    files
}

/// Windows can open every name of a tree.
fn assert_fits_windows(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap().to_ascii_uppercase();
        let is_bad = name.ends_with(['.', ' '])
            || name.contains(|c: char| c < ' ' || "\"*:<>?\\|".contains(c))
            || ["CON", "PRN", "AUX", "NUL"].contains(&&*stem);
        assert!(!is_bad, "{name:?} in {}", dir.display());
        if entry.file_type().unwrap().is_dir() {
            assert_fits_windows(&entry.path());
        }
    }
}

fn survives(options: &str, keeps_modes: bool) {
    let from = volume!(VolumeKind::Ext4, MIB);
    let to = match Volume::mount_with(VolumeKind::Ntfs3g, MIB, options) {
        Ok(volume) => volume,
        Err(why) => skip!("{why}"),
    };
    let zoo = zoo(&from);
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    let met = kinds(&first);
    for kind in [LimitationKind::Names, LimitationKind::TimeSteps, LimitationKind::Xattrs] {
        assert!(met.contains(&kind), "{kind:?} is missing in {met:?}");
    }
    assert!(!met.contains(&LimitationKind::Times), "{:?}", first.limitations);
    for kind in [LimitationKind::Modes, LimitationKind::Owners] {
        assert_eq!(met.contains(&kind), !keeps_modes, "{options:?}: {kind:?} in {:?}", first.limitations);
    }
    let second = bench.backup_all();
    assert_eq!((second.bytes_read, second.totals.new_files, second.restamped), (0, 0, 0));
    assert!(assert_shared(&bench.snapshot(&first), &bench.snapshot(&second)) > 100);
    assert_fits_windows(&bench.snapshot(&second));
    bench.verify_all();
    assert_comes_back(&bench, &second, &zoo);
    zoo.change(1);
    let third = bench.backup_all();
    bench.verify_all();
    assert_comes_back(&bench, &third, &zoo);
}

#[test]
fn a_disk_that_ignores_modes_and_owners_verifies_and_comes_back() {
    survives("", false);
}

#[test]
fn a_disk_that_keeps_modes_and_owners_verifies_and_comes_back() {
    survives(",permissions", true);
}

#[test]
fn a_disk_that_refuses_names_verifies_and_comes_back() {
    survives(",permissions,windows_names", true);
}

#[test]
fn a_disk_may_be_mounted_with_more_options_later() {
    let (from, to) = (volume!(VolumeKind::Ext4, MIB), volume!(VolumeKind::Ntfs3g, MIB));
    let zoo = zoo(&from);
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    to.remount(",permissions,windows_names");
    zoo.change(1);
    let second = bench.backup_all();
    assert!(second.linked > 0);
    bench.verify_all();
    assert_comes_back(&bench, &second, &zoo);
    assert_fits_windows(&bench.snapshot(&first));
}

#[test]
fn a_restore_that_deletes_keeps_what_the_place_lists_in_another_case() {
    let (from, place) = (volume!(VolumeKind::Ext4, 20), volume!(VolumeKind::NtfsFolding, 20));
    let source = from.dir("docs");
    fs::create_dir(source.join("Inner")).unwrap();
    let files = ["README.md", "Changed", "Inner/Below", "Éa"];
    for path in files {
        fs::write(source.join(path), path).unwrap();
    }
    let bench = Bench::new(&source, &from.root().join("target"));
    let report = bench.backup_all();
    let to = place.root().join("restored");
    assert_eq!(bench.restore_with(&report, &to, |_| {}).kept, 0);
    let restored = to.join("docs");
    fs::write(restored.join("Changed"), "something else").unwrap();
    for path in ["new", "Inner/new"] {
        fs::write(restored.join(path), "new").unwrap();
    }
    let report = bench.restore_with(&report, &to, |options| {
        (options.overwrite, options.delete) = (Overwrite::Always, true);
    });
    let deleted: Vec<_> = report.actions.iter().filter(|(_, action)| *action == RestoreAction::Delete).collect();
    for path in files {
        assert_eq!(fs::read_to_string(restored.join(path)).unwrap(), path);
    }
    let paths: Vec<_> = deleted.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
    assert_eq!(paths, ["docs/Inner/new", "docs/new"]);
}
