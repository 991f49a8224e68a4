//! Damaged files: which names they have in all snapshots, and where a good copy still is.
//!
//! A stored file that is linked into many snapshots is one file, so it is one [`Damage`] with all its names. They come
//! from the records: each line that refers to the content, if the name in the tree is that very file. A copy counts as
//! good only after it was read and has the digest. Nothing here changes anything; that is `repair`.

mod copies;
mod locate;

pub(crate) use copies::{Copies, CopyAt, Read, content_of_made, has_content};
pub(crate) use locate::{Located, StoredFile, StoredName, Suspect, Twin, for_each_file, locate};

use crate::catalog;
use crate::error::Error;
use crate::manifest::ContentRef;
use crate::problem::{Problem, ProblemKind};
use crate::report::PROBLEMS_KEPT_MAX;
use crate::target::Target;
use crate::verify::Findings;
use hardback_platform::path::display;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

/// Damaged files that are kept to be told with all their names; others are told as they are found.
const BAD_MAX: usize = 10_000;
/// Contents that one pass over the records looks for at most.
const CONTENTS_A_PASS: usize = 1000;
/// Names that one pass keeps, if each content has one in each snapshot.
const NAMES_A_PASS: usize = 250_000;
/// Names and snapshots that a report keeps of all damaged files together; all are counted.
const NAMES_KEPT_MAX: usize = 200_000;
/// Snapshots that the text of a problem names.
const SNAPSHOTS_SHOWN: usize = 20;

/// A damaged stored file.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Job.
    pub job: String,
    /// Where it was found, as `SNAPSHOT/path`.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub why: String,
    /// All its names as `SNAPSHOT/path`, oldest snapshot first; where a report has very many, the first.
    pub names: Vec<Vec<u8>>,
    /// How many names it has.
    pub name_count: u64,
    /// The snapshots that it is in, oldest first; where a report has very many, the first.
    pub snapshots: Vec<String>,
    /// Where its content still is.
    pub good_copy: Option<GoodCopy>,
    /// All its names have the good content again.
    pub is_repaired: bool,
    /// What kind of problem it is.
    pub(crate) kind: ProblemKind,
    /// How far a good copy was looked for, where there is none.
    pub(crate) sought: Sought,
}

/// How far a good copy was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sought {
    /// Everywhere but at these places, which could not be looked at.
    But(Vec<String>),
    /// Nowhere, and why.
    Nowhere(&'static str),
}

/// Why no copy is looked for where nothing proves one.
pub(crate) const NO_DIGEST: Sought = Sought::Nowhere("its digest cannot be read, so nothing proves any copy of it");
/// Why no copy is looked for where the file is gone.
const NOT_THERE: Sought = Sought::Nowhere("it was not found again, so its other names and a copy were not looked for");

/// Where the content of a damaged file still is, proven by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoodCopy {
    /// Another file of the target, as `JOB/SNAPSHOT/path`, or what a repair made and could not put everywhere.
    Stored(Vec<u8>),
    /// A file of the source, by its path at this host.
    Source(Vec<u8>),
}

impl GoodCopy {
    /// Returns the path.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Stored(path) | Self::Source(path) => path,
        }
    }
}

impl Damage {
    /// Returns what is to be told of it beside where it was found.
    fn detail(&self) -> String {
        let mut detail = self.why.clone();
        match &self.snapshots[..] {
            [] => {}
            [_] => detail.push_str("; no other snapshot has this file"),
            all => {
                let shown: Vec<&str> = all.iter().take(SNAPSHOTS_SHOWN).map(String::as_str).collect();
                detail.push_str(&format!("; it is one file in {} snapshots: {}", all.len(), shown.join(", ")));
                if all.len() > shown.len() {
                    detail.push_str(&format!(" … {}", all[all.len() - 1]));
                }
            }
        }
        let copy = match &self.good_copy {
            Some(GoodCopy::Stored(path)) => format!("; a good copy is {}", display(path)),
            Some(GoodCopy::Source(path)) => format!("; a good copy is at the source: {}", display(path)),
            None => match &self.sought {
                Sought::Nowhere(why) => format!("; {why}"),
                Sought::But(unseen) if unseen.is_empty() => {
                    "; no good copy of it was found in the target or at the source".to_owned()
                }
                Sought::But(unseen) => {
                    format!("; no good copy of it was found, but these could not be looked at: {}", unseen.join(", "))
                }
            },
        };
        detail + &copy
    }

