//! Which blocks of a file other files have too: the one system call of this twin that no crate wraps safely.
#![allow(unsafe_code, reason = "one system call; it is given only memory of its own function")]

use rustix::ioctl::{Updater, ioctl, opcode};
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Ranges that one call asks for.
const EXTENTS: usize = 128;
/// `FIEMAP_EXTENT_LAST`: no other range follows.
const LAST: u32 = 0x1;
/// `FIEMAP_EXTENT_SHARED`: other files have these blocks too.
const SHARED: u32 = 0x2000;

/// `struct fiemap` of <linux/fiemap.h>, without the array at its end.
#[repr(C)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_too: [u32; 3],
}

#[repr(C)]
struct Map {
    head: Head,
    extents: [Extent; EXTENTS],
}

const NO_EXTENT: Extent =
    Extent { logical: 0, physical: 0, length: 0, reserved: [0; 2], flags: 0, reserved_too: [0; 3] };

/// Tells where on the volume blocks of a file are that other files have too, in bytes.
pub(crate) fn cloned_ranges(fd: BorrowedFd<'_>, each: &mut dyn FnMut(Range<u64>)) -> rustix::io::Result<()> {
    let mut start = 0;
    loop {
        let count = EXTENTS as u32;
        let head = Head { start, length: u64::MAX - start, flags: 0, mapped: 0, count, reserved: 0 };
        let mut map = Map { head, extents: [NO_EXTENT; EXTENTS] };
        // SAFETY: FS_IOC_FIEMAP has the size of the head in its number; it reads the head, and writes that and at most
        // `count` ranges behind it, which is all that the map has room for. Both are plain numbers.
        unsafe { ioctl(fd, Updater::<{ opcode::read_write::<Head>(b'f', 11) }, Map>::new(&mut map))? };
        let mapped = &map.extents[..EXTENTS.min(map.head.mapped as usize)];
        for extent in mapped.iter().filter(|extent| extent.flags & SHARED != 0) {
            each(extent.physical..extent.physical.saturating_add(extent.length));
        }
        let Some(last) = mapped.last().filter(|extent| extent.flags & LAST == 0) else { return Ok(()) };
        let next = last.logical.saturating_add(last.length);
        if next <= start {
            return Ok(());
        }
        start = next;
    }
}
