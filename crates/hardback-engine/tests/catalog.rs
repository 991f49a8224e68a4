//! Which snapshots there are, and what becomes of those whose seal is of no use.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::catalog::{self, Snapshots};
use hardback_engine::{Error, ProblemKind, VerifyLevel, VerifyOptions};
use hardback_platform::Time;
use jiff::tz::TimeZone;
use std::fs;
use std::path::PathBuf;
use support::*;

/// 2026-11-20 12:00:00 UTC.
const NOON: i64 = 1_795_176_000;
const DAY: i64 = 86_400;

/// A bench with snapshots of three days at noon, of which each has all before it and a file more.
fn three_days() -> (Bench, [String; 3]) {
    let bench = Bench::new();
    let names = [0, 1, 2].map(|day| {
        bench.write(&format!("file of day {day}"), "x");
        bench.backup_at(NOON + day * DAY).snapshot.unwrap()
    });
    assert_eq!(names[0], "2026-11-20_12.00.00");
    (bench, names)
}

fn seal(bench: &Bench, snapshot: &str) -> PathBuf {
    bench.target.join(".hardback/manifests/test").join(format!("{snapshot}.seal"))
}

fn all(bench: &Bench) -> Snapshots {
    catalog::snapshots(&bench.open(), "test").unwrap()
}

fn find(bench: &Bench, when: &str) -> Result<(String, Vec<String>), String> {
    let now = Time { seconds: NOON + 3 * DAY, nanos: 0 };
    match catalog::find_snapshot(&all(bench), when, now, &TimeZone::UTC) {
        Ok((found, passed)) => Ok((found.name, passed.into_iter().map(|u| u.name).collect())),
        Err(error) => Err(format!("{error}; {}", error.hint().unwrap_or_default())),
    }
}

#[test]
fn a_seal_of_no_use_hides_its_snapshot_only() {
    for damage in ["no seal", ""] {
        let (bench, [first, second, third]) = three_days();
        fs::write(seal(&bench, &second), damage).unwrap();
        let all = all(&bench);
        let names: Vec<&str> = all.sealed.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, [&first, &third]);
        let problem = all.unsealed[0].problem();
        assert_eq!((problem.kind, problem.path), (ProblemKind::Unsealed, format!("test/{second}").into_bytes()));
    }
    let (bench, [_, second, _]) = three_days();
    fs::remove_file(seal(&bench, &second)).unwrap();
    fs::create_dir(seal(&bench, &second)).unwrap();
    assert_eq!(all(&bench).unsealed[0].problem().kind, ProblemKind::Unreadable);
    assert_eq!(all(&bench).sealed.len(), 2);
}

#[test]
fn a_backup_goes_on_beside_a_seal_of_no_use_and_touches_nothing_of_that_snapshot() {
    let (bench, [_, second, third]) = three_days();
    fs::write(seal(&bench, &third), "no seal").unwrap();
    // Not even its digest list tells its generation.
    fs::remove_file(bench.target.join(".hardback/digests/test/00000003.b3")).unwrap();
    let tree = bench.target.join("test").join(&third);
    let look = || [tree.clone(), tree.join("docs"), tree.join("docs/file of day 2")].map(|p| (inode(&p), mtime(&p)));
    let before = look();
    // In the same second: its name must not be taken again either.
    let report = bench.backup_at(NOON + 2 * DAY);
    assert_eq!((report.generation, report.base.as_deref()), (4, Some(&second[..])));
    assert_eq!(report.snapshot, Some(format!("{third}-2")));
    assert_eq!(look(), before);
    assert_eq!(read(&seal(&bench, &third)), "no seal");
    assert!(bench.target.join(format!(".hardback/manifests/test/{third}.manifest.zst")).exists());
}

#[test]
fn the_name_of_a_snapshot_that_was_deleted_by_hand_is_not_taken_while_its_seal_is_there() {
    let (bench, [_, _, third]) = three_days();
    let sealed = fs::read(seal(&bench, &third)).unwrap();
    fs::remove_dir_all(bench.target.join("test").join(&third)).unwrap();
    assert_eq!(bench.backup_at(NOON + 2 * DAY).snapshot, Some(format!("{third}-2")));
    assert_eq!(fs::read(seal(&bench, &third)).unwrap(), sealed);
}

