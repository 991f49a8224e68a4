//! `du` and `freed` against a naive count of what is on the disk.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests look at the disk with other code than the product's"
)]

mod support;

use hardback_engine::{
    BackupOptions, Cancel, Context, Counters, DuOptions, DuReport, Error, Excludes, Freed, ProblemKind, SnapshotUsage,
    SystemClock, Usage, du, freed, open_or_create_target,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use support::*;

fn count(bench: &Bench, options: &DuOptions) -> DuReport {
    let report = with_context(|ctx| du(ctx, &bench.open(), options)).unwrap();
    assert_eq!(found(&report.problems), []);
    report
}

fn count_all(bench: &Bench) -> Vec<SnapshotUsage> {
    let mut report = count(bench, &DuOptions::default());
    assert_eq!(report.jobs.len(), 1);
    report.jobs.remove(0).snapshots
}

fn freed_by(bench: &Bench, snapshots: &[String]) -> Freed {
    let freed = with_context(|ctx| freed(ctx, &bench.open(), "test", snapshots)).unwrap();
    assert_eq!(found(&freed.problems), []);
    freed
}

/// A name on the disk: which file it is of, and where it is.
struct Seen {
    file: u64,
    nlink: u64,
    bytes: u64,
    is_dir: bool,
    /// Below the snapshot; empty for its top.
    path: String,
}

/// Everything that a snapshot has.
fn look(bench: &Bench, snapshot: &str) -> Vec<Seen> {
    let top = bench.target.join("test").join(snapshot);
    let mut seen = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(path) = pending.pop() {
        let full = if path.is_empty() { top.clone() } else { top.join(&path) };
        let m = fs::symlink_metadata(&full).unwrap();
        if m.is_dir() {
            let names = fs::read_dir(&full).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            pending.extend(names.map(|name| if path.is_empty() { name } else { format!("{path}/{name}") }));
        }
        let nlink = if m.is_dir() { 1 } else { m.nlink() };
        seen.push(Seen { file: m.ino(), nlink, bytes: m.blocks() * 512, is_dir: m.is_dir(), path });
    }
    seen
}

/// Returns what goes when all of these names go: how many files and folders, and their bytes.
fn goes<'a>(seen: impl Iterator<Item = &'a Seen>) -> (u64, u64) {
    let mut files: HashMap<u64, (u64, &Seen)> = HashMap::new();
    for name in seen {
        files.entry(name.file).or_insert((0, name)).0 += 1;
    }
    let gone = files.values().filter(|(names, one)| *names == one.nlink);
    gone.fold((0, 0), |(entries, bytes), (_, one)| (entries + 1, bytes + one.bytes))
}

/// Returns the bytes of all files that these names are of.
fn takes<'a>(seen: impl Iterator<Item = &'a Seen>) -> u64 {
    seen.map(|name| (name.file, name.bytes)).collect::<HashMap<_, _>>().values().sum()
}

fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Counts a folder of a snapshot in the simplest way.
fn naive(all: &[Seen], folder: &str) -> Usage {
    let inside = || all.iter().filter(|seen| seen.path == folder || is_below(&seen.path, folder));
    let (unique_entries, unique_bytes) = goes(inside());
    let entries = all.iter().filter(|seen| seen.path != folder && is_below(&seen.path, folder)).count() as u64;
    Usage { entries, bytes: takes(inside()), unique_entries, unique_bytes }
}

/// Returns the bytes and number of the records that go with a set of snapshots.
fn naive_records(bench: &Bench, gone: &[String]) -> (u64, u64) {
    let bytes = |path: &Path| fs::metadata(path).map(|m| m.blocks() * 512).ok();
    let manifests = bench.target.join(".hardback/manifests/test");
    let mut kept = BTreeSet::new();
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(&manifests).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(snapshot) = name.strip_suffix(".seal") else { continue };
        let text = fs::read_to_string(manifests.join(&name)).unwrap();
        let generations = text.lines().filter_map(|l| l.strip_prefix("generation").map(|l| l.trim_start_matches('s')));
        let into = if gone.iter().any(|g| g == snapshot) { &mut named } else { &mut kept };
        into.extend(generations.flat_map(|l| l.split_whitespace()).map(|g| g.parse::<u32>().unwrap()));
    }
    let lists = named.difference(&kept).map(|g| bench.target.join(format!(".hardback/digests/test/{g:08}.b3")));
    let own = gone.iter().flat_map(|g| [".manifest.zst", ".seal"].map(|end| manifests.join(format!("{g}{end}"))));
    let sizes: Vec<u64> = lists.chain(own).filter_map(|path| bytes(&path)).collect();
    (sizes.len() as u64, sizes.iter().sum())
}

