//! Restores on plain files in temporary folders.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests look at the disk with other code than the product's"
)]

mod support;

use hardback_engine::exclude::{DirectoryMarkers, ExcludeBuilder, ExcludeRules};
use hardback_engine::{
    Answer, BackupOptions, Cancel, Context, Counters, Error, Excludes, Overwrite, Place, ProblemKind, RestoreAction,
    RestoreOptions, SystemClock, open_or_create_target, restore,
};
use hardback_platform::{Attributes, Call, Dir, Kind, Op, Owner, Seam, Time, Verdict, Watch};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::*;

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn rules(text: &str) -> ExcludeRules {
    ExcludeBuilder::new().file(text.as_bytes(), "test").build().unwrap()
}

fn zoo(bench: &Bench) {
    bench.write("plain.txt", "plain");
    bench.write("empty", "");
    bench.write("sub/deep/run.sh", "#!/bin/sh");
    set_mode(&bench.source.join("sub/deep/run.sh"), 0o4751);
    set_mode(&bench.source.join("sub/deep"), 0o2511);
    symlink("../plain.txt", bench.source.join("sub/link")).unwrap();
    symlink("nowhere", bench.source.join("dangling")).unwrap();
    bench.write("a name", "x");
    fs::hard_link(bench.source.join("a name"), bench.source.join("sub/other name")).unwrap();
    fs::hard_link(bench.source.join("a name"), bench.source.join("zz")).unwrap();
    let dir = bench.source_dir();
    dir.make_node(b"fifo", Kind::Fifo, 0o640, (0, 0)).unwrap();
    dir.make_node(b"sock", Kind::Socket, 0o600, (0, 0)).unwrap();
    dir.set_xattr(b"plain.txt", b"user.note", b"hello \0 there").unwrap();
    dir.set_xattr(b"a name", b"user.shared", b"by all names").unwrap();
    dir.set_xattr(b"sub", b"user.dir", b"1").unwrap();
    dir.set_mtime(b"dangling", Time { seconds: 1_000_000_000, nanos: 123_456_789 }).unwrap();
    dir.set_mtime(b"plain.txt", Time { seconds: -5, nanos: 999_999_999 }).unwrap();
    if hardback_platform::is_privileged() {
        dir.make_node(b"null", Kind::CharDevice, 0o666, (1, 3)).unwrap();
        dir.set_owner(b"empty", Owner { uid: 12_345, gid: 54_321 }).unwrap();
    }
    dir.set_mtime(b"sub", Time { seconds: 1_234_567_890, nanos: 1 }).unwrap();
}

#[test]
fn everything_comes_back_as_it_was() {
    let bench = Bench::new();
    zoo(&bench);
    let before = listing(&bench.source);
    let snapshot = bench.backup();
    let report = bench.restore_well(&bench.options(&snapshot));
    assert!(report.limitations.is_empty(), "{:?}", report.limitations);
    assert_eq!(listing(&bench.out.join("docs")), before);
    assert_eq!(inode(&bench.out.join("docs/zz")), inode(&bench.out.join("docs/sub/other name")));
    // Nothing that was restored is the snapshot's own file.
    assert_ne!(inode(&bench.out.join("docs/plain.txt")), inode(&bench.stored(&snapshot, "plain.txt")));
    assert_eq!((report.linked, report.replaced, report.kept), (2, 0, 0));
    // Again, over what is there: nothing to do.
    let again = bench.restore_well(&bench.options(&snapshot));
    assert_eq!((again.made, again.replaced, again.kept, again.bytes), (0, 0, 0, 0));
    let mut always = bench.options(&snapshot);
    always.overwrite = Overwrite::Always;
    let again = bench.restore_well(&always);
    assert_eq!((again.made, again.replaced, again.kept, again.bytes), (0, 0, 0, 0));
    assert_eq!(listing(&bench.out.join("docs")), before);
}

#[test]
fn a_dry_run_counts_the_bytes() {
    let bench = Bench::new();
    zoo(&bench);
    let snapshot = bench.backup();
    for prepare in [None, Some("docs"), Some("docs/sub")] {
        if let Some(folder) = prepare {
            fs::remove_dir_all(bench.out.join("docs")).unwrap();
            fs::create_dir_all(bench.out.join(folder)).unwrap();
            write(&bench.out.join("docs/plain.txt"), "another");
        }
        let mut options = bench.options(&snapshot);
        options.overwrite = Overwrite::Always;
        options.dry_run = true;
        let dry = bench.restore_well(&options);
        options.dry_run = false;
        let real = bench.restore_well(&options);
        assert_eq!((dry.bytes, dry.made, dry.replaced), (real.bytes, real.made, real.replaced), "{prepare:?}");
        assert_eq!(real.bytes, 15);
    }
}

