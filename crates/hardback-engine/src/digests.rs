//! The digest lists of a job: digest N of generation G stands at byte 32 × N of the list of generation G.

use crate::error::Error;
use crate::manifest::{ContentRef, DIGEST_BYTES, Digest, Seal};
use crate::target::{Target, layout};
use crate::verify::record::list_fault;
use hardback_platform::{Dir, FileRead, PathError};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Lists that are kept open.
const OPEN_LISTS_MAX: usize = 64;

/// Reads digests by their reference.
#[derive(Debug)]
pub struct DigestLists {
    /// The folder of the lists, or why it cannot be opened: what needs no digest goes on without.
    dir: Result<Option<Dir>, PathError>,
    /// The seals that lists are proven by before they are used.
    seals: HashMap<u32, Seal>,
    open: Mutex<Open>,
}

/// What was opened so far.
#[derive(Debug, Default)]
struct Open {
    lists: VecDeque<(u32, Arc<FileRead>)>,
    /// What is wrong with lists that were looked at, if anything.
    faults: HashMap<u32, Option<String>>,
}

impl DigestLists {
    /// Opens the lists of a job; a job without any, or whose lists cannot be reached, has none to give.
    pub fn open(target: &Target, job: &str) -> Self {
        let dir = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()]);
        Self { dir, seals: HashMap::new(), open: Mutex::default() }
    }

    /// Lets nothing be proven by a list that is not the one of its seal. A list whose snapshot is gone has no seal: it is
    /// taken as it is.
    pub(crate) fn proven_by(self, seals: Vec<Seal>) -> Self {
        Self { seals: seals.into_iter().map(|seal| (seal.generation, seal)).collect(), ..self }
    }

    /// Lists of a job that has no target yet: none.
    pub(crate) fn none() -> Self {
        Self { dir: Ok(None), seals: HashMap::new(), open: Mutex::default() }
    }

    /// Returns a digest.
    ///
    /// # Errors
    /// The list cannot be read, is missing or too short.
    pub fn get(&self, content: ContentRef) -> Result<Digest, Error> {
        let file = self.list(content.generation)?;
        let mut digest = [0; DIGEST_BYTES];
        let n = file.read_full_at(&mut digest, content.ordinal.saturating_mul(DIGEST_BYTES as u64))?;
        if n == DIGEST_BYTES {
            return Ok(digest);
        }
        let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the list is too short");
        Err(PathError::new("read the digest list", &layout::digests_name(content.generation), error).into())
    }

    /// Returns whether the list of a generation can be had.
    pub(crate) fn has(&self, generation: u32) -> bool {
        self.list(generation).is_ok()
    }

    fn list(&self, generation: u32) -> Result<Arc<FileRead>, Error> {
        let mut open = self.open.lock().expect("no panic while the lists are held");
        if let Some((_, file)) = open.lists.iter().find(|(g, _)| *g == generation) {
            return Ok(file.clone());
        }
        let name = layout::digests_name(generation);
        let dir = match &self.dir {
            Ok(Some(dir)) => dir,
            Ok(None) => {
                let error = std::io::Error::new(std::io::ErrorKind::NotFound, "there are no digest lists");
                return Err(PathError::new("open", &name, error).into());
            }
            Err(error) => return Err(PathError::new(error.op, &error.path, same_error(&error.source)).into()),
        };
        if let Some(seal) = self.seals.get(&generation) {
            let fault = open.faults.entry(generation).or_insert_with(|| list_fault(Some(dir), seal));
            if let Some(fault) = fault {
                let error = std::io::Error::new(std::io::ErrorKind::InvalidData, fault.clone());
                return Err(PathError::new("rely on", &name, error).into());
            }
        }
        let file = Arc::new(dir.open_file(&name)?);
        open.lists.truncate(OPEN_LISTS_MAX - 1);
        open.lists.push_front((generation, file.clone()));
        Ok(file)
    }
}

/// Returns an error once more.
fn same_error(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(number) => std::io::Error::from_raw_os_error(number),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// Digests that a [`DigestWindow`] reads at a time.
const WINDOW_DIGESTS: u64 = 256;

/// Reads digests one by one where most follow each other, as the entries of a manifest do: one read for many.
#[derive(Debug, Default)]
pub(crate) struct DigestWindow {
    generation: u32,
    first: u64,
    bytes: Vec<u8>,
}

impl DigestWindow {
    /// Returns a digest.
    ///
    /// # Errors
    /// The list cannot be read, is missing or too short.
    pub(crate) fn get(&mut self, lists: &DigestLists, content: ContentRef) -> Result<Digest, Error> {
        if let Some(digest) = self.look_up(content) {
            return Ok(digest);
        }
        let first = content.ordinal - content.ordinal % WINDOW_DIGESTS;
        let file = lists.list(content.generation)?;
        self.bytes.resize(WINDOW_DIGESTS as usize * DIGEST_BYTES, 0);
        let n = file.read_full_at(&mut self.bytes, first.saturating_mul(DIGEST_BYTES as u64));
        self.bytes.truncate(n.as_ref().copied().unwrap_or(0));
        (self.generation, self.first) = (content.generation, first);
        n?;
        match self.look_up(content) {
            Some(digest) => Ok(digest),
            None => lists.get(content),
        }
    }

    fn look_up(&self, content: ContentRef) -> Option<Digest> {
        let index = content.ordinal.checked_sub(self.first).filter(|_| content.generation == self.generation)?;
        let start = usize::try_from(index).ok()?.checked_mul(DIGEST_BYTES)?;
        self.bytes.get(start..start.checked_add(DIGEST_BYTES)?)?.try_into().ok()
    }
}
