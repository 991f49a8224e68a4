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
    /// Number that volumes of one disk share although they look like two: the subvolumes of a Btrfs.
    pub pool: Option<u64>,
    /// Cap on the names of one file, lower than what the volume would take.
    pub links_max: Option<u64>,
}

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

impl VolumeTraits {
    /// Makes a FUSE volume that is NTFS below known as such.
    #[must_use]
    pub fn as_ntfs(mut self) -> Self {
        self.kind = VolumeKind::Ntfs;
        self.links_max = Some(NTFS_LINKS_MAX);
        self
    }
}
