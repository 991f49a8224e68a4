//! Files whose content is not simply there: the words of `backup`.

use clap::{Args, ValueEnum};
use hardback_engine::{Efs, Placeholders};

/// What to do with files that are in a cloud only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlaceholderMode {
    /// Keep the placeholder, and list it
    Keep,
    /// Have the content downloaded and store it; Windows alone can do it
    Download,
}

/// What to do with files that Windows encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EfsMode {
    /// Store what their user reads, and list them: who reads the target reads them
    Plain,
    /// Leave them out
    Skip,
    /// Store them encrypted; only Windows can restore them, and only their users can read them
    Raw,
}

/// What to do with both.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "How")]
pub(crate) struct ElsewhereArgs {
    /// Files that are in a cloud only (OneDrive and its like)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = PlaceholderMode::Keep)]
    placeholders: PlaceholderMode,
    /// Files that Windows encrypts (EFS)
    #[arg(long, value_enum, value_name = "HOW", default_value_t = EfsMode::Plain)]
    efs: EfsMode,
}

impl ElsewhereArgs {
    /// Returns the engine's words for them.
    pub(crate) fn choices(self) -> (Placeholders, Efs) {
        let placeholders = match self.placeholders {
            PlaceholderMode::Keep => Placeholders::Keep,
            PlaceholderMode::Download => Placeholders::Download,
        };
        let efs = match self.efs {
            EfsMode::Plain => Efs::Plain,
            EfsMode::Skip => Efs::Skip,
            EfsMode::Raw => Efs::Raw,
        };
        (placeholders, efs)
    }
}
