//! Reparse points: what makes an entry of NTFS something else than it looks, parsed from bytes.
//!
//! Format: MS-FSCC 2.1.2; the tags of 2.1.2.1.

use crate::metadata::Kind;
use crate::ntfs::{DIRECTORY, REPARSE, REPARSE_POINT, attributes_in, get, u16_at, u32_at, units_at};

/// Attributes that say that the content must be fetched from elsewhere: `FILE_ATTRIBUTE_OFFLINE`, `RECALL_ON_OPEN` and
/// `RECALL_ON_DATA_ACCESS`.
pub(crate) const REMOTE: u32 = 0x1000 | 0x4_0000 | 0x40_0000;

/// `IO_REPARSE_TAG_MOUNT_POINT`: a junction, or a volume mounted in a folder.
pub(crate) const TAG_MOUNT_POINT: u32 = 0xA000_0003;
/// `IO_REPARSE_TAG_SYMLINK`.
pub(crate) const TAG_SYMLINK: u32 = 0xA000_000C;
/// The tag says that the entry stands for another one.
const TAG_SURROGATE: u32 = 0x2000_0000;
/// `IO_REPARSE_TAG_CLOUD` to `_F`: these 16 tags, whatever these bits are.
const TAG_CLOUD: u32 = 0x9000_001A;
const TAG_CLOUD_BITS: u32 = 0x0000_F000;
/// Tags of entries that have no content but their reparse point: `APPEXECLINK`, `AF_UNIX`, `LX_FIFO`, `LX_CHR`, `LX_BLK`.
const TAGS_WITHOUT_CONTENT: [u32; 5] = [0x8000_001B, 0x8000_0023, 0x8000_0024, 0x8000_0025, 0x8000_0026];

/// What an entry with a reparse point is to a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReparseClass {
    /// A symlink or junction: it is kept, and never followed.
    Link,
    /// All there is to it is in its reparse point: an alias of a program, a socket.
    Whole,
    /// A file whose content is elsewhere, in a cloud: the reparse point is what is here.
    Placeholder,
    /// A file or folder with a content that a driver of Windows makes (compressed system files, deduplicated ones,
    /// folders and fetched files of a cloud). Nobody else can read it.
    Through,
}

/// Returns whether a tag is one of those that clouds have.
pub(crate) fn is_of_cloud(tag: u32) -> bool {
    tag & !TAG_CLOUD_BITS == TAG_CLOUD
}

/// Returns what an entry with these attributes and this tag is.
pub fn class_of(attributes: u32, tag: u32) -> ReparseClass {
    let is_file = attributes & DIRECTORY == 0;
    if matches!(tag, TAG_SYMLINK | TAG_MOUNT_POINT) {
        ReparseClass::Link
    } else if tag & TAG_SURROGATE != 0 || (is_file && TAGS_WITHOUT_CONTENT.contains(&tag)) {
        ReparseClass::Whole
    } else if is_file && is_of_cloud(tag) && attributes & REMOTE != 0 {
        ReparseClass::Placeholder
    } else {
        ReparseClass::Through
    }
}

/// Returns the kind of an entry for a system that can read [`ReparseClass::Through`], or for one that cannot.
pub(crate) fn kind_of(attributes: u32, tag: u32, reads_through: bool) -> Kind {
    if attributes & REPARSE_POINT != 0 {
        match class_of(attributes, tag) {
            ReparseClass::Link => return Kind::Symlink,
            ReparseClass::Whole | ReparseClass::Placeholder => return Kind::Reparse,
            ReparseClass::Through if !reads_through => return Kind::Other,
            ReparseClass::Through => {}
        }
    }
    if attributes & DIRECTORY != 0 { Kind::Dir } else { Kind::File }
}

/// Returns the tag of a reparse point.
pub fn tag_in(reparse: &[u8]) -> Option<u32> {
    u32_at(reparse, 0)
}

