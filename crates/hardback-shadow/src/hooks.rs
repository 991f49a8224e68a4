//! Commands of the user around a shadow copy: dump or hold a database before it, let it go right after, clean up when
//! the run is over.

use crate::process::{self, Ended};
use std::ffi::OsString;
use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a hook may take where nothing else is said.
pub const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookTime {
    /// Before the volumes are frozen.
    BeforeShadow,
    /// Right after that, or after it failed.
    AfterShadow,
    /// When the run is over, whatever came of it.
    AfterRun,
}

impl HookTime {
    /// Returns the word for it in the environment of the command and in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::BeforeShadow => "before-shadow",
            Self::AfterShadow => "after-shadow",
            Self::AfterRun => "after-run",
        }
    }
}

impl fmt::Display for HookTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What follows from a hook that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HookFailure {
    /// The run stops.
    #[default]
    Stop,
    /// The run goes on, and the failure is told as a problem.
    Report,
}

/// The commands of a job.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Before the volumes are frozen, one after the other.
    pub before_shadow: Vec<OsString>,
    /// Right after that. They run in any case where one of those before was started.
    pub after_shadow: Vec<OsString>,
    /// When the run is over.
    pub after_run: Vec<OsString>,
    /// How long each may take.
    pub limit: Duration,
    /// What follows from a failure.
    pub on_failure: HookFailure,
}

impl Default for Hooks {
    fn default() -> Self {
        let none = Vec::new;
        Self {
            before_shadow: none(),
            after_shadow: none(),
            after_run: none(),
            limit: HOOK_LIMIT,
            on_failure: HookFailure::Stop,
        }
    }
}

/// A hook that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedHook {
    /// When it ran.
    pub time: HookTime,
    /// The command.
    pub command: String,
    /// What became of it.
    pub why: String,
}

impl fmt::Display for FailedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} hook `{}` {}", self.time, self.command, self.why)
    }
}

impl Hooks {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.before_shadow.is_empty() && self.after_shadow.is_empty() && self.after_run.is_empty()
    }

    /// Runs the commands of one time, each in the shell of the system and with these variables beside `HARDBACK_HOOK`.
    /// With [`HookFailure::Stop`] those before the shadow copy end with the first that fails; the others all run, as one
    /// of them may let go what another holds. What a command prints goes to stderr.
    ///
    /// Where `is_stopped` says so, a command is killed; those before the shadow copy end with it.
    pub fn run(
        &self,
        time: HookTime,
        variables: &[(&str, OsString)],
        is_stopped: &dyn Fn() -> bool,
    ) -> Vec<FailedHook> {
        let commands = match time {
            HookTime::BeforeShadow => &self.before_shadow,
            HookTime::AfterShadow => &self.after_shadow,
            HookTime::AfterRun => &self.after_run,
        };
        let mut failed = Vec::new();
        for text in commands {
            let is_before = time == HookTime::BeforeShadow;
            if is_before && is_stopped() {
                break;
            }
            if let Err(why) = self.run_one(time, text, variables, is_stopped) {
                failed.push(FailedHook { time, command: text.to_string_lossy().into_owned(), why });
                if is_before && self.on_failure == HookFailure::Stop {
                    break;
                }
            }
        }
        failed
    }

    fn run_one(
        &self,
        time: HookTime,
        text: &OsString,
        variables: &[(&str, OsString)],
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let mut command = shell(text);
        command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(Stdio::inherit());
        command.env("HARDBACK_HOOK", time.code()).envs(variables.iter().map(|(name, value)| (name, value)));
        match process::run(&mut command, self.limit, is_stopped) {
            Ok(Some(Ended::Status(status))) if status.success() => Ok(()),
            Ok(Some(Ended::Status(status))) => Err(format!("failed: {status}")),
            Ok(Some(Ended::TimedOut)) => {
                Err(format!("did not end within {} s and was killed", self.limit.as_secs_f64()))
            }
            Ok(None) => Err("was killed, as the run was to stop".to_owned()),
            Err(error) => Err(format!("cannot be started: {error}")),
        }
    }
}

#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "a hook is a program")]
fn shell(text: &OsString) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text);
    command
}

#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "a hook is a program")]
fn shell(text: &OsString) -> Command {
    use std::os::windows::process::CommandExt;
    let mut command = Command::new("cmd");
    // cmd takes what follows /C as it is written, without the quoting of other programs; with /S it takes off the first
    // and the last quote, which are ours, and never those of the command.
    let mut quoted = OsString::from("\"");
    quoted.push(text);
    quoted.push("\"");
    command.args(["/D", "/S", "/C"]).raw_arg(quoted);
    command
}
