//! What is mounted where: the table of `/proc/self/mountinfo`, proc(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Its number, which `statx` tells too.
    pub(super) id: u64,
    /// Number of the device (major, minor).
    pub(super) device_id: (u32, u32),
    /// Which folder of the file system is mounted.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// Flags of this mount, with commas between them.
    pub(super) flags: String,
    /// Kind of file system.
    pub(super) file_system: String,
    /// What was mounted.
    pub(super) source: PathBuf,
    /// Options of the file system, with commas between them; not those of this mount of it.
    pub(super) options: String,
}

impl Mount {
    /// Returns whether the file system as a whole is read-only, not only this mount of it.
    pub(super) fn is_read_only(&self) -> bool {
        self.options.split(',').any(|option| option == "ro")
    }

    /// Returns whether it is a snapshot of a ZFS dataset: nothing can change in it.
    pub(super) fn is_zfs_snapshot(&self) -> bool {
        self.file_system == "zfs" && self.source.as_os_str().as_encoded_bytes().contains(&b'@')
    }

    /// Returns whether ZFS mounted it by itself, for somebody who looked into a snapshot: in a folder of the dataset that
    /// no snapshot of it has.
    pub(super) fn is_automounted_snapshot(&self) -> bool {
        self.is_zfs_snapshot() && self.point.components().any(|component| component.as_os_str() == ".zfs")
    }
}

/// Parses the table; a line that is none is left out, as a kernel may add what we do not know.
pub(super) fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = number(fields.next()?)?;
    let _parent = fields.next()?;
    let device = fields.next()?;
    let colon = device.iter().position(|b| *b == b':')?;
    let (major, minor) = (number(&device[..colon])?, number(&device[colon + 1..])?);
    let (root, point) = (path(fields.next()?), path(fields.next()?));
    let flags = String::from_utf8_lossy(fields.next()?).into_owned();
    // Optional fields end with a dash.
    fields.by_ref().find(|field| *field == b"-")?;
    let file_system = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = path(fields.next()?);
    let options = String::from_utf8_lossy(fields.next()?).into_owned();
    let device_id = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    Some(Mount { id, device_id, root, point, flags, file_system, source, options })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Spaces, tabs, newlines and backslashes are written as a backslash and three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        // The first two are from proc(5) and a computer with Btrfs.
        let table = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
            61 28 0:25 /@home /home rw,relatime shared:31 propagate_from:2 - btrfs /dev/nvme0n1p2 rw,subvol=/@home\n\
            70 28 0:44 / /mnt/a\\040b\\134c rw - xfs /dev/sdb1 ro,attr2\n\
            broken line\n\
            71 28 x:1 / /y rw - xfs /dev/sdb1 ro\n";
        let mounts = parse(table);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].id, mounts[0].device_id), (36, (98, 0)));
        assert_eq!((mounts[0].root.to_str(), mounts[0].point.to_str()), (Some("/mnt1"), Some("/mnt2")));
        assert_eq!((mounts[1].file_system.as_str(), mounts[1].root.to_str()), ("btrfs", Some("/@home")));
        assert_eq!(mounts[1].source.to_str(), Some("/dev/nvme0n1p2"));
        assert_eq!(mounts[2].point.to_str(), Some("/mnt/a b\\c"));
        assert_eq!(mounts.iter().map(Mount::is_read_only).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_snapshot_of_zfs_is_known() {
        let table = b"80 28 0:50 / /tank rw - zfs tank rw,xattr,noacl\n\
            81 80 0:51 / /tank/.zfs/snapshot/monday ro - zfs tank@monday ro,xattr,noacl\n\
            82 28 0:51 / /mnt/monday ro - zfs tank@monday ro,xattr,noacl\n\
            83 28 0:52 / /srv/.zfs/x rw - ext4 /dev/a@b rw\n";
        let mounts = parse(table);
        assert_eq!(mounts.iter().map(Mount::is_zfs_snapshot).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(mounts.iter().map(Mount::is_automounted_snapshot).collect::<Vec<_>>(), [false, true, false, false]);
    }

    #[test]
    fn a_backslash_without_digits_stays() {
        assert_eq!(path(b"a\\04"), PathBuf::from("a\\04"));
        assert_eq!(path(b"\\999\\"), PathBuf::from("\\999\\"));
        assert_eq!(path(b"a\\012b"), PathBuf::from("a\nb"));
    }
}
