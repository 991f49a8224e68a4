//! Words about single snapshots.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Keep snapshots whatever the rules say, until they are unpinned
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback pin /mnt/disk/backup 2026-11-20_18.00.00 --comment 'before the move'
  hardback pin /mnt/disk/backup latest")]
pub(crate) struct PinArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Snapshots: names, latest, dates, or "2 days ago"
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub(crate) snapshots: Vec<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Let the rules decide about snapshots again, and answer what a guard found
///
/// With snapshots: they are no longer pinned, by you or by a guard, and an alarm about them is answered. Without: all
/// alarms of the job are answered, and what the guards pinned goes free; your own pins stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback unpin /mnt/disk/backup 2026-11-20_18.00.00
  hardback unpin /mnt/disk/backup            all is well: pruning may go on")]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Snapshots: names, latest, dates, or "2 days ago" [default: what guards pinned]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
}

/// Give a snapshot tags and a comment
///
/// `hardback snapshots` shows them; `--keep-tag` of `hardback prune` keeps all with a tag.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback tag /mnt/disk/backup latest release-2.0
  hardback tag /mnt/disk/backup 2026-11-20_18.00.00 --comment 'all photos sorted'
  hardback tag /mnt/disk/backup latest --remove release-2.0")]
pub(crate) struct TagArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Snapshot: a name, latest, a date, or "2 days ago"
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Tags to give
    #[arg(value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Tag to take away
    #[arg(long, value_name = "TAG")]
    pub(crate) remove: Vec<String>,
    /// A comment; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Where the snapshots are.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}
