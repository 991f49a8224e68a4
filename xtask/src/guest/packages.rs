//! The guest's programs and kernel: Debian's packages, fetched and unpacked in
//! a folder of our own. Nothing is installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::needed;
use crate::process::{command, output, run};

/// What is unpacked; the libraries that these need follow, and so does the
/// kernel that the first stands for.
const PACKAGES: &[&str] = &[
    "linux-image-amd64",
    "btrfs-progs",
    "busybox-static",
    "dmsetup",
    "e2fsprogs",
    "lvm2",
    "thin-provisioning-tools",
    "xfsprogs",
    // For hardback itself.
    "libc6",
    "libgcc-s1",
];

/// How the names begin of what follows.
const FOLLOWED: &[&str] = &["lib", "linux-image-"];

/// Written last; without it, or with other packages, a folder is done again.
const STAMP: &str = "complete";

/// What became of it.
pub(super) enum Outcome {
    /// The packages are in this folder.
    Unpacked(PathBuf),
    /// They cannot be had here, for this reason.
    Missing(String),
}

/// Unpacks the packages below `dir`, unless that has been done.
pub(super) fn set_up(dir: &Path) -> Result<Outcome> {
    let root = dir.join("root");
    let stamp = PACKAGES.join(" ");
    if fs::read_to_string(dir.join(STAMP)).is_ok_and(|done| done == stamp) {
        println!("    Debian's packages: {}", root.display());
        return Ok(Outcome::Unpacked(root));
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    fs::create_dir_all(&root)?;
    let updated = match needed::why_not_installable() {
        None => needed::apt_update(),
        Some(_) => Ok(()),
    };
    let fetched = updated.and_then(|()| download(&files, PACKAGES, FOLLOWED, &needed::apt_download));
    if let Err(error) = fetched {
        return Ok(Outcome::Missing(format!("Debian's packages cannot be fetched: {error:#}")));
    }
    for package in needed::package_files(&files)? {
        run(command("dpkg-deb").arg("-x").arg(package).arg(&root))?;
    }
    fs::remove_dir_all(&files)?;
    fs::write(dir.join(STAMP), stamp)?;
    Ok(Outcome::Unpacked(root))
}

/// Fetches the packages, and what they need of the kinds that are followed.
pub(super) fn download(
    dir: &Path,
    packages: &[impl AsRef<str>],
    followed: &[&str],
    fetch: &dyn Fn(&[String], &Path) -> Result<()>,
) -> Result<()> {
    let mut wanted: Vec<String> = packages.iter().map(|name| name.as_ref().to_owned()).collect();
    let mut fetched = BTreeSet::new();
    while !wanted.is_empty() {
        fetch(&wanted, dir)?;
        fetched.extend(wanted.drain(..));
        for package in needed::package_files(dir)? {
            for field in ["Depends", "Pre-Depends"] {
                let relations = output(command("dpkg-deb").arg("-f").arg(&package).arg(field))?;
                for name in needed::first_alternatives(&relations) {
                    let is_followed = followed.iter().any(|prefix| name.starts_with(prefix));
                    if is_followed && !fetched.contains(name) && !wanted.iter().any(|known| known == name) {
                        wanted.push(name.to_owned());
                    }
                }
            }
        }
    }
    Ok(())
}
