//! Random patterns and paths, decided by `git check-ignore` and by us: the same rule must decide.
//!
//! Left out are the places where we differ on purpose (see `exclude/pattern.rs`): patterns that are errors here
//! become comments for git, `x**/y` is not made up, and names are ASCII because git's `?` takes a byte.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that runs git on a list in a temporary directory"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hardback_engine::exclude::{ExcludeBuilder, ExcludeError, ExcludeRules, PatternFault, RuleOrigin};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One run of git each: 3 ms alone, 50 ms on a busy machine.
const LISTS: u32 = 100;

/// Returns pieces of one name in a pattern.
fn name() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "a",
        "b",
        "b",
        "ab",
        "c",
        ".",
        "-",
        "*",
        "*",
        "?",
        "[ab]",
        "[!a]",
        "[^b]",
        "[a-c]",
        "[]a]",
        "[!]]",
        "[[:alpha:]]",
        "[[:digit:]b]",
        "[a-]",
        "[-a]",
        r"[\]a]",
        "[b/]",
        r"\*",
        r"\?",
        r"\[",
        r"\\",
        r"\!",
        r"\#",
        "{a,b}",
        "#",
        "!",
        " ",
        r"\ ",
        "+",
        "$",
        "^",
        "(",
        "|",
    ]);
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![4 => name(), 1 => Just("**".to_owned()), 1 => Just("*".to_owned())];
    let components = prop::collection::vec(component, 1..4);
    let prefix = prop::sample::select(vec!["", "", "", "!", "/", "!/", "**/"]);
    let suffix = prop::sample::select(vec!["", "", "", "/", "/**", " ", "  ", "\\ "]);
    (prefix, components, suffix)
        .prop_map(|(prefix, components, suffix)| format!("{prefix}{}{suffix}", components.join("/")))
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "ab", "ba", "aa", "abc", "a.b", "b-a"]).prop_map(str::to_owned),
        1 => "[ab*?\\\\{},#! +$^(|.-]{1,3}".prop_filter("no dots", |name| name != "." && name != ".."),
    ];
    let slash = prop::sample::select(vec!["", "/"]);
    (prop::collection::vec(name, 1..5), slash).prop_map(|(names, slash)| format!("{}{slash}", names.join("/")))
}

/// Tells whether git reads the pattern otherwise than its manual says.
///
/// It compares the part before the first wildcard as text, and what is left begins a pattern of its own: so `**`
/// counts as alone between slashes in `a**/b`.
fn is_shortened_by_git(pattern: &str) -> bool {
    let text = pattern.trim_start_matches('!');
    let first = text.find(['*', '?', '[', '\\']).unwrap_or(text.len());
    let (before, after) = text.split_at(first);
    after.starts_with("**") && !before.is_empty() && !before.ends_with('/')
}

/// Makes the directories that end in `/`, drops that `/`, and tells which paths are directories now.
///
/// git looks at the disk: it takes `a/` for something in the directory `a`.
fn make_directories(root: &Path, paths: &mut [String]) -> Vec<bool> {
    for path in paths.iter_mut() {
        if path.ends_with('/') {
            std::fs::create_dir_all(root.join(&path)).unwrap();
            path.pop();
        }
    }
    paths.iter().map(|path| root.join(path).is_dir()).collect()
}

/// Returns the line that decides for each path, according to git.
fn lines_by_git(repository: &Path, list: &str, paths: &[String], ignore_case: bool) -> Vec<Option<usize>> {
    let excludes = repository.join(".git/list");
    std::fs::write(&excludes, list).unwrap();
    let mut child = Command::new("git")
        .current_dir(repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", repository)
        .args(["-c", &format!("core.excludesFile={}", excludes.display())])
        .args(["-c", &format!("core.ignoreCase={ignore_case}")])
        .args(["check-ignore", "--no-index", "--verbose", "--non-matching", "--stdin", "-z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input: String = paths.iter().map(|path| format!("{path}\0")).collect();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = output.split_terminator('\0').collect();
    let records: Vec<&[&str]> = fields.chunks(4).collect();
    assert_eq!(records.iter().map(|record| record[3]).collect::<Vec<_>>(), paths, "{list:?}");
    records.iter().map(|record| record[1].parse().ok()).collect()
}

/// Returns the line that decides for a path, according to us.
fn line_by_us(rules: &ExcludeRules, path: &str, is_dir: bool) -> Option<usize> {
    match &rules.explain(path.as_bytes(), is_dir).verdict.rule()?.origin {
        RuleOrigin::File { line, .. } => Some(*line),
        other => panic!("{other}"),
    }
}

/// Makes comments of the lines that are errors here, and returns the rest compiled.
fn usable(mut lines: Vec<String>, ignore_case: bool) -> (String, ExcludeRules) {
    for line in &mut lines {
        let built = ExcludeBuilder::new().file(line.as_bytes(), "list").build();
        let fault = match built {
            Err(ExcludeError::BadPattern { fault, .. }) => Some(fault),
            _ => None,
        };
        assert!(!matches!(fault, Some(PatternFault::TooLong | PatternFault::NeedlessEscape(_))), "{line:?}");
        if fault.is_some() || is_shortened_by_git(line) {
            *line = "#".to_owned();
        }
    }
    let list = lines.join("\n");
    let rules = ExcludeBuilder::new().case_insensitive(ignore_case).file(list.as_bytes(), "list").build().unwrap();
    (list, rules)
}

fn compare(ignore_case: bool) {
    let repository = tempfile::tempdir().unwrap();
    let git = Command::new("git").args(["init", "--quiet"]).arg(repository.path()).status();
    if !git.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no git");
        return;
    }
    let lists = prop::collection::vec(pattern(), 1..8);
    let paths = prop::collection::vec(path(), 40);
    let mut runner = TestRunner::new(Config { cases: LISTS, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(lists, paths), |(lines, mut paths)| {
        if ignore_case {
            // Patterns stay in small letters: git never folds the letters inside [].
            paths.iter_mut().step_by(2).for_each(|path| *path = path.to_uppercase());
        }
        let (list, rules) = usable(lines, ignore_case);
        let root = repository.path().join("tree");
        std::fs::create_dir(&root).unwrap();
        std::fs::rename(repository.path().join(".git"), root.join(".git")).unwrap();
        let directories = make_directories(&root, &mut paths);
        let by_git = lines_by_git(&root, &list, &paths, ignore_case);
        std::fs::rename(root.join(".git"), repository.path().join(".git")).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        for ((path, is_dir), git) in paths.iter().zip(directories).zip(by_git) {
            let us = line_by_us(&rules, path, is_dir);
            prop_assert_eq!(
                git,
                us,
                "git and we decide {:?} (directory: {}) by different lines of\n{}",
                path,
                is_dir,
                list
            );
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_same_rule_decides_as_in_git() {
    compare(false);
}

#[test]
fn the_same_rule_decides_as_in_git_in_any_case() {
    compare(true);
}
