//! Verifies on plain files in temporary folders.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    Answer, Cancel, Context, Counters, Error, Place, ProblemKind, SystemClock, VerifyLevel, VerifyOptions,
    VerifyReport, open_or_create_target, restore, verify,
};
use hardback_platform::{Dir, Lock, Seam};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use support::*;

fn filled() -> Bench {
    let bench = Bench::new();
    for n in 0..200 {
        bench.write(&format!("many/{n:03}"), &format!("content {n}"));
    }
    bench.write("sub/a", "a");
    bench.write("sub/b", "b");
    bench.write("big", &"x".repeat(3 << 20));
    std::os::unix::fs::symlink("to", bench.source.join("link")).unwrap();
    bench
}

const LEVELS: [VerifyLevel; 3] = [VerifyLevel::Quick, VerifyLevel::Sample(0.5), VerifyLevel::Full];

#[test]
fn what_is_well_is_well_and_each_file_is_read_once() {
    let bench = filled();
    bench.backup();
    bench.write("sub/a", "changed");
    fs::set_permissions(bench.source.join("sub/b"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.backup();
    bench.backup();
    for level in LEVELS {
        let report = bench.verify(level);
        assert_eq!(found(&report.problems), [], "{level:?}");
        assert_eq!((report.snapshots, report.entries), (3, 3 * 207), "{level:?}");
    }
    let full = bench.verify(VerifyLevel::Full);
    // 203 of the first run, one changed, one with another mode.
    assert_eq!((full.files_read, full.shared), (205, 3 * 203 - 205));
    let sample = bench.verify(VerifyLevel::Sample(0.5));
    assert!((50..160).contains(&sample.files_read), "{}", sample.files_read);
}

#[test]
fn a_flipped_byte_is_found_by_full_and_by_nothing_less() {
    let bench = filled();
    let first = bench.backup();
    flip(&bench.stored(&first, "big"), 2 << 20);
    assert_eq!(found(&bench.verify(VerifyLevel::Quick).problems), []);
    let expected = [(ProblemKind::Damaged, format!("{first}/docs/big"))];
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), expected);
}

#[test]
fn missing_extra_changed_and_replaced_entries_are_told_apart() {
    let bench = filled();
    let first = bench.backup();
    let at = |path: &str| bench.stored(&first, path);
    fs::remove_file(at("sub/a")).unwrap();
    fs::write(at("sub/new"), "new").unwrap();
    fs::set_permissions(at("sub/b"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::remove_dir_all(at("many")).unwrap();
    fs::write(at("many"), "now a file").unwrap();
    fs::remove_file(at("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", at("link")).unwrap();
    let named = |kind, path: &str| (kind, format!("{first}/docs/{path}"));
    let expected = [
        named(ProblemKind::Metadata, "link"),
        named(ProblemKind::Metadata, "sub"),
        named(ProblemKind::Metadata, "sub/b"),
        (ProblemKind::Metadata, format!("{first}/docs")),
        named(ProblemKind::Missing, "sub/a"),
        named(ProblemKind::Extra, "sub/new"),
        named(ProblemKind::Damaged, "link"),
        named(ProblemKind::Damaged, "many"),
    ];
    for level in LEVELS {
        let mut all = found(&bench.verify(level).problems);
        let mut expected = expected.to_vec();
        all.sort();
        expected.sort();
        assert_eq!(all, expected, "{level:?}");
    }
}

#[test]
fn damaged_records_are_problems() {
    let bench = filled();
    let (first, second) = (bench.backup(), bench.backup());
    let records = bench.target.join(".hardback/manifests/test");
    let manifest = records.join(format!("{first}.manifest.zst"));
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, &bytes[..bytes.len() / 2]).unwrap();
    let damaged = |name: &str| (ProblemKind::Damaged, name.to_owned());
    assert_eq!(found(&bench.verify(VerifyLevel::Quick).problems), [damaged(&first)]);
    fs::remove_file(&manifest).unwrap();
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), [damaged(&first)]);
    fs::write(&manifest, &bytes).unwrap();
    let list = bench.target.join(".hardback/digests/test/00000001.b3");
    flip(&list, 32 * 5);
    let problems = found(&bench.verify(VerifyLevel::Full).problems);
    // The list itself, and the file whose digest it is, which is one file in both snapshots.
    assert_eq!(problems.len(), 2, "{problems:?}");
    flip(&list, 32 * 5);
    fs::write(records.join(format!("{second}.seal")), "no seal").unwrap();
    assert_eq!(found(&bench.verify(VerifyLevel::Quick).problems), [(ProblemKind::Unsealed, second.clone())]);
    fs::remove_file(records.join(format!("{second}.seal"))).unwrap();
    assert_eq!(found(&bench.verify(VerifyLevel::Quick).problems), [(ProblemKind::Unsealed, second)]);
}

