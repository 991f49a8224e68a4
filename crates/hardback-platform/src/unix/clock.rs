//! The system's clocks and name.

use crate::metadata::Time;
use rustix::time::{ClockId, clock_gettime};

/// Returns the time of day.
pub fn now() -> Time {
    let t = clock_gettime(ClockId::Realtime);
    Time { seconds: t.tv_sec, nanos: u32::try_from(t.tv_nsec).unwrap_or(0) }
}

/// Returns nanoseconds of a clock that never steps; for rates and time left only.
pub fn monotonic_now() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Returns the host's name up to the first dot.
pub fn local_host_name() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
