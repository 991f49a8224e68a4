//! `hardback scrub`: a part of the stored files is read again. Also behind a backup.

use super::reports::{DamageFields, ProblemFields, tell_problems};
use crate::args::{Percent, ScrubArgs};
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::{Error, ScrubOptions, ScrubReport, ScrubbedJob, Target, scrub, timestamp};
use serde::Serialize;
use std::time::Duration;

/// Scrubs.
pub(crate) fn run(args: &ScrubArgs, env: &Env) -> anyhow::Result<Exit> {
    let path = env.absolute(&args.target)?;
    let target = env.open_target(&path)?;
    let options = ScrubOptions { job: args.job.clone(), share: args.share.hundredths(), workers: 0 };
    let report = env.with_progress(|ctx| scrub(ctx, &target, &options))?;
    let exit = Exit::of_problems(report.problem_count + unrepaired(&report) + unread(&report));
    if env.ui.is_json() {
        return Ok(env.ui.report("scrub", exit, &ScrubFields::new(&report))?);
    }
    tell(&report, &text::shell_word(&target.path), env)?;
    tell_problems(report.problem_count, &report.problems, env);
    Ok(exit)
}

/// Returns how many files were found damaged, now or earlier, and not repaired.
fn unrepaired(report: &ScrubReport) -> u64 {
    report.jobs.iter().map(|job| job.damaged).sum()
}

/// Returns how many other problems the passes have, or the ones before them had.
fn unread(report: &ScrubReport) -> u64 {
    report.jobs.iter().map(|job| job.problems + job.problems_before).sum()
}

fn tell(report: &ScrubReport, target: &str, env: &Env) -> anyhow::Result<()> {
    let (known, unread) = (unrepaired(report), unread(report));
    let verdict = match (report.problem_count, known + unread) {
        (0, 0) => "All that was read is well",
        (0, _) => "What was read now is well",
        _ => "Not all is well",
    };
    if known > 0 {
        let files = text::counted(known, "file was", "files were");
        env.ui.problem_line(&format!("{files} found damaged, now or earlier, and not repaired"));
    }
    if report.problem_count == 0 && unread > 0 {
        let problems = text::counted(unread, "problem was", "problems were");
        let program = &env.program;
        env.ui.problem_line(&format!(
            "{problems} told by other runs of the pass, or of the one before it: not all is proven. `{program} verify \
             {target}` names what is still so; they count until a pass is whole without them (--share 100% is one)"
        ));
    }
    let mut lines = vec![format!(
        "{verdict}: {}, {}, in {}",
        text::counted(report.files_read, "file", "files"),
        text::size(report.bytes_read),
        text::duration(Duration::from_nanos(report.elapsed_ns))
    )];
    lines.extend(report.jobs.iter().map(pass_line));
    if report.jobs.iter().any(|job| job.damaged > 0) {
        let program = &env.program;
        lines
            .push(format!("To replace damaged files where there is a good copy: {program} repair {target} --recorded"));
    }
    lines.iter().try_for_each(|line| env.ui.summary(line))?;
    Ok(())
}

/// Says how far the pass of a job is.
fn pass_line(job: &ScrubbedJob) -> String {
    let began = timestamp(job.began).strftime("%Y-%m-%d");
    let runs = text::counted(u64::from(job.runs), "run", "runs");
    match job.is_whole {
        true if job.problems > 0 => {
            let problems = text::counted(job.problems, "problem", "problems");
            let job = &job.job;
            format!("  job {job}: the pass since {began} is over, in {runs}, with {problems}; the next run begins anew")
        }
        true => format!("  job {}: all was read since {began}, in {runs}; the next run begins anew", job.job),
        false => format!(
            "  job {}: {} % was read since {began}, in {runs}; all will be in at most {} more",
            job.job,
            (job.done * 100.0).floor(),
            job.runs_left
        ),
    }
}

