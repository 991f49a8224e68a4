//! What a user can say: one struct a verb. The help texts are the reference; man page and completions come from them.

mod bit_rot;
mod elsewhere;
mod examples;
mod notes;
mod protect;
mod retention;
mod selftest;
mod shadow;
mod sources;
mod values;

pub(crate) use bit_rot::{DrillArgs, RepairArgs, ScrubArgs};
pub(crate) use elsewhere::ElsewhereArgs;
pub(crate) use notes::{PinArgs, TagArgs, UnpinArgs, WhichArgs};
pub(crate) use protect::ProtectArgs;
pub(crate) use retention::RetentionArgs;
pub(crate) use selftest::SelftestArgs;
pub(crate) use shadow::{HookArgs, ShadowCommand, ShadowMode, WithShadowArgs};
pub(crate) use sources::SourcesAndTarget;
pub(crate) use values::Percent;

use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use hardback_shadow::ShadowSize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Backups that anyone can read: plain, dated folders, in which a file that did not change is a hard link.
#[derive(Debug, Parser)]
#[command(
    name = "hardback",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  hardback backup ~/Documents ~/Pictures /mnt/disk/backup
  hardback snapshots /mnt/disk/backup
  hardback restore /mnt/disk/backup Documents/letter.odt --to ~/Desktop