/// Compares all that is told of some snapshots with what the simplest count says.
fn check(bench: &Bench, snapshots: &[String]) {
    let seen: Vec<Vec<Seen>> = snapshots.iter().map(|snapshot| look(bench, snapshot)).collect();
    let report = count(bench, &DuOptions { snapshots: snapshots.to_vec(), depth: 2, ..DuOptions::default() });
    let told = &report.jobs[0].snapshots;
    let mut older: HashMap<u64, u64> = HashMap::new();
    for ((told, snapshot), seen) in told.iter().zip(snapshots).zip(&seen) {
        assert_eq!(told.snapshot, *snapshot);
        assert_eq!(told.usage, naive(seen, ""), "{snapshot}");
        let folders: BTreeMap<String, Usage> =
            told.folders.iter().map(|f| (String::from_utf8(f.path.clone()).unwrap(), f.usage)).collect();
        assert_eq!(folders.len(), told.folders.len());
        let expected: BTreeMap<String, Usage> = seen
            .iter()
            .filter(|s| s.is_dir && !s.path.is_empty() && s.path.split('/').count() <= 2)
            .map(|s| (s.path.clone(), naive(seen, &s.path)))
            .collect();
        assert_eq!(folders, expected, "{snapshot}");
        let before = older.len();
        let bytes_before: u64 = older.values().sum();
        older.extend(seen.iter().map(|s| (s.file, s.bytes)));
        assert_eq!(told.cumulative_bytes, older.values().sum::<u64>() - bytes_before, "{snapshot}");
        assert_eq!(told.cumulative_entries, (older.len() - before) as u64, "{snapshot}");
    }
    let all = freed_by(bench, snapshots);
    let (mut entries, mut bytes) = (0, 0);
    for (index, step) in all.steps.iter().enumerate() {
        (entries, bytes) = (entries + step.entries, bytes + step.bytes);
        let (tree_entries, tree_bytes) = goes(seen[..=index].iter().flatten());
        let (record_entries, record_bytes) = naive_records(bench, &snapshots[..=index]);
        let expected = (tree_entries + record_entries, tree_bytes + record_bytes);
        assert_eq!((entries, bytes), expected, "the first {} of {snapshots:?}", index + 1);
    }
    assert_eq!((all.entries, all.bytes, all.steps.len()), (entries, bytes, snapshots.len()));
    let told = &report.jobs[0].freed;
    assert_eq!((told.entries, told.bytes), (entries, bytes));
}

#[test]
fn what_snapshots_share_is_told_apart_from_what_each_has_alone() {
    let bench = Bench::new();
    bench.write("same", &"x".repeat(100_000));
    bench.write("edited", &"1".repeat(50_000));
    let first = bench.backup();
    bench.write("edited", &"2".repeat(60_000));
    let second = bench.backup();
    let all = count_all(&bench);
    let blocks = |snapshot: &str, path: &str| fs::metadata(bench.stored(snapshot, path)).unwrap().blocks() * 512;
    for (told, other) in all.iter().zip(["1", "2"]) {
        let shared = blocks(&told.snapshot, "same");
        assert_eq!(told.usage.entries, 3, "{other}");
        assert_eq!(told.usage.shared_bytes(), shared);
        assert!(told.usage.unique_bytes >= blocks(&told.snapshot, "edited"));
    }
    assert_eq!(all[0].cumulative_bytes, all[0].usage.bytes);
    assert_eq!(all[1].cumulative_bytes, all[1].usage.unique_bytes);
    check(&bench, &[first, second]);
}

#[test]
fn names_of_one_file_in_one_snapshot_are_one_file() {
    let bench = Bench::new();
    bench.write("a/one", &"x".repeat(20_000));
    fs::create_dir_all(bench.source.join("b")).unwrap();
    fs::hard_link(bench.source.join("a/one"), bench.source.join("a/two")).unwrap();
    fs::hard_link(bench.source.join("a/one"), bench.source.join("b/three")).unwrap();
    let first = bench.backup();
    let report = count(&bench, &DuOptions { depth: 2, ..DuOptions::default() });
    let told = &report.jobs[0].snapshots[0];
    let [docs, a, b] = &told.folders[..] else { panic!("{:?}", told.folders) };
    let file = fs::metadata(bench.stored(&first, "a/one")).unwrap().blocks() * 512;
    assert_eq!(told.usage.shared_bytes(), 0);
    assert_eq!((docs.usage.entries, docs.usage.shared_bytes()), (5, 0));
    // Neither of the folders frees it if it goes alone.
    assert_eq!([a.usage.shared_bytes(), b.usage.shared_bytes()], [file, file]);
    let second = bench.backup();
    check(&bench, &[first, second]);
}

