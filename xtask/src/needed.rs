//! The programs that the tests want besides Rust, and the Debian packages that
//! bring them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use crate::process::{self, command, find_program, run};
use crate::steps::Steps;

/// A Debian package, and the programs of which it must bring at least one.
struct Needed {
    package: &'static str,
    programs: &'static [&'static str],
    /// What cannot be tested without it.
    used_by: &'static str,
}

const fn needed(package: &'static str, programs: &'static [&'static str], used_by: &'static str) -> Needed {
    Needed { package, programs, used_by }
}

const NEEDED: &[Needed] = &[
    needed("rsync", &["rsync"], "tests that read trees with rsync"),
    needed("xfsprogs", &["mkfs.xfs"], "tests on XFS volumes"),
    needed("btrfs-progs", &["mkfs.btrfs"], "tests on Btrfs volumes"),
    needed("ntfs-3g", &["mkfs.ntfs", "mkntfs"], "tests on NTFS volumes"),
    needed("e2fsprogs", &["mkfs.ext4"], "tests on ext4 volumes"),
    needed("acl", &["setfacl"], "tests of access control lists"),
    needed("attr", &["setfattr"], "tests of extended attributes"),
    needed("libarchive-tools", &["bsdtar"], "tests with bsdtar"),
    needed("strace", &["strace"], "tests that count system calls"),
    needed("openssh-server", &["/usr/sbin/sshd"], "tests that pull by ssh"),
    needed("openssh-client", &["ssh"], "tests that pull by ssh"),
    needed("rsnapshot", &["rsnapshot"], "tests that pull with rsnapshot"),
    needed("dirvish", &["/usr/sbin/dirvish", "dirvish"], "tests that pull with dirvish"),
    needed("zip", &["zip"], "the release"),
    needed("zstd", &["zstd"], "tests that read manifests by other tools"),
    needed("gcc-mingw-w64-x86-64-win32", &["x86_64-w64-mingw32-gcc"], "the Windows build"),
    needed("g++-mingw-w64-x86-64-win32", &["x86_64-w64-mingw32-g++"], "the Windows build"),
    needed("wine", &["wine", "wine-stable"], "the tests on Windows"),
    needed("wine64", &["/usr/lib/wine/wine64", "wine64"], "the tests on Windows"),
];

impl Needed {
    fn is_present(&self) -> bool {
        self.programs.iter().any(|name| find_program(name).is_some())
    }
}

/// Installs what is missing where that is possible; notes the rest as skipped.
pub fn install_missing(steps: &mut Steps) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("    all {} packages are there", NEEDED.len());
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|needed| needed.package).collect();
    println!("    missing: {}", packages.join(" "));
    let result = match why_not_installable() {
        None => apt_update().and_then(|()| apt_install(&packages)),
        Some(why) => {
            println!("    cannot install: {why}");
            Ok(())
        }
    };
    for still in self::missing() {
        steps.skip(still.used_by, format!("package {} is missing", still.package));
    }
    result
}

/// Why packages cannot be installed here, if they cannot.
pub fn why_not_installable() -> Option<&'static str> {
    if find_program("apt-get").is_none() {
        Some("there is no apt-get")
    } else if !process::is_root() {
        Some("only root may install packages")
    } else {
        None
    }
}

/// Refreshes the package lists, once a run.
pub fn apt_update() -> Result<()> {
    static UPDATED: AtomicBool = AtomicBool::new(false);
    if !UPDATED.load(Ordering::Relaxed) {
        run(apt_get().args(["update", "-q"]))?;
        UPDATED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Installs `packages` without asking anything.
pub fn apt_install(packages: &[impl AsRef<str>]) -> Result<()> {
    run(apt_get().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages.iter().map(AsRef::as_ref)))
}

/// Fetches the package files of `packages` into `dir`.
pub fn apt_download(packages: &[String], dir: &Path) -> Result<()> {
    run(apt_get()
        // apt's own user need not be able to write where we unpack.
        .args(["-o", "APT::Sandbox::User=root", "download", "-q"])
        .args(packages)
        .current_dir(dir))
}

/// Lists of packages of our own, beside those of the system.
pub struct Lists {
    options: Vec<String>,
}

impl Lists {
    /// Makes the lists of `sources` (lines as in `sources.list`) in `dir`.
    pub fn new(dir: &Path, sources: &str) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let list = dir.join("sources.list");
        fs::write(&list, sources)?;
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let options = vec![
            option("Dir::Etc::sourcelist", &list),
            option("Dir::Etc::sourceparts", Path::new("/dev/null")),
            option("Dir::State::lists", &dir.join("lists")),
            option("Dir::Cache", &dir.join("cache")),
        ];
        Ok(Self { options })
    }

    /// Fetches the lists.
    pub fn update(&self) -> Result<()> {
        run(self.apt_get().args(["update", "-q"]))
    }

    /// Fetches the package files of `packages` into `dir`.
    pub fn download(&self, packages: &[String], dir: &Path) -> Result<()> {
        run(self.apt_get().args(["download", "-q"]).args(packages).current_dir(dir))
    }

    fn apt_get(&self) -> Command {
        let mut apt_get = apt_get();
        apt_get.args(["-o", "APT::Sandbox::User=root"]);
        apt_get.args(self.options.iter().flat_map(|option| ["-o", option]));
        apt_get
    }
}

/// The package files in `dir`.
pub fn package_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The names in a `Depends` field, of each `a | b` the first.
pub fn first_alternatives(depends: &str) -> impl Iterator<Item = &str> {
    depends.split(',').filter_map(|relation| {
        let end = |c: char| c.is_whitespace() || "(|:".contains(c);
        relation.trim().split(end).next().filter(|name| !name.is_empty())
    })
}

fn apt_get() -> Command {
    let mut apt_get = command("apt-get");
    apt_get
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A machine just started may still be updating itself.
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    apt_get
}

fn missing() -> Vec<&'static Needed> {
    NEEDED.iter().filter(|needed| !needed.is_present()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_present_when_any_of_its_programs_is() {
        assert!(needed("x", &["no-such-program-here", "sh"], "").is_present());
        assert!(!needed("x", &["no-such-program-here"], "").is_present());
    }

    #[test]
    fn dependencies_are_read_by_name_and_first_alternative() {
        let depends = "libc6 (>= 2.34), libstd-rust-web-1.96 (= 1.96.0), gcc | clang | \
                       c-compiler, python3:any, libllvm22\n";
        let names: Vec<_> = first_alternatives(depends).collect();
        assert_eq!(names, ["libc6", "libstd-rust-web-1.96", "gcc", "python3", "libllvm22"]);
        assert_eq!(first_alternatives("\n").count(), 0);
    }
}