#[test]
fn snapshots_that_were_deleted_by_hand_are_one_notice_and_their_digests_still_prove() {
    let bench = filled();
    let (first, second, third) = (bench.backup(), bench.backup(), bench.backup());
    fs::remove_dir_all(bench.target.join("test").join(&first)).unwrap();
    let report = bench.verify(VerifyLevel::Full);
    assert_eq!((found(&report.problems), report.files_read), (vec![], 203));
    let rest = "its record stays, as others may need the digests in it";
    assert_eq!(report.notices, [format!("snapshot {first} of job test was deleted by hand; {rest}")]);
    // A seal that is of no use is not worse for that.
    fs::remove_dir_all(bench.target.join("test").join(&third)).unwrap();
    fs::write(bench.target.join(format!(".hardback/manifests/test/{third}.seal")), "no seal").unwrap();
    let report = bench.verify(VerifyLevel::Quick);
    let expected =
        "2 snapshots of job test were deleted by hand; their records stay, as others may need the digests in it";
    assert_eq!((found(&report.problems), &report.notices[..]), (vec![], &[expected.to_owned()][..]));
    let options = VerifyOptions {
        job: None,
        snapshots: vec![first],
        level: VerifyLevel::Quick,
        against_source: false,
        workers: 0,
    };
    assert!(with_context(|ctx| verify(ctx, &bench.open(), &options)).is_err());
    flip(&bench.stored(&second, "sub/a"), 0);
    assert_eq!(bench.verify(VerifyLevel::Full).problem_count, 1);
}

#[test]
fn what_a_snapshot_lacks_since_it_was_made_is_told_and_is_no_damage() {
    let bench = filled();
    let whole = bench.backup();
    let lacking = Bench::new();
    lacking.write("sub/a", "a");
    lacking.write("b", "b");
    let snapshot = lacking.backup_watched(locked(b"sub")).snapshot.unwrap();
    let report = lacking.verify(VerifyLevel::Full);
    assert_eq!((found(&report.problems), report.incomplete), (vec![], vec![(snapshot.clone(), 1)]));
    assert_eq!(bench.verify(VerifyLevel::Full).incomplete, []);
    // Beside the source it is one: nothing says that the snapshot has it.
    let options =
        VerifyOptions { job: None, snapshots: Vec::new(), level: VerifyLevel::Full, against_source: true, workers: 2 };
    let report = lacking.verify_with(&options);
    let expected = [(ProblemKind::Unreadable, format!("{snapshot}/docs/sub"))];
    assert_eq!((&found(&report.problems)[..], report.changed_count), (&expected[..], 0));
    assert_eq!(bench.verify_with(&options).problem_count, 0, "{whole}");
}

/// Verifies a target of which no folder of this name can be opened.
fn verify_locked(bench: &Bench, name: &'static [u8]) -> VerifyReport {
    let level = VerifyLevel::Full;
    let options = VerifyOptions { job: None, snapshots: Vec::new(), level, against_source: false, workers: 0 };
    let target = open_or_create_target(&bench.target, None, &SystemClock, locked(name)).unwrap().target;
    with_context(|ctx| verify(ctx, &target, &options)).unwrap()
}

