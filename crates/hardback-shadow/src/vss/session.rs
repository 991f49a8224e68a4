//! The state machine: the calls that freeze a set of volumes, in their order, and that all of it ends again.
//!
//! From the moment at which a set is started until its making has finished, whatever ends the attempt calls
//! `AbortBackup` first; from then on it is `BackupComplete` and the removal of the copies. Either happens when a
//! [`Session`] is dropped, so also in a panic.

use super::calls::{Called, Components, Id, Library, Operation};
use super::codes::Code;
use super::time::{Stop, Time};
use super::writers::{self, WriterFailure};
use crate::exclusions::SystemExclusion;
use std::time::Duration;

/// How many volumes fit into one set.
pub(crate) const VOLUMES_MAX: usize = 64;

/// How long one call waits for an operation: a wish to stop is heard after as long.
const SLICE: Duration = Duration::from_millis(200);

/// Time limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For what asks the writers, and tells them.
    pub(crate) writers: Duration,
    /// For the making of the copies.
    pub(crate) making: Duration,
    /// For the writers to hear of the end: the user waits for it.
    pub(crate) completing: Duration,
    /// For an operation to end that was cancelled.
    pub(crate) cancelling: Duration,
    /// For the answer whether a copy is still there.
    pub(crate) checking: Duration,
    /// For that answer where all that was read depends on it.
    pub(crate) checking_last: Duration,
    /// For attempts, where an error is worth more of them.
    pub(crate) attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = Duration::from_mins;
        let seconds = Duration::from_secs;
        Self {
            writers: minutes(5),
            making: minutes(10),
            completing: minutes(1),
            cancelling: seconds(10),
            checking: seconds(30),
            checking_last: minutes(5),
            attempts: u32::MAX,
        }
    }
}

/// Why volumes are not frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A call failed, or what it started did.
    Call {
        /// Its name.
        call: &'static str,
        /// Its answer.
        code: Code,
        /// Which volume it was about, if about one.
        volume: Option<usize>,
    },
    /// What a call started did not end in time, and was cancelled.
    TimedOut {
        /// Its name.
        call: &'static str,
        /// The time.
        limit: Duration,
    },
    /// A call did not return in time, and is under way still.
    Stuck {
        /// Its name.
        call: &'static str,
        /// Which volume it is about, if about one.
        volume: Option<usize>,
        /// The time.
        limit: Duration,
    },
    /// There are more volumes than fit into a set.
    TooMany,
    /// The user asked to stop.
    Interrupted,
    /// The service cannot be reached at all.
    Unreachable(String),
}

impl Failure {
    /// Returns how many attempts it leaves worth while for each volume alone.
    pub(crate) fn attempts_alone(&self) -> u32 {
        match self {
            // All were made that the error is worth.
            Self::Call { code, .. } if code.retry().is_some() => 1,
            // The service is still in that call, and makes one set at a time.
            Self::Stuck { .. } => 0,
            _ => u32::MAX,
        }
    }

    pub(crate) fn of(call: &'static str) -> impl FnOnce(Code) -> Self {
        move |code| Self::Call { call, code, volume: None }
    }
}

/// What is needed beside the calls.
pub(crate) struct Surroundings<'t, 'a> {
    pub(crate) limits: Limits,
    pub(crate) time: &'t dyn Time,
    pub(crate) stop: &'a Stop,
    /// Hears why something takes long.
    pub(crate) tell: &'a dyn Fn(String),
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is to be undone.
    Begun,
    /// A set is started, and not made.
    Started,
    /// The copies are there.
    Made,
    /// All is undone.
    Ended,
}

/// Volumes that are frozen as long as this lives.
pub(crate) struct Session<'a> {
    components: Box<dyn Components>,
    stage: Stage,
    set: Id,
    copies: Vec<Id>,
    limits: Limits,
    time: &'a dyn Time,
}

/// What was frozen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frozen {
    /// The device of each volume's copy, without a `\` at its end.
    pub(crate) devices: Vec<String>,
    /// Writers that failed: their programs' data may not be consistent.
    pub(crate) failed_writers: Vec<WriterFailure>,
    /// What writers declare that no backup should have.
    pub(crate) exclusions: Vec<SystemExclusion>,
}

