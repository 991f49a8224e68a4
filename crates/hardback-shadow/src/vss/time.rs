//! Time for the state machine, and the wish to stop: tests bring their own time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A clock, and pauses.
pub(crate) trait Time: Send + Sync {
    /// Time since some moment in the past.
    fn now(&self) -> Duration;

    /// Waits; returns whether somebody asked to stop before or meanwhile.
    fn pause(&self, pause: Duration, stop: &Stop) -> bool;
}

/// The time of the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealTime;

impl Time for RealTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(hardback_platform::monotonic_now())
    }

    fn pause(&self, pause: Duration, stop: &Stop) -> bool {
        stop.wait(pause)
    }
}

/// The wish to stop, seen from all threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Asks to stop.
    pub(crate) fn set(&self) {
        let (asked, changed) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Returns whether somebody asked to stop.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody asks to stop, no longer than that; returns whether somebody did.
    fn wait(&self, limit: Duration) -> bool {
        let (asked, changed) = &*self.0;
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(asked, limit, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
