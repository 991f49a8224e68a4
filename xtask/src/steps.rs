//! A run made of steps: each under a header and timed, all of them run even
//! when one fails, and everything that was skipped named at the end.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// When this is set (and not to 0), whatever a run skips fails it.
pub const NO_SKIP: &str = "HARDBACK_TEST_NO_SKIP";

/// Whether the environment asks for a run without skips.
pub fn no_skip_from_env() -> bool {
    env::var_os(NO_SKIP).is_some_and(|value| !value.is_empty() && value != "0")
}

/// The steps of one run and what became of them.
pub struct Steps {
    no_skip: bool,
    started: Instant,
    finished: Vec<Finished>,
    skipped: Vec<Skipped>,
}

struct Finished {
    name: &'static str,
    took: Duration,
    failed: bool,
}

struct Skipped {
    what: String,
    why: String,
}

impl Steps {
    /// A run that has not done anything yet.
    pub fn new(no_skip: bool) -> Self {
        Self { no_skip, started: Instant::now(), finished: Vec::new(), skipped: Vec::new() }
    }

    /// Whether children are to treat a skip as a failure.
    pub fn no_skip(&self) -> bool {
        self.no_skip
    }

    /// Runs one step; its failure is kept for [`Steps::finish`], so that one
    /// run shows everything that is wrong.
    pub fn step(&mut self, name: &'static str, work: impl FnOnce(&mut Self) -> Result<()>) {
        println!("\n==> {name}");
        let started = Instant::now();
        let result = work(self);
        let took = started.elapsed();
        let seconds = took.as_secs_f64();
        match &result {
            Ok(()) => println!("<== {name}: done in {seconds:.1} s"),
            Err(error) => println!("<== {name}: FAILED after {seconds:.1} s: {error:#}"),
        }
        self.finished.push(Finished { name, took, failed: result.is_err() });
    }

    /// Notes that `what` was not done.
    pub fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let (what, why) = (what.into(), why.into());
        println!("    skipped: {what}: {why}");
        self.skipped.push(Skipped { what, why });
    }

    /// The summary, and the verdict on the whole run.
    pub fn finish(self) -> Result<()> {
        println!("\n==> summary after {:.0} s", self.started.elapsed().as_secs_f64());
        for step in &self.finished {
            let verdict = if step.failed { "FAILED" } else { "ok" };
            let seconds = step.took.as_secs_f64();
            println!("    {seconds:>7.1} s  {}: {verdict}", step.name);
        }
        match self.skipped.is_empty() {
            true => println!("    nothing was skipped"),
            false => println!("    skipped:"),
        }
        for skip in &self.skipped {
            println!("      {}: {}", skip.what, skip.why);
        }
        self.verdict()
    }

    fn verdict(&self) -> Result<()> {
        let failed: Vec<_> = self.finished.iter().filter(|step| step.failed).map(|step| step.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        if self.no_skip && !self.skipped.is_empty() {
            bail!("{} skipped, and {NO_SKIP} is set", self.skipped.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_steps_run_after_a_failure_and_the_run_fails() {
        let mut steps = Steps::new(false);
        let mut second_ran = false;
        steps.step("first", |_| bail!("broken"));
        steps.step("second", |_| {
            second_ran = true;
            Ok(())
        });
        assert!(second_ran);
        let error = steps.finish().unwrap_err().to_string();
        assert_eq!(error, "failed: first");
    }

    #[test]
    fn a_skip_fails_only_the_run_that_forbids_skips() {
        for no_skip in [false, true] {
            let mut steps = Steps::new(no_skip);
            steps.step("only", |steps| {
                steps.skip("tests that need rsync", "no rsync");
                Ok(())
            });
            assert_eq!(steps.finish().is_err(), no_skip);
        }
    }
}