    /// Returns it as a problem.
    pub(crate) fn problem(&self) -> Problem {
        Problem::with_detail(&self.path, self.kind, self.detail())
    }
}

/// A stored file whose content is not what its record says, as whoever read it saw it.
#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) content: ContentRef,
    /// Which file it is on its volume.
    pub(crate) file: u64,
    /// One of its names, as `SNAPSHOT/path`.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: ProblemKind,
    pub(crate) why: String,
}

impl Bad {
    /// Returns it as a problem, for where nothing more can be told.
    pub(crate) fn problem(&self) -> Problem {
        Problem::with_detail(&self.path, self.kind, self.why.clone())
    }
}

/// Damaged files that are not told yet.
#[derive(Debug, Default)]
pub(crate) struct BadFiles(Mutex<HashMap<(u64, ContentRef), Bad>>);

impl BadFiles {
    /// Notes one; returns whether it is new, or gives it back where there are too many.
    pub(crate) fn note(&self, bad: Bad) -> Result<bool, Bad> {
        let mut all = self.0.lock().expect("no panic while the list is held");
        let key = (bad.file, bad.content);
        if all.contains_key(&key) {
            return Ok(false);
        }
        if all.len() >= BAD_MAX {
            return Err(bad);
        }
        all.insert(key, bad);
        Ok(true)
    }

    /// Returns whether a file was found to be damaged under another name.
    pub(crate) fn has(&self, file: u64, content: ContentRef) -> bool {
        self.0.lock().expect("no panic while the list is held").contains_key(&(file, content))
    }

    /// Returns the contents of the files.
    pub(crate) fn contents(&self) -> Vec<ContentRef> {
        self.0.lock().expect("no panic while the list is held").keys().map(|(_, content)| *content).collect()
    }

    /// Takes all, sorted by content.
    pub(crate) fn take(&self) -> Vec<Bad> {
        let all = std::mem::take(&mut *self.0.lock().expect("no panic while the list is held"));
        let mut all: Vec<Bad> = all.into_values().collect();
        all.sort_by_key(|bad| (bad.content, bad.file));
        all
    }
}

/// Tells of the damaged files of a job, with all their names and where a good copy is.
///
/// # Errors
/// The target cannot be read as a whole, or the user asked to stop; then each is told as it was found.
pub(crate) fn tell(findings: &Findings<'_>, target: &Target, job: &str) -> Result<(), Error> {
    let bad = findings.bad.take();
    let by_content: Vec<&[Bad]> = bad.chunk_by(|a, b| a.content == b.content).collect();
    let mut told = 0;
    let result = contents_a_pass(target, job, by_content.len()).and_then(|contents| {
        by_content.chunks(contents).try_for_each(|pass| {
            let contents = pass.iter().filter_map(|same| Some(same.first()?.content)).collect();
            let located = locate(&findings.ctx, target, job, &contents)?;
            let mut copies = Copies::new(&findings.ctx, target, &located)?;
            for same in pass.iter() {
                for bad in *same {
                    findings.damaged(describe(&located, &mut copies, job, bad)?);
                    told += 1;
                }
            }
            Ok(())
        })
    });
    bad[told..].iter().for_each(|bad| findings.tell(bad.problem()));
    result
}

/// Returns how many of some contents one pass over the records of a job looks for: with each come its names in all
/// snapshots, and they are kept in memory.
///
/// # Errors
/// The target cannot be read as a whole.
pub(crate) fn contents_a_pass(target: &Target, job: &str, contents: usize) -> Result<usize, Error> {
    if contents <= 1 {
        return Ok(1);
    }
    Ok(pass_size(catalog::snapshots(target, job)?.sealed.len()))
}

