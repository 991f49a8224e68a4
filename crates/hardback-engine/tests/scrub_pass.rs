//! What a pass of scrubs owes: all of it was read and proven, or somebody is told that it was not.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    BackupOptions, Cancel, Context, Counters, Error, Excludes, Job, JobName, JobSource, Monitor, Phase, Problem,
    ProblemKind, PurgeOptions, RepairOptions, ScrubOptions, ScrubReport, SystemClock, VerifyLevel, backup,
    open_or_create_target, purge, repair, scrub, scrub_in_legs,
};
use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use support::*;

fn run_watched(bench: &Bench, seam: Seam, share: u32) -> ScrubReport {
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    with_context(|ctx| scrub(ctx, &target, &ScrubOptions { job: None, share, workers: 0 })).unwrap()
}

/// Runs scrubs until the pass is whole; returns the last report, and the files that were read.
fn to_the_end(bench: &Bench) -> (ScrubReport, BTreeSet<u64>) {
    let reads = Arc::new(Reads::default());
    for _ in 0..4 {
        let report = run_watched(bench, Seam::watched(reads.clone()), 5000);
        if report.jobs[0].is_whole {
            return (report, reads.0.lock().unwrap().clone());
        }
    }
    panic!("the pass does not end");
}

/// A share with which a run goes through the first of the three snapshots, and not through the second.
const FIRST_SNAPSHOT: u32 = 7000;

fn manifest(bench: &Bench, snapshot: &str) -> PathBuf {
    bench.target.join(format!(".hardback/manifests/test/{snapshot}.manifest.zst"))
}

/// Lets something be unreadable in the first run of a pass only, and returns whether the rest of the pass reads what
/// could not be read then.
fn is_read_later(share: u32, seam: impl Fn(&str) -> Seam, change: impl Fn(&Bench, &str, bool)) -> bool {
    let (bench, [first, ..]) = three_snapshots();
    change(&bench, &first, true);
    let report = run_watched(&bench, seam(&first), share);
    assert!(report.problem_count > 0 && !report.jobs[0].is_whole, "{report:?}");
    change(&bench, &first, false);
    let (last, read) = to_the_end(&bench);
    assert_eq!(found(&last.problems), []);
    read.contains(&inode(&bench.stored(&first, "sub/same")))
}

#[test]
fn what_could_not_be_read_is_read_where_the_pass_comes_by_it_again() {
    let unwatched = |_: &str| Seam::default();
    let unchanged = |_: &Bench, _: &str, _: bool| {};
    let record = |bench: &Bench, first: &str, _: bool| flip(&manifest(bench, first), 100);
    assert!(is_read_later(100, unwatched, record), "a record that was damaged");
    let seal = |bench: &Bench, first: &str, is_broken: bool| {
        let seal = bench.target.join(format!(".hardback/manifests/test/{first}.seal"));
        let (from, to) = (seal.clone(), seal.with_extension("kept"));
        match is_broken {
            true => {
                fs::rename(&from, to).unwrap();
                fs::write(from, "no seal").unwrap();
            }
            false => fs::rename(to, from).unwrap(),
        }
    };
    assert!(is_read_later(100, unwatched, seal), "a seal that was damaged");
    let closed_tree = |first: &str| locked(first.as_bytes().to_vec().leak());
    assert!(is_read_later(100, closed_tree, unchanged), "a tree that could not be opened");
    assert!(is_read_later(FIRST_SNAPSHOT, |_| locked(b"sub"), unchanged), "a folder that could not be opened");
    assert!(is_read_later(FIRST_SNAPSHOT, |_| locked(b"same"), unchanged), "a file that could not be opened");
    let list = |bench: &Bench, _: &str, is_gone: bool| {
        let list = bench.target.join(".hardback/digests/test/00000001.b3");
        let (from, to) = (list.clone(), list.with_extension("kept"));
        if is_gone { fs::rename(from, to) } else { fs::rename(to, from) }.unwrap();
    };
    assert!(is_read_later(FIRST_SNAPSHOT, unwatched, list), "a digest list that was missing");
}

