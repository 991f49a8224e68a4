//! The entries of one directory, read at once and put in tree order.

use crate::metadata::Kind;

/// The entries of a directory in tree order: everything that is no directory by name, then the directories by name.
#[derive(Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    entries: Vec<(u32, u16, Kind)>,
    /// How many of the entries, from the start, are no directories.
    files: usize,
}

/// One entry of a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedEntry<'a> {
    /// The name, raw.
    pub name: &'a [u8],
    /// What the directory says it is; may be out of date.
    pub kind: Kind,
}

impl Listing {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of entries that are no directories; they come first.
    pub fn files_len(&self) -> usize {
        self.files
    }

    /// Returns an entry; panics past the end.
    pub fn get(&self, index: usize) -> ListedEntry<'_> {
        let (start, length, kind) = self.entries[index];
        let start = start as usize;
        ListedEntry { name: &self.names[start..start + usize::from(length)], kind }
    }

    /// Returns whether there is an entry of a name that is no directory.
    pub fn has_file(&self, name: &[u8]) -> bool {
        let (mut low, mut high) = (0, self.files_len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).name.cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// Returns the entries in order.
    pub fn iter(&self) -> impl Iterator<Item = ListedEntry<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Makes a listing from names and kinds in any order.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = (&'a [u8], Kind)>) -> Self {
        let mut listing = Self::default();
        for (name, kind) in entries {
            listing.push(name, kind);
        }
        listing.sort();
        listing
    }

    pub(crate) fn push(&mut self, name: &[u8], kind: Kind) {
        let start = u32::try_from(self.names.len()).expect("a directory has less than 4 GiB of names");
        let length = u16::try_from(name.len()).expect("a name has less than 64 KiB");
        self.names.extend_from_slice(name);
        self.entries.push((start, length, kind));
    }

    pub(crate) fn sort(&mut self) {
        let names = &self.names;
        let name = |e: &(u32, u16, Kind)| &names[e.0 as usize..e.0 as usize + usize::from(e.1)];
        self.entries.sort_unstable_by(|a, b| (a.2 == Kind::Dir, name(a)).cmp(&(b.2 == Kind::Dir, name(b))));
        self.files = self.entries.partition_point(|e| e.2 != Kind::Dir);
    }
}
