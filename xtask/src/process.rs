//! Starting other programs: no standard input, the command line shown, the
//! exit status never overlooked.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where administration tools live that a plain user's `PATH` leaves out.
const ADMINISTRATION_DIRS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The root of the workspace.
pub fn workspace_root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// `program`, to be run in the workspace's root, with nothing to read.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace_root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this xtask.
pub fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows and runs `command`; its output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    println!("    $ {line}");
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}): {}", output.status, complaint.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` did not write UTF-8"))
}

/// Where `name` is: itself when it is an absolute path, else the first match in
/// `PATH` and the administrators' directories.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ADMINISTRATION_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// Whether this process may install Debian packages.
pub fn is_root() -> bool {
    output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = word.chars().all(|c| c.is_alphanumeric() || "-_=./:+,@%".contains(c));
            match plain && !word.is_empty() {
                true => word.into_owned(),
                false => format!("'{word}'"),
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where our own compiler has its documents, the licences of its standard
/// library among them.
pub fn rust_documents() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let root = output(command(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(root.trim()).join("share/doc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(command("false").arg("a b")).unwrap_err().to_string();
        assert!(error.contains("`false 'a b'` failed"), "{error}");
        assert!(output(&mut command("false")).is_err());
    }

    #[test]
    fn a_missing_program_is_an_error_not_a_panic() {
        let error = run(&mut command("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("cannot run"), "{error}");
    }

    #[test]
    fn programs_are_found_by_name_and_by_absolute_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("/bin/sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