Exit codes:
  0 done              1 stopped, nothing was made      2 wrong arguments
  3 done, but some entries are missing or differ       4 another run is at work       130 interrupted
  5 done, but a guard let no snapshot be removed"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Choices of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Say nothing but what was asked for, problems and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: each step and each problem as it comes
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Write results as JSON lines to stdout, and progress and problems to stderr (docs/json.md)
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArgs),
    Backup(Box<BackupArgs>),
    Snapshots(SnapshotsArgs),
    Diff(DiffArgs),
    Versions(VersionsArgs),
    Find(FindArgs),
    Restore(Box<RestoreArgs>),
    Verify(VerifyArgs),
    Prune(Box<PruneArgs>),
    Purge(PurgeArgs),
    Pin(PinArgs),
    Unpin(UnpinArgs),
    Tag(TagArgs),
    Du(DuArgs),
    Scrub(ScrubArgs),
    Repair(RepairArgs),
    Drill(DrillArgs),
    WithShadow(Box<WithShadowArgs>),
    #[command(subcommand)]
    Shadow(ShadowCommand),
    #[command(subcommand)]
    Filter(FilterCommand),
    Selftest(SelftestArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Command {
    /// Returns whether signals are for a program that is run, and not for us.
    pub(crate) fn passes_signals_on(&self) -> bool {
        matches!(self, Self::WithShadow(_))
    }
}

/// Make a folder a target: the place that holds snapshots
///
/// Writes .hardback/target.toml, which proves that the right disk is mounted, and a README.txt for whoever finds the
/// disk. `hardback backup` does the same by itself for a folder that is new or empty. Here it may also hold other things,
/// which stay; it may not be inside another target.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback init /mnt/disk/backup
  hardback init /mnt/disk/backup --new-disk     the old disk is gone, this is another one")]
pub(crate) struct InitArgs {
    /// Folder for the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Make a new target although another one was seen at this path before
    #[arg(long)]
    pub(crate) new_disk: bool,
}

/// Back up folders: makes a new dated snapshot in the target
///
/// What did not change since the last snapshot becomes a hard link and costs no room. Each source lands in the
/// snapshot under its own name. A target that does not exist or is empty is made.
#[derive(Debug, Args)]
#[command(
    override_usage = "hardback backup [OPTIONS] <SOURCE>... <TARGET>",
    after_help = "Examples:
  hardback backup ~/Documents /mnt/disk/backup
  hardback backup ~/Documents ~/Pictures /mnt/disk/backup --preset linux-home
  hardback backup /srv/a/data --as data-a /srv/b/data --as data-b /mnt/disk/backup
  hardback backup / /mnt/disk/backup --job system --preset linux-system --one-file-system
  hardback backup /home /mnt/disk/backup --shadow always
  hardback backup ~/Documents /mnt/disk/backup --dry-run"
)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) places: SourcesAndTarget,
    /// Put the content of the single source at the top of the snapshot
    #[arg(long, conflicts_with = "as_name", help_heading = "What to back up")]
    pub(crate) root: bool,
    /// Name of the job, which is its folder in the target [default: this computer's name]
    #[arg(long, value_name = "NAME", help_heading = "What to back up")]
    pub(crate) job: Option<String>,
    /// Stay on the file system of each source
    #[arg(short = 'x', long, help_heading = "What to back up")]
    pub(crate) one_file_system: bool,
    /// Leave out files above this size: 500M, 2G, 1.5T
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = "What to back up")]
    pub(crate) max_size_file: Option<u64>,
    #[command(flatten)]
    pub(crate) exclude: ExcludeArgs,
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// Read frozen views of the volumes (snapshots of Btrfs, LVM or ZFS, shadow copies of Windows) and not the live files; a
    /// dry run reads the live ones, and says whether there can be any
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ShadowMode::Never,
          help_heading = "Shadow copies and hooks")]
    pub(crate) shadow: ShadowMode,
    /// Room for what is overwritten meanwhile, for snapshots that have room of their own (thick LVM volumes): a size, or a
    /// part of the volume. More than there is becomes what there is
    #[arg(long, value_name = "SIZE|PERCENT", value_parser = values::shadow_size, default_value = "20%",
          help_heading = "Shadow copies and hooks")]
    pub(crate) shadow_size: ShadowSize,
    #[command(flatten)]
    pub(crate) hooks: HookArgs,
    #[command(flatten)]
    pub(crate) elsewhere: ElsewhereArgs,
    /// Compare the content of every file, also where size and times agree
    #[arg(long, help_heading = "How")]
    pub(crate) checksum: bool,
    /// Most names that one stored file may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How")]
    pub(crate) max_links: Option<u64>,
    /// Make no snapshot where nothing changed since the last one
    #[arg(long, help_heading = "How")]
    pub(crate) skip_unchanged: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, help_heading = "How")]
    pub(crate) dry_run: bool,
    /// Allow a target on the same file system as a source; such a backup does not survive the disk
    #[arg(long, help_heading = "How")]
    pub(crate) same_disk: bool,
    /// Allow a source that is empty (otherwise taken for a disk that is not mounted)
    #[arg(long, help_heading = "How")]
    pub(crate) allow_empty: bool,
    /// A file touched less than this before it was read is compared by content next time
    #[arg(long, value_name = "SECONDS", default_value_t = hardback_engine::HOT_WINDOW_S,
          value_parser = clap::value_parser!(i64).range(0..), help_heading = "How")]
    pub(crate) hot_window: i64,
    /// Behind the backup, read this part of the job's stored files again (see `hardback scrub`)
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, conflicts_with = "dry_run",
          help_heading = "How")]
    pub(crate) scrub: Option<Percent>,
    /// Threads that store files [default: as many as pay]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "How")]
    pub(crate) workers: Option<u16>,
}

/// Which entries stay out.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to leave out")]
pub(crate) struct ExcludeArgs {
    /// Leave out what matches a pattern in the manner of .gitignore; the last match decides, `!` brings back
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) exclude: Vec<OsString>,
    /// Read patterns from a file, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) exclude_from: Vec<PathBuf>,
    /// Leave out what is in folders that hold an entry of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_if_present: Vec<OsString>,
    /// Leave out what is in folders that hold a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,
    /// Leave out what has the attribute "no dump" (chattr +d)
    #[arg(long)]
    pub(crate) exclude_nodump: bool,
    /// Do not read lists of patterns in folders (.hardbackignore)
    #[arg(long)]
    pub(crate) no_ignore_files: bool,
    /// Use a list that comes with hardback; `hardback filter presets` prints them
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Vec<String>,
    /// On Windows, do not leave out what the system declares that no backup should have (FilesNotToBackup; with shadow
    /// copies FilesNotToSnapshot, and what programs declare as writers)
    #[arg(long)]
    pub(crate) no_system_excludes: bool,
}

