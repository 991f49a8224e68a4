//! The Volume Shadow Copy Service of Windows (VSS).
//!
//! The calls are behind a seam ([`calls`]), so that their order, the errors, the time limits and the way out are plain
//! Rust ([`session`]) that is tested on every system. All volumes of a job are one set: one point in time. The copies
//! belong to the process (`VSS_CTX_BACKUP`): Windows releases them when it ends, however it ends, so the records of the
//! crate need not know more of them than that they were made.

mod calls;
pub(crate) mod codes;
mod letters;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
pub(crate) mod scripted;
pub(crate) mod session;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod time;
mod watched;
mod worker;
mod writers;

#[cfg(windows)]
pub(crate) use calls::{Called, Components, FilesOfWriter, Id, Library, Metadata, Operation, WriterStatus};
#[cfg(windows)]
pub(crate) use codes::Code;
#[cfg(windows)]
pub(crate) use letters::{Letters, Logon};
#[cfg(windows)]
pub(crate) use session::{Failure, Limits};
#[cfg(windows)]
pub(crate) use time::RealTime;
#[cfg(windows)]
pub(crate) use worker::Tools;

use crate::error::ShadowError;
use crate::exclusions::SystemExclusion;
use crate::provider::{Answer, Copy, Meanwhile, Piece, Place, Read, ShadowProvider, Volume};
use codes::NOT_ELEVATED_HINT;
use session::VOLUMES_MAX;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(not(windows))]
use worker::Tools;
use worker::Worker;

/// What the machine says instead of a file system's name of what is on a server.
pub(crate) const NETWORK: &str = "network share";

/// What the machine says instead of a file system's name of what the mount manager does not know.
pub(crate) const UNMANAGED: &str = "volume that Windows does not manage";

/// The field of a volume with its name for the system: `\\?\Volume{…}\`.
const VOLUME: &str = "volume";

/// The provider.
pub(crate) struct Vss {
    tools: Tools,
    is_privileged: fn() -> bool,
    held: Mutex<Vec<Held>>,
    warnings: Mutex<Vec<String>>,
    exclusions: Mutex<Vec<SystemExclusion>>,
    failed: Mutex<Option<Failed>>,
}

/// A set, and which copies in it are not removed yet: names, and their places among the volumes.
#[derive(Debug)]
struct Held {
    names: Vec<(String, usize)>,
    worker: Worker,
}

/// Copies that could not be made together.
#[derive(Debug)]
struct Failed {
    names: Vec<String>,
    refusal: Refusal,
    /// How many attempts each of them is worth alone.
    attempts_alone: u32,
}

/// An error that can be told once more.
#[derive(Debug)]
struct Refusal {
    message: String,
    hint: Option<String>,
}

