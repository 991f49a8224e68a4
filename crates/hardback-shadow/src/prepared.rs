//! What is to be frozen: looked at, and nothing was made yet.

use crate::error::ShadowError;
use crate::machine::Request;
use crate::provider::{Answer, Copy, Meanwhile, Mode, NAME_PREFIX, Piece, Place, Read, ShadowProvider, Volume};
use crate::record::Record;
use crate::set::{ShadowSet, Shadows};
use hardback_platform::Time;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds of file systems that are the kernel's own: what is in them is read as it is, and nobody need be told.
const OF_KERNEL: &[&str] = &[
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// File systems in memory: below a source they are read as they are, as a shadow copy of a disk is what was asked for.
const IN_MEMORY: &[&str] = &["devtmpfs", "ramfs", "tmpfs"];

/// How often volumes are frozen anew because others came into being below a source meanwhile.
const ATTEMPTS: usize = 3;

/// What is to be frozen: looked at, and nothing was made yet.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(crate) shadows: &'a Shadows,
    pub(crate) request: &'a Request<'a>,
    pub(crate) places: Vec<Looked>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) id: String,
    pub(crate) live: Vec<Live>,
    pub(crate) meanwhile: Meanwhile<'a>,
}

/// A place, and what is done about it.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) place: Place,
    /// Its parts: below it, and where they are read from. `None`: all of it is read live.
    pub(crate) parts: Option<Vec<(PathBuf, From)>>,
}

#[derive(Debug, Clone)]
pub(crate) enum From {
    /// A copy by its number, and the path in it.
    Copy(usize, PathBuf),
    Live,
}

/// A part of a source that was wanted from a shadow copy and is read live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub path: PathBuf,
    /// Why there is no shadow copy of it.
    pub why: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Live {
    pub(crate) fn of(place: &Place, error: &ShadowError) -> Self {
        Self { path: place.path.clone(), ..Self::of_error(error) }
    }

    pub(crate) fn of_error(error: &ShadowError) -> Self {
        Self { path: PathBuf::new(), why: error.in_a_line(), hint: error.hint() }
    }

    /// Returns the error for those who want a shadow copy or nothing.
    pub fn refusal(&self) -> ShadowError {
        ShadowError::Refused {
            message: format!("no shadow copy can be made of {}: {}", self.path.display(), self.why),
            hint: self.hint.clone(),
        }
    }
}

impl<'a> Prepared<'a> {
    pub(crate) fn look(&mut self, place: Place, wants: &dyn Fn(&Path) -> bool) {
        let is_below = !place.below.as_os_str().is_empty();
        let is_in_memory = is_of_kernel(&place) || (is_below && is_in_memory(&place));
        if !place.is_wanted || place.volume.is_read_only || is_in_memory {
            self.places.push(Looked { place, parts: None });
            return;
        }
        let parts = match self.answer(&place, wants) {
            Ok(pieces) => {
                let part = |piece: Piece| {
                    let from = match piece.read {
                        Read::Live => From::Live,
                        Read::Frozen { volume, inside } => From::Copy(self.copy_of(volume), inside),
                    };
                    (piece.below, from)
                };
                Some(pieces.into_iter().map(part).collect())
            }
            Err(error) => {
                self.live.push(Live::of(&place, &error));
                None
            }
        };
        self.places.push(Looked { place, parts });
    }

    /// Returns what a provider can freeze of a place, or why none can.
    fn answer(&self, place: &Place, wants: &dyn Fn(&Path) -> bool) -> Result<Vec<Piece>, ShadowError> {
        if place.is_file {
            return Err(ShadowError::refused("a single file is mounted there", "leave it out with --exclude"));
        }
        if place.volume.is_idmapped {
            let hint = "name a path on a mount that maps no users";
            return Err(ShadowError::refused("its mount shows other users than the disk has", hint));
        }
        let mut answers = self.shadows.providers.iter().map(|provider| provider.look(place, wants));
        match answers.find(|answer| !matches!(answer, Answer::NotMine)) {
            Some(Answer::Can(pieces)) => Ok(pieces),
            Some(Answer::Cannot(error)) => Err(error),
            Some(Answer::NotMine) | None => Err(no_provider(place, &self.shadows.providers)),
        }
    }

    /// Returns the number of the copy of a volume: each is frozen once.
    fn copy_of(&mut self, volume: Volume) -> usize {
        if let Some(at) = self.copies.iter().position(|copy| copy.volume == volume) {
            return at;
        }
        let at = self.copies.len();
        self.copies.push(Copy { name: format!("{NAME_PREFIX}{}-{at}", self.id), volume });
        at
    }

    /// Heeds and tells this while copies are made.
    pub fn heeding(self, meanwhile: Meanwhile<'a>) -> Self {
        Self { meanwhile, ..self }
    }

    /// Returns whether anything would be frozen.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Returns what is read live although it was not to be.
    pub fn live(&self) -> &[Live] {
        &self.live
    }

