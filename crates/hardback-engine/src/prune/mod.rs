//! Pruning: the rules decide, the guards may object, a rename takes a snapshot out of sight, and the unlinking comes
//! behind, without the target's lock.

mod guard;
mod make;
mod publish;
mod room;

pub use guard::{GuardLimits, Suspension, unpin_all};
pub(crate) use make::{FoundChanged, RoomMaker};
pub use room::{Amount, Room};

use crate::catalog::{self, Snapshot, Snapshots};
use crate::context::Context;
use crate::du::{Freed, freed};
use crate::error::Error;
use crate::notes::{self, Note, Notes};
use crate::problem::{Problem, ProblemKind};
use crate::report::{Phase, Problems};
use crate::retention::{self, Candidate, Decision, Reason, Rules};
use crate::target::trash::{self, Emptied, IfBusy, TargetLock};
use crate::target::{Target, holder_words, layout};
use hardback_platform::FreeSpace;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What may be removed, and when nothing is.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Which snapshots stay.
    pub rules: Rules,
    /// How much room is to be free; for that, snapshots go that the rules would keep.
    pub room: Room,
    /// What makes a guard object.
    pub guards: GuardLimits,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Only remove what is in the trash already.
    pub finish_only: bool,
    /// Leave the trash to another process that empties it, rather than wait for that.
    pub leave_busy_trash: bool,
}

impl PruneOptions {
    /// Returns whether snapshots may be removed at all.
    #[must_use]
    pub fn may_remove(&self) -> bool {
        !self.finish_only && (!self.rules.keep_everything() || self.room.may_remove())
    }
}

/// Why a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No rule asks for it.
    NoRule,
    /// Room is needed, and it is the oldest that may go.
    Room(String),
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for these reasons.
    Keep(Vec<Reason>),
    /// It goes, or would.
    Remove(Cause),
}

/// A snapshot and what becomes of it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What is said about it.
    pub note: Note,
    /// What becomes of it.
    pub fate: Fate,
    /// It is among the few that never go for room.
    pub is_least: bool,
    /// In a dry run, the bytes that its removal would free, those before it in the list being gone already.
    pub frees_bytes: Option<u64>,
}

/// What a pruning did.
#[derive(Debug, Default)]
#[must_use = "the report says whether pruning is suspended"]
pub struct PruneReport {
    /// Job.
    pub job: String,
    /// All snapshots with a whole seal, oldest first; none where only the trash was emptied.
    pub decided: Vec<Decided>,
    /// Why nothing was removed although it should.
    pub suspended: Vec<Suspension>,
    /// Names of snapshots that were removed.
    pub removed: Vec<String>,
    /// In a dry run, the bytes that all of this would free; with a problem it is the least.
    pub would_free_bytes: Option<u64>,
    /// Names in trees and trash that were unlinked.
    pub unlinked: u64,
    /// Bytes that are free on the volume now and were not before, as far as can be told.
    pub freed_bytes: u64,
    /// A restore, a verify or the like reads the target, so nothing was removed: that is left to the next pruning.
    pub is_read: bool,
    /// The trash is left to another process.
    pub is_busy: bool,
    /// How much room is still missing, in words, if some was asked for.
    pub lacking: Option<String>,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// How long the target was locked, in nanoseconds.
    pub locked_ns: u64,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// Removes the snapshots of a job that the rules do not keep, then what is in the trash.
///
/// # Errors
/// When it cannot be told what there is. A snapshot or a part of the trash that cannot be removed is a problem.
pub fn prune(ctx: &Context<'_>, target: &Target, job: &str, options: &PruneOptions) -> Result<PruneReport, Error> {
    let began = hardback_platform::monotonic_now();
    if let Some(why) = target.root.free_space().ok().and_then(|space| options.room.impossible(&space)) {
        return Err(Error::refused(
            format!("so much can never be free: {why}"),
            "ask for less, or for a part such as 10%",
        ));
    }
    let run = Run { ctx, target, job, options, problems: Problems::default() };
    let mut report = PruneReport { job: job.to_owned(), ..PruneReport::default() };
    let free_before = target.root.free_space().map_or(0, |space| space.free_bytes);
    if options.dry_run {
        run.preview(&mut report)?;
    } else {
        run.prune(&mut report)?;
        let free_now = target.root.free_space().map_or(0, |space| space.free_bytes);
        report.freed_bytes = free_now.saturating_sub(free_before);
    }
    (report.problem_count, report.problems) = run.problems.take();
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began);
    Ok(report)
}