/// Returns what the reparse point in a record of an entry is.
pub fn class_in(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Option<ReparseClass> {
    let tag = tag_in(get(xattrs, REPARSE)?)?;
    Some(class_of(attributes_in(xattrs), tag))
}

/// Returns the name bytes of where a symlink or junction points.
pub(crate) fn link_bytes(buffer: &[u8]) -> Option<Vec<u8>> {
    link_text(buffer).map(crate::name::bytes_from_wide)
}

/// Returns where a symlink or junction points, from its `REPARSE_DATA_BUFFER`; `None` for other tags and malformed
/// ones.
///
/// An absolute target is kept by the kernel as an object name (`\??\C:\x`); the text is the path that names the same
/// (`C:\x`, `\\server\share`, `\\?\Volume{…}\`).
fn link_text(buffer: &[u8]) -> Option<Vec<u16>> {
    const SUBSTITUTE_OFFSET_AT: usize = 8;
    const SUBSTITUTE_BYTES_AT: usize = 10;
    const FLAGS_AT: usize = 16;
    const FLAG_RELATIVE: u32 = 1;
    let (names_at, relative) = match u32_at(buffer, 0)? {
        TAG_SYMLINK => (FLAGS_AT + 4, u32_at(buffer, FLAGS_AT)? & FLAG_RELATIVE != 0),
        TAG_MOUNT_POINT => (FLAGS_AT, false),
        _ => return None,
    };
    let start = names_at + usize::from(u16_at(buffer, SUBSTITUTE_OFFSET_AT)?);
    let text = units_at(buffer, start, usize::from(u16_at(buffer, SUBSTITUTE_BYTES_AT)?))?;
    Some(if relative { text } else { path_of_object(text) })
}

/// Turns an object name into the path for it.
fn path_of_object(object: Vec<u16>) -> Vec<u16> {
    let wide = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let Some(rest) = object.strip_prefix(wide(r"\??\").as_slice()) else { return object };
    if let Some(share) = rest.strip_prefix(wide(r"UNC\").as_slice()) {
        return [wide(r"\\").as_slice(), share].concat();
    }
    if rest.get(1) == Some(&u16::from(b':')) {
        return rest.to_vec();
    }
    [wide(r"\\?\").as_slice(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide_bytes(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn reparse(tag: u32, flags: Option<u32>, substitute: &str, print: &str) -> Vec<u8> {
        let (substitute, print) = (wide_bytes(substitute), wide_bytes(print));
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut bytes = [tag.to_le_bytes().as_slice(), &[0; 4]].concat();
        // The print name comes first, as Windows writes it for symlinks.
        for number in [length(&print), length(&substitute), [0; 2], length(&print)] {
            bytes.extend(number);
        }
        bytes.extend(flags.map(u32::to_le_bytes).into_iter().flatten());
        bytes.extend(print);
        bytes.extend(substitute);
        bytes
    }

    #[test]
    fn the_text_of_a_link_is_the_path_that_names_its_target() {
        let cases = [
            (TAG_SYMLINK, Some(1), r"..\a b", r"..\a b"),
            (TAG_SYMLINK, Some(0), r"\??\C:\ä", r"C:\ä"),
            (TAG_SYMLINK, Some(0), r"\??\UNC\server\share\x", r"\\server\share\x"),
            (TAG_MOUNT_POINT, None, r"\??\C:\Users", r"C:\Users"),
            (TAG_MOUNT_POINT, None, r"\??\Volume{1-2}\", r"\\?\Volume{1-2}\"),
        ];
        for (tag, flags, substitute, text) in cases {
            let buffer = reparse(tag, flags, substitute, "print");
            assert_eq!(link_text(&buffer).map(|t| String::from_utf16(&t).unwrap()).as_deref(), Some(text));
            assert_eq!(link_text(&buffer[..buffer.len() - 1]), None, "cut: {substitute}");
        }
        assert_eq!(link_text(&reparse(0x9000_001A, None, "a", "a")), None);
    }

    #[test]
    fn what_an_entry_is_depends_on_the_tag_and_on_where_its_content_is() {
        let cases = [
            (0x420, TAG_SYMLINK, Kind::Symlink, Kind::Symlink),
            (0x410, TAG_MOUNT_POINT, Kind::Symlink, Kind::Symlink),
            // A symlink of WSL, an alias of a program, a socket.
            (0x420, 0xA000_001D, Kind::Reparse, Kind::Reparse),
            (0x420, 0x8000_001B, Kind::Reparse, Kind::Reparse),
            (0x420, 0x8000_0023, Kind::Reparse, Kind::Reparse),
            // OneDrive: in the cloud only, fetched, a folder.
            (0x40_1620, 0x9000_601A, Kind::Reparse, Kind::Reparse),
            (0x1420, 0x9000_001A, Kind::Reparse, Kind::Reparse),
            (0x420, 0x9000_601A, Kind::File, Kind::Other),
            (0x1410, 0x9000_601A, Kind::Dir, Kind::Other),
            // A compressed system file, a deduplicated one, one that nobody knows.
            (0x420, 0x8000_0017, Kind::File, Kind::Other),
            (0x620, 0x8000_0013, Kind::File, Kind::Other),
            (0x420, 0x0000_1234, Kind::File, Kind::Other),
            // Without the attribute the number is that of something else.
            (0x20, TAG_SYMLINK, Kind::File, Kind::File),
            (0x10, 0, Kind::Dir, Kind::Dir),
        ];
        for (attributes, tag, on_windows, elsewhere) in cases {
            assert_eq!(kind_of(attributes, tag, true), on_windows, "{attributes:x} {tag:x}");
            assert_eq!(kind_of(attributes, tag, false), elsewhere, "{attributes:x} {tag:x}");
        }
    }
}
