//! The field's classic bugs: what other tools lose, each as a sentence that holds here.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_engine::{BackupReport, LimitationKind};
use hardback_platform::{Op, Verdict};
use hardback_testing::bench::{Bench, SharedWatch};
use hardback_testing::compare::Strictness;
use hardback_testing::volume::VolumeKind;
use hardback_testing::watch::{self, At};
use hardback_testing::zoo::{chown, noise, set_mtime, set_xattr};
use hardback_testing::{skip, volume};
use rustix::io::Errno;
use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MIB: usize = 1 << 20;

/// A bench in a temporary folder.
struct Desk {
    bench: Bench,
    temp: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let source = temp.path().join("docs");
        fs::create_dir(&source).unwrap();
        Self { bench: Bench::new(&source, &temp.path().join("target")), temp }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.bench.sources[0].join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn stored(&self, report: &BackupReport, path: &str) -> Vec<u8> {
        fs::read(self.bench.stored(report, path)).unwrap()
    }

    fn inode(&self, report: &BackupReport, path: &str) -> u64 {
        fs::symlink_metadata(self.bench.stored(report, path)).unwrap().ino()
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_changed_mode_of_a_whole_tree_reads_nothing_and_leaves_older_snapshots_alone() {
    let desk = Desk::new();
    for n in 0..100 {
        desk.write(&format!("{}/{n}", n % 7), noise(3000, n));
    }
    let _first = desk.bench.backup_all();
    for n in 0..100 {
        chmod(&desk.path(&format!("{}/{n}", n % 7)), 0o600);
    }
    let second = desk.bench.backup_all();
    assert_eq!((second.bytes_read, second.restamped, second.totals.new_files), (0, 100, 0));
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn two_equal_files_that_were_one_do_not_stay_linked() {
    let desk = Desk::new();
    desk.write("a", "equal");
    fs::hard_link(desk.path("a"), desk.path("b")).unwrap();
    let time = fs::metadata(desk.path("a")).unwrap().modified().unwrap();
    let first = desk.bench.backup_all();
    assert_eq!(desk.inode(&first, "a"), desk.inode(&first, "b"));
    fs::remove_file(desk.path("b")).unwrap();
    desk.write("b", "equal");
    fs::File::options().write(true).open(desk.path("b")).unwrap().set_modified(time).unwrap();
    for _ in 0..2 {
        let report = desk.bench.backup_all();
        assert_ne!(desk.inode(&report, "a"), desk.inode(&report, "b"));
        desk.bench.assert_stored(&report, Strictness::FULL);
    }
}

#[test]
fn a_file_that_grows_a_hole_keeps_it_where_the_copy_starts_as_a_clone() {
    for kind in [VolumeKind::Xfs, VolumeKind::Btrfs] {
        let volume = volume!(kind, 300);
        let bench = Bench::new(&volume.dir("docs"), &volume.root().join("target"));
        let file = bench.sources[0].join("file");
        fs::write(&file, noise(2 * MIB, 1)).unwrap();
        let _first = bench.backup_all();
        // Larger than the volume: written out it could not be stored.
        fs::File::options().write(true).open(&file).unwrap().set_len(1 << 30).unwrap();
        let second = bench.backup_all();
        bench.assert_stored(&second, Strictness::FULL);
    }
}

#[test]
fn rotated_logs_are_moved_and_not_copied() {
    let desk = Desk::new();
    for (name, seed) in [("app.log", 1), ("app.log.1", 2), ("app.log.2", 3)] {
        desk.write(name, noise(50_000, seed));
    }
    let first = desk.bench.backup_all();
    for (old, new) in [("app.log.2", "app.log.3"), ("app.log.1", "app.log.2"), ("app.log", "app.log.1")] {
        fs::rename(desk.path(old), desk.path(new)).unwrap();
    }
    desk.write("app.log", "a fresh one");
    let second = desk.bench.backup_all();
    assert_eq!((second.totals.new_files, second.totals.new_bytes, second.moved), (1, 11, 3));
    assert_eq!(desk.inode(&first, "app.log"), desk.inode(&second, "app.log.1"));
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn a_file_that_got_the_inode_of_a_removed_one_is_read() {
    let mut desk = Desk::new();
    // On a volume of its own nobody else takes the inode meanwhile.
    let volume = volume!(VolumeKind::Ext4, 32);
    desk.bench.sources = vec![volume.dir("docs")];
    desk.write("old", "the old content");
    set_mtime(&desk.path("old"), 1_000_000_000, 1);
    let _first = desk.bench.backup_all();
    let inode = fs::metadata(desk.path("old")).unwrap().ino();
    fs::remove_file(desk.path("old")).unwrap();
    desk.write("new", "THE NEW CONTENT");
    if fs::metadata(desk.path("new")).unwrap().ino() != inode {
        skip!("this volume did not give the inode to the next file");
    }
    set_mtime(&desk.path("new"), 1_000_000_000, 1);
    let second = desk.bench.backup_all();
    assert_eq!(desk.stored(&second, "new"), b"THE NEW CONTENT");
}

#[test]
fn a_writer_through_memory_is_noticed_within_the_hot_window() {
    let mut desk = Desk::new();
    // On a volume of its own: the sync of the target would write its pages out.
    let volume = volume!(VolumeKind::Ext4, 32);
    desk.bench.sources = vec![volume.dir("docs")];
    desk.bench.options.hot_window_s = 120;
    desk.write("mapped", vec![b'.'; 8192]);
    let script = "import mmap, sys\n\
                  f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0)\n\
                  m[0:1] = b'A'; print('ready', flush=True); sys.stdin.readline()\n\
                  m[0:1] = b'B'; print('done', flush=True); sys.stdin.readline()\n";
    let mut python = std::process::Command::new("python3");
    python.arg("-c").arg(script).arg(desk.path("mapped"));
    python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut child) = python.spawn() else { skip!("there is no python3 to write through memory") };
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdin = child.stdin.take().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let first = desk.bench.backup_all();
    assert_eq!(desk.stored(&first, "mapped")[0], b'A');
    let times = |p: &Path| fs::metadata(p).map(|m| (m.mtime_nsec(), m.ctime_nsec())).unwrap();
    let before = times(&desk.path("mapped"));
    stdin.write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    assert_eq!(times(&desk.path("mapped")), before, "the write is invisible in the times: what this test is about");
    let second = desk.bench.backup_all();
    assert_eq!(desk.stored(&second, "mapped")[0], b'B');
    drop(stdin);
    child.wait().unwrap();
}

#[test]
fn a_file_that_grows_whenever_it_is_read_is_a_problem_and_read_again_next_time() {
    let mut desk = Desk::new();
    desk.write("growing", "some");
    let path = desk.path("growing");
    desk.bench.source_seam = watch::before(Op::Read, "growing", move |_| {
        fs::File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    });
    let first = desk.bench.backup();
    assert_eq!(first.totals.problems, 1);
    assert!(first.problems[0].to_string().contains("changed while it was read"), "{:?}", first.problems);
    desk.bench.source_seam = Default::default();
    let second = desk.bench.backup_all();
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn a_file_that_shrinks_once_while_it_is_read_is_stored_as_it_is_then() {
    let mut desk = Desk::new();
    desk.write("shrinking", noise(2 * MIB, 1));
    let path = desk.path("shrinking");
    desk.bench.source_seam = watch::before(Op::Read, "shrinking", move |call| {
        if call == 2 {
            fs::File::options().write(true).open(&path).unwrap().set_len(700_000).unwrap();
        }
    });
    let report = desk.bench.backup_all();
    desk.bench.assert_stored(&report, Strictness::FULL);
}

#[test]
fn a_file_that_vanishes_during_the_run_is_a_problem_that_is_counted() {
    let mut desk = Desk::new();
    desk.write("vanishing", "here");
    desk.write("staying", "here");
    let path = desk.path("vanishing");
    desk.bench.source_seam = watch::before(Op::Stat, "vanishing", move |_| fs::remove_file(&path).unwrap());
    let report = desk.bench.backup();
    assert_eq!((report.problems.len(), report.totals.problems), (1, 1), "{:?}", report.problems);
    assert!(!desk.bench.stored(&report, "vanishing").exists());
}

#[test]
fn a_fifo_in_place_of_a_file_never_blocks_the_run() {
    let mut desk = Desk::new();
    desk.write("file", "content");
    drop(desk.bench.backup_all());
    // It is known from the first run, so it is looked at by its name before it is opened.
    desk.write("file", "other content");
    let path = desk.path("file");
    desk.bench.source_seam = watch::before(Op::OpenFile, "file", move |call| {
        if call == 1 {
            fs::remove_file(&path).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
    });
    let report = desk.bench.backup();
    assert_eq!(report.totals.problems, 1);
    desk.bench.source_seam = Default::default();
    let second = desk.bench.backup_all();
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn a_file_that_fails_in_the_middle_leaves_the_bases_version_under_its_own_name() {
    let mut desk = Desk::new();
    desk.write("failing", noise(2 * MIB, 1));
    let first = desk.bench.backup_all();
    desk.write("failing", noise(2 * MIB, 2));
    desk.write("new", noise(2 * MIB, 3));
    for name in ["failing", "new"] {
        desk.bench.source_seam = watch::fail_from(Op::Read, name, 3, Errno::IO);
        let report = desk.bench.backup();
        assert_eq!(report.totals.problems, 1, "{:?}", report.problems);
        assert!(report.limitations.is_empty(), "{:?}", report.limitations);
        let names: Vec<_> =
            fs::read_dir(desk.bench.stored(&report, "")).unwrap().map(|e| e.unwrap().file_name()).collect();
        match name {
            "failing" => assert_eq!(desk.inode(&report, "failing"), desk.inode(&first, "failing")),
            _ => assert_eq!(names, ["failing"]),
        }
        if name == "failing" {
            fs::remove_file(desk.path("new")).unwrap();
            desk.bench.source_seam = Default::default();
            let _again = desk.bench.backup_all();
            desk.write("new", noise(2 * MIB, 3));
        }
    }
    desk.bench.source_seam = Default::default();
    let last = desk.bench.backup_all();
    desk.bench.assert_stored(&last, Strictness::FULL);
}

#[test]
fn a_name_that_could_not_be_read_does_not_hand_its_old_content_to_the_other_names() {
    let mut desk = Desk::new();
    desk.bench.options.workers = 1;
    desk.write("a", "first version");
    fs::hard_link(desk.path("a"), desk.path("b")).unwrap();
    let _first = desk.bench.backup_all();
    desk.write("a", "second, longer version");
    desk.bench.source_seam = watch::fail_from(Op::OpenFile, "a", 1, Errno::IO);
    let second = desk.bench.backup();
    assert_eq!(second.totals.problems, 1);
    assert_eq!(desk.stored(&second, "a"), b"first version");
    assert_eq!(desk.stored(&second, "b"), b"second, longer version");
    desk.bench.source_seam = Default::default();
    let third = desk.bench.backup_all();
    desk.bench.assert_stored(&third, Strictness::FULL);
}

#[test]
fn a_group_that_changes_between_two_of_its_names_is_read_again_next_time() {
    let mut desk = Desk::new();
    desk.bench.options.workers = 1;
    desk.write("a", "first");
    fs::hard_link(desk.path("a"), desk.path("b")).unwrap();
    let path = desk.path("a");
    desk.bench.source_seam = watch::before(Op::Stat, "b", move |_| fs::write(&path, "second version").unwrap());
    let _changing = desk.bench.backup();
    desk.bench.source_seam = Default::default();
    let second = desk.bench.backup_all();
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn a_name_replaced_between_two_looks_does_not_join_the_others_group() {
    let mut desk = Desk::new();
    desk.bench.options.workers = 1;
    desk.write("a", "the group");
    fs::hard_link(desk.path("a"), desk.path("b")).unwrap();
    fs::hard_link(desk.path("a"), desk.path("c")).unwrap();
    let path = desk.path("a");
    desk.bench.source_seam = watch::before(Op::OpenFile, "a", move |call| {
        if call == 1 {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "another file").unwrap();
        }
    });
    let first = desk.bench.backup();
    assert_eq!(desk.stored(&first, "a"), b"another file");
    assert_eq!(desk.stored(&first, "b"), b"the group");
    assert_eq!(desk.inode(&first, "b"), desk.inode(&first, "c"));
    desk.bench.source_seam = Default::default();
    let second = desk.bench.backup_all();
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn a_full_disk_under_a_large_file_ends_the_run_while_others_wait() {
    let mut desk = Desk::new();
    desk.write("0-large", noise(8 * MIB, 1));
    for n in 0..3000 {
        desk.write(&format!("dirs/{n}/file"), n.to_string());
    }
    let (writes, opened) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let seen = opened.clone();
    desk.bench.source_seam = watch::seam(move |call, _| {
        seen.fetch_add(u64::from(call.op == Op::OpenDir), Ordering::SeqCst);
        Verdict::Go
    });
    desk.bench.faults = Some(SharedWatch(Arc::new(At(move |call: &hardback_platform::Call<'_>, path: &PathBuf| {
        if call.op == Op::Write && path.ends_with("0-large") && writes.fetch_add(1, Ordering::SeqCst) == 5 {
            // The disk fills up only when the walk waits for the chunks behind this file.
            let mut last = 0;
            while opened.load(Ordering::SeqCst) != last {
                last = opened.load(Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            return Verdict::Fail(Errno::NOSPC.into());
        }
        Verdict::Go
    }))));
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let failed = desk.bench.try_backup().is_err();
        sender.send(failed).unwrap();
    });
    let failed = done.recv_timeout(std::time::Duration::from_secs(60)).expect("the run hangs");
    assert!(failed);
}

#[test]
fn a_failed_run_is_never_a_base_and_its_finished_files_are_taken_over() {
    let mut desk = Desk::new();
    desk.write("old", "old");
    let first = desk.bench.backup_all();
    for n in 0..20 {
        desk.write(&format!("new/{n:02}"), noise(MIB, n));
    }
    let creates = AtomicU64::new(0);
    desk.bench.options.workers = 1;
    desk.bench.faults = Some(SharedWatch(Arc::new(At(move |call: &hardback_platform::Call<'_>, path: &PathBuf| {
        let is_ours = call.op == Op::CreateFile && path.components().any(|c| c.as_os_str() == "new");
        match is_ours && creates.fetch_add(1, Ordering::SeqCst) == 15 {
            true => Verdict::Fail(std::io::ErrorKind::Interrupted.into()),
            false => Verdict::Go,
        }
    }))));
    desk.bench.try_backup().unwrap_err();
    desk.bench.faults = None;
    let second = desk.bench.backup_all();
    assert_eq!(second.base, first.snapshot);
    assert_eq!((second.adopted, second.adopted_bytes), (15, 15 * MIB as u64));
    assert_eq!(second.bytes_read, 5 * MIB as u64, "only the rest is read from the source");
    desk.bench.assert_stored(&second, Strictness::FULL);
    let third = desk.bench.backup_all();
    assert_eq!((third.base, third.bytes_read), (second.snapshot, 0));
    assert!(!fs::read_dir(desk.bench.target.join(".hardback/trash")).unwrap().any(|_| true), "the trash is emptied");
}

#[test]
fn a_small_change_of_a_large_file_costs_little_where_blocks_can_be_shared() {
    for kind in [VolumeKind::Xfs, VolumeKind::Btrfs] {
        let (from, to) = (volume!(VolumeKind::Ext4, 200), volume!(kind, 300));
        let bench = Bench::new(&from.dir("docs"), &to.root().join("target"));
        let file = bench.sources[0].join("disk.img");
        fs::write(&file, noise(64 * MIB, 1)).unwrap();
        let _first = bench.backup_all();
        let before = to.used_bytes();
        fs::File::options().write(true).open(&file).unwrap().write_all_at(&noise(MIB, 2), 30 * MIB as u64).unwrap();
        let second = bench.backup_all();
        let after = to.used_bytes();
        assert!(after - before <= 2 * MIB as u64, "{kind:?} grew by {}", after - before);
        bench.assert_stored(&second, Strictness::FULL);
        chmod(&file, 0o600);
        let third = bench.backup_all();
        let grown = to.used_bytes() - after;
        assert!(grown <= MIB as u64, "{kind:?} grew by {grown} for a mode");
        assert_eq!((third.bytes_read, third.restamped), (0, 1));
        bench.assert_stored(&third, Strictness::FULL);
    }
}

#[test]
fn no_file_gets_more_names_than_the_limit() {
    let mut desk = Desk::new();
    desk.bench.options.max_links = Some(3);
    desk.write("single", "one name");
    desk.write("group/0", "many names");
    for n in 1..8 {
        fs::hard_link(desk.path("group/0"), desk.path(&format!("group/{n}"))).unwrap();
    }
    fs::create_dir(desk.path("moves-0")).unwrap();
    desk.write("moves-0/file", "moves each time");
    let mut copies = 0;
    for run in 0..10 {
        let report = desk.bench.backup_all();
        copies += report.totals.new_files + report.restamped;
        for path in
            ["single".into(), format!("moves-{run}/file")].into_iter().chain((0..8).map(|n| format!("group/{n}")))
        {
            let links = fs::metadata(desk.bench.stored(&report, &path)).unwrap().nlink();
            assert!(links <= 3, "{path} has {links} links after run {run}");
        }
        desk.bench.assert_stored(&report, Strictness { groups_stay_whole: false, ..Strictness::FULL });
        fs::rename(desk.path(&format!("moves-{run}")), desk.path(&format!("moves-{}", run + 1))).unwrap();
    }
    // Not one for each of 100 names: what is split goes on with one copy for three names.
    assert!(copies < 40, "{copies} copies");
}

#[test]
fn seventy_thousand_names_of_one_inode_split_and_stay_cheap() {
    let (from, to) = (volume!(VolumeKind::Xfs, 300), volume!(VolumeKind::Ext4, 200));
    let mut bench = Bench::new(&from.dir("docs"), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.sources[0].join("first");
    fs::write(&first, noise(10_000, 1)).unwrap();
    for n in 1..70_000 {
        if n % 1000 == 1 {
            fs::create_dir(bench.sources[0].join(format!("d{}", n / 1000))).unwrap();
        }
        fs::hard_link(&first, bench.sources[0].join(format!("d{}/{n}", (n - 1) / 1000))).unwrap();
    }
    for run in 0..2 {
        let report = bench.backup_all();
        assert_eq!(report.totals.entries - report.totals.dirs, 70_000);
        assert!(report.limitations.iter().all(|l| l.kind == LimitationKind::LinkLimit), "{:?}", report.limitations);
        let copies = report.totals.new_files + report.restamped;
        assert!(copies <= 4, "run {run} made {copies} copies of one file");
        bench.assert_stored(&report, Strictness { groups_stay_whole: false, ..Strictness::FULL });
    }
}

#[test]
fn equal_inode_numbers_on_two_volumes_are_not_one_file() {
    let (one, two) = (volume!(VolumeKind::Ext4, 16), volume!(VolumeKind::Ext4, 16));
    let temp = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(&one.dir("a"), &temp.path().join("target"));
    bench.sources.push(two.dir("b"));
    for (source, content) in bench.sources.iter().zip(["of one", "of two"]) {
        fs::write(source.join("file"), content).unwrap();
        set_mtime(&source.join("file"), 1_000_000_000, 0);
        fs::hard_link(source.join("file"), source.join("link")).unwrap();
    }
    let inodes =
        |name: &str| bench.sources.iter().map(|s| fs::metadata(s.join(name)).unwrap().ino()).collect::<Vec<_>>();
    assert_eq!(inodes("file")[0], inodes("file")[1], "what this test is about");
    for _ in 0..2 {
        let report = bench.backup_all();
        bench.assert_stored(&report, Strictness::FULL);
    }
    // The names swap volumes: same inode number, size and time.
    for (source, content) in bench.sources.iter().zip(["OF ONE", "OF TWO"]) {
        fs::rename(source.join("link"), source.join("renamed")).unwrap();
        fs::write(source.join("file"), content).unwrap();
        set_mtime(&source.join("file"), 1_000_000_000, 0);
    }
    let report = bench.backup_all();
    bench.assert_stored(&report, Strictness::FULL);
}

#[test]
fn a_folder_swapped_for_a_symlink_during_the_run_leads_nowhere() {
    let mut desk = Desk::new();
    desk.bench.inventories = false;
    let outside = desk.temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for n in 0..20 {
        desk.write(&format!("dir/{n}"), "inside");
        fs::write(outside.join(n.to_string()), "SECRET").unwrap();
    }
    for n in 0..30 {
        desk.write(&format!("more/{n}/file"), "filler");
    }
    let (dir, link) = (desk.path("dir"), desk.path("link"));
    symlink(&outside, &link).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let flipper = std::thread::spawn(move || {
        let mut flips = 0u64;
        while !stopped.load(Ordering::SeqCst) {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &link, exchange).unwrap();
            flips += 1;
        }
        flips
    });
    let mut snapshots = Vec::new();
    for _ in 0..25 {
        snapshots.push(desk.bench.snapshot(&desk.bench.backup()));
    }
    stop.store(true, Ordering::SeqCst);
    assert!(flipper.join().unwrap() > 100);
    for snapshot in snapshots {
        for name in ["dir", "link"] {
            let place = snapshot.join("docs").join(name);
            let Ok(metadata) = fs::symlink_metadata(&place) else { continue };
            if metadata.is_dir() {
                for entry in fs::read_dir(&place).unwrap() {
                    assert_eq!(fs::read(entry.unwrap().path()).unwrap(), b"inside");
                }
            }
        }
    }
}

#[test]
fn a_folder_that_vanishes_far_above_the_walk_is_no_end_of_the_run() {
    let mut desk = Desk::new();
    desk.bench.options.workers = 1;
    desk.write("0-first", "holds the worker");
    let mut deep = String::from("l0");
    for level in 1..120 {
        deep = format!("{deep}/l{level}");
    }
    desk.write(&format!("{deep}/bottom"), "bottom");
    desk.write("l0/l1/l2/in-the-middle", "waits for the worker");
    let (walked, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (from, to) = (desk.path("l0/l1/l2"), desk.temp.path().join("away"));
    let (sees, waits) = (walked.clone(), wake.clone());
    desk.bench.source_seam = watch::seam(move |call, path| {
        if call.op == Op::OpenDir && call.name == b"l110" {
            sees.store(true, Ordering::SeqCst);
        }
        if call.op == Op::OpenFile && path.ends_with("0-first") && !waits.swap(true, Ordering::SeqCst) {
            while !sees.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            fs::rename(&from, &to).unwrap();
        }
        Verdict::Go
    });
    let report = desk.bench.backup();
    assert!(report.totals.problems > 0, "what vanished is told");
    assert!(desk.bench.stored(&report, "0-first").exists());
}

/// Runs a test of this binary again as a user who is nobody; `true` in that run.
fn is_nobody(test: &str, dir: &Path) -> bool {
    use std::os::unix::process::CommandExt;
    if std::env::var_os("HARDBACK_TEST_AS_NOBODY").is_some() {
        return true;
    }
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture"]).env("HARDBACK_TEST_AS_NOBODY", dir).uid(65534).gid(65534);
    let output = command.current_dir("/").output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
    false
}

#[test]
fn what_a_normal_user_cannot_read_is_a_problem_and_the_bases_version_stays() {
    if let Some(dir) = std::env::var_os("HARDBACK_TEST_AS_NOBODY") {
        return back_up_as_nobody(Path::new(&dir));
    }
    if !rustix::process::geteuid().is_root() {
        skip!("only root can become somebody else");
    }
    let temp = tempfile::tempdir().unwrap();
    // Folders above the source may be passed but not listed, as on machines with many users.
    let home = temp.path().join("home/nobody");
    fs::create_dir_all(&home).unwrap();
    chown(&home, 65534, 65534);
    chmod(temp.path(), 0o711);
    chmod(&temp.path().join("home"), 0o711);
    assert!(!is_nobody("what_a_normal_user_cannot_read_is_a_problem_and_the_bases_version_stays", &home));
}

fn back_up_as_nobody(home: &Path) {
    let source = home.join("docs");
    for dir in ["open", "closed/below", "bin"] {
        fs::create_dir_all(source.join(dir)).unwrap();
    }
    fs::write(source.join("open/file"), "open").unwrap();
    fs::write(source.join("open/secret"), "was readable").unwrap();
    fs::write(source.join("closed/file"), "was readable").unwrap();
    fs::write(source.join("closed/below/file"), "was readable").unwrap();
    let odd = std::os::unix::ffi::OsStringExt::from_vec(b"odd-\xff\xfe".to_vec());
    let odd: std::ffi::OsString = odd;
    fs::write(source.join(&odd), "stored").unwrap();
    let bench = Bench::new(&source, &home.join("target"));
    let first = bench.backup_all();
    assert_eq!(fs::read(bench.stored(&first, "").join(&odd)).unwrap(), b"stored");
    bench.assert_stored(&first, Strictness::FULL);
    fs::write(source.join("open/secret"), "changed and closed").unwrap();
    chmod(&source.join("open/secret"), 0o000);
    chmod(&source.join("closed"), 0o000);
    let never = source.join("never-read");
    fs::write(&never, "never readable").unwrap();
    chmod(&never, 0o000);
    for _ in 0..2 {
        let report = bench.backup();
        let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        for path in ["open/secret", "docs/closed", "never-read"] {
            assert_eq!(told.iter().filter(|p| p.contains(path)).count(), 1, "{path} in {told:?}");
        }
        assert!(report.totals.problems >= 3);
        assert_eq!(fs::read(bench.stored(&report, "open/secret")).unwrap(), b"was readable");
        assert_eq!(fs::read(bench.stored(&report, "open/file")).unwrap(), b"open");
        let closed = bench.stored(&report, "closed");
        assert_eq!(fs::read(closed.join("file")).unwrap(), b"was readable");
        assert_eq!(fs::read(closed.join("below/file")).unwrap(), b"was readable");
        assert!(!bench.stored(&report, "never-read").exists());
    }
    chmod(&source.join("open/secret"), 0o600);
    chmod(&source.join("closed"), 0o755);
    chmod(&never, 0o644);
    let last = bench.backup_all();
    bench.assert_stored(&last, Strictness::FULL);
}

#[test]
fn a_lost_attribute_makes_a_new_inode_and_the_old_one_keeps_it() {
    let desk = Desk::new();
    desk.write("file", noise(5000, 1));
    set_xattr(&desk.path("file"), "user.note", b"x");
    let first = desk.bench.backup_all();
    rustix::fs::removexattr(desk.path("file"), "user.note").unwrap();
    let second = desk.bench.backup_all();
    assert_ne!(desk.inode(&first, "file"), desk.inode(&second, "file"));
    desk.bench.assert_stored(&second, Strictness::FULL);
}

#[test]
fn what_stands_in_for_an_unreadable_file_is_copied_where_it_cannot_be_linked() {
    let mut desk = Desk::new();
    desk.bench.options.max_links = Some(2);
    desk.write("dir/file", "first version");
    desk.write("dir/closed/below", "first version");
    let _first = desk.bench.backup_all();
    desk.write("dir/file", "second, longer version");
    desk.bench.source_seam = watch::seam(|call, path| {
        let closed = call.op == Op::OpenDir && path.ends_with("closed") || call.op == Op::OpenFile;
        if closed { Verdict::Fail(Errno::ACCESS.into()) } else { Verdict::Go }
    });
    for _ in 0..4 {
        let report = desk.bench.backup();
        assert_eq!(report.totals.problems, 2, "{:?}", report.problems);
        for path in ["dir/file", "dir/closed/below"] {
            assert_eq!(desk.stored(&report, path), b"first version");
            assert!(fs::metadata(desk.bench.stored(&report, path)).unwrap().nlink() <= 2);
        }
    }
}

#[test]
fn a_large_file_does_not_let_the_walk_run_ahead_without_bound() {
    let mut desk = Desk::new();
    desk.bench.inventories = false;
    desk.write("0-large", "slow");
    for n in 0..20_000 {
        fs::create_dir_all(desk.path(&format!("dirs/{}/{n}", n / 1000))).unwrap();
    }
    let opened = Arc::new(AtomicU64::new(0));
    let (counts, most) = (opened.clone(), Arc::new(AtomicU64::new(0)));
    let seen = most.clone();
    desk.bench.source_seam = watch::seam(move |call, path| {
        counts.fetch_add(u64::from(call.op == Op::OpenDir), Ordering::SeqCst);
        if call.op == Op::OpenFile && path.ends_with("0-large") {
            let mut last = u64::MAX;
            while counts.load(Ordering::SeqCst) != last {
                last = counts.load(Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
            seen.store(last, Ordering::SeqCst);
        }
        Verdict::Go
    });
    let report = desk.bench.backup_all();
    assert!(report.totals.dirs > 20_000);
    assert!(most.load(Ordering::SeqCst) < 17_500, "{most:?} folders were walked while one file was read");
}
