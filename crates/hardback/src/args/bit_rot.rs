//! What keeps snapshots readable over the years: `scrub`, `repair`, `drill`.

use super::values::{self, Percent};
use clap::{ArgGroup, Args, ValueHint};
use std::path::PathBuf;

/// Read a part of the stored files again, another one with each run, to find bit rot
///
/// Each run goes on where the last one stopped; with 2% all files are read again within 50 runs, whatever is backed up or
/// pruned in between. Files are read from the disk, not from the cache.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback scrub /mnt/disk/backup
  hardback scrub /mnt/disk/backup --share 10%
  hardback backup ~/Documents /mnt/disk/backup --scrub 2%      behind each backup")]
pub(crate) struct ScrubArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Part of the whole that this run reads
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "2%")]
    pub(crate) share: Percent,
    /// Only the snapshots of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Put a good copy in the place of damaged files, in all snapshots that share them
///
/// Reads all stored files, or those of the snapshots that are named, and looks for a good copy of each damaged one: in
/// other snapshots, under another name, in another job. A copy is good if its content has the digest of the record.
/// Nothing else in the snapshots is changed.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("where").args(["snapshots", "recorded"]),
    after_help = "Examples:
  hardback repair /mnt/disk/backup --dry-run
  hardback repair /mnt/disk/backup --recorded               only what scrubs have found
  hardback repair /mnt/disk/backup latest --from-source     also from the files that were backed up")]
pub(crate) struct RepairArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Snapshots to look through: names, latest, dates [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Only look at what scrubs found to be damaged; reads nothing else
    #[arg(long)]
    pub(crate) recorded: bool,
    /// Where the target has no good copy, take the file of the source, if it still has the content
    #[arg(long)]
    pub(crate) from_source: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Only this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Try a restore: bring random files of several snapshots back, and compare them
///
/// They go to a folder of their own in the system's folder for temporary files, which is removed afterwards, or to DIR,
/// where they stay. Says at the end how long a whole restore would take.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("how_many").args(["files", "share"]),
    after_help = "Examples:
  hardback drill /mnt/disk/backup
  hardback drill /mnt/disk/backup --files 1000
  hardback drill /mnt/disk/backup --share 1% --to /tmp/try")]
pub(crate) struct DrillArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// How many files, at most 10,000
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=hardback_engine::DRILL_FILES_MAX))]
    pub(crate) files: u64,
    /// As many files as this part of those of the newest snapshot
    #[arg(long, value_name = "PERCENT", value_parser = values::percent)]
    pub(crate) share: Option<Percent>,
    /// Folder to restore to, new or empty; it stays
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) to: Option<PathBuf>,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}
