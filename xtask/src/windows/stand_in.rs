//! The stand-in for Windows' vssapi.dll: built from `xtask/windows/vssapi.cpp` into the tests' own Wine, and, to see
//! that the tests would notice, with an interface that is wrong in one place each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{TARGET, Toolchain, target_dir};
use crate::process::{command, run, workspace_root};

/// The C++ compiler for Windows.
const COMPILER: &str = "x86_64-w64-mingw32-g++";
const SOURCE: &str = "xtask/windows/vssapi.cpp";
const DLL: &str = "vssapi.dll";
/// Beside the library: the source that it was built from.
const STAMP: &str = "hardback-vssapi.cpp";

/// Where mingw-w64's headers are.
const HEADERS: &str = "/usr/x86_64-w64-mingw32/include";

/// The test that must fail with a stand-in that is wrong, and how long it may take.
const TEST: &str = "windows::tests::the_calls_reach_the_library_in_their_order";
const TEST_SECONDS_MAX: u32 = 60;

/// What is said where the test failed for what it looks for, or the adapter for what the library gave it; and what is
/// said where there was no library to begin with.
const NOTICED: &str = "panicked at crates/hardback-shadow/src/windows/";
const NOT_LOADED: &str = "this Windows has no ";

/// A change of a header.
struct Mutant {
    name: &'static str,
    header: &'static str,
    change: Change,
    /// Tried before each merge as well.
    is_quick: bool,
}

enum Change {
    /// Two methods of an interface change places.
    Swap(&'static str, &'static str, &'static str),
    /// A method more, before that one.
    Before(&'static str, &'static str),
    /// A line less.
    Without(&'static str, &'static str),
}

const BACKUP: &str = "IVssBackupComponents : public IUnknown";
const METADATA: &str = "IVssExamineWriterMetadata : public IUnknown";
const FILES: &str = "IVssWMFiledesc : public IUnknown";
const ASYNC: &str = "IVssAsync : public IUnknown";
const PROPERTIES: &str = "typedef struct _VSS_SNAPSHOT_PROP {";

const MUTANTS: &[Mutant] = &[
    swap("SetContext and StartSnapshotSet", "SetContext", "StartSnapshotSet", false),
    swap("InitializeForBackup and InitializeForRestore", "InitializeForBackup", "InitializeForRestore", false),
    swap("PrepareForBackup and DoSnapshotSet", "PrepareForBackup", "DoSnapshotSet", true),
    swap("GatherWriterMetadata and GatherWriterStatus", "GatherWriterMetadata", "GatherWriterStatus", false),
    swap("BackupComplete and AbortBackup", "BackupComplete", "AbortBackup", false),
    Mutant {
        name: "a method more before SetContext",
        header: "vsbackup.h",
        change: Change::Before(BACKUP, "SetContext"),
        is_quick: true,
    },
    Mutant {
        name: "Cancel and Wait of IVssAsync",
        header: "vss.h",
        change: Change::Swap(ASYNC, "Cancel", "Wait"),
        is_quick: false,
    },
    Mutant {
        name: "GetIncludeFile and GetExcludeFile of IVssExamineWriterMetadata",
        header: "vsbackup.h",
        change: Change::Swap(METADATA, "GetIncludeFile", "GetExcludeFile"),
        is_quick: false,
    },
    Mutant {
        name: "GetPath and GetFilespec of IVssWMFiledesc",
        header: "vswriter.h",
        change: Change::Swap(FILES, "GetPath", "GetFilespec"),
        is_quick: false,
    },
    Mutant {
        name: "VSS_SNAPSHOT_PROP without a number",
        header: "vss.h",
        change: Change::Without(PROPERTIES, "LONG m_lSnapshotsCount;"),
        is_quick: false,
    },
    Mutant {
        name: "VSS_SNAPSHOT_PROP without an id",
        header: "vss.h",
        change: Change::Without(PROPERTIES, "VSS_ID m_SnapshotSetId;"),
        is_quick: true,
    },
];

const fn swap(name: &'static str, one: &'static str, other: &'static str, is_quick: bool) -> Mutant {
    Mutant { name, header: "vsbackup.h", change: Change::Swap(BACKUP, one, other), is_quick }
}

/// Which wrong stand-ins are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// One of each kind.
    Some,
    /// All.
    All,
}

