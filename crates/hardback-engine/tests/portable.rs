//! The main job on plain files, links, names and long paths: what Linux and Windows must do alike.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails and says why")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests make and look at files with other code than the product's"
)]

use hardback_engine::retention::Rules;
use hardback_engine::{
    Answer, BackupOptions, BackupReport, Cancel, Context, Counters, Error, Excludes, Job, JobName, JobSource, Monitor,
    Phase, Place, Problem, PruneOptions, PruneReport, RestoreOptions, SystemClock, Target, backup, catalog,
    change_notes, open_or_create_target, prune, restore,
};
use hardback_platform::{Call, Dir, Kind, Op, RelPath, Seam, Verdict, Watch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Quiet;

impl Monitor for Quiet {
    fn problem(&self, problem: &Problem) {
        eprintln!("problem: {problem}");
    }
    fn notice(&self, text: &str) {
        eprintln!("notice: {text}");
    }
    fn phase(&self, _: Phase) {}
}

/// A source and a target in a temporary folder.
struct Bench {
    _temp: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (source, target) = (temp.path().join("docs"), temp.path().join("target"));
        std::fs::create_dir(&source).unwrap();
        Self { _temp: temp, source, target }
    }

    fn open(&self) -> Target {
        open_or_create_target(&self.target, None, &SystemClock, Seam::default()).unwrap().target
    }

    fn try_backup(&self, options: BackupOptions) -> Result<BackupReport, Error> {
        self.try_backup_watched(options, Seam::default())
    }

    /// Tries to back up while something watches the source.
    fn try_backup_watched(&self, options: BackupOptions, source_seam: Seam) -> Result<BackupReport, Error> {
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        let source =
            JobSource { folder: b"docs".to_vec(), path: self.source.clone(), path_bytes: b"docs-path".to_vec() };
        let mut job = Job::new(JobName::new("test").unwrap(), vec![source], options).unwrap();
        job.source_seam = source_seam;
        backup(&ctx, &self.open(), &job, &Excludes::default())
    }

    fn backup(&self) -> BackupReport {
        let report = self.try_backup(BackupOptions { same_disk: true, ..BackupOptions::default() }).unwrap();
        assert_eq!(report.totals.problems, 0, "{:?}", report.problems);
        report
    }

    fn keep_last(&self, last: usize) -> PruneReport {
        let (counters, cancel) = (Counters::default(), Cancel::default());
        let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
        let rules = Rules { last: Some(last), at_least: 1, ..Rules::default() };
        let options = PruneOptions { rules, ..PruneOptions::default() };
        let report = prune(&ctx, &self.open(), "test", &options).unwrap();
        assert_eq!((report.problem_count, report.suspended.len()), (0, 0), "{:?}", report.problems);
        report
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Opens the folder of a stored path; returns it and the name in it.
    fn stored(&self, report: &BackupReport, path: &str) -> (Dir, Vec<u8>) {
        let path = RelPath::from_bytes(format!("test/{}/docs/{path}", report.snapshot.as_ref().unwrap()).as_bytes());
        let path = path.unwrap();
        let root = Dir::open(&self.target, Seam::default()).unwrap();
        (root.open_dir_at(&path.parent()).unwrap(), path.name().to_vec())
    }

    fn id(&self, report: &BackupReport, path: &str) -> u64 {
        let (dir, name) = self.stored(report, path);
        dir.stat(&name).unwrap().id.file
    }

    fn content(&self, report: &BackupReport, path: &str) -> String {
        let (dir, name) = self.stored(report, path);
        String::from_utf8(dir.open_file(&name).unwrap().read_to_vec(1 << 20).unwrap()).unwrap()
    }
}

#[test]
fn an_unchanged_file_is_a_link_and_a_changed_one_a_copy() {
    let bench = Bench::new();
    bench.write("a.txt", "a");
    bench.write("sub/deep/b.txt", "b");
    let first = bench.backup();
    bench.write("sub/deep/b.txt", "changed");
    let second = bench.backup();
    assert_eq!(bench.id(&first, "a.txt"), bench.id(&second, "a.txt"));
    assert_eq!(bench.content(&first, "sub/deep/b.txt"), "b");
    assert_eq!(bench.content(&second, "sub/deep/b.txt"), "changed");
    assert_eq!((second.totals.new_files, second.linked), (1, 1));
    let names: Vec<String> =
        catalog::snapshots(&bench.open(), "test").unwrap().sealed.into_iter().map(|s| s.name).collect();
    assert_eq!(names, [first.snapshot.unwrap(), second.snapshot.unwrap()]);
}

#[test]
fn nothing_is_left_in_partial_and_trash_after_a_run() {
    let bench = Bench::new();
    bench.write("a.txt", "a");
    assert!(bench.backup().snapshot.is_some());
    bench.write("b.txt", "b");
    assert!(bench.backup().snapshot.is_some());
    let ours = Dir::open(&bench.target, Seam::default()).unwrap().open_dir(b".hardback").unwrap();
    for (folder, expected) in [("partial/test", 0), ("trash", 0), ("manifests/test", 4), ("digests/test", 2)] {
        let listing = ours.open_dir_at(&RelPath::from_bytes(folder.as_bytes()).unwrap()).unwrap().list().unwrap();
        let names: Vec<_> = listing.iter().map(|e| String::from_utf8_lossy(e.name).into_owned()).collect();
        assert_eq!(names.len(), expected, "{folder}: {names:?}");
    }
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let bench = Bench::new();
    bench.write("a", "shared");
    bench.write("sub/x", "x");
    std::fs::hard_link(bench.source.join("a"), bench.source.join("b")).unwrap();
    std::fs::hard_link(bench.source.join("a"), bench.source.join("sub").join("c")).unwrap();
    for report in [bench.backup(), bench.backup()] {
        let ids: Vec<u64> = ["a", "b", "sub/c"].iter().map(|p| bench.id(&report, p)).collect();
        assert_eq!(ids, vec![ids[0]; 3]);
    }
}

#[test]
fn umlauts_emoji_spaces_and_quotes_survive_in_names() {
    let bench = Bench::new();
    let names = ["Eredità", "Füße 🦶.txt", "My a", "My b", "it's", "-leading dash", "percent%41"];
    for name in names {
        bench.write(name, name);
    }
    let report = bench.backup();
    for name in names {
        assert_eq!(bench.content(&report, name), name);
    }
}

#[test]
fn a_path_longer_than_windows_likes_is_backed_up_twice() {
    let bench = Bench::new();
    let component = "a rather long name of a folder that goes on and on";
    let mut dir = Dir::open(&bench.source, Seam::default()).unwrap();
    let mut path = String::new();
    for _ in 0..12 {
        dir.make_dir(component.as_bytes(), 0o755).unwrap();
        dir = dir.open_dir(component.as_bytes()).unwrap();
        path.push_str(component);
        path.push('/');
    }
    dir.create_file(b"leaf.txt", 0o644).unwrap().write_all_at(b"deep", 0).unwrap();
    drop(dir);
    path.push_str("leaf.txt");
    let (first, second) = (bench.backup(), bench.backup());
    assert_eq!(bench.content(&second, &path), "deep");
    assert_eq!(bench.id(&first, &path), bench.id(&second, &path));
}

#[test]
fn a_deleted_file_is_gone_from_the_next_snapshot_only() {
    let bench = Bench::new();
    bench.write("keep", "k");
    bench.write("gone", "g");
    let first = bench.backup();
    std::fs::remove_file(bench.source.join("gone")).unwrap();
    let second = bench.backup();
    assert_eq!(second.removed, 1);
    assert_eq!(bench.content(&first, "gone"), "g");
    let (dir, name) = bench.stored(&second, "gone");
    assert!(dir.stat(&name).is_err());
}

#[test]
fn an_emptied_source_is_refused_and_makes_no_snapshot() {
    let bench = Bench::new();
    bench.write("a", "a");
    assert!(bench.backup().snapshot.is_some());
    std::fs::remove_file(bench.source.join("a")).unwrap();
    let options = BackupOptions { same_disk: true, ..BackupOptions::default() };
    let error = bench.try_backup(options.clone()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(catalog::snapshots(&bench.open(), "test").unwrap().sealed.len(), 1);
    let report = bench.try_backup(BackupOptions { allow_empty: true, ..options }).unwrap();
    assert_eq!(report.totals.entries, 1);
}

/// Takes the source away when a file of some name is about to be opened.
struct TakenAway {
    source: PathBuf,
}

impl Watch for TakenAway {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.op == Op::OpenFile && call.name == b"m" {
            // A second time it is not there to be taken.
            std::fs::rename(&self.source, self.source.with_file_name("elsewhere")).ok();
        }
        Verdict::Go
    }
}

#[test]
fn a_source_that_goes_away_during_a_run_is_stored_whole_or_not_at_all() {
    let bench = Bench::new();
    for name in ["a", "m", "sub/x", "z"] {
        bench.write(name, name);
    }
    assert_eq!(bench.backup().totals.new_files, 4);
    for name in ["a", "m", "sub/x", "z"] {
        bench.write(name, "changed");
    }
    let options = BackupOptions { same_disk: true, workers: 1, ..BackupOptions::default() };
    let taken = TakenAway { source: bench.source.clone() };
    match bench.try_backup_watched(options, Seam::watched(Arc::new(taken))) {
        // Here a folder that is held is found wherever it is now.
        Ok(report) => assert_eq!((report.totals.problems, report.totals.new_files), (0, 4), "{:?}", report.problems),
        Err(error) => {
            let is_windows = cfg!(windows);
            assert!(is_windows && error.to_string().contains("went away during the run"), "{error}");
            assert_eq!(catalog::snapshots(&bench.open(), "test").unwrap().sealed.len(), 1);
        }
    }
}

#[test]
fn a_target_inside_its_source_and_on_the_same_volume_is_refused() {
    let mut bench = Bench::new();
    bench.write("a", "a");
    let error = bench.try_backup(BackupOptions::default()).unwrap_err();
    assert!(error.to_string().contains("same volume"), "{error}");
    bench.target = bench.source.join("backups");
    let error = bench.try_backup(BackupOptions { same_disk: true, ..BackupOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("inside the source"), "{error}");
}

#[test]
fn latest_names_the_newest_snapshot() {
    let bench = Bench::new();
    bench.write("a", "a");
    assert!(bench.backup().snapshot.is_some());
    let second = bench.backup().snapshot.unwrap();
    let dir = Dir::open(&bench.target.join("test"), Seam::default()).unwrap();
    let latest = match dir.stat(b"latest").unwrap().kind {
        Kind::Symlink => dir.read_link(b"latest").unwrap(),
        _ => dir.open_file(b"latest").unwrap().read_to_vec(1000).unwrap(),
    };
    assert_eq!(String::from_utf8(latest).unwrap().trim(), second);
    assert!(Path::new(&second).is_relative());
}

#[test]
fn a_list_in_a_folder_leaves_out_what_is_below_it() {
    let bench = Bench::new();
    bench.write("a/.hardbackignore", "*.tmp\n!keep.tmp\n");
    for path in ["a/x.tmp", "a/keep.tmp", "a/sub/y.tmp", "b/z.tmp", "a/file"] {
        bench.write(path, path);
    }
    let report = bench.backup();
    let has = |path: &str| {
        let (dir, name) = bench.stored(&report, path);
        dir.stat(&name).is_ok()
    };
    assert_eq!(
        ["a/x.tmp", "a/keep.tmp", "a/sub/y.tmp", "b/z.tmp", "a/file"].map(has),
        [false, true, false, true, true]
    );
    assert_eq!(report.totals.excluded, 2);
}

#[test]
fn a_base_whose_record_is_damaged_gives_way_to_an_older_one() {
    let bench = Bench::new();
    bench.write("a", "content");
    let first = bench.backup();
    let second = bench.backup();
    let record = format!(".hardback/manifests/test/{}.manifest.zst", second.snapshot.as_ref().unwrap());
    let record = bench.target.join(record);
    let mut bytes = std::fs::read(&record).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&record, bytes).unwrap();
    let third = bench.backup();
    assert_eq!(third.base, first.snapshot);
    assert_eq!((third.linked, bench.id(&third, "a")), (1, bench.id(&first, "a")));
}

#[test]
fn a_restore_that_deletes_keeps_a_file_whose_name_changed_its_case() {
    let bench = Bench::new();
    bench.write("readme.md", "content");
    bench.write("docs/file", "content");
    let report = bench.backup();
    for (old, new) in [("readme.md", "README.md"), ("docs", "Docs")] {
        std::fs::rename(bench.source.join(old), bench.source.join(new)).unwrap();
    }
    bench.write("new", "content");
    // The top of the place is the folder of the source.
    let place = bench.source.parent().unwrap().to_owned();
    let mut options = RestoreOptions::new("test", report.snapshot.as_ref().unwrap(), Place::To(place));
    options.delete = true;
    let (counters, cancel) = (Counters::default(), Cancel::default());
    let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
    let restored = restore(&ctx, &bench.open(), &options, &mut |_| Answer::Keep).unwrap();
    assert_eq!(restored.problem_count, 0, "{:?}", restored.problems);
    for path in ["readme.md", "docs/file"] {
        assert_eq!(std::fs::read_to_string(bench.source.join(path)).unwrap(), "content");
    }
    // Where case counts, the others are no part of the snapshot.
    let names: Vec<_> = std::fs::read_dir(&bench.source).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn pruning_removes_deep_trees_and_read_only_files_and_keeps_what_is_shared() {
    let bench = Bench::new();
    let deep = "a folder with a long name/".repeat(15);
    bench.write(&format!("{deep}file"), "deep");
    bench.write("shared", "shared");
    let first = bench.backup();
    let second = bench.backup();
    let third = bench.backup();
    // The attribute is that of the file, and so of all its names.
    let shared = bench.target.join("test").join(third.snapshot.as_ref().unwrap()).join("docs/shared");
    let read_only = |path: &Path| std::fs::metadata(path).unwrap().permissions().readonly();
    let mut permissions = std::fs::metadata(&shared).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&shared, permissions).unwrap();
    let pinned = first.snapshot.clone().unwrap();
    change_notes(&bench.open(), "test", std::slice::from_ref(&pinned), |note| {
        note.is_pinned = true;
        Ok(())
    })
    .unwrap();
    let report = bench.keep_last(1);
    assert_eq!(report.removed, [second.snapshot.unwrap()]);
    assert!(read_only(&shared));
    assert_eq!(bench.id(&first, "shared"), bench.id(&third, "shared"));
    assert_eq!(bench.content(&third, &format!("{deep}file")), "deep");
    let trash = bench.target.join(".hardback").join("trash");
    assert_eq!(std::fs::read_dir(trash).unwrap().count(), 0);
}
