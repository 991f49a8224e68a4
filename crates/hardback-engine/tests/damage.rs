//! Where a good copy of a damaged file is looked for, and what is told where none is found.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    BackupOptions, Excludes, GoodCopy, Job, JobName, JobSource, SystemClock, VerifyLevel, VerifyOptions, VerifyReport,
    backup, open_or_create_target, verify,
};
use hardback_platform::Seam;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::*;

/// Verifies a snapshot of the job, or all.
fn verify_job(bench: &Bench, seam: Seam, snapshots: &[&String]) -> VerifyReport {
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    let options = VerifyOptions {
        job: Some("test".to_owned()),
        snapshots: snapshots.iter().map(|name| (*name).clone()).collect(),
        level: VerifyLevel::Full,
        against_source: false,
        workers: 0,
    };
    with_context(|ctx| verify(ctx, &target, &options)).unwrap()
}

/// Returns what is told of the only damaged file.
fn told(report: &VerifyReport) -> String {
    assert_eq!((report.problem_count, report.damage.len()), (1, 1), "{:?}", report.problems);
    report.problems[0].detail.clone()
}

#[test]
fn copies_are_looked_at_until_one_is_good() {
    let (bench, [first, ..]) = three_snapshots();
    let twins: Vec<String> = (0..9).map(|n| format!("twins/{n}")).collect();
    twins.iter().for_each(|twin| bench.write(twin, "stays the same"));
    let last = bench.backup();
    flip(&bench.stored(&first, "sub/same"), 0);
    fs::remove_file(bench.source.join("sub/same")).unwrap();
    twins[..8].iter().for_each(|twin| flip(&bench.stored(&last, twin), 0));
    let report = verify_job(&bench, Seam::default(), &[&first]);
    let good = format!("test/{last}/docs/twins/8");
    assert_eq!(report.damage[0].good_copy, Some(GoodCopy::Stored(good.into_bytes())), "{}", told(&report));
}

#[test]
fn a_second_file_of_a_content_is_a_copy_where_the_first_is_damaged() {
    let (bench, [first, ..]) = three_snapshots();
    bench.write("twin", "stays the same");
    let fourth = bench.backup();
    // Another mode: another file with the same content.
    fs::set_permissions(bench.source.join("twin"), fs::Permissions::from_mode(0o640)).unwrap();
    let fifth = bench.backup();
    assert_ne!(inode(&bench.stored(&fourth, "twin")), inode(&bench.stored(&fifth, "twin")));
    fs::remove_dir_all(&bench.source).unwrap();
    flip(&bench.stored(&first, "sub/same"), 0);
    flip(&bench.stored(&fourth, "twin"), 0);
    let good = GoodCopy::Stored(format!("test/{fifth}/docs/twin").into_bytes());
    // Also where both contents are looked for at once.
    for (snapshots, damaged) in [(&[&first][..], 1), (&[], 2)] {
        let report = verify_job(&bench, Seam::default(), snapshots);
        assert_eq!(report.damage.len(), damaged);
        for damage in &report.damage {
            assert_eq!(damage.good_copy.as_ref(), Some(&good), "{:?}", report.problems);
        }
    }
}

#[test]
fn what_could_not_be_looked_at_is_told_where_no_copy_is_found() {
    let (bench, [first, ..]) = three_snapshots();
    let other = bench.path("zwei");
    write(&other.join("file"), "of another job");
    let path_bytes = other.clone().into_os_string().into_encoded_bytes();
    let source = JobSource { folder: b"o".to_vec(), path: other, path_bytes };
    let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
    let job = Job::new(JobName::new("zwei").unwrap(), vec![source], options).unwrap();
    with_context(|ctx| backup(ctx, &bench.open(), &job, &Excludes::default())).unwrap().snapshot.unwrap();
    flip(&bench.stored(&first, "edited"), 0);
    let report = verify_job(&bench, Seam::default(), &[&first]);
    assert!(
        told(&report).ends_with("; no good copy of it was found in the target or at the source"),
        "{}",
        told(&report)
    );
    let report = verify_job(&bench, locked(b"zwei"), &[&first]);
    assert!(told(&report).ends_with("these could not be looked at: a part of job zwei"), "{}", told(&report));
    let digests = bench.target.join(".hardback/digests");
    fs::rename(digests.join("zwei"), bench.path("away")).unwrap();
    let report = verify_job(&bench, Seam::default(), &[&first]);
    assert!(told(&report).ends_with("these could not be looked at: a part of job zwei"), "{}", told(&report));
    fs::rename(bench.path("away"), digests.join("zwei")).unwrap();
    // The source is not mounted.
    fs::rename(&bench.source, bench.path("away")).unwrap();
    let at_source = bench.source.join("edited").to_string_lossy().into_owned();
    let report = verify_job(&bench, Seam::default(), &[&first]);
    assert!(told(&report).ends_with(&format!("these could not be looked at: {at_source}")), "{}", told(&report));
}

#[test]
fn nothing_is_said_of_copies_where_nothing_proves_one() {
    let (bench, [first, ..]) = three_snapshots();
    fs::File::options().write(true).open(bench.stored(&first, "edited")).unwrap().set_len(2).unwrap();
    fs::remove_file(bench.target.join(".hardback/digests/test/00000001.b3")).unwrap();
    let report = verify_job(&bench, Seam::default(), &[&first]);
    let problem = report.problems.iter().find(|problem| problem.path.ends_with(b"edited")).unwrap();
    assert!(problem.detail.ends_with("; its digest cannot be read, so nothing proves any copy of it"), "{problem:?}");
}
