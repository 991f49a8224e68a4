//! How scrubs and drills end, and what they say of it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests drive the program from outside and look at the disk with other code"
)]

mod environment;

use environment::TestEnvironment;
use std::fs;
use std::path::PathBuf;

/// Returns where the first snapshot has a file.
fn stored(env: &TestEnvironment, path: &str) -> PathBuf {
    let snapshots = env.path("target/host");
    let mut names: Vec<_> = fs::read_dir(&snapshots).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    snapshots.join(&names[0]).join(path)
}

#[test]
fn what_is_missing_counts_until_a_pass_is_whole_without_it() {
    let env = TestEnvironment::with_target();
    let stored = stored(&env, "source/a");
    fs::rename(&stored, env.path("aside")).unwrap();
    let output = env.hardback(&["scrub", "target", "--share", "100%"]).exits(3);
    assert!(output.stdout.contains("Not all is well"), "{}", output.stdout);
    assert!(output.stdout.contains("is over, in 1 run, with 1 problem; the next run"), "{}", output.stdout);
    fs::rename(env.path("aside"), &stored).unwrap();
    let output = env.hardback(&["scrub", "target", "--share", "1%"]).exits(3);
    assert!(output.stdout.contains("What was read now is well"), "{}", output.stdout);
    assert!(output.stderr.contains("1 problem was told by other runs of the pass, or of the one"), "{}", output.stderr);
    let output = env.hardback(&["backup", "source", "target", "--same-disk", "--scrub", "1%"]).exits(3);
    assert!(output.stderr.contains("1 problem was told by other runs"), "{}", output.stderr);
    let output = env.hardback(&["scrub", "target", "--share", "100%"]).exits(0);
    assert!(output.stdout.contains("All that was read is well"), "{}", output.stdout);
    env.hardback(&["scrub", "target", "--share", "1%"]).exits(0).ignore();
}

#[test]
fn a_guard_counts_more_than_what_a_scrub_finds() {
    let env = TestEnvironment::new();
    (0..20).for_each(|n| env.write(&format!("source/{n}"), "first"));
    let backup = ["backup", "source", "target", "--same-disk", "--hot-window", "0"];
    env.hardback(&backup).exits(0).ignore();
    fs::remove_file(stored(&env, "source/3")).unwrap();
    (0..15).for_each(|n| env.write(&format!("source/{n}"), "and now something else"));
    let output = env.hardback(&[&backup[..], &["--keep-last", "1", "--scrub", "100%"]].concat()).exits(5);
    assert!(output.stderr.contains("source/3 is missing"), "{}", output.stderr);
    env.hardback(&[&backup[..], &["--scrub", "100%"]].concat()).exits(3).ignore();
}
