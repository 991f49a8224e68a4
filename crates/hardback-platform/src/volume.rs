//! What a volume is and what is left on it; the twins find it out.

/// Which file system a volume has; decides limits that cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the file system of its name")]
pub enum VolumeKind {
    Ext,
    Xfs,
    Btrfs,
    Zfs,
    F2fs,
    Tmpfs,
    Overlay,
    Ntfs,
    Fat,
    Network,
    Fuse,
    Other,
}

/// Most names of one file that hardback gives on NTFS, whoever mounts it: Windows allows 1,024.
pub(crate) const NTFS_LINKS_MAX: u64 = 1000;

/// What can be relied on, by kind of file system. Everything else is found out by trying.
#[derive(Debug, Clone, Copy)]
pub struct VolumeTraits {
    /// Which file system.
    pub kind: VolumeKind,
    /// File ids stay the same while a file lives.
    pub stable_ids: bool,
    /// The change time of an inode is kept by the kernel and moves on every change of content or metadata.
    pub reliable_ctime: bool,
    /// It is an NTFS, and whoever mounted it did so that its named streams, or all that NTFS keeps beside the content,
    /// cannot be seen.
    pub hides_streams: bool,
    /// Number that volumes of one disk share although they look like two: the subvolumes of a Btrfs.
    pub pool: Option<u64>,
    /// Cap on the names of one file, lower than what the volume would take.
    pub links_max: Option<u64>,
}

/// A volume with less free bytes counts as one without any.
const FREE_BYTES_MIN: u64 = 1 << 20;
/// A volume with no more free entries counts as one without any: a run that stops gives back what its threads began.
const FREE_ENTRIES_FEW: u64 = 64;

/// Free room on a volume.
#[derive(Debug, Clone, Copy)]
pub struct FreeSpace {
    /// Bytes that this user can still write.
    pub free_bytes: u64,
    /// Size of the volume in bytes.
    pub total_bytes: u64,
    /// Entries that can still be made; `None` where the volume has no such limit.
    pub free_entries: Option<u64>,
    /// Entries that the volume can hold; `None` where it has no such limit.
    pub total_entries: Option<u64>,
}

impl FreeSpace {
    /// Returns whether it is entries that the volume lacks, and not bytes. A volume that makes them of free room (XFS) has
    /// none left where it has no bytes either.
    pub fn lacks_entries(&self) -> bool {
        self.free_entries.is_some_and(|free| free <= FREE_ENTRIES_FEW) && self.free_bytes >= FREE_BYTES_MIN
    }
}

impl VolumeTraits {
    /// Makes a FUSE volume that is NTFS below known as such.
    #[must_use]
    pub fn as_ntfs(mut self) -> Self {
        self.kind = VolumeKind::Ntfs;
        self.links_max = Some(NTFS_LINKS_MAX);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_lacks_entries_where_it_has_none_and_has_bytes() {
        let space = |free_bytes, free_entries: Option<u64>| {
            let total_entries = free_entries.map(|_| 1 << 16);
            FreeSpace { free_bytes, total_bytes: 1 << 30, free_entries, total_entries }
        };
        assert!(space(FREE_BYTES_MIN, Some(0)).lacks_entries());
        assert!(space(1 << 29, Some(FREE_ENTRIES_FEW)).lacks_entries());
        for other in [space(1 << 29, None), space(1 << 29, Some(1000)), space(0, Some(0)), space(4096, Some(0))] {
            assert!(!other.lacks_entries(), "{other:?}");
        }
    }
}
