//! Brings what the walk and the workers did back into tree order and writes the manifest and the digest list.

use super::groups::Stored;
use super::shared::{Outcome, Shared};
use super::throttle::Throttle;
use crate::error::Error;
use crate::manifest::{ContentRef, Digest, Entry, Finished, ManifestWriter, Unstored};
use crossbeam_channel::Receiver;
use hardback_platform::{FileId, FileWrite, PathError};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::Ordering;

/// What becomes lines of the manifest.
pub(super) enum Output {
    /// A folder is opened.
    Dir(Entry),
    /// Entries of the folder that is open.
    Entries {
        /// How many were handed out.
        handed_out: usize,
        outcomes: Vec<Outcome>,
        /// Names that have no line, and that no rule of the header leaves out.
        unstored: Vec<(Unstored, Box<[u8]>)>,
    },
    /// A name in the folder that is open, likewise.
    Unstored(Unstored, Box<[u8]>),
    /// The folder is closed.
    Up,
}

/// An output and its place in the order.
pub(super) type Numbered = (u64, Output);

/// Groups whose content is remembered for their other names. The names of any more get a digest of their own each: the
/// list is longer then, and their bytes count as copied once a name.
const GROUPS_RECORDED_MAX: usize = 100_000;

/// Bytes copied after which the record is brought up to date for whoever takes over an interrupted run.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Where the record goes; writes at the end of a new file.
#[derive(Debug)]
pub(crate) struct Appender {
    file: Option<FileWrite>,
    at: u64,
}

impl Appender {
    /// Takes a new file; without one (a dry run) nothing is kept.
    pub(crate) fn new(file: Option<FileWrite>) -> Self {
        Self { file, at: 0 }
    }

    /// Waits until the file is on the disk.
    pub(crate) fn sync(&self) -> Result<(), PathError> {
        self.file.as_ref().map_or(Ok(()), FileWrite::sync)
    }
}

impl io::Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.at).map_err(|e| e.source)?;
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes manifest and digest list.
pub(super) struct Collector<'a> {
    shared: &'a Shared<'a>,
    generation: u32,
    manifest: ManifestWriter<Appender>,
    digests: DigestWriter,
    /// What was recorded for a group of which names are to come, with their number.
    groups: HashMap<FileId, (Digest, ContentRef, u64)>,
    since_checkpoint: u64,
}

#[derive(Debug)]
struct DigestWriter {
    out: Appender,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    next: u64,
}