#[test]
fn a_restamped_file_and_a_split_group_are_files_of_their_own() {
    let bench = Bench::new();
    bench.write("stamped", &"x".repeat(4_000));
    bench.write("group-1", &"y".repeat(4_000));
    for n in 2..=5 {
        fs::hard_link(bench.source.join("group-1"), bench.source.join(format!("group-{n}"))).unwrap();
    }
    let backup = || {
        let options = BackupOptions { max_links: Some(2), ..BackupOptions::default() };
        bench.backup_without(&Excludes::default(), options).snapshot.unwrap()
    };
    let first = backup();
    fs::set_permissions(bench.source.join("stamped"), fs::Permissions::from_mode(0o600)).unwrap();
    let second = backup();
    let third = backup();
    assert_ne!(inode(&bench.stored(&first, "stamped")), inode(&bench.stored(&second, "stamped")));
    assert_ne!(inode(&bench.stored(&first, "group-1")), inode(&bench.stored(&first, "group-5")));
    let all = [first, second, third];
    for set in [&all[..], &all[..1], &all[1..], &all[..2]] {
        check(&bench, set);
    }
}

#[test]
fn two_removals_free_together_what_neither_frees_alone() {
    let bench = Bench::new();
    bench.write("old", &"x".repeat(80_000));
    let (first, second) = (bench.backup(), bench.backup());
    fs::remove_file(bench.source.join("old")).unwrap();
    bench.write("new", "new");
    let third = bench.backup();
    let file = fs::metadata(bench.stored(&first, "old")).unwrap().blocks() * 512;
    let alone = |snapshot: &String| freed_by(&bench, std::slice::from_ref(snapshot)).bytes;
    let both = freed_by(&bench, &[second.clone(), first.clone()]);
    assert!(both.bytes >= alone(&first) + alone(&second) + file);
    assert_eq!(both.steps[0].bytes, alone(&second));
    assert_eq!(both.steps[1].snapshot, first);
    check(&bench, &[first.clone(), second.clone()]);
    check(&bench, &[first.clone(), second.clone(), third.clone()]);
    // A name that is given twice goes once.
    let twice = freed_by(&bench, &[first.clone(), second, first]);
    assert_eq!((twice.bytes, twice.steps.len()), (both.bytes, 2));
}

#[test]
fn names_outside_of_the_snapshots_keep_a_file() {
    let bench = Bench::new();
    bench.write("kept", &"x".repeat(80_000));
    let first = bench.backup();
    let before = freed_by(&bench, std::slice::from_ref(&first));
    let file = fs::metadata(bench.stored(&first, "kept")).unwrap().blocks() * 512;
    fs::hard_link(bench.stored(&first, "kept"), bench.path("elsewhere")).unwrap();
    let after = freed_by(&bench, std::slice::from_ref(&first));
    assert_eq!((after.bytes, after.entries), (before.bytes - file, before.entries - 1));
}

#[test]
fn what_cannot_be_read_is_a_problem_and_the_rest_is_the_least() {
    let bench = Bench::new();
    bench.write("closed/file", &"x".repeat(50_000));
    bench.write("open", "open");
    let first = bench.backup();
    let whole = freed_by(&bench, std::slice::from_ref(&first));
    let target = open_or_create_target(&bench.target, None, &SystemClock, locked(b"closed")).unwrap().target;
    let report = with_context(|ctx| du(ctx, &target, &DuOptions::default())).unwrap();
    let expected = [(ProblemKind::Unreadable, format!("test/{first}/docs/closed"))];
    assert_eq!(found(&report.problems), expected);
    // The folder is seen, what is in it is not.
    assert_eq!(report.jobs[0].snapshots[0].usage.entries, 3);
    let least = with_context(|ctx| freed(ctx, &target, "test", std::slice::from_ref(&first))).unwrap();
    assert_eq!((least.problem_count, found(&least.problems)), (1, expected.to_vec()));
    assert_eq!(least.entries, whole.entries - 1);
    assert!(least.bytes < whole.bytes);
}

#[test]
fn a_digest_list_goes_with_the_last_seal_that_names_it() {
    let bench = Bench::new();
    bench.write("file", &"x".repeat(10));
    let first = bench.backup();
    bench.write("more", "more");
    let second = bench.backup();
    let of = |snapshots: &[&String]| {
        let names: Vec<String> = snapshots.iter().map(|s| (*s).clone()).collect();
        freed_by(&bench, &names)
    };
    // Its list, and those of the folders: top and docs; manifest and seal.
    assert_eq!(of(&[&first]).entries, 2 + 2);
    assert_eq!(of(&[&second]).entries, 2 + 2 + 1 + 1, "with the file and the list of its own");
    let both = of(&[&first, &second]);
    assert_eq!(both.steps.iter().map(|s| s.entries).collect::<Vec<_>>(), [4, 4 + 2 + 2]);
    // Nobody knows what a seal names that cannot be read.
    fs::write(bench.target.join(format!(".hardback/manifests/test/{first}.seal")), "no seal").unwrap();
    assert_eq!(of(&[&second]).entries, 2 + 2 + 1);
}

