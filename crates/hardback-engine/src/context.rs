//! What every verb gets beside its options: time, ears, a brake.

use crate::clock::Clock;
use crate::error::Error;
use crate::report::{Cancel, Counters, Monitor};

/// What every verb gets.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub clock: &'a dyn Clock,
    /// Hears problems and notices.
    pub monitor: &'a dyn Monitor,
    /// Counts for a progress display.
    pub counters: &'a Counters,
    /// Asks the verb to stop.
    pub cancel: &'a Cancel,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Context<'_> {
    /// Returns an error if the user asked to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check_cancel(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
