//! Shadow copies and hooks: the words of `backup`, `with-shadow` and `shadow`.

use super::values;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use hardback_shadow::{HookFailure, Hooks, Mode, ShadowSize};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How much a shadow copy is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShadowMode {
    /// Read the live files
    Never,
    /// Where there is none, read the live files and tell it; a backup then exits with 3
    WhenAvailable,
    /// Where there is none, stop before anything is read
    Always,
}

impl ShadowMode {
    /// Returns the engine's word for it.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Never => Mode::Never,
            Self::WhenAvailable => Mode::WhenAvailable,
            Self::Always => Mode::Always,
        }
    }
}

/// What follows from a hook that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookFailureArg {
    /// Stop: no snapshot is made, no command is run
    Stop,
    /// Go on and tell it; a backup then exits with 3
    Report,
}

/// Commands around a shadow copy.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Shadow copies and hooks")]
pub(crate) struct HookArgs {
    /// Run this before the volumes are frozen: dump or hold a database. May be given again
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) before_shadow: Vec<OsString>,
    /// Run this right after they are frozen, or could not be: let the database go
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) after_shadow: Vec<OsString>,
    /// Run this when all is over, whatever came of it
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub(crate) after_run: Vec<OsString>,
    /// How long each of these commands may take before it is killed: 90s, 5m
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "60s")]
    pub(crate) hook_timeout: Duration,
    /// What follows from one of them failing
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = HookFailureArg::Stop)]
    pub(crate) hook_failure: HookFailureArg,
}

impl HookArgs {
    /// Returns the commands.
    pub(crate) fn hooks(&self) -> Hooks {
        Hooks {
            before_shadow: self.before_shadow.clone(),
            after_shadow: self.after_shadow.clone(),
            after_run: self.after_run.clone(),
            limit: self.hook_timeout,
            on_failure: match self.hook_failure {
                HookFailureArg::Stop => HookFailure::Stop,
                HookFailureArg::Report => HookFailure::Report,
            },
        }
    }
}

/// Run a command on shadow copies: frozen views of live volumes
///
/// The volumes of the sources are frozen (Btrfs snapshots of the subvolume and of those below it, snapshots of LVM
/// volumes, shadow copies of Windows), the command runs and reads them as they were at that moment, and they are released when it ends, however it
/// ends. `{}` in the command becomes the path of the frozen view; where it stands alone, the paths of all; `{1}`, `{2}` are
/// those of each source, and so are HARDBACK_SHADOW_1, HARDBACK_SHADOW_2 … Signals are passed on to the command, and its exit
/// code is that of hardback, also where something was read live or a hook failed and that was only to be told: it is told on
/// stderr. 125 means that hardback itself failed, 126 and 127 that
/// the command cannot be started.
#[derive(Debug, Args)]
#[command(
    override_usage = "hardback with-shadow [OPTIONS] [--source <PATH>]... -- <COMMAND>...\n       \
                      hardback with-shadow --rsync-compat [--source <PATH>]... <RSYNC'S ARGUMENTS>...",
    after_help = "Examples:
  hardback with-shadow --source /home -- tar -C {} -czf /mnt/disk/home.tar.gz .
  hardback with-shadow --source /srv --in-place -- borg create /mnt/disk/borg::{now} /srv
  rsync -aHAX --rsync-path='hardback with-shadow --rsync-compat' server:/srv/ /backup/srv/"
)]
pub(crate) struct WithShadowArgs {
    /// Folder to freeze; may be given again [default: the current folder]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) source: Vec<PathBuf>,
    /// What to do where no shadow copy can be had
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ShadowMode::Always)]
    pub(crate) shadow: ShadowMode,
    /// Room for what is overwritten meanwhile, for snapshots that have room of their own (thick LVM volumes): a size, or a
    /// part of the volume. More than there is becomes what there is
    #[arg(long, value_name = "SIZE|PERCENT", value_parser = values::shadow_size, default_value = "20%")]
    pub(crate) shadow_size: ShadowSize,
    /// Stay on the file system of each source
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
    /// Show the command the frozen views in the place of the sources, under their own paths
    #[arg(long)]
    pub(crate) in_place: bool,
    /// On Windows, give each frozen volume a drive letter meanwhile, and the command paths with it: for programs that take no
    /// path with \\?\
    #[arg(long, conflicts_with_all = ["in_place", "rsync_compat"])]
    pub(crate) drive: bool,
    /// Be called as the rsync of a remote computer that pulls: what it asks for is frozen and shown in its place
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) rsync_compat: bool,
    /// With --rsync-compat, the rsync to run
    #[arg(long, value_name = "PROGRAM", default_value = "rsync", requires = "rsync_compat")]
    pub(crate) rsync: OsString,
    #[command(flatten)]
    pub(crate) hooks: HookArgs,
    /// Command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true,
          value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// Look after the shadow copies that hardback made
#[derive(Debug, Subcommand)]
pub(crate) enum ShadowCommand {
    List(ShadowListArgs),
    Sweep(ShadowSweepArgs),
}

/// List the shadow copies that hardback made and did not remove yet
///
/// What is in use belongs to a run that is at work. What is not was left by one that was killed; the next run that makes
/// shadow copies removes it, and so does `hardback shadow sweep`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hardback shadow list")]
pub(crate) struct ShadowListArgs {}

/// Remove the shadow copies that killed runs left
///
/// Only what hardback made, and nobody uses any more.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hardback shadow sweep")]
pub(crate) struct ShadowSweepArgs {}
