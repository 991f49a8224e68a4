//! The tools that are compared, each as a command that ends when all is on the
//! disk.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::LINK_EVERY_ENTRY;
use crate::process::command;

/// Scripts for `sh`: from `$1` into `$2`, a new folder; `$3` is more.
pub const RSYNC: &str = r#""$3" -aHAX "$1"/ "$2"/ && sync -f "$2""#;
pub const RSYNC_LINK_DEST: &str = r#""$3" -aHAX --link-dest="$4" "$1"/ "$2"/ && sync -f "$2""#;
pub const CP: &str = r#"cp -a "$1" "$2" && sync -f "$2""#;
pub const CP_LINKS: &str = r#"cp -al "$1" "$2" && sync -f "$2""#;
pub const TAR: &str = r#"mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf - && sync -f "$2""#;
pub const RSNAPSHOT: &str = r#"rsnapshot -c "$1" alpha && sync -f "$2""#;
pub const RM: &str = r#"rm -rf "$1" && sync -f "$2""#;
/// Looks at every entry.
pub const STAT_ALL: &str = r#"find "$1" -size +1000000G"#;
/// Through a pipe, as GNU tar reads nothing when it writes to /dev/null itself.
pub const TAR_READ: &str = r#"tar -C "$1" -cf - . | cat >/dev/null"#;

/// `script` with its arguments.
pub fn shell(script: &str, arguments: &[&Path]) -> Command {
    let mut shell = command("sh");
    shell.args(["-c", script, "bench"]).args(arguments);
    shell
}

/// The measurement in [`super::link_limit`].
pub fn link_every_entry(from: &Path, to: &Path, threads: usize) -> Result<Command> {
    let mut links = command(std::env::current_exe()?);
    links.args(["bench", LINK_EVERY_ENTRY]).args([from, to]).arg(threads.to_string());
    Ok(links)
}

/// hardback, which keeps what it remembers of targets in `state`.
pub struct Hardback {
    pub program: PathBuf,
    pub state: PathBuf,
}

impl Hardback {
    const JOB: &str = "bench";
    const STATE_DIR: &str = "HARDBACK_STATE_DIR";

    pub fn backup(&self, source: &Path, target: &Path) -> Command {
        self.verb("backup", &[source.as_os_str(), target.as_os_str()])
    }

    pub fn verify_full(&self, target: &Path) -> Command {
        self.verb("verify", &[target.as_os_str(), OsStr::new("--full")])
    }

    /// Ends with the sync that `cp -a` is measured with too.
    pub fn restore(&self, target: &Path, to: &Path) -> Command {
        let restore = self.verb("restore", &[target.as_os_str(), OsStr::new("--to"), to.as_os_str()]);
        let mut synced = shell(r#"to=$1; shift; "$@" && sync -f "$to""#, &[to]);
        synced.arg(restore.get_program()).args(restore.get_args()).env(Self::STATE_DIR, &self.state);
        synced
    }

    /// Removes all snapshots but so many; ends with the sync that `rm` is measured with too.
    pub fn prune(&self, target: &Path, keep: usize) -> Command {
        let keep = format!("--keep-last={keep}");
        let prune = self.verb("prune", &[target.as_os_str(), OsStr::new(&keep)]);
        let mut synced = shell(r#"target=$1; shift; "$@" && sync -f "$target""#, &[target]);
        synced.arg(prune.get_program()).args(prune.get_args()).env(Self::STATE_DIR, &self.state);
        synced
    }

    fn verb(&self, verb: &str, arguments: &[&OsStr]) -> Command {
        let mut hardback = command(&self.program);
        hardback.arg(verb).args(arguments).args(["--job", Self::JOB, "--json", "--quiet"]);
        hardback.env(Self::STATE_DIR, &self.state);
        hardback
    }
}