fn pass_size(snapshots: usize) -> usize {
    (NAMES_A_PASS / snapshots.max(1)).clamp(1, CONTENTS_A_PASS)
}

/// The first damaged files, as a report keeps them.
#[derive(Debug, Default)]
pub(crate) struct KeptDamage {
    all: Vec<Damage>,
    names: usize,
}

impl KeptDamage {
    /// Keeps one, if there is room, and its names as far as there is.
    pub(crate) fn keep(&mut self, mut damage: Damage) {
        if self.all.len() >= PROBLEMS_KEPT_MAX {
            return;
        }
        let left = NAMES_KEPT_MAX.saturating_sub(self.names).max(1);
        damage.names.truncate(left);
        damage.names.shrink_to_fit();
        damage.snapshots.truncate(left);
        damage.snapshots.shrink_to_fit();
        self.names += damage.names.len() + damage.snapshots.len();
        self.all.push(damage);
    }

    /// Takes those that were kept.
    pub(crate) fn take(&mut self) -> Vec<Damage> {
        self.names = 0;
        std::mem::take(&mut self.all)
    }
}

/// Says all that is known of a damaged file.
fn describe(located: &Located, copies: &mut Copies<'_>, job: &str, bad: &Bad) -> Result<Damage, Error> {
    let suspect = located.suspects.get(&bad.content);
    let file = suspect.and_then(|suspect| suspect.files.iter().find(|file| file.file == bad.file));
    let (good_copy, sought) = match (suspect, file) {
        (Some(suspect), Some(file)) if suspect.digest.is_some() => {
            match copies.find(bad.content, (suspect, file), Read::SourceToo)? {
                Some(copy) => (Some(copies.shown(&copy)), Sought::But(Vec::new())),
                None => (None, Sought::But(copies.unseen(suspect, file))),
            }
        }
        (Some(_), Some(_)) => (None, NO_DIGEST),
        _ => (None, NOT_THERE),
    };
    let (names, snapshots) = file.map(|file| located.names_of(file)).unwrap_or_default();
    Ok(Damage {
        job: job.to_owned(),
        path: bad.path.clone(),
        why: bad.why.clone(),
        name_count: names.len() as u64,
        names,
        snapshots,
        good_copy,
        is_repaired: false,
        kind: bad.kind,
        sought,
    })
}

/// Contents of which damage was found.
pub(crate) type Contents = BTreeSet<ContentRef>;

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(names: usize) -> Damage {
        Damage {
            job: "test".to_owned(),
            path: b"1/a".to_vec(),
            why: String::new(),
            names: vec![b"1/a".to_vec(); names],
            name_count: names as u64,
            snapshots: vec!["1".to_owned(); names],
            good_copy: None,
            is_repaired: false,
            kind: ProblemKind::Damaged,
            sought: NOT_THERE,
        }
    }

    #[test]
    fn a_report_keeps_a_limited_number_of_names_and_counts_all() {
        let mut kept = KeptDamage::default();
        for names in [10, NAMES_KEPT_MAX, 7] {
            kept.keep(damage(names));
        }
        let all = kept.take();
        let lengths: Vec<(usize, u64)> = all.iter().map(|damage| (damage.names.len(), damage.name_count)).collect();
        assert_eq!(lengths, [(10, 10), (NAMES_KEPT_MAX - 20, NAMES_KEPT_MAX as u64), (1, 7)]);
        for _ in 0..PROBLEMS_KEPT_MAX + 1 {
            kept.keep(damage(1));
        }
        assert_eq!(kept.take().len(), PROBLEMS_KEPT_MAX);
    }

    #[test]
    fn a_pass_keeps_a_limited_number_of_names() {
        assert_eq!([0, 1, 250, 251, 1000].map(pass_size), [1000, 1000, 1000, 996, 250]);
        assert_eq!(pass_size(usize::MAX), 1);
    }
}
