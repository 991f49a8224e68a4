//! Lines of a manifest: mtree(5) keywords, written and parsed without allocating where it counts.

use super::{ContentRef, Entry, Extra, ManifestError};
use crate::problem::ProblemKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hardback_platform::{Attributes, Kind, Owner, Time};

/// Values that lines leave out when they equal them, as set by the last `/set` line; and what follows from the lines
/// before. Both sides start each frame with a fresh one.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub(super) owner: Option<Owner>,
    pub(super) mode: Option<u32>,
    pub(super) content: Option<ContentRef>,
}

impl Context {
    /// Returns the reference that the next file has if its line names none.
    pub(super) fn next_content(&self) -> Option<ContentRef> {
        self.content.and_then(|c| Some(ContentRef { ordinal: c.ordinal.checked_add(1)?, ..c }))
    }
}

/// Appends a name or value: control characters, space, `#`, `\`, `=` and bytes from 0x80 on as `\ooo`.
///
/// mtree(5) is ASCII, and libarchive stops at anything else.
pub fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for &b in bytes {
        if b > b' ' && b < 0x7f && b != b'\\' && b != b'#' && b != b'=' {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'\\', b'0' + (b >> 6), b'0' + ((b >> 3) & 7), b'0' + (b & 7)]);
        }
    }
}

/// Reverses [`escape`]; `None` for a broken escape.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    if !text.contains(&b'\\') {
        return Some(text.to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        if b != b'\\' {
            out.push(b);
            rest = tail;
            continue;
        }
        let digits = tail.first_chunk::<3>()?;
        if !digits.iter().all(|d| (b'0'..=b'7').contains(d)) || digits[0] > b'3' {
            return None;
        }
        out.push((digits[0] - b'0') * 64 + (digits[1] - b'0') * 8 + (digits[2] - b'0'));
        rest = &tail[3..];
    }
    Some(out)
}

/// Appends a number.
pub(super) fn push_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a time as seconds, a dot, and nine digits of nanoseconds (or one 0).
///
/// Nine digits, as libarchive takes the part behind the dot for a number of nanoseconds.
pub(super) fn push_time(out: &mut Vec<u8>, time: Time) {
    if time.seconds < 0 {
        out.push(b'-');
    }
    push_number(out, time.seconds.unsigned_abs());
    out.push(b'.');
    if time.nanos == 0 {
        out.push(b'0');
        return;
    }
    let mut digits = [b'0'; 9];
    let mut n = time.nanos;
    for d in digits.iter_mut().rev() {
        *d = b'0' + (n % 10) as u8;
        n /= 10;
    }
    out.extend_from_slice(&digits);
}

fn push_octal(out: &mut Vec<u8>, mode: u32) {
    out.push(b'0');
    for shift in [9, 6, 3, 0] {
        let digit = (mode >> shift) & 7;
        if shift < 9 || digit != 0 {
            out.push(b'0' + digit as u8);
        }
    }
}

/// Returns the mtree name of a kind; `reparse` and `other` are ours.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "dir",
        Kind::Symlink => "link",
        Kind::Fifo => "fifo",
        Kind::CharDevice => "char",
        Kind::BlockDevice => "block",
        Kind::Socket => "socket",
        Kind::Reparse => "reparse",
        Kind::Other => "other",
    }
}

fn kind_from_name(name: &[u8]) -> Option<Kind> {
    Some(match name {
        b"file" => Kind::File,
        b"dir" => Kind::Dir,
        b"link" => Kind::Symlink,
        b"fifo" => Kind::Fifo,
        b"char" => Kind::CharDevice,
        b"block" => Kind::BlockDevice,
        b"socket" => Kind::Socket,
        b"reparse" => Kind::Reparse,
        b"other" => Kind::Other,
        _ => return None,
    })
}

/// Appends the line of an entry.
pub(super) fn push_entry(out: &mut Vec<u8>, entry: &Entry, context: &mut Context) {
    push_unset(out, entry, context);
    escape(out, &entry.name);
    if entry.kind != Kind::File {
        out.extend_from_slice(b" type=");
        out.extend_from_slice(kind_name(entry.kind).as_bytes());
    }
    if let Some(mode) = entry.mode
        && entry.mode != context.mode
    {
        out.extend_from_slice(b" mode=");
        push_octal(out, mode);
    }
    if entry.owner != context.owner
        && let Some(owner) = entry.owner
    {
        push_owner(out, owner);
    }
    if entry.kind == Kind::File {
        out.extend_from_slice(b" size=");
        push_number(out, entry.size_bytes);
    }
    out.extend_from_slice(b" time=");
    push_time(out, entry.mtime);
    if let Some(ctime) = entry.ctime
        && ctime != entry.mtime
    {
        out.extend_from_slice(b" ctime=");
        push_time(out, ctime);
    }
    if let Some(inode) = entry.inode {
        out.extend_from_slice(b" inode=");
        push_number(out, inode);
    }
    if entry.nlink != 1 && !entry.is_dir() {
        out.extend_from_slice(b" nlink=");
        push_number(out, entry.nlink);
    }
    push_content(out, entry, context);
    if entry.hot {
        out.extend_from_slice(b" hot");
    }
    if let Some(extra) = &entry.extra {
        push_extra(out, extra);
    }
    out.push(b'\n');
}

