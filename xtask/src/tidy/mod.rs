//! `cargo xtask tidy`: the house rules that no compiler checks. Also a test.
//!
//! Each rule is a function from the repository's files to findings, so that its
//! tests need no disk. To add one: write it, list it in [`RULES`], and test that
//! it fires.

mod crates;
mod documents;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{command, output, workspace_root};

/// One rule: what it finds wrong.
type Rule = fn(&Repository) -> Vec<Finding>;

const RULES: &[Rule] = &[
    sources::module_headers,
    sources::file_lengths,
    sources::unfinished_work,
    sources::machine_paths,
    sources::pure_modules,
    sources::written_over,
    crates::dependency_direction,
    documents::paths_exist,
    documents::glossary_defines_each_word_once,
];

/// Folders that are never part of the repository, for where git cannot tell.
const FOREIGN_DIRS: &[&str] = &[".git", "target"];

/// Something that is not in order.
#[derive(Debug)]
struct Finding {
    path: String,
    /// Counted from 1; 0 for the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// The files of the repository by their `/`-joined paths; the text of those
/// that are text.
struct Repository {
    files: BTreeMap<String, Option<String>>,
}

impl Repository {
    /// Reads what git tracks or would track; every file where git does not know
    /// this folder.
    fn read(root: &Path) -> Result<Self> {
        let paths = match tracked_paths(root) {
            Ok(paths) => paths,
            Err(_) => walk(root)?,
        };
        let mut files = BTreeMap::new();
        for path in paths {
            let full = root.join(&path);
            // Listed, but deleted in the work tree or not a file of its own.
            if full.is_symlink() || !full.is_file() {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| format!("cannot read {path}"))?;
            files.insert(path, String::from_utf8(bytes).ok());
        }
        ensure!(!files.is_empty(), "there is no file in {}", root.display());
        Ok(Self { files })
    }

    /// The text files, in order of their paths.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text files whose name ends in `suffix`.
    fn texts_ending(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(suffix))
    }

    /// Whether a file or a folder has this path.
    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let in_folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(in_folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&in_folder))
    }
}

fn tracked_paths(root: &Path) -> Result<Vec<String>> {
    let list = output(
        command("git")
            // The checkout may be another user's (a container, a CI).
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    Ok(list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                bail!("a name in {folder:?} is not UTF-8");
            };
            let path = format!("{folder}{name}");
            if !entry.file_type()?.is_dir() {
                paths.push(path);
            } else if !FOREIGN_DIRS.contains(&name.as_str()) {
                folders.push(format!("{path}/"));
            }
        }
    }
    Ok(paths)
}

/// Checks the workspace.
pub fn main(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "no arguments expected");
    check()
}

/// Applies every rule; prints what it finds.
pub fn check() -> Result<()> {
    let repository = Repository::read(workspace_root())?;
    let findings: Vec<_> = RULES.iter().flat_map(|rule| rule(&repository)).collect();
    for finding in &findings {
        println!("    {finding}");
    }
    ensure!(findings.is_empty(), "{} not in order", findings.len());
    println!("    {} files are in order", repository.files.len());
    Ok(())
}

/// The findings of `rule` on a repository of these files, one a line.
#[cfg(test)]
fn findings(rule: Rule, files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(path, text)| (path.to_string(), Some(text.to_string()))).collect();
    let found = rule(&Repository { files });
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        check().unwrap();
    }

    #[test]
    fn git_and_the_plain_walk_see_the_sources() {
        let root = workspace_root();
        assert!(walk(root).unwrap().contains(&"xtask/src/main.rs".into()));
        let repository = Repository::read(root).unwrap();
        assert!(repository.has("xtask/src/main.rs"));
        assert!(repository.has("xtask/src/"));
        assert!(!repository.has("xtask/sr"));
        assert!(!repository.has("target"));
    }
}
