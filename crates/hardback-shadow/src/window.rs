//! The window in which sources stand still: hooks, shadow copies, and that all of them end again, whatever happens in it.

use crate::error::ShadowError;
use crate::hooks::{FailedHook, HookFailure, HookTime, Hooks};
use crate::machine::Request;
use crate::prepared::Prepared;
use crate::provider::{Copy, Meanwhile, Mode};
use crate::set::{ShadowReport, ShadowSet, Shadows, Swept};
use hardback_platform::Time;
use std::ffi::OsString;

/// What a window is to be.
pub struct WindowPlan<'a> {
    /// What makes shadow copies.
    pub shadows: &'a Shadows,
    /// How much they are wanted.
    pub mode: Mode,
    /// What is to stand still.
    pub request: Request<'a>,
    /// For the record: what the copies are for.
    pub purpose: String,
    /// Commands around the freezing, and at the end.
    pub hooks: &'a Hooks,
    /// What hooks find in their environment beside what each window tells them.
    pub variables: Vec<(&'static str, OsString)>,
    /// The time, for reports and records.
    pub now: &'a dyn Fn() -> Time,
    /// How often the user asked to stop so far.
    pub stops: &'a dyn Fn() -> u32,
    /// Hears at once what the user should know.
    pub tell: &'a dyn Fn(Told<'_>),
}

/// What is told while a window is open; none of it is an error of the run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Told<'a> {
    /// Something that another run left, and that cannot be removed.
    Leftover(String),
    /// Freezing takes long.
    Waiting(&'a str),
    /// A hook failed.
    FailedHook(&'a FailedHook),
    /// A copy of this run cannot be removed.
    Left(&'a Copy, &'a ShadowError),
}

/// How the work ended for which a window was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunResult {
    /// As it should.
    Done,
    /// With problems.
    Incomplete,
    /// It failed.
    Failed,
    /// The user asked to stop.
    Interrupted,
}

impl RunResult {
    fn code(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What became of a window.
#[derive(Debug, Default)]
pub struct Closed {
    /// What was frozen, and what was read live instead.
    pub report: ShadowReport,
    /// Copies that could not be removed; they are on record, and the next run tries again.
    pub left: Vec<(Copy, ShadowError)>,
    /// Hooks that failed.
    pub failed_hooks: Vec<FailedHook>,
    /// Names of the leftovers of other runs that were removed.
    pub swept: Vec<String>,
}

/// A window. Closing it, dropping it and a panic end in the same way: what hooks hold is let go, the copies are removed,
/// the last hooks run.
pub struct Window<'a> {
    plan: WindowPlan<'a>,
    set: Option<ShadowSet>,
    /// A hook before the freezing may have been started, and what it holds was not let go yet.
    holds: bool,
    /// The last hooks are due.
    began: bool,
    closed: Closed,
}

impl std::fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("set", &self.set).finish_non_exhaustive()
    }
}

impl<'a> Window<'a> {
    /// Makes one that is not open yet.
    pub fn new(plan: WindowPlan<'a>) -> Self {
        Self { plan, set: None, holds: false, began: false, closed: Closed::default() }
    }

    /// Opens it: leftovers are swept, the hooks before run, the volumes are frozen, the hooks right after run.
    ///
    /// # Errors
    /// A hook failed and that stops the run, a volume cannot be frozen that must be, or the user asked to stop.
    pub fn open(&mut self) -> Result<(), ShadowError> {
        self.sweep();
        // What cannot be is said before a hook holds up anything.
        if !self.plan.hooks.is_empty() {
            drop(self.prepare()?);
        }
        self.check_stop()?;
        (self.began, self.holds) = (true, true);
        let frozen = self.run_hooks(HookTime::BeforeShadow, None).and_then(|()| self.freeze());
        // Whatever became of it: what the hooks before hold must be let go.
        let after = self.let_go();
        frozen.and(after)?;
        self.check_stop()
    }

    /// Returns what is frozen; `None` where nothing was asked to be.
    pub fn set(&self) -> Option<&ShadowSet> {
        self.set.as_ref()
    }

    /// Gives each frozen volume a drive letter, as [`ShadowSet::give_letters`] does.
    ///
    /// # Errors
    /// There are none, or not enough.
    pub fn give_letters(&mut self) -> Result<(), ShadowError> {
        self.set.as_mut().map_or(Ok(()), ShadowSet::give_letters)
    }

    /// Removes the copies and runs the last hooks, which never stop a run: it is over. Handles in views must be closed.
    pub fn close(mut self, result: RunResult) -> Closed {
        self.end(result);
        std::mem::take(&mut self.closed)
    }