/// A pruning at work.
struct Run<'a> {
    ctx: &'a Context<'a>,
    target: &'a Target,
    job: &'a str,
    options: &'a PruneOptions,
    problems: Problems,
}

/// How often, and how many times, it is looked at what is free behind a removal.
const FREE_POLL: Duration = Duration::from_millis(100);
const FREE_LOOKS: usize = 20;

/// Which snapshots go at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Round {
    /// All that no rule keeps.
    Rules,
    /// These, of those that may go, for room: the words tell which.
    Size(Vec<String>, String),
}

/// What there is, read while nobody else may change it.
struct State {
    snapshots: Snapshots,
    notes: Notes,
}

impl Run<'_> {
    fn prune(&self, report: &mut PruneReport) -> Result<(), Error> {
        if self.options.finish_only {
            return self.empty_trash(report, 0);
        }
        let removed = self.remove_snapshots(report, &Round::Rules)?;
        let mut goes_on = self.finish_round(report, &removed)?;
        for plan in [Self::above_max_size, Self::for_room] {
            if goes_on && let Some(round) = plan(self, report)? {
                goes_on = self.next_round(report, &round)?;
            }
        }
        self.miss(report);
        Ok(())
    }

    /// Notes how much room is still lacking. Who asked for it is to hear of it.
    fn miss(&self, report: &mut PruneReport) {
        report.lacking = self.lacking();
        if let Some(lacking) = &report.lacking {
            let what = format!("there is less room than asked for: {lacking}");
            self.problems.tell(self.ctx, Problem::with_detail(self.job.as_bytes(), ProblemKind::NotRemoved, what));
        }
    }

    /// Does one more round; returns whether another one makes sense.
    fn next_round(&self, report: &mut PruneReport, round: &Round) -> Result<bool, Error> {
        match self.remove_snapshots(report, round) {
            Ok(removed) => Ok(!removed.is_empty() && self.finish_round(report, &removed)?),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // What went is to be told, whatever keeps the rest: a backup may have begun meanwhile.
            Err(error) => {
                self.tell("", &error);
                Ok(false)
            }
        }
    }

    /// Returns which of the oldest that may go make the job smaller than it shall be at most, counted in one pass over what
    /// stays; `None` where it is small enough.
    fn above_max_size(&self, report: &PruneReport) -> Result<Option<Round>, Error> {
        let Some(max) = self.options.room.max_size_bytes else { return Ok(None) };
        let (order, freed) = self.count_what_may_go(report, true)?;
        let mut left = freed.bytes;
        let mut going = Vec::new();
        for (name, step) in order.iter().zip(&freed.steps) {
            if left <= max {
                break;
            }
            left = left.saturating_sub(step.bytes);
            going.push(name.clone());
        }
        let why = format!("the job takes {} of {max} bytes", freed.bytes);
        Ok((!going.is_empty()).then_some(Round::Size(going, why)))
    }

    /// Returns which of the oldest that may go give the room that is lacking; `None` where none is, or where all of them
    /// together do not give it: then none of them is lost for nothing.
    fn for_room(&self, report: &PruneReport) -> Result<Option<Round>, Error> {
        let (Some(lacking), Ok(space)) = (self.lacking(), self.target.root.free_space()) else { return Ok(None) };
        let (bytes, entries) = self.options.room.lack(&space);
        let (order, freed) = self.count_what_may_go(report, false)?;
        let (mut freed_bytes, mut freed_entries) = (0, 0);
        let mut going = Vec::new();
        for (name, step) in order.iter().zip(&freed.steps) {
            freed_bytes += step.bytes;
            freed_entries += step.entries;
            going.push(name.clone());
            if freed_bytes >= bytes && freed_entries >= entries {
                return Ok(Some(Round::Size(going, lacking)));
            }
        }
        Ok(None)
    }

    /// Counts what removing those that may go would free, the oldest first; with `all`, what removing the others behind
    /// them would too. Returns the names of those that may go.
    fn count_what_may_go(&self, report: &PruneReport, all: bool) -> Result<(Vec<String>, Freed), Error> {
        let stays = |one: &&Decided| matches!(one.fate, Fate::Keep(_));
        // Those that may go first, the oldest of them before the others: what each frees then adds up.
        let mut order: Vec<&Decided> = report.decided.iter().filter(stays).collect();
        order.sort_by_key(|one| (!room::may_go(one), one.snapshot.seal.generation));
        let going = order.iter().filter(|one| room::may_go(one)).count();
        let mut names: Vec<String> = order.iter().map(|one| one.snapshot.name.clone()).collect();
        if !all {
            names.truncate(going);
        }
        self.ctx.monitor.phase(Phase::Counting);
        let freed = freed(self.ctx, self.target, self.job, &names)?;
        freed.problems.iter().for_each(|problem| self.problems.keep(problem.clone()));
        names.truncate(going);
        Ok((names, freed))
    }

    /// Empties the trash behind a round; returns whether another one makes sense: not while nothing gets free.
    fn finish_round(&self, report: &mut PruneReport, removed: &[Snapshot]) -> Result<bool, Error> {
        let problems = self.problems.count();
        let entries = removed.iter().map(|snapshot| snapshot.seal.totals.entries).sum();
        report.removed.extend(removed.iter().map(|snapshot| snapshot.name.clone()));
        match self.empty_trash(report, entries) {
            Err(Error::Interrupted) => {
                let gone = report.removed.len();
                let what = if gone == 1 { "snapshot is" } else { "snapshots are" };
                self.ctx.monitor.notice(&format!(
                    "{gone} {what} removed: {}; `hardback prune --finish` unlinks the rest of them",
                    report.removed.join(", ")
                ));
                return Err(Error::Interrupted);
            }
            Err(error) => self.tell("", &error),
            Ok(()) => {}
        }
        let is_hindered = report.is_busy || report.is_read || !report.suspended.is_empty();
        Ok(!is_hindered && self.problems.count() == problems)
    }

    /// Takes snapshots out of sight, under the target's lock.
    fn remove_snapshots(&self, report: &mut PruneReport, round: &Round) -> Result<Vec<Snapshot>, Error> {
        let is_first = *round == Round::Rules;
        self.ctx.check_cancel()?;
        let began = hardback_platform::monotonic_now();
        let lock = self.target.lock(&holder_words(self.ctx, &format!("prune of job {}", self.job)))?;
        let Some(readers_lock) = self.target.keep_readers_out()? else {
            report.is_read = true;
            return Ok(Vec::new());
        };
        let notes_lock = notes::lock(self.target)?;
        let mut state = self.state()?;
        if is_first {
            self.tell_state(&state);
        }
        let may_remove = self.options.may_remove();
        let mut suspended = if may_remove { guard::raise(self, &notes_lock, &mut state)? } else { Vec::new() };
        let mut decided = self.decide(&state, &mut suspended);
        let mut gone = Vec::new();
        for one in oldest_first(&mut decided) {
            let cause = match &one.fate {
                _ if !suspended.is_empty() => break,
                Fate::Remove(cause) if is_first => cause.clone(),
                Fate::Keep(_) if room::may_go(one) => match round {
                    Round::Size(names, why) if names.contains(&one.snapshot.name) => Cause::Room(why.clone()),
                    _ => continue,
                },
                _ => continue,
            };
            match publish::take_out_of_sight(self, &one.snapshot) {
                Ok(()) => {
                    one.fate = Fate::Remove(cause);
                    gone.push(one.snapshot.clone());
                }
                Err(error) => self.tell(&one.snapshot.name, &error),
            }
        }
        if !gone.is_empty()
            && let Err(error) = publish::settle(self, &gone)
        {
            self.tell("", &error);
        }
        if is_first && may_remove && suspended.is_empty() {
            publish::clear_leftovers(self, &state)?;
        }
        drop((notes_lock, readers_lock, lock));
        self.merge(report, decided, is_first);
        report.suspended = suspended;
        report.locked_ns += hardback_platform::monotonic_now().saturating_sub(began);
        Ok(gone)
    }

    /// Says what would be done. What room would need is not simulated beyond what the rules remove.
    fn preview(&self, report: &mut PruneReport) -> Result<(), Error> {
        let state = self.state()?;
        self.tell_state(&state);
        if self.options.may_remove() {
            report.suspended = guard::look(self, &state)?.suspended;
        }
        report.decided = self.decide(&state, &mut report.suspended);
        if report.suspended.is_empty() {
            for plan in [Self::above_max_size, Self::for_room] {
                let Some(Round::Size(names, why)) = plan(self, report)? else { continue };
                let goes = report.decided.iter_mut().filter(|one| names.contains(&one.snapshot.name));
                goes.for_each(|one| one.fate = Fate::Remove(Cause::Room(why.clone())));
            }
            self.count_what_goes(report)?;
        }
        // What the rules remove gives room too; whether that is enough shows only when it is done.
        report.lacking = self.lacking().filter(|_| report.would_free_bytes.is_none());
        Ok(())
    }

    /// Tells what removing frees: by the names that the trees have, so it takes its time.
    fn count_what_goes(&self, report: &mut PruneReport) -> Result<(), Error> {
        let goes = |one: &Decided| matches!(one.fate, Fate::Remove(_));
        let names: Vec<String> =
            report.decided.iter().filter(|one| goes(one)).map(|one| one.snapshot.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.ctx.monitor.phase(Phase::Counting);
        let freed = freed(self.ctx, self.target, self.job, &names)?;
        for step in &freed.steps {
            let found = report.decided.iter_mut().find(|one| one.snapshot.name == step.snapshot);
            found.into_iter().for_each(|one| one.frees_bytes = Some(step.bytes));
        }
        report.would_free_bytes = Some(freed.bytes);
        freed.problems.iter().for_each(|problem| self.problems.keep(problem.clone()));
        Ok(())
    }

    fn state(&self) -> Result<State, Error> {
        Ok(State { snapshots: catalog::snapshots(self.target, self.job)?, notes: notes::notes(self.target, self.job)? })
    }

    fn tell_state(&self, state: &State) {
        state.snapshots.unsealed.iter().for_each(|unsealed| self.problems.tell(self.ctx, unsealed.problem()));
        state.notes.problems.iter().for_each(|problem| self.problems.tell(self.ctx, problem.clone()));
    }

    /// Asks the rules. A clock that cannot be trusted suspends them.
    fn decide(&self, state: &State, suspended: &mut Vec<Suspension>) -> Vec<Decided> {
        let of = |snapshot: &Snapshot| {
            let note = state.notes.of(&snapshot.name);
            Candidate {
                generation: snapshot.seal.generation,
                at: snapshot.seal.started,
                has_problems: snapshot.seal.totals.problems > 0,
                is_pinned: note.stays(),
                tags: note.tags,
            }
        };
        let candidates: Vec<Candidate> = state.snapshots.sealed.iter().map(of).collect();
        let clock = self.ctx.clock;
        let decisions = retention::decide(&candidates, &self.options.rules, clock.now(), &clock.zone());
        let decisions = decisions.unwrap_or_else(|fault| {
            if self.options.may_remove() {
                suspended.push(Suspension::Clock(fault.to_string()));
            }
            vec![Decision::Keep(Vec::new()); candidates.len()]
        });
        // The newest of all, and the newest without problems.
        let least = |of: &dyn Fn(&&Snapshot) -> bool| {
            let newest = state.snapshots.sealed.iter().rev().filter(of).take(self.options.room.at_least);
            newest.map(|snapshot| snapshot.seal.generation).collect::<Vec<u32>>()
        };
        let least = [least(&|_| true), least(&|snapshot| snapshot.seal.totals.problems == 0)].concat();
        let decided = |(snapshot, decision): (&Snapshot, Decision)| Decided {
            snapshot: snapshot.clone(),
            note: state.notes.of(&snapshot.name),
            fate: match decision {
                Decision::Keep(reasons) => Fate::Keep(reasons),
                Decision::Remove => Fate::Remove(Cause::NoRule),
            },
            is_least: least.contains(&snapshot.seal.generation),
            frees_bytes: None,
        };
        state.snapshots.sealed.iter().zip(decisions).map(decided).collect()
    }

    /// Adds to the report what was decided this time; what went earlier is there already.
    fn merge(&self, report: &mut PruneReport, decided: Vec<Decided>, is_first: bool) {
        if is_first {
            report.decided = decided;
            return;
        }
        for one in decided.into_iter().filter(|one| matches!(one.fate, Fate::Remove(Cause::Room(_)))) {
            if let Some(known) = report.decided.iter_mut().find(|known| known.snapshot.name == one.snapshot.name) {
                known.fate = one.fate;
            }
        }
    }

    fn empty_trash(&self, report: &mut PruneReport, entries: u64) -> Result<(), Error> {
        self.ctx.monitor.phase(Phase::Cleaning);
        self.ctx.counters.expected_entries.fetch_add(entries, Ordering::Relaxed);
        let if_busy = if self.options.leave_busy_trash { IfBusy::Leave } else { IfBusy::Wait };
        let emptied = trash::empty(self.target, self.ctx.cancel, self.ctx.counters, if_busy, TargetLock::Others)?;
        if entries > 0 {
            self.wait_for_room(|space| self.options.room.lacking(space).is_none());
        }
        let Emptied { is_busy, entries: unlinked, failures } = emptied;
        report.unlinked += unlinked;
        report.is_busy |= is_busy;
        let more = failures.count - failures.first.len() as u64;
        for error in &failures.first {
            self.problems.tell(self.ctx, Problem::new(&error.path, ProblemKind::NotRemoved, error));
        }
        if more > 0 {
            let path = self.target.ours_path(&[layout::TRASH]);
            let detail = format!("{more} more entries of the trash stay");
            self.problems.tell(self.ctx, Problem::with_detail(&path, ProblemKind::NotRemoved, detail));
        }
        self.ctx.check_cancel()
    }

    /// Waits until a removal shows in what is free. Btrfs frees behind, with its next sync; XFS frees behind that, and what
    /// is free grows for a moment. Where nothing was to be freed nothing grows, and the moment is lost.
    fn wait_for_room(&self, is_enough: impl Fn(&FreeSpace) -> bool) {
        self.target.root.sync_volume().ok();
        let (_never, never) = std::sync::mpsc::channel::<()>();
        for _ in 0..FREE_LOOKS {
            if self.target.root.free_space().is_ok_and(|space| is_enough(&space)) {
                return;
            }
            never.recv_timeout(FREE_POLL).ok();
        }
    }

    /// Returns what room is lacking, in words.
    fn lacking(&self) -> Option<String> {
        self.options.room.lacking(&self.target.root.free_space().ok()?)
    }

    fn tell(&self, snapshot: &str, error: &Error) {
        let path = if snapshot.is_empty() { self.job.to_owned() } else { format!("{}/{snapshot}", self.job) };
        self.problems
            .tell(self.ctx, Problem::with_detail(path.as_bytes(), ProblemKind::NotRemoved, error.with_causes()));
    }
}

/// Returns the decisions from the oldest generation on.
fn oldest_first(decided: &mut [Decided]) -> Vec<&mut Decided> {
    let mut order: Vec<&mut Decided> = decided.iter_mut().collect();
    order.sort_by_key(|one| one.snapshot.seal.generation);
    order
}
