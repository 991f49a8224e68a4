//! Runs backups for tests: sources, a target that is watched, and the reports.

use crate::checker::{Checker, Inventory};
use hardback_engine::{
    Answer, BackupOptions, BackupReport, Cancel, Context, Counters, Error, Excludes, Job, JobName, JobSource, Monitor,
    Overwrite, Phase, Place, Problem, RestoreOptions, RestoreReport, SystemClock, Target, VerifyLevel, VerifyOptions,
    backup, open_or_create_target, restore, verify,
};
use hardback_platform::{Call, Seam, Verdict, Watch};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Name of the job that a bench runs.
pub const JOB: &str = "test";

/// Sources, a target and options.
#[derive(Debug)]
pub struct Bench {
    /// The target.
    pub target: PathBuf,
    /// The sources; each lands in the folder of its name.
    pub sources: Vec<PathBuf>,
    /// The only source is the top of the snapshot.
    pub at_top: bool,
    /// Choices.
    pub options: BackupOptions,
    /// Watches the sources.
    pub source_seam: Seam,
    /// Decides about the calls on the target, after the checker has seen them.
    pub faults: Option<SharedWatch>,
    /// Take inventories of the sealed trees; off for very large ones.
    pub inventories: bool,
}

/// A watch that a bench shares with its test.
#[derive(Clone)]
pub struct SharedWatch(pub Arc<dyn Watch>);

impl std::fmt::Debug for SharedWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedWatch")
    }
}

struct Both(Arc<Checker>, Option<SharedWatch>);

impl Watch for Both {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match (self.0.before(call), &self.1) {
            (Verdict::Go, Some(second)) => second.0.before(call),
            (verdict, _) => verdict,
        }
    }
}

/// Keeps what a run says.
#[derive(Debug, Default)]
pub struct Heard {
    /// Problems, as they are shown.
    pub problems: Mutex<Vec<String>>,
    /// Notices.
    pub notices: Mutex<Vec<String>>,
}

impl Monitor for Heard {
    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.to_string());
    }
    fn notice(&self, text: &str) {
        self.notices.lock().unwrap().push(text.to_owned());
    }
    fn phase(&self, _: Phase) {}
}

impl Bench {
    /// Makes a bench with one source. The hot window is off: tests write their sources just before they are read.
    pub fn new(source: &Path, target: &Path) -> Self {
        Self {
            target: target.to_owned(),
            sources: vec![source.to_owned()],
            at_top: false,
            options: BackupOptions { same_disk: true, allow_empty: true, ..BackupOptions::default() },
            source_seam: Seam::default(),
            faults: None,
            inventories: true,
        }
    }

    /// Opens the target with a watch.
    pub fn open(&self, seam: Seam) -> Target {
        open_or_create_target(&self.target, None, &SystemClock, seam).unwrap().target
    }

    /// Returns the job.
    pub fn job(&self) -> Job {
        let source = |path: &PathBuf| JobSource {
            folder: if self.at_top { Vec::new() } else { path.file_name().unwrap().as_encoded_bytes().to_vec() },
            path: path.clone(),
            path_bytes: path.as_os_str().as_encoded_bytes().to_vec(),
        };
        let sources = self.sources.iter().map(source).collect();
        let job = Job::new(JobName::new(JOB).unwrap(), sources, self.options.clone()).unwrap();
        Job { source_seam: self.source_seam.clone(), ..job }
    }

