//! What changed between two snapshots of a job, or between a snapshot and the sources as they are now.
//!
//! Both sides are streams in tree order and are merged directory by directory, so memory is bounded whatever their
//! size. Nothing is written. A source is looked at as a backup would (`plan`): a file whose size, times, file id and
//! metadata are those of the record is not read.
//!
//! Against the sources, what a backup by the rules in the snapshot's record leaves out of them as they are now is counted
//! and not told as added. Of a record without rules nothing is known to be left out.

pub(crate) mod compare;
mod live;
mod merge;
mod moves;
mod rules;
mod tree;

use crate::context::Context;
use crate::digests::DigestLists;
use crate::error::Error;
use crate::problem::Problem;
use crate::report::Problems;
use crate::target::Target;
use hardback_platform::Kind;
use live::Live;
use merge::Merge;
use moves::Moves;
use tree::{Record, Recorded};

/// What to compare.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Name of the job.
    pub job: String,
    /// Name of the snapshot that is the old side.
    pub a: String,
    /// Name of the snapshot that is the new side; `None`: the sources of `a` as they are now.
    pub b: Option<String>,
}

/// How an entry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is on the new side only.
    Added,
    /// It is on the old side only.
    Removed,
    /// The content is another one; the metadata may be too.
    Content,
    /// The content is the same, these parts are not: `mode`, `owner`, `time`, `xattrs`, `link`, `device`, `flags`.
    Metadata(Vec<&'static str>),
    /// It is of another kind. What is in a folder that came or went is told as added or removed.
    Kind,
    /// It has another path; the content is the same, the metadata may differ. A folder moved only if it was not
    /// changed as well; what is in it is told one by one. A move of very many entries at once is told as removed and
    /// added.
    Moved {
        /// Path on the old side.
        from: Vec<u8>,
    },
}

/// One entry that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path in the snapshot; empty for the top, where that is a source itself.
    pub path: Vec<u8>,
    /// What it is on the new side, or was, if it was removed.
    pub kind: Kind,
    /// How it changed.
    pub change: Change,
    /// Size on the old side, if it was a file there.
    pub old_bytes: Option<u64>,
    /// Size on the new side, if it is a file there.
    pub new_bytes: Option<u64>,
}

/// A number of entries and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub entries: u64,
    /// Bytes of the files among them: on the new side, or on the old side of what was removed.
    pub bytes: u64,
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says whether all could be compared"]
pub struct DiffReport {
    /// On the new side only.
    pub added: Tally,
    /// On the old side only.
    pub removed: Tally,
    /// With another content.
    pub content: Tally,
    /// With other metadata only.
    pub metadata: Tally,
    /// Of another kind.
    pub kind: Tally,
    /// With another path.
    pub moved: Tally,
    /// The same on both sides.
    pub unchanged: u64,
    /// Entries of the sources that the rules of the snapshot leave out; a folder counts as one, with all that is in it.
    pub left_out: u64,
    /// Number of entries that could not be compared.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

impl DiffReport {
    /// Returns the number of differences.
    pub fn differences(&self) -> u64 {
        [self.added, self.removed, self.content, self.metadata, self.kind, self.moved].iter().map(|t| t.entries).sum()
    }

    fn count(&mut self, difference: &Difference) {
        let tally = match difference.change {
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
            Change::Content => &mut self.content,
            Change::Metadata(_) => &mut self.metadata,
            Change::Kind => &mut self.kind,
            Change::Moved { .. } => &mut self.moved,
        };
        tally.entries += 1;
        let bytes = if difference.change == Change::Removed { difference.old_bytes } else { difference.new_bytes };
        tally.bytes += bytes.unwrap_or(0);
    }
}

/// Compares two snapshots of a job, or a snapshot with the sources, and tells each difference in tree order.
///
/// A folder's time moves whenever a name in it comes or goes; that is told as metadata, as it is what a restore would
/// bring back.
///
/// # Errors
/// There is no such snapshot, a record is damaged, or a source cannot be opened. A part of a source that cannot be
/// read is a problem and counts neither as changed nor as removed.
pub fn diff(
    ctx: &Context<'_>,
    target: &Target,
    options: &DiffOptions,
    each: &mut dyn FnMut(&Difference),
) -> Result<DiffReport, Error> {
    let old = Record::open(target, &options.job, &options.a)?;
    let digests = DigestLists::open(target, &options.job);
    let moves = Moves::new(each);
    let problems = Problems::default();
    let mut report = match &options.b {
        Some(b) => {
            let record = Record::open(target, &options.job, b)?;
            let top = (old.top_is_source() && record.top_is_source()).then(|| record.root.clone());
            let new = Recorded { ctx: *ctx, record, digests, problems: &problems };
            Merge { ctx, old, new, moves, problems: &problems, path: Vec::new(), waiting: 0, by_content: true }
                .run(top)?
        }
        None => {
            let (new, top) = Live::open(ctx, target, old.header(), digests, &problems)?;
            Merge { ctx, old, new, moves, problems: &problems, path: Vec::new(), waiting: 0, by_content: false }
                .run(top)?
        }
    };
    (report.problem_count, report.problems) = problems.take();
    Ok(report)
}
