//! The program of a release: how it is built, and what is looked at before it is packed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::{command, output, workspace_root};

/// Reads what a program for Windows imports; it is in the package of the linker.
const OBJDUMP: &str = "x86_64-w64-mingw32-objdump";

/// Where the standard library is built from where Debian's Rust builds it, as cargo tells the compiler.
const RUST_OF_DEBIAN: &str = "target/windows-toolchain/root/usr/lib/rustlib/src/rust";

/// What every Windows since 10 has. mingw's own runtimes (libgcc, libstdc++, libwinpthread) are not here: a user does
/// not have them.
const SYSTEM_LIBRARIES: &[&str] = &[
    "advapi32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "combase.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "ntdll.dll",
    "ole32.dll",
    "oleaut32.dll",
    "shell32.dll",
    "user32.dll",
    "userenv.dll",
    "ucrtbase.dll",
    "ws2_32.dll",
];

/// Names of sets of system functions, which Windows resolves itself.
const SYSTEM_LIBRARY_SETS: [&str; 2] = ["api-ms-win-", "ext-ms-win-"];

/// What the manifest must say.
const MANIFEST: [&str; 3] =
    [r#"<requestedExecutionLevel level="asInvoker""#, ">true</longPathAware>", ">UTF-8</activeCodePage>"];

/// What cargo is told for a release, for each `--config`: no names of this machine's folders in the program, no debug
/// information, and for Windows no time of the build.
pub(super) fn settings(target: &str, for_windows: bool) -> Vec<String> {
    let mut flags = vec![
        format!("--remap-path-prefix={}=hardback", workspace_root().display()),
        format!("--remap-path-prefix={RUST_OF_DEBIAN}=rust"),
    ];
    let cargo_home = std::env::var_os("CARGO_HOME").map(Into::into).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    flags.extend(cargo_home.map(|home: std::path::PathBuf| format!("--remap-path-prefix={}=cargo", home.display())));
    if for_windows {
        flags.push("-Clink-arg=-Wl,--no-insert-timestamp".to_owned());
    }
    vec![
        "profile.release.debug=0".to_owned(),
        r#"profile.release.strip="symbols""#.to_owned(),
        format!("target.{target}.rustflags={flags:?}"),
    ]
}

/// Looks at `hardback.exe`: it needs nothing but Windows, and Windows is told what it needs to know.
pub(super) fn check_windows(exe: &Path, version: &str) -> Result<()> {
    let imports = imports(&output(command(OBJDUMP).arg("-p").arg(exe))?);
    ensure!(!imports.is_empty(), "{OBJDUMP} names no import of {}", exe.display());
    let foreign: Vec<_> = imports.iter().filter(|name| !is_of_the_system(name)).collect();
    ensure!(foreign.is_empty(), "{} needs what Windows does not have: {foreign:?}", exe.display());
    println!("    hardback.exe imports {}", imports.join(" "));
    let bytes = fs::read(exe).with_context(|| format!("cannot read {}", exe.display()))?;
    for phrase in MANIFEST {
        ensure!(contains(&bytes, phrase.as_bytes()), "the manifest of {} lacks {phrase}", exe.display());
    }
    let version: Vec<u8> = version.encode_utf16().flat_map(u16::to_le_bytes).collect();
    ensure!(contains(&bytes, &version), "{} has no version in its resources", exe.display());
    Ok(())
}

/// The libraries that `objdump -p` names, in lower case.
fn imports(dump: &str) -> Vec<String> {
    let mut names: Vec<_> = dump
        .lines()
        .filter_map(|line| line.trim().strip_prefix("DLL Name:"))
        .map(|name| name.trim().to_lowercase())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn is_of_the_system(name: &str) -> bool {
    SYSTEM_LIBRARIES.contains(&name) || SYSTEM_LIBRARY_SETS.iter().any(|set| name.starts_with(set))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_windows_does_not_have_is_foreign() {
        let dump = "\tDLL Name: KERNEL32.dll\n\tvma: x\n\tDLL Name: libgcc_s_seh-1.dll\n\tDLL Name: KERNEL32.dll\n\
                    \tDLL Name: api-ms-win-core-synch-l1-2-0.dll\n";
        let names = imports(dump);
        assert_eq!(names, ["api-ms-win-core-synch-l1-2-0.dll", "kernel32.dll", "libgcc_s_seh-1.dll"]);
        let foreign: Vec<_> = names.iter().filter(|name| !is_of_the_system(name)).collect();
        assert_eq!(foreign, ["libgcc_s_seh-1.dll"]);
    }

    #[test]
    fn the_manifest_in_the_sources_says_what_a_release_is_checked_for() {
        let text = fs::read_to_string(workspace_root().join("crates/hardback/windows/hardback.manifest")).unwrap();
        for phrase in MANIFEST {
            assert!(contains(text.as_bytes(), phrase.as_bytes()), "{phrase}");
        }
        assert!(!contains(text.as_bytes(), b"requireAdministrator"));
    }
}
