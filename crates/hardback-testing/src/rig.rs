//! A source, a target and the engine between them.

use hardback_engine::retention::Rules;
use hardback_engine::{
    Answer, BackupOptions, BackupReport, Cancel, Context, Counters, Error, Excludes, Job, JobName, JobShadow,
    JobSource, Monitor, Phase, Problem, PruneOptions, PruneReport, RestoreOptions, RestoreReport, SystemClock, Target,
    backup, open_or_create_target, prune, restore,
};
use hardback_platform::Seam;
use std::path::{Path, PathBuf};

/// Name of the job of every rig.
pub const JOB: &str = "test";
/// Folder of the source in the snapshots.
pub const FOLDER: &str = "docs";

/// A source and its target.
#[derive(Debug, Clone)]
pub struct Rig {
    /// The source.
    pub source: PathBuf,
    /// The target.
    pub target: PathBuf,
    /// Choices; one worker, so that calls come in the same order every time.
    pub options: BackupOptions,
    /// What keeps the source still.
    pub shadow: Option<JobShadow>,
}

/// Who watches the calls of a run.
#[derive(Debug, Clone, Default)]
pub struct Seams {
    /// Those on the target.
    pub target: Seam,
    /// Those on the source.
    pub source: Seam,
}

struct Quiet;

impl Monitor for Quiet {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, _: Phase) {}
}

impl Rig {
    /// Makes a rig of `docs` and `target` below a folder.
    pub fn below(dir: &Path) -> Self {
        let options = BackupOptions { same_disk: true, allow_empty: true, workers: 1, ..BackupOptions::default() };
        Self { source: dir.join(FOLDER), target: dir.join("target"), options, shadow: None }
    }

    /// Opens the target without a watch.
    ///
    /// # Errors
    /// As the engine says.
    pub fn open(&self) -> Result<Target, Error> {
        self.open_watched(Seam::default())
    }

    fn open_watched(&self, seam: Seam) -> Result<Target, Error> {
        Ok(open_or_create_target(&self.target, None, &SystemClock, seam)?.target)
    }

    /// Runs a backup, the opening of the target included.
    ///
    /// # Errors
    /// As the engine says.
    pub fn backup(&self, seams: Seams) -> Result<BackupReport, Error> {
        self.backup_until(seams, &Cancel::default())
    }

    /// Runs a backup that leaves something out.
    ///
    /// # Errors
    /// As the engine says.
    pub fn backup_excluding(&self, excludes: &Excludes) -> Result<BackupReport, Error> {
        self.back_up(Seams::default(), &Cancel::default(), excludes)
    }

    /// Runs a backup that can be asked to stop.
    ///
    /// # Errors
    /// As the engine says.
    pub fn backup_until(&self, seams: Seams, cancel: &Cancel) -> Result<BackupReport, Error> {
        self.back_up(seams, cancel, &Excludes::default())
    }

    fn back_up(&self, seams: Seams, cancel: &Cancel, excludes: &Excludes) -> Result<BackupReport, Error> {
        let counters = Counters::default();
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel };
        let target = self.open_watched(seams.target)?;
        let source = JobSource {
            folder: FOLDER.into(),
            path: self.source.clone(),
            path_bytes: self.source.as_os_str().as_encoded_bytes().to_vec(),
        };
        let mut job = Job::new(JobName::new(JOB)?, vec![source], self.options.clone())?;
        job.source_seam = seams.source;
        job.shadow.clone_from(&self.shadow);
        backup(&ctx, &target, &job, excludes)
    }

    /// Removes all snapshots but the last ones, and all that is in the trash.
    ///
    /// # Errors
    /// As the engine says.
    pub fn prune(&self, last: usize, seam: Seam) -> Result<PruneReport, Error> {
        let rules = Rules { last: Some(last), at_least: 1, ..Rules::default() };
        self.prune_with(&PruneOptions { rules, ..PruneOptions::default() }, seam)
    }

    /// Prunes.
    ///
    /// # Errors
    /// As the engine says.
    pub fn prune_with(&self, options: &PruneOptions, seam: Seam) -> Result<PruneReport, Error> {
        self.with(seam, |ctx, target| prune(ctx, target, JOB, options))
    }

    /// Runs a verb on the target while something watches that.
    ///
    /// # Errors
    /// As the engine says.
    pub fn with<T>(&self, seam: Seam, run: impl FnOnce(&Context<'_>, &Target) -> Result<T, Error>) -> Result<T, Error> {
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        run(&ctx, &self.open_watched(seam)?)
    }

    /// Restores.
    ///
    /// # Errors
    /// As the engine says.
    pub fn restore(&self, options: &RestoreOptions) -> Result<RestoreReport, Error> {
        self.with(Seam::default(), |ctx, target| restore(ctx, target, options, &mut |_| Answer::Keep))
    }

    /// Returns the folder of a snapshot.
    pub fn snapshot(&self, name: &str) -> PathBuf {
        self.target.join(JOB).join(name)
    }
}
