//! Targets that are not what a Linux source is: foreign volumes, folders with inherited permissions, other users.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]

use hardback_engine::{DiffOptions, Error, LimitationKind, Place, RestoreOptions, diff};
use hardback_platform::Seam;
use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::rig::{JOB, Rig, Seams};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::zoo::{Zoo, ZooOptions, chown, set_xattr};
use hardback_testing::{skip, volume};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_zoo_without_foreign_names_looks_the_same_on_ntfs() {
    let (from, to) = (volume!(VolumeKind::Ext4, 400), volume!(VolumeKind::Ntfs3g, 400));
    let options = ZooOptions { symlink_bytes_max: 1000, levels: 50, privileged: false, foreign_names: false };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    for path in ["times/before-1970", "times/dir-before-1970"] {
        // ntfs-3g drops the nanoseconds of times before 1970; the record has them.
        hardback_testing::zoo::set_mtime(&zoo.root().join(path), -1_000_000_000, 0);
    }
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    for round in 0..3 {
        if round > 0 {
            zoo.change(round);
        }
        let report = bench.backup_all();
        bench.assert_stored(&report, Strictness::PLAIN);
    }
    let unchanged = bench.backup_all();
    assert_eq!((unchanged.bytes_read, unchanged.totals.new_files, unchanged.restamped), (0, 0, 0));
}

#[test]
fn everything_comes_back_from_ntfs_whatever_it_cannot_hold() {
    let (from, to) = (volume!(VolumeKind::Ext4, 400), volume!(VolumeKind::Ntfs3g, 400));
    let options = ZooOptions { symlink_bytes_max: 1000, levels: 50, privileged: true, foreign_names: true };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    fs::remove_file(zoo.root().join("contents/huge")).unwrap();
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    assert!(first.limitations.iter().any(|l| l.kind == LimitationKind::Names), "{:?}", first.limitations);
    let second = bench.backup_all();
    assert_eq!((second.bytes_read, second.totals.new_files, second.restamped), (0, 0, 0));
    assert_eq!(first.totals.entries, second.totals.entries);
    let back = volume!(VolumeKind::Ext4, 400);
    let restored = bench.restore_all(&second, &back.root().join("restored"));
    compare::assert_same(zoo.root(), &restored, Strictness::FULL);
    compare::assert_rsync_agrees(zoo.root(), &restored);
}

#[test]
fn a_target_that_hands_down_groups_and_acls_hands_none_to_a_snapshot() {
    let temp = tempfile::tempdir().unwrap();
    let (source, target) = (temp.path().join("docs"), temp.path().join("target"));
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/file"), "content").unwrap();
    fs::write(source.join("closed"), "content").unwrap();
    chmod(&source.join("closed"), 0o600);
    fs::create_dir(&target).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&target, 0, 1000);
    }
    chmod(&target, 0o2770);
    // Everybody in group 1000 may read and write what is made below.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1u16, 7u16, u32::MAX), (4, 7, u32::MAX), (8, 7, 1000), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    set_xattr(&target, "system.posix_acl_default", &acl);
    let bench = Bench::new(&source, &target);
    let report = bench.backup_all();
    bench.assert_stored(&report, Strictness::FULL);
}

/// Runs a test of this binary again as a user who is nobody, with a folder of that user's; returns it in that run.
fn as_nobody(test: &str, prepare: impl Fn(&Path)) -> Option<std::path::PathBuf> {
    use std::os::unix::process::CommandExt;
    const ENV: &str = "HARDBACK_TEST_AS_NOBODY";
    if let Some(home) = std::env::var_os(ENV) {
        return Some(home.into());
    }
    let home = tempfile::tempdir().unwrap();
    chmod(home.path(), 0o777);
    prepare(home.path());
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture"]).env(ENV, home.path()).current_dir("/").uid(65534).gid(65534);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    None
}

fn is_root_or_nobody() -> bool {
    rustix::process::geteuid().is_root() || std::env::var_os("HARDBACK_TEST_AS_NOBODY").is_some()
}

#[test]
fn a_normal_users_backup_has_no_programs_that_run_as_the_user() {
    if !is_root_or_nobody() {
        skip!("only root can become somebody else");
    }
    let prepare = |home: &Path| {
        fs::create_dir(home.join("docs")).unwrap();
        fs::write(home.join("docs/program"), "#!/bin/sh\n").unwrap();
        chmod(&home.join("docs/program"), 0o4755);
    };
    let name = "a_normal_users_backup_has_no_programs_that_run_as_the_user";
    let Some(home) = as_nobody(name, prepare) else { return };
    let bench = Bench::new(&home.join("docs"), &home.join("target"));
    let report = bench.backup_all();
    assert!(report.limitations.iter().any(|l| l.kind == LimitationKind::Owners), "{:?}", report.limitations);
    let stored = fs::metadata(bench.stored(&report, "program")).unwrap();
    assert_eq!((stored.uid(), stored.mode() & 0o7777), (65534, 0o755));
    let again = bench.backup_all();
    assert_eq!((again.bytes_read, again.restamped), (0, 0));
}

