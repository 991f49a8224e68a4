//! Rules about source files.

use std::borrow::Cow;

use super::{Finding, Repository, documents};

/// A file longer than this is two files.
const LINES_MAX: usize = 800;

/// The modules that decide and do not act: values in, values out.
const PURE_MODULES: &[&str] = &["plan", "retention"];
const ENGINE_SOURCES: &str = "crates/hardback-engine/src/";

/// What a pure module may not mention.
const IMPURE: &[&str] = &["std::fs", "std::time", "SystemTime"];

/// The crate of which a pure module may use types only.
const PLATFORM: &str = "hardback_platform::";

/// Written in two parts, so that this file is in order.
const FIX_ME: &str = concat!("FIX", "ME");
const TO_DO: &str = concat!("TO", "DO");

/// Folders of somebody's machine.
const MACHINE_DIRS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];
const HOME_DIRS: &str = "/home/";

/// The one call that opens a file to write over what is in it, the folder that has it, and the one file that may use it.
const WRITE_OVER: &str = "open_file_to_write(";
const WRITE_OVER_MADE_IN: &str = "crates/hardback-platform/src/";
const WRITE_OVER_USED_IN: &str = "crates/hardback-engine/src/runs.rs";

/// Users of `/home/` in documents and examples who are nobody.
const EXAMPLE_USERS: &[&str] = &["you", "user", "anna", "annabel", "alice", "bob"];

/// Every product source says what it is.
pub(super) fn module_headers(repository: &Repository) -> Vec<Finding> {
    repository
        .texts_ending(".rs")
        .filter(|(path, text)| path.starts_with("crates/") && !text.starts_with("//!"))
        .map(|(path, _)| Finding::new(path, 1, "does not start with a `//!` module header"))
        .collect()
}

/// No source is longer than [`LINES_MAX`].
pub(super) fn file_lengths(repository: &Repository) -> Vec<Finding> {
    repository
        .texts_ending(".rs")
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| Finding::new(path, 0, format!("{lines} lines, more than {LINES_MAX}")))
        .collect()
}