/// Puts the stand-in where Windows' own library would be, unless it is there.
pub(super) fn install(system_dir: &Path) -> Result<()> {
    let source = fs::read(workspace_root().join(SOURCE)).with_context(|| format!("cannot read {SOURCE}"))?;
    let stamp = system_dir.join(STAMP);
    if fs::read(&stamp).is_ok_and(|built| built == source) {
        return Ok(());
    }
    if stamp.exists() {
        fs::remove_file(&stamp)?;
    }
    build(&system_dir.join(DLL), None)?;
    Ok(fs::write(stamp, source)?)
}

fn build(dll: &Path, headers: Option<&Path>) -> Result<()> {
    let mut compiler = command(COMPILER);
    // Without the compiler's own libraries beside it.
    compiler.args(["-shared", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]);
    compiler.args(headers.map(|dir| format!("-I{}", dir.display())));
    run(compiler.arg("-o").arg(dll).args([SOURCE, "-lole32", "-loleaut32", "-luuid"]))
}

impl Toolchain {
    /// Shows that the tests fail with stand-ins whose interface is wrong in one place.
    pub fn wrong_stand_ins(&self, which: Wrong) -> Result<()> {
        let system_dir = self.wine.system_dir();
        let result = self.try_wrong_stand_ins(which, &system_dir);
        // Whatever came of it: the right one is back.
        let stamp = system_dir.join(STAMP);
        if stamp.exists() {
            fs::remove_file(stamp)?;
        }
        install(&system_dir)?;
        result
    }

    fn try_wrong_stand_ins(&self, which: Wrong, system_dir: &Path) -> Result<()> {
        ensure!(matches!(self.outcome()?, Outcome::Passed), "the tests fail with the right stand-in");
        let mutants = MUTANTS.iter().filter(|mutant| mutant.is_quick || which == Wrong::All);
        let (mut caught, mut missed) = (0, Vec::new());
        for mutant in mutants {
            let headers = mutant.write_headers()?;
            build(&system_dir.join(DLL), Some(&headers))?;
            match self.outcome()? {
                Outcome::Passed => missed.push(mutant.name),
                Outcome::Noticed => caught += 1,
                Outcome::Broken(text) => bail!("the test did not run with {}: it says\n{text}", mutant.name),
            }
        }
        println!("    {caught} wrong stand-ins were noticed");
        if !missed.is_empty() {
            bail!("nobody noticed: {}", missed.join("; "));
        }
        Ok(())
    }

    /// Runs the test.
    fn outcome(&self) -> Result<Outcome> {
        let mut test = self.cargo("test", &["-p", "hardback-shadow", "--lib"]);
        self.under_wine(&mut test, TEST_SECONDS_MAX);
        let output = test.args(["--", TEST]).output().context("cannot run the test")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text.contains("running 1 test"), "there is no test {TEST} for {TARGET}:\n{text}");
        Ok(Outcome::of(output.status.success(), &text, &String::from_utf8_lossy(&output.stderr)))
    }
}

/// What became of the test.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It failed for what it looks for.
    Noticed,
    /// It failed otherwise, and says this: that shows nothing.
    Broken(String),
}

impl Outcome {
    fn of(is_success: bool, out: &str, errors: &str) -> Self {
        match is_success {
            true => Self::Passed,
            false => {
                let text = format!("{out}{errors}");
                let is_noticed = text.contains(NOTICED) && !text.contains(NOT_LOADED);
                if is_noticed { Self::Noticed } else { Self::Broken(text) }
            }
        }
    }
}

