//! The system calls of Btrfs that no crate wraps, from <linux/btrfs.h> and <linux/btrfs_tree.h>.
#![allow(unsafe_code, reason = "each call is given only memory of its own function, of the size that its number has")]

use rustix::ioctl::{Setter, Updater, ioctl, opcode};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `BTRFS_IOCTL_MAGIC`.
const MAGIC: u8 = 0x94;
/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_FIRST_FREE_OBJECTID`: the number of the top folder of each subvolume.
pub(super) const TOP_INODE: u64 = 256;
/// `BTRFS_ROOT_TREE_OBJECTID`: the tree that has all others.
const ROOT_TREE: u64 = 1;
/// `BTRFS_ROOT_REF_KEY`: a subvolume and one that lies in it.
pub(super) const ROOT_REF: u32 = 156;
/// Bytes of what a search found.
const FOUND_BYTES: usize = 4096 - size_of::<SearchKey>();

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct InodeLookup {
    tree_id: u64,
    inode: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct FsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u8; 992],
}

/// `struct btrfs_ioctl_dev_info_args`.
#[repr(C)]
struct DeviceInfo {
    id: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}

/// `struct btrfs_ioctl_search_key`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SearchKey {
    tree_id: u64,
    min_objectid: u64,
    max_objectid: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: u32,
    more_unused: [u64; 4],
}

/// `struct btrfs_ioctl_search_args`.
#[repr(C)]
struct Search {
    key: SearchKey,
    found: [u8; FOUND_BYTES],
}

const _: () = {
    assert!(size_of::<VolArgs>() == 4096 && size_of::<InodeLookup>() == 4096 && size_of::<Search>() == 4096);
    assert!(size_of::<FsInfo>() == 1024 && size_of::<DeviceInfo>() == 4096 && size_of::<SearchKey>() == 104);
};

fn vol_args(fd: i64, flags: u64, name: &str) -> rustix::io::Result<VolArgs> {
    let mut args = VolArgs { fd, transid: 0, flags, unused: [0; 4], name: [0; 4040] };
    // A zero must follow.
    let place = args.name.get_mut(..name.len()).filter(|_| name.len() < 4040);
    place.ok_or(rustix::io::Errno::NAMETOOLONG)?.copy_from_slice(name.as_bytes());
    Ok(args)
}

/// Makes a read-only snapshot of the subvolume of which a top folder is given, under a name in another folder.
pub(super) fn create_snapshot(parent: BorrowedFd<'_>, name: &str, subvolume: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let args = vol_args(i64::from(subvolume.as_raw_fd()), READ_ONLY, name)?;
    // SAFETY: BTRFS_IOC_SNAP_CREATE_V2 reads the arguments, whose handle is open and whose name ends with a zero.
    unsafe { ioctl(parent, Setter::<{ opcode::write::<VolArgs>(MAGIC, 23) }, VolArgs>::new(args)) }
}

/// Removes the subvolume of a name in a folder.
pub(super) fn remove_subvolume(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    let args = vol_args(0, 0, name)?;
    // SAFETY: BTRFS_IOC_SNAP_DESTROY_V2 reads the arguments, whose name ends with a zero.
    unsafe { ioctl(parent, Setter::<{ opcode::write::<VolArgs>(MAGIC, 63) }, VolArgs>::new(args)) }
}

/// Returns whether a subvolume, of which the top folder is given, is read-only.
pub(super) fn is_read_only(subvolume: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let mut flags = 0_u64;
    // SAFETY: BTRFS_IOC_SUBVOL_GETFLAGS writes one number.
    unsafe { ioctl(subvolume, Updater::<{ opcode::read::<u64>(MAGIC, 25) }, u64>::new(&mut flags))? };
    Ok(flags & READ_ONLY != 0)
}

/// Returns the number of the subvolume that a folder lies in.
pub(super) fn subvolume_of(dir: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let mut args = InodeLookup { tree_id: 0, inode: TOP_INODE, name: [0; 4080] };
    lookup(dir, &mut args)?;
    Ok(args.tree_id)
}

/// Returns the path of a folder in a subvolume, with a slash at its end; empty for the top.
pub(super) fn path_of(dir: BorrowedFd<'_>, subvolume: u64, inode: u64) -> rustix::io::Result<Vec<u8>> {
    let mut args = InodeLookup { tree_id: subvolume, inode, name: [0; 4080] };
    lookup(dir, &mut args)?;
    Ok(until_zero(&args.name).to_vec())
}

fn lookup(dir: BorrowedFd<'_>, args: &mut InodeLookup) -> rustix::io::Result<()> {
    // SAFETY: BTRFS_IOC_INO_LOOKUP reads and writes the arguments.
    unsafe { ioctl(dir, Updater::<{ opcode::read_write::<InodeLookup>(MAGIC, 18) }, InodeLookup>::new(args)) }
}

/// Returns the id of the file system, and the devices that it consists of.
pub(super) fn file_system(dir: impl AsFd) -> rustix::io::Result<([u8; 16], Vec<Vec<u8>>)> {
    let mut info = FsInfo { max_id: 0, num_devices: 0, fsid: [0; 16], rest: [0; 992] };
    // SAFETY: BTRFS_IOC_FS_INFO reads and writes the arguments.
    unsafe { ioctl(&dir, Updater::<{ opcode::read::<FsInfo>(MAGIC, 31) }, FsInfo>::new(&mut info))? };
    let mut devices = Vec::new();
    for id in 0..=info.max_id {
        let mut device =
            DeviceInfo { id, uuid: [0; 16], bytes_used: 0, total_bytes: 0, unused: [0; 379], path: [0; 1024] };
        // SAFETY: BTRFS_IOC_DEV_INFO reads and writes the arguments.
        let asked = unsafe {
            ioctl(&dir, Updater::<{ opcode::read_write::<DeviceInfo>(MAGIC, 30) }, DeviceInfo>::new(&mut device))
        };
        if asked.is_ok() {
            devices.push(until_zero(&device.path).to_vec());
        }
    }
    Ok((info.fsid, devices))
}

/// One found item: its kind, its offset in the key, and what is in it.
pub(super) type Item = (u32, u64, Vec<u8>);

/// Returns the items of an object of one kind in the tree of trees.
pub(super) fn search(dir: BorrowedFd<'_>, object: u64, kind: u32) -> rustix::io::Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut min_offset = 0;
    loop {
        let key = SearchKey {
            tree_id: ROOT_TREE,
            min_objectid: object,
            max_objectid: object,
            min_offset,
            max_offset: u64::MAX,
            max_transid: u64::MAX,
            min_type: kind,
            max_type: kind,
            items: u32::MAX,
            ..SearchKey::default()
        };
        let mut search = Box::new(Search { key, found: [0; FOUND_BYTES] });
        // SAFETY: BTRFS_IOC_TREE_SEARCH reads and writes the arguments.
        unsafe { ioctl(dir, Updater::<{ opcode::read_write::<Search>(MAGIC, 17) }, Search>::new(&mut search))? };
        let found = items_in(&search.found, search.key.items);
        let last = found.last().map(|(_, offset, _)| *offset);
        items.extend(found);
        match last.and_then(|last| last.checked_add(1)) {
            Some(next) => min_offset = next,
            None => return Ok(items),
        }
    }
}

/// Parses `count` of `struct btrfs_ioctl_search_header`, each before its item. The numbers are the machine's own.
fn items_in(found: &[u8], count: u32) -> Vec<Item> {
    const HEADER_BYTES: usize = 32;
    let mut items = Vec::new();
    let mut rest = found;
    for _ in 0..count {
        let Some((header, after)) = rest.split_at_checked(HEADER_BYTES) else { break };
        let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let short = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let (offset, kind, length) = (number(16), short(24), short(28) as usize);
        let Some((item, after)) = after.split_at_checked(length) else { break };
        items.push((kind, offset, item.to_vec()));
        rest = after;
    }
    items
}

/// What a subvolume that lies in another is called there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RootRef {
    /// Number of the folder that has it.
    pub(super) dir: u64,
    /// Its name there.
    pub(super) name: Vec<u8>,
}

/// Parses a `struct btrfs_root_ref`, whose numbers are stored little end first.
pub(super) fn root_ref(item: &[u8]) -> Option<RootRef> {
    let dir = u64::from_le_bytes(*item.first_chunk()?);
    let length = u16::from_le_bytes(*item.get(16..)?.first_chunk()?);
    let name = item.get(18..18 + usize::from(length))?;
    (!name.is_empty() && !name.contains(&b'/')).then(|| RootRef { dir, name: name.to_vec() })
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_items_are_parsed_and_broken_ones_end_the_list() {
        let mut found = Vec::new();
        for (kind, offset, item) in [(156_u32, 300_u64, &b"abc"[..]), (156, 301, b"")] {
            found.extend(7_u64.to_ne_bytes());
            found.extend(5_u64.to_ne_bytes());
            found.extend(offset.to_ne_bytes());
            found.extend(kind.to_ne_bytes());
            found.extend((item.len() as u32).to_ne_bytes());
            found.extend(item);
        }
        let both = vec![(156, 300, b"abc".to_vec()), (156, 301, Vec::new())];
        assert_eq!(items_in(&found, 2), both);
        assert_eq!(items_in(&found, 1), both[..1]);
        assert_eq!(items_in(&found[..found.len() - 1], 9), both[..1]);
        assert_eq!(items_in(&found[..34], 1), []);
    }

    #[test]
    fn the_name_of_a_subvolume_in_another_is_parsed() {
        let mut item = Vec::new();
        item.extend(256_u64.to_le_bytes());
        item.extend(9_u64.to_le_bytes());
        item.extend(4_u16.to_le_bytes());
        item.extend(b"home");
        assert_eq!(root_ref(&item), Some(RootRef { dir: 256, name: b"home".to_vec() }));
        assert_eq!(root_ref(&item[..item.len() - 1]), None);
        assert_eq!(root_ref(&item[..10]), None);
        item[18] = b'/';
        assert_eq!(root_ref(&item), None);
    }
}
