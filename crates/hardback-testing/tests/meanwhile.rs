//! What must not go wrong while a run is at work: names get other files, files shrink under the reader, a thread panics,
//! `/proc` is not there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_engine::{Error, FindOptions, Place, RestoreOptions, VerifyLevel, VerifyOptions, find, verify, versions};
use hardback_platform::{Op, Verdict};
use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::rig::{JOB, Rig, Seams};
use hardback_testing::volume::VolumeKind;
use hardback_testing::zoo::{set_mtime, set_xattr};
use hardback_testing::{skip, volume, watch};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn a_file_that_got_the_inode_of_a_group_during_the_run_is_not_linked_to_it() {
    let (from, to) = (volume!(VolumeKind::Ext4, 32), volume!(VolumeKind::Ext4, 32));
    let mut bench = Bench::new(&from.dir("docs"), &to.root().join("target"));
    bench.options.workers = 1;
    let docs = bench.sources[0].clone();
    fs::write(docs.join("a"), "the old file").unwrap();
    fs::hard_link(docs.join("a"), docs.join("b")).unwrap();
    set_mtime(&docs.join("a"), 1_000_000_000, 1);
    let old = inode(&docs.join("a"));
    let is_reused = Arc::new(AtomicBool::new(false));
    let reused = is_reused.clone();
    bench.source_seam = watch::before(Op::OpenFile, "b", move |call| {
        if call == 1 {
            for name in ["a", "b"] {
                fs::remove_file(docs.join(name)).unwrap();
            }
            fs::write(docs.join("b"), "another file").unwrap();
            fs::hard_link(docs.join("b"), docs.join("c")).unwrap();
            set_mtime(&docs.join("b"), 1_000_000_000, 1);
            reused.store(inode(&docs.join("b")) == old, Ordering::SeqCst);
        }
    });
    let report = bench.backup_all();
    if !is_reused.load(Ordering::SeqCst) {
        skip!("this volume did not give the inode to the next file");
    }
    let stored = |name: &str| fs::read_to_string(bench.stored(&report, name)).unwrap();
    assert_eq!((stored("a").as_str(), stored("b").as_str()), ("the old file", "another file"));
    assert_ne!(inode(&bench.stored(&report, "a")), inode(&bench.stored(&report, "b")));
    bench.source_seam = Default::default();
    let next = bench.backup_all();
    bench.assert_stored(&next, Strictness::FULL);
}

#[test]
fn a_group_that_is_edited_during_the_run_is_one_file_again_in_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let docs = temp.path().join("docs");
    fs::create_dir(&docs).unwrap();
    let mut bench = Bench::new(&docs, &temp.path().join("target"));
    bench.options.workers = 1;
    fs::write(docs.join("a"), "before").unwrap();
    for name in ["b", "c", "d"] {
        fs::hard_link(docs.join("a"), docs.join(name)).unwrap();
    }
    let edited = docs.join("c");
    bench.source_seam = watch::before(Op::OpenFile, "c", move |call| {
        if call == 1 {
            fs::File::options().write(true).open(&edited).unwrap().write_at(b"behind", 0).unwrap();
        }
    });
    let first = bench.backup_all();
    let inodes = |report| ["a", "b", "c", "d"].map(|name| inode(&bench.stored(report, name)));
    let [a, b, c, d] = inodes(&first);
    assert_eq!((a, c), (b, d), "the names of each version are one file");
    assert_eq!(fs::read(bench.stored(&first, "c")).unwrap(), b"behind");
    bench.source_seam = Default::default();
    let next = bench.backup_all();
    bench.assert_stored(&next, Strictness::FULL);
}

#[test]
fn a_sparse_file_that_shrinks_while_it_is_read_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let docs = temp.path().join("docs");
    fs::create_dir(&docs).unwrap();
    let mut bench = Bench::new(&docs, &temp.path().join("target"));
    let path = docs.join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_at(b"data", 4 << 20).unwrap();
    // The calls on the open file: where the data begins, where it ends, the data, and what is behind it.
    for at in 1..=4 {
        let path = path.clone();
        file.set_len(8 << 20).unwrap();
        file.write_at(b"data", 4 << 20).unwrap();
        bench.source_seam = watch::before(Op::Read, "sparse", move |call| {
            if call == at {
                fs::File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
            }
        });
        let report = bench.backup_all();
        assert_eq!(fs::metadata(bench.stored(&report, "sparse")).unwrap().len(), 1 << 20, "at {at}");
        bench.source_seam = Default::default();
    }
}

