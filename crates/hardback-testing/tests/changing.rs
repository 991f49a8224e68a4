//! The source changes at every call of a run: the snapshot is what its record says, each file in it is one that was
//! there, and the next run stores the source as it is then.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Scenario, recovers, stored};
use hardback_engine::HOT_WINDOW_S;
use hardback_testing::fault::Meddler;
use hardback_testing::oracle::{By, Tree, check_target, read_tree};
use hardback_testing::rig::{Rig, Seams};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Lets the source change at each call on it, and runs again after each.
fn a_change_at_every_call(change: fn(&Path)) {
    let scenario = Scenario::new();
    let mut n = 0;
    loop {
        n += 1;
        let (mut rig, mut known) = scenario.fresh_target();
        rig.options.hot_window_s = HOT_WINDOW_S;
        rig.source = scenario.dir.path().join("docs-copy");
        let copied = Command::new("cp").arg("-a").arg(&scenario.rig.source).arg(&rig.source).status().unwrap();
        assert!(copied.success());
        settle(&rig, &mut known);
        let before = read_tree(&rig.source);
        let source = rig.source.clone();
        let meddler = Meddler::acting(n, move || change(&source));
        let report = rig.backup(Seams { source: meddler.seam(), ..Seams::default() });
        let context = format!("a change at {n}");
        let report = report.unwrap_or_else(|e| panic!("{context}: {e}"));
        let after = read_tree(&rig.source);
        check_target(&rig, &known, &context);
        if report.totals.problems == 0 {
            nothing_was_made_up(&before, &after, &stored(&rig, report.snapshot.as_ref().unwrap()), &context);
        } else {
            assert!(!report.problems.is_empty(), "{context}: problems that nobody hears of");
        }
        recovers(&rig, &mut known, &after, By::Everything, &context);
        fs::remove_dir_all(&rig.source).unwrap();
        if !meddler.has_acted() {
            println!("{n} calls");
            assert!(n > 50, "only {n} calls");
            return;
        }
    }
}

/// Backs up the copy of the source as far as its second version went, so that the run to come has a base with its ids.
fn settle(rig: &Rig, known: &mut hardback_testing::oracle::Known) {
    fs::rename(rig.source.join("new"), rig.source.with_file_name("new-aside")).unwrap();
    let report = rig.backup(Seams::default()).unwrap();
    let name = report.snapshot.unwrap();
    let tree = read_tree(&rig.snapshot(&name));
    known.insert(name, tree);
    fs::rename(rig.source.with_file_name("new-aside"), rig.source.join("new")).unwrap();
    fs::write(rig.source.join("edited.txt"), "edited once more").unwrap();
}

/// Each file has a content that it had, and what did not change is there.
#[track_caller]
fn nothing_was_made_up(before: &Tree, after: &Tree, found: &Tree, context: &str) {
    for (path, node) in found {
        let name = String::from_utf8_lossy(path);
        let was = [before, after]
            .iter()
            .any(|t| t.get(path).is_some_and(|n| n.content == node.content && n.kind == node.kind));
        assert!(was, "{context}: {name} never was like this");
    }
    for (path, node) in before {
        let name = String::from_utf8_lossy(path);
        let stayed = after.get(path).is_some_and(|n| n == node);
        assert!(!stayed || found.contains_key(path), "{context}: {name} is missing");
    }
}

/// Writes at once: the run's other thread must not see what is half written.
fn overwrite(path: &Path, content: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_at(content, 0).unwrap();
}

#[test]
fn a_group_may_be_edited_in_place() {
    a_change_at_every_call(|dir| overwrite(&dir.join("group-1"), b"edited while it is read!"));
}

#[test]
fn a_group_may_be_edited_with_the_size_and_the_time_put_back() {
    a_change_at_every_call(|dir| {
        let path = dir.join("new/group-2");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        overwrite(&path, b"A NEW GROUP");
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    });
}

#[test]
fn a_folder_may_be_renamed() {
    a_change_at_every_call(|dir| fs::rename(dir.join("new"), dir.join("sub/new")).unwrap());
}

#[test]
fn a_folder_may_become_a_symlink_to_a_secret() {
    a_change_at_every_call(|dir| {
        let secret = dir.with_file_name("secret");
        fs::create_dir_all(secret.join("deep")).unwrap();
        fs::write(secret.join("er.txt"), "a secret").unwrap();
        fs::write(secret.join("deep/er.txt"), "a secret").unwrap();
        fs::rename(dir.join("new"), dir.join("old")).unwrap();
        std::os::unix::fs::symlink(&secret, dir.join("new")).unwrap();
    });
}

#[test]
fn files_may_become_other_kinds_and_go() {
    a_change_at_every_call(|dir| {
        fs::remove_file(dir.join("edited.txt")).unwrap();
        fs::create_dir(dir.join("edited.txt")).unwrap();
        fs::remove_file(dir.join("sparse")).unwrap();
        std::os::unix::fs::symlink("same.txt", dir.join("sparse")).unwrap();
        fs::remove_file(dir.join("still-1")).unwrap();
        fs::remove_dir_all(dir.join("hollow")).unwrap();
    });
}

#[test]
fn a_file_may_grow_and_shrink_and_change_its_mode() {
    a_change_at_every_call(|dir| {
        let file = fs::File::options().write(true).open(dir.join("new/deep/er.txt")).unwrap();
        file.set_len(10).unwrap();
        overwrite(&dir.join("edited.txt"), &[b'x'; 3000]);
        common::set_mode(dir.join("noted.txt"), 0o611);
        common::set_note(dir.join("mode.txt"), b"a note");
    });
}
