//! What this process may do.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns whether this process runs as root and may set owners and read everything.
pub fn is_privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets created entries have exactly the mode that is asked for; called once by the binary, before any thread starts.
pub fn clear_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}

/// Raises the limit of open files to what the system allows; called once by the binary.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
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
