//! Automation of the hardback workspace: `cargo xtask <command>`.
//!
//! One module per command; a new command is a module with a
//! `main(&[String]) -> Result<()>` and one line in [`COMMANDS`].

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod dist;
#[cfg(target_os = "linux")]
mod guest;
mod needed;
mod nightly;
mod process;
mod steps;
mod test;
mod tidy;
mod windows;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What one command is called, what it does in a line, and what runs it.
struct Command {
    name: &'static str,
    about: &'static str,
    main: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "format, lints, tests on Linux and on Windows (Wine), tidy; says what it skipped",
        main: test::main,
    },
    Command { name: "ci", about: "the same, and a skip is a failure", main: test::main_without_skips },
    Command {
        name: "windows",
        about: "only the Windows part of test; `windows setup` prepares it and runs nothing",
        main: windows::main,
    },
    #[cfg(target_os = "linux")]
    Command {
        name: "dist",
        about: "the files of a release, in target/dist; `dist --home URL` for manifests that can be published",
        main: dist::main,
    },
    #[cfg(target_os = "linux")]
    Command {
        name: "bench",
        about: "hardback against its peers on ext4, xfs and btrfs; as root; `bench --help`",
        main: bench::main,
    },
    #[cfg(target_os = "linux")]
    Command {
        name: "guest",
        about: "LVM and ZFS in a virtual machine of Debian's packages; takes minutes",
        main: guest::main,
    },
    Command { name: "nightly", about: "the slow suites", main: nightly::main },
    Command { name: "tidy", about: "the house rules that no compiler checks", main: tidy::main },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("no command given\n{}", usage());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.main)(rest),
        None => bail!("there is no command {name:?}\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask <command>\n");
    for command in COMMANDS {
        text.push_str(&format!("\n  {:<8} {}", command.name, command.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_command_is_refused_with_the_list_of_commands() {
        let error = dispatch(&arguments(&["bake"])).unwrap_err().to_string();
        assert!(error.contains("\"bake\""), "{error}");
        assert!(error.contains("cargo xtask <command>"), "{error}");
    }

    #[test]
    fn every_command_is_named_once() {
        let mut names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
