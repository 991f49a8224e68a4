//! Volumes by the numbers of `statfs`.

use crate::volume::{FreeSpace, NTFS_LINKS_MAX, VolumeKind, VolumeTraits};
use rustix::fs::{StatFs, StatVfs};

/// Returns what the file system of this magic number can be relied on for.
pub(crate) fn traits_of(stat: &StatFs, pool_id: u64) -> VolumeTraits {
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
        VolumeKind::Ext | VolumeKind::Xfs | VolumeKind::Btrfs | VolumeKind::Zfs | VolumeKind::F2fs | VolumeKind::Tmpfs
    );
    VolumeTraits {
        kind,
        // The kernel's own driver shows neither streams nor reparse points; ntfs-3g is told apart later.
        hides_streams: kind == VolumeKind::Ntfs,
        stable_ids: native || kind == VolumeKind::Ntfs,
        reliable_ctime: native,
        // linux: fs/btrfs/super.c btrfs_statfs(): the first word is of the file system's id, the second has the
        // number of the subvolume mixed in.
        pool: (kind == VolumeKind::Btrfs).then_some(pool_id & 0xffff_ffff),
        links_max: (kind == VolumeKind::Ntfs).then_some(NTFS_LINKS_MAX),
    }
}

/// Returns the free room that the kernel tells.
pub(crate) fn free_space_of(stat: &StatVfs) -> FreeSpace {
    FreeSpace {
        free_bytes: stat.f_bavail * stat.f_frsize,
        total_bytes: stat.f_blocks * stat.f_frsize,
        free_entries: (stat.f_files > 0).then_some(stat.f_favail),
        total_entries: (stat.f_files > 0).then_some(stat.f_files),
    }
}
