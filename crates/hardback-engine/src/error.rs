//! Why a verb stops. What concerns one entry is a [`crate::Problem`] and stops nothing.

use crate::manifest::ManifestError;
use hardback_platform::{Faults, PathError};
use std::panic::{AssertUnwindSafe, catch_unwind};

const FULL_HINT: &str =
    "the target is full: free some room or remove an old snapshot; the next run goes on where this one stopped";
const NO_ENTRIES_HINT: &str = "the target has room for bytes but no file entries (inodes) left, and a snapshot takes one for \
    each of its folders and each new file: remove an old snapshot or other files there, or take a volume that was made \
    with more; the next run goes on where this one stopped";

/// Why a verb stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no where the verb cannot go on.
    #[error(transparent)]
    Path(PathError),
    /// The target is full, and more is known about it: it lacks file entries, or unfinished snapshots are there.
    #[error("{message}")]
    Full {
        /// What failed, and where.
        message: String,
        /// It lacks file entries (inodes) and not bytes.
        lacks_entries: bool,
        /// How many, beside that of the run.
        unfinished: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// A manifest cannot be read.
    #[error("cannot read the record of snapshot {snapshot}")]
    Manifest {
        /// Which snapshot.
        snapshot: String,
        /// Why.
        source: ManifestError,
    },
    /// What was asked for makes no sense or is not safe.
    #[error("{message}")]
    Refused {
        /// What and where.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Another run works on the target.
    #[error("another run is at work on the target{}", holder.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Locked {
        /// What the other run says of itself.
        holder: Option<String>,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A shadow copy cannot be had, or was lost.
    #[error(transparent)]
    Shadow(hardback_shadow::ShadowError),
    /// A part of the run panicked.
    #[error("hardback failed at its own work: {message}")]
    Bug {
        /// What the panic says.
        message: String,
    },
    /// There is no such snapshot, job or path.
    #[error("{message}")]
    NotFound {
        /// What.
        message: String,
        /// What may have been meant.
        hint: Option<String>,
    },
}

impl Error {
    /// Makes a refusal with a hint.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: Some(hint.into()) }
    }

    /// Returns what it says with all that caused it, for where only a line is told.
    pub(crate) fn with_causes(&self) -> String {
        let mut all = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            all = format!("{all}: {error}");
            cause = error.source();
        }
        all
    }

    /// Returns whether the target has no room left.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Path(error) => error.fault() == Faults::Full,
            _ => false,
        }
    }

    /// Makes an error for what is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound { message: message.into(), hint: None }
    }

    /// Does a part of a verb's work; its panic is an error, as the other parts would wait for what it was to make. What
    /// it was at must not be looked at again.
    pub(crate) fn of_panic_in(work: impl FnOnce() -> Result<(), Self>) -> Result<(), Self> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            Err(Self::Bug { message: text.unwrap_or("a panic without words").to_owned() })
        })
    }

    /// Returns what the user can do about it, if it is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } | Self::NotFound { hint, .. } => hint.clone(),
            Self::Shadow(error) => error.hint(),
            Self::Path(error) => match error.fault() {
                Faults::Full => Some(FULL_HINT.into()),
                Faults::Denied => Some("run as a user who may read and write there".into()),
                Faults::ReadOnly => Some("the volume is mounted read-only; look at the system's log for why".into()),
                Faults::Io => Some("the disk reports errors: check its cable and its health before trusting it".into()),
                _ => None,
            },
            Self::Full { unfinished, lacks_entries, .. } => {
                let hint = if *lacks_entries { NO_ENTRIES_HINT } else { FULL_HINT };
                let (plural, verb) = if *unfinished == 1 { ("", "holds") } else { ("s", "hold") };
                Some(match unfinished {
                    0 => hint.to_owned(),
                    _ => format!(
                        "{hint}; {unfinished} older unfinished snapshot{plural} in .hardback/partial {verb} room too, \
                         until the next whole run of the job"
                    ),
                })
            }
            Self::Locked { .. } => {
                Some("wait for it to end; the lock goes with its process, even if that is killed".into())
            }
            Self::Bug { .. } => Some(
                "please report it; sealed snapshots are as they were, and the next run goes on where this one stopped"
                    .into(),
            ),
            Self::Manifest { .. } => Some(
                "the files of the snapshot are plain files and can be copied without it; `hardback verify` tells more"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// Puts a folder before the path of an error.
pub(crate) trait UnderPath {
    /// Does so.
    #[must_use]
    fn under(self, dir: &[u8]) -> Self;
}

impl<T> UnderPath for Result<T, PathError> {
    fn under(self, dir: &[u8]) -> Self {
        self.map_err(|error| error.under(dir))
    }
}

impl<T> UnderPath for Result<T, Error> {
    fn under(self, dir: &[u8]) -> Self {
        self.map_err(|error| match error {
            Error::Path(error) => error.under(dir).into(),
            other => other,
        })
    }
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}
