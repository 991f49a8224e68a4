//! The power goes: a file system is shut down right after a run said that it is done, and at random times during runs.
//! What is listed then verifies by content, older snapshots are as they were, and the next run needs no help.
//!
//! `xfs_io -x -c shutdown` loses all that is not on the disk; with `-f` the journal is written first, so that metadata
//! survives and data does not, which is worse. Both work on XFS and ext4. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

mod common;

use common::{Dice, is_slow, runs_again, scratch, stored, write};
use hardback_testing::oracle::{By, Known, Tree, check_target, differences, read_tree};
use hardback_testing::rig::{Rig, Seams};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Cycles after which a new file system is made.
const CYCLES_PER_VOLUME: u64 = 10;

/// A file system in a file.
struct Volume {
    image: PathBuf,
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Volume {
    fn make(dir: &Path, kind: &str) -> Option<Self> {
        let volume = Self { image: dir.join("image"), at: dir.join("volume") };
        fs::create_dir_all(&volume.at).unwrap();
        let image = fs::File::create(&volume.image).unwrap();
        image.set_len(1 << 30).unwrap();
        let made = match kind {
            "xfs" => run("mkfs.xfs", &["-q", "-f", text(&volume.image)]),
            _ => run("mkfs.ext4", &["-q", "-F", text(&volume.image)]),
        };
        (made && volume.mount()).then_some(volume)
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop", text(&self.image), text(&self.at)])
    }

    /// Cuts the power; what was not on the disk is gone.
    fn shut_down(&self, flush_journal: bool) {
        let command = if flush_journal { "shutdown -f" } else { "shutdown" };
        assert!(run("xfs_io", &["-x", "-c", command, text(&self.at)]), "cannot shut down");
    }

    fn mount_again(&mut self, kind: &str) {
        let came_back = run("umount", &[text(&self.at)]) && self.mount() && self.is_alive();
        if came_back {
            return;
        }
        // A copy of the mount in another namespace keeps the dead volume alive, and mounting brought that one back:
        // go on with a copy of the disk.
        run("umount", &["-l", text(&self.at)]);
        let copy = self.image.with_file_name(format!("{}-", text(self.image.file_name().unwrap().as_ref())));
        assert!(run("cp", &["--sparse=always", text(&self.image), text(&copy)]));
        fs::remove_file(&self.image).unwrap();
        self.image = copy;
        let options = if kind == "xfs" { "loop,nouuid" } else { "loop" };
        let mounted = run("mount", &["-o", options, text(&self.image), text(&self.at)]);
        assert!(mounted && self.is_alive(), "the volume does not come back");
    }

    fn is_alive(&self) -> bool {
        fs::read(self.at.join("target/.hardback/target.toml")).is_ok()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.at)]);
    }
}

/// Changes a source in some places.
fn change(source: &Path, dice: &mut Dice, large: bool) {
    for _ in 0..20 {
        let path = format!("dir-{}/file-{}", dice.below(6), dice.below(20));
        let content = vec![b'a' + u8::try_from(dice.below(26)).unwrap(); usize::try_from(dice.below(40_000)).unwrap()];
        match dice.below(8) {
            0 => {
                fs::remove_file(source.join(path)).ok();
            }
            1 if fs::symlink_metadata(source.join(&path)).is_ok() => {
                common::set_mode(source.join(path), 0o600 + u32::try_from(dice.below(64)).unwrap());
            }
            2 => {
                let other = source.join(format!("dir-0/linked-{}", dice.below(1000)));
                fs::hard_link(source.join(path), other).ok();
            }
            _ => {
                fs::remove_file(source.join(&path)).ok();
                write(source, &path, &content);
            }
        }
    }
    if large {
        // More than the engine stores between two records of how far it has come.
        for n in 0..12 {
            let content = vec![u8::try_from(dice.below(256)).unwrap(); 8 << 20];
            write(source, &format!("large/{n}"), &content);
        }
    }
}

/// When the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Done,
    During,
}

/// A source, a volume for the target, and what was sealed on it.
struct Bench {
    rig: Rig,
    volume: Volume,
    known: Known,
    /// How long a run takes here.
    typical: Duration,
    kind: &'static str,
}

