//! The zoo on real volumes: a first backup and three incremental ones with changes, each compared with its source.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(unix)]

use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::volume;
use hardback_testing::volume::VolumeKind;
use hardback_testing::zoo::{Zoo, ZooOptions};

fn zoo_survives(kind: VolumeKind) {
    let (from, to) = (volume!(kind, 700), volume!(kind, 700));
    let options =
        ZooOptions { symlink_bytes_max: kind.symlink_bytes_max(), levels: 5000, privileged: true, foreign_names: true };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    let bench = Bench::new(zoo.root(), &to.root().join("target"));
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
    }
    let unchanged = bench.backup_all();
    assert_eq!((unchanged.bytes_read, unchanged.totals.new_files, unchanged.restamped), (0, 0, 0));
    bench.assert_stored(&unchanged, Strictness::FULL);
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
