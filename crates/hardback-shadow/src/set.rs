//! A set of shadow copies: all volumes of a job, frozen as close together as can be, held until it is released.

use crate::error::ShadowError;
use crate::exclusions::SystemExclusion;
use crate::machine::{Graft, Machine, Request, ViewPlan};
use crate::prepared::{From, Live, Looked, Prepared, is_in_memory, is_of_kernel};
use crate::provider::{Copy, Meanwhile, Mode, ShadowProvider};
use crate::record::{self, Owned, Records};
use hardback_platform::{Dir, PathError, Seam, Time};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

/// What makes shadow copies on this computer.
#[derive(Debug, Clone)]
pub struct Shadows {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) providers: Vec<Arc<dyn ShadowProvider>>,
    pub(crate) records: Records,
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
    /// File systems in memory below a source, which are read as they are.
    pub in_memory: Vec<PathBuf>,
    /// What is to be told of the copies although they were made.
    pub warnings: Vec<String>,
    /// What programs declared that no backup should have.
    pub exclusions: Vec<SystemExclusion>,
}

/// A set that is held.
#[derive(Debug)]
pub struct ShadowSet {
    shadows: Shadows,
    pub(crate) owned: Option<Owned>,
    made: Vec<Copy>,
    shows_unwanted: bool,
    pub(crate) views: Vec<Option<PathBuf>>,
    /// Names of the copies, and where each is read from.
    roots: Vec<(String, PathBuf)>,
    paths: Vec<PathBuf>,
    pub(crate) report: ShadowReport,
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

    /// Looks anew at what is mounted where: hooks may have mounted something. Nothing may be frozen now.
    pub fn refresh(&self) {
        self.machine.refresh();
    }

    /// Looks what would be frozen, and how. Nothing is made yet.
    ///
    /// # Errors
    /// A source cannot be looked at; with [`Mode::Always`] also when a part of one cannot be frozen.
    pub fn prepare<'a>(&'a self, request: &'a Request<'a>, mode: Mode) -> Result<Prepared<'a>, ShadowError> {
        let mut prepared = Prepared {
            shadows: self,
            request,
            places: Vec::new(),
            copies: Vec::new(),
            id: record::new_id()?,
            live: Vec::new(),
            meanwhile: Meanwhile::ALONE,
        };
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

impl ShadowSet {
    /// A set for so many sources, of which nothing is frozen.
    pub(crate) fn of_nothing(shadows: &Shadows, sources: usize, shows_unwanted: bool, live: Vec<Live>) -> Self {
        Self {
            shadows: shadows.clone(),
            owned: None,
            made: Vec::new(),
            shows_unwanted,
            views: vec![None; sources],
            roots: Vec::new(),
            paths: Vec::new(),
            report: ShadowReport { live, ..ShadowReport::default() },
        }
    }

    /// Makes the copies and the views.
    pub(crate) fn fill(
        &mut self,
        places: &[Looked],
        copies: &[Copy],
        mode: Mode,
        meanwhile: &Meanwhile<'_>,
    ) -> Result<(), ShadowError> {
        let began = hardback_platform::monotonic_now();
        // Should this process be killed, the tool that is at work makes its copy all the same: nobody sweeps before.
        let cannot = |e| ShadowError::system("let the tools hold the lock of the record", e);
        self.let_children_hold(true).map_err(cannot)?;
        let paths = self.create(copies, mode, meanwhile);
        self.let_children_hold(false).map_err(cannot)?;
        let paths = paths?;
        let made = copies.iter().zip(&paths).filter_map(|(copy, path)| Some((copy.name.clone(), path.clone().ok()?)));
        self.roots = made.collect();
        self.report.spread_ns = hardback_platform::monotonic_now().saturating_sub(began);
        let plans: Vec<ViewPlan> =
            (0..self.views.len()).filter_map(|source| self.plan(source, places, &paths)).collect();
        self.tell_lost(places, &paths, mode)?;
        let views = self.shadows.machine.assemble(&plans)?;
        // What they need beside the views themselves is nobody's business.
        self.shadows.providers.iter().for_each(|provider| provider.rest());
        for (plan, view) in plans.iter().zip(views) {
            self.views[plan.source] = Some(view);
        }
        let tops = places.iter().filter(|looked| looked.place.below.as_os_str().is_empty());
        self.paths = tops.map(|looked| looked.place.path.clone()).collect();
        Ok(())
    }

