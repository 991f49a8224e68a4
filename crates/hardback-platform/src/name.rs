//! Names as bytes: the system's own on Unix, WTF-8 on Windows.
//!
//! Windows names are 16-bit units and need not be UTF-16; WTF-8 (<https://wtf-8.codeberg.page>) is UTF-8 that also
//! holds the units which are no character, so every name has exactly one spelling in bytes and none is lost. The
//! standard library does the same inside and promises nothing about it; so the bytes are made here, without `unsafe`.

use std::borrow::Cow;
use std::ffi::OsStr;

const LEAD_SURROGATES: std::ops::RangeInclusive<u16> = 0xD800..=0xDBFF;
const TRAIL_SURROGATES: std::ops::RangeInclusive<u16> = 0xDC00..=0xDFFF;

/// Returns the name that the bytes spell; `None` if they are not WTF-8, on Windows alone.
#[cfg(unix)]
pub fn os_str_from_bytes(bytes: &[u8]) -> Option<Cow<'_, OsStr>> {
    Some(Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes)))
}

/// Returns the bytes that spell the name.
#[cfg(unix)]
pub fn bytes_from_os_str(name: &OsStr) -> Cow<'_, [u8]> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

/// Returns the name that the bytes spell; `None` if they are not WTF-8, on Windows alone.
#[cfg(windows)]
pub fn os_str_from_bytes(bytes: &[u8]) -> Option<Cow<'_, OsStr>> {
    use std::os::windows::ffi::OsStringExt;
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(Cow::Borrowed(OsStr::new(text)));
    }
    Some(Cow::Owned(std::ffi::OsString::from_wide(&wide_from_bytes(bytes)?)))
}

/// Returns the bytes that spell the name.
#[cfg(windows)]
pub fn bytes_from_os_str(name: &OsStr) -> Cow<'_, [u8]> {
    use std::os::windows::ffi::OsStrExt;
    match name.to_str() {
        Some(text) => Cow::Borrowed(text.as_bytes()),
        None => Cow::Owned(bytes_from_wide(name.encode_wide())),
    }
}

/// Returns the 16-bit units of a name in WTF-8, as Windows takes them; `None` if the bytes are not WTF-8.
pub fn wide_from_bytes(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut wide = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(text) => {
                wide.extend(text.encode_utf16());
                return Some(wide);
            }
            Err(error) => error,
        };
        let (text, surrogate) = rest.split_at_checked(error.valid_up_to())?;
        wide.extend(std::str::from_utf8(text).ok()?.encode_utf16());
        let [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, after @ ..] = surrogate else {
            return None;
        };
        let unit = 0xD000 | (u16::from(second & 0x3F) << 6) | u16::from(third & 0x3F);
        let follows_lead = wide.last().is_some_and(|last| LEAD_SURROGATES.contains(last));
        if follows_lead && TRAIL_SURROGATES.contains(&unit) {
            // Both together are a character, and its spelling is the one of UTF-8.
            return None;
        }
        wide.push(unit);
        rest = after;
    }
}

/// Returns the WTF-8 of a name that Windows gave.
pub fn bytes_from_wide(units: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(error) => {
                let [high, low] = error.unpaired_surrogate().to_be_bytes();
                bytes.push(0xED);
                bytes.push(0x80 | ((high & 0x0F) << 2) | (low >> 6));
                bytes.push(0x80 | (low & 0x3F));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_both_ways(wide: &[u16], bytes: &[u8]) {
        assert_eq!(bytes_from_wide(wide.iter().copied()), bytes);
        assert_eq!(wide_from_bytes(bytes).as_deref(), Some(wide));
        let name = os_str_from_bytes(bytes).unwrap();
        assert_eq!(bytes_from_os_str(&name), bytes);
    }

    #[test]
    fn every_wide_name_has_one_spelling_in_bytes() {
        check_both_ways(&[], b"");
        check_both_ways(&[0x61, 0xE4], "a\u{e4}".as_bytes());
        check_both_ways(&[0xD83D, 0xDE00], "\u{1f600}".as_bytes());
        check_both_ways(&[0xD800], b"\xED\xA0\x80");
        check_both_ways(&[0xDFFF], b"\xED\xBF\xBF");
        check_both_ways(&[0xDBFF, 0x61, 0xDC00], b"\xED\xAF\xBFa\xED\xB0\x80");
        check_both_ways(&[0xDC00, 0xD800], b"\xED\xB0\x80\xED\xA0\x80");
        check_both_ways(&[0xD800, 0xD83D, 0xDE00], b"\xED\xA0\x80\xF0\x9F\x98\x80");
        check_both_ways(&[0xD7FF, 0xE000, 0xFFFF], "\u{d7ff}\u{e000}\u{ffff}".as_bytes());
    }

    #[test]
    fn all_single_units_survive() {
        for unit in 0..=u16::MAX {
            let bytes = bytes_from_wide([unit]);
            assert_eq!(wide_from_bytes(&bytes), Some(vec![unit]), "{unit:#x}");
        }
    }

    #[test]
    fn other_bytes_are_no_wide_name() {
        let table: &[&[u8]] = &[
            b"\xFF",
            b"a\x80",
            b"\xC3",
            b"\xED",
            b"\xED\xA0",
            b"\xED\xA0a",
            b"\xED\xC0\x80",
            b"\xC0\x80",
            b"\xF4\x90\x80\x80",
            b"\xED\xA0\xBD\xED\xB8\x80",
        ];
        for bytes in table {
            assert_eq!(wide_from_bytes(bytes), None, "{bytes:x?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn any_bytes_are_a_name_on_unix() {
        assert_eq!(bytes_from_os_str(&os_str_from_bytes(b"\xFF/\x80").unwrap()), &b"\xFF/\x80"[..]);
    }

    #[cfg(windows)]
    #[test]
    fn bytes_that_are_not_wtf_8_are_no_name_on_windows() {
        assert_eq!(os_str_from_bytes(b"\xFF"), None);
    }
}