/// Runs a backup in which a thread panics at the first call of a kind on a name at the source.
fn panic_at(op: Op, name: &'static str, workers: usize) {
    let temp = tempfile::tempdir().unwrap();
    let docs = temp.path().join("docs");
    fs::create_dir_all(docs.join("sub")).unwrap();
    let mut bench = Bench::new(&docs, &temp.path().join("target"));
    bench.options.workers = workers;
    fs::write(docs.join("a"), "several names").unwrap();
    for other in ["b", "c", "sub/d", "sub/e"] {
        fs::hard_link(docs.join("a"), docs.join(other)).unwrap();
    }
    bench.source_seam = watch::seam(move |call, path| {
        assert!(call.op != op || !path.ends_with(name), "this is what the test wants");
        Verdict::Go
    });
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        sender.send(bench.try_backup().map(drop)).unwrap();
        bench.source_seam = Default::default();
        let next = bench.backup_all();
        bench.assert_stored(&next, Strictness::FULL);
        sender.send(Ok(())).unwrap();
    });
    let ended = done.recv_timeout(Duration::from_secs(30)).expect("the run hangs, or panics");
    match ended {
        Err(error @ Error::Bug { .. }) => assert!(error.to_string().contains("the test wants"), "{error}"),
        other => panic!("{op:?} {name}: {other:?}"),
    }
    assert!(!fs::read_dir(temp.path().join("target/test")).is_ok_and(|mut dir| dir.next().is_some()), "it is sealed");
    done.recv_timeout(Duration::from_secs(30)).expect("the next run goes on").unwrap();
}

#[test]
fn a_panic_in_a_thread_ends_the_run_with_an_error() {
    for workers in [1, 2, 4] {
        for (op, name) in [(Op::Read, "a"), (Op::Stat, "c"), (Op::OpenDir, "sub"), (Op::Stat, "d")] {
            panic_at(op, name, workers);
        }
    }
}

/// Runs a verb in a thread of its own; panics unless it ends in time, with the error of a panic.
fn assert_ends_with_the_panic(verb: &str, run: impl FnOnce() -> Result<(), Error> + Send + 'static) {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(run()).unwrap());
    let ended = done.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{verb} hangs, or panics"));
    match ended {
        Err(error @ Error::Bug { .. }) => assert!(error.to_string().contains("the test wants"), "{verb}: {error}"),
        other => panic!("{verb}: {other:?}"),
    }
}

#[test]
fn a_panic_in_a_thread_ends_verify_find_and_versions_with_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig::below(temp.path());
    fs::create_dir_all(rig.source.join("sub")).unwrap();
    for name in ["a", "b", "sub/c"] {
        fs::write(rig.source.join(name), name).unwrap();
    }
    for _ in 0..3 {
        assert!(rig.backup(Seams::default()).unwrap().snapshot.is_some());
    }
    let panics_at = |op: Op, end: &'static str| {
        watch::seam(move |call, path| {
            let is_it = call.op == op && path.to_string_lossy().ends_with(end);
            assert!(!is_it, "this is what the test wants");
            Verdict::Go
        })
    };
    // A worker reads a file, and the walk lists a folder.
    for (op, end) in [(Op::Stat, "docs/b"), (Op::OpenFile, "docs/sub/c"), (Op::OpenDir, "docs/sub")] {
        for workers in [1, 3] {
            let (rig, seam) = (rig.clone(), panics_at(op, end));
            assert_ends_with_the_panic("verify", move || {
                let (level, snapshots) = (VerifyLevel::Full, Vec::new());
                let options = VerifyOptions { job: None, snapshots, level, against_source: false, workers };
                rig.with(seam, |ctx, target| verify(ctx, target, &options)).map(drop)
            });
        }
    }
    let (searched, seam) = (rig.clone(), panics_at(Op::Read, ".manifest.zst"));
    assert_ends_with_the_panic("find", move || {
        let options = FindOptions { pattern: "*".into(), ..FindOptions::default() };
        searched.with(seam, |ctx, target| find(ctx, target, &options, &mut |_| {})).map(drop)
    });
    let seam = panics_at(Op::Read, ".manifest.zst");
    assert_ends_with_the_panic("versions", move || {
        rig.with(seam, |ctx, target| versions(ctx, target, JOB, b"docs/a")).map(drop)
    });
}

