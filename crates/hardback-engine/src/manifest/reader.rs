//! Reading a manifest as a stream of lines, or one frame by its position.

use super::text::{self, Context, bad};
use super::{Entry, ExcludeRecord, FORMAT_VERSION, Header, ManifestError, Totals};
use hardback_platform::RelPath;
use std::io;

/// Longest frame that is read, compressed or not: a bound against hostile input, far above what is written.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that are read at a time.
const READ_BYTES: usize = 512 * 1024;

/// Bytes that can be read at an offset.
pub trait ReadAt {
    /// Reads from an offset until the buffer is full or the data ends; returns the number of bytes.
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for hardback_platform::FileRead {
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        hardback_platform::FileRead::read_full_at(self, buffer, offset).map_err(|e| e.source)
    }
}

impl ReadAt for Vec<u8> {
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let n = buffer.len().min(self.len() - start);
        buffer[..n].copy_from_slice(&self[start..start + n]);
        Ok(n)
    }
}

/// Where an entry's line is: the offset of its frame in the file and the offset of the line in the frame's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Offset of the frame in the compressed file.
    pub frame: u64,
    /// Offset of the line in the text of the frame.
    pub line: u32,
}

/// Why a name that the source listed has no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstored {
    /// It was left out on purpose, and not by a rule that the header has. In older records also any of the others.
    Excluded,
    /// It was gone when it was to be read.
    Vanished,
    /// The target cannot hold its name.
    Unnameable,
    /// It was there, and was purged later.
    Purged,
}

impl Unstored {
    /// Returns the word for it in manifests.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Excluded => "left-out",
            Self::Vanished => "vanished",
            Self::Unnameable => "unnameable",
            Self::Purged => "purged",
        }
    }

    fn from_code(code: &[u8]) -> Option<Self> {
        let all = [Self::Excluded, Self::Vanished, Self::Unnameable, Self::Purged];
        all.into_iter().find(|why| why.code().as_bytes() == code)
    }
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An entry; a directory is entered with it.
    Entry(Entry),
    /// The directory is left.
    Up,
    /// A name of the directory that has no entry.
    Unstored(Unstored, Box<[u8]>),
    /// The name of a user.
    User(u32, String),
    /// The name of a group.
    Group(u32, String),
    /// The end, with the sums.
    End,
}

/// Reads a manifest from its start.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    header: Header,
    /// Offset of the next frame.
    next_frame: u64,
    /// Offset of the current frame.
    frame: u64,
    text: Vec<u8>,
    at: usize,
    context: Context,
    totals: Totals,
    generations: Vec<u32>,
    ended: bool,
}

/// Reads and decompresses the frame at an offset; returns its text and the offset behind it, or `None` at the end.
fn read_frame(file: &impl ReadAt, offset: u64) -> Result<Option<(Vec<u8>, u64)>, ManifestError> {
    let damaged = |what| ManifestError::Damaged { offset, what };
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let n = file.read_full_at(&mut bytes, offset)?;
        if n == 0 {
            return Ok(None);
        }
        match zstd::zstd_safe::find_frame_compressed_size(&bytes[..n]) {
            Ok(length) => {
                let size = zstd::zstd_safe::get_frame_content_size(&bytes[..n])
                    .ok()
                    .flatten()
                    .and_then(|s| usize::try_from(s).ok())
                    .filter(|&s| s <= FRAME_BYTES_MAX)
                    .ok_or(damaged("a frame of unknown or excessive length"))?;
                let text = zstd::bulk::decompress(&bytes[..length], size)
                    .map_err(|_| damaged("a frame that cannot be decompressed"))?;
                return Ok(Some((text, offset + length as u64)));
            }
            Err(_) if n == bytes.len() && bytes.len() < FRAME_BYTES_MAX => bytes.resize(bytes.len() * 4, 0),
            Err(_) => return Err(damaged("a frame that is cut off or no zstd data")),
        }
    }
}

