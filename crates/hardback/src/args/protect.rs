//! What `restore --delete` leaves alone: the excludes of a backup, with words of their own.

use super::{ExcludeArgs, values};
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

/// More that is not removed, beside what the backup left out.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What --delete leaves alone, beside what the backup left out")]
pub(crate) struct ProtectArgs {
    /// Leave alone what matches a pattern in the manner of .gitignore; the last match decides
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    exclude: Vec<OsString>,
    /// Read such patterns from a file, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    exclude_from: Vec<PathBuf>,
    /// Leave alone what is in folders that hold an entry of this name
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<OsString>,
    /// Leave alone what is in folders that hold a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,
    /// Leave alone what has the attribute "no dump" (chattr +d)
    #[arg(long)]
    exclude_nodump: bool,
    /// Leave alone files above this size
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) max_size_file: Option<u64>,
    /// Do not read lists of patterns in folders (.hardbackignore), unless the backup did
    #[arg(long)]
    no_ignore_files: bool,
    /// Use a list that comes with hardback
    #[arg(long, value_name = "NAME")]
    preset: Vec<String>,
    /// Remove what the backup left out too
    #[arg(long, requires = "delete", conflicts_with_all = ["exclude", "exclude_from", "exclude_if_present",
          "exclude_caches", "exclude_nodump", "max_size_file", "no_ignore_files", "preset"])]
    pub(crate) delete_excluded: bool,
}

impl ProtectArgs {
    /// Returns the same as a backup's excludes.
    pub(crate) fn excludes(&self) -> ExcludeArgs {
        ExcludeArgs {
            exclude: self.exclude.clone(),
            exclude_from: self.exclude_from.clone(),
            exclude_if_present: self.exclude_if_present.clone(),
            exclude_caches: self.exclude_caches,
            exclude_nodump: self.exclude_nodump,
            no_ignore_files: self.no_ignore_files,
            preset: self.preset.clone(),
            // Those of the backup are on record.
            no_system_excludes: true,
        }
    }

    /// Returns whether anything is named that only means something to a delete.
    pub(crate) fn is_given(&self) -> bool {
        !self.exclude.is_empty()
            || !self.exclude_from.is_empty()
            || !self.exclude_if_present.is_empty()
            || !self.preset.is_empty()
            || self.max_size_file.is_some()
            || self.exclude_caches
            || self.exclude_nodump
            || self.no_ignore_files
    }
}
