//! Writing a manifest: lines into frames, frames to a sink, digests beside.

use super::text::{self, Context};
use super::{Digest, Entry, FORMAT_VERSION, Header, Unstored};
use hardback_platform::{RelPath, Time};
use std::collections::BTreeSet;
use std::io;

/// Bytes of text after which a frame ends.
const FRAME_TEXT_BYTES: usize = 256 * 1024;
/// Level of compression: 3 costs half of what 9 costs in time and a tenth more in space on manifests.
const ZSTD_LEVEL: i32 = 3;

/// Sums over all entries of a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries below the top, directories included.
    pub entries: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Bytes of all contents, a content counted once for each name.
    pub bytes: u64,
    /// Contents that this run copied.
    pub new_files: u64,
    /// Bytes that this run copied.
    pub new_bytes: u64,
    /// Entries with a problem.
    pub problems: u64,
    /// Entries that were left out; a directory counts once.
    pub excluded: u64,
}

/// Writes a manifest, in tree order.
///
/// Give the header, then for each directory its files, then its subdirectories with theirs, closed by
/// [`ManifestWriter::up`]; then [`ManifestWriter::finish`]. Each frame goes to the sink when it is full or
/// [`ManifestWriter::flush`] is called.
#[derive(Debug)]
pub struct ManifestWriter<W: io::Write> {
    sink: W,
    hasher: blake3::Hasher,
    compressor: Compressor,
    text: Vec<u8>,
    context: Context,
    path: RelPath,
    depth: usize,
    /// No entry stands in this frame yet.
    fresh_frame: bool,
    /// The path of the folder stands in this frame, for the names that were left out before its first entry.
    path_told: bool,
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
    generations: BTreeSet<u32>,
    totals: Totals,
    written_bytes: u64,
}

