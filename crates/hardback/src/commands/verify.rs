//! `hardback verify`: proves that snapshots are whole.

use super::named::names_of;
use super::reports::{DamageFields, ProblemFields, tell_problems};
use crate::args::VerifyArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::{VerifyLevel, VerifyOptions, VerifyReport, verify};
use serde::Serialize;
use std::time::Duration;

/// Changed entries that are shown to a person.
const CHANGED_SHOWN: usize = 20;

/// Verifies.
pub(crate) fn run(args: &VerifyArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let level = match (args.quick, args.sample) {
        (true, _) => VerifyLevel::Quick,
        (false, Some(percent)) => VerifyLevel::Sample(percent.part()),
        (false, None) => VerifyLevel::Full,
    };
    let options = VerifyOptions {
        job: args.job.clone(),
        snapshots: names_of(&args.snapshots, args.job.as_deref(), &target, env)?,
        level,
        against_source: args.against_source,
        workers: 0,
    };
    let report = env.with_progress(|ctx| verify(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        return Ok(env.ui.report("verify", exit, &VerifyFields::new(&report, level))?);
    }
    tell(&report, args, env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

fn tell(report: &VerifyReport, args: &VerifyArgs, env: &Env) -> anyhow::Result<()> {
    let verdict = match (report.problem_count, report.incomplete.is_empty()) {
        (0, true) => "All is well",
        (0, false) => "All that was stored is well",
        _ => "Not all is well",
    };
    let mut lines = vec![
        format!(
            "{verdict}: {}, {}",
            text::counted(report.snapshots, "snapshot", "snapshots"),
            text::counted(report.entries, "entry", "entries")
        ),
        format!(
            "  read  {}, {}{}",
            text::counted(report.files_read, "file", "files"),
            text::size(report.bytes_read),
            match report.shared {
                0 => String::new(),
                n => format!(" ({} for the same files)", text::counted(n, "more name", "more names")),
            }
        ),
        format!("  took  {}", text::duration(Duration::from_nanos(report.elapsed_ns))),
    ];
    for (snapshot, problems) in &report.incomplete {
        let entries = text::counted(*problems, "entry was", "entries were");
        lines.push(format!("note: {entries} missing or not exact when {snapshot} was made"));
    }
    if args.against_source {
        lines.extend(changes(report));
    }
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

/// Returns the lines of the comparison with the source.
fn changes(report: &VerifyReport) -> Vec<String> {
    // Where only one snapshot was compared, it is named once.
    let (since, prefix) = match &report.compared[..] {
        [snapshot] => (format!(" {snapshot}"), format!("{snapshot}/")),
        _ => (String::new(), String::new()),
    };
    let mut lines = vec![format!(
        "At the source: {}, read {}, {}",
        text::counted(report.source.entries, "entry", "entries"),
        text::counted(report.source.files, "file", "files"),
        text::size(report.source.bytes)
    )];
    if report.changed_count == 0 {
        lines.push(format!("Nothing changed at the source since{since}."));
        return lines;
    }
    let entries = text::counted(report.changed_count, "entry", "entries");
    lines.push(format!("{entries} changed at the source since{since}:"));
    let shown = report.changed.iter().take(CHANGED_SHOWN);
    lines.extend(shown.map(|path| {
        let path = path.strip_prefix(prefix.as_bytes()).unwrap_or(path);
        format!("  {}", text::path(path))
    }));
    let more = report.changed_count.saturating_sub(CHANGED_SHOWN as u64);
    if more > 0 {
        lines.push(format!("  … and {} more", text::count(more)));
    }
    lines
}

/// The report of `verify`.
#[derive(Serialize)]
struct VerifyFields<'a> {
    level: &'static str,
    sample: Option<f64>,
    snapshots: u64,
    entries: u64,
    files_read: u64,
    bytes_read: u64,
    shared: u64,
    compared: &'a [String],
    source_entries: u64,
    source_files_read: u64,
    source_bytes_read: u64,
    changed: u64,
    first_changed: Vec<String>,
    incomplete: Vec<IncompleteFields<'a>>,
    notices: &'a [String],
    problems: u64,
    first_problems: Vec<ProblemFields>,
    damaged: Vec<DamageFields>,
    elapsed_s: f64,
}

/// A snapshot that was sealed with problems.
#[derive(Serialize)]
struct IncompleteFields<'a> {
    snapshot: &'a str,
    problems: u64,
}

impl<'a> VerifyFields<'a> {
    fn new(report: &'a VerifyReport, level: VerifyLevel) -> Self {
        let (level, sample) = match level {
            VerifyLevel::Quick => ("quick", None),
            VerifyLevel::Sample(part) => ("sample", Some(part)),
            VerifyLevel::Full => ("full", None),
        };
        let incomplete = report.incomplete.iter();
        Self {
            level,
            sample,
            snapshots: report.snapshots,
            entries: report.entries,
            files_read: report.files_read,
            bytes_read: report.bytes_read,
            shared: report.shared,
            compared: &report.compared,
            source_entries: report.source.entries,
            source_files_read: report.source.files,
            source_bytes_read: report.source.bytes,
            changed: report.changed_count,
            first_changed: report.changed.iter().map(|path| text::json_bytes(path)).collect(),
            incomplete: incomplete
                .map(|(snapshot, problems)| IncompleteFields { snapshot, problems: *problems })
                .collect(),
            notices: &report.notices,
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            damaged: DamageFields::all(&report.damage),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}
