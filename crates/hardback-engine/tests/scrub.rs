//! Scrubs on plain files in temporary folders, and what is told of damage.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests damage the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    BackupOptions, Cancel, Context, Counters, Error, Excludes, FixedClock, GoodCopy, Job, JobName, JobSource,
    ProblemKind, ScrubOptions, ScrubReport, SystemClock, VerifyLevel, VerifyOptions, backup, open_or_create_target,
    scrub, verify,
};
use hardback_platform::{Call, Dir, Lock, Op, Seam, Time, Verdict, Watch};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use support::*;

fn share(share: u32) -> ScrubOptions {
    ScrubOptions { job: None, share, workers: 0 }
}

fn run_scrub(bench: &Bench, options: &ScrubOptions) -> ScrubReport {
    with_context(|ctx| scrub(ctx, &bench.open(), options)).unwrap()
}

fn position(bench: &Bench) -> PathBuf {
    bench.target.join(".hardback/scrub/test.toml")
}

#[test]
fn a_pass_reads_each_file_once_in_as_many_runs_as_the_share_says() {
    let (bench, _) = three_snapshots();
    for _ in 0..2 {
        let (mut files, mut runs) = (0, 0);
        loop {
            let report = run_scrub(&bench, &share(1000));
            assert_eq!(found(&report.problems), []);
            files += report.files_read;
            runs += 1;
            let pass = &report.jobs[0];
            assert_eq!((pass.job.as_str(), pass.runs), ("test", runs));
            assert!(report.files_read < 20, "{} files in one run", report.files_read);
            if pass.is_whole {
                break;
            }
            assert!(pass.runs_left <= 10 - runs, "{pass:?}");
        }
        // 53 of the first run, two other versions, and the one that moved under its new path.
        assert!((55..=56).contains(&files), "{files} files");
        assert!(runs <= 10, "{runs} runs");
    }
    let all = run_scrub(&bench, &share(10_000));
    assert!(all.jobs[0].is_whole && all.jobs[0].runs == 1 && (55..=56).contains(&all.files_read));
}

#[test]
fn damage_is_one_problem_with_all_snapshots_and_a_good_copy() {
    let (bench, [first, second, third]) = three_snapshots();
    bench.write("twin", "stays the same");
    let fourth = bench.backup();
    let all = [&first, &second, &third, &fourth];
    flip(&bench.stored(&second, "sub/same"), 3);
    flip(&bench.stored(&first, "edited"), 0);
    flip(&bench.stored(&third, "sub/moved"), 0);
    let expected = [
        (ProblemKind::Damaged, format!("{first}/docs/edited")),
        (ProblemKind::Damaged, format!("{first}/docs/moved")),
        (ProblemKind::Damaged, format!("{first}/docs/sub/same")),
    ];
    let verified = bench.verify(VerifyLevel::Full);
    let scrubbed = run_scrub(&bench, &share(10_000));
    for (problems, damage) in [(&verified.problems, &verified.damage), (&scrubbed.problems, &scrubbed.damage)] {
        assert_eq!(found(problems), expected);
        let find = |path: &str| damage.iter().find(|d| d.path.ends_with(path.as_bytes())).unwrap();
        let same = find("sub/same");
        assert_eq!(names(same), all.map(|name| format!("{name}/docs/sub/same")));
        assert_eq!(same.snapshots, all.map(String::clone));
        let twin = format!("test/{fourth}/docs/twin").into_bytes();
        assert_eq!(same.good_copy, Some(GoodCopy::Stored(twin)));
        let edited = find("edited");
        assert_eq!((names(edited), &edited.good_copy), (vec![format!("{first}/docs/edited")], &None));
        let moved = find("moved");
        let then = [&first, &second].map(|name| format!("{name}/docs/moved"));
        let now = [&third, &fourth].map(|name| format!("{name}/docs/sub/moved"));
        assert_eq!(names(moved), [then, now].concat());
        let at_source = bench.source.join("sub/moved").into_os_string().into_encoded_bytes();
        assert_eq!(moved.good_copy, Some(GoodCopy::Source(at_source)));
        let told = problems.iter().find(|p| p.path.ends_with(b"sub/same")).unwrap();
        assert!(told.detail.contains(&format!("one file in 4 snapshots: {first}, {second}, {third}, {fourth}")));
        assert!(told.detail.contains("a good copy is test/"), "{}", told.detail);
    }
    // One file that is cut off is one problem too.
    fs::File::options().write(true).open(bench.stored(&first, "many/007")).unwrap().set_len(3).unwrap();
    assert_eq!(bench.verify(VerifyLevel::Full).problem_count, 4);
}

