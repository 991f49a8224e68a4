//! The seam: what can freeze volumes, and what it is asked.

use crate::error::ShadowError;
use crate::exclusions::SystemExclusion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// How much a shadow copy is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Read the live volumes.
    #[default]
    Never,
    /// Read shadow copies where there are any; what is read live is told.
    WhenAvailable,
    /// Read shadow copies or nothing.
    Always,
}

/// How much room a shadow copy gets that keeps beside its volume what is overwritten there; it is lost when that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowSize {
    /// So many bytes.
    Bytes(u64),
    /// A part of the volume, in hundredths of a percent.
    Part(u32),
}

impl ShadowSize {
    /// Returns how many bytes that is for a volume.
    pub fn of_volume(self, volume_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Part(hundredths) => {
                let bytes = u128::from(volume_bytes) * u128::from(hundredths) / 10_000;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Default for ShadowSize {
    /// A fifth of the volume.
    fn default() -> Self {
        Self::Part(2000)
    }
}

/// A part of a source that lies on one mounted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which source, in the order of the request.
    pub source: usize,
    /// Where it is in the live file system: absolute, without symlinks.
    pub path: PathBuf,
    /// The same below the source; empty for its top.
    pub below: PathBuf,
    /// What is mounted there.
    pub volume: MountedVolume,
    /// Whether what is in it is to be read. Where it is not, its top folder is shown all the same.
    pub is_wanted: bool,
    /// It is a file, on which another one is mounted.
    pub is_file: bool,
    /// Whether other volumes than that of the source's top are stayed out of.
    pub one_file_system: bool,
    /// Paths below this place on which other volumes are mounted.
    pub covered: Vec<PathBuf>,
}

/// What is mounted at a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountedVolume {
    /// The system's name for the kind of file system: `ext4`, `btrfs`.
    pub file_system: String,
    /// What was mounted: a device, a dataset.
    pub device: PathBuf,
    /// Number of the device (major, minor).
    pub device_id: (u32, u32),
    /// The place inside of the file system.
    pub inside: PathBuf,
    /// Its options, with commas between them.
    pub options: String,
    /// Number of the device, as it is told of files, and of the top of what is mounted.
    pub top: ((u32, u32), u64),
    /// Flags of the mount, with commas between them.
    pub flags: String,
    /// Its numbers of users are others than those on the disk.
    pub is_idmapped: bool,
    /// Nothing can change on it: it needs no shadow copy.
    pub is_read_only: bool,
}

/// One volume to freeze. Equal ones are frozen once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Volume {
    /// Name of the provider.
    pub provider: String,
    /// The volume for people: `Btrfs subvolume @home on /dev/sda2`.
    pub shown: String,
    /// What the provider needs to find it again, to freeze it and to remove what it made.
    pub fields: BTreeMap<String, String>,
}

impl Volume {
    /// Returns a field.
    ///
    /// # Errors
    /// It is not there: the record was made by another version or is damaged.
    pub fn field(&self, name: &str) -> Result<&str, ShadowError> {
        self.fields.get(name).map(String::as_str).ok_or_else(|| {
            ShadowError::refused(
                format!("the record of a shadow copy of {} does not say its {name}", self.shown),
                "it was made by another version of hardback, or is damaged",
            )
        })
    }
}

/// A shadow copy that is made, or to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Its name, which begins with [`NAME_PREFIX`] and occurs once in the world.
    pub name: String,
    /// What it is of.
    pub volume: Volume,
}

/// How the names of all shadow copies begin that hardback makes.
pub const NAME_PREFIX: &str = "hardback-shadow-";

/// Returns whether a name on a volume is that of a shadow copy of hardback, as [`Copy::name`] or with the dot before it
/// that it has on Btrfs: what another run made and is about to remove belongs in no backup.
pub fn is_name_of_copy(name: &[u8]) -> bool {
    let name = name.strip_prefix(b".").unwrap_or(name);
    let Some(rest) = name.strip_prefix(NAME_PREFIX.as_bytes()) else { return false };
    let Some((id, number)) = rest.split_at_checked(16) else { return false };
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    id.iter().all(u8::is_ascii_hexdigit) && number.strip_prefix(b"-").is_some_and(is_number)
}

