//! Files of a snapshot whose digests cannot be had: told once for each digest list, however many files need it.

use crate::error::Error;
use crate::target::layout;
use hardback_platform::RelPath;
use std::collections::BTreeMap;
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
