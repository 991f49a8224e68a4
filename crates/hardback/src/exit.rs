//! What the shell hears.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// The verb stopped; no snapshot was made.
    Stopped,
    /// The arguments make no sense (clap's own number).
    Usage,
    /// It was done, and some entries are missing or differ.
    Incomplete,
    /// Another run works on the target.
    Locked,
    /// It was done, and a guard let nothing be removed.
    Suspended,
    /// The user asked to stop.
    Interrupted,
    /// A command that was run for the user ended so.
    Of(u8),
}

impl Exit {
    /// Returns the number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Stopped => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Locked => 4,
            Self::Suspended => 5,
            Self::Interrupted => 130,
            Self::Of(code) => code,
        }
    }

    /// Returns how a verb ends that met so many problems.
    pub(crate) const fn of_problems(problems: u64) -> Self {
        if problems == 0 { Self::Done } else { Self::Incomplete }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
