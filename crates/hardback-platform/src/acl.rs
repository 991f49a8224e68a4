//! Security descriptors of Windows, self-relative, read from bytes: MS-DTYP 2.4.6.

#![cfg_attr(not(windows), allow(dead_code, reason = "only Windows is given descriptors; they are tested everywhere"))]

use crate::ntfs::{u16_at, u32_at};

/// Bytes before the parts.
const HEADER_BYTES: usize = 20;
const DACL_PRESENT: u16 = 0x0004;
const SACL_PRESENT: u16 = 0x0010;
const SACL_AUTO_INHERITED: u16 = 0x0800;
const SACL_PROTECTED: u16 = 0x2000;
const SELF_RELATIVE: u16 = 0x8000;

/// Returns a security descriptor as Windows must get it to keep it as it is: what was inherited stays so only if that
/// is asked for (MS-DTYP 2.4.6, the bits DC and SC beside DI and SI).
pub(crate) fn for_windows(descriptor: &[u8]) -> Vec<u8> {
    const CONTROL_AT: usize = 2;
    const DACL_AUTO_INHERIT_REQUEST: u16 = 0x0100;
    const SACL_AUTO_INHERIT_REQUEST: u16 = 0x0200;
    let mut descriptor = descriptor.to_vec();
    if let Some(control) = u16_at(&descriptor, CONTROL_AT) {
        // DACL_AUTO_INHERITED and SACL_AUTO_INHERITED are two bits above the request for them.
        let requests = (control >> 2) & (DACL_AUTO_INHERIT_REQUEST | SACL_AUTO_INHERIT_REQUEST);
        descriptor[CONTROL_AT..CONTROL_AT + 2].copy_from_slice(&(control | requests).to_le_bytes());
    }
    descriptor
}

/// Returns the two bits that ask Windows to take the access list as protected from the folder above, or as not
/// (`PROTECTED_DACL_SECURITY_INFORMATION`, `UNPROTECTED_…`).
pub(crate) fn dacl_protection(descriptor: &[u8]) -> u32 {
    const DACL_PROTECTED: u16 = 0x1000;
    let is_protected = u16_at(descriptor, 2).is_some_and(|control| control & DACL_PROTECTED != 0);
    if is_protected { 0x8000_0000 } else { 0x2000_0000 }
}

/// Does the same for the audit list.
pub(crate) fn sacl_protection(descriptor: &[u8]) -> u32 {
    let is_protected = u16_at(descriptor, 2).is_some_and(|control| control & SACL_PROTECTED != 0);
    if is_protected { 0x4000_0000 } else { 0x1000_0000 }
}

/// Returns which parts a security descriptor has: owner, group, access list, audit list.
pub(crate) fn parts(descriptor: &[u8]) -> Option<[bool; 4]> {
    let control = u16_at(descriptor, 2)?;
    let has = |at| u32_at(descriptor, at).map(|offset| offset != 0);
    Some([has(4)?, has(8)?, control & DACL_PRESENT != 0, control & SACL_PRESENT != 0])
}

/// The parts of a descriptor as bytes; those that it does not have are empty.
struct Parts<'d> {
    control: u16,
    owner: &'d [u8],
    group: &'d [u8],
    sacl: &'d [u8],
    dacl: &'d [u8],
}

impl<'d> Parts<'d> {
    /// Reads a descriptor; `None` unless it is self-relative and each part lies inside of it.
    fn read(descriptor: &'d [u8]) -> Option<Self> {
        let control = u16_at(descriptor, 2)?;
        if descriptor.len() < HEADER_BYTES || descriptor.first() != Some(&1) || control & SELF_RELATIVE == 0 {
            return None;
        }
        let part = |at: usize, length: fn(&[u8]) -> Option<usize>| match u32_at(descriptor, at)? as usize {
            0 => Some(&descriptor[..0]),
            start if start < HEADER_BYTES => None,
            start => descriptor.get(start..).and_then(|rest| rest.get(..length(rest)?)),
        };
        let list = |at, present| if control & present == 0 { Some(&descriptor[..0]) } else { part(at, list_bytes) };
        Some(Self {
            control,
            owner: part(4, sid_bytes)?,
            group: part(8, sid_bytes)?,
            sacl: list(12, SACL_PRESENT)?,
            dacl: list(16, DACL_PRESENT)?,
        })
    }
}

/// Returns the length of a SID (MS-DTYP 2.4.2): revision, count, authority, and so many numbers.
fn sid_bytes(sid: &[u8]) -> Option<usize> {
    const NUMBERS_MAX: u8 = 15;
    match sid {
        [1, numbers, ..] if *numbers <= NUMBERS_MAX => Some(8 + 4 * usize::from(*numbers)),
        _ => None,
    }
}

/// Returns the length of a list (MS-DTYP 2.4.5) whose entries lie inside of it.
fn list_bytes(list: &[u8]) -> Option<usize> {
    let length = usize::from(u16_at(list, 2)?);
    let body = list.get(8..length)?;
    let mut at = 0;
    for _ in 0..u16_at(list, 4)? {
        let entry = usize::from(u16_at(body.get(at..)?, 2)?);
        if entry < 8 || at + entry > body.len() {
            return None;
        }
        at += entry;
    }
    Some(length)
}

