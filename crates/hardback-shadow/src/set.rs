//! A set of shadow copies: all volumes of a job, frozen as close together as can be, held until it is released.

use crate::error::ShadowError;
use crate::machine::{Graft, Machine, Request, ViewPlan};
use crate::provider::{Answer, Copy, Mode, NAME_PREFIX, Place, Read, ShadowProvider, Volume};
use crate::record::{self, Owned, Record, Records};
use hardback_platform::{Dir, PathError, Seam, Time};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

/// Kinds of file systems that have nothing on a disk: what is in them is read as it is, and nobody need be told.
const IN_MEMORY: &[&str] = &[
    "autofs",
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
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// What makes shadow copies on this computer.
#[derive(Debug, Clone)]
pub struct Shadows {
    machine: Arc<dyn Machine>,
    providers: Vec<Arc<dyn ShadowProvider>>,
    records: Records,
}

/// What is to be frozen: looked at, and nothing was made yet.
#[derive(Debug)]
pub struct Prepared<'a> {
    shadows: &'a Shadows,
    places: Vec<Looked>,
    copies: Vec<Copy>,
    id: String,
    live: Vec<Live>,
}

/// A place, and what is done about it.
#[derive(Debug)]
struct Looked {
    place: Place,
    /// Its parts: below it, and where they are read from. `None`: all of it is read live.
    parts: Option<Vec<(PathBuf, From)>>,
}

#[derive(Debug, Clone)]
enum From {
    /// A copy by its number, and the path in it.
    Copy(usize, PathBuf),
    Live,
}

/// A shadow copy in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its name on the volume.
    pub name: String,
    /// Who made it.
    pub provider: String,
    /// What it is of, for people.
    pub volume: String,
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

/// What was frozen.
#[derive(Debug, Clone, Default)]
pub struct ShadowReport {
    /// The copies, in the order in which they were made.
    pub made: Vec<Made>,
    /// Nanoseconds from before the first to after the last.
    pub spread_ns: u64,
    /// When the first was made; what was changed since may not be in it.
    pub frozen: Option<Time>,
    /// What is read live although it was not to be.
    pub live: Vec<Live>,
}

/// A set that is held.
#[derive(Debug)]
pub struct ShadowSet {
    shadows: Shadows,
    owned: Option<Owned>,
    made: Vec<Copy>,
    views: Vec<Option<PathBuf>>,
    paths: Vec<PathBuf>,
    report: ShadowReport,
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Copies that were removed, or were not there any more.
    pub removed: Vec<Copy>,
    /// What could not be removed and stays on record.
    pub failed: Vec<(Copy, ShadowError)>,
    /// Records that cannot be read.
    pub unread: Vec<ShadowError>,
}

impl Shadows {
    /// Puts the parts together. The providers are asked in their order.
    pub fn new(machine: Arc<dyn Machine>, providers: Vec<Arc<dyn ShadowProvider>>, records: PathBuf) -> Self {
        Self { machine, providers, records: Records::new(records) }
    }

    /// Returns the records of what was begun.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns which start of the computer this is.
    pub fn boot_id(&self) -> String {
        self.machine.boot_id()
    }

