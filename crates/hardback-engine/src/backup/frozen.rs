//! The window in which the sources stand still: hooks, shadow copies, and that all of them end again.
//!
//! Nothing else in the engine knows where a source's tree comes from: it gets handles.

use crate::context::Context;
use crate::error::Error;
use crate::exclude::DIRECTORY_FILE_NAME;
use crate::excludes::Excludes;
use crate::job::Job;
use crate::report::{BackupReport, Phase, ShadowOutcome};
use crate::target::Target;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use hardback_platform::{Dir, Seam, Time};
use hardback_shadow::{
    Closed, Mode, Request, RunResult, ShadowError, ShadowReport, ShadowSet, Told, Window, WindowPlan,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long reading goes on before it is looked whether the sources still stand still.
pub(super) const WATCH_PAUSE: Duration = Duration::from_secs(10);

/// Is never sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Never {}

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
                Some(view) => view.map_err(|error| {
                    let (path, cause) = (source.path.display(), &error.source);
                    Error::refused(
                        format!("the shadow copy of {path} cannot be opened: {cause}"),
                        "the live files are not to blame; try again, or read them with --shadow never",
                    )
                })?,
                None => super::open_source(self.job, source)?.1,
            };
            opened.push((source.path.display().to_string(), dir));
        }
        Ok(opened)
    }

    /// Returns what is left out: with what programs declared while their data were frozen.
    pub(super) fn excludes<'e>(&self, excludes: &'e Excludes) -> Result<Cow<'e, Excludes>, Error> {
        let declared = self.set.map(|set| set.report().exclusions.as_slice()).unwrap_or_default();
        let rules = self.job.shadow.as_ref().and_then(|shadow| shadow.declared.as_ref());
        let rules = rules.map(|rules| (rules.0)(declared)).unwrap_or_default();
        if rules.is_empty() {
            return Ok(Cow::Borrowed(excludes));
        }
        let after = excludes.after(rules);
        let refused = |error| {
            Error::refused(format!("a program declares what no pattern is: {error}"), "use --no-system-excludes")
        };
        Ok(Cow::Owned(after.map_err(refused)?))
    }

    /// Returns since when the sources stand still; `None` where they do not.
    pub(super) fn frozen(&self) -> Option<Time> {
        self.set.and_then(|set| set.report().frozen)
    }

    /// Makes sure that what was read so far can be trusted.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.set.map_or(Ok(()), |set| Ok(set.check_last()?))
    }

    /// Returns why reading failed: where a shadow copy was lost, that is the cause of all else.
    fn cause_of(&self, error: Error) -> Error {
        match (&error, self.set.map_or(Ok(()), ShadowSet::check)) {
            (Error::Interrupted, _) => error,
            (_, Err(lost @ ShadowError::Lost { .. })) => lost.into(),
            _ => error,
        }
    }

    /// Looks after each pause whether the sources still stand still, until `done` is disconnected: reading on would be of
    /// no use.
    ///
    /// # Errors
    /// A shadow copy was lost. Where nobody can tell, [`Sources::check`] tells at the end.
    pub(super) fn watch(&self, done: &Receiver<Never>, pause: Duration) -> Result<(), Error> {
        let Some(set) = self.set else { return Ok(()) };
        while done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            if let Err(lost @ ShadowError::Lost { .. }) = set.check() {
                return Err(lost.into());
            }
        }
        Ok(())
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
    let wants = |source: usize, below: &Path| wants(job, excludes, source, below);
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
            match told {
                Told::Leftover(text) => ctx.monitor.notice(&text),
                Told::Waiting(text) => ctx.monitor.notice(text),
                _ => {}
            }
        },
    };
    let mut window = Window::new(plan);
    let result = window.open().map_err(Error::from).and_then(|()| {
        let sources = Sources { job, set: window.set() };
        work(&sources).map_err(|error| sources.cause_of(error))
    });
    let ended = match &result {
        Ok(report) if report.totals.problems == 0 => RunResult::Done,
        Ok(_) => RunResult::Incomplete,
        Err(Error::Interrupted) => RunResult::Interrupted,
        Err(_) => RunResult::Failed,
    };
    with_outcome(ctx, shadow.mode, result, window.close(ended))
}

