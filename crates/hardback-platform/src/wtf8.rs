//! Names of Windows as bytes: WTF-8, which is UTF-8 that also holds lone surrogates.
//! Only well-formed WTF-8 converts, so that no two byte strings mean one name.

/// Returns the bytes of a wide name.
pub(crate) fn from_wide(wide: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(wide.len());
    for unit in char::decode_utf16(wide.iter().copied()) {
        match unit {
            Ok(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(e) => {
                let [high, low] = e.unpaired_surrogate().to_be_bytes();
                bytes.extend([0xED, 0x80 | (high & 0x0F) << 2 | low >> 6, 0x80 | low & 0x3F]);
            }
        }
    }
    bytes
}

/// Returns the wide name of bytes; `None` where they are not WTF-8.
pub(crate) fn to_wide(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut wide = Vec::with_capacity(bytes.len());
    for chunk in split_surrogates(bytes) {
        match (str::from_utf8(chunk), chunk) {
            (Ok(text), _) => wide.extend(text.encode_utf16()),
            (Err(_), &[0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF]) => {
                wide.push(0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F));
            }
            (Err(_), _) => return None,
        }
    }
    // Two halves that make a character have another spelling; and one name has one spelling.
    (from_wide(&wide) == bytes).then_some(wide)
}

/// Splits bytes into runs without, and triples that look like, a surrogate.
fn split_surrogates(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = |b: &[u8]| matches!(b, [0xED, 0xA0..=0xBF, _]);
    std::iter::from_fn(move || {
        let at = bytes.windows(3).position(starts);
        let length = match at {
            Some(0) => 3,
            Some(n) => n,
            None => bytes.len(),
        };
        let (chunk, rest) = bytes.split_at(length);
        bytes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wide_name_comes_back() {
        for wide in [&[][..], &[0x61, 0xE4], &[0xD83D, 0xDE00], &[0xD800], &[0x61, 0xDC00, 0xD800, 0x62]] {
            assert_eq!(to_wide(&from_wide(wide)).as_deref(), Some(wide));
        }
        assert_eq!(from_wide(&[0xD800]), b"\xED\xA0\x80");
    }

    #[test]
    fn bytes_that_are_not_wtf8_are_refused() {
        for bad in [&b"\xFF"[..], b"a\xC3", b"\xED\xA0", b"\xED\xA0\xBD\xED\xB8\x80", b"\xC0\x80"] {
            assert_eq!(to_wide(bad), None, "{bad:x?}");
        }
    }
}