    /// Freezes the volumes and makes the views. `now` is the time for the report. What came into being since this was
    /// prepared, and would be an empty folder in a view, is frozen with another attempt.
    ///
    /// # Errors
    /// No record can be written, or a view cannot be made; with [`Mode::Always`] also when a volume cannot be frozen.
    /// Whatever was made is removed again.
    pub fn freeze(self, mode: Mode, purpose: &str, now: &dyn Fn() -> Time) -> Result<ShadowSet, ShadowError> {
        let (shadows, request, meanwhile) = (self.shadows, self.request, self.meanwhile);
        let mut prepared = self;
        for attempt in 1.. {
            let (was_for, is_last) = (prepared.outline(), attempt == ATTEMPTS);
            let result = prepared.freeze_once(mode, purpose, now);
            if matches!(&result, Ok(set) if set.report.made.is_empty()) {
                return result;
            }
            let again = shadows.prepare(request, mode)?;
            let missed = match &result {
                Ok(set) => set.missed(&was_for, &again),
                Err(_) if again.outline() != was_for => Some(PathBuf::new()),
                Err(_) => None,
            };
            match (missed, result) {
                (None, result) => return result,
                (Some(_), Err(error)) if is_last => return Err(error),
                (Some(path), Ok(set)) if is_last => {
                    drop(set.release());
                    return Err(ShadowError::refused(
                        format!("volumes come into being all the time, such as {}", path.display()),
                        "leave them out with --exclude, or try again when it is quiet",
                    ));
                }
                (Some(_), result) => drop(result.map(ShadowSet::release)),
            }
            shadows.refresh();
            prepared = again.heeding(meanwhile);
        }
        unreachable!("the last attempt returns")
    }

    /// Returns what there is, without the names that it would get: of each place its parts.
    pub(crate) fn outline(&self) -> Vec<(usize, PathBuf, Vec<PathBuf>)> {
        let of = |looked: &Looked| {
            let parts = looked.parts.iter().flatten().map(|(below, _)| below.clone()).collect();
            (looked.place.source, looked.place.below.clone(), parts)
        };
        self.places.iter().map(of).collect()
    }

    fn freeze_once(self, mode: Mode, purpose: &str, now: &dyn Fn() -> Time) -> Result<ShadowSet, ShadowError> {
        let Self { shadows, request, places, copies, id, live, meanwhile } = self;
        let sources = places.iter().map(|looked| looked.place.source + 1).max().unwrap_or(0);
        let mut set = ShadowSet::of_nothing(shadows, sources, request.shows_unwanted, live);
        let in_memory = places.iter().map(|looked| &looked.place).filter(|place| place.is_wanted);
        let in_memory = in_memory.filter(|place| is_in_memory(place) && !is_of_kernel(place));
        set.report.in_memory = in_memory.map(|place| place.path.clone()).collect();
        if copies.is_empty() {
            return Ok(set);
        }
        let frozen = now();
        let created_s = frozen.seconds;
        let (boot_id, purpose) = (shadows.machine.boot_id(), purpose.to_owned());
        let record = Record { id, boot_id, pid: std::process::id(), created_s, purpose, copies: copies.clone() };
        let filled = shadows.records.begin(record).and_then(|owned| {
            set.owned = Some(owned);
            set.fill(&places, &copies, mode, &meanwhile)
        });
        match filled {
            Ok(()) => {
                set.report.frozen = (!set.report.made.is_empty()).then_some(frozen);
                Ok(set)
            }
            Err(error) if mode == Mode::Always || matches!(error, ShadowError::Interrupted) => {
                // The error of the copy is what the user must hear of; what is left over is swept by the next run.
                drop(set.release());
                Err(error)
            }
            Err(error) => {
                set.views.fill(None);
                set.report.made.clear();
                let is_new = |place: &Place| !set.report.live.iter().any(|live| live.path == place.path);
                let wanted = places.iter().filter(|looked| looked.parts.is_some()).map(|looked| &looked.place);
                let more: Vec<Live> = wanted.filter(|p| is_new(p)).map(|place| Live::of(place, &error)).collect();
                set.report.live.extend(more);
                Ok(set)
            }
        }
    }
}

/// Returns whether a place is on a file system of the kernel's own.
pub(crate) fn is_of_kernel(place: &Place) -> bool {
    OF_KERNEL.contains(&place.volume.file_system.as_str())
}

/// Returns whether a place is on no disk.
pub(crate) fn is_in_memory(place: &Place) -> bool {
    is_of_kernel(place) || IN_MEMORY.contains(&place.volume.file_system.as_str())
}

fn no_provider(place: &Place, providers: &[Arc<dyn ShadowProvider>]) -> ShadowError {
    let names: Vec<&str> = providers.iter().map(|provider| provider.name()).collect();
    let known = match names.is_empty() {
        true => "none can be made on this system".to_owned(),
        false => format!("they can be made with {}", names.join(", ")),
    };
    let kind = match place.volume.file_system.as_str() {
        "" => String::new(),
        kind => format!(" ({kind})"),
    };
    let device = place.volume.device.display();
    let stay_out = match place.below.as_os_str().is_empty() {
        true => "",
        false => "leave this folder out (--exclude of backup, --one-file-system of with-shadow), or ",
    };
    ShadowError::Refused {
        message: format!("its volume {device}{kind} has none"),
        hint: Some(format!("{known}; {stay_out}use --shadow never to read the live files, which may change meanwhile")),
    }
}