/// The report of `scrub`.
#[derive(Serialize)]
struct ScrubFields {
    passes: Vec<PassFields>,
    files_read: u64,
    bytes_read: u64,
    problems: u64,
    first_problems: Vec<ProblemFields>,
    damaged: Vec<DamageFields>,
    elapsed_s: f64,
}

/// How far the pass of a job is.
#[derive(Serialize)]
struct PassFields {
    job: String,
    began: String,
    runs: u32,
    runs_left: u32,
    part_done: f64,
    whole: bool,
    recorded: u64,
    problems: u64,
    problems_before: u64,
}

impl ScrubFields {
    fn new(report: &ScrubReport) -> Self {
        let pass = |job: &ScrubbedJob| PassFields {
            job: job.job.clone(),
            began: timestamp(job.began).to_string(),
            runs: job.runs,
            runs_left: job.runs_left,
            part_done: job.done,
            whole: job.is_whole,
            recorded: job.damaged,
            problems: job.problems,
            problems_before: job.problems_before,
        };
        Self {
            passes: report.jobs.iter().map(pass).collect(),
            files_read: report.files_read,
            bytes_read: report.bytes_read,
            problems: report.problem_count,
            first_problems: ProblemFields::all(&report.problems),
            damaged: DamageFields::all(&report.damage),
            elapsed_s: Duration::from_nanos(report.elapsed_ns).as_secs_f64(),
        }
    }
}

/// How a scrub behind a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// Another scrub is at work: this one is not missed.
    Locked,
    Interrupted,
    Failed,
}

/// A scrub behind a backup: the snapshot is made, whatever comes of this.
#[derive(Serialize)]
pub(super) struct BehindBackup {
    #[serde(flatten)]
    fields: ScrubFields,
    /// Why it stopped, if it did.
    error: Option<String>,
    #[serde(skip)]
    report: ScrubReport,
    #[serde(skip)]
    end: End,
    #[serde(skip)]
    target: String,
}

impl BehindBackup {
    /// Scrubs a part of a job.
    pub(super) fn run(target: &Target, job: &str, share: Percent, env: &Env) -> Self {
        let options = ScrubOptions { job: Some(job.to_owned()), share: share.hundredths(), workers: 0 };
        let (report, error) = match env.with_progress(|ctx| scrub(ctx, target, &options)) {
            Ok(report) => (report, None),
            Err(error) => (ScrubReport::default(), Some(error)),
        };
        Self {
            fields: ScrubFields::new(&report),
            report,
            end: match &error {
                None => End::Done,
                Some(Error::Locked { .. }) => End::Locked,
                Some(Error::Interrupted) => End::Interrupted,
                Some(_) => End::Failed,
            },
            error: error.map(|error| format!("{:#}", anyhow::Error::from(error))),
            target: text::shell_word(&target.path),
        }
    }

    /// Returns how the backup ends with it.
    pub(super) fn exit(&self, of_backup: Exit) -> Exit {
        let problems = self.report.problem_count + unrepaired(&self.report) + unread(&self.report);
        match (self.end, of_backup) {
            (End::Interrupted, _) => Exit::Interrupted,
            // That a guard let nothing be removed counts more.
            (_, Exit::Suspended) => Exit::Suspended,
            (End::Done | End::Locked, _) if problems == 0 => of_backup,
            _ => Exit::Incomplete,
        }
    }

    /// Tells of it behind what the backup has told; returns how that ends.
    pub(super) fn tell(&self, of_backup: Exit, env: &Env) -> anyhow::Result<Exit> {
        env.ui.summary("")?;
        if let Some(error) = &self.error {
            match self.end {
                End::Locked => env.ui.notice(&format!("there was no scrub behind the backup: {error}")),
                _ => env.ui.problem_line(&format!("the scrub behind the backup stopped: {error}")),
            }
            return Ok(self.exit(of_backup));
        }
        tell(&self.report, &self.target, env)?;
        tell_problems(self.report.problem_count, &self.report.problems, env);
        Ok(self.exit(of_backup))
    }
}
