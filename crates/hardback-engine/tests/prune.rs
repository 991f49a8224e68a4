//! `prune`: what goes, what stays whatever the rules say, and what is left behind.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk with other code than the product's"
)]

mod support;

use hardback_engine::catalog::{self, Snapshots};
use hardback_engine::retention::{Reason, Rules};
use hardback_engine::{
    Amount, BackupOptions, Cancel, Cause, Context, Counters, Error, Excludes, Fate, FixedClock, GuardLimits, Note,
    ProblemKind, PruneOptions, PruneReport, PurgeOptions, PurgeReport, Room, Suspension, SystemClock, VerifyLevel,
    change_notes, notes, prune, purge, unpin_all,
};
use hardback_platform::{Call, Lock, Op, Seam, Time, Verdict, Watch};
use jiff::tz::TimeZone;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use support::{Bench, Quiet, with_context};

const FILES: usize = 30;

/// A source of some files in folders.
fn bench() -> Bench {
    let bench = Bench::new();
    for n in 0..FILES {
        bench.write(&format!("d{}/{n}", n % 3), &format!("content {n}"));
    }
    bench
}

fn keep_last(last: usize) -> PruneOptions {
    PruneOptions { rules: Rules { last: Some(last), at_least: 1, ..Rules::default() }, ..PruneOptions::default() }
}

fn pruned(bench: &Bench, options: &PruneOptions) -> PruneReport {
    with_context(|ctx| prune(ctx, &bench.open(), "test", options)).unwrap()
}

fn names(bench: &Bench) -> Vec<String> {
    let Snapshots { sealed, unsealed } = catalog::snapshots(&bench.open(), "test").unwrap();
    assert!(unsealed.is_empty());
    sealed.into_iter().map(|s| s.name).collect()
}

