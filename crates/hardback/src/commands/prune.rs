//! `hardback prune`: snapshots go when the rules say so. `backup` uses its second half.

use super::reports::{NoteFields, ProblemFields, SnapshotItem, tell_problems};
use crate::args::PruneArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::text::{self, Align};
use hardback_engine::{Cause, Decided, Fate, PruneOptions, PruneReport, prune, timestamp};
use hardback_engine::{Clock, catalog};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Prunes.
pub(crate) fn run(args: &PruneArgs, env: &Env) -> anyhow::Result<Exit> {
    let path = env.absolute(&args.target)?;
    let target = env.open_target(&path)?;
    let options = PruneOptions {
        dry_run: args.dry_run,
        finish_only: args.finish,
        ..args.retention.options(&env.clock).map_err(|error| Usage::from_refusal(&error))?
    };
    // The trash is that of all jobs.
    let job = if args.finish { String::new() } else { catalog::choose_job(&target, args.job.as_deref(), &env.host)? };
    let report = env.with_progress(|ctx| prune(ctx, &target, &job, &options))?;
    let exit = exit_of(&report);
    if env.ui.is_json() {
        for decided in &report.decided {
            env.ui.item("decision", &DecisionItem::new(&path, decided))?;
        }
        return Ok(env.ui.report("prune", exit, &PruneFields::new(&report, args.dry_run))?);
    }
    if !args.finish {
        let lines = table(&report);
        match args.dry_run {
            true => lines.iter().try_for_each(|line| env.ui.line(line))?,
            false => lines.iter().try_for_each(|line| env.ui.summary(line))?,
        }
    }
    tell(&report, args.dry_run, env)?;
    if args.finish && report.unlinked == 0 && report.problem_count == 0 {
        env.ui.message("there is nothing in the trash");
    }
    if !args.finish && !options.may_remove() {
        env.ui.message("nothing says what may go; see --keep-last, --keep-daily, --keep and --min-free");
    }
    let tags = report.decided.iter().flat_map(|decided| &decided.note.tags).collect::<Vec<_>>();
    for tag in options.rules.tags.iter().filter(|tag| !tags.contains(tag)) {
        env.ui.notice(&format!("no snapshot has the tag {tag}"));
    }
    if let Some(within) = options.rules.within {
        let since = timestamp(env.clock.now()).checked_sub(within).unwrap_or_default();
        env.ui.message(&format!("--keep-within keeps all since {}", text::time_in(since, &env.clock.zone())));
    }
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

/// Returns how a pruning ends. That it is suspended counts more than single entries.
pub(crate) fn exit_of(report: &PruneReport) -> Exit {
    if report.suspended.is_empty() { Exit::of_problems(report.problem_count) } else { Exit::Suspended }
}

/// Tells what a pruning did; `backup` shows this part only.
pub(crate) fn tell(report: &PruneReport, is_dry_run: bool, env: &Env) -> anyhow::Result<()> {
    for suspension in &report.suspended {
        env.ui.problem_line(&format!("pruning of job {} is suspended: {suspension}", report.job));
        env.ui.problem_line(&format!("  {}", suspension.hint()));
    }
    let is_removed = |decided: &&Decided| matches!(decided.fate, Fate::Remove(_));
    let removed = if is_dry_run && report.suspended.is_empty() {
        report.decided.iter().filter(is_removed).count()
    } else {
        report.removed.len()
    };
    let snapshots = text::counted(removed as u64, "snapshot", "snapshots");
    if is_dry_run {
        let at_least = if report.problem_count > 0 { "at least " } else { "" };
        let freed = match report.would_free_bytes {
            Some(bytes) => format!(", which would free {at_least}{}", text::size(bytes)),
            None => String::new(),
        };
        env.ui.summary(&format!("Dry run; nothing was removed. {snapshots} would go{freed}."))?;
        if let Some(lacking) = &report.lacking {
            env.ui.notice(&format!(
                "there is less room than asked for, and removing all that may go is not enough: {lacking}"
            ));
        }
        return Ok(());
    }
    if removed > 0 {
        env.ui.summary(&format!("Removed {snapshots} of job {}: {}", report.job, report.removed.join(", ")))?;
    }
    if report.unlinked > 0 {
        env.ui.summary(&format!(
            "  trash     {} unlinked in {}, {} more free on the volume",
            text::counted(report.unlinked, "entry", "entries"),
            text::duration(Duration::from_nanos(report.elapsed_ns)),
            text::size(report.freed_bytes)
        ))?;
    }
    if report.is_read {
        env.ui.notice("a restore or a verify reads the target: removing is left to the next pruning");
    }
    if report.is_busy {
        env.ui.notice("another process empties the trash");
    }
    Ok(())
}

fn table(report: &PruneReport) -> Vec<String> {
    let heads = [
        ("snapshot", Align::Left),
        ("when", Align::Left),
        ("problems", Align::Right),
        ("frees", Align::Right),
        ("", Align::Left),
        ("why", Align::Left),
    ];
    let row = |decided: &Decided| {
        let seal = &decided.snapshot.seal;
        let (word, why) = fate(&decided.fate, !report.suspended.is_empty());
        [
            decided.snapshot.name.clone(),
            text::local_time(timestamp(seal.started), seal.utc_offset_s),
            if seal.totals.problems == 0 { "-".to_owned() } else { text::count(seal.totals.problems) },
            decided.frees_bytes.map_or_else(|| "-".to_owned(), text::size),
            word.to_owned(),
            why,
        ]
    };
    if report.decided.is_empty() {
        return Vec::new();
    }
    text::table(heads, &report.decided.iter().map(row).collect::<Vec<_>>())
}

/// Returns the word and the reasons.
fn fate(fate: &Fate, is_suspended: bool) -> (&'static str, String) {
    match fate {
        Fate::Keep(reasons) if reasons.is_empty() => ("keep", "pruning is suspended".to_owned()),
        Fate::Keep(reasons) => ("keep", reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        Fate::Remove(cause) if is_suspended => ("keep", format!("pruning is suspended; else: {}", cause_text(cause))),
        Fate::Remove(cause) => ("remove", cause_text(cause)),
    }
}

fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::NoRule => "no rule keeps it".to_owned(),
        Cause::Room(lacking) => format!("oldest, for room: {lacking}"),
    }
}