#[test]
fn holes_come_back_as_holes() {
    let bench = Bench::new();
    let file = fs::File::create(bench.source.join("sparse")).unwrap();
    file.write_at(b"data", 8 << 20).unwrap();
    file.set_len(64 << 20).unwrap();
    let snapshot = bench.backup();
    drop(bench.restore_well(&bench.options(&snapshot)));
    let restored = fs::metadata(bench.out.join("docs/sparse")).unwrap();
    assert_eq!(restored.len(), 64 << 20);
    assert!(restored.blocks() * 512 <= 128 << 10, "{} blocks", restored.blocks());
}

#[test]
fn paths_land_below_their_source_and_parents_that_exist_stay_as_they_are() {
    let bench = Bench::new();
    bench.write("a/b/c.txt", "c");
    bench.write("a/b/other.txt", "o");
    bench.write("a/x/y.txt", "y");
    set_mode(&bench.source.join("a"), 0o701);
    set_mode(&bench.source.join("a/b"), 0o705);
    let snapshot = bench.backup();
    fs::create_dir_all(bench.out.join("docs/a")).unwrap();
    set_mode(&bench.out.join("docs/a"), 0o777);
    let mut options = bench.options(&snapshot);
    options.paths = vec![b"docs/a/b/c.txt".to_vec()];
    let report = bench.restore_well(&options);
    assert_eq!(read(&bench.out.join("docs/a/b/c.txt")), "c");
    assert!(!bench.out.join("docs/a/b/other.txt").exists() && !bench.out.join("docs/a/x").exists());
    assert_eq!(mode(&bench.out.join("docs/a")), 0o777);
    assert_eq!(mode(&bench.out.join("docs/a/b")), 0o705);
    assert_eq!(mtime(&bench.out.join("docs/a/b")), mtime(&bench.source.join("a/b")));
    assert_eq!(report.made, 2);
    options.paths = vec![b"docs/a/b/c.txt".to_vec(), b"docs/nothing".to_vec()];
    assert_eq!(found(&bench.restore(&options).problems), [(ProblemKind::Missing, "docs/nothing".into())]);
    options.paths = vec![b"nothing".to_vec()];
    assert!(matches!(bench.try_restore(&options), Err(hardback_engine::Error::NotFound { .. })));
}

#[test]
fn the_overwrite_matrix() {
    for (overwrite, expected) in [
        (Overwrite::Never, ["mine, older", "mine, newer"]),
        (Overwrite::Newer, ["stored", "mine, newer"]),
        (Overwrite::Always, ["stored", "stored"]),
    ] {
        let bench = Bench::new();
        bench.write("old", "stored");
        bench.write("new", "stored");
        let snapshot = bench.backup();
        let here = bench.out.join("docs");
        write(&here.join("old"), "mine, older");
        write(&here.join("new"), "mine, newer");
        let dir = Dir::open(&here, Seam::default()).unwrap();
        dir.set_mtime(b"old", Time { seconds: 1000, nanos: 0 }).unwrap();
        dir.set_mtime(b"new", Time { seconds: 99_999_999_999, nanos: 0 }).unwrap();
        let mut options = bench.options(&snapshot);
        options.overwrite = overwrite;
        let report = bench.restore_well(&options);
        assert_eq!([read(&here.join("old")), read(&here.join("new"))], expected, "{overwrite:?}");
        let replaced = expected.iter().filter(|e| **e == "stored").count() as u64;
        assert_eq!((report.replaced, report.set_aside, report.kept), (replaced, replaced, 2 - replaced));
        // What was replaced is kept beside.
        if replaced > 0 {
            assert_eq!(read(&here.join("old.before-restore")), "mine, older");
        }
    }
}

#[test]
fn asking_decides_each_and_the_same_content_is_not_kept_twice() {
    let bench = Bench::new();
    bench.write("a", "a");
    bench.write("b", "b");
    let snapshot = bench.backup();
    write(&bench.out.join("docs/a"), "mine");
    write(&bench.out.join("docs/b"), "b");
    let mut options = bench.options(&snapshot);
    options.overwrite = Overwrite::Ask;
    options.workers = 1;
    let mut asked = Vec::new();
    let mut ask = |path: &hardback_platform::RelPath| {
        asked.push(path.to_string());
        if path.name() == b"a" { Answer::Keep } else { Answer::Replace }
    };
    let report = with_context(|ctx| restore(ctx, &bench.open(), &options, &mut ask)).unwrap();
    assert_eq!(asked, ["docs/a", "docs/b"]);
    assert_eq!((read(&bench.out.join("docs/a")), report.replaced, report.set_aside), ("mine".into(), 1, 0));
    assert_eq!(mtime(&bench.out.join("docs/b")), mtime(&bench.source.join("b")));
}

