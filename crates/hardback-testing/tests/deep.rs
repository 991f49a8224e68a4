//! A very deep tree costs what its entries cost, and not the square of its depth.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use hardback_testing::rig::{JOB, Rig, Seams};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Makes levels below a folder, each with a file that has two names.
fn make_deep(top: &Path, levels: u64) {
    fs::create_dir(top).unwrap();
    let open = |at: &OwnedFd, name: &str, flags| openat(at, name, flags, Mode::from_raw_mode(0o600)).unwrap();
    let mut dir = openat(CWD, top, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..levels {
        let file = open(&dir, "a", OFlags::CREATE | OFlags::WRONLY);
        rustix::io::write(file, b"content").unwrap();
        linkat(&dir, "a", &dir, "b", AtFlags::empty()).unwrap();
        mkdirat(&dir, "d", Mode::from_raw_mode(0o700)).unwrap();
        dir = open(&dir, "d", OFlags::DIRECTORY);
    }
}

/// Counts the names that are looked up to open folders.
#[derive(Default)]
struct Lookups(AtomicU64);

impl Watch for Lookups {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let names = if call.op == Op::OpenDir { call.name.split(|b| *b == b'/').count() } else { 0 };
        self.0.fetch_add(names as u64, Ordering::SeqCst);
        Verdict::Go
    }
}

#[test]
fn a_deep_tree_costs_no_lookups_from_its_top() {
    let levels = if hardback_testing::is_slow_run() { 5_000 } else { 1_500 };
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig::below(temp.path());
    make_deep(&rig.source, levels);
    let run = |rig: &Rig, what: &str| {
        let (lookups, began) = (Arc::new(Lookups::default()), Instant::now());
        let report = rig.backup(Seams { target: Seam::watched(lookups.clone()), ..Seams::default() }).unwrap();
        assert_eq!(report.totals.problems, 0, "{:?}", report.problems);
        let lookups = lookups.0.load(Ordering::SeqCst);
        println!("{what}: {lookups} lookups, {:?}, record {}", began.elapsed(), report.record_bytes);
        // On the way back up, folders are opened again 48 at a time.
        assert!(lookups <= 10 * levels + levels * levels / 48, "{what}: {lookups} lookups for {levels} levels");
    };
    run(&rig, "the first run");
    run(&rig, "nothing changed");
    // What nobody else can remove: the source and two snapshots.
    let trash = rig.target.join(".hardback/trash");
    for (name, old) in [("docs", rig.source.clone()), ("snapshots", rig.target.join(JOB))] {
        fs::rename(old, trash.join(name)).unwrap();
    }
    fs::create_dir(&rig.source).unwrap();
    run(&rig, "three deep trees in the trash");
    assert_eq!(fs::read_dir(trash).unwrap().count(), 0);
}
