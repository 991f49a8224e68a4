//! Which call to the system is under way, and since when: some of them have no time limit, and some never return.

use super::calls::{Called, Components, FilesOfWriter, Id, Library, Metadata, Operation, WriterStatus};
use super::codes::Code;
use super::session::Failure;
use super::time::Time;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one call may take that only asks, or that starts something which has a limit of its own.
pub(crate) const CALL_LIMIT: Duration = Duration::from_mins(10);

/// The call that is under way, seen from all threads. Between the calls, so in the pauses before another attempt, there
/// is none.
#[derive(Clone)]
pub(crate) struct Pulse {
    time: Arc<dyn Time>,
    call: Arc<Mutex<Option<UnderWay>>>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    call: &'static str,
    volume: Option<usize>,
    since: Duration,
}

impl Pulse {
    pub(crate) fn new(time: Arc<dyn Time>) -> Self {
        Self { time, call: Arc::default() }
    }

    /// Makes a call.
    pub(crate) fn during<T>(&self, call: &'static str, volume: Option<usize>, make: impl FnOnce() -> T) -> T {
        self.set(Some(UnderWay { call, volume, since: self.time.now() }));
        let made = make();
        self.set(None);
        made
    }

    fn set(&self, call: Option<UnderWay>) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }

    /// Returns the failure of the call that is under way for too long.
    pub(crate) fn stuck(&self) -> Option<Failure> {
        // Held until the time is known: after the call time may pass.
        let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let UnderWay { call, volume, since } = (*call)?;
        let is_stuck = self.time.now().saturating_sub(since) >= CALL_LIMIT;
        is_stuck.then_some(Failure::Stuck { call, volume, limit: CALL_LIMIT })
    }
}

/// What makes the calls, and tells of each that it is under way.
pub(crate) struct Watched<T: ?Sized> {
    /// Dropped first; what it calls then is under way too.
    inner: Option<Box<T>>,
    pulse: Pulse,
    /// The volumes of the set, in their order.
    volumes: Arc<[String]>,
}

impl<T: ?Sized> Watched<T> {
    pub(crate) fn new(inner: Box<T>, pulse: &Pulse, volumes: &Arc<[String]>) -> Self {
        Self { inner: Some(inner), pulse: pulse.clone(), volumes: volumes.clone() }
    }

    fn call<R>(&self, call: &'static str, make: impl FnOnce(&T) -> Called<R>) -> Called<R> {
        self.call_of(call, None, make)
    }

    fn call_of<R>(&self, call: &'static str, volume: Option<usize>, make: impl FnOnce(&T) -> Called<R>) -> Called<R> {
        let inner = self.inner.as_deref().ok_or(Code::UNEXPECTED)?;
        self.pulse.during(call, volume, || make(inner))
    }

    fn number_of(&self, volume: &str) -> Option<usize> {
        self.volumes.iter().position(|other| other == volume)
    }

    fn inside<R: ?Sized>(&self, inner: Box<R>) -> Watched<R> {
        Watched::new(inner, &self.pulse, &self.volumes)
    }

    fn start(
        &self,
        call: &'static str,
        make: impl FnOnce(&T) -> Called<Box<dyn Operation>>,
    ) -> Called<Box<dyn Operation>> {
        Ok(Box::new(self.inside(self.call(call, make)?)))
    }
}

impl<T: ?Sized> Drop for Watched<T> {
    fn drop(&mut self) {
        let inner = self.inner.take();
        self.pulse.during("Release", None, || drop(inner));
    }
}

impl Library for Watched<dyn Library> {
    fn create_components(&self) -> Called<Box<dyn Components>> {
        Ok(Box::new(self.inside(self.call("CreateVssBackupComponents", |library| library.create_components())?)))
    }
}

impl Components for Watched<dyn Components> {
    fn initialize_for_backup(&self) -> Called<()> {
        self.call("InitializeForBackup", |c| c.initialize_for_backup())
    }

