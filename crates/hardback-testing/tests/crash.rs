//! Every call of a run fails once, in every way: old snapshots stay, nothing half-made is listed, nothing is lost in
//! silence, and the next run needs no help.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Scenario, recovers, stored};
use hardback_engine::{BackupReport, LimitationKind};
use hardback_testing::fault::{Calls, Fault, FaultyWatch};
use hardback_testing::oracle::{By, check_target, differences};
use hardback_testing::rig::{Rig, Seams};
use rustix::io::Errno;

fn errno(error: Errno) -> i32 {
    error.raw_os_error()
}

/// What the report of a run that was not stopped must be worth.
#[track_caller]
fn is_honest(rig: &Rig, scenario: &Scenario, report: &BackupReport, context: &str) {
    let found = stored(rig, report.snapshot.as_ref().unwrap());
    let limited = |kinds: &[LimitationKind]| report.limitations.iter().any(|l| kinds.contains(&l.kind));
    use LimitationKind::{Base, LinkLimit, Links, Modes, Names, Owners, Specials, Symlinks, Times, Xattrs};
    if report.totals.problems > 0 || limited(&[Names, Symlinks, Specials]) {
        assert!(report.totals.problems == 0 || !report.problems.is_empty(), "{context}: problems that nobody hears of");
        return;
    }
    let metadata = limited(&[Owners, Modes, Times, Xattrs, LinkLimit, Links, Base]);
    let by = if metadata { By::Content } else { By::Everything };
    let wrong = differences(&scenario.source, &found, by);
    assert!(wrong.is_empty(), "{context}: no problem was reported, but\n{}", wrong.join("\n"));
}

/// Lets each changing call on the target fail in one way; returns how many there are.
fn every_call_of_the_target(fault: Fault) -> u64 {
    let scenario = Scenario::new();
    let mut n = 0;
    loop {
        n += 1;
        let (rig, mut known) = scenario.fresh_target();
        let watch = FaultyWatch::failing(Calls::Changing, n, fault);
        let result = rig.backup(Seams { target: watch.seam(), ..Seams::default() });
        let context = format!("{fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        let all = check_target(&rig, &known, &context);
        match &result {
            Ok(report) => {
                assert!(all.iter().any(|s| Some(&s.name) == report.snapshot.as_ref()), "{context}: not listed");
                is_honest(&rig, &scenario, report, &context);
            }
            Err(_) => assert!(watch.struck().is_some(), "{context}: failed without a fault"),
        }
        recovers(&rig, &mut known, &scenario.source, &context);
        if watch.struck().is_none() {
            return n - 1;
        }
    }
}

#[test]
fn a_run_may_die_at_every_call() {
    let calls = every_call_of_the_target(Fault::Stop);
    println!("{calls} calls");
    assert!(calls > 100, "only {calls} calls: is the watch still in the way of all?");
}

#[test]
fn every_call_may_fail_with_an_io_error() {
    every_call_of_the_target(Fault::Once(errno(Errno::IO)));
}

#[test]
fn the_disk_may_be_full_at_every_call() {
    every_call_of_the_target(Fault::Once(errno(Errno::NOSPC)));
}

#[test]
fn the_disk_may_stay_full_from_every_call_on() {
    every_call_of_the_target(Fault::FromNowOn(errno(Errno::NOSPC)));
}

#[test]
fn the_device_may_be_gone_from_every_call_on() {
    every_call_of_the_target(Fault::FromNowOn(errno(Errno::IO)));
}

#[test]
fn every_call_may_meet_the_link_limit() {
    every_call_of_the_target(Fault::Once(errno(Errno::MLINK)));
}

#[test]
fn every_call_may_be_denied() {
    every_call_of_the_target(Fault::Once(errno(Errno::ACCESS)));
}

#[test]
fn every_call_may_go_over_the_quota() {
    every_call_of_the_target(Fault::Once(errno(Errno::DQUOT)));
}

#[test]
fn every_call_may_be_interrupted() {
    every_call_of_the_target(Fault::Once(errno(Errno::INTR)));
}

#[test]
fn every_write_may_be_cut_short() {
    every_call_of_the_target(Fault::Short(3, errno(Errno::NOSPC)));
    every_call_of_the_target(Fault::Short(3, errno(Errno::ACCESS)));
}
