//! One of each thing is made, backed up twice, verified, restored, and compared.

use super::facts::{Tree, differences, read_tree};
use super::place::remove_what_is_in;
use super::things::{Thing, things};
use super::{Bench, CheckOutcome, JOB, SelftestReport, cause, problem_lines, shown};
use crate::error::Error;
use crate::excludes::Excludes;
use crate::job::Job;
use crate::problem::Problem;
use crate::report::{BackupReport, LimitationKind};
use crate::restore::{Answer, Place, RestoreOptions, restore};
use crate::target::Target;
use crate::verify::{VerifyLevel, VerifyOptions, verify};
use hardback_platform::{Dir, Seam};

/// A thing that is there, to be compared.
struct Present {
    /// Its place among the outcomes.
    number: usize,
    /// Its folder in the source.
    folder: String,
    tree: Tree,
}

pub(super) fn test(bench: &Bench<'_>, report: &mut SelftestReport) -> Result<(), Error> {
    let (source, path) = bench.folder.make_dir("source")?;
    let (mut present, mut outcomes) = (Vec::new(), Vec::new());
    for (number, thing) in things().into_iter().enumerate() {
        bench.ctx.check_cancel()?;
        let folder = format!("{number:02}");
        let made = make(bench, &source, &folder, &thing);
        outcomes.push((thing.what.clone(), made.as_ref().err().cloned()));
        present.extend(made.ok().map(|tree| Present { number, folder, tree }));
    }
    let job = bench.job(&path)?;
    match back_up_and_restore(bench, &job, &present, report) {
        Ok(compared) => {
            for (present, outcome) in present.iter().zip(compared) {
                outcomes[present.number].1 = Some(outcome);
            }
        }
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => report.check("backup and restore", CheckOutcome::failed("they work", shown(&error))),
    }
    for (what, outcome) in outcomes {
        // What was made and not compared is not proven.
        report.check(what, outcome.unwrap_or_else(|| CheckOutcome::not_possible("backup and restore failed")));
    }
    Ok(())
}

/// Makes a thing and reads it back. What cannot be read does not stay.
fn make(bench: &Bench<'_>, source: &Dir, folder: &str, thing: &Thing) -> Result<Tree, CheckOutcome> {
    if thing.needs_privilege && !bench.is_privileged {
        return Err(CheckOutcome::not_possible("needs root, or to be elevated"));
    }
    let is_expected = bench.is_expected(thing.expected);
    let no = |expected: &str, found: String| match is_expected {
        true => CheckOutcome::failed(expected, found),
        false => CheckOutcome::not_possible(found),
    };
    let opened = source.make_dir(folder.as_bytes(), 0o700).and_then(|()| source.open_dir(folder.as_bytes()));
    let dir = opened.map_err(|error| no("a folder can be made", cause(&error)))?;
    let made = (thing.make)(&dir).map_err(|trouble| match trouble.is_denied() && !bench.is_privileged {
        true => CheckOutcome::not_possible(format!("needs to be elevated: {}", trouble.text())),
        false => no("it can be made", trouble.text()),
    });
    let there = made.and_then(|()| match (thing.instead)(&dir) {
        Ok(None) => read_tree(&dir).map_err(|error| no("it can be read back", cause(&error))),
        Ok(Some(instead)) => {
            Err(no("it is there when it was made", format!("the system said that it was made, and there is {instead}")))
        }
        Err(error) => Err(no("it can be read back", cause(&error))),
    });
    if there.is_err() {
        // Half a thing must not be in the way of the others.
        remove_what_is_in(&dir);
        drop(dir);
        source.remove_dir(folder.as_bytes()).ok();
    }
    there
}

