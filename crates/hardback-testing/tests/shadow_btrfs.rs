//! Shadow copies of real Btrfs volumes: nested subvolumes, a writer at work, runs that are killed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and says what it saw")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]
#![cfg(target_os = "linux")]

use hardback_engine::{BackupReport, Error, JobShadow};
use hardback_shadow::{Hooks, Mode};
use hardback_testing::pair::{PairWriter, number_in};
use hardback_testing::rig::{FOLDER, Rig, Seams};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::{run, volume};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

struct Bench {
    temp: tempfile::TempDir,
    rig: Rig,
    volume: Volume,
}

/// Subvolumes below the source, three deep, one of them in a folder.
const NESTED: [&str; 3] = ["one", "one/folder/two", "one/folder/two/three"];

impl Bench {
    /// A volume whose subvolume `home` is the source.
    fn new(volume: Volume) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let home = volume.root().join("home");
        subvolume(&home);
        for nested in NESTED {
            std::fs::create_dir_all(home.join(nested).parent().unwrap()).unwrap();
            subvolume(&home.join(nested));
            std::fs::write(home.join(nested).join("file"), nested).unwrap();
        }
        let mut bench = Self { rig: Rig::below(temp.path()), temp, volume };
        bench.rig.source = home;
        bench.rig.options.hot_window_s = 0;
        let shadows = hardback_shadow::system(bench.records());
        bench.rig.shadow = Some(JobShadow { shadows, mode: Mode::Always, hooks: Hooks::default(), declared: None });
        bench
    }

    fn records(&self) -> PathBuf {
        self.temp.path().join("records")
    }

    fn backup(&self) -> Result<BackupReport, Error> {
        self.rig.backup(Seams::default())
    }

    fn stored(&self, report: &BackupReport) -> PathBuf {
        self.rig.snapshot(report.snapshot.as_ref().unwrap()).join(FOLDER)
    }

    fn subvolumes(&self) -> Vec<String> {
        subvolumes(self.volume.root())
    }
}

fn subvolume(path: &Path) {
    run!("btrfs", "subvolume", "create", path);
}

/// Returns the paths of all subvolumes.
fn subvolumes(root: &Path) -> Vec<String> {
    let list = run!("btrfs", "subvolume", "list", root);
    list.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Returns the options of a volume.
fn options(volume: &Volume) -> String {
    run!("findmnt", "-no", "FS-OPTIONS", volume.root()).trim().to_owned()
}

/// Returns what is mounted of a volume, with the options.
fn mounts(volume: &Volume) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_volume = table.lines().filter(|line| line.contains(volume.root().to_str().unwrap()));
    of_volume.map(str::to_owned).collect()
}

#[test]
fn nested_subvolumes_are_in_the_snapshot_and_the_next_run_links_everything() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let (before, mounted) = (bench.subvolumes(), mounts(&bench.volume));
    let report = bench.backup().unwrap();
    for nested in NESTED {
        let stored = bench.stored(&report).join(nested).join("file");
        assert_eq!(std::fs::read_to_string(stored).unwrap(), nested);
    }
    let outcome = report.shadow.as_ref().unwrap();
    assert_eq!((outcome.report.made.len(), outcome.is_as_wanted(), report.totals.problems), (4, true, 0));
    // Another snapshot has another device number, and its files have the same numbers.
    let next = bench.backup().unwrap();
    assert_eq!((next.totals.new_files, next.bytes_read, next.linked), (0, 0, 3));
    // A live run and one of a shadow copy link to each other.
    let mut live = bench.rig.clone();
    live.shadow = None;
    let next = live.backup(Seams::default()).unwrap();
    assert_eq!((next.totals.new_files, next.bytes_read, next.linked), (0, 0, 3));
    assert_eq!((bench.subvolumes(), mounts(&bench.volume)), (before, mounted));
}

