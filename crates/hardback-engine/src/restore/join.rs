//! Restores one more name of a file that is at the place under another.

use super::groups::First;
use super::metadata;
use super::options::RestoreAction;
use super::worker::{At, Found, Worker};
use crate::error::Error;
use crate::groups::Key;
use crate::manifest::Entry;
use crate::report::{Counters, LimitationKind};
use hardback_platform::{Dir, Faults, Kind, PathError};

impl Worker<'_, '_> {
    /// One more name of a file that is there.
    pub(super) fn join(
        &mut self,
        at: &At<'_>,
        place: &Dir,
        entry: &Entry,
        key: Key,
        first: &First,
    ) -> Result<(), Error> {
        let found = if at.folder.standing.is_fresh { Found::Nothing } else { self.find(at, place, entry)? };
        let existing = match found {
            Found::Nothing => None,
            Found::Entry(existing) => Some(existing),
            Found::Told => return Ok(()),
        };
        if existing.is_some_and(|m| m.id == first.id) {
            Counters::add(&self.shared.sums.unchanged, 1);
            return Ok(());
        }
        let existing = match existing {
            None => None,
            Some(existing) if metadata::is_unfinished(&existing) && existing.kind == Kind::File => Some(existing),
            Some(existing) => {
                if existing.kind == Kind::Dir {
                    return self.first(at, place, entry, key);
                }
                let is_same = self.is_same(at, place, entry, &existing);
                if !self.shared.may_replace(|| at.path_of(entry), entry.mtime > existing.mtime)? {
                    if is_same {
                        Counters::add(&self.shared.sums.unchanged, 1);
                    } else {
                        self.shared.act(RestoreAction::Keep, || at.path_of(entry));
                    }
                    return Ok(());
                }
                Some(existing)
            }
        };
        let name = if existing.is_some() { self.shared.temporary_name() } else { entry.name.to_vec() };
        if !self.link(at, place, entry, first, &name)? {
            // The group is as large as the volume allows, or spread over volumes: it goes on with a fresh copy.
            return self.first(at, place, entry, key);
        }
        Counters::add(&self.shared.sums.linked, 1);
        Counters::add(&self.shared.ctx.counters.linked, 1);
        match existing {
            Some(existing) => self.put_over(at, place, entry, &name, &existing).map(drop),
            None => {
                super::make::clear_archive(place, entry);
                self.shared.act(RestoreAction::Make, || at.path_of(entry));
                Ok(())
            }
        }
    }

    /// Links a name to the first of its group; `false` where it must be a file of its own.
    fn link(&self, at: &At<'_>, place: &Dir, entry: &Entry, first: &First, name: &[u8]) -> Result<bool, Error> {
        if name != &*entry.name {
            return self.try_link(at, place, entry, first, name);
        }
        at.folder.claims().claim(first.id, name);
        let linked = self.try_link(at, place, entry, first, name);
        if !matches!(linked, Ok(true)) {
            at.folder.claims().give_up(first.id, name);
        }
        linked
    }

    fn try_link(&self, at: &At<'_>, place: &Dir, entry: &Entry, first: &First, name: &[u8]) -> Result<bool, Error> {
        let Some(root) = &self.shared.roots[first.root].dir else { return Ok(false) };
        // Names of a file mostly stand together, and from the top a deep folder costs a lookup for each level.
        let is_beside = first.root == at.folder.root && first.folder == at.folder.place_path();
        let linked = match is_beside {
            true => place.link(&first.name, place, name),
            false => root.open_dir_at(&first.folder).and_then(|dir| dir.link(&first.name, place, name)),
        };
        let error = match linked {
            Ok(()) if place.stat(name).is_ok_and(|m| m.id == first.id) => return Ok(true),
            // Someone put another file in the first one's place.
            Ok(()) => {
                self.maker.remove(at, place, entry, name)?;
                return Ok(false);
            }
            Err(error) => error,
        };
        let kind = match error.fault() {
            Faults::TooManyLinks => LimitationKind::LinkLimit,
            Faults::Full | Faults::Io | Faults::ReadOnly => {
                return Err(PathError { path: at.path_of(entry), ..error }.into());
            }
            _ if error.source.kind() == std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => LimitationKind::Links,
        };
        if error.fault() != Faults::Exists {
            self.shared.limitations.meet(kind, || at.path_of(entry), &error.source);
        }
        Ok(false)
    }
}
