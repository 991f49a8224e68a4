//! Rules about documents.

use std::collections::BTreeMap;

use super::{Finding, Repository};

/// How a word in backticks begins that is a path in this repository.
const REPOSITORY_DIRS: &[&str] = &["crates/", "docs/", "xtask/", ".ci/"];

const GLOSSARY: &str = "docs/glossary.md";

/// Every path that a document names is there.
pub(super) fn paths_exist(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (document, text) in repository.texts_ending(".md") {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut in_block = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
                continue;
            }
            if in_block {
                continue;
            }
            let in_code = code_spans(line).filter_map(code_path).map(str::to_owned);
            let prose = without_code(line);
            let linked = link_targets(&prose).filter_map(|target| resolve(folder, target));
            for path in in_code.chain(linked) {
                if !repository.has(&path) {
                    let message = format!("names `{path}`, which is not there");
                    findings.push(Finding::new(document, index + 1, message));
                }
            }
        }
    }
    findings
}

/// What stands between backticks in `line`.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// `line` with what stands between backticks left out.
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The repository's path that a code span begins with: without arguments, line
/// number or item, and not when it is a pattern.
fn code_path(code: &str) -> Option<&str> {
    let word = code.split_whitespace().next()?;
    let path = word.split(':').next()?;
    let is_ours = REPOSITORY_DIRS.iter().any(|dir| path.starts_with(dir));
    let is_pattern = path.contains(|c: char| "*<>{}[]…$".contains(c)) || path.contains("NNN");
    (is_ours && !is_pattern).then_some(path)
}

/// The targets of `[text](target)` and `[text]: target`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        target.split_whitespace().next()
    });
    let definition = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, target)| target.split_whitespace().next());
    inline.chain(definition)
}

/// The path in the repository of a link in a document in `folder`; none for a
/// link elsewhere. A path that leads out of the repository stays as it is, and
/// so is not there.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let target = target.trim_matches(|c| c == '<' || c == '>');
    let path = target.split('#').next().filter(|path| !path.is_empty())?;
    if path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Some(path.to_owned()),
            ".." => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The glossary, once there is one, defines something, and each word once.
pub(super) fn glossary_defines_each_word_once(repository: &Repository) -> Vec<Finding> {
    let Some(text) = repository.texts().find(|(path, _)| *path == GLOSSARY) else {
        return Vec::new();
    };
    let mut first_lines = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, line) in text.1.lines().enumerate() {
        let Some(word) = defined_word(line) else {
            continue;
        };
        if let Some(first) = first_lines.insert(word.to_lowercase(), index + 1) {
            let message = format!("defines \"{word}\" again (line {first})");
            findings.push(Finding::new(GLOSSARY, index + 1, message));
        }
    }
    if first_lines.is_empty() {
        let message = "defines no word (rows like `| **word** | … |`)";
        findings.push(Finding::new(GLOSSARY, 0, message));
    }
    findings
}

fn defined_word(line: &str) -> Option<&str> {
    let cell = line.trim_start().strip_prefix('|')?.split('|').next()?;
    let word = cell.trim().strip_prefix("**")?.strip_suffix("**")?;
    Some(word.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[track_caller]
    fn check_paths(line: &str, missing: &[&str]) {
        let files = [("README.md", ""), ("crates/a/src/lib.rs", ""), ("docs/design/001-x.md", line)];
        let expected: Vec<_> =
            missing.iter().map(|path| format!("docs/design/001-x.md:1: names `{path}`, which is not there")).collect();
        assert_eq!(findings(paths_exist, &files), expected.join("\n"), "{line}");
    }

    #[test]
    fn a_path_in_backticks_that_is_not_there_is_found() {
        check_paths("see `crates/a/src/lib.rs` and `crates/a/`", &[]);
        check_paths("see `crates/a/src/lib.rs:12` and `docs/design`", &[]);
        check_paths("see `crates/a/src/gone.rs`, `.ci/run --now`", &["crates/a/src/gone.rs", ".ci/run"]);
        check_paths("`crates/*/src`, `docs/<name>.md`, `docs/NNN-title.md`", &[]);
        check_paths("`src/main.rs` and plain crates/gone", &[]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        check_paths("[a](../../README.md#top \"title\") [b](001-x.md)", &[]);
        check_paths("[a](https://example.org/x) [b](#here) [c](mailto:a@b)", &[]);
        check_paths("[a](gone.md)", &["docs/design/gone.md"]);
        check_paths("[a]: ../gone.md", &["docs/gone.md"]);
        check_paths("[a](../../../out.md)", &["../../../out.md"]);
        check_paths("as code: `[a](gone.md)`", &[]);
    }

    #[test]
    fn examples_in_a_block_are_not_checked() {
        check_paths("", &[]);
        let text = "```\n[a](gone.md) `docs/gone`\n```\n[a](gone.md)\n";
        assert_eq!(findings(paths_exist, &[("a.md", text)]), "a.md:4: names `gone.md`, which is not there");
    }

    #[test]
    fn a_word_defined_twice_is_found() {
        let text = "| word | means |\n|---|---|\n| **job** | a |\n| **base** | b |\n| **Job** | c |\n";
        assert_eq!(
            findings(glossary_defines_each_word_once, &[(GLOSSARY, text)]),
            "docs/glossary.md:5: defines \"Job\" again (line 3)"
        );
    }

    #[test]
    fn a_glossary_without_a_word_is_found_and_none_is_not() {
        let empty = [(GLOSSARY, "| job | a |\n")];
        assert!(findings(glossary_defines_each_word_once, &empty).contains("no word"));
        assert_eq!(findings(glossary_defines_each_word_once, &[]), "");
    }
}
