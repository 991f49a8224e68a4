//! The seam below the state machine: one method for each call to VSS, and nothing decided in any of them.
//!
//! Dropping an object releases it.

use super::codes::Code;

/// Names a thing of VSS: a set, a copy.
pub(crate) type Id = u128;

/// What a call gives, or its code.
pub(crate) type Called<T> = Result<T, Code>;

/// The library: `vssapi.dll`, or what stands in for it.
pub(crate) trait Library {
    /// `CreateVssBackupComponents`.
    fn create_components(&self) -> Called<Box<dyn Components>>;
}

/// `IVssBackupComponents`: what asks for copies, and holds them as long as it lives.
pub(crate) trait Components {
    fn initialize_for_backup(&self) -> Called<()>;
    /// `SetContext(VSS_CTX_BACKUP)`: with writers, released by the system when their maker dies.
    fn set_context_backup(&self) -> Called<()>;
    /// `SetBackupState` without components and without the system's state; a copy, after which no log is cut.
    fn set_backup_state_copy(&self) -> Called<()>;
    fn gather_writer_metadata(&self) -> Called<Box<dyn Operation>>;
    fn writer_metadata_count(&self) -> Called<u32>;
    fn writer_metadata(&self, number: u32) -> Called<Box<dyn Metadata>>;
    fn free_writer_metadata(&self) -> Called<()>;
    /// `IsVolumeSupported` of any provider.
    fn is_volume_supported(&self, volume: &str) -> Called<bool>;
    fn start_snapshot_set(&self) -> Called<Id>;
    fn add_to_snapshot_set(&self, volume: &str) -> Called<Id>;
    fn prepare_for_backup(&self) -> Called<Box<dyn Operation>>;
    fn do_snapshot_set(&self) -> Called<Box<dyn Operation>>;
    fn gather_writer_status(&self) -> Called<Box<dyn Operation>>;
    fn writer_status_count(&self) -> Called<u32>;
    fn writer_status(&self, number: u32) -> Called<WriterStatus>;
    fn free_writer_status(&self) -> Called<()>;
    /// `GetSnapshotProperties`: the device of a copy, without a `\` at its end.
    fn snapshot_device(&self, copy: Id) -> Called<String>;
    fn abort_backup(&self) -> Called<()>;
    fn backup_complete(&self) -> Called<Box<dyn Operation>>;
    /// `DeleteSnapshots` of a whole set, by force.
    fn delete_snapshot_set(&self, set: Id) -> Called<()>;
}

/// `IVssAsync`: something that VSS is at.
pub(crate) trait Operation {
    /// `Wait`: returns after that time or earlier, and says nothing about how the operation stands.
    fn wait(&self, milliseconds: u32) -> Called<()>;
    /// `QueryStatus`: how it stands, or how it ended.
    fn query_status(&self) -> Called<Code>;
    fn cancel(&self) -> Called<()>;
}

/// `IVssExamineWriterMetadata`: what a writer says of itself.
pub(crate) trait Metadata {
    /// `GetIdentity`: its name.
    fn name(&self) -> Called<String>;
    /// `GetFileCounts`: how many kinds of files it leaves out of backups.
    fn exclude_count(&self) -> Called<u32>;
    /// `GetExcludeFile`, and what the answer says.
    fn exclude(&self, number: u32) -> Called<FilesOfWriter>;
}

/// Files that a writer speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesOfWriter {
    /// Their folder, perhaps with variables.
    pub(crate) path: String,
    /// Their names, perhaps with wildcards.
    pub(crate) names: String,
    /// Those in the folders below too.
    pub(crate) is_recursive: bool,
}

/// What a program says that makes its own data ready to be copied (a writer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriterStatus {
    /// Its name.
    pub(crate) name: String,
    /// `VSS_WRITER_STATE`.
    pub(crate) state: i32,
    /// Why it failed, if it did.
    pub(crate) failure: Code,
}