#[test]
fn sources_are_subvolumes_mounted_elsewhere_paths_in_them_and_the_very_top() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let root = bench.volume.root().to_owned();
    let elsewhere = bench.temp.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let device = run!("findmnt", "-no", "SOURCE", &root);
    run!("mount", "-o", "subvol=home/one", device.trim(), &elsewhere);
    let bound = bench.temp.path().join("bound");
    std::fs::create_dir(&bound).unwrap();
    run!("mount", "--bind", elsewhere.join("folder"), &bound);
    std::os::unix::fs::symlink(&bound, bench.temp.path().join("link")).unwrap();
    let cases = [
        (root.clone(), "home/one/folder/two/three/file", 5),
        (elsewhere.clone(), "folder/two/three/file", 3),
        (root.join("home/one/folder"), "two/three/file", 3),
        (elsewhere.join("folder"), "two/file", 3),
        (bound.clone(), "two/three/file", 3),
        (bench.temp.path().join("link"), "two/three/file", 3),
    ];
    for (number, (source, file, copies)) in cases.into_iter().enumerate() {
        let target = bench.temp.path().join(format!("target{number}"));
        let rig = Rig { source: source.clone(), target, ..bench.rig.clone() };
        let report = rig.backup(Seams::default()).unwrap();
        let tree = rig.snapshot(report.snapshot.as_ref().unwrap()).join(FOLDER);
        let shown = source.display();
        assert!(tree.join(file).is_file(), "{shown}");
        assert_eq!(report.shadow.unwrap().report.made.len(), copies, "{shown}");
        assert_eq!(report.totals.problems, 0, "{shown}");
        assert!(!tree.read_dir().unwrap().any(|e| e.unwrap().file_name().to_string_lossy().contains("hardback")));
    }
    run!("umount", &bound);
    run!("umount", &elsewhere);
}

#[test]
fn other_volumes_below_a_source_are_never_silently_empty() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let other = volume!(VolumeKind::Ext4, 16);
    std::fs::write(other.root().join("on-ext4"), "x").unwrap();
    let below = bench.rig.source.join("mnt");
    std::fs::create_dir(&below).unwrap();
    run!("mount", "--bind", other.root(), &below);
    let memory = bench.rig.source.join("one/memory");
    std::fs::create_dir(&memory).unwrap();
    run!("mount", "-t", "tmpfs", "none", &memory);
    std::fs::write(memory.join("in-memory"), "x").unwrap();
    let error = bench.backup().unwrap_err();
    assert!(error.to_string().contains(below.to_str().unwrap()), "{error}");
    let mut rig = bench.rig.clone();
    rig.shadow.as_mut().unwrap().mode = Mode::WhenAvailable;
    let report = rig.backup(Seams::default()).unwrap();
    let tree = bench.stored(&report);
    assert!(tree.join("mnt/on-ext4").is_file() && tree.join("one/memory/in-memory").is_file());
    let outcome = report.shadow.as_ref().unwrap();
    assert_eq!(
        outcome.report.live.iter().map(|live| live.path.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&below)
    );
    assert!(!outcome.is_as_wanted());
    // Who stays on one volume asks for nothing else, and the folders are as in a live run.
    let mut alone = bench.rig.clone();
    alone.options.one_file_system = true;
    alone.target = bench.temp.path().join("alone");
    let report = alone.backup(Seams::default()).unwrap();
    assert_eq!(report.shadow.as_ref().unwrap().report.made.len(), 1);
    let tree = alone.snapshot(report.snapshot.as_ref().unwrap()).join(FOLDER);
    assert_eq!(tree.join("mnt").read_dir().unwrap().count() + tree.join("one").read_dir().unwrap().count(), 0);
    alone.shadow = None;
    alone.options.skip_unchanged = true;
    assert!(alone.backup(Seams::default()).unwrap().is_unchanged);
    run!("umount", &memory);
    run!("umount", &below);
}

#[test]
fn a_file_that_was_touched_right_before_the_freezing_is_hot_however_late_it_is_read() {
    let mut bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    bench.rig.options.hot_window_s = 2;
    std::thread::sleep(Duration::from_secs(3));
    std::fs::write(bench.rig.source.join("touched"), "touched").unwrap();
    bench.rig.shadow.as_mut().unwrap().hooks.after_shadow = vec!["sleep 3".into()];
    assert_eq!(bench.backup().unwrap().totals.problems, 0);
    bench.rig.shadow.as_mut().unwrap().hooks.after_shadow.clear();
    let next = bench.backup().unwrap();
    // The others are older than the window.
    assert_eq!((next.bytes_read, next.linked), ("touched".len() as u64, 4));
}

