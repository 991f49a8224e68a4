//! What NTFS keeps beside the content, as extended attributes: one record on Windows and on Linux.
//!
//! The names are those of [ntfs-3g](https://github.com/tuxera/ntfs-3g/wiki/Using-Extended-Attributes), which answers them
//! on Linux; the Windows twin answers the same with the calls of Windows. Values are NTFS' own bytes ([MS-FSCC],
//! [MS-DTYP]); the numbers are big-endian, so that they do not depend on who wrote them. A named stream is the attribute
//! `user.` and its name, as ntfs-3g has it. All of this is parsed from bytes here, and so tested on every system.
//!
//! [MS-FSCC]: https://learn.microsoft.com/openspecs/windows_protocols/ms-fscc
//! [MS-DTYP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-dtyp

use crate::acl;
use crate::metadata::Kind;

/// How the names begin.
pub const PREFIX: &[u8] = b"system.ntfs_";
/// The security descriptor, self-relative (MS-DTYP 2.4.6): owner, group, access list and, for who may read it, the audit
/// list.
pub const ACL: &[u8] = b"system.ntfs_acl";
/// `FILE_ATTRIBUTE_*` (MS-FSCC 2.6), 4 bytes.
pub const ATTRIBUTES: &[u8] = b"system.ntfs_attrib_be";
/// Time of creation: 100 ns since 1601, 8 bytes.
pub const CREATED: &[u8] = b"system.ntfs_crtime_be";
/// Extended attributes of OS/2 and WSL: a list of `FILE_FULL_EA_INFORMATION` (MS-FSCC 2.4.16) as it is on the disk: the
/// offset of the last entry is its length.
pub const EA: &[u8] = b"system.ntfs_ea";
/// The reparse point: `REPARSE_DATA_BUFFER` (MS-FSCC 2.1.2).
pub const REPARSE: &[u8] = b"system.ntfs_reparse_data";
/// The keys of an encrypted file (`$EFS`), where its content is read as it is on the disk: with ntfs-3g's `efs_raw`.
pub const EFS: &[u8] = b"user.ntfs.efsinfo";
/// How names of attributes begin that are named streams.
pub const STREAM_PREFIX: &[u8] = b"user.";
/// Longest stream that is kept as an attribute. Linux has no longer attributes, but ntfs-3g shows streams as files too.
pub const STREAM_BYTES_MAX: u64 = 4 << 20;

/// `FILE_ATTRIBUTE_READONLY`.
pub const READONLY: u32 = 0x1;
/// `FILE_ATTRIBUTE_DIRECTORY`.
pub const DIRECTORY: u32 = 0x10;
/// `FILE_ATTRIBUTE_ARCHIVE`: changed since some backup program took it away.
pub const ARCHIVE: u32 = 0x20;
/// `FILE_ATTRIBUTE_NORMAL`: no other.
pub const NORMAL: u32 = 0x80;
/// `FILE_ATTRIBUTE_SPARSE_FILE`.
pub const SPARSE: u32 = 0x200;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
pub const REPARSE_POINT: u32 = 0x400;
/// `FILE_ATTRIBUTE_COMPRESSED`.
pub const COMPRESSED: u32 = 0x800;
/// `FILE_ATTRIBUTE_ENCRYPTED`.
pub const ENCRYPTED: u32 = 0x4000;
/// `FILE_ATTRIBUTE_PINNED` and `_UNPINNED`: whether a file of a cloud is wanted here.
const WISHES: u32 = 0x18_0000;
/// Attributes that can be set as such: read-only, hidden, system, archive, temporary, offline, not indexed.
pub const SETTABLE: u32 = 0x3127;

/// Returns the stream that an attribute is.
///
/// # Errors
/// The name leads elsewhere: none of a stream has such characters, and a path with them would.
pub(crate) fn stream_in(name: &[u8]) -> std::io::Result<Option<&[u8]>> {
    let Some(stream) = name.strip_prefix(STREAM_PREFIX).filter(|_| name != EFS) else { return Ok(None) };
    check_stream(stream)?;
    Ok(Some(stream))
}

