//! The folders of a snapshot that are told apart, and what is in each. Pure.
//!
//! A file with several names is one file: in a folder it counts once, however many of its names are below it, and it is
//! only there if all of them are.

/// Number of a place; 0 is the snapshot's top.
pub(super) type PlaceId = u32;

/// What is at a place and below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Entries, counted by their names.
    pub(super) entries: u64,
    /// Bytes on the volume, each file once.
    pub(super) bytes: u64,
    /// Files and folders of which all names are here.
    pub(super) unique_entries: u64,
    /// Bytes that go with those.
    pub(super) unique_bytes: u64,
    /// Bytes of those that stay, as they are blocks of other files too.
    pub(super) cloned_bytes: u64,
}

impl Sums {
    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.unique_entries += other.unique_entries;
        self.unique_bytes += other.unique_bytes;
        self.cloned_bytes += other.cloned_bytes;
    }

    /// Adds something that has no other name, but for its entry.
    pub(super) fn add_only_here(&mut self, bytes: u64, cloned_bytes: u64) {
        self.bytes += bytes;
        self.unique_entries += 1;
        self.unique_bytes += bytes.saturating_sub(cloned_bytes);
        self.cloned_bytes += bytes.min(cloned_bytes);
    }
}

/// A file with several names, as one snapshot has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkedFile<'a> {
    /// The places of its names and how many are at each, each place once.
    pub(super) held_at: &'a [(PlaceId, u64)],
    /// Names that it has on the volume.
    pub(super) nlink: u64,
    pub(super) bytes: u64,
    /// Bytes of it that are blocks of other files too.
    pub(super) cloned_bytes: u64,
}

impl LinkedFile<'_> {
    /// Returns how many names the snapshot has.
    pub(super) fn names(&self) -> u64 {
        self.held_at.iter().map(|(_, names)| names).sum()
    }

    /// Returns whether the snapshot has all names.
    pub(super) fn is_only_here(&self) -> bool {
        self.names() >= self.nlink
    }
}

#[derive(Debug)]
struct Place {
    above: PlaceId,
    /// Levels below the top.
    depth: u32,
    path: Vec<u8>,
    /// What is here and in no place below: to be added to those above.
    own: Sums,
    /// What was counted here and in those above at once.
    linked: Sums,
    /// The last linked file that was counted here.
    met: u64,
}

/// The places of a snapshot.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    files: u64,
}

impl Places {
    /// Makes the top.
    pub(super) fn new() -> Self {
        let top = Place { above: 0, depth: 0, path: Vec::new(), own: Sums::default(), linked: Sums::default(), met: 0 };
        Self { all: vec![top], files: 0 }
    }

    /// Adds a place below another; `None` where there would be more than a maximum.
    pub(super) fn add(&mut self, above: PlaceId, path: &[u8], places_max: usize) -> Option<PlaceId> {
        let id = PlaceId::try_from(self.all.len()).ok().filter(|_| self.all.len() < places_max)?;
        let depth = self.place(above).depth + 1;
        let (own, linked) = (Sums::default(), Sums::default());
        self.all.push(Place { above, depth, path: path.to_vec(), own, linked, met: 0 });
        Some(id)
    }

    /// Counts what is at a place.
    pub(super) fn count(&mut self, id: PlaceId, sums: &Sums) {
        self.place_mut(id).own.add(sums);
    }

    /// Counts a file with several names; its entries are counted with [`Places::count`].
    pub(super) fn count_linked(&mut self, file: &LinkedFile<'_>) {
        self.files += 1;
        let number = self.files;
        for (id, _) in file.held_at {
            let mut id = *id;
            // Once it was counted somewhere, it was in all that is above.
            while std::mem::replace(&mut self.place_mut(id).met, number) != number {
                self.place_mut(id).linked.bytes += file.bytes;
                if id == 0 {
                    break;
                }
                id = self.place(id).above;
            }
        }
        if !file.is_only_here() {
            return;
        }
        let Some(mut id) = file.held_at.iter().map(|(id, _)| *id).reduce(|a, b| self.common(a, b)) else { return };
        let mut only_here = Sums::default();
        only_here.add_only_here(file.bytes, file.cloned_bytes);
        only_here.bytes = 0;
        loop {
            self.place_mut(id).linked.add(&only_here);
            if id == 0 {
                return;
            }
            id = self.place(id).above;
        }
    }

    /// Returns the deepest place that is at or above both.
    fn common(&self, mut a: PlaceId, mut b: PlaceId) -> PlaceId {
        while a != b {
            if self.place(a).depth >= self.place(b).depth {
                a = self.place(a).above;
            } else {
                b = self.place(b).above;
            }
        }
        a
    }

    /// Returns the path and the sums of each place, in the order in which they were added.
    pub(super) fn finish(mut self) -> Vec<(Vec<u8>, Sums)> {
        for id in (1..self.all.len()).rev() {
            let (own, above) = (self.all[id].own, self.all[id].above);
            self.place_mut(above).own.add(&own);
        }
        let with_sums = |mut place: Place| {
            place.own.add(&place.linked);
            (place.path, place.own)
        };
        self.all.into_iter().map(with_sums).collect()
    }

    fn place(&self, id: PlaceId) -> &Place {
        &self.all[id as usize]
    }

    fn place_mut(&mut self, id: PlaceId) -> &mut Place {
        &mut self.all[id as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The top, `a` and `b` in it, `a/c`.
    fn places() -> Places {
        let mut places = Places::new();
        for (above, path) in [(0, "a"), (0, "b"), (1, "a/c")] {
            places.add(above, path.as_bytes(), 10).unwrap();
        }
        places
    }

    fn linked(held_at: &[(PlaceId, u64)], nlink: u64) -> LinkedFile<'_> {
        LinkedFile { held_at, nlink, bytes: 100, cloned_bytes: 30 }
    }

    fn bytes(places: Places) -> Vec<(u64, u64)> {
        places.finish().into_iter().map(|(_, sums)| (sums.bytes, sums.unique_bytes)).collect()
    }

    #[test]
    fn a_file_counts_once_in_each_folder_above_its_names() {
        let mut places = places();
        places.count_linked(&linked(&[(1, 1), (3, 2)], 4));
        assert_eq!(bytes(places), [(100, 0), (100, 0), (0, 0), (100, 0)]);
    }

    #[test]
    fn a_file_is_only_in_the_folders_that_hold_all_of_its_names() {
        let mut places = places();
        places.count_linked(&linked(&[(1, 1), (3, 2)], 3));
        places.count_linked(&linked(&[(2, 1), (3, 1)], 2));
        places.count_linked(&linked(&[(3, 2)], 2));
        assert_eq!(bytes(places), [(300, 210), (300, 140), (100, 0), (300, 70)]);
    }

    #[test]
    fn what_has_one_name_counts_in_all_folders_above() {
        let mut places = places();
        let mut sums = Sums { entries: 2, ..Sums::default() };
        sums.add_only_here(10, 0);
        sums.add_only_here(5, 7);
        places.count(3, &sums);
        let all = places.finish();
        let expected = Sums { entries: 2, bytes: 15, unique_entries: 2, unique_bytes: 10, cloned_bytes: 5 };
        assert_eq!([all[0].1, all[1].1, all[3].1], [expected; 3]);
        assert_eq!(all[2], (b"b".to_vec(), Sums::default()));
    }

    #[test]
    fn there_are_no_more_places_than_may_be() {
        let mut places = places();
        assert_eq!(places.add(3, b"a/c/d", 5), Some(4));
        assert_eq!(places.add(4, b"a/c/d/e", 5), None);
    }
}
