//! docs/cli.md is what `--help` says. `HARDBACK_UPDATE_DOCS=1 cargo test -p hardback --test cli_reference` writes it anew.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "the page is read and the binary is started")]
#![allow(clippy::unwrap_used, reason = "test code fails loudly")]

use std::fmt::Write as _;
use std::process::Command;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");

const TOP: &str = "\
# The command line

What `hardback COMMAND --help` says of each command. This page is generated; a test compares the two.
";

#[test]
fn the_command_line_reference_is_what_help_says() {
    let mut page = TOP.to_owned();
    describe(&[], &mut page);
    if std::env::var_os("HARDBACK_UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(old, new)| old != new);
    let hint = "run it with HARDBACK_UPDATE_DOCS=1 and commit docs/cli.md";
    assert!(written == page, "docs/cli.md is out of date, first at (old, new): {differs:?}; {hint}");
}

/// Adds what the help of a command says, then that of its own commands.
fn describe(command: &[&str], page: &mut String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hardback")).args(command).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let name = ["hardback"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that is too long goes on in a line that is indented further.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    for inner in names.filter_map(|line| line.split(' ').next()).filter(|inner| *inner != "help") {
        describe(&[command, &[inner]].concat(), page);
    }
}
