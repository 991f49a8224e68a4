//! ZFS for the guest. It is no part of Debian's kernel: its modules are built of the sources that Debian has in its
//! section contrib, which is read beside the system's own lists. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::packages::{self, Outcome};
use crate::needed;
use crate::process::{command, find_program, output, run, workspace_root};

/// The sources of the modules, and the tools; the libraries that these need follow.
const PACKAGES: &[&str] = &["zfs-dkms", "zfsutils-linux"];
const FOLLOWED: &[&str] = &["lib"];

/// How the names begin of what is followed from the kernel's headers: its compiler is that of this machine.
const HEADERS_FOLLOWED: &[&str] = &["linux-headers-", "linux-kbuild-"];

/// What the modules are built with, besides the compiler that the headers name.
const BUILT_WITH: &[&str] = &["make", "gcc", "strip"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the modules are in the end, below the folder of the packages.
pub(super) const MODULES: &str = "modules";

/// A program for a test, and where it is in the end.
const MAPPED_SOURCE: &str = "xtask/guest/mapped.c";
pub(super) const MAPPED: &str = "mapped";

/// Written last; without it, or for another kernel, a folder is done again.
const STAMP: &str = "complete";

/// Builds the modules for a kernel below `dir`, unless that has been done, and the program of the tests.
pub(super) fn set_up(dir: &Path, kernel: &str) -> Result<Outcome> {
    let outcome = set_up_modules(dir, kernel)?;
    if let Outcome::Unpacked(root) = &outcome {
        let source = workspace_root().join(MAPPED_SOURCE);
        run(command("gcc").args(["-O1", "-static", "-o"]).arg(root.join(MAPPED)).arg(source))?;
    }
    Ok(outcome)
}

fn set_up_modules(dir: &Path, kernel: &str) -> Result<Outcome> {
    let root = dir.join("root");
    if fs::read_to_string(dir.join(STAMP)).is_ok_and(|done| done == kernel) {
        println!("    ZFS for {kernel}: {}", root.display());
        return Ok(Outcome::Unpacked(root));
    }
    if let Some(program) = BUILT_WITH.iter().find(|program| find_program(program).is_none()) {
        return Ok(Outcome::Missing(format!("there is no {program} to build it with")));
    }
    let Some(source) = source() else {
        return Ok(Outcome::Missing("this is no Debian, or its keys or lists are not there".into()));
    };
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    fs::create_dir_all(&root)?;
    let lists = needed::Lists::new(&dir.join("apt"), &source)?;
    let headers = [format!("linux-headers-{kernel}")];
    let fetched = lists
        .update()
        .and_then(|()| packages::download(&files, PACKAGES, FOLLOWED, &|names, dir| lists.download(names, dir)))
        .and_then(|()| packages::download(&files, &headers, HEADERS_FOLLOWED, &needed::apt_download));
    if let Err(error) = fetched {
        return Ok(Outcome::Missing(format!("Debian's packages of it cannot be fetched: {error:#}")));
    }
    for package in needed::package_files(&files)? {
        run(command("dpkg-deb").arg("-x").arg(package).arg(&root))?;
    }
    fs::remove_dir_all(&files)?;
    build(&root, kernel)?;
    fs::write(dir.join(STAMP), kernel)?;
    Ok(Outcome::Unpacked(root))
}

/// Where this machine has its release of Debian from, with the section that its own lists may lack.
fn source() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok().filter(|_| Path::new(KEYRING).is_file())?;
    let field =
        |name: &str| release.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_matches('"').to_owned()));
    field("ID=").filter(|id| id == "debian")?;
    let suite = field("VERSION_CODENAME=")?;
    let format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(CREATED_BY)";
    let targets = output(command("apt-get").args(["indextargets", "--format", format])).ok()?;
    source_among(&targets, &suite)
}

/// Picks the release among apt's lists of packages.
fn source_among(targets: &str, suite: &str) -> Option<String> {
    let place = targets.lines().find_map(|line| line.strip_suffix(&format!(" {suite} main Packages")))?;
    Some(format!("deb [signed-by={KEYRING}] {place} {suite} main contrib\n"))
}

/// Builds the modules, and leaves nothing else of their sources.
fn build(root: &Path, kernel: &str) -> Result<()> {
    let source = root.join("usr/src");
    let headers = source.join(format!("linux-headers-{kernel}"));
    // It names the folder where the package would be installed.
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile).with_context(|| format!("cannot read {}", makefile.display()))?;
    fs::write(&makefile, text.replace("/usr/src", &source.to_string_lossy()))?;
    let common = text.trim().strip_prefix("include /usr/src/").and_then(|rest| rest.strip_suffix("/Makefile"));
    let common = source.join(common.with_context(|| format!("{} includes something else", makefile.display()))?);
    let mut trees = Vec::new();
    for entry in fs::read_dir(&source)? {
        let path = entry?.path();
        trees.extend(path.join("configure").is_file().then_some(path));
    }
    let [zfs] = &trees[..] else { anyhow::bail!("not one ZFS was unpacked: {trees:?}") };
    println!("    building ZFS for {kernel}, which takes some minutes");
    let mut configure = command("./configure");
    configure.arg("--with-config=kernel").arg(format!("--with-linux={}", common.display()));
    output(configure.arg(format!("--with-linux-obj={}", headers.display())).current_dir(zfs))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    output(command("make").arg("-s").arg(format!("-j{jobs}")).current_dir(zfs))?;
    let modules = root.join(MODULES);
    fs::create_dir_all(&modules)?;
    let built = modules_below(&zfs.join("module"))?;
    ensure!(!built.is_empty(), "no module was built in {}", zfs.display());
    for module in built {
        let name = module.file_name().context("a module has no name")?;
        // Its symbols for debuggers are ten times as large as itself.
        run(command("strip").arg("-g").arg("-o").arg(modules.join(name)).arg(&module))?;
    }
    fs::remove_dir_all(source)?;
    Ok(())
}

fn modules_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(modules_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_release_is_that_of_the_systems_own_lists() {
        let targets = "http://a/security/ x-security main Packages\nhttp://a/debian/ x main DEP-11\n\
            http://a/debian/ x main Packages\n";
        let source = source_among(targets, "x").unwrap();
        assert!(source.ends_with("] http://a/debian/ x main contrib\n"), "{source}");
        assert_eq!(source_among(targets, "y"), None);
    }
}
