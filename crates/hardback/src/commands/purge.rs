//! `hardback purge`: a path goes out of snapshots for good.

use super::named;
use super::reports::{ProblemFields, tell_problems};
use crate::args::PurgeArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::catalog;
use hardback_engine::system::snapshot_path;
use hardback_engine::{Error, PurgeOptions, PurgeReport, Purged, purge};
use serde::Serialize;
use std::time::Duration;

/// Purges.
pub(crate) fn run(args: &PurgeArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let job = catalog::choose_job(&target, args.job.as_deref(), &env.host)?;
    let options = PurgeOptions {
        paths: args.paths.iter().map(|path| snapshot_path(path)).collect::<Result<_, _>>()?,
        snapshots: named::names_of(&args.snapshot, Some(&job), &target, env)?,
        dry_run: args.dry_run,
        job,
    };
    let report = env.with_progress(|ctx| purge(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count);
    if report.purged.is_empty() && report.problem_count == 0 {
        // A secret that is spelt wrong would stay.
        return Err(Error::NotFound {
            message: format!("no snapshot of job {} has any of these paths", options.job),
            hint: Some(
                "`hardback find TARGET NAME` looks in all jobs; paths begin with the source's folder".to_owned(),
            ),
        }
        .into());
    }
    if env.ui.is_json() {
        for purged in &report.purged {
            env.ui.item("purged", &PurgedItem::new(purged))?;
        }
        return Ok(env.ui.report("purge", exit, &PurgeFields::new(&report, &options))?);
    }
    tell(&report, args.dry_run, env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

fn tell(report: &PurgeReport, is_dry_run: bool, env: &Env) -> anyhow::Result<()> {
    for Purged { snapshot, entries, bytes } in &report.purged {
        let entries = text::counted(*entries, "entry", "entries");
        env.ui.line(&format!("{snapshot}  {entries}, {}", text::size(*bytes)))?;
    }
    let snapshots = text::counted(report.purged.len() as u64, "snapshot", "snapshots");
    for (path, count) in &report.same_content {
        env.ui.problem_line(&format!(
            "the same content is still there as {} ({}): purge that too",
            text::path(path),
            text::counted(*count, "snapshot", "snapshots")
        ));
    }
    if is_dry_run {
        env.ui.summary(&format!("Dry run; nothing was removed. It would go from {snapshots}."))?;
    } else {
        env.ui.summary(&format!(
            "Removed from {snapshots}; {} more free on the volume.",
            text::size(report.freed_bytes)
        ))?;
        env.ui.notice("the next backup stores it again unless it is gone from the source, or excluded");
    }
    Ok(())
}

/// A snapshot that had it.
#[derive(Serialize)]
struct PurgedItem {
    snapshot: String,
    entries: u64,
    bytes: u64,
}

impl PurgedItem {
    fn new(purged: &Purged) -> Self {
        Self { snapshot: purged.snapshot.clone(), entries: purged.entries, bytes: purged.bytes }
    }
}

/// The report of `purge`.
#[derive(Serialize)]
struct PurgeFields {
    job: String,
    dry_run: bool,
    snapshots: usize,
    same_content: Vec<String>,
    unlinked: u64,
    freed_bytes: u64,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
}

impl PurgeFields {
    fn new(report: &PurgeReport, options: &PurgeOptions) -> Self {
        Self {
            job: options.job.clone(),
            dry_run: options.dry_run,
            snapshots: report.purged.len(),
            same_content: report.same_content.keys().map(|path| text::json_bytes(path)).collect(),
            unlinked: report.unlinked,
            freed_bytes: report.freed_bytes,
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}