#[test]
fn a_pair_of_files_is_of_one_moment_in_every_snapshot() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 600));
    for n in 0..300 {
        std::fs::write(bench.rig.source.join(format!("f{n}")), n.to_string()).unwrap();
    }
    let runs = if hardback_testing::is_slow_run() { 100 } else { 20 };
    let (before, mut spread) = (bench.subvolumes(), 0);
    let mut numbers = std::collections::HashSet::new();
    // One pair in the source's own subvolume, one three subvolumes deep.
    let deepest = NESTED[2];
    let writers = [PairWriter::start(&bench.rig.source), PairWriter::start(&bench.rig.source.join(deepest))];
    for run in 0..runs {
        let report = bench.backup().unwrap();
        assert_eq!(report.totals.problems, 0, "run {run}: {:?}", report.problems);
        numbers.insert(number_in(&bench.stored(&report)) + number_in(&bench.stored(&report).join(deepest)));
        spread = spread.max(report.shadow.unwrap().report.spread_ns);
    }
    let rounds: u64 = writers.iter().map(PairWriter::rounds).sum();
    drop(writers);
    assert_eq!(bench.subvolumes(), before);
    assert!(numbers.len() as u64 > runs / 2, "the writers did nothing");
    println!(
        "{runs} runs beside {rounds} rounds of the writers; {} ms to freeze 4 subvolumes at most",
        spread / 1_000_000
    );
}

fn hb_run(bench: &Bench, wrapper: &[String]) -> Command {
    let run = env!("CARGO_BIN_EXE_hb-run").to_owned();
    let words: Vec<String> = wrapper.iter().cloned().chain([run]).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([&bench.rig.source, &bench.rig.target]).arg("system").arg(bench.records());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_run_that_is_killed_at_any_call_leaves_what_the_next_one_removes() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let (before, mounted) = (bench.subvolumes(), mounts(&bench.volume));
    let mut kills = 0;
    let mut left = 0;
    for call in ["ioctl", "mount", "umount2", "renameat2", "unlinkat", "flock", "fsync"] {
        for n in 1..200 {
            let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"];
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let wrapper: Vec<String> = strace.into_iter().map(str::to_owned).chain([inject]).collect();
            let status = hb_run(&bench, &wrapper).status().unwrap();
            match status.code() {
                Some(0) => break,
                Some(code) => panic!("{call} {n}: the run ended with {code}"),
                None => kills += 1,
            }
            left += bench.subvolumes().len() - before.len();
            let swept = hardback_shadow::system(bench.records()).sweep().unwrap();
            assert!(swept.failed.is_empty() && swept.unread.is_empty(), "{call} {n}: {swept:?}");
            assert_eq!((bench.subvolumes(), mounts(&bench.volume)), (before.clone(), mounted.clone()), "{call} {n}");
        }
    }
    assert!(kills > 30 && left > 20, "{kills} kills left {left} snapshots");
    assert_eq!(hb_run(&bench, &["env".into()]).status().unwrap().code(), Some(0));
    assert_eq!(hardback_shadow::system(bench.records()).records().list().unwrap().0, []);
    println!("{kills} kills left {left} snapshots, all removed");
}

#[test]
fn nothing_is_removed_that_is_not_ours() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let root = bench.volume.root();
    // One that looks like ours and is not on record, and one on record that somebody has made writable.
    let strange = root.join(".hardback-shadow-0123456789abcdef-0");
    run!("btrfs", "subvolume", "snapshot", "-r", &bench.rig.source, &strange);
    let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=syncfs", "-e"];
    let wrapper: Vec<String> =
        wrapper.into_iter().map(str::to_owned).chain(["inject=syncfs:signal=KILL:when=1".into()]).collect();
    hb_run(&bench, &wrapper).status().unwrap();
    let left: Vec<String> = bench.subvolumes().into_iter().filter(|path| path.starts_with(".hardback")).collect();
    assert_eq!(left.len(), 5, "{left:?}");
    let touched = left.iter().find(|path| !strange.ends_with(path.as_str())).unwrap();
    run!("btrfs", "property", "set", root.join(touched), "ro", "false");
    let swept = hardback_shadow::system(bench.records()).sweep().unwrap();
    assert_eq!((swept.removed.len(), swept.failed.len()), (3, 1));
    assert!(swept.failed[0].1.to_string().contains("can be written to"), "{:?}", swept.failed);
    assert!(strange.is_dir() && root.join(touched).is_dir());
    // It is still on record, and goes when it is what we made.
    run!("btrfs", "property", "set", root.join(touched), "ro", "true");
    assert_eq!(hardback_shadow::system(bench.records()).sweep().unwrap().removed.len(), 1);
    assert!(strange.is_dir() && !root.join(touched).exists());
}