#[test]
fn what_a_pass_could_not_read_counts_until_another_is_whole() {
    let (bench, [first, ..]) = three_snapshots();
    let stored = bench.stored(&first, "sub/same");
    let aside = stored.with_file_name("aside");
    fs::rename(&stored, &aside).unwrap();
    let counts = |report: &ScrubReport| {
        let job = &report.jobs[0];
        (report.problem_count, job.problems, job.problems_before, job.is_whole)
    };
    let told = run_watched(&bench, Seam::default(), FIRST_SNAPSHOT);
    assert_eq!(counts(&told), (1, 1, 0, false));
    let last = run_watched(&bench, Seam::default(), FIRST_SNAPSHOT);
    assert_eq!(counts(&last), (0, 1, 0, true));
    // It is mended, and so far only that pass has been there.
    fs::rename(&aside, &stored).unwrap();
    assert_eq!(counts(&run_watched(&bench, Seam::default(), 100)), (0, 0, 1, false));
    assert_eq!(counts(&run_watched(&bench, Seam::default(), 10_000)), (0, 0, 0, true));
    assert_eq!(counts(&run_watched(&bench, Seam::default(), 100)), (0, 0, 0, false));
    // Damage is recorded by its content, and is not counted twice.
    flip(&stored, 0);
    assert_eq!(counts(&run_watched(&bench, Seam::default(), 10_000)), (1, 0, 0, true));
}

/// Does something to the target once, before a call for an entry of this name.
struct Once<F>(Op, &'static [u8], F, AtomicBool);

impl<F: Fn() + Send + Sync> Watch for Once<F> {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == self.0 && call.name == self.1 && !self.3.swap(true, Ordering::SeqCst) {
            (self.2)();
        }
        Verdict::Go
    }
}

#[test]
fn a_purge_goes_on_beside_a_scrub_and_what_it_takes_is_no_problem() {
    for at in [&b"edited"[..], b"sub"] {
        let (bench, [first, ..]) = three_snapshots();
        let bench = Arc::new(bench);
        fs::remove_file(bench.stored(&first, "many/003")).unwrap();
        let purged = {
            let bench = Arc::clone(&bench);
            move || {
                let (job, paths) = ("test".to_owned(), vec![b"docs/sub".to_vec()]);
                let options = PurgeOptions { job, paths, snapshots: Vec::new(), dry_run: false };
                let report = with_context(|ctx| purge(ctx, &bench.open(), &options)).unwrap();
                assert_eq!((report.purged.len(), report.problem_count), (3, 0));
            }
        };
        let op = if at == b"sub" { Op::OpenDir } else { Op::OpenFile };
        let seam = Seam::watched(Arc::new(Once(op, at, purged, AtomicBool::new(false))));
        let report = run_watched(&bench, seam, 10_000);
        let mut told = found(&report.problems);
        // What was told before the purge may be told again by the leg that is done once more.
        told.dedup();
        assert_eq!(told, [(ProblemKind::Missing, format!("{first}/docs/many/003"))]);
        assert!(!bench.stored(&first, "sub").exists() && report.jobs[0].is_whole);
        let verified = found(&bench.verify(VerifyLevel::Full).problems);
        assert!(verified.iter().all(|(_, path)| path.contains("/docs/many")), "{verified:?}");
    }
}

#[test]
fn a_snapshot_that_goes_with_its_record_and_its_digests_is_no_problem() {
    let (bench, [.., third]) = three_snapshots();
    let (trees, records) = (bench.target.join("test"), bench.target.join(".hardback"));
    let pruned = move || {
        let trash = records.join("trash/gone");
        fs::rename(trees.join(&third), trash).unwrap();
        for end in ["manifest.zst", "seal"] {
            fs::remove_file(records.join(format!("manifests/test/{third}.{end}"))).unwrap();
        }
        fs::remove_file(records.join("digests/test/00000003.b3")).unwrap();
    };
    let watch = Once(Op::OpenFile, b"00000003.b3", pruned, AtomicBool::new(false));
    let report = run_watched(&bench, Seam::watched(Arc::new(watch)), 10_000);
    assert_eq!((found(&report.problems), report.jobs[0].is_whole), (vec![], true));
}