/// Refuses the name of a stream that leads elsewhere.
pub(crate) fn check_stream(name: &[u8]) -> std::io::Result<()> {
    if name.is_empty() || name.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':' | 0)) {
        let what = format!("{} cannot be the name of a stream", crate::path::display(name));
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// Returns the value of an attribute.
pub fn get<'x>(xattrs: &'x [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'x [u8]> {
    xattrs.iter().find(|(found, _)| found == name).map(|(_, value)| &value[..])
}

/// Returns the attributes in a record of an entry; 0 where it has none.
pub fn attributes_in(xattrs: &[(Vec<u8>, Vec<u8>)]) -> u32 {
    let number = |value: &[u8]| value.try_into().ok().map(u32::from_be_bytes);
    get(xattrs, ATTRIBUTES).and_then(number).unwrap_or(0)
}

/// Makes the record of an entry that of one whose content is here: without its reparse point, and what comes with it.
pub fn drop_reparse(xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    if get(xattrs, REPARSE).is_none() {
        return;
    }
    let attributes = attributes_in(xattrs) & !(REPARSE_POINT | crate::reparse::REMOTE);
    xattrs.retain(|(name, _)| name != REPARSE);
    for (_, value) in xattrs.iter_mut().filter(|(name, _)| name == ATTRIBUTES) {
        *value = attributes.to_be_bytes().to_vec();
    }
}

/// Returns whether an attribute is one of NTFS, and not a stream.
pub fn is_fact(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Returns whether two records of extended attributes are the same. That a backup program took the archive attribute
/// away is no change of the file, nor that somebody wants it to be kept here or in the cloud only.
pub fn is_same(one: &[(Vec<u8>, Vec<u8>)], other: &[(Vec<u8>, Vec<u8>)]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && is_same_value(&a.0, &a.1, &b.1))
}

/// Returns whether two values of an attribute are the same, in the sense of [`is_same`].
fn is_same_value(name: &[u8], one: &[u8], other: &[u8]) -> bool {
    one == other
        || (name == ATTRIBUTES && agree(one, other, !(ARCHIVE | WISHES)))
        || (name == ACL && acl::is_same(one, other))
}

/// Returns whether two values of [`ATTRIBUTES`] agree in some of them.
fn agree(one: &[u8], other: &[u8], mask: u32) -> bool {
    let masked = |value: &[u8]| Some(u32::from_be_bytes(value.try_into().ok()?) & mask);
    masked(one).is_some() && masked(one) == masked(other)
}

/// Returns whether a stored or restored entry has what it was given: of the attributes those that can be set.
pub fn is_kept(name: &[u8], wanted: &[u8], found: &[u8]) -> bool {
    const COUNT: u32 = (SETTABLE | COMPRESSED | REPARSE_POINT | DIRECTORY) & !ARCHIVE;
    is_same_value(name, wanted, found) || (name == ATTRIBUTES && agree(wanted, found, COUNT))
}

/// What is set after the time of the last change, in this order. A time of creation makes ntfs-3g drop what is set later;
/// a file that is read-only takes little, and the access list may forbid all that follows.
const LATE: [&[u8]; 3] = [CREATED, ATTRIBUTES, ACL];

/// Returns whether an attribute is set after the time of the last change.
pub fn is_late(name: &[u8]) -> bool {
    LATE.contains(&name)
}

/// Returns the attributes of an entry that are set, in the order in which none undoes another: streams, and what is
/// written like them, come first, then what they change, and what forbids more changes last. A file or folder is made
/// without a reparse point and gets none, whatever a record says: that would hide what is in it.
pub fn to_set(kind: Kind, xattrs: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
    let has_content = matches!(kind, Kind::File | Kind::Dir);
    in_order(xattrs).filter(move |(name, _)| !has_content || name != REPARSE)
}

fn in_order(xattrs: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
    let rank = |name: &[u8]| match LATE.iter().position(|late| *late == name) {
        Some(place) => 2 + place,
        None => usize::from([EFS, REPARSE].contains(&name)),
    };
    (0..2 + LATE.len()).flat_map(move |wanted| xattrs.iter().filter(move |(name, _)| rank(name) == wanted))
}

/// Returns a list of EAs as Windows takes and gives it: its last entry has the offset 0.
pub fn ea_for_windows(on_disk: &[u8]) -> Option<Vec<u8>> {
    let last = last_ea(on_disk, |next, left| next == left)?;
    let mut list = on_disk.to_vec();
    list[last..last + 4].fill(0);
    Some(list)
}

/// Returns a list of EAs as it is on the disk: its last entry has its length as offset, and lengths are multiples of 4.
pub fn ea_from_windows(given: &[u8]) -> Option<Vec<u8>> {
    let last = last_ea(given, |next, _| next == 0)?;
    let end = last + ea_bytes(given.get(last..)?)?.next_multiple_of(4);
    let mut list = given.get(..end.min(given.len()))?.to_vec();
    list.resize(end, 0);
    let length = u32::try_from(end - last).ok()?;
    list[last..last + 4].copy_from_slice(&length.to_le_bytes());
    Some(list)
}

/// Returns a list of EAs, as it is on the disk, without those that the kernel keeps there: what code integrity knows of a
/// program. They come and go with no change of the file, and only the kernel sets them.
///
/// Source: "Kernel Extended Attributes" in Microsoft's documentation of drivers.
pub fn without_kernel_eas(on_disk: &[u8]) -> Option<Vec<u8>> {
    const PREFIX: &[u8] = b"$KERNEL.";
    let mut list = Vec::new();
    let mut rest = on_disk;
    while !rest.is_empty() {
        let (bytes, next) = (ea_bytes(rest)?, u32_at(rest, 0)? as usize);
        if next < bytes || next > rest.len() {
            return None;
        }
        let name = rest.get(8..8 + usize::from(rest[5]))?;
        if !name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
            list.extend_from_slice(&rest[..next]);
        }
        rest = &rest[next..];
    }
    Some(list)
}