#[test]
fn a_position_that_is_broken_or_missing_begins_a_new_pass() {
    let (bench, _) = three_snapshots();
    let first = run_scrub(&bench, &share(2000));
    assert!(!first.jobs[0].is_whole);
    assert_eq!(run_scrub(&bench, &share(2000)).jobs[0].runs, 2);
    fs::write(position(&bench), "runs = no number").unwrap();
    let report = run_scrub(&bench, &share(2000));
    assert_eq!(found(&report.problems), [(ProblemKind::Unreadable, ".hardback/scrub/test.toml".to_owned())]);
    assert_eq!(report.jobs[0].runs, 1);
    fs::remove_file(position(&bench)).unwrap();
    assert_eq!(run_scrub(&bench, &share(2000)).jobs[0].runs, 1);
    // Where it was is pruned.
    let text = fs::read_to_string(position(&bench)).unwrap();
    let body = text[..text.rfind("checksum").unwrap()].replace("generation = 1\n", "generation = 77\n");
    fs::write(position(&bench), format!("{body}checksum = \"{}\"\n", blake3::hash(body.as_bytes()).to_hex())).unwrap();
    assert!(run_scrub(&bench, &share(2000)).jobs[0].is_whole);
}

#[test]
fn two_scrubs_at_once_are_refused_and_a_backup_is_not_in_the_way() {
    let (bench, _) = three_snapshots();
    run_scrub(&bench, &share(100)).problems.clear();
    let dir = Dir::open(&bench.target.join(".hardback/scrub"), Seam::default()).unwrap();
    let lock = Lock::try_take(&dir, b"lock", b"another").unwrap().unwrap();
    let again = with_context(|ctx| scrub(ctx, &bench.open(), &share(100)));
    assert!(matches!(again, Err(Error::Locked { holder: Some(holder) }) if holder == "another"));
    drop(lock);
    let dir = Dir::open(&bench.target.join(".hardback"), Seam::default()).unwrap();
    let _backup = Lock::try_take(&dir, b"lock", b"a backup").unwrap().unwrap();
    assert_eq!(run_scrub(&bench, &share(100)).problem_count, 0);
}

#[test]
fn records_that_cannot_be_read_are_problems_and_not_the_end() {
    let (bench, [first, second, _]) = three_snapshots();
    let digests = bench.target.join(".hardback/digests/test/00000002.b3");
    let list = fs::read(&digests).unwrap();
    fs::remove_file(&digests).unwrap();
    let report = run_scrub(&bench, &share(10_000));
    assert_eq!(found(&report.problems), [(ProblemKind::Damaged, second)]);
    assert!(report.problems[0].detail.starts_with("docs/edited is not proven"), "{:?}", report.problems);
    assert!(report.files_read >= 54, "{}", report.files_read);
    fs::write(&digests, list).unwrap();
    // What the snapshot with the record shares with others is read there.
    let manifest = bench.target.join(format!(".hardback/manifests/test/{first}.manifest.zst"));
    flip(&manifest, 400);
    let report = run_scrub(&bench, &share(10_000));
    assert_eq!(found(&report.problems), [(ProblemKind::Damaged, first)]);
    assert!((54..=55).contains(&report.files_read), "{}", report.files_read);
}

