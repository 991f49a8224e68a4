//! Where the scrub of a job is: one small file, replaced whole. `docs/format.md` describes it.

use crate::clock::timestamp;
use crate::damage::Contents;
use crate::error::{Error, UnderPath};
use crate::manifest::{ContentRef, escape, unescape};
use crate::problem::{Problem, ProblemKind};
use crate::target::{Target, layout, replace_file};
use crate::verify::Unread;
use hardback_platform::{Faults, PathError, RelPath, Time};
use std::collections::BTreeSet;

/// Format of the file.
const FORMAT: i64 = 1;
/// How the last line begins: the BLAKE3 of all that is above it follows.
const CHECKSUM: &str = "checksum = \"";
/// Longest file that is read.
const BYTES_MAX: usize = 4 << 20;
/// Damaged contents that are written down; a repair that reads everything finds them all.
const DAMAGED_MAX: usize = 10_000;
/// Contents that are written down to be read again.
const UNREAD_MAX: usize = Unread::CONTENTS_MAX;

/// Why a position is of no use.
#[derive(Debug)]
pub(crate) struct Lost {
    job: String,
    why: String,
}

impl Lost {
    /// Returns it as a problem, with what follows for the one who wanted it.
    pub(crate) fn problem(&self, follows: &str) -> Problem {
        let parts = [layout::OURS, b"/", layout::SCRUB, b"/", &layout::scrub_name(&self.job)];
        let what = format!("{}; what scrubs of job {} have found is not known: {follows}", self.why, self.job);
        Problem::with_detail(&parts.concat(), ProblemKind::Unreadable, what)
    }
}

/// Where a scrub is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The snapshots of lower generations are done.
    pub(crate) generation: u32,
    /// In the snapshot of this generation all is done up to this path, in tree order; the root for nothing.
    pub(crate) path: RelPath,
    /// Something in this snapshot could not be looked at.
    pub(crate) has_gap: bool,
    /// Generations of the snapshots that the pass has gone through without a gap: what later ones share with them needs
    /// no second look.
    pub(crate) read: BTreeSet<u32>,
    /// What is to be looked at once more wherever it comes by, though the pass has been there.
    pub(crate) unread: Unread,
    /// When the pass began; `None` before.
    pub(crate) began: Option<Time>,
    /// What it has cost so far: bytes, and what opening and comparing files counts as.
    pub(crate) cost: u64,
    /// Runs so far.
    pub(crate) runs: u32,
    /// Sum of the shares of these runs, in hundredths of a percent.
    pub(crate) promised: u32,
    /// What the runs so far could not read or prove, and what else they told beside damaged files.
    pub(crate) problems: u64,
    /// When the pass before was whole.
    pub(crate) last_whole: Option<Time>,
    /// The problems of that pass: they count until another is whole.
    pub(crate) last_problems: u64,
    /// Contents of which a damaged file was found and not repaired.
    pub(crate) damaged: Contents,
}

