//! `hardback restore`: files come back.

use super::excludes::excludes;
use super::reports::{LimitationFields, ProblemFields, limitation_lines, tell_problems};
use crate::args::{OverwriteArg, RestoreArgs};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::{Ui, text};
use hardback_engine::catalog::{self, Unsealed};
use hardback_engine::system::{path_bytes, path_from_bytes, snapshot_path};
use hardback_engine::{
    Answer, Clock, Overwrite, Place, Protected, RestoreAction, RestoreOptions, RestoreReport, Target, restore,
};
use serde::Serialize;
use std::time::Duration;

/// Actions that are shown to a person.
const ACTIONS_SHOWN: usize = 50;

/// Restores.
pub(crate) fn run(args: &RestoreArgs, env: &Env) -> anyhow::Result<Exit> {
    if args.overwrite == OverwriteArg::Ask && !env.ui.can_ask() {
        return Err(Usage::new("there is nobody to ask", "--overwrite ask needs a terminal").into());
    }
    if args.protect.is_given() && !args.delete {
        let hint = "they say what --delete leaves alone; name the paths to restore instead";
        return Err(Usage::new("exclude options mean nothing to a restore without --delete", hint).into());
    }
    let path = env.absolute(&args.target)?;
    let target = env.open_target(&path)?;
    let job = catalog::choose_job(&target, args.job.as_deref(), &env.host)?;
    let all = catalog::snapshots(&target, &job)?;
    let (snapshot, passed_over) = catalog::find_snapshot(&all, &args.at, env.clock.now(), &env.clock.zone())?;
    let place = match &args.to {
        Some(dir) => Place::To(env.absolute(dir)?),
        None => Place::InPlace,
    };
    let options = RestoreOptions {
        paths: args.paths.iter().map(|path| snapshot_path(path)).collect::<Result<_, _>>()?,
        overwrite: overwrite(args.overwrite),
        keep_replaced: !args.no_keep,
        numeric_owner: args.numeric_owner,
        delete: args.delete,
        protected: protected(args, &target, &job, &snapshot.name, env)?,
        delete_excluded: args.protect.delete_excluded,
        dry_run: args.dry_run,
        ..RestoreOptions::new(&job, &snapshot.name, place)
    };
    let mut report =
        env.with_progress(|ctx| restore(ctx, &target, &options, &mut |existing| ask(&env.ui, existing.as_bytes())))?;
    report.problem_count += passed_over.len() as u64;
    report.problems.splice(0..0, passed_over.iter().map(Unsealed::problem));
    let exit = Exit::of_problems(report.problem_count);
    if env.ui.is_json() {
        return Ok(env.ui.report("restore", exit, &RestoreFields::new(&report, &options))?);
    }
    tell(&report, &options, env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

/// Returns what a delete leaves alone. Patterns count from the sources, as for the backup.
fn protected(args: &RestoreArgs, target: &Target, job: &str, snapshot: &str, env: &Env) -> anyhow::Result<Protected> {
    if !args.protect.is_given() {
        return Ok(Protected::default());
    }
    let reader = catalog::open_manifest(target, job, snapshot)?;
    let sources: Vec<_> = reader.header().sources.iter().filter_map(|(_, path)| path_from_bytes(path)).collect();
    let given = args.protect.excludes();
    Ok(Protected {
        excludes: excludes(&given, &[], &sources, env)?,
        max_size_file_bytes: args.protect.max_size_file,
        nodump: given.exclude_nodump,
        no_ignore_files: given.no_ignore_files,
    })
}

fn overwrite(arg: OverwriteArg) -> Overwrite {
    match arg {
        OverwriteArg::Never => Overwrite::Never,
        OverwriteArg::Newer => Overwrite::Newer,
        OverwriteArg::Ask => Overwrite::Ask,
        OverwriteArg::Always => Overwrite::Always,
    }
}

/// Asks about one existing entry. The end of the input stops the restore: nobody is there any more.
fn ask(ui: &Ui, existing: &[u8]) -> Answer {
    let question =
        format!("{} is there and differs. Replace it? [y]es, [n]o, [a]ll, [k]eep all, [q]uit: ", text::path(existing));
    loop {
        match ui.ask(&question).as_deref() {
            Some("y" | "yes") => return Answer::Replace,
            Some("n" | "no") => return Answer::Keep,
            Some("a" | "all") => return Answer::ReplaceAll,
            Some("k" | "keep all") => return Answer::KeepAll,
            Some("q" | "quit") | None => return Answer::Stop,
            Some(_) => {}
        }
    }
}

fn tell(report: &RestoreReport, options: &RestoreOptions, env: &Env) -> anyhow::Result<()> {
    let place = match &options.place {
        Place::To(dir) => format!("to {}", dir.display()),
        Place::InPlace => "to where it came from".to_owned(),
    };
    let (job, snapshot) = (&options.job, &report.snapshot);
    let mut lines = vec![match options.dry_run {
        true => format!("Dry run; nothing was written. From snapshot {snapshot} of job {job} {place}:"),
        false => format!("Restored from snapshot {snapshot} of job {job} {place}:"),
    }];
    for (path, action) in report.actions.iter().take(ACTIONS_SHOWN) {
        lines.push(format!("  {:<10}  {}", verb(*action), text::path(path)));
    }
    if let Some(more) = report.actions.len().checked_sub(ACTIONS_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  … and {} more", text::count(more as u64)));
    }
    lines.extend(counts(report));
    lines.extend(limitation_lines(&report.limitations));
    if report.kept > 0 && options.overwrite == Overwrite::Never {
        lines.push("Existing files that differ were kept; --overwrite newer, ask or always replaces them.".to_owned());
    }
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

fn verb(action: RestoreAction) -> &'static str {
    match action {
        RestoreAction::Make => "make",
        RestoreAction::Replace => "replace",
        RestoreAction::Keep => "keep",
        RestoreAction::SetAside => "set aside",
        RestoreAction::Delete => "delete",
    }
}

/// Returns the counts, a line each; what did not happen is left out.
fn counts(report: &RestoreReport) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bytes = (report.bytes > 0).then(|| text::size(report.bytes));
    if report.made > 0 {
        let size = bytes.take().unwrap_or_else(|| text::size(0));
        lines.push(format!("  made       {}, {size}", text::counted(report.made, "entry", "entries")));
    }
    let rest = [
        ("replaced ", report.replaced),
        ("unchanged", report.unchanged),
        ("kept     ", report.kept),
        ("set aside", report.set_aside),
        ("deleted  ", report.deleted),
    ];
    let some = rest.into_iter().filter(|(_, n)| *n > 0);
    lines.extend(some.map(|(word, n)| format!("  {word}  {}", text::count(n))));
    // Where nothing was made: of what was replaced.
    lines.extend(bytes.map(|size| format!("  written    {size}")));
    if report.stored_with_problem > 0 {
        let entries = text::counted(report.stored_with_problem, "entry was", "entries were");
        lines.push(format!("  {entries} stored with a problem when it was backed up: an older or changing version"));
    }
    lines.push(format!("  took       {}", text::duration(Duration::from_nanos(report.elapsed_ns))));
    lines
}

/// The report of `restore`.
#[derive(Serialize)]
struct RestoreFields {
    job: String,
    snapshot: String,
    to: Option<String>,
    dry_run: bool,
    entries: u64,
    made: u64,
    replaced: u64,
    unchanged: u64,
    kept: u64,
    linked: u64,
    set_aside: u64,
    deleted: u64,
    stored_with_problem: u64,
    bytes: u64,
    actions: Vec<ActionFields>,
    limitations: Vec<LimitationFields>,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
}

/// What was done to a path.
#[derive(Serialize)]
struct ActionFields {
    path: String,
    action: &'static str,
}

impl RestoreFields {
    fn new(report: &RestoreReport, options: &RestoreOptions) -> Self {
        let to = match &options.place {
            Place::To(dir) => Some(text::json_bytes(&path_bytes(dir))),
            Place::InPlace => None,
        };
        let actions = report.actions.iter();
        Self {
            job: options.job.clone(),
            snapshot: report.snapshot.clone(),
            to,
            dry_run: options.dry_run,
            entries: report.entries,
            made: report.made,
            replaced: report.replaced,
            unchanged: report.unchanged,
            kept: report.kept,
            linked: report.linked,
            set_aside: report.set_aside,
            deleted: report.deleted,
            stored_with_problem: report.stored_with_problem,
            bytes: report.bytes,
            actions: actions
                .map(|(path, action)| ActionFields { path: text::json_bytes(path), action: action.code() })
                .collect(),
            limitations: LimitationFields::all(&report.limitations),
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}
