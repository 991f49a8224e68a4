//! Debian's current Rust (the packages it builds browsers with: rustc-web and
//! its kin), unpacked in a folder of our own. It comes with the source of the
//! standard library, so it can build one for Windows; rustup's own build of
//! that library would need a server that a build may not be able to reach.
//!
//! Nothing of it is installed: those packages exclude other Rust packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::needed;
use crate::process::{command, find_program, output, run};

/// What is unpacked; the libraries that these need of the same family follow.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-clippy", "rust-web-src", "libstd-rust-web-dev"];

/// How names of the family's versioned library begin (libstd-rust-web-1.96).
const LIBRARY_PREFIX: &str = "libstd-rust-web-";

/// Written last; without it a folder is half done and done again.
const STAMP: &str = "complete";

/// What became of it.
pub(super) enum Outcome {
    /// The toolchain is in this folder.
    Unpacked(PathBuf),
    /// It cannot be had here, for this reason.
    Missing(String),
}

/// Unpacks the toolchain under `dir`, unless that has been done.
pub(super) fn set_up(dir: &Path) -> Result<Outcome> {
    let root = dir.join("root");
    if dir.join(STAMP).is_file() && version(&root).is_ok() {
        println!("    Debian's Rust: {}", root.display());
        return Ok(Outcome::Unpacked(root));
    }
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        return Ok(Outcome::Missing(format!("no standard library for {}, and this is not Debian", super::TARGET)));
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let packages = dir.join("packages");
    fs::create_dir_all(&packages)?;
    fs::create_dir_all(&root)?;

    let needed_libraries = download(&packages)?;
    if let Some(why) = install_libraries(&needed_libraries)? {
        return Ok(Outcome::Missing(why));
    }
    for package in needed::package_files(&packages)? {
        run(command("dpkg-deb").arg("-x").arg(package).arg(&root))?;
    }
    let version = version(&root).context("Debian's Rust does not run")?;
    fs::remove_dir_all(&packages)?;
    fs::write(dir.join(STAMP), &version)?;
    println!("    unpacked {}", version.trim());
    Ok(Outcome::Unpacked(root))
}

/// The folder of the compiler's own shared libraries.
pub(super) fn library_dir(root: &Path) -> PathBuf {
    root.join("usr/lib/x86_64-linux-gnu")
}

fn version(root: &Path) -> Result<String> {
    ensure!(root.join("usr/bin/cargo").is_file(), "there is no cargo");
    output(command(root.join("usr/bin/rustc")).arg("--version").env("LD_LIBRARY_PATH", library_dir(root)))
}

/// Fetches the family into `dir`; returns the shared libraries that it needs
/// besides.
fn download(dir: &Path) -> Result<BTreeSet<String>> {
    if needed::why_not_installable().is_none() {
        needed::apt_update()?;
    }
    let mut wanted: Vec<String> = PACKAGES.iter().map(ToString::to_string).collect();
    let mut fetched = BTreeSet::new();
    let mut others = BTreeSet::new();
    while !wanted.is_empty() {
        needed::apt_download(&wanted, dir)?;
        fetched.extend(wanted.drain(..));
        for package in needed::package_files(dir)? {
            let depends = output(command("dpkg-deb").arg("-f").arg(package).arg("Depends"))?;
            for name in needed::first_alternatives(&depends) {
                if fetched.contains(name) || wanted.iter().any(|known| known == name) {
                    continue;
                }
                match name.starts_with(LIBRARY_PREFIX) {
                    true => wanted.push(name.to_owned()),
                    false => drop(others.insert(name.to_owned())),
                }
            }
        }
    }
    // The compiler's other needs (gcc, binutils) are those of the Rust that
    // built this xtask, so they are there, by whatever name.
    others.retain(|name| name.starts_with("lib") && !name.ends_with("-dev"));
    Ok(others)
}

/// Installs what is missing of `libraries`; says why where that cannot be done.
fn install_libraries(libraries: &BTreeSet<String>) -> Result<Option<String>> {
    let missing: Vec<_> = libraries.iter().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    if let Some(why) = needed::why_not_installable() {
        return Ok(Some(format!("packages {missing:?} are missing: {why}")));
    }
    needed::apt_install(&missing)?;
    Ok(None)
}

fn is_installed(package: &str) -> bool {
    output(command("dpkg-query").args(["-W", "-f", "${Status}", package]))
        .is_ok_and(|status| status.ends_with(" installed"))
}
