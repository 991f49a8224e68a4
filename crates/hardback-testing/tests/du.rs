//! What a removal is said to free is what the volume has more afterwards; and very deep trees are counted too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_engine::{
    Cancel, Context, Counters, DuOptions, Error, Freed, SystemClock, Target, du, freed, open_or_create_target,
};
use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use hardback_testing::bench::{Bench, Heard, JOB};
use hardback_testing::rig::{Rig, Seams};
use hardback_testing::volume;
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::zoo::noise;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: usize = 1 << 20;

fn with<T>(run: impl FnOnce(&Context<'_>) -> Result<T, Error>) -> T {
    let (counters, cancel, heard) = (Counters::default(), Cancel::default(), Heard::default());
    let ctx = Context { clock: &SystemClock, monitor: &heard, counters: &counters, cancel: &cancel };
    let result = run(&ctx).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
    assert_eq!(*heard.problems.lock().unwrap(), Vec::<String>::new());
    result
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Six snapshots: files that stay, go, change, change their mode, and have several names; a large one that changes in one
/// place; many folders and symlinks.
fn snapshots(source: &Path, bench: &Bench) -> Vec<String> {
    fs::create_dir_all(source.join("groups")).unwrap();
    for n in 0..400 {
        let folder = source.join(format!("folder-{}", n % 20));
        fs::create_dir_all(&folder).unwrap();
        let bytes = [0, 10, 700, 4_096, 9_000, 70_000][usize::try_from(n).unwrap() % 6];
        fs::write(folder.join(format!("{n}")), noise(bytes, n)).unwrap();
        symlink(format!("to/{n}"), folder.join(format!("link-{n}"))).unwrap();
        if n % 10 == 0 {
            fs::hard_link(folder.join(format!("{n}")), source.join(format!("groups/{n}"))).unwrap();
        }
    }
    fs::write(source.join("large"), noise(16 * MIB, 1)).unwrap();
    let mut names = Vec::new();
    for round in 0..6 {
        let report = bench.backup_all();
        names.push(report.snapshot.unwrap());
        for n in (round * 40)..(round * 40 + 40) {
            let path = source.join(format!("folder-{}/{n}", n % 20));
            match n % 4 {
                0 => fs::remove_file(&path).unwrap(),
                1 => fs::write(&path, noise(30_000, n + 1_000)).unwrap(),
                2 => chmod(&path, 0o600),
                _ => fs::rename(&path, source.join(format!("groups/moved-{n}"))).unwrap(),
            }
        }
        let large = fs::File::options().write(true).open(source.join("large")).unwrap();
        large.write_all_at(&noise(MIB, round + 50), round * 2 * (MIB as u64)).unwrap();
        // The times of some volumes step, and a change in the same step is not seen.
        chmod(&source.join("groups"), 0o700 + u32::try_from(round).unwrap());
    }
    names
}

/// Bytes and inodes in use, when all is written and what goes in the background is gone.
fn used(volume: &Volume) -> (u64, u64) {
    volume.remount("");
    let stat = rustix::fs::statvfs(volume.root()).unwrap();
    (volume.used_bytes(), stat.f_files - stat.f_ffree)
}

/// Removes snapshots with their records, as whoever prunes does.
fn remove(target: &Path, gone: &[String], all: &[String]) {
    for name in gone {
        fs::remove_dir_all(target.join(JOB).join(name)).unwrap();
        for end in ["manifest.zst", "seal"] {
            fs::remove_file(target.join(format!(".hardback/manifests/{JOB}/{name}.{end}"))).unwrap();
        }
    }
    let left: Vec<&String> = all.iter().filter(|name| !gone.contains(name)).collect();
    let mut named = Vec::new();
    for name in left {
        let seal = target.join(format!(".hardback/manifests/{JOB}/{name}.seal"));
        let Ok(text) = fs::read_to_string(seal) else { continue };
        let lines = text.lines().filter_map(|line| line.strip_prefix("generation").map(|l| l.trim_start_matches('s')));
        named.extend(lines.flat_map(str::split_whitespace).map(|g| format!("{:08}.b3", g.parse::<u32>().unwrap())));
    }
    let lists = target.join(format!(".hardback/digests/{JOB}"));
    for entry in fs::read_dir(&lists).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !named.contains(&name) {
            fs::remove_file(lists.join(name)).unwrap();
        }
    }
}

fn open(target: &Path) -> Target {
    open_or_create_target(target, None, &SystemClock, Seam::default()).unwrap().target
}

fn told(target: &Path, names: &[String]) -> Freed {
    with(|ctx| freed(ctx, &open(target), JOB, names))
}

/// Returns how many names are in a folder and below it.
fn names_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| 1 + if e.file_type().unwrap().is_dir() { names_in(&e.path()) } else { 0 }).sum()
}

