//! The window in which the sources stand still: hooks, shadow copies, and that all of them end again.
//!
//! Nothing else in the engine knows where a source's tree comes from: it gets handles.

use crate::context::Context;
use crate::error::Error;
use crate::excludes::Excludes;
use crate::job::Job;
use crate::report::{BackupReport, Phase, ShadowOutcome};
use crate::target::Target;
use hardback_platform::{Dir, Time};
use hardback_shadow::{
    Closed, Mode, Request, RunResult, ShadowError, ShadowReport, ShadowSet, Told, Window, WindowPlan,
};
use std::path::Path;

/// Where the sources are read.
pub(super) struct Sources<'a> {
    job: &'a Job,
    set: Option<&'a ShadowSet>,
}

impl<'a> Sources<'a> {
    /// The live ones.
    pub(super) fn live(job: &'a Job) -> Self {
        Self { job, set: None }
    }

    /// Opens the sources once; everything else goes through these handles.
    pub(super) fn open(&self) -> Result<Vec<(String, Dir)>, Error> {
        let Some(set) = self.set else { return super::open_sources(self.job) };
        let mut opened = Vec::new();
        for (number, source) in self.job.sources.iter().enumerate() {
            let dir = match set.open(number, &self.job.source_seam) {
                Some(view) => {
                    view.map_err(|e| hardback_platform::PathError { path: source.path_bytes.clone(), ..e })?
                }
                None => super::open_source(self.job, source)?.1,
            };
            opened.push((source.path.display().to_string(), dir));
        }
        Ok(opened)
    }

    /// Returns since when the sources stand still; `None` where they do not.
    pub(super) fn frozen(&self) -> Option<Time> {
        self.set.and_then(|set| set.report().frozen)
    }

    /// Makes sure that what was read so far can be trusted.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.set.map_or(Ok(()), |set| Ok(set.check()?))
    }
}

/// Does a run's work in the window, if the job wants one, and closes it whatever comes of the work.
pub(super) fn with_frozen(
    ctx: &Context<'_>,
    target: &Target,
    job: &Job,
    excludes: &Excludes,
    work: impl FnOnce(&Sources<'_>) -> Result<BackupReport, Error>,
) -> Result<BackupReport, Error> {
    let Some(shadow) = &job.shadow else { return work(&Sources::live(job)) };
    ctx.monitor.phase(Phase::Freezing);
    let wants = |_: usize, below: &Path| wants(excludes, below);
    let plan = WindowPlan {
        shadows: &shadow.shadows,
        mode: shadow.mode,
        request: request(job, &wants),
        purpose: format!("job {}", job.name),
        hooks: &shadow.hooks,
        variables: vec![
            ("HARDBACK_JOB", job.name.as_str().into()),
            ("HARDBACK_TARGET", target.path.clone().into_os_string()),
        ],
        now: &|| ctx.clock.now(),
        stops: &|| u32::from(ctx.cancel.is_cancelled()),
        tell: &|told| {
            // All else is told by the report, or below.
            if let Told::Leftover(text) = told {
                ctx.monitor.notice(&text);
            }
        },
    };
    let mut window = Window::new(plan);
    let result = window.open().map_err(Error::from).and_then(|()| work(&Sources { job, set: window.set() }));
    let ended = match &result {
        Ok(report) if report.totals.problems == 0 => RunResult::Done,
        Ok(_) => RunResult::Incomplete,
        Err(Error::Interrupted) => RunResult::Interrupted,
        Err(_) => RunResult::Failed,
    };
    with_outcome(ctx, shadow.mode, result, window.close(ended))
}

/// Says what would be read live although it is not to be; makes nothing. `None` where no shadow copies are wanted.
pub(super) fn look_ahead(job: &Job, excludes: &Excludes) -> Result<Option<ShadowOutcome>, Error> {
    let Some(shadow) = job.shadow.as_ref().filter(|shadow| shadow.mode != Mode::Never) else { return Ok(None) };
    let wants = |_: usize, below: &Path| wants(excludes, below);
    // Whatever the mode: all that cannot be frozen is told, and not only the first.
    let prepared = shadow.shadows.prepare(&request(job, &wants), Mode::WhenAvailable)?;
    let report = ShadowReport { live: prepared.live().to_vec(), ..ShadowReport::default() };
    let (left, failed_hooks, swept) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Some(ShadowOutcome { mode: shadow.mode, report, left, failed_hooks, swept }))
}

fn request<'a>(job: &Job, wants: &'a (dyn Fn(usize, &Path) -> bool + Sync)) -> Request<'a> {
    let sources = job.sources.iter().map(|source| source.path.clone()).collect();
    Request { sources, one_file_system: job.options.one_file_system, wants }
}

/// Puts what became of the window into the report of the run; tells it where there is none.
fn with_outcome(
    ctx: &Context<'_>,
    mode: Mode,
    result: Result<BackupReport, Error>,
    closed: Closed,
) -> Result<BackupReport, Error> {
    let Closed { report, left, failed_hooks, swept } = closed;
    let left: Vec<_> = left.into_iter().map(|(copy, error)| (copy.name, error.in_a_line())).collect();
    match result {
        Ok(of_run) => {
            let outcome = ShadowOutcome { mode, report, left, failed_hooks, swept };
            Ok(BackupReport { shadow: Some(outcome), ..of_run })
        }
        Err(error) => {
            for (name, why) in &left {
                ctx.monitor.notice(&format!("{name} cannot be removed now, the next run tries again: {why}"));
            }
            let told = error.to_string();
            for hook in failed_hooks.iter().map(ToString::to_string).filter(|hook| *hook != told) {
                ctx.monitor.notice(&hook);
            }
            Err(error)
        }
    }
}

/// Returns whether a folder below a source is not left out by the job's own rules, nor one above it.
fn wants(excludes: &Excludes, below: &Path) -> bool {
    let is_left_out = |path: &Path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        !bytes.is_empty() && excludes.rules.check(bytes, true).is_excluded()
    };
    !below.ancestors().any(is_left_out)
}

impl From<ShadowError> for Error {
    fn from(error: ShadowError) -> Self {
        match error {
            ShadowError::Interrupted => Self::Interrupted,
            other => Self::Shadow(other),
        }
    }
}
