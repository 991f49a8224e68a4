//! `hardback backup`: a new snapshot.

use super::excludes::excludes;
use super::prune::{self as prune_command, PruneFields};
use super::reports::{
    LimitationFields, NotedFields, ProblemFields, TotalsFields, left_out_lines, limitation_lines, noted_lines,
    tell_problems,
};
use super::system_excludes::{SystemRule, system_rules};
use super::{rights, scrub, shadow, system_excludes};
use crate::args::BackupArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::text;
use hardback_engine::system::{last_component, path_bytes};
use hardback_engine::{
    BackupOptions, BackupReport, Error, Excludes, Job, JobName, JobSource, Opened, PruneOptions, PruneReport,
    ShadowOutcome, Target, backup, check_new_target, check_shadow, find_target, note_failed_run, open_or_create_target,
    preview, prune,
};
use hardback_shadow::Mode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Entries of a dry run that are shown.
const WOULD_COPY_SHOWN: usize = 20;

/// Backs up.
pub(crate) fn run(args: &BackupArgs, env: &Env) -> anyhow::Result<Exit> {
    let shadow = shadow::of_job(args.shadow, args.shadow_size, &args.hooks, env)?;
    let mut job = Job { shadow, ..job(args, env)? };
    let sources: Vec<PathBuf> = job.sources.iter().map(|source| source.path.clone()).collect();
    if let Some(shadow) = &mut job.shadow {
        shadow.declared = system_excludes::of_writers(&args.exclude, &sources);
    }
    let frozen = args.shadow.mode() != Mode::Never;
    let mut system = system_rules(&args.exclude, &sources, frozen, env);
    system_excludes::tell(&system, env);
    let excludes = excludes(&args.exclude, &system, &sources, env)?;
    let path = env.absolute(&args.places.target)?;
    rights::tell_missing(&env.ui);
    if job.options.dry_run {
        return dry_run(&path, &job, &excludes, system, env);
    }
    if !has_target(&path) {
        // A target is not made for a run that cannot be.
        check_shadow(&job, &excludes)?;
    }
    let opened = open(&path, &job, env)?;
    let report = env.with_progress(|ctx| backup(ctx, &opened.target, &job, &excludes))?;
    if let Some(outcome) = report.shadow.as_ref().filter(|_| !args.exclude.no_system_excludes) {
        let of_writers = system_excludes::writer_rules(&outcome.report.exclusions, &sources);
        system_excludes::tell(&of_writers, env);
        system.extend(of_writers);
    }
    if !env.ui.is_json() {
        tell(&report, &path, &job, env)?;
        tell_problems(report.totals.problems, &report.problems, env);
        report.shadow.iter().for_each(|outcome| shadow::tell_problems(outcome, env));
    }
    let pruned = if job.options.prune.may_remove() { prune_behind(&opened.target, &job, env)? } else { Pruned::Not };
    let of_backup = exit_of(&report);
    let lacks_some = of_backup == Exit::Done && system.iter().any(|rule| rule.missing);
    let exit = pruned.exit(if lacks_some { Exit::Incomplete } else { of_backup });
    let scrubbed = || args.scrub.map(|share| scrub::BehindBackup::run(&opened.target, job.name.as_str(), share, env));
    if env.ui.is_json() {
        let scrubbed = scrubbed();
        let exit = scrubbed.as_ref().map_or(exit, |scrubbed| scrubbed.exit(exit));
        let fields = BackupFields::new(&report, &path, (opened.created, false));
        let fields = BackupFields { pruned: pruned.fields(), scrub: scrubbed, system_excludes: system, ..fields };
        return Ok(env.ui.report("backup", exit, &fields)?);
    }
    pruned.tell(env)?;
    match scrubbed() {
        Some(scrubbed) => scrubbed.tell(exit, env),
        None => Ok(exit),
    }
}

/// Returns how a backup ends, whatever comes behind it.
fn exit_of(report: &BackupReport) -> Exit {
    let is_as_wanted = report.shadow.as_ref().is_none_or(ShadowOutcome::is_as_wanted);
    if is_as_wanted { Exit::of_problems(report.totals.problems) } else { Exit::Incomplete }
}

fn has_target(path: &Path) -> bool {
    matches!(find_target(path, None, Default::default()), Ok(Some(_)))
}

/// What became of the pruning behind a snapshot.
enum Pruned {
    /// It was not asked for, or another run is at work and will do it.
    Not,
    Done(PruneReport),
    /// The snapshot is made all the same.
    Failed(String),
}

