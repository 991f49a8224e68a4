//! The system's clocks and name.

use crate::metadata::Time;
use crate::system::sys;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the time of day.
pub fn now() -> Time {
    let (before, distance) = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (false, since),
        Err(e) => (true, e.duration()),
    };
    let seconds = i64::try_from(distance.as_secs()).expect("a FILETIME has less seconds");
    match (before, distance.subsec_nanos()) {
        (false, nanos) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos: 0 },
        (true, nanos) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    }
}

/// Returns nanoseconds of a clock that never steps; for rates and time left only.
pub fn monotonic_now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the host's name up to the first dot.
pub fn local_host_name() -> String {
    let name = sys::computer_name().unwrap_or_default();
    name.to_string_lossy().split('.').next().unwrap_or_default().to_owned()
}
