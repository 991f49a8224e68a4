//! What a volume is and what is left on it.

use rustix::fs::{StatFs, StatVfs};

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
const NTFS_LINKS_MAX: u64 = 1000;

/// What can be relied on, by kind of file system. Everything else is found out by trying.
#[derive(Debug, Clone, Copy)]
pub struct VolumeTraits {
    /// Which file system.
    pub kind: VolumeKind,
    /// File ids stay the same while a file lives.
    pub stable_ids: bool,
    /// The change time of an inode is kept by the kernel and moves on every change of content or metadata.
    pub reliable_ctime: bool,
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
}

impl VolumeTraits {
    pub(crate) fn of(stat: &StatFs) -> Self {
        // The numbers are those of <linux/magic.h>.
        let kind = match stat.f_type as u64 & 0xffff_ffff {
            0xef53 => VolumeKind::Ext,
            0x5846_5342 => VolumeKind::Xfs,
            0x9123_683e => VolumeKind::Btrfs,
            0x2fc1_2fc1 => VolumeKind::Zfs,
            0xf2f5_2010 => VolumeKind::F2fs,
            0x0102_1994 | 0x8584_58f6 => VolumeKind::Tmpfs,
            0x794c_7630 => VolumeKind::Overlay,
            0x5346_544e | 0x7366_746e => VolumeKind::Ntfs,
            0x4d44 | 0x2011_bab0 => VolumeKind::Fat,
            0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b => VolumeKind::Network,
            0x6573_5546 => VolumeKind::Fuse,
            _ => VolumeKind::Other,
        };
        let native = matches!(
            kind,
            VolumeKind::Ext | VolumeKind::Xfs | VolumeKind::Btrfs | VolumeKind::Zfs | VolumeKind::F2fs
                | VolumeKind::Tmpfs
        );
        Self {
            kind,
            stable_ids: native || kind == VolumeKind::Ntfs,
            reliable_ctime: native,
            links_max: (kind == VolumeKind::Ntfs).then_some(NTFS_LINKS_MAX),
        }
    }

    /// Makes a FUSE volume that is NTFS below known as such.
    #[must_use]
    pub fn as_ntfs(mut self) -> Self {
        self.kind = VolumeKind::Ntfs;
        self.links_max = Some(NTFS_LINKS_MAX);
        self
    }
}

impl FreeSpace {
    pub(crate) fn of(stat: &StatVfs) -> Self {
        Self {
            free_bytes: stat.f_bavail * stat.f_frsize,
            total_bytes: stat.f_blocks * stat.f_frsize,
            free_entries: (stat.f_files > 0).then_some(stat.f_favail),
        }
    }
}