fn ours(bench: &Bench, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(bench.target.join(".hardback").join(folder)) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_well(bench: &Bench) {
    let report = bench.verify(VerifyLevel::Full);
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

#[test]
fn what_no_rule_keeps_goes_with_its_record_and_the_rest_is_whole() {
    let bench = bench();
    let mut made = Vec::new();
    for round in 0..5 {
        bench.write("d0/edited", &format!("round {round}"));
        made.push(bench.backup());
    }
    let report = pruned(&bench, &keep_last(2));
    assert_eq!(report.removed, made[..3]);
    assert_eq!((report.problem_count, report.suspended.len()), (0, 0));
    // The top, the source's folder, three folders; 31 files.
    assert_eq!(report.unlinked, 3 * (5 + 31));
    let fates: Vec<_> = report.decided.iter().map(|d| matches!(d.fate, Fate::Remove(Cause::NoRule))).collect();
    assert_eq!(fates, [true, true, true, false, false]);
    assert_eq!(report.decided[4].fate, Fate::Keep(vec![Reason::Newest, Reason::AtLeast, Reason::Last(1)]));
    assert_eq!(names(&bench), made[3..]);
    assert!(ours(&bench, "trash").is_empty());
    let mut records: Vec<_> =
        made[3..].iter().flat_map(|n| [format!("{n}.manifest.zst"), format!("{n}.seal")]).collect();
    // Of two in one second the second one's `-2` comes first.
    records.sort();
    assert_eq!(ours(&bench, "manifests/test"), records);
    // What the first one stored is still linked; what the second and third stored is not.
    assert_eq!(ours(&bench, "digests/test"), ["00000001.b3", "00000004.b3", "00000005.b3"]);
    is_well(&bench);
    let next = bench.backup_report();
    assert_eq!((next.totals.new_files, next.base.as_ref()), (0, Some(&made[4])));
    is_well(&bench);
}

#[test]
fn a_dry_run_decides_alike_and_touches_nothing() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    let everything = || support::listing(&bench.target);
    let before = everything();
    let report = pruned(&bench, &PruneOptions { dry_run: true, ..keep_last(1) });
    assert_eq!(everything(), before);
    assert!(report.removed.is_empty());
    assert_eq!(report.decided.iter().filter(|d| d.fate == Fate::Remove(Cause::NoRule)).count(), 2);
    assert_eq!(names(&bench), made);
}

#[test]
fn pins_and_tags_hold_until_they_are_taken_away() {
    let bench = bench();
    let made: Vec<_> = (0..5).map(|_| bench.backup()).collect();
    let change = |name: &String, change: &mut dyn FnMut(&mut Note)| {
        let all = change_notes(&bench.open(), "test", std::slice::from_ref(name), |note| {
            change(note);
            Ok(())
        });
        all.unwrap();
    };
    change(&made[0], &mut |note| note.is_pinned = true);
    change(&made[1], &mut |note| note.add_tag("release").unwrap());
    let mut options = keep_last(1);
    options.rules.tags = vec!["release".into()];
    assert_eq!(pruned(&bench, &options).removed, made[2..4]);
    change(&made[0], &mut |note| note.is_pinned = false);
    assert_eq!(pruned(&bench, &options).removed, made[..1]);
    assert_eq!(pruned(&bench, &keep_last(1)).removed, made[1..2]);
    assert_eq!(ours(&bench, "notes/test"), ["judged"]);
    let missing = change_notes(&bench.open(), "test", &made[..1], |_| Ok(()));
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[test]
fn a_damaged_note_pins_and_is_a_problem() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    change_notes(&bench.open(), "test", &made[..1], |note| note.add_tag("x")).unwrap();
    fs::write(bench.target.join(format!(".hardback/notes/test/{}.toml", made[0])), "tags = 7").unwrap();
    let report = pruned(&bench, &keep_last(1));
    assert_eq!(report.removed, made[1..2]);
    assert_eq!((report.problem_count, report.problems[0].kind), (1, ProblemKind::Metadata));
    // Whatever else is said about it: it may have been a pin.
    change_notes(&bench.open(), "test", &made[..1], |note| note.add_tag("y")).unwrap();
    unpin_all(&bench.open(), "test").unwrap();
    assert!(pruned(&bench, &keep_last(1)).removed.is_empty());
}

#[test]
fn files_that_all_change_at_once_suspend_pruning_and_hold_what_was_there() {
    let bench = bench();
    let mut made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    // What ransomware does: other content under other names.
    for n in 0..FILES * 6 / 10 {
        let path = bench.source.join(format!("d{}/{n}", n % 3));
        fs::remove_file(&path).unwrap();
        fs::write(path.with_extension("locked"), format!("secret {n}")).unwrap();
    }
    made.push(bench.backup());
    let report = pruned(&bench, &keep_last(1));
    let [Suspension::Alarm { snapshot, why, before }] = &report.suspended[..] else { panic!("{:?}", report.suspended) };
    assert_eq!((snapshot, before.as_ref()), (&made[3], Some(&made[2])));
    assert!(why.starts_with("60 % of the files"), "{why}");
    assert_eq!((report.removed.len(), names(&bench).len()), (0, 4));
    let held = |bench: &Bench| {
        let all = notes(&bench.open(), "test").unwrap();
        made.iter().map(|name| all.of(name).held.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(held(&bench), [true, true, true, false]);
    // Runs that follow change nothing about it.
    made.push(bench.backup());
    assert_eq!(pruned(&bench, &keep_last(1)).suspended.len(), 1);
    assert_eq!(names(&bench), made);
    // Even with a whole history of such changes it is this one that the user has to look at.
    assert_eq!(unpin_all(&bench.open(), "test").unwrap().len(), 4);
    assert_eq!(pruned(&bench, &keep_last(1)).removed, made[..4]);
}

#[test]
fn a_source_that_shrank_suspends_pruning() {
    let bench = bench();
    bench.backup();
    for folder in ["d0", "d1"] {
        fs::remove_dir_all(bench.source.join(folder)).unwrap();
    }
    bench.backup();
    let report = pruned(&bench, &keep_last(1));
    assert!(report.suspended[0].to_string().contains("the source shrank by 6"), "{:?}", report.suspended);
    let lenient = GuardLimits { max_shrink: 0.9, ..GuardLimits::default() };
    // Once raised, an alarm is answered by a person only.
    assert_eq!(pruned(&bench, &PruneOptions { guards: lenient, ..keep_last(1) }).suspended.len(), 1);
    unpin_all(&bench.open(), "test").unwrap();
    assert_eq!(pruned(&bench, &keep_last(1)).removed.len(), 1);
}

#[test]
fn a_run_that_failed_suspends_pruning_until_one_is_good() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    let away = bench.path("away");
    fs::rename(&bench.source, &away).unwrap();
    // The mount point of a disk that is not there.
    fs::create_dir(&bench.source).unwrap();
    let empty = bench.try_backup().unwrap_err();
    assert!(empty.to_string().contains("empty"), "{empty}");
    let report = pruned(&bench, &keep_last(1));
    assert!(matches!(&report.suspended[..], [Suspension::LastRun(why)] if why.contains("empty")));
    assert_eq!(names(&bench), made);
    fs::remove_dir(&bench.source).unwrap();
    bench.try_backup().unwrap_err();
    assert_eq!(pruned(&bench, &keep_last(1)).suspended.len(), 1);
    fs::rename(&away, &bench.source).unwrap();
    bench.backup();
    assert_eq!(pruned(&bench, &keep_last(1)).removed, made);
}

#[test]
fn a_run_that_was_killed_suspends_pruning() {
    struct Stop;
    impl Watch for Stop {
        fn before(&self, call: &Call<'_>) -> Verdict {
            assert!(call.op != Op::SyncVolume, "killed");
            Verdict::Go
        }
    }
    let bench = bench();
    (0..3).for_each(|_| drop(bench.backup()));
    let killed = std::panic::catch_unwind(|| bench.backup_into_watched(Seam::watched(Arc::new(Stop))));
    assert!(killed.is_err());
    let report = pruned(&bench, &keep_last(1));
    assert!(matches!(&report.suspended[..], [Suspension::LastRun(_)]), "{:?}", report.suspended);
    bench.backup();
    assert_eq!(pruned(&bench, &keep_last(1)).removed.len(), 3);
}

#[test]
fn a_clock_that_jumped_suspends_pruning() {
    const DAY_S: i64 = 86_400;
    let start = 1_790_000_000;
    let at = |bench: &Bench, seconds: i64| {
        let clock = FixedClock { now: Time { seconds, nanos: 0 }, zone: TimeZone::UTC };
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &clock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        prune(&ctx, &bench.open(), "test", &keep_last(1)).unwrap()
    };
    let bench = bench();
    (0..3).for_each(|day| drop(bench.backup_at(start + day * DAY_S)));
    for now in [start, start + 500 * DAY_S] {
        assert!(matches!(&at(&bench, now).suspended[..], [Suspension::Clock(_)]));
    }
    // A snapshot with the wrong time does not make it right.
    let far = start + 500 * DAY_S;
    assert!(bench.backup_at(far).snapshot.is_some());
    assert!(matches!(&at(&bench, far + 1).suspended[..], [Suspension::Alarm { .. }]));
    assert_eq!(names(&bench).len(), 4);
}

#[test]
fn room_that_cannot_be_had_costs_no_snapshot_and_is_told() {
    let bench = bench();
    let made: Vec<_> = (0..6).map(|_| bench.backup()).collect();
    let all_of_it = Room { min_free: Some(Amount::Part(1.0)), ..Room::default() };
    let rules = Rules { last: Some(5), at_least: 2, ..Rules::default() };
    let report = pruned(&bench, &PruneOptions { rules, room: all_of_it, ..PruneOptions::default() });
    assert_eq!(report.removed, made[..1]);
    assert!(report.lacking.is_some());
    assert_eq!((report.problem_count, report.problems[0].kind), (1, ProblemKind::NotRemoved));
    let none = Room { min_free: Some(Amount::Number(1)), ..Room::default() };
    let report = pruned(&bench, &PruneOptions { room: none, ..PruneOptions::default() });
    assert_eq!((report.removed.len(), report.lacking), (0, None));
    let more = Room { min_free: Some(Amount::Number(u64::MAX)), ..Room::default() };
    let options = PruneOptions { room: more, ..PruneOptions::default() };
    assert!(matches!(with_context(|ctx| prune(ctx, &bench.open(), "test", &options)), Err(Error::Refused { .. })));
    is_well(&bench);
}

#[test]
fn a_job_that_takes_more_than_it_shall_loses_its_oldest_and_no_more_than_needed() {
    let bench = bench();
    let mut made = Vec::new();
    for round in 0..6 {
        bench.write("d0/big", &format!("{round}").repeat(1 << 20));
        made.push(bench.backup());
    }
    change_notes(&bench.open(), "test", &made[1..2], |note| {
        note.is_pinned = true;
        Ok(())
    })
    .unwrap();
    // Each takes a megabyte of its own; four and a half may stay.
    let room = Room { max_size_bytes: Some(9 << 19), ..Room::default() };
    let rules = Rules { at_least: 1, ..Rules::default() };
    let options = PruneOptions { room, rules, ..PruneOptions::default() };
    let dry = pruned(&bench, &PruneOptions { dry_run: true, ..options.clone() });
    let goes = |report: &PruneReport| {
        let gone = report.decided.iter().filter(|d| matches!(d.fate, Fate::Remove(Cause::Room(_))));
        gone.map(|d| d.snapshot.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(goes(&dry), [made[0].clone(), made[2].clone()]);
    let report = pruned(&bench, &options);
    assert_eq!((goes(&report), report.removed.clone()), (goes(&dry), goes(&dry)));
    assert!(pruned(&bench, &options).removed.is_empty());
    is_well(&bench);
}

#[test]
fn a_deletion_that_was_stopped_is_finished_later() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    let (counters, cancel) = (Counters::default(), Cancel::default());
    struct CancelAt<'a>(&'a Cancel);
    impl hardback_engine::Monitor for CancelAt<'_> {
        fn problem(&self, _: &hardback_engine::Problem) {}
        fn notice(&self, _: &str) {}
        fn phase(&self, _: hardback_engine::Phase) {
            self.0.cancel();
        }
    }
    let monitor = CancelAt(&cancel);
    let ctx = Context { clock: &SystemClock, monitor: &monitor, counters: &counters, cancel: &cancel };
    assert!(matches!(prune(&ctx, &bench.open(), "test", &keep_last(1)), Err(Error::Interrupted)));
    assert_eq!(names(&bench), made[2..]);
    assert_eq!(ours(&bench, "trash"), made[..2]);
    let report = pruned(&bench, &PruneOptions { finish_only: true, ..PruneOptions::default() });
    assert!(report.decided.is_empty() && report.unlinked > 60, "{report:?}");
    assert!(ours(&bench, "trash").is_empty());
}

#[test]
fn records_of_folders_that_somebody_deleted_are_cleared() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    change_notes(&bench.open(), "test", &made[..1], |note| note.add_tag("x")).unwrap();
    fs::remove_dir_all(bench.target.join("test").join(&made[0])).unwrap();
    let report = pruned(&bench, &keep_last(3));
    assert!(report.removed.is_empty());
    assert_eq!(ours(&bench, "manifests/test").len(), 4);
    assert_eq!(ours(&bench, "notes/test"), ["judged"]);
    is_well(&bench);
}