#[test]
fn a_snapshot_that_may_have_been_meant_is_told_and_no_other() {
    let (bench, [first, second, third]) = three_days();
    fs::write(seal(&bench, &second), "no seal").unwrap();
    assert_eq!(find(&bench, "latest"), Ok((third.clone(), vec![])));
    assert_eq!(find(&bench, "2026-11-21"), Ok((first.clone(), vec![second.clone()])));
    assert_eq!(find(&bench, "2026-11-21 11:59"), Ok((first.clone(), vec![])));
    assert_eq!(find(&bench, &first), Ok((first.clone(), vec![])));
    let refused = find(&bench, &second).unwrap_err();
    assert!(
        refused.starts_with(&format!("snapshot {second} cannot be used: its seal is damaged; its files are plain"))
    );
    fs::write(seal(&bench, &third), "no seal").unwrap();
    assert_eq!(find(&bench, "latest"), Ok((first.clone(), vec![second, third.clone()])));
    fs::write(seal(&bench, &first), "no seal").unwrap();
    assert!(find(&bench, "latest").unwrap_err().starts_with(&format!("snapshot {third} cannot be used")));
}

#[test]
fn a_time_before_the_oldest_snapshot_is_refused_with_the_name_of_that() {
    let (bench, [first, ..]) = three_days();
    let expected = |when: &str| Err(format!("there is no snapshot for {when:?}; the oldest is {first}"));
    for when in ["2026-11-19", "1 month ago", "2026-11-20 11:59"] {
        assert_eq!(find(&bench, when), expected(when));
    }
}

#[test]
fn the_name_of_a_snapshot_that_is_not_there_is_no_time() {
    let (bench, _) = three_days();
    let expected = "there is no snapshot 2026-11-21_12.00.01; `hardback snapshots` lists those that there are";
    assert_eq!(find(&bench, "2026-11-21_12.00.01"), Err(expected.to_owned()));
    assert_eq!(find(&bench, "2026-11-21_12:00:01").map(|(name, _)| name), Ok("2026-11-21_12.00.00".to_owned()));
    assert!(find(&bench, "someday").unwrap_err().starts_with("\"someday\" is neither the name"));
}

#[test]
fn verify_tells_of_seals_only_where_it_was_asked_to_look() {
    let (bench, [first, second, _]) = three_days();
    fs::write(seal(&bench, &second), "no seal").unwrap();
    let verify = |name: &str| {
        let (snapshots, level) = (vec![name.to_owned()], VerifyLevel::Quick);
        bench.verify_with(&VerifyOptions { job: None, snapshots, level, against_source: false, workers: 0 })
    };
    assert_eq!(found(&verify(&first).problems), []);
    assert_eq!(found(&verify(&second).problems), [(ProblemKind::Unsealed, second.clone())]);
    let report = bench.verify(VerifyLevel::Quick);
    assert_eq!((found(&report.problems), report.snapshots), (vec![(ProblemKind::Unsealed, second)], 2));
}

#[test]
fn behind_the_last_generation_nothing_is_overwritten() {
    let bench = Bench::new();
    bench.write("file", "x");
    bench.backup();
    let list = bench.target.join(".hardback/digests/test/4294967295.b3");
    fs::write(&list, "a list of whoever").unwrap();
    for _ in 0..2 {
        bench.write("file", "xx");
        match bench.try_backup() {
            Err(error @ Error::Refused { .. }) => {
                assert!(error.to_string().contains("generation 4294967295"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fs::read(&list).unwrap(), b"a list of whoever");
    // Lower numbers, however high, are gone on from.
    fs::rename(&list, list.with_file_name("4294967293.b3")).unwrap();
    let generations = [bench.backup_report().generation, bench.backup_report().generation];
    assert_eq!(generations, [u32::MAX - 1, u32::MAX]);
    assert!(matches!(bench.try_backup(), Err(Error::Refused { .. })));
    assert!(bench.verify(VerifyLevel::Full).problems.is_empty());
}

#[test]
fn a_sealed_record_that_cannot_be_read_is_no_base_and_stops_no_backup() {
    let cut_off: fn(&[u8]) -> Vec<u8> = |bytes| {
        let header_bytes = zstd::zstd_safe::find_frame_compressed_size(bytes).unwrap();
        let text = zstd::bulk::decompress(&bytes[header_bytes..], 1 << 20).unwrap();
        let end = text.windows(4).position(|w| w == b"\n..\n").unwrap();
        [&bytes[..header_bytes], &zstd::bulk::compress(&text[..end], 3).unwrap()].concat()
    };
    let of_another_format: fn(&[u8]) -> Vec<u8> =
        |_| zstd::bulk::compress(b"#mtree\n# hardback manifest 99\n", 3).unwrap();
    for damage in [cut_off, of_another_format] {
        let (bench, [_, second, third]) = three_days();
        forge_record(&bench, &third, damage);
        let report = bench.backup_at(NOON + 3 * DAY);
        assert_eq!(report.base.as_deref(), Some(&second[..]));
        assert_eq!((report.totals.entries, report.totals.new_files, report.totals.problems), (4, 1, 0));
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(bench.backup_at(NOON + 4 * DAY).base, report.snapshot);
        let left = fs::read_dir(bench.target.join(".hardback/partial/test")).unwrap().count();
        assert_eq!(left, 0);
    }
}
