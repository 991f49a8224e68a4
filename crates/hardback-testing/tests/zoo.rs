//! The zoo on real volumes: a first backup and three incremental ones with changes, each compared with its source.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk with other code than the product's"
)]

use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::volume;
use hardback_testing::volume::VolumeKind;
use hardback_testing::zoo::{self, Zoo, ZooOptions};
use std::fs::Permissions;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// A system's own files, which nobody made up: a first backup, three with changes, and a restore. `source` is a copy that
/// may be changed; each of its lives has a number.
fn real_tree_survives(source: &Path, life: u64, kind: VolumeKind, mib: u64) {
    let (to, back) = (volume!(kind, mib), volume!(kind, mib));
    let mut bench = Bench::new(source, &to.root().join("target"));
    bench.inventories = false;
    let mut reports = vec![bench.backup_all()];
    for round in 0..3 {
        let changed = change_tree(source, 3 * life + round);
        let report = bench.backup_all();
        assert!(report.bytes_read <= changed.bytes, "{} bytes read, {} changed", report.bytes_read, changed.bytes);
        assert_eq!(report.moved, changed.moved_files);
        reports.push(report);
    }
    let newest = reports.last().unwrap();
    bench.assert_stored(newest, Strictness::FULL);
    compare::assert_rsync_agrees(source, &bench.stored(newest, ""));
    let restored = bench.restore_all(newest, &back.root().join("newest"));
    compare::assert_rsync_agrees(source, &restored);
    compare::assert_same(source, &restored, Strictness::FULL);
    let unchanged = bench.backup_all();
    assert_eq!((unchanged.bytes_read, unchanged.totals.new_files), (0, 0));
}

/// What a round of changes comes to.
#[derive(Default)]
struct Changed {
    /// In files with another content or name.
    bytes: u64,
    moved_files: u64,
}

/// Changes some files of a tree: contents, lengths, names, modes; removes some and makes new ones.
fn change_tree(root: &Path, round: u64) -> Changed {
    let mut changed = Changed::default();
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && metadata.nlink() == 1 && metadata.len() > 0 {
                files.push((path, metadata));
            }
        }
    }
    let beside = |path: &Path, what: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{what}-{round}"));
        PathBuf::from(name)
    };
    for (index, (path, metadata)) in files.iter().enumerate() {
        let mut edit = |bytes: &[u8], at: u64| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(bytes, at).unwrap();
            changed.bytes += file.metadata().unwrap().len();
        };
        match (index as u64 + round) % 200 {
            0 => edit(b"X", metadata.len() / 2),
            1 => edit(b"a longer end", metadata.len()),
            2 => std::fs::remove_file(path).unwrap(),
            3 => {
                std::fs::rename(path, beside(path, "renamed")).unwrap();
                changed.moved_files += 1;
                changed.bytes += metadata.len();
            }
            4 => std::fs::set_permissions(path, Permissions::from_mode(metadata.mode() ^ 0o022)).unwrap(),
            5 => {
                let new = beside(path, "new");
                std::fs::write(&new, round.to_string().repeat(100)).unwrap();
                changed.bytes += std::fs::metadata(&new).unwrap().len();
            }
            _ => {}
        }
    }
    changed
}

/// Copies a folder of this system into another one.
fn copy_into(root: &Path, folder: &str) -> PathBuf {
    hardback_testing::run!("cp", "-a", folder, root);
    root.join(Path::new(folder).file_name().unwrap())
}

#[test]
fn real_files_survive_on_every_file_system() {
    let from = volume!(VolumeKind::Ext4, 500);
    let copy = copy_into(from.root(), "/usr/include");
    for (life, kind) in (0..).zip(VolumeKind::NATIVE) {
        real_tree_survives(&copy, life, kind, 500);
    }
}

#[test]
fn a_whole_system_survives() {
    if hardback_testing::is_slow_run() {
        let from = volume!(VolumeKind::Ext4, 24_000);
        let copy = copy_into(from.root(), "/usr");
        for (life, kind) in (0..).zip(VolumeKind::NATIVE) {
            real_tree_survives(&copy, life, kind, 24_000);
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
        let source = from.root().join("linux");
        std::fs::create_dir(&source).unwrap();
        hardback_testing::run!("tar", "-xf", archive, "-C", &source);
        for (life, kind) in (0..).zip(VolumeKind::NATIVE) {
            real_tree_survives(&source, life, kind, 4000);
        }
    }
}
