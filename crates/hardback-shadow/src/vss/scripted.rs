//! A VSS that does what a script says: it keeps a list of the calls, refuses what comes in a wrong order, and counts
//! what was made and not released.

use super::calls::{Called, Components, FilesOfWriter, Id, Library, Metadata, Operation, WriterStatus};
use super::codes::Code;
use super::time::{Stop, Time};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The call answers so.
    Answers(Code),
    /// What it starts ends so.
    Ends(Code),
    /// What it starts never ends by itself.
    Hangs,
    /// What it starts never ends by itself, and finishes when it is cancelled.
    FinishesLate,
    Panics,
}

/// What a script says at a call; the number counts all calls of the attempt from 0.
pub(super) type Script = dyn Fn(&str, usize) -> Fault + Send + Sync;

#[derive(Clone)]
pub(super) struct Scripted(Arc<Shared>);

struct Shared {
    script: Mutex<Arc<Script>>,
    calls: Mutex<Vec<String>>,
    living: AtomicI64,
    writers: Mutex<Vec<WriterStatus>>,
}

impl Scripted {
    pub(super) fn new(script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let script: Arc<Script> = Arc::new(script);
        Self(Arc::new(Shared {
            script: Mutex::new(script),
            calls: Mutex::default(),
            living: AtomicI64::new(0),
            writers: Mutex::default(),
        }))
    }

    pub(super) fn with_writer(self, name: &str, state: i32, failure: Code) -> Self {
        self.0.writers.lock().unwrap().push(WriterStatus { name: name.into(), state, failure });
        self
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }

    pub(super) fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|other| *other == call).count()
    }

    /// Objects that were made and not released.
    pub(super) fn living(&self) -> i64 {
        self.0.living.load(Ordering::SeqCst)
    }

    fn pass(&self, call: &str) -> Result<Fault, Code> {
        let number = {
            let mut calls = self.0.calls.lock().unwrap();
            calls.push(call.to_owned());
            calls.len() - 1
        };
        let script = self.0.script.lock().unwrap().clone();
        match script(call, number) {
            Fault::Answers(code) => Err(code),
            Fault::Panics => panic!("scripted at {call}"),
            fault => Ok(fault),
        }
    }
}

impl Library for Scripted {
    fn create_components(&self) -> Called<Box<dyn Components>> {
        self.pass("CreateVssBackupComponents")?;
        self.0.living.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Object {
            scripted: self.clone(),
            state: Cell::new(State::New),
            set: Cell::new(0),
            copies: Cell::new(0),
        }))
    }
}

/// How far the object is: what real VSS answers `VSS_E_BAD_STATE` to is told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    New,
    Initialized,
    Context,
    Configured,
    Metadata,
    Started,
    Added,
    Prepared,
    Made,
    Completed,
    Aborted,
}

struct Object {
    scripted: Scripted,
    state: Cell<State>,
    set: Cell<Id>,
    copies: Cell<Id>,
}

impl Object {
    fn pass(&self, call: &str, from: &[State]) -> Called<Fault> {
        let fault = self.scripted.pass(call)?;
        if from.contains(&self.state.get()) { Ok(fault) } else { Err(Code::BAD_STATE) }
    }

    fn step(&self, call: &str, from: &[State], to: State) -> Called<()> {
        self.pass(call, from)?;
        self.state.set(to);
        Ok(())
    }

    fn start(&self, call: &str, from: &[State], to: Option<State>) -> Called<Box<dyn Operation>> {
        let fault = self.pass(call, from)?;
        let is_good = matches!(fault, Fault::None | Fault::FinishesLate);
        if let Some(to) = to.filter(|_| is_good) {
            self.state.set(to);
        }
        self.scripted.0.living.fetch_add(1, Ordering::SeqCst);
        let cancelled = Cell::new(false);
        Ok(Box::new(Running { scripted: self.scripted.clone(), fault, cancelled }))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.scripted.0.calls.lock().unwrap().push("Release".into());
        self.scripted.0.living.fetch_sub(1, Ordering::SeqCst);
    }
}

const AFTER_METADATA: [State; 5] = [State::Metadata, State::Started, State::Added, State::Prepared, State::Made];

impl Components for Object {
    fn initialize_for_backup(&self) -> Called<()> {
        self.step("InitializeForBackup", &[State::New], State::Initialized)
    }

    fn set_context_backup(&self) -> Called<()> {
        self.step("SetContext", &[State::Initialized], State::Context)
    }

    fn set_backup_state_copy(&self) -> Called<()> {
        self.step("SetBackupState", &[State::Context], State::Configured)
    }

    fn gather_writer_metadata(&self) -> Called<Box<dyn Operation>> {
        self.start("GatherWriterMetadata", &[State::Configured], Some(State::Metadata))
    }

    fn writer_metadata_count(&self) -> Called<u32> {
        self.pass("GetWriterMetadataCount", &[State::Metadata])?;
        Ok(u32::try_from(self.scripted.0.writers.lock().unwrap().len()).unwrap())
    }

