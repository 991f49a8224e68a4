//! `versions` and `find` over several snapshots.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests look at the disk with other code than the product's"
)]

mod bench;

use bench::Bench;
use hardback_engine::{Error, FindOptions, FindReport, VersionChange, Versions, find, versions};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn of(bench: &Bench, path: &str) -> Result<Versions, Error> {
    bench.with(|ctx, target| versions(ctx, target, "test", path.as_bytes()))
}

fn search(bench: &Bench, job: Option<&str>, pattern: &str) -> (Vec<String>, FindReport) {
    let mut lines = Vec::new();
    let options = FindOptions { job: job.map(Into::into), pattern: pattern.into(), ignore_case: false };
    let report = bench.with(|ctx, target| {
        find(ctx, target, &options, &mut |f| {
            let path = String::from_utf8_lossy(&f.path);
            lines.push(format!("{} {path} {} {}..{} {}", f.job, f.size_bytes, f.first, f.last, f.snapshots));
        })
    });
    (lines, report.unwrap())
}

#[test]
fn versions_tell_change_absence_and_return() {
    let bench = Bench::new();
    let file = bench.source.join("sub/a");
    bench.write("sub/a", "one");
    let first_time = fs::metadata(&file).unwrap().modified().unwrap();
    let s1 = bench.backup();
    let s2 = bench.backup();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let s3 = bench.backup();
    fs::remove_file(&file).unwrap();
    let s4 = bench.backup();
    // Back as it was at first; stored again, under another reference.
    bench.write("sub/a", "one");
    fs::File::options().write(true).open(&file).unwrap().set_modified(first_time).unwrap();
    let s5 = bench.backup();
    bench.write("sub/a", "other");
    let s6 = bench.backup();

    let all = of(&bench, "docs/sub/a").unwrap();
    let held: Vec<_> = all.versions.iter().map(|v| (v.snapshots.clone(), v.change.clone(), v.size_bytes)).collect();
    assert_eq!(
        held,
        [
            (vec![s1.clone(), s2, s5.clone()], VersionChange::First, 3),
            (vec![s3], VersionChange::Metadata(vec!["mode"]), 3),
            (vec![s6], VersionChange::Content, 5),
        ]
    );
    assert_eq!((&all.versions[0].first, &all.versions[0].last), (&s1, &s5));
    assert_eq!((all.absent, all.unreadable), (vec![s4], vec![]));
}

#[test]
fn versions_of_a_folder_and_of_a_path_that_was_a_file() {
    let bench = Bench::new();
    bench.write("x", "file");
    bench.backup();
    fs::remove_file(bench.source.join("x")).unwrap();
    bench.write("x/in", "1");
    bench.backup();
    let changes: Vec<_> = of(&bench, "docs/x").unwrap().versions.into_iter().map(|v| v.change).collect();
    assert_eq!(changes, [VersionChange::First, VersionChange::Kind]);
    assert!(of(&bench, "docs/x/in").unwrap().absent.is_empty());
}

#[test]
fn a_path_that_is_nowhere_is_answered_with_what_is_near() {
    let bench = Bench::new();
    bench.write("letters/Letter.odt", "1");
    bench.write("letters/invoice.pdf", "1");
    bench.backup();
    let near = |path: &str| {
        let error = of(&bench, path).unwrap_err();
        assert_eq!(error.to_string(), format!("no snapshot has {path}"));
        error.hint().unwrap()
    };
    assert_eq!(near("docs/letters/leter.odt"), "docs/letters has Letter.odt");
    assert_eq!(near("docs/leters/Letter.odt"), "docs has letters");
    assert_eq!(
        near("docs/letters/zebra"),
        "the nearest folder is docs/letters; `hardback find` looks in all snapshots"
    );
    assert_eq!(
        near("nothing"),
        "the nearest folder is the top of the snapshot; `hardback find` looks in all snapshots"
    );
    assert_eq!(near("letters/Letter.odt"), "did you mean docs/letters/Letter.odt?");
    assert!(matches!(of(&bench, "docs/nothing"), Err(Error::NotFound { .. })));
    assert!(matches!(of(&bench, "../docs"), Err(Error::Refused { .. })));
}

