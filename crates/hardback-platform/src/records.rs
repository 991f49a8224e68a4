//! Records that Windows answers with, parsed from bytes.
//!
//! Apart from the calls that fetch them, so that tests on every system check them against bytes written down, also
//! those that Wine never sends (reparse points).

use crate::listing::Listing;
use crate::metadata::Time;
use crate::ntfs::{u32_at, units_at};
use crate::reparse;

/// 100 ns units of `FILETIME` from 1601 to 1970.
const EPOCH_TICKS: i64 = 116_444_736_000_000_000;
/// `FILETIME` units in a second.
const TICKS_PER_SECOND: i64 = 10_000_000;

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
            let kind = reparse::kind_of(u32_at(buffer, ATTRIBUTES_AT)?, u32_at(buffer, EA_SIZE_AT)?, true);
            listing.push(&crate::name::bytes_from_wide(name), kind);
        }
        if next == 0 {
            return Some(());
        }
        buffer = buffer.get(next..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Kind;

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
            entry("cloud", 0x1420, 0x9000_001A, false),
            entry("fetched", 0x420, 0x9000_001A, true),
        ]
        .concat();
        let mut listing = Listing::default();
        push_entries(&buffer, &mut listing).unwrap();
        listing.sort();
        let listed: Vec<_> = listing.iter().map(|e| (String::from_utf8_lossy(e.name).into_owned(), e.kind)).collect();
        let expected = [
            ("cloud", Kind::Reparse),
            ("fetched", Kind::File),
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
