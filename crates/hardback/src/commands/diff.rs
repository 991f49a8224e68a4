//! `hardback diff`: what changed.

use super::output::Output;
use super::reports::{ProblemFields, tell_problems};
use crate::args::DiffArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::catalog::Unsealed;
use hardback_engine::system::kind_code;
use hardback_engine::{Change, Clock, DiffOptions, DiffReport, Difference, Tally, catalog, diff};
use serde::Serialize;

/// Compares.
pub(crate) fn run(args: &DiffArgs, env: &Env) -> anyhow::Result<Exit> {
    let target = env.open_target(&env.absolute(&args.target)?)?;
    let job = catalog::choose_job(&target, args.job.as_deref(), &env.host)?;
    let all = catalog::snapshots(&target, &job)?;
    let mut passed_over = Vec::new();
    let mut name = |when: &str| {
        let (snapshot, more) = catalog::find_snapshot(&all, when, env.clock.now(), &env.clock.zone())?;
        passed_over.extend(more.iter().map(Unsealed::problem));
        Ok::<_, anyhow::Error>(snapshot.name)
    };
    let options = DiffOptions { a: name(&args.a)?, b: args.b.as_deref().map(&mut name).transpose()?, job };
    let mut output = Output::new(env);
    let result = env.with_progress(|ctx| {
        diff(ctx, &target, &options, &mut |difference| {
            output.write(|ui| match ui.is_json() {
                true => ui.item("difference", &DifferenceItem::new(difference)),
                false => ui.line(&sentence(difference)),
            });
        })
    });
    let mut report = output.finish(result)?;
    report.problem_count += passed_over.len() as u64;
    report.problems.splice(0..0, passed_over);
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        return Ok(env.ui.report("diff", exit, &DiffFields::new(&report, &options))?);
    }
    tell(&report, &options, env)?;
    Ok(exit)
}

/// Returns a line of the result: a sign, the path, and what else there is to say.
fn sentence(difference: &Difference) -> String {
    let slash = if kind_code(difference.kind) == "dir" && !difference.path.is_empty() { "/" } else { "" };
    let path = format!("{}{slash}", text::path(&difference.path));
    let sizes = match (difference.old_bytes, difference.new_bytes) {
        (Some(old), Some(new)) => format!("  ({} to {})", text::size(old), text::size(new)),
        _ => String::new(),
    };
    let one_size =
        difference.new_bytes.or(difference.old_bytes).map(|n| format!("  ({})", text::size(n))).unwrap_or_default();
    match &difference.change {
        Change::Added => format!("+ {path}{one_size}"),
        Change::Removed => format!("- {path}{one_size}"),
        Change::Content => format!("M {path}{sizes}"),
        Change::Metadata(parts) => format!("m {path}  ({})", parts.join(", ")),
        Change::Kind => format!("T {path}  (now {})", kind_code(difference.kind)),
        Change::Moved { from } => format!("R {}{slash} -> {path}", text::path(from)),
    }
}

fn tell(report: &DiffReport, options: &DiffOptions, env: &Env) -> anyhow::Result<()> {
    let new = options.b.as_deref().unwrap_or("the source as it is now");
    let parts = [
        ("added", report.added),
        ("removed", report.removed),
        ("with other content", report.content),
        ("with other metadata only", report.metadata),
        ("of another kind", report.kind),
        ("moved", report.moved),
    ];
    let some = parts.iter().filter(|(_, tally)| tally.entries > 0);
    let mut said: Vec<String> = some
        .map(|(word, tally)| format!("{} {word} ({})", text::count(tally.entries), text::size(tally.bytes)))
        .collect();
    said.push(format!("{} unchanged", text::count(report.unchanged)));
    env.ui.message(&format!("from {} to {new}: {}", options.a, said.join(", ")));
    if report.left_out > 0 {
        env.ui.message(&format!("{} left out by the backup's rules", text::count(report.left_out)));
    }
    tell_problems(report.problem_count, &report.problems, env);
    Ok(())
}

/// A difference.
#[derive(Serialize)]
struct DifferenceItem<'a> {
    path: String,
    kind: &'static str,
    change: &'static str,
    from: Option<String>,
    parts: &'a [&'static str],
    old_bytes: Option<u64>,
    new_bytes: Option<u64>,
}

impl<'a> DifferenceItem<'a> {
    fn new(difference: &'a Difference) -> Self {
        let (change, from, parts) = match &difference.change {
            Change::Added => ("added", None, &[][..]),
            Change::Removed => ("removed", None, &[][..]),
            Change::Content => ("content", None, &[][..]),
            Change::Metadata(parts) => ("metadata", None, &parts[..]),
            Change::Kind => ("kind", None, &[][..]),
            Change::Moved { from } => ("moved", Some(text::json_bytes(from)), &[][..]),
        };
        let path = text::json_bytes(&difference.path);
        let (old_bytes, new_bytes) = (difference.old_bytes, difference.new_bytes);
        Self { path, kind: kind_code(difference.kind), change, from, parts, old_bytes, new_bytes }
    }
}

/// A number of entries and their bytes.
#[derive(Serialize)]
struct TallyFields {
    entries: u64,
    bytes: u64,
}

impl From<Tally> for TallyFields {
    fn from(tally: Tally) -> Self {
        Self { entries: tally.entries, bytes: tally.bytes }
    }
}

/// The report of `diff`.
#[derive(Serialize)]
struct DiffFields<'a> {
    job: &'a str,
    a: &'a str,
    b: Option<&'a str>,
    added: TallyFields,
    removed: TallyFields,
    content: TallyFields,
    metadata: TallyFields,
    other_kind: TallyFields,
    moved: TallyFields,
    unchanged: u64,
    left_out: u64,
    problems: u64,
    first_problems: Vec<ProblemFields>,
}

impl<'a> DiffFields<'a> {
    fn new(report: &DiffReport, options: &'a DiffOptions) -> Self {
        Self {
            job: &options.job,
            a: &options.a,
            b: options.b.as_deref(),
            added: report.added.into(),
            removed: report.removed.into(),
            content: report.content.into(),
            metadata: report.metadata.into(),
            other_kind: report.kind.into(),
            moved: report.moved.into(),
            unchanged: report.unchanged,
            left_out: report.left_out,
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
        }
    }
}