#[test]
fn a_normal_user_can_back_up_folders_that_nobody_may_write() {
    if !is_root_or_nobody() {
        skip!("only root can become somebody else");
    }
    let prepare = |home: &Path| {
        for path in ["docs", "docs/sub", "docs/sub/below"] {
            fs::create_dir(home.join(path)).unwrap();
            fs::write(home.join(path).join("file"), "content").unwrap();
            chown(&home.join(path).join("file"), 65534, 65534);
        }
        for path in ["docs/sub/below", "docs/sub", "docs"] {
            chown(&home.join(path), 65534, 65534);
            chmod(&home.join(path), 0o555);
        }
    };
    let Some(home) = as_nobody("a_normal_user_can_back_up_folders_that_nobody_may_write", prepare) else { return };
    for at_top in [false, true] {
        let mut bench = Bench::new(&home.join("docs"), &home.join(format!("target-{at_top}")));
        bench.at_top = at_top;
        for _ in 0..2 {
            let report = bench.backup_all();
            let (source, snapshot) = (&bench.sources[0], bench.snapshot(&report));
            if at_top {
                // It was renamed to its name, for which it must be writable.
                assert_eq!(fs::metadata(&snapshot).unwrap().mode() & 0o7777, 0o755);
                assert!(report.limitations.iter().any(|l| l.kind == LimitationKind::Modes), "{:?}", report.limitations);
                compare::assert_same(&source.join("sub"), &snapshot.join("sub"), Strictness::FULL);
            } else {
                compare::assert_same(source, &snapshot.join("docs"), Strictness::FULL);
            }
        }
    }
}

#[test]
fn a_folder_that_neither_the_backup_nor_a_diff_can_read_is_told_once() {
    if !is_root_or_nobody() {
        skip!("only root can become somebody else");
    }
    let prepare = |home: &Path| {
        for path in ["docs", "docs/closed"] {
            fs::create_dir(home.join(path)).unwrap();
            chown(&home.join(path), 65534, 65534);
        }
        fs::write(home.join("docs/file"), "content").unwrap();
        chown(&home.join("docs/file"), 65534, 65534);
        chmod(&home.join("docs/closed"), 0);
    };
    let name = "a_folder_that_neither_the_backup_nor_a_diff_can_read_is_told_once";
    let Some(home) = as_nobody(name, prepare) else { return };
    let rig = Rig::below(&home);
    let backup = rig.backup(Seams::default()).unwrap();
    assert_eq!(backup.totals.problems, 1, "{:?}", backup.problems);
    let options = DiffOptions { job: JOB.into(), a: backup.snapshot.unwrap(), b: None };
    let report = rig.with(Seam::default(), |ctx, target| diff(ctx, target, &options, &mut |_| {})).unwrap();
    assert_eq!(report.problem_count, 1, "{:?}", report.problems);
    assert_eq!(report.problems[0].path, b"docs/closed");
}

#[test]
fn a_volume_without_inodes_is_told_from_one_without_room() {
    let few = || Volume::mount_starved(64, 128);
    let (from, to, place) = match (Volume::mount(VolumeKind::Ext4, 256), few(), few()) {
        (Ok(from), Ok(to), Ok(place)) => (from, to, place),
        (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => skip!("{why}"),
    };
    let source = from.dir("docs");
    for n in 0..200 {
        fs::write(source.join(n.to_string()), "x").unwrap();
    }
    let refused = Bench::new(&source, &to.root().join("target")).try_backup();
    let Err(error @ Error::Full { .. }) = refused else { panic!("{refused:?}") };
    let hint = error.hint().unwrap();
    assert!(hint.contains("no file entries (inodes) left") && hint.ends_with("where this one stopped"), "{hint}");
    // Where bytes are missing the hint is what it was.
    fs::write(source.join("large"), vec![7; 80 << 20]).unwrap();
    let small = volume!(VolumeKind::Ext4, 32);
    let refused = Bench::new(&source, &small.root().join("target")).try_backup();
    let hint = refused.unwrap_err().hint().unwrap();
    assert!(hint.starts_with("the target is full: free some room"), "{hint}");
    fs::remove_file(source.join("large")).unwrap();
    let rig = Rig { source, ..Rig::below(from.root()) };
    let snapshot = rig.backup(Seams::default()).unwrap().snapshot.unwrap();
    let options = RestoreOptions::new(JOB, &snapshot, Place::To(place.root().join("out")));
    let refused = rig.restore(&options);
    let Err(Error::Refused { message, hint: Some(hint) }) = refused else { panic!("{refused:?}") };
    assert!(message.contains("/out has no file entries left: cannot create "), "{message}");
    assert!(hint.contains("(inode)") && hint.contains("--to") && !hint.contains("snapshot"), "{hint}");
}