struct Compressor(zstd::bulk::Compressor<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl<W: io::Write> ManifestWriter<W> {
    /// Starts a manifest.
    pub fn create(sink: W, header: &Header) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(true)?;
        let mut writer = Self {
            sink,
            hasher: blake3::Hasher::new(),
            compressor: Compressor(compressor),
            text: Vec::with_capacity(FRAME_TEXT_BYTES + 4096),
            context: Context::default(),
            path: RelPath::root(),
            depth: 0,
            fresh_frame: false,
            path_told: false,
            users: BTreeSet::new(),
            groups: BTreeSet::new(),
            generations: BTreeSet::new(),
            totals: Totals::default(),
            written_bytes: 0,
        };
        writer.push_header(header);
        writer.flush()?;
        Ok(writer)
    }

    fn push_header(&mut self, header: &Header) {
        let out = &mut self.text;
        out.extend_from_slice(b"#mtree\n# hardback manifest ");
        text::push_number(out, u64::from(FORMAT_VERSION));
        let mut field = |key: &str, value: &[u8]| {
            out.extend_from_slice(b"\n# ");
            out.extend_from_slice(key.as_bytes());
            out.push(b' ');
            text::escape(out, value);
        };
        field("job", header.job.as_bytes());
        field("snapshot", header.snapshot.as_bytes());
        field("generation", header.generation.to_string().as_bytes());
        field("started", time_text(header.started).as_bytes());
        field("utc-offset", header.utc_offset_s.to_string().as_bytes());
        field("host", header.host.as_bytes());
        if let Some((name, generation)) = &header.base {
            field("base", name.as_bytes());
            field("base-generation", generation.to_string().as_bytes());
        }
        for (folder, path) in &header.sources {
            field("source-folder", folder);
            field("source-path", path);
        }
        if let Some(excludes) = &header.excludes {
            let lines = excludes.lines();
            field("excludes", lines.len().to_string().as_bytes());
            lines.iter().for_each(|(key, value)| field(key, value));
        }
        out.push(b'\n');
    }

    /// Writes an entry that is no directory, or opens a directory.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.start_frame(entry);
        if let Some(content) = entry.content {
            self.generations.insert(content.generation);
        }
        text::push_entry(&mut self.text, entry, &mut self.context);
        if entry.is_dir() {
            if self.depth > 0 {
                self.path.push(&entry.name);
            }
            self.depth += 1;
            self.push_path();
        }
        if self.depth > 1 || !entry.is_dir() {
            self.totals.entries += 1;
            self.totals.dirs += u64::from(entry.is_dir());
        }
        self.totals.bytes += entry.size_bytes;
        self.totals.problems += u64::from(entry.problem().is_some());
        self.flush_if_full()
    }

    /// Closes the directory that was opened last.
    pub fn up(&mut self) {
        self.text.extend_from_slice(b"..\n");
        self.path.pop();
        self.depth -= 1;
    }

    /// Names what has no entry in the directory that is open, and says why.
    pub fn unstored(&mut self, why: Unstored, name: &[u8]) -> io::Result<()> {
        if self.fresh_frame && !self.path_told {
            self.path_told = true;
            self.push_path();
        }
        self.text.extend_from_slice(format!("# {} ", why.code()).as_bytes());
        text::escape(&mut self.text, name);
        self.text.push(b'\n');
        self.flush_if_full()
    }

    /// Counts a content that this run copied.
    pub fn count_new(&mut self, bytes: u64) {
        self.totals.new_files += 1;
        self.totals.new_bytes += bytes;
    }

    /// Takes over the sums of the record that this one stands in for: what its run copied, and what has no line.
    pub(crate) fn carry_over(&mut self, totals: &Totals, more_excluded: u64) {
        (self.totals.new_files, self.totals.new_bytes) = (totals.new_files, totals.new_bytes);
        self.totals.problems = self.totals.problems.max(totals.problems);
        self.totals.excluded = totals.excluded + more_excluded;
    }

    /// Counts problems that belong to no line, such as those of entries that vanished.
    pub fn count_problems(&mut self, problems: u64) {
        self.totals.problems += problems;
    }

    /// Counts what was left out and has no line.
    pub fn count_excluded(&mut self, excluded: u64) {
        self.totals.excluded += excluded;
    }

    /// Returns whether the names of this owner have been told.
    pub fn knows_user(&mut self, uid: u32) -> bool {
        self.users.contains(&uid)
    }

    /// Returns whether the name of this group has been told.
    pub fn knows_group(&mut self, gid: u32) -> bool {
        self.groups.contains(&gid)
    }

    /// Tells the name of a user, once.
    pub fn user(&mut self, uid: u32, name: Option<&str>) {
        if self.users.insert(uid)
            && let Some(name) = name
        {
            text::push_name_of(&mut self.text, "user", uid, name);
        }
    }

    /// Tells the name of a group, once.
    pub fn group(&mut self, gid: u32, name: Option<&str>) {
        if self.groups.insert(gid)
            && let Some(name) = name
        {
            text::push_name_of(&mut self.text, "group", gid, name);
        }
    }

    fn push_path(&mut self) {
        self.text.extend_from_slice(b"# ./");
        text::escape(&mut self.text, self.path.as_bytes());
        self.text.push(b'\n');
    }

    /// A frame starts with the path that it is in and with defaults of its own, so that it can be read alone.
    fn start_frame(&mut self, entry: &Entry) {
        if self.fresh_frame {
            self.fresh_frame = false;
            self.push_path();
            self.context = Context::default();
            text::push_set(&mut self.text, entry, &mut self.context);
        }
    }

    /// Returns the bytes that were handed to the sink.
    #[cfg(test)]
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Any number of lines of any kind may follow each other: a reader refuses a frame that is too long.
    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.text.len() >= FRAME_TEXT_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the frame and hands it to the sink.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let frame = self.compressor.0.compress(&self.text)?;
        self.hasher.update(&frame);
        self.sink.write_all(&frame)?;
        self.written_bytes += frame.len() as u64;
        self.text.clear();
        self.fresh_frame = true;
        self.path_told = false;
        Ok(())
    }

    /// Writes the end and returns the sink, the totals, the generations that are referred to, and the digest of all
    /// that was written.
    pub fn finish(mut self) -> io::Result<Finished<W>> {
        let t = self.totals;
        let generations: Vec<String> = self.generations.iter().map(u32::to_string).collect();
        let end = format!(
            "# entries {}\n# dirs {}\n# bytes {}\n# new-files {}\n# new-bytes {}\n# problems {}\n# excluded {}\n\
             # generations {}\n# end\n",
            t.entries,
            t.dirs,
            t.bytes,
            t.new_files,
            t.new_bytes,
            t.problems,
            t.excluded,
            generations.join(" ")
        );
        self.text.extend_from_slice(end.as_bytes());
        self.flush()?;
        self.sink.flush()?;
        Ok(Finished {
            sink: self.sink,
            totals: self.totals,
            generations: self.generations.into_iter().collect(),
            digest: *self.hasher.finalize().as_bytes(),
            written_bytes: self.written_bytes,
        })
    }
}