impl std::fmt::Debug for Vss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vss").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Vss {
    /// Makes copies with these tools; `is_privileged` tells whether this process may.
    pub(crate) fn new(tools: Tools, is_privileged: fn() -> bool) -> Self {
        Self {
            tools,
            is_privileged,
            held: Mutex::default(),
            warnings: Mutex::default(),
            exclusions: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Asks whether a copy is still good, perhaps for the last time.
    fn ask(&self, copy: &Copy, last: bool) -> Result<(), ShadowError> {
        let all = held(&self.held);
        let of = |held: &Held| held.names.iter().find(|(name, _)| *name == copy.name).map(|(_, number)| *number);
        let found = all.iter().find_map(|held| of(held).map(|number| (held, number)));
        let Some((held, number)) = found else { return Ok(()) };
        held.worker.check(number, last).map_err(|why| ShadowError::Lost {
            volume: copy.volume.shown.clone(),
            why,
            hint: Some(
                "Windows drops shadow copies when their room runs out: see `vssadmin list shadowstorage`".into(),
            ),
        })
    }
}

/// Returns what a lock holds; what is behind these locks is whole at any time.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds what is not there yet: where volumes are frozen one by one, the same writers say the same each time.
fn add_new<T: PartialEq>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

impl ShadowProvider for Vss {
    fn name(&self) -> &'static str {
        "vss"
    }

    fn look(&self, place: &Place, _wants: &dyn Fn(&Path) -> bool) -> Answer {
        let kind = place.volume.file_system.as_str();
        if kind == NETWORK {
            return Answer::Cannot(ShadowError::refused(
                "it is on a network share, of which this computer can make no shadow copy",
                "run hardback on the computer that has the disk, or use --shadow never to read the live files",
            ));
        }
        if kind == UNMANAGED {
            return Answer::Cannot(ShadowError::refused(
                "its volume is not known to Windows' mount manager (a disk in memory, or one that a program plays), and \
                 so has no shadow copies",
                "use --shadow never to read the live files, or --shadow when-available to freeze what else there is",
            ));
        }
        if kind.to_ascii_uppercase().contains("FAT") {
            return Answer::Cannot(ShadowError::refused(
                format!("Windows makes no shadow copies of {kind} volumes"),
                "use NTFS for what is to be frozen, or --shadow never to read the live files",
            ));
        }
        if !(self.is_privileged)() {
            return Answer::Cannot(ShadowError::refused(
                "making shadow copies needs an administrator, and hardback does not run as one",
                NOT_ELEVATED_HINT,
            ));
        }
        let Some(name) = place.volume.device.to_str() else { return Answer::NotMine };
        let fields = BTreeMap::from([(VOLUME.to_owned(), name.to_owned())]);
        let shown = format!("volume {}", mount_point(place).display());
        let volume = Volume { provider: self.name().into(), shown, fields };
        let inside = place.volume.inside.clone();
        Answer::Can(vec![Piece { below: PathBuf::new(), read: Read::Frozen { volume, inside } }])
    }

    fn create(&self, copies: &[Copy], meanwhile: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
        let names: Vec<String> = copies.iter().map(|copy| copy.name.clone()).collect();
        // All attempts that the error is worth were made when the same copies were asked for together.
        if let Some(failed) = held(&self.failed).take_if(|failed| failed.names == names) {
            let Refusal { message, hint } = failed.refusal;
            return Err(ShadowError::Refused { message, hint });
        }
        let is_part = |failed: &Failed| names.iter().all(|name| failed.names.contains(name));
        let mut tools = self.tools.clone();
        let is_behind = match held(&self.failed).as_ref().filter(|failed| is_part(failed)) {
            Some(Failed { attempts_alone: 0, refusal: Refusal { message, hint }, .. }) => {
                return Err(ShadowError::Refused { message: message.clone(), hint: hint.clone() });
            }
            Some(failed) => {
                tools.limits.attempts = failed.attempts_alone;
                true
            }
            None => false,
        };
        let shown: Vec<String> = copies.iter().map(|copy| copy.volume.shown.clone()).collect();
        let volumes = copies.iter().map(|copy| copy.volume.field(VOLUME).map(str::to_owned));
        let volumes = volumes.collect::<Result<Vec<_>, _>>()?;
        // One that is mounted in two places is frozen once.
        let mut unique: Vec<String> = Vec::new();
        for volume in &volumes {
            if !unique.contains(volume) {
                unique.push(volume.clone());
            }
        }
        let numbers = volumes.iter().map(|volume| unique.iter().position(|other| other == volume).unwrap_or_default());
        let numbers: Vec<usize> = numbers.collect();
        match Worker::start(&tools, unique, meanwhile) {
            Ok((worker, frozen)) => {
                let names = names.into_iter().zip(numbers.iter().copied()).collect();
                held(&self.held).push(Held { names, worker });
                add_new(&mut held(&self.warnings), frozen.failed_writers.iter().map(ToString::to_string));
                add_new(&mut held(&self.exclusions), frozen.exclusions);
                // The root folder of a device is at its `\`; without that it is the device itself.
                let root =
                    |number: &usize| frozen.devices.get(*number).map(|device| PathBuf::from(format!(r"{device}\")));
                Ok(numbers.iter().filter_map(root).collect())
            }
            Err(failure) => {
                let attempts_alone = failure.attempts_alone();
                let error = failure.into_error(&shown);
                // Of those that failed together, the others are asked for behind this one.
                if let (ShadowError::Refused { message, hint }, false) = (&error, is_behind) {
                    let refusal = Refusal { message: message.clone(), hint: hint.clone() };
                    *held(&self.failed) = Some(Failed { names, refusal, attempts_alone });
                }
                Err(error)
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *held(&self.warnings))
    }

    fn exclusions(&self) -> Vec<SystemExclusion> {
        std::mem::take(&mut *held(&self.exclusions))
    }

    fn choose_letter(&self, copy: &mut Copy, root: &Path) -> Result<(), ShadowError> {
        letters::choose(&*self.tools.letters, copy, root)
    }

    fn give_letter(&self, copy: &Copy) -> Result<PathBuf, ShadowError> {
        letters::give(&*self.tools.letters, copy)
    }

    fn check(&self, copy: &Copy) -> Result<(), ShadowError> {
        self.ask(copy, false)
    }

    fn check_last(&self, copy: &Copy) -> Result<(), ShadowError> {
        self.ask(copy, true)
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        // Nothing leads to it any more before it goes. What another process made went with that, but for its letter.
        let taken_back = letters::take_back(&*self.tools.letters, copy);
        let mut all = held(&self.held);
        for held in all.iter_mut() {
            held.names.retain(|(name, _)| *name != copy.name);
        }
        let (done, kept) = std::mem::take(&mut *all).into_iter().partition(|held| held.names.is_empty());
        *all = kept;
        drop(all);
        let done: Vec<Held> = done;
        done.into_iter().for_each(|held| held.worker.release());
        taken_back
    }
}

/// Returns where the volume of a place is mounted: the place's path without what is inside of the volume.
fn mount_point(place: &Place) -> PathBuf {
    let inside = place.volume.inside.components().count();
    place.path.ancestors().nth(inside).unwrap_or(&place.path).to_owned()
}