#[test]
fn what_comes_into_being_while_hooks_run_is_frozen_too() {
    let mut bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let late = bench.rig.source.join("one/late");
    let script = format!("btrfs -q subvolume create '{0}' && echo dump > '{0}/dump'", late.display());
    bench.rig.shadow.as_mut().unwrap().hooks.before_shadow = vec![script.into()];
    let before = bench.subvolumes();
    let report = bench.backup().unwrap();
    assert_eq!(std::fs::read_to_string(bench.stored(&report).join("one/late/dump")).unwrap(), "dump\n");
    assert_eq!(report.shadow.unwrap().report.made.len(), 5);
    assert_eq!(bench.subvolumes().len(), before.len() + 1);
}

#[test]
fn a_single_file_that_is_mounted_is_told_and_read() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let (real, bound) = (bench.temp.path().join("real"), bench.rig.source.join("bound"));
    std::fs::write(&real, "real").unwrap();
    std::fs::write(&bound, "hidden").unwrap();
    run!("mount", "--bind", &real, &bound);
    let error = bench.backup().unwrap_err();
    assert!(error.to_string().contains(bound.to_str().unwrap()), "{error}");
    let mut rig = bench.rig.clone();
    rig.shadow.as_mut().unwrap().mode = Mode::WhenAvailable;
    let report = rig.backup(Seams::default()).unwrap();
    assert_eq!(std::fs::read_to_string(bench.stored(&report).join("bound")).unwrap(), "real");
    assert_eq!(report.shadow.unwrap().report.live[0].path, bound);
    run!("umount", &bound);
}

#[test]
fn a_source_in_memory_is_not_frozen_and_that_is_told() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let memory = bench.rig.source.join("one");
    run!("mount", "-t", "tmpfs", "none", &memory);
    std::fs::write(memory.join("file"), "x").unwrap();
    let mut rig = Rig { source: memory.clone(), target: bench.temp.path().join("memory"), ..bench.rig.clone() };
    assert!(matches!(rig.backup(Seams::default()), Err(Error::Shadow(_))));
    rig.shadow.as_mut().unwrap().mode = Mode::WhenAvailable;
    assert_eq!(rig.backup(Seams::default()).unwrap().shadow.unwrap().report.live.len(), 1);
    run!("umount", &memory);
}

#[test]
fn options_of_the_file_system_stay_as_they_were() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    for option in ["sync,lazytime,noatime", "flushoncommit", "noflushoncommit,commit=7"] {
        run!("mount", "-o", format!("remount,{option}"), bench.volume.root());
        let before = options(&bench.volume);
        assert_eq!(bench.backup().unwrap().totals.problems, 0);
        assert_eq!(options(&bench.volume), before, "{option}");
    }
    assert!(options(&bench.volume).contains("commit=7"));
}

#[test]
fn runs_at_the_same_time_have_exact_snapshots_and_leave_nothing_switched() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 600));
    let before = (bench.subvolumes(), options(&bench.volume));
    let writer = PairWriter::start(&bench.rig.source);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let bench = &bench;
            scope.spawn(move || {
                let mut rig = bench.rig.clone();
                rig.target = bench.temp.path().join(format!("target{number}"));
                let shadow = rig.shadow.as_mut().unwrap();
                for _ in 0..8 {
                    // As another process would: a namespace of its own.
                    shadow.shadows = hardback_shadow::system(bench.records());
                    let one = Rig {
                        shadow: Some(shadow.clone()),
                        source: rig.source.clone(),
                        target: rig.target.clone(),
                        ..bench.rig.clone()
                    };
                    let report = one.backup(Seams::default()).unwrap();
                    number_in(&one.snapshot(report.snapshot.as_ref().unwrap()).join(FOLDER));
                }
            });
        }
    });
    drop(writer);
    assert_eq!((bench.subvolumes(), options(&bench.volume)), before);
}

