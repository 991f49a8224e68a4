//! One byte goes bad on the disk below a mounted target: found, named with all snapshots, repaired in all of them, and
//! nothing else is touched. A repair may stop at every call.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that cannot go on fails; tests look at the disk with other code"
)]

mod common;

use common::scratch;
use hardback_engine::{
    Cancel, Context, Counters, Error, Monitor, Phase, Problem, ProblemKind, RepairOptions, RepairReport, ScrubOptions,
    ScrubReport, SystemClock, VerifyLevel, VerifyOptions, VerifyReport, open_or_create_target, repair, scrub, verify,
};
use hardback_platform::{Op, Seam, Verdict, Watch};
use hardback_testing::checker::{Checker, Inventory};
use hardback_testing::fault::{Calls, Fault, FaultyWatch};
use hardback_testing::rig::{Rig, Seams};
use hardback_testing::volume;
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::watch;
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

struct Quiet;

impl Monitor for Quiet {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, _: Phase) {}
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let (counters, cancel) = (Counters::default(), Cancel::default());
    run(&Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel })
}

fn run_scrub(rig: &Rig, share: u32) -> ScrubReport {
    let options = ScrubOptions { job: None, share, workers: 0 };
    with_context(|ctx| scrub(ctx, &rig.open().unwrap(), &options)).unwrap()
}

fn run_repair(rig: &Rig, seam: Seam, options: &RepairOptions) -> Result<RepairReport, Error> {
    let target = open_or_create_target(&rig.target, None, &SystemClock, seam)?.target;
    with_context(|ctx| repair(ctx, &target, options))
}

fn run_verify(rig: &Rig) -> VerifyReport {
    let options =
        VerifyOptions { job: None, snapshots: Vec::new(), level: VerifyLevel::Full, against_source: false, workers: 0 };
    with_context(|ctx| verify(ctx, &rig.open().unwrap(), &options)).unwrap()
}

/// A source with a file, its twin, others, and four snapshots of it; returns their names.
fn backed_up(rig: &Rig, content: &[u8]) -> Vec<String> {
    fs::create_dir_all(rig.source.join("deep/er")).unwrap();
    fs::write(rig.source.join("deep/er/one.bin"), content).unwrap();
    for n in 0..40 {
        fs::write(rig.source.join(format!("deep/{n:02}")), [n; 3000]).unwrap();
    }
    let mut names = Vec::new();
    for n in 0..4 {
        if n == 2 {
            // Another file with the same content: copied, as it is no move.
            fs::write(rig.source.join("two.bin"), content).unwrap();
        }
        fs::write(rig.source.join("edited"), format!("version {n}")).unwrap();
        let report = rig.backup(Seams::default()).unwrap();
        assert_eq!(report.totals.problems, 0, "{:?}", report.problems);
        names.push(report.snapshot.unwrap());
    }
    names
}

/// Flips a bit of the block that begins like this, in the image below a mounted volume.
fn flip_below(volume: &Volume, begins: &[u8]) {
    let image = volume.root().with_file_name("image");
    volume.used_bytes();
    let file = fs::File::options().read(true).write(true).open(image).unwrap();
    let bytes = file.metadata().unwrap().len();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let n = file.read_at(&mut buffer, at).unwrap();
        for block in (0..n).step_by(1024) {
            if buffer[block..n].starts_with(begins) {
                let place = at + block as u64 + 7;
                file.write_at(&[buffer[block + 7] ^ 0x10], place).unwrap();
                file.sync_all().unwrap();
                return;
            }
        }
        at += n as u64;
    }
    panic!("the image does not have the content");
}

