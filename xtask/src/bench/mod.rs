//! `cargo xtask bench`: hardback against its peers, on file systems of our own.
//!
//! Everything happens on loop-mounted image files in a mount namespace of our
//! own, and an image has no name any more once it is mounted. So when the
//! process ends, in whatever way, the mounts and the room they took are gone.
//!
//! One function per case in [`cases`]; a new case is a function and one line in
//! [`cases::CASES`].

mod cases;
mod corpus;
mod lab;
mod link_limit;
mod machine;
mod measure;
mod options;
mod race;
mod table;
mod tools;
mod volume;

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, cargo, command, find_program, run, workspace_root};
use crate::steps::Steps;
use lab::Lab;
use options::Options;
use table::Table;

/// The first argument of the process that only measures the links.
const LINK_EVERY_ENTRY: &str = "--link-every-entry";

/// Set in the process that has the mount namespace.
const INSIDE: &str = "HARDBACK_BENCH_INSIDE";

/// The programs without which nothing can be measured, and their packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("time", "time"),
    ("rsync", "rsync"),
    ("tar", "tar"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// Runs the cases that the arguments ask for.
pub fn main(arguments: &[String]) -> Result<()> {
    if let [word, from, to, threads] = arguments
        && word == LINK_EVERY_ENTRY
    {
        return link_limit::main(Path::new(from), Path::new(to), threads);
    }
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{}\n\n{}", options::USAGE, cases::list());
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    check_machine(&options)?;
    match env::var_os(INSIDE) {
        Some(_) => bench(options),
        None => enter_namespace(&options, arguments),
    }
}

fn check_machine(options: &Options) -> Result<()> {
    ensure!(process::is_root(), "bench mounts volumes and drops caches: run it as root");
    let needed = PROGRAMS.iter().copied().chain(options.volumes.iter().map(|kind| kind.program_and_package()));
    for (program, package) in needed {
        ensure!(find_program(program).is_some(), "bench needs the program {program} (Debian package {package})");
    }
    Ok(())
}

/// Builds what is measured and what measures, and becomes the latter in a mount
/// namespace.
fn enter_namespace(options: &Options, arguments: &[String]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask"]);
    if options.program.is_none() {
        build.args(["--package", "hardback"]);
    }
    run(&mut build)?;
    let error = command("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(release_program("xtask"))
        .arg("bench")
        .args(arguments)
        .env(INSIDE, "1")
        .exec();
    Err(error).context("cannot run unshare")
}

fn release_program(name: &str) -> PathBuf {
    workspace_root().join("target/release").join(name)
}

fn bench(options: Options) -> Result<()> {
    let cases: Vec<_> = cases::CASES.iter().filter(|case| options.wants(case)).collect();
    if cases.is_empty() {
        bail!("no case has this name\n{}", cases::list());
    }
    let program = match &options.program {
        Some(program) => fs::canonicalize(program).with_context(|| format!("no program {}", program.display()))?,
        None => release_program("hardback"),
    };
    let mut report = Report { text: machine::describe(&program)?, file: options.markdown.clone() };
    report.add(&options.describe())?;

    let mut steps = Steps::new(false);
    let mut made = None;
    steps.step("corpora", |steps| {
        made = Some(Lab::set_up(options, program, &cases, steps)?);
        Ok(())
    });
    if let Some(lab) = made {
        for case in cases {
            steps.step(case.name, |steps| {
                for table in (case.run)(&lab, steps)? {
                    report.table(case.about, &table)?;
                }
                Ok(())
            });
        }
    }
    println!("\n{}", report.text);
    steps.finish()
}

/// What was found so far; written after each case, so that a run that is
/// stopped leaves what it has.
struct Report {
    text: String,
    file: Option<PathBuf>,
}

impl Report {
    fn table(&mut self, about: &str, table: &Table) -> Result<()> {
        let text = format!("\n### {}\n\n{about}\n\n{}", table.title, table.markdown());
        println!("{text}");
        self.add(&text)
    }

    fn add(&mut self, text: &str) -> Result<()> {
        self.text.push_str(text);
        match &self.file {
            Some(file) => fs::write(file, &self.text).with_context(|| format!("cannot write {}", file.display())),
            None => Ok(()),
        }
    }
}
