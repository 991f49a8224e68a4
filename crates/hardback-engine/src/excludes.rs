//! What a backup leaves out: rules on paths, and folders that mark themselves.

use crate::exclude::{DirectoryMarkers, ExcludeRules, MarkerKind, is_cachedir_tag};
use hardback_platform::{Dir, Kind, Listing};

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

impl Excludes {
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
