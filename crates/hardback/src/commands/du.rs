//! `hardback du`: what snapshots take, and what removing them would free.

use super::named::names_of;
use super::reports::{ProblemFields, tell_problems};
use crate::args::DuArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text::{self, Align};
use hardback_engine::{DuOptions, DuReport, JobUsage, SnapshotUsage, Usage, du};
use serde::Serialize;
use std::io;
use std::time::Duration;

/// Counts.
pub(crate) fn run(args: &DuArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let options = DuOptions {
        job: args.job.clone(),
        snapshots: names_of(&args.snapshots, args.job.as_deref(), &target, env)?,
        depth: usize::from(args.depth),
        workers: 0,
    };
    let report = env.with_progress(|ctx| du(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count);
    let is_named = !options.snapshots.is_empty();
    if env.ui.is_json() {
        return tell_json(&report, is_named, exit, env);
    }
    for (index, job) in report.jobs.iter().enumerate() {
        if index > 0 {
            env.ui.line("")?;
        }
        tell(job, is_named, report.problem_count > 0, env)?;
    }
    if report.jobs.is_empty() && report.problem_count == 0 {
        env.ui.message("there are no snapshots yet");
    }
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

fn tell(job: &JobUsage, is_named: bool, is_least: bool, env: &Env) -> anyhow::Result<()> {
    let at_least = if is_least { "at least " } else { "" };
    env.ui.line(&format!("job {}:", job.job))?;
    for line in table(&job.snapshots) {
        env.ui.line(&line)?;
    }
    let (entries, bytes) = on_disk(job);
    let (sum, records) = (text::size(bytes), text::size(job.record_bytes));
    let files = text::counted(entries, "file or folder", "files and folders");
    env.ui.line(&format!("on the disk: {at_least}{sum} in {files}, and {records} of records"))?;
    if is_named {
        let those = match job.snapshots.len() {
            1 => "this snapshot".to_owned(),
            n => format!("these {} snapshots", text::count(n as u64)),
        };
        let freed = text::size(job.freed.bytes);
        let entries = text::counted(job.freed.entries, "entry", "entries");
        env.ui.line(&format!("removing {those} would free {at_least}{freed} in {entries}"))?;
    }
    for snapshot in job.snapshots.iter().filter(|snapshot| !snapshot.folders.is_empty()) {
        env.ui.line(&format!("\n{}:", snapshot.snapshot))?;
        for line in folders(snapshot) {
            env.ui.line(&line)?;
        }
    }
    Ok(())
}

/// Returns the files and folders of the counted snapshots and their bytes, each once.
fn on_disk(job: &JobUsage) -> (u64, u64) {
    let add = |(entries, bytes), s: &SnapshotUsage| (entries + s.cumulative_entries, bytes + s.cumulative_bytes);
    job.snapshots.iter().fold((0, 0), add)
}

fn table(snapshots: &[SnapshotUsage]) -> Vec<String> {
    let heads = [
        ("snapshot", Align::Left),
        ("entries", Align::Right),
        ("bytes", Align::Right),
        ("unique", Align::Right),
        ("shared", Align::Right),
        ("cumulative", Align::Right),
    ];
    let row = |s: &SnapshotUsage| {
        let [entries, bytes, unique, shared] = columns(&s.usage);
        [s.snapshot.clone(), entries, bytes, unique, shared, text::size(s.cumulative_bytes)]
    };
    text::table(heads, &snapshots.iter().map(row).collect::<Vec<_>>())
}

/// Returns the lines about the folders of a snapshot. The path comes last, as it can hold anything.
fn folders(snapshot: &SnapshotUsage) -> Vec<String> {
    let heads = [
        ("entries", Align::Right),
        ("bytes", Align::Right),
        ("unique", Align::Right),
        ("shared", Align::Right),
        ("folder", Align::Left),
    ];
    let rows = snapshot.folders.iter().map(|folder| {
        let [entries, bytes, unique, shared] = columns(&folder.usage);
        [entries, bytes, unique, shared, text::path(&folder.path)]
    });
    text::table(heads, &rows.collect::<Vec<_>>())
}

fn columns(usage: &Usage) -> [String; 4] {
    [
        text::count(usage.entries),
        text::size(usage.bytes),
        text::size(usage.unique_bytes),
        text::size(usage.shared_bytes()),
    ]
}

fn tell_json(report: &DuReport, is_named: bool, exit: Exit, env: &Env) -> anyhow::Result<Exit> {
    for job in &report.jobs {
        job.snapshots.iter().try_for_each(|snapshot| tell_items(job, snapshot, env))?;
    }
    let sum = |of: fn(&JobUsage) -> u64| report.jobs.iter().map(of).sum::<u64>();
    let fields = DuFields {
        snapshots: report.jobs.iter().map(|job| job.snapshots.len()).sum(),
        disk_entries: sum(|job| on_disk(job).0),
        disk_bytes: sum(|job| on_disk(job).1),
        record_bytes: sum(|job| job.record_bytes),
        freed_entries: is_named.then(|| sum(|job| job.freed.entries)),
        freed_bytes: is_named.then(|| sum(|job| job.freed.bytes)),
        at_least: report.problem_count > 0,
        problems: report.problem_count,
        first_problems: ProblemFields::all(&report.problems),
        elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
    };
    Ok(env.ui.report("du", exit, &fields)?)
}

fn tell_items(job: &JobUsage, snapshot: &SnapshotUsage, env: &Env) -> io::Result<()> {
    let item = UsageItem {
        job: &job.job,
        snapshot: &snapshot.snapshot,
        usage: UsageFields::new(&snapshot.usage),
        cumulative_entries: snapshot.cumulative_entries,
        cumulative_bytes: snapshot.cumulative_bytes,
    };
    env.ui.item("usage", &item)?;
    snapshot.folders.iter().try_for_each(|folder| {
        let path = text::json_bytes(&folder.path);
        let usage = UsageFields::new(&folder.usage);
        env.ui.item("folder", &FolderItem { job: &job.job, snapshot: &snapshot.snapshot, path, usage })
    })
}

/// What a snapshot takes.
#[derive(Serialize)]
struct UsageItem<'a> {
    job: &'a str,
    snapshot: &'a str,
    #[serde(flatten)]
    usage: UsageFields,
    cumulative_entries: u64,
    cumulative_bytes: u64,
}

/// What a folder of a snapshot takes.
#[derive(Serialize)]
struct FolderItem<'a> {
    job: &'a str,
    snapshot: &'a str,
    path: String,
    #[serde(flatten)]
    usage: UsageFields,
}

/// What both of them tell.
#[derive(Serialize)]
struct UsageFields {
    entries: u64,
    bytes: u64,
    unique_entries: u64,
    unique_bytes: u64,
    shared_bytes: u64,
}

impl UsageFields {
    fn new(usage: &Usage) -> Self {
        Self {
            entries: usage.entries,
            bytes: usage.bytes,
            unique_entries: usage.unique_entries,
            unique_bytes: usage.unique_bytes,
            shared_bytes: usage.shared_bytes(),
        }
    }
}

/// The report of `du`.
#[derive(Serialize)]
struct DuFields {
    snapshots: usize,
    disk_entries: u64,
    disk_bytes: u64,
    record_bytes: u64,
    freed_entries: Option<u64>,
    freed_bytes: Option<u64>,
    at_least: bool,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
}
