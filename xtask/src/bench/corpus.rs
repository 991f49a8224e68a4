//! Trees to back up: the same bytes, names and times on every machine.

use std::f64::consts::TAU;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// Files of a folder.
const FILES_A_DIR: u64 = 38;
/// Folders of a folder.
const DIRS_A_DIR: u64 = 8;

const SMALL_MEDIAN_BYTES: f64 = 2048.0;
/// Of the logarithm.
const SMALL_SPREAD: f64 = 1.2;
const SMALL_BYTES_MAX: f64 = 1048576.0;

/// Times of files lie in ten years from here (2015-01-01).
const FIRST_TIME_S: u64 = 1_420_070_400;
const YEARS_10_S: u64 = 315_000_000;

/// A tree of many small files.
pub struct SmallFiles {
    root: PathBuf,
    files: u64,
    nearly_empty: bool,
}

impl SmallFiles {
    /// Files with content of lognormal size.
    pub fn new(root: PathBuf, files: u64) -> Self {
        Self { root, files, nearly_empty: false }
    }

    /// Files of which one in 16 has a few bytes, the others none.
    pub fn nearly_empty(root: PathBuf, files: u64) -> Self {
        Self { root, files, nearly_empty: true }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the tree.
    pub fn write(&self) -> Result<()> {
        let dirs = self.files.div_ceil(FILES_A_DIR);
        for dir in 0..dirs {
            fs::create_dir(self.dir(dir))?;
        }
        let threads = thread::available_parallelism()?.get() as u64;
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let mine = (worker..dirs).step_by(threads as usize);
                    scope.spawn(move || mine.into_iter().try_for_each(|dir| self.fill(dir)))
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })
        .context("cannot make the small files")
    }

    /// Writes new content of the same size into about one file of a hundred;
    /// another hundredth each round. Returns how many.
    pub fn change_one_percent(&self, round: u64) -> Result<u64> {
        let mut changed = 0;
        for file in 0..self.files {
            if Random::new(file ^ round << 40).next().is_multiple_of(100) {
                let path = self.file(file);
                let bytes = fs::metadata(&path)?.len();
                fs::write(&path, Random::new(!(file ^ round << 40)).bytes(bytes))?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    fn fill(&self, dir: u64) -> io::Result<()> {
        for file in dir * FILES_A_DIR..self.files.min((dir + 1) * FILES_A_DIR) {
            let mut random = Random::new(file);
            let bytes = match self.nearly_empty {
                true if !file.is_multiple_of(16) => 0,
                true => 1 + random.next() % 16,
                false => random.small_size(),
            };
            write_file(&self.file(file), bytes, &mut random)?;
        }
        Ok(())
    }

    fn dir(&self, dir: u64) -> PathBuf {
        match dir {
            0 => self.root.clone(),
            _ => self.dir((dir - 1) / DIRS_A_DIR).join(format!("folder-{dir:05}")),
        }
    }

    fn file(&self, file: u64) -> PathBuf {
        let ending = ["txt", "c", "h", "jpg", "html"][(file % 5) as usize];
        self.dir(file / FILES_A_DIR).join(format!("file-{file:06}.{ending}"))
    }
}

/// Makes `count` files of `bytes` each in `root`.
pub fn write_large_files(root: &Path, count: u64, bytes: u64) -> Result<()> {
    fs::create_dir(root)?;
    for file in 0..count {
        write_file(&large_file(root, file), bytes, &mut Random::new(file ^ 1 << 50))?;
    }
    Ok(())
}

/// The path of one of the large files.
pub fn large_file(root: &Path, file: u64) -> PathBuf {
    root.join(format!("large-{file}.bin"))
}

/// Overwrites `length` bytes in the middle of a file.
pub fn change_middle(path: &Path, length: u64, seed: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::options().write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    file.write_all_at(&Random::new(seed).bytes(length), middle)?;
    Ok(())
}

/// Makes folders of a thousand files, `bytes` in all, in `root`.
pub fn write_photos(root: &Path, files: u64, bytes: u64) -> Result<()> {
    for file in 0..files {
        let folder = root.join(format!("{:03}", file / 1000));
        if file.is_multiple_of(1000) {
            fs::create_dir_all(&folder)?;
        }
        let path = folder.join(format!("photo-{file:05}.jpg"));
        write_file(&path, bytes / files, &mut Random::new(file ^ 1 << 51))?;
    }
    Ok(())
}

fn write_file(path: &Path, bytes: u64, random: &mut Random) -> io::Result<()> {
    const PIECE_BYTES: u64 = 1 << 20;
    let mut file = File::create_new(path)?;
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        file.write_all(&random.bytes(piece))?;
        left -= piece;
    }
    let time = Duration::new(FIRST_TIME_S + random.next() % YEARS_10_S, (random.next() % 1_000_000_000) as u32);
    file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + time))
}

/// SplitMix64: the same numbers everywhere, from any seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Above 0, up to 1.
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn small_size(&mut self) -> u64 {
        let normal = (-2.0 * self.fraction().ln()).sqrt() * (TAU * self.fraction()).cos();
        (SMALL_MEDIAN_BYTES * (SMALL_SPREAD * normal).exp()).clamp(1.0, SMALL_BYTES_MAX) as u64
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let length = length as usize;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_everywhere() {
        // The first numbers of the reference implementation for this seed.
        let mut random = Random::new(1234567);
        assert_eq!([random.next(), random.next()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn half_of_the_small_files_are_below_two_kibibytes() {
        let below = (0..10_000).filter(|file| Random::new(*file).small_size() < 2048).count();
        assert!((4_800..5_200).contains(&below), "{below}");
    }

    #[test]
    fn a_folder_lies_in_the_folder_of_an_eighth_of_its_number() {
        let tree = SmallFiles::new(PathBuf::from("r"), 1000);
        assert_eq!(tree.dir(0), Path::new("r"));
        assert_eq!(tree.dir(10), Path::new("r/folder-00001/folder-00010"));
        assert_eq!(tree.file(38), Path::new("r/folder-00001/file-000038.jpg"));
    }
}
