//! How much room a target shall have. Pure.

use super::{Decided, Fate};
use crate::retention::Reason;
use hardback_platform::FreeSpace;

/// A number, or a part of a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// So many.
    Number(u64),
    /// This part, from 0 to 1.
    Part(f64),
}

/// How much room is to be free on the target's volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// The newest ones that never go for it, and so many of those without problems.
    pub at_least: usize,
    /// Bytes.
    pub min_free: Option<Amount>,
    /// Entries, where the volume has a limit of them.
    pub min_free_entries: Option<Amount>,
    /// Most bytes that the snapshots of a job may take, with their records.
    pub max_size_bytes: Option<u64>,
    /// Snapshots that the rules keep may go when a run finds no room.
    pub until_full: bool,
}

impl Amount {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of it"
    )]
    fn of(self, whole: u64) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Part(part) => (whole as f64 * part) as u64,
        }
    }
}

/// Snapshots of a job that never go for room, if nothing else is asked for.
const AT_LEAST_DEFAULT: usize = 3;

impl Default for Room {
    fn default() -> Self {
        Self {
            at_least: AT_LEAST_DEFAULT,
            min_free: None,
            min_free_entries: None,
            max_size_bytes: None,
            until_full: false,
        }
    }
}

impl Room {
    /// Returns whether snapshots may go for free room on the volume.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.min_free.is_some() || self.min_free_entries.is_some() || self.until_full
    }

    /// Returns whether snapshots may go for any of this.
    #[must_use]
    pub fn may_remove(&self) -> bool {
        self.is_asked() || self.max_size_bytes.is_some()
    }

    /// Returns why this can never be had on a volume of this size.
    pub(super) fn impossible(&self, space: &FreeSpace) -> Option<String> {
        let is_more = |amount: Option<Amount>, total: u64| matches!(amount, Some(Amount::Number(min)) if min > total);
        let total_entries = space.total_entries.unwrap_or(u64::MAX);
        if is_more(self.min_free, space.total_bytes) {
            return Some(format!("the volume has {} bytes in all", space.total_bytes));
        }
        is_more(self.min_free_entries, total_entries).then(|| format!("the volume has {total_entries} entries in all"))
    }

    /// Returns how many bytes and entries are lacking.
    pub(super) fn lack(&self, space: &FreeSpace) -> (u64, u64) {
        let bytes = self.min_free.map_or(0, |amount| amount.of(space.total_bytes).saturating_sub(space.free_bytes));
        let entries = match (self.min_free_entries, space.free_entries) {
            (Some(amount), Some(free)) => amount.of(space.total_entries.unwrap_or(free)).saturating_sub(free),
            _ => 0,
        };
        (bytes, entries)
    }

    /// Returns what is lacking, in words.
    pub(super) fn lacking(&self, space: &FreeSpace) -> Option<String> {
        let bytes = self.min_free.map(|amount| amount.of(space.total_bytes)).filter(|min| space.free_bytes < *min);
        if let Some(min) = bytes {
            return Some(format!("{} of {min} bytes are free", space.free_bytes));
        }
        let free = space.free_entries?;
        let total = space.total_entries.unwrap_or(free);
        let min = self.min_free_entries.map(|amount| amount.of(total)).filter(|min| free < *min)?;
        Some(format!("{free} of {min} entries (inodes) are free"))
    }
}

/// Returns whether a snapshot that the rules keep may go for room.
pub(super) fn may_go(one: &Decided) -> bool {
    matches!(&one.fate, Fate::Keep(reasons) if !one.is_least && give_way(reasons))
}

/// Returns whether a snapshot that is kept for these reasons may go for room.
fn give_way(reasons: &[Reason]) -> bool {
    let gives_way =
        |reason: &Reason| matches!(reason, Reason::NoRules | Reason::Last(_) | Reason::Period(..) | Reason::Within);
    reasons.iter().all(gives_way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Period;

    const SPACE: FreeSpace =
        FreeSpace { free_bytes: 100, total_bytes: 1000, free_entries: Some(5), total_entries: Some(50) };

    #[test]
    fn room_is_asked_for_by_number_or_part() {
        let bytes = |amount| Room { min_free: Some(amount), ..Room::default() }.lacking(&SPACE);
        assert_eq!(bytes(Amount::Number(100)), None);
        assert!(bytes(Amount::Number(101)).is_some());
        assert_eq!(bytes(Amount::Part(0.1)), None);
        assert!(bytes(Amount::Part(0.11)).is_some());
        let entries = |amount| Room { min_free_entries: Some(amount), ..Room::default() }.lacking(&SPACE);
        assert_eq!(entries(Amount::Part(0.1)), None);
        assert!(entries(Amount::Number(6)).is_some());
        assert_eq!(Room::default().lacking(&SPACE), None);
    }

    #[test]
    fn what_the_user_or_safety_wants_does_not_go_for_room() {
        assert!(give_way(&[Reason::Period(Period::Day, 1), Reason::Last(2), Reason::Within]));
        for reason in [Reason::Newest, Reason::AtLeast, Reason::Pinned, Reason::Tag("a".into())] {
            assert!(!give_way(&[Reason::Last(1), reason]));
        }
    }
}