/// Lets no read of a file of this name succeed: a bad sector below it.
struct BadSector(&'static str);

impl Watch for BadSector {
    fn before(&self, call: &Call<'_>) -> Verdict {
        const EIO: i32 = 5;
        let is_its =
            || fs::read_link(format!("/proc/self/fd/{}", call.handle)).is_ok_and(|path| path.ends_with(self.0));
        match call.op {
            Op::Read if is_its() => Verdict::Fail(std::io::Error::from_raw_os_error(EIO)),
            _ => Verdict::Go,
        }
    }
}

#[test]
fn a_position_that_is_lost_ends_no_verb_and_is_a_problem() {
    let position = |bench: &Bench| bench.target.join(".hardback/scrub/test.toml");
    let flipped = |bench: &Bench| {
        let at = fs::read_to_string(position(bench)).unwrap().find("generation = ").unwrap() + "generation = ".len();
        flip(&position(bench), at as u64);
    };
    let too_large = |bench: &Bench| fs::write(position(bench), vec![b'#'; 5 << 20]).unwrap();
    let nothing = |_: &Bench| {};
    let bad_sector = || Seam::watched(Arc::new(BadSector("scrub/test.toml")));
    type Case<'a> = (&'a str, &'a dyn Fn(&Bench), &'a dyn Fn() -> Seam);
    let cases: [Case<'_>; 3] = [
        ("a flipped digit", &flipped, &Seam::default),
        ("a file that is too large", &too_large, &Seam::default),
        ("a bad sector", &nothing, &bad_sector),
    ];
    for (what, lose, seam) in cases {
        let (bench, [first, ..]) = three_snapshots();
        flip(&bench.stored(&first, "sub/same"), 0);
        let before = run_watched(&bench, Seam::default(), 10_000);
        assert_eq!(before.jobs[0].damaged, 1, "{what}");
        lose(&bench);
        let lost = (ProblemKind::Unreadable, ".hardback/scrub/test.toml".to_owned());
        let damaged = (ProblemKind::Damaged, format!("{first}/docs/sub/same"));
        let repair = |recorded| {
            let target = open_or_create_target(&bench.target, None, &SystemClock, seam()).unwrap().target;
            let options = RepairOptions { recorded, ..RepairOptions::default() };
            with_context(|ctx| repair(ctx, &target, &options)).unwrap()
        };
        let both = [lost, damaged];
        assert_eq!(found(&repair(true).problems), both[..1], "{what}");
        let report = run_watched(&bench, seam(), FIRST_SNAPSHOT);
        assert_eq!((found(&report.problems), report.jobs[0].runs), (both.to_vec(), 1), "{what}");
        let after = run_watched(&bench, Seam::default(), 100);
        assert_eq!((after.problem_count, after.jobs[0].damaged, after.jobs[0].runs), (0, 1, 2), "{what}");
        assert_eq!(after.jobs[0].problems, 0, "{what}");
        // Who reads all finds again what was known.
        assert_eq!(found(&repair(false).problems), both[1..], "{what}");
    }
}

/// Hears notices.
#[derive(Default)]
struct Notices(Mutex<Vec<String>>);

impl Monitor for Notices {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn phase(&self, _: Phase) {}
}

/// Scrubs all; returns the notices too.
fn scrub_all(bench: &Bench, job: Option<&str>) -> (Result<ScrubReport, Error>, Vec<String>) {
    let (counters, cancel, notices) = (Counters::default(), Cancel::default(), Notices::default());
    let ctx = Context { clock: &SystemClock, monitor: &notices, counters: &counters, cancel: &cancel };
    let options = ScrubOptions { job: job.map(str::to_owned), share: 10_000, workers: 0 };
    let report = scrub(&ctx, &bench.open(), &options);
    (report, notices.0.into_inner().unwrap())
}

#[test]
fn a_job_that_has_lost_its_snapshots_is_not_well() {
    let (bench, [first, ..]) = three_snapshots();
    assert_eq!(scrub_all(&bench, None).1, [] as [String; 0]);
    let trees = bench.target.join("test");
    fs::remove_dir_all(trees.join(&first)).unwrap();
    let (report, notices) = scrub_all(&bench, Some("test"));
    assert_eq!(found(&report.unwrap().problems), []);
    assert!(matches!(&notices[..], [one] if one.contains(&format!("{first} of job test was deleted"))), "{notices:?}");
    fs::remove_dir_all(&trees).unwrap();
    for _ in 0..2 {
        let (report, notices) = scrub_all(&bench, None);
        let report = report.unwrap();
        assert_eq!((found(&report.problems), notices), (vec![(ProblemKind::Missing, "test".to_owned())], vec![]));
        assert!(report.problems[0].detail.starts_with("all of its 3 snapshots are gone"), "{:?}", report.problems);
        assert!(matches!(scrub_all(&bench, Some("test")).0, Err(Error::NotFound { .. })));
        fs::create_dir_all(&trees).unwrap();
    }
}

