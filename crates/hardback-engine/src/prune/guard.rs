//! The guards: what makes it likely that removing old snapshots would remove the last good ones. A run that failed, a
//! source that shrank, files that changed as never before, a clock that jumped.
//!
//! Each snapshot is judged by its own seal, which knows what its base was: so it does not matter what was pruned between.

use super::{Run, State};
use crate::catalog::Snapshot;
use crate::clock::timestamp;
use crate::error::Error;
use crate::manifest::{Seal, SealBase};
use crate::notes::{self, Note};
use crate::runs::{self, LastRun};
use crate::target::Target;
use hardback_platform::Lock;
use jiff::SignedDuration;
use std::fmt;

/// Files that changed below which nobody is alarmed, whatever part of the job they are.
const CHANGED_FILES_MIN: u64 = 10;
/// How many times more than ever before may change.
const HISTORY_FACTOR: f64 = 3.0;
/// Part of the files from which on no history makes it usual.
const NEVER_USUAL: f64 = 0.8;
/// Snapshots that are the history.
const HISTORY_MAX: usize = 30;
/// How far the clock may have moved from one snapshot to the next.
const CLOCK_STEP_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);
/// Free part of a volume below which a run that failed is taken for one that found no room.
const NEARLY_FULL: f64 = 0.01;

/// What a guard lets pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardLimits {
    /// Part of the entries, or of the bytes, that may be gone from one snapshot to the next.
    pub max_shrink: f64,
    /// Part of the files that may be changed or renamed from one snapshot to the next, where the job's history is not one
    /// of such changes.
    pub max_change: f64,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { max_shrink: 0.5, max_change: 0.3 }
    }
}

/// Why nothing is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspension {
    /// The last run of the job did not end well.
    LastRun(String),
    /// A snapshot is not what one would expect, and the user has not said that it is well.
    Alarm {
        /// The snapshot.
        snapshot: String,
        /// The newest one from before, to compare with.
        before: Option<String>,
        /// What was found.
        why: String,
    },
    /// The clock cannot be trusted.
    Clock(String),
}

impl Suspension {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::LastRun(_) => "mend what the last run met and run it again".to_owned(),
            Self::Alarm { snapshot, before, .. } => format!(
                "look: `hardback diff TARGET {} {snapshot}`; if it was you, `hardback unpin TARGET` lets pruning go on; if \
                 not, restore from the older one, and delete the folders of the bad ones before you say that",
                before.as_deref().unwrap_or("OLDER")
            ),
            Self::Clock(_) => {
                "set the clock; if a snapshot was made with a wrong one, delete its folder, or wait until its time has come"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastRun(why) => write!(f, "the last run did not end well: {why}"),
            Self::Alarm { snapshot, why, .. } => write!(f, "snapshot {snapshot}: {why}"),
            Self::Clock(why) => f.write_str(why),
        }
    }
}

/// What the guards found.
pub(super) struct Found {
    pub(super) suspended: Vec<Suspension>,
    /// Alarms that nobody has written down: which snapshot, what, and which snapshots were made before it.
    new: Vec<(String, String, Vec<String>)>,
}

/// Asks all guards.
pub(super) fn look(run: &Run<'_>, state: &State) -> Result<Found, Error> {
    let mut found = Found { suspended: Vec::new(), new: Vec::new() };
    found.suspended.extend(of_last_run(run)?.map(Suspension::LastRun));
    let sealed = &state.snapshots.sealed;
    for (i, snapshot) in sealed.iter().enumerate() {
        let note = state.notes.of(&snapshot.name);
        if note.is_cleared {
            continue;
        }
        let why = match &note.alarm {
            Some(why) => why.clone(),
            None if snapshot.seal.generation <= state.notes.judged => continue,
            None => match alarm(&snapshot.seal, &sealed[..i], &run.options.guards) {
                Some(why) => {
                    let before = sealed[..i].iter().map(|s| s.name.clone()).collect();
                    found.new.push((snapshot.name.clone(), why.clone(), before));
                    why
                }
                None => continue,
            },
        };
        let before = i.checked_sub(1).map(|before| sealed[before].name.clone());
        found.suspended.push(Suspension::Alarm { snapshot: snapshot.name.clone(), before, why });
    }
    Ok(found)
}

/// Asks all guards; what they find anew is written down, and holds the snapshots from before. Where that cannot be written,
/// as on a full target, it is told, and found again the next time.
pub(super) fn raise(run: &Run<'_>, lock: &Lock, state: &mut State) -> Result<Vec<Suspension>, Error> {
    let Found { suspended, new } = look(run, state)?;
    let newest = state.snapshots.sealed.last().map_or(0, |newest| newest.seal.generation);
    if newest > state.notes.judged {
        match write_down(run, lock, &new, newest) {
            Ok(()) => state.notes = notes::notes(run.target, run.job)?,
            Err(error) => {
                let why = error.with_causes();
                run.ctx.monitor.notice(&format!("what the guards found cannot be written down: {why}"));
            }
        }
    }
    Ok(suspended)
}