impl Mutant {
    /// Writes the header with the change into a folder of its own.
    fn write_headers(&self) -> Result<PathBuf> {
        let dir = target_dir().join("wrong-vssapi").join(self.name.replace(' ', "-"));
        fs::create_dir_all(&dir)?;
        for header in ["vss.h", "vswriter.h", "vsbackup.h"] {
            let text = fs::read_to_string(Path::new(HEADERS).join(header))
                .with_context(|| format!("cannot read {HEADERS}/{header}"))?;
            let text = if header == self.header { self.change.of(&text)? } else { text };
            fs::write(dir.join(header), text)?;
        }
        Ok(dir)
    }
}

impl Change {
    /// Returns a header with the change.
    fn of(&self, header: &str) -> Result<String> {
        let (Self::Swap(block, ..) | Self::Before(block, _) | Self::Without(block, _)) = self;
        let start = header.find(block).with_context(|| format!("there is no {block}"))?;
        let length = header[start..].find("\n}").with_context(|| format!("{block} has no end"))?;
        let (before, rest) = header.split_at(start);
        let (block, after) = rest.split_at(length);
        let changed = match self {
            Self::Swap(_, one, other) => {
                let (one, other) = (method(block, one)?, method(block, other)?);
                let swapped = block.replacen(one, "\u{0}", 1).replacen(other, one, 1);
                swapped.replacen('\u{0}', other, 1)
            }
            Self::Before(_, name) => {
                let method = method(block, name)?;
                let more = format!("virtual HRESULT STDMETHODCALLTYPE More() {{ return E_NOTIMPL; }}\n{method}");
                block.replacen(method, &more, 1)
            }
            Self::Without(_, line) => {
                ensure!(block.contains(line), "there is no {line}");
                block.replacen(line, "", 1)
            }
        };
        Ok(format!("{before}{changed}{after}"))
    }
}

/// Returns the declaration of a method in an interface.
fn method<'t>(block: &'t str, name: &str) -> Result<&'t str> {
    let named = format!(" {name}(");
    let at = block.find(&named).with_context(|| format!("there is no method {name}"))?;
    let start = block[..at].rfind("virtual ").with_context(|| format!("{name} has no beginning"))?;
    let end = block[at..].find("= 0;").with_context(|| format!("{name} has no end"))?;
    Ok(&block[start..at + end + "= 0;".len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_not_run_noticed_nothing() {
        let of = |out: &str, errors: &str| Outcome::of(false, out, errors);
        let panic = "thread 'x' (7) panicked at crates/hardback-shadow/src/windows/tests.rs:150:5:\n";
        assert_eq!(Outcome::of(true, "", ""), Outcome::Passed);
        assert_eq!((of(panic, ""), of("", panic)), (Outcome::Noticed, Outcome::Noticed));
        for (out, errors) in
            [("running 1 test", ""), ("", "timeout"), (panic, "Unreachable(\"this Windows has no vssapi.dll\")")]
        {
            assert!(matches!(of(out, errors), Outcome::Broken(_)), "{out}{errors}");
        }
    }

    #[test]
    fn a_change_of_a_header_is_in_its_block_alone() {
        let header = "A {\n virtual H X One() = 0;\n virtual H X Two(\n int) = 0;\n};\nB {\n virtual H X One() = 0;\n}";
        let swapped = Change::Swap("B {", "One", "One").of(header).unwrap();
        assert_eq!(swapped, header);
        let swapped = Change::Swap("A {", "One", "Two").of(header).unwrap();
        assert!(swapped.starts_with("A {\n virtual H X Two(\n int) = 0;\n virtual H X One() = 0;\n}"), "{swapped}");
        let more = Change::Before("B {", "One").of(header).unwrap();
        assert!(more.starts_with(&header[..60]) && more.matches("More").count() == 1, "{more}");
        assert!(Change::Without("A {", "Three").of(header).is_err());
    }
}
