//! The record of a snapshot: what was stored, how it compares, what could not be kept.
//!
//! The format is `docs/format.md`: mtree(5) text in zstd frames, digests apart. Nothing here loads a manifest whole;
//! a reader is a stream of lines in tree order. This module knows no files: it reads and writes bytes.

mod cursor;
mod excludes;
mod reader;
mod seal;
mod text;
mod writer;

pub use cursor::{EntriesByPosition, OwnerNames, TreeCursor};
pub use excludes::ExcludeRecord;
pub use reader::{Line, Position, ReadAt, Reader, Unstored};
pub use seal::{Seal, SealBase};
pub(crate) use text::{entry_from_bytes, entry_to_bytes};
pub use text::{escape, unescape};
pub use writer::{Finished, ManifestWriter, Totals};

use crate::problem::ProblemKind;
use hardback_platform::{Attributes, Kind, Owner, Time, Xattrs, ntfs};

/// Version of the format that this build writes.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;

/// A BLAKE3 digest of a content.
pub type Digest = [u8; DIGEST_BYTES];

/// Which stored content: the generation that copied it and its place in that generation's digest list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentRef {
    /// Generation of the run that copied the content.
    pub generation: u32,
    /// Place in the digest list of that generation, from 0.
    pub ordinal: u64,
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in its directory; `.` for the root.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Size of a file's content in bytes; 0 for others.
    pub size_bytes: u64,
    /// Modification time at the source.
    pub mtime: Time,
    /// Change time of the source's inode, where it can be relied on.
    pub ctime: Option<Time>,
    /// File id at the source, where it is stable.
    pub inode: Option<u64>,
    /// Number of names at the source.
    pub nlink: u64,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner and group.
    pub owner: Option<Owner>,
    /// Which content is stored; `None` for an empty file, for anything but a file, and where nothing is stored.
    pub content: Option<ContentRef>,
    /// Touched so shortly before it was read that size and time prove nothing: compare the content next time.
    pub hot: bool,
    /// What few entries have.
    pub extra: Option<Box<Extra>>,
}

/// What few entries have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Text of a symlink.
    pub link_text: Option<Vec<u8>>,
    /// Device number.
    pub device: Option<(u32, u32)>,
    /// Attribute bits.
    pub attributes: Attributes,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Name in the tree, where it is another than the entry's.
    pub stored: Option<Vec<u8>>,
    /// Not in the tree at all: the target cannot hold it, only this record does.
    pub absent: bool,
    /// What went wrong.
    pub problem: Option<ProblemKind>,
    /// The content is the raw stream of an encrypted file, which has so many bytes for who can read it.
    pub raw_of: Option<u64>,
    /// Number of the source's volume, on a directory whose parent lies on another one.
    pub volume: Option<u64>,
}

