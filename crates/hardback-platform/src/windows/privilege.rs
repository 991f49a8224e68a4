//! What this process may do.

use crate::rights::{MissingRights, PRIVILEGES, missing_on_windows};
use crate::system::{sys, token};

/// Returns whether this process runs elevated, and so may ask for the rights of a backup.
pub fn is_privileged() -> bool {
    // Who cannot even be asked is not privileged.
    sys::is_elevated().unwrap_or(false)
}

/// Returns what this process may not do, and nothing would say so.
pub fn missing_rights() -> MissingRights {
    // Who cannot even be asked holds nothing.
    let held = token::held(&PRIVILEGES.map(|(name, _)| name)).unwrap_or_default();
    missing_on_windows(is_privileged(), |name| held.contains(&name))
}

/// What this process was started with and has changed for itself: nothing.
#[derive(Debug, Clone, Copy)]
pub struct Inherited;

impl Inherited {
    /// Returns what was changed so far.
    pub fn of_process() -> Self {
        Self
    }

    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub fn give_back(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does nothing: Windows has no umask.
pub fn clear_umask() {}

/// Does nothing: Windows limits open handles by memory alone.
pub fn raise_open_file_limit() {}

/// Lets the calling thread stand back, for the processor and for the disk, until it ends.
pub fn lower_thread_priority() {
    sys::begin_background_mode();
}