#[test]
fn a_folder_that_a_list_takes_back_in_is_frozen() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    std::fs::write(bench.rig.source.join(".hardbackignore"), "!one\n").unwrap();
    let rules = hardback_engine::exclude::ExcludeBuilder::new().file(b"one\n", "test").build().unwrap();
    let excludes = hardback_engine::Excludes { rules, ..Default::default() };
    let report = bench.rig.backup_excluding(&excludes).unwrap();
    assert!(bench.stored(&report).join("one/file").is_file());
    assert_eq!(report.shadow.unwrap().report.made.len(), 4);
    std::fs::remove_file(bench.rig.source.join(".hardbackignore")).unwrap();
    let report = bench.rig.backup_excluding(&excludes).unwrap();
    assert!(!bench.stored(&report).join("one").exists());
    assert_eq!(report.shadow.unwrap().report.made.len(), 1);
}

#[test]
fn a_view_has_the_protections_of_its_mount_and_no_way_to_the_rest() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    run!("mount", "-o", "remount,bind,nosuid,nodev,noexec", bench.volume.root());
    let shadows = hardback_shadow::system(bench.records());
    let request = hardback_shadow::Request {
        sources: vec![bench.rig.source.clone()],
        one_file_system: false,
        shows_unwanted: true,
        wants: &|_, _| true,
    };
    let now = || hardback_platform::Time { seconds: 0, nanos: 0 };
    let set = shadows.prepare(&request, Mode::Always).unwrap().freeze(Mode::Always, "test", &now).unwrap();
    let out = bench.temp.path().join("out");
    let view = set.view(0).unwrap().to_owned();
    let mut command = Command::new("sh");
    let script = "findmnt -rno OPTIONS -T \"$0/one\"; ls -A /run/hardback/shadow/btrfs/*";
    command.args(["-c", script]).arg(&view).stdout(std::fs::File::create(&out).unwrap());
    assert!(set.spawn(command).unwrap().wait().unwrap().success());
    let said = std::fs::read_to_string(&out).unwrap();
    assert!(said.starts_with("ro,nosuid,nodev,noexec") || said.contains("nosuid,nodev,noexec"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(set.release().is_empty());
}

#[test]
fn what_a_hook_mounts_is_in_the_snapshot_or_told() {
    let mut bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let (memory, disk) = (bench.rig.source.join("memory"), bench.rig.source.join("disk"));
    let other = volume!(VolumeKind::Ext4, 16);
    std::fs::write(other.root().join("on-ext4"), "x").unwrap();
    for place in [&memory, &disk] {
        std::fs::create_dir(place).unwrap();
        std::fs::write(place.join("hidden"), "hidden").unwrap();
    }
    let mounts = format!(
        "mount -t tmpfs none '{0}' && echo x > '{0}/in-memory' && mount --bind '{1}' '{2}'",
        memory.display(),
        other.root().display(),
        disk.display()
    );
    let shadow = bench.rig.shadow.as_mut().unwrap();
    shadow.hooks.before_shadow = vec![mounts.into()];
    shadow.hooks.after_run = vec![format!("umount '{}' '{}'", memory.display(), disk.display()).into()];
    let error = bench.backup().unwrap_err();
    assert!(error.to_string().contains(disk.to_str().unwrap()), "{error}");
    bench.rig.shadow.as_mut().unwrap().mode = Mode::WhenAvailable;
    let report = bench.backup().unwrap();
    let tree = bench.stored(&report);
    assert!(tree.join("memory/in-memory").is_file() && !tree.join("memory/hidden").exists());
    assert!(tree.join("disk/on-ext4").is_file() && !tree.join("disk/hidden").exists());
    let shadow = report.shadow.unwrap().report;
    assert_eq!((shadow.live.len(), shadow.in_memory), (1, vec![memory]));
}

#[test]
fn what_another_run_left_is_in_no_backup() {
    let bench = Bench::new(volume!(VolumeKind::Btrfs, 300));
    let name = ".hardback-shadow-0123456789abcdef-0";
    run!("btrfs", "subvolume", "snapshot", "-r", &bench.rig.source, bench.volume.root().join(name));
    for shadow in [None, bench.rig.shadow.clone()] {
        let rig = Rig { source: bench.volume.root().to_owned(), shadow, ..bench.rig.clone() };
        let report = rig.backup(Seams::default()).unwrap();
        let tree = rig.snapshot(report.snapshot.as_ref().unwrap()).join(FOLDER);
        assert!(tree.join("home/one/file").is_file() && !tree.join(name).exists());
    }
}