#[test]
fn a_snapshot_whose_seal_is_damaged_stays_and_so_do_all_digests() {
    let bench = bench();
    let mut made = Vec::new();
    for round in 0..4 {
        bench.write("d0/edited", &format!("round {round}"));
        made.push(bench.backup());
    }
    fs::write(bench.target.join(format!(".hardback/manifests/test/{}.seal", made[1])), "x").unwrap();
    let report = with_context(|ctx| prune(ctx, &bench.open(), "test", &keep_last(1))).unwrap();
    assert_eq!(report.removed, [made[0].clone(), made[2].clone()]);
    assert_eq!((report.problem_count, report.problems[0].kind), (1, ProblemKind::Unsealed));
    assert!(bench.target.join("test").join(&made[1]).join("docs/d0/edited").exists());
    assert_eq!(ours(&bench, "digests/test").len(), 4);
}

#[test]
fn folders_without_write_permission_and_odd_names_are_removed() {
    let bench = bench();
    bench.write("shut/deep/file", "x");
    bench.write("a\nb\u{1b}[31m/-rf *", "x");
    for folder in ["shut/deep", "shut"] {
        fs::set_permissions(bench.source.join(folder), fs::Permissions::from_mode(0o500)).unwrap();
    }
    bench.backup();
    bench.backup();
    let report = pruned(&bench, &keep_last(1));
    assert_eq!((report.removed.len(), report.problem_count), (1, 0), "{:?}", report.problems);
    assert!(ours(&bench, "trash").is_empty());
    for folder in ["shut", "shut/deep"] {
        fs::set_permissions(bench.source.join(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn nothing_goes_while_another_run_has_the_target() {
    let bench = bench();
    (0..2).for_each(|_| drop(bench.backup()));
    let ours = hardback_platform::Dir::open(&bench.target.join(".hardback"), Seam::default()).unwrap();
    let lock = Lock::try_take(&ours, b"lock", b"job other").unwrap();
    let refused = with_context(|ctx| prune(ctx, &bench.open(), "test", &keep_last(1)));
    assert!(matches!(refused, Err(Error::Locked { .. })));
    // The trash needs no lock of the target.
    let finished = pruned(&bench, &PruneOptions { finish_only: true, ..PruneOptions::default() });
    assert!(finished.removed.is_empty());
    drop(lock);
    assert_eq!(pruned(&bench, &keep_last(1)).removed.len(), 1);
}

#[test]
fn nothing_goes_while_somebody_restores() {
    let bench = bench();
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    let mut during = None;
    fs::create_dir_all(bench.out.join("docs/d0")).unwrap();
    fs::write(bench.out.join("docs/d0/0"), "in the way").unwrap();
    let mut options = bench.options(&made[0]);
    options.overwrite = hardback_engine::Overwrite::Ask;
    let restored = with_context(|ctx| {
        hardback_engine::restore(ctx, &bench.open(), &options, &mut |_| {
            during = Some(pruned(&bench, &keep_last(1)));
            hardback_engine::Answer::Replace
        })
    });
    assert_eq!(restored.unwrap().problems.len(), 0);
    let during = during.unwrap();
    assert!(during.is_read && during.removed.is_empty());
    assert_eq!(pruned(&bench, &keep_last(1)).removed, made[..2]);
}

/// Lets the target be full until so many snapshots are gone from the job's folder.
struct FullUntil {
    target: std::path::PathBuf,
    snapshots: usize,
}

impl Watch for FullUntil {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let trees = fs::read_dir(self.target.join("test"))
            .map_or(0, |d| d.filter(|e| e.as_ref().unwrap().path().is_dir()).count());
        let is_small = call.name.ends_with(b".new") || call.name.ends_with(b".toml");
        match call.op {
            // `latest` is one of them.
            Op::CreateFile if !is_small && call.name.starts_with(b"big") && trees > self.snapshots + 1 => {
                Verdict::Fail(std::io::ErrorKind::StorageFull.into())
            }
            _ => Verdict::Go,
        }
    }
}

fn backup_on_full(
    bench: &Bench,
    snapshots: usize,
    prune: PruneOptions,
) -> Result<hardback_engine::BackupReport, Error> {
    let watch = FullUntil { target: bench.target.clone(), snapshots };
    let options = BackupOptions { prune, ..BackupOptions::default() };
    bench.try_backup_into(Seam::watched(Arc::new(watch)), options, &Excludes::default())
}

#[test]
fn a_run_that_finds_the_target_full_removes_the_oldest_and_goes_on() {
    let bench = bench();
    let made: Vec<_> = (0..5).map(|_| bench.backup()).collect();
    bench.write("d1/big", "new");
    let room = Room { until_full: true, at_least: 2, ..Room::default() };
    let rules = Rules { last: Some(50), ..Rules::default() };
    let report =
        backup_on_full(&bench, 3, PruneOptions { rules: rules.clone(), room: room.clone(), ..PruneOptions::default() });
    let report = report.unwrap();
    assert_eq!(report.removed_for_room, made[..2]);
    assert_eq!((report.totals.new_files, report.totals.problems), (1, 0));
    is_well(&bench);

    // Not below the least, and not without having been asked.
    bench.write("d1/big2", "new");
    let error = backup_on_full(&bench, 0, PruneOptions { rules, room, ..PruneOptions::default() }).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(names(&bench).len(), 2);
    let left = names(&bench);
    assert!(backup_on_full(&bench, 0, PruneOptions::default()).unwrap_err().is_full());
    assert_eq!(names(&bench), left);
    is_well(&bench);
    // A run that found no room is none that failed: the next pruning may make some.
    assert_eq!(pruned(&bench, &keep_last(1)).removed.len(), 1);
}

#[test]
fn a_run_that_skips_what_did_not_change_makes_a_snapshot_of_every_change() {
    let bench = bench();
    bench.write("d0/old", "x");
    let skipping = || BackupOptions { skip_unchanged: true, ..BackupOptions::default() };
    let run = || bench.backup_without(&Excludes::default(), skipping());
    assert!(run().snapshot.is_some());
    let second = run();
    assert_eq!((second.snapshot, second.is_unchanged), (None, true));
    let path = |name: &str| bench.source.join(name);
    let changes: [&dyn Fn(); 8] = [
        &|| bench.write("d0/old", "another"),
        &|| fs::set_permissions(path("d0/old"), fs::Permissions::from_mode(0o600)).unwrap(),
        &|| fs::set_permissions(path("d0"), fs::Permissions::from_mode(0o711)).unwrap(),
        &|| fs::rename(path("d0/old"), path("d0/new")).unwrap(),
        &|| fs::rename(path("d1"), path("d9")).unwrap(),
        &|| std::os::unix::fs::symlink("old", path("link")).unwrap(),
        &|| fs::create_dir(path("hollow")).unwrap(),
        &|| fs::remove_file(path("d0/new")).unwrap(),
    ];
    for (n, change) in changes.iter().enumerate() {
        change();
        assert!(run().snapshot.is_some(), "change {n}");
        assert!(run().snapshot.is_none(), "after change {n}");
    }
    assert_eq!(names(&bench).len(), 9);
    // A run that found nothing to do is a good one.
    assert_eq!(pruned(&bench, &keep_last(3)).removed.len(), 6);
}

#[test]
fn a_run_in_which_everything_changed_gets_no_room_at_its_end() {
    a_run_in_which_everything_changed_gets_no_room("d2/zz/big");
}

#[test]
fn a_run_in_which_everything_changed_gets_no_room_at_its_first_file() {
    a_run_in_which_everything_changed_gets_no_room("a/big");
}

fn a_run_in_which_everything_changed_gets_no_room(big: &str) {
    let bench = bench();
    let made: Vec<_> = (0..5).map(|_| bench.backup()).collect();
    for n in 0..FILES {
        bench.write(&format!("d{}/{n}", n % 3), &format!("locked {n}"));
    }
    bench.write(big, "new");
    let room = Room { until_full: true, at_least: 1, ..Room::default() };
    let options = PruneOptions { room, ..PruneOptions::default() };
    // Nor does the next one, which takes over what this one stored, nor one whose source is well again, nor a pruning:
    // a person has to look.
    for _ in 0..2 {
        let error = backup_on_full(&bench, 2, options.clone()).unwrap_err();
        assert!(error.is_full(), "{error}");
        assert_eq!(names(&bench), made);
    }
    for n in 0..FILES {
        bench.write(&format!("d{}/{n}", n % 3), &format!("content {n}"));
    }
    assert!(backup_on_full(&bench, 2, options.clone()).unwrap_err().is_full());
    let report = pruned(&bench, &keep_last(1));
    assert!(matches!(&report.suspended[..], [Suspension::LastRun(why)] if why.contains("% of the files changed")));
    assert_eq!(names(&bench), made);
    unpin_all(&bench.open(), "test").unwrap();
    // Who has looked at it is not asked again.
    assert_eq!(backup_on_full(&bench, 2, options).unwrap().removed_for_room.len(), 3);
}

#[test]
fn what_moved_and_what_has_many_names_is_no_mass_change_on_a_full_target() {
    let bench = bench();
    for n in 0..FILES {
        fs::hard_link(bench.source.join("d0/0"), bench.source.join(format!("d1/name{n}"))).unwrap();
    }
    let made: Vec<_> = (0..3).map(|_| bench.backup()).collect();
    // All files have other paths, and a third of the names is of one file that changed.
    for folder in ["d0", "d1", "d2"] {
        fs::rename(bench.source.join(folder), bench.source.join(format!("new-{folder}"))).unwrap();
    }
    bench.write("new-d0/0", "changed");
    bench.write("a/big", "new");
    let room = Room { until_full: true, at_least: 1, ..Room::default() };
    let report = backup_on_full(&bench, 2, PruneOptions { room, ..PruneOptions::default() }).unwrap();
    assert_eq!(report.removed_for_room, made[..1]);
    assert_eq!(report.totals.problems, 0);
}

#[test]
fn a_guess_takes_only_what_makes_a_difference_and_one_large_import_takes_nothing() {
    let bench = bench();
    let made: Vec<_> = (0..6).map(|_| bench.backup()).collect();
    // The last runs needed little; the volume has more than that.
    bench.write("d0/import", &"x".repeat(5_000_000));
    let import = bench.backup();
    let room = Room { until_full: true, ..Room::default() };
    let prune = PruneOptions { room, rules: Rules { at_least: 1, ..Rules::default() }, ..PruneOptions::default() };
    let report = bench.backup_without(&Excludes::default(), BackupOptions { prune, ..BackupOptions::default() });
    assert!(report.removed_for_room.is_empty());
    assert_eq!(names(&bench)[..7], [&made[..], &[import][..]].concat());
}

#[test]
fn what_a_person_moved_away_for_a_while_is_not_forgotten() {
    let bench = bench();
    let made: Vec<_> = (0..4).map(|_| bench.backup()).collect();
    let pin = |note: &mut Note| {
        note.is_pinned = true;
        Ok(())
    };
    change_notes(&bench.open(), "test", &made[..1], pin).unwrap();
    let job = bench.target.join("test");
    // All of the job, and then the pinned one alone.
    for (from, to) in [(job.clone(), bench.target.join("away")), (job.join(&made[0]), bench.path("away"))] {
        fs::rename(&from, &to).unwrap();
        assert!(pruned(&bench, &keep_last(2)).removed.iter().all(|name| *name != made[0]));
        fs::rename(&to, &from).unwrap();
    }
    assert_eq!(names(&bench), [&made[..1], &made[2..]].concat());
    assert!(notes(&bench.open(), "test").unwrap().of(&made[0]).is_pinned);
    is_well(&bench);
}

fn purge_of(bench: &Bench, paths: &[&str], seam: Seam) -> Result<PurgeReport, Error> {
    let target = hardback_engine::open_target(&bench.target, None, seam)?;
    let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let options = PurgeOptions { job: "test".into(), paths, ..PurgeOptions::default() };
    with_context(|ctx| purge(ctx, &target, &options))
}

/// A target with three snapshots, each with a secret in a folder that may not be written.
fn with_secrets() -> Bench {
    let bench = bench();
    bench.write("shut/secret/deep/key", "secret");
    bench.write("shut/public", "public");
    fs::hard_link(bench.source.join("shut/public"), bench.source.join("shut/secret/same")).unwrap();
    fs::set_permissions(bench.source.join("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    bench.backup();
    bench.write("d0/edited", "1");
    bench.backup();
    bench.write("d1/edited", "2");
    bench.backup();
    fs::set_permissions(bench.source.join("shut"), fs::Permissions::from_mode(0o755)).unwrap();
    bench
}

#[test]
fn a_purged_path_is_gone_from_trees_and_records_and_the_rest_is_whole() {
    let bench = with_secrets();
    let made = names(&bench);
    let report = purge_of(&bench, &["docs/shut/secret", "docs/d0/0", "docs/none"], Seam::default()).unwrap();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    let counts: Vec<_> = report.purged.iter().map(|p| (p.snapshot.clone(), p.entries)).collect();
    // The folder, one in it, two files; and one more.
    assert_eq!(counts, made.iter().map(|name| (name.clone(), 5)).collect::<Vec<_>>());
    for name in &made {
        assert!(!bench.stored(name, "shut/secret").exists() && !bench.stored(name, "d0/0").exists());
        assert_eq!(support::read(&bench.stored(name, "shut/public")), "public");
        assert_eq!(support::mode(&bench.stored(name, "shut")), 0o555);
    }
    is_well(&bench);
    assert!(ours(&bench, "trash").is_empty());
    // What the user has is not what a restore should take away.
    let mut options = bench.options(&made[2]);
    options.place = hardback_engine::Place::InPlace;
    options.delete = true;
    options.overwrite = hardback_engine::Overwrite::Always;
    assert_eq!(bench.restore(&options).problems.len(), 0);
    assert_eq!(support::read(&bench.source.join("shut/secret/deep/key")), "secret");
    // It is stored again, beside what is linked.
    let next = bench.backup_report();
    assert_eq!(next.totals.new_files, 2, "the key and one of the others; the second name is linked");
    is_well(&bench);
}

#[test]
fn a_purge_that_is_cut_off_anywhere_is_ended_by_the_same_call() {
    struct StopAt(u64, std::sync::atomic::AtomicU64);
    impl Watch for StopAt {
        fn before(&self, call: &Call<'_>) -> Verdict {
            let changes = u64::from(call.op.changes());
            let seen = self.1.fetch_add(changes, std::sync::atomic::Ordering::SeqCst) + changes;
            if seen > self.0 { Verdict::Fail(std::io::Error::other("stopped")) } else { Verdict::Go }
        }
    }
    let mut ended = false;
    for n in 0.. {
        let bench = with_secrets();
        let stop = Arc::new(StopAt(n, Default::default()));
        let stopped = purge_of(&bench, &["docs/shut/secret"], Seam::watched(stop.clone()));
        ended = stop.1.load(std::sync::atomic::Ordering::SeqCst) <= n;
        let report = purge_of(&bench, &["docs/shut/secret"], Seam::default()).unwrap();
        assert_eq!(report.problem_count, 0, "stopped at {n} ({stopped:?}): {:?}", report.problems);
        assert!(names(&bench).iter().all(|name| !bench.stored(name, "shut/secret").exists()), "stopped at {n}");
        is_well(&bench);
        if ended {
            assert!(n > 20, "only {n} calls");
            break;
        }
    }
    assert!(ended);
}

#[test]
fn a_purge_tells_where_else_the_content_is_and_leaves_no_unfinished_run_with_it() {
    let bench = bench();
    bench.write("secret", "the one secret");
    bench.backup();
    fs::rename(bench.source.join("secret"), bench.source.join("d0/hidden")).unwrap();
    bench.backup();
    let left = bench.target.join(".hardback/partial/test/2026-01-01_00.00.00/tree/docs");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("secret"), "the one secret").unwrap();
    let report = purge_of(&bench, &["docs/secret"], Seam::default()).unwrap();
    assert_eq!((report.problem_count, report.purged.len()), (0, 1));
    assert_eq!(report.same_content.into_iter().collect::<Vec<_>>(), [(b"docs/d0/hidden".to_vec(), 1)]);
    assert!(ours(&bench, "partial/test").is_empty());
    is_well(&bench);
}

#[test]
fn what_was_purged_is_no_source_that_shrank() {
    let bench = bench();
    (0..3).for_each(|_| drop(bench.backup()));
    let report = purge_of(&bench, &["docs/d0", "docs/d1"], Seam::default()).unwrap();
    assert_eq!(report.purged.len(), 3);
    bench.backup();
    assert_eq!(pruned(&bench, &keep_last(1)).removed.len(), 3);
}

#[test]
fn a_name_of_any_length_is_purged() {
    let bench = bench();
    let long = "x".repeat(255);
    bench.write(&long, "secret");
    (0..3).for_each(|_| drop(bench.backup()));
    let report = purge_of(&bench, &[&format!("docs/{long}")], Seam::default()).unwrap();
    assert_eq!((report.problem_count, report.purged.len()), (0, 3), "{:?}", report.problems);
    assert!(names(&bench).iter().all(|name| !bench.stored(name, &long).exists()));
    is_well(&bench);
}