impl Bench {
    fn new(dir: &Path, kind: &'static str, dice: &mut Dice) -> Option<Self> {
        fs::remove_dir_all(dir.join("docs")).ok();
        let volume = Volume::make(dir, kind)?;
        let mut rig = Rig::below(dir);
        rig.target = volume.at.join("target");
        fs::create_dir(&rig.source).unwrap();
        (0..5).for_each(|_| change(&rig.source, dice, false));
        let began = Instant::now();
        assert_eq!(rig.backup(Seams::default()).unwrap().totals.problems, 0);
        let known = common::known(&rig);
        Some(Self { rig, volume, known, typical: began.elapsed(), kind })
    }

    /// Runs, cuts the power, looks and runs again; returns whether a snapshot was listed, and the files taken over.
    fn cycle(&mut self, dice: &mut Dice, when: When, flush: bool, large: bool) -> (bool, u64) {
        change(&self.rig.source, dice, large);
        let source = read_tree(&self.rig.source);
        let mut process = Command::new(env!("CARGO_BIN_EXE_hb-run"))
            .args([&self.rig.source, &self.rig.target])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        if when == When::Done {
            assert!(process.wait().unwrap().success());
            self.typical = began.elapsed();
            self.volume.shut_down(flush);
        } else {
            let most = u64::try_from(self.typical.as_micros()).unwrap() * if large { 10 } else { 1 };
            std::thread::sleep(Duration::from_micros(dice.below(most + most / 5)));
            let kill_first = dice.below(2) == 0;
            if kill_first {
                process.kill().unwrap();
            }
            self.volume.shut_down(flush);
            process.kill().unwrap();
            process.wait().unwrap();
        }
        self.volume.mount_again(self.kind);
        let listed = self.look(&source, when, &format!("{when:?}, flush {flush}"));
        let adopted = runs_again(&self.rig, &mut self.known, &source, By::Everything, "after the power cut");
        (listed, adopted)
    }

    fn look(&self, source: &Tree, when: When, context: &str) -> bool {
        let all = check_target(&self.rig, &self.known, context);
        let new = all.iter().find(|s| !self.known.contains_key(&s.name));
        if let Some(new) = new {
            let wrong = differences(source, &stored(&self.rig, &new.name), By::Everything);
            assert!(wrong.is_empty(), "{context}: listed, but\n{}", wrong.join("\n"));
        }
        assert!(when == When::During || new.is_some(), "{context}: the run was done and its snapshot is not there");
        new.is_some()
    }
}

/// Cuts the power some times on one kind of file system.
fn power_cuts(kind: &'static str, when: When, flush: bool) {
    let cycles = if is_slow() { 50 } else { 3 };
    let mut dice = Dice::new(u64::from(flush) * 2 + u64::from(kind == "xfs") + 1);
    let (mut listed, mut adopted) = (0, 0);
    let began = Instant::now();
    let dir = scratch();
    let mut bench = None;
    for cycle in 0..cycles {
        if cycle % CYCLES_PER_VOLUME == 0 {
            drop(bench.take());
            bench = Bench::new(dir.path(), kind, &mut dice);
        }
        let Some(bench) = &mut bench else {
            assert!(std::env::var_os("HARDBACK_TEST_NO_SKIP").is_none(), "cannot make and mount a volume");
            println!("skipped: cannot make and mount a volume with {kind}");
            return;
        };
        let large = when == When::During && cycle % 5 == 2;
        let (was_listed, taken_over) = bench.cycle(&mut dice, when, flush, large);
        listed += u64::from(was_listed);
        adopted += taken_over;
    }
    println!(
        "{kind}, {when:?}, journal flushed {flush}: {cycles} cuts, {listed} snapshots listed, {adopted} files taken \
         over, {:.1?}",
        began.elapsed()
    );
}

#[test]
fn xfs_loses_power_when_the_run_is_done() {
    power_cuts("xfs", When::Done, false);
    power_cuts("xfs", When::Done, true);
}

#[test]
fn ext4_loses_power_when_the_run_is_done() {
    power_cuts("ext4", When::Done, false);
    power_cuts("ext4", When::Done, true);
}

#[test]
fn xfs_loses_power_during_runs() {
    power_cuts("xfs", When::During, false);
    power_cuts("xfs", When::During, true);
}

#[test]
fn ext4_loses_power_during_runs() {
    power_cuts("ext4", When::During, false);
    power_cuts("ext4", When::During, true);
}