/// What [`ManifestWriter::finish`] returns.
#[derive(Debug)]
pub struct Finished<W> {
    /// The sink.
    pub sink: W,
    /// Sums over all entries.
    pub totals: Totals,
    /// Generations whose digest lists are referred to.
    pub generations: Vec<u32>,
    /// BLAKE3 of the file.
    pub digest: Digest,
    /// Length of the file in bytes.
    pub written_bytes: u64,
}

fn time_text(time: Time) -> String {
    let mut out = Vec::new();
    text::push_time(&mut out, time);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Line, Reader};
    use super::*;
    use hardback_platform::Kind;

    #[test]
    fn names_left_out_fill_frames_that_can_be_read() {
        // In one frame they would be more than a reader takes.
        let count = 400_000;
        let name = |n: usize| format!("{n:0200}").into_bytes();
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        writer.entry(&Entry::new(b"sub", Kind::Dir)).unwrap();
        let mut longest_bytes = 0;
        for n in 0..count {
            writer.unstored(Unstored::Excluded, &name(n)).unwrap();
            longest_bytes = longest_bytes.max(writer.text.len());
        }
        assert!(longest_bytes < 2 * FRAME_TEXT_BYTES, "{longest_bytes}");
        writer.up();
        writer.entry(&Entry::new(b"sub2", Kind::Dir)).unwrap();
        writer.up();
        writer.up();
        let mut reader = Reader::open(writer.finish().unwrap().sink).unwrap();
        let mut next = || reader.next_line().unwrap().unwrap().0;
        assert!(matches!(next(), Line::Entry(top) if *top.name == *b"."));
        assert!(matches!(next(), Line::Entry(sub) if *sub.name == *b"sub"));
        for n in 0..count {
            assert_eq!(next(), Line::Unstored(Unstored::Excluded, name(n).into()));
        }
        assert_eq!(next(), Line::Up);
        assert!(matches!(next(), Line::Entry(sub) if *sub.name == *b"sub2"));
    }

    #[test]
    fn a_frame_of_names_left_out_says_once_where_it_is() {
        let mut writer = ManifestWriter::create(Vec::new(), &Header::default()).unwrap();
        writer.entry(&Entry::new(b".", Kind::Dir)).unwrap();
        writer.entry(&Entry::new(b"sub", Kind::Dir)).unwrap();
        for _ in 0..2 {
            writer.flush().unwrap();
            writer.unstored(Unstored::Excluded, b"a").unwrap();
            writer.unstored(Unstored::Vanished, b"b").unwrap();
            writer.unstored(Unstored::Unnameable, b"c d").unwrap();
            assert_eq!(writer.text, b"# ./sub\n# left-out a\n# vanished b\n# unnameable c\\040d\n");
        }
    }
}