impl Position {
    /// Reads the position of a job; without one, a new pass begins.
    ///
    /// # Errors
    /// It is there and of no use, whatever the reason: a new pass begins too, and what scrubs found is not known.
    pub(crate) fn read(target: &Target, job: &str) -> Result<Self, Lost> {
        let name = layout::scrub_name(job);
        let lost = |why: String| Lost { job: job.to_owned(), why };
        let failed = |error: PathError| lost(format!("cannot {}: {}", error.op, error.source));
        let Some(dir) = target.ours_dir_if_any(&[layout::SCRUB]).map_err(failed)? else { return Ok(Self::default()) };
        match dir.open_file(&name).and_then(|file| file.read_to_vec(BYTES_MAX)) {
            Ok(bytes) => Self::from_text(&String::from_utf8_lossy(&bytes))
                .ok_or_else(|| lost("it is not as it was written".to_owned())),
            Err(error) if error.fault() == Faults::Vanished => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes it in place of the one before.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, target: &Target, job: &str) -> Result<(), Error> {
        let dir = target.ours_dir(&[layout::SCRUB])?;
        let in_scrub = target.ours_path(&[layout::SCRUB]);
        Ok(replace_file(&dir, &layout::scrub_name(job), self.to_text().as_bytes()).under(&in_scrub)?)
    }

    /// Comes to a snapshot.
    pub(crate) fn enter(&mut self, generation: u32) {
        (self.generation, self.path, self.has_gap) = (generation, RelPath::root(), false);
    }

    /// Is done with the snapshot that it is in.
    pub(crate) fn leave(&mut self) {
        if !self.has_gap {
            self.read.insert(self.generation);
        }
        self.enter(self.generation.saturating_add(1));
    }

    /// Takes over what a leg could not read. If that is more than can be kept, nothing counts as read any more.
    pub(crate) fn extend_unread(&mut self, unread: Unread) {
        let is_too_much = unread.is_too_much;
        self.unread.contents.extend(unread.contents);
        self.unread.lists.extend(unread.lists);
        if is_too_much || self.unread.contents.len() > UNREAD_MAX {
            self.unread.contents.clear();
            self.read.clear();
            self.has_gap = true;
        }
    }

    /// Returns the position of a new pass, with what outlasts one.
    pub(crate) fn anew(self) -> Self {
        let Self { last_whole, last_problems, damaged, .. } = self;
        Self { last_whole, last_problems, damaged, ..Self::default() }
    }

    /// The pass is whole: the next run begins another.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        (self.last_whole, self.last_problems) = (Some(now), self.problems);
        *self = std::mem::take(self).anew();
    }

