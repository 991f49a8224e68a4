//! What a backup leaves out: rules on paths, and folders that mark themselves.

use crate::exclude::{
    DirectoryMarkers, ExcludeBuilder, ExcludeError, ExcludeRules, MarkerKind, RuleOrigin, is_cachedir_tag,
};
use crate::manifest::ExcludeRecord;
use hardback_platform::{Attributes, Dir, Faults, Kind, Listing, Metadata, PathError};

/// Bytes of a tag file that are looked at.
const TAG_BYTES: usize = 64;

/// Longest list of patterns in a folder that is read.
pub(crate) const IGNORE_FILE_BYTES_MAX: usize = 1 << 20;

/// What a backup leaves out.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Rules on paths below the source.
    pub rules: ExcludeRules,
    /// Names that mark a folder whose content is left out.
    pub markers: DirectoryMarkers,
}

/// Returns whether an entry is left out for what it is now: a file above a size in bytes, or one that says "no dump".
pub(crate) fn is_left_out(metadata: &Metadata, max_size_file_bytes: Option<u64>, nodump: bool) -> bool {
    let is_large = |max| metadata.kind == Kind::File && metadata.size_bytes > max;
    (nodump && metadata.attributes.0 & Attributes::NODUMP != 0) || max_size_file_bytes.is_some_and(is_large)
}

impl Excludes {
    /// Makes them of what a manifest says.
    pub(crate) fn of_record(record: &ExcludeRecord) -> Result<Self, ExcludeError> {
        let rules = ExcludeBuilder::from_written(&record.rules).build()?;
        Ok(Self { rules, markers: record.markers.clone() })
    }

    /// Returns them with rules before all others, which match in any case.
    ///
    /// # Errors
    /// One of them is no pattern.
    pub(crate) fn after(&self, declared: Vec<(String, RuleOrigin)>) -> Result<Self, ExcludeError> {
        let rules = ExcludeBuilder::from_written(self.rules.written()).before_all(declared).build()?;
        Ok(Self { rules, markers: self.markers.clone() })
    }

    /// Looks for a marker among the entries of a folder; returns its name.
    ///
    /// # Errors
    /// It cannot be seen whether an entry is one.
    pub(crate) fn marker_in(&self, listing: &Listing, dir: &Dir) -> Result<Option<Vec<u8>>, PathError> {
        if self.markers.is_empty() {
            return Ok(None);
        }
        let mut unclear = None;
        for entry in listing.iter() {
            let marks = match self.markers.candidates(entry.name) {
                Some(MarkerKind::Present) => Ok(true),
                Some(MarkerKind::CacheTag) if entry.kind == Kind::File => has_cachedir_tag(dir, entry.name),
                Some(MarkerKind::CacheTag) | None => Ok(false),
            };
            match marks {
                Ok(true) => return Ok(Some(entry.name.to_vec())),
                Ok(false) => {}
                Err(error) => unclear = Some(error),
            }
        }
        unclear.map_or(Ok(None), Err)
    }
}

/// Returns whether a file tags a cache; one that is gone or is no file any more does not.
fn has_cachedir_tag(dir: &Dir, name: &[u8]) -> Result<bool, PathError> {
    let mut bytes = [0; TAG_BYTES];
    match dir.open_file(name).and_then(|file| file.read_full_at(&mut bytes, 0)) {
        Ok(n) => Ok(is_cachedir_tag(&bytes[..n])),
        Err(error) if matches!(error.fault(), Faults::Vanished | Faults::WrongKind) => Ok(false),
        Err(error) => Err(PathError { path: name.to_vec(), ..error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_later_comes_before_what_the_user_says() {
        let of_user = RuleOrigin::CommandLine { index: 0 };
        let rules = ExcludeBuilder::new().pattern(b"!/mail/keep", of_user).build().unwrap();
        let given = Excludes { rules, ..Excludes::default() };
        let origin = RuleOrigin::System { name: "the writer Mail".into() };
        let after = given.after(vec![("/Mail/*".into(), origin)]).unwrap();
        let is_out = |path: &str| after.rules.check(path.as_bytes(), false).is_excluded();
        assert_eq!((is_out("mail/box"), is_out("mail/keep"), is_out("other")), (true, false, false));
        let verdict = after.rules.check(b"mail/box", false);
        assert_eq!(verdict.rule().unwrap().origin.to_string(), "the writer Mail");
        // It is what a record says, and what a restore protects.
        let texts: Vec<_> = after.rules.written().patterns.iter().map(|p| (p.text.as_slice(), p.any_case)).collect();
        assert_eq!(texts, [(&b"/Mail/*"[..], true), (b"!/mail/keep", false)]);
    }
}
