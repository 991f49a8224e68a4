//! Bytes of NTFS that a selftest asks for: security descriptors, reparse points, lists of extended attributes. They are
//! built and read here with code of its own, so that what is wrong elsewhere is seen.
//!
//! Formats: MS-DTYP 2.4 (descriptors), MS-FSCC 2.1.2.5 (junctions) and 2.4.16 (attributes).

use std::ops::Range;

/// The header of a self-relative descriptor.
const HEADER_BYTES: usize = 20;
const SELF_RELATIVE: u16 = 0x8000;
const DACL_PRESENT: u16 = 0x0004;
const DACL_PROTECTED: u16 = 0x1000;
const SACL_PRESENT: u16 = 0x0010;

/// Everyone (S-1-1-0).
pub(super) const EVERYONE: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
/// The group of guests (S-1-5-32-546).
pub(super) const GUESTS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x22, 2, 0, 0];
/// A user of another computer (S-1-5-21-1-2-3-1001).
pub(super) const STRANGER: &[u8] =
    &[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xE9, 3, 0, 0];

/// An entry of an access list.
pub(super) struct Ace {
    /// 0 allows, 1 denies, 2 audits.
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) mask: u32,
    pub(super) who: &'static [u8],
}

/// May do everything.
pub(super) const ALL: u32 = 0x001F_01FF;
/// May run it.
pub(super) const EXECUTE: u32 = 0x20;
/// An audit of what succeeds.
pub(super) const AUDIT_SUCCESS: u8 = 0x40;

/// Returns where a value has identifiers of a computer, a domain or a user of a cloud service. What ends the identifier of
/// a user, such as 500 for the administrator, is the same everywhere.
///
/// Format: MS-DTYP 2.4.2.2; in text they begin with S-1-5-21 and S-1-12-1.
pub(super) fn private_parts(value: &[u8]) -> Vec<Range<usize>> {
    /// Authority and first number, and how many bytes behind them are private.
    const BEGINNINGS: [([u8; 10], usize); 2] =
        [([0, 0, 0, 0, 0, 5, 21, 0, 0, 0], 12), ([0, 0, 0, 0, 0, 12, 1, 0, 0, 0], 16)];
    let mut found = Vec::new();
    for (beginning, private_bytes) in BEGINNINGS {
        let places = value.windows(beginning.len()).enumerate().filter(|(_, bytes)| *bytes == beginning);
        found.extend(places.map(|(at, _)| at + beginning.len()..at + beginning.len() + private_bytes));
    }
    found
}

/// The parts of a descriptor, whatever their order in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) owner: Vec<u8>,
    pub(super) group: Vec<u8>,
    /// The entries, one behind the other.
    pub(super) dacl: Option<Vec<u8>>,
    pub(super) sacl: Option<Vec<u8>>,
    pub(super) is_protected: bool,
}

/// Returns the bytes of entries.
pub(super) fn entries(aces: &[Ace]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for ace in aces {
        bytes.extend([ace.kind, ace.flags]);
        bytes.extend(u16_of(8 + ace.who.len()));
        bytes.extend(ace.mask.to_le_bytes());
        bytes.extend(ace.who);
    }
    bytes
}

fn u16_of(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("a few entries of our own").to_le_bytes()
}

impl Descriptor {
    /// Takes a self-relative descriptor apart; `None` if it is malformed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let control = u16_at(bytes, 2)?;
        let part = |at: usize| match u32_at(bytes, at)? as usize {
            0 => Some(None),
            offset => bytes.get(offset..).map(Some),
        };
        let sid = |at| match part(at)? {
            None => Some(Vec::new()),
            Some(bytes) => Some(bytes.get(..8 + 4 * usize::from(*bytes.get(1)?))?.to_vec()),
        };
        let list = |at, present| match part(at)? {
            Some(bytes) if control & present != 0 => Some(Some(entries_in(bytes)?)),
            _ => Some(None),
        };
        Some(Self {
            owner: sid(4)?,
            group: sid(8)?,
            sacl: list(12, SACL_PRESENT)?,
            dacl: list(16, DACL_PRESENT)?,
            is_protected: control & DACL_PROTECTED != 0,
        })
    }

    /// Returns it as Windows takes it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let lists = [(&self.sacl, SACL_PRESENT, 12), (&self.dacl, DACL_PRESENT, 16)];
        let mut control = SELF_RELATIVE | if self.is_protected { DACL_PROTECTED } else { 0 };
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0] = 1;
        let put = |bytes: &mut Vec<u8>, at: usize, part: &[u8]| {
            let offset = u32::try_from(bytes.len()).expect("a few entries of our own").to_le_bytes();
            bytes[at..at + 4].copy_from_slice(&offset);
            bytes.extend(part);
        };
        for (list, present, at) in lists {
            if let Some(entries) = list {
                control |= present;
                let count = count_of(entries);
                let mut acl = vec![2, 0];
                acl.extend(u16_of(8 + entries.len()));
                acl.extend(u16_of(count));
                acl.extend([0, 0]);
                acl.extend(entries);
                put(&mut bytes, at, &acl);
            }
        }
        for (at, who) in [(4, &self.owner), (8, &self.group)] {
            if !who.is_empty() {
                put(&mut bytes, at, who);
            }
        }
        bytes[2..4].copy_from_slice(&control.to_le_bytes());
        bytes
    }
}

