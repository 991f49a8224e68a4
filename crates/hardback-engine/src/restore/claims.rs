//! For which name of the snapshot each entry at the place stands: where a place takes two names for one, the second
//! must not replace what came back under the first.
//!
//! What is there decides, and not how names are written: two names are one if both lead to the same entry. So whatever a
//! volume folds (case, accents, a trailing dot) is noticed.

use super::folder::Folder;
use super::shared::Shared;
use crate::exclude::same_folded;
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Dir, FileId, Kind, Metadata};
use std::collections::BTreeSet;

/// The names that came up in one folder.
#[derive(Debug)]
pub(super) enum Claims {
    /// The restore made the folder: what has a name in it was made for one of these.
    Fresh(Vec<Box<[u8]>>),
    /// The folder was there: what each of the names leads to.
    Existing {
        entries: BTreeSet<(FileId, Box<[u8]>)>,
        /// The volume's file ids stay while a file lives.
        ids_last: bool,
    },
}

impl Claims {
    pub(super) fn new(is_fresh: bool, place: Option<&Dir>) -> Self {
        if is_fresh {
            return Self::Fresh(Vec::new());
        }
        let ids_last = place.and_then(|dir| dir.volume().ok()).is_some_and(|volume| volume.stable_ids);
        Self::Existing { entries: BTreeSet::new(), ids_last }
    }

    /// A name comes up, of which nothing is there yet in a folder that the restore made.
    pub(super) fn begin(&mut self, name: &[u8]) {
        if let Self::Fresh(names) = self {
            names.push(name.into());
        }
    }

    /// An entry stands for a name. Called before anybody else can come across it.
    pub(super) fn claim(&mut self, id: FileId, name: &[u8]) {
        if let Self::Existing { entries, .. } = self {
            entries.insert((id, name.into()));
        }
    }

    /// An entry does not stand for a name any more.
    pub(super) fn give_up(&mut self, id: FileId, name: &[u8]) {
        if let Self::Existing { entries, .. } = self {
            entries.remove(&(id, Box::from(name)));
        }
    }

    /// Returns another name that leads to what stands at a name.
    pub(super) fn other_name(&self, place: &Dir, name: &[u8], there: &Metadata) -> Option<Box<[u8]>> {
        let is_there = |other: &[u8]| place.stat(other).is_ok_and(|found| found.id == there.id);
        match self {
            Self::Fresh(names) => {
                let alike = names.iter().filter(|other| same_folded(other, name));
                alike.chain(names).find(|other| ***other != *name && is_there(other)).cloned()
            }
            Self::Existing { entries, ids_last } => {
                let is_one = |other: &[u8]| other != name && !(may_be_linked(there) && has_both(place, name, other));
                let of_id = entries.range((there.id, Box::default())..).take_while(|(id, _)| *id == there.id);
                let known = of_id.map(|(_, other)| other).find(|other| is_one(other));
                let is_told = known.is_some() || *ids_last;
                // The id may have been another when the entry was looked at first.
                let mut alike = entries.iter().map(|(_, other)| other).filter(|_| !is_told);
                known.or_else(|| alike.find(|o| same_folded(o, name) && is_one(o) && is_there(o))).cloned()
            }
        }
    }
}

/// Returns whether an entry may have more than one name without the place taking one for another.
fn may_be_linked(there: &Metadata) -> bool {
    there.kind != Kind::Dir && there.nlink > 1
}

/// Returns whether a folder lists two names of one file, each as it is or as the volume spells it.
fn has_both(place: &Dir, one: &[u8], other: &[u8]) -> bool {
    let Ok(listing) = place.list() else { return false };
    let spelled = |name| listing.iter().map(|e| e.name).filter(move |listed| same_folded(listed, name));
    spelled(one).any(|one| spelled(other).any(|other| one != other))
}

/// Tells that a name is not restored, as what stands there came back under another.
pub(super) fn tell_taken(shared: &Shared<'_>, folder: &Folder, name: &[u8], other: &[u8]) {
    shared.problem(Problem::with_detail(&folder.path_of(name), ProblemKind::NotRestored, taken(other)));
}

/// Says why a name is not restored.
pub(super) fn taken(other: &[u8]) -> String {
    let other = hardback_platform::path::display(other);
    format!("the place does not tell it from {other}, which stays; restore it by itself to another folder with --to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::Seam;

    fn existing() -> Claims {
        Claims::Existing { entries: BTreeSet::new(), ids_last: true }
    }

    #[test]
    fn a_name_is_another_only_where_both_lead_to_one_entry() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        for name in [&b"one"[..], b"two"] {
            dir.create_file(name, 0o600).unwrap();
        }
        let (one, two) = (dir.stat(b"one").unwrap(), dir.stat(b"two").unwrap());
        let mut claims = existing();
        claims.claim(one.id, b"one");
        assert_eq!(claims.other_name(&dir, b"two", &two), None);
        assert_eq!(claims.other_name(&dir, b"one", &one), None);
        // A volume that folds names would answer this.
        assert_eq!(claims.other_name(&dir, b"ONE", &one).as_deref(), Some(&b"one"[..]));
        claims.give_up(one.id, b"one");
        assert_eq!(claims.other_name(&dir, b"ONE", &one), None);
    }

    #[test]
    fn names_of_one_file_are_two_names_where_the_folder_lists_both() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        dir.create_file(b"one", 0o600).unwrap();
        for name in [&b"two"[..], b"spelled"] {
            dir.link(b"one", &dir, name).unwrap();
        }
        let there = dir.stat(b"one").unwrap();
        let mut claims = existing();
        claims.claim(there.id, b"one");
        assert_eq!(claims.other_name(&dir, b"two", &there), None);
        claims.claim(there.id, b"two");
        // As a volume lists it that keeps no capitals.
        assert_eq!(claims.other_name(&dir, b"Spelled", &there), None);
        assert_eq!(claims.other_name(&dir, b"ONE", &there).as_deref(), Some(&b"one"[..]));
        assert_eq!(claims.other_name(&dir, b"TWO", &there).as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn where_ids_do_not_last_names_that_are_alike_are_looked_at_again() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        for name in [&b"one"[..], b"ONE"] {
            dir.create_file(name, 0o600).ok();
        }
        let mut claims = Claims::Existing { entries: BTreeSet::new(), ids_last: false };
        claims.claim(FileId { volume: 1, file: 2 }, b"one");
        let mut there = dir.stat(b"ONE").unwrap();
        if dir.stat(b"one").unwrap().id != there.id {
            assert_eq!(claims.other_name(&dir, b"ONE", &there), None);
            there.id = dir.stat(b"one").unwrap().id;
        }
        assert_eq!(claims.other_name(&dir, b"ONE", &there).as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn in_a_fresh_folder_the_name_is_found_by_looking() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), Seam::default()).unwrap();
        dir.create_file(b"one", 0o600).unwrap();
        let there = dir.stat(b"one").unwrap();
        let mut claims = Claims::new(true, None);
        for name in [&b"gone"[..], b"one", b"ONE"] {
            claims.begin(name);
        }
        assert_eq!(claims.other_name(&dir, b"ONE", &there).as_deref(), Some(&b"one"[..]));
        assert_eq!(claims.other_name(&dir, b"other", &there).as_deref(), Some(&b"one"[..]));
    }
}
