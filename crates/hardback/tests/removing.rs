//! The real binary removes snapshots, and tells what that would free: rules, guards, pins, purging. What the verbs do is tested in the engine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]

mod environment;

use environment::TestEnvironment;
use serde_json::Value;

/// Makes so many snapshots of the environment's source.
fn with_snapshots(n: usize) -> TestEnvironment {
    let env = TestEnvironment::with_target();
    for round in 1..n {
        env.write("source/round", &round.to_string());
        env.hardback(&["-q", "backup", "source", "target", "--same-disk"]).exits(0).ignore();
    }
    env
}

#[test]
fn prune_says_what_goes_and_why_and_does_it() {
    let env = with_snapshots(4);
    let before = env.names("target/host");
    let rules = ["--keep-last", "2"];
    let dry = env.hardback(&[&["prune", "target", "--dry-run"], &rules[..]].concat()).exits(0);
    assert_eq!(dry.stdout.matches("remove  no rule keeps it").count(), 2, "{}", dry.stdout);
    let last = dry.stdout.lines().last().unwrap();
    assert!(last.starts_with("Dry run; nothing was removed. 2 snapshots would go, which would free "), "{last}");
    assert_eq!(env.names("target/host"), before);
    let done = env.hardback(&[&["prune", "target"], &rules[..]].concat()).exits(0);
    assert!(done.stdout.contains("Removed 2 snapshots of job host: "), "{}", done.stdout);
    assert_eq!(env.names("target/host").len(), before.len() - 2);
    env.hardback(&["verify", "target"]).exits(0).ignore();
    let nothing = env.hardback(&["prune", "target"]).exits(0);
    assert!(nothing.stderr.contains("nothing says what may go"), "{}", nothing.stderr);
    assert!(nothing.stdout.contains("nothing says what may go"), "{}", nothing.stdout);
}

