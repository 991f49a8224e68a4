//! Names that a target cannot hold, in a form that every file system can: reversible, readable, rarely needed.
//!
//! In an escaped name a byte that is not allowed stands as `%XX` (two hexadecimal digits), and so does `%` itself. Where
//! the target folds case and the name is taken, `%~2`, `%~3`, … follows. A form that is too long is cut, and `%~` with
//! digits of the name's BLAKE3 digest tells it from others. The manifest holds both names.

/// Longest name that every file system takes, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Hexadecimal digits of the digest of a name that was cut.
const DIGEST_DIGITS: usize = 16;

/// Returns the escaped form of a name; the attempt counts from 1.
pub(crate) fn escape_name(name: &[u8], attempt: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 8);
    let last = name.len().saturating_sub(1);
    let reserved = is_device_name(name);
    let mut at = 0;
    for chunk in name.utf8_chunks() {
        for &b in chunk.valid().as_bytes() {
            let bad = b == b'%' || is_bad(b);
            let bad_end = at == last && (b == b'.' || b == b' ');
            let bad_start = at == 0 && reserved;
            push(&mut out, b, bad || bad_end || bad_start);
            at += 1;
        }
        for &b in chunk.invalid() {
            push(&mut out, b, true);
            at += 1;
        }
    }
    let mut end = if attempt > 1 { format!("%~{attempt}") } else { String::new() };
    if out.len() + end.len() > NAME_BYTES_MAX {
        let digest = blake3::hash(name).to_hex();
        end = format!("%~{}{end}", &digest[..DIGEST_DIGITS]);
        cut(&mut out, NAME_BYTES_MAX - end.len());
    }
    out.extend_from_slice(end.as_bytes());
    out
}

/// Returns whether Windows can hold a name as it is.
pub(crate) fn fits_windows(name: &[u8]) -> bool {
    let is_bad_end = matches!(name.last(), Some(b'.' | b' '));
    let is_bad = name.iter().any(|&b| is_bad(b));
    std::str::from_utf8(name).is_ok() && !is_bad && !is_bad_end && !is_device_name(name)
}

/// Returns whether Windows allows a byte in no name.
fn is_bad(b: u8) -> bool {
    b < b' ' || b == 0x7f || b"\"*:<>?\\|".contains(&b)
}

/// Cuts an escaped name, not within a character or a `%XX`.
fn cut(escaped: &mut Vec<u8>, bytes_max: usize) {
    let starts_apart = |at: usize| {
        let within_escape = escaped[at.saturating_sub(2)..at].contains(&b'%');
        !within_escape && escaped[at] & 0xc0 != 0x80
    };
    let at = (0..=bytes_max).rev().find(|&at| starts_apart(at)).unwrap_or(0);
    escaped.truncate(at);
}

/// Reverses [`escape_name`]; `None` for what is no escaped name.
#[cfg(test)]
pub(crate) fn unescape_name(stored: &[u8]) -> Option<Vec<u8>> {
    let end = stored.windows(2).position(|w| w == b"%~").unwrap_or(stored.len());
    let mut out = Vec::new();
    let mut rest = &stored[..end];
    while let Some((&b, tail)) = rest.split_first() {
        if b == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(b);
            rest = tail;
        }
    }
    Some(out)
}

fn push(out: &mut Vec<u8>, b: u8, escaped: bool) {
    if escaped {
        out.extend_from_slice(format!("%{b:02X}").as_bytes());
    } else {
        out.push(b);
    }
}

/// Windows opens a device for these, whatever the folder and the extension.
fn is_device_name(name: &[u8]) -> bool {
    let stem = name.split(|&b| b == b'.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |prefix: &[u8]| stem.len() == 4 && stem.starts_with(prefix) && stem[3].is_ascii_digit();
    matches!(&stem[..], b"CON" | b"PRN" | b"AUX" | b"NUL") || numbered(b"COM") || numbered(b"LPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_windows_refuses_are_escaped_and_others_stay() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"plain name.txt", b"plain name.txt"),
            (b"a:b", b"a%3Ab"),
            (b"con.txt", b"%63on.txt"),
            (b"trail.", b"trail%2E"),
            (b"100%", b"100%25"),
            (b"\xff", b"%FF"),
            (b"tab\t", b"tab%09"),
        ];
        for (name, stored) in cases {
            assert_eq!(escape_name(name, 1), stored);
            assert_eq!(fits_windows(name), name == stored || name == b"100%");
        }
    }

    #[test]
    fn an_escaped_name_is_never_too_long_and_names_that_are_cut_stay_apart() {
        let mut seen = std::collections::BTreeSet::new();
        for (fill, last) in [(&b"\xfe"[..], b'a'), (b"\xfe", b'b'), ("\u{65e5}:".as_bytes(), b'a'), (b":", b'a')] {
            let mut name: Vec<u8> = fill.repeat(260 / fill.len());
            name.truncate(251 / fill.len() * fill.len());
            name.push(last);
            for attempt in 1..=16 {
                let stored = escape_name(&name, attempt);
                assert!(stored.len() <= NAME_BYTES_MAX, "{}", stored.len());
                assert!(std::str::from_utf8(&stored).is_ok());
                let start = stored.windows(2).position(|w| w == b"%~").unwrap();
                assert!(unescape_name(&stored[..start]).is_some_and(|start| name.starts_with(&start)));
                assert!(seen.insert(stored));
            }
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in proptest::collection::vec(1u8..=255, 1..40), attempt in 1u32..5) {
            prop_assume!(!name.contains(&b'/'));
            let stored = escape_name(&name, attempt);
            prop_assert!(std::str::from_utf8(&stored).is_ok());
            prop_assert_eq!(unescape_name(&stored), Some(name));
        }
    }
}