    fn sweep(&mut self) {
        if self.plan.mode == Mode::Never {
            return;
        }
        let tell = |text| (self.plan.tell)(Told::Leftover(text));
        match self.plan.shadows.sweep() {
            Ok(Swept { removed, failed, unread }) => {
                for (copy, error) in failed {
                    let (name, of, why) = (copy.name, copy.volume.shown, error.in_a_line());
                    tell(format!("{name} of {of}, which another run left, cannot be removed: {why}"));
                }
                unread.iter().for_each(|error| tell(error.in_a_line()));
                self.closed.swept = removed.into_iter().map(|copy| copy.name).collect();
            }
            Err(error) => tell(error.in_a_line()),
        }
    }

    fn prepare(&self) -> Result<Option<Prepared<'_>>, ShadowError> {
        let WindowPlan { shadows, mode, request, .. } = &self.plan;
        (*mode != Mode::Never).then(|| shadows.prepare(request, *mode)).transpose()
    }

    fn freeze(&mut self) -> Result<(), ShadowError> {
        if !self.plan.hooks.before_shadow.is_empty() {
            // A hook may have made a volume, or mounted one.
            self.plan.shadows.refresh();
        }
        let set = match self.prepare()? {
            Some(prepared) => {
                let is_stopped = || (self.plan.stops)() > 0;
                let tell = |text: &str| (self.plan.tell)(Told::Waiting(text));
                let meanwhile = Meanwhile { is_stopped: &is_stopped, tell: &tell };
                prepared.heeding(meanwhile).freeze(self.plan.mode, &self.plan.purpose, self.plan.now)?
            }
            None => return Ok(()),
        };
        self.set = Some(set);
        Ok(())
    }

    /// Runs the hooks that let go what those before the freezing hold.
    fn let_go(&mut self) -> Result<(), ShadowError> {
        if !std::mem::take(&mut self.holds) {
            return Ok(());
        }
        self.run_hooks(HookTime::AfterShadow, None)
    }

    fn end(&mut self, result: RunResult) {
        // They are held still only where something panicked.
        self.let_go().ok();
        if let Some(set) = self.set.take() {
            self.closed.report = set.report().clone();
            self.closed.left = set.release();
            self.closed.left.iter().for_each(|(copy, error)| (self.plan.tell)(Told::Left(copy, error)));
        }
        if std::mem::take(&mut self.began) {
            self.run_hooks(HookTime::AfterRun, Some(result)).ok();
        }
    }

    fn check_stop(&self) -> Result<(), ShadowError> {
        if (self.plan.stops)() > 0 { Err(ShadowError::Interrupted) } else { Ok(()) }
    }

    /// Returns whether a hook that runs is to be killed. The first wish to stop is one that the run ends, and for that
    /// what is held must be let go: it takes another one to kill a hook that does so.
    fn is_to_be_killed(&self, time: HookTime, stops_before: u32) -> bool {
        let spared = if time == HookTime::BeforeShadow { 0 } else { stops_before.max(1) };
        (self.plan.stops)() > spared
    }

    /// Runs the hooks of one time; an error where that is to stop the run.
    fn run_hooks(&mut self, time: HookTime, result: Option<RunResult>) -> Result<(), ShadowError> {
        let hooks = self.plan.hooks;
        let report = self.set.as_ref().map_or(&self.closed.report, ShadowSet::report);
        let shadow = match (report.made.is_empty(), report.live.is_empty()) {
            (true, _) => "none",
            (false, true) => "taken",
            (false, false) => "partly",
        };
        let mut variables = vec![("HARDBACK_SHADOW", OsString::from(shadow))];
        variables.extend(result.map(|result| ("HARDBACK_RESULT", result.code().into())));
        variables.extend(self.plan.variables.iter().cloned());
        let stops_before = (self.plan.stops)();
        let failed = hooks.run(time, &variables, &|| self.is_to_be_killed(time, stops_before));
        failed.iter().for_each(|hook| (self.plan.tell)(Told::FailedHook(hook)));
        self.closed.failed_hooks.extend(failed.iter().cloned());
        // A hook that was killed is not why the run stops.
        self.check_stop()?;
        match failed.into_iter().next() {
            Some(first) if hooks.on_failure == HookFailure::Stop => Err(ShadowError::Hook(first)),
            _ => Ok(()),
        }
    }
}

impl Drop for Window<'_> {
    /// The last resort: whoever opens a window closes it, and hears what became of it.
    fn drop(&mut self) {
        self.end(RunResult::Failed);
    }
}
