//! The scenario of the crash tests: a source in three versions, two of them sealed.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "each test file uses its part"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_testing::oracle::{By, Known, Tree, check_target, differences, leftovers, read_tree};
use hardback_testing::rig::{FOLDER, Rig, Seams};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Returns a new folder in memory where there is such a file system: nothing here is about disks.
pub fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("hardback-").tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Returns whether the long form of the tests is asked for.
pub fn is_slow() -> bool {
    std::env::var_os("HARDBACK_SLOW").is_some()
}

/// A source in its third version and a target with snapshots of the first two.
pub struct Scenario {
    pub dir: TempDir,
    pub rig: Rig,
    pub source: Tree,
    fresh_targets: std::cell::Cell<u32>,
}

impl Scenario {
    pub fn new() -> Self {
        let dir = scratch();
        let rig = Rig::below(dir.path());
        fs::create_dir(&rig.source).unwrap();
        first_version(&rig.source);
        assert_eq!(rig.backup(Seams::default()).unwrap().totals.problems, 0);
        second_version(&rig.source);
        assert_eq!(rig.backup(Seams::default()).unwrap().totals.problems, 0);
        third_version(&rig.source);
        let source = read_tree(&rig.source);
        Self { dir, rig, source, fresh_targets: std::cell::Cell::new(0) }
    }

    /// Copies the target, hard links and all; returns its rig and its snapshots.
    pub fn fresh_target(&self) -> (Rig, Known) {
        let number = self.fresh_targets.get() + 1;
        self.fresh_targets.set(number);
        let target = self.dir.path().join(format!("target-{number}"));
        let copied = Command::new("cp").arg("-a").arg(&self.rig.target).arg(&target).status().unwrap();
        assert!(copied.success());
        let rig = Rig { target, ..self.rig.clone() };
        let known = known(&rig);
        (rig, known)
    }
}

/// Returns the snapshots of a target, to compare with later.
#[track_caller]
pub fn known(rig: &Rig) -> Known {
    let all = check_target(rig, &Known::new(), "before");
    all.into_iter().map(|s| (s.name.clone(), read_tree(&rig.snapshot(&s.name)))).collect()
}

/// Returns what a snapshot holds of the source.
pub fn stored(rig: &Rig, snapshot: &str) -> Tree {
    read_tree(&rig.snapshot(snapshot).join(FOLDER))
}

/// As [`runs_again`], and removes the target.
#[track_caller]
pub fn recovers(rig: &Rig, known: &mut Known, source: &Tree, by: By, context: &str) -> u64 {
    let adopted = runs_again(rig, known, source, by, context);
    fs::remove_dir_all(&rig.target).unwrap();
    adopted
}

/// Runs once more without faults: that needs no help, stores the source (exactly, unless the run before met limitations
/// that what it stored keeps) and leaves nothing over. Returns how many files that run took over.
#[track_caller]
pub fn runs_again(rig: &Rig, known: &mut Known, source: &Tree, by: By, context: &str) -> u64 {
    for snapshot in check_target(rig, known, context) {
        known.entry(snapshot.name.clone()).or_insert_with(|| read_tree(&rig.snapshot(&snapshot.name)));
    }
    let report = rig.backup(Seams::default());
    let report = report.unwrap_or_else(|e| panic!("{context}: the next run fails: {e} {:?}", e));
    assert_eq!(report.totals.problems, 0, "{context}: the next run has problems: {:?}", report.problems);
    let all = check_target(rig, known, &format!("{context}, after the next run"));
    let newest = report.snapshot.clone().unwrap();
    let wrong = differences(source, &stored(rig, &newest), by);
    assert!(wrong.is_empty(), "{context}: the next run stored something else:\n{}", wrong.join("\n"));
    assert_eq!(fs::read_link(rig.target.join("test/latest")).unwrap(), Path::new(&newest), "{context}");
    let mut left = leftovers(rig, &all);
    if by == By::Content {
        // Of a run whose record could not be read its digest list stays.
        left.retain(|name| !name.starts_with("digests/"));
    }
    assert!(left.is_empty(), "{context}: left over after the next run: {left:?}");
    for snapshot in all {
        known.entry(snapshot.name.clone()).or_insert_with(|| read_tree(&rig.snapshot(&snapshot.name)));
    }
    report.adopted
}

