//! `cargo xtask guest`: what needs a kernel of its own (LVM, ZFS), in a virtual machine.
//!
//! The machine is made of Debian's packages: its kernel, the tools, and the
//! hardback of this workspace, in one initial file system. A script in it runs
//! the tests and tells on the console what became of each. It needs no KVM.

mod image;
mod machine;
mod packages;
mod verdict;
mod zfs;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use packages::Outcome;

use crate::needed;
use crate::process::{cargo, find_program, run, workspace_root};
use crate::steps::{Steps, no_skip_from_env};

/// The tests, which are a script for the guest.
const SCRIPT: &str = "xtask/guest/lvm.sh";
/// Those of ZFS, which go on where the others end.
const ZFS_SCRIPT: &str = "xtask/guest/zfs.sh";

/// Runs the tests in the guest; `cargo xtask guest NAME...` only some of them.
pub fn main(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new(no_skip_from_env());
    step(&mut steps, arguments);
    steps.finish()
}

/// The step of the nightly run.
pub fn step(steps: &mut Steps, only: &[String]) {
    steps.step("LVM and ZFS in a guest", |steps| {
        if let Some(why) = run_tests(steps, only)? {
            steps.skip("the tests of LVM and ZFS in a guest", why);
        }
        Ok(())
    });
}

/// Runs the tests; returns why they cannot be run here, if they cannot.
fn run_tests(steps: &mut Steps, only: &[String]) -> Result<Option<String>> {
    if let Some(why) = why_not()? {
        return Ok(Some(why));
    }
    let dir = workspace_root().join("target/guest");
    let root = match packages::set_up(&dir.join("packages"))? {
        Outcome::Unpacked(root) => root,
        Outcome::Missing(why) => return Ok(Some(why)),
    };
    run(cargo().args(["build", "-q", "-p", "hardback"]))?;
    let mut script = read_script(SCRIPT)?;
    let zfs = match zfs::set_up(&dir.join("zfs"), &image::kernel_version(&root)?)? {
        Outcome::Unpacked(zfs) => Some(zfs),
        Outcome::Missing(why) => {
            steps.skip("the tests of ZFS in a guest", why);
            None
        }
    };
    if zfs.is_some() {
        script.push_str(&read_script(ZFS_SCRIPT)?);
    }
    let tests: Vec<String> = verdict::tests_of(&script).into_iter().filter(|t| is_wanted(t, only)).collect();
    ensure!(!tests.is_empty(), "{SCRIPT} has no such test");
    let image = dir.join("initramfs");
    let parts = image::Parts { root: &root, zfs: zfs.as_deref(), hardback: &hardback()?, script: &script };
    let kernel = image::build(&parts, &image)?;
    let said = machine::run(&dir, &kernel, &image, only)?;
    verdict::judge(&tests, &said)?;
    Ok(None)
}

fn read_script(path: &str) -> Result<String> {
    fs::read_to_string(workspace_root().join(path)).with_context(|| format!("cannot read {path}"))
}

fn is_wanted(test: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|name| name == test)
}

fn hardback() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from);
    let program = target.join("debug/hardback");
    ensure!(program.is_file(), "cargo has built no {}", program.display());
    Ok(program)
}

/// Why there can be no guest here; installs the machine where that is possible.
fn why_not() -> Result<Option<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Some("the guest is made for x86-64".to_owned()));
    }
    for program in ["apt-get", "dpkg-deb"] {
        if find_program(program).is_none() {
            return Ok(Some(format!("there is no {program}: the guest is made of Debian's packages")));
        }
    }
    if find_program(machine::PROGRAM).is_none() {
        if let Some(why) = needed::why_not_installable() {
            return Ok(Some(format!("there is no {}: {why}", machine::PROGRAM)));
        }
        needed::apt_update()?;
        needed::apt_install(&[machine::PACKAGE])?;
    }
    Ok(None)
}
