//! A Wine of the tests' own: its prefix is under `target/`, it shows no window,
//! and it ends with the run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::LINKER;
use crate::process::{command, find_program, output, run, workspace_root};

/// How long Wine may take to make its prefix.
const PREFIX_SECONDS_MAX: u32 = 300;

/// How long a program that was asked to end may take to do so.
const KILL_SECONDS: u32 = 10;

/// Between two programs Wine's server stays, which spares each program half a
/// second; after this long without any it goes by itself.
const SERVER_SECONDS: u32 = 300;

/// Our own vssapi.dll (see `stand_in`); no debugger, no desktop menus,
/// no .NET and no browser, which would ask to be downloaded.
const DLL_OVERRIDES: &str = "vssapi=n;winedbg.exe=d;winemenubuilder.exe=d;mscoree,mshtml=";

/// Rust's standard library imports it; Wine before 9 lacks it.
const PRNG_DLL: &str = "bcryptprimitives.dll";
const PRNG_SOURCE: &str = "xtask/windows/bcryptprimitives.c";

/// In the prefix, when it is complete: of which Wine and shim it is made.
const STAMP: &str = "hardback-complete";

/// Wine's two programs.
pub(super) struct Programs {
    loader: PathBuf,
    server: PathBuf,
}

impl Programs {
    /// Finds them; Debian keeps the loader for 64 bits out of `PATH`.
    pub(super) fn find() -> Option<Self> {
        let first = |names: &[&str]| names.iter().find_map(|name| find_program(name));
        Some(Self {
            loader: first(&["/usr/lib/wine/wine64", "wine64", "wine"])?,
            server: first(&["/usr/lib/wine/wineserver64", "wineserver"])?,
        })
    }
}

/// A prefix ready for tests, and the server that keeps it warm.
pub(super) struct Wine {
    programs: Programs,
    prefix: PathBuf,
}

impl Wine {
    /// Makes the prefix, unless it is there, and starts its server.
    pub(super) fn set_up(programs: Programs, prefix: &Path) -> Result<Self> {
        let wine = Self { programs, prefix: prefix.to_owned() };
        let stamp = wine.expected_stamp()?;
        let stamp_path = prefix.join(STAMP);
        if !fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
            wine.make_prefix()?;
            fs::write(&stamp_path, stamp)?;
        }
        println!("    Wine prefix: {}", prefix.display());
        wine.start_server()?;
        Ok(wine)
    }

    /// What runs a program, as cargo wants it: words apart by spaces.
    pub(super) fn runner(&self, process_seconds_max: u32) -> OsString {
        let mut runner = OsString::from(format!("timeout -k {KILL_SECONDS} {process_seconds_max} "));
        runner.push(&self.programs.loader);
        runner
    }

    /// What `program` says when it is called with `arguments`.
    pub(super) fn output(&self, program: &Path, arguments: &[&str], seconds_max: u32) -> Result<String> {
        let mut timeout = command("timeout");
        timeout
            .args(["-k", &KILL_SECONDS.to_string(), &seconds_max.to_string()])
            .arg(&self.programs.loader)
            .arg(program)
            .args(arguments)
            .envs(self.environment())
            .env_remove("DISPLAY");
        output(&mut timeout)
    }

    /// The environment that programs run in.
    pub(super) fn environment(&self) -> [(&'static str, OsString); 4] {
        [
            ("WINEPREFIX", self.prefix.clone().into()),
            ("WINEARCH", "win64".into()),
            ("WINEDEBUG", "-all".into()),
            ("WINEDLLOVERRIDES", DLL_OVERRIDES.into()),
        ]
    }

    /// The folder that Windows' own libraries are in.
    pub(super) fn system_dir(&self) -> PathBuf {
        self.prefix.join("drive_c/windows/system32")
    }

    fn expected_stamp(&self) -> Result<String> {
        let version = output(command(&self.programs.loader).arg("--version"))?;
        let source = fs::read_to_string(workspace_root().join(PRNG_SOURCE))
            .with_context(|| format!("cannot read {PRNG_SOURCE}"))?;
        Ok(format!("{version}{source}"))
    }

    fn make_prefix(&self) -> Result<()> {
        if self.prefix.exists() {
            self.stop_server();
            fs::remove_dir_all(&self.prefix).with_context(|| format!("cannot empty {}", self.prefix.display()))?;
        }
        fs::create_dir_all(&self.prefix)?;
        let mut boot = command("timeout");
        boot.args(["-k", &KILL_SECONDS.to_string()])
            .arg(PREFIX_SECONDS_MAX.to_string())
            .arg(&self.programs.loader)
            .args(["wineboot", "--init"]);
        run(self.silently(&mut boot))?;
        // Wine writes its registry when the last of its processes is gone.
        run(self.silently(command(&self.programs.server).arg("--wait")))?;
        let system_dir = self.system_dir();
        ensure!(system_dir.join("kernel32.dll").exists(), "wineboot left no {}", system_dir.display());
        let dll = system_dir.join(PRNG_DLL);
        if !dll.exists() {
            run(command(LINKER)
                .args(["-shared", "-O2", "-Wall", "-Werror", "-o"])
                .arg(&dll)
                .args([PRNG_SOURCE, "-ladvapi32"]))?;
        }
        Ok(())
    }

    /// Starts the server and, by a first program, Windows' services.
    ///
    /// Silently: they outlive the first program, and would hold open whatever
    /// pipe a test writes to.
    fn start_server(&self) -> Result<()> {
        let persist = format!("--persistent={SERVER_SECONDS}");
        // It refuses when one is running already, of a run that was killed; the
        // program below shows whether that one works.
        let _running_already = self.silently(command(&self.programs.server).arg(persist)).status();
        let mut first = command(&self.programs.loader);
        first.args(["cmd", "/c", "exit"]);
        run(self.silently(&mut first)).context("Wine does not run the simplest program")
    }

    fn stop_server(&self) {
        // Nothing to do when it fails: it is not running, or will end itself.
        let _not_running = self.silently(command(&self.programs.server).arg("--kill")).status();
    }

    fn silently<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.environment()).env_remove("DISPLAY").stdout(Stdio::null()).stderr(Stdio::null())
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.stop_server();
    }
}