/// What becomes of a snapshot.
#[derive(Serialize)]
struct DecisionItem {
    #[serde(flatten)]
    snapshot: SnapshotItem,
    decision: &'static str,
    reasons: Vec<String>,
    frees_bytes: Option<u64>,
}

impl DecisionItem {
    fn new(target: &Path, decided: &Decided) -> Self {
        let (decision, reasons) = match &decided.fate {
            Fate::Keep(reasons) => ("keep", reasons.iter().map(ToString::to_string).collect()),
            Fate::Remove(cause) => ("remove", vec![cause_text(cause)]),
        };
        let note = NoteFields::new(&decided.note);
        Self {
            snapshot: SnapshotItem::new(target, &decided.snapshot, note),
            decision,
            reasons,
            frees_bytes: decided.frees_bytes,
        }
    }
}

/// The report of `prune`, and a part of that of `backup`.
#[derive(Serialize)]
pub(crate) struct PruneFields {
    job: String,
    dry_run: bool,
    suspended: Vec<SuspensionFields>,
    removed_snapshots: Vec<String>,
    would_free_bytes: Option<u64>,
    unlinked: u64,
    freed_bytes: u64,
    is_read: bool,
    trash_is_busy: bool,
    lacking_room: Option<String>,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    locked_s: f64,
    elapsed_s: f64,
}

/// Why nothing was removed.
#[derive(Serialize)]
struct SuspensionFields {
    why: String,
    hint: String,
}

impl PruneFields {
    /// Takes over the engine's.
    pub(crate) fn new(report: &PruneReport, dry_run: bool) -> Self {
        let suspended = report.suspended.iter();
        Self {
            job: report.job.clone(),
            dry_run,
            suspended: suspended.map(|s| SuspensionFields { why: s.to_string(), hint: s.hint() }).collect(),
            removed_snapshots: report.removed.clone(),
            would_free_bytes: report.would_free_bytes,
            unlinked: report.unlinked,
            freed_bytes: report.freed_bytes,
            is_read: report.is_read,
            trash_is_busy: report.is_busy,
            lacking_room: report.lacking.clone(),
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            locked_s: Duration::from_nanos(report.locked_ns).as_secs_f64(),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}