    fn writer_metadata(&self, number: u32) -> Called<Box<dyn Metadata>> {
        self.pass("GetWriterMetadata", &[State::Metadata])?;
        let name = self.scripted.0.writers.lock().unwrap()[number as usize].name.clone();
        self.scripted.0.living.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Declaring { scripted: self.scripted.clone(), name }))
    }

    fn free_writer_metadata(&self) -> Called<()> {
        self.pass("FreeWriterMetadata", &[State::Metadata]).map(drop)
    }

    fn is_volume_supported(&self, volume: &str) -> Called<bool> {
        self.pass("IsVolumeSupported", &[State::Metadata])?;
        Ok(!volume.contains("FAT"))
    }

    fn start_snapshot_set(&self) -> Called<Id> {
        self.step("StartSnapshotSet", &[State::Metadata], State::Started)?;
        self.set.set(77);
        Ok(77)
    }

    fn add_to_snapshot_set(&self, _: &str) -> Called<Id> {
        self.step("AddToSnapshotSet", &[State::Started, State::Added], State::Added)?;
        self.copies.set(self.copies.get() + 1);
        Ok(self.copies.get())
    }

    fn prepare_for_backup(&self) -> Called<Box<dyn Operation>> {
        self.start("PrepareForBackup", &[State::Added], Some(State::Prepared))
    }

    fn do_snapshot_set(&self) -> Called<Box<dyn Operation>> {
        self.start("DoSnapshotSet", &[State::Prepared], Some(State::Made))
    }

    fn gather_writer_status(&self) -> Called<Box<dyn Operation>> {
        self.start("GatherWriterStatus", &AFTER_METADATA, None)
    }

    fn writer_status_count(&self) -> Called<u32> {
        self.pass("GetWriterStatusCount", &AFTER_METADATA)?;
        Ok(u32::try_from(self.scripted.0.writers.lock().unwrap().len()).unwrap())
    }

    fn writer_status(&self, number: u32) -> Called<WriterStatus> {
        self.pass("GetWriterStatus", &AFTER_METADATA)?;
        let writers = self.scripted.0.writers.lock().unwrap();
        writers.get(number as usize).cloned().ok_or(Code::OBJECT_NOT_FOUND)
    }

    fn free_writer_status(&self) -> Called<()> {
        self.pass("FreeWriterStatus", &AFTER_METADATA).map(drop)
    }

    fn snapshot_device(&self, copy: Id) -> Called<String> {
        self.pass("GetSnapshotProperties", &[State::Made])?;
        if copy == 0 || copy > self.copies.get() {
            return Err(Code::OBJECT_NOT_FOUND);
        }
        Ok(format!(r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy{copy}"))
    }

    fn abort_backup(&self) -> Called<()> {
        let due = [State::Started, State::Added, State::Prepared, State::Made];
        self.step("AbortBackup", &due, State::Aborted)
    }

    fn backup_complete(&self) -> Called<Box<dyn Operation>> {
        self.start("BackupComplete", &[State::Made], Some(State::Completed))
    }

    fn delete_snapshot_set(&self, set: Id) -> Called<()> {
        self.pass("DeleteSnapshots", &[State::Made, State::Completed])?;
        if set == self.set.get() { Ok(()) } else { Err(Code::OBJECT_NOT_FOUND) }
    }
}

/// A writer that leaves out `C:\\NAME\\*.tmp` and all below.
struct Declaring {
    scripted: Scripted,
    name: String,
}

impl Metadata for Declaring {
    fn name(&self) -> Called<String> {
        self.scripted.pass("GetIdentity")?;
        Ok(self.name.clone())
    }

    fn exclude_count(&self) -> Called<u32> {
        self.scripted.pass("GetFileCounts")?;
        Ok(1)
    }

    fn exclude(&self, _: u32) -> Called<FilesOfWriter> {
        self.scripted.pass("GetExcludeFile")?;
        let path = format!("C:\\{}\\", self.name);
        Ok(FilesOfWriter { path, names: "*.tmp".into(), is_recursive: true })
    }
}

impl Drop for Declaring {
    fn drop(&mut self) {
        self.scripted.0.living.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Running {
    scripted: Scripted,
    fault: Fault,
    cancelled: Cell<bool>,
}

impl Operation for Running {
    fn wait(&self, _: u32) -> Called<()> {
        self.scripted.pass("Wait").map(drop)
    }

    fn query_status(&self) -> Called<Code> {
        self.scripted.pass("QueryStatus")?;
        Ok(match (self.fault, self.cancelled.get()) {
            (Fault::Ends(code), _) => code,
            (Fault::Hangs | Fault::FinishesLate, false) => Code::PENDING,
            (Fault::Hangs, true) => Code::CANCELLED,
            _ => Code::FINISHED,
        })
    }

    fn cancel(&self) -> Called<()> {
        self.scripted.pass("Cancel")?;
        self.cancelled.set(true);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.scripted.0.living.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A time in which pauses pass at once.
#[derive(Default)]
pub(crate) struct FastTime(Mutex<Duration>);

impl Time for FastTime {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn pause(&self, pause: Duration, stop: &Stop) -> bool {
        *self.0.lock().unwrap() += pause;
        stop.is_set()
    }
}