pub fn write(dir: &Path, path: &str, content: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub fn set_mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn set_note(path: PathBuf, value: &[u8]) {
    rustix::fs::lsetxattr(path, "user.note", value, rustix::fs::XattrFlags::empty()).unwrap();
}

fn make_fifo(path: PathBuf) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn first_version(dir: &Path) {
    for (path, content) in [
        ("same.txt", "stays"),
        ("sub/deep/same.bin", "stays too"),
        ("edited.txt", "first"),
        ("touched-back.txt", "one"),
        ("mode.txt", "its mode changes"),
        ("owner.txt", "its owner changes"),
        ("noted.txt", "its attribute changes"),
        ("gone.txt", "is deleted"),
        ("gone/with/it.txt", "too"),
        ("moved/1.txt", "moves 1"),
        ("moved/2.txt", "moves 2"),
        ("group-1", "a group that changes"),
        ("group-mode-1", "a group whose mode changes"),
        ("still-1", "a group that stays"),
        ("kind.txt", "becomes a folder"),
        ("sub/empty", ""),
    ] {
        write(dir, path, content.as_bytes());
    }
    fs::hard_link(dir.join("group-1"), dir.join("sub/group-2")).unwrap();
    fs::hard_link(dir.join("group-mode-1"), dir.join("group-mode-2")).unwrap();
    fs::hard_link(dir.join("still-1"), dir.join("sub/still-2")).unwrap();
    fs::create_dir(dir.join("hollow")).unwrap();
    symlink("same.txt", dir.join("link")).unwrap();
    make_fifo(dir.join("fifo"));
    set_note(dir.join("noted.txt"), b"1");
    set_note(dir.join("sub"), b"of a folder");
    set_mode(dir.join("sub/deep"), 0o750);
}

fn second_version(dir: &Path) {
    write(dir, "edited.txt", b"second");
    write(dir, "sub/second.txt", b"new in the second");
}

fn third_version(dir: &Path) {
    write(dir, "edited.txt", b"the third");
    write(dir, "new.txt", b"new");
    write(dir, "new/deep/er.txt", &[7; 20_000]);
    write(dir, "new-group-1", b"a new group");
    fs::hard_link(dir.join("new-group-1"), dir.join("new/group-2")).unwrap();
    fs::rename(dir.join("moved"), dir.join("sub/moved-here")).unwrap();
    write(dir, "group-1", b"the group has changed");
    let sparse = fs::File::create(dir.join("sparse")).unwrap();
    sparse.set_len(300_000).unwrap();
    sparse.write_at(b"data", 131_072).unwrap();
    let before = fs::metadata(dir.join("touched-back.txt")).unwrap().modified().unwrap();
    write(dir, "touched-back.txt", b"two");
    fs::File::options().write(true).open(dir.join("touched-back.txt")).unwrap().set_modified(before).unwrap();
    set_mode(dir.join("mode.txt"), 0o600);
    set_mode(dir.join("group-mode-1"), 0o640);
    set_mode(dir.join("hollow"), 0o711);
    std::os::unix::fs::lchown(dir.join("owner.txt"), Some(12), Some(34)).ok();
    set_note(dir.join("noted.txt"), b"22");
    set_note(dir.join("hollow"), b"new on a folder");
    fs::remove_file(dir.join("gone.txt")).unwrap();
    fs::remove_dir_all(dir.join("gone")).unwrap();
    fs::remove_file(dir.join("kind.txt")).unwrap();
    fs::create_dir(dir.join("kind.txt")).unwrap();
    fs::remove_file(dir.join("link")).unwrap();
    symlink("edited.txt", dir.join("link")).unwrap();
    symlink("nowhere", dir.join("new/link")).unwrap();
    make_fifo(dir.join("new/fifo"));
}

/// Numbers that are the same in every run of a test.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}
