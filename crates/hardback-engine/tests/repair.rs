//! Repairs on plain files in temporary folders.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    BackupOptions, Cancel, Context, Counters, Error, Excludes, GoodCopy, Job, JobName, JobSource, Monitor, Phase,
    Problem, ProblemKind, RepairOptions, RepairReport, ScrubOptions, ScrubReport, SystemClock, VerifyLevel, backup,
    open_or_create_target, repair, scrub,
};
use hardback_platform::{Call, Dir, Lock, Op, Seam, Verdict, Watch};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::*;

fn run_repair(bench: &Bench, options: &RepairOptions) -> RepairReport {
    with_context(|ctx| repair(ctx, &bench.open(), options)).unwrap()
}

fn run_scrub(bench: &Bench, share: u32) -> ScrubReport {
    with_context(|ctx| scrub(ctx, &bench.open(), &ScrubOptions { job: None, share, workers: 0 })).unwrap()
}

/// What the snapshots of a target are: one line for each entry of each.
fn all_listings(bench: &Bench, snapshots: &[&String]) -> Vec<Vec<String>> {
    snapshots.iter().map(|name| listing(&bench.target.join("test").join(name))).collect()
}

#[test]
fn a_damaged_file_is_replaced_in_all_snapshots_and_nothing_else_changes() {
    let (bench, [first, second, third]) = three_snapshots();
    let source = bench.source_dir();
    source.set_xattr(b"edited", b"user.note", b"kept").ok();
    fs::set_permissions(bench.source.join("edited"), fs::Permissions::from_mode(0o640)).unwrap();
    bench.write("twin", "the third");
    let fourth = bench.backup();
    let fifth = bench.backup();
    let snapshots = [&first, &second, &third, &fourth, &fifth];
    let before = all_listings(&bench, &snapshots);
    let others: Vec<u64> = snapshots.iter().map(|name| inode(&bench.stored(name, "sub/same"))).collect();
    // The version with the other mode: its content is in the third snapshot too, and in the twin.
    let damaged = inode(&bench.stored(&fourth, "edited"));
    assert_ne!(damaged, inode(&bench.stored(&third, "edited")));
    flip(&bench.stored(&fifth, "edited"), 4);
    let dry = run_repair(&bench, &RepairOptions { dry_run: true, ..RepairOptions::default() });
    assert_eq!((dry.repaired, dry.names, dry.problem_count), (1, 2, 1));
    assert!(!bench.target.join(".hardback/repair").exists());
    let report = run_repair(&bench, &RepairOptions::default());
    assert_eq!(found(&report.problems), []);
    assert_eq!((report.repaired, report.names, report.bytes), (1, 2, 9));
    assert!(report.damage[0].is_repaired);
    assert_eq!(all_listings(&bench, &snapshots), before);
    let now = inode(&bench.stored(&fourth, "edited"));
    assert!(now != damaged && now == inode(&bench.stored(&fifth, "edited")));
    let still: Vec<u64> = snapshots.iter().map(|name| inode(&bench.stored(name, "sub/same"))).collect();
    assert_eq!(still, others);
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
    assert_eq!(fs::read_dir(bench.target.join(".hardback/repair/test")).unwrap().count(), 0);
    // The next run links to the good file.
    let sixth = bench.backup();
    assert_eq!(inode(&bench.stored(&sixth, "edited")), now);
}

