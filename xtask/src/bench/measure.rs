//! Running one program and measuring it.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{command, find_program};

/// What of the disks is in memory when a measurement begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// What the runs before left there; the source was read once.
    Warm,
    /// Nothing.
    Cold,
}

impl Cache {
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

impl FromStr for Cache {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "warm" => Ok(Self::Warm),
            "cold" => Ok(Self::Cold),
            _ => bail!("caches are warm or cold, not {text:?}"),
        }
    }
}

/// What one run cost.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub wall_s: f64,
    /// In user and kernel mode, all processes of the run.
    pub cpu_s: f64,
    /// Of the biggest of its processes.
    pub peak_mib: f64,
    /// By how much the target grew, where that was looked at.
    pub written_mib: Option<f64>,
    /// What the run said of itself in its last line, where that is JSON.
    pub report: Value,
}

impl Sample {
    /// A number of the run's report.
    pub fn reported(&self, field: &str) -> Result<u64> {
        self.report[field].as_u64().with_context(|| format!("the report has no number {field:?}: {}", self.report))
    }
}

/// Runs `task` after everything else is on the disks, and measures it. `scratch`
/// is a folder for a file of our own.
pub fn timed(cache: Cache, scratch: &Path, task: &Command) -> Result<Sample> {
    rustix::fs::sync();
    if cache == Cache::Cold {
        fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the caches")?;
    }
    let costs = scratch.join("costs");
    let time = find_program("time").context("no program time")?;
    let mut timed = command(time);
    timed.args(["-f", "%U %S %M", "-o"]).arg(&costs).arg("--").arg(task.get_program()).args(task.get_args());
    timed.envs(task.get_envs().filter_map(|(name, value)| Some((name, value?))));

    let started = Instant::now();
    let output = timed.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    let wall_s = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{task:?} failed ({}): {} {}", output.status, complaint.trim(), said.trim());
    }
    let costs = fs::read_to_string(costs)?;
    let [user, system, peak_kib] = numbers(&costs).with_context(|| format!("time wrote {costs:?}"))?;
    let report = said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    Ok(Sample { wall_s, cpu_s: user + system, peak_mib: peak_kib / 1024.0, written_mib: None, report })
}

fn numbers(line: &str) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().ok()
}

/// The middle, the least and the greatest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let count = numbers.len();
        let median = (numbers[(count - 1) / 2] + numbers[count / 2]) / 2.0;
        Self { median, least: numbers[0], most: numbers[count - 1] }
    }

    /// With as many digits as matter.
    pub fn text(&self) -> String {
        let Self { median, least, most } = *self;
        match least == most {
            true => digits(median),
            false => format!("{} ({}–{})", digits(median), digits(least), digits(most)),
        }
    }
}

/// A number with three digits, or all before the point.
pub fn digits(number: f64) -> String {
    match number.abs() {
        below if below < 1.0 => format!("{number:.3}"),
        below if below < 10.0 => format!("{number:.2}"),
        below if below < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// When the source last changed: files so young are hot for hardback.
#[derive(Default)]
pub struct LastChange(RefCell<Option<Instant>>);

impl LastChange {
    /// The default of `--hot-window`, and what a clock may be coarse by.
    const HOT_S: u64 = 120 + 2;

    pub fn now(&self) {
        self.0.replace(Some(Instant::now()));
    }

    /// Waits until no file of the source is hot.
    pub fn wait_until_past(&self) {
        let Some(changed) = self.0.take() else { return };
        let left = std::time::Duration::from_secs(Self::HOT_S).saturating_sub(changed.elapsed());
        if !left.is_zero() {
            println!("    waiting {} s until the files of the source are not hot any more", left.as_secs());
            std::thread::sleep(left);
        }
    }
}

/// An error unless a report's number is what a fair measurement needs.
pub fn ensure_reported(sample: &Sample, field: &str, expected: u64) -> Result<()> {
    let found = sample.reported(field)?;
    ensure!(found == expected, "not what was to be measured: {field} is {found}, not {expected}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of([7.0]).text(), "7.00");
        assert_eq!(Spread::of([0.5, 12.3, 140.4]).text(), "12.3 (0.500–140)");
    }

    #[test]
    fn what_time_wrote_is_read() {
        assert_eq!(numbers("0.10 1.25 2048\n"), Some([0.1, 1.25, 2048.0]));
        assert_eq!(numbers("time: no such program"), None);
    }
}
