//! Puts the manifest and the version into `hardback.exe`, as a resource.
//!
//! Only for Windows, and with what the linker there comes with: `windres` beside mingw's gcc, or Microsoft's linker
//! itself for the manifest. Where neither is at hand the build goes on without: the program calls Windows with paths
//! that need no manifest. A release must have it; `cargo xtask dist` looks.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script reads and writes the build's own files, and talks to cargo by printing"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "windows/hardback.manifest";
const RESOURCE: &str = "windows/hardback.rc";

/// By which names the resource compiler may be there: mingw's for cross builds, and its name on Windows.
const RESOURCE_COMPILERS: [&str; 2] = ["x86_64-w64-mingw32-windres", "windres"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={MANIFEST}");
    println!("cargo::rerun-if-changed={RESOURCE}");
    // Not `cfg(windows)`: that is where this script runs, and it may run on Linux.
    if env::var("CARGO_CFG_TARGET_OS")? != "windows" {
        return Ok(());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let manifest = write_filled(MANIFEST, &out.join("hardback.manifest"))?;
    if env::var("CARGO_CFG_TARGET_ENV")? == "msvc" {
        println!("cargo::rustc-link-arg-bins=/MANIFEST:EMBED");
        println!("cargo::rustc-link-arg-bins=/MANIFESTINPUT:{}", manifest.display());
        println!("cargo::rustc-link-arg-bins=/MANIFESTUAC:NO");
        return Ok(());
    }
    let resource = write_filled(RESOURCE, &out.join("hardback.rc"))?;
    let object = out.join("hardback-resource.o");
    match RESOURCE_COMPILERS.iter().any(|compiler| compile(compiler, &out, &resource, &object)) {
        true => println!("cargo::rustc-link-arg-bins={}", object.display()),
        false => println!("cargo::warning=no windres works here: hardback.exe has no manifest and no version"),
    }
    Ok(())
}

/// Writes the file at `from` to `to` with the version filled in.
fn write_filled(from: &str, to: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let version = env::var("CARGO_PKG_VERSION")?;
    // 1.2.3-rc.1 is 1,2,3,0 to Windows.
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let numbers = format!("{},0", plain.replace('.', ","));
    let text = fs::read_to_string(from)?;
    let text = match from == MANIFEST {
        true => text.replace("@VERSION@", plain),
        false => text.replace("@NUMBERS@", &numbers).replace("@VERSION@", &version),
    };
    fs::write(to, text)?;
    Ok(to.to_owned())
}

fn compile(compiler: &str, folder: &Path, resource: &Path, object: &Path) -> bool {
    let mut windres = Command::new(compiler);
    // The resource names the manifest by a relative path.
    windres.current_dir(folder).arg("--input").arg(resource).args(["--output-format=coff", "--output"]).arg(object);
    windres.status().is_ok_and(|status| status.success())
}
