//! The one place that every file system call passes, so that a test can count, fail, stop and record it.
//!
//! A [`Seam`] belongs to a handle and is inherited by what is opened through it; there is no global state. Without a
//! watch a call costs one branch.

use std::io;
use std::sync::Arc;

/// Which file system call is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the call of its name")]
pub enum Op {
    OpenDir,
    List,
    Stat,
    OpenFile,
    ReadLink,
    Read,
    GetXattrs,
    MakeDir,
    CreateFile,
    Write,
    SetLen,
    Clone,
    Link,
    Symlink,
    MakeNode,
    Rename,
    Unlink,
    RemoveDir,
    SetOwner,
    SetMode,
    SetTimes,
    SetXattr,
    SetAttributes,
    SyncFile,
    SyncDir,
    SyncVolume,
    Lock,
}

impl Op {
    /// Returns whether the call can change a volume.
    pub fn changes(self) -> bool {
        self >= Self::MakeDir && self != Self::Lock
    }
}

/// A call as a watch sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The call.
    pub op: Op,
    /// The name in the directory, or empty for the handle itself.
    pub name: &'a [u8],
    /// The system's number of the handle that the name is looked up in (a file descriptor on Unix), or of the file
    /// itself; -1 where there is none. For recording.
    pub handle: i64,
}

/// What a watch decides.
#[derive(Debug)]
pub enum Verdict {
    /// Make the call.
    Go,
    /// Do not make the call; it fails with this error.
    Fail(io::Error),
    /// A write stores only this many bytes and then fails; other calls go.
    Short(usize, io::Error),
}

/// Sees every call before it is made.
pub trait Watch: Send + Sync {
    /// Decides what happens to a call. Called from any thread, once for each call, in the order that the thread makes
    /// them.
    fn before(&self, call: &Call<'_>) -> Verdict;
}

/// The watch of a handle, if there is one.
#[derive(Clone, Default)]
pub struct Seam(Option<Arc<dyn Watch>>);

impl Seam {
    /// Lets a watch see all calls of the handles that carry this seam.
    pub fn watched(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// Asks the watch, if there is one; a short write counts as a failure here.
    #[inline]
    pub(crate) fn pass(&self, op: Op, name: &[u8], handle: i64) -> io::Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(watch) => match watch.before(&Call { op, name, handle }) {
                Verdict::Go => Ok(()),
                Verdict::Fail(error) | Verdict::Short(_, error) => Err(error),
            },
        }
    }

    /// Asks the watch about a write; returns how much of it to store before failing.
    #[inline]
    pub(crate) fn pass_write(&self, handle: i64) -> io::Result<Option<(usize, io::Error)>> {
        match &self.0 {
            None => Ok(None),
            Some(watch) => match watch.before(&Call { op: Op::Write, name: b"", handle }) {
                Verdict::Go => Ok(None),
                Verdict::Fail(error) => Err(error),
                Verdict::Short(bytes, error) => Ok(Some((bytes, error))),
            },
        }
    }
}

impl std::fmt::Debug for Seam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Seam(watched)" } else { "Seam" })
    }
}