#[test]
fn what_scrubs_have_found_is_repaired_from_the_source_if_that_is_asked_for() {
    let (bench, [first, second, third]) = three_snapshots();
    flip(&bench.stored(&first, "sub/same"), 0);
    flip(&bench.stored(&first, "edited"), 0);
    flip(&bench.stored(&third, "many/001"), 0);
    let scrubbed = run_scrub(&bench, 10_000);
    assert_eq!((scrubbed.problem_count, scrubbed.jobs[0].damaged), (3, 3));
    let recorded = RepairOptions { recorded: true, ..RepairOptions::default() };
    let report = run_repair(&bench, &recorded);
    assert_eq!((report.repaired, report.problem_count, report.files_read), (0, 3, 0));
    let told = |report: &RepairReport, path: &str| {
        report.problems.iter().find(|p| p.path.ends_with(path.as_bytes())).map(|p| p.detail.clone()).unwrap_or_default()
    };
    assert!(told(&report, "sub/same").contains("--from-source"), "{}", told(&report, "sub/same"));
    assert!(told(&report, "edited").contains("no good copy"), "{}", told(&report, "edited"));
    // One that changed since is none.
    bench.write("many/001", "changed");
    let report = run_repair(&bench, &RepairOptions { from_source: true, ..recorded.clone() });
    assert_eq!((report.repaired, report.names, report.problem_count), (1, 3, 2));
    assert_eq!(read(&bench.stored(&second, "sub/same")), "stays the same");
    let left = run_scrub(&bench, 10_000);
    assert_eq!((left.problem_count, left.jobs[0].damaged), (2, 2));
    // A restore says that it is damaged.
    let restored = bench.restore(&bench.options(&first));
    let expected = ["docs/edited", "docs/many/001"].map(|path| (ProblemKind::Damaged, path.to_owned()));
    assert_eq!(found(&restored.problems), expected);
    // What was found is forgotten when it is good again, by whatever means.
    flip(&bench.stored(&first, "edited"), 0);
    flip(&bench.stored(&third, "many/001"), 0);
    assert_eq!(run_repair(&bench, &recorded).problem_count, 0);
    assert_eq!(run_scrub(&bench, 100).jobs[0].damaged, 0);
}

/// Lets one call fail with the error of a number.
struct FailOnce(Op, i32, Mutex<u32>);

impl Watch for FailOnce {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let mut left = self.2.lock().unwrap();
        if call.op == self.0 {
            *left = left.saturating_sub(1);
            if *left == 0 {
                *left = u32::MAX;
                return Verdict::Fail(std::io::Error::from_raw_os_error(self.1));
            }
        }
        Verdict::Go
    }
}

#[test]
fn a_new_file_that_takes_no_more_names_is_followed_by_another() {
    const EMLINK: i32 = 31;
    let (bench, [first, second, third]) = three_snapshots();
    flip(&bench.stored(&first, "sub/same"), 0);
    let seam = Seam::watched(Arc::new(FailOnce(Op::Link, EMLINK, Mutex::new(3))));
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    let options = RepairOptions { from_source: true, ..RepairOptions::default() };
    let report = with_context(|ctx| repair(ctx, &target, &options)).unwrap();
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 3, vec![]));
    let inodes = [&first, &second, &third].map(|name| inode(&bench.stored(name, "sub/same")));
    assert!(inodes[0] == inodes[1] && inodes[1] != inodes[2], "{inodes:?}");
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
}

/// Lets no read of a file succeed: a bad sector.
struct BadSector(u64);

impl Watch for BadSector {
    fn before(&self, call: &Call<'_>) -> Verdict {
        const EIO: i32 = 5;
        let is_its = || fs::metadata(format!("/proc/self/fd/{}", call.handle)).is_ok_and(|m| m.ino() == self.0);
        match call.op {
            Op::Read if is_its() => Verdict::Fail(std::io::Error::from_raw_os_error(EIO)),
            _ => Verdict::Go,
        }
    }
}

#[test]
fn a_file_with_a_bad_sector_is_damaged_and_one_that_may_not_be_opened_is_not() {
    let (bench, [first, second, third]) = three_snapshots();
    let file = inode(&bench.stored(&second, "sub/same"));
    let seam = Seam::watched(Arc::new(BadSector(file)));
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    let report =
        with_context(|ctx| scrub(ctx, &target, &ScrubOptions { job: None, share: 10_000, workers: 0 })).unwrap();
    assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, format!("{first}/docs/sub/same"))]);
    assert_eq!(names(&report.damage[0]), [&first, &second, &third].map(|name| format!("{name}/docs/sub/same")));
    let options = RepairOptions { recorded: true, from_source: true, ..RepairOptions::default() };
    let report = with_context(|ctx| repair(ctx, &target, &options)).unwrap();
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 3, vec![]));
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
    assert_ne!(inode(&bench.stored(&second, "sub/same")), file);
    // Who may not read it knows nothing about it.
    let target = open_or_create_target(&bench.target, None, &SystemClock, locked(b"same")).unwrap().target;
    let report = with_context(|ctx| repair(ctx, &target, &RepairOptions::default())).unwrap();
    assert_eq!((report.repaired, report.problem_count, report.damage.len()), (0, 3, 0), "{:?}", report.problems);
    flip(&bench.stored(&second, "sub/same"), 0);
    assert_eq!(run_scrub(&bench, 10_000).problem_count, 1);
    let report = with_context(|ctx| repair(ctx, &target, &options)).unwrap();
    assert_eq!((report.repaired, report.problem_count, report.damage.len()), (0, 1, 0), "{:?}", report.problems);
    assert_eq!(run_repair(&bench, &options).repaired, 1);
}

