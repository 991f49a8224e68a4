//! Random changes, backups and interrupted backups against full copies that are kept in memory: each snapshot is the
//! copy that was taken then, and stays it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{is_slow, scratch, set_mode, set_note, stored, write};
use hardback_engine::{HOT_WINDOW_S, Overwrite, Place, RestoreOptions};
use hardback_testing::fault::{Calls, Fault, FaultyWatch};
use hardback_testing::oracle::{By, Known, Tree, check_target, differences, leftovers, read_tree};
use hardback_testing::rig::{FOLDER, JOB, Rig, Seams};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A step of a history. Places are numbers; what stands there then decides what can be done.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, u16),
    EditInPlace(u8, u8),
    EditAndPutTimeBack(u8, u8),
    Truncate(u8, u16),
    Append(u8, u8),
    Rename(u8, u8),
    Remove(u8),
    Link(u8, u8),
    Chmod(u8, u16),
    Note(u8, u8),
    MakeDir(u8),
    Symlink(u8, u8),
    Backup,
    /// A backup that dies at a call.
    Dies(u16),
    /// A backup whose disk is full from a call on.
    Full(u16),
    /// A restore of one of the snapshots into a new folder.
    Restore(u8),
    /// A restore of one of the snapshots over what was restored before, perhaps cut short first.
    RestoreOver(u8, Option<u16>),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0u8..28;
    prop_oneof![
        4 => (place(), 0u16..5000).prop_map(|(p, n)| Step::Write(p, n)),
        2 => (place(), any::<u8>()).prop_map(|(p, b)| Step::EditInPlace(p, b)),
        2 => (place(), any::<u8>()).prop_map(|(p, b)| Step::EditAndPutTimeBack(p, b)),
        1 => (place(), 0u16..3000).prop_map(|(p, n)| Step::Truncate(p, n)),
        1 => (place(), any::<u8>()).prop_map(|(p, b)| Step::Append(p, b)),
        4 => (place(), place()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => place().prop_map(Step::Remove),
        3 => (place(), place()).prop_map(|(a, b)| Step::Link(a, b)),
        2 => (place(), 0u16..0o1000).prop_map(|(p, m)| Step::Chmod(p, m)),
        1 => (place(), any::<u8>()).prop_map(|(p, b)| Step::Note(p, b)),
        2 => place().prop_map(Step::MakeDir),
        1 => (place(), place()).prop_map(|(a, b)| Step::Symlink(a, b)),
        5 => Just(Step::Backup),
        2 => (1u16..160).prop_map(Step::Dies),
        1 => (1u16..160).prop_map(Step::Full),
        1 => any::<u8>().prop_map(Step::Restore),
        2 => (any::<u8>(), proptest::option::of(1u16..120)).prop_map(|(s, n)| Step::RestoreOver(s, n)),
    ]
}

/// Returns a place: in the top, in a folder, or in a folder of that.
fn place(top: &Path, number: u8) -> PathBuf {
    let name = |n: u8| format!("n{n}");
    match number {
        0..=9 => top.join(name(number)),
        10..=19 => top.join(name(number % 3)).join(name(number % 5)),
        _ => top.join(name(number % 3)).join(name(number % 2)).join(name(number % 4)),
    }
}

fn kind(path: &Path) -> Option<fs::FileType> {
    fs::symlink_metadata(path).ok().map(|m| m.file_type())
}

fn edit(path: &Path, byte: u8) {
    let Ok(mut content) = fs::read(path) else { return };
    if let Some(middle) = content.len().checked_div(2).filter(|_| !content.is_empty()) {
        content[middle] = byte;
        fs::write(path, content).unwrap();
    }
}

