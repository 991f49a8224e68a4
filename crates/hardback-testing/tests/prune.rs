//! Removing snapshots: stopped at every call, killed at every system call, on volumes that are full to the brim, and with
//! a backup in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Scenario, write};
use hardback_engine::retention::Rules;
use hardback_engine::{Amount, Error, PruneOptions, Room};
use hardback_platform::{Op, Seam};
use hardback_testing::fault::{Calls, Fault, FaultyWatch};
use hardback_testing::oracle::{Known, check_target, leftovers};
use hardback_testing::rig::{JOB, Rig, Seams};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::{bench, skipped, watch, zoo};
use rustix::io::Errno;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Snapshots that stay in the crash tests.
const LAST: usize = 2;

/// A target with five snapshots.
fn scenario() -> Scenario {
    let scenario = Scenario::new();
    for round in 0..3 {
        write(&scenario.rig.source, "edited.txt", format!("round {round}").as_bytes());
        assert_eq!(scenario.rig.backup(Seams::default()).unwrap().totals.problems, 0);
    }
    scenario
}

/// Whatever happened: what is listed is whole and as it was, what must stay is listed, and the next pruning finishes.
#[track_caller]
fn is_well_and_finishes(rig: &Rig, known: &Known, context: &str) {
    let stay: Vec<&String> = known.keys().rev().take(LAST).collect();
    let listed = check_target(rig, &Known::new(), context);
    let listed: Known = known
        .iter()
        .filter(|(name, _)| listed.iter().any(|s| s.name == **name))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    check_target(rig, &listed, context);
    assert!(stay.iter().all(|name| listed.contains_key(*name)), "{context}: one that must stay is gone");
    let report = rig.prune(LAST, Seam::default()).unwrap_or_else(|e| panic!("{context}: the next one fails: {e:?}"));
    assert_eq!(report.problem_count, 0, "{context}: {:?}", report.problems);
    let left: Known = known.iter().rev().take(LAST).map(|(n, t)| (n.clone(), t.clone())).collect();
    let all = check_target(rig, &left, &format!("{context}, after the next one"));
    assert_eq!(all.len(), LAST, "{context}");
    let over: Vec<_> = leftovers(rig, &all).into_iter().filter(|name| !name.starts_with("digests/")).collect();
    assert!(over.is_empty(), "{context}: left over: {over:?}");
    let next = rig.backup(Seams::default()).unwrap();
    assert_eq!((next.totals.problems, next.base.as_ref()), (0, known.keys().next_back()), "{context}");
}

fn every_call(calls: Calls, fault: Fault) -> u64 {
    let scenario = scenario();
    for n in 1.. {
        let (rig, known) = scenario.fresh_target();
        let watch = FaultyWatch::failing(calls, n, fault);
        let result = rig.prune(LAST, watch.seam());
        let context = format!("{fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        match &result {
            Ok(report) if report.problem_count == 0 && watch.struck().is_none() => {
                assert_eq!(report.removed.len(), 3, "{context}");
            }
            Ok(_) => {}
            Err(_) => assert!(watch.struck().is_some(), "{context}: failed without a fault"),
        }
        is_well_and_finishes(&rig, &known, &context);
        fs::remove_dir_all(&rig.target).unwrap();
        if watch.struck().is_none() {
            return n - 1;
        }
    }
    unreachable!("a pruning comes to its end")
}

#[test]
fn a_pruning_may_die_at_every_call() {
    let calls = every_call(Calls::Changing, Fault::Stop);
    println!("{calls} calls");
    assert!(calls > 100, "only {calls} calls");
}

#[test]
fn every_call_of_a_pruning_may_fail() {
    every_call(Calls::Changing, Fault::Once(Errno::IO.raw_os_error()));
    every_call(Calls::Changing, Fault::Once(Errno::ACCESS.raw_os_error()));
    every_call(Calls::Changing, Fault::FromNowOn(Errno::NOSPC.raw_os_error()));
}

#[test]
fn every_call_of_a_pruning_that_reads_may_fail_too() {
    every_call(Calls::All, Fault::Once(Errno::IO.raw_os_error()));
}

/// The calls of a pruning that change something.
const CALLS: [&str; 7] = ["openat", "unlinkat", "renameat2", "fsync", "fchmod", "flock", "pwrite64"];

#[test]
fn a_pruning_may_be_killed_at_every_system_call() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skipped("there is no strace");
    }
    let scenario = scenario();
    let mut kills = 0;
    for call in CALLS {
        for n in 1.. {
            let (rig, known) = scenario.fresh_target();
            let status = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"])
                .arg(format!("inject={call}:signal=KILL:when={n}"))
                .arg(env!("CARGO_BIN_EXE_hb-run"))
                .args([&rig.source, &rig.target])
                .arg(LAST.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(matches!(status.code(), Some(0) | None), "{call} {n}: {status}");
            is_well_and_finishes(&rig, &known, &format!("killed at {call} {n}"));
            fs::remove_dir_all(&rig.target).unwrap();
            if status.success() {
                break;
            }
            kills += 1;
        }
    }
    println!("{kills} kills");
    assert!(kills > 100, "only {kills} were killed");
}