/// Returns which files the snapshots have.
fn stored_files(bench: &Bench) -> BTreeSet<u64> {
    let mut files = BTreeSet::new();
    let mut pending = vec![bench.target.join("test")];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
            let m = fs::symlink_metadata(entry.path()).unwrap();
            if m.is_dir() {
                pending.push(entry.path());
            } else if m.is_file() && m.len() > 0 {
                files.insert(m.ino());
            }
        }
    }
    files
}

/// Numbers that are the same in every run of a test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// Changes something in the source.
fn change(bench: &Bench, dice: &mut Dice, step: u64) {
    let name = |n: u64| format!("{}/{n:02}", ["a", "a/b", "c", "."][(n % 4) as usize]);
    let (one, other) = (name(dice.below(25)), name(dice.below(25)));
    let (from, to) = (bench.source.join(&one), bench.source.join(&other));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    match dice.below(4) {
        0 => bench.write(&one, &format!("{step} {}", "x".repeat(dice.below(20_000) as usize))),
        1 if from.exists() => fs::rename(from, to).unwrap(),
        2 if from.exists() => fs::remove_file(from).unwrap(),
        3 if from.exists() && !to.exists() => fs::hard_link(from, to).unwrap(),
        _ => bench.write(&other, &format!("other {step}")),
    }
}

#[test]
fn a_pass_reads_every_file_that_is_there_all_the_time_whatever_is_made_and_pruned() {
    for seed in 1..=12u64 {
        let bench = Bench::new();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for n in 0..25 {
            change(&bench, &mut dice, n);
            bench.write(&format!("a/b/{n:02}"), &format!("begins {n}"));
        }
        let mut snapshots = vec![bench.backup()];
        let hundredths = [400, 700, 1500, 3400, 5000][(seed % 5) as usize];
        let period = 10_000u32.div_ceil(hundredths);
        for pass in 0..2 {
            let reads = Arc::new(Reads::default());
            let mut there_all_the_time = stored_files(&bench);
            for run in 1.. {
                for step in 0..dice.below(3) {
                    change(&bench, &mut dice, 1000 * u64::from(run) + step);
                }
                if dice.below(2) == 0 {
                    snapshots.push(bench.backup());
                }
                while snapshots.len() > 1 && dice.below(3) == 0 {
                    let gone = snapshots.remove(dice.below(snapshots.len() as u64) as usize);
                    fs::remove_dir_all(bench.target.join("test").join(gone)).unwrap();
                }
                let now = stored_files(&bench);
                there_all_the_time.retain(|file| now.contains(file));
                let seam = Seam::watched(reads.clone());
                let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
                let report = with_context(|ctx| scrub(ctx, &target, &share(hundredths))).unwrap();
                assert_eq!(found(&report.problems), [], "seed {seed}");
                if report.jobs[0].is_whole {
                    let read = reads.0.lock().unwrap();
                    let missed: Vec<_> = there_all_the_time.difference(&read).collect();
                    assert!(missed.is_empty(), "seed {seed}, pass {pass}, run {run}: {missed:?} were not read");
                    break;
                }
                assert!(run < period, "seed {seed}, pass {pass}: {run} runs of {period}");
            }
        }
    }
}

#[test]
fn a_target_whose_links_were_lost_is_read_in_full() {
    let (bench, [_, second, _]) = three_snapshots();
    // As a copy of the target without its links has it.
    let path = bench.stored(&second, "sub/same");
    let content = fs::read(&path).unwrap();
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    flip(&path, 2);
    let report = run_scrub(&bench, &share(10_000));
    assert_eq!(found(&report.problems), [(ProblemKind::Damaged, format!("{second}/docs/sub/same"))]);
    assert_eq!(names(&report.damage[0]), [format!("{second}/docs/sub/same")]);
}