#[test]
fn a_symlink_that_was_planted_is_not_followed() {
    let bench = Bench::new();
    bench.write("file", "stored");
    bench.write("folder/inner", "stored");
    let snapshot = bench.backup();
    write(&bench.path("outside/file"), "outside");
    let here = bench.out.join("docs");
    fs::create_dir_all(&here).unwrap();
    symlink(bench.path("outside"), here.join("folder")).unwrap();
    symlink(bench.path("outside/file"), here.join("file")).unwrap();
    let mut options = bench.options(&snapshot);
    let report = bench.restore(&options);
    assert_eq!(found(&report.problems), [(ProblemKind::NotRestored, "docs/folder".into())]);
    options.overwrite = Overwrite::Always;
    drop(bench.restore_well(&options));
    assert_eq!(read(&bench.path("outside/file")), "outside");
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 1);
    assert_eq!(read(&here.join("folder/inner")), "stored");
    assert_eq!(read(&here.join("file")), "stored");
    assert!(fs::symlink_metadata(here.join("folder.before-restore")).unwrap().is_symlink());
}

#[test]
fn a_damaged_file_never_replaces_a_good_one() {
    let bench = Bench::new();
    bench.write("here", "stored");
    bench.write("gone", "stored");
    let snapshot = bench.backup();
    for name in ["here", "gone"] {
        fs::write(bench.stored(&snapshot, name), "STORED").unwrap();
    }
    write(&bench.out.join("docs/here"), "good");
    let mut options = bench.options(&snapshot);
    options.overwrite = Overwrite::Always;
    let report = bench.restore(&options);
    let damaged = |path: &str| (ProblemKind::Damaged, path.to_owned());
    assert_eq!(found(&report.problems), [damaged("docs/gone"), damaged("docs/here")]);
    assert_eq!(read(&bench.out.join("docs/here")), "good");
    assert_eq!(read(&bench.out.join("docs/gone")), "STORED");
    assert_eq!(fs::read_dir(bench.out.join("docs")).unwrap().count(), 2);
}

#[test]
fn folders_in_which_something_was_deleted_have_the_time_of_the_snapshot() {
    for overwrite in [Overwrite::Never, Overwrite::Newer, Overwrite::Always] {
        let bench = Bench::new();
        bench.write("sub/deep/a", "a");
        bench.write("sub/gone/b", "b");
        let folders = ["", "sub", "sub/deep"].map(|name| bench.source.join(name));
        let before = folders.clone().map(|folder| mtime(&folder));
        let snapshot = bench.backup();
        set_mode(&folders[1], 0o750);
        bench.write("new", "");
        bench.write("sub/new/new", "");
        bench.write("sub/deep/new", "");
        fs::remove_file(bench.source.join("sub/deep/a")).unwrap();
        let mut options = bench.options(&snapshot);
        (options.place, options.delete, options.overwrite) = (Place::InPlace, true, overwrite);
        assert_eq!(bench.restore_well(&options).deleted, 3);
        assert_eq!(folders.clone().map(|folder| mtime(&folder)), before, "{overwrite:?}");
        // Nothing else of a folder that is there changes unless that was asked for.
        assert_eq!(mode(&folders[1]), if overwrite == Overwrite::Always { 0o755 } else { 0o750 }, "{overwrite:?}");
    }
}

#[test]
fn delete_removes_only_below_restored_folders_and_lists_it() {
    let bench = Bench::new();
    bench.write("sub/kept", "k");
    bench.write("top", "t");
    let snapshot = bench.backup();
    let aside = "docs/part/in/a.before-restore-2";
    for extra in ["docs/extra", "docs/sub/extra/deep/er", "docs/cache/x", "docs/a.before-restore", "beside", aside] {
        write(&bench.out.join(extra), "mine");
    }
    write(&bench.out.join("docs/part/in/gone"), "mine");
    write(&bench.out.join("docs/part/out/gone"), "mine");
    let mut options = bench.options(&snapshot);
    options.delete = true;
    options.protected.excludes.rules = rules("/cache/\n");
    options.dry_run = true;
    let dry = bench.restore_well(&options);
    assert!(bench.out.join("docs/extra").exists());
    options.dry_run = false;
    let report = bench.restore_well(&options);
    let deleted = |r: &hardback_engine::RestoreReport| -> Vec<String> {
        let all = r.actions.iter().filter(|(_, a)| *a == RestoreAction::Delete);
        all.map(|(p, _)| String::from_utf8_lossy(p).into_owned()).collect()
    };
    let parts = ["docs/part/in/gone", "docs/part/out", "docs/part/out/gone"];
    assert_eq!(deleted(&report), [&["docs/extra"][..], &parts, &["docs/sub/extra"]].concat());
    assert_eq!(deleted(&dry), deleted(&report));
    for kept in ["docs/cache/x", "docs/a.before-restore", "beside", "docs/sub/kept", "docs/top", aside] {
        assert!(bench.out.join(kept).exists(), "{kept}");
    }
    assert!(!bench.out.join("docs/sub/extra").exists() && !bench.out.join("docs/extra").exists());
}

