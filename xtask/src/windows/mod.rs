//! `cargo xtask windows`: clippy and the tests of all product crates for
//! x86_64-pc-windows-gnu, the tests under Wine.
//!
//! The standard library for that target is rustup's where it is installed
//! (`rustup target add x86_64-pc-windows-gnu`). Elsewhere, on Debian, Debian's
//! own current Rust builds one from source: see [`debian`].

mod debian;
mod stand_in;
mod wine;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, cargo, command, find_program, run, workspace_root};
use crate::steps::{NO_SKIP, Steps, no_skip_from_env};
pub use stand_in::Wrong;
use wine::Wine;

/// The target: -gnu, because Microsoft's SDK cannot be had everywhere.
pub const TARGET: &str = "x86_64-pc-windows-gnu";

/// The C compiler and linker for [`TARGET`].
const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Set to take Debian's Rust even where rustup has the target: to try on a
/// developer's machine what a bare one does.
const DEBIAN_RUST: &str = "HARDBACK_XTASK_DEBIAN_RUST";

/// How long one test program may run under Wine before a merge.
const PROCESS_SECONDS_MAX: u32 = 300;

/// The build for Windows is for its tests alone: unoptimised dependencies and
/// no debug information make it three times as fast. The two that do the heavy
/// work are the exception. A name that leaves the dependencies only warns.
const PROFILE: &[&str] = &[
    "profile.dev.debug=0",
    r#"profile.dev.package."*".opt-level=0"#,
    "profile.dev.package.blake3.opt-level=2",
    "profile.dev.package.zstd-sys.opt-level=2",
];

/// The packages of the product.
const ALL: &[&str] = &["--workspace", "--exclude", "xtask"];

/// What is refused when clippy is Debian's, which may be newer than ours: what
/// we chose ourselves. With `-D warnings`, a lint that tomorrow's clippy adds
/// would fail today's commit. Levels of deny in Cargo.toml hold in any case.
const REFUSED_BY_ANY_CLIPPY: &[&str] = &["unused", "missing_docs", "unreachable_pub", "clippy::too_many_lines"];

/// Whether this machine can build and test for Windows.
pub enum Setup {
    /// It can.
    Ready(Toolchain),
    /// It cannot, for this reason.
    Missing(String),
}

/// A cargo that builds for Windows, and a Wine that runs what it built.
pub struct Toolchain {
    compiler: Compiler,
    wine: Wine,
}

enum Compiler {
    /// The one that runs this xtask, with an installed standard library.
    Own,
    /// Debian's, unpacked here, which builds the standard library as well.
    Debian { root: PathBuf },
}

/// Runs the Windows part alone, or prepares it.
pub fn main(arguments: &[String]) -> Result<()> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut run = Steps::new(no_skip_from_env());
    match words[..] {
        [] => steps(&mut run),
        ["setup"] => drop(set_up_step(&mut run)),
        ["wrong-stand-ins"] => {
            if let Some(toolchain) = set_up_step(&mut run) {
                run.step("stand-ins for vssapi.dll that are wrong", |_| toolchain.wrong_stand_ins(Wrong::All));
            }
        }
        _ => bail!("usage: cargo xtask windows [setup|wrong-stand-ins]"),
    }
    run.finish()
}

/// The steps of the Windows part.
pub fn steps(steps: &mut Steps) {
    let Some(toolchain) = set_up_step(steps) else {
        return;
    };
    steps.step("clippy for Windows", |_| run(&mut toolchain.clippy()));
    steps.step("tests on Windows (Wine)", |steps| {
        let mut tests = toolchain.tests(PROCESS_SECONDS_MAX);
        if steps.no_skip() {
            tests.env(NO_SKIP, "1");
        }
        run(&mut tests)
    });
    steps.step("stand-ins for vssapi.dll that are wrong", |_| toolchain.wrong_stand_ins(Wrong::Some));
}

fn set_up_step(steps: &mut Steps) -> Option<Toolchain> {
    let mut ready = None;
    steps.step("Windows toolchain", |steps| {
        match set_up()? {
            Setup::Ready(toolchain) => ready = Some(toolchain),
            Setup::Missing(why) => steps.skip("clippy and tests for Windows", why),
        }
        Ok(())
    });
    ready
}

/// Finds or prepares all that the Windows part needs.
pub fn set_up() -> Result<Setup> {
    if find_program(LINKER).is_none() {
        return Ok(Setup::Missing(format!("there is no {LINKER}")));
    }
    let Some(programs) = wine::Programs::find() else {
        return Ok(Setup::Missing("there is no 64-bit Wine".to_owned()));
    };
    let compiler = match own_standard_library()? {
        Some(dir) => {
            println!("    standard library: {}", dir.display());
            Compiler::Own
        }
        None => match debian::set_up(&target_dir().join("windows-toolchain"))? {
            debian::Outcome::Unpacked(root) => Compiler::Debian { root },
            debian::Outcome::Missing(why) => return Ok(Setup::Missing(why)),
        },
    };
    let wine = Wine::set_up(programs, &target_dir().join("wine"))?;
    stand_in::install(&wine.system_dir())?;
    Ok(Setup::Ready(Toolchain { compiler, wine }))
}

