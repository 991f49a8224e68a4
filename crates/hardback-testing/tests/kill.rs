//! The process is killed at every system call that changes something, by strace: the next run needs no help.
//!
//! strace counts the calls of each thread by itself, so `n` is the n-th call of whichever thread comes to it first; one
//! worker keeps that the same from run to run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Scenario, is_slow, recovers};
use hardback_testing::oracle::{By, Known};
use hardback_testing::rig::Rig;
use std::process::{Command, Stdio};

/// The calls that change something, and those that make handles, as files are created by `openat`.
const CALLS: [&str; 18] = [
    "openat",
    "pwrite64",
    "linkat",
    "mkdirat",
    "symlinkat",
    "mknodat",
    "fchmod",
    "fchownat",
    "fchown",
    "utimensat",
    "renameat2",
    "renameat",
    "unlinkat",
    "fsetxattr",
    "fsync",
    "syncfs",
    "ftruncate",
    "flock",
];

/// How a run under strace ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Killed,
    Done,
}

fn run_and_kill(rig: &Rig, call: &str, n: u64) -> End {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"])
        .arg(format!("inject={call}:signal=KILL:when={n}"))
        .arg(env!("CARGO_BIN_EXE_hb-run"))
        .args([&rig.source, &rig.target])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    match status.code() {
        Some(0) => End::Done,
        Some(code) => panic!("{call} {n}: the run ended with {code}"),
        None => End::Killed,
    }
}

/// Kills at each call of a kind; returns the number of runs that were killed.
fn kill_at(scenario: &Scenario, call: &str) -> u64 {
    for n in 1.. {
        let (rig, mut known) = scenario.fresh_target();
        let end = run_and_kill(&rig, call, n);
        recovers(&rig, &mut known, &scenario.source, By::Everything, &format!("killed at {call} {n}"));
        if end == End::Done {
            println!("{call}: {} kills", n - 1);
            return n - 1;
        }
    }
    unreachable!("a run comes to its end")
}

fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    assert!(there || std::env::var_os("HARDBACK_TEST_NO_SKIP").is_none(), "there is no strace");
    if !there {
        println!("skipped: there is no strace");
    }
    there
}

#[test]
fn a_run_may_be_killed_at_every_system_call() {
    if !has_strace() {
        return;
    }
    let scenario = Scenario::new();
    let kills: u64 = CALLS.iter().map(|call| kill_at(&scenario, call)).sum();
    assert!(kills > 200, "only {kills} runs were killed");
}

#[test]
fn the_first_run_may_be_killed_at_every_handle_that_it_opens() {
    if !has_strace() {
        return;
    }
    let scenario = Scenario::new();
    for n in (1..).step_by(if is_slow() { 1 } else { 4 }) {
        let rig = Rig { target: scenario.dir.path().join("first"), ..scenario.rig.clone() };
        let end = run_and_kill(&rig, "openat", n);
        recovers(&rig, &mut Known::new(), &scenario.source, By::Everything, &format!("first run, openat {n}"));
        if end == End::Done {
            break;
        }
    }
}
