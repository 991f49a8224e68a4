//! Time comes in by the front door.

use hardback_platform::Time;
use jiff::tz::TimeZone;

/// Tells the time and the place's time zone.
pub trait Clock: Send + Sync {
    /// Returns the time of day.
    fn now(&self) -> Time;
    /// Returns the zone in which snapshots are named and retention counts days.
    fn zone(&self) -> TimeZone;
}

/// The system's clock and zone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        hardback_platform::now()
    }

    fn zone(&self) -> TimeZone {
        TimeZone::system()
    }
}

/// A clock that stands still.
#[derive(Debug, Clone)]
pub struct FixedClock {
    /// The time that it tells.
    pub now: Time,
    /// The zone that it tells.
    pub zone: TimeZone,
}

impl Clock for FixedClock {
    fn now(&self) -> Time {
        self.now
    }

    fn zone(&self) -> TimeZone {
        self.zone.clone()
    }
}

/// Converts to the calendar library's form; times out of its range become its ends.
pub fn timestamp(time: Time) -> jiff::Timestamp {
    let nanos = i32::try_from(time.nanos).unwrap_or(0);
    let end = if time.seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::new(time.seconds, nanos).unwrap_or(end)
}
