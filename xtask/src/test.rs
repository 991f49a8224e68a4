//! `cargo xtask test` and `cargo xtask ci`: all that must hold before a change
//! is merged, in the order in which it is cheapest to be told.

use anyhow::{Result, ensure};

use crate::process::{cargo, find_program, run};
use crate::steps::{NO_SKIP, Steps, no_skip_from_env};
use crate::{needed, tidy, windows};

/// Runs everything; what this machine lacks is skipped and named.
pub fn main(arguments: &[String]) -> Result<()> {
    test(arguments, no_skip_from_env())
}

/// Runs everything; a skip is a failure.
pub fn main_without_skips(arguments: &[String]) -> Result<()> {
    test(arguments, true)
}

fn test(arguments: &[String], no_skip: bool) -> Result<()> {
    ensure!(arguments.is_empty(), "no arguments expected");
    let mut steps = Steps::new(no_skip);
    steps.step("packages", needed::install_missing);
    steps.step("format", |_| run(cargo().args(["fmt", "--all", "--check"])));
    steps.step("clippy", |_| clippy());
    steps.step("tests on Linux", linux_tests);
    windows::steps(&mut steps);
    steps.step("tidy", |_| tidy::check());
    steps.finish()
}

fn clippy() -> Result<()> {
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn linux_tests(steps: &mut Steps) -> Result<()> {
    let has_nextest = find_program("cargo-nextest").is_some();
    let mut tests = cargo();
    match has_nextest {
        true => tests.args(["nextest", "run", "--workspace"]),
        false => tests.args(["test", "--workspace", "--no-fail-fast"]),
    };
    if steps.no_skip() {
        tests.env(NO_SKIP, "1");
    }
    run(&mut tests)?;
    if has_nextest {
        // nextest does not run the examples in the documentation.
        run(cargo().args(["test", "--workspace", "--doc"]))?;
    }
    Ok(())
}
