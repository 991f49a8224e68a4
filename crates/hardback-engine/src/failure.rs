//! What ends a verb whose threads have no error but a panic: the first wins, and all others see it.

use crate::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first panic in a verb's threads, as an error.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    first: Mutex<Option<Error>>,
    is_set: AtomicBool,
}

impl Failure {
    /// Does the work of a thread.
    pub(crate) fn guard(&self, work: impl FnOnce()) {
        let done = Error::of_panic_in(|| {
            work();
            Ok(())
        });
        if let Err(error) = done {
            self.first.lock().expect("no panic while the failure is held").get_or_insert(error);
            self.is_set.store(true, Ordering::SeqCst);
        }
    }

    /// Returns whether there is one: the other threads stop.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// Returns it as an error; asked when all threads are done.
    pub(crate) fn take(&self) -> Result<(), Error> {
        let first = self.first.lock().expect("no panic while the failure is held").take();
        first.map_or(Ok(()), Err)
    }
}
