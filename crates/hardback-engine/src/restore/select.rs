//! Which entries of a snapshot are asked for. Pure.

use crate::error::Error;
use hardback_platform::RelPath;

/// How a folder stands to what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Something below it.
    Way,
    /// Nothing.
    None,
}

/// The paths that are asked for.
#[derive(Debug)]
pub(super) struct Selection {
    paths: Vec<RelPath>,
    found: Vec<bool>,
    /// Some path lies below another: what is restored as a whole must still be compared with it.
    pub(super) nested: bool,
}

impl Selection {
    /// Takes paths as a user writes them: a leading `./` or `/` and a trailing `/` do not matter.
    pub(super) fn new(paths: &[Vec<u8>]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for path in paths {
            let mut bytes = &path[..];
            while let Some(rest) = bytes.strip_prefix(b"./").or_else(|| bytes.strip_prefix(b"/")) {
                bytes = rest;
            }
            while let Some(rest) = bytes.strip_suffix(b"/") {
                bytes = rest;
            }
            let bytes = if bytes == b"." { b"" } else { bytes };
            let path = RelPath::from_bytes(bytes).map_err(|e| {
                let shown = hardback_platform::path::display(path);
                Error::refused(format!("{shown} is no path in a snapshot: {e}"), "give it as `hardback find` prints it")
            })?;
            all.push(path);
        }
        all.sort();
        all.dedup();
        let is_nested = |p: &RelPath| all.iter().any(|q| p != q && p.is_at_or_below(q));
        Ok(Self { found: vec![false; all.len()], nested: all.iter().any(is_nested), paths: all })
    }

    /// Returns whether all of the snapshot is asked for.
    pub(super) fn is_all(&self) -> bool {
        self.paths.is_empty() || self.paths[0].is_root()
    }

    /// Returns how a folder stands; one that is reached counts as found.
    pub(super) fn folder(&mut self, path: &RelPath) -> Part {
        if self.is_all() {
            self.found.iter_mut().take(1).for_each(|f| *f = true);
            return Part::Whole;
        }
        let mut part = Part::None;
        for (wanted, found) in self.paths.iter().zip(&mut self.found) {
            if path.is_at_or_below(wanted) {
                *found |= path == wanted;
                return Part::Whole;
            }
            if wanted.is_at_or_below(path) {
                part = Part::Way;
            }
        }
        part
    }

    /// Marks what is asked for and lies in a folder that is restored as a whole.
    pub(super) fn pass(&mut self, path: &RelPath) {
        if let Ok(at) = self.paths.binary_search(path) {
            self.found[at] = true;
        }
    }

    /// Returns whether an entry in a folder on the way is asked for.
    pub(super) fn file(&mut self, folder: &RelPath, name: &[u8]) -> bool {
        match self.paths.binary_search(&folder.join(name)) {
            Ok(at) => {
                self.found[at] = true;
                true
            }
            Err(_) => false,
        }
    }

    /// Returns the paths that are asked for; none for all of the snapshot.
    pub(super) fn paths(&self) -> &[RelPath] {
        &self.paths
    }

    /// Returns the paths that are asked for and were not found.
    pub(super) fn missing(&self) -> Vec<RelPath> {
        let pairs = self.paths.iter().zip(&self.found);
        pairs.filter(|(p, found)| !**found && !p.is_root()).map(|(p, _)| p.clone()).collect()
    }

    /// Returns whether anything that is asked for was found.
    pub(super) fn is_any_found(&self) -> bool {
        self.found.iter().any(|f| *f)
    }

    /// Returns whether everything that is asked for was found.
    pub(super) fn is_done(&self) -> bool {
        !self.is_all() && self.found.iter().all(|f| *f)
    }

    /// Returns whether a folder, or something below it, is asked for; counts nothing as found.
    pub(super) fn touches(&self, path: &RelPath) -> bool {
        self.is_all() || self.paths.iter().any(|p| path.is_at_or_below(p) || p.is_at_or_below(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn folders_are_whole_on_the_way_or_nothing() {
        let mut selection = Selection::new(&[b"/a/b/".to_vec(), b"./c".to_vec(), b"a/b/x".to_vec()]).unwrap();
        let cases = [("a", Part::Way), ("a/b", Part::Whole), ("a/b/q", Part::Whole), ("a/bc", Part::None)];
        for (folder, part) in cases {
            assert_eq!(selection.folder(&path(folder)), part, "{folder}");
        }
        assert!(selection.file(&RelPath::root(), b"c") && !selection.file(&path("a"), b"c"));
        assert_eq!(selection.missing(), [path("a/b/x")]);
        selection.pass(&path("a/b/x"));
        assert!(selection.missing().is_empty());
    }

    #[test]
    fn no_path_or_the_top_is_all_and_dot_dot_is_refused() {
        assert_eq!(Selection::new(&[]).unwrap().folder(&path("a")), Part::Whole);
        assert_eq!(Selection::new(&[b"/".to_vec(), b"q".to_vec()]).unwrap().folder(&path("a")), Part::Whole);
        assert!(Selection::new(&[b"a/../b".to_vec()]).is_err());
    }
}