#[test]
fn a_folder_that_keeps_us_out_as_it_did_the_backup_is_no_damage_and_one_with_entries_is_unreadable() {
    let bench = Bench::new();
    bench.write("sub/a", "a");
    bench.write("b", "b");
    let snapshot = bench.backup_watched(locked(b"sub")).snapshot.unwrap();
    let report = verify_locked(&bench, b"sub");
    assert_eq!((found(&report.problems), report.incomplete), (vec![], vec![(snapshot, 1)]));
    let whole = bench.backup();
    // An older snapshot's stands in for what is in it.
    let stands_in = bench.backup_watched(locked(b"sub")).snapshot.unwrap();
    // Sorted as paths: of two in one second the second one's `-2` comes first.
    let mut expected = [whole, stands_in].map(|name| (ProblemKind::Unreadable, format!("{name}/docs/sub")));
    expected.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(found(&verify_locked(&bench, b"sub").problems), expected);
}

#[test]
fn against_the_source_changes_since_are_no_damage_and_older_differences_are() {
    let bench = filled();
    let snapshot = bench.backup();
    let options =
        VerifyOptions { job: None, snapshots: Vec::new(), level: VerifyLevel::Full, against_source: true, workers: 2 };
    let report = bench.verify_with(&options);
    assert_eq!((found(&report.problems), report.changed_count), (vec![], 0));
    assert_eq!((report.entries, report.files_read, &report.compared), (207, 203, &vec![snapshot.clone()]));
    assert_eq!((report.source.entries, report.source.files, report.source.bytes), (206, 203, report.bytes_read));
    fs::remove_file(bench.source.join("many/007")).unwrap();
    bench.write("sub/a", "changed");
    bench.write("sub/new", "new");
    let report = bench.verify_with(&options);
    let changed: Vec<_> = report.changed.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    let expected = ["many", "many/007", "sub", "sub/a", "sub/new"].map(|p| format!("{snapshot}/docs/{p}"));
    assert_eq!((found(&report.problems), changed), (vec![], expected.to_vec()));
}

#[test]
fn a_snapshot_that_cannot_be_opened_is_told_and_the_others_are_verified() {
    let bench = filled();
    let (first, second) = (bench.backup(), bench.backup());
    let name: &'static str = first.clone().leak();
    let options = VerifyOptions {
        job: None,
        snapshots: Vec::new(),
        level: VerifyLevel::Quick,
        against_source: false,
        workers: 0,
    };
    let target = open_or_create_target(&bench.target, None, &SystemClock, locked(name.as_bytes())).unwrap().target;
    let report = with_context(|ctx| verify(ctx, &target, &options)).unwrap();
    assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, first.clone())]);
    assert_eq!((report.snapshots, report.entries), (1, 207), "{second} was verified");
}

#[test]
fn a_snapshot_that_is_not_there_is_refused_before_any_is_verified() {
    let bench = filled();
    let first = bench.backup();
    flip(&bench.stored(&first, "big"), 2 << 20);
    let options = VerifyOptions {
        job: None,
        snapshots: vec![first, "2001-01-01".into()],
        level: VerifyLevel::Full,
        against_source: false,
        workers: 0,
    };
    let counters = Counters::default();
    let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &Cancel::default() };
    assert!(matches!(verify(&ctx, &bench.open(), &options), Err(Error::NotFound { .. })));
    assert_eq!(counters.entries.load(Ordering::SeqCst), 0);
}

