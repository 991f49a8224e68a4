//! Windows with the scripted provider: whatever happens in one, what hooks hold is let go, what was frozen is removed, and
//! the last hooks run.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look at the disk with other code than the product's"
)]
#![cfg(unix)]

use hardback_platform::Time;
use hardback_shadow::{
    Closed, HookFailure, Hooks, Mode, Request, RunResult, ShadowError, ShadowSet, Shadows, Told, Window, WindowPlan,
};
use hardback_testing::scripted_shadow::{Fault, Scripted, Step};
use std::cell::RefCell;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

struct Bench {
    temp: tempfile::TempDir,
    scripted: Arc<Scripted>,
    shadows: Shadows,
    hooks: Hooks,
    /// What was told at once.
    told: RefCell<Vec<String>>,
}

impl Bench {
    /// Each hook writes a line to the log.
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        let say = format!("echo $HARDBACK_HOOK $HARDBACK_SHADOW $HARDBACK_RESULT >> '{}/log'", temp.path().display());
        let say = || vec![OsString::from(&say)];
        let hooks = Hooks { before_shadow: say(), after_shadow: say(), after_run: say(), ..Hooks::default() };
        let scripted = Scripted::new(&temp.path().join("copies"));
        let shadows = scripted.shadows();
        Self { temp, scripted, shadows, hooks, told: RefCell::default() }
    }

    /// Opens a window, does the work if it is open, and closes it.
    fn run(&self, mode: Mode, work: impl FnOnce(Option<&ShadowSet>)) -> (Result<(), ShadowError>, Closed) {
        let sources = ["a", "b"].map(|name| self.temp.path().join(name)).into();
        let plan = WindowPlan {
            shadows: &self.shadows,
            mode,
            request: Request { sources, one_file_system: false, shows_unwanted: true, wants: &|_, _| true },
            purpose: "test".into(),
            hooks: &self.hooks,
            variables: Vec::new(),
            now: &|| Time { seconds: 7, nanos: 0 },
            stops: &|| 0,
            tell: &|told| {
                let text = match told {
                    Told::Leftover(text) => text,
                    Told::FailedHook(hook) => hook.to_string(),
                    Told::Left(copy, _) => format!("left {}", copy.name),
                    other => format!("{other:?}"),
                };
                self.told.borrow_mut().push(text);
            },
        };
        let mut window = Window::new(plan);
        let result = window.open();
        if result.is_ok() {
            work(window.set());
        }
        let closed = window.close(if result.is_ok() { RunResult::Done } else { RunResult::Failed });
        (result, closed)
    }

    #[track_caller]
    fn assert_log(&self, expected: &[&str]) {
        let log = std::fs::read_to_string(self.temp.path().join("log")).unwrap_or_default();
        assert_eq!(log.lines().map(str::trim_end).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.scripted.living(), Vec::<String>::new());
        assert_eq!(self.shadows.records().list().unwrap().0, []);
    }
}

#[test]
fn hooks_know_what_was_frozen_until_the_end() {
    let bench = Bench::new();
    let (result, closed) = bench.run(Mode::Always, |set| assert_eq!(set.unwrap().report().made.len(), 2));
    result.unwrap();
    assert_eq!((closed.report.made.len(), closed.left.len(), closed.failed_hooks.len()), (2, 0, 0));
    bench.assert_log(&["before-shadow none", "after-shadow taken", "after-run taken done"]);
    bench.assert_clean();
    let bench = Bench::new();
    bench.scripted.follow(|at, number| if at == Step::Look && number % 2 == 1 { Fault::Fails } else { Fault::None });
    bench.run(Mode::WhenAvailable, |_| ()).0.unwrap();
    bench.assert_log(&["before-shadow none", "after-shadow partly", "after-run partly done"]);
    bench.assert_clean();
}