impl DigestWriter {
    fn push(&mut self, digest: &Digest) -> u64 {
        self.buffer.extend_from_slice(digest);
        self.hasher.update(digest);
        self.next += 1;
        self.next - 1
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::write_all(&mut self.out, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// What the record came to.
pub(super) struct Recorded {
    pub(super) manifest: Finished<Appender>,
    pub(super) digests: Appender,
    pub(super) digests_digest: Digest,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        shared: &'a Shared<'a>,
        generation: u32,
        manifest: ManifestWriter<Appender>,
        digests: Appender,
    ) -> Self {
        let digests = DigestWriter { out: digests, buffer: Vec::new(), hasher: blake3::Hasher::new(), next: 0 };
        Self { shared, generation, manifest, digests, groups: HashMap::new(), since_checkpoint: 0 }
    }

    /// Takes outputs until all senders are gone; writes them in order.
    pub(super) fn run(&mut self, outputs: &Receiver<Numbered>, throttle: &Throttle) -> Result<(), Error> {
        let mut waiting: BTreeMap<u64, Output> = BTreeMap::new();
        let mut next = 0;
        for (number, output) in outputs {
            waiting.insert(number, output);
            while let Some(output) = waiting.remove(&next) {
                next += 1;
                let (entries, chunks) = match &output {
                    Output::Entries { handed_out, .. } => (*handed_out, 1),
                    _ => (1, 0),
                };
                self.write(output).map_err(|e| failed(self.shared, e))?;
                throttle.leave(entries, chunks);
            }
        }
        // A run that stops leaves gaps where its workers were. What lies behind them is as well finished as the rest.
        for output in waiting.into_values() {
            self.write(output).map_err(|e| failed(self.shared, e))?;
        }
        Ok(())
    }

    fn write(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Dir(entry) => {
                self.tell_owner(&entry);
                self.manifest.entry(&entry)?;
            }
            Output::Up => self.manifest.up(),
            Output::Unstored(why, name) => self.manifest.unstored(why, &name)?,
            Output::Entries { outcomes, unstored, .. } => {
                for outcome in outcomes {
                    self.outcome(outcome)?;
                }
                unstored.iter().try_for_each(|(why, name)| self.manifest.unstored(*why, name))?;
                if self.since_checkpoint >= CHECKPOINT_BYTES {
                    self.checkpoint()?;
                }
            }
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: Outcome) -> io::Result<()> {
        let Outcome { mut entry, stored, group } = outcome;
        entry.content = match stored {
            Stored::Nothing => None,
            Stored::Known(content) => Some(content),
            Stored::New(digest) => Some(self.new_content(&entry, digest, group)),
        };
        self.tell_owner(&entry);
        self.manifest.entry(&entry)
    }

    /// Records a content that this run copied, once for all names of its group.
    fn new_content(&mut self, entry: &Entry, digest: Digest, group: Option<FileId>) -> ContentRef {
        // A group that was split may have another content in its second part, if the source changed meanwhile.
        if let Some(id) = group
            && let Some((_, content, left)) = self.groups.get_mut(&id).filter(|(known, ..)| *known == digest)
        {
            let content = *content;
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.groups.remove(&id);
            }
            return content;
        }
        let content = ContentRef { generation: self.generation, ordinal: self.digests.push(&digest) };
        self.manifest.count_new(entry.size_bytes);
        self.since_checkpoint += entry.size_bytes;
        if let Some(id) = group
            && entry.nlink > 1
            && self.groups.len() < GROUPS_RECORDED_MAX
        {
            self.groups.insert(id, (digest, content, entry.nlink - 1));
        }
        content
    }

    fn tell_owner(&mut self, entry: &Entry) {
        let Some(owner) = entry.owner else { return };
        if !self.manifest.knows_user(owner.uid) {
            self.manifest.user(owner.uid, hardback_platform::user_name(owner.uid).as_deref());
        }
        if !self.manifest.knows_group(owner.gid) {
            self.manifest.group(owner.gid, hardback_platform::group_name(owner.gid).as_deref());
        }
    }

    /// Writes down what is known, so that an interrupted run can be taken over.
    fn checkpoint(&mut self) -> io::Result<()> {
        self.since_checkpoint = 0;
        // Digests first: the manifest must not refer to what is not there.
        self.digests.flush()?;
        self.manifest.flush()
    }

    /// Writes down what is known of a run that stops; returns whether it could.
    pub(super) fn abandon(mut self) -> bool {
        // The run has failed already; what cannot be written down is copied again next time.
        let written = self.checkpoint();
        if let Err(error) = &written {
            self.shared.ctx.monitor.notice(&format!("the record of the unfinished run is incomplete: {error}"));
        }
        written.is_ok()
    }

    /// Ends the record.
    pub(super) fn finish(mut self) -> Result<Recorded, Error> {
        self.digests.flush().map_err(|e| failed(self.shared, e))?;
        let without_line = self.shared.sums.problems_without_line.load(Ordering::Relaxed);
        self.manifest.count_problems(without_line);
        self.manifest.count_excluded(self.shared.sums.excluded.load(Ordering::Relaxed));
        let manifest = self.manifest.finish().map_err(|e| failed(self.shared, e))?;
        Ok(Recorded { manifest, digests_digest: *self.digests.hasher.finalize().as_bytes(), digests: self.digests.out })
    }
}

fn failed(shared: &Shared<'_>, source: io::Error) -> Error {
    PathError::new("write the record of the snapshot in", &shared.in_partial, source).into()
}