/// Nothing is left to be fixed, and what is left to be done has an issue.
pub(super) fn unfinished_work(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts() {
        for (index, line) in text.lines().enumerate() {
            // A document may name the words, as code.
            let line = match path.ends_with(".md") {
                true => Cow::Owned(documents::without_code(line)),
                false => Cow::Borrowed(line),
            };
            if has_word(&line, FIX_ME).is_some() {
                findings.push(Finding::new(path, index + 1, format!("{FIX_ME}: fix it")));
            }
            if has_word(&line, TO_DO).is_some_and(|rest| !names_an_issue(rest)) {
                let message = format!("{TO_DO} without the number of an issue (#123)");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

/// Nothing that is stored is written over: the call for it has one user, and that is about a file of ours.
pub(super) fn written_over(repository: &Repository) -> Vec<Finding> {
    let may =
        |path: &str| path.starts_with(WRITE_OVER_MADE_IN) || path == WRITE_OVER_USED_IN || path.starts_with("xtask/");
    let mut findings = Vec::new();
    for (path, text) in repository.texts_ending(".rs").filter(|(path, _)| !may(path)) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains(WRITE_OVER)) {
            findings.push(Finding::new(path, index + 1, format!("`{}` writes over a file", line.trim())));
        }
    }
    findings
}

/// What follows the first `word` in `line` that is a word of its own.
fn has_word<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    line.match_indices(word).find_map(|(start, _)| {
        let rest = &line[start + word.len()..];
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let joined = line[..start].ends_with(part_of_word) || rest.starts_with(part_of_word);
        (!joined).then_some(rest)
    })
}

fn names_an_issue(text: &str) -> bool {
    text.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// No file knows where it was written.
pub(super) fn machine_paths(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(found) = machine_path(line) {
                let message = format!("names a folder of one machine ({found})");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

fn machine_path(line: &str) -> Option<String> {
    let starts_there = |start: usize| {
        let inside = |c: char| c.is_alphanumeric() || "_-.}*".contains(c);
        !line[..start].ends_with(inside)
    };
    for dir in MACHINE_DIRS {
        if line.match_indices(dir).any(|(start, _)| starts_there(start)) {
            return Some(dir.to_string());
        }
    }
    line.match_indices(HOME_DIRS).find_map(|(start, _)| {
        let (user, _) = line[start + HOME_DIRS.len()..].split_once('/')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let is_user = !user.is_empty() && user.chars().all(is_name);
        (starts_there(start) && is_user && !EXAMPLE_USERS.contains(&user)).then(|| format!("{HOME_DIRS}{user}/"))
    })
}

/// The modules that decide read no disk and no clock, and take only types from
/// the platform.
pub(super) fn pure_modules(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts_ending(".rs") {
        if !is_pure(path) {
            continue;
        }
        let code = without_comments(text);
        for (index, line) in code.lines().enumerate() {
            for impure in IMPURE {
                if line.contains(impure) {
                    let message = format!("mentions `{impure}`, but this module only decides");
                    findings.push(Finding::new(path, index + 1, message));
                }
            }
        }
        for (start, _) in code.match_indices(PLATFORM) {
            let line = code[..start].lines().count().max(1);
            for name in imported_names(&code[start + PLATFORM.len()..]) {
                if !is_type_name(name) {
                    let message = format!("takes `{name}` from the platform, which is no type");
                    findings.push(Finding::new(path, line, message));
                }
            }
        }
    }
    findings
}

fn is_pure(path: &str) -> bool {
    path.strip_prefix(ENGINE_SOURCES).is_some_and(|rest| {
        PURE_MODULES
            .iter()
            .any(|module| rest.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
    })
}

/// The text with comment lines emptied, so that line numbers stay.
fn without_comments(text: &str) -> String {
    let code = |line| match str::trim_start(line).starts_with("//") {
        true => "",
        false => line,
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// What a path or an import tree names after its crate: for `a::{B, c::D as E}`
/// it is `B` and `D`, for the path `metadata::Kind::File` it is `Kind`.
fn imported_names(tail: &str) -> Vec<&str> {
    let mut names = Vec::new();
    read_import(tail, &mut names);
    names
}

/// Reads one import tree into `names`; returns what follows it.
fn read_import<'t>(text: &'t str, names: &mut Vec<&'t str>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read_import(rest, names).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                Some(next) => return next.trim_start().trim_start_matches('}'),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let (name, rest) = split_name(text);
    match rest.strip_prefix("::") {
        // What follows a type are the type's own names.
        Some(own_names) if is_type_name(name) => {
            names.push(name);
            read_import(own_names, &mut Vec::new())
        }
        Some(inner) => read_import(inner, names),
        None => {
            names.push(name);
            match rest.trim_start().strip_prefix("as ") {
                Some(alias) => split_name(alias.trim_start()).1,
                None => rest,
            }
        }
    }
}

fn split_name(text: &str) -> (&str, &str) {
    let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == '*');
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// `CamelCase`: not a function, not a module, not a constant.
fn is_type_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_uppercase())
        && !name.contains('_')
        && (name.len() == 1 || name.contains(|c: char| c.is_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[test]
    fn a_source_without_a_module_header_is_found() {
        let files = [
            ("crates/a/src/lib.rs", "//! Fine.\n"),
            ("crates/a/src/bare.rs", "use x;\n//! Late.\n"),
            ("crates/a/src/empty.rs", ""),
            ("xtask/build.rs", "fn main() {}\n"),
        ];
        assert_eq!(
            findings(module_headers, &files),
            "crates/a/src/bare.rs:1: does not start with a `//!` module header\n\
             crates/a/src/empty.rs:1: does not start with a `//!` module header"
        );
    }

    #[test]
    fn only_a_source_above_the_limit_is_too_long() {
        let (at, above) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        let files =
            [("crates/a/at.rs", at.as_str()), ("crates/a/above.rs", above.as_str()), ("docs/long.md", above.as_str())];
        assert_eq!(findings(file_lengths, &files), "crates/a/above.rs: 801 lines, more than 800");
    }

    #[test]
    fn unfinished_work_is_found_unless_it_has_an_issue() {
        let code =
            format!("// {FIX_ME} soon\n// {TO_DO}: later\n// {TO_DO}(#12): later\n// see {TO_DO}S\n// {TO_DO} #x\n");
        let document = format!("No `{TO_DO}` here.\n{TO_DO} write this\n");
        let files = [("crates/a.rs", code.as_str()), ("a.md", document.as_str())];
        let found = findings(unfinished_work, &files);
        let places: Vec<_> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["a.md:2", "crates/a.rs:1", "crates/a.rs:2", "crates/a.rs:5"]);
    }

    #[test]
    fn who_writes_over_a_file_is_found() {
        let call = "fn f(dir: &Dir) {\n    dir.open_file_to_write(b\"x\");\n}\n";
        let files = [
            ("crates/hardback-engine/src/runs.rs", call),
            ("crates/hardback-platform/src/unix/dir.rs", call),
            ("crates/hardback-engine/src/backup/store.rs", call),
        ];
        assert_eq!(
            findings(written_over, &files),
            "crates/hardback-engine/src/backup/store.rs:2: `dir.open_file_to_write(b\"x\");` writes over a file"
        );
    }

    #[test]
    fn folders_of_one_machine_are_found_in_any_text() {
        let [first, second] = MACHINE_DIRS else { panic!("two machine folders") };
        let carol = concat!("/home/", "carol/");
        for (line, found) in [
            (format!("cd {first}.cargo"), true),
            (format!("\"{second}main\""), true),
            (format!("file://{carol}x"), true),
            (format!("crates{second}file"), false),
            (format!("${{dir}}{first}x"), false),
            ("/home/you/Pictures".to_owned(), false),
            ("/home/<name>/".to_owned(), false),
            ("/home/ is a folder".to_owned(), false),
        ] {
            let result = findings(machine_paths, &[("a.toml", &line)]);
            assert_eq!(!result.is_empty(), found, "{line}: {result}");
        }
    }

    #[test]
    fn a_deciding_module_that_touches_disk_or_clock_is_found() {
        let text = "//! No std::fs here.\nuse std::fs;\nuse std::time::Duration;\n";
        let files = [
            ("crates/hardback-engine/src/plan.rs", text),
            ("crates/hardback-engine/src/retention/rules.rs", text),
            ("crates/hardback-engine/src/planner.rs", text),
        ];
        let found = findings(pure_modules, &files);
        assert_eq!(found.lines().count(), 4, "{found}");
        assert!(found.contains("plan.rs:2: mentions `std::fs`"), "{found}");
        assert!(found.contains("rules.rs:3: mentions `std::time`"), "{found}");
        assert!(!found.contains("planner.rs"), "{found}");
    }

    #[track_caller]
    fn check_imports(code: &str, refused: &[&str]) {
        let found = findings(pure_modules, &[("crates/hardback-engine/src/plan.rs", code)]);
        assert_eq!(found.lines().count(), refused.len(), "{code}: {found}");
        for name in refused {
            assert!(found.contains(&format!("`{name}`")), "{code}: {found}");
        }
    }

    #[test]
    fn a_deciding_module_takes_only_types_from_the_platform() {
        check_imports("use hardback_platform::RelPath;", &[]);
        check_imports("use hardback_platform::metadata::{Kind, Metadata};", &[]);
        check_imports("use hardback_platform::{\n    RelPath,\n    times::Timestamp as Time,\n};\nfn x() {}", &[]);
        check_imports("let a = hardback_platform::RelPath::parse(b);", &[]);
        check_imports("fn f(a: &hardback_platform::Kind) -> u8 { b }", &[]);
        check_imports("use hardback_platform::link;", &["link"]);
        check_imports("use hardback_platform::link::hard_link;", &["hard_link"]);
        check_imports("use hardback_platform::{RelPath, copy::{copy, Mode}};", &["copy"]);
        check_imports("use hardback_platform::*;", &["*"]);
        check_imports("use hardback_platform::times::{self, Time};", &["self"]);
        check_imports("use hardback_platform::LINKS_MAX;", &["LINKS_MAX"]);
        check_imports("hardback_platform::remove(a, b);", &["remove"]);
        check_imports("use hardback_platform::Kind as hide;", &[]);
    }
}
