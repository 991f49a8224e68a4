//! `cargo xtask nightly`: what takes too long to run before every merge.
//!
//! One function per suite; a new suite is a function and one line in `main`.

use anyhow::{Result, ensure};

use crate::process::{cargo, find_program, run, workspace_root};
use crate::steps::{Steps, no_skip_from_env};
use crate::windows::{self, Setup, Wrong};

/// How long one test program may run under Wine.
const PROCESS_SECONDS_MAX: u32 = 3600;

/// Tells the tests to run at full length: more cases, bigger trees, and the
/// suites that return at once without it.
const SLOW: &str = "HARDBACK_SLOW";

/// Runs every slow suite.
pub fn main(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "no arguments expected");
    let mut steps = Steps::new(no_skip_from_env());
    steps.step("dependencies", dependencies);
    steps.step("slow tests on Linux", |_| slow_tests_on_linux());
    steps.step("slow tests on Windows", slow_tests_on_windows);
    #[cfg(target_os = "linux")]
    steps.step("files of a release", |_| crate::dist::main(&[]));
    #[cfg(target_os = "linux")]
    crate::guest::step(&mut steps, &[]);
    steps.finish()
}

/// Licences, duplicates and origins of the dependencies.
fn dependencies(steps: &mut Steps) -> Result<()> {
    if find_program("cargo-deny").is_none() {
        steps.skip("cargo deny", "cargo-deny is not installed");
        return Ok(());
    }
    if !workspace_root().join("deny.toml").is_file() {
        steps.skip("cargo deny", "the workspace has no deny.toml");
        return Ok(());
    }
    run(cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}

fn slow_tests_on_linux() -> Result<()> {
    let mut tests = cargo();
    match find_program("cargo-nextest") {
        Some(_) => tests.args(["nextest", "run", "--profile", "nightly"]),
        None => tests.args(["test", "--no-fail-fast"]),
    };
    run(tests.arg("--workspace").env(SLOW, "1"))
}

fn slow_tests_on_windows(steps: &mut Steps) -> Result<()> {
    match windows::set_up()? {
        Setup::Ready(toolchain) => {
            run(toolchain.tests(PROCESS_SECONDS_MAX).env(SLOW, "1"))?;
            toolchain.wrong_stand_ins(Wrong::All)
        }
        Setup::Missing(why) => {
            steps.skip("slow tests on Windows", why);
            Ok(())
        }
    }
}