impl<R: ReadAt> Reader<R> {
    /// Reads the header.
    pub fn open(file: R) -> Result<Self, ManifestError> {
        let Some((text, next_frame)) = read_frame(&file, 0)? else {
            return Err(ManifestError::Damaged { offset: 0, what: "an empty file" });
        };
        let header = parse_header(&text)?;
        Ok(Self {
            file,
            header,
            next_frame,
            frame: 0,
            text: Vec::new(),
            at: 0,
            context: Context::default(),
            totals: Totals::default(),
            generations: Vec::new(),
            ended: false,
        })
    }

    /// Returns what the manifest says before its entries.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the sums; known after [`Line::End`].
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Returns the generations that are referred to; known after [`Line::End`].
    pub fn generations(&self) -> &[u32] {
        &self.generations
    }

    /// Returns the file.
    pub fn file(&self) -> &R {
        &self.file
    }

    /// Returns the next line that says something, and where it is; `None` where the file ends.
    ///
    /// A file that ends without [`Line::End`] is the record of an unfinished run.
    pub fn next_line(&mut self) -> Result<Option<(Line, Position)>, ManifestError> {
        loop {
            if self.at >= self.text.len() {
                if self.ended {
                    return Ok(None);
                }
                let Some((text, next)) = read_frame(&self.file, self.next_frame)? else { return Ok(None) };
                self.frame = self.next_frame;
                self.next_frame = next;
                self.text = text;
                self.at = 0;
                self.context = Context::default();
            }
            let start = self.at;
            let rest = &self.text[start..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..length];
            self.at = start + length + 1;
            let position = Position { frame: self.frame, line: u32::try_from(start).unwrap_or(u32::MAX) };
            let parsed = match line.first() {
                None => None,
                Some(b'#') => parse_comment(line, &mut self.totals, &mut self.generations)?,
                Some(b'/') => {
                    text::parse_set(line, &mut self.context)?;
                    None
                }
                _ if line == b".." => Some(Line::Up),
                _ => Some(Line::Entry(text::parse_entry(line, &mut self.context)?)),
            };
            if let Some(parsed) = parsed {
                self.ended |= parsed == Line::End;
                return Ok(Some((parsed, position)));
            }
        }
    }
}

/// An entry of a frame: the offset of its line, its directory, itself.
pub(super) type FrameEntry = (u32, RelPath, Entry);

/// Reads one frame by its offset: its entries with the directory of each and the offset of each line.
pub(super) fn read_frame_entries(file: &impl ReadAt, offset: u64) -> Result<Vec<FrameEntry>, ManifestError> {
    let Some((text, _)) = read_frame(file, offset)? else {
        return Err(ManifestError::Damaged { offset, what: "no frame where one was" });
    };
    let mut context = Context::default();
    let mut dir = RelPath::root();
    let mut entries = Vec::new();
    let mut start = 0;
    let mut depth_known = false;
    for line in text.split(|&b| b == b'\n') {
        match line.first() {
            None => {}
            Some(b'#') => {
                if !depth_known && let Some(path) = line.strip_prefix(b"# ./") {
                    let path = text::unescape(path).ok_or_else(|| bad("the folder", line))?;
                    dir = RelPath::from_bytes(&path).map_err(|_| bad("the folder", line))?;
                    depth_known = true;
                }
            }
            Some(b'/') => text::parse_set(line, &mut context)?,
            _ if line == b".." => dir.pop(),
            _ => {
                let entry = text::parse_entry(line, &mut context)?;
                let parent = dir.clone();
                if entry.is_dir() && *entry.name != *b"." {
                    dir.push(&entry.name);
                }
                entries.push((u32::try_from(start).unwrap_or(u32::MAX), parent, entry));
            }
        }
        start += line.len() + 1;
    }
    Ok(entries)
}