#[test]
fn what_a_backup_at_work_has_not_finished_is_no_leftover() {
    let bench = filled();
    bench.backup();
    let ours = bench.target.join(".hardback");
    fs::create_dir_all(ours.join("partial/test/2026-11-21_10.00.00")).unwrap();
    let leftover = "job test has 1 unfinished snapshot(s); the next backup takes them over";
    let dir = Dir::open(&ours, Seam::default()).unwrap();
    let lock = Lock::try_take(&dir, b"lock", b"job test, process 7\n").unwrap().unwrap();
    let notices = || bench.verify(VerifyLevel::Quick).notices;
    assert_eq!(notices(), ["a backup is at work (job test, process 7); what it has not finished is not looked at"]);
    drop(lock);
    assert_eq!(notices(), [leftover]);
    // One that was killed could not take its words away.
    fs::write(ours.join("lock"), "job test, process 7\n").unwrap();
    assert_eq!(notices(), [leftover]);
}

#[test]
fn a_digest_list_that_cannot_be_had_is_told_and_the_rest_is_verified() {
    let bench = filled();
    let first = bench.backup();
    bench.write("sub/a", "changed");
    let second = bench.backup();
    flip(&bench.stored(&second, "sub/a"), 0);
    // The first is the folder of all lists, the second one of them.
    for closed in [&b"digests"[..], b"00000001.b3"] {
        let report = verify_locked(&bench, closed.to_vec().leak());
        let of = |snapshot: &str| {
            let of_it = report.problems.iter().filter(|p| p.path == snapshot.as_bytes());
            of_it.map(|p| p.detail.clone()).collect::<Vec<_>>()
        };
        let list = "its digest list cannot be read: permission denied";
        let [told, unproven] = &of(&first)[..] else { panic!("{report:?}") };
        assert_eq!(told, list);
        assert!(unproven.starts_with("203 files, such as docs/"), "{unproven}");
        assert!(unproven.contains(", are not proven by the digest list 00000001.b3: cannot open"), "{unproven}");
        assert!(unproven.ends_with(": permission denied"), "{unproven}");
        let of_second = of(&second);
        let damaged = format!("{second}/docs/sub/a");
        let is_found = report.problems.iter().any(|p| p.path == damaged.as_bytes());
        if closed == b"digests" {
            assert_eq!((of_second.len(), is_found), (3, false), "{of_second:?}");
        } else {
            assert!(of_second.len() == 1 && of_second[0].starts_with("202 files, such as "), "{of_second:?}");
            assert!(is_found, "{report:?}");
        }
        assert_eq!((report.snapshots, report.entries, report.files_read), (2, 2 * 207, 204));
    }
    // One that is missing, and one that is cut off.
    let list = bench.target.join(".hardback/digests/test/00000001.b3");
    let bytes = fs::read(&list).unwrap();
    fs::write(&list, &bytes[..32 * 100]).unwrap();
    let report = bench.verify(VerifyLevel::Full);
    let unproven = report.problems.iter().filter(|p| p.detail.contains("00000001.b3"));
    let begins: Vec<_> = unproven.map(|p| p.detail.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(begins, ["103", "102"], "{:?}", report.problems);
    fs::remove_file(&list).unwrap();
    let report = bench.verify(VerifyLevel::Full);
    assert_eq!((report.problem_count, report.files_read), (4, 204), "{:?}", report.problems);
}

#[test]
fn what_no_digest_proves_is_restored_and_told() {
    let bench = Bench::new();
    bench.write("a", "some bytes");
    bench.write("empty", "");
    let snapshot = bench.backup();
    for closed in [&b"digests"[..], b"00000001.b3"] {
        let target = open_or_create_target(&bench.target, None, &SystemClock, locked(closed.to_vec().leak()));
        let mut options = bench.options(&snapshot);
        options.place = Place::To(bench.path(&format!("without-{}", closed.len())));
        let report =
            with_context(|ctx| restore(ctx, &target.unwrap().target, &options, &mut |_| Answer::Keep)).unwrap();
        assert_eq!(found(&report.problems), [(ProblemKind::Damaged, "docs/a".to_owned())]);
        assert!(report.problems[0].detail.starts_with("it is restored, but nothing proves it"), "{report:?}");
        let Place::To(out) = &options.place else { unreachable!() };
        assert_eq!(read(&out.join("docs/a")), "some bytes");
    }
}