#[test]
fn a_cancelled_scrub_keeps_what_is_whole_and_promises_nothing() {
    let (bench, _) = three_snapshots();
    let (counters, cancel) = (Counters::default(), Cancel::default());
    let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
    cancel.cancel();
    assert!(matches!(scrub(&ctx, &bench.open(), &share(5000)), Err(Error::Interrupted)));
    assert_eq!(run_scrub(&bench, &share(5000)).jobs[0].runs, 1);
}

#[test]
fn a_pass_tells_when_it_began() {
    let (bench, _) = three_snapshots();
    let run = |seconds| {
        let clock = FixedClock { now: Time { seconds, nanos: 7 }, zone: jiff::tz::TimeZone::UTC };
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &clock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        scrub(&ctx, &bench.open(), &share(4000)).unwrap().jobs[0].began.seconds
    };
    assert_eq!([run(1_000_000), run(2_000_000)], [1_000_000, 1_000_000]);
}

/// Removes a folder as soon as a file of this name is opened.
struct Removed(&'static [u8], PathBuf);

impl Watch for Removed {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::OpenFile && call.name == self.0 && self.1.exists() {
            // As a prune does it: out of the way first.
            let trash = self.1.with_file_name("gone");
            fs::rename(&self.1, &trash).unwrap();
            fs::remove_dir_all(trash).unwrap();
        }
        Verdict::Go
    }
}

#[test]
fn a_snapshot_that_is_removed_meanwhile_is_no_damage_and_what_it_shared_is_read_elsewhere() {
    for verb in ["scrub", "verify"] {
        let (bench, [first, _, _]) = three_snapshots();
        let seam = Seam::watched(Arc::new(Removed(b"010", bench.target.join("test").join(&first))));
        let target = open_or_create_target(&bench.target, None, &SystemClock, seam).unwrap().target;
        let (problems, files_read) = match verb {
            "scrub" => {
                let report = with_context(|ctx| scrub(ctx, &target, &share(10_000))).unwrap();
                (report.problems, report.files_read)
            }
            _ => {
                let level = VerifyLevel::Full;
                let options =
                    VerifyOptions { job: None, snapshots: Vec::new(), level, against_source: false, workers: 0 };
                let report = with_context(|ctx| verify(ctx, &target, &options)).unwrap();
                (report.problems, report.files_read)
            }
        };
        assert_eq!(found(&problems), [], "{verb}");
        assert!(files_read >= 52, "{verb}: {files_read}");
    }
}

#[test]
fn another_job_may_have_the_good_copy() {
    let (bench, [first, ..]) = three_snapshots();
    bench.write("many/000", "only here");
    let other = bench.path("other");
    write(&other.join("same"), "stays the same");
    let source = JobSource {
        folder: b"o".to_vec(),
        path: other.clone(),
        path_bytes: other.into_os_string().into_encoded_bytes(),
    };
    let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
    let job = Job::new(JobName::new("other").unwrap(), vec![source], options).unwrap();
    let report = with_context(|ctx| backup(ctx, &bench.open(), &job, &Excludes::default())).unwrap();
    flip(&bench.stored(&first, "sub/same"), 0);
    let scrubbed = run_scrub(&bench, &share(10_000));
    assert_eq!(scrubbed.jobs.len(), 2);
    let twin = format!("other/{}/o/same", report.snapshot.unwrap()).into_bytes();
    assert_eq!(scrubbed.damage[0].good_copy, Some(GoodCopy::Stored(twin)));
}

#[test]
fn what_a_backup_left_out_of_reach_is_no_damage_for_a_scrub() {
    let bench = Bench::new();
    bench.write("sub/a", "a");
    bench.write("b", "b");
    let report = bench.backup_watched(locked(b"sub"));
    assert_eq!(report.totals.problems, 1);
    assert_eq!(bench.backup_without(&Excludes::default(), BackupOptions::default()).totals.problems, 0);
    assert_eq!(found(&run_scrub(&bench, &share(10_000)).problems), []);
}
