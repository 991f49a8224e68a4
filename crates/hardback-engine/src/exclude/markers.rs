//! Directories that exclude themselves by what they hold.
//!
//! Two customs: a file of an agreed name (`--exclude-if-present NAME`), and the Cache Directory Tagging
//! Specification (`--exclude-caches`, <https://bford.info/cachedir/>), which cargo, ccache and restic follow. The
//! meaning is that of GNU tar and restic: the directory stays, and in it the marker alone, so that after a restore
//! it is marked again; everything else in it stays out. Reading names and first bytes is the walker's work.

use super::rule::same_folded;

/// The name of the file that tags a cache directory.
pub const CACHEDIR_TAG_NAME: &[u8] = b"CACHEDIR.TAG";

/// What that file begins with; 43 bytes, fixed by the specification.
pub const CACHEDIR_TAG_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Which markers count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryMarkers {
    /// Names that mark a directory by being there.
    pub if_present: Vec<Vec<u8>>,
    /// Whether a `CACHEDIR.TAG` with the right signature marks a directory.
    pub caches: bool,
    /// Whether names differ by case alone: on for sources on Windows.
    pub case_insensitive: bool,
}

/// What the walker has to do with an entry whose name is a marker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// The name is enough: the directory is marked, whatever kind the entry has.
    Present,
    /// The directory is marked if this is a regular file that passes [`is_cachedir_tag`].
    CacheTag,
}

impl DirectoryMarkers {
    /// Tells whether no marker counts, so that the walker need not ask.
    pub fn is_empty(&self) -> bool {
        self.if_present.is_empty() && !self.caches
    }

    /// Returns whether an entry of this name can mark its directory. The walker asks once per entry.
    pub fn candidates(&self, name: &[u8]) -> Option<MarkerKind> {
        if self.if_present.iter().any(|marker| self.same_name(marker, name)) {
            return Some(MarkerKind::Present);
        }
        (self.caches && self.same_name(CACHEDIR_TAG_NAME, name)).then_some(MarkerKind::CacheTag)
    }

    fn same_name(&self, marker: &[u8], name: &[u8]) -> bool {
        marker == name || (self.case_insensitive && same_folded(marker, name))
    }
}

/// Tells whether a file that begins with these bytes is a cache directory's tag.
///
/// The walker hands over at least the first 43 bytes, or the whole file if it is shorter.
pub fn is_cachedir_tag(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(CACHEDIR_TAG_SIGNATURE)
}