    /// Returns how the view of a source is put together; `None` where nothing of it is frozen.
    fn plan(&self, source: usize, places: &[Looked], paths: &[Result<PathBuf, Live>]) -> Option<ViewPlan> {
        let mut parts: Vec<Graft> =
            places.iter().filter(|looked| looked.place.source == source).flat_map(|l| self.grafts(l, paths)).collect();
        // Those that are read live have a number to compare, or are not wanted.
        let is_frozen = |part: &Graft| part.is_wanted && part.live.is_none();
        if !parts.iter().any(is_frozen) {
            return None;
        }
        // Those above first: a mount hides what is mounted below it before.
        parts.sort_by_key(|part| part.below.components().count());
        let Graft { from: top, flags, .. } = parts.remove(0);
        Some(ViewPlan { source, top, flags, grafts: parts })
    }

    /// Returns what of a place is put into a view: its frozen parts, or all of it as it is where one of them is lost.
    fn grafts(&self, Looked { place, parts }: &Looked, paths: &[Result<PathBuf, Live>]) -> Vec<Graft> {
        let flags = place.volume.flags.clone();
        let is_lost = |(_, from): &(PathBuf, From)| matches!(from, From::Copy(at, _) if paths[*at].is_err());
        let Some(parts) = parts.as_ref().filter(|parts| !parts.iter().any(is_lost)) else {
            if !place.is_wanted && !self.shows_unwanted && !is_of_kernel(place) {
                return Vec::new();
            }
            // What is on a disk is not to be changed through a view.
            let flags = if is_in_memory(place) { flags } else { format!("{flags},ro") };
            let (below, from, live) = (place.below.clone(), place.path.clone(), Some(place.volume.top));
            return vec![Graft { below, from, flags, is_wanted: place.is_wanted, live }];
        };
        let graft = |(within, from): &(PathBuf, From)| {
            let (from, is_wanted) = match from {
                From::Live if !self.shows_unwanted => return None,
                From::Live => (joined(&place.path, within), false),
                From::Copy(at, inside) => (joined(paths[*at].as_ref().ok()?, inside), true),
            };
            Some(Graft { below: joined(&place.below, within), from, flags: flags.clone(), is_wanted, live: None })
        };
        parts.iter().filter_map(graft).collect()
    }

    /// Makes the copies, provider by provider; of each the path, or why there is none.
    fn create(
        &mut self,
        copies: &[Copy],
        mode: Mode,
        meanwhile: &Meanwhile<'_>,
    ) -> Result<Vec<Result<PathBuf, Live>>, ShadowError> {
        let mut paths: Vec<Option<Result<PathBuf, Live>>> = vec![None; copies.len()];
        for provider in self.shadows.providers.clone() {
            let is_of = |copy: &Copy| copy.volume.provider == provider.name();
            let numbers: Vec<usize> = (0..copies.len()).filter(|at| is_of(&copies[*at])).collect();
            let of_provider: Vec<Copy> = numbers.iter().map(|at| copies[*at].clone()).collect();
            if of_provider.is_empty() {
                continue;
            }
            let made = match provider.create(&of_provider, meanwhile) {
                Err(error) if mode == Mode::Always || matches!(error, ShadowError::Interrupted) => return Err(error),
                Ok(made) => made.into_iter().map(Ok).collect(),
                // Those that can be frozen are, one by one.
                Err(_) => {
                    let alone = |copy| self.create_alone(provider.as_ref(), copy, meanwhile);
                    of_provider.iter().map(alone).collect::<Vec<_>>()
                }
            };
            for ((at, made), copy) in numbers.iter().zip(made).zip(&of_provider) {
                if made.is_ok() {
                    let (volume, provider) = (copy.volume.shown.clone(), provider.name().to_owned());
                    self.report.made.push(Made { name: copy.name.clone(), provider, volume });
                    self.made.push(copy.clone());
                }
                paths[*at] = Some(made);
            }
            self.report.warnings.extend(provider.warnings());
            self.report.exclusions.extend(provider.exclusions());
            self.settle(provider.as_ref())?;
        }
        let unknown = || Live { path: PathBuf::new(), why: "nobody made it".into(), hint: None };
        Ok(paths.into_iter().map(|path| path.unwrap_or_else(|| Err(unknown()))).collect())
    }

    /// Notes that nothing is left to be undone of a creation but the copies themselves.
    fn settle(&mut self, provider: &dyn ShadowProvider) -> Result<(), ShadowError> {
        let Some(owned) = &mut self.owned else { return Ok(()) };
        let mut is_changed = false;
        for copy in owned.record.copies.iter_mut().filter(|copy| copy.volume.provider == provider.name()) {
            is_changed |= provider.settle(&mut copy.volume);
        }
        if is_changed { Ok(owned.write()?) } else { Ok(()) }
    }