/// An entry without a mode or an owner must not inherit those of the last `/set` line.
fn push_unset(out: &mut Vec<u8>, entry: &Entry, context: &mut Context) {
    if entry.mode.is_none() && context.mode.take().is_some() {
        out.extend_from_slice(b"/unset mode\n");
    }
    if entry.owner.is_none() && context.owner.take().is_some() {
        out.extend_from_slice(b"/unset uid gid\n");
    }
}

fn push_owner(out: &mut Vec<u8>, owner: Owner) {
    out.extend_from_slice(b" uid=");
    push_number(out, u64::from(owner.uid));
    out.extend_from_slice(b" gid=");
    push_number(out, u64::from(owner.gid));
}

fn push_content(out: &mut Vec<u8>, entry: &Entry, context: &mut Context) {
    if entry.kind != Kind::File || entry.size_bytes == 0 {
        return;
    }
    match entry.content {
        None => out.extend_from_slice(b" digest=none"),
        Some(content) => {
            if context.next_content() != Some(content) {
                out.extend_from_slice(b" digest=");
                push_number(out, u64::from(content.generation));
                out.push(b'.');
                push_number(out, content.ordinal);
            }
            context.content = Some(content);
        }
    }
}

fn push_extra(out: &mut Vec<u8>, extra: &Extra) {
    if let Some(text) = &extra.link_text {
        out.extend_from_slice(b" link=");
        escape(out, text);
    }
    if let Some((major, minor)) = extra.device {
        out.extend_from_slice(b" device=linux,");
        push_number(out, u64::from(major));
        out.push(b',');
        push_number(out, u64::from(minor));
    }
    if extra.attributes.0 != 0 {
        let mut separator: &[u8] = b" flags=";
        for (bit, name) in Attributes::NAMES {
            if extra.attributes.0 & bit != 0 {
                out.extend_from_slice(separator);
                out.extend_from_slice(name.as_bytes());
                separator = b",";
            }
        }
    }
    if let Some(volume) = extra.volume {
        out.extend_from_slice(b" fs=");
        push_number(out, volume);
    }
    if let Some(stored) = &extra.stored {
        out.extend_from_slice(b" stored=");
        escape(out, stored);
    }
    if let Some(bytes) = extra.raw_of {
        out.extend_from_slice(b" efs=");
        push_number(out, bytes);
    }
    if extra.absent {
        out.extend_from_slice(b" absent");
    }
    if let Some(problem) = extra.problem {
        out.extend_from_slice(b" problem=");
        out.extend_from_slice(problem.code().as_bytes());
    }
    for (name, value) in &extra.xattrs {
        out.extend_from_slice(b" xattr.");
        escape(out, name);
        out.push(b'=');
        out.extend_from_slice(BASE64.encode(value).as_bytes());
    }
}

/// Appends a `/set` line and makes its values the context's.
pub(super) fn push_set(out: &mut Vec<u8>, entry: &Entry, context: &mut Context) {
    out.extend_from_slice(b"/set type=file");
    if let Some(mode) = entry.mode {
        out.extend_from_slice(b" mode=");
        push_octal(out, mode);
    }
    if let Some(owner) = entry.owner {
        push_owner(out, owner);
    }
    out.push(b'\n');
    context.mode = entry.mode;
    context.owner = entry.owner;
}

pub(super) fn bad(what: &'static str, line: &[u8]) -> ManifestError {
    ManifestError::Line { what, line: String::from_utf8_lossy(line).chars().take(200).collect() }
}

fn number<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut n: u64 = 0;
    for &b in text {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    T::try_from(n).ok()
}

fn octal(text: &[u8]) -> Option<u32> {
    let mode = u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()?;
    (mode <= 0o7777).then_some(mode)
}

pub(super) fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|&b| b == b'.')?;
    let seconds: i64 = number(&text[..dot])?;
    let nanos: u32 = number(&text[dot + 1..])?;
    (nanos < 1_000_000_000).then_some(Time { seconds: if negative { -seconds } else { seconds }, nanos })
}