#[test]
fn what_the_first_hook_holds_is_let_go_when_the_second_fails() {
    for mode in [Mode::Never, Mode::WhenAvailable, Mode::Always] {
        let mut bench = Bench::new();
        bench.hooks.before_shadow.extend(["exit 3".into(), "echo never reached >&2; exit 4".into()]);
        let (result, closed) = bench.run(mode, |_| panic!("it is not open"));
        assert!(matches!(result, Err(ShadowError::Hook(_))), "{result:?}");
        assert_eq!((closed.failed_hooks.len(), bench.told.borrow().len()), (1, 1));
        bench.assert_log(&["before-shadow none", "after-shadow none", "after-run none failed"]);
        bench.assert_clean();
    }
}

#[test]
fn a_freezing_that_fails_or_panics_is_followed_by_all_that_is_due() {
    for fault in [Fault::Fails, Fault::Panics] {
        let bench = Bench::new();
        bench.scripted.follow(move |at, _| if at == Step::Created { fault } else { Fault::None });
        let run = catch_unwind(AssertUnwindSafe(|| bench.run(Mode::Always, |_| panic!("it is not open")).0));
        assert!(!matches!(run, Ok(Ok(()))));
        bench.assert_log(&["before-shadow none", "after-shadow none", "after-run none failed"]);
        bench.assert_clean();
    }
}

#[test]
fn work_that_panics_is_followed_by_all_that_is_due() {
    let bench = Bench::new();
    let run = catch_unwind(AssertUnwindSafe(|| bench.run(Mode::Always, |_| panic!("in the work"))));
    assert!(run.is_err());
    bench.assert_log(&["before-shadow none", "after-shadow taken", "after-run taken failed"]);
    bench.assert_clean();
}

#[test]
fn what_cannot_be_removed_is_told_also_when_a_hook_fails() {
    let mut bench = Bench::new();
    bench.hooks.after_shadow.push("exit 5".into());
    bench.scripted.follow(|at, _| if at == Step::Remove { Fault::Fails } else { Fault::None });
    let (result, closed) = bench.run(Mode::Always, |_| panic!("it is not open"));
    assert!(matches!(&result, Err(ShadowError::Hook(hook)) if hook.command == "exit 5"), "{result:?}");
    assert_eq!((closed.left.len(), closed.report.made.len()), (2, 2));
    let told = bench.told.borrow().clone();
    assert_eq!(told.iter().filter(|text| text.starts_with("left hardback-shadow-")).count(), 2, "{told:?}");
    bench.assert_log(&["before-shadow none", "after-shadow taken", "after-run taken failed"]);
    // The next run removes it, and tells by its name what it removed.
    bench.hooks = Hooks::default();
    bench.scripted.follow(|_, _| Fault::None);
    assert_eq!(bench.run(Mode::Always, |_| ()).1.swept.len(), 2);
    bench.assert_clean();
}

#[test]
fn a_refusal_comes_before_any_hook() {
    let bench = Bench::new();
    bench.scripted.follow(|at, _| if at == Step::Look { Fault::Fails } else { Fault::None });
    assert!(bench.run(Mode::Always, |_| ()).0.is_err());
    bench.assert_log(&[]);
}

#[test]
fn what_is_frozen_is_what_is_there_after_the_hooks() {
    let bench = Bench::new();
    // The first look at both sources finds all well; the one after the hooks does not.
    bench.scripted.follow(|at, number| if at == Step::Look && number == 3 { Fault::Fails } else { Fault::None });
    let (result, closed) = bench.run(Mode::WhenAvailable, |_| ());
    result.unwrap();
    assert_eq!((closed.report.made.len(), closed.report.live.len()), (1, 1));
    assert_eq!(closed.report.live[0].path, bench.temp.path().join("b"));
}

#[test]
fn failures_that_are_only_reported_end_nothing() {
    let mut bench = Bench::new();
    bench.hooks.on_failure = HookFailure::Report;
    bench.hooks.before_shadow.insert(0, "exit 3".into());
    bench.hooks.after_run.insert(0, "exit 4".into());
    let (result, closed) = bench.run(Mode::Never, |set| assert!(set.is_none()));
    result.unwrap();
    assert_eq!((closed.failed_hooks.len(), bench.told.borrow().len()), (2, 2));
    bench.assert_log(&["before-shadow none", "after-shadow none", "after-run none done"]);
}
