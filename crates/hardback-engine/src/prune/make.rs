//! Room for a run that is under way, while it holds the target's lock: before it, where it can be foreseen, and in the
//! middle, where the target turns out to be full.

use super::guard::{self, GuardLimits};
use super::{Cause, Fate, PruneOptions, Run, oldest_first, publish, room};
use crate::catalog::Snapshot;
use crate::context::Context;
use crate::error::Error;
use crate::notes;
use crate::report::Problems;
use crate::target::Target;
use crate::target::trash::{self, IfBusy};
use hardback_platform::FreeSpace;

/// Snapshots whose size tells what the next one will need.
const EXPECTED_BY: usize = 3;

/// Makes room for one run.
pub(crate) struct RoomMaker<'a> {
    run: Run<'a>,
    /// Snapshots may be removed.
    may_remove: bool,
    /// The trash was emptied for this run; what is in it since then is what failed attempts left.
    is_trash_empty: bool,
    /// What the attempts of the run found. What one stored the next takes over, and counts no more.
    found: FoundChanged,
    /// Names of snapshots that were removed.
    pub(crate) removed: Vec<String>,
}

/// How much of its base a run found changed before it stopped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FoundChanged {
    /// Files that have another content or name.
    pub(crate) files: u64,
    /// Files of the base.
    pub(crate) of: u64,
}

impl<'a> RoomMaker<'a> {
    /// Makes one; to be called before the run says that it began. Where the last run failed, or a guard objects,
    /// snapshots are not removed.
    ///
    /// # Errors
    /// When it cannot be told what there is.
    pub(crate) fn new(
        ctx: &'a Context<'a>,
        target: &'a Target,
        job: &'a str,
        options: &'a PruneOptions,
    ) -> Result<Self, Error> {
        let run = Run { ctx, target, job, options, problems: Problems::default() };
        let mut may_remove = options.may_remove();
        if may_remove {
            let notes_lock = notes::lock(target)?;
            let suspended = guard::raise(&run, &notes_lock, &mut run.state()?)?;
            for suspension in &suspended {
                ctx.monitor.notice(&format!("no snapshot is removed for room: {suspension}; {}", suspension.hint()));
            }
            may_remove = suspended.is_empty();
        }
        Ok(Self { run, may_remove, is_trash_empty: false, found: FoundChanged::default(), removed: Vec::new() })
    }

    /// Makes room before the run, by what the last ones needed.
    ///
    /// # Errors
    /// When it cannot be told what there is, or the user asks to stop.
    pub(crate) fn foresee(&mut self) -> Result<(), Error> {
        if !self.may_remove || !self.run.options.room.is_asked() {
            return Ok(());
        }
        let expected = expected(&self.run.state()?.snapshots.sealed);
        while let Some(lacking) = self.lacking(&expected) {
            if !self.make(&lacking)? {
                break;
            }
        }
        Ok(())
    }

    /// Returns what would be lacking behind a run that needs so much.
    fn lacking(&self, expected: &Expected) -> Option<String> {
        let space = self.run.target.root.free_space().ok()?;
        let behind = FreeSpace {
            free_bytes: space.free_bytes.saturating_sub(expected.bytes),
            free_entries: space.free_entries.map(|free| free.saturating_sub(expected.entries)),
            ..space
        };
        let is_too_small =
            space.free_bytes < expected.bytes || space.free_entries.is_some_and(|f| f < expected.entries);
        let lacking = self.run.options.room.lacking(&behind);
        lacking.or_else(|| is_too_small.then(|| "the last runs needed more than is free".to_owned()))
    }

    /// Makes room for a run that found none: empties the trash, or removes what may go. Returns whether there is more now.
    ///
    /// # Errors
    /// When it cannot be told what there is, or the user asks to stop.
    pub(crate) fn make_in_the_middle(&mut self, found: FoundChanged) -> Result<bool, Error> {
        let found = FoundChanged { files: self.found.files + found.files, of: found.of };
        self.found = found;
        if !std::mem::replace(&mut self.is_trash_empty, true) && self.empty_trash()? > 0 {
            return Ok(true);
        }
        if self.may_remove && is_suspicious(found, &self.run.options.guards) {
            self.may_remove = false;
            self.run.ctx.monitor.notice(&format!(
                "no snapshot is removed for room: {} of {} files changed or got another name; look at them first, then \
                 raise --max-change for one run",
                found.files, found.of
            ));
        }
        if !self.may_remove { Ok(false) } else { self.make("the target is full") }
    }

    /// Removes what the rules do not keep, or else the oldest that may go. Returns whether anything was removed.
    fn make(&mut self, lacking: &str) -> Result<bool, Error> {
        self.run.ctx.check_cancel()?;
        let Some(readers_lock) = self.run.target.keep_readers_out()? else {
            self.run.ctx.monitor.notice("no snapshot is removed for room while a restore or a verify reads the target");
            return Ok(false);
        };
        let notes_lock = notes::lock(self.run.target)?;
        let state = self.run.state()?;
        let mut suspended = Vec::new();
        let mut decided = self.run.decide(&state, &mut suspended);
        if let Some(suspension) = suspended.first() {
            self.may_remove = false;
            self.run.ctx.monitor.notice(&format!("no snapshot is removed for room: {suspension}"));
            return Ok(false);
        }
        let no_rule: Vec<Snapshot> =
            decided.iter().filter(|d| d.fate == Fate::Remove(Cause::NoRule)).map(|d| d.snapshot.clone()).collect();
        let may_go = |reasons: &[_]| self.run.options.room.is_asked() && room::may_go(reasons);
        let mut oldest = || {
            let of_room =
                oldest_first(&mut decided).into_iter().find(|d| matches!(&d.fate, Fate::Keep(why) if may_go(why)));
            of_room.map(|decided| decided.snapshot.clone()).into_iter().collect()
        };
        let going = if no_rule.is_empty() { oldest() } else { no_rule };
        for snapshot in &going {
            publish::take_out_of_sight(&self.run, snapshot)?;
            self.run.ctx.monitor.notice(&format!("snapshot {} is removed for room: {lacking}", snapshot.name));
            self.removed.push(snapshot.name.clone());
        }
        if going.is_empty() {
            return Ok(false);
        }
        publish::settle(&self.run, &going)?;
        drop((notes_lock, readers_lock));
        self.empty_trash()?;
        Ok(true)
    }

    fn empty_trash(&self) -> Result<u64, Error> {
        // What is removed is no progress of the backup.
        let counters = crate::report::Counters::default();
        let emptied = trash::empty(self.run.target, self.run.ctx.cancel, &counters, IfBusy::Wait)?;
        self.run.ctx.check_cancel()?;
        // A volume that frees behind says so only after it was synced.
        self.run.target.root.sync_volume().ok();
        Ok(emptied.entries)
    }
}

/// What a run will need.
struct Expected {
    bytes: u64,
    entries: u64,
}

/// Returns what the largest of the last snapshots needed. The first of a job tells nothing: it needed all.
fn expected(sealed: &[Snapshot]) -> Expected {
    let last = || sealed.iter().rev().filter(|s| s.seal.base.is_some()).take(EXPECTED_BY).map(|s| &s.seal.totals);
    Expected {
        bytes: last().map(|totals| totals.new_bytes).max().unwrap_or(0),
        entries: last().map(|totals| totals.new_files + totals.dirs).max().unwrap_or(0),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a part of it")]
fn is_suspicious(found: FoundChanged, limits: &GuardLimits) -> bool {
    found.files >= guard::CHANGED_FILES_MIN && found.files as f64 > found.of as f64 * limits.max_change
}