    fn to_text(&self) -> String {
        let time = |key: &str, time: Option<Time>| match time {
            Some(time) => format!("{key} = \"{}\"\n", timestamp(time)),
            None => String::new(),
        };
        let mut path = Vec::new();
        escape(&mut path, self.path.as_bytes());
        let path = String::from_utf8_lossy(&path).replace('\\', "\\\\").replace('"', "\\\"");
        let contents = |of: &Contents, max: usize| -> String {
            let line = |content: &ContentRef| format!("    \"{}.{}\",\n", content.generation, content.ordinal);
            of.iter().take(max).map(line).collect()
        };
        let capped = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let numbers = |of: &BTreeSet<u32>| of.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "# Where the scrub of this job is. If this file is removed, the next one begins a new pass.\n\
             format = {FORMAT}\ngeneration = {}\npath = \"{}\"\ngap = {}\nread = [{}]\nunread = [\n{}]\n\
             unproven = [{}]\n{}cost = {}\nruns = {}\npromised = {}\nproblems = {}\n{}\
             last-problems = {}\ndamaged = [\n{}]\n",
            self.generation,
            path,
            self.has_gap,
            numbers(&self.read),
            contents(&self.unread.contents, UNREAD_MAX),
            numbers(&self.unread.lists),
            time("began", self.began),
            capped(self.cost),
            self.runs,
            self.promised,
            capped(self.problems),
            time("last-whole", self.last_whole),
            capped(self.last_problems),
            contents(&self.damaged, DAMAGED_MAX),
        );
        format!("{text}{CHECKSUM}{}\"\n", blake3::hash(text.as_bytes()).to_hex())
    }

    /// Parses the text; `None` for anything that is no position of this format.
    fn from_text(text: &str) -> Option<Self> {
        let (body, last) = text.split_at(text.rfind(CHECKSUM)?);
        let checksum = last.strip_prefix(CHECKSUM)?.strip_suffix("\"\n")?;
        if blake3::hash(body.as_bytes()).to_hex().as_str() != checksum {
            return None;
        }
        let table: toml::Table = text.parse().ok()?;
        let number = |key: &str| table.get(key)?.as_integer();
        if number("format")? != FORMAT {
            return None;
        }
        let time = |key: &str| match table.get(key) {
            None => Some(None),
            Some(value) => {
                let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
                let nanos = u32::try_from(time.subsec_nanosecond().rem_euclid(1_000_000_000)).ok()?;
                let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
                Some(Some(Time { seconds: i64::try_from(seconds).ok()?, nanos }))
            }
        };
        let content = |value: &toml::Value| {
            let (generation, ordinal) = value.as_str()?.split_once('.')?;
            Some(ContentRef { generation: generation.parse().ok()?, ordinal: ordinal.parse().ok()? })
        };
        let list = |key: &str| table.get(key)?.as_array();
        let contents = |key: &str| list(key)?.iter().map(content).collect::<Option<Contents>>();
        let generation = |value: &toml::Value| u32::try_from(value.as_integer()?).ok();
        let generations = |key: &str| list(key)?.iter().map(generation).collect::<Option<BTreeSet<u32>>>();
        Some(Self {
            generation: u32::try_from(number("generation")?).ok()?,
            path: RelPath::from_bytes(&unescape(table.get("path")?.as_str()?.as_bytes())?).ok()?,
            has_gap: table.get("gap")?.as_bool()?,
            read: generations("read")?,
            unread: Unread { contents: contents("unread")?, lists: generations("unproven")?, is_too_much: false },
            began: time("began")?,
            cost: u64::try_from(number("cost")?).ok()?,
            runs: u32::try_from(number("runs")?).ok()?,
            promised: u32::try_from(number("promised")?).ok()?,
            problems: u64::try_from(number("problems")?).ok()?,
            last_whole: time("last-whole")?,
            last_problems: u64::try_from(number("last-problems")?).ok()?,
            damaged: contents("damaged")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_whatever_bytes_are_in_its_path() {
        let content = |generation, ordinal| ContentRef { generation, ordinal };
        let position = Position {
            generation: 7,
            path: RelPath::from_bytes(b"a \"b\"/\\c\n=#'\xff/\xc3\xbc").unwrap(),
            has_gap: true,
            read: [1, 2, 6].into(),
            unread: Unread { contents: [content(1, 5)].into(), lists: [3].into(), is_too_much: false },
            began: Some(Time { seconds: 1_795_284_000, nanos: 684_164_581 }),
            cost: 12,
            runs: 3,
            promised: 600,
            problems: 5,
            last_problems: 2,
            last_whole: Some(Time { seconds: -1, nanos: 500_000_000 }),
            damaged: [content(2, 17), content(2, 18), content(9, 0)].into(),
        };
        assert_eq!(Position::from_text(&position.to_text()), Some(position));
        assert_eq!(Position::from_text(&Position::default().to_text()), Some(Position::default()));
    }

    #[test]
    fn what_is_no_position_is_none() {
        let good = Position::default().to_text();
        // With the right sum: what is wrong with these is another thing.
        let summed = |from: &str, to: &str| {
            let body = good[..good.rfind(CHECKSUM).unwrap()].replace(from, to);
            format!("{body}{CHECKSUM}{}\"\n", blake3::hash(body.as_bytes()).to_hex())
        };
        assert_eq!(Position::from_text(&summed("", "")), Some(Position::default()));
        let bad = [
            String::new(),
            "no toml".to_owned(),
            summed("format = 1", "format = 2"),
            summed("path = \"\"", "path = \"a/../b\""),
            summed("cost = 0", "cost = -1"),
            summed("damaged = [\n", "damaged = [\n\"7\","),
            summed("read = []", "read = [-1]"),
            good[..good.len() / 2].to_owned(),
            good[..good.rfind(CHECKSUM).unwrap()].to_owned(),
        ];
        for text in bad {
            assert_eq!(Position::from_text(&text), None, "{text}");
        }
    }

    #[test]
    fn no_byte_can_change_unnoticed() {
        let good = Position {
            generation: 12,
            damaged: [ContentRef { generation: 2, ordinal: 17 }].into(),
            ..Position::default()
        };
        let good = good.to_text();
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(Position::from_text(&String::from_utf8_lossy(&bytes)), None, "at {at}");
        }
    }
}