    /// Backs up; panics if no snapshot is made or something sealed is written.
    #[track_caller]
    pub fn backup(&self) -> BackupReport {
        self.try_backup().unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)))
    }

    /// Backs up without a single problem.
    #[track_caller]
    pub fn backup_all(&self) -> BackupReport {
        let report = self.backup();
        assert_eq!(report.totals.problems, 0, "{:?}", report.problems);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        report
    }

    /// Backs up; panics if something sealed is written.
    #[track_caller]
    pub fn try_backup(&self) -> Result<BackupReport, Error> {
        let before = if self.inventories { Inventory::of_target(&self.target) } else { Inventory::default() };
        let checker = Arc::new(Checker::new(&self.target));
        let seam = Seam::watched(Arc::new(Both(checker.clone(), self.faults.clone())));
        let (counters, cancel, heard) = (Counters::default(), Cancel::default(), Heard::default());
        let ctx = Context { clock: &SystemClock, monitor: &heard, counters: &counters, cancel: &cancel };
        let result = backup(&ctx, &self.open(seam), &self.job(), &Excludes::default());
        assert_eq!(checker.violations(), Vec::<String>::new(), "a sealed snapshot was written");
        if self.inventories {
            let changes = before.changes_in(&Inventory::of_target(&self.target));
            assert!(changes.is_empty(), "sealed snapshots changed:\n{}", changes.join("\n"));
        }
        result
    }

    /// Restores a snapshot below a new folder without a single problem; returns where the first source is.
    #[track_caller]
    pub fn restore_all(&self, report: &BackupReport, to: &Path) -> PathBuf {
        let restored = self.restore_with(report, to, |options| options.numeric_owner = true);
        assert!(restored.limitations.is_empty(), "{:?}", restored.limitations);
        to.join(self.sources[0].file_name().unwrap())
    }

    /// Restores a snapshot below a folder without a single problem; the place may lack what it cannot keep.
    #[track_caller]
    pub fn restore_with(
        &self,
        report: &BackupReport,
        to: &Path,
        choose: impl FnOnce(&mut RestoreOptions),
    ) -> RestoreReport {
        let restored = self.restore_as_can_be(report, to, choose);
        assert!(restored.problems.is_empty(), "{:?}", restored.problems);
        restored
    }

    /// Restores a snapshot below a folder, over all that is there; returns the problems.
    #[track_caller]
    pub fn try_restore(&self, report: &BackupReport, to: &Path) -> Vec<Problem> {
        self.restore_as_can_be(report, to, |options| options.overwrite = Overwrite::Always).problems
    }

    fn restore_as_can_be(
        &self,
        report: &BackupReport,
        to: &Path,
        choose: impl FnOnce(&mut RestoreOptions),
    ) -> RestoreReport {
        let (counters, cancel, heard) = (Counters::default(), Cancel::default(), Heard::default());
        let ctx = Context { clock: &SystemClock, monitor: &heard, counters: &counters, cancel: &cancel };
        let snapshot = report.snapshot.as_ref().expect("sealed");
        let mut options = RestoreOptions::new(JOB, snapshot, Place::To(to.to_owned()));
        choose(&mut options);
        let checker = Arc::new(Checker::new(&self.target));
        let target = self.open(Seam::watched(checker.clone()));
        let restored = restore(&ctx, &target, &options, &mut |_| Answer::Stop);
        let restored = restored.unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
        assert_eq!(checker.violations(), Vec::<String>::new(), "a sealed snapshot was written");
        restored
    }

    /// Verifies everything in the target without a single problem.
    #[track_caller]
    pub fn verify_all(&self) {
        let (counters, cancel, heard) = (Counters::default(), Cancel::default(), Heard::default());
        let ctx = Context { clock: &SystemClock, monitor: &heard, counters: &counters, cancel: &cancel };
        let options = VerifyOptions {
            job: None,
            snapshots: Vec::new(),
            level: VerifyLevel::Full,
            against_source: false,
            workers: 0,
        };
        let report = verify(&ctx, &self.open(Seam::default()), &options).unwrap();
        assert!(report.problems.is_empty(), "{} problems: {:#?}", report.problem_count, report.problems);
    }

    /// Returns the folder of a snapshot.
    pub fn snapshot(&self, report: &BackupReport) -> PathBuf {
        self.target.join(JOB).join(report.snapshot.as_ref().expect("sealed"))
    }

    /// Returns where a snapshot holds a path of the first source.
    pub fn stored(&self, report: &BackupReport, path: &str) -> PathBuf {
        self.snapshot(report).join(self.sources[0].file_name().unwrap()).join(path)
    }

    /// Panics unless the snapshot is what the sources are now.
    #[track_caller]
    pub fn assert_stored(&self, report: &BackupReport, strictness: crate::compare::Strictness) {
        for source in &self.sources {
            let stored = self.snapshot(report).join(source.file_name().unwrap());
            crate::compare::assert_same(source, &stored, strictness);
        }
    }
}