    /// Removes the copies of runs that did not come to their end. What is not on record, or is in use, is left alone.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn sweep(&self) -> Result<Swept, ShadowError> {
        let (owned, unread) = self.records.take_over()?;
        let mut swept = Swept { unread, ..Swept::default() };
        for owned in owned {
            let copies = owned.record.copies.clone();
            let failed = self.remove_all(owned);
            let is_failed = |copy: &Copy| failed.iter().any(|(other, _)| other == copy);
            swept.removed.extend(copies.into_iter().filter(|copy| !is_failed(copy)));
            swept.failed.extend(failed);
        }
        self.machine.dismantle()?;
        Ok(swept)
    }

    /// Removes all copies of a record, and the record with the last; those that stay are still on record.
    fn remove_all(&self, mut owned: Owned) -> Vec<(Copy, ShadowError)> {
        let mut failed = Vec::new();
        // The last one first: what lies in another volume goes before that.
        for copy in owned.record.copies.iter().rev() {
            if let Err(error) = self.remove(copy) {
                failed.push((copy.clone(), error));
            }
        }
        owned.record.copies = failed.iter().rev().map(|(copy, _)| copy.clone()).collect();
        // If the record stays as it was, the next sweep finds nothing to remove, and ends it.
        match failed.is_empty() {
            true => drop(owned.end()),
            false => drop(owned.write()),
        }
        failed
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        let provider = self.providers.iter().find(|provider| provider.name() == copy.volume.provider);
        let provider = provider.ok_or_else(|| {
            let message = format!("{} shadow copies are not known here", copy.volume.provider);
            ShadowError::refused(
                message,
                "it was made by another version of hardback; use that one, or remove it by hand",
            )
        })?;
        provider.remove(copy)
    }

    /// Looks what would be frozen, and how. Nothing is made yet.
    ///
    /// # Errors
    /// A source cannot be looked at; with [`Mode::Always`] also when a part of one cannot be frozen.
    pub fn prepare(&self, request: &Request<'_>, mode: Mode) -> Result<Prepared<'_>, ShadowError> {
        let mut prepared =
            Prepared { shadows: self, places: Vec::new(), copies: Vec::new(), id: record::new_id()?, live: Vec::new() };
        let places = match self.machine.survey(request) {
            Err(error) if mode != Mode::Always && !matches!(error, ShadowError::Interrupted) => {
                let live = |path: &PathBuf| Live { path: path.clone(), ..Live::of_error(&error) };
                prepared.live = request.sources.iter().map(live).collect();
                return Ok(prepared);
            }
            other => other?,
        };
        for place in places {
            let source = place.source;
            prepared.look(place, &|below| (request.wants)(source, below));
        }
        if mode == Mode::Always
            && let Some(live) = prepared.live.first()
        {
            return Err(live.refusal());
        }
        Ok(prepared)
    }
}

impl Live {
    fn of(place: &Place, error: &ShadowError) -> Self {
        Self { path: place.path.clone(), ..Self::of_error(error) }
    }