/// Returns where the last entry of a list of EAs begins, which its offset tells, given how many bytes are left; `None`
/// for one that is malformed.
fn last_ea(list: &[u8], is_last: fn(usize, usize) -> bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = list.get(at..)?;
        let bytes = ea_bytes(rest)?;
        let next = u32_at(rest, 0)? as usize;
        if is_last(next, rest.len()) {
            return (bytes <= rest.len()).then_some(at);
        }
        if next < bytes {
            return None;
        }
        at += next;
    }
}

/// Returns the bytes of the first EA of a list: offset, flags, two lengths, the name and its NUL, the value.
fn ea_bytes(ea: &[u8]) -> Option<usize> {
    Some(8 + usize::from(*ea.get(5)?) + 1 + usize::from(u16_at(ea, 6)?))
}

/// A named stream of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name, without `:` and type, in 16-bit units.
    pub name: Vec<u16>,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// Reads the named data streams from an answer of `FILE_STREAM_INFO` (MS-FSCC 2.4.47); `None` if it is malformed.
pub fn streams(mut buffer: &[u8]) -> Option<Vec<Stream>> {
    const NAME_BYTES_AT: usize = 4;
    const SIZE_AT: usize = 8;
    const NAME_AT: usize = 24;
    let mut all = Vec::new();
    if buffer.is_empty() {
        return Some(all);
    }
    loop {
        let next = u32_at(buffer, 0)? as usize;
        let name = units_at(buffer, NAME_AT, u32_at(buffer, NAME_BYTES_AT)? as usize)?;
        let size_bytes = u64::from_le_bytes(buffer.get(SIZE_AT..SIZE_AT + 8)?.try_into().ok()?);
        if let Some(name) = name_of_stream(&name).filter(|name| !name.is_empty()) {
            all.push(Stream { name: name.to_vec(), size_bytes });
        }
        if next == 0 {
            return Some(all);
        }
        buffer = buffer.get(next..)?;
    }
}

/// Returns the name in `:name:$DATA`; `None` for a stream of another type.
fn name_of_stream(text: &[u16]) -> Option<&[u16]> {
    let wide = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    text.strip_prefix(wide(":").as_slice())?.strip_suffix(wide(":$DATA").as_slice())
}

