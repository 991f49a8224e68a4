//! A place of its own for each test: no environment, a state directory, `$TMP` in the output for its path.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A place for a test.
pub(crate) struct TestEnvironment {
    root: TempDir,
}

/// What a command said.
#[derive(Debug)]
#[must_use = "assert how it ended"]
pub(crate) struct Output {
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Asserts how it ended.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// What it said does not matter.
    pub(crate) fn ignore(self) {}
}

/// Writes `$TMP` for the place, and `/` in the paths below it.
fn with_place(text: &str, place: &str) -> String {
    // Windows: the canonical path is a verbatim one, and people are not shown that.
    let place = place.strip_prefix(r"\\?\").unwrap_or(place);
    let mut parts = text.split(place);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "'\"".contains(c)).unwrap_or(part.len());
        out.push_str("$TMP");
        out.push_str(&part[..end].replace('\\', "/"));
        out.push_str(&part[end..]);
    }
    out
}

impl TestEnvironment {
    /// Makes an empty place.
    pub(crate) fn new() -> Self {
        let env = Self { root: tempfile::tempdir().unwrap() };
        env.make_dir("");
        env
    }

    /// Makes a place with `source/a` and a `target` that has one snapshot of the job `host`.
    pub(crate) fn with_target() -> Self {
        let env = Self::new();
        env.write("source/a", "first");
        env.hardback(&["backup", "source", "target", "--same-disk", "--job", "host"]).exits(0).ignore();
        env
    }

    /// Changes the source and backs it up; returns the names of the two snapshots of the job `host`.
    pub(crate) fn two_snapshots(&self) -> [String; 2] {
        let first = self.only_snapshot("target/host");
        self.write("source/a", "second version");
        self.write("source/new", "1");
        self.hardback(&["backup", "source", "target", "--same-disk"]).exits(0).ignore();
        let second = self.names("target/host").into_iter().find(|name| *name != first && name != "latest");
        [first, second.expect("a second snapshot")]
    }

    /// Returns a path in the place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let place = self.root.path().canonicalize().unwrap().join("place");
        if name.is_empty() { place } else { place.join(name) }
    }

    /// Runs the binary in the place. Without `--job` a backup is of the job `host`.
    pub(crate) fn hardback(&self, args: &[&str]) -> Output {
        self.run(self.command(Path::new(env!("CARGO_BIN_EXE_hardback"))), args)
    }

    /// Runs the binary in the place, with more variables.
    pub(crate) fn hardback_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_hardback")));
        command.envs(variables.iter().copied());
        self.run(command, args)
    }

    /// Returns a command of the binary in the place, to be started; what it says is not kept.
    pub(crate) fn start(&self, args: &[&str]) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_hardback")));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    }

    /// Runs another program in the place, which finds programs where this test does.
    pub(crate) fn other(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.command(Path::new(program));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        self.run(command, args)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path("")).env("HARDBACK_STATE_DIR", self.root.path().join("state"));
        // Windows starts nothing without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        command
    }

    fn run(&self, mut command: Command, args: &[&str]) -> Output {
        command.args(args);
        if args.contains(&"backup") && !args.contains(&"--job") {
            command.args(["--job", "host"]);
        }
        let output = begun(|| command.output());
        let place = self.path("").display().to_string();
        let text = |bytes| with_place(&String::from_utf8(bytes).expect("UTF-8"), &place);
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the binary as a user who may not read everything.
    #[cfg(unix)]
    pub(crate) fn hardback_as_nobody(&self, args: &[&str]) -> Output {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        const NOBODY: u32 = 65_534;
        if !self.is_root() {
            return self.hardback(args);
        }
        for open in [self.root.path(), &self.path("")] {
            std::fs::set_permissions(open, PermissionsExt::from_mode(0o777)).unwrap();
        }
        // The build directory may be closed to others.
        let copy = self.root.path().join("hardback");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_hardback"), &copy).unwrap();
        }
        let mut command = self.command(&copy);
        command.uid(NOBODY).gid(NOBODY);
        self.run(command, args)
    }

    #[cfg(unix)]
    pub(crate) fn is_root(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.path("")).unwrap().uid() == 0
    }

    /// Takes all permissions from a folder.
    #[cfg(unix)]
    pub(crate) fn close_to_others(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o000)).unwrap();
    }

    /// Writes a file and makes the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Makes a folder, if it is missing.
    pub(crate) fn make_dir(&self, name: &str) {
        let path = self.root.path().join("place").join(name);
        std::fs::create_dir_all(path).unwrap();
    }

    /// Removes a folder with all it holds.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_dir_all(self.path(name)).unwrap();
    }

    /// Returns the sorted names in a folder.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the name of the only snapshot in a job's folder.
    pub(crate) fn only_snapshot(&self, job: &str) -> String {
        let names = self.names(job);
        let snapshots: Vec<&String> = names.iter().filter(|n| n.as_str() != "latest").collect();
        assert_eq!(snapshots.len(), 1, "{names:?}");
        snapshots[0].clone()
    }
}

/// Starts a program. Of some thousand that Wine starts one dies before it has begun, which is an error of the start; so it is
/// started again.
pub(crate) fn begun<T>(mut start: impl FnMut() -> std::io::Result<T>) -> T {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    const ATTEMPTS: usize = 3;
    let died = |error: &std::io::Error| cfg!(windows) && error.raw_os_error() == Some(ERROR_INTERNAL_ERROR);
    let mut result = start();
    for _ in 1..ATTEMPTS {
        if !result.as_ref().is_err_and(died) {
            break;
        }
        result = start();
    }
    result.unwrap()
}
