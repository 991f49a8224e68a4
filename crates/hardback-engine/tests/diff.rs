//! `diff` against a naive comparison of what is on the disk.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests look at the disk with other code than the product's"
)]

mod bench;

use bench::Bench;
use hardback_engine::exclude::{DirectoryMarkers, ExcludeBuilder};
use hardback_engine::{BackupOptions, Change, DiffOptions, DiffReport, Difference, Error, Excludes, diff};
use hardback_platform::Seam;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn run(bench: &Bench, a: &str, b: Option<&str>) -> Result<(Vec<Difference>, DiffReport), Error> {
    let mut all = Vec::new();
    let options = DiffOptions { job: "test".into(), a: a.into(), b: b.map(Into::into) };
    let report = bench.with(|ctx, target| diff(ctx, target, &options, &mut |d| all.push(d.clone())))?;
    assert_eq!(report.differences(), all.len() as u64);
    Ok((all, report))
}

fn text(all: &[Difference]) -> Vec<String> {
    let line = |d: &Difference| {
        let path = String::from_utf8_lossy(&d.path).into_owned();
        match &d.change {
            Change::Added => format!("+ {path}"),
            Change::Removed => format!("- {path}"),
            Change::Content => format!("c {path}"),
            Change::Metadata(what) => format!("m {path} {}", what.join(",")),
            Change::Kind => format!("k {path}"),
            Change::Moved { from } => format!("> {} {path}", String::from_utf8_lossy(from)),
        }
    };
    all.iter().map(line).collect()
}

/// What a naive comparison knows of an entry.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    kind: &'static str,
    content: Vec<u8>,
    mode: u32,
    mtime: (i64, i64),
}

/// Reads a whole tree into memory.
fn walk(root: &Path, prefix: &str, out: &mut BTreeMap<String, Seen>) {
    let metadata = fs::symlink_metadata(root).unwrap();
    let kind = match metadata.file_type() {
        t if t.is_dir() => "dir",
        t if t.is_symlink() => "link",
        _ => "file",
    };
    let content = match kind {
        "file" => fs::read(root).unwrap(),
        "link" => fs::read_link(root).unwrap().into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    let mtime = (metadata.mtime(), metadata.mtime_nsec());
    out.insert(prefix.to_owned(), Seen { kind, content, mode: metadata.mode() & 0o7777, mtime });
    if kind == "dir" {
        for entry in fs::read_dir(root).unwrap() {
            let entry = entry.unwrap();
            walk(&entry.path(), &format!("{prefix}/{}", entry.file_name().to_str().unwrap()), out);
        }
    }
}

fn see(bench: &Bench) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    walk(&bench.source, "docs", &mut all);
    all
}

fn naive(old: &BTreeMap<String, Seen>, new: &BTreeMap<String, Seen>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, o) in old {
        let Some(n) = new.get(path) else {
            lines.push(format!("- {path}"));
            continue;
        };
        let mut what = Vec::new();
        if o.mode != n.mode {
            what.push("mode");
        }
        if o.mtime != n.mtime {
            what.push("time");
        }
        if o.content != n.content && o.kind == "link" {
            what.push("link");
        }
        if o.kind != n.kind {
            lines.push(format!("k {path}"));
        } else if o.content != n.content && o.kind == "file" {
            lines.push(format!("c {path}"));
        } else if !what.is_empty() {
            lines.push(format!("m {path} {}", what.join(",")));
        }
    }
    lines.extend(new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("+ {path}")));
    lines.sort();
    lines
}

/// Writes moves as what a naive comparison sees of them; checks that what moved is the same.
fn without_moves(lines: Vec<String>, old: &BTreeMap<String, Seen>, new: &BTreeMap<String, Seen>) -> Vec<String> {
    let mut out = Vec::new();
    for line in lines {
        match line.strip_prefix("> ").and_then(|l| l.split_once(' ')) {
            Some((from, to)) => {
                assert_eq!((&old[from].kind, &old[from].content), (&new[to].kind, &new[to].content), "{line}");
                out.extend([format!("- {from}"), format!("+ {to}")]);
            }
            None => out.push(line),
        }
    }
    out.sort();
    out
}

