//! A source, a target and the verbs, on plain files in a temporary folder.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests look at the disk with other code"
)]

use hardback_engine::manifest::Seal;
use hardback_engine::{
    Answer, BackupOptions, BackupReport, Cancel, Context, Counters, Damage, Error, Excludes, FixedClock, Job, JobName,
    JobSource, Monitor, Phase, Place, Problem, ProblemKind, RestoreOptions, RestoreReport, SystemClock, Target,
    VerifyLevel, VerifyOptions, VerifyReport, backup, open_or_create_target, restore, verify,
};
use hardback_platform::{Call, Dir, Op, Seam, Time, Verdict, Watch};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) struct Quiet;

impl Monitor for Quiet {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, _: &str) {}
    fn phase(&self, _: Phase) {}
}

pub(crate) struct Bench {
    temp: tempfile::TempDir,
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    /// Where restores go.
    pub(crate) out: PathBuf,
}

pub(crate) fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let (counters, cancel) = (Counters::default(), Cancel::default());
    run(&Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel })
}

impl Bench {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let (source, target, out) = (at("docs"), at("target"), at("out"));
        fs::create_dir(&source).unwrap();
        Self { temp, source, target, out }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn open(&self) -> Target {
        open_or_create_target(&self.target, None, &SystemClock, Seam::default()).unwrap().target
    }

    pub(crate) fn source_dir(&self) -> Dir {
        Dir::open(&self.source, Seam::default()).unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(&self.source.join(path), content);
    }

    /// Backs up; returns the name of the snapshot.
    pub(crate) fn backup(&self) -> String {
        self.backup_report().snapshot.unwrap()
    }

    pub(crate) fn backup_report(&self) -> BackupReport {
        self.backup_without(&Excludes::default(), BackupOptions::default())
    }

    /// Backs up while something watches the target.
    pub(crate) fn backup_into_watched(&self, seam: Seam) -> BackupReport {
        let target = open_or_create_target(&self.target, None, &SystemClock, seam).unwrap().target;
        let job = self.job(BackupOptions::default());
        with_context(|ctx| backup(ctx, &target, &job, &Excludes::default())).unwrap()
    }

    /// Tries to back up while something watches the target.
    pub(crate) fn try_backup_into(
        &self,
        seam: Seam,
        options: BackupOptions,
        excludes: &Excludes,
    ) -> Result<BackupReport, Error> {
        let target = open_or_create_target(&self.target, None, &SystemClock, seam).unwrap().target;
        with_context(|ctx| backup(ctx, &target, &self.job(options), excludes))
    }

    pub(crate) fn try_backup(&self) -> Result<BackupReport, Error> {
        let job = self.job(BackupOptions::default());
        with_context(|ctx| backup(ctx, &self.open(), &job, &Excludes::default()))
    }

    /// Backs up, and leaves something out.
    pub(crate) fn backup_without(&self, excludes: &Excludes, options: BackupOptions) -> BackupReport {
        let report = with_context(|ctx| backup(ctx, &self.open(), &self.job(options), excludes)).unwrap();
        assert_eq!(report.totals.problems, 0, "{:?}", report.problems);
        report
    }

    /// Backs up at a given second.
    pub(crate) fn backup_at(&self, seconds: i64) -> BackupReport {
        let clock = FixedClock { now: Time { seconds, nanos: 0 }, zone: TimeZone::UTC };
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &clock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        backup(&ctx, &self.open(), &self.job(BackupOptions::default()), &Excludes::default()).unwrap()
    }

    /// Backs up while something watches the source.
    pub(crate) fn backup_watched(&self, seam: Seam) -> BackupReport {
        let mut job = self.job(BackupOptions::default());
        job.source_seam = seam;
        with_context(|ctx| backup(ctx, &self.open(), &job, &Excludes::default())).unwrap()
    }

