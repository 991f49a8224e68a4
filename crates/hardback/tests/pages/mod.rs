//! Runs a page of the documentation as its reader would: all its `sh` blocks, from top to bottom, in one shell.
//!
//! A block may say how it ends (` ```sh exit=3 `; otherwise 0). A `text` block right behind it is what it prints: each
//! line must be found in the output, in this order, and `…` stands for anything. Blocks of other kinds are not run.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code fails loudly, and says what it skips")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A backup to another disk, for a test that has one: the page's `hardback` is the real one, called with `--same-disk`.
const WRAPPER: &str = r#"#!/bin/sh
case $1 in
  backup) shift; exec "$HARDBACK" backup --same-disk "$@" ;;
  *) exec "$HARDBACK" "$@" ;;
esac
"#;

/// A block of commands.
struct Block {
    /// Line of its first command.
    line: usize,
    exit: i32,
    script: String,
    prints: Vec<String>,
}

/// Runs a page (path in the repository) behind a script that makes what the page takes for granted.
pub(crate) fn run(page: &str, prepare: &str) {
    for program in ["sh", "awk", "zstdcat", "xxd", "perl", "bsdtar", "setfattr"] {
        if find(program).is_none() {
            assert!(std::env::var_os("HARDBACK_TEST_NO_SKIP").is_none(), "{page}: {program} is missing");
            eprintln!("skipped: {page}: {program} is missing");
            return;
        }
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page)).unwrap();
    let blocks = blocks(&text);
    assert!(!blocks.is_empty(), "{page} has no sh block");
    let root = tempfile::tempdir().unwrap();
    let place = root.path().canonicalize().unwrap();
    for dir in ["bin", "out", "home"] {
        fs::create_dir(place.join(dir)).unwrap();
    }
    let wrapper = place.join("bin/hardback");
    fs::write(&wrapper, WRAPPER).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(place.join("session.sh"), session(prepare, &blocks)).unwrap();
    let mut path = OsString::from(place.join("bin"));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .arg("../session.sh")
        .current_dir(place.join("home"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", place.join("home"))
        .env("HARDBACK", env!("CARGO_BIN_EXE_hardback"))
        .env("HARDBACK_STATE_DIR", place.join("state"))
        .env("OUT", place.join("out"))
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    for block in &blocks {
        let read = |name: String| fs::read(place.join("out").join(name));
        let printed = String::from_utf8_lossy(&read(block.line.to_string()).unwrap_or_default()).into_owned();
        let exit = read(format!("{}.exit", block.line)).unwrap_or_default();
        let at = format!("{page}:{}:\n{}--- printed\n{printed}---\n{said}", block.line, block.script);
        assert_eq!(String::from_utf8_lossy(&exit).trim(), block.exit.to_string(), "{at}");
        if let Err(missing) = matches(&printed, &block.prints) {
            panic!("{at}does not print: {missing}");
        }
    }
}

/// The whole page as one script: each block's output and exit code in files of their own.
fn session(prepare: &str, blocks: &[Block]) -> String {
    let mut script = format!("set -eu\n{prepare}\n");
    for Block { line, exit, script: commands, .. } in blocks {
        let careful = if *exit == 0 { "set -e" } else { "set +e" };
        script.push_str(&format!("exec >\"$OUT/{line}\" 2>&1\n{careful}\n{commands}echo $? >\"$OUT/{line}.exit\"\n"));
    }
    script
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate();
    // Whether nothing stands between the last sh block and here.
    let mut is_behind = false;
    while let Some((_, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            is_behind &= line.trim().is_empty();
            continue;
        };
        let inside: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        let mut words = kind.split(' ');
        match (words.next(), blocks.last_mut()) {
            (Some("sh"), _) => {
                let exit = words.find_map(|word| word.strip_prefix("exit=")).map_or(0, |code| code.parse().unwrap());
                let script = inside.iter().map(|(_, line)| format!("{line}\n")).collect();
                let line = inside.first().map_or(0, |(index, _)| index + 1);
                blocks.push(Block { line, exit, script, prints: Vec::new() });
                is_behind = true;
            }
            (Some("text"), Some(block)) if is_behind => {
                block.prints = inside.iter().map(|(_, line)| (*line).to_owned()).collect();
                is_behind = false;
            }
            _ => is_behind = false,
        }
    }
    blocks
}

/// Looks for lines in a text, in order; returns the first that is not there.
fn matches<'a>(printed: &str, lines: &'a [String]) -> Result<(), &'a str> {
    let mut left = printed.lines();
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let has_all = |printed: &str| {
            let mut rest = printed;
            line.split('…').all(|part| {
                let found = rest.find(part.trim());
                rest = found.map_or("", |at| &rest[at + part.trim().len()..]);
                found.is_some()
            })
        };
        if !left.any(has_all) {
            return Err(line);
        }
    }
    Ok(())
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
