//! Archives that come out the same whenever and wherever they are made: fixed times, order, owners and modes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::VERSION;
use crate::process::{command, run, workspace_root};

/// Which archive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    Zip,
    TarGz,
}

/// The files of an archive by their `/`-joined paths below its one folder.
#[derive(Debug, Default)]
pub(super) struct Content {
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    runs: bool,
}

impl Content {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A program, built at `from`.
    pub(super) fn add_program(&mut self, path: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.files.insert(path.to_owned(), File { bytes, runs: true });
        Ok(())
    }

    /// A file of the repository.
    pub(super) fn add_document(&mut self, path: &str, from: &str) -> Result<()> {
        let bytes = fs::read(workspace_root().join(from)).with_context(|| format!("cannot read {from}"))?;
        self.files.insert(path.to_owned(), File { bytes, runs: false });
        Ok(())
    }

    /// A text that is made here.
    pub(super) fn add_text(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), File { bytes: text.into_bytes(), runs: false });
    }

    /// Writes the files below `folder`, all of the time `seconds`, in the order of their names or the other way.
    fn write(&self, folder: &Path, seconds: i64, reversed: bool) -> Result<()> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().context("a time before 1970")?);
        let mut files: Vec<_> = self.files.iter().collect();
        if reversed {
            files.reverse();
        }
        for (path, file) in files {
            let full = folder.join(path);
            fs::create_dir_all(full.parent().unwrap_or(folder))?;
            fs::write(&full, &file.bytes)?;
            set_mode(&full, if file.runs { 0o755 } else { 0o644 })?;
            fs::File::options().append(true).open(&full)?.set_modified(time)?;
        }
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// The one folder that every archive holds.
pub(super) fn root() -> String {
    format!("hardback-{VERSION}")
}

/// Makes the archive for `system` in `folder`, twice, and compares. Returns its name.
pub(super) fn make_twice(
    format: Format,
    content: &Content,
    folder: &Path,
    system: &str,
    seconds: i64,
) -> Result<String> {
    let suffix = match format {
        Format::Zip => "zip",
        Format::TarGz => "tar.gz",
    };
    let name = format!("{}-{system}.{suffix}", root());
    let work = workspace_root().join("target/dist-work");
    let mut made = Vec::new();
    for (place, reversed) in [("first", false), ("second", true)] {
        let place = work.join(place);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        content.write(&place.join(root()), seconds, reversed)?;
        let archive = place.join(&name);
        make(format, content, &place, &archive, seconds)?;
        made.push(archive);
    }
    let [first, second] = &made[..] else { bail!("two archives were to be made") };
    ensure!(fs::read(first)? == fs::read(second)?, "{name} comes out different each time");
    fs::rename(first, folder.join(&name))?;
    fs::remove_dir_all(&work)?;
    println!("    {name}: made twice, the same");
    Ok(name)
}

fn make(format: Format, content: &Content, place: &Path, archive: &Path, seconds: i64) -> Result<()> {
    let paths: Vec<_> = content.files.keys().map(|path| format!("{}/{path}", root())).collect();
    match format {
        Format::Zip => zip(&paths, place, archive),
        // Only files, in this order: folders would bring the time at which they were made.
        Format::TarGz => run(command("tar")
            .args(["--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{seconds}"))
            .args(["--use-compress-program", "gzip -9 -n", "-cf"])
            .arg(archive)
            .args(&paths)
            .current_dir(place)),
    }
}

/// No owners and no folders; the times are in the time zone of who makes it, so that is set.
fn zip(paths: &[String], place: &Path, archive: &Path) -> Result<()> {
    let mut zip = command("zip")
        .args(["-q", "-9", "-X", "-D", "-@"])
        .arg(archive)
        .current_dir(place)
        .env("TZ", "UTC")
        .env_remove("ZIPOPT")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run zip")?;
    let mut names = zip.stdin.take().context("zip takes no names")?;
    names.write_all(paths.join("\n").as_bytes())?;
    drop(names);
    let status = zip.wait()?;
    ensure!(status.success(), "zip failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let mut content = Content::new();
        content.add_text("docs/b.md", "b".repeat(1000));
        content.add_text("a.txt", "a".to_owned());
        content.files.get_mut("a.txt").unwrap().runs = true;
        content
    }

    fn empty_folder(name: &str) -> std::path::PathBuf {
        let folder = workspace_root().join("target").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn an_archive_comes_out_the_same_from_other_folders_at_other_times() {
        let folder = empty_folder("dist-test");
        for format in [Format::Zip, Format::TarGz] {
            let mut archives = Vec::new();
            for (place, reversed) in [("first", false), ("second", true)] {
                let place = folder.join(format!("{format:?}-{place}"));
                content().write(&place.join(root()), 1_700_000_000, reversed).unwrap();
                let archive = place.join("archive");
                make(format, &content(), &place, &archive.with_extension("zip"), 1_700_000_000).unwrap();
                archives.push(fs::read(archive.with_extension("zip")).unwrap());
            }
            assert!(!archives[0].is_empty());
            assert!(archives[0] == archives[1], "{format:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
