//! A source, a target and a job in a temporary folder, for tests of the verbs that read.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests look at the disk with other code than the product's"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use hardback_engine::{
    BackupOptions, Cancel, Context, Counters, Error, Excludes, HOT_WINDOW_S, Job, JobName, JobSource, Monitor, Phase,
    Problem, SystemClock, Target, backup, open_or_create_target,
};
use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Ears {
    pub(crate) problems: Mutex<Vec<String>>,
    pub(crate) notices: Mutex<Vec<String>>,
}

impl Monitor for Ears {
    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.to_string());
    }
    fn notice(&self, text: &str) {
        self.notices.lock().unwrap().push(text.to_owned());
    }
    fn phase(&self, _: Phase) {}
}

/// Does not let entries be opened.
struct Locked(&'static [&'static str]);

impl Watch for Locked {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let is_locked = self.0.iter().any(|name| name.as_bytes() == call.name);
        match call.op {
            Op::OpenDir | Op::OpenFile if is_locked => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
            _ => Verdict::Go,
        }
    }
}

pub(crate) struct Bench {
    temp: tempfile::TempDir,
    pub(crate) source: PathBuf,
    pub(crate) ears: Ears,
    pub(crate) counters: Counters,
    /// The only source is the top of the snapshot.
    pub(crate) root: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let source = temp.path().join("docs");
        fs::create_dir(&source).unwrap();
        Self { temp, source, ears: Ears::default(), counters: Counters::default(), root: false }
    }

    pub(crate) fn target_path(&self) -> PathBuf {
        self.temp.path().join("target")
    }

    pub(crate) fn target(&self) -> Target {
        open_or_create_target(&self.target_path(), None, &SystemClock, Default::default()).unwrap().target
    }

    pub(crate) fn with<R>(&self, run: impl FnOnce(&Context<'_>, &Target) -> Result<R, Error>) -> Result<R, Error> {
        let cancel = Cancel::default();
        let ctx = Context { clock: &SystemClock, monitor: &self.ears, counters: &self.counters, cancel: &cancel };
        run(&ctx, &self.target())
    }

    /// Backs up and returns the name of the snapshot.
    pub(crate) fn backup(&self) -> String {
        self.backup_as("test")
    }

    /// Backs up while entries of these names cannot be opened.
    pub(crate) fn backup_without(&self, names: &'static [&'static str]) -> String {
        self.backup_through("test", Seam::watched(Arc::new(Locked(names))))
    }

    pub(crate) fn backup_as(&self, job: &str) -> String {
        self.backup_through(job, Seam::default())
    }

    fn backup_through(&self, job: &str, source_seam: Seam) -> String {
        self.backup_by(job, source_seam, &Excludes::default(), BackupOptions::default())
    }

    /// Backs up by rules; returns the name of the snapshot.
    pub(crate) fn backup_by(
        &self,
        job: &str,
        source_seam: Seam,
        excludes: &Excludes,
        options: BackupOptions,
    ) -> String {
        let source = JobSource {
            folder: if self.root { Vec::new() } else { b"docs".to_vec() },
            path: self.source.clone(),
            path_bytes: self.source.as_os_str().as_encoded_bytes().to_vec(),
        };
        let options = BackupOptions { same_disk: true, allow_empty: true, hot_window_s: HOT_WINDOW_S, ..options };
        let mut job = Job::new(JobName::new(job).unwrap(), vec![source], options).unwrap();
        job.source_seam = source_seam;
        let report = self.with(|ctx, target| backup(ctx, target, &job, excludes)).unwrap();
        report.snapshot.unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Puts a wrong byte into the middle of a snapshot's record.
    pub(crate) fn damage(&self, job: &str, snapshot: &str) {
        let path = self.manifest(job, snapshot);
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        // Behind the header, which is a frame of its own.
        bytes[length - 20] ^= 0xff;
        bytes.truncate(length - 3);
        fs::write(&path, bytes).unwrap();
    }

    pub(crate) fn manifest(&self, job: &str, snapshot: &str) -> PathBuf {
        let name = format!("{snapshot}.manifest.zst");
        Path::new(&self.target_path()).join(".hardback/manifests").join(job).join(name)
    }
}