#[test]
fn what_is_not_there_is_an_error_and_what_is_not_sealed_a_problem() {
    let bench = Bench::new();
    bench.write("file", "x");
    let (first, second) = (bench.backup(), bench.backup());
    let ask = |options: DuOptions| with_context(|ctx| du(ctx, &bench.open(), &options));
    let named = |name: &str| DuOptions { snapshots: vec![name.to_owned()], ..DuOptions::default() };
    assert!(matches!(ask(named("2001-01-01_00.00.00")), Err(Error::NotFound { .. })));
    assert!(matches!(ask(DuOptions { job: Some("none".into()), ..named(&first) }), Err(Error::NotFound { .. })));
    fs::write(bench.target.join(format!(".hardback/manifests/test/{first}.seal")), "no seal").unwrap();
    let report = ask(DuOptions::default()).unwrap();
    assert_eq!(found(&report.problems), [(ProblemKind::Unsealed, format!("test/{first}"))]);
    assert_eq!(report.jobs[0].snapshots.iter().map(|s| s.snapshot.clone()).collect::<Vec<_>>(), [second]);
    let refused = with_context(|ctx| freed(ctx, &bench.open(), "test", &[first]));
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

#[test]
fn a_count_stops_when_it_is_asked_to() {
    let bench = Bench::new();
    bench.write("file", "x");
    let first = bench.backup();
    let (counters, cancel) = (Counters::default(), Cancel::default());
    cancel.cancel();
    let ctx = Context { clock: &SystemClock, monitor: &Quiet, counters: &counters, cancel: &cancel };
    assert!(matches!(du(&ctx, &bench.open(), &DuOptions::default()), Err(Error::Interrupted)));
    assert!(matches!(freed(&ctx, &bench.open(), "test", &[first]), Err(Error::Interrupted)));
}

/// A change of the source.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, u16),
    Link(u8, u8),
    Symlink(u8),
    Mode(u8, bool),
    Remove(u8),
    RemoveFolder(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 0..4000_u16).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Link(a, b)),
        1 => any::<u8>().prop_map(Step::Symlink),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(at, closed)| Step::Mode(at, closed)),
        1 => any::<u8>().prop_map(Step::Remove),
        1 => any::<u8>().prop_map(Step::RemoveFolder),
    ]
}

/// Returns one of a few paths, so that steps meet.
fn path_of(at: u8) -> String {
    let folders = ["", "a/", "a/b/", "a/b/c/", "d/"];
    format!("{}{}", folders[usize::from(at) % folders.len()], at / 5 % 3)
}

fn apply(source: &Path, step: &Step) {
    let at = |n: &u8| {
        let path = source.join(path_of(*n));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    match step {
        Step::Write(n, bytes) => {
            fs::remove_file(at(n)).ok();
            fs::write(at(n), vec![*n; usize::from(*bytes)]).unwrap();
        }
        Step::Link(a, b) => {
            fs::hard_link(at(a), at(b)).ok();
        }
        Step::Symlink(n) => {
            symlink("somewhere", at(n)).ok();
        }
        Step::Mode(n, closed) => {
            let mode = if *closed { 0o600 } else { 0o644 };
            let is_file = fs::symlink_metadata(at(n)).is_ok_and(|m| m.is_file());
            if is_file {
                fs::set_permissions(at(n), fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        Step::Remove(n) => {
            fs::remove_file(at(n)).ok();
        }
        Step::RemoveFolder(n) => {
            let path = at(n);
            let folder = path.parent().unwrap();
            if folder != source {
                fs::remove_dir_all(folder).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn all_that_is_told_is_what_a_naive_count_finds(
        rounds in prop::collection::vec(prop::collection::vec(step(), 0..20), 1..5),
        max_links in prop::option::of(2..5_u64),
        chosen in any::<u8>(),
    ) {
        let bench = Bench::new();
        bench.write("always", "x");
        let options = BackupOptions { max_links, allow_empty: true, ..BackupOptions::default() };
        let mut snapshots = Vec::new();
        for round in &rounds {
            round.iter().for_each(|step| apply(&bench.source, step));
            snapshots.push(bench.backup_without(&Excludes::default(), options.clone()).snapshot.unwrap());
        }
        check(&bench, &snapshots);
        let some: Vec<String> =
            snapshots.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, s)| s.clone()).collect();
        if !some.is_empty() {
            check(&bench, &some);
        }
    }
}

#[test]
fn nothing_is_written() {
    let bench = Bench::new();
    bench.write("file", "x");
    let first = bench.backup();
    let before = listing(&bench.target);
    let _report = count(&bench, &DuOptions::default());
    let _freed = freed_by(&bench, &[first]);
    assert_eq!(listing(&bench.target), before);
}
