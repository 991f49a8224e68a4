//! `hardback selftest`: whether hardback does on this computer what it should; a report for an issue.

use super::shadow::shadows;
use crate::args::SelftestArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::{Check, CheckOutcome, SelftestOptions, SelftestReport, selftest};
use hardback_shadow::ShadowSize;
use serde::Serialize;
use std::time::Duration;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Tests this computer.
pub(crate) fn run(args: &SelftestArgs, env: &Env) -> anyhow::Result<Exit> {
    let folder = match &args.folder {
        Some(folder) => env.absolute(folder)?,
        None => env.absolute(&env.temporary_dir())?,
    };
    // Where no records of shadow copies can be kept, none is made, and the report says so.
    let shadows = shadows(ShadowSize::default(), env).ok();
    let report = env.with_progress(|ctx| selftest(ctx, &SelftestOptions { folder, shadows }))?;
    let [_, failed, _] = report.counts();
    let exit = if failed == 0 { Exit::Done } else { Exit::Stopped };
    if env.ui.is_json() {
        return Ok(env.ui.report("selftest", exit, &SelftestFields::new(&report))?);
    }
    lines(&report).iter().try_for_each(|line| env.ui.line(line))?;
    Ok(exit)
}

/// The report as text that can go into an issue as it is.
fn lines(report: &SelftestReport) -> Vec<String> {
    let [passed, failed, not_possible] = report.counts();
    let rights = match (report.is_privileged, report.missing_rights.is_empty()) {
        (true, true) => "root, or elevated",
        (true, false) => "elevated, without all privileges",
        (false, _) => "neither root nor elevated",
    };
    let mut lines = vec![
        format!("hardback {VERSION} selftest"),
        format!("  system  {}", report.system),
        format!("  volume  {}", report.volume),
        format!("  rights  {rights}"),
        format!("  took    {}", text::duration(Duration::from_nanos(report.elapsed_ns))),
    ];
    lines.extend(report.missing_rights.cannot.iter().map(|what| format!("  it cannot {what}")));
    lines.push(String::new());
    lines.extend(report.checks.iter().map(line_of));
    if !report.measured.is_empty() {
        lines.extend([String::new(), "measured, neither right nor wrong:".to_owned()]);
        lines.extend(report.measured.iter().map(|measured| format!("  {}: {}", measured.what, measured.found)));
    }
    if !report.limitations.is_empty() {
        lines.extend([String::new(), "what the volume cannot keep as it is, so that it is in the record:".to_owned()]);
        lines.extend(report.limitations.iter().map(|limitation| format!("  {limitation}")));
    }
    for check in &report.checks {
        if let CheckOutcome::Failed { expected, found } = &check.outcome {
            lines.extend([String::new(), format!("FAILED: {}", check.what), format!("  expected: {expected}")]);
            let mut found = found.lines();
            lines.push(format!("  found:    {}", found.next().unwrap_or("nothing")));
            lines.extend(found.map(|line| format!("            {line}")));
        }
    }
    lines.extend([String::new(), format!("{passed} passed, {failed} failed, {not_possible} not possible here")]);
    lines
}

fn line_of(check: &Check) -> String {
    let Check { what, outcome } = check;
    match outcome {
        CheckOutcome::Passed => format!("  passed        {what}"),
        CheckOutcome::Failed { .. } => format!("  FAILED        {what}"),
        CheckOutcome::NotPossible { why } => format!("  not possible  {what} ({})", short(why)),
    }
}

/// A reason in one line: names of files may be long, and JSON has all of it.
fn short(why: &str) -> String {
    const SHOWN_CHARACTERS: usize = 160;
    let line = why.replace('\n', "; ");
    match line.char_indices().nth(SHOWN_CHARACTERS) {
        None => line,
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

/// The report of `selftest`.
#[derive(Serialize)]
struct SelftestFields<'a> {
    version: &'static str,
    system: &'a str,
    volume: &'a str,
    privileged: bool,
    missing_rights: &'a [&'static str],
    passed: usize,
    failed: usize,
    not_possible: usize,
    checks: Vec<CheckFields<'a>>,
    measured: Vec<MeasuredFields<'a>>,
    limitations: &'a [String],
    elapsed_s: f64,
}

/// A check.
#[derive(Serialize)]
struct CheckFields<'a> {
    what: &'a str,
    outcome: &'static str,
    expected: Option<&'a str>,
    found: Option<&'a str>,
    why: Option<&'a str>,
}

/// What was measured.
#[derive(Serialize)]
struct MeasuredFields<'a> {
    what: &'a str,
    found: &'a str,
}

impl<'a> SelftestFields<'a> {
    fn new(report: &'a SelftestReport) -> Self {
        let [passed, failed, not_possible] = report.counts();
        Self {
            version: VERSION,
            system: &report.system,
            volume: &report.volume,
            privileged: report.is_privileged,
            missing_rights: &report.missing_rights.cannot,
            passed,
            failed,
            not_possible,
            checks: report.checks.iter().map(CheckFields::new).collect(),
            measured: report.measured.iter().map(|m| MeasuredFields { what: &m.what, found: &m.found }).collect(),
            limitations: &report.limitations,
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}

impl<'a> CheckFields<'a> {
    fn new(check: &'a Check) -> Self {
        let (mut expected, mut found, mut why) = (None, None, None);
        match &check.outcome {
            CheckOutcome::Passed => {}
            CheckOutcome::Failed { expected: e, found: f } => (expected, found) = (Some(e.as_str()), Some(f.as_str())),
            CheckOutcome::NotPossible { why: w } => why = Some(w.as_str()),
        }
        Self { what: &check.what, outcome: check.outcome.code(), expected, found, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_in_full_below_the_table() {
        let check = |what: &str, outcome| Check { what: what.to_owned(), outcome };
        let failed = CheckOutcome::Failed { expected: "this".to_owned(), found: "that\nand that".to_owned() };
        let report = SelftestReport {
            checks: vec![
                check("one", CheckOutcome::Passed),
                check("two", failed),
                check("three", CheckOutcome::NotPossible { why: "the volume has none".to_owned() }),
            ],
            ..SelftestReport::default()
        };
        let text = lines(&report).join("\n");
        for expected in [
            "  passed        one\n  FAILED        two\n  not possible  three (the volume has none)\n",
            "FAILED: two\n  expected: this\n  found:    that\n            and that\n",
            "\n1 passed, 1 failed, 1 not possible here",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
