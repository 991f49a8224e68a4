//! Keeps the walk from running far ahead of what is written: bounds memory and open folders.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Entries that are handed out, and folders that are opened or closed, and not written to the manifest yet.
const ENTRIES_MAX: usize = 16_384;
/// Chunks likewise; each may hold a folder open.
const CHUNKS_MAX: usize = 160;

/// Time after which a waiting walk looks whether the run stops.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Counts what is under way.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    under_way: Mutex<(usize, usize)>,
    room: Condvar,
}

impl Throttle {
    /// Waits for room for entries and chunks, unless the run stops.
    pub(super) fn enter(&self, entries: usize, chunks: usize, is_stopped: impl Fn() -> bool) {
        let mut under_way = self.under_way.lock().expect("no panic while the count is held");
        while (under_way.0 >= ENTRIES_MAX || under_way.1 >= CHUNKS_MAX) && !is_stopped() {
            // Woken by a written chunk, or by time to see that the run stops.
            let waited = self.room.wait_timeout(under_way, LOOK_AROUND);
            under_way = waited.expect("no panic while the count is held").0;
        }
        under_way.0 += entries;
        under_way.1 += chunks;
    }

    /// Entries and chunks are written.
    pub(super) fn leave(&self, entries: usize, chunks: usize) {
        let mut under_way = self.under_way.lock().expect("no panic while the count is held");
        under_way.0 = under_way.0.saturating_sub(entries);
        under_way.1 = under_way.1.saturating_sub(chunks);
        drop(under_way);
        self.room.notify_one();
    }

    /// Wakes the walk so that it sees that the run stops.
    pub(super) fn wake(&self) {
        self.room.notify_all();
    }
}
