//! What this process may do.

use crate::rights::MissingRights;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::io;
use std::sync::OnceLock;

static UMASK: OnceLock<Mode> = OnceLock::new();
static OPEN_FILE_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// What this process was started with and has changed for itself: programs of the user are to have it back.
#[derive(Debug, Clone, Copy)]
pub struct Inherited {
    umask: Option<Mode>,
    open_file_limit: Option<Rlimit>,
}

impl Inherited {
    /// Returns what was changed so far.
    pub fn of_process() -> Self {
        Self { umask: UMASK.get().copied(), open_file_limit: OPEN_FILE_LIMIT.get().copied() }
    }

    /// Gives it back to the calling process. It makes system calls and nothing else, so that it can be called between
    /// fork and exec.
    ///
    /// # Errors
    /// The system refuses.
    pub fn give_back(&self) -> io::Result<()> {
        if let Some(mask) = self.umask {
            umask(mask);
        }
        if let Some(limit) = self.open_file_limit {
            setrlimit(Resource::Nofile, limit)?;
        }
        Ok(())
    }
}

/// Returns whether this process runs as root and may set owners and read everything.
pub fn is_privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns what this process may not do, and nothing would say so: here all of it is said where it is met.
pub fn missing_rights() -> MissingRights {
    MissingRights::default()
}

/// Lets created entries have exactly the mode that is asked for; called once by the binary, before any thread starts.
pub fn clear_umask() {
    // Only the first answer is the one that was inherited.
    UMASK.set(umask(Mode::empty())).ok();
}

/// Raises the limit of open files to what the system allows; called once by the binary.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    OPEN_FILE_LIMIT.set(limit).ok();
    // A refusal leaves the old limit, which the engine's own bound on open folders respects.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
}

/// Lets the calling thread stand back, for the processor and for the disk, until it ends: on Linux a thread has a nice
/// value of its own, and its input and output follow that (ioprio_set(2), "I/O priority").
pub fn lower_thread_priority() {
    const LOWEST: i32 = 19;
    // A refusal leaves the priority as it is.
    rustix::process::setpriority_process(None, LOWEST).ok();
}
