//! `hardback shadow`: what was made and not removed yet; and how a report tells of shadow copies.

use crate::args::{HookArgs, ShadowMode};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::text::{self, Align};
use hardback_engine::system::path_bytes;
use hardback_engine::{JobShadow, ShadowOutcome, Time, timestamp};
use hardback_shadow::{Copy, Listed, Live, Mode, ShadowSize, Shadows};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Returns what makes shadow copies on this computer.
pub(super) fn shadows(size: ShadowSize, env: &Env) -> anyhow::Result<Shadows> {
    let dir = env.state_dir().ok_or_else(|| {
        Usage::new("there is no folder for the records of shadow copies", "set HARDBACK_STATE_DIR to one")
    })?;
    Ok(hardback_shadow::system_with_size(dir.join("shadow"), size))
}

/// Returns what a job does to have its sources stand still, if it does anything.
pub(super) fn of_job(
    mode: ShadowMode,
    size: ShadowSize,
    hooks: &HookArgs,
    env: &Env,
) -> anyhow::Result<Option<JobShadow>> {
    let (mode, hooks) = (mode.mode(), hooks.hooks());
    if mode == Mode::Never && hooks.is_empty() {
        return Ok(None);
    }
    Ok(Some(JobShadow { shadows: shadows(size, env)?, mode, hooks, declared: None }))
}

/// A copy in JSON.
#[derive(Serialize)]
struct CopyFields {
    name: String,
    provider: String,
    volume: String,
}

/// What became of the shadow copies and hooks of a run, in JSON.
#[derive(Serialize)]
pub(super) struct ShadowFields {
    mode: &'static str,
    frozen: Option<String>,
    spread_s: f64,
    copies: Vec<CopyFields>,
    live: Vec<LiveFields>,
    in_memory: Vec<String>,
    warnings: Vec<String>,
    left: Vec<LeftFields>,
    failed_hooks: Vec<HookFields>,
    swept: Vec<String>,
}

#[derive(Serialize)]
struct LiveFields {
    path: String,
    why: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct LeftFields {
    name: String,
    why: String,
}

#[derive(Serialize)]
struct HookFields {
    time: &'static str,
    command: String,
    why: String,
}

impl ShadowFields {
    /// Makes them of what a run says.
    pub(super) fn new(outcome: &ShadowOutcome) -> Self {
        let report = &outcome.report;
        let copies = report.made.iter().map(|made| CopyFields {
            name: made.name.clone(),
            provider: made.provider.clone(),
            volume: made.volume.clone(),
        });
        let live = report.live.iter().map(|live| LiveFields {
            path: text::json_bytes(&path_bytes(&live.path)),
            why: live.why.clone(),
            hint: live.hint.clone(),
        });
        let failed = outcome.failed_hooks.iter().map(|hook| HookFields {
            time: hook.time.code(),
            command: hook.command.clone(),
            why: hook.why.clone(),
        });
        Self {
            mode: mode_code(outcome.mode),
            frozen: report.frozen.map(|time| timestamp(time).to_string()),
            spread_s: Duration::from_nanos(report.spread_ns).as_secs_f64(),
            copies: copies.collect(),
            live: live.collect(),
            in_memory: report.in_memory.iter().map(|path| text::json_bytes(&path_bytes(path))).collect(),
            warnings: report.warnings.clone(),
            left: outcome.left.iter().map(|(name, why)| LeftFields { name: name.clone(), why: why.clone() }).collect(),
            failed_hooks: failed.collect(),
            swept: outcome.swept.clone(),
        }
    }
}

fn mode_code(mode: Mode) -> &'static str {
    match mode {
        Mode::Never => "never",
        Mode::WhenAvailable => "when-available",
        Mode::Always => "always",
    }
}

/// Returns the line of a summary about what was frozen.
pub(super) fn summary_line(outcome: &ShadowOutcome, env: &Env) -> Option<String> {
    let report = &outcome.report;
    let frozen = report.frozen?;
    let spread = match report.made.len() {
        0 | 1 => String::new(),
        copies => {
            let spread = text::duration(Duration::from_nanos(report.spread_ns));
            format!(", {} within {spread}", text::counted(copies as u64, "volume", "volumes"))
        }
    };
    Some(format!("  frozen    at {}{spread}", env.local_time(timestamp(frozen))))
}

/// Tells what was not as wanted, a line each.
pub(super) fn tell_problems(outcome: &ShadowOutcome, env: &Env) {
    for live in &outcome.report.live {
        tell_live(live, env);
    }
    for (name, why) in &outcome.left {
        env.ui.problem_line(&format!("the shadow copy {name} is still there: {why}"));
    }
    for hook in &outcome.failed_hooks {
        env.ui.problem_line(&hook.to_string());
    }
}

/// Tells for a dry run whether shadow copies could be made.
pub(super) fn tell_ahead(outcome: &ShadowOutcome, env: &Env) -> anyhow::Result<()> {
    if outcome.report.live.is_empty() {
        return Ok(env.ui.summary("Shadow copies of the sources can be made; this dry run made none.")?);
    }
    let then = if outcome.mode == Mode::Always { "the backup would stop" } else { "it would be read live" };
    for live in &outcome.report.live {
        let (path, why) = (live.path.display(), &live.why);
        env.ui.problem_line(&format!("no shadow copy can be made of {path}, {then}: {why}"));
        tell_hint(live, env);
    }
    Ok(())
}

