//! `restore --delete` by the rules of the backup: what it did not look at stays.
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

mod support;

use hardback_engine::exclude::{DirectoryMarkers, ExcludeBuilder, RuleOrigin};
use hardback_engine::{BackupOptions, Error, Excludes, Place, ProblemKind, RestoreAction, RestoreOptions};
use hardback_platform::{Attributes, Call, Op, Seam, Verdict, Watch};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{Bench, forge_record, locked, unnamable, vanished};

fn excludes(patterns: &[&str], if_present: &[&str]) -> Excludes {
    let add = |builder: ExcludeBuilder, (index, text): (usize, &&str)| {
        builder.pattern(text.as_bytes(), RuleOrigin::CommandLine { index })
    };
    let if_present = if_present.iter().map(|name| name.as_bytes().to_vec()).collect();
    Excludes {
        rules: patterns.iter().enumerate().fold(ExcludeBuilder::new(), add).build().unwrap(),
        markers: DirectoryMarkers { if_present, ..DirectoryMarkers::default() },
    }
}

/// Restores in place; returns what was deleted.
fn delete(bench: &Bench, snapshot: &str, choose: impl Fn(&mut RestoreOptions)) -> Result<Vec<String>, Error> {
    let mut options = bench.options(snapshot);
    (options.place, options.delete) = (Place::InPlace, true);
    choose(&mut options);
    let report = bench.try_restore(&options)?;
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let deleted = report.actions.iter().filter(|(_, a)| *a == RestoreAction::Delete);
    Ok(deleted.map(|(p, _)| String::from_utf8_lossy(p).into_owned()).collect())
}

/// Makes a record one that does not say by which rules something was left out, as older ones do not.
fn forget_rules(bench: &Bench, snapshot: &str) {
    forge_record(bench, snapshot, |bytes| {
        let header_bytes = zstd::zstd_safe::find_frame_compressed_size(bytes).unwrap();
        let header = String::from_utf8(zstd::bulk::decompress(&bytes[..header_bytes], 1 << 20).unwrap()).unwrap();
        let header = &header[..header.find("# excludes ").unwrap()];
        let mut forgetful = zstd::bulk::compress(header.as_bytes(), 3).unwrap();
        forgetful.extend_from_slice(&bytes[header_bytes..]);
        forgetful
    });
}

