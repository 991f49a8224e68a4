//! Room for a run that is under way, while it holds the target's lock: before it, where it can be foreseen, and in the
//! middle, where the target turns out to be full.

use super::guard::{self, Changed, Suspension};
use super::{Cause, Fate, PruneOptions, Run, oldest_first, publish, room};
use crate::catalog::Snapshot;
use crate::context::Context;
use crate::error::Error;
use crate::notes;
use crate::report::{Counters, Problems};
use crate::runs::{self, LastRun};
use crate::target::Target;
use crate::target::trash::{self, IfBusy, TargetLock};
use hardback_platform::FreeSpace;

/// Snapshots by which is told what the next one will need at least.
const EXPECTED_BY: usize = 3;

/// Makes room for one run.
pub(crate) struct RoomMaker<'a> {
    run: Run<'a>,
    /// Snapshots may be removed.
    may_remove: bool,
    /// Why not, to be told when there is need.
    refusals: Vec<String>,
    /// The trash was emptied for this run; what is in it since then is what failed attempts left.
    is_trash_empty: bool,
    /// What the attempts of the run found. What one stored the next takes over, and counts no more.
    found: FoundChanged,
    /// What all of the source has changed, once it was looked at.
    all: Option<FoundChanged>,
    /// A person has looked at what the last run found, and said that it is well.
    is_answered: bool,
    /// Why this run, or one before it, gets no room.
    suspicion: Option<String>,
    /// Names of snapshots that were removed.
    pub(crate) removed: Vec<String>,
}

/// How much of its base a run found changed before it stopped, in files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FoundChanged {
    /// With another content.
    pub(crate) replaced: u64,
    /// Of another name.
    pub(crate) renamed: u64,
    /// Not in the base.
    pub(crate) added: u64,
    /// In the base, and not at the source.
    pub(crate) removed: u64,
    /// Files of the base.
    pub(crate) of: u64,
    /// Generation of the base.
    pub(crate) base: Option<u32>,
}