/// List snapshots: name, when, entries, bytes, new bytes, problems
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback snapshots /mnt/disk/backup
  hardback snapshots /mnt/disk/backup --job laptop --json")]
pub(crate) struct SnapshotsArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Only the snapshots of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Show what changed between two snapshots, or between a snapshot and the source
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback diff /mnt/disk/backup yesterday latest
  hardback diff /mnt/disk/backup 2026-11-20_18.00.00 2026-11-21_18.00.00
  hardback diff /mnt/disk/backup latest          the source as it is now against the newest snapshot

Each line begins with a sign: + added, - removed, M other content, m other metadata only, T of another kind,
R moved.")]
pub(crate) struct DiffArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// The older side: a name, latest, a date, or "2 days ago"
    pub(crate) a: String,
    /// The newer side [default: the source as it is now]
    pub(crate) b: Option<String>,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Show the distinct versions of one path over all snapshots
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hardback versions /mnt/disk/backup Documents/letter.odt")]
pub(crate) struct VersionsArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Path in the snapshots, with its source's folder
    pub(crate) path: PathBuf,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Find entries by name in all snapshots
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback find /mnt/disk/backup letter
  hardback find /mnt/disk/backup 'Documents/**/*.odt'
  hardback find /mnt/disk/backup -i README            also readme.txt; without -i as it is written")]
pub(crate) struct FindArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Part of a name, or a pattern such as '*.odt'; with a `/` in it, of the whole path. Capitals count if it has some
    pub(crate) pattern: String,
    /// Capitals do not count, also where the pattern has some
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    /// Only the snapshots of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Get files back
///
/// PATH is a path in the snapshot, with its source's folder; without one, all of the snapshot comes back. With --to,
/// each lands below DIR under the same path. With --in-place, it goes back to where it was backed up from.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("place").required(true).args(["to", "in_place"]),
    after_help = "Examples:
  hardback restore /mnt/disk/backup Documents/letter.odt --to ~/Desktop
  hardback restore /mnt/disk/backup --at '2 days ago' --to /tmp/all
  hardback restore /mnt/disk/backup Documents --in-place --overwrite never
  hardback restore /mnt/disk/backup Documents --in-place --overwrite always --delete --dry-run
  hardback restore /mnt/disk/backup Documents --in-place --delete --exclude '*.log'"
)]
pub(crate) struct RestoreArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Paths in the snapshot [default: all of it]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME", help_heading = "From when")]
    pub(crate) job: Option<String>,
    /// Snapshot: a name, latest, a date, or "2 days ago"
    #[arg(long, value_name = "WHEN", default_value = "latest", help_heading = "From when")]
    pub(crate) at: String,
    /// Folder to restore into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Where to")]
    pub(crate) to: Option<PathBuf>,
    /// Restore to where it was backed up from
    #[arg(long, help_heading = "Where to")]
    pub(crate) in_place: bool,
    /// What to do with a file that is there and differs
    #[arg(long, value_enum, default_value_t = OverwriteArg::Never, help_heading = "How")]
    pub(crate) overwrite: OverwriteArg,
    /// Do not keep what is replaced (otherwise it stays as NAME.before-restore, if its content is another)
    #[arg(long, help_heading = "How")]
    pub(crate) no_keep: bool,
    /// Take owners by number, not by name
    #[arg(long, help_heading = "How")]
    pub(crate) numeric_owner: bool,
    /// Remove what the snapshot does not have, in the folders that are restored
    ///
    /// What the backup left out stays: the snapshot knows its rules. So does what exclude options name here; but see
    /// --delete-excluded. What is mounted below is never touched, and what a restore set aside as NAME.before-restore
    /// stays.
    #[arg(long, help_heading = "How")]
    pub(crate) delete: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, help_heading = "How")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) protect: ProtectArgs,
}