/// Prunes behind a snapshot, which is sealed whatever comes of it.
fn prune_behind(target: &Target, job: &Job, env: &Env) -> anyhow::Result<Pruned> {
    let options = PruneOptions { leave_busy_trash: true, ..job.options.prune.clone() };
    match env.with_progress(|ctx| prune(ctx, target, job.name.as_str(), &options)) {
        Ok(report) => Ok(Pruned::Done(report)),
        Err(Error::Locked { .. }) => {
            env.ui.notice("another run is at work on the target: pruning is left to the next one");
            Ok(Pruned::Not)
        }
        Err(Error::Interrupted) => Err(Error::Interrupted.into()),
        Err(error) => Ok(Pruned::Failed(format!("{:#}", anyhow::Error::from(error)))),
    }
}

impl Pruned {
    fn exit(&self, of_backup: Exit) -> Exit {
        match self {
            Self::Not => of_backup,
            Self::Failed(_) => Exit::Incomplete,
            Self::Done(report) => match prune_command::exit_of(report) {
                Exit::Done => of_backup,
                exit => exit,
            },
        }
    }

    fn fields(&self) -> PrunedFields {
        match self {
            Self::Not => PrunedFields { prune: None, prune_error: None },
            Self::Done(report) => PrunedFields { prune: Some(PruneFields::new(report, false)), prune_error: None },
            Self::Failed(error) => PrunedFields { prune: None, prune_error: Some(error.clone()) },
        }
    }

    fn tell(&self, env: &Env) -> anyhow::Result<()> {
        match self {
            Self::Not => {}
            Self::Failed(error) => env.ui.problem_line(&format!("pruning failed: {error}")),
            Self::Done(report) => {
                prune_command::tell(report, false, env)?;
                tell_problems(report.problem_count, &report.problems, env);
            }
        }
        Ok(())
    }
}

/// Says what a backup would do. A target that does not exist yet is not made: everything is new.
fn dry_run(path: &Path, job: &Job, excludes: &Excludes, system: Vec<SystemRule>, env: &Env) -> anyhow::Result<Exit> {
    let known = env.known_targets();
    // Whether the disk is missing comes first: where it is not mounted, everything else is about another disk.
    let target = find_target(path, known.as_ref().and_then(|known| known.id_of(path)), Default::default())?;
    check_new_target(job, path)?;
    if target.is_none() {
        env.ui.message(&format!("{} would be a new target; everything would be new there", path.display()));
    }
    let report = env.with_progress(|ctx| preview(ctx, target.as_ref(), job, excludes))?;
    let exit = exit_of(&report);
    if env.ui.is_json() {
        let fields = BackupFields { system_excludes: system, ..BackupFields::new(&report, path, (false, true)) };
        return Ok(env.ui.report("backup", exit, &fields)?);
    }
    tell_dry_run(&report, env)?;
    report.shadow.iter().try_for_each(|outcome| shadow::tell_ahead(outcome, env))?;
    tell_problems(report.totals.problems, &report.problems, env);
    Ok(exit)
}

fn job(args: &BackupArgs, env: &Env) -> anyhow::Result<Job> {
    let usage = |error: Error| Usage::from_refusal(&error);
    let name = JobName::new(args.job.as_deref().unwrap_or(&env.host)).map_err(usage)?;
    let mut sources = Vec::new();
    for source in &args.places.sources {
        let path = env.absolute(&source.path)?;
        let folder = match &source.name {
            _ if args.root => Vec::new(),
            Some(name) if name.is_empty() => {
                return Err(Usage::new("--as needs a name", "--root puts a single source at the top").into());
            }
            Some(name) => name.as_encoded_bytes().to_vec(),
            None => last_component(&path),
        };
        sources.push(JobSource { folder, path_bytes: path_bytes(&path), path });
    }
    let (placeholders, efs) = args.elsewhere.choices();
    let options = BackupOptions {
        one_file_system: args.one_file_system,
        max_size_file_bytes: args.max_size_file,
        checksum: args.checksum,
        skip_unchanged: args.skip_unchanged,
        placeholders,
        efs,
        max_links: args.max_links,
        dry_run: args.dry_run,
        allow_empty: args.allow_empty,
        exclude_nodump: args.exclude.exclude_nodump,
        no_ignore_files: args.exclude.no_ignore_files,
        same_disk: args.same_disk,
        hot_window_s: args.hot_window,
        workers: args.workers.map_or(0, usize::from),
        prune: match args.retention.is_asked() {
            true => args.retention.options(&env.clock).map_err(usage)?,
            false => PruneOptions::default(),
        },
    };
    Ok(Job::new(name, sources, options).map_err(usage)?)
}