/// Freezes volumes, with as many attempts as their errors are worth.
pub(crate) fn freeze<'t>(
    library: &dyn Library,
    volumes: &[String],
    around: &Surroundings<'t, '_>,
) -> Result<(Session<'t>, Frozen), Failure> {
    if volumes.len() > VOLUMES_MAX {
        return Err(Failure::TooMany);
    }
    for attempt in 1.. {
        let failure = match freeze_once(library, volumes, around) {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let retry = match &failure {
            Failure::Call { code, .. } => code.retry().map(|retry| (*code, retry)),
            _ => None,
        };
        let Some((code, retry)) = retry.filter(|(_, retry)| attempt < retry.attempts.min(around.limits.attempts))
        else {
            return Err(failure);
        };
        // The first short pauses are nobody's business.
        if attempt == 1 || retry.pause >= Duration::from_mins(1) {
            let (next, attempts, pause) = (attempt + 1, retry.attempts, retry.pause.as_secs());
            (around.tell)(format!("no shadow copy yet, {code}: attempt {next} of {attempts} begins in {pause} s"));
        }
        if around.time.pause(retry.pause, around.stop) {
            return Err(Failure::Interrupted);
        }
    }
    unreachable!("the attempts are counted")
}

fn freeze_once<'t>(
    library: &dyn Library,
    volumes: &[String],
    around: &Surroundings<'t, '_>,
) -> Result<(Session<'t>, Frozen), Failure> {
    let components = library.create_components().map_err(Failure::of("CreateVssBackupComponents"))?;
    let (limits, time) = (around.limits, around.time);
    let mut session = Session { components, stage: Stage::Begun, set: 0, copies: Vec::new(), limits, time };
    let exclusions = session.prepare(volumes, around)?;
    session.make(volumes, around)?;
    let frozen = session.look(around)?;
    Ok((session, Frozen { exclusions, ..frozen }))
}

impl Session<'_> {
    /// All before a set is started; returns what the writers declare.
    fn prepare(&mut self, volumes: &[String], around: &Surroundings<'_, '_>) -> Result<Vec<SystemExclusion>, Failure> {
        let components = &*self.components;
        components.initialize_for_backup().map_err(Failure::of("InitializeForBackup"))?;
        components.set_context_backup().map_err(Failure::of("SetContext"))?;
        components.set_backup_state_copy().map_err(Failure::of("SetBackupState"))?;
        self.run("GatherWriterMetadata", |c| c.gather_writer_metadata(), self.limits.writers, around)?;
        let exclusions = writers::exclusions(components);
        components.free_writer_metadata().map_err(Failure::of("FreeWriterMetadata"))?;
        for (number, volume) in volumes.iter().enumerate() {
            let failed = |code| Failure::Call { call: "IsVolumeSupported", code, volume: Some(number) };
            if !components.is_volume_supported(volume).map_err(failed)? {
                return Err(failed(Code::VOLUME_NOT_SUPPORTED));
            }
        }
        Ok(exclusions)
    }

    /// From the start of the set until it is made.
    fn make(&mut self, volumes: &[String], around: &Surroundings<'_, '_>) -> Result<(), Failure> {
        check_stop(around)?;
        self.set = self.components.start_snapshot_set().map_err(Failure::of("StartSnapshotSet"))?;
        self.stage = Stage::Started;
        for (number, volume) in volumes.iter().enumerate() {
            let failed = |code| Failure::Call { call: "AddToSnapshotSet", code, volume: Some(number) };
            self.copies.push(self.components.add_to_snapshot_set(volume).map_err(failed)?);
        }
        self.run("PrepareForBackup", |c| c.prepare_for_backup(), self.limits.writers, around)?;
        let made = self.run("DoSnapshotSet", |c| c.do_snapshot_set(), self.limits.making, around);
        if matches!(made, Ok(()) | Err(Ended { is_finished: true, .. })) {
            self.stage = Stage::Made;
        }
        Ok(made?)
    }

    /// Where the copies are, and what the writers say.
    fn look(&mut self, around: &Surroundings<'_, '_>) -> Result<Frozen, Failure> {
        check_stop(around)?;
        let failed_writers = match self.failed_writers(around) {
            Ok(failed) => failed,
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            // The copies are there all the same.
            Err(failure) => vec![WriterFailure::unknown(&failure)],
        };
        let mut devices = Vec::new();
        for (number, copy) in self.copies.iter().enumerate() {
            let failed = |code| Failure::Call { call: "GetSnapshotProperties", code, volume: Some(number) };
            devices.push(self.components.snapshot_device(*copy).map_err(failed)?);
        }
        Ok(Frozen { devices, failed_writers, exclusions: Vec::new() })
    }

    fn failed_writers(&self, around: &Surroundings<'_, '_>) -> Result<Vec<WriterFailure>, Failure> {
        self.run("GatherWriterStatus", |c| c.gather_writer_status(), self.limits.writers, around)?;
        let components = &*self.components;
        let mut failed = Vec::new();
        for number in 0..components.writer_status_count().map_err(Failure::of("GetWriterStatusCount"))? {
            let status = components.writer_status(number).map_err(Failure::of("GetWriterStatus"))?;
            failed.extend(writers::failure_of(&status));
        }
        components.free_writer_status().map_err(Failure::of("FreeWriterStatus"))?;
        Ok(failed)
    }

    /// Returns whether a copy is still there, by its place among the volumes.
    pub(crate) fn check(&self, number: usize) -> Called<()> {
        let copy = self.copies.get(number).ok_or(Code::OBJECT_NOT_FOUND)?;
        self.components.snapshot_device(*copy).map(drop)
    }

    /// Waits for what a call starts.
    fn run(
        &self,
        call: &'static str,
        start: impl FnOnce(&dyn Components) -> Called<Box<dyn Operation>>,
        limit: Duration,
        around: &Surroundings<'_, '_>,
    ) -> Result<(), Ended> {
        if around.stop.is_set() {
            return Err(Ended { is_finished: false, failure: Failure::Interrupted });
        }
        let operation = start(&*self.components).map_err(Failure::of(call))?;
        run(&*operation, call, (limit, self.limits.cancelling), self.time, Some(around.stop))
    }

    /// Ends what was begun. That something of it fails is no harm: the release of the object comes right after, and the
    /// copies of this context go with it.
    fn end(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Begun | Stage::Ended => {}
            Stage::Started => {
                self.components.abort_backup().ok();
            }
            Stage::Made => {
                if let Ok(operation) = self.components.backup_complete() {
                    let limits = (self.limits.completing, self.limits.cancelling);
                    run(&*operation, "BackupComplete", limits, self.time, None).ok();
                }
                self.components.delete_snapshot_set(self.set).ok();
            }
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// How an operation ended that did not end well.
struct Ended {
    /// It did what it should all the same.
    is_finished: bool,
    failure: Failure,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self { is_finished: false, failure }
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        ended.failure
    }
}

