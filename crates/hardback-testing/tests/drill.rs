//! Drills to volumes that cannot keep what was backed up.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]

use hardback_engine::{
    Cancel, Context, Counters, DrillOptions, DrillPlace, DrillReport, LimitationKind, SystemClock, drill,
};
use hardback_platform::Seam;
use hardback_testing::bench::{Bench, Heard, JOB};
use hardback_testing::volume;
use hardback_testing::volume::VolumeKind;
use hardback_testing::zoo::set_xattr;
use std::fs;
use std::path::Path;

fn run_drill(bench: &Bench, above: &Path) -> DrillReport {
    let (counters, cancel, heard) = (Counters::default(), Cancel::default(), Heard::default());
    let ctx = Context { clock: &SystemClock, monitor: &heard, counters: &counters, cancel: &cancel };
    let place = DrillPlace::Scratch(above.to_owned());
    let options = DrillOptions { job: JOB.into(), files: 100, place, workers: 0 };
    drill(&ctx, &bench.open(Seam::default()), &options).unwrap()
}

#[test]
fn what_the_place_cannot_keep_is_told_and_not_taken_for_compared() {
    // On ext4 there is no room for attributes of this size.
    let (roomy, small) = (volume!(VolumeKind::Xfs, 300), volume!(VolumeKind::Ext4, 32));
    let (source, target) = (roomy.dir("docs"), roomy.root().join("target"));
    fs::write(source.join("plain"), "plain").unwrap();
    fs::write(source.join("noted"), "noted").unwrap();
    set_xattr(&source.join("noted"), "user.note", &[7; 40_000]);
    let bench = Bench::new(&source, &target);
    for _ in 0..2 {
        let report = bench.backup_all();
        assert!(report.limitations.is_empty(), "{:?}", report.limitations);
    }
    let report = run_drill(&bench, &roomy.dir("above"));
    assert_eq!((report.files, report.problem_count, report.limitations.len()), (4, 0, 0), "{:?}", report.limitations);
    let report = run_drill(&bench, small.root());
    assert_eq!((report.files, report.problem_count, report.limitations.len()), (4, 0, 1), "{:?}", report.limitations);
    let limitation = &report.limitations[0];
    assert_eq!((limitation.kind, limitation.entries), (LimitationKind::Xattrs, 2));
    assert!(limitation.example.ends_with(b"/docs/noted") && limitation.example.starts_with(b"20"), "{limitation:?}");
}
