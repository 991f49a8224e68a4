//! Drills on plain files in temporary folders.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{DrillOptions, DrillPlace, DrillReport, Error, ProblemKind, drill};
use std::fs;
use std::os::unix::fs::PermissionsExt;
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
