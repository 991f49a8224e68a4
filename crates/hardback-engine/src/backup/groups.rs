//! What the names of one inode at the source share, so that they become several names of one inode in the snapshot.

use crate::groups::{self, Key};
use crate::manifest::{ContentRef, DIGEST_BYTES, Digest, Entry, entry_from_bytes, entry_to_bytes};
use hardback_platform::FileId;

/// What the first name of a group stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    /// Path in the new tree, of names as they are stored.
    pub(super) path: Vec<u8>,
    /// The content.
    pub(super) stored: Stored,
    /// Its entry. The other names are recorded with this one's metadata, not with what the source says when their turn
    /// comes: if it changed meanwhile, the next run must see that.
    pub(super) entry: Entry,
}

/// Where a content is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing to record: an empty file, or no file.
    Nothing,
    /// Copied by this run.
    New(Digest),
    /// Recorded by an earlier run.
    Known(ContentRef),
}

/// Returns the key of the group of a file.
pub(super) fn key_of(id: FileId) -> Key {
    (u128::from(id.volume) << 64 | u128::from(id.file)).to_le_bytes()
}

impl groups::First for First {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stored {
            Stored::Nothing => bytes.push(0),
            Stored::New(digest) => {
                bytes.push(1);
                bytes.extend_from_slice(&digest);
            }
            Stored::Known(content) => {
                bytes.push(2);
                bytes.extend_from_slice(&content.generation.to_le_bytes());
                bytes.extend_from_slice(&content.ordinal.to_le_bytes());
            }
        }
        let path_bytes = u32::try_from(self.path.len()).expect("a path is shorter than 4 GiB");
        bytes.extend_from_slice(&path_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.path);
        bytes.extend_from_slice(&entry_to_bytes(&self.entry));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let (stored, rest) = match tag {
            0 => (Stored::Nothing, rest),
            1 => {
                let (digest, rest) = rest.split_first_chunk::<DIGEST_BYTES>()?;
                (Stored::New(*digest), rest)
            }
            _ => {
                let (generation, rest) = rest.split_first_chunk::<4>()?;
                let (ordinal, rest) = rest.split_first_chunk::<8>()?;
                let content =
                    ContentRef { generation: u32::from_le_bytes(*generation), ordinal: u64::from_le_bytes(*ordinal) };
                (Stored::Known(content), rest)
            }
        };
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (path, entry) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self { path: path.to_vec(), stored, entry: entry_from_bytes(entry)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::First as _;
    use hardback_platform::Kind;

    #[test]
    fn what_a_first_name_stored_comes_back_from_its_bytes() {
        let content = ContentRef { generation: 3, ordinal: 9 };
        for stored in [Stored::Nothing, Stored::New([7; 32]), Stored::Known(content)] {
            let mut entry = Entry::new(b"a name", Kind::File);
            entry.size_bytes = 5;
            entry.inode = Some(8);
            entry.ctime = Some(entry.mtime);
            entry.content = Some(content);
            let first = First { path: b"a/b/a name".to_vec(), stored, entry };
            assert_eq!(First::from_bytes(&first.to_bytes()), Some(first));
        }
    }
}