#[test]
fn a_path_that_was_there_and_could_not_be_read_is_no_version() {
    let bench = Bench::new();
    bench.write("a", "one");
    let first = bench.backup_without(&["a"]);
    let all = of(&bench, "docs/a").unwrap();
    assert_eq!((all.versions.len(), &all.not_read, all.absent.len()), (0, &vec![first.clone()], 0));
    let second = bench.backup();
    let all = of(&bench, "docs/a").unwrap();
    let held: Vec<_> = all.versions.iter().map(|v| (&v.first, &v.change)).collect();
    assert_eq!((held, &all.not_read), (vec![(&second, &VersionChange::First)], &vec![first]));
}

#[test]
fn a_damaged_record_does_not_hide_the_other_versions() {
    let bench = Bench::new();
    bench.write("a", "1");
    let s1 = bench.backup();
    let s2 = bench.backup();
    let s3 = bench.backup();
    bench.damage("test", &s2);
    let all = of(&bench, "docs/a").unwrap();
    assert_eq!(all.versions[0].snapshots, [s1.clone(), s3.clone()]);
    assert_eq!(all.unreadable, std::slice::from_ref(&s2));
    assert!(bench.ears.problems.lock().unwrap()[0].contains(&s2));
    bench.damage("test", &s1);
    bench.damage("test", &s3);
    let error = of(&bench, "docs/a").unwrap_err();
    assert!(error.to_string().contains(&s1), "{error}");
}

#[test]
fn a_path_is_found_once_with_its_first_and_last_snapshot() {
    let bench = Bench::new();
    bench.write("report.txt", "1");
    bench.write("sub/Report-2.txt", "1");
    bench.write("sub/other", "1");
    let s1 = bench.backup();
    let s2 = bench.backup();
    bench.write("report.txt", "22");
    fs::remove_file(bench.source.join("sub/Report-2.txt")).unwrap();
    let s3 = bench.backup();
    let o1 = bench.backup_as("other");
    let (lines, report) = search(&bench, Some("test"), "report");
    let expected = [
        format!("test docs/report.txt 2 {s3}..{s3} 1"),
        format!("test docs/report.txt 1 {s1}..{s2} 2"),
        format!("test docs/sub/Report-2.txt 1 {s1}..{s2} 2"),
    ];
    assert_eq!(lines, expected);
    assert_eq!((report.found, report.snapshots, report.problem_count), (3, 3, 0));
    let (lines, report) = search(&bench, None, "docs/*.txt");
    let expected = [
        format!("other docs/report.txt 2 {o1}..{o1} 1"),
        format!("test docs/report.txt 2 {s3}..{s3} 1"),
        format!("test docs/report.txt 1 {s1}..{s2} 2"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(report.snapshots, 4);
    assert_eq!(search(&bench, None, "Report").0.len(), 1);
    assert_eq!(search(&bench, Some("test"), "sub").0.len(), 2);
}

#[test]
fn a_damaged_record_does_not_hide_what_the_others_have() {
    let bench = Bench::new();
    bench.write("a", "1");
    let s1 = bench.backup();
    let s2 = bench.backup();
    let s3 = bench.backup();
    bench.damage("test", &s2);
    let (lines, report) = search(&bench, None, "a");
    assert!(lines.contains(&format!("test docs/a 1 {s1}..{s3} 2")), "{lines:?}");
    assert_eq!((report.snapshots, report.problem_count), (2, 1));
    assert!(bench.ears.problems.lock().unwrap()[0].contains(&s2));
    assert_eq!(bench.counters.problems.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn more_snapshots_than_are_searched_at_a_time_are_searched_in_batches() {
    let bench = Bench::new();
    bench.write("a", "1");
    let all: Vec<String> = (0..34).map(|_| bench.backup()).collect();
    let (lines, report) = search(&bench, None, "a");
    let expected =
        [format!("test docs/a 1 {}..{} 32", all[2], all[33]), format!("test docs/a 1 {}..{} 2", all[0], all[1])];
    assert_eq!(lines, expected);
    assert_eq!((report.found, report.snapshots), (2, 34));
}
