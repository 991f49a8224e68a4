//! Finds one path in the record of a snapshot, and what may have been meant where it is not there.

use crate::catalog::{self, Snapshot};
use crate::error::Error;
use crate::manifest::{Entry, ManifestError, TreeCursor};
use crate::target::Target;
use hardback_platform::path::display;
use hardback_platform::{FileRead, RelPath};

/// Names that are offered where one is not found.
const SIMILAR_NAMES: usize = 3;

/// Returns the entry of a path, if the snapshot has it. Its record is read up to the path and no further.
pub(crate) fn look_up(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Result<Option<Entry>, Error> {
    let (mut cursor, root) = open_cursor(target, snapshot)?;
    let find = || -> Result<Option<Entry>, ManifestError> {
        if path.is_root() {
            return Ok(Some(root));
        }
        for name in path.parent().components() {
            if cursor.enter(name, &mut 0)?.is_none() {
                return Ok(None);
            }
        }
        match cursor.file_named(path.name(), &mut 0)? {
            Some(entry) => Ok(Some(entry)),
            None => cursor.enter(path.name(), &mut 0),
        }
    };
    find().map_err(|source| Error::Manifest { snapshot: snapshot.name.clone(), source })
}

/// Opens the record of a snapshot at its top.
pub(crate) fn open_cursor(target: &Target, snapshot: &Snapshot) -> Result<(TreeCursor<FileRead>, Entry), Error> {
    let reader = catalog::open_manifest(target, &snapshot.job, &snapshot.name)?;
    TreeCursor::open(reader).map_err(|source| Error::Manifest { snapshot: snapshot.name.clone(), source })
}

/// Says what may have been meant by a path that a snapshot does not have, as far as its record can be read.
pub(crate) fn hint(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Option<String> {
    if let Some(meant) = below_a_source(target, snapshot, path) {
        return Some(format!("did you mean {meant}?"));
    }
    let (parent, similar) = nearest(target, snapshot, path).ok()?;
    let similar: Vec<String> = similar.iter().map(|name| as_word(name)).collect();
    let place = if parent.is_root() { "the top of the snapshot".to_owned() } else { parent.to_string() };
    Some(if similar.is_empty() {
        format!("the nearest folder is {place}; `hardback find` looks in all snapshots")
    } else {
        format!("{place} has {}", similar.join(", "))
    })
}

/// Returns a name as it is shown, and as a shell takes it where it cannot be typed.
fn as_word(name: &[u8]) -> String {
    let shown = display(name).to_string();
    if shown.as_bytes() == name { shown } else { format!("{shown} (in a shell: $'{}')", shown.replace('\'', "\\'")) }
}

/// Returns the path with its source's folder, if that was left out, or if it is the path that it was backed up from.
fn below_a_source(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Option<RelPath> {
    let reader = catalog::open_manifest(target, &snapshot.job, &snapshot.name).ok()?;
    let sources = &reader.header().sources;
    sources.iter().find_map(|(folder, source)| {
        let folder = RelPath::from_bytes(folder).ok()?;
        // A path at this host is told without the slash that it begins with.
        let source = source.strip_prefix(b"/").unwrap_or(source);
        let rest = path.as_bytes().strip_prefix(source);
        let below_source = rest.and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") });
        [below_source, Some(path.as_bytes())].into_iter().flatten().find_map(|below| {
            let mut meant = folder.clone();
            RelPath::from_bytes(below).ok()?.components().for_each(|name| meant.push(name));
            let is_there = meant != *path && look_up(target, snapshot, &meant).ok()?.is_some();
            is_there.then_some(meant)
        })
    })
}

/// Returns the deepest folder on the way to a path, and the names in it that are most like the next one.
fn nearest(target: &Target, snapshot: &Snapshot, path: &RelPath) -> Result<(RelPath, Vec<Vec<u8>>), Error> {
    let failed = |source| Error::Manifest { snapshot: snapshot.name.clone(), source };
    let (mut cursor, _) = open_cursor(target, snapshot)?;
    let mut parent = RelPath::root();
    let mut missing: &[u8] = b"";
    for name in path.components() {
        if cursor.enter(name, &mut 0).map_err(failed)?.is_none() {
            missing = name;
            break;
        }
        parent.push(name);
    }
    // The search has passed over the folder's names: once more to the folder, then through it.
    let (mut cursor, _) = open_cursor(target, snapshot)?;
    for name in parent.components() {
        cursor.enter(name, &mut 0).map_err(failed)?;
    }
    let mut best: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut offer = |name: &[u8]| {
        if let Some(distance) = distance(missing, name) {
            best.push((distance, name.to_vec()));
            best.sort();
            best.truncate(SIMILAR_NAMES);
        }
    };
    while let Some((entry, _)) = cursor.next_file().map_err(failed)? {
        offer(&entry.name);
    }
    while let Some((entry, _)) = cursor.next_dir().map_err(failed)? {
        offer(&entry.name);
        cursor.leave().map_err(failed)?;
    }
    Ok((parent, best.into_iter().map(|(_, name)| name).collect()))
}

/// Returns how unlike two names are, capitals aside; `None` if they have little in common.
fn distance(wanted: &[u8], name: &[u8]) -> Option<usize> {
    let (wanted, name) = (wanted.to_ascii_lowercase(), name.to_ascii_lowercase());
    if wanted.is_empty() || wanted.len().abs_diff(name.len()) > wanted.len() {
        return None;
    }
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in name.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    let distance = row[name.len()];
    let begins = name.starts_with(&wanted) || wanted.starts_with(&name);
    (distance * 3 <= wanted.len() || begins).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_near_and_others_are_not() {
        let near = |a: &str, b: &str| distance(a.as_bytes(), b.as_bytes());
        assert_eq!(near("letter.odt", "letter.odt"), Some(0));
        assert_eq!(near("Letter.odt", "letter.odt"), Some(0));
        assert_eq!(near("leter.odt", "letter.odt"), Some(1));
        assert_eq!(near("letter", "letter.odt"), Some(4));
        assert_eq!(near("letter.odt", "invoice.pdf"), None);
        assert_eq!(near("a", "zebra"), None);
    }
}
