//! Every call of a run fails once, in every way: old snapshots stay, nothing half-made is listed, nothing is lost in
//! silence, and the next run needs no help.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Scenario, is_slow, recovers, set_mode, stored};
use hardback_engine::{BackupReport, Error, LimitationKind};
use hardback_testing::fault::{Calls, Fault, FaultyWatch};
use hardback_testing::oracle::{By, Known, Node, Tree, check_target, difference, differences, read_tree};
use hardback_testing::rig::{Rig, Seams};
use rustix::io::Errno;
use std::fs;
use std::time::UNIX_EPOCH;

fn errno(error: Errno) -> i32 {
    error.raw_os_error()
}

/// Limitations after which a tree is not the source's exactly. What was stored under them is linked later on.
fn stored_exactly(result: &Result<BackupReport, Error>) -> By {
    let exact = result.as_ref().map_or(true, |report| report.limitations.is_empty());
    if exact { By::Everything } else { By::Content }
}

/// What the report of a run that was not stopped must be worth.
#[track_caller]
fn is_honest(rig: &Rig, source: &Tree, report: &BackupReport, context: &str) {
    let found = stored(rig, report.snapshot.as_ref().unwrap());
    use LimitationKind::{Names, Specials, Symlinks};
    let absent = report.limitations.iter().any(|l| [Names, Symlinks, Specials].contains(&l.kind));
    if report.totals.problems > 0 || absent {
        assert!(absent || !report.problems.is_empty(), "{context}: problems that nobody hears of");
        return;
    }
    assert!(report.problems.is_empty(), "{context}: problems that are not counted: {:?}", report.problems);
    let by = if report.limitations.is_empty() { By::Everything } else { By::Content };
    let wrong = differences(source, &found, by);
    assert!(wrong.is_empty(), "{context}: no problem was reported, but\n{}", wrong.join("\n"));
}

/// An error of the file system tells its path: that of the entry in the snapshot, or where something of ours is.
#[track_caller]
fn says_where(rig: &Rig, error: &Error, context: &str) {
    let Error::Path(error) = error else { return };
    let path = hardback_platform::path::display(&error.path).to_string();
    let is_ours = path.starts_with(&rig.target.parent().unwrap().display().to_string());
    assert!(is_ours || path == "docs" || path.starts_with("docs/"), "{context}: {error}: {}", error.source);
}

/// Runs with a call on the target that fails; returns how many files the next run took over, if it came
/// to that call.
#[track_caller]
fn one_fault(rig: &Rig, known: &mut Known, source: &Tree, n: u64, fault: Fault) -> Option<u64> {
    let watch = FaultyWatch::failing(Calls::Changing, n, fault);
    let result = rig.backup(Seams { target: watch.seam(), ..Seams::default() });
    let context = format!("{fault:?} at {n} ({})", watch.struck().unwrap_or_default());
    match &result {
        Ok(report) => {
            let all = check_target(rig, known, &context);
            assert!(all.iter().any(|s| Some(&s.name) == report.snapshot.as_ref()), "{context}: not listed");
            is_honest(rig, source, report, &context);
        }
        Err(error) => {
            assert!(watch.struck().is_some(), "{context}: failed without a fault");
            says_where(rig, error, &context);
        }
    }
    let next = recovers(rig, known, source, stored_exactly(&result), &context);
    watch.struck().map(|_| next)
}

/// Lets each changing call on the target fail in one way; returns how many there are, and the files that the next runs
/// took over.
fn every_call_of_the_target(fault: Fault) -> (u64, u64) {
    let scenario = Scenario::new();
    let mut adopted = 0;
    for n in 1.. {
        let (rig, mut known) = scenario.fresh_target();
        match one_fault(&rig, &mut known, &scenario.source, n, fault) {
            Some(next) => adopted += next,
            None => return (n - 1, adopted),
        }
    }
    unreachable!("a run comes to its end")
}

#[test]
fn the_first_run_may_die_at_every_call_the_making_of_the_target_included() {
    let scenario = Scenario::new();
    for n in 1.. {
        let target = scenario.dir.path().join(format!("first-{n}"));
        let rig = Rig { target, ..scenario.rig.clone() };
        if one_fault(&rig, &mut Known::new(), &scenario.source, n, Fault::Stop).is_none() {
            break;
        }
    }
}

#[test]
fn a_run_may_die_at_every_call() {
    let (calls, adopted) = every_call_of_the_target(Fault::Stop);
    println!("{calls} calls, {adopted} files taken over");
    assert!(calls > 100, "only {calls} calls: is the watch still in the way of all?");
    assert!(adopted > 0, "runs that died while they were sealed are taken over");
}

