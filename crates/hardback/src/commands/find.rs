//! `hardback find`: paths in all snapshots.

use super::output::Output;
use super::reports::{ProblemFields, tell_problems};
use crate::args::FindArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::text;
use hardback_engine::system::kind_code;
use hardback_engine::{Clock, FindOptions, Found, catalog, find, timestamp};
use jiff::tz::TimeZone;
use serde::Serialize;

/// Finds.
pub(crate) fn run(args: &FindArgs, env: &Env) -> anyhow::Result<Exit> {
    let options = FindOptions { job: args.job.clone(), pattern: args.pattern.clone(), ignore_case: args.ignore_case };
    options.check().map_err(|error| Usage::from_refusal(&error))?;
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let jobs = catalog::jobs(&target)?;
    let zone = env.clock.zone();
    let mut output = Output::new(env);
    let result = env.with_progress(|ctx| {
        find(ctx, &target, &options, &mut |found| {
            output.write(|ui| match ui.is_json() {
                true => ui.item("found", &FoundItem::new(found)),
                false => ui.line(&sentence(found, jobs.len() > 1, &zone)),
            });
        })
    });
    let report = output.finish(result)?;
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        let fields = FindFields {
            found: report.found,
            snapshots: report.snapshots,
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
        };
        return Ok(env.ui.report("find", exit, &fields)?);
    }
    let (found, snapshots) =
        (text::counted(report.found, "path", "paths"), text::counted(report.snapshots, "snapshot", "snapshots"));
    env.ui.message(&format!("{found} in {snapshots}"));
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

/// Returns a line of the result. The path comes last, as it can hold anything.
fn sentence(found: &Found, several_jobs: bool, zone: &TimeZone) -> String {
    let is_dir = kind_code(found.kind) == "dir";
    let size = if kind_code(found.kind) == "file" { text::size(found.size_bytes) } else { "-".to_owned() };
    let when = text::time_in(timestamp(found.mtime), zone);
    let job = if several_jobs { format!("{}/", found.job) } else { String::new() };
    let span = match found.first == found.last {
        true => format!("{job}{}", found.last),
        false => format!("{job}{} to {}", found.first, found.last),
    };
    let slash = if is_dir { "/" } else { "" };
    format!("{span:<42}  {size:>10}  {when}  {}{slash}", text::path(&found.path))
}

/// A path that was found.
#[derive(Serialize)]
struct FoundItem<'a> {
    job: &'a str,
    path: String,
    kind: &'static str,
    bytes: u64,
    modified: String,
    first: &'a str,
    last: &'a str,
    snapshots: u64,
}

impl<'a> FoundItem<'a> {
    fn new(found: &'a Found) -> Self {
        Self {
            job: &found.job,
            path: text::json_bytes(&found.path),
            kind: kind_code(found.kind),
            bytes: found.size_bytes,
            modified: timestamp(found.mtime).to_string(),
            first: &found.first,
            last: &found.last,
            snapshots: found.snapshots,
        }
    }
}

/// The report of `find`.
#[derive(Serialize)]
struct FindFields {
    found: u64,
    snapshots: u64,
    problems: u64,
    first_problems: Vec<ProblemFields>,
}