/// Removes some of the snapshots and compares.
fn check(volume: &Volume, target: &Path, gone: &[String], all: &[String], exactly: bool) {
    let before = used(volume);
    let told = told(target, gone);
    assert_eq!(told.steps.len(), gone.len());
    let names: u64 = gone.iter().map(|name| names_in(&target.join(JOB).join(name))).sum();
    remove(target, gone, all);
    let after = used(volume);
    let freed = before.0.saturating_sub(after.0);
    // On Btrfs each name, also of a file that stays, takes some bytes of the volume's own.
    let own = if volume.kind == VolumeKind::Btrfs { names * 512 } else { 0 };
    let allowed = (freed / 100).max(told.entries * 4096) + own;
    println!(
        "{:?}: {} snapshots: told {}, freed {freed}, {} entries",
        volume.kind,
        gone.len(),
        told.bytes,
        told.entries
    );
    assert!(told.bytes <= freed + allowed, "more was told ({}) than came ({freed}, +-{allowed})", told.bytes);
    if exactly {
        assert!(freed <= told.bytes + allowed, "less was told ({}) than came ({freed}, +-{allowed})", told.bytes);
    }
    if volume.kind == VolumeKind::Ext4 {
        assert_eq!(before.1 - after.1, told.entries);
    }
}

/// Returns a new source, kept by its folder, and a target on a volume, with the bench of both.
fn bench_on(volume: &Volume) -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf, Bench) {
    let temp = tempfile::tempdir().unwrap();
    let (source, target) = (temp.path().join("docs"), volume.root().join("target"));
    fs::create_dir(&source).unwrap();
    let mut bench = Bench::new(&source, &target);
    bench.inventories = false;
    (temp, source, target, bench)
}

#[test]
fn a_removal_frees_what_was_told() {
    for kind in VolumeKind::NATIVE {
        let volume = volume!(kind, 400);
        let (_temp, source, target, bench) = bench_on(&volume);
        let names = snapshots(&source, &bench);
        let [first, second, third, fourth, fifth, last] = &names[..] else { panic!("{names:?}") };
        check(&volume, &target, std::slice::from_ref(third), &names, true);
        check(&volume, &target, std::slice::from_ref(first), &names, true);
        check(&volume, &target, &[second.clone(), fourth.clone(), fifth.clone()], &names, true);
        // Btrfs keeps what was overwritten of a range as long as anyone has a part of the range: more comes than is told.
        check(&volume, &target, std::slice::from_ref(last), &names, kind != VolumeKind::Btrfs);
    }
}

/// Small files, and large ones that are mostly holes, are one block each: too little to ask whether it is shared.
#[test]
fn small_files_of_which_only_the_mode_changed_are_told_as_they_are_freed() {
    const SMALL: u64 = 1500;
    const SPARSE: u64 = 300;
    for kind in VolumeKind::NATIVE {
        let volume = volume!(kind, 400);
        let (_temp, source, target, bench) = bench_on(&volume);
        for n in 0..SMALL {
            fs::write(source.join(format!("small-{n}")), noise(4096, n)).unwrap();
        }
        for n in 0..SPARSE {
            let file = fs::File::create(source.join(format!("sparse-{n}"))).unwrap();
            file.write_all_at(&noise(4096, SMALL + n), 1 << 20).unwrap();
            file.set_len(2 << 20).unwrap();
        }
        let first = bench.backup_all().snapshot.unwrap();
        volume.remount("");
        fs::read_dir(&source).unwrap().for_each(|entry| chmod(&entry.unwrap().path(), 0o600));
        let report = bench.backup_all();
        let second = report.snapshot.unwrap();
        assert_eq!((report.restamped, report.bytes_read), (SMALL + SPARSE, 0), "{kind:?}");
        let (before, told) = (used(&volume).0, told(&target, std::slice::from_ref(&first)));
        remove(&target, std::slice::from_ref(&first), &[first.clone(), second]);
        let freed = before.saturating_sub(used(&volume).0);
        println!("{kind:?}: told {}, freed {freed}", told.bytes);
        assert!(told.bytes >= (SMALL + SPARSE) * 4096, "{kind:?}: told {}", told.bytes);
        assert!(told.bytes <= freed + freed / 50, "{kind:?}: more was told ({}) than came ({freed})", told.bytes);
    }
}