/// Parses a `/set` or `/unset` line.
pub(super) fn parse_set(line: &[u8], context: &mut Context) -> Result<(), ManifestError> {
    if line.starts_with(b"/unset ") {
        for key in line.split(|&b| b == b' ').skip(1) {
            match key {
                b"mode" => context.mode = None,
                b"uid" | b"gid" => context.owner = None,
                _ => {}
            }
        }
        return Ok(());
    }
    let mut owner = Owner { uid: 0, gid: 0 };
    let mut has_owner = false;
    context.mode = None;
    for field in line.split(|&b| b == b' ').skip(1) {
        let (key, value) = split_field(field);
        let ok = match key {
            b"type" => value == b"file",
            b"mode" => octal(value).map(|m| context.mode = Some(m)).is_some(),
            b"uid" => {
                has_owner = true;
                number(value).map(|n| owner.uid = n).is_some()
            }
            b"gid" => number(value).map(|n| owner.gid = n).is_some(),
            _ => true,
        };
        if !ok {
            return Err(bad("a value of /set", line));
        }
    }
    context.owner = has_owner.then_some(owner);
    Ok(())
}

fn split_field(field: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', field) {
        Some(equals) => (&field[..equals], &field[equals + 1..]),
        None => (field, b""),
    }
}

/// What the fields of a line say beyond the entry.
#[derive(Default)]
struct Seen {
    content: Option<Option<ContentRef>>,
    ctime: bool,
}

/// Parses the line of an entry.
pub(super) fn parse_entry(line: &[u8], context: &mut Context) -> Result<Entry, ManifestError> {
    let name_end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let name = unescape(&line[..name_end]).ok_or_else(|| bad("the name", line))?;
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) || name == b".." {
        return Err(bad("the name", line));
    }
    let mut entry = Entry::new(&name, Kind::File);
    entry.mode = context.mode;
    entry.owner = context.owner;
    let mut seen = Seen::default();
    let mut rest = line.get(name_end + 1..).unwrap_or_default();
    while !rest.is_empty() {
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let (key, value) = split_field(&rest[..end]);
        parse_field(&mut entry, &mut seen, key, value).ok_or_else(|| bad("a field", line))?;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    // Without a ctime of its own an entry that has an inode has that of its mtime; one without has none.
    if !seen.ctime && entry.inode.is_some() {
        entry.ctime = Some(entry.mtime);
    }
    if entry.kind == Kind::File && entry.size_bytes > 0 {
        entry.content = match seen.content {
            Some(explicit) => explicit,
            None => Some(context.next_content().ok_or_else(|| bad("no content to follow", line))?),
        };
        if entry.content.is_some() {
            context.content = entry.content;
        }
    }
    Ok(entry)
}

fn parse_field(entry: &mut Entry, seen: &mut Seen, key: &[u8], value: &[u8]) -> Option<()> {
    match key {
        b"size" => entry.size_bytes = number(value)?,
        b"time" => entry.mtime = time(value)?,
        b"ctime" => {
            entry.ctime = Some(time(value)?);
            seen.ctime = true;
        }
        b"inode" => entry.inode = Some(number(value)?),
        b"mode" => entry.mode = Some(octal(value)?),
        b"type" => entry.kind = kind_from_name(value)?,
        b"nlink" => entry.nlink = number(value)?,
        b"digest" => seen.content = Some(parse_content(value)?),
        b"hot" => entry.hot = true,
        b"uid" => entry.owner.get_or_insert(Owner { uid: 0, gid: 0 }).uid = number(value)?,
        b"gid" => entry.owner.get_or_insert(Owner { uid: 0, gid: 0 }).gid = number(value)?,
        _ => return parse_extra(entry, key, value),
    }
    Some(())
}

fn parse_content(value: &[u8]) -> Option<Option<ContentRef>> {
    if value == b"none" {
        return Some(None);
    }
    let dot = value.iter().position(|&b| b == b'.')?;
    Some(Some(ContentRef { generation: number(&value[..dot])?, ordinal: number(&value[dot + 1..])? }))
}

fn parse_extra(entry: &mut Entry, key: &[u8], value: &[u8]) -> Option<()> {
    match key {
        b"link" => entry.extra_mut().link_text = Some(unescape(value)?),
        b"device" => {
            let mut parts = value.split(|&b| b == b',').skip(1);
            let device = (number(parts.next()?)?, number(parts.next()?)?);
            entry.extra_mut().device = Some(device);
        }
        b"flags" => {
            let bits = value
                .split(|&b| b == b',')
                .map(|name| Attributes::NAMES.iter().find(|(_, n)| n.as_bytes() == name).map(|(bit, _)| *bit));
            entry.extra_mut().attributes = Attributes(bits.flatten().fold(0, |all, bit| all | bit));
        }
        b"fs" => entry.extra_mut().volume = Some(number(value)?),
        b"stored" => {
            let stored = unescape(value)?;
            if stored.is_empty() || stored.contains(&b'/') || stored == b".." || stored == b"." {
                return None;
            }
            entry.extra_mut().stored = Some(stored);
        }
        b"efs" => entry.extra_mut().raw_of = Some(number(value)?),
        b"absent" => entry.extra_mut().absent = true,
        b"problem" => entry.extra_mut().problem = Some(ProblemKind::from_code(value)),
        _ => {
            // Keywords of a later version of this format are for its readers.
            if let Some(name) = key.strip_prefix(b"xattr.") {
                let value = BASE64.decode(value).ok()?;
                entry.extra_mut().xattrs.push((unescape(name)?, value));
            }
        }
    }
    Some(())
}

