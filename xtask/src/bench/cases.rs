//! What is measured. The limits are those of the project's second and third issue; what
//! has none is measured to be known.

mod copies;
mod prune;
mod rest;
mod snapshots;

use anyhow::Result;

use super::lab::Lab;
use super::table::Table;
use crate::steps::Steps;

/// Trees that cases back up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corpus {
    Small,
    Large,
    Moved,
    Linux,
    Huge,
}

impl Corpus {
    pub const ALL: &[Self] = &[Self::Small, Self::Large, Self::Moved, Self::Linux, Self::Huge];
}

/// One case.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub corpus: Corpus,
    pub run: fn(&Lab, &mut Steps) -> Result<Vec<Table>>,
}

pub const CASES: &[Case] = &[
    Case {
        name: "first-small",
        about: "The first backup of the small files, onto an empty volume.",
        corpus: Corpus::Small,
        run: copies::first_small,
    },
    Case {
        name: "unchanged-small",
        about: "A snapshot of the small files when nothing changed.",
        corpus: Corpus::Small,
        run: snapshots::unchanged_small,
    },
    Case {
        name: "record-size",
        about: "What is kept beside the tree, for each entry.",
        corpus: Corpus::Small,
        run: rest::record_size,
    },
    Case { name: "memory", about: "Peak memory of hardback.", corpus: Corpus::Small, run: rest::memory },
    Case {
        name: "restore-small",
        about: "All small files back, onto an empty ext4 volume.",
        corpus: Corpus::Small,
        run: copies::restore_small,
    },
    Case {
        name: "verify-full",
        about: "Every byte of a snapshot of the small files read and compared.",
        corpus: Corpus::Small,
        run: rest::verify_full,
    },
    Case {
        name: "prune",
        about: "One of ten snapshots of the small files removed, its unlinking and a sync included.",
        corpus: Corpus::Small,
        run: prune::one_of_ten,
    },
    // Changes the small files, so it comes after the others.
    Case {
        name: "changed-1pct",
        about: "A snapshot of the small files when one of a hundred was rewritten.",
        corpus: Corpus::Small,
        run: snapshots::changed_one_percent,
    },
    Case {
        name: "first-large",
        about: "The first backup of the large files, onto an empty volume.",
        corpus: Corpus::Large,
        run: copies::first_large,
    },
    Case {
        name: "large-1mib-change",
        about: "A snapshot when 1 MiB in the middle of a large file was rewritten.",
        corpus: Corpus::Large,
        run: snapshots::large_change,
    },
    Case {
        name: "renamed-5gb",
        about: "A snapshot when a folder with much in it was renamed.",
        corpus: Corpus::Moved,
        run: snapshots::renamed,
    },
    Case {
        name: "linux-source",
        about: "The source of Linux: first backup, and a snapshot when nothing changed.",
        corpus: Corpus::Linux,
        run: rest::linux_source,
    },
    Case {
        name: "memory-huge",
        about: "Peak memory of hardback with nearly empty files by the million, xfs to xfs (with --huge).",
        corpus: Corpus::Huge,
        run: rest::memory_huge,
    },
];

/// The names of the cases.
pub fn list() -> String {
    let lines = CASES.iter().map(|case| format!("\n  {:<18} {}", case.name, case.about));
    format!("cases:\n{}", lines.collect::<String>())
}
