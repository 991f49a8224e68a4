//! The zoo on real volumes: a first backup and three incremental ones with changes, each compared with its source.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]

use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::volume;
use hardback_testing::volume::VolumeKind;
use hardback_testing::zoo::{self, Zoo, ZooOptions};

fn zoo_survives(kind: VolumeKind) {
    let (from, to, back) = (volume!(kind, 700), volume!(kind, 700), volume!(kind, 700));
    // With names of one byte PATH_MAX is at 2,048 levels.
    let levels = if hardback_testing::is_slow_run() { 5000 } else { 2200 };
    let options =
        ZooOptions { symlink_bytes_max: kind.symlink_bytes_max(), levels, privileged: true, foreign_names: true };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    let bench = Bench::new(zoo.root(), &to.root().join("target"));
    let mut reports = Vec::new();
    for round in 0..4 {
        match round {
            0 => zoo.make_immutable(),
            _ => zoo.change(round),
        }
        let report = bench.backup_all();
        assert!(report.limitations.is_empty(), "{:?}", report.limitations);
        bench.assert_stored(&report, Strictness::FULL);
        if round == 0 {
            // Beyond PATH_MAX rsync cannot say anything.
            let (source, stored) = (zoo.root().join("contents"), bench.stored(&report, "contents"));
            compare::assert_rsync_agrees(&source, &stored);
        }
        reports.push(report);
    }
    let unchanged = bench.backup_all();
    assert_eq!((unchanged.bytes_read, unchanged.totals.new_files, unchanged.restamped), (0, 0, 0));
    bench.assert_stored(&unchanged, Strictness::FULL);
    let newest = bench.restore_all(&unchanged, &back.root().join("newest"));
    compare::assert_same(zoo.root(), &newest, Strictness::FULL);
    compare::assert_same_attributes(zoo.root(), &newest, zoo::PATHS_WITH_ATTRIBUTES);
    let oldest = bench.restore_all(&reports[0], &back.root().join("oldest"));
    compare::assert_same(&bench.stored(&reports[0], ""), &oldest, Strictness::FULL);
}

#[test]
fn the_zoo_survives_four_backups_on_ext4() {
    zoo_survives(VolumeKind::Ext4);
}

#[test]
fn the_zoo_survives_four_backups_on_xfs() {
    zoo_survives(VolumeKind::Xfs);
}

#[test]
fn the_zoo_survives_four_backups_on_btrfs() {
    zoo_survives(VolumeKind::Btrfs);
}

#[test]
fn a_shallow_zoo_looks_the_same_to_rsync() {
    for kind in VolumeKind::NATIVE {
        let (from, to) = (volume!(kind, 400), volume!(kind, 400));
        let options = ZooOptions { symlink_bytes_max: 900, levels: 100, privileged: true, foreign_names: true };
        let zoo = Zoo::make(&from.root().join("zoo"), options);
        std::fs::remove_file(zoo.root().join("contents/huge")).unwrap();
        let bench = Bench::new(zoo.root(), &to.root().join("target"));
        for round in 0..3 {
            if round > 0 {
                zoo.change(round);
            }
            let report = bench.backup_all();
            compare::assert_rsync_agrees(zoo.root(), &bench.stored(&report, ""));
        }
    }
}

/// A system's own files, which nobody made up: a first backup and one that changes nothing.
fn real_tree_survives(source: &str, kind: VolumeKind, mib: u64) {
    let source = std::path::Path::new(source);
    if !std::fs::exists(source).unwrap() {
        hardback_testing::skip!("there is no {}", source.display());
    }
    let to = volume!(kind, mib);
    let mut bench = Bench::new(source, &to.root().join("target"));
    bench.inventories = false;
    for run in 0..2 {
        let report = bench.backup_all();
        bench.assert_stored(&report, Strictness::FULL);
        compare::assert_rsync_agrees(source, &bench.stored(&report, ""));
        assert!(run == 0 || report.bytes_read == 0, "{} bytes were read again", report.bytes_read);
    }
}

#[test]
fn real_files_survive_on_every_file_system() {
    for kind in VolumeKind::NATIVE {
        real_tree_survives("/usr/include", kind, 500);
    }
}

#[test]
fn a_whole_system_survives() {
    if hardback_testing::is_slow_run() {
        for kind in VolumeKind::NATIVE {
            real_tree_survives("/usr", kind, 24_000);
        }
    }
}

#[test]
fn a_large_source_tree_survives() {
    if hardback_testing::is_slow_run() {
        let Some(archive) = ["6.1", "6.12"]
            .map(|v| format!("/usr/src/linux-source-{v}.tar.xz"))
            .into_iter()
            .find(|p| std::fs::exists(p).unwrap())
        else {
            hardback_testing::skip!("Debian's linux-source package is not installed");
        };
        let from = volume!(VolumeKind::Ext4, 4000);
        hardback_testing::run!("tar", "-xf", archive, "-C", from.root());
        for kind in VolumeKind::NATIVE {
            real_tree_survives(from.root().to_str().unwrap(), kind, 4000);
        }
    }
}
