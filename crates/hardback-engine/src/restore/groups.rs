//! Several names of one file at the source become several names of one file at the place.
//!
//! Only names that are stored alike: where some could not be read, what an older run stored of them was carried over, and
//! the others may have another content by now.

use crate::groups::{self, Key};
use crate::manifest::{Digest, Entry};
use hardback_platform::{FileId, RelPath};

/// Returns the key of an entry: which file at the source, in which version. `None` if it is its file's only name.
/// `volume` is the number of its volume, as the manifest tells it, `content` its digest, if it has one that can be read.
pub(super) fn key_of(volume: u64, entry: &Entry, content: Option<Digest>) -> Option<Key> {
    let inode = entry.inode.filter(|_| entry.nlink > 1)?;
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(&volume.to_le_bytes());
    add(&inode.to_le_bytes());
    match (content, entry.content) {
        (Some(digest), _) => add(&digest),
        // Without their digests two contents are one only if one copy is behind both.
        (None, Some(copy)) => add(&[&copy.generation.to_le_bytes()[..], &copy.ordinal.to_le_bytes()].concat()),
        (None, None) => add(b""),
    }
    let (kind, time) = (entry.kind, entry.mtime);
    add(format!("{kind:?} {} {} {}", entry.size_bytes, time.seconds, time.nanos).as_bytes());
    let attributes = entry.attributes().0;
    add(format!("{:?} {:?} {:?} {attributes}", entry.mode, entry.owner, entry.device()).as_bytes());
    add(entry.link_text().unwrap_or_default());
    for (name, value) in entry.xattrs() {
        add(name);
        add(value);
    }
    hasher.finalize().as_bytes().first_chunk().copied()
}

/// Where the first name of a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    /// Which of the places.
    pub(super) root: usize,
    /// Path of the folder below it.
    pub(super) folder: RelPath,
    /// Name in the folder.
    pub(super) name: Box<[u8]>,
    /// Which file it is there.
    pub(super) id: FileId,
}

impl groups::First for First {
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.root as u64, self.id.volume, self.id.file, self.name.len() as u64];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(self.folder.as_bytes());
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || {
            let (number, rest) = bytes.split_first_chunk()?;
            bytes = rest;
            Some(u64::from_le_bytes(*number))
        };
        let (root, volume, file, name_bytes) = (number()?, number()?, number()?, number()?);
        let (name, folder) = bytes.split_at_checked(usize::try_from(name_bytes).ok()?)?;
        Some(Self {
            root: usize::try_from(root).ok()?,
            folder: RelPath::from_bytes(folder).ok()?,
            name: name.into(),
            id: FileId { volume, file },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::First as _;

    #[test]
    fn where_a_first_name_is_comes_back_from_its_bytes() {
        for folder in [&b""[..], b"a", b"a/b c/\xff"] {
            let folder = RelPath::from_bytes(folder).unwrap();
            let first = First { root: 2, folder, name: b"a name"[..].into(), id: FileId { volume: 7, file: 1 << 60 } };
            assert_eq!(First::from_bytes(&first.to_bytes()), Some(first));
        }
    }
}
