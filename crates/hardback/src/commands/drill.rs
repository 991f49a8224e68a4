//! `hardback drill`: a restore is tried.

use super::reports::{LimitationFields, ProblemFields, limitation_lines, tell_problems};
use crate::args::DrillArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::catalog;
use hardback_engine::system::path_bytes;
use hardback_engine::{DRILL_FILES_MAX, DrillOptions, DrillPlace, DrillReport, drill};
use serde::Serialize;
use std::time::Duration;

/// Tries a restore.
pub(crate) fn run(args: &DrillArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let job = catalog::choose_job(&target, args.job.as_deref(), &env.host)?;
    let files = match args.share {
        None => args.files,
        Some(share) => {
            let snapshots = catalog::snapshots(&target, &job)?;
            let totals = snapshots.sealed.last().map(|newest| newest.seal.totals).unwrap_or_default();
            let all = totals.entries.saturating_sub(totals.dirs);
            ((all as f64 * share.part()).ceil() as u64).clamp(1, DRILL_FILES_MAX)
        }
    };
    let place = match &args.to {
        Some(dir) => DrillPlace::Keep(env.absolute(dir)?),
        None => DrillPlace::Scratch(env.absolute(&env.temporary_dir())?),
    };
    let options = DrillOptions { job, files, place, workers: 0 };
    let report = env.with_progress(|ctx| drill(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        return Ok(env.ui.report("drill", exit, &DrillFields::new(&report))?);
    }
    tell(&report, env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

fn tell(report: &DrillReport, env: &Env) -> anyhow::Result<()> {
    let verdict = match (report.problem_count, report.limitations.is_empty()) {
        (0, true) => "All came back as it was backed up",
        (0, false) => "What that place can keep came back as it was backed up",
        _ => "Not all came back",
    };
    let mut lines = vec![
        format!(
            "{verdict}: {}, {}, of {}",
            text::counted(report.files, "file", "files"),
            text::size(report.bytes),
            text::counted(report.snapshots.len() as u64, "snapshot", "snapshots")
        ),
        format!("  restored in {}", text::duration(Duration::from_nanos(report.restore_ns))),
    ];
    if report.whole_ns > 0 {
        let whole = Duration::from_nanos(report.whole_ns);
        let rate = report.whole_bytes as f64 / whole.as_secs_f64().max(0.001);
        lines.push(format!(
            "  a whole restore of the newest snapshot ({}) would take about {}, {} a second",
            text::size(report.whole_bytes),
            text::duration(whole),
            text::size(rate as u64)
        ));
    }
    if !report.limitations.is_empty() {
        lines.push("note: some of it cannot be kept where it was restored, and was not compared:".to_owned());
        lines.extend(limitation_lines(&report.limitations));
        lines.push("      --to names another place".to_owned());
    }
    if report.too_large > 0 {
        let files = text::counted(report.too_large, "file was", "files were");
        lines.push(format!(
            "note: {files} left out, for want of room where they are restored; --to names another place"
        ));
    }
    if let Some(kept) = &report.kept {
        lines.push(format!("  the files are in {}", kept.display()));
    }
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

/// The report of `drill`.
#[derive(Serialize)]
struct DrillFields<'a> {
    job: &'a str,
    snapshots: &'a [String],
    files: u64,
    bytes: u64,
    too_large: u64,
    restore_s: f64,
    whole_restore_s: Option<f64>,
    whole_bytes: u64,
    to: Option<String>,
    limitations: Vec<LimitationFields>,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
}

impl<'a> DrillFields<'a> {
    fn new(report: &'a DrillReport) -> Self {
        let seconds = |ns| Duration::from_nanos(ns).as_secs_f64();
        Self {
            job: &report.job,
            snapshots: &report.snapshots,
            files: report.files,
            bytes: report.bytes,
            too_large: report.too_large,
            restore_s: seconds(report.restore_ns),
            whole_restore_s: (report.whole_ns > 0).then(|| seconds(report.whole_ns)),
            whole_bytes: report.whole_bytes,
            to: report.kept.as_ref().map(|path| text::json_bytes(&path_bytes(path))),
            limitations: LimitationFields::all(&report.limitations),
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            elapsed_s: seconds(report.elapsed_ns),
        }
    }
}