#[test]
fn a_panic_in_a_thread_ends_a_restore_with_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig::below(temp.path());
    fs::create_dir(&rig.source).unwrap();
    fs::write(rig.source.join("a"), "several names").unwrap();
    for other in ["b", "c", "d", "e"] {
        fs::hard_link(rig.source.join("a"), rig.source.join(other)).unwrap();
    }
    let snapshot = rig.backup(Seams::default()).unwrap().snapshot.unwrap();
    let mut options = RestoreOptions::new(JOB, &snapshot, Place::To(temp.path().join("out")));
    options.seam = watch::seam(|call, _| {
        assert!(call.op != Op::Write, "this is what the test wants");
        Verdict::Go
    });
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(rig.restore(&options).map(drop)).unwrap());
    let ended = done.recv_timeout(Duration::from_secs(30)).expect("the restore hangs, or panics");
    assert!(matches!(&ended, Err(Error::Bug { .. })), "{ended:?}");
}

#[test]
fn a_backup_leaves_the_access_times_of_its_source_alone() {
    let temp = tempfile::tempdir().unwrap();
    let docs = temp.path().join("docs");
    fs::create_dir_all(docs.join("sub")).unwrap();
    fs::write(docs.join("sub/file"), "content").unwrap();
    let paths = ["", "sub", "sub/file"].map(|path| docs.join(path));
    // Read before they were changed, long ago: then every system notes that they are read.
    let time = |seconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    for path in paths.iter().rev() {
        let times = rustix::fs::Timestamps { last_access: time(1_000_000_000), last_modification: time(1_100_000_000) };
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    let bench = Bench::new(&docs, &temp.path().join("target"));
    for _ in 0..2 {
        let _report = bench.backup_all();
        let accessed = paths.each_ref().map(|path| fs::metadata(path).unwrap().atime());
        assert_eq!(accessed, [1_000_000_000; 3]);
    }
}

#[test]
fn without_proc_nothing_is_lost_in_silence() {
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig::below(temp.path());
    fs::create_dir_all(rig.source.join("sub")).unwrap();
    for name in ["plain", "noted", "sub/mode", "group"] {
        fs::write(rig.source.join(name), name).unwrap();
    }
    set_xattr(&rig.source.join("noted"), "user.note", b"a note");
    fs::hard_link(rig.source.join("group"), rig.source.join("sub/group")).unwrap();
    let run = || {
        let mut run = std::process::Command::new("unshare");
        run.args(["--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hb-run")]);
        run.args([&rig.source, &rig.target]).status().unwrap().code()
    };
    let newest = || rig.snapshot(fs::read_link(rig.target.join("test/latest")).unwrap().to_str().unwrap()).join("docs");
    assert_eq!(run(), Some(0), "files and folders are stored without");
    compare::assert_same(&rig.source, &newest(), Strictness::FULL);
    // Their ctime moved: what was stored of them is looked at again.
    for name in ["plain", "noted", "sub/mode", "group"] {
        fs::set_permissions(rig.source.join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    set_xattr(&rig.source.join("plain"), "user.note", b"another note");
    assert_eq!(run(), Some(0), "files and folders are compared without");
    compare::assert_same(&rig.source, &newest(), Strictness::FULL);
    std::os::unix::fs::symlink("plain", rig.source.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, rig.source.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for _ in 0..2 {
        assert_eq!(run(), Some(3), "what cannot be read of symlinks and pipes is a problem");
        assert_eq!(fs::read_link(newest().join("link")).unwrap(), Path::new("plain"));
        assert!(fs::symlink_metadata(newest().join("pipe")).is_ok());
    }
}
