//! `hardback snapshots`: what there is.

use super::reports::{NoteFields, ProblemFields, SnapshotItem, tell_problems};
use crate::args::SnapshotsArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text::{self, Align};
use hardback_engine::catalog::{self, Snapshot, Snapshots, Unsealed};
use hardback_engine::{Notes, notes, timestamp};
use serde::Serialize;

/// The report of `snapshots`.
#[derive(Serialize)]
struct SnapshotsReport {
    snapshots: usize,
    problems: usize,
    first_problems: Vec<ProblemFields>,
}

/// Lists snapshots, oldest first, job by job.
pub(crate) fn run(args: &SnapshotsArgs, env: &Env) -> anyhow::Result<Exit> {
    let path = env.absolute(&args.target)?;
    let target = env.open_target(&path)?;
    let jobs = match &args.job {
        Some(job) => vec![catalog::choose_job(&target, Some(job), &env.host)?],
        None => catalog::jobs(&target)?,
    };
    let mut count = 0;
    let mut problems = Vec::new();
    for job in &jobs {
        let Snapshots { sealed: snapshots, unsealed } = match catalog::snapshots(&target, job) {
            Err(error) if args.job.is_none() => {
                problems.push(catalog::closed_job(job, error)?);
                continue;
            }
            other => other?,
        };
        problems.extend(unsealed.iter().map(Unsealed::problem));
        let mut notes = notes(&target, job)?;
        problems.append(&mut notes.problems);
        if env.ui.is_json() {
            for snapshot in &snapshots {
                env.ui.item(
                    "snapshot",
                    &SnapshotItem::new(&path, snapshot, NoteFields::new(&notes.of(&snapshot.name))),
                )?;
            }
        } else if !snapshots.is_empty() {
            if count > 0 {
                env.ui.line("")?;
            }
            env.ui.line(&format!("job {job}:"))?;
            for line in table(&snapshots, &notes) {
                env.ui.line(&line)?;
            }
        }
        count += snapshots.len();
    }
    let exit = Exit::of_problems(problems.len() as u64);
    if env.ui.is_json() {
        let first_problems = ProblemFields::all(&problems);
        let report = SnapshotsReport { snapshots: count, problems: problems.len(), first_problems };
        return Ok(env.ui.report("snapshots", exit, &report)?);
    }
    if count == 0 && problems.is_empty() {
        env.ui.message("there are no snapshots yet");
    }
    tell_problems(problems.len() as u64, &problems, env);
    Ok(exit)
}

fn table(snapshots: &[Snapshot], notes: &Notes) -> Vec<String> {
    let heads = [
        ("snapshot", Align::Left),
        ("when", Align::Left),
        ("entries", Align::Right),
        ("bytes", Align::Right),
        ("new bytes", Align::Right),
        ("problems", Align::Right),
    ];
    let row = |s: &Snapshot| {
        let totals = &s.seal.totals;
        [
            s.name.clone(),
            text::local_time(timestamp(s.seal.started), s.seal.utc_offset_s),
            text::count(totals.entries),
            text::size(totals.bytes),
            text::size(totals.new_bytes),
            if totals.problems == 0 { "-".to_owned() } else { text::count(totals.problems) },
        ]
    };
    let mut lines = text::table(heads, &snapshots.iter().map(row).collect::<Vec<_>>());
    // What people say has any length: it stands behind the columns, and only where something is said.
    for (line, snapshot) in lines.iter_mut().skip(1).zip(snapshots) {
        let words = NoteFields::new(&notes.of(&snapshot.name)).words();
        if !words.is_empty() {
            line.push_str("  ");
            line.push_str(&words);
        }
    }
    lines
}