impl FoundChanged {
    /// What one attempt stored the next does not store again; what is gone is gone in each.
    fn with(self, next: Self) -> Self {
        Self {
            replaced: self.replaced + next.replaced,
            added: self.added + next.added,
            renamed: self.renamed.max(next.renamed),
            removed: self.removed.max(next.removed),
            ..next
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a part of it")]
    fn changed(self) -> Option<Changed> {
        // A file that an attempt was at when it stopped is counted by the next one too.
        let files = (self.replaced + self.renamed + self.removed.min(self.added)).min(self.of);
        (self.of > 0).then(|| Changed { files, part: files as f64 / self.of as f64 })
    }
}

impl<'a> RoomMaker<'a> {
    /// Makes one; to be called before the run says that it began. Where the last run failed, or a guard objects, snapshots
    /// are not removed; so it is where that cannot be told.
    pub(crate) fn new(ctx: &'a Context<'a>, target: &'a Target, job: &'a str, options: &'a PruneOptions) -> Self {
        let run = Run { ctx, target, job, options, problems: Problems::default() };
        let mut maker = Self {
            run,
            may_remove: false,
            refusals: Vec::new(),
            is_trash_empty: false,
            found: FoundChanged::default(),
            all: None,
            is_answered: matches!(runs::last_run(target, job), Ok(LastRun::Answered)),
            suspicion: guard::suspicion(target, job),
            removed: Vec::new(),
        };
        if options.may_remove() {
            maker.may_remove = match maker.ask_guards() {
                Ok(suspended) => {
                    maker.refusals.extend(suspended.iter().map(|why| format!("{why}; {}", why.hint())));
                    suspended.is_empty()
                }
                // A full target has no room for a note: it is the run that counts.
                Err(error) => {
                    maker.refusals.push(error.with_causes());
                    false
                }
            };
        }
        maker
    }

    fn ask_guards(&self) -> Result<Vec<Suspension>, Error> {
        let notes_lock = notes::lock(self.run.target)?;
        guard::raise(&self.run, &notes_lock, &mut self.run.state()?)
    }

    fn refuse(&self, why: &str) {
        self.run.ctx.monitor.notice(&format!("no snapshot is removed for room: {why}"));
    }

    /// Returns why a run that found the target full is not to be trusted.
    pub(crate) fn suspicion(&self) -> Option<&str> {
        self.suspicion.as_deref()
    }

    /// Makes room before the run: for what was asked to be free, and for what the least of the last runs needed. That is
    /// a guess, so it takes only what makes a difference, and nothing that fails here fails the run.
    ///
    /// # Errors
    /// The user asks to stop.
    pub(crate) fn foresee(&mut self) -> Result<(), Error> {
        if !self.may_remove || !self.run.options.room.is_asked() {
            return Ok(());
        }
        match self.try_foresee() {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                self.refuse(&error.with_causes());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_foresee(&mut self) -> Result<(), Error> {
        let expected = expected(&self.run.state()?.snapshots.sealed);
        while let Some(lacking) = self.lacking(&expected) {
            let free = |target: &Target| target.root.free_space().map_or((0, None), |s| (s.free_bytes, s.free_entries));
            let before = free(self.run.target);
            if !self.make(&lacking)? || free(self.run.target) <= before {
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
            space.free_bytes < expected.bytes || space.free_entries.is_some_and(|free| free < expected.entries);
        let lacking = self.run.options.room.lacking(&behind);
        lacking.or_else(|| is_too_small.then(|| "the last runs needed more than is free".to_owned()))
    }

    /// Makes room for a run that found none: empties the trash, or removes what may go. Returns whether there is more now.
    ///
    /// A run may be full at its first files. So `look` is asked for what all of it would find before the first snapshot goes.
    ///
    /// # Errors
    /// When it cannot be told what there is, or the user asks to stop.
    pub(crate) fn make_in_the_middle(
        &mut self,
        found: FoundChanged,
        look: impl Fn() -> Result<FoundChanged, Error>,
    ) -> Result<bool, Error> {
        self.found = self.found.with(found);
        std::mem::take(&mut self.refusals).iter().for_each(|why| self.refuse(why));
        if !std::mem::replace(&mut self.is_trash_empty, true) && self.empty_trash()? > 0 {
            return Ok(true);
        }
        // Asked also where nothing may be removed: the next run, or a pruning, is to know.
        let mut suspicious = self.suspicious()?;
        if suspicious.is_none() && self.all.is_none() && !self.is_answered && self.suspicion.is_none() {
            self.look_at_all(look)?;
            suspicious = self.suspicious()?;
        }
        if let Some(why) = suspicious {
            self.may_remove = false;
            self.refuse(&format!("{why}; look at what changed, then say `hardback unpin`"));
            self.suspicion = Some(format!("the target was full, and {why}"));
        }
        if self.may_remove { self.make("the target is full") } else { Ok(false) }
    }

    /// Looks for all that changed; where that fails nothing may be removed.
    fn look_at_all(&mut self, look: impl Fn() -> Result<FoundChanged, Error>) -> Result<(), Error> {
        self.run
            .ctx
            .monitor
            .notice("the target is full: all of the source is looked at, to see how much of it changed");
        match look() {
            Ok(all) => self.all = Some(all),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                self.may_remove = false;
                self.refuse(&format!("it cannot be told how much changed: {}", error.with_causes()));
            }
        }
        Ok(())
    }

    /// Returns what is wrong with what was found, by the attempts or by looking at all: either may have seen more.
    fn suspicious(&self) -> Result<Option<String>, Error> {
        let found: Vec<Changed> =
            [Some(self.found), self.all].into_iter().flatten().filter_map(FoundChanged::changed).collect();
        if self.is_answered || found.is_empty() {
            return Ok(None);
        }
        let most_before = guard::most_changed(&self.run.state()?.snapshots.sealed);
        let alarm = |changed: Changed| guard::change_alarm(changed, most_before, &self.run.options.guards);
        Ok(found.into_iter().find_map(alarm))
    }

    /// Removes what the rules do not keep, or else the oldest that may go. Returns whether anything was removed.
    fn make(&mut self, lacking: &str) -> Result<bool, Error> {
        self.run.ctx.check_cancel()?;
        let Some(readers_lock) = self.run.target.keep_readers_out()? else {
            self.refuse("a restore or a verify reads the target");
            return Ok(false);
        };
        let notes_lock = notes::lock(self.run.target)?;
        let state = self.run.state()?;
        let mut suspended = Vec::new();
        let mut decided = self.run.decide(&state, &mut suspended);
        if let Some(suspension) = suspended.first() {
            self.may_remove = false;
            self.refuse(&suspension.to_string());
            return Ok(false);
        }
        let mut gone: Vec<Snapshot> = Vec::new();
        // First all that no rule keeps; only without any the oldest, one at a time.
        for is_for_room in [false, true] {
            for one in oldest_first(&mut decided) {
                let goes = match &one.fate {
                    Fate::Remove(Cause::NoRule) => !is_for_room,
                    Fate::Keep(_) => is_for_room && self.run.options.room.is_asked() && room::may_go(one),
                    Fate::Remove(_) => false,
                };
                let is_base = self.found.base == Some(one.snapshot.seal.generation);
                if !goes || is_base || (is_for_room && !gone.is_empty()) {
                    continue;
                }
                let name = &one.snapshot.name;
                match publish::take_out_of_sight(&self.run, &one.snapshot) {
                    Ok(()) => {
                        self.run.ctx.monitor.notice(&format!("snapshot {name} is removed for room: {lacking}"));
                        gone.push(one.snapshot.clone());
                    }
                    // The next oldest may be easier.
                    Err(error) => self.refuse(&format!("{name} cannot be removed: {}", error.with_causes())),
                }
            }
        }
        if gone.is_empty() {
            return Ok(false);
        }
        self.removed.extend(gone.iter().map(|snapshot| snapshot.name.clone()));
        if let Err(error) = publish::settle(&self.run, &gone) {
            self.run.ctx.monitor.notice(&format!("a record of a removed snapshot stays: {}", error.with_causes()));
        }
        drop((notes_lock, readers_lock));
        self.empty_trash()?;
        Ok(true)
    }

    fn empty_trash(&self) -> Result<u64, Error> {
        // What is removed is no progress of the backup.
        let counters = Counters::default();
        let cancel = self.run.ctx.cancel;
        let before = self.run.target.root.free_space().ok();
        let emptied = trash::empty(self.run.target, cancel, &counters, IfBusy::Wait, TargetLock::Ours)?;
        self.run.ctx.check_cancel()?;
        if emptied.entries > 0 {
            let had = |of: fn(&FreeSpace) -> u64| before.as_ref().map_or(0, of);
            let entries = |space: &FreeSpace| space.free_entries.unwrap_or(0);
            self.run.wait_for_room(|space| {
                space.free_bytes > had(|space| space.free_bytes) || entries(space) > had(entries)
            });
        }
        Ok(emptied.entries)
    }
}

/// What a run will need.
struct Expected {
    bytes: u64,
    entries: u64,
}

/// Returns what the smallest of the last snapshots needed: one large import must not cost old snapshots the night after.
/// The first of a job tells nothing: it needed all.
fn expected(sealed: &[Snapshot]) -> Expected {
    let last = || sealed.iter().rev().filter(|s| s.seal.base.is_some()).take(EXPECTED_BY).map(|s| &s.seal.totals);
    Expected {
        bytes: last().map(|totals| totals.new_bytes).min().unwrap_or(0),
        entries: last().map(|totals| totals.new_files + totals.dirs).min().unwrap_or(0),
    }
}
