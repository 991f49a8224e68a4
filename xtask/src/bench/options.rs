//! The arguments of `cargo xtask bench`.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use super::cases::Case;
use super::measure::Cache;
use super::volume::Kind;
use crate::process::workspace_root;

pub const USAGE: &str = "usage: cargo xtask bench [options]

  --quick            everything small, one run, warm cache only: does the bench work?
  --only NAME        this case only; may be given again
  --fs LIST          volumes of the target: ext4,xfs,btrfs (all)
  --cache LIST       warm,cold (both); cold drops the caches of the whole machine
  --runs N           runs of each contender (3)
  --files N          small files (500000)
  --huge             also the memory for 5,000,000 entries
  --dir DIR          where the images are made (target/bench)
  --program FILE     a hardback that is built already
  --markdown FILE    also write the tables there

  environment: RSYNC_OLD, an rsync before 3.2.8 to run beside the system's";

const GIB: u64 = 1 << 30;

/// What is measured, and how often and how big.
pub struct Options {
    only: Vec<String>,
    pub volumes: Vec<Kind>,
    pub caches: Vec<Cache>,
    pub runs: usize,
    pub huge: bool,
    pub quick: bool,
    pub dir: PathBuf,
    pub program: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    pub rsync_old: Option<PathBuf>,
    pub sizes: Sizes,
}

/// How big the corpora are.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub small_files: u64,
    pub large_file_bytes: u64,
    pub moved_files: u64,
    pub moved_bytes: u64,
    pub huge_files: u64,
}

const FULL: Sizes = Sizes {
    small_files: 500_000,
    large_file_bytes: GIB,
    moved_files: 20_000,
    moved_bytes: 5 * 1000 * 1000 * 1000,
    huge_files: 5_000_000,
};

const QUICK: Sizes = Sizes {
    small_files: 20_000,
    large_file_bytes: GIB / 16,
    moved_files: 2_000,
    moved_bytes: 200 * 1000 * 1000,
    huge_files: 100_000,
};

impl Options {
    /// Reads the arguments; what is not said depends on `--quick`.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let quick = arguments.iter().any(|word| word == "--quick");
        let mut options = Self {
            only: Vec::new(),
            volumes: Kind::ALL.to_vec(),
            caches: if quick { vec![Cache::Warm] } else { vec![Cache::Warm, Cache::Cold] },
            runs: if quick { 1 } else { 3 },
            huge: false,
            quick,
            dir: workspace_root().join("target/bench"),
            program: None,
            markdown: None,
            rsync_old: env::var_os("RSYNC_OLD").map(PathBuf::from),
            sizes: if quick { QUICK } else { FULL },
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => {}
                "--huge" => options.huge = true,
                "--only" => options.only.push(value()?.clone()),
                "--fs" => options.volumes = list(value()?)?,
                "--cache" => options.caches = list(value()?)?,
                "--runs" => options.runs = value()?.parse().context("--runs needs a number")?,
                "--files" => options.sizes.small_files = value()?.parse().context("--files needs a number")?,
                "--dir" => options.dir = std::path::absolute(value()?)?,
                "--program" => options.program = Some(std::path::absolute(value()?)?),
                "--markdown" => options.markdown = Some(std::path::absolute(value()?)?),
                _ => bail!("there is no option {word:?}\n{USAGE}"),
            }
        }
        ensure!(options.runs > 0 && options.sizes.small_files > 0, "nothing to measure");
        Ok(options)
    }

    /// Whether a case was asked for.
    pub fn wants(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case.name)
    }

    /// The sizes, as a paragraph of the report.
    pub fn describe(&self) -> String {
        let Sizes { small_files, large_file_bytes, moved_files, moved_bytes, .. } = self.sizes;
        format!(
            "\nCorpora on ext4: {small_files} small files (lognormal, median 2 KiB), 4 files of {} MiB, a folder of \
             {moved_files} files with {} MB. {} runs of each contender, turn by turn; medians, and least to most.\n",
            large_file_bytes >> 20,
            moved_bytes / 1_000_000,
            self.runs,
        )
    }
}

fn list<T: FromStr<Err = anyhow::Error>>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn quick_changes_what_is_not_said_wherever_it_stands() {
        let options = parse("--files 77 --quick").unwrap();
        assert_eq!((options.sizes.small_files, options.runs), (77, 1));
        assert_eq!(options.sizes.moved_files, QUICK.moved_files);
        assert_eq!(parse("").unwrap().sizes.small_files, 500_000);
    }

    #[test]
    fn lists_are_read_and_strange_words_refused() {
        assert_eq!(parse("--fs xfs,ext4").unwrap().volumes, [Kind::Xfs, Kind::Ext4]);
        assert_eq!(parse("--cache cold").unwrap().caches, [Cache::Cold]);
        for line in ["--fs fat", "--cache lukewarm", "--runs", "--runs 0", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
