//! A file that a program holds so that nobody else can open it: a backup says so, and reads it in a shadow copy.

use super::facts::{differences, read_tree};
use super::{Bench, CheckOutcome, JOB, SelftestReport, cause, problem_lines, shown};
use crate::backup::check_shadow;
use crate::error::Error;
use crate::excludes::Excludes;
use crate::job::{Job, JobShadow};
use crate::report::BackupReport;
use crate::restore::{Answer, Place, RestoreOptions, restore};
use hardback_platform::{Dir, Seam, hold_exclusively};
use hardback_shadow::{Hooks, Mode};
use std::io::ErrorKind;

const HELD: &[u8] = b"held";
const TEXT: &[u8] = b"What a program holds.\n";
/// What is backed up, in the snapshot.
const PATH: &[u8] = b"source/held";

pub(super) fn test(bench: &Bench<'_>, report: &mut SelftestReport) -> Result<(), Error> {
    let (dir, path) = bench.folder.make_dir("held")?;
    for name in [HELD, b"free"] {
        dir.create_file(name, 0o600)?.write_all_at(TEXT, 0)?;
    }
    let tree = read_tree(&dir)?;
    let job = bench.job(&path)?;
    let held = hold_exclusively(&path.join("held"));
    let outcome = match &held {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            CheckOutcome::not_possible("nothing keeps a reader out on this system")
        }
        Err(error) => CheckOutcome::failed("the file can be held", error.to_string()),
        Ok(_) => outcome_of_live(bench.target("target-live").and_then(|target| bench.backup(&target, &job)))?,
    };
    report.check("a file that a program holds is told as a problem", outcome);
    let outcome = from_shadow_copy(bench, &job, &tree, report)?;
    report.check("a shadow copy is made, read and removed", outcome);
    drop(held);
    Ok(())
}

fn outcome_of_live(backup: Result<BackupReport, Error>) -> Result<CheckOutcome, Error> {
    Ok(match backup {
        Ok(report) if report.totals.problems == 1 && report.problems.iter().all(|problem| problem.path == PATH) => {
            CheckOutcome::Passed
        }
        Ok(report) => {
            let found = format!("{} problems {}", report.totals.problems, problem_lines(report.problems.iter()));
            CheckOutcome::failed("one problem, with that file", found)
        }
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => CheckOutcome::failed("a snapshot with one problem", shown(&error)),
    })
}

/// Backs up with a shadow copy and looks at what came of it.
fn from_shadow_copy(
    bench: &Bench<'_>,
    job: &Job,
    tree: &super::facts::Tree,
    report: &mut SelftestReport,
) -> Result<CheckOutcome, Error> {
    let Some(shadows) = &bench.shadows else {
        return Ok(CheckOutcome::not_possible("there is no folder for the records of shadow copies"));
    };
    if !bench.is_privileged {
        return Ok(CheckOutcome::not_possible("needs root, or to be elevated"));
    }
    let shadow = JobShadow { shadows: shadows.clone(), mode: Mode::Always, hooks: Hooks::default(), declared: None };
    let job = Job { shadow: Some(shadow), ..job.clone() };
    if let Err(error) = check_shadow(&job, &Excludes::default()) {
        // Every NTFS has shadow copies, where Windows runs it and somebody may make them.
        return Ok(match bench.is_expected(super::things::Where::Windows) {
            true => CheckOutcome::failed("a shadow copy can be made", shown(&error)),
            false => CheckOutcome::not_possible(shown(&error)),
        });
    }
    let target = bench.target("target-shadow")?;
    let made = match bench.backup(&target, &job) {
        Ok(made) => made,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => return Ok(CheckOutcome::failed("a backup of a shadow copy", shown(&error))),
    };
    if let Some(outcome) = &made.shadow {
        let spread_ms = outcome.report.spread_ns / 1_000_000;
        let found = format!("{} made, within {spread_ms} ms", outcome.report.made.len());
        report.measured.push(super::Measured { what: "shadow copies".to_owned(), found });
    }
    let fault = fault_in(&made);
    if let Some(found) = fault {
        return Ok(CheckOutcome::failed("one shadow copy, no problem, nothing left", found));
    }
    let place = bench.folder.path().join("from-shadow");
    let snapshot = made.snapshot.unwrap_or_default();
    let options = RestoreOptions::new(JOB, &snapshot, Place::To(place.clone()));
    let restored = restore(&bench.ctx, &target, &options, &mut |_| Answer::Keep)?;
    if restored.problem_count > 0 {
        return Ok(CheckOutcome::failed("it can be restored", problem_lines(restored.problems.iter())));
    }
    let back = Dir::open(&place.join("source"), Seam::default()).and_then(|dir| read_tree(&dir));
    Ok(match back.map(|back| differences(tree, &back, bench.is_privileged)) {
        Ok(differences) if differences.is_empty() => CheckOutcome::Passed,
        Ok(differences) => CheckOutcome::failed("what was made comes back", differences.join("\n")),
        Err(error) => CheckOutcome::failed("it can be read when it is back", cause(&error)),
    })
}

fn fault_in(made: &BackupReport) -> Option<String> {
    let Some(shadow) = &made.shadow else { return Some("no shadow copy".to_owned()) };
    if made.totals.problems > 0 {
        return Some(problem_lines(made.problems.iter()));
    }
    let live: Vec<_> = shadow.report.live.iter().map(|live| live.path.display().to_string()).collect();
    let left: Vec<_> = shadow.left.iter().map(|(name, why)| format!("{name} stays: {why}")).collect();
    let is_right = !shadow.report.made.is_empty() && shadow.is_as_wanted();
    (!is_right).then(|| format!("{} made; read live: {live:?}; {left:?}", shadow.report.made.len()))
}
