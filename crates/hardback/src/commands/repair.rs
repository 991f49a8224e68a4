//! `hardback repair`: good files in the place of damaged ones.

use super::named::names_of;
use super::reports::{DamageFields, ProblemFields, tell_problems};
use crate::args::RepairArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::{Damage, RepairOptions, RepairReport, repair};
use serde::Serialize;
use std::time::Duration;

/// Repaired files that are shown to a person.
const REPAIRED_SHOWN: usize = 20;

/// Repairs.
pub(crate) fn run(args: &RepairArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let options = RepairOptions {
        job: args.job.clone(),
        snapshots: names_of(&args.snapshots, args.job.as_deref(), &target, env)?,
        recorded: args.recorded,
        from_source: args.from_source,
        dry_run: args.dry_run,
        workers: 0,
    };
    let report = env.with_progress(|ctx| repair(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        return Ok(env.ui.report("repair", exit, &RepairFields::new(&report, args.dry_run))?);
    }
    tell(&report, args.dry_run, env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

fn tell(report: &RepairReport, is_dry_run: bool, env: &Env) -> anyhow::Result<()> {
    let files = text::counted(report.repaired, "damaged file", "damaged files");
    let names = text::counted(report.names, "name", "names");
    let mut lines = vec![match (report.repaired, is_dry_run) {
        (0, false) => "Nothing was repaired".to_owned(),
        (0, true) => "Dry run; nothing could be repaired".to_owned(),
        (_, true) => format!("Dry run; nothing was written. Could be repaired: {files} with {names}"),
        (_, false) => format!("Repaired: {files} with {names}, {}", text::size(report.bytes)),
    }];
    let repaired = |damage: &&Damage| damage.is_repaired;
    for damage in report.damage.iter().filter(repaired).take(REPAIRED_SHOWN) {
        let snapshots = text::counted(damage.snapshots.len() as u64, "snapshot", "snapshots");
        let from = damage.good_copy.as_ref().map(|copy| format!(", from {}", text::path(copy.path())));
        lines.push(format!("  {} in {snapshots}{}", text::path(&damage.path), from.unwrap_or_default()));
    }
    let more = report.damage.iter().filter(repaired).count().saturating_sub(REPAIRED_SHOWN);
    if more > 0 {
        lines.push(format!("  … and {} more", text::count(more as u64)));
    }
    lines.push(format!(
        "  read  {}, {}",
        text::counted(report.files_read, "file", "files"),
        text::size(report.bytes_read)
    ));
    lines.push(format!("  took  {}", text::duration(Duration::from_nanos(report.elapsed_ns))));
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

/// The report of `repair`.
#[derive(Serialize)]
struct RepairFields {
    dry_run: bool,
    repaired: u64,
    names: u64,
    bytes: u64,
    files_read: u64,
    bytes_read: u64,
    damaged: Vec<DamageFields>,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
}

impl RepairFields {
    fn new(report: &RepairReport, dry_run: bool) -> Self {
        Self {
            dry_run,
            repaired: report.repaired,
            names: report.names,
            bytes: report.bytes,
            files_read: report.files_read,
            bytes_read: report.bytes_read,
            damaged: DamageFields::all(&report.damage),
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}