fn check_stop(around: &Surroundings<'_, '_>) -> Result<(), Failure> {
    if around.stop.is_set() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Waits in short slices until an operation has ended; cancels it when its time is over, or somebody wants to stop.
fn run(
    operation: &dyn Operation,
    call: &'static str,
    (limit, cancelling): (Duration, Duration),
    time: &dyn Time,
    stop: Option<&Stop>,
) -> Result<(), Ended> {
    let began = time.now();
    loop {
        let failure = match wait_a_slice(operation, time) {
            Ok(Code::FINISHED) => return Ok(()),
            Ok(Code::PENDING) if stop.is_some_and(Stop::is_set) => Failure::Interrupted,
            Ok(Code::PENDING) if time.now().saturating_sub(began) >= limit => Failure::TimedOut { call, limit },
            Ok(Code::PENDING) => continue,
            Ok(code) => return Err(Failure::Call { call, code, volume: None }.into()),
            // Nobody can tell how it stands: it may be under way.
            Err(code) => Failure::Call { call, code, volume: None },
        };
        return Err(cancel(operation, failure, cancelling, time));
    }
}

/// Cancels an operation and waits until it has ended. It may have finished at the last moment.
fn cancel(operation: &dyn Operation, failure: Failure, limit: Duration, time: &dyn Time) -> Ended {
    operation.cancel().ok();
    let began = time.now();
    let mut is_finished = false;
    while time.now().saturating_sub(began) < limit {
        match wait_a_slice(operation, time) {
            Ok(Code::PENDING) => {}
            Ok(code) => {
                is_finished = code == Code::FINISHED;
                break;
            }
            Err(_) => drop(time.pause(SLICE, &Stop::default())),
        }
    }
    Ended { is_finished, failure }
}

/// Waits for an operation, not longer than a slice; returns how it stands.
fn wait_a_slice(operation: &dyn Operation, time: &dyn Time) -> Called<Code> {
    let began = time.now();
    let milliseconds = u32::try_from(SLICE.as_millis()).unwrap_or(u32::MAX);
    operation.wait(milliseconds)?;
    // That the wait is over does not say that the operation is.
    let code = operation.query_status()?;
    let waited = time.now().saturating_sub(began);
    if code == Code::PENDING && waited < SLICE / 2 {
        time.pause(SLICE.saturating_sub(waited), &Stop::default());
    }
    Ok(code)
}