fn a_byte_goes_bad_on(kind: VolumeKind) {
    let volume = volume!(kind, 64);
    let home = scratch();
    let rig = Rig { target: volume.root().join("target"), ..Rig::below(home.path()) };
    let mut content: Vec<u8> = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    content[..8].copy_from_slice(b"needle! ");
    let names = backed_up(&rig, &content);
    let before = Inventory::of_target(&rig.target);
    assert_eq!(run_scrub(&rig, 10_000).problem_count, 0);
    flip_below(&volume, &content[..512]);

    // A pass of scrubs comes by it, though the system has the good content in its cache.
    let mut problems = Vec::new();
    let mut damage = Vec::new();
    loop {
        let report = run_scrub(&rig, 2500);
        problems.extend(report.problems);
        damage.extend(report.damage);
        if report.jobs[0].is_whole {
            break;
        }
    }
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].kind, ProblemKind::Damaged);
    let verified = run_verify(&rig);
    assert_eq!((verified.problem_count, &verified.damage[0].names), (1, &damage[0].names));
    // Which of the two it is depends on where the volume put them.
    let (damaged, of, twin) = match damage[0].path.ends_with(b"one.bin") {
        true => ("docs/deep/er/one.bin", &names[..], "docs/two.bin"),
        false => ("docs/two.bin", &names[2..], "docs/deep/er/one.bin"),
    };
    let expected: Vec<Vec<u8>> = of.iter().map(|name| format!("{name}/{damaged}").into_bytes()).collect();
    assert_eq!((&damage[0].names, &damage[0].snapshots[..]), (&expected, of));
    let copy = String::from_utf8(damage[0].good_copy.as_ref().unwrap().path().to_vec()).unwrap();
    assert!(copy.starts_with("test/") && copy.ends_with(twin), "{copy}");

    let checker = Arc::new(Checker::new(&rig.target));
    let report = run_repair(&rig, Seam::watched(checker.clone()), &RepairOptions::default()).unwrap();
    assert_eq!((report.repaired, report.names, report.problem_count), (1, of.len() as u64, 0), "{:?}", report.problems);
    only_names_are_renamed(&checker, damaged, of.len());
    nothing_else_has_changed(&rig, &before, damaged, of);
    assert_eq!(run_verify(&rig).problem_count, 0, "{:?}", run_verify(&rig).problems);
    // Also when nothing is in the cache any more.
    volume.remount("");
    assert_eq!(run_verify(&rig).problem_count, 0);
    for name in of {
        assert_eq!(fs::read(rig.snapshot(name).join(damaged)).unwrap(), content);
    }
}

/// The only calls below sealed snapshots are a rename for each name and the time of its folder.
fn only_names_are_renamed(checker: &Checker, damaged: &str, names: usize) {
    let name = Path::new(damaged).file_name().unwrap();
    let violations = checker.violations();
    let renames = violations.iter().filter(|v| v.starts_with(&format!("Rename of {name:?} in "))).count();
    let times = violations.iter().filter(|v| v.starts_with("SetTimes of \"\" in ")).count();
    assert_eq!((renames, times, violations.len()), (names, names, 2 * names), "{violations:?}");
}

/// Of the trees only the damaged names have another file, one for all; folders have their times.
fn nothing_else_has_changed(rig: &Rig, before: &Inventory, damaged: &str, of: &[String]) {
    let paths: Vec<PathBuf> = of.iter().map(|name| rig.snapshot(name).join(damaged)).collect();
    for change in before.changes_in(&Inventory::of_target(&rig.target)) {
        let (path, facts) = change.split_once(": ").unwrap();
        assert!(paths.contains(&PathBuf::from(path)), "{change}");
        // The file is another; size, mode, owner, time, content and attributes are the same.
        let (was, is) = facts.split_once(" became ").unwrap();
        let without_inode = |facts: &str| facts.split_once(' ').unwrap().1.to_owned();
        assert_eq!(
            without_inode(was),
            without_inode(is.trim_start_matches("Some(\"").trim_end_matches("\")")),
            "{change}"
        );
    }
    let files: Vec<u64> = paths.iter().map(|path| fs::metadata(path).unwrap().ino()).collect();
    assert!(files.iter().all(|file| *file == files[0]), "{files:?}");
}

#[test]
fn a_byte_goes_bad_on_ext4() {
    a_byte_goes_bad_on(VolumeKind::Ext4);
}