fn write_down(run: &Run<'_>, lock: &Lock, new: &[(String, String, Vec<String>)], newest: u32) -> Result<(), Error> {
    let change = |names: &[String], change: &mut dyn FnMut(&mut Note)| {
        let change = |note: &mut Note| {
            change(note);
            Ok(())
        };
        notes::change_locked(lock, run.target, run.job, names, change).map(drop)
    };
    for (snapshot, why, before) in new {
        // The alarm last: a crash between finds it again.
        change(before, &mut |note| {
            note.held.get_or_insert_with(|| format!("made before {snapshot}, which raised an alarm"));
        })?;
        change(std::slice::from_ref(snapshot), &mut |note| note.alarm = Some(why.clone()))?;
    }
    // Each is judged once: later its history may be pruned, and the verdict would be another.
    notes::set_judged(lock, run.target, run.job, newest)
}

/// Clears the alarms of a job and lets go what they hold; pins of the user stay. Returns the snapshots that it was about.
///
/// # Errors
/// The notes cannot be read or written.
pub fn unpin_all(target: &Target, job: &str) -> Result<Vec<String>, Error> {
    let lock = notes::lock(target)?;
    let all = notes::notes(target, job)?;
    let is_meant = |name: &&str| {
        let note = all.of(name);
        note.held.is_some() || note.open_alarm().is_some()
    };
    let names: Vec<String> = all.names().filter(is_meant).map(str::to_owned).collect();
    notes::change_locked(&lock, target, job, &names, |note| {
        note.let_go();
        Ok(())
    })?;
    runs::clear_suspicion(target, job)?;
    Ok(names)
}

/// Returns what an earlier run suspected and nobody has answered.
pub(super) fn suspicion(target: &Target, job: &str) -> Option<String> {
    match runs::last_run(target, job) {
        Ok(LastRun::Suspicious(why)) => Some(why),
        _ => None,
    }
}

/// A run that found the target full is none that failed: removing is what it needs.
fn of_last_run(run: &Run<'_>) -> Result<Option<String>, Error> {
    let why = match runs::last_run(run.target, run.job)? {
        LastRun::Unknown | LastRun::Good | LastRun::Full | LastRun::Answered => return Ok(None),
        LastRun::Unfinished if is_nearly_full(run.target) => return Ok(None),
        LastRun::Failed(why) | LastRun::Suspicious(why) => why,
        LastRun::Unfinished => "it did not come to its end".to_owned(),
    };
    Ok(Some(why))
}

/// On a full volume a run that is killed may not even have said that it is full.
#[allow(clippy::cast_precision_loss, reason = "a part of it")]
fn is_nearly_full(target: &Target) -> bool {
    let Ok(space) = target.root.free_space() else { return false };
    let is_low = |free: u64, total: u64| (free as f64) < total as f64 * NEARLY_FULL;
    let entries = space.free_entries.zip(space.total_entries).is_some_and(|(free, total)| is_low(free, total));
    entries || is_low(space.free_bytes, space.total_bytes)
}

/// Returns what is wrong with a snapshot, by its seal and by those before it.
fn alarm(seal: &Seal, before: &[Snapshot], limits: &GuardLimits) -> Option<String> {
    let base = seal.base?;
    clock_alarm(seal, &base)
        .or_else(|| shrink_alarm(seal, &base, limits))
        .or_else(|| change_alarm(change(seal)?, most_changed(before), limits))
}

/// Returns the largest part of the files that ever changed. Few files tell nothing, whatever part of a job they were.
pub(super) fn most_changed(before: &[Snapshot]) -> f64 {
    let changes = before.iter().rev().take(HISTORY_MAX).filter_map(|snapshot| change(&snapshot.seal));
    changes.filter(|changed| changed.files >= CHANGED_FILES_MIN).fold(0.0, |most, changed| changed.part.max(most))
}

fn clock_alarm(seal: &Seal, base: &SealBase) -> Option<String> {
    let (now, then) = (timestamp(seal.started), timestamp(base.started));
    if now < then {
        return Some(format!("the clock had been set back: it was begun at {now}, its base at {then}"));
    }
    let step = now.duration_since(then);
    (step > CLOCK_STEP_MAX).then(|| format!("the clock had jumped ahead: it was begun at {now}, its base at {then}"))
}

#[allow(clippy::cast_precision_loss, reason = "a part of it")]
fn shrink_alarm(seal: &Seal, base: &SealBase, limits: &GuardLimits) -> Option<String> {
    let lost = |now: u64, then: u64| if then == 0 { 0.0 } else { 1.0 - now as f64 / then as f64 };
    let alarm = |what: &str, now: u64, then: u64| {
        let lost = lost(now, then);
        (lost > limits.max_shrink)
            .then(|| format!("the source shrank by {}: {then} {what} before, now {now}", percent(lost)))
    };
    let entries = alarm("entries", seal.totals.entries, base.entries);
    entries.or_else(|| alarm("bytes", seal.totals.bytes, base.bytes))
}