/// Changes the source; what cannot be done where the history has come to is left out.
fn change(top: &Path, step: &Step) {
    let at = |number: &u8| place(top, *number);
    let is_file = |path: &Path| kind(path).is_some_and(|k| k.is_file());
    match step {
        Step::Write(p, n) if kind(&at(p)).is_none_or(|k| k.is_file()) => {
            let content: Vec<u8> = (0..*n).map(|i| i.to_le_bytes()[0].wrapping_mul(*p)).collect();
            if at(p).parent().and_then(kind).is_some_and(|k| k.is_dir()) {
                write(top, at(p).strip_prefix(top).unwrap().to_str().unwrap(), &content);
            }
        }
        Step::EditInPlace(p, byte) if is_file(&at(p)) => edit(&at(p), *byte),
        Step::EditAndPutTimeBack(p, byte) if is_file(&at(p)) => {
            let modified = fs::metadata(at(p)).unwrap().modified().unwrap();
            edit(&at(p), *byte);
            fs::File::options().write(true).open(at(p)).unwrap().set_modified(modified).unwrap();
        }
        Step::Truncate(p, n) if is_file(&at(p)) => {
            fs::File::options().write(true).open(at(p)).unwrap().set_len(u64::from(*n)).unwrap();
        }
        Step::Append(p, byte) if is_file(&at(p)) => {
            let mut content = fs::read(at(p)).unwrap();
            content.push(*byte);
            fs::write(at(p), content).unwrap();
        }
        Step::Rename(a, b) => {
            fs::rename(at(a), at(b)).ok();
        }
        Step::Remove(p) => match kind(&at(p)) {
            Some(k) if k.is_dir() => fs::remove_dir_all(at(p)).unwrap(),
            Some(_) => fs::remove_file(at(p)).unwrap(),
            None => {}
        },
        Step::Link(a, b) => {
            fs::hard_link(at(a), at(b)).ok();
        }
        Step::Chmod(p, mode) if kind(&at(p)).is_some_and(|k| !k.is_symlink()) => set_mode(at(p), u32::from(*mode)),
        Step::Note(p, byte) if kind(&at(p)).is_some_and(|k| !k.is_symlink()) => set_note(at(p), &[*byte]),
        Step::MakeDir(p) => {
            fs::create_dir(at(p)).ok();
        }
        Step::Symlink(a, b) => {
            symlink(at(a), at(b)).ok();
        }
        _ => {}
    }
}

/// What the rules of the plan cannot see, by design: a `chmod -R` must read nothing, so a changed mode or attribute is
/// taken as the reason why a change time moved. An edit that puts size and time back and comes with such a change is
/// found by `--checksum` only; histories leave the pair out.
#[derive(Default)]
struct Blind {
    edited: HashSet<u64>,
    described: HashSet<u64>,
}

impl Blind {
    /// Returns whether a step may be taken.
    fn allows(&mut self, top: &Path, step: &Step) -> bool {
        let (place, other, own) = match step {
            Step::EditAndPutTimeBack(p, _) => (p, &self.described, &mut self.edited),
            Step::Chmod(p, _) | Step::Note(p, _) => (p, &self.edited, &mut self.described),
            _ => return true,
        };
        let Ok(metadata) = fs::symlink_metadata(self::place(top, *place)) else { return true };
        let allowed = !other.contains(&metadata.ino());
        if allowed {
            own.insert(metadata.ino());
        }
        allowed
    }
}

/// Backs up, perhaps with a fault; what is listed then must be the source, and what was listed before as it was.
fn back_up(rig: &Rig, known: &mut Known, copies: &mut Known, fault: Option<(u16, Fault)>, context: &str) {
    let source = read_tree(&rig.source);
    let watch = fault.map(|(n, fault)| FaultyWatch::failing(Calls::Changing, u64::from(n), fault));
    let seams = Seams { target: watch.as_ref().map(FaultyWatch::seam).unwrap_or_default(), ..Seams::default() };
    let result = rig.backup(seams);
    let struck = watch.is_some_and(|w| w.struck().is_some());
    let all = check_target(rig, known, context);
    if !struck {
        let report = result.unwrap_or_else(|e| panic!("{context}: {e:?}"));
        assert_eq!(report.totals.problems, 0, "{context}: {:?}", report.problems);
        assert!(leftovers(rig, &all).is_empty(), "{context}: left over {:?}", leftovers(rig, &all));
        assert_eq!(all.last().map(|s| s.name.clone()), report.snapshot, "{context}");
        copies.extend(report.snapshot.map(|name| (name, source.clone())));
    }
    // A run that died sealed may have left its snapshot for this one to publish: that is not of this source.
    if let Some(newest) = all.last().filter(|s| !known.contains_key(&s.name)) {
        let wrong = differences(&source, &stored(rig, &newest.name), By::Everything);
        assert!(struck || wrong.is_empty(), "{context}:\n{}", wrong.join("\n"));
    }
    for snapshot in &all {
        known.entry(snapshot.name.clone()).or_insert_with(|| read_tree(&rig.snapshot(&snapshot.name)));
    }
}