#[test]
fn a_byte_goes_bad_on_xfs() {
    a_byte_goes_bad_on(VolumeKind::Xfs);
}

/// A target with a damaged file in four snapshots, in two folders; returns the names of the snapshots.
fn damaged_target(dir: &Path) -> (Rig, Vec<String>, Vec<u8>) {
    let rig = Rig::below(dir);
    let content = b"what was backed up".repeat(2000);
    let names = backed_up(&rig, &content);
    damage(&rig, &names);
    (rig, names, content)
}

/// Changes a byte of the file.
fn damage(rig: &Rig, names: &[String]) {
    let stored = rig.snapshot(&names[0]).join("docs/deep/er/one.bin");
    let time = fs::metadata(&stored).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(&stored).unwrap();
    file.write_at(b"W", 17_000).unwrap();
    file.set_modified(time).unwrap();
}

fn copy_of(rig: &Rig, number: u64) -> Rig {
    let target = rig.target.with_file_name(format!("target-{number}"));
    assert!(Command::new("cp").arg("-a").arg(&rig.target).arg(&target).status().unwrap().success());
    Rig { target, ..rig.clone() }
}

/// Lets each changing call of a repair fail in one way, and then repairs again; returns how many there are.
fn every_call_of_a_repair(fault: Fault) -> u64 {
    let dir = scratch();
    let (original, names, content) = damaged_target(dir.path());
    let bad = fs::read(original.snapshot(&names[0]).join("docs/deep/er/one.bin")).unwrap();
    for n in 1.. {
        let rig = copy_of(&original, n);
        let before = Inventory::of_target(&rig.target);
        let watch = FaultyWatch::failing(Calls::Changing, n, fault);
        let result = run_repair(&rig, watch.seam(), &RepairOptions::default());
        let context = format!("{fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        let paths: Vec<PathBuf> = names.iter().map(|name| rig.snapshot(name).join("docs/deep/er/one.bin")).collect();
        let is_good = |path: &PathBuf| {
            let now = fs::read(path).unwrap_or_else(|e| panic!("{context}: {}: {e}", path.display()));
            assert!(now == bad || now == content, "{context}: {} is neither", path.display());
            now == content
        };
        let good = paths.iter().filter(|path| is_good(path)).count();
        match &result {
            // A folder that has lost its time is told too.
            Ok(report) => assert!(report.problem_count > 0 || good == 4, "{context}: {good} names are good"),
            Err(_) => assert!(watch.struck().is_some(), "{context}"),
        }
        for change in before.changes_in(&Inventory::of_target(&rig.target)) {
            let path = PathBuf::from(change.split_once(": ").unwrap().0);
            // A folder whose name was replaced may have lost its time: the next repair gives it back.
            assert!(paths.iter().any(|p| *p == path || p.parent() == Some(&path)), "{context}: {change}");
        }
        let again = run_repair(&rig, Seam::default(), &RepairOptions::default()).unwrap();
        assert_eq!(again.problem_count, 0, "{context}, again: {:?}", again.problems);
        assert!(paths.iter().all(is_good), "{context}");
        let verified = run_verify(&rig);
        assert_eq!(verified.problem_count, 0, "{context}: {:?}", verified.problems);
        let left = fs::read_dir(rig.target.join(".hardback/repair/test")).unwrap().count();
        assert_eq!(left, 0, "{context}");
        let files: Vec<u64> = paths.iter().map(|path| fs::metadata(path).unwrap().ino()).collect();
        let links: Vec<u64> = paths.iter().map(|path| fs::metadata(path).unwrap().nlink()).collect();
        if fault == Fault::Stop {
            assert!(files.iter().all(|file| *file == files[0]), "{context}: {files:?} are not one file");
            assert_eq!(links, [4; 4], "{context}");
        }
        fs::remove_dir_all(&rig.target).unwrap();
        if watch.struck().is_none() {
            return n - 1;
        }
    }
    unreachable!("a repair comes to its end")
}

#[test]
fn a_repair_may_be_killed_at_every_call() {
    let calls = every_call_of_a_repair(Fault::Stop);
    println!("{calls} calls");
    assert!(calls > 20, "only {calls} calls");
}

#[test]
fn every_call_of_a_repair_may_fail() {
    for errno in [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::MLINK] {
        every_call_of_a_repair(Fault::Once(errno.raw_os_error()));
    }
}

/// A seam of a watch on a volume that has links or not.
fn links_too(has_links: bool, watch: Arc<FaultyWatch>) -> Seam {
    watch::seam(move |call, _| match call.op {
        Op::Link if !has_links => Verdict::Fail(Errno::PERM.into()),
        _ => watch.before(call),
    })
}

/// Lets each call of a repair fail in one way while the only good copy is a file that an interrupted repair has left,
/// and then repairs again; returns how many there are.
fn every_call_with_one_copy(calls: Calls, fault: Fault, has_its_metadata: bool, has_links: bool) -> u64 {
    let dir = scratch();
    let rig = Rig::below(dir.path());
    let content = b"what was backed up".repeat(2000);
    fs::create_dir_all(rig.source.join("deep/er")).unwrap();
    fs::write(rig.source.join("deep/er/one.bin"), &content).unwrap();
    // Without links no file has two names.
    let snapshots = if has_links { 3 } else { 1 };
    let names: Vec<String> = (0..snapshots).map(|_| rig.backup(Seams::default()).unwrap().snapshot.unwrap()).collect();
    damage(&rig, &names);
    let denied = watch::seam(|call, path| match call.op {
        Op::Rename if path.extension().is_none_or(|extension| extension != "toml") => {
            Verdict::Fail(Errno::ACCESS.into())
        }
        _ => Verdict::Go,
    });
    let from_source = RepairOptions { from_source: true, ..RepairOptions::default() };
    assert_eq!(run_repair(&rig, denied, &from_source).unwrap().problem_count, 1);
    fs::remove_file(rig.source.join("deep/er/one.bin")).unwrap();
    if !has_its_metadata {
        for made in fs::read_dir(rig.target.join(".hardback/repair/test")).unwrap() {
            fs::set_permissions(made.unwrap().path(), fs::Permissions::from_mode(0o601)).unwrap();
        }
    }
    let original = rig;
    for n in 1.. {
        let rig = copy_of(&original, n);
        let watch = FaultyWatch::failing(calls, n, fault);
        let result = run_repair(&rig, links_too(has_links, watch.clone()), &RepairOptions::default());
        let context = format!("{fault:?} at {n} ({})", watch.struck().unwrap_or_default());
        let nothing = FaultyWatch::counting(Calls::All);
        let again = run_repair(&rig, links_too(has_links, nothing), &RepairOptions::default()).unwrap();
        assert_eq!(again.problem_count, 0, "{context}, {result:?}, again: {:?}", again.problems);
        for name in &names {
            assert!(fs::read(rig.snapshot(name).join("docs/deep/er/one.bin")).unwrap() == content, "{context}: {name}");
        }
        let verified = run_verify(&rig);
        assert_eq!(verified.problem_count, 0, "{context}: {:?}", verified.problems);
        assert_eq!(fs::read_dir(rig.target.join(".hardback/repair/test")).unwrap().count(), 0, "{context}");
        fs::remove_dir_all(&rig.target).unwrap();
        if watch.struck().is_none() {
            return n - 1;
        }
    }
    unreachable!("a repair comes to its end")
}

#[test]
fn the_only_good_copy_outlives_every_call_of_a_repair() {
    for (has_its_metadata, has_links) in [(true, true), (false, true), (true, false), (false, false)] {
        assert!(every_call_with_one_copy(Calls::Changing, Fault::Stop, has_its_metadata, has_links) > 10);
        let errno = if has_its_metadata { Errno::IO } else { Errno::ACCESS };
        let fault = Fault::Once(errno.raw_os_error());
        let calls = every_call_with_one_copy(Calls::All, fault, has_its_metadata, has_links);
        assert!(calls > 50, "only {calls} calls");
    }
}
