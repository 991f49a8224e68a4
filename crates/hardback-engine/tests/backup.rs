//! The main job end to end, on plain files in temporary folders.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk with other code than the product's"
)]

use hardback_engine::exclude::{ExcludeBuilder, RuleOrigin};
use hardback_engine::{
    BackupOptions, BackupReport, Cancel, Context, Counters, Error, Excludes, HOT_WINDOW_S, Job, JobName, JobSource,
    Monitor, Phase, Problem, SystemClock, Target, backup, catalog, open_or_create_target,
};
use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Quiet;

impl Monitor for Quiet {
    fn problem(&self, _: &Problem) {}
    fn notice(&self, text: &str) {
        eprintln!("notice: {text}");
    }
    fn phase(&self, _: Phase) {}
}

struct Bench {
    _temp: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
    options: BackupOptions,
    target_seam: Seam,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (source, target) = (temp.path().join("docs"), temp.path().join("target"));
        fs::create_dir(&source).unwrap();
        let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
        Self { _temp: temp, source, target, options, target_seam: Seam::default() }
    }

    fn open(&self) -> Target {
        open_or_create_target(&self.target, None, &SystemClock, Seam::clone(&self.target_seam)).unwrap().target
    }

    fn backup(&self) -> BackupReport {
        self.try_backup().unwrap()
    }

    fn try_backup(&self) -> Result<BackupReport, Error> {
        self.try_backup_without(&Excludes::default())
    }

    fn try_backup_without(&self, excludes: &Excludes) -> Result<BackupReport, Error> {
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        let source = JobSource {
            folder: b"docs".to_vec(),
            path: self.source.clone(),
            path_bytes: self.source.as_os_str().as_encoded_bytes().to_vec(),
        };
        let job = Job::new(JobName::new("test").unwrap(), vec![source], self.options.clone()).unwrap();
        backup(&ctx, &self.open(), &job, excludes)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn stored(&self, report: &BackupReport, path: &str) -> PathBuf {
        self.target.join("test").join(report.snapshot.as_ref().unwrap()).join("docs").join(path)
    }
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn an_unchanged_file_is_a_link_and_a_changed_one_a_copy() {
    let bench = Bench::new();
    bench.write("a.txt", "a");
    bench.write("sub/deep/b.txt", "b");
    let first = bench.backup();
    assert_eq!(first.totals.problems, 0);
    bench.write("sub/deep/b.txt", "changed");
    let second = bench.backup();
    assert_eq!(inode(&bench.stored(&first, "a.txt")), inode(&bench.stored(&second, "a.txt")));
    assert_eq!(fs::read(bench.stored(&first, "sub/deep/b.txt")).unwrap(), b"b");
    assert_eq!(fs::read(bench.stored(&second, "sub/deep/b.txt")).unwrap(), b"changed");
    assert_eq!((second.totals.new_files, second.linked), (1, 1));
    let all = catalog::snapshots(&bench.open(), "test").unwrap().sealed;
    assert_eq!(all.iter().map(|s| s.seal.generation).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(fs::read_link(bench.target.join("test/latest")).unwrap(), Path::new(&second.snapshot.unwrap()));
}

#[test]
fn a_changed_mode_makes_a_new_inode_from_the_base_and_leaves_the_old() {
    let bench = Bench::new();
    bench.write("a.txt", "content");
    let first = bench.backup();
    fs::set_permissions(bench.source.join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let second = bench.backup();
    let mode = |r: &BackupReport| fs::metadata(bench.stored(r, "a.txt")).unwrap().mode() & 0o7777;
    assert_eq!((mode(&first), mode(&second)), (0o644, 0o600));
    assert_eq!((second.restamped, second.bytes_read), (1, 0));
}

#[test]
fn a_moved_folder_writes_nothing() {
    let bench = Bench::new();
    for n in 0..50 {
        bench.write(&format!("old/{n}.txt"), &format!("content {n}"));
    }
    let first = bench.backup();
    fs::rename(bench.source.join("old"), bench.source.join("new")).unwrap();
    let second = bench.backup();
    assert_eq!((second.moved, second.totals.new_bytes, second.bytes_read), (50, 0, 0));
    // The folder itself.
    assert_eq!(second.removed, 1);
    assert_eq!(inode(&bench.stored(&first, "old/7.txt")), inode(&bench.stored(&second, "new/7.txt")));
    let third = bench.backup();
    assert_eq!((third.linked, third.totals.new_bytes), (50, 0));
}

#[test]
fn what_moved_is_not_removed() {
    let bench = Bench::new();
    for name in ["moved", "gone", "copied from", "linked", "both 1", "one of 1"] {
        bench.write(name, name);
    }
    let at = |name: &str| bench.source.join(name);
    fs::hard_link(at("both 1"), at("both 2")).unwrap();
    fs::hard_link(at("one of 1"), at("one of 2")).unwrap();
    let first = bench.backup();
    assert_eq!((first.removed, first.totals.problems), (0, 0));
    for (from, to) in [("moved", "new"), ("both 1", "both 3"), ("both 2", "both 4"), ("one of 1", "one of 3")] {
        fs::rename(at(from), at(to)).unwrap();
    }
    fs::remove_file(at("gone")).unwrap();
    fs::copy(at("copied from"), at("copy")).unwrap();
    fs::hard_link(at("linked"), at("one more name")).unwrap();
    assert_eq!(bench.backup().removed, 1);
}

/// Does not let an index of moved files be made.
struct NoIndex;

impl Watch for NoIndex {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::CreateFile if call.name == b"moved-index" => Verdict::Fail(std::io::ErrorKind::StorageFull.into()),
            _ => Verdict::Go,
        }
    }
}

#[test]
fn a_count_of_what_moved_that_fails_ends_no_run() {
    let mut bench = Bench::new();
    bench.write("a", "content");
    bench.write("z", "content too");
    assert_eq!(bench.backup().totals.problems, 0);
    // The first is linked as it was, and nothing is new but a name of it.
    fs::hard_link(bench.source.join("a"), bench.source.join("b")).unwrap();
    bench.target_seam = Seam::watched(Arc::new(NoIndex));
    let report = bench.backup();
    assert_eq!((report.totals.entries, report.totals.new_files, report.totals.problems), (4, 0, 0));
}

#[test]
fn a_dry_run_counts_what_would_be_new() {
    let mut bench = Bench::new();
    bench.write("a", "12345");
    fs::hard_link(bench.source.join("a"), bench.source.join("b")).unwrap();
    bench.write("empty", "");
    bench.write("mode", "123");
    let both = |bench: &mut Bench| {
        bench.options.dry_run = true;
        let dry = bench.backup();
        bench.options.dry_run = false;
        let real = bench.backup();
        let sums = |r: &BackupReport| (r.totals.new_files, r.totals.new_bytes, r.restamped);
        assert_eq!(sums(&dry), sums(&real));
        sums(&real)
    };
    assert_eq!(both(&mut bench), (2, 8, 0));
    assert_eq!(both(&mut bench), (0, 0, 0));
    fs::set_permissions(bench.source.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.write("new", "1");
    assert_eq!(both(&mut bench), (1, 1, 1));
}

#[test]
fn names_of_one_inode_stay_names_of_one_inode() {
    let bench = Bench::new();
    bench.write("a", "shared");
    fs::hard_link(bench.source.join("a"), bench.source.join("b")).unwrap();
    bench.write("sub/x", "x");
    fs::hard_link(bench.source.join("a"), bench.source.join("sub/c")).unwrap();
    let first = bench.backup();
    let second = bench.backup();
    for report in [&first, &second] {
        let inodes: Vec<u64> = ["a", "b", "sub/c"].iter().map(|p| inode(&bench.stored(report, p))).collect();
        assert_eq!(inodes, vec![inodes[0]; 3]);
    }
    assert_eq!(fs::metadata(bench.stored(&first, "a")).unwrap().nlink(), 6);
    assert_eq!((first.totals.new_files, second.totals.new_files), (2, 0));
}

#[test]
fn a_same_size_edit_with_the_time_put_back_is_noticed() {
    let bench = Bench::new();
    bench.write("a.txt", "one");
    let mtime = fs::metadata(bench.source.join("a.txt")).unwrap().modified().unwrap();
    assert_eq!(bench.backup().totals.problems, 0);
    bench.write("a.txt", "two");
    fs::File::options().write(true).open(bench.source.join("a.txt")).unwrap().set_modified(mtime).unwrap();
    let second = bench.backup();
    assert_eq!(fs::read(bench.stored(&second, "a.txt")).unwrap(), b"two");
}

/// A target of which no file of this name can be opened.
struct ClosedFile(&'static [u8]);

impl Watch for ClosedFile {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::OpenFile if call.name == self.0 => Verdict::Fail(std::io::ErrorKind::PermissionDenied.into()),
            _ => Verdict::Go,
        }
    }
}

#[test]
fn what_only_a_digest_of_the_base_could_prove_is_copied_where_that_cannot_be_read() {
    let mut bench = Bench::hot();
    for name in ["hot", "restamped", "moved"] {
        bench.write(name, "one");
    }
    let mtime = fs::metadata(bench.source.join("hot")).unwrap().modified().unwrap();
    assert_eq!(bench.backup().totals.problems, 0);
    bench.write("hot", "two");
    fs::File::options().write(true).open(bench.source.join("hot")).unwrap().set_modified(mtime).unwrap();
    fs::set_permissions(bench.source.join("restamped"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(bench.source.join("moved"), bench.source.join("new name")).unwrap();
    bench.target_seam = Seam::watched(Arc::new(ClosedFile(b"00000001.b3")));
    let report = bench.backup();
    assert_eq!((report.totals.problems, report.totals.new_files), (0, 3), "{report:?}");
    for (name, content) in [("hot", "two"), ("restamped", "one"), ("new name", "one")] {
        assert_eq!(fs::read_to_string(bench.stored(&report, name)).unwrap(), content);
    }
    bench.target_seam = Seam::default();
    assert_eq!(bench.backup().totals.problems, 0);
}

const ENOSPC: i32 = 28;

/// A disk that is full when a file of this name is made.
struct FullAt(&'static [u8]);

impl Watch for FullAt {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match call.op {
            Op::CreateFile if call.name == self.0 => Verdict::Fail(std::io::Error::from_raw_os_error(ENOSPC)),
            _ => Verdict::Go,
        }
    }
}

impl Bench {
    /// A bench whose files are hot, and are stored one after the other.
    fn hot() -> Self {
        let mut bench = Self::new();
        bench.options.hot_window_s = HOT_WINDOW_S;
        bench.options.workers = 1;
        bench
    }

    /// Runs until the disk is full at this file.
    fn full_at(&mut self, name: &'static str) -> Error {
        self.target_seam = Seam::watched(Arc::new(FullAt(name.as_bytes())));
        let error = self.try_backup().unwrap_err();
        self.target_seam = Seam::default();
        error
    }

    /// Names of files in unfinished snapshots, oldest first.
    fn unfinished(&self) -> Vec<Vec<String>> {
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names.into_iter().map(|n| n.into_string().unwrap()).collect::<Vec<_>>()
        };
        let partial = self.target.join(".hardback/partial/test");
        names(&partial).iter().map(|n| names(&partial.join(n).join("tree/docs"))).collect()
    }
}

#[test]
fn a_hot_file_of_an_interrupted_run_is_taken_over_if_the_source_still_has_it() {
    let mut bench = Bench::hot();
    bench.write("a", "12345");
    bench.write("b", "123");
    bench.write("z", "1");
    bench.full_at("z");
    bench.write("b", "321");
    let report = bench.backup();
    assert_eq!((report.adopted, report.adopted_bytes, report.bytes_read), (1, 5, 5 + 3 + 1));
    assert_eq!(fs::read(bench.stored(&report, "b")).unwrap(), b"321");
    // It is as hot as it was, and compared again.
    assert_eq!(bench.backup().bytes_read, 5 + 3 + 1);
}

#[test]
fn unfinished_snapshots_keep_no_room_for_what_is_copied_anew_and_do_not_pile_up() {
    let mut bench = Bench::hot();
    for name in ["a", "m", "y", "z"] {
        bench.write(name, "12345");
    }
    assert!(bench.full_at("z").hint().unwrap().ends_with("where this one stopped"));
    assert_eq!(bench.unfinished(), [["a", "m", "y"]]);
    // What is not taken over goes before it is copied; what the run does not come to stays.
    bench.write("a", "changed");
    bench.write("c", "new");
    let hint = bench.full_at("c").hint().unwrap();
    assert!(hint.contains("; 1 older unfinished snapshot in .hardback/partial holds room too"), "{hint}");
    assert_eq!(bench.unfinished(), [vec!["m", "y"], vec!["a"]]);
    for _ in 0..3 {
        assert!(bench.full_at("z").hint().unwrap().ends_with("where this one stopped"));
        assert_eq!(bench.unfinished(), [["a", "c", "m", "y"]]);
    }
    // A run that was killed has stored what is not in its record.
    let partial = bench.target.join(".hardback/partial/test");
    let partial = fs::read_dir(partial).unwrap().next().unwrap().unwrap().path();
    fs::write(partial.join("tree/docs/n"), "not recorded").unwrap();
    bench.write("n", "n");
    bench.full_at("z");
    assert_eq!(bench.unfinished(), [["a", "c", "m", "n", "y"]]);
    let report = bench.backup();
    // What is taken over is new in the snapshot, and this run did not copy it.
    assert_eq!((report.adopted, report.totals.new_files, report.totals.new_bytes), (5, 1, 5));
    let sealed = &catalog::snapshots(&bench.open(), "test").unwrap().sealed[0].seal.totals;
    assert_eq!((sealed.new_files, sealed.new_bytes), (6, 5 + report.adopted_bytes));
    assert_eq!(bench.unfinished(), [[""; 0]; 0]);
}

#[test]
fn what_a_rule_of_the_system_leaves_out_is_counted_by_rule() {
    let bench = Bench::new();
    for file in ["a.ost", "b.ost", "cache/x", "cache/y", "kept", "mine"] {
        bench.write(file, "content");
    }
    let system = |name: &str| RuleOrigin::System { name: name.into() };
    let rules = ExcludeBuilder::new()
        .pattern(b"/*.ost", system("the writer Mail"))
        .pattern(b"/cache", system("Windows' list"))
        .pattern(b"/nothing", system("idle"))
        .pattern(b"/mine", RuleOrigin::CommandLine { index: 0 });
    let excludes = Excludes { rules: rules.build().unwrap(), ..Excludes::default() };
    let report = bench.try_backup_without(&excludes).unwrap();
    let counts: Vec<_> = report.left_out_by_system.iter().map(|(rule, entries)| (rule.as_str(), *entries)).collect();
    assert_eq!(counts, [("Windows' list", 1), ("the writer Mail", 2)], "a folder counts once");
    assert_eq!(report.totals.excluded, 4);
}