/// Restores a snapshot into a folder, and again after a call fails; then the folder is the copy that was taken.
fn restore_to(rig: &Rig, dir: &Path, (name, copy): (&String, &Tree), dies_at: Option<u16>, context: &str) {
    let mut options = RestoreOptions::new(JOB, name, Place::To(dir.to_path_buf()));
    options.overwrite = Overwrite::Always;
    options.delete = true;
    options.keep_replaced = false;
    options.workers = rig.options.workers;
    if let Some(n) = dies_at {
        let watch = FaultyWatch::failing(Calls::Changing, u64::from(n), Fault::Stop);
        let result = rig.restore(&RestoreOptions { seam: watch.seam(), ..options.clone() });
        let exact = result.as_ref().is_ok_and(|report| report.problem_count == 0 && report.limitations.is_empty());
        assert!(!exact || watch.struck().is_none(), "{context}: a restore that died says that all is well");
    }
    let report = rig.restore(&options).unwrap_or_else(|e| panic!("{context}: {e:?}"));
    assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
    let mut restored = read_tree(&dir.join(FOLDER));
    // Folders that stood where files belong are set aside, and stay.
    let set_aside = |path: &[u8]| path.windows(15).any(|w| w == b".before-restore");
    restored.retain(|path, _| !set_aside(path));
    let wrong = differences(copy, &restored, By::Everything);
    assert!(wrong.is_empty(), "{context}: restored, but\n{}", wrong.join("\n"));
}

fn live(steps: &[Step], workers: usize, hot_window_s: i64) {
    let dir = scratch();
    let mut rig = Rig::below(dir.path());
    rig.options.hot_window_s = hot_window_s;
    rig.options.workers = workers;
    rig.options.allow_empty = true;
    fs::create_dir(&rig.source).unwrap();
    let (mut known, mut copies) = (Known::new(), Known::new());
    let mut blind = Blind::default();
    for (n, step) in steps.iter().enumerate() {
        if matches!(step, Step::Backup) {
            blind = Blind::default();
        }
        let context = format!("step {n}, {step:?}");
        match step {
            Step::Backup => back_up(&rig, &mut known, &mut copies, None, &context),
            Step::Dies(at) => back_up(&rig, &mut known, &mut copies, Some((*at, Fault::Stop)), &context),
            Step::Full(at) => {
                let full = Fault::FromNowOn(rustix::io::Errno::NOSPC.raw_os_error());
                back_up(&rig, &mut known, &mut copies, Some((*at, full)), &context);
            }
            Step::Restore(which) | Step::RestoreOver(which, _) => {
                let Some(copy) = copies.iter().nth(usize::from(*which) % copies.len().max(1)) else { continue };
                match step {
                    Step::RestoreOver(_, dies_at) => {
                        restore_to(&rig, &dir.path().join("over"), copy, *dies_at, &context);
                    }
                    _ => restore_to(&rig, &dir.path().join(format!("new-{n}")), copy, None, &context),
                }
                check_target(&rig, &known, &context);
            }
            step if blind.allows(&rig.source, step) => change(&rig.source, step),
            _ => {}
        }
    }
    back_up(&rig, &mut known, &mut copies, None, "at the end");
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: if is_slow() { 4000 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_snapshot_is_the_copy_that_was_taken_then(
        steps in proptest::collection::vec(step(), 5..60),
        workers in 1usize..4,
    ) {
        live(&steps, workers, HOT_WINDOW_S);
    }

    #[test]
    fn every_snapshot_is_the_copy_that_was_taken_then_without_a_hot_window(
        steps in proptest::collection::vec(step(), 5..60),
    ) {
        live(&steps, 1, 0);
    }
}