/// A source of which a backup leaves a part out in every way that there is.
fn with_excluded(bench: &Bench) -> (Excludes, BackupOptions) {
    for path in ["kept", "a.o", "sub/b.o", "cache/x", "listed/x.tmp", "listed/deep/y.tmp", "listed/kept"] {
        bench.write(path, "x");
    }
    bench.write("marked/.nobackup", "");
    bench.write("marked/sub/x", "x");
    bench.write("listed/.hardbackignore", "*.tmp\n");
    bench.write("large", &"x".repeat(1000));
    let markers = DirectoryMarkers { if_present: vec![b".nobackup".to_vec()], ..DirectoryMarkers::default() };
    let excludes = Excludes { rules: rules("*.o\n/cache/\n"), markers };
    (excludes, BackupOptions { max_size_file_bytes: Some(500), ..BackupOptions::default() })
}

/// Restores in place, deleting.
fn delete_in_place(bench: &Bench, snapshot: &str, choose: impl Fn(&mut RestoreOptions)) -> Result<Vec<String>, Error> {
    let mut options = bench.options(snapshot);
    (options.place, options.delete, options.overwrite) = (Place::InPlace, true, Overwrite::Always);
    choose(&mut options);
    let report = bench.try_restore(&options)?;
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let deleted = report.actions.iter().filter(|(_, a)| *a == RestoreAction::Delete);
    Ok(deleted.map(|(p, _)| String::from_utf8_lossy(p).into_owned()).collect())
}

#[test]
fn delete_leaves_alone_what_the_backup_left_out() {
    let bench = Bench::new();
    let (excludes, options) = with_excluded(&bench);
    let snapshot = bench.backup_without(&excludes, options).snapshot.unwrap();
    let before = listing(&bench.source);
    // The record says what that was.
    let protect = |_: &mut RestoreOptions| {};
    assert_eq!(delete_in_place(&bench, &snapshot, protect).unwrap(), [""; 0]);
    assert_eq!(listing(&bench.source), before);
    // The list and the marker are gone, as in an accident: those of the snapshot count.
    fs::remove_file(bench.source.join("listed/.hardbackignore")).unwrap();
    fs::remove_file(bench.source.join("marked/.nobackup")).unwrap();
    bench.write("new/inner", "not in the snapshot");
    bench.write("new-marked/.nobackup", "");
    bench.write("new-marked/inner", "left out by the next backup");
    bench.write("new-listed/.hardbackignore", "inner\n");
    bench.write("new-listed/inner", "left out by the next backup");
    bench.write("new-listed/other", "not in the snapshot");
    bench.write("new-unneeded/.hardbackignore", "nothing\n");
    let deleted = ["docs/new", "docs/new-listed/other", "docs/new-unneeded"];
    assert_eq!(delete_in_place(&bench, &snapshot, protect).unwrap(), deleted);
    // The list that kept something is still there and keeps it.
    assert_eq!(delete_in_place(&bench, &snapshot, protect).unwrap(), [""; 0]);
    for kept in ["new-marked/inner", "new-listed/inner"] {
        assert!(bench.source.join(kept).exists(), "{kept}");
    }
    assert!(!bench.source.join("new-listed/other").exists());
    fs::remove_dir_all(bench.source.join("new-marked")).unwrap();
    fs::remove_dir_all(bench.source.join("new-listed")).unwrap();
    let contents = |lines: &[String]| lines.iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(contents(&listing(&bench.source)), contents(&before));
}

#[test]
fn delete_excluded_removes_what_the_backup_left_out() {
    let bench = Bench::new();
    let (excludes, options) = with_excluded(&bench);
    let snapshot = bench.backup_without(&excludes, options).snapshot.unwrap();
    let mut deleted = delete_in_place(&bench, &snapshot, |o| o.delete_excluded = true).unwrap();
    deleted.sort();
    let expected = ["a.o", "cache", "large", "listed/deep/y.tmp", "listed/x.tmp", "marked/sub", "sub/b.o"];
    assert_eq!(deleted, expected.map(|path| format!("docs/{path}")));
    assert!(bench.source.join("marked/.nobackup").exists() && bench.source.join("listed/kept").exists());
}