/// Returns whether each part of a descriptor lies inside of it: only such a one is shown to Windows, which follows its
/// offsets.
pub(crate) fn is_valid(descriptor: &[u8]) -> bool {
    Parts::read(descriptor).is_some()
}

/// `SYSTEM_MANDATORY_LABEL_ACE_TYPE` to `SYSTEM_SCOPED_POLICY_ID_ACE_TYPE`: they stand in the audit list and are none.
const LABEL: u8 = 0x11;
const NO_AUDITS: [u8; 3] = [LABEL, 0x12, 0x13];

/// Returns the types of the entries of the audit list.
fn audit_types(descriptor: &[u8]) -> Vec<u8> {
    let Some(list) = Parts::read(descriptor).map(|parts| parts.sacl).filter(|list| !list.is_empty()) else {
        return Vec::new();
    };
    let (mut at, mut types) = (8, Vec::new());
    while let (Some(kind), Some(bytes)) = (list.get(at), u16_at(list, at + 2)) {
        types.push(*kind);
        at += usize::from(bytes).max(8);
    }
    types
}

/// Returns whether a descriptor has an integrity label.
pub(crate) fn has_label(descriptor: &[u8]) -> bool {
    audit_types(descriptor).contains(&LABEL)
}

/// Returns whether it says anything about audits.
pub(crate) fn has_audits(descriptor: &[u8]) -> bool {
    audit_types(descriptor).iter().any(|kind| !NO_AUDITS.contains(kind))
}

/// Returns whether two descriptors say the same. Who read one of them may not have been allowed to see the audit list:
/// then it does not count.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (Some(a), Some(b)) = (Parts::read(one), Parts::read(other)) else { return one == other };
    const AUDITS: u16 = SACL_PRESENT | SACL_AUTO_INHERITED | SACL_PROTECTED | 0x0200;
    let sees_audits = |parts: &Parts<'_>| parts.control & SACL_PRESENT != 0;
    let same_audits =
        sees_audits(&a) != sees_audits(&b) || (a.control & AUDITS, a.sacl) == (b.control & AUDITS, b.sacl);
    let rest = |parts: &Parts<'_>| parts.control & !AUDITS;
    same_audits && rest(&a) == rest(&b) && (a.owner, a.group, a.dacl) == (b.owner, b.group, b.dacl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inherited_is_asked_to_stay_so() {
        // A self-relative descriptor with both lists inherited, and a protected one.
        let with = |control: u16| [&[1, 0][..], &control.to_le_bytes(), &[0; 16]].concat();
        assert_eq!(for_windows(&with(0x8C14)), with(0x8F14));
        assert_eq!(for_windows(&with(0x9404)), with(0x9504));
        assert_eq!(for_windows(&with(0x9004)), with(0x9004));
        assert_eq!(for_windows(b"cut"), b"cut");
        assert_eq!(parts(&with(0x8014)), Some([false, false, true, true]));
        assert_eq!(parts(&with(0x8000)[..11]), None);
    }

    /// Owner and group `S-1-1-0`, with lists of one entry each.
    fn descriptor(control: u16, has_audits: bool) -> Vec<u8> {
        let sid = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        let list = [&[2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0, 1, 0, 0, 0][..], &sid].concat();
        let audits = if has_audits { list.clone() } else { Vec::new() };
        let control = control | SELF_RELATIVE | DACL_PRESENT | if has_audits { SACL_PRESENT } else { 0 };
        let mut bytes = [&[1, 0][..], &control.to_le_bytes()].concat();
        let dacl_at = 20 + 24 + audits.len();
        for offset in [20, 32, if has_audits { 44 } else { 0 }, dacl_at] {
            bytes.extend(u32::try_from(offset).unwrap().to_le_bytes());
        }
        [&bytes[..], &sid, &sid, &audits, &list].concat()
    }

    #[test]
    fn a_descriptor_of_which_a_part_lies_outside_is_not_shown_to_windows() {
        let good = descriptor(0, true);
        assert!(is_valid(&good));
        for length in 0..good.len() {
            assert!(!is_valid(&good[..length]), "{length}");
        }
        // Not self-relative, another revision, offsets into the header and behind the end, entries longer than their list.
        for (at, byte) in [(3, 0), (0, 2), (4, 8), (8, 250), (16, 19), (21, 16), (47, 1), (54, 21), (48, 2), (54, 4)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(!is_valid(&bad), "{at}");
        }
    }

    #[test]
    fn a_label_is_no_audit() {
        let mut label = descriptor(0, true);
        assert!(has_audits(&label) && !has_label(&label));
        label[52] = LABEL;
        assert!(!has_audits(&label) && has_label(&label));
        assert!(!has_audits(&descriptor(0, false)) && !has_audits(b"cut"));
    }

    #[test]
    fn an_audit_list_that_only_one_could_see_is_no_difference() {
        assert!(is_same(&descriptor(0, true), &descriptor(0, false)));
        assert!(is_same(&descriptor(SACL_PROTECTED, true), &descriptor(0, false)));
        assert!(!is_same(&descriptor(0x1000, true), &descriptor(0, false)));
        let mut other = descriptor(0, true);
        other[56] ^= 1;
        assert!(!is_same(&descriptor(0, true), &other));
        assert!(!is_same(b"malformed", b"otherwise"));
    }
}
