//! What a user can say to `hardback selftest`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Try out on this computer what hardback relies on, and print a report for an issue
///
/// In a folder of its own, which it removes at the end, it makes one of each thing that this system has (odd names, links,
/// access lists, streams, …), backs it up twice, restores it and compares. Run it elevated (as root) to have all of it
/// tested, a shadow copy among it. Each check has passed, has failed, or is not possible here. The exit code is 1 if one
/// failed. The report names no user, and no path above that folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback selftest
  hardback selftest --folder /mnt/disk     on another volume
  hardback selftest > report.txt")]
pub(crate) struct SelftestArgs {
    /// Folder on the volume to test [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}