#[test]
fn what_is_told_of_all_snapshots_is_what_the_volume_has_in_use() {
    for kind in VolumeKind::NATIVE {
        let volume = volume!(kind, 400);
        let (_temp, source, target, bench) = bench_on(&volume);
        let names = snapshots(&source, &bench);
        volume.remount("");
        let report = with(|ctx| du(ctx, &open(&target), &DuOptions::default()));
        let told = &report.jobs[0].snapshots;
        assert_eq!(told.iter().map(|s| &s.snapshot).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        // `du` counts a file once, in the first of its arguments that has it.
        let folders = names.iter().map(|name| target.join(JOB).join(name));
        let output = std::process::Command::new("du").args(["-s", "--block-size=1"]).args(folders).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let expected: Vec<u64> = text.lines().map(|l| l.split('\t').next().unwrap().parse().unwrap()).collect();
        assert_eq!(told.iter().map(|s| s.cumulative_bytes).collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

/// Makes levels below a folder, each with a file and a folder beside the next one.
fn make_deep(top: &Path, levels: u64) {
    fs::create_dir(top).unwrap();
    let mode = Mode::from_raw_mode(0o700);
    let mut dir: OwnedFd = openat(CWD, top, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..levels {
        let file = openat(&dir, "file", OFlags::CREATE | OFlags::WRONLY, mode).unwrap();
        rustix::io::write(file, b"content").unwrap();
        // The deep one comes first, so the walk must come back to this level.
        mkdirat(&dir, "deep", mode).unwrap();
        mkdirat(&dir, "then", mode).unwrap();
        dir = openat(&dir, "deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

/// Counts folders that are opened.
#[derive(Default)]
struct Opens(AtomicU64);

impl Watch for Opens {
    fn before(&self, call: &Call<'_>) -> Verdict {
        self.0.fetch_add(u64::from(call.op == Op::OpenDir), Ordering::SeqCst);
        Verdict::Go
    }
}

#[test]
fn a_deep_tree_is_counted_and_costs_not_the_square_of_its_depth() {
    let levels = if hardback_testing::is_slow_run() { 5_000 } else { 1_500 };
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig::below(temp.path());
    make_deep(&rig.source, levels);
    let report = rig.backup(Seams::default()).unwrap();
    let opens = Arc::new(Opens::default());
    let seam = Seam::watched(opens.clone());
    let target = open_or_create_target(&rig.target, None, &SystemClock, seam).unwrap().target;
    let all = with(|ctx| du(ctx, &target, &DuOptions::default()));
    assert_eq!(all.jobs[0].snapshots[0].usage.entries, report.totals.entries);
    assert_eq!(report.totals.entries, 3 * levels + 1);
    let opens = opens.0.load(Ordering::SeqCst);
    // On the way back up, folders are opened again 48 at a time.
    assert!(opens <= 10 * levels + levels * levels / 48, "{opens} opens for {levels} levels");
    drop(target);
    // What nobody else can remove.
    let trash = rig.target.join(".hardback/trash");
    for (name, old) in [("docs", rig.source.clone()), ("snapshots", rig.target.join(hardback_testing::rig::JOB))] {
        fs::rename(old, trash.join(name)).unwrap();
    }
    fs::create_dir(&rig.source).unwrap();
    let _report = rig.backup(Seams::default()).unwrap();
    assert_eq!(fs::read_dir(trash).unwrap().count(), 0);
}
