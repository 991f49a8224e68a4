//! What this process may do.

use crate::system::sys;

/// Returns whether this process runs elevated, and so may ask for the rights of a backup.
pub fn is_privileged() -> bool {
    // Who cannot even be asked is not privileged.
    sys::is_elevated().unwrap_or(false)
}

/// Does nothing: Windows has no umask.
pub fn clear_umask() {}

/// Does nothing: Windows limits open handles by memory alone.
pub fn raise_open_file_limit() {}

/// Lets the calling thread stand back, for the processor and for the disk, until it ends.
pub fn lower_thread_priority() {
    sys::begin_background_mode();
}
