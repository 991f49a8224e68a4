//! Records that Windows answers with, parsed from bytes.
//!
//! Apart from the calls that fetch them, so that tests on every system check them against bytes written down, also
//! those that Wine never sends (reparse points).

use crate::listing::Listing;
use crate::metadata::{Kind, Time};

/// `FILE_ATTRIBUTE_DIRECTORY`.
const ATTRIBUTE_DIRECTORY: u32 = 0x10;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// `IO_REPARSE_TAG_MOUNT_POINT`: a junction, or a volume mounted in a folder.
const TAG_MOUNT_POINT: u32 = 0xA000_0003;
/// `IO_REPARSE_TAG_SYMLINK`.
const TAG_SYMLINK: u32 = 0xA000_000C;

/// 100 ns units of `FILETIME` from 1601 to 1970.
const EPOCH_TICKS: i64 = 116_444_736_000_000_000;
/// `FILETIME` units in a second.
const TICKS_PER_SECOND: i64 = 10_000_000;

/// Returns what an entry with these attributes is; the tag counts where the attributes say that there is one.
///
/// Junctions and mounted folders count as symlinks: what is behind them belongs to another place. All other tags are
/// foreign.
pub(crate) fn kind_of(attributes: u32, tag: u32) -> Kind {
    if attributes & ATTRIBUTE_REPARSE_POINT != 0 {
        return if matches!(tag, TAG_SYMLINK | TAG_MOUNT_POINT) { Kind::Symlink } else { Kind::Other };
    }
    if attributes & ATTRIBUTE_DIRECTORY != 0 { Kind::Dir } else { Kind::File }
}

/// Converts a `FILETIME`.
pub(crate) fn time_of(ticks: i64) -> Time {
    // Far from overflow: ticks are at least -2^63, and then the difference saturates.
    let ticks = ticks.saturating_sub(EPOCH_TICKS);
    let nanos = ticks.rem_euclid(TICKS_PER_SECOND) * 100;
    Time { seconds: ticks.div_euclid(TICKS_PER_SECOND), nanos: u32::try_from(nanos).expect("less than a second") }
}

/// Converts to a `FILETIME`, cutting what is finer than 100 ns; `None` before 1601 and after what Windows can store.
pub(crate) fn ticks_of(time: Time) -> Option<i64> {
    let ticks = time.seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(i64::from(time.nanos / 100))?;
    // SetFileTime takes 0 for "leave it alone".
    ticks.checked_add(EPOCH_TICKS).filter(|&ticks| ticks > 0)
}

/// Returns the little-endian number at an offset.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Returns the little-endian number at an offset.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Returns 16-bit units from a range of bytes.
fn units_at(bytes: &[u8], start: usize, length: usize) -> Option<Vec<u16>> {
    let bytes = bytes.get(start..start.checked_add(length)?)?;
    Some(bytes.as_chunks::<2>().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect())
}

/// Adds the entries of one buffer of `FILE_FULL_DIR_INFO` to a listing; `None` if the buffer is malformed.
pub(crate) fn push_entries(mut buffer: &[u8], listing: &mut Listing) -> Option<()> {
    const ATTRIBUTES_AT: usize = 56;
    const NAME_BYTES_AT: usize = 60;
    /// The tag, where the attributes say that there is one.
    const EA_SIZE_AT: usize = 64;
    const NAME_AT: usize = 68;
    loop {
        let next = u32_at(buffer, 0)? as usize;
        let name = units_at(buffer, NAME_AT, u32_at(buffer, NAME_BYTES_AT)? as usize)?;
        if name != [u16::from(b'.')] && name != [u16::from(b'.'); 2] {
            let kind = kind_of(u32_at(buffer, ATTRIBUTES_AT)?, u32_at(buffer, EA_SIZE_AT)?);
            listing.push(&crate::name::bytes_from_wide(name), kind);
        }
        if next == 0 {
            return Some(());
        }
        buffer = buffer.get(next..)?;
    }
}

/// Returns where a symlink or junction points, from its `REPARSE_DATA_BUFFER`; `None` for other tags and malformed
/// ones.
///
/// An absolute target is kept by the kernel as an object name (`\??\C:\x`); the text is the path that names the same
/// (`C:\x`, `\\server\share`, `\\?\Volume{…}\`).
pub(crate) fn link_text(buffer: &[u8]) -> Option<Vec<u16>> {
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

    fn entry(name: &str, attributes: u32, tag: u32, last: bool) -> Vec<u8> {
        let name = wide_bytes(name);
        let mut bytes = vec![0; 68];
        bytes[56..60].copy_from_slice(&attributes.to_le_bytes());
        bytes[60..64].copy_from_slice(&u32::try_from(name.len()).unwrap().to_le_bytes());
        bytes[64..68].copy_from_slice(&tag.to_le_bytes());
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let next = if last { 0 } else { u32::try_from(bytes.len()).unwrap() };
        bytes[..4].copy_from_slice(&next.to_le_bytes());
        bytes
    }

    #[test]
    fn a_buffer_of_entries_is_listed_without_dots() {
        let buffer = [
            entry(".", 0x10, 0, false),
            entry("..", 0x10, 0, false),
            entry("dir", 0x10, 0, false),
            entry("ä😀.", 0x20, 7, false),
            entry("junction", 0x410, 0xA000_0003, false),
            entry("link", 0x420, 0xA000_000C, false),
            entry("cloud", 0x420, 0x9000_001A, true),
        ]
        .concat();
        let mut listing = Listing::default();
        push_entries(&buffer, &mut listing).unwrap();
        listing.sort();
        let listed: Vec<_> = listing.iter().map(|e| (String::from_utf8_lossy(e.name).into_owned(), e.kind)).collect();
        let expected = [
            ("cloud", Kind::Other),
            ("junction", Kind::Symlink),
            ("link", Kind::Symlink),
            ("ä😀.", Kind::File),
            ("dir", Kind::Dir),
        ];
        assert_eq!(listed, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn a_cut_buffer_of_entries_is_refused() {
        let buffer = [entry("a", 0x20, 0, false), entry("b", 0x20, 0, true)].concat();
        for length in 0..buffer.len() - 6 {
            assert_eq!(push_entries(&buffer[..length], &mut Listing::default()), None, "{length}");
        }
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
    fn file_times_convert_both_ways_also_before_1970() {
        let cases = [
            (EPOCH_TICKS, Time { seconds: 0, nanos: 0 }),
            (EPOCH_TICKS - 1, Time { seconds: -1, nanos: 999_999_900 }),
            (1, Time { seconds: -11_644_473_600, nanos: 100 }),
            (132_223_104_000_000_005, Time { seconds: 1_577_836_800, nanos: 500 }),
        ];
        for (ticks, time) in cases {
            assert_eq!(time_of(ticks), time);
            assert_eq!(ticks_of(time), Some(ticks));
        }
        assert_eq!(ticks_of(Time { seconds: 0, nanos: 199 }), Some(EPOCH_TICKS + 1));
        assert_eq!(ticks_of(Time { seconds: -11_644_473_601, nanos: 0 }), None);
        assert_eq!(ticks_of(Time { seconds: i64::MAX, nanos: 0 }), None);
    }
}
