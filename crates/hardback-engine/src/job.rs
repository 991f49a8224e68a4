//! What to back up: validated input that cannot be inconsistent.

use crate::error::Error;
use crate::exclude::RuleOrigin;
use crate::prune::PruneOptions;
use hardback_platform::Seam;
use hardback_shadow::{Hooks, Mode, Shadows, SystemExclusion};
use std::path::PathBuf;
use std::sync::Arc;

/// A backup to make.
#[derive(Debug, Clone)]
pub struct Job {
    /// Name of the job: its folder in the target.
    pub name: JobName,
    /// The sources, in the order of their folders' names.
    pub sources: Vec<JobSource>,
    /// Choices.
    pub options: BackupOptions,
    /// Shadow copies and hooks; `None` reads the live sources and runs nothing.
    pub shadow: Option<JobShadow>,
    /// Watches the calls on the sources, in tests.
    pub source_seam: Seam,
}

/// What a job does to have its sources stand still.
#[derive(Debug, Clone)]
pub struct JobShadow {
    /// What makes shadow copies.
    pub shadows: Shadows,
    /// How much they are wanted.
    pub mode: Mode,
    /// Commands around them.
    pub hooks: Hooks,
    /// What becomes of what programs declare, while they are made, that no backup should have.
    pub declared: Option<DeclaredRules>,
}

/// Makes patterns, and where they come from, of what programs declare.
#[derive(Clone)]
pub struct DeclaredRules(pub Arc<MakeRules>);

/// As [`DeclaredRules`] does it.
pub type MakeRules = dyn Fn(&[SystemExclusion]) -> Vec<(String, RuleOrigin)> + Send + Sync;

impl std::fmt::Debug for DeclaredRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeclaredRules")
    }
}

/// One source of a job.
#[derive(Debug, Clone)]
pub struct JobSource {
    /// Folder in the snapshot; empty for the top.
    pub folder: Vec<u8>,
    /// Path at this host.
    pub path: PathBuf,
    /// The path as bytes, absolute, for the record.
    pub path_bytes: Vec<u8>,
}

/// Choices of a backup.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Stay on the volume that each source lies on.
    pub one_file_system: bool,
    /// Leave out files above this many bytes.
    pub max_size_file_bytes: Option<u64>,
    /// Compare contents even where size and times agree.
    pub checksum: bool,
    /// Most names that one stored file may have.
    pub max_links: Option<u64>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Allow a source that is empty.
    pub allow_empty: bool,
    /// Leave out what has the attribute "no dump".
    pub exclude_nodump: bool,
    /// Do not read lists of patterns in folders.
    pub no_ignore_files: bool,
    /// Allow the target on a source's own volume.
    pub same_disk: bool,
    /// A file that was touched less than this many seconds before it was read is compared by content next time.
    pub hot_window_s: i64,
    /// Threads that store entries; 0 chooses.
    pub workers: usize,
    /// Make no snapshot where nothing changed since the base.
    pub skip_unchanged: bool,
    /// What to do with files that are in a cloud only.
    pub placeholders: Placeholders,
    /// What to do with files that are encrypted at the source.
    pub efs: Efs,
    /// What may go when the target has no room for the new snapshot.
    pub prune: PruneOptions,
}

/// What to do with files of which there is only a placeholder here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placeholders {
    /// Keep the placeholder, and list it.
    #[default]
    Keep,
    /// Have the content fetched, and store that. Windows alone can do it.
    Download,
}

/// What to do with files that are encrypted by EFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Efs {
    /// Store what their user reads, and list them: whoever reads the target reads them.
    #[default]
    Plain,
    /// Leave them out.
    Skip,
    /// Store them encrypted, as Windows hands them out for a backup; with the keys of their users they can be restored,
    /// by Windows alone.
    Raw,
}

/// Default of [`BackupOptions::hot_window_s`]: four times the time after which Linux writes dirty pages back.
pub const HOT_WINDOW_S: i64 = 120;

/// Name of a job: one path component that every file system can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName(String);

impl JobName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// Refused: empty, longer than 100 bytes, starting or ending with a dot or space, control characters, and
    /// characters that Windows does not allow in names.
    pub fn new(name: &str) -> Result<Self, Error> {
        let forbidden = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        let edge = |c: Option<char>| matches!(c, None | Some('.' | ' '));
        if name.len() > 100 || edge(name.chars().next()) || edge(name.chars().last()) || name.chars().any(forbidden) {
            return Err(Error::refused(
                format!("{name:?} cannot be the name of a job"),
                "use letters, digits, dashes and dots; it becomes a folder in the target",
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for JobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Job {
    /// Makes a job.
    ///
    /// # Errors
    /// Refused: no source, two sources with the same folder (also when they differ only in case), a source at the top
    /// beside others, and a folder that is no single component.
    pub fn new(name: JobName, mut sources: Vec<JobSource>, options: BackupOptions) -> Result<Self, Error> {
        if sources.is_empty() {
            return Err(Error::refused("there is nothing to back up", "name at least one folder before the target"));
        }
        sources.sort_by(|a, b| a.folder.cmp(&b.folder));
        for source in &sources {
            let bad = source.folder.contains(&b'/')
                || source.folder.contains(&0)
                || matches!(&source.folder[..], b"." | b"..");
            if bad || (source.folder.is_empty() && sources.len() > 1) {
                let path = source.path.display();
                return Err(Error::refused(
                    format!("source {path} has no folder name of its own in the snapshot"),
                    "give it one with --as NAME (--root works with a single source only)",
                ));
            }
        }
        for (i, a) in sources.iter().enumerate() {
            for b in &sources[i + 1..] {
                if a.folder.eq_ignore_ascii_case(&b.folder) {
                    return Err(Error::refused(
                        format!(
                            "sources {} and {} would both become the folder {:?}",
                            a.path.display(),
                            b.path.display(),
                            String::from_utf8_lossy(&a.folder)
                        ),
                        "give each a name of its own with --as NAME after the source",
                    ));
                }
            }
        }
        Ok(Self { name, sources, options, shadow: None, source_seam: Seam::default() })
    }
}