/// What to do with a file that is there and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverwriteArg {
    /// Leave it
    Never,
    /// Replace it if it is older than the snapshot's
    Newer,
    /// Ask for each
    Ask,
    /// Replace it
    Always,
}

/// Prove that snapshots are whole
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("depth").args(["quick", "sample", "full"]),
    after_help = "Examples:
  hardback verify /mnt/disk/backup                        all snapshots, every byte once
  hardback verify /mnt/disk/backup latest --quick         records and names only
  hardback verify /mnt/disk/backup --sample 5%            a random part of the contents
  hardback verify /mnt/disk/backup --against-source       also compare with the source as it is now"
)]
pub(crate) struct VerifyArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Snapshots: names, latest, dates [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Names, sizes and metadata only
    #[arg(long, help_heading = "How deep")]
    pub(crate) quick: bool,
    /// Also read this part of the contents
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, help_heading = "How deep")]
    pub(crate) sample: Option<Percent>,
    /// Read all contents (the default)
    #[arg(long, help_heading = "How deep")]
    pub(crate) full: bool,
    /// Also compare the newest snapshot, or those named, with the source as it is now
    #[arg(long)]
    pub(crate) against_source: bool,
    /// Only the snapshots of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// Remove snapshots that need not be kept
///
/// Each rule names snapshots to keep; what no rule keeps goes. Periods are those of the local calendar, and only such as
/// have a snapshot count, so missed runs cost no history. The newest snapshot, the newest without problems and pinned
/// ones always stay. Nothing is removed while the last run failed, the source shrank, or far more changed than ever
/// before: look, then say `hardback unpin`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback prune /mnt/disk/backup --keep-daily 30 --keep-weekly 52 --dry-run
  hardback prune /mnt/disk/backup --keep time-machine
  hardback prune /mnt/disk/backup --keep-last 100 --min-free 10%
  hardback prune /mnt/disk/backup --finish           go on where a deletion was interrupted")]
pub(crate) struct PruneArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// Say what would go and why, and remove nothing
    #[arg(short = 'n', long, help_heading = "How")]
    pub(crate) dry_run: bool,
    /// Only remove what an interrupted pruning left in the trash
    #[arg(long, conflicts_with_all = ["dry_run", "job"], help_heading = "How")]
    pub(crate) finish: bool,
}

/// Remove a path from all snapshots, or from some
///
/// For what must not be in a backup at all: a secret, a huge file that got in by mistake. Each PATH is a path in the
/// snapshots, with its source's folder; a folder goes with all that is in it. The record forgets it too, but for its name
/// and the digests of its contents. This cannot be undone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback purge /mnt/disk/backup Documents/passwords.txt --dry-run
  hardback purge /mnt/disk/backup Downloads/linux.iso
  hardback purge /mnt/disk/backup Documents/old --snapshot 2026-11-20_18.00.00")]
pub(crate) struct PurgeArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Paths in the snapshots
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Job, where the target has several
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Only from this snapshot: a name, latest, a date; may be given again
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Vec<String>,
    /// Say what would go, and remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Show what snapshots take on the disk, and what removing some of them would free
///
/// For each snapshot: its entries; the bytes of all that is in it; unique, what would be freed if it alone were removed;
/// shared, what would stay as other snapshots have it too; and cumulative, what it takes beside those before it in the
/// list. With snapshots named, only those are counted, and what removing all of them together would free is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback du /mnt/disk/backup
  hardback du /mnt/disk/backup latest --depth 2      in which folders the newest has its bytes
  hardback du /mnt/disk/backup 2026-11-20_18.00.00 2026-11-21_18.00.00      what both would free")]
