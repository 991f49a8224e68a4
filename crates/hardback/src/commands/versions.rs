//! `hardback versions`: one path over time.

use super::reports::{ProblemFields, tell_problems};
use crate::args::VersionsArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text::{self, Align};
use hardback_engine::system::{kind_code, snapshot_path};
use hardback_engine::{Clock, Version, VersionChange, Versions, catalog, timestamp, versions};
use serde::Serialize;

/// Tells the versions of a path, oldest first.
pub(crate) fn run(args: &VersionsArgs, env: &Env) -> anyhow::Result<Exit> {
    let path = snapshot_path(&args.path)?;
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let job = catalog::choose_job(&target, args.job.as_deref(), &env.host)?;
    let found = env.with_progress(|ctx| versions(ctx, &target, &job, &path))?;
    let exit = Exit::of_problems(found.problem_count);
    if env.ui.is_json() {
        for version in &found.versions {
            env.ui.item("version", &VersionItem::new(version))?;
        }
        let report = VersionsFields {
            job,
            path: text::json_bytes(&path),
            versions: found.versions.len(),
            absent: &found.absent,
            not_read: &found.not_read,
            unreadable: &found.unreadable,
            problems: found.problem_count,
            first_problems: ProblemFields::all(&found.problems),
        };
        return Ok(env.ui.report("versions", exit, &report)?);
    }
    tell(&found, env)?;
    Ok(exit)
}

fn tell(found: &Versions, env: &Env) -> anyhow::Result<()> {
    let heads = [
        ("first", Align::Left),
        ("last", Align::Left),
        ("snapshots", Align::Right),
        ("changed", Align::Left),
        ("bytes", Align::Right),
        ("what is new", Align::Left),
    ];
    let zone = env.clock.zone();
    let row = |v: &Version| {
        [
            v.first.clone(),
            v.last.clone(),
            text::count(v.snapshots.len() as u64),
            text::time_in(timestamp(v.mtime), &zone),
            if kind_code(v.kind) == "file" { text::size(v.size_bytes) } else { "-".to_owned() },
            what_is_new(v),
        ]
    };
    let mut rows: Vec<_> = found.versions.iter().map(row).collect();
    if let (Some(first), Some(last)) = (found.not_read.first(), found.not_read.last()) {
        let snapshots = text::count(found.not_read.len() as u64);
        let none = || "-".to_owned();
        rows.push([first.clone(), last.clone(), snapshots, none(), none(), "could not be read".to_owned()]);
    }
    for line in text::table(heads, &rows) {
        env.ui.line(&line)?;
    }
    if !found.absent.is_empty() {
        env.ui.message(&format!("not in {}", found.absent.join(", ")));
    }
    tell_problems(found.problem_count, &found.problems, env);
    Ok(())
}

fn what_is_new(version: &Version) -> String {
    match &version.change {
        VersionChange::First => "first version".to_owned(),
        VersionChange::Content => "content".to_owned(),
        VersionChange::Metadata(parts) => parts.join(", "),
        VersionChange::Kind => format!("now {}", kind_code(version.kind)),
    }
}

/// A version.
#[derive(Serialize)]
struct VersionItem<'a> {
    first: &'a str,
    last: &'a str,
    snapshots: &'a [String],
    kind: &'static str,
    bytes: u64,
    modified: String,
    change: &'static str,
    parts: &'a [&'static str],
}

impl<'a> VersionItem<'a> {
    fn new(version: &'a Version) -> Self {
        let (change, parts) = match &version.change {
            VersionChange::First => ("first", &[][..]),
            VersionChange::Content => ("content", &[][..]),
            VersionChange::Metadata(parts) => ("metadata", &parts[..]),
            VersionChange::Kind => ("kind", &[][..]),
        };
        Self {
            first: &version.first,
            last: &version.last,
            snapshots: &version.snapshots,
            kind: kind_code(version.kind),
            bytes: version.size_bytes,
            modified: timestamp(version.mtime).to_string(),
            change,
            parts,
        }
    }
}

/// The report of `versions`.
#[derive(Serialize)]
struct VersionsFields<'a> {
    job: String,
    path: String,
    versions: usize,
    absent: &'a [String],
    not_read: &'a [String],
    unreadable: &'a [String],
    problems: u64,
    first_problems: Vec<ProblemFields>,
}