/// Refuses a job whose sources must be frozen and cannot be, before anything is made.
pub fn check_shadow(job: &Job, excludes: &Excludes) -> Result<(), Error> {
    let Some(shadow) = job.shadow.as_ref().filter(|shadow| shadow.mode == Mode::Always) else { return Ok(()) };
    let wants = |source: usize, below: &Path| wants(job, excludes, source, below);
    let request = request(job, &wants);
    Ok(shadow.shadows.prepare(&request, Mode::Always).map(drop)?)
}

/// Says what would be read live although it is not to be; makes nothing. `None` where no shadow copies are wanted.
pub(super) fn look_ahead(job: &Job, excludes: &Excludes) -> Result<Option<ShadowOutcome>, Error> {
    let Some(shadow) = job.shadow.as_ref().filter(|shadow| shadow.mode != Mode::Never) else { return Ok(None) };
    let wants = |source: usize, below: &Path| wants(job, excludes, source, below);
    // Whatever the mode: all that cannot be frozen is told, and not only the first.
    let request = request(job, &wants);
    let prepared = shadow.shadows.prepare(&request, Mode::WhenAvailable)?;
    let report = ShadowReport { live: prepared.live().to_vec(), ..ShadowReport::default() };
    let (left, failed_hooks, swept) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Some(ShadowOutcome { mode: shadow.mode, report, left, failed_hooks, swept }))
}

fn request<'a>(job: &Job, wants: &'a (dyn Fn(usize, &Path) -> bool + Sync)) -> Request<'a> {
    let sources = job.sources.iter().map(|source| source.path.clone()).collect();
    Request { sources, one_file_system: job.options.one_file_system, shows_unwanted: true, wants }
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
            for path in &report.in_memory {
                let path = path.display();
                ctx.monitor.notice(&format!("{path} is in memory and was read as it is: no shadow copy has it"));
            }
            report.warnings.iter().for_each(|warning| ctx.monitor.notice(warning));
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

/// Returns whether what is in a folder below a source is to be read.
fn wants(job: &Job, excludes: &Excludes, source: usize, below: &Path) -> bool {
    !is_left_out(excludes, below) || has_list_above(job, source, below)
}

/// Returns whether the job's own rules leave out a folder below a source, or one above it.
fn is_left_out(excludes: &Excludes, below: &Path) -> bool {
    below.ancestors().any(|path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        !bytes.is_empty() && excludes.rules.check(bytes, true).is_excluded()
    })
}

/// Returns whether a list of patterns in a folder above may take a folder back in that the job's rules leave out.
fn has_list_above(job: &Job, source: usize, below: &Path) -> bool {
    let Some(source) = job.sources.get(source).filter(|_| !job.options.no_ignore_files) else { return false };
    let above = below.ancestors().skip(1).map(|path| source.path.join(path));
    let mut dirs = above.filter_map(|dir: PathBuf| Dir::open(&dir, Seam::default()).ok());
    dirs.any(|dir| dir.stat(DIRECTORY_FILE_NAME).is_ok())
}