/// Where our own compiler keeps its standard library for Windows, if it has one
/// and is to use it.
fn own_standard_library() -> Result<Option<PathBuf>> {
    if env::var_os(DEBIAN_RUST).is_some() {
        return Ok(None);
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let line = process::output(command(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
    let dir = PathBuf::from(line.trim());
    Ok(dir.is_dir().then_some(dir))
}

fn target_dir() -> PathBuf {
    workspace_root().join("target")
}

impl Toolchain {
    /// The lints for Windows.
    pub fn clippy(&self) -> Command {
        let mut clippy = self.cargo("clippy", ALL);
        clippy.args(["--all-targets", "--"]);
        match self.compiler {
            Compiler::Own => clippy.args(["-D", "warnings"]),
            Compiler::Debian { .. } => clippy.args(REFUSED_BY_ANY_CLIPPY.iter().flat_map(|lint| ["-D", lint])),
        };
        clippy
    }

    /// The tests of every product crate, each program under Wine and ended
    /// after `process_seconds_max`.
    pub fn tests(&self, process_seconds_max: u32) -> Command {
        let mut tests = self.cargo("test", ALL);
        tests.arg("--no-fail-fast");
        self.under_wine(&mut tests, process_seconds_max);
        tests
    }

    /// The build of `hardback.exe` as it is given away, with `settings` of
    /// cargo's; and where it is then.
    pub fn release(&self, settings: &[String]) -> (Command, PathBuf) {
        let mut build = self.bare_cargo("build");
        build
            .args(["--release", "--locked", "--package", "hardback"])
            .args(settings.iter().flat_map(|setting| ["--config", setting]));
        (build, target_dir().join("windows").join(TARGET).join("release/hardback.exe"))
    }

    /// Where the compiler that builds for Windows has its documents, the
    /// licences of its standard library among them.
    pub fn documents(&self) -> Result<PathBuf> {
        match &self.compiler {
            Compiler::Own => process::rust_documents(),
            Compiler::Debian { root } => Ok(root.join("usr/share/doc")),
        }
    }

    /// What `program` says under Wine when it is called with `arguments`.
    pub fn output(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        self.wine.output(program, arguments, PROCESS_SECONDS_MAX)
    }

    fn cargo(&self, subcommand: &str, packages: &[&str]) -> Command {
        let mut cargo = self.bare_cargo(subcommand);
        cargo.args(packages).args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
        cargo
    }

    /// Lets a cargo run what it builds under Wine.
    fn under_wine(&self, cargo: &mut Command, process_seconds_max: u32) {
        cargo
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", self.wine.runner(process_seconds_max))
            .envs(self.wine.environment())
            // Wine is not Windows: lets a test say what it does not believe.
            .env("HARDBACK_TEST_WINE", "1")
            .env("HARDBACK_TEST_VSS_STANDIN", "1");
    }

    fn bare_cargo(&self, subcommand: &str) -> Command {
        let mut cargo = match &self.compiler {
            Compiler::Own => cargo(),
            Compiler::Debian { root } => debian_cargo(root),
        };
        cargo
            .args([subcommand, "--target", TARGET])
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER)
            .env("CARGO_TARGET_DIR", target_dir().join("windows"));
        if matches!(self.compiler, Compiler::Debian { .. }) {
            cargo.arg("-Zbuild-std");
        }
        cargo
    }
}

/// Debian's cargo in `root`, cleaned of what our own cargo and rustup have put
/// into the environment.
fn debian_cargo(root: &Path) -> Command {
    let mut cargo = command(root.join("usr/bin/cargo"));
    cargo
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("PATH", path_with(&root.join("usr/bin")))
        .env("LD_LIBRARY_PATH", debian::library_dir(root))
        .env("RUSTC", root.join("usr/bin/rustc"))
        .env("RUSTDOC", root.join("usr/bin/rustdoc"))
        // -Zbuild-std is not stable.
        .env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// `PATH` with `first` in front: `cargo clippy` looks for `cargo-clippy` there,
/// and must not find rustup's.
fn path_with(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use yaml_rust2::YamlLoader;

    #[test]
    fn the_workflow_for_hosted_runners_parses_and_pins_its_actions() {
        let text = std::fs::read_to_string(workspace_root().join(".github/workflows/windows.yml")).unwrap();
        assert!(text.starts_with("# Not run where hardback is developed"), "it says that nobody here has run it");
        let [workflow] = &YamlLoader::load_from_str(&text).unwrap()[..] else { panic!("not one document") };
        let job = &workflow["jobs"]["windows"];
        assert_eq!(job["runs-on"].as_str(), Some("windows-latest"));
        assert_eq!(job["env"]["RUSTUP_TOOLCHAIN"].as_str(), Some(format!("stable-{TARGET}").as_str()));
        let steps = job["steps"].as_vec().unwrap();
        let commands: String = steps.iter().filter_map(|step| step["run"].as_str()).collect();
        assert!(commands.contains("cargo test --workspace") && commands.contains("hardback.exe selftest"));
        let actions: Vec<_> = steps.iter().filter_map(|step| step["uses"].as_str()).collect();
        assert_eq!(actions.len(), 2);
        for action in actions {
            let (_, version) = action.split_once("@v").unwrap();
            assert_eq!(version.split('.').count(), 3, "{action} is not one version");
        }
    }
}