#[test]
fn a_digest_list_that_went_bad_proves_nothing_and_is_no_damage_of_files() {
    let (bench, [first, _, third]) = three_snapshots();
    let list = bench.target.join(".hardback/digests/test/00000001.b3");
    // Behind the first snapshot only the file that moved is read again.
    assert_eq!(run_watched(&bench, Seam::default(), FIRST_SNAPSHOT).problem_count, 0);
    flip(&list, 32 * 5);
    let report = run_watched(&bench, Seam::default(), FIRST_SNAPSHOT);
    assert_eq!((found(&report.problems), report.jobs[0].is_whole), (vec![(ProblemKind::Damaged, third.clone())], true));
    let told = &report.problems[0].detail;
    let expected = "docs/sub/moved is not proven by the digest list 00000001.b3";
    assert!(told.starts_with(expected) && told.contains("not the one that was sealed"), "{told}");
    let report = run_watched(&bench, Seam::default(), 10_000);
    assert_eq!((report.jobs[0].damaged, report.damage.len()), (0, 0));
    assert_eq!(found(&report.problems), [(ProblemKind::Damaged, first.clone()), (ProblemKind::Damaged, third)]);
    assert!(report.problems[0].detail.starts_with("53 files, such as "), "{:?}", report.problems);
    flip(&list, 32 * 5);
    // One whose snapshot is gone has no seal, and is taken as it is.
    fs::remove_dir_all(bench.target.join("test").join(&first)).unwrap();
    fs::remove_file(bench.target.join(format!(".hardback/manifests/test/{first}.seal"))).unwrap();
    assert_eq!(found(&run_watched(&bench, Seam::default(), 10_000).problems), []);
}

/// Remembers which files are read and how often a small file is replaced, and asks to stop at a file of this name.
#[derive(Default)]
struct StopAt {
    name: Option<&'static [u8]>,
    cancel: Cancel,
    reads: Reads,
    replaced: AtomicU64,
}

impl Watch for StopAt {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::OpenFile && Some(call.name) == self.name {
            self.cancel.cancel();
        }
        self.replaced.fetch_add(u64::from(call.op == Op::Rename), Ordering::SeqCst);
        self.reads.before(call)
    }
}

#[test]
fn a_scrub_that_is_stopped_keeps_the_legs_that_it_has_done_and_promises_nothing() {
    const LEG_COST: u64 = 20_000;
    let (bench, [first, ..]) = three_snapshots();
    let run = |watch: &Arc<StopAt>| {
        let seam = Seam::watched(watch.clone());
        let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
        let counters = Counters::default();
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &watch.cancel };
        scrub_in_legs(&ctx, &target, &ScrubOptions { job: None, share: 9000, workers: 1 }, LEG_COST)
    };
    let stopped = Arc::new(StopAt { name: Some(b"030"), ..StopAt::default() });
    assert!(matches!(run(&stopped), Err(Error::Interrupted)));
    let legs = stopped.replaced.load(Ordering::SeqCst);
    assert!((5..=9).contains(&legs), "{legs} legs of four or five files");
    let went_on = Arc::new(StopAt::default());
    let report = run(&went_on).unwrap();
    assert_eq!((report.jobs[0].runs, report.problem_count), (1, 0));
    let (before, after) = (stopped.reads.0.lock().unwrap(), went_on.reads.0.lock().unwrap());
    let stored = fs::read_dir(bench.stored(&first, "many")).unwrap().map(|e| e.unwrap().metadata().unwrap().ino());
    let stored: BTreeSet<u64> = stored.collect();
    assert_eq!(before.union(&after).copied().collect::<BTreeSet<_>>().intersection(&stored).count(), stored.len());
    // Of what was read before only the leg that was not done is read again.
    let again = before.intersection(&after).filter(|file| stored.contains(file)).count();
    assert!(again <= 5, "{again} files were read twice");
}

/// Lets no file of this name be made.
struct Unmakeable(&'static [u8]);

impl Watch for Unmakeable {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::CreateFile if call.name == self.0 => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
            _ => Verdict::Go,
        }
    }
}

#[test]
fn damage_in_a_job_that_cannot_be_gone_on_with_is_told_as_its_own() {
    let (bench, _) = three_snapshots();
    let path = bench.path("another");
    write(&path.join("file"), "of another job");
    let path_bytes = path.clone().into_os_string().into_encoded_bytes();
    let source = JobSource { folder: b"o".to_vec(), path, path_bytes };
    let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
    let job = Job::new(JobName::new("another").unwrap(), vec![source], options).unwrap();
    let snapshot =
        with_context(|ctx| backup(ctx, &bench.open(), &job, &Excludes::default())).unwrap().snapshot.unwrap();
    flip(&bench.target.join("another").join(&snapshot).join("o/file"), 0);
    let report = run_watched(&bench, Seam::watched(Arc::new(Unmakeable(b"another.toml.new"))), 10_000);
    let expected =
        [(ProblemKind::Unreadable, "another".to_owned()), (ProblemKind::Damaged, format!("{snapshot}/o/file"))];
    assert_eq!(found(&report.problems), expected);
    assert!(report.damage.len() == 1 && report.damage[0].job == "another", "{:?}", report.damage);
    assert!(report.jobs.len() == 1 && report.jobs[0].job == "test" && report.jobs[0].damaged == 0, "{:?}", report.jobs);
}