pub(crate) struct DuArgs {
    /// Folder with the snapshots
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Snapshots: names, latest, dates [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Also list the folders of each snapshot, so many levels deep
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) depth: u16,
    /// Only the snapshots of this job
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
}

/// See what exclude patterns do
#[derive(Debug, Subcommand)]
pub(crate) enum FilterCommand {
    Explain(ExplainArgs),
    Presets(PresetsArgs),
}

/// Say which rule keeps a path in or out
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback filter explain ~/.cache/thumbnails --source ~ --preset linux-home
  hardback filter explain build/ --exclude 'build/' --exclude '!build/keep'")]
pub(crate) struct ExplainArgs {
    /// Path to ask about, which need not exist; a slash at its end makes it a folder
    pub(crate) path: PathBuf,
    /// Source that the patterns count from
    #[arg(long, value_name = "ROOT", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) source: PathBuf,
    /// Leave out files above this size: 500M, 2G, 1.5T
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = "What to leave out")]
    pub(crate) max_size_file: Option<u64>,
    #[command(flatten)]
    pub(crate) exclude: ExcludeArgs,
}

/// Print the exclude lists that come with hardback
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback filter presets
  hardback filter presets linux-home > my-excludes     a start for a list of your own")]
pub(crate) struct PresetsArgs {
    /// List to print [default: the names of all]
    pub(crate) name: Option<String>,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hardback completions bash > ~/.local/share/bash-completion/completions/hardback")]
pub(crate) struct CompletionsArgs {
    /// Shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print the man page, or write one page a command
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hardback man | man -l -
  hardback man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Folder for the pages
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
}

/// Parses the arguments; prints help or a usage error and ends the process where there is nothing to run.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches_from(with_role(std::env::args_os().collect()));
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command()).exit())
}

/// Name under which the binary is the rsync of a computer that is pulled from, as a symlink: for configurations that take
/// the name of a program and no arguments.
const RSYNC_NAME: &str = "hardback-rsync";

/// Puts the words before the arguments that the name stands for.
fn with_role(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().and_then(|program| Path::new(program).file_stem().map(ToOwned::to_owned));
    if name.is_some_and(|name| name == RSYNC_NAME) {
        let words = ["with-shadow", "--rsync-compat", "--"];
        arguments.splice(1..1, words.map(OsString::from));
    }
    arguments
}

/// Returns the whole command line's description, with examples for this system.
pub(crate) fn command() -> clap::Command {
    match std::env::consts::FAMILY {
        "windows" => examples::of_windows(plain_command()),
        _ => plain_command(),
    }
}

fn plain_command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_of_the_command_line_is_consistent() {
        super::command().debug_assert();
    }

    #[test]
    fn the_name_of_the_binary_can_stand_for_its_arguments() {
        let with_role = |line: &str| super::with_role(line.split(' ').map(Into::into).collect()).join(" ".as_ref());
        assert_eq!(
            with_role("/usr/bin/hardback-rsync --server ."),
            "/usr/bin/hardback-rsync with-shadow --rsync-compat -- --server ."
        );
        assert_eq!(with_role("/usr/bin/hardback --version"), "/usr/bin/hardback --version");
        assert_eq!(super::with_role(Vec::new()), Vec::<std::ffi::OsString>::new());
    }

    #[test]
    fn the_arguments_of_a_remote_rsync_need_no_dashes_before_them() {
        use clap::Parser;
        let line = "hardback with-shadow --rsync-compat --server --sender -vlogDtpre.iLsfxCIvu --numeric-ids . /srv/";
        let super::Command::WithShadow(args) = super::Cli::parse_from(line.split(' ')).command else { panic!() };
        let words: Vec<_> = args.command.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(words, ["--server", "--sender", "-vlogDtpre.iLsfxCIvu", "--numeric-ids", ".", "/srv/"]);
    }
}
