//! Errors for people: what stopped, why, and what to do about it.

use crate::exit::Exit;
use crate::ui::Ui;
use hardback_engine::Error;
use hardback_engine::exclude::ExcludeError;
use hardback_shadow::ShadowError;
use serde::Serialize;
use std::fmt;
use std::io::ErrorKind;

/// The arguments contradict each other in a way that the parser cannot see.
#[derive(Debug)]
pub(crate) struct Usage {
    message: String,
    hint: Option<String>,
}

impl Usage {
    /// Makes one.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }

    /// Takes over a refusal that depends on the arguments alone.
    pub(crate) fn from_refusal(error: &Error) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Usage {}

/// An error as the report of a run with `--json`.
#[derive(Debug, Serialize)]
struct ErrorReport {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

/// Tells the user and returns how the process ends.
pub(crate) fn tell(error: &anyhow::Error, ui: &Ui) -> Exit {
    // `hardback find … | head` ends like any other program in a pipe.
    if error.chain().any(is_broken_pipe) {
        return Exit::Done;
    }
    let exit = exit_of(error);
    let (message, causes) = sentences(error);
    let hint = error.chain().find_map(hint_of);
    if ui.is_json() {
        let report = ErrorReport { message, causes, hint };
        if ui.report("error", exit, &report).is_ok() {
            return exit;
        }
        return Exit::Stopped;
    }
    ui.error_line("error", &message);
    for cause in &causes {
        ui.error_line("caused by", cause);
    }
    if let Some(hint) = &hint {
        ui.error_line("hint", hint);
    }
    exit
}

/// Returns what happened and the causes, each once: some libraries repeat their cause.
fn sentences(error: &anyhow::Error) -> (String, Vec<String>) {
    let message = error.to_string();
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if causes.last().unwrap_or(&message) != &cause {
            causes.push(cause);
        }
    }
    (message, causes)
}

fn exit_of(error: &anyhow::Error) -> Exit {
    let of_one = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<Usage>() || cause.is::<ExcludeError>() {
            return Some(Exit::Usage);
        }
        match cause.downcast_ref::<Error>()? {
            Error::Locked { .. } => Some(Exit::Locked),
            Error::Interrupted => Some(Exit::Interrupted),
            _ => None,
        }
    };
    error.chain().find_map(of_one).unwrap_or(Exit::Stopped)
}

fn hint_of(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(usage) = cause.downcast_ref::<Usage>() {
        return usage.hint.clone();
    }
    if let Some(exclude) = cause.downcast_ref::<ExcludeError>() {
        return Some(exclude.hint());
    }
    if let Some(shadow) = cause.downcast_ref::<ShadowError>() {
        return shadow.hint();
    }
    cause.downcast_ref::<Error>()?.hint()
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_exit() {
        let refused = || Error::refused("no", "yes");
        let cases: [(anyhow::Error, Exit); 6] = [
            (Error::Interrupted.into(), Exit::Interrupted),
            (Error::Locked { holder: None }.into(), Exit::Locked),
            (refused().into(), Exit::Stopped),
            (Usage::from_refusal(&refused()).into(), Exit::Usage),
            (anyhow::Error::from(Error::Interrupted).context("cannot go on"), Exit::Interrupted),
            (anyhow::anyhow!("anything else"), Exit::Stopped),
        ];
        for (error, exit) in cases {
            assert_eq!(exit_of(&error), exit, "{error}");
        }
    }

    #[test]
    fn a_hint_is_found_below_a_context_and_no_cause_is_told_twice() {
        let error = anyhow::Error::from(Error::refused("no", "yes")).context("cannot go on");
        assert_eq!(error.chain().find_map(hint_of).as_deref(), Some("yes"));
        assert_eq!(sentences(&error), ("cannot go on".to_owned(), vec!["no".to_owned()]));
        let repeated = anyhow::anyhow!("no").context("no").context("cannot");
        assert_eq!(sentences(&repeated), ("cannot".to_owned(), vec!["no".to_owned()]));
    }
}