#[test]
fn a_backup_that_starts_in_the_middle_of_a_deletion_runs_through() {
    let scenario = scenario();
    let (rig, known) = scenario.fresh_target();
    let other = rig.clone();
    let has_run = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_run);
    let seam = watch::before(Op::RemoveDir, "deep", move |_| {
        // The target's lock is free, and what is listed is whole.
        if !flag.swap(true, Ordering::SeqCst) {
            assert_eq!(other.backup(Seams::default()).unwrap().totals.problems, 0);
        }
    });
    let report = rig.prune(LAST, seam).unwrap();
    assert!(has_run.load(Ordering::SeqCst));
    assert_eq!((report.removed.len(), report.problem_count), (3, 0), "{:?}", report.problems);
    let left: Known = known.into_iter().rev().take(LAST).collect();
    assert_eq!(check_target(&rig, &left, "in the middle").len(), LAST + 1);
}

/// Backs up for twenty days onto a volume that holds a few of them: each run makes room for itself, never below three
/// snapshots, and all that is there in the end is whole.
fn twenty_days(volume: &Volume, entries_a_day: u64, bytes_a_day: usize) {
    let source = tempfile::tempdir().unwrap();
    let rig = Rig {
        source: source.path().join("docs"),
        target: volume.root().join("target"),
        shadow: None,
        options: hardback_engine::BackupOptions {
            prune: PruneOptions {
                rules: Rules { at_least: 3, ..Rules::default() },
                room: Room { min_free: Some(Amount::Number(0)), ..Room::default() },
                ..PruneOptions::default()
            },
            ..Rig::below(source.path()).options
        },
    };
    fs::create_dir(&rig.source).unwrap();
    for n in 0..400 {
        write(&rig.source, &format!("stays/{}/{n}", n % 20), &zoo::noise(2000, n));
    }
    let (mut removed, mut failed) = (0, 0);
    for day in 0..20u64 {
        // A log that is rotated: what is new today is gone tomorrow.
        fs::remove_dir_all(rig.source.join("today")).ok();
        for n in 0..entries_a_day {
            write(&rig.source, &format!("today/{day}-{n}"), &zoo::noise(bytes_a_day, day * 1_000_000 + n));
        }
        match rig.backup(Seams::default()) {
            Ok(report) => {
                assert_eq!(report.totals.problems, 0, "day {day}: {:?}", report.problems);
                removed += report.removed_for_room.len();
            }
            Err(error) => {
                assert!(error.is_full(), "day {day}: {error:?}");
                failed += 1;
            }
        }
        let all = hardback_engine::catalog::snapshots(&rig.open().unwrap(), JOB).unwrap();
        assert!(all.unsealed.is_empty());
        let least = usize::try_from(day + 1 - failed).unwrap().min(3);
        assert!(all.sealed.len() >= least, "day {day}: only {} snapshots", all.sealed.len());
    }
    println!("{removed} removed, {failed} runs failed");
    // Each day needs as much room as one snapshot gives back.
    assert!(removed <= 20, "{removed} were removed for twenty days");
    assert!(removed > 5, "only {removed} were removed: was the volume ever full?");
    assert_eq!(failed, 0, "each run could have had room");
    let bench = bench::Bench { options: rig.options.clone(), ..bench::Bench::new(&rig.source, &rig.target) };
    bench.verify_all();
    let all = hardback_engine::catalog::snapshots(&rig.open().unwrap(), JOB).unwrap().sealed;
    for snapshot in &all {
        let stored = rig.snapshot(&snapshot.name).join("docs/stays");
        assert_eq!(fs::read_dir(stored).unwrap().count(), 20);
    }
}

#[test]
fn a_small_ext4_is_filled_to_the_brim() {
    match Volume::mount(VolumeKind::Ext4, 200) {
        Ok(volume) => twenty_days(&volume, 20, 1 << 20),
        Err(why) => skipped(&why),
    }
}

#[test]
fn an_ext4_without_inodes_is_filled_to_the_brim() {
    match Volume::mount_starved(200, 1500) {
        Ok(volume) => twenty_days(&volume, 100, 100),
        Err(why) => skipped(&why),
    }
}