/// The error of a stream that is too long to be kept.
pub(crate) fn too_long() -> std::io::Error {
    let most = STREAM_BYTES_MAX >> 20;
    std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("it has more than {most} MiB"))
}

/// The error of a stream that is missing in a record.
pub(crate) fn lost_stream(name: &[u8], error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("the stream {}: {error}", crate::path::display(name)))
}

/// The error of attributes that were taken and not kept.
pub(crate) fn lost_attributes(lost: u32) -> std::io::Error {
    let what = format!("the attributes {lost:#x} of NTFS cannot be set here");
    std::io::Error::new(std::io::ErrorKind::Unsupported, what)
}

/// Returns the little-endian number at an offset.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Returns the little-endian number at an offset.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Returns 16-bit units from a range of bytes.
pub(crate) fn units_at(bytes: &[u8], start: usize, length: usize) -> Option<Vec<u16>> {
    let bytes = bytes.get(start..start.checked_add(length)?)?;
    Some(bytes.as_chunks::<2>().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl;
    use proptest::prelude::*;

    fn stream(name: &str, size_bytes: u64, last: bool) -> Vec<u8> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u32::try_from(name.len()).unwrap();
        let next = if last { 0 } else { (24 + length).next_multiple_of(8) };
        let mut bytes = [next.to_le_bytes(), length.to_le_bytes()].concat();
        bytes.extend(size_bytes.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(name);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn streams_are_listed_without_the_content_and_without_other_types() {
        let buffer = [
            stream("::$DATA", 5, false),
            stream(":Zone.Identifier:$DATA", 26, false),
            stream(":$I30:$INDEX_ALLOCATION", 4096, false),
            stream(":ä 😀:$DATA", 1 << 33, true),
        ]
        .concat();
        let expected = [("Zone.Identifier", 26), ("ä 😀", 1 << 33)];
        let expected: Vec<_> = expected.map(|(name, size_bytes)| Stream { name: wide(name), size_bytes }).into();
        assert_eq!(streams(&buffer), Some(expected));
        assert_eq!(streams(&[]), Some(Vec::new()));
        for length in 1..buffer.len() - 8 {
            assert_eq!(streams(&buffer[..length]), None, "{length}");
        }
    }

    fn ea(next: u32, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = next.to_le_bytes().to_vec();
        bytes.extend([0, u8::try_from(name.len()).unwrap()]);
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn a_list_of_eas_is_written_in_two_ways() {
        let mut first = ea(20, b"$LXUID", &[1, 2, 3, 4]);
        first.resize(20, 0);
        let on_windows = [first.clone(), ea(0, b"NOTE", b"seven..")].concat();
        let mut last = ea(20, b"NOTE", b"seven..");
        last.resize(20, 0);
        let on_disk = [first, last].concat();
        assert_eq!(ea_from_windows(&on_windows).as_deref(), Some(&on_disk[..]));
        // What Windows gets may be longer than the last entry.
        let given = ea_for_windows(&on_disk).unwrap();
        assert_eq!(given[..on_windows.len()], on_windows);
        assert_eq!(ea_from_windows(&given).as_deref(), Some(&on_disk[..]));
        for length in 0..on_windows.len() {
            assert_eq!(ea_from_windows(&on_windows[..length]), None, "{length}");
        }
        assert_eq!(ea_for_windows(&ea(4, b"NOTE", b"overlaps the next......")), None);
    }

    #[test]
    fn what_the_kernel_keeps_beside_a_program_is_none_of_its_attributes() {
        let entry = |name: &[u8], value: &[u8]| {
            let bytes = (8 + name.len() + 1 + value.len()).next_multiple_of(4);
            let mut entry = ea(u32::try_from(bytes).unwrap(), name, value);
            entry.resize(bytes, 0);
            entry
        };
        let (note, other) = (entry(b"NOTE", b"seven.."), entry(b"A", b""));
        let kernel = entry(b"$Kernel.Purge.EsbCache", b"0123456789");
        for list in [vec![&kernel, &note, &other], vec![&note, &kernel, &other], vec![&note, &other, &kernel]] {
            let list: Vec<u8> = list.into_iter().flatten().copied().collect();
            assert_eq!(without_kernel_eas(&list).as_deref(), Some(&[&note[..], &other].concat()[..]));
            assert_eq!(without_kernel_eas(&list[..list.len() - 1]), None);
        }
        assert_eq!(without_kernel_eas(&kernel).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn attributes_are_set_so_that_none_undoes_another() {
        let names = [ACL, ATTRIBUTES, CREATED, EA, REPARSE, b"user.zone"];
        let record: Vec<_> = names.iter().map(|name| (name.to_vec(), Vec::new())).collect();
        let order: Vec<_> = in_order(&record).map(|(name, _)| &name[..]).collect();
        assert_eq!(order, [EA, b"user.zone", REPARSE, CREATED, ATTRIBUTES, ACL]);
    }

    #[test]
    fn a_placeholder_that_was_fetched_is_an_ordinary_file() {
        let mut record = vec![
            (ATTRIBUTES.to_vec(), 0x40_1620u32.to_be_bytes().to_vec()),
            (REPARSE.to_vec(), 0x9000_601Au32.to_le_bytes().to_vec()),
            (b"user.note".to_vec(), b"x".to_vec()),
        ];
        drop_reparse(&mut record);
        assert_eq!(attributes_in(&record), 0x220);
        assert_eq!(record.len(), 2);
        let before = record.clone();
        drop_reparse(&mut record);
        assert_eq!(record, before);
    }

    #[test]
    fn only_the_archive_attribute_may_differ() {
        let record = |attributes: u32, note: &[u8]| {
            vec![(ATTRIBUTES.to_vec(), attributes.to_be_bytes().to_vec()), (b"user.note".to_vec(), note.to_vec())]
        };
        assert!(is_same(&record(0x21, b"a"), &record(0x01, b"a")));
        assert!(!is_same(&record(0x21, b"a"), &record(0x20, b"a")));
        assert!(!is_same(&record(0x20, b"a"), &record(0x20, b"b")));
        assert!(!is_same(&record(0x20, b"a"), &record(0x20, b"a")[..1]));
        assert_eq!(attributes_in(&record(0x21, b"")), 0x21);
        assert_eq!(attributes_in(&[]), 0);
    }

    /// Runs every parser of this crate that reads what a system or a record says.
    fn parse_all(bytes: &[u8]) {
        drop((
            streams(bytes),
            ea_for_windows(bytes),
            ea_from_windows(bytes),
            without_kernel_eas(bytes),
            acl::for_windows(bytes),
            acl::parts(bytes),
            acl::is_valid(bytes),
        ));
        let record = [(ATTRIBUTES.to_vec(), bytes.to_vec()), (REPARSE.to_vec(), bytes.to_vec())];
        drop((attributes_in(&record), crate::reparse::class_in(&record), crate::reparse::link_bytes(bytes)));
        crate::records::push_entries(bytes, &mut crate::listing::Listing::default());
    }

    /// Answers as Windows gives them: of streams, of EAs, and a symlink.
    fn answers() -> [Vec<u8>; 3] {
        let symlink = [&0xA000_000Cu32.to_le_bytes()[..], &[28, 0, 0, 0, 0, 0, 8, 0, 8, 0, 8, 0, 1, 0, 0, 0]].concat();
        [
            [stream(":one:$DATA", 5, false), stream(":two:$DATA", 6, true)].concat(),
            [ea(20, b"A", b"1234567890"), ea(0, b"B", b"")].concat(),
            [symlink, b"a\0b\0c\0d\0a\0b\0c\0d\0".to_vec()].concat(),
        ]
    }

    proptest! {
        #[test]
        fn answers_with_bytes_changed_and_cut_are_parsed_or_refused(
            which in 0..3usize,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = answers()[which].clone();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            parse_all(&bytes);
            parse_all(&bytes[..cut.index(bytes.len())]);
        }

        #[test]
        fn no_bytes_make_a_parser_fail_otherwise_than_by_saying_so(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse_all(&bytes);
            if let Some(list) = ea_from_windows(&bytes) {
                // What was read once is read again.
                prop_assert_eq!(ea_for_windows(&list).and_then(|given| ea_from_windows(&given)), Some(list));
            }
        }
    }
}