#[test]
fn a_repair_waits_for_no_backup_and_no_scrub() {
    let (bench, _) = three_snapshots();
    let run = || with_context(|ctx| repair(ctx, &bench.open(), &RepairOptions::default()));
    assert_eq!(run_scrub(&bench, 100).problem_count, 0);
    for folder in ["", "scrub"] {
        let dir = Dir::open(&bench.target.join(".hardback").join(folder), Seam::default()).unwrap();
        let lock = Lock::try_take(&dir, b"lock", b"at work").unwrap().unwrap();
        assert!(matches!(run(), Err(Error::Locked { holder: Some(holder) }) if holder == "at work"));
        drop(lock);
    }
    assert_eq!(run().unwrap().problem_count, 0);
}

/// Lets no call of some kinds succeed, but for the position of the scrub.
struct Refused(&'static [Op]);

impl Watch for Refused {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let is_position = String::from_utf8_lossy(call.name).contains(".toml");
        match self.0.contains(&call.op) && !is_position {
            true => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
            false => Verdict::Go,
        }
    }
}

fn refused(ops: &'static [Op]) -> Seam {
    Seam::watched(Arc::new(Refused(ops)))
}

fn repair_watched(bench: &Bench, seam: Seam, options: &RepairOptions) -> Result<RepairReport, Error> {
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    with_context(|ctx| repair(ctx, &target, options))
}

/// A damaged file of which the only good copy is the file that a repair made and could not put in its place.
fn only_copy_is_made() -> (Bench, [String; 3], PathBuf) {
    let (bench, snapshots) = three_snapshots();
    flip(&bench.stored(&snapshots[0], "sub/same"), 0);
    let options = RepairOptions { from_source: true, ..RepairOptions::default() };
    let report = repair_watched(&bench, refused(&[Op::Rename]), &options).unwrap();
    assert_eq!((report.repaired, report.problem_count), (0, 1), "{:?}", report.problems);
    assert!(report.problems[0].detail.contains("it was not repaired"), "{:?}", report.problems);
    fs::remove_file(bench.source.join("sub/same")).unwrap();
    let made: Vec<PathBuf> =
        fs::read_dir(bench.target.join(".hardback/repair/test")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!((made.len(), read(&made[0]).as_str()), (1, "stays the same"));
    (bench, snapshots, made[0].clone())
}

#[test]
fn what_an_interrupted_repair_made_is_a_good_copy() {
    let (bench, snapshots, made) = only_copy_is_made();
    let name = made.file_name().unwrap().to_string_lossy();
    let scrubbed = run_scrub(&bench, 10_000);
    let copy = GoodCopy::Stored(format!(".hardback/repair/test/{name}").into_bytes());
    assert_eq!(scrubbed.damage[0].good_copy, Some(copy));
    let dry = run_repair(&bench, &RepairOptions { dry_run: true, ..RepairOptions::default() });
    assert_eq!((dry.repaired, dry.problem_count), (1, 1));
    // It is in the target already, so nobody must ask for the source.
    let report = run_repair(&bench, &RepairOptions::default());
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 3, vec![]));
    assert!(snapshots.iter().all(|snapshot| read(&bench.stored(snapshot, "sub/same")) == "stays the same"));
    assert!(!made.exists());
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
}