/// Opens the target, or makes it; refuses a wrong place before anything is made there.
fn open(path: &Path, job: &Job, env: &Env) -> anyhow::Result<Opened> {
    let known = env.known_targets();
    let known_id = known.as_ref().and_then(|known| known.id_of(path));
    if known_id.is_some() {
        // Where the disk is not mounted, everything else is about another disk.
        find_target(path, known_id, Default::default())?;
    }
    if let Err(error) = check_new_target(job, path) {
        // Who would remove snapshots next is to know that the sources were not what they should be.
        if let Ok(Some(target)) = find_target(path, known_id, Default::default()) {
            env.with_progress(|ctx| note_failed_run(ctx, &target, &job.name, &error));
        }
        return Err(error.into());
    }
    let opened = open_or_create_target(path, known_id, &env.clock, Default::default())?;
    if opened.created {
        env.ui.message(&format!("{} is a new target", path.display()));
    }
    env.remember_target(known, path, &opened.target.id);
    Ok(opened)
}

fn tell(report: &BackupReport, target: &Path, job: &Job, env: &Env) -> anyhow::Result<()> {
    let totals = &report.totals;
    let mut lines = Vec::new();
    let Some(name) = report.snapshot.as_deref() else {
        let since = report.base.as_deref().unwrap_or_default();
        let took = text::duration(Duration::from_nanos(report.elapsed_ns));
        return Ok(env.ui.summary(&format!("Nothing changed since {since}; no snapshot was made ({took})."))?);
    };
    let place = target.join(&report.job).join(name);
    lines.push(format!("Snapshot {name} of job {} is complete:", report.job));
    if totals.problems > 0 {
        lines[0] = format!("Snapshot {name} of job {} is made, with problems:", report.job);
    }
    lines.push(format!("  {}", place.display()));
    lines.push(String::new());
    lines.extend(counts(report));
    lines.extend(report.shadow.as_ref().and_then(|outcome| shadow::summary_line(outcome, env)));
    lines.extend(limitation_lines(&report.limitations));
    lines.extend(noted_lines(
        &report.placeholders,
        "only in a cloud; the snapshot has the placeholder, not the content",
    ));
    let in_plain = "encrypted at the source; who reads the target reads what is in it (--efs skip leaves it out)";
    lines.extend(noted_lines(&report.encrypted, in_plain));
    lines.extend(left_out_lines(&report.left_out_by_system));
    if report.base.is_none() || env.ui.is_verbose() {
        lines.extend(what_next(env, target, &place, job));
    }
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

/// Returns the counts, a line each; what did not happen is left out.
fn counts(report: &BackupReport) -> Vec<String> {
    let totals = &report.totals;
    let files = |n| text::counted(n, "file", "files");
    let mut lines = vec![
        format!(
            "  entries   {} in {}, {}",
            text::count(totals.entries),
            text::counted(totals.dirs, "folder", "folders"),
            text::size(totals.bytes)
        ),
        format!("  new       {}, {}", files(totals.new_files), text::size(totals.new_bytes)),
    ];
    let mut some = |n: u64, line: String| {
        if n > 0 {
            lines.push(line);
        }
    };
    let since = report.base.as_deref().unwrap_or_default();
    some(report.linked, format!("  linked    {} as in {since}", text::count(report.linked)));
    some(report.moved, format!("  moved     {} found under another name", files(report.moved)));
    some(report.restamped, format!("  metadata  {} with other metadata only", files(report.restamped)));
    let adopted = text::size(report.adopted_bytes);
    some(report.adopted, format!("  adopted   {}, {adopted}, from an interrupted run", files(report.adopted)));
    some(report.removed, format!("  removed   {} since {since}", text::count(report.removed)));
    some(totals.excluded, format!("  excluded  {} (a folder counts once)", text::count(totals.excluded)));
    lines.push(format!(
        "  took      {}, read {}, record {}",
        text::duration(Duration::from_nanos(report.elapsed_ns)),
        text::size(report.bytes_read),
        text::size(report.record_bytes)
    ));
    lines
}

fn what_next(env: &Env, target: &Path, place: &Path, job: &Job) -> Vec<String> {
    let program = &env.program;
    let (target, place) = (text::shell_word(target), text::shell_word(place));
    let folder = job.sources.first().map(|source| text::path(&source.folder)).unwrap_or_default();
    let what = if folder == "." { String::new() } else { format!(" {}", text::shell_word(Path::new(&folder))) };
    // Without a word the other commands look at the job of this host's name.
    let name = job.name.as_str();
    let of_job = if name == env.host { String::new() } else { format!(" --job {}", text::shell_word(Path::new(name))) };
    vec![
        String::new(),
        "Try next:".to_owned(),
        format!("  {} {place}", if std::env::consts::FAMILY == "windows" { "dir" } else { "ls" }),
        format!("  {program} snapshots {target}"),
        format!("  {program} restore {target}{what}{of_job} --to DIR"),
        format!("  {program} verify {target}"),
    ]
}

fn tell_dry_run(report: &BackupReport, env: &Env) -> anyhow::Result<()> {
    env.ui.summary("Dry run; nothing was written. This would be copied:")?;
    for (path, bytes, why) in report.would_copy.iter().take(WOULD_COPY_SHOWN) {
        env.ui.summary(&format!("  {:>10}  {}  ({why})", text::size(*bytes), text::path(path)))?;
    }
    let more = report.would_copy.len().saturating_sub(WOULD_COPY_SHOWN);
    if more > 0 {
        env.ui.summary(&format!("  … and {} more", text::count(more as u64)))?;
    }
    counts(report).iter().try_for_each(|line| env.ui.summary(line))?;
    if report.removed > 0 && report.totals.new_files > 0 {
        env.ui.notice("a dry run does not look for files that moved: they count as new and as removed");
    }
    Ok(())
}

/// The report of `backup`.
#[derive(Serialize)]
struct BackupFields {
    target: String,
    target_created: bool,
    job: String,
    snapshot: Option<String>,
    path: Option<String>,
    generation: u32,
    base: Option<String>,
    dry_run: bool,
    unchanged: bool,
    #[serde(flatten)]
    totals: TotalsFields,
    linked: u64,
    moved: u64,
    adopted: u64,
    adopted_bytes: u64,
    restamped: u64,
    removed: u64,
    bytes_read: u64,
    record_bytes: u64,
    removed_for_room: Vec<String>,
    limitations: Vec<LimitationFields>,
    placeholders: NotedFields,
    encrypted: NotedFields,
    left_out_by_system: BTreeMap<String, u64>,
    first_problems: Vec<ProblemFields>,
    elapsed_s: f64,
    would_copy: Vec<WouldCopyFields>,
    shadow: Option<shadow::ShadowFields>,
    system_excludes: Vec<SystemRule>,
    scrub: Option<scrub::BehindBackup>,
    #[serde(flatten)]
    pruned: PrunedFields,
}

/// The pruning behind a backup.
#[derive(Default, Serialize)]
struct PrunedFields {
    prune: Option<PruneFields>,
    prune_error: Option<String>,
}

/// A file that a dry run found.
#[derive(Serialize)]
struct WouldCopyFields {
    path: String,
    bytes: u64,
    why: &'static str,
}

impl BackupFields {
    fn new(report: &BackupReport, target: &Path, (target_created, dry_run): (bool, bool)) -> Self {
        let place = report.snapshot.as_ref().map(|name| target.join(&report.job).join(name));
        let would_copy = report.would_copy.iter();
        Self {
            target: text::json_bytes(&path_bytes(target)),
            target_created,
            job: report.job.clone(),
            snapshot: report.snapshot.clone(),
            path: place.map(|place| text::json_bytes(&path_bytes(&place))),
            generation: report.generation,
            base: report.base.clone(),
            dry_run,
            unchanged: report.is_unchanged,
            totals: TotalsFields::new(&report.totals),
            linked: report.linked,
            moved: report.moved,
            adopted: report.adopted,
            adopted_bytes: report.adopted_bytes,
            restamped: report.restamped,
            removed: report.removed,
            bytes_read: report.bytes_read,
            record_bytes: report.record_bytes,
            removed_for_room: report.removed_for_room.clone(),
            limitations: LimitationFields::all(&report.limitations),
            placeholders: NotedFields::new(&report.placeholders),
            encrypted: NotedFields::new(&report.encrypted),
            left_out_by_system: report.left_out_by_system.clone(),
            first_problems: ProblemFields::all(&report.problems),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
            would_copy: would_copy
                .map(|(path, bytes, why)| WouldCopyFields { path: text::json_bytes(path), bytes: *bytes, why })
                .collect(),
            shadow: report.shadow.as_ref().map(shadow::ShadowFields::new),
            system_excludes: Vec::new(),
            pruned: PrunedFields::default(),
            scrub: None,
        }
    }
}
