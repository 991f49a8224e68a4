//! The licences of what is linked into a program: every one of them asks that its text comes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{cargo, output};

/// How names of files with licences begin, in upper case.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// C sources that a crate brings along have their licence in a folder of their own.
const FOLDERS_OF_SOURCES: [&str; 1] = ["zstd"];

/// A text with all of them, for the program that is built for `target`.
pub(super) fn of_dependencies(target: &str) -> Result<String> {
    let metadata =
        output(cargo().args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = linked(&metadata, "hardback")?;
    let mut text = String::from(
        "hardback is MIT OR Apache-2.0. It is linked with the standard library of Rust (MIT OR Apache-2.0, The Rust\n\
         Project Developers) and with these packages.\n",
    );
    for package in packages.values() {
        let field = |name: &str| package[name].as_str().unwrap_or("unknown");
        text.push_str(&format!("\n{}\n{} {}: {}\n", "=".repeat(80), field("name"), field("version"), field("license")));
        let folder = Path::new(field("manifest_path")).parent().context("a manifest in no folder")?;
        let licences = texts(folder)?;
        if licences.is_empty() {
            text.push_str("The package brings no text of its licence.\n");
        }
        for licence in licences {
            text.push_str(&format!("\n{}\n", licence.trim_end()));
        }
    }
    Ok(text)
}

/// The packages that are linked into `program`, by name and version; ours are not among them.
fn linked<'m>(metadata: &'m Value, program: &str) -> Result<BTreeMap<String, &'m Value>> {
    let list = |value: &'m Value| value.as_array().map(Vec::as_slice).unwrap_or_default();
    let by_id = |values: &'m Value| -> BTreeMap<&'m str, &'m Value> {
        list(values).iter().filter_map(|value| Some((value["id"].as_str()?, value))).collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let is_program = |package: &Value| package["name"] == program && package["source"].is_null();
    let start = packages.iter().find(|(_, package)| is_program(package));
    let mut wanted: Vec<&str> = start.map(|(id, _)| *id).into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    while let Some(id) = wanted.pop() {
        if !seen.insert(id) {
            continue;
        }
        let package = packages.get(id).with_context(|| format!("cargo does not know {id}"))?;
        if !package["source"].is_null() {
            found.insert(format!("{} {}", package["name"], package["version"]), *package);
        }
        let node = nodes.get(id).with_context(|| format!("cargo did not resolve {id}"))?;
        for dependency in list(&node["deps"]) {
            // Not what builds or tests it.
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                wanted.extend(dependency["pkg"].as_str());
            }
        }
    }
    ensure!(!found.is_empty(), "cargo names no dependency of {program}");
    Ok(found)
}

/// The licences in the folder of a package.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let sources = FOLDERS_OF_SOURCES.iter().map(|name| folder.join(name)).filter(|folder| folder.is_dir());
    for folder in std::iter::once(folder.to_owned()).chain(sources) {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().to_uppercase();
            if entry.file_type()?.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        for path in paths {
            texts.push(String::from_utf8_lossy(&fs::read(path)?).into_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_named_with_its_licence_and_what_only_tests_is_not() {
        let text = of_dependencies(super::super::GLIBC).unwrap();
        assert!(text.contains("\nblake3 1."), "{text}");
        assert!(text.contains("Permission is hereby granted, free of charge"));
        assert!(!text.contains("\nproptest "), "proptest only tests");
        assert!(!text.contains("\ncc "), "cc only builds");
    }
}