    /// Returns a volume that a view would show as an empty folder: it is not in what the set was made of, and was there
    /// when that was frozen.
    pub(crate) fn missed(&self, was_for: &[(usize, PathBuf, Vec<PathBuf>)], now: &Prepared<'_>) -> Option<PathBuf> {
        let of_source = |source: usize, below: &Path| was_for.iter().find(|(s, b, _)| *s == source && b == below);
        for Looked { place, parts } in now.places.iter().filter(|looked| looked.place.is_wanted) {
            let Some((_, _, known)) = of_source(place.source, &place.below) else { return Some(place.path.clone()) };
            let new = parts.iter().flatten().map(|(below, _)| below).filter(|below| !known.contains(below));
            for below in new {
                let below = if place.below.as_os_str().is_empty() { below.clone() } else { place.below.join(below) };
                // In the view of what was frozen before it came into being there is no place for it.
                let is_there = self.view(place.source).is_some_and(|view| self.shadows.machine.has(&view.join(&below)));
                if is_there {
                    return Some(below);
                }
            }
        }
        None
    }

    /// Makes one copy where those of its provider could not be made together.
    fn create_alone(
        &self,
        provider: &dyn ShadowProvider,
        copy: &Copy,
        meanwhile: &Meanwhile<'_>,
    ) -> Result<PathBuf, Live> {
        // It may be there from the first attempt, or only half: it is on record, and goes when the set goes.
        let create = || {
            provider.remove(copy)?;
            provider.create(std::slice::from_ref(copy), meanwhile)
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

    /// Gives each frozen volume a drive letter, for programs that know no other paths: from now on the views are there.
    /// The letters are on record before they lead anywhere, and go with the copies.
    ///
    /// # Errors
    /// There are none, or not enough.
    pub fn give_letters(&mut self) -> Result<(), ShadowError> {
        for (name, root) in &self.roots {
            if !self.views.iter().flatten().any(|view| view.starts_with(root)) {
                continue;
            }
            let Some(owned) = &mut self.owned else { continue };
            let Some(copy) = owned.record.copies.iter_mut().find(|copy| copy.name == *name) else { continue };
            let mut providers = self.shadows.providers.iter();
            let Some(provider) = providers.find(|provider| provider.name() == copy.volume.provider) else { continue };
            provider.choose_letter(copy, root)?;
            let copy = copy.clone();
            owned.write()?;
            let letter = provider.give_letter(&copy)?;
            for view in self.views.iter_mut().flatten() {
                if let Ok(below) = view.strip_prefix(root) {
                    *view = joined(&letter, below);
                }
            }
        }
        Ok(())
    }

    /// Starts a program that sees the views. Should this process be killed, the set is in use as long as it runs.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: Command) -> std::io::Result<Child> {
        self.let_children_hold(true)?;
        let child = self.shadows.machine.spawn(command);
        self.let_children_hold(false)?;
        child
    }

    /// Lets programs that are started from now on hold the lock of the record too, or not any more.
    fn let_children_hold(&self, hold: bool) -> std::io::Result<()> {
        self.owned.as_ref().map_or(Ok(()), |owned| owned.let_children_hold(hold))
    }

    /// Tells whether all copies are still good. What was read from one that is not cannot be trusted.
    ///
    /// # Errors
    /// [`ShadowError::Lost`].
    pub fn check(&self) -> Result<(), ShadowError> {
        self.check_each(|provider, copy| provider.check(copy))
    }

    /// As [`ShadowSet::check`], before all that was read is trusted for good: where nobody can tell, it is lost.
    ///
    /// # Errors
    /// [`ShadowError::Lost`].
    pub fn check_last(&self) -> Result<(), ShadowError> {
        self.check_each(|provider, copy| provider.check_last(copy))
    }

    fn check_each(
        &self,
        check: impl Fn(&dyn ShadowProvider, &Copy) -> Result<(), ShadowError>,
    ) -> Result<(), ShadowError> {
        for copy in &self.made {
            let providers = &self.shadows.providers;
            if let Some(provider) = providers.iter().find(|provider| provider.name() == copy.volume.provider) {
                check(provider.as_ref(), copy)?;
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

/// Joins two paths; an empty one leaves no slash behind.
pub(crate) fn joined(path: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { path.to_owned() } else { path.join(below) }
}

impl Drop for ShadowSet {
    /// The last resort: whoever has a set releases it, and hears what became of that.
    fn drop(&mut self) {
        self.release_all();
    }
}
