//! What a backup leaves out: rules on paths, and folders that mark themselves.

use crate::exclude::{DirectoryMarkers, ExcludeBuilder, ExcludeError, ExcludeRules, MarkerKind, is_cachedir_tag};
use crate::manifest::ExcludeRecord;
use hardback_platform::{Attributes, Dir, Kind, Listing, Metadata};

/// Bytes of a tag file that are looked at.
const TAG_BYTES: usize = 64;

/// Longest list of patterns in a folder that is read.
pub(crate) const IGNORE_FILE_BYTES_MAX: usize = 1 << 20;

/// What a backup leaves out.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Rules on paths below the source.
    pub rules: ExcludeRules,
    /// Names that mark a folder whose content is left out.
    pub markers: DirectoryMarkers,
}

/// Returns whether an entry is left out for what it is now: a file above a size in bytes, or one that says "no dump".
pub(crate) fn is_left_out(metadata: &Metadata, max_size_file_bytes: Option<u64>, nodump: bool) -> bool {
    let is_large = |max| metadata.kind == Kind::File && metadata.size_bytes > max;
    (nodump && metadata.attributes.0 & Attributes::NODUMP != 0) || max_size_file_bytes.is_some_and(is_large)
}

impl Excludes {
    /// Makes them of what a manifest says.
    pub(crate) fn of_record(record: &ExcludeRecord) -> Result<Self, ExcludeError> {
        let rules = ExcludeBuilder::from_written(&record.rules).build()?;
        Ok(Self { rules, markers: record.markers.clone() })
    }

    /// Looks for a marker among the entries of a folder; returns its name.
    pub(crate) fn marker_in(&self, listing: &Listing, dir: &Dir) -> Option<Vec<u8>> {
        if self.markers.is_empty() {
            return None;
        }
        let marks = |name: &[u8], kind: Kind| match self.markers.candidates(name)? {
            MarkerKind::Present => Some(()),
            MarkerKind::CacheTag if kind == Kind::File => {
                let mut bytes = [0; TAG_BYTES];
                let n = dir.open_file(name).ok()?.read_full_at(&mut bytes, 0).ok()?;
                is_cachedir_tag(&bytes[..n]).then_some(())
            }
            MarkerKind::CacheTag => None,
        };
        listing.iter().find(|e| marks(e.name, e.kind).is_some()).map(|e| e.name.to_vec())
    }
}