impl Entry {
    /// Makes an entry with nothing known.
    pub fn new(name: &[u8], kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            size_bytes: 0,
            mtime: Time::default(),
            ctime: None,
            inode: None,
            nlink: 1,
            mode: None,
            owner: None,
            content: None,
            hot: false,
            extra: None,
        }
    }

    /// Returns what few entries have, made if it is not there.
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Returns the extended attributes.
    pub fn xattrs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        self.extra.as_ref().map_or(&[], |e| &e.xattrs)
    }

    /// Returns whether the extended attributes of the source are still those of this record.
    pub fn still_has_xattrs(&self, now: &[(Vec<u8>, Vec<u8>)]) -> bool {
        ntfs::is_same(self.xattrs(), now)
    }

    /// Returns whether the extended attributes of a stored or restored entry are these. The label that the system's own
    /// policy gives does not count, nor what an NTFS has of each entry and this record does not.
    pub fn has_xattrs(&self, found: &[(Vec<u8>, Vec<u8>)]) -> bool {
        self.has_xattrs_but(found, |_| false)
    }

    /// Does the same where attributes of some names are not kept.
    pub fn has_xattrs_but(&self, found: &[(Vec<u8>, Vec<u8>)], is_lost: impl Fn(&[u8]) -> bool) -> bool {
        let is_label = |name: &[u8]| name == b"security.selinux";
        let wanted = || self.xattrs().iter().filter(|(name, _)| !is_label(name) && !is_lost(name));
        let of_the_volume = |name: &[u8]| ntfs::is_fact(name) && ntfs::get(self.xattrs(), name).is_none();
        let counts = |name: &[u8]| !is_label(name) && !of_the_volume(name) && !is_lost(name);
        let found = || found.iter().filter(|(name, _)| counts(name));
        wanted().count() == found().count()
            && wanted().zip(found()).all(|(a, b)| a.0 == b.0 && ntfs::is_kept(&a.0, &a.1, &b.1))
    }

    /// Returns the bytes of the plain content, where what is stored is the raw stream of an encrypted file.
    pub fn raw_of(&self) -> Option<u64> {
        self.extra.as_ref()?.raw_of
    }

    /// Returns whether it is a file that is encrypted at the source, and stored as its user reads it.
    pub fn is_decrypted(&self) -> bool {
        self.kind == Kind::File
            && ntfs::attributes_in(self.xattrs()) & ntfs::ENCRYPTED != 0
            && self.raw_of().is_none()
            && ntfs::get(self.xattrs(), ntfs::EFS).is_none()
    }

    /// Returns the attribute bits.
    pub fn attributes(&self) -> Attributes {
        self.extra.as_ref().map_or(Attributes(0), |e| e.attributes)
    }

    /// Returns the name in the tree.
    pub fn stored_name(&self) -> &[u8] {
        self.extra.as_ref().and_then(|e| e.stored.as_deref()).unwrap_or(&self.name)
    }

    /// Returns the text of a symlink.
    pub fn link_text(&self) -> Option<&[u8]> {
        self.extra.as_ref().and_then(|e| e.link_text.as_deref())
    }

    /// Returns the device number.
    pub fn device(&self) -> Option<(u32, u32)> {
        self.extra.as_ref().and_then(|e| e.device)
    }

    /// Returns what went wrong with this entry.
    pub fn problem(&self) -> Option<ProblemKind> {
        self.extra.as_ref().and_then(|e| e.problem)
    }

    /// Returns the number of the source's volume, on a directory where another one begins.
    pub fn volume(&self) -> Option<u64> {
        self.extra.as_ref().and_then(|e| e.volume)
    }

    /// Returns whether the tree holds the entry.
    pub fn is_in_tree(&self) -> bool {
        !self.extra.as_ref().is_some_and(|e| e.absent)
    }

    /// Returns whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
}

/// What the manifest says of the snapshot before its entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Job.
    pub job: String,
    /// Name of the snapshot.
    pub snapshot: String,
    /// Generation.
    pub generation: u32,
    /// When the run started.
    pub started: Time,
    /// Seconds that local time was ahead of UTC then.
    pub utc_offset_s: i32,
    /// Host that ran the backup.
    pub host: String,
    /// Name and generation of the base.
    pub base: Option<(String, u32)>,
    /// Each source: its folder in the snapshot (empty: the top) and its path at the host.
    pub sources: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the backup left out; `None` where that is not recorded, or in a way that this version does not know.
    pub excludes: Option<ExcludeRecord>,
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes cannot be had.
    #[error("cannot read the manifest")]
    Io(#[from] std::io::Error),
    /// Not a manifest, or one of a newer format.
    #[error("the manifest has format {found}; this hardback reads format {FORMAT_VERSION}")]
    Version {
        /// What it says it is.
        found: String,
    },
    /// The compressed data is damaged.
    #[error("the manifest is damaged at byte {offset}: {what}")]
    Damaged {
        /// Offset in the compressed file.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A line cannot be understood.
    #[error("the manifest has a line that cannot be understood ({what}): {line:?}")]
    Line {
        /// What does not fit.
        what: &'static str,
        /// The line.
        line: String,
    },
}