/// Returns what came of each thing.
fn back_up_and_restore(
    bench: &Bench<'_>,
    job: &Job,
    present: &[Present],
    report: &mut SelftestReport,
) -> Result<Vec<CheckOutcome>, Error> {
    let target = bench.target("target")?;
    let first = bench.backup(&target, job)?;
    report.limitations = first.limitations.iter().map(|limitation| limitation.kind.to_string()).collect();
    let told: Vec<&Problem> = first.problems.iter().collect();
    let others = told.iter().filter(|problem| !present.iter().any(|present| present.is_at(problem)));
    report.check("a first backup", none_of(problem_lines(others.copied())));
    let second = bench.backup(&target, job)?;
    let linked = match first.limitations.iter().find(|limitation| limitation.kind == LimitationKind::Links) {
        Some(limitation) => CheckOutcome::not_possible(limitation.kind.to_string()),
        None => all_linked(bench, &target, job, &second)?,
    };
    report.check("a second backup links all that did not change", linked);
    let options =
        VerifyOptions { job: None, snapshots: Vec::new(), level: VerifyLevel::Full, against_source: true, workers: 0 };
    let verified = verify(&bench.ctx, &target, &options)?;
    report.check("both snapshots verify, against the source too", none_of(problem_lines(verified.problems.iter())));
    let place = bench.folder.path().join("restored");
    let snapshot = second.snapshot.unwrap_or_default();
    let options =
        RestoreOptions { numeric_owner: true, ..RestoreOptions::new(JOB, &snapshot, Place::To(place.clone())) };
    let restored = restore(&bench.ctx, &target, &options, &mut |_| Answer::Keep)?;
    let others = restored.problems.iter().filter(|problem| !present.iter().any(|present| present.is_at(problem)));
    report.check("a restore", none_of(problem_lines(others)));
    let back = Dir::open(&place.join("source"), Seam::default())?;
    let told: Vec<&Problem> = told.into_iter().chain(&restored.problems).collect();
    Ok(present.iter().map(|present| present.compare(bench, &back, &told)).collect())
}

fn none_of(problems: String) -> CheckOutcome {
    match problems.is_empty() {
        true => CheckOutcome::Passed,
        false => CheckOutcome::failed("no problem", problems),
    }
}

/// Says what the second backup took for new, although nothing was touched.
fn all_linked(bench: &Bench<'_>, target: &Target, job: &Job, second: &BackupReport) -> Result<CheckOutcome, Error> {
    if second.totals.new_files == 0 && second.restamped == 0 && second.linked > 0 {
        return Ok(CheckOutcome::Passed);
    }
    let ahead = crate::preview(&bench.ctx, Some(target), job, &Excludes::default())?;
    let copied = ahead.would_copy.iter().map(|(path, _, why)| {
        let path = crate::system::display_path(path);
        format!("{path} ({why})")
    });
    let found = format!(
        "{} linked, {} new, {} with other metadata; again it would copy: {}",
        second.linked,
        second.totals.new_files,
        second.restamped,
        copied.take(5).collect::<Vec<_>>().join(", ")
    );
    Ok(CheckOutcome::failed("all is linked", found))
}

impl Present {
    /// Returns whether a problem is about this thing.
    fn is_at(&self, problem: &Problem) -> bool {
        let below = format!("source/{}", self.folder);
        problem.path.strip_prefix(below.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    fn compare(&self, bench: &Bench<'_>, back: &Dir, told: &[&Problem]) -> CheckOutcome {
        let problems = problem_lines(told.iter().copied().filter(|problem| self.is_at(problem)));
        if !problems.is_empty() {
            return CheckOutcome::failed("it is backed up and restored", problems);
        }
        let tree = back.open_dir(self.folder.as_bytes()).and_then(|dir| read_tree(&dir));
        match tree.map(|tree| differences(&self.tree, &tree, bench.is_privileged)) {
            Ok(differences) if differences.is_empty() => CheckOutcome::Passed,
            Ok(differences) => CheckOutcome::failed("what was made comes back", differences.join("\n")),
            Err(error) => CheckOutcome::failed("it can be read when it is back", cause(&error)),
        }
    }
}
