//! Drills on plain files in temporary folders.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    Cancel, Context, Counters, DrillOptions, DrillPlace, DrillReport, Error, Monitor, Phase, Problem, ProblemKind,
    SystemClock, drill, open_or_create_target,
};
use hardback_platform::{Call, Dir, Op, Seam, Verdict, Watch};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::*;

fn run_drill(bench: &Bench, files: u64, place: DrillPlace) -> Result<DrillReport, Error> {
    let options = DrillOptions { job: "test".into(), files, place, workers: 0 };
    with_context(|ctx| drill(ctx, &bench.open(), &options))
}

#[test]
fn a_drill_restores_and_compares_and_leaves_nothing() {
    let (bench, snapshots) = three_snapshots();
    bench.source_dir().set_xattr(b"edited", b"user.note", b"kept").ok();
    fs::set_permissions(bench.source.join("edited"), fs::Permissions::from_mode(0o4710)).unwrap();
    fs::hard_link(bench.source.join("edited"), bench.source.join("sub/edited")).unwrap();
    bench.backup();
    let above = bench.path("above");
    fs::create_dir(&above).unwrap();
    let report = run_drill(&bench, 1000, DrillPlace::Scratch(above.clone())).unwrap();
    assert_eq!(found(&report.problems), []);
    assert_eq!((report.files, report.snapshots.len(), report.too_large), (53 * 3 + 54, 4, 0));
    assert!(report.whole_ns > 0 && report.whole_bytes > 0 && report.bytes > 0);
    assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
    let few = run_drill(&bench, 2, DrillPlace::Scratch(above.clone())).unwrap();
    assert_eq!((few.files, few.snapshots.len()), (2, 2));
    // What is damaged is told once; what is missing too.
    flip(&bench.stored(&snapshots[0], "sub/same"), 0);
    fs::remove_file(bench.stored(&snapshots[2], "many/003")).unwrap();
    let keep = bench.path("keep");
    let report = run_drill(&bench, 1000, DrillPlace::Keep(keep.clone())).unwrap();
    assert_eq!(report.problem_count, 4 + 1, "{:?}", report.problems);
    let missing = (ProblemKind::Missing, format!("{}/docs/many/003", snapshots[2]));
    assert!(found(&report.problems).contains(&missing), "{:?}", report.problems);
    assert_eq!(read(&keep.join(&snapshots[0]).join("docs/edited")), "first");
    assert!(run_drill(&bench, 5, DrillPlace::Keep(keep)).is_err());
    assert!(run_drill(&bench, 5, DrillPlace::Keep(bench.target.join("test/new"))).is_err());
    assert!(!bench.target.join("test/new").exists());
}

/// Asks to stop when a digest list is opened to compare with, which is when the file that was restored is open.
#[derive(Default)]
struct StopAtLast {
    cancel: Cancel,
    is_comparing: AtomicBool,
}

impl Watch for StopAtLast {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::OpenFile && call.name.ends_with(b".b3") && self.is_comparing.load(Ordering::SeqCst) {
            self.cancel.cancel();
        }
        Verdict::Go
    }
}

impl Monitor for StopAtLast {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, phase: Phase) {
        self.is_comparing.store(phase == Phase::Verifying, Ordering::SeqCst);
    }
}

#[test]
fn a_drill_that_is_stopped_at_its_last_file_has_not_shown_that_all_came_back() {
    let (bench, _) = three_snapshots();
    let above = bench.path("above");
    fs::create_dir(&above).unwrap();
    let stop = Arc::new(StopAtLast::default());
    let target = open_or_create_target(&bench.target, None, &SystemClock, Seam::watched(stop.clone())).unwrap().target;
    let counters = Counters::default();
    let ctx = Context { clock: &SystemClock, monitor: &*stop, counters: &counters, cancel: &stop.cancel };
    let options = DrillOptions { job: "test".into(), files: 1, place: DrillPlace::Scratch(above.clone()), workers: 0 };
    let result = drill(&ctx, &target, &options);
    assert!(stop.cancel.is_cancelled());
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
}

/// Alters what was restored, before it is compared.
struct Altered<F>(F);

impl<F: Fn() + Send + Sync> Monitor for Altered<F> {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, phase: Phase) {
        if phase == Phase::Verifying {
            (self.0)();
        }
    }
}

#[test]
fn what_did_not_come_back_as_it_was_is_a_problem() {
    let bench = Bench::new();
    for name in ["content", "mode", "note", "gone", "as-it-was"] {
        bench.write(&format!("sub/{name}"), "all of it");
    }
    let has_xattrs = bench.source_dir().open_dir(b"sub").unwrap().set_xattr(b"note", b"user.note", b"kept").is_ok();
    let snapshot = bench.backup();
    let keep = bench.path("keep");
    let restored = keep.join(&snapshot).join("docs/sub");
    let monitor = Altered(|| {
        flip(&restored.join("content"), 3);
        fs::set_permissions(restored.join("mode"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::remove_file(restored.join("gone")).unwrap();
        if has_xattrs {
            let sub = Dir::open(&restored, Seam::default()).unwrap();
            sub.set_xattr(b"note", b"user.note", b"another").unwrap();
        }
    });
    let (counters, cancel) = (Counters::default(), Cancel::default());
    let ctx = Context { clock: &SystemClock, monitor: &monitor, counters: &counters, cancel: &cancel };
    let options = DrillOptions { job: "test".into(), files: 100, place: DrillPlace::Keep(keep), workers: 0 };
    let report = drill(&ctx, &bench.open(), &options).unwrap();
    let at = |name: &str| format!("{snapshot}/docs/sub/{name}");
    let mut expected = vec![
        (ProblemKind::Metadata, at("mode")),
        (ProblemKind::Missing, at("gone")),
        (ProblemKind::Damaged, at("content")),
    ];
    expected.extend(has_xattrs.then(|| (ProblemKind::Metadata, at("note"))));
    expected.sort();
    assert_eq!(found(&report.problems), expected);
}

#[test]
fn a_drill_that_has_no_file_to_restore_has_shown_nothing() {
    let bench = Bench::new();
    fs::create_dir(bench.source.join("folder")).unwrap();
    bench.backup();
    let result = run_drill(&bench, 10, DrillPlace::Scratch(bench.path("")));
    assert!(matches!(&result, Err(Error::Refused { message, .. }) if message.contains("no file of job")), "{result:?}");
}
