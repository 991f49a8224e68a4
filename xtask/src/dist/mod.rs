//! `cargo xtask dist`: the files of a release, in `target/dist`.
//!
//! `hardback.exe` in a zip, the Linux program in a tar.gz, their checksums, and the manifests for winget and scoop. Each
//! archive is made twice, from two folders, and must come out the same. Nothing is uploaded.

mod archive;
mod licences;
mod packaging;
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, command, find_program, output, run, rust_documents, workspace_root};
use crate::steps::{Steps, no_skip_from_env};
use crate::windows::{self, Setup, Toolchain};
use archive::{Content, Format};
use packaging::Release;

/// The version of all crates of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Linux without a C library of its own, where rustup has the target; the program then runs on any Linux.
const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Where nobody is: what manifests say as long as no `--home` is given.
const NO_HOME: &str = "https://hardback.invalid";

/// Builds everything.
pub fn main(arguments: &[String]) -> Result<()> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let home = match words[..] {
        [] => NO_HOME,
        ["--home", home] => home.trim_end_matches('/'),
        _ => bail!("usage: cargo xtask dist [--home https://HOST/PROJECT]"),
    };
    let folder = workspace_root().join("target/dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let mut steps = Steps::new(no_skip_from_env());
    let mut archives = Vec::new();
    steps.step("release for Windows", |steps| {
        archives.extend(for_windows(steps, &folder)?);
        Ok(())
    });
    steps.step("release for Linux", |_| {
        archives.push(for_linux(&folder)?);
        Ok(())
    });
    steps.step("checksums and manifests", |steps| {
        let sums = checksums(&folder, &archives)?;
        manifests(steps, home, &folder, &sums)
    });
    steps.finish()
}

/// The zip, if this machine can build and try it.
fn for_windows(steps: &mut Steps, folder: &Path) -> Result<Option<String>> {
    let toolchain = match windows::set_up()? {
        Setup::Ready(toolchain) => toolchain,
        Setup::Missing(why) => {
            steps.skip("the release for Windows", why);
            return Ok(None);
        }
    };
    let (mut build, exe) = toolchain.release(&program::settings(windows::TARGET, true));
    run(&mut build)?;
    program::check_windows(&exe, VERSION)?;
    let libraries = [
        licences::of_standard_library(&toolchain.documents()?)?,
        licences::of_debian_package("mingw-w64-x86-64-dev")?,
        licences::of_debian_package("gcc-mingw-w64-base")?,
    ];
    let content = content(&exe, "hardback.exe", windows::TARGET, &libraries)?;
    let zip = archive::make_twice(Format::Zip, &content, folder, "windows-x86_64", commit_time()?)?;
    try_under_wine(&toolchain, &folder.join(&zip))?;
    Ok(Some(zip))
}

/// The program as a user gets it: out of the zip.
fn try_under_wine(toolchain: &Toolchain, zip: &Path) -> Result<()> {
    let place = workspace_root().join("target/dist-try");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    run(command("bsdtar").arg("-xf").arg(zip).arg("-C").arg(&place))?;
    let said = toolchain.output(&place.join(archive::root()).join("hardback.exe"), &["--version"])?;
    ensure!(said.trim() == format!("hardback {VERSION}"), "hardback.exe says of itself: {said:?}");
    println!("    under Wine the program out of the zip says: {}", said.trim());
    fs::remove_dir_all(&place)?;
    Ok(())
}

/// The tar.gz: static where this Rust can build that.
fn for_linux(folder: &Path) -> Result<String> {
    let has_musl = library_dir(MUSL)?.is_dir() && find_program("musl-gcc").is_some();
    let target = if has_musl { MUSL } else { GLIBC };
    if !has_musl {
        println!("    no Rust for {MUSL} with musl-gcc: the program needs this machine's glibc or a later one");
    }
    let target_dir = workspace_root().join("target/linux-release");
    let settings = program::settings(target, false);
    run(cargo()
        .args(["build", "--release", "--locked", "--package", "hardback", "--target", target])
        .args(settings.iter().flat_map(|setting| ["--config", setting]))
        .env("CARGO_TARGET_DIR", &target_dir))?;
    let built = target_dir.join(target).join("release/hardback");
    let said = output(command(&built).arg("--version"))?;
    ensure!(said.trim() == format!("hardback {VERSION}"), "hardback says of itself: {said:?}");
    let mut libraries = vec![licences::of_standard_library(&rust_documents()?)?];
    if has_musl {
        libraries.push(licences::of_debian_package("musl")?);
    }
    let content = content(&built, "hardback", target, &libraries)?;
    let name = if has_musl { "linux-static-x86_64" } else { "linux-x86_64" };
    archive::make_twice(Format::TarGz, &content, folder, name, commit_time()?)
}

fn library_dir(target: &str) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(PathBuf::from(output(command(rustc).args(["--print", "target-libdir", "--target", target]))?.trim()))
}

/// What an archive holds: the program, the licences of all that is in it, and the documents.
fn content(program: &Path, name: &str, target: &str, libraries: &[(String, PathBuf)]) -> Result<Content> {
    let mut content = Content::new();
    content.add_program(name, program)?;
    content.add_text("LICENSES/THIRD-PARTY.txt", licences::of_dependencies(target)?);
    for (name, path) in libraries {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        content.add_text(&format!("LICENSES/{name}"), String::from_utf8_lossy(&text).into_owned());
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        content.add_document(&format!("LICENSES/{licence}"), licence)?;
    }
    for document in documents()? {
        content.add_document(&document, &document)?;
    }
    Ok(content)
}

/// The documents for users.
fn documents() -> Result<Vec<String>> {
    let mut found = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for folder in ["changelog/unreleased", "docs", "docs/guide"] {
        for entry in fs::read_dir(workspace_root().join(folder))? {
            let name = entry?.file_name();
            let name = name.to_str().context("the name of a document is not UTF-8")?;
            if name.ends_with(".md") {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// When the commit was made, in seconds since 1970: the time of everything in the archives.
fn commit_time() -> Result<i64> {
    let line = output(command("git").args(["-c", "safe.directory=*", "log", "-1", "--format=%ct"]))?;
    line.trim().parse().context("git told no time")
}

/// Writes `SHA256SUMS`, and gives it back.
fn checksums(folder: &Path, archives: &[String]) -> Result<String> {
    ensure!(!archives.is_empty(), "no archive was made");
    let sums = output(command("sha256sum").args(archives).current_dir(folder))?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    Ok(sums)
}

fn manifests(steps: &mut Steps, home: &str, folder: &Path, sums: &str) -> Result<()> {
    let zip = format!("{}-windows-x86_64.zip", archive::root());
    let Some(sha256) = packaging::sum_of(sums, &zip) else {
        steps.skip("manifests for winget and scoop", "there is no zip");
        return Ok(());
    };
    if home == NO_HOME {
        println!("    without --home the manifests name {NO_HOME}: they are for a look, not for winget or scoop");
    }
    let date = output(command("date").args(["-u", "-d", &format!("@{}", commit_time()?), "+%F"]))?;
    let release = Release { version: VERSION, home, zip: &zip, sha256, date: date.trim() };
    for path in packaging::write(&release, &workspace_root().join("packaging"), folder)? {
        println!("    {}", path.display());
    }
    Ok(())
}