/// How much of its base a snapshot has not as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    pub(super) files: u64,
    pub(super) part: f64,
}

/// Returns how many files changed or got another name; what was only added or only removed does not count.
#[allow(clippy::cast_precision_loss, reason = "a part of it")]
fn change(seal: &Seal) -> Option<Changed> {
    let base = seal.base?;
    let files_before = base.entries.saturating_sub(base.dirs);
    let files_now = seal.totals.entries.saturating_sub(seal.totals.dirs);
    let carried_over = files_now.saturating_sub(seal.totals.new_files);
    let lost = files_before.saturating_sub(carried_over);
    let files = lost.min(seal.totals.new_files) + seal.renamed;
    (files_before > 0).then(|| Changed { files, part: files as f64 / files_before as f64 })
}

pub(super) fn change_alarm(changed: Changed, most_before: f64, limits: &GuardLimits) -> Option<String> {
    let usual = (HISTORY_FACTOR * most_before).min(NEVER_USUAL);
    let is_alarm = changed.files >= CHANGED_FILES_MIN && changed.part > limits.max_change && changed.part > usual;
    is_alarm.then(|| {
        format!(
            "{} of the files changed or got another name ({} files); the most before was {}",
            percent(changed.part),
            changed.files,
            percent(most_before)
        )
    })
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Totals;
    use hardback_platform::Time;

    const DAY_S: i64 = 86_400;

    /// A snapshot on a base of 1,000 files and 100 folders.
    fn seal(day: i64, entries: u64, new_files: u64) -> Seal {
        let totals = Totals { entries, dirs: 100, bytes: entries * 1000, new_files, ..Totals::default() };
        let at = |day: i64| Time { seconds: 1_700_000_000 + day * DAY_S, nanos: 0 };
        Seal {
            snapshot: format!("{day}"),
            generation: 2,
            started: at(day),
            utc_offset_s: 0,
            sealed: at(day),
            manifest: [0; 32],
            manifest_bytes: 0,
            digests: [0; 32],
            generations: vec![1],
            totals,
            limitations: Vec::new(),
            renamed: 0,
            base: Some(SealBase { generation: 1, started: at(0), entries: 1100, dirs: 100, bytes: 1_100_000 }),
        }
    }

    fn found(seal: &Seal, before: &[Seal]) -> Option<String> {
        let of = |seal: &Seal| Snapshot { job: "j".into(), name: seal.snapshot.clone(), seal: seal.clone() };
        alarm(seal, &before.iter().map(of).collect::<Vec<_>>(), &GuardLimits::default())
    }

    #[test]
    fn an_ordinary_day_raises_no_alarm() {
        for (entries, new_files) in [(1100, 0), (1100, 250), (1600, 500), (5000, 3900), (700, 0), (600, 10)] {
            assert_eq!(found(&seal(1, entries, new_files), &[]), None, "{entries} {new_files}");
        }
        assert_eq!(found(&Seal { base: None, ..seal(1, 10, 10) }, &[]), None);
    }

    #[test]
    fn a_source_that_shrank_raises_one() {
        assert!(found(&seal(1, 549, 0), &[]).unwrap().contains("shrank by 50 %: 1100 entries before, now 549"));
        let mut bytes = seal(1, 1100, 0);
        bytes.totals.bytes = 5000;
        assert!(found(&bytes, &[]).unwrap().contains("shrank by 100 %: 1100000 bytes before"));
    }

    #[test]
    fn files_that_change_or_are_renamed_as_never_before_raise_one() {
        // Written anew under the same names, under new names beside removed ones, or only renamed.
        assert!(found(&seal(1, 1100, 600), &[]).unwrap().starts_with("60 % of the files"));
        assert!(found(&Seal { renamed: 400, ..seal(1, 1100, 0) }, &[]).unwrap().starts_with("40 % of the files"));
        let usual = [seal(1, 1100, 250)];
        assert_eq!(found(&seal(2, 1100, 600), &usual), None);
        assert!(found(&seal(2, 1100, 800), &usual).unwrap().ends_with("the most before was 25 %"));
        // Neither a job of a few files nor one that changes much makes everything usual.
        let mut few = seal(1, 14, 4);
        few.base = Some(SealBase { entries: 14, dirs: 4, ..few.base.unwrap() });
        (few.totals.dirs, few.totals.bytes) = (4, 1_100_000);
        assert!(found(&seal(2, 1100, 600), &[few]).is_some());
        assert!(found(&seal(2, 1100, 900), &[seal(1, 1100, 400)]).is_some());
    }

    #[test]
    fn a_clock_that_jumped_raises_one() {
        assert!(found(&seal(-1, 1100, 0), &[]).unwrap().contains("set back"));
        assert!(found(&seal(400, 1100, 0), &[]).unwrap().contains("jumped ahead"));
        assert_eq!(found(&seal(300, 1100, 0), &[]), None);
    }
}
