//! What can go wrong with a shadow copy, for people: what, why, and what to do about it.

use crate::hooks::FailedHook;
use hardback_platform::PathError;
use std::io;

/// A shadow copy could not be made, kept or removed.
///
/// `Display` says what could not be done; the cause is [`std::error::Error::source`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// There is none to be had, or it is not to be touched.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A call to the system failed.
    #[error("cannot {what}")]
    System {
        /// What was tried, with the path or volume.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A tool of the system failed, or is not there.
    #[error("{message}")]
    Tool {
        /// Which, and what it said.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A shadow copy that was there is of no use any more: what was read from it cannot be trusted.
    #[error("the shadow copy of {volume} was lost: {why}")]
    Lost {
        /// Of which volume.
        volume: String,
        /// What happened.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A command of the user failed, and that stops the run.
    #[error("{0}")]
    Hook(FailedHook),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file of our own, such as a record of what is to be removed.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl ShadowError {
    /// Makes a refusal.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: Some(hint.into()) }
    }

    /// Makes an error of a call to the system.
    pub fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { what: what.into(), source: source.into() }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } | Self::Tool { hint, .. } | Self::Lost { hint, .. } => hint.clone(),
            Self::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(match cfg!(windows) {
                    true => "making shadow copies needs an administrator; run as one, or with --shadow never".into(),
                    false => "making shadow copies needs root; run as root, or with --shadow never".into(),
                })
            }
            Self::Hook(_) => {
                Some("what it says stands above; with --hook-failure report the run goes on, and tells of it".into())
            }
            _ => None,
        }
    }

    /// Returns the whole of it in one line.
    pub fn in_a_line(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