/// A part of a place that a provider can freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is, below the place.
    pub below: PathBuf,
    /// How it is read.
    pub read: Read,
}

/// How a piece is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// From a shadow copy.
    Frozen {
        /// Of this volume.
        volume: Volume,
        /// The piece inside of the volume.
        inside: PathBuf,
    },
    /// As it is: what is in it is not wanted.
    Live,
}

/// What a provider says of a place.
#[derive(Debug)]
pub enum Answer {
    /// It is no place of this provider's kind.
    NotMine,
    /// It would be, but cannot be frozen.
    Cannot(ShadowError),
    /// It can be frozen: the place's top first, then what else must be put into it.
    Can(Vec<Piece>),
}

/// What is heeded and told while copies are made.
#[derive(Clone, Copy)]
pub struct Meanwhile<'a> {
    /// Whether the user asked to stop.
    pub is_stopped: &'a dyn Fn() -> bool,
    /// Hears why something takes long.
    pub tell: &'a dyn Fn(&str),
}

impl Meanwhile<'_> {
    /// Nobody asks to stop, and nobody listens.
    pub const ALONE: Meanwhile<'static> = Meanwhile { is_stopped: &|| false, tell: &|_| {} };
}

impl Debug for Meanwhile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meanwhile").finish_non_exhaustive()
    }
}

/// Something that freezes volumes: Btrfs, LVM, ZFS, VSS, and a scripted one for tests.
///
/// Called from one thread at a time, but for [`ShadowProvider::check`].
pub trait ShadowProvider: Send + Sync + Debug {
    /// Returns its name: one word, as in records and reports.
    fn name(&self) -> &'static str;

    /// Looks at a place. `wants` tells of a folder below the place's source whether what is in it is to be read.
    fn look(&self, place: &Place, wants: &dyn Fn(&Path) -> bool) -> Answer;

    /// Freezes volumes, all in one step where it can, in the given order where it cannot; returns where each of them
    /// can be read from. They are on record before: whatever was made when this fails, or the process dies, is removed
    /// with [`ShadowProvider::remove`].
    ///
    /// # Errors
    /// One of them cannot be frozen.
    fn create(&self, copies: &[Copy], meanwhile: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError>;

    /// Takes what is to be told of the last creation although it did what it should.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Notes in a volume, once all copies of it were made, that a [`ShadowProvider::remove`] has nothing to undo beside
    /// them; returns whether anything was noted.
    fn settle(&self, _volume: &mut Volume) -> bool {
        false
    }

    /// Lets go of all that is needed only to make views and to remove copies.
    fn rest(&self) {}

    /// Takes what programs declared at the last creation that no backup should have.
    fn exclusions(&self) -> Vec<SystemExclusion> {
        Vec::new()
    }

    /// Chooses a drive letter for a copy whose root is at this path, and writes it into the copy, for the record.
    ///
    /// # Errors
    /// There is none to be had.
    fn choose_letter(&self, _copy: &mut Copy, _root: &Path) -> Result<(), ShadowError> {
        Err(ShadowError::refused("there are no drive letters here", "leave out --drive"))
    }

    /// Gives a copy the letter that was chosen, until it is removed; returns the path of its root.
    ///
    /// # Errors
    /// It cannot have it.
    fn give_letter(&self, copy: &Copy) -> Result<PathBuf, ShadowError> {
        Err(ShadowError::refused(format!("{} gets no drive letter here", copy.volume.shown), "leave out --drive"))
    }

    /// Tells whether a shadow copy is still good. Called from another thread than the rest, while that reads.
    ///
    /// # Errors
    /// [`ShadowError::Lost`].
    fn check(&self, copy: &Copy) -> Result<(), ShadowError>;

    /// As [`ShadowProvider::check`], before all that was read is trusted for good: that nobody can tell is no good answer.
    ///
    /// # Errors
    /// [`ShadowError::Lost`].
    fn check_last(&self, copy: &Copy) -> Result<(), ShadowError> {
        self.check(copy)
    }

    /// Removes a shadow copy; it is no error where there is none.
    ///
    /// # Errors
    /// It is there and cannot be removed, or nobody can tell.
    fn remove(&self, copy: &Copy) -> Result<(), ShadowError>;
}
