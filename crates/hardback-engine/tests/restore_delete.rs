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
use hardback_engine::{BackupOptions, Error, Excludes, Place, RestoreAction, RestoreOptions};
use hardback_platform::Attributes;
use std::fs;
use std::path::Path;
use std::process::Command;
use support::{Bench, forge_record, unnamable, vanished};

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
    bench.write("new", "x");
    assert_eq!(delete(&bench, &report.snapshot.unwrap(), |_| {}).unwrap(), ["docs/new"]);
    for path in ["file", "sub/file", "folder/x"] {
        assert!(bench.source.join(path).exists(), "{path}");
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
    bench.write("new", "x");
    assert_eq!(delete(&bench, &report.snapshot.unwrap(), |_| {}).unwrap(), ["docs/new"]);
    assert!(bench.source.join("unnamable/x").exists());
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
