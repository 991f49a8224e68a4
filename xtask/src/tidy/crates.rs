//! Rules about the crates of the workspace.

use super::{Finding, Repository};

/// A crate, and those of ours that its product code may depend on.
struct Picture {
    name: &'static str,
    may_use: &'static [&'static str],
}

/// Dependencies point one way only.
const PICTURE: &[Picture] = &[
    Picture { name: "hardback", may_use: &["hardback-engine", "hardback-platform", "hardback-shadow"] },
    Picture { name: "hardback-engine", may_use: &["hardback-platform", "hardback-shadow"] },
    Picture { name: "hardback-shadow", may_use: &["hardback-platform"] },
    Picture { name: "hardback-platform", may_use: &[] },
    Picture { name: TESTING, may_use: &["hardback-engine", "hardback-platform", "hardback-shadow"] },
    Picture { name: "xtask", may_use: &[] },
];

/// What only tests may use, and any test may.
const TESTING: &str = "hardback-testing";

/// Every manifest keeps to the picture.
pub(super) fn dependency_direction(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts_ending("Cargo.toml") {
        let Some(name) = path
            .strip_suffix("/Cargo.toml")
            .and_then(|folder| folder.strip_prefix("crates/").or(Some(folder)))
            .filter(|folder| !folder.contains('/'))
        else {
            continue;
        };
        let Some(picture) = PICTURE.iter().find(|picture| picture.name == name) else {
            let message = "a crate that the picture of dependencies does not have";
            findings.push(Finding::new(path, 0, message));
            continue;
        };
        for dependency in dependencies(text) {
            let allowed =
                picture.may_use.contains(&dependency.name) || dependency.for_tests && dependency.name == TESTING;
            if !allowed {
                let message = format!("{name} may not depend on {}", dependency.name);
                findings.push(Finding::new(path, dependency.line, message));
            }
        }
    }
    findings
}

/// A dependency on a crate of ours.
struct Dependency<'t> {
    name: &'t str,
    line: usize,
    for_tests: bool,
}

/// The dependencies on crates of ours that a manifest declares: as keys of a
/// table (`[dependencies]`, `[target.'…'.dev-dependencies]`) or as a table
/// (`[dependencies.hardback-x]`).
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let is_ours = |name: &str| name == "hardback" || name.starts_with("hardback-");
    let mut found = Vec::new();
    // Whether the present table lists dependencies, and for tests only.
    let mut table = None;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        let named = if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let (for_tests, name) = split_header(header);
            table = for_tests;
            name
        } else {
            let end = |c: char| c == '.' || c == '=' || c.is_whitespace();
            line.split(end).next()
        };
        if let (Some(for_tests), Some(name)) = (table, named) {
            let name = name.trim_matches('"');
            if is_ours(name) {
                found.push(Dependency { name, line: index + 1, for_tests });
            }
        }
    }
    found
}

/// For the header of a dependency table whether it is for tests only, and the
/// dependency that it names itself.
fn split_header(header: &str) -> (Option<bool>, Option<&str>) {
    for (kind, for_tests) in [("dev-dependencies", true), ("build-dependencies", false), ("dependencies", false)] {
        if header == kind || header.ends_with(&format!(".{kind}")) {
            return (Some(for_tests), None);
        }
        if let Some((before, name)) = header.rsplit_once(&format!("{kind}."))
            && (before.is_empty() || before.ends_with('.'))
        {
            return (Some(for_tests), Some(name));
        }
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[track_caller]
    fn check(path: &str, manifest: &str, expected: &str) {
        assert_eq!(findings(dependency_direction, &[(path, manifest)]), expected);
    }

    #[test]
    fn a_dependency_that_points_up_is_found_however_it_is_written() {
        let path = "crates/hardback-platform/Cargo.toml";
        let found = "crates/hardback-platform/Cargo.toml:2: \
                     hardback-platform may not depend on hardback-engine";
        check(path, "[dependencies]\nhardback-engine.workspace = true\n", found);
        check(path, "[build-dependencies]\nhardback-engine = \"1\"\n", found);
        check(path, "[dev-dependencies]\nhardback-engine = { path = \"\" }\n", found);
        check(path, "\n[dependencies.hardback-engine]\n", found);
        check(path, "[target.'cfg(unix)'.dependencies]\n\"hardback-engine\" = \"1\"\n", found);
        check(path, "\n[target.'cfg(unix)'.dependencies.hardback-engine]\n", found);
    }

    #[test]
    fn the_testing_crate_is_for_tests_only() {
        let path = "crates/hardback/Cargo.toml";
        check(path, "[dev-dependencies]\nhardback-testing.workspace = true\n", "");
        check(
            path,
            "[dependencies]\nhardback-testing.workspace = true\n",
            "crates/hardback/Cargo.toml:2: hardback may not depend on hardback-testing",
        );
    }

    #[test]
    fn dependencies_that_point_down_and_other_tables_are_in_order() {
        check(
            "crates/hardback/Cargo.toml",
            "[package]\nname = \"hardback\"\n[dependencies]\nhardback-engine.workspace = true\n\
             anyhow = \"1\"\n[lints]\nhardback-testing = \"x\"\n",
            "",
        );
        check("Cargo.toml", "[workspace.dependencies]\nhardback-testing = \"1\"\n", "");
    }

    #[test]
    fn a_crate_that_is_not_in_the_picture_is_found() {
        check(
            "crates/hardback-cloud/Cargo.toml",
            "",
            "crates/hardback-cloud/Cargo.toml: \
             a crate that the picture of dependencies does not have",
        );
    }
}