#[test]
fn every_call_may_fail_with_an_io_error() {
    let (_, adopted) = every_call_of_the_target(Fault::Once(errno(Errno::IO)));
    assert!(adopted > 100, "only {adopted} files were taken over");
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

/// Lets each call on the target fail once, those that read too, in a run after one that was interrupted at a changing
/// call before: recovering may fail everywhere as well.
fn every_call_of_the_run_after(interrupted_at: u64, fault: Fault) -> u64 {
    let scenario = Scenario::new();
    for n in 1.. {
        let (rig, mut known) = scenario.fresh_target();
        let stop = FaultyWatch::failing(Calls::Changing, interrupted_at, Fault::Once(errno(Errno::IO)));
        let first = rig.backup(Seams { target: stop.seam(), ..Seams::default() });
        if first.is_ok() {
            return 0;
        }
        let watch = FaultyWatch::failing(Calls::All, n, fault);
        let result = rig.backup(Seams { target: watch.seam(), ..Seams::default() });
        let context = format!("{interrupted_at}, then {fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        if let Ok(report) = &result {
            check_target(&rig, &known, &context);
            is_honest(&rig, &scenario.source, report, &context);
        }
        recovers(&rig, &mut known, &scenario.source, By::Content, &context);
        if watch.struck().is_none() {
            return n - 1;
        }
    }
    unreachable!("a run comes to its end")
}

#[test]
fn recovering_may_fail_at_every_call_too() {
    let (calls, _) = every_call_of_the_target(Fault::FromNowOn(errno(Errno::XDEV)));
    // While files are stored, and at steps of sealing.
    for interrupted_at in [calls / 2, calls - 16] {
        let calls = every_call_of_the_run_after(interrupted_at, Fault::Once(errno(Errno::IO)));
        println!("{calls} calls after {interrupted_at}");
    }
    for interrupted_at in (calls - 24..calls - 8).filter(|_| is_slow()) {
        every_call_of_the_run_after(interrupted_at, Fault::Once(errno(Errno::IO)));
        every_call_of_the_run_after(interrupted_at, Fault::Stop);
    }
}

#[test]
fn a_finished_file_that_lost_its_metadata_is_not_taken_over() {
    let scenario = Scenario::new();
    let (rig, mut known) = scenario.fresh_target();
    let (calls, _) = every_call_of_the_target(Fault::FromNowOn(errno(Errno::XDEV)));
    let watch = FaultyWatch::failing(Calls::Changing, calls - 16, Fault::Stop);
    let stopped = rig.backup(Seams { target: watch.seam(), ..Seams::default() });
    assert!(stopped.is_err(), "stopped at {:?}", watch.struck());
    let partial = rig.target.join(".hardback/partial/test");
    let partial = fs::read_dir(partial).unwrap().next().unwrap().unwrap().path();
    set_mode(partial.join("tree/docs/new.txt"), 0o777);
    fs::File::options()
        .write(true)
        .open(partial.join("tree/docs/edited.txt"))
        .unwrap()
        .set_modified(UNIX_EPOCH)
        .unwrap();
    let adopted = recovers(&rig, &mut known, &scenario.source, By::Everything, "metadata lost");
    assert!(adopted > 0, "the other files are taken over");
}

/// Lets each call on the source fail in one way; returns how many there are.
fn every_call_of_the_source(fault: Fault) -> u64 {
    let scenario = Scenario::new();
    let mut n = 1;
    loop {
        let (rig, mut known) = scenario.fresh_target();
        let watch = FaultyWatch::failing(Calls::All, n, fault);
        let result = rig.backup(Seams { source: watch.seam(), ..Seams::default() });
        let context = format!("source: {fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        if let Ok(report) = &result {
            check_target(&rig, &known, &context);
            is_honest(&rig, &scenario.source, report, &context);
            what_failed_is_told_or_carried(&rig, &scenario, &known, report, &context);
        }
        recovers(&rig, &mut known, &scenario.source, stored_exactly(&result), &context);
        if watch.struck().is_none() {
            return n - 1;
        }
        n += 1;
    }
}

/// Each path of the source is in the snapshot as it is, or there is a problem about it or a folder above it; what has
/// one is as in the base, or as in the source, or not there.
#[track_caller]
fn what_failed_is_told_or_carried(rig: &Rig, scenario: &Scenario, known: &Known, report: &BackupReport, context: &str) {
    let base = &known[report.base.as_ref().unwrap()];
    let found = read_tree(&rig.snapshot(report.snapshot.as_ref().unwrap()));
    let told = |path: &[u8]| {
        report.problems.iter().any(|p| path == p.path || path.starts_with(&[&p.path, &b"/"[..]].concat()))
    };
    let paths: std::collections::BTreeSet<_> =
        scenario.source.keys().map(|p| in_folder(p)).chain(found.keys().cloned()).collect();
    for path in paths.iter().filter(|p| !p.is_empty()) {
        let name = String::from_utf8_lossy(path);
        let expected = scenario.source.get(path.strip_prefix(b"docs/").unwrap_or_default());
        let same = |a: Option<&Node>, b: Option<&Node>| match (a, b) {
            (Some(a), Some(b)) => difference(a, b, By::Content).is_none(),
            (a, b) => a.is_none() && b.is_none(),
        };
        let there = found.get(path);
        if !same(expected, there) {
            assert!(told(path), "{context}: {name} is not as in the source and nobody hears of it");
            assert!(there.is_none() || same(base.get(path), there), "{context}: {name} is neither old nor new");
        }
    }
}

fn in_folder(path: &[u8]) -> Vec<u8> {
    if path.is_empty() { b"docs".to_vec() } else { [b"docs/", path].concat() }
}

#[test]
fn an_io_error_of_the_source_is_a_problem_and_the_old_version_stays() {
    let calls = every_call_of_the_source(Fault::Once(errno(Errno::IO)));
    println!("{calls} calls");
    assert!(calls > 100, "only {calls} calls");
}

#[test]
fn a_denied_call_of_the_source_is_a_problem_and_the_old_version_stays() {
    every_call_of_the_source(Fault::Once(errno(Errno::ACCESS)));
}

#[test]
fn what_vanishes_from_the_source_during_the_run_is_a_problem() {
    every_call_of_the_source(Fault::Once(errno(Errno::NOENT)));
}

#[test]
fn the_disk_of_the_source_may_go_away_at_every_call() {
    every_call_of_the_source(Fault::FromNowOn(errno(Errno::IO)));
}
