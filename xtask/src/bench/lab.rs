//! What the cases share: the corpora on a source volume, and fresh volumes for
//! targets.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cases::{Case, Corpus};
use super::corpus::{self, SmallFiles};
use super::measure::{Cache, LastChange, Sample, timed};
use super::options::Options;
use super::tools::{Hardback, TAR_READ, shell};
use super::volume::{Kind, Volume};
use crate::needed;
use crate::process::{command, find_program, output};
use crate::steps::Steps;

const GIB: u64 = 1 << 30;

/// What every image can hold; they are sparse.
const VOLUME_BYTES: u64 = 64 * GIB;

/// Debian's package with a kernel's source, and how the tarball in it is named.
const LINUX_SOURCE: &str = "linux-source-6.1";
const SYSTEM_SOURCES: &str = "/usr/src";

/// Where the cases run.
pub struct Lab {
    pub options: Options,
    pub hardback: Hardback,
    pub rsync: PathBuf,
    pub small: SmallFiles,
    pub last_change: LastChange,
    pub has_linux: bool,
    source: Volume,
    serial: Cell<u32>,
    changes: Cell<u64>,
    _lock: File,
}

impl Lab {
    /// Makes the corpora that `cases` need, and waits until they are not hot.
    pub fn set_up(options: Options, program: PathBuf, cases: &[&Case], steps: &mut Steps) -> Result<Self> {
        let dir = &options.dir;
        let lock = prepare(dir)?;
        check_room(&options, cases)?;
        let state = dir.join("state");
        fs::create_dir(&state)?;
        let source = Volume::create(Kind::Ext4, dir.join("source"), VOLUME_BYTES)?;
        let mut lab = Self {
            hardback: Hardback { program, state },
            rsync: find_program("rsync").context("no rsync")?,
            small: SmallFiles::new(source.path().join("small"), options.sizes.small_files),
            last_change: LastChange::default(),
            has_linux: false,
            serial: Cell::new(0),
            changes: Cell::new(0),
            source,
            options,
            _lock: lock,
        };
        for corpus in Corpus::ALL {
            if cases.iter().any(|case| case.corpus == *corpus) {
                lab.make(*corpus, steps)?;
            }
        }
        lab.last_change.wait_until_past();
        Ok(lab)
    }

    /// A folder of the source volume.
    pub fn source(&self, name: &str) -> PathBuf {
        self.source.path().join(name)
    }

    /// A new, empty volume.
    pub fn volume(&self, kind: Kind) -> Result<Volume> {
        self.volume_of(kind, VOLUME_BYTES)
    }

    /// A new, empty volume of a size.
    pub fn volume_of(&self, kind: Kind, bytes: u64) -> Result<Volume> {
        let serial = self.serial.replace(self.serial.get() + 1);
        Volume::create(kind, self.options.dir.join(format!("{}-{serial}", kind.name())), bytes)
    }

    /// The number of a change of the source, from 1; no two have the same.
    pub fn next_change(&self) -> u64 {
        self.changes.set(self.changes.get() + 1);
        self.changes.get()
    }

    /// Runs and measures `task`.
    pub fn timed(&self, cache: Cache, task: &Command) -> Result<Sample> {
        timed(cache, &self.options.dir, task)
    }

    /// Runs and measures `task`, and by how much it makes `volume` grow.
    pub fn timed_on(&self, cache: Cache, task: &Command, volume: &Volume) -> Result<Sample> {
        let before = volume.used_bytes()?;
        let sample = self.timed(cache, task)?;
        let grown = volume.used_bytes()? as f64 - before as f64;
        Ok(Sample { written_mib: Some(grown / 1024.0 / 1024.0), ..sample })
    }

    /// Reads all of a tree, so that the cache is warm.
    pub fn read(&self, tree: &Path) -> Result<()> {
        self.timed(Cache::Warm, &shell(TAR_READ, &[tree])).map(drop)
    }

    fn make(&mut self, corpus: Corpus, steps: &mut Steps) -> Result<()> {
        let sizes = self.options.sizes;
        println!("    making {corpus:?}");
        match corpus {
            Corpus::Small => self.small.write()?,
            Corpus::Large => corpus::write_large_files(&self.source("large"), 4, sizes.large_file_bytes)?,
            Corpus::Moved => {
                let album = self.source("moved").join("album-0");
                corpus::write_photos(&album, sizes.moved_files, sizes.moved_bytes)?;
            }
            Corpus::Linux => match self.unpack_linux() {
                Ok(()) => self.has_linux = true,
                Err(error) => steps.skip("the source of Linux", format!("{error:#}")),
            },
            // Made by its case, on a volume of its own.
            Corpus::Huge => {}
        }
        self.last_change.now();
        Ok(())
    }

    fn unpack_linux(&self) -> Result<()> {
        let tarball = match linux_tarball()? {
            Some(tarball) => tarball,
            None if self.options.quick => bail!("{LINUX_SOURCE} is not installed, and this is the quick bench"),
            None => {
                if let Some(why) = needed::why_not_installable() {
                    bail!("{LINUX_SOURCE} is not installed: {why}");
                }
                needed::apt_update()?;
                needed::apt_install(&[LINUX_SOURCE])?;
                linux_tarball()?.with_context(|| format!("{LINUX_SOURCE} brought no tarball"))?
            }
        };
        let folder = self.source("linux");
        fs::create_dir(&folder)?;
        output(command("tar").arg("-C").args([&folder, Path::new("-xf"), &tarball])).map(drop)
    }
}

/// Empties the folder to work in, which nobody else may use until the result
/// goes; what is there must be from a bench that was stopped.
fn prepare(dir: &Path) -> Result<File> {
    const MARK: &str = "hardback-bench";
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let is_ours = dir.join(MARK).exists() || fs::read_dir(dir)?.next().is_none();
    ensure!(is_ours, "{} is not empty and not from a bench", dir.display());
    let lock = File::create(dir.join(MARK))?;
    if lock.try_lock().is_err() {
        bail!("another bench works in {}", dir.display());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false if entry.file_name() == MARK => {}
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(lock)
}

/// A sparse image that outgrows the disk below it fails in ugly ways, so ask
/// before: the corpora, and two targets of the biggest of them, one of which
/// takes it twice.
fn check_room(options: &Options, cases: &[&Case]) -> Result<()> {
    let sizes = options.sizes;
    let bytes = |corpus: &Corpus| match corpus {
        // The mean of what is stored, in whole blocks.
        Corpus::Small => sizes.small_files * 7500,
        Corpus::Large => sizes.large_file_bytes * 4,
        Corpus::Moved => sizes.moved_bytes,
        Corpus::Linux => 3 * GIB / 2,
        // An inode of 512 bytes, and every 16th a block.
        Corpus::Huge => sizes.huge_files * 800,
    };
    let wanted: Vec<u64> =
        Corpus::ALL.iter().filter(|c| cases.iter().any(|case| case.corpus == **c)).map(bytes).collect();
    let need = GIB + wanted.iter().sum::<u64>() + 3 * wanted.iter().max().unwrap_or(&0);
    let stat = rustix::fs::statvfs(&options.dir)?;
    let free = stat.f_bavail * stat.f_frsize;
    ensure!(
        free >= need,
        "{} has {} GiB free, and the bench may need {}; take another --dir, --quick or one case with --only",
        options.dir.display(),
        free / GIB,
        need.div_ceil(GIB),
    );
    Ok(())
}

fn linux_tarball() -> Result<Option<PathBuf>> {
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("linux-source-") && name.contains(".tar")
    };
    let paths = fs::read_dir(SYSTEM_SOURCES)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().find(is_wanted))
}