#[test]
fn what_an_interrupted_repair_made_stays_until_it_is_in_its_place() {
    let (bench, [first, ..], made) = only_copy_is_made();
    let there = || assert_eq!(read(&made), "stays the same");
    let all = RepairOptions::default();
    // Nothing proves it for now.
    let digests = bench.target.join(".hardback/digests/test");
    fs::rename(&digests, bench.path("away")).unwrap();
    assert!(run_repair(&bench, &all).problem_count > 0);
    there();
    fs::rename(bench.path("away"), &digests).unwrap();
    // All trees are away for now.
    let trees = bench.target.join("test");
    fs::rename(&trees, bench.path("away")).unwrap();
    run_repair(&bench, &all).problems.clear();
    there();
    fs::rename(bench.path("away"), &trees).unwrap();
    // Nobody may look at the damaged file for now.
    let report = repair_watched(&bench, locked(b"same"), &all).unwrap();
    assert!(report.repaired == 0 && report.problem_count > 0, "{:?}", report.problems);
    there();
    // It cannot be read for now.
    let seam = Seam::watched(Arc::new(BadSector(inode(&made))));
    let report = repair_watched(&bench, seam, &all).unwrap();
    assert_eq!((report.repaired, report.problem_count), (0, 1), "{:?}", report.problems);
    there();
    // The user asks to stop at any time when it is read.
    for read in 1..=2 {
        let (counters, cancel) = (Counters::default(), Arc::new(Cancel::default()));
        let watch = CancelsAt { file: inode(&made), read: Mutex::new(read), cancel: cancel.clone() };
        let seam = Seam::watched(Arc::new(watch));
        let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        assert!(matches!(repair(&ctx, &target, &all), Err(Error::Interrupted)), "read {read}");
        there();
    }
    // Its metadata is not that of the record: it is a copy all the same.
    fs::set_permissions(&made, fs::Permissions::from_mode(0o601)).unwrap();
    assert_eq!(repair_watched(&bench, refused(&[Op::Rename]), &all).unwrap().problem_count, 1);
    there();
    assert_eq!(run_repair(&bench, &all).repaired, 1);
    assert_eq!(read(&bench.stored(&first, "sub/same")), "stays the same");
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
    assert_eq!(fs::read_dir(bench.target.join(".hardback/repair/test")).unwrap().count(), 0);
}

#[test]
fn the_only_good_copy_stays_on_a_volume_without_links_too() {
    let bench = Bench::new();
    bench.write("only", "in one snapshot");
    let snapshot = bench.backup();
    flip(&bench.stored(&snapshot, "only"), 0);
    let options = RepairOptions { from_source: true, ..RepairOptions::default() };
    for _ in 0..2 {
        let report = repair_watched(&bench, refused(&[Op::Link, Op::Rename]), &options).unwrap();
        assert_eq!((report.repaired, report.problem_count), (0, 1), "{:?}", report.problems);
        fs::remove_file(bench.source.join("only")).ok();
    }
    let report = repair_watched(&bench, refused(&[Op::Link]), &options).unwrap();
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 1, vec![]));
    assert_eq!(read(&bench.stored(&snapshot, "only")), "in one snapshot");
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
}

/// Asks to stop when a file is read for the n-th time.
struct CancelsAt {
    file: u64,
    read: Mutex<u32>,
    cancel: Arc<Cancel>,
}

impl Watch for CancelsAt {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let is_its = || fs::metadata(format!("/proc/self/fd/{}", call.handle)).is_ok_and(|m| m.ino() == self.file);
        if call.op == Op::Read && is_its() {
            let mut left = self.read.lock().unwrap();
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.cancel.cancel();
            }
        }
        Verdict::Go
    }
}

/// Lets a folder of a snapshot, or the snapshot, not be opened.
struct ClosedFolder {
    /// Where the name is looked up.
    below: PathBuf,
    name: &'static [u8],
}

impl Watch for ClosedFolder {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let is_below = || fs::read_link(format!("/proc/self/fd/{}", call.handle)).is_ok_and(|path| path == self.below);
        match call.op {
            Op::OpenDir if call.name == self.name && is_below() => {
                Verdict::Fail(std::io::ErrorKind::PermissionDenied.into())
            }
            _ => Verdict::Go,
        }
    }
}

/// Returns of how many contents it is written down that damage was found.
fn recorded_damage(bench: &Bench) -> usize {
    let text = read(&bench.target.join(".hardback/scrub/test.toml"));
    text.split_once("damaged = [")
        .unwrap()
        .1
        .split_once(']')
        .unwrap()
        .0
        .lines()
        .filter(|line| line.contains('.'))
        .count()
}