    fn set_context_backup(&self) -> Called<()> {
        self.call("SetContext", |c| c.set_context_backup())
    }

    fn set_backup_state_copy(&self) -> Called<()> {
        self.call("SetBackupState", |c| c.set_backup_state_copy())
    }

    fn gather_writer_metadata(&self) -> Called<Box<dyn Operation>> {
        self.start("GatherWriterMetadata", |c| c.gather_writer_metadata())
    }

    fn writer_metadata_count(&self) -> Called<u32> {
        self.call("GetWriterMetadataCount", |c| c.writer_metadata_count())
    }

    fn writer_metadata(&self, number: u32) -> Called<Box<dyn Metadata>> {
        Ok(Box::new(self.inside(self.call("GetWriterMetadata", |c| c.writer_metadata(number))?)))
    }

    fn free_writer_metadata(&self) -> Called<()> {
        self.call("FreeWriterMetadata", |c| c.free_writer_metadata())
    }

    fn is_volume_supported(&self, volume: &str) -> Called<bool> {
        self.call_of("IsVolumeSupported", self.number_of(volume), |c| c.is_volume_supported(volume))
    }

    fn start_snapshot_set(&self) -> Called<Id> {
        self.call("StartSnapshotSet", |c| c.start_snapshot_set())
    }

    fn add_to_snapshot_set(&self, volume: &str) -> Called<Id> {
        self.call_of("AddToSnapshotSet", self.number_of(volume), |c| c.add_to_snapshot_set(volume))
    }

    fn prepare_for_backup(&self) -> Called<Box<dyn Operation>> {
        self.start("PrepareForBackup", |c| c.prepare_for_backup())
    }

    fn do_snapshot_set(&self) -> Called<Box<dyn Operation>> {
        self.start("DoSnapshotSet", |c| c.do_snapshot_set())
    }

    fn gather_writer_status(&self) -> Called<Box<dyn Operation>> {
        self.start("GatherWriterStatus", |c| c.gather_writer_status())
    }

    fn writer_status_count(&self) -> Called<u32> {
        self.call("GetWriterStatusCount", |c| c.writer_status_count())
    }

    fn writer_status(&self, number: u32) -> Called<WriterStatus> {
        self.call("GetWriterStatus", |c| c.writer_status(number))
    }

    fn free_writer_status(&self) -> Called<()> {
        self.call("FreeWriterStatus", |c| c.free_writer_status())
    }

    fn snapshot_device(&self, copy: Id) -> Called<String> {
        self.call("GetSnapshotProperties", |c| c.snapshot_device(copy))
    }

    fn abort_backup(&self) -> Called<()> {
        self.call("AbortBackup", |c| c.abort_backup())
    }

    fn backup_complete(&self) -> Called<Box<dyn Operation>> {
        self.start("BackupComplete", |c| c.backup_complete())
    }

    fn delete_snapshot_set(&self, set: Id) -> Called<()> {
        self.call("DeleteSnapshots", |c| c.delete_snapshot_set(set))
    }
}

impl Operation for Watched<dyn Operation> {
    fn wait(&self, milliseconds: u32) -> Called<()> {
        self.call("Wait", |operation| operation.wait(milliseconds))
    }

    fn query_status(&self) -> Called<Code> {
        self.call("QueryStatus", |operation| operation.query_status())
    }

    fn cancel(&self) -> Called<()> {
        self.call("Cancel", |operation| operation.cancel())
    }
}

impl Metadata for Watched<dyn Metadata> {
    fn name(&self) -> Called<String> {
        self.call("GetIdentity", |writer| writer.name())
    }

    fn exclude_count(&self) -> Called<u32> {
        self.call("GetFileCounts", |writer| writer.exclude_count())
    }

    fn exclude(&self, number: u32) -> Called<FilesOfWriter> {
        self.call("GetExcludeFile", |writer| writer.exclude(number))
    }
}