/// Returns the entries of a list, without the room that is left behind them.
fn entries_in(acl: &[u8]) -> Option<Vec<u8>> {
    let count = u16_at(acl, 4)?;
    let mut end = 8;
    for _ in 0..count {
        end += usize::from(u16_at(acl, end + 2)?).max(8);
    }
    Some(acl.get(8..end)?.to_vec())
}

fn count_of(entries: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while let Some(length) = u16_at(entries, at + 2) {
        at += usize::from(length).max(8);
        count += 1;
    }
    count
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Returns the reparse point of a junction to a path.
pub(super) fn junction(path: &str) -> Vec<u8> {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (object, print) = (wide(&format!(r"\??\{path}")), wide(path));
    let mut body = Vec::new();
    for number in [0, object.len(), object.len() + 2, print.len()] {
        body.extend(u16_of(number));
    }
    body.extend(object);
    body.extend([0, 0]);
    body.extend(print);
    body.extend([0, 0]);
    let mut bytes = 0xA000_0003_u32.to_le_bytes().to_vec();
    bytes.extend(u16_of(body.len()));
    bytes.extend([0, 0]);
    bytes.extend(body);
    bytes
}

/// Returns a list of one extended attribute as it is on the disk: the offset of the last entry is its length.
pub(super) fn extended_attribute(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.push(0);
    bytes.push(u8::try_from(name.len()).expect("a short name"));
    bytes.extend(u16_of(value.len()));
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = u32::try_from(bytes.len()).expect("a short value").to_le_bytes();
    bytes[..4].copy_from_slice(&length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Linux mount of NTFS answers for a new file.
    const NEW_FILE: &str = "0100048014000000240000000000000034000000010200000000000520000000200200000102000000000005\
                            20000000200200000200\
                            1c000100000000031400ff011f00010100000000000100000000";

    fn new_file() -> Vec<u8> {
        let digits = NEW_FILE.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn a_descriptor_of_a_real_volume_is_understood() {
        let parsed = Descriptor::parse(&new_file()).unwrap();
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        assert_eq!((&parsed.owner[..], &parsed.group[..]), (&administrators[..], &administrators[..]));
        let everyone = Ace { kind: 0, flags: 3, mask: ALL, who: EVERYONE };
        assert_eq!(parsed.dacl, Some(entries(&[everyone])));
        assert_eq!((parsed.sacl, parsed.is_protected), (None, false));
    }

    #[test]
    fn what_is_built_is_what_is_parsed() {
        let deny = Ace { kind: 1, flags: 0, mask: EXECUTE, who: GUESTS };
        let allow = Ace { kind: 0, flags: 0, mask: ALL, who: EVERYONE };
        let audit = Ace { kind: 2, flags: AUDIT_SUCCESS, mask: ALL, who: EVERYONE };
        let wanted = Descriptor {
            owner: STRANGER.to_vec(),
            group: GUESTS.to_vec(),
            dacl: Some(entries(&[deny, allow])),
            sacl: Some(entries(&[audit])),
            is_protected: true,
        };
        assert_eq!(Descriptor::parse(&wanted.to_bytes()), Some(wanted.clone()));
        let empty = Descriptor { dacl: Some(Vec::new()), sacl: None, ..wanted };
        assert_eq!(Descriptor::parse(&empty.to_bytes()), Some(empty));
        for length in 0..new_file().len() {
            // Malformed ones are refused, or are shorter than they say; nothing panics.
            let _cut: Option<Descriptor> = Descriptor::parse(&new_file()[..length]);
        }
    }

    #[test]
    fn attributes_and_junctions_have_the_lengths_that_they_say() {
        let list = extended_attribute("HARDBACK.TEST", b"value");
        assert_eq!(list.len() % 4, 0);
        assert_eq!(u32_at(&list, 0), u32::try_from(list.len()).ok());
        let junction = junction(r"C:\nowhere");
        assert_eq!(usize::from(u16_at(&junction, 4).unwrap()), junction.len() - 8);
    }
}