    /// Backs up without something, while the source and the target are watched.
    pub(crate) fn backup_with(&self, excludes: &Excludes, source: Seam, target: Seam) -> BackupReport {
        let target = open_or_create_target(&self.target, None, &SystemClock, target).unwrap().target;
        let mut job = self.job(BackupOptions::default());
        job.source_seam = source;
        with_context(|ctx| backup(ctx, &target, &job, excludes)).unwrap()
    }

    fn job(&self, options: BackupOptions) -> Job {
        let source = JobSource {
            folder: b"docs".to_vec(),
            path: self.source.clone(),
            path_bytes: self.source.as_os_str().as_encoded_bytes().to_vec(),
        };
        let options = BackupOptions { same_disk: true, ..options };
        Job::new(JobName::new("test").unwrap(), vec![source], options).unwrap()
    }

    pub(crate) fn options(&self, snapshot: &str) -> RestoreOptions {
        RestoreOptions::new("test", snapshot, Place::To(self.out.clone()))
    }

    pub(crate) fn try_restore(&self, options: &RestoreOptions) -> Result<RestoreReport, Error> {
        with_context(|ctx| restore(ctx, &self.open(), options, &mut |_| Answer::Keep))
    }

    pub(crate) fn restore(&self, options: &RestoreOptions) -> RestoreReport {
        self.try_restore(options).unwrap()
    }

    /// Restores without any problem.
    pub(crate) fn restore_well(&self, options: &RestoreOptions) -> RestoreReport {
        let report = self.restore(options);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        report
    }

    pub(crate) fn stored(&self, snapshot: &str, path: &str) -> PathBuf {
        self.target.join("test").join(snapshot).join("docs").join(path)
    }

    pub(crate) fn verify(&self, level: VerifyLevel) -> VerifyReport {
        self.verify_with(&VerifyOptions { job: None, snapshots: Vec::new(), level, against_source: false, workers: 0 })
    }

    pub(crate) fn verify_with(&self, options: &VerifyOptions) -> VerifyReport {
        with_context(|ctx| verify(ctx, &self.open(), options)).unwrap()
    }
}

/// Does not let an entry be opened.
struct Locked(&'static [u8]);

impl Watch for Locked {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::OpenDir | Op::OpenFile if call.name == self.0 => {
                Verdict::Fail(std::io::ErrorKind::PermissionDenied.into())
            }
            _ => Verdict::Go,
        }
    }
}

/// A seam by which no entry of this name can be opened.
pub(crate) fn locked(name: &'static [u8]) -> Seam {
    Seam::watched(Arc::new(Locked(name)))
}

/// Hides entries.
struct Vanished(&'static [&'static [u8]]);

impl Watch for Vanished {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::OpenDir | Op::OpenFile | Op::Stat if self.0.contains(&call.name) => {
                Verdict::Fail(std::io::ErrorKind::NotFound.into())
            }
            _ => Verdict::Go,
        }
    }
}

/// A seam by which entries of these names are listed and not there any more.
pub(crate) fn vanished(names: &'static [&'static [u8]]) -> Seam {
    Seam::watched(Arc::new(Vanished(names)))
}

/// Takes no folder whose name begins like this, however it is escaped.
struct Unnamable(&'static [u8]);

impl Watch for Unnamable {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::MakeDir if call.name.starts_with(self.0) => Verdict::Fail(std::io::Error::from_raw_os_error(EINVAL)),
            _ => Verdict::Go,
        }
    }
}

/// `EINVAL`: what a volume says to a name that it cannot hold.
const EINVAL: i32 = 22;

/// A seam by which a target cannot hold folders of such names.
pub(crate) fn unnamable(begin: &'static [u8]) -> Seam {
    Seam::watched(Arc::new(Unnamable(begin)))
}

pub(crate) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub(crate) fn mtime(path: &Path) -> (i64, i64) {
    let m = fs::symlink_metadata(path).unwrap();
    (m.mtime(), m.mtime_nsec())
}