#[test]
fn delete_is_refused_where_something_was_left_out_and_nobody_knows_what() {
    let bench = Bench::new();
    for path in ["kept", "a.o", "b.o"] {
        bench.write(path, "x");
    }
    let rules = excludes(&["*.o"], &[]);
    let snapshot = bench.backup_without(&rules, BackupOptions::default()).snapshot.unwrap();
    forget_rules(&bench, &snapshot);
    bench.write("new", "x");
    for dry_run in [true, false] {
        match delete(&bench, &snapshot, |o| o.dry_run = dry_run) {
            Err(error @ Error::Refused { .. }) => {
                assert!(error.to_string().contains("2 entries"), "{error}");
                assert!(error.hint().unwrap().contains("--delete-excluded"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(delete(&bench, &snapshot, |o| o.protected.excludes = rules.clone()).unwrap(), ["docs/new"]);
    assert_eq!(delete(&bench, &snapshot, |o| o.delete_excluded = true).unwrap(), ["docs/a.o", "docs/b.o"]);
    // Nothing was left out: there is nothing to refuse.
    let all = bench.backup();
    forget_rules(&bench, &all);
    assert_eq!(delete(&bench, &all, |_| {}).unwrap(), [""; 0]);
}

#[test]
fn what_the_user_names_is_left_alone_beside_what_the_backup_left_out() {
    let bench = Bench::new();
    for path in ["kept", "a.o"] {
        bench.write(path, "x");
    }
    let snapshot = bench.backup_without(&excludes(&["*.o"], &[]), BackupOptions::default()).snapshot.unwrap();
    for path in ["b.o", "c.txt", "new"] {
        bench.write(path, "x");
    }
    let named = excludes(&["*.txt"], &[]);
    assert_eq!(delete(&bench, &snapshot, |o| o.protected.excludes = named.clone()).unwrap(), ["docs/new"]);
}

#[test]
fn what_was_left_out_for_what_it_was_then_stays_whatever_it_is_now() {
    let bench = Bench::new();
    for path in ["sub/kept", "marked/x", "marked/sub/x", "marked/.stop/here", "hidden/x.tmp", "hidden/deep/y.tmp"] {
        bench.write(path, "x");
    }
    for path in ["large", "sub/large"] {
        bench.write(path, &"x".repeat(1000));
    }
    // The list leaves itself out, and the marker is a folder: the snapshot has neither.
    bench.write("hidden/.hardbackignore", "*.tmp\n.hardback*\n");
    let nodump = |on: bool| {
        let bits = Attributes(if on { Attributes::NODUMP } else { 0 });
        bench.source_dir().set_attributes(b"nodump", bits)
    };
    fs::create_dir(bench.source.join("nodump")).unwrap();
    bench.write("nodump/x", "x");
    let has_nodump = nodump(true).is_ok();
    let options = BackupOptions {
        max_size_file_bytes: Some(500),
        exclude_nodump: has_nodump,
        hot_window_s: 0,
        ..BackupOptions::default()
    };
    let report = bench.backup_without(&excludes(&[], &[".stop"]), options);
    let snapshot = report.snapshot.unwrap();
    for path in ["large", "sub/large"] {
        bench.write(path, "small");
    }
    fs::remove_file(bench.source.join("hidden/.hardbackignore")).unwrap();
    fs::remove_dir_all(bench.source.join("marked/.stop")).unwrap();
    if has_nodump {
        nodump(false).unwrap();
    }
    bench.write("sub/new", "x");
    assert_eq!(delete(&bench, &snapshot, |_| {}).unwrap(), ["docs/sub/new"]);
    for path in ["marked/x", "marked/sub/x", "hidden/x.tmp", "hidden/deep/y.tmp", "large", "sub/large", "nodump/x"] {
        assert!(bench.source.join(path).exists(), "{path}");
    }
    let mut all = delete(&bench, &snapshot, |o| o.delete_excluded = true).unwrap();
    all.retain(|path| path != "docs/nodump");
    let expected = ["hidden/deep/y.tmp", "hidden/x.tmp", "large", "marked/sub", "marked/x", "sub/large"];
    assert_eq!(all, expected.map(|path| format!("docs/{path}")));
}

#[test]
fn what_a_list_or_marker_kept_out_that_was_itself_too_large_stays() {
    let bench = Bench::new();
    for path in ["kept", "marked/x", "marked/sub/x", "listed/x.tmp", "listed/deep/y.tmp"] {
        bench.write(path, "x");
    }
    bench.write("marked/.stop", &"x".repeat(1000));
    bench.write("listed/.hardbackignore", &"*.tmp\n".repeat(200));
    let options = BackupOptions { max_size_file_bytes: Some(500), ..BackupOptions::default() };
    let snapshot = bench.backup_without(&excludes(&[], &[".stop"]), options).snapshot.unwrap();
    for path in ["marked/.stop", "listed/.hardbackignore"] {
        fs::remove_file(bench.source.join(path)).unwrap();
    }
    bench.write("new", "x");
    assert_eq!(delete(&bench, &snapshot, |_| {}).unwrap(), ["docs/new"]);
}

#[test]
fn what_was_not_there_for_the_moment_of_the_backup_stays() {
    let bench = Bench::new();
    for path in ["kept", "file", "sub/kept", "sub/file", "folder/x"] {
        bench.write(path, "x");
    }
    // As with an editor that removes a file and makes it again.
    let report = bench.backup_watched(vanished(&[b"file", b"folder"]));
    assert_eq!((report.problems.len(), report.totals.entries), (3, 4), "{:?}", report.problems);
    let snapshot = report.snapshot.unwrap();
    // Nobody left it out: it is not for --delete-excluded to remove.
    for delete_excluded in [false, true] {
        bench.write("new", "x");
        assert_eq!(delete(&bench, &snapshot, |o| o.delete_excluded = delete_excluded).unwrap(), ["docs/new"]);
        for path in ["file", "sub/file", "folder/x"] {
            assert!(bench.source.join(path).exists(), "{path}");
        }
    }
}

#[test]
fn a_folder_that_the_target_could_not_name_stays() {
    let bench = Bench::new();
    for path in ["kept", "unnamable/x"] {
        bench.write(path, "x");
    }
    let report = bench.backup_into_watched(unnamable(b"unnam"));
    assert_eq!((report.problems.len(), report.totals.entries), (1, 2), "{:?}", report.problems);
    let snapshot = report.snapshot.unwrap();
    for delete_excluded in [false, true] {
        bench.write("new", "x");
        assert_eq!(delete(&bench, &snapshot, |o| o.delete_excluded = delete_excluded).unwrap(), ["docs/new"]);
        assert!(bench.source.join("unnamable/x").exists());
    }
}

#[test]
fn a_folder_that_can_be_neither_read_nor_named_is_a_problem_and_ends_no_run() {
    let bench = Bench::new();
    for path in ["kept", "sub/unnamable/x", "unnamed/x"] {
        bench.write(path, "x");
    }
    let all = Excludes::default();
    for has_base in [false, true] {
        let (source, target) = (locked(b"unnamed"), unnamable(b"unnamed"));
        let report = bench.backup_with(&all, source, target);
        let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
        assert_eq!((problem.kind, &problem.path[..]), (ProblemKind::NotStored, &b"docs/unnamed"[..]));
        assert!(problem.detail.contains("nor can the target hold its name"), "{}", problem.detail);
        assert_eq!((report.totals.problems, report.totals.entries), (1, 5), "{has_base}");
        bench.write("new", "x");
        assert_eq!(delete(&bench, &report.snapshot.unwrap(), |o| o.delete_excluded = true).unwrap(), ["docs/new"]);
        bench.backup();
    }
    // Of a folder that cannot be read the base's version is stored, as far as it can be named.
    let report = bench.backup_with(&all, locked(b"sub"), unnamable(b"unnamable"));
    let expected =
        [(ProblemKind::Unreadable, "docs/sub".to_owned()), (ProblemKind::NotStored, "docs/sub/unnamable".to_owned())];
    assert_eq!(support::found(&report.problems), expected);
    assert_eq!((report.totals.problems, report.totals.entries), (2, 5));
}

#[test]
fn what_a_marker_kept_out_that_could_not_be_opened_stays() {
    let bench = Bench::new();
    for path in ["kept", "marked/x", "marked/sub/x", "marked/.stop"] {
        bench.write(path, "x");
    }
    let report = bench.backup_with(&excludes(&[], &[".stop"]), locked(b".stop"), Seam::default());
    assert_eq!(support::found(&report.problems), [(ProblemKind::Unreadable, "docs/marked/.stop".to_owned())]);
    assert_eq!((report.totals.entries, report.totals.excluded), (4, 2));
    fs::remove_file(bench.source.join("marked/.stop")).unwrap();
    bench.write("new", "x");
    let mut options = bench.options(&report.snapshot.unwrap());
    (options.place, options.delete) = (Place::InPlace, true);
    let restored = bench.restore(&options);
    assert_eq!(restored.deleted, 1, "{:?}", restored.actions);
    assert!(bench.source.join("marked/sub/x").exists() && !bench.source.join("new").exists());
}

#[test]
fn a_tag_of_a_cache_that_cannot_be_read_leaves_nothing_out_and_lets_nothing_go() {
    let bench = Bench::new();
    bench.write("kept", "x");
    bench.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    bench.write("cache/x", "x");
    let markers = DirectoryMarkers { caches: true, ..DirectoryMarkers::default() };
    let caches = Excludes { markers, ..Excludes::default() };
    let snapshot = bench.backup_without(&caches, BackupOptions::default()).snapshot.unwrap();
    let is_closed = |call: &Call<'_>| call.op == Op::OpenFile && call.name == b"CACHEDIR.TAG";
    let (problems, deleted) = delete_failing(&bench, &snapshot, |_| {}, is_closed);
    assert_eq!((&problems[..], deleted), (&["docs/cache".to_owned()][..], vec![]));
    assert!(bench.source.join("cache/x").exists());
    let report = bench.backup_with(&caches, locked(b"CACHEDIR.TAG"), Seam::default());
    assert_eq!(report.totals.excluded, 0);
    let told = |kind| (kind, "docs/cache/CACHEDIR.TAG".to_owned());
    let found = support::found(&report.problems);
    assert!(found.contains(&told(ProblemKind::Other)), "{found:?}");
    assert_eq!(report.totals.problems, found.len() as u64);
}

/// Mounts a volume of its own; returns whether it could.
fn mount(at: &Path) -> bool {
    Command::new("mount").args(["-t", "tmpfs", "none"]).arg(at).output().is_ok_and(|o| o.status.success())
}

#[test]
fn what_lay_hidden_below_a_mounted_volume_stays() {
    for one_file_system in [true, false] {
        let bench = Bench::new();
        bench.write("top", "t");
        bench.write("disk/hidden", "x");
        if !mount(&bench.source.join("disk")) {
            eprintln!("skipped: only root can mount");
            return;
        }
        bench.write("disk/theirs", "x");
        let options = BackupOptions { one_file_system, ..BackupOptions::default() };
        let snapshot = bench.backup_without(&Excludes::default(), options).snapshot.unwrap();
        assert!(Command::new("umount").arg(bench.source.join("disk")).status().unwrap().success());
        bench.write("new", "x");
        assert_eq!(delete(&bench, &snapshot, |_| {}).unwrap(), ["docs/new"]);
        assert!(bench.source.join("disk/hidden").exists());
    }
}

#[test]
fn a_list_that_is_not_in_the_snapshot_stays_beside_what_it_keeps() {
    let bench = Bench::new();
    bench.write("sub/kept", "x");
    let snapshot = bench.backup();
    bench.write("sub/.hardbackignore", "*.tmp\n");
    bench.write("sub/deep/x.tmp", "x");
    bench.write("sub/deep/x", "x");
    assert_eq!(delete(&bench, &snapshot, |_| {}).unwrap(), ["docs/sub/deep/x"]);
    assert_eq!(delete(&bench, &snapshot, |_| {}).unwrap(), [""; 0]);
    let deleted = ["docs/sub/.hardbackignore", "docs/sub/deep"];
    assert_eq!(delete(&bench, &snapshot, |o| o.delete_excluded = true).unwrap(), deleted);
}

/// Fails a call each time that it is made.
struct Failing<F>(F);

impl<F: Fn(&Call<'_>) -> bool + Send + Sync> Watch for Failing<F> {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if (self.0)(call) { Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()) } else { Verdict::Go }
    }
}

/// Restores in place while calls fail; returns the paths of problems and what was deleted.
fn delete_failing(
    bench: &Bench,
    snapshot: &str,
    choose: impl Fn(&mut RestoreOptions),
    fails: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static,
) -> (Vec<String>, Vec<String>) {
    let mut options = bench.options(snapshot);
    (options.place, options.delete) = (Place::InPlace, true);
    options.seam = Seam::watched(Arc::new(Failing(fails)));
    choose(&mut options);
    let report = bench.restore(&options);
    let deleted = report.actions.iter().filter(|(_, a)| *a == RestoreAction::Delete);
    let deleted = deleted.map(|(p, _)| String::from_utf8_lossy(p).into_owned()).collect();
    (support::found(&report.problems).into_iter().map(|(_, path)| path).collect(), deleted)
}

/// A folder of this name cannot be listed.
fn unlistable(name: &'static [u8]) -> impl Fn(&Call<'_>) -> bool + Send + Sync {
    let is_in_it = AtomicBool::new(false);
    move |call| match call.op {
        Op::OpenDir if call.name != b"." => {
            is_in_it.store(call.name == name, Ordering::SeqCst);
            false
        }
        Op::List => is_in_it.load(Ordering::SeqCst),
        _ => false,
    }
}

#[test]
fn a_folder_that_cannot_be_listed_is_told_and_the_rest_is_restored() {
    for (markers, is_known) in [(&[][..], true), (&[".stop"], true), (&[], false)] {
        let bench = Bench::new();
        bench.write("top", "t");
        if is_known {
            bench.write("sub/kept", "x");
        }
        let snapshot = bench.backup_without(&excludes(&[], markers), BackupOptions::default()).snapshot.unwrap();
        for path in ["new", "sub/new", "other/new"] {
            bench.write(path, "x");
        }
        fs::remove_file(bench.source.join("top")).unwrap();
        let (problems, deleted) = delete_failing(&bench, &snapshot, |_| {}, unlistable(b"sub"));
        assert_eq!((problems, deleted), (vec!["docs/sub".into()], vec!["docs/new".into(), "docs/other".into()]));
        assert!(bench.source.join("top").exists() && bench.source.join("sub/new").exists());
    }
}

#[test]
fn what_cannot_be_looked_at_may_be_what_the_backup_left_out() {
    let bench = Bench::new();
    bench.write("top", "t");
    let options = BackupOptions { max_size_file_bytes: Some(500), ..BackupOptions::default() };
    let snapshot = bench.backup_without(&Excludes::default(), options).snapshot.unwrap();
    for path in ["new", "odd", "sub/odd", "sub/new"] {
        bench.write(path, "x");
    }
    let fails = |call: &Call<'_>| call.op == Op::Stat && call.name == b"odd";
    let (problems, deleted) = delete_failing(&bench, &snapshot, |_| {}, fails);
    assert_eq!(problems, ["docs/odd", "docs/sub/odd"]);
    assert_eq!(deleted, ["docs/new", "docs/sub/new"]);
}

#[test]
fn a_folder_that_cannot_be_opened_again_is_told() {
    let bench = Bench::new();
    let deep: String = (0..60).map(|n| format!("d{n}/")).collect();
    bench.write(&format!("{deep}kept"), "x");
    let snapshot = bench.backup();
    bench.write("d0/d1/new", "x");
    let opened = AtomicBool::new(false);
    let fails =
        move |call: &Call<'_>| call.op == Op::OpenDir && call.name == b"d1" && opened.swap(true, Ordering::SeqCst);
    let (problems, deleted) = delete_failing(&bench, &snapshot, |o| o.workers = 1, fails);
    assert!(problems.contains(&"docs/d0/d1".to_owned()), "{problems:?}");
    assert_eq!(deleted, [""; 0]);
    assert!(bench.source.join("d0/d1/new").exists());
}

#[test]
fn what_must_stay_in_a_wide_and_deep_folder_keeps_the_folders_above_it_alone() {
    const LEVELS: usize = 300;
    for dry_run in [true, false] {
        let bench = Bench::new();
        bench.write("top", "t");
        let snapshot = bench.backup();
        let deep: String = (0..LEVELS).map(|_| "d/").collect();
        bench.write(&format!("new/{deep}file"), "x");
        bench.write("new/d/keep.before-restore", "x");
        for n in 0..100 {
            bench.write(&format!("new/{n}/x"), "x");
        }
        let opens = Arc::new(AtomicUsize::new(0));
        let counted = opens.clone();
        let fails = move |call: &Call<'_>| {
            counted.fetch_add(usize::from(call.op == Op::OpenDir), Ordering::SeqCst);
            false
        };
        let (problems, deleted) = delete_failing(&bench, &snapshot, |o| o.dry_run = dry_run, fails);
        assert_eq!(problems, [""; 0]);
        // Both with the file in the deepest one; the first two levels stay.
        assert_eq!(deleted.len(), (LEVELS - 1) + 1 + 2 * 100);
        assert!(bench.source.join("new/d/keep.before-restore").exists());
        assert_eq!(bench.source.join("new/d/d").exists(), dry_run);
        let opens = opens.load(Ordering::SeqCst);
        assert!(opens < 3 * LEVELS + 300, "{opens} folders were opened");
    }
}

#[test]
fn what_cannot_be_removed_keeps_the_folders_above_it_alone() {
    let bench = Bench::new();
    bench.write("top", "t");
    let snapshot = bench.backup();
    for path in ["new/a/stuck", "new/a/x", "new/b/x"] {
        bench.write(path, "x");
    }
    let fails = |call: &Call<'_>| call.op == Op::Unlink && call.name == b"stuck";
    let (problems, deleted) = delete_failing(&bench, &snapshot, |_| {}, fails);
    assert_eq!(problems, ["docs/new/a/stuck"]);
    assert_eq!(deleted, ["docs/new/a/x", "docs/new/b", "docs/new/b/x"]);
}
