//! Backups of shadow copies, made by the scripted provider: what is read, what the hooks see, and that creations and
//! removals balance whatever happens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]
#![cfg(unix)]

use hardback_engine::{BackupReport, Cancel, Error, JobShadow};
use hardback_shadow::{HookFailure, HookTime, Hooks, Mode, ShadowError};
use hardback_testing::fault::{Calls, Fault as CallFault, FaultyWatch, Meddler};
use hardback_testing::rig::{FOLDER, Rig, Seams};
use hardback_testing::scripted_shadow::{Fault, Scripted, Step};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

struct Bench {
    temp: tempfile::TempDir,
    scripted: Arc<Scripted>,
    rig: Rig,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let rig = Rig::below(temp.path());
        std::fs::create_dir_all(rig.source.join("d")).unwrap();
        for name in ["a", "d/b", "d/c"] {
            std::fs::write(rig.source.join(name), format!("first {name}")).unwrap();
        }
        let scripted = Scripted::new(&temp.path().join("copies"));
        let shadow = JobShadow { shadows: scripted.shadows(), mode, hooks: Hooks::default(), declared: None };
        let mut rig = Rig { shadow: Some(shadow), ..rig };
        rig.options.hot_window_s = 0;
        Self { temp, scripted, rig }
    }

    fn hooks(&mut self) -> &mut Hooks {
        &mut self.rig.shadow.as_mut().unwrap().hooks
    }

    fn backup(&self) -> Result<BackupReport, Error> {
        self.rig.backup(Seams::default())
    }

    fn stored(&self, report: &BackupReport, name: &str) -> String {
        let tree = self.rig.snapshot(report.snapshot.as_ref().unwrap());
        std::fs::read_to_string(tree.join(FOLDER).join(name)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn snapshots(&self) -> usize {
        let entries = std::fs::read_dir(self.rig.target.join("test")).into_iter().flatten();
        entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.scripted.living(), Vec::<String>::new());
        let (made, removed) = self.scripted.balance();
        assert_eq!(made, removed);
        assert_eq!(self.rig.shadow.as_ref().unwrap().shadows.records().list().unwrap().0, []);
    }
}

fn shell(text: &str, path: &Path) -> OsString {
    format!("{text} '{}'", path.display()).into()
}

#[test]
fn a_backup_reads_what_was_frozen_and_not_what_came_after() {
    let mut bench = Bench::new(Mode::Always);
    let file = bench.rig.source.join("a");
    bench.hooks().after_shadow = vec![shell("echo later >", &file)];
    let report = bench.backup().unwrap();
    assert_eq!(bench.stored(&report, "a"), "first a");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "later\n");
    let outcome = report.shadow.as_ref().unwrap();
    assert!(outcome.is_as_wanted() && outcome.report.made.len() == 1 && outcome.report.frozen.is_some());
    bench.hooks().after_shadow.clear();
    let next = bench.backup().unwrap();
    assert_eq!((bench.stored(&next, "a"), next.totals.new_files), ("later\n".into(), 1));
    bench.assert_clean();
}

#[test]
fn hooks_run_in_their_order_and_know_what_happened() {
    let mut bench = Bench::new(Mode::Always);
    let log = bench.path("log");
    let say = |_: &str| {
        let what = "echo \"$HARDBACK_HOOK $HARDBACK_SHADOW $HARDBACK_RESULT $HARDBACK_JOB $HARDBACK_TARGET\" >>";
        vec![shell(what, &log)]
    };
    let hooks = bench.hooks();
    (hooks.before_shadow, hooks.after_shadow, hooks.after_run) = (say("1"), say("2"), say("3"));
    assert_eq!(bench.backup().unwrap().totals.problems, 0);
    let target = bench.rig.target.display().to_string();
    let lines = |states: [&str; 3]| {
        let line = |text: &str| format!("{text} test {target}\n");
        states.map(line).concat()
    };
    let expected = lines(["before-shadow none ", "after-shadow taken ", "after-run taken done"]);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), expected);
    std::fs::remove_file(&log).unwrap();
    bench.scripted.follow(|at, _| if at == Step::Create { Fault::Fails } else { Fault::None });
    assert!(matches!(bench.backup(), Err(Error::Shadow(_))));
    // What the first hook holds is let go although nothing was frozen.
    let expected = lines(["before-shadow none ", "after-shadow none ", "after-run none failed"]);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), expected);
    bench.assert_clean();
}