/// Returns an entry as a line that stands for itself.
pub(crate) fn entry_to_bytes(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    push_entry(&mut out, entry, &mut Context::default());
    out.truncate(out.len() - 1);
    out
}

/// Reverses [`entry_to_bytes`].
pub(crate) fn entry_from_bytes(line: &[u8]) -> Option<Entry> {
    parse_entry(line, &mut Context::default()).ok()
}

/// Appends a line that tells a user's or group's name.
pub(super) fn push_name_of(out: &mut Vec<u8>, what: &str, id: u32, name: &str) {
    out.extend_from_slice(b"# ");
    out.extend_from_slice(what.as_bytes());
    out.push(b' ');
    push_number(out, u64::from(id));
    out.push(b' ');
    escape(out, name.as_bytes());
    out.push(b'\n');
}

/// Parses what follows `# user ` or `# group `.
pub(super) fn parse_name_of(rest: &[u8]) -> Option<(u32, String)> {
    let space = memchr::memchr(b' ', rest)?;
    let name = String::from_utf8(unescape(&rest[space + 1..])?).ok()?;
    Some((number(&rest[..space])?, name))
}

/// Parses a number of a comment line.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    number(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let name = proptest::collection::vec(1u8..=255, 1..20)
            .prop_filter("a component", |n| !n.contains(&b'/') && n != b"." && n != b"..");
        let time = (-5_000_000_000i64..5_000_000_000, 0u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| Time { seconds, nanos });
        let owner = proptest::option::of((0u32..3, 0u32..3).prop_map(|(uid, gid)| Owner { uid, gid }));
        let mode = proptest::option::of(prop_oneof![Just(0o644u32), 0u32..0o10000]);
        let content = (1u32..3, 0u64..5).prop_map(|(generation, ordinal)| ContentRef { generation, ordinal });
        let xattrs = proptest::collection::vec((proptest::collection::vec(1u8..=255, 1..8), any::<Vec<u8>>()), 0..3);
        (name, time.clone(), time, owner, mode, 0u64..4, proptest::option::of(content), xattrs, any::<bool>()).prop_map(
            |(name, mtime, ctime, owner, mode, size, content, xattrs, hot)| {
                let mut entry = Entry::new(&name, Kind::File);
                (entry.mtime, entry.ctime, entry.inode) = (mtime, Some(ctime), Some(7));
                (entry.owner, entry.mode, entry.size_bytes, entry.hot) = (owner, mode, size, hot);
                entry.content = content.filter(|_| size > 0);
                if !xattrs.is_empty() {
                    entry.extra_mut().xattrs = xattrs;
                }
                if size == 3 {
                    entry.extra_mut().raw_of = Some(1 << 40);
                }
                entry
            },
        )
    }

    proptest! {
        #[test]
        fn lines_come_back_as_the_entries_that_they_were(entries in proptest::collection::vec(entry(), 1..20)) {
            let mut text = Vec::new();
            let mut writing = Context::default();
            push_set(&mut text, &entries[0], &mut writing);
            for entry in &entries {
                push_entry(&mut text, entry, &mut writing);
            }
            let mut reading = Context::default();
            let mut back = Vec::new();
            for line in text.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
                if line.starts_with(b"/") {
                    parse_set(line, &mut reading).unwrap();
                } else {
                    back.push(parse_entry(line, &mut reading).unwrap());
                }
            }
            prop_assert_eq!(back, entries);
        }

        #[test]
        fn no_line_makes_the_parser_panic(line in any::<Vec<u8>>()) {
            let mut context = Context::default();
            let parsed = (parse_entry(&line, &mut context), parse_set(&line, &mut context));
            prop_assert!(parsed.0.is_ok() || parsed.0.is_err());
        }
    }

    #[test]
    fn names_with_every_byte_are_escaped_and_come_back() {
        let name: Vec<u8> = (1..=255).filter(|&b| b != b'/').collect();
        let mut text = Vec::new();
        escape(&mut text, &name);
        assert!(text.iter().all(u8::is_ascii_graphic));
        assert_eq!(unescape(&text), Some(name));
        assert_eq!(unescape(b"a\\7"), None);
        assert_eq!(unescape(b"a\\777"), None);
    }
}