#[test]
fn a_list_that_cannot_be_understood_keeps_its_folder() {
    let bench = Bench::new();
    bench.write("sub/kept", "k");
    bench.write("top", "t");
    let snapshot = bench.backup();
    bench.write("sub/.hardbackignore", "[a\n");
    bench.write("sub/new", "n");
    bench.write("new", "n");
    let mut options = bench.options(&snapshot);
    (options.place, options.delete) = (Place::InPlace, true);
    let report = bench.restore(&options);
    assert_eq!(found(&report.problems), [(ProblemKind::Other, "docs/sub/.hardbackignore".into())]);
    assert!(bench.source.join("sub/new").exists() && !bench.source.join("new").exists());
}

/// Mounts that end with the test.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(std::process::Command::new("umount").arg(&self.0).status().unwrap().success());
    }
}

fn mount(args: &[&std::ffi::OsStr], at: &std::path::Path) -> Option<Mounted> {
    let output = std::process::Command::new("mount").args(args).arg(at).output().ok()?;
    output.status.success().then(|| Mounted(at.to_owned()))
}

#[test]
fn delete_never_touches_what_is_mounted_below() {
    let bench = Bench::new();
    for path in ["kept/k", "top"] {
        bench.write(path, "x");
    }
    fs::create_dir(bench.source.join("empty")).unwrap();
    let elsewhere = bench.path("elsewhere");
    write(&elsewhere.join("theirs"), "x");
    let snapshot = bench.backup();
    fs::create_dir_all(bench.source.join("new/bound")).unwrap();
    let tmpfs = ["-t", "tmpfs", "none"].map(std::ffi::OsStr::new);
    let bind = ["--bind".as_ref(), elsewhere.as_os_str()];
    // Another volume on a folder of the snapshot; this volume itself on one that the snapshot has, and on one not.
    let mounts = [(&tmpfs[..], "empty"), (&bind[..], "kept"), (&bind[..], "new/bound")];
    let mut mounted = Vec::new();
    for (args, at) in mounts {
        let Some(mount) = mount(args, &bench.source.join(at)) else {
            eprintln!("skipped: only root can mount");
            return;
        };
        mounted.push(mount);
    }
    bench.write("empty/theirs", "x");
    bench.write("new/mine", "x");
    assert_eq!(delete_in_place(&bench, &snapshot, |_| {}).unwrap(), ["docs/new/mine"]);
    assert!(bench.source.join("empty/theirs").exists() && elsewhere.join("theirs").exists());
    assert!(bench.source.join("new/bound").exists() && !bench.source.join("new/mine").exists());
}

#[test]
fn a_folder_that_the_backup_did_not_enter_counts_as_left_out() {
    let bench = Bench::new();
    bench.write("top", "t");
    fs::create_dir(bench.source.join("disk")).unwrap();
    let Some(_mounted) = mount(&["-t", "tmpfs", "none"].map(std::ffi::OsStr::new), &bench.source.join("disk")) else {
        eprintln!("skipped: only root can mount");
        return;
    };
    bench.write("disk/theirs", "x");
    let options = BackupOptions { one_file_system: true, ..BackupOptions::default() };
    let report = bench.backup_without(&Excludes::default(), options);
    assert_eq!(report.totals.excluded, 1);
    assert_eq!(delete_in_place(&bench, &report.snapshot.unwrap(), |o| o.delete_excluded = true).unwrap(), [""; 0]);
    assert!(bench.source.join("disk/theirs").exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let bench = Bench::new();
    bench.write("sub/a", "a");
    bench.write("b", "b");
    let snapshot = bench.backup();
    let mut options = bench.options(&snapshot);
    options.dry_run = true;
    let report = bench.restore_well(&options);
    assert!(!bench.out.exists());
    assert_eq!((report.made, report.actions.len()), (4, 4));
}

#[test]
fn in_place_brings_back_what_is_gone_or_changed() {
    let bench = Bench::new();
    zoo(&bench);
    let before = listing(&bench.source);
    let snapshot = bench.backup();
    fs::remove_dir_all(bench.source.join("sub")).unwrap();
    fs::remove_file(bench.source.join("fifo")).unwrap();
    fs::write(bench.source.join("plain.txt"), "changed").unwrap();
    let mut options = bench.options(&snapshot);
    options.place = Place::InPlace;
    options.overwrite = Overwrite::Always;
    options.keep_replaced = false;
    drop(bench.restore_well(&options));
    assert_eq!(listing(&bench.source), before);
    fs::remove_dir_all(&bench.source).unwrap();
    drop(bench.restore_well(&options));
    assert_eq!(listing(&bench.source), before);
}

#[test]
fn nothing_is_restored_into_a_target() {
    let bench = Bench::new();
    bench.write("a", "a");
    let snapshot = bench.backup();
    for inside in ["target", "target/test/new", "target/test"] {
        let mut options = bench.options(&snapshot);
        options.place = Place::To(bench.path(inside));
        assert!(matches!(bench.try_restore(&options), Err(hardback_engine::Error::Refused { .. })), "{inside}");
    }
}

/// Stops everything at the n-th call that changes something.
struct StopAt {
    left: AtomicU64,
}

impl Watch for StopAt {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let go = |n: u64| n.checked_sub(1);
        if !call.op.changes() || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, go).is_ok() {
            return Verdict::Go;
        }
        let stop = std::io::Error::from(std::io::ErrorKind::Interrupted);
        // Half of a write reaches the disk.
        if call.op == Op::Write { Verdict::Short(3, stop) } else { Verdict::Fail(stop) }
    }
}

