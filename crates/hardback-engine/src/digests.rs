//! The digest lists of a job: digest N of generation G stands at byte 32 × N of the list of generation G.

use crate::error::Error;
use crate::manifest::{ContentRef, DIGEST_BYTES, Digest};
use crate::target::{Target, layout};
use hardback_platform::{Dir, FileRead, PathError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Lists that are kept open.
const OPEN_LISTS_MAX: usize = 64;

/// Reads digests by their reference.
#[derive(Debug)]
pub struct DigestLists {
    dir: Option<Dir>,
    open: Mutex<VecDeque<(u32, Arc<FileRead>)>>,
}

impl DigestLists {
    /// Opens the lists of a job; a job without any has none to give.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(target: &Target, job: &str) -> Result<Self, Error> {
        let dir = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()])?;
        Ok(Self { dir, open: Mutex::new(VecDeque::new()) })
    }

    /// Returns a digest.
    ///
    /// # Errors
    /// The list is missing or too short.
    pub fn get(&self, content: ContentRef) -> Result<Digest, Error> {
        let file = self.list(content.generation)?;
        let mut digest = [0; DIGEST_BYTES];
        let n = file.read_full_at(&mut digest, content.ordinal * DIGEST_BYTES as u64)?;
        if n == DIGEST_BYTES {
            return Ok(digest);
        }
        let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the list is too short");
        Err(PathError::new("read the digest list", &layout::digests_name(content.generation), error).into())
    }

    fn list(&self, generation: u32) -> Result<Arc<FileRead>, Error> {
        let mut open = self.open.lock().expect("no panic while the lists are held");
        if let Some((_, file)) = open.iter().find(|(g, _)| *g == generation) {
            return Ok(file.clone());
        }
        let name = layout::digests_name(generation);
        let Some(dir) = &self.dir else {
            let error = std::io::Error::new(std::io::ErrorKind::NotFound, "there are no digest lists");
            return Err(PathError::new("open", &name, error).into());
        };
        let file = Arc::new(dir.open_file(&name)?);
        open.truncate(OPEN_LISTS_MAX - 1);
        open.push_front((generation, file.clone()));
        Ok(file)
    }
}