/// Tells that a part of a source is read live.
pub(super) fn tell_live(live: &Live, env: &Env) {
    let (path, why) = (live.path.display(), &live.why);
    env.ui.problem_line(&format!("{path} was read live, without the shadow copy that was asked for: {why}"));
    tell_hint(live, env);
}

fn tell_hint(live: &Live, env: &Env) {
    if let Some(hint) = &live.hint {
        env.ui.problem_line(&format!("  hint: {hint}"));
    }
}

/// A set on record, in JSON.
#[derive(Serialize)]
struct SetItem {
    id: String,
    purpose: String,
    created: String,
    in_use: bool,
    this_boot: bool,
    copies: Vec<CopyFields>,
}

/// The report of `shadow list`.
#[derive(Serialize)]
struct ListReport {
    sets: usize,
    unread: Vec<String>,
}

/// The report of `shadow sweep`.
#[derive(Serialize)]
struct SweepReport {
    removed: Vec<CopyFields>,
    failed: Vec<LeftFields>,
    unread: Vec<String>,
}

fn fields_of(copies: &[Copy]) -> Vec<CopyFields> {
    let fields = |copy: &Copy| CopyFields {
        name: copy.name.clone(),
        provider: copy.volume.provider.clone(),
        volume: copy.volume.shown.clone(),
    };
    copies.iter().map(fields).collect()
}

/// Lists what is on record.
pub(super) fn list(env: &Env) -> anyhow::Result<Exit> {
    let shadows = shadows(ShadowSize::default(), env)?;
    let (listed, unread) = shadows.records().list()?;
    let boot_id = shadows.boot_id();
    let unread: Vec<String> = unread.iter().map(hardback_shadow::ShadowError::in_a_line).collect();
    let exit = Exit::of_problems(unread.len() as u64);
    let created = |listed: &Listed| timestamp(Time { seconds: listed.record.created_s, nanos: 0 });
    if env.ui.is_json() {
        for set in &listed {
            let record = &set.record;
            let item = SetItem {
                id: record.id.clone(),
                purpose: record.purpose.clone(),
                created: created(set).to_string(),
                in_use: set.is_in_use,
                this_boot: record.boot_id == boot_id,
                copies: fields_of(&record.copies),
            };
            env.ui.item("shadow", &item)?;
        }
        return Ok(env.ui.report("shadow-list", exit, &ListReport { sets: listed.len(), unread })?);
    }
    let heads = [("shadow copy", Align::Left), ("of", Align::Left), ("made", Align::Left), ("state", Align::Left)];
    let mut rows = Vec::new();
    for set in &listed {
        let state = match (set.is_in_use, set.record.boot_id == boot_id) {
            (true, _) => format!("in use by {} (process {})", set.record.purpose, set.record.pid),
            (false, true) => format!("left by {}", set.record.purpose),
            (false, false) => format!("left by {} before the computer was restarted", set.record.purpose),
        };
        for copy in &set.record.copies {
            rows.push([copy.name.clone(), copy.volume.shown.clone(), env.local_time(created(set)), state.clone()]);
        }
    }
    if !rows.is_empty() {
        text::table(heads, &rows).iter().try_for_each(|line| env.ui.line(line))?;
    } else if unread.is_empty() {
        let dir = env.state_dir().unwrap_or(Path::new("")).join("shadow");
        env.ui.message(&format!("there are no shadow copies of hardback on record in {}", dir.display()));
    }
    unread.iter().for_each(|line| env.ui.problem_line(line));
    Ok(exit)
}

/// Removes what killed runs left.
pub(super) fn sweep(env: &Env) -> anyhow::Result<Exit> {
    let swept = shadows(ShadowSize::default(), env)?.sweep()?;
    let exit = Exit::of_problems((swept.failed.len() + swept.unread.len()) as u64);
    let unread: Vec<String> = swept.unread.iter().map(hardback_shadow::ShadowError::in_a_line).collect();
    let failed: Vec<LeftFields> = swept
        .failed
        .iter()
        .map(|(copy, error)| LeftFields { name: copy.name.clone(), why: error.in_a_line() })
        .collect();
    if env.ui.is_json() {
        let report = SweepReport { removed: fields_of(&swept.removed), failed, unread };
        return Ok(env.ui.report("shadow-sweep", exit, &report)?);
    }
    for copy in &swept.removed {
        env.ui.summary(&format!("removed {} of {}", copy.name, copy.volume.shown))?;
    }
    for left in &failed {
        env.ui.problem_line(&format!("the shadow copy {} is still there: {}", left.name, left.why));
    }
    unread.iter().for_each(|line| env.ui.problem_line(line));
    if swept.removed.is_empty() && failed.is_empty() && unread.is_empty() {
        env.ui.message("there is nothing to remove");
    }
    Ok(exit)
}