pub(crate) fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// Returns kinds and paths of problems, sorted.
pub(crate) fn found(problems: &[Problem]) -> Vec<(ProblemKind, String)> {
    let mut all: Vec<_> = problems.iter().map(|p| (p.kind, String::from_utf8_lossy(&p.path).into_owned())).collect();
    all.sort();
    all
}

/// One line for each entry of a tree: what rsync would compare.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        let m = fs::symlink_metadata(&full).unwrap();
        let parent = Dir::open(full.parent().unwrap(), Seam::default()).unwrap();
        let xattrs = parent.xattrs(full.file_name().unwrap().as_encoded_bytes()).unwrap();
        let content = if m.is_file() { blake3_of(&full) } else { String::new() };
        let link = fs::read_link(&full).map(|l| format!("{l:?}")).unwrap_or_default();
        let size = if m.is_dir() { 0 } else { m.len() };
        lines.push(format!(
            "{path:?} {:o} {}:{} {size} {}.{:09} {} {:x} {link} {xattrs:?} {content}",
            m.mode(),
            m.uid(),
            m.gid(),
            m.mtime(),
            m.mtime_nsec(),
            if m.is_dir() { 0 } else { m.nlink() },
            m.rdev()
        ));
        if m.is_dir() {
            pending.extend(fs::read_dir(&full).unwrap().map(|e| path.join(e.unwrap().file_name())));
        }
    }
    lines.sort();
    lines
}

fn blake3_of(path: &Path) -> String {
    fs::read(path).map(|bytes| blake3::hash(&bytes).to_hex()[..16].to_owned()).unwrap()
}

/// Makes the record of a snapshot another one, and its seal say so.
pub(crate) fn forge_record(bench: &Bench, snapshot: &str, forge: impl FnOnce(&[u8]) -> Vec<u8>) {
    let manifests = bench.target.join(".hardback/manifests/test");
    let manifest = manifests.join(format!("{snapshot}.manifest.zst"));
    let forged = forge(&fs::read(&manifest).unwrap());
    fs::write(&manifest, &forged).unwrap();
    let path = manifests.join(format!("{snapshot}.seal"));
    let mut seal = Seal::from_text(&fs::read_to_string(&path).unwrap()).unwrap();
    (seal.manifest, seal.manifest_bytes) = (*blake3::hash(&forged).as_bytes(), forged.len() as u64);
    fs::write(&path, seal.to_text()).unwrap();
}

/// Changes a byte without changing the length or the time.
pub(crate) fn flip(path: &Path, at: u64) {
    let times = fs::metadata(path).unwrap().modified().unwrap();
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = fs::File::options().write(true).read(true).open(path).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(times).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

/// Three snapshots: `sub/same` in all of them, `edited` in three versions, `moved` in one folder and then in another.
pub(crate) fn three_snapshots() -> (Bench, [String; 3]) {
    let bench = Bench::new();
    for n in 0..50 {
        bench.write(&format!("many/{n:03}"), &format!("content {n}"));
    }
    bench.write("sub/same", "stays the same");
    bench.write("edited", "first");
    bench.write("moved", "is moved later");
    let first = bench.backup();
    bench.write("edited", "second");
    let second = bench.backup();
    bench.write("edited", "the third");
    fs::rename(bench.source.join("moved"), bench.source.join("sub/moved")).unwrap();
    let third = bench.backup();
    (bench, [first, second, third])
}

/// Returns the names of a damaged file.
pub(crate) fn names(damage: &Damage) -> Vec<String> {
    damage.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Remembers which files of the target are read.
#[derive(Default)]
pub(crate) struct Reads(pub(crate) Mutex<BTreeSet<u64>>);

impl Watch for Reads {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::Read
            && let Ok(file) = fs::metadata(format!("/proc/self/fd/{}", call.handle))
        {
            self.0.lock().unwrap().insert(file.ino());
        }
        Verdict::Go
    }
}