/// One change of a tree; paths and contents are few, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    File(String, u8),
    Dir(String),
    Link(String, u8),
    Remove(String),
    Mode(String, u32),
    Rename(String, String),
    HardLink(String, String),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "a.b", "b", "c", "B"]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (path(), 0u8..4).prop_map(|(p, c)| Step::File(p, c)),
        2 => path().prop_map(Step::Dir),
        1 => (path(), 0u8..3).prop_map(|(p, c)| Step::Link(p, c)),
        2 => path().prop_map(Step::Remove),
        1 => (path(), prop::sample::select(vec![0o600, 0o644, 0o755])).prop_map(|(p, m)| Step::Mode(p, m)),
        2 => (path(), path()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => (path(), path()).prop_map(|(a, b)| Step::HardLink(a, b)),
    ]
}

/// Does a step as far as it can be done.
fn apply(root: &Path, step: &Step) {
    let make_parent = |path: &Path| fs::create_dir_all(path.parent().unwrap()).is_ok();
    match step {
        Step::File(path, content) => {
            let path = root.join(path);
            if make_parent(&path) && !path.is_symlink() {
                // Contents 1 and 2 have one size, 0 is empty.
                fs::write(path, [&b""[..], b"one", b"two", b"three"][usize::from(*content)]).ok();
            }
        }
        Step::Dir(path) => drop(fs::create_dir_all(root.join(path))),
        Step::Link(path, content) => {
            let path = root.join(path);
            if make_parent(&path) {
                symlink(["x", "y", "a"][usize::from(*content)], path).ok();
            }
        }
        Step::Remove(path) => {
            let path = root.join(path);
            if fs::remove_file(&path).is_err() {
                fs::remove_dir_all(path).ok();
            }
        }
        Step::Mode(path, mode) => {
            let path = root.join(path);
            if path.is_file() && !path.is_symlink() {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
        Step::Rename(from, to) => {
            if make_parent(&root.join(to)) {
                fs::rename(root.join(from), root.join(to)).ok();
            }
        }
        Step::HardLink(from, to) => {
            if make_parent(&root.join(to)) {
                fs::hard_link(root.join(from), root.join(to)).ok();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_is_what_a_naive_comparison_finds(
        first in prop::collection::vec(step(), 0..25),
        second in prop::collection::vec(step(), 0..12),
    ) {
        let bench = Bench::new();
        first.iter().for_each(|step| apply(&bench.source, step));
        let old = see(&bench);
        let a = bench.backup();
        second.iter().for_each(|step| apply(&bench.source, step));
        let new = see(&bench);
        let expected = naive(&old, &new);
        let (live, _) = run(&bench, &a, None).unwrap();
        let live = text(&live);
        let b = bench.backup();
        let (stored, report) = run(&bench, &a, Some(&b)).unwrap();
        let stored = text(&stored);
        prop_assert_eq!(without_moves(live, &old, &new), expected.clone(), "against the source");
        prop_assert_eq!(without_moves(stored, &old, &new), expected, "against a snapshot");
        prop_assert_eq!(report.problem_count, 0);
        let (none, _) = run(&bench, &b, None).unwrap();
        prop_assert_eq!(text(&none), Vec::<String>::new(), "nothing changed since");
        prop_assert!(bench.ears.problems.lock().unwrap().is_empty());
    }
}

#[test]
fn each_change_is_told_in_tree_order_with_its_bytes() {
    let bench = Bench::new();
    for (path, content) in [("z", "zz"), ("a", "same"), ("gone", "12345"), ("d/x", "x"), ("turns", "file")] {
        bench.write(path, content);
    }
    let a = bench.backup();
    bench.write("z", "other");
    fs::set_permissions(bench.source.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(bench.source.join("gone")).unwrap();
    fs::rename(bench.source.join("d/x"), bench.source.join("d/y")).unwrap();
    fs::remove_file(bench.source.join("turns")).unwrap();
    bench.write("turns/in", "abc");
    let expected = [
        "m docs time",
        "m docs/a mode",
        "- docs/gone",
        "c docs/z",
        "m docs/d time",
        "> docs/d/x docs/d/y",
        "k docs/turns",
        "+ docs/turns/in",
    ];
    let (live, _) = run(&bench, &a, None).unwrap();
    assert_eq!(text(&live), expected);
    let b = bench.backup();
    let (stored, report) = run(&bench, &a, Some(&b)).unwrap();
    assert_eq!(text(&stored), expected);
    let bytes = |path: &[u8]| stored.iter().find(|d| d.path == path).map(|d| (d.old_bytes, d.new_bytes)).unwrap();
    assert_eq!(bytes(b"docs/z"), (Some(2), Some(5)));
    assert_eq!(bytes(b"docs/gone"), (Some(5), None));
    assert_eq!(bytes(b"docs/turns"), (Some(4), None));
    assert_eq!(bytes(b"docs/turns/in"), (None, Some(3)));
    assert_eq!((report.removed.bytes, report.added.bytes, report.content.bytes, report.moved.bytes), (5, 3, 5, 1));
    assert_eq!(report.unchanged, 0);
}

#[test]
fn a_moved_folder_is_told_as_moved_with_what_is_in_it() {
    let bench = Bench::new();
    for n in 0..20 {
        bench.write(&format!("old/sub/{n}"), &n.to_string());
    }
    let a = bench.backup();
    fs::rename(bench.source.join("old"), bench.source.join("new")).unwrap();
    let (live, report) = run(&bench, &a, None).unwrap();
    assert_eq!((report.moved.entries, report.added.entries, report.removed.entries), (22, 0, 0), "{:?}", text(&live));
    let b = bench.backup();
    let (stored, _) = run(&bench, &a, Some(&b)).unwrap();
    assert!(text(&stored).contains(&"> docs/old/sub docs/new/sub".to_owned()));
    assert_eq!(text(&stored), text(&live));
}

#[test]
fn a_touched_file_with_the_same_content_differs_in_time_only() {
    let bench = Bench::new();
    bench.write("a", "content");
    let a = bench.backup();
    let file = fs::File::options().write(true).open(bench.source.join("a")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(text(&run(&bench, &a, None).unwrap().0), ["m docs/a time"]);
    // Stored again, with a digest of its own.
    let b = bench.backup();
    assert_eq!(text(&run(&bench, &a, Some(&b)).unwrap().0), ["m docs/a time"]);
}

#[test]
fn a_same_size_edit_with_the_time_put_back_is_found_in_the_source() {
    let bench = Bench::new();
    bench.write("a", "one");
    let mtime = fs::metadata(bench.source.join("a")).unwrap().modified().unwrap();
    let a = bench.backup();
    bench.write("a", "two");
    fs::File::options().write(true).open(bench.source.join("a")).unwrap().set_modified(mtime).unwrap();
    assert_eq!(text(&run(&bench, &a, None).unwrap().0), ["c docs/a"]);
}

#[test]
fn a_source_at_the_top_is_compared_at_the_top() {
    let mut bench = Bench::new();
    bench.root = true;
    bench.write("a", "1");
    let a = bench.backup();
    bench.write("b", "2");
    let expected = ["m  time", "+ b"];
    assert_eq!(text(&run(&bench, &a, None).unwrap().0), expected);
    let b = bench.backup();
    assert_eq!(text(&run(&bench, &a, Some(&b)).unwrap().0), expected);
}

#[test]
fn a_tree_deeper_than_the_handles_that_stay_open_is_compared() {
    let bench = Bench::new();
    let deep = vec!["d"; 120].join("/");
    bench.write(&format!("{deep}/x"), "1");
    let a = bench.backup();
    bench.write(&format!("{deep}/x"), "22");
    bench.write("d/d/e/y", "1");
    let (live, _) = run(&bench, &a, None).unwrap();
    let (x, y) = (format!("c docs/{deep}/x"), "+ docs/d/d/e/y".to_owned());
    assert_eq!(text(&live), ["m docs/d/d time".to_owned(), x, "+ docs/d/d/e".into(), y]);
}

#[test]
fn an_unreadable_folder_is_a_problem_and_not_removed() {
    let bench = Bench::new();
    bench.write("sub/a", "1");
    bench.write("b", "1");
    let a = bench.backup();
    let set = |mode| fs::set_permissions(bench.source.join("sub"), fs::Permissions::from_mode(mode)).unwrap();
    set(0);
    let is_root = fs::read_dir(bench.source.join("sub")).is_ok();
    let result = run(&bench, &a, None);
    set(0o755);
    if is_root {
        eprintln!("skipped: nothing is unreadable for root");
        return;
    }
    let (all, report) = result.unwrap();
    assert_eq!((text(&all), report.problem_count), (vec![], 1));
    assert!(bench.ears.problems.lock().unwrap()[0].starts_with("docs/sub could not be read"));
}

#[test]
fn what_a_snapshot_did_not_read_is_named_and_not_told_as_changed() {
    let bench = Bench::new();
    bench.write("b", "1");
    bench.write("file", "1");
    bench.write("sub/a", "1");
    let a = bench.backup_without(&["file", "sub"]);
    let b = bench.backup();
    let c = bench.backup_without(&["file", "sub"]);
    let problems = |old: &str, new: Option<&str>, changes: &[&str]| {
        let (all, report) = run(&bench, old, new).unwrap();
        assert_eq!(text(&all), changes);
        let named: Vec<_> = report.problems.iter().map(|p| String::from_utf8_lossy(&p.path).into_owned()).collect();
        assert_eq!(report.problem_count, named.len() as u64);
        named
    };
    assert_eq!(problems(&a, Some(&b), &["+ docs/sub/a"]), ["docs/file", "docs/sub"]);
    assert_eq!(problems(&a, None, &["+ docs/sub/a"]), ["docs/file", "docs/sub"]);
    assert_eq!(problems(&b, Some(&c), &[]), ["docs/file", "docs/sub"]);
    assert_eq!(problems(&b, None, &[]), [""; 0]);
}

#[test]
fn a_missing_source_is_an_error_and_not_all_removed() {
    let bench = Bench::new();
    bench.write("a", "1");
    let a = bench.backup();
    fs::rename(&bench.source, bench.source.with_extension("away")).unwrap();
    let error = run(&bench, &a, None).unwrap_err();
    assert!(error.to_string().starts_with("cannot open the source"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_damaged_record_is_an_error_that_names_the_snapshot() {
    let bench = Bench::new();
    bench.write("a", "1");
    let a = bench.backup();
    let b = bench.backup();
    bench.damage("test", &b);
    for (old, new) in [(&a, Some(&b[..])), (&b, Some(&a[..])), (&b, None)] {
        let error = run(&bench, old, new).unwrap_err();
        assert!(error.to_string().contains(&b), "{error}");
    }
    assert!(matches!(run(&bench, &a, Some("2001-01-01_00.00.00")), Err(Error::NotFound { .. })));
}

#[test]
fn what_the_rules_of_the_snapshot_leave_out_is_counted_and_not_added() {
    let bench = Bench::new();
    let excludes = Excludes {
        rules: ExcludeBuilder::new().file(b"*.txt\ncache/\n", "test").build().unwrap(),
        markers: DirectoryMarkers { if_present: vec![b".nobackup".to_vec()], ..DirectoryMarkers::default() },
    };
    for path in ["a", "b.txt", "cache/in/deep", "marked/in", "marked/.nobackup", "listed/x.tmp"] {
        bench.write(path, "x");
    }
    bench.write("listed/.hardbackignore", "*.tmp\n");
    bench.write("large", &"x".repeat(600));
    let options = BackupOptions { max_size_file_bytes: Some(500), ..BackupOptions::default() };
    let first = bench.backup_by("test", Seam::default(), &excludes, options);
    let (all, report) = run(&bench, &first, None).unwrap();
    assert_eq!((text(&all), report.left_out), (vec![], 5));
    // What the snapshot has is compared, whatever the rules say by now; what is new and not left out is added.
    bench.write("listed/y", "x");
    bench.write("new/z", "x");
    bench.write("new/z.txt", "x");
    bench.write(".hardbackignore", "a\n");
    bench.write("a", "other");
    let (all, report) = run(&bench, &first, None).unwrap();
    let expected = [
        "m docs time",
        "+ docs/.hardbackignore",
        "c docs/a",
        "m docs/listed time",
        "+ docs/listed/y",
        "+ docs/new",
        "+ docs/new/z",
    ];
    assert_eq!((text(&all), report.left_out), (expected.map(String::from).to_vec(), 6));
}