#[test]
fn a_btrfs_with_a_quota_is_filled_to_the_brim() {
    let volume = match Volume::mount(VolumeKind::Btrfs, 1024) {
        Ok(volume) => volume,
        Err(why) => return skipped(&why),
    };
    let btrfs = |args: &[&str]| {
        let status = Command::new("btrfs").args(args).arg(volume.root()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{args:?}");
    };
    btrfs(&["quota", "enable"]);
    btrfs(&["qgroup", "limit", "150M"]);
    twenty_days(&volume, 20, 1 << 20);
}

#[test]
fn an_ntfs_is_filled_to_the_brim() {
    match Volume::mount(VolumeKind::Ntfs3g, 200) {
        Ok(volume) => twenty_days(&volume, 20, 1 << 20),
        Err(why) => skipped(&why),
    }
}

/// What is free is known only after a sync on some volumes: one removal is enough here, and only one may go.
#[test]
fn room_that_one_removal_makes_costs_one_snapshot() {
    for kind in VolumeKind::NATIVE {
        let volume = match Volume::mount(kind, 512) {
            Ok(volume) => volume,
            Err(why) => return skipped(&why),
        };
        let source = tempfile::tempdir().unwrap();
        let rig = Rig { target: volume.root().join("target"), ..Rig::below(source.path()) };
        fs::create_dir(&rig.source).unwrap();
        for n in 0..40 {
            write(&rig.source, &format!("stays-{n}"), b"stays");
        }
        // Each snapshot has 40 MiB of its own.
        for day in 0..4u64 {
            write(&rig.source, "log", &zoo::noise(40 << 20, day));
            assert_eq!(rig.backup(Seams::default()).unwrap().totals.problems, 0);
        }
        let free = |path: &std::path::Path| {
            let file = fs::File::open(path).unwrap();
            rustix::fs::syncfs(&file).unwrap();
            let stat = rustix::fs::fstatvfs(&file).unwrap();
            stat.f_bavail * stat.f_frsize
        };
        let min_free = Some(Amount::Number(free(volume.root()) + (20 << 20)));
        let options = PruneOptions {
            rules: Rules { at_least: 1, ..Rules::default() },
            room: Room { min_free, ..Room::default() },
            ..PruneOptions::default()
        };
        let report = rig.prune_with(&options, Seam::default()).unwrap();
        assert_eq!((report.removed.len(), report.lacking), (1, None), "{kind:?}");
        assert!(report.freed_bytes > 30 << 20, "{kind:?}: {}", report.freed_bytes);
    }
}

/// Not one byte is left for anybody.
#[test]
fn a_volume_that_is_full_to_the_last_byte_can_be_pruned() {
    for kind in VolumeKind::NATIVE {
        let volume = match Volume::mount(kind, 300) {
            Ok(volume) => volume,
            Err(why) => return skipped(&why),
        };
        let source = tempfile::tempdir().unwrap();
        let rig = Rig { target: volume.root().join("target"), ..Rig::below(source.path()) };
        fs::create_dir(&rig.source).unwrap();
        for n in 0..20 {
            write(&rig.source, &format!("stays-{n}"), b"stays");
        }
        for day in 0..3u64 {
            write(&rig.source, "log", &zoo::noise(10 << 20, day));
            assert_eq!(rig.backup(Seams::default()).unwrap().totals.problems, 0);
        }
        for (n, bytes) in [1 << 20, 4096, 1].into_iter().enumerate() {
            let Ok(mut filler) = fs::File::create(volume.root().join(format!("filler-{n}"))) else { break };
            while std::io::Write::write_all(&mut filler, &vec![1; bytes]).is_ok() {}
            // What is only promised is not full.
            rustix::fs::syncfs(&filler).ok();
        }
        let report = rig.prune(1, Seam::default()).unwrap();
        assert_eq!((report.removed.len(), report.problem_count), (2, 0), "{kind:?}: {:?}", report.problems);
    }
}

#[test]
fn a_target_that_is_too_small_fails_cleanly_and_the_next_run_takes_over() {
    let volume = match Volume::mount(VolumeKind::Ext4, 64) {
        Ok(volume) => volume,
        Err(why) => return skipped(&why),
    };
    let source = tempfile::tempdir().unwrap();
    let mut rig = Rig { target: volume.root().join("target"), ..Rig::below(source.path()) };
    fs::create_dir(&rig.source).unwrap();
    rig.options.prune = PruneOptions {
        rules: Rules { last: Some(1), at_least: 1, ..Rules::default() },
        room: Room { min_free: Some(Amount::Part(0.01)), ..Room::default() },
        ..PruneOptions::default()
    };
    for n in 0..20 {
        write(&rig.source, &format!("{n}"), &zoo::noise(100_000, n));
    }
    assert_eq!(rig.backup(Seams::default()).unwrap().totals.new_files, 20);
    for n in 0..100 {
        write(&rig.source, &format!("more-{n:03}"), &zoo::noise(1 << 20, 100 + n));
    }
    for _ in 0..2 {
        let error = rig.backup(Seams::default()).unwrap_err();
        assert!(matches!(&error, e if e.is_full()) && !matches!(error, Error::Locked { .. }), "{error:?}");
        assert_eq!(check_target(&rig, &Known::new(), "too small").len(), 1);
    }
    for n in 20..100 {
        fs::remove_file(rig.source.join(format!("more-{n:03}"))).unwrap();
    }
    let report = rig.backup(Seams::default()).unwrap();
    assert_eq!((report.totals.problems, report.adopted), (0, 20));
}
