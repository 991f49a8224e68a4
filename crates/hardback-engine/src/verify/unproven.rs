//! Files of a snapshot whose digests cannot be had: told once for each digest list, however many files need it. And
//! what was not read or not proven at all, for whoever comes by again.

use crate::damage::Contents;
use crate::error::Error;
use crate::manifest::ContentRef;
use crate::target::layout;
use hardback_platform::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The files of the snapshot that is being verified, by the generation of the list that they need.
#[derive(Debug, Default)]
pub(super) struct Unproven(Mutex<BTreeMap<u32, Files>>);

#[derive(Debug)]
struct Files {
    count: u64,
    first: RelPath,
    why: String,
}

impl Unproven {
    /// Notes a file.
    pub(super) fn note(&self, generation: u32, error: &Error, path: impl FnOnce() -> RelPath) {
        let mut all = self.0.lock().expect("no panic while the files are held");
        let files =
            all.entry(generation).or_insert_with(|| Files { count: 0, first: path(), why: error.with_causes() });
        files.count += 1;
    }

    /// Returns what there is to tell of the snapshot, a line for each list, and forgets it.
    pub(super) fn take(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.0.lock().expect("no panic while the files are held"));
        all.into_iter().map(|(generation, files)| files.told(generation)).collect()
    }
}

impl Files {
    fn told(&self, generation: u32) -> String {
        let list = String::from_utf8_lossy(&layout::digests_name(generation)).into_owned();
        let files = match self.count {
            1 => format!("{} is", self.first),
            count => format!("{count} files, such as {}, are", self.first),
        };
        format!("{files} not proven by the digest list {list}: {}", self.why)
    }
}

/// What was come by and is neither good nor damaged, as far as anybody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Contents of files that could not be read.
    pub(crate) contents: Contents,
    /// Generations of the digest lists that could not be relied on.
    pub(crate) lists: BTreeSet<u32>,
    /// There were more contents than are kept.
    pub(crate) is_too_much: bool,
}

impl Unread {
    /// Contents that are kept.
    pub(crate) const CONTENTS_MAX: usize = 10_000;

    /// Notes a file that could not be read.
    pub(super) fn note(&mut self, content: ContentRef) {
        if self.contents.len() < Self::CONTENTS_MAX || self.contents.contains(&content) {
            self.contents.insert(content);
        } else {
            self.is_too_much = true;
        }
    }
}
