//! What the numbers were measured on.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use crate::process::{command, find_program};

/// Programs of which the version matters, and how each is asked.
const VERSIONS: &[(&str, &str)] = &[
    ("rsync", "--version"),
    ("cp", "--version"),
    ("tar", "--version"),
    ("mkfs.ext4", "-V"),
    ("mkfs.xfs", "-V"),
    ("mkfs.btrfs", "-V"),
    ("rsnapshot", "version"),
];

/// The machine and the programs, as a paragraph of the report.
pub fn describe(hardback: &Path) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = field("/proc/meminfo", "MemTotal")?;
    let memory_kib: u64 = memory.trim_end_matches(" kB").parse().context("no size of the memory")?;
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".to_owned());
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or_default();

    let own = [(hardback.to_string_lossy().into_owned(), "--version")];
    let others = VERSIONS.iter().map(|(name, flag)| (name.to_string(), *flag));
    let versions: Vec<String> = own.into_iter().chain(others).filter_map(|(name, flag)| version(&name, flag)).collect();
    Ok(format!(
        "{cores} cores ({processor}), {:.1} GiB of memory, Linux {}; load before {load}.\n{}.\n",
        memory_kib as f64 / 1024.0 / 1024.0,
        kernel.trim(),
        versions.join("; "),
    ))
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    Ok(value.with_context(|| format!("{file} has no {name}"))?.trim().to_owned())
}

/// The first line that a program says of itself; none when it is not there.
pub fn version(program: &str, flag: &str) -> Option<String> {
    let output = command(find_program(program)?).arg(flag).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&said).lines().find(|line| !line.trim().is_empty())?.trim().to_owned();
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}