#[test]
fn a_folder_that_cannot_be_looked_at_is_told_and_its_names_are_repaired_later() {
    let (bench, [first, second, third]) = three_snapshots();
    let target = fs::canonicalize(&bench.target).unwrap();
    let tree = target.join("test").join(&second);
    let name: &'static [u8] = second.clone().into_bytes().leak();
    let closed = [(tree.clone(), &b"docs/sub"[..], "/docs/sub"), (target.join("test"), name, "")];
    for (below, name, shown) in closed {
        flip(&bench.stored(&first, "sub/same"), 0);
        assert_eq!(run_scrub(&bench, 10_000).problem_count, 1);
        let options = RepairOptions { recorded: true, from_source: true, ..RepairOptions::default() };
        let seam = Seam::watched(Arc::new(ClosedFolder { below, name }));
        let report = repair_watched(&bench, seam, &options).unwrap();
        assert_eq!((report.repaired, report.names), (1, 2));
        assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, format!("{second}{shown}"))]);
        assert_ne!(read(&bench.stored(&second, "sub/same")), "stays the same");
        assert_eq!(recorded_damage(&bench), 1);
        let report = run_repair(&bench, &options);
        assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 1, vec![]));
        let inodes = [&first, &second, &third].map(|name| inode(&bench.stored(name, "sub/same")));
        assert!(inodes.iter().all(|file| *file == inodes[0]), "{inodes:?}");
        assert_eq!((recorded_damage(&bench), found(&bench.verify(VerifyLevel::Full).problems)), (0, vec![]));
    }
}

#[test]
fn a_snapshot_whose_seal_is_of_no_use_may_have_more_names() {
    let (bench, [first, second, _]) = three_snapshots();
    flip(&bench.stored(&first, "sub/same"), 0);
    assert_eq!(run_scrub(&bench, 10_000).problem_count, 1);
    let seal = bench.target.join(".hardback/manifests/test").join(format!("{second}.seal"));
    let text = read(&seal);
    fs::write(&seal, "no seal").unwrap();
    let options = RepairOptions { recorded: true, from_source: true, ..RepairOptions::default() };
    let report = run_repair(&bench, &options);
    assert_eq!((report.repaired, report.names), (1, 2));
    assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, second)]);
    assert_eq!(recorded_damage(&bench), 1);
    fs::write(&seal, text).unwrap();
    let report = run_repair(&bench, &options);
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 1, vec![]));
    assert_eq!((recorded_damage(&bench), found(&bench.verify(VerifyLevel::Full).problems)), (0, vec![]));
}

#[test]
fn a_file_with_a_name_elsewhere_is_looked_at_again() {
    let (bench, [first, ..]) = three_snapshots();
    flip(&bench.stored(&first, "sub/same"), 0);
    fs::hard_link(bench.stored(&first, "sub/same"), bench.target.join("mine")).unwrap();
    assert_eq!(run_scrub(&bench, 10_000).problem_count, 1);
    let options = RepairOptions { recorded: true, from_source: true, ..RepairOptions::default() };
    let report = run_repair(&bench, &options);
    assert_eq!((report.repaired, report.names, found(&report.problems)), (1, 3, vec![]));
    assert_eq!(recorded_damage(&bench), 1);
    let report = run_repair(&bench, &options);
    assert_eq!((report.repaired, report.problem_count, recorded_damage(&bench)), (0, 0, 0));
}

/// Keeps what is told.
#[derive(Default)]
struct Told(Mutex<(Vec<Problem>, Vec<String>)>);

impl Monitor for Told {
    fn problem(&self, problem: &Problem) {
        self.0.lock().unwrap().0.push(problem.clone());
    }

    fn notice(&self, text: &str) {
        self.0.lock().unwrap().1.push(text.to_owned());
    }

    fn phase(&self, _: Phase) {}
}

/// Lets the n-th new file of a repair meet a full volume.
struct FullAt(Mutex<u32>);

impl Watch for FullAt {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::CreateFile && call.name.ends_with(b"-1") {
            let mut left = self.0.lock().unwrap();
            *left -= 1;
            if *left == 0 {
                return Verdict::Fail(std::io::ErrorKind::StorageFull.into());
            }
        }
        Verdict::Go
    }
}

