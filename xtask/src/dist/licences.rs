//! The licences of what is linked into a program: every one of them asks that its text comes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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
        "hardback is MIT OR Apache-2.0. It is linked with the standard library of Rust, whose licences are beside this\n\
         file, and with these packages.\n",
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

/// What a compiler brings along for its standard library, among its `documents`: Rust's own page, or what Debian wrote.
pub(super) fn of_standard_library(documents: &Path) -> Result<(String, PathBuf)> {
    let page = documents.join("rust/COPYRIGHT-library.html");
    if page.is_file() {
        return Ok(("rust-standard-library.html".to_owned(), page));
    }
    let missing = || format!("no licences of Rust's standard library in {}", documents.display());
    let mut packages = Vec::new();
    for entry in fs::read_dir(documents).with_context(missing)? {
        let path = entry?.path();
        let is_library = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libstd-rust-"));
        packages.extend(is_library.then(|| path.join("copyright")).filter(|copyright| copyright.is_file()));
    }
    packages.sort();
    Ok(("rust-standard-library.txt".to_owned(), packages.into_iter().next().with_context(missing)?))
}

/// What Debian wrote of the licences of a package from which C code is linked.
pub(super) fn of_debian_package(package: &str) -> Result<(String, PathBuf)> {
    let path = Path::new("/usr/share/doc").join(package).join("copyright");
    ensure!(path.is_file(), "no licences of {package}: there is no {}", path.display());
    Ok((format!("{package}.txt"), path))
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
    use crate::process::workspace_root;

    #[test]
    fn a_compiler_without_licences_is_told() {
        let place = workspace_root().join("target/dist-licences-test");
        fs::remove_dir_all(&place).ok();
        fs::create_dir_all(&place).unwrap();
        assert!(of_standard_library(&place).unwrap_err().to_string().contains("no licences"));
        for (folder, file, name) in [
            ("libstd-rust-1.80", "copyright", "rust-standard-library.txt"),
            ("rust", "COPYRIGHT-library.html", "rust-standard-library.html"),
        ] {
            fs::create_dir(place.join(folder)).unwrap();
            let path = place.join(folder).join(file);
            fs::write(&path, "MIT").unwrap();
            assert_eq!(of_standard_library(&place).unwrap(), (name.to_owned(), path));
        }
        assert!(of_debian_package("no-such-package").is_err());
    }

    #[test]
    fn what_is_linked_is_named_with_its_licence_and_what_only_tests_is_not() {
        let text = of_dependencies(super::super::GLIBC).unwrap();
        assert!(text.contains("\nblake3 1."), "{text}");
        assert!(text.contains("Permission is hereby granted, free of charge"));
        assert!(!text.contains("\nproptest "), "proptest only tests");
        assert!(!text.contains("\ncc "), "cc only builds");
    }
}