#[test]
fn stopped_at_any_call_each_file_is_old_or_new_and_a_second_run_ends_it() {
    let bench = Bench::new();
    zoo(&bench);
    let before = listing(&bench.source);
    let snapshot = bench.backup();
    let mut ended = false;
    for n in 0..400 {
        fs::remove_dir_all(&bench.out).ok();
        write(&bench.out.join("docs/plain.txt"), "mine");
        let mut options = bench.options(&snapshot);
        options.overwrite = Overwrite::Always;
        options.workers = 1;
        options.seam = Seam::watched(Arc::new(StopAt { left: AtomicU64::new(n) }));
        let stopped = bench.try_restore(&options);
        let there = [bench.out.join("docs/plain.txt"), bench.out.join("docs/plain.txt.before-restore")];
        assert!(["mine", "plain"].contains(&&*read(&there[0])), "n = {n}");
        assert!(there.iter().any(|p| p.exists() && read(p) == "mine"), "n = {n}");
        options.seam = Seam::default();
        // What an interrupted run made is completed even where nothing that exists may be replaced.
        if read(&there[0]) == "plain" && mtime(&there[0]) == mtime(&bench.source.join("plain.txt")) {
            options.overwrite = Overwrite::Never;
        }
        drop(bench.restore_well(&options));
        fs::remove_file(&there[1]).unwrap();
        // The folder's own time moves with the removal above.
        let below = |all: &[String]| all.iter().filter(|l| !l.starts_with("\"\"")).cloned().collect();
        let (after, wanted): (Vec<_>, Vec<_>) = (below(&listing(&bench.out.join("docs"))), below(&before));
        assert_eq!(after, wanted, "n = {n}");
        if stopped.is_ok() {
            ended = true;
            break;
        }
    }
    assert!(ended, "the loop must reach a run that is not stopped");
}

#[test]
fn attributes_come_back_on_files_with_several_names_too() {
    let bench = Bench::new();
    bench.write("one", "1");
    bench.write("two", "2");
    bench.write("sub/x", "x");
    fs::hard_link(bench.source.join("two"), bench.source.join("sub/two")).unwrap();
    let bits = Attributes(Attributes::IMMUTABLE | Attributes::NODUMP);
    let set = |dir: &Dir, bits| ["one", "two", "sub"].iter().all(|n| dir.set_attributes(n.as_bytes(), bits).is_ok());
    if !set(&bench.source_dir(), bits) {
        set(&bench.source_dir(), Attributes(0));
        return;
    }
    let snapshot = bench.backup();
    let report = bench.restore_well(&bench.options(&snapshot));
    let out = Dir::open(&bench.out.join("docs"), Seam::default()).unwrap();
    let restored = ["one", "two"].map(|n| out.open_file(n.as_bytes()).unwrap().attributes());
    let folder = out.open_dir(b"sub").unwrap().attributes();
    let same = inode(&bench.out.join("docs/two")) == inode(&bench.out.join("docs/sub/two"));
    set(&bench.source_dir(), Attributes(0));
    set(&out, Attributes(0));
    assert_eq!((restored, folder, same), ([bits; 2], bits, true));
    assert!(report.limitations.is_empty(), "{:?}", report.limitations);
}

#[test]
fn a_tree_deeper_than_path_max_comes_back() {
    let bench = Bench::new();
    let name = [b'd'; 200];
    let mut dir = bench.source_dir();
    for _ in 0..200 {
        dir.make_dir(&name, 0o755).unwrap();
        dir = dir.open_dir(&name).unwrap();
        dir.create_file(b"file", 0o600).unwrap().write_all_at(b"deep", 0).unwrap();
    }
    let snapshot = bench.backup();
    assert_eq!(bench.restore_well(&bench.options(&snapshot)).made, 401);
    assert_eq!(bench.verify(hardback_engine::VerifyLevel::Full).problem_count, 0);
    let mut dir = Dir::open(&bench.out.join("docs"), Seam::default()).unwrap();
    for _ in 0..200 {
        dir = dir.open_dir(&name).unwrap();
        assert_eq!(dir.open_file(b"file").unwrap().read_to_vec(10).unwrap(), b"deep");
    }
}