    fn of_error(error: &ShadowError) -> Self {
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

impl Prepared<'_> {
    fn look(&mut self, place: Place, wants: &dyn Fn(&Path) -> bool) {
        let is_asked = place.is_wanted && !place.volume.is_read_only;
        if !is_asked || IN_MEMORY.contains(&place.volume.file_system.as_str()) {
            self.places.push(Looked { place, parts: None });
            return;
        }
        let answers = self.shadows.providers.iter().map(|provider| provider.look(&place, wants));
        let answer = answers.into_iter().find(|answer| !matches!(answer, Answer::NotMine));
        let parts = match answer {
            Some(Answer::Can(pieces)) => {
                let part = |piece: crate::provider::Piece| {
                    let from = match piece.read {
                        Read::Live => From::Live,
                        Read::Frozen { volume, inside } => From::Copy(self.copy_of(volume), inside),
                    };
                    (piece.below, from)
                };
                Some(pieces.into_iter().map(part).collect())
            }
            Some(Answer::Cannot(error)) => {
                self.live.push(Live::of(&place, &error));
                None
            }
            Some(Answer::NotMine) | None => {
                self.live.push(Live::of(&place, &no_provider(&place, &self.shadows.providers)));
                None
            }
        };
        self.places.push(Looked { place, parts });
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

    /// Returns whether anything would be frozen.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Returns what is read live although it was not to be.
    pub fn live(&self) -> &[Live] {
        &self.live
    }

    /// Freezes the volumes and makes the views. `now` is the time for the report.
    ///
    /// # Errors
    /// No record can be written, or a view cannot be made; with [`Mode::Always`] also when a volume cannot be frozen.
    /// Whatever was made is removed again.
    pub fn freeze(self, mode: Mode, purpose: &str, now: &dyn Fn() -> Time) -> Result<ShadowSet, ShadowError> {
        let Self { shadows, places, copies, id, live } = self;
        let sources = places.iter().map(|looked| looked.place.source + 1).max().unwrap_or(0);
        let mut set = ShadowSet {
            shadows: shadows.clone(),
            owned: None,
            made: Vec::new(),
            views: vec![None; sources],
            paths: Vec::new(),
            report: ShadowReport { live, ..ShadowReport::default() },
        };
        if copies.is_empty() {
            return Ok(set);
        }
        let frozen = now();
        let created_s = frozen.seconds;
        let (boot_id, purpose) = (shadows.machine.boot_id(), purpose.to_owned());
        let record = Record { id, boot_id, pid: std::process::id(), created_s, purpose, copies: copies.clone() };
        let filled = shadows.records.begin(record).and_then(|owned| {
            set.owned = Some(owned);
            set.fill(&places, &copies, mode)
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
        false => "leave it out with --exclude (of backup) or --one-file-system, or ",
    };
    ShadowError::Refused {
        message: format!("its volume {device}{kind} has none"),
        hint: Some(format!("{known}; {stay_out}use --shadow never to read the live files, which may change meanwhile")),
    }
}

impl ShadowSet {
    /// Makes the copies and the views.
    fn fill(&mut self, places: &[Looked], copies: &[Copy], mode: Mode) -> Result<(), ShadowError> {
        let began = hardback_platform::monotonic_now();
        let paths = self.create(copies, mode)?;
        self.report.spread_ns = hardback_platform::monotonic_now().saturating_sub(began);
        let lost = |from: &From| matches!(from, From::Copy(at, _) if paths[*at].is_err());
        let mut plans: Vec<ViewPlan> = Vec::new();
        for (source, _) in self.views.iter().enumerate() {
            let of_source = || places.iter().filter(|looked| looked.place.source == source);
            let has_frozen = of_source().any(|l| {
                l.parts.iter().flatten().any(|(_, from)| matches!(from, From::Copy(at, _) if paths[*at].is_ok()))
            });
            if !has_frozen {
                continue;
            }
            let mut parts: Vec<Graft> = Vec::new();
            for Looked { place, parts: of_place } in of_source() {
                let Some(of_place) = of_place.as_ref().filter(|p| !p.iter().any(|(_, from)| lost(from))) else {
                    let (below, from) = (place.below.clone(), place.path.clone());
                    parts.push(Graft { below, from, is_wanted: place.is_wanted });
                    continue;
                };
                for (below, from) in of_place {
                    let is_wanted = matches!(from, From::Copy(..));
                    let from = match from {
                        From::Live => place.path.join(below),
                        From::Copy(at, inside) => {
                            let top = paths[*at].as_ref().map_err(|_| ShadowError::Interrupted)?;
                            if inside.as_os_str().is_empty() { top.clone() } else { top.join(inside) }
                        }
                    };
                    let below =
                        if below.as_os_str().is_empty() { place.below.clone() } else { place.below.join(below) };
                    parts.push(Graft { below, from, is_wanted });
                }
            }
            // Those above first: a mount hides what is mounted below it before.
            parts.sort_by_key(|part| part.below.components().count());
            let top = parts.remove(0).from;
            plans.push(ViewPlan { source, top, grafts: parts });
        }
        self.tell_lost(places, &paths, mode)?;
        let views = self.shadows.machine.assemble(&plans)?;
        for (plan, view) in plans.iter().zip(views) {
            self.views[plan.source] = Some(view);
        }
        let tops = places.iter().filter(|looked| looked.place.below.as_os_str().is_empty());
        self.paths = tops.map(|looked| looked.place.path.clone()).collect();
        Ok(())
    }

    /// Makes the copies, provider by provider; of each the path, or why there is none.
    fn create(&mut self, copies: &[Copy], mode: Mode) -> Result<Vec<Result<PathBuf, Live>>, ShadowError> {
        let mut paths: Vec<Option<Result<PathBuf, Live>>> = vec![None; copies.len()];
        for provider in self.shadows.providers.clone() {
            let is_of = |copy: &Copy| copy.volume.provider == provider.name();
            let numbers: Vec<usize> = (0..copies.len()).filter(|at| is_of(&copies[*at])).collect();
            let of_provider: Vec<Copy> = numbers.iter().map(|at| copies[*at].clone()).collect();
            if of_provider.is_empty() {
                continue;
            }
            let made = match provider.create(&of_provider) {
                Err(error) if mode == Mode::Always || matches!(error, ShadowError::Interrupted) => return Err(error),
                Ok(made) => made.into_iter().map(Ok).collect(),
                // Those that can be frozen are, one by one.
                Err(_) => of_provider.iter().map(|copy| self.create_alone(provider.as_ref(), copy)).collect::<Vec<_>>(),
            };
            for ((at, made), copy) in numbers.iter().zip(made).zip(&of_provider) {
                if made.is_ok() {
                    let (volume, provider) = (copy.volume.shown.clone(), provider.name().to_owned());
                    self.report.made.push(Made { name: copy.name.clone(), provider, volume });
                    self.made.push(copy.clone());
                }
                paths[*at] = Some(made);
            }
        }
        let unknown = || Live { path: PathBuf::new(), why: "nobody made it".into(), hint: None };
        Ok(paths.into_iter().map(|path| path.unwrap_or_else(|| Err(unknown()))).collect())
    }

    /// Makes one copy where those of its provider could not be made together.
    fn create_alone(&self, provider: &dyn ShadowProvider, copy: &Copy) -> Result<PathBuf, Live> {
        // It may be there from the first attempt, or only half: it is on record, and goes when the set goes.
        let create = || {
            provider.remove(copy)?;
            provider.create(std::slice::from_ref(copy))
        };
        match create() {
            Ok(mut made) if made.len() == 1 => Ok(made.remove(0)),
            Ok(_) => Err(Live { path: PathBuf::new(), why: "nobody made it".into(), hint: None }),
            Err(error) => Err(Live::of_error(&error)),
        }
    }

    /// Notes the places of which no copy could be made.
    fn tell_lost(&mut self, places: &[Looked], paths: &[Result<PathBuf, Live>], mode: Mode) -> Result<(), ShadowError> {
        for looked in places {
            let lost = looked.parts.iter().flatten().find_map(|(_, from)| match from {
                From::Copy(at, _) => paths[*at].as_ref().err(),
                From::Live => None,
            });
            if let Some(lost) = lost {
                self.report.live.push(Live { path: looked.place.path.clone(), ..lost.clone() });
            }
        }
        match self.report.live.first() {
            Some(live) if mode == Mode::Always => Err(live.refusal()),
            _ => Ok(()),
        }
    }

    /// Returns what was frozen.
    pub fn report(&self) -> &ShadowReport {
        &self.report
    }

    /// Returns the path of a source's view, as programs see it that are started by [`ShadowSet::spawn`]; `None` where
    /// all of the source is read live.
    pub fn view(&self, source: usize) -> Option<&Path> {
        self.views.get(source)?.as_deref()
    }

    /// Opens the top of a source's view; `None` where all of the source is read live.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn open(&self, source: usize, seam: &Seam) -> Option<Result<Dir, PathError>> {
        self.view(source).map(|view| self.shadows.machine.open(view, seam.clone()))
    }

    /// Shows the views in the place of what they are views of, to programs that are started from now on.
    ///
    /// # Errors
    /// They cannot be shown there.
    pub fn show_in_place(&self) -> Result<(), ShadowError> {
        let views = self.paths.iter().zip(&self.views);
        let views = views.filter_map(|(path, view)| Some((path.clone(), view.clone()?)));
        self.shadows.machine.show_in_place(&views.collect::<Vec<_>>())
    }

    /// Starts a program that sees the views. Should this process be killed, the set is in use as long as it runs.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: Command) -> std::io::Result<Child> {
        let hold = |hold| self.owned.as_ref().map_or(Ok(()), |owned| owned.let_children_hold(hold));
        hold(true)?;
        let child = self.shadows.machine.spawn(command);
        hold(false)?;
        child
    }

    /// Tells whether all copies are still good. What was read from one that is not cannot be trusted.
    ///
    /// # Errors
    /// [`ShadowError::Lost`].
    pub fn check(&self) -> Result<(), ShadowError> {
        for copy in &self.made {
            let providers = &self.shadows.providers;
            if let Some(provider) = providers.iter().find(|provider| provider.name() == copy.volume.provider) {
                provider.check(copy)?;
            }
        }
        Ok(())
    }

    /// Takes the views apart and removes the copies. Handles in the views must be closed before.
    ///
    /// Returns what could not be removed: it stays on record, and the next run tries again.
    pub fn release(mut self) -> Vec<(Copy, ShadowError)> {
        self.release_all()
    }

    fn release_all(&mut self) -> Vec<(Copy, ShadowError)> {
        let Some(owned) = self.owned.take() else { return Vec::new() };
        let dismantled = self.shadows.machine.dismantle();
        let mut failed = self.shadows.remove_all(owned);
        if let (Err(error), Some((_, first))) = (dismantled, failed.first_mut()) {
            // What is still mounted is why it cannot be removed.
            *first = error;
        }
        failed
    }
}

impl Drop for ShadowSet {
    /// The last resort: whoever has a set releases it, and hears what became of that.
    fn drop(&mut self) {
        self.release_all();
    }
}