#[test]
fn backup_prunes_behind_its_snapshot() {
    let env = with_snapshots(3);
    let args = ["backup", "source", "target", "--same-disk", "--keep-last", "1"];
    let done = env.hardback(&args).exits(0);
    let (complete, removed) =
        (done.stdout.find("is complete").unwrap(), done.stdout.find("Removed 3 snapshots").unwrap());
    assert!(complete < removed, "{}", done.stdout);
    let json = env.hardback(&[&["--json"], &args[..]].concat()).exits(0);
    let report: Value = serde_json::from_str(json.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(report["prune"]["removed_snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn a_guard_ends_with_5_and_unpin_answers_it() {
    let env = TestEnvironment::new();
    for n in 0..20 {
        env.write(&format!("source/{n}"), "first");
    }
    let backup = ["backup", "source", "target", "--same-disk", "--hot-window", "0"];
    env.hardback(&backup).exits(0).ignore();
    for n in 0..15 {
        env.write(&format!("source/{n}"), "and now something else");
    }
    let keep = ["--keep-last", "1"];
    let alarm = env.hardback(&[&backup[..], &keep[..]].concat()).exits(5);
    assert!(alarm.stdout.contains("is complete"), "{}", alarm.stdout);
    assert!(alarm.stderr.contains("pruning of job host is suspended: snapshot "), "{}", alarm.stderr);
    assert!(alarm.stderr.contains("75 % of the files changed"), "{}", alarm.stderr);
    let listed = env.hardback(&["snapshots", "target"]).exits(0);
    assert!(listed.stdout.contains("pinned by a guard") && listed.stdout.contains("ALARM: 75 %"), "{}", listed.stdout);
    let again = env.hardback(&[&["prune", "target"], &keep[..]].concat()).exits(5);
    assert!(again.stderr.contains("hardback unpin"), "{}", again.stderr);
    env.hardback(&["unpin", "target"]).exits(0).ignore();
    env.hardback(&[&["prune", "target"], &keep[..]].concat()).exits(0).ignore();
    assert_eq!(env.hardback(&["snapshots", "target"]).exits(0).stdout.lines().count(), 3);
}

#[test]
fn an_empty_source_prunes_nothing() {
    let env = with_snapshots(3);
    std::fs::rename(env.path("source"), env.path("away")).unwrap();
    std::fs::create_dir(env.path("source")).unwrap();
    let keep = ["--keep-last", "1"];
    let backup = ["backup", "source", "target", "--same-disk"];
    let before = env.names("target/host");
    env.hardback(&[&backup[..], &keep[..]].concat()).exits(1).ignore();
    let suspended = env.hardback(&[&["prune", "target"], &keep[..]].concat()).exits(5);
    assert!(suspended.stderr.contains("the last run did not end well"), "{}", suspended.stderr);
    assert_eq!(env.names("target/host"), before);
}

#[test]
fn pins_tags_and_comments_are_shown_and_odd_ones_refused() {
    let env = with_snapshots(2);
    env.hardback(&["pin", "target", "latest", "--comment", "before the move"]).exits(0).ignore();
    env.hardback(&["tag", "target", "latest", "release", "two words"]).exits(0).ignore();
    let shown = env.hardback(&["snapshots", "target"]).exits(0).stdout;
    assert!(shown.contains("pinned; tags release, two words; \"before the move\""), "{shown}");
    env.hardback(&["tag", "target", "latest", "--remove", "release", "--comment", ""]).exits(0).ignore();
    env.hardback(&["unpin", "target", "latest"]).exits(0).ignore();
    let shown = env.hardback(&["snapshots", "target"]).exits(0).stdout;
    assert!(shown.contains("tags two words") && !shown.contains("pinned") && !shown.contains("release"), "{shown}");
    env.hardback(&["tag", "target", "latest"]).exits(2).ignore();
    env.hardback(&["tag", "target", "latest", "a,b"]).exits(1).ignore();
    env.hardback(&["pin", "target", "2001-01-01"]).exits(1).ignore();
    env.hardback(&["prune", "target", "--finish", "--dry-run"]).exits(2).ignore();
    env.hardback(&["prune", "target", "--keep-within", "sometime"]).exits(2).ignore();
    env.hardback(&["prune", "target", "--keep-daily", "0"]).exits(2).ignore();
    env.hardback(&["prune", "target", "--keep", "forever", "--min-free", "1%"]).exits(2).ignore();
    let dry = env.hardback(&["prune", "target", "--min-free", "100%", "--keep-at-least", "1", "--dry-run"]).exits(0);
    assert!(dry.stderr.contains("less room than asked for"), "{}", dry.stderr);
    env.hardback(&["prune", "target", "--min-free", "900000T"]).exits(1).ignore();
    // What cannot be had costs nothing, and is told.
    let missed = env.hardback(&["-q", "prune", "target", "--min-free", "100%", "--keep-at-least", "1"]).exits(3);
    assert!(missed.stderr.contains("less room than asked for"), "{}", missed.stderr);
    assert_eq!(env.names("target/host").iter().filter(|name| *name != "latest").count(), 2);
}

#[test]
fn purge_removes_a_path_from_all_snapshots() {
    let env = with_snapshots(3);
    let dry = env.hardback(&["purge", "target", "source/a", "--dry-run"]).exits(0);
    assert!(dry.stdout.contains("It would go from 3 snapshots."), "{}", dry.stdout);
    let done = env.hardback(&["purge", "target", "source/a"]).exits(0);
    assert!(done.stdout.contains("Removed from 3 snapshots"), "{}", done.stdout);
    assert!(done.stderr.contains("the next backup stores it again"), "{}", done.stderr);
    env.hardback(&["find", "target", "source/a"]).exits(0).ignore();
    env.hardback(&["verify", "target"]).exits(0).ignore();
    let none = env.hardback(&["purge", "target", "source/a"]).exits(1);
    assert!(none.stderr.contains("has any of these paths"), "{}", none.stderr);
    env.hardback(&["purge", "target", ".."]).exits(1).ignore();
    env.hardback(&["purge", "target"]).exits(2).ignore();
}

#[test]
fn du_tells_what_snapshots_take_and_what_removing_them_would_free() {
    let env = TestEnvironment::with_target();
    env.write("source/sub/new", &"x".repeat(100_000));
    let [first, second] = env.two_snapshots();
    let output = env.hardback(&["du", "target"]).exits(0);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], "job host:");
    let heads: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(heads, ["snapshot", "entries", "bytes", "unique", "shared", "cumulative"]);
    assert!(lines[2].starts_with(&first) && lines[3].starts_with(&second), "{}", output.stdout);
    assert!(lines[4].starts_with("on the disk: ") && lines[4].ends_with(" of records"), "{}", output.stdout);
    assert!(!output.stdout.contains("would free"));

    let output = env.hardback(&["-q", "du", "target", &second, &first, "--depth", "2"]).exits(0);
    assert!(output.stdout.contains("removing these 2 snapshots would free "), "{}", output.stdout);
    assert!(output.stdout.lines().any(|line| line.ends_with("  source/sub")), "{}", output.stdout);

    let output = env.hardback(&["--json", "du", "target", "latest"]).exits(0);
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["item"], &lines[0]["snapshot"]), (&"usage".into(), &second.into()));
    let number = |line: &Value, field: &str| line[field].as_u64().unwrap();
    assert_eq!(number(&lines[0], "bytes"), number(&lines[0], "unique_bytes") + number(&lines[0], "shared_bytes"));
    assert!(number(&lines[1], "freed_bytes") >= number(&lines[0], "unique_bytes"));
    assert_eq!(lines[1]["at_least"], false);

    let output = env.hardback(&["du", "target", "2001-01-01_00.00.00"]).exits(1);
    assert!(output.stderr.starts_with("error: there is no snapshot 2001-01-01_00.00.00"), "{}", output.stderr);
}

#[test]
fn what_du_cannot_count_is_a_problem_and_its_sums_are_the_least() {
    let env = TestEnvironment::with_target();
    let [first, _] = env.two_snapshots();
    env.write(&format!("target/.hardback/manifests/host/{first}.seal"), "no seal");
    let output = env.hardback(&["du", "target"]).exits(3);
    assert!(output.stdout.contains("on the disk: at least "), "{}", output.stdout);
    assert!(output.stderr.contains(&format!("1 problem:\n  host/{first} has no whole seal")), "{}", output.stderr);
}