#[test]
fn someone_who_swaps_folders_for_links_meanwhile_gets_nothing_written_outside() {
    let bench = Bench::new();
    for n in 0..400 {
        bench.write(&format!("a/{:02}/{n}", n % 20), "stored");
    }
    let snapshot = bench.backup();
    let outside = bench.path("outside");
    fs::create_dir(&outside).unwrap();
    let (here, aside) = (bench.out.join("docs/a"), bench.path("aside"));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                if fs::rename(&here, &aside).is_ok() {
                    symlink(&outside, &here).ok();
                    fs::remove_file(&here).ok();
                    fs::rename(&aside, &here).ok();
                }
            }
        });
        for _ in 0..20 {
            let mut options = bench.options(&snapshot);
            options.overwrite = Overwrite::Always;
            // Whatever becomes of it, it ends and stays inside.
            drop(bench.try_restore(&options));
            fs::remove_dir_all(bench.out.join("docs")).ok();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn names_of_one_file_that_are_stored_with_different_contents_come_back_with_their_own() {
    for (edited, keeps_time) in [("new", true), ("new", false), ("longer", true)] {
        let bench = Bench::new();
        bench.write("alocked/a", "old");
        fs::create_dir(bench.source.join("z")).unwrap();
        fs::hard_link(bench.source.join("alocked/a"), bench.source.join("alocked/a2")).unwrap();
        fs::hard_link(bench.source.join("alocked/a"), bench.source.join("z/b")).unwrap();
        drop(bench.backup());
        let time = bench.source_dir().open_dir(b"z").unwrap().stat(b"b").unwrap().mtime;
        // In place: the name is the same inode as before.
        bench.write("z/b", edited);
        fs::hard_link(bench.source.join("z/b"), bench.source.join("z/c")).unwrap();
        if keeps_time {
            bench.source_dir().open_dir(b"z").unwrap().set_mtime(b"b", time).unwrap();
        }
        let report = bench.backup_watched(locked(b"alocked"));
        assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, "docs/alocked".into())]);
        let snapshot = report.snapshot.unwrap();
        let docs = bench.out.join("docs");
        assert_eq!(read(&bench.stored(&snapshot, "alocked/a2")), "old");
        assert_eq!(read(&bench.stored(&snapshot, "z/b")), edited);
        drop(bench.restore_well(&bench.options(&snapshot)));
        let contents = ["alocked/a", "alocked/a2", "z/b", "z/c"].map(|name| read(&docs.join(name)));
        assert_eq!(contents, ["old", "old", edited, edited], "{edited:?}, {keeps_time}");
        assert_eq!(inode(&docs.join("alocked/a")), inode(&docs.join("alocked/a2")));
        assert_eq!(inode(&docs.join("z/b")), inode(&docs.join("z/c")));
    }
}

#[test]
fn a_folder_that_was_not_read_is_named_unless_an_older_version_stands_in() {
    let bench = Bench::new();
    bench.write("sub/a", "old");
    let first = bench.backup_watched(locked(b"sub")).snapshot.unwrap();
    for dry_run in [true, false] {
        let mut options = bench.options(&first);
        options.dry_run = dry_run;
        let report = bench.restore(&options);
        assert_eq!(found(&report.problems), [(ProblemKind::NotRestored, "docs/sub".into())]);
        assert_eq!(report.stored_with_problem, 0);
    }
    assert_eq!(fs::read_dir(bench.out.join("docs/sub")).unwrap().count(), 0);
    drop(bench.backup());
    let third = bench.backup_watched(locked(b"sub")).snapshot.unwrap();
    let report = bench.restore_well(&bench.options(&third));
    assert_eq!((report.stored_with_problem, read(&bench.out.join("docs/sub/a"))), (1, "old".into()));
}

#[test]
fn a_folder_that_keeps_us_out_as_it_did_the_backup_is_told_once() {
    let bench = Bench::new();
    bench.write("sub/a", "a");
    let snapshot = bench.backup_watched(locked(b"sub")).snapshot.unwrap();
    let target = open_or_create_target(&bench.target, None, &SystemClock, locked(b"sub")).unwrap().target;
    let report = with_context(|ctx| restore(ctx, &target, &bench.options(&snapshot), &mut |_| Answer::Keep)).unwrap();
    assert_eq!(found(&report.problems), [(ProblemKind::NotRestored, "docs/sub".into())]);
    // At its place too.
    let options = RestoreOptions { seam: locked(b"sub"), ..bench.options(&snapshot) };
    let report = bench.restore(&options);
    let told: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found(&report.problems), [(ProblemKind::NotRestored, "docs/sub".into())]);
    assert!(!told[0].contains("below it"), "{told:?}");
}

