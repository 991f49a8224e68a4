//! What a backup by the rules of a snapshot leaves out of its sources as they are now.

use crate::context::Context;
use crate::exclude::{DIRECTORY_FILE_NAME, ExcludeRules};
use crate::excludes::{Excludes, IGNORE_FILE_BYTES_MAX, is_left_out};
use crate::manifest::{ExcludeRecord, Header};
use hardback_platform::{Dir, Listing, Metadata, RelPath};

/// The rules of a snapshot.
#[derive(Default)]
pub(super) struct Recorded {
    excludes: Excludes,
    /// `None`: they are not known, and nothing is left out.
    record: Option<ExcludeRecord>,
}

/// What they say in one folder.
#[derive(Debug, Clone, Default)]
pub(super) struct InFolder {
    rules: ExcludeRules,
    /// All is left out but what has this name, if any has.
    all_but: Option<Vec<u8>>,
}

impl Recorded {
    pub(super) fn of(ctx: &Context<'_>, header: &Header) -> Self {
        let Some(record) = &header.excludes else { return Self::default() };
        match Excludes::of_record(record) {
            Ok(excludes) => Self { excludes, record: Some(record.clone()) },
            Err(error) => {
                let snapshot = &header.snapshot;
                ctx.monitor.notice(&format!(
                    "what {snapshot} left out is told as added: one of the rules in its record is wrong: {error}"
                ));
                Self::default()
            }
        }
    }

    /// Returns what the rules say in a source's top folder, before it is looked at.
    pub(super) fn top(&self) -> InFolder {
        InFolder { rules: self.excludes.rules.clone(), all_but: None }
    }

    /// Returns what the rules say in a folder, by what it says of itself too: a marker, a list.
    pub(super) fn enter(&self, around: InFolder, dir: &Dir, listing: &Listing, below: &RelPath) -> InFolder {
        let mut inside = around;
        let Some(record) = self.record.as_ref().filter(|_| inside.all_but.is_none()) else { return inside };
        // As in a backup, a marker that cannot be read leaves nothing out.
        inside.all_but = self.excludes.marker_in(listing, dir).ok().flatten();
        if !record.no_ignore_files && listing.has_file(DIRECTORY_FILE_NAME) {
            let text = dir.open_file(DIRECTORY_FILE_NAME).and_then(|file| file.read_to_vec(IGNORE_FILE_BYTES_MAX));
            // As in a backup, a list that cannot be read or understood leaves nothing out.
            let rules = text.ok().and_then(|text| inside.rules.with_directory_file(below.as_bytes(), &text).ok());
            inside.rules = rules.unwrap_or(inside.rules);
        }
        inside
    }

    /// Returns whether a folder on another volume than its source is not looked into.
    pub(super) fn stays_on_volume(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.one_file_system)
    }

    /// Returns whether an entry is left out for its size or an attribute.
    pub(super) fn leaves_out(&self, metadata: &Metadata) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| is_left_out(metadata, record.max_size_file_bytes, record.nodump))
    }
}

impl InFolder {
    /// Returns it with all in the folder left out.
    pub(super) fn nothing(self) -> Self {
        Self { all_but: Some(Vec::new()), ..self }
    }

    /// Returns whether an entry of the folder is left out; `path` is its path below its source.
    pub(super) fn leaves_out(&self, path: &RelPath, is_dir: bool) -> bool {
        match &self.all_but {
            Some(kept) => path.name() != &kept[..],
            None => !self.rules.is_empty() && self.rules.check(path.as_bytes(), is_dir).is_excluded(),
        }
    }
}