impl From<ShadowError> for Error {
    fn from(error: ShadowError) -> Self {
        match error {
            ShadowError::Interrupted => Self::Interrupted,
            other => Self::Shadow(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{BackupOptions, JobName, JobSource};
    use crossbeam_channel::Sender;
    use hardback_shadow::{
        Answer, Copy, Meanwhile, Piece, Place, PlainMachine, Read, ShadowProvider, ShadowReport, Shadows, Volume,
    };
    use std::path::PathBuf;
    use std::sync::Arc;

    /// Freezes nothing, and loses it as soon as it is asked; or when it is asked for the last time, and tells of each
    /// question before.
    #[derive(Debug)]
    struct Losing {
        only_at_last: Option<Sender<()>>,
    }

    impl ShadowProvider for Losing {
        fn name(&self) -> &'static str {
            "losing"
        }

        fn look(&self, _: &Place, _: &dyn Fn(&Path) -> bool) -> Answer {
            let volume = Volume { provider: "losing".into(), shown: "disk".into(), fields: Default::default() };
            Answer::Can(vec![Piece { below: PathBuf::new(), read: Read::Frozen { volume, inside: PathBuf::new() } }])
        }

        fn create(&self, copies: &[Copy], _: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
            Ok(copies.iter().map(|_| PathBuf::from("frozen")).collect())
        }

        fn check(&self, copy: &Copy) -> Result<(), ShadowError> {
            let Some(asked) = &self.only_at_last else { return self.check_last(copy) };
            asked.send(()).unwrap();
            Ok(())
        }

        fn check_last(&self, copy: &Copy) -> Result<(), ShadowError> {
            Err(ShadowError::Lost { volume: copy.volume.shown.clone(), why: "full".into(), hint: None })
        }

        fn remove(&self, _: &Copy) -> Result<(), ShadowError> {
            Ok(())
        }
    }

    fn with_sources(only_at_last: Option<Sender<()>>, test: impl FnOnce(&Sources<'_>)) {
        let temp = tempfile::tempdir().unwrap();
        let shadows =
            Shadows::new(Arc::new(PlainMachine), vec![Arc::new(Losing { only_at_last })], temp.path().join("records"));
        let path = temp.path().to_owned();
        let request =
            Request { sources: vec![path.clone()], one_file_system: false, shows_unwanted: true, wants: &|_, _| true };
        let now = || Time { seconds: 0, nanos: 0 };
        let set = shadows.prepare(&request, Mode::Always).unwrap().freeze(Mode::Always, "test", &now).unwrap();
        assert!(matches!(set.report(), ShadowReport { made, .. } if made.len() == 1));
        let source = JobSource { folder: b"x".to_vec(), path_bytes: b"x".to_vec(), path };
        let job = Job::new(JobName::new("test").unwrap(), vec![source], BackupOptions::default()).unwrap();
        test(&Sources { job: &job, set: Some(&set) });
        assert!(set.release().is_empty());
    }

    fn is_lost(error: &Error) -> bool {
        matches!(error, Error::Shadow(ShadowError::Lost { .. }))
    }

    #[test]
    fn the_question_before_the_seal_is_the_last_one() {
        let (asked, heard) = crossbeam_channel::unbounded();
        with_sources(Some(asked), |sources| {
            let (reading, done) = crossbeam_channel::bounded(0);
            std::thread::scope(|scope| {
                scope.spawn(|| sources.watch(&done, Duration::from_millis(1)).unwrap());
                (0..2).for_each(|_| heard.recv().unwrap());
                drop(reading);
            });
            assert!(is_lost(&sources.check().unwrap_err()));
        });
    }

    #[test]
    fn a_copy_that_is_lost_ends_the_reading() {
        with_sources(None, |sources| {
            let (reading, done) = crossbeam_channel::bounded(0);
            assert!(is_lost(&sources.watch(&done, Duration::from_millis(1)).unwrap_err()));
            drop(reading);
            // Nobody looks after the end.
            sources.watch(&done, Duration::from_secs(3600)).unwrap();
        });
    }

    #[test]
    fn a_copy_that_is_lost_is_why_reading_fails() {
        with_sources(None, |sources| {
            assert!(is_lost(&sources.cause_of(Error::refused("cannot read", "?"))));
            assert!(matches!(sources.cause_of(Error::Interrupted), Error::Interrupted));
        });
    }
}