#[test]
fn a_folder_on_which_something_is_mounted_keeps_its_metadata_and_what_it_holds() {
    let bench = Bench::new();
    for path in ["disk/in", "disk/sub/in", "bound/in"] {
        bench.write(path, "x");
    }
    let times = Time { seconds: 1_000_000_000, nanos: 0 };
    for name in [&b"disk"[..], b"bound"] {
        bench.source_dir().set_mtime(name, times).unwrap();
    }
    set_mode(&bench.source.join("disk"), 0o751);
    set_mode(&bench.source.join("bound"), 0o751);
    let snapshot = bench.backup();
    let elsewhere = bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    set_mode(&elsewhere, 0o710);
    let tmpfs = ["-t", "tmpfs", "-o", "mode=710", "none"].map(std::ffi::OsStr::new);
    let bind = ["--bind".as_ref(), elsewhere.as_os_str()];
    let mut mounted = Vec::new();
    for (args, at) in [(&tmpfs[..], "disk"), (&bind[..], "bound")] {
        let Some(mount) = mount(args, &bench.source.join(at)) else {
            eprintln!("skipped: only root can mount");
            return;
        };
        mounted.push(mount);
        bench.write(&format!("{at}/theirs"), "x");
        bench.write(&format!("{at}/sub/theirs"), "x");
    }
    for delete in [false, true] {
        let mut options = bench.options(&snapshot);
        (options.place, options.overwrite, options.delete) = (Place::InPlace, Overwrite::Always, delete);
        let report = bench.restore_well(&options);
        assert_eq!(report.deleted, 0);
        for at in ["disk", "bound"] {
            let here = bench.source.join(at);
            assert_eq!(mode(&here), 0o710, "{at}, {delete}");
            assert_ne!(mtime(&here).0, times.seconds, "{at}, {delete}");
            assert!(here.join("theirs").exists() && here.join("sub/theirs").exists());
            assert_eq!(read(&here.join("in")), "x");
        }
    }
}

/// Asks the verb to stop when something is written.
struct CancelAtWrite(Arc<Cancel>);

impl Watch for CancelAtWrite {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::Write {
            self.0.cancel();
        }
        Verdict::Go
    }
}

#[test]
fn a_sparse_file_that_was_stopped_in_its_hole_does_not_look_finished() {
    let bench = Bench::new();
    let file = fs::File::create(bench.source.join("sparse")).unwrap();
    file.write_at(b"data", 0).unwrap();
    file.set_len(64 << 20).unwrap();
    let snapshot = bench.backup();
    let cancel = Arc::new(Cancel::default());
    let mut options = bench.options(&snapshot);
    options.seam = Seam::watched(Arc::new(CancelAtWrite(cancel.clone())));
    let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &Counters::default(), cancel: &cancel };
    let stopped = restore(&ctx, &bench.open(), &options, &mut |_| Answer::Keep);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!(!bench.out.join("docs/sparse").exists());
    // Nor does the folder that misses it: it gets its metadata by the run that ends this one.
    assert_ne!(mtime(&bench.out.join("docs")), mtime(&bench.source));
    drop(bench.restore_well(&bench.options(&snapshot)));
    assert_eq!(listing(&bench.out.join("docs")), listing(&bench.source));
}

/// A disk that is full when something is to be written.
struct FullAtWrite;

impl Watch for FullAtWrite {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::Write { Verdict::Fail(std::io::ErrorKind::StorageFull.into()) } else { Verdict::Go }
    }
}

#[test]
fn a_full_place_is_named_and_no_snapshot_is_to_blame() {
    let bench = Bench::new();
    bench.write("a", "some bytes");
    let snapshot = bench.backup();
    let mut options = bench.options(&snapshot);
    options.seam = Seam::watched(Arc::new(FullAtWrite));
    let full = bench.try_restore(&options);
    let Err(Error::Refused { message, hint: Some(hint) }) = full else { panic!("{full:?}") };
    assert!(message.starts_with(&format!("{} is full: cannot write ", bench.out.display())), "{message}");
    assert!(hint.contains("--to") && !hint.contains("snapshot"), "{hint}");
}

#[test]
fn an_edit_with_size_and_time_put_back_is_replaced() {
    let bench = Bench::new();
    bench.write("a", "as it was");
    let snapshot = bench.backup();
    let mut options = bench.options(&snapshot);
    drop(bench.restore_well(&options));
    let path = bench.out.join("docs/a");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "tampered!").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    options.overwrite = Overwrite::Always;
    let report = bench.restore_well(&options);
    assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
    assert_eq!(report.replaced, 1);
}
