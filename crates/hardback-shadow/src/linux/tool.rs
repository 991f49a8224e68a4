//! The system's tools for volumes: started with a time limit, in English, and whatever they complain about is in the
//! error.
#![allow(clippy::disallowed_methods, reason = "providers are driven by the system's tools")]

use crate::error::ShadowError;
use crate::process::{Ended, run_and_read};
use std::io::ErrorKind;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a tool may take that only looks, or works on what nobody uses.
pub(super) const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// How often removing is tried, and how long is waited in between: others (udev, a process that just ended) are on a
/// snapshot for a moment.
pub(super) const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(500);

/// Where tools are looked for, whatever the environment says: schedulers leave out the administrator's folders.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin:/run/current-system/sw/sbin";

/// Longest part of what a tool said that is put into an error, in bytes.
const SAID_BYTES_MAX: usize = 2000;

/// A tool, and what to do where it is missing or fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// Its name.
    pub(super) program: &'static str,
    /// What to do where it is not there.
    pub(super) install: &'static str,
    /// What to do where it fails.
    pub(super) hint: &'static str,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// Waits a moment before removing is tried again.
pub(super) fn pause() {
    // Nobody sends anything.
    let (_sender, nothing) = channel::<()>();
    nothing.recv_timeout(REMOVE_PAUSE).ok();
}

/// What a tool did.
#[derive(Debug)]
pub(super) struct Done {
    /// What it wrote.
    pub(super) out: String,
    /// Why that cannot be relied on, where it failed.
    pub(super) failure: Option<ShadowError>,
}

impl Done {
    /// Returns what the tool wrote.
    ///
    /// # Errors
    /// It failed.
    pub(super) fn checked(self) -> Result<String, ShadowError> {
        self.failure.map_or(Ok(self.out), Err)
    }
}

impl Tool {
    /// Runs the tool.
    ///
    /// # Errors
    /// It is not there, cannot be started, or did not end in its time.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Done, ShadowError> {
        let mut command = Command::new(self.program);
        // The second keeps LVM from complaining about files that others have open.
        command.args(arguments).env("PATH", PATH).env("LC_ALL", "C").env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command.current_dir("/");
        let shown = || [&[self.program], arguments].concat().join(" ");
        let (ended, out, err) = match run_and_read(&mut command, self.limit) {
            Ok(result) => result,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("{} is not installed", self.program);
                return Err(ShadowError::Tool { message, hint: Some(self.install.into()) });
            }
            Err(error) => return Err(ShadowError::system(format!("start {}", self.program), error)),
        };
        let hint = Some(self.hint.to_owned());
        match ended {
            Ended::TimedOut => {
                let limit = self.limit.as_secs();
                let message = format!("`{}` did not end within {limit} s and was killed{}", shown(), said(&err));
                Err(ShadowError::Tool { message, hint })
            }
            Ended::Status(status) if status.success() => Ok(Done { out, failure: None }),
            Ended::Status(status) => {
                let message = format!("`{}` failed ({status}){}", shown(), said(&err));
                Ok(Done { out, failure: Some(ShadowError::Tool { message, hint }) })
            }
        }
    }
}

/// Returns what a tool complained about, in one line, to be put behind what it did.
fn said(complaint: &str) -> String {
    let lines: Vec<&str> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut line = lines.join("; ");
    if line.len() > SAID_BYTES_MAX {
        let end = (0..=SAID_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool { program: "sh", install: "install it", hint: "look", limit: Duration::from_millis(500) };

    #[test]
    fn a_failure_has_what_the_tool_said_and_its_output() {
        let done = SHELL.run(&["-c", "echo out; echo '  no'; echo ' such ' >&2; echo >&2; echo thing >&2; exit 5"]);
        let done = done.unwrap();
        assert_eq!(done.out, "out\n  no\n");
        let error = done.failure.unwrap();
        assert!(error.to_string().ends_with("failed (exit status: 5): such; thing"), "{error}");
        assert_eq!(error.hint().as_deref(), Some("look"));
    }

    #[test]
    fn a_tool_that_is_missing_or_hangs_is_told() {
        let missing = Tool { program: "no-such-program-here", ..SHELL }.run(&[]).unwrap_err();
        assert_eq!(missing.to_string(), "no-such-program-here is not installed");
        assert_eq!(missing.hint().as_deref(), Some("install it"));
        let hangs = SHELL.run(&["-c", "echo why >&2; sleep 30"]).unwrap_err();
        assert!(hangs.to_string().contains("was killed: why"), "{hangs}");
    }

    #[test]
    fn a_long_complaint_is_cut() {
        let long = said(&"ä".repeat(SAID_BYTES_MAX));
        assert!(long.len() < SAID_BYTES_MAX + 10 && long.ends_with('…'));
    }
}