#[test]
fn a_repair_that_ends_early_tells_what_it_did_and_what_it_found() {
    let (bench, [first, ..]) = three_snapshots();
    for path in ["sub/same", "many/001", "many/002"] {
        flip(&bench.stored(&first, path), 0);
    }
    let seam = Seam::watched(Arc::new(FullAt(Mutex::new(2))));
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    let (counters, cancel, told) = (Counters::default(), Cancel::default(), Told::default());
    let ctx = Context { clock: &SystemClock, monitor: &told, counters: &counters, cancel: &cancel };
    let options = RepairOptions { from_source: true, ..RepairOptions::default() };
    assert!(matches!(repair(&ctx, &target, &options), Err(Error::Path(_))));
    let (problems, notices) = told.0.into_inner().unwrap();
    let expected = ["many/002", "sub/same"].map(|path| (ProblemKind::Damaged, format!("{first}/docs/{path}")));
    assert_eq!(found(&problems), expected);
    assert!(notices.len() == 1 && notices[0].contains("many/001 (names: 3)"), "{notices:?}");
    assert_eq!(recorded_damage(&bench), 3);
    let report = run_repair(&bench, &RepairOptions { recorded: true, ..options });
    assert_eq!((report.repaired, found(&report.problems), recorded_damage(&bench)), (2, vec![], 0));
    assert_eq!(found(&bench.verify(VerifyLevel::Full).problems), []);
}

/// Backs up files as another job; returns the name of the snapshot.
fn back_up_another_job(bench: &Bench, job: &str, files: &[(&str, &str)]) -> String {
    let path = bench.path(job);
    files.iter().for_each(|(name, content)| write(&path.join(name), content));
    let path_bytes = path.clone().into_os_string().into_encoded_bytes();
    let source = JobSource { folder: b"o".to_vec(), path, path_bytes };
    let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
    let job = Job::new(JobName::new(job).unwrap(), vec![source], options).unwrap();
    let report = with_context(|ctx| backup(ctx, &bench.open(), &job, &Excludes::default())).unwrap();
    report.snapshot.unwrap()
}

/// Asks to stop when a file is opened.
struct CancelsAtOpen(&'static [u8], Arc<Cancel>);

impl Watch for CancelsAtOpen {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::OpenFile && call.name == self.0 {
            self.1.cancel();
        }
        Verdict::Go
    }
}

#[test]
fn what_was_found_in_one_job_is_told_when_the_user_stops_in_the_next() {
    let (bench, [first, ..]) = three_snapshots();
    back_up_another_job(&bench, "zwei", &[("other", "of another job")]);
    flip(&bench.stored(&first, "sub/same"), 0);
    let (counters, cancel, told) = (Counters::default(), Arc::new(Cancel::default()), Told::default());
    let seam = Seam::watched(Arc::new(CancelsAtOpen(b"other", cancel.clone())));
    let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
    let ctx = Context { clock: &SystemClock, monitor: &told, counters: &counters, cancel: &cancel };
    let stopped = repair(&ctx, &target, &RepairOptions::default());
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let (problems, _) = told.0.into_inner().unwrap();
    assert_eq!(found(&problems), [(ProblemKind::Damaged, format!("{first}/docs/sub/same"))]);
    assert_eq!(recorded_damage(&bench), 1);
}

#[test]
fn what_is_gone_or_good_again_is_no_longer_written_down() {
    let (bench, [first, second, _]) = three_snapshots();
    flip(&bench.stored(&first, "sub/same"), 0);
    flip(&bench.stored(&first, "edited"), 0);
    assert_eq!(run_scrub(&bench, 10_000).problem_count, 2);
    flip(&bench.stored(&first, "sub/same"), 0);
    fs::remove_dir_all(bench.target.join("test").join(&first)).unwrap();
    // Who looks at a part only knows nothing of the rest; a dry run writes nothing.
    for options in [
        RepairOptions { snapshots: vec![second], ..RepairOptions::default() },
        RepairOptions { dry_run: true, ..RepairOptions::default() },
    ] {
        assert_eq!((run_repair(&bench, &options).problem_count, recorded_damage(&bench)), (0, 2));
    }
    assert_eq!((run_repair(&bench, &RepairOptions::default()).problem_count, recorded_damage(&bench)), (0, 0));
}