#[test]
fn a_panic_in_the_freezing_lets_go_what_the_hooks_hold() {
    let mut bench = Bench::new(Mode::Always);
    let log = bench.path("log");
    let say = || vec![shell("echo $HARDBACK_HOOK $HARDBACK_RESULT >>", &log)];
    let hooks = bench.hooks();
    (hooks.before_shadow, hooks.after_shadow, hooks.after_run) = (say(), say(), say());
    bench.scripted.follow(|at, _| if at == Step::Create { Fault::Panics } else { Fault::None });
    assert!(catch_unwind(AssertUnwindSafe(|| bench.backup())).is_err());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "before-shadow\nafter-shadow\nafter-run failed\n");
    bench.assert_clean();
}

#[test]
fn a_hook_that_fails_stops_the_run_or_is_reported() {
    let mut bench = Bench::new(Mode::Always);
    let thawed = bench.path("thawed");
    let hooks = bench.hooks();
    (hooks.before_shadow, hooks.after_shadow) = (vec!["exit 3".into(), "exit 4".into()], vec![shell("touch", &thawed)]);
    let error = bench.backup().unwrap_err();
    assert!(error.to_string().contains("before-shadow hook `exit 3` failed"), "{error}");
    assert_eq!((thawed.exists(), bench.snapshots(), bench.scripted.balance()), (true, 0, (0, 0)));
    bench.hooks().on_failure = HookFailure::Report;
    let report = bench.backup().unwrap();
    let outcome = report.shadow.unwrap();
    assert_eq!(outcome.failed_hooks.iter().map(|hook| hook.time).collect::<Vec<_>>(), [HookTime::BeforeShadow; 2]);
    assert!(!outcome.is_as_wanted());
    // A database that is still held is no small thing: the copies go, and there is no snapshot.
    let hooks = bench.hooks();
    (hooks.before_shadow, hooks.after_shadow) = (Vec::new(), vec!["exit 5".into()]);
    hooks.on_failure = HookFailure::Stop;
    assert!(bench.backup().is_err());
    assert_eq!(bench.snapshots(), 1);
    bench.assert_clean();
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
    let mut bench = Bench::new(Mode::Never);
    let survived = bench.path("survived");
    let hooks = bench.hooks();
    hooks.limit = Duration::from_millis(300);
    hooks.before_shadow = vec![format!("(sleep 2; touch '{}') & wait", survived.display()).into()];
    let error = bench.backup().unwrap_err();
    assert!(error.to_string().contains("did not end within 0.3 s"), "{error}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!survived.exists());
}

#[test]
fn hooks_without_shadow_copies_run_around_the_reading() {
    let mut bench = Bench::new(Mode::Never);
    let file = bench.rig.source.join("a");
    bench.hooks().before_shadow = vec![shell("echo dumped >", &file)];
    let report = bench.backup().unwrap();
    assert_eq!(bench.stored(&report, "a"), "dumped\n");
    assert_eq!((report.shadow.unwrap().report.live, bench.scripted.steps()), (Vec::new(), 0));
}

#[test]
fn what_cannot_be_had_is_refused_or_told() {
    let bench = Bench::new(Mode::Always);
    bench.scripted.follow(|at, _| if at == Step::Look { Fault::Fails } else { Fault::None });
    let error = bench.backup().unwrap_err();
    assert!(matches!(&error, Error::Shadow(ShadowError::Refused { .. })), "{error:?}");
    assert!(error.to_string().contains(bench.rig.source.to_str().unwrap()), "{error}");
    assert_eq!(bench.snapshots(), 0);
    let mut bench = bench;
    bench.rig.shadow.as_mut().unwrap().mode = Mode::WhenAvailable;
    let report = bench.backup().unwrap();
    let outcome = report.shadow.as_ref().unwrap();
    assert_eq!((outcome.report.live.len(), outcome.is_as_wanted()), (1, false));
    assert_eq!(outcome.report.live[0].path, bench.rig.source);
    assert_eq!(bench.stored(&report, "d/b"), "first d/b");
}

#[test]
fn a_copy_that_is_lost_while_it_is_read_seals_nothing() {
    let bench = Bench::new(Mode::WhenAvailable);
    bench.scripted.follow(|at, _| if at == Step::Check { Fault::Fails } else { Fault::None });
    let error = bench.backup().unwrap_err();
    assert!(matches!(&error, Error::Shadow(ShadowError::Lost { .. })), "{error:?}");
    assert_eq!(bench.snapshots(), 0);
    bench.assert_clean();
    // What was stored of it is not taken for the source's: a whole run is as any other.
    bench.scripted.follow(|_, _| Fault::None);
    std::fs::write(bench.rig.source.join("a"), "second").unwrap();
    let report = bench.backup().unwrap();
    assert_eq!(bench.stored(&report, "a"), "second");
}

/// A step of a small generator: the same numbers every time.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn creations_and_removals_balance_over_a_thousand_aborts() {
    let mut bench = Bench::new(Mode::Always);
    let calls = |calls| {
        let (source, target) = (FaultyWatch::counting(calls), FaultyWatch::counting(calls));
        let rig = Rig { target: bench.path("counted"), ..bench.rig.clone() };
        let report = rig.backup(Seams { source: source.seam(), target: target.seam() }).unwrap();
        assert!(report.shadow.unwrap().is_as_wanted());
        (source.seen(), target.seen())
    };
    let (source_calls, target_calls) = calls(Calls::All);
    let (mut aborted, mut random) = (0, 0x2545_f491_4f6c_dd1d_u64);
    for round in 0..1000 {
        let way = next(&mut random) % 7;
        let (modes, number) = ([Mode::Always, Mode::WhenAvailable], next(&mut random));
        bench.rig.shadow.as_mut().unwrap().mode = modes[(number % 2) as usize];
        *bench.hooks() = Hooks::default();
        bench.scripted.follow(|_, _| Fault::None);
        let cancel = Arc::new(Cancel::default());
        let mut seams = Seams::default();
        let at = |of: u64| 1 + number % of;
        match way {
            0 | 1 => {
                let fault = if way == 0 { Fault::Fails } else { Fault::Panics };
                let at = number % 6;
                bench.scripted.follow(move |_, step| if step == at { fault } else { Fault::None });
            }
            2 => seams.source = FaultyWatch::failing(Calls::All, at(source_calls), CallFault::FromNowOn(5)).seam(),
            3 => seams.target = FaultyWatch::failing(Calls::All, at(target_calls), CallFault::Stop).seam(),
            4 => {
                let stop = Arc::clone(&cancel);
                seams.target = Meddler::acting(at(target_calls), move || stop.cancel()).seam();
            }
            5 => {
                let stop = Arc::clone(&cancel);
                seams.source = Meddler::acting(at(source_calls), move || stop.cancel()).seam();
            }
            _ => bench.hooks().before_shadow = vec!["exit 1".into()],
        }
        let run = catch_unwind(AssertUnwindSafe(|| bench.rig.backup_until(seams, &cancel)));
        aborted += u64::from(!matches!(&run, Ok(Ok(report)) if report.totals.problems == 0));
        bench.scripted.follow(|_, _| Fault::None);
        // A removal that fails is the next run's; every other way out has removed all.
        if way > 1 {
            assert_eq!(bench.scripted.living(), Vec::<String>::new(), "round {round}, way {way}, {number}: {run:?}");
        }
    }
    assert!(aborted > 500, "only {aborted} runs were aborted");
    *bench.hooks() = Hooks::default();
    assert_eq!(bench.backup().unwrap().totals.problems, 0);
    bench.assert_clean();
    assert!(bench.scripted.balance().0 > 700);
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    let bench = Bench::new(Mode::Always);
    let copies = bench.path("copies");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hb-run"));
        command.args([&bench.rig.source, &bench.rig.target]).arg("shadow").arg(&copies);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut left = 0;
    for (round, signal) in ["KILL", "TERM", "INT", "HUP"].iter().cycle().take(60).enumerate() {
        let mut child = run().spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * round as u64));
        Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        child.wait().unwrap();
        let living = bench.scripted.living();
        left += living.len();
        let (listed, _) = bench.rig.shadow.as_ref().unwrap().shadows.records().list().unwrap();
        let on_record: Vec<&String> = listed.iter().flat_map(|l| &l.record.copies).map(|copy| &copy.name).collect();
        assert!(living.iter().all(|name| on_record.contains(&name)), "{living:?} is not on record: {on_record:?}");
        assert!(listed.iter().all(|listed| !listed.is_in_use));
    }
    assert!(left > 0, "no run was killed while it held a copy");
    let report = bench.backup().unwrap();
    assert!(report.shadow.unwrap().is_as_wanted());
    assert_eq!(bench.scripted.living(), Vec::<String>::new());
    bench.scripted.shadows().sweep().unwrap();
    assert_eq!(bench.scripted.shadows().records().list().unwrap().0, []);
}