fn parse_comment(line: &[u8], totals: &mut Totals, generations: &mut Vec<u32>) -> Result<Option<Line>, ManifestError> {
    let rest = line.strip_prefix(b"# ").unwrap_or_default();
    let space = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let value = rest.get(space + 1..).unwrap_or_default();
    let number = || text::parse_number(value).ok_or_else(|| bad("a number", line));
    match &rest[..space] {
        b"user" => {
            let (id, name) = text::parse_name_of(value).ok_or_else(|| bad("a user", line))?;
            return Ok(Some(Line::User(id, name)));
        }
        b"group" => {
            let (id, name) = text::parse_name_of(value).ok_or_else(|| bad("a group", line))?;
            return Ok(Some(Line::Group(id, name)));
        }
        b"entries" => totals.entries = number()?,
        b"dirs" => totals.dirs = number()?,
        b"bytes" => totals.bytes = number()?,
        b"new-files" => totals.new_files = number()?,
        b"new-bytes" => totals.new_bytes = number()?,
        b"problems" => totals.problems = number()?,
        b"excluded" => totals.excluded = number()?,
        b"generations" => {
            let numbers = value.split(|&b| b == b' ').filter(|t| !t.is_empty()).map(text::parse_number);
            *generations = numbers
                .map(|n| n.and_then(|n| u32::try_from(n).ok()))
                .collect::<Option<_>>()
                .ok_or_else(|| bad("the generations", line))?;
        }
        b"end" => return Ok(Some(Line::End)),
        code => {
            if let Some(why) = Unstored::from_code(code) {
                let name = text::unescape(value).ok_or_else(|| bad("an escape", line))?;
                return Ok(Some(Line::Unstored(why, name.into())));
            }
        }
    }
    Ok(None)
}

pub(super) fn parse_header(text: &[u8]) -> Result<Header, ManifestError> {
    let mut lines = text.split(|&b| b == b'\n');
    let version = |found: &[u8]| ManifestError::Version { found: String::from_utf8_lossy(found).into_owned() };
    if lines.next() != Some(b"#mtree") {
        return Err(version(b"unknown"));
    }
    let second = lines.next().unwrap_or_default();
    let found = second.strip_prefix(b"# hardback manifest ").ok_or_else(|| version(b"unknown"))?;
    if text::parse_number(found) != Some(u64::from(FORMAT_VERSION)) {
        return Err(version(found));
    }
    let mut header = Header::default();
    let mut base_name = None;
    let (mut excludes, mut counted, mut taken) = (ExcludeRecord::default(), None, 0);
    for line in lines.filter(|l| !l.is_empty()) {
        let rest = line.strip_prefix(b"# ").ok_or_else(|| bad("the header", line))?;
        let space = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let value = text::unescape(rest.get(space + 1..).unwrap_or_default()).ok_or_else(|| bad("an escape", line))?;
        let string = || String::from_utf8(value.clone()).map_err(|_| bad("text that is no UTF-8", line));
        let number =
            || text::parse_number(&value).and_then(|n| u32::try_from(n).ok()).ok_or_else(|| bad("a number", line));
        match &rest[..space] {
            b"job" => header.job = string()?,
            b"snapshot" => header.snapshot = string()?,
            b"generation" => header.generation = number()?,
            b"started" => header.started = text::time(&value).ok_or_else(|| bad("a time", line))?,
            b"utc-offset" => header.utc_offset_s = string()?.parse().map_err(|_| bad("an offset", line))?,
            b"host" => header.host = string()?,
            b"base" => base_name = Some(string()?),
            b"base-generation" => header.base = base_name.take().zip(Some(number()?)),
            b"source-folder" => header.sources.push((value, Vec::new())),
            b"source-path" => {
                let source = header.sources.last_mut().ok_or_else(|| bad("a source", line))?;
                source.1 = value;
            }
            b"excludes" => counted = Some(number()?),
            key => taken += u32::from(counted.is_some() && excludes.take(key, &value)),
        }
    }
    // Rules of a kind that is not known leave out what nobody here can tell.
    header.excludes = counted.filter(|counted| *counted == taken).map(|_| excludes);
    Ok(header)
}
