//! The selftest as a verb: it leaves nothing behind, however it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails and says why")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests make and look at files with other code than the product's"
)]

use hardback_engine::{
    Cancel, CheckOutcome, Context, Counters, Error, Monitor, Phase, Problem, SelftestOptions, SystemClock, selftest,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what it hears.
#[derive(Default)]
struct Ears(AtomicUsize);

impl Monitor for Ears {
    fn problem(&self, _: &Problem) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn notice(&self, _: &str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn phase(&self, _: Phase) {}
}

#[test]
fn who_stops_it_finds_nothing_left_and_no_report() {
    let place = tempfile::tempdir().unwrap();
    let (counters, cancel, ears) = (Counters::default(), Cancel::default(), Ears::default());
    cancel.cancel();
    let ctx = Context { clock: &SystemClock, monitor: &ears, counters: &counters, cancel: &cancel };
    let options = SelftestOptions { folder: place.path().to_owned(), shadows: None };
    assert!(matches!(selftest(&ctx, &options), Err(Error::Interrupted)));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn its_many_runs_are_told_by_its_report_alone() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("mine"), "stays").unwrap();
    let (counters, cancel, ears) = (Counters::default(), Cancel::default(), Ears::default());
    let ctx = Context { clock: &SystemClock, monitor: &ears, counters: &counters, cancel: &cancel };
    let options = SelftestOptions { folder: place.path().to_owned(), shadows: None };
    let report = selftest(&ctx, &options).unwrap();
    assert_eq!((ears.0.into_inner(), counters.entries.into_inner()), (0, 0));
    let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["mine"]);
    let of = |what: &str| report.checks.iter().find(|check| check.what == what).unwrap().outcome.clone();
    assert_eq!(of("a restore"), CheckOutcome::Passed);
    assert!(matches!(of("a shadow copy is made, read and removed"), CheckOutcome::NotPossible { .. }));
    let counts = report.counts();
    assert_eq!(counts.iter().sum::<usize>(), report.checks.len());
    assert!(!format!("{report:?}").contains(place.path().to_str().unwrap()), "{report:?}");
}
