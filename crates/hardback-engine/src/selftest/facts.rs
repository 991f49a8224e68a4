//! All that can be read of a tree, and how two trees differ: what was made, and what came back.

use super::bytes::{self, Descriptor};
use hardback_platform::ntfs::{ACL, ATTRIBUTES};
use hardback_platform::{Attributes, Dir, FileId, Kind, Metadata, PathError, Xattrs, ntfs};
use std::collections::BTreeMap;

/// Longest file that a selftest makes.
pub(super) const FILE_BYTES_MAX: usize = 64 << 20;

/// Attributes that are a file's own: not that it was changed since a backup (archive), and not that it is sparse, which
/// is seen from its room.
const ATTRIBUTES_COMPARED: u32 = 0x1 | 0x2 | 0x4 | 0x10 | 0x100 | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000;

/// All that can be read of an entry.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    metadata: Metadata,
    content: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    xattrs: Xattrs,
    attributes: Attributes,
    /// Paths of the other names of the file in the tree.
    group: Vec<Vec<u8>>,
}

/// A tree by its paths; the top has none.
pub(super) type Tree = BTreeMap<Vec<u8>, Facts>;

/// Reads all below a folder, and the folder.
pub(super) fn read_tree(top: &Dir) -> Result<Tree, PathError> {
    let mut tree = Tree::new();
    let of_top = Facts {
        metadata: top.metadata()?,
        content: None,
        link: None,
        xattrs: top.xattrs(b"")?,
        attributes: top.attributes(),
        group: Vec::new(),
    };
    tree.insert(Vec::new(), of_top);
    read_below(top, b"", &mut tree)?;
    let mut groups: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    let key = |id: FileId| (id.volume, id.file);
    for (path, facts) in tree.iter().filter(|(_, facts)| facts.metadata.kind != Kind::Dir) {
        groups.entry(key(facts.metadata.id)).or_default().push(path.clone());
    }
    for facts in tree.values_mut() {
        facts.group = groups.get(&key(facts.metadata.id)).cloned().unwrap_or_default();
    }
    Ok(tree)
}

fn read_below(dir: &Dir, above: &[u8], tree: &mut Tree) -> Result<(), PathError> {
    for entry in dir.list()?.iter() {
        let path = match above {
            [] => entry.name.to_vec(),
            _ => [above, b"/", entry.name].concat(),
        };
        let facts = read_facts(dir, entry.name).map_err(|e| e.under(above))?;
        let kind = facts.metadata.kind;
        tree.insert(path.clone(), facts);
        if kind == Kind::Dir {
            read_below(&dir.open_dir(entry.name)?, &path, tree)?;
        }
    }
    Ok(())
}

fn read_facts(dir: &Dir, name: &[u8]) -> Result<Facts, PathError> {
    let metadata = dir.stat(name)?;
    let (mut content, mut attributes, mut link) = (None, metadata.attributes, None);
    match metadata.kind {
        Kind::File => {
            let file = dir.open_file(name)?;
            content = Some(file.read_to_vec(FILE_BYTES_MAX).map_err(|e| e.under(name))?);
            attributes = file.attributes();
        }
        Kind::Dir => attributes = dir.open_dir(name)?.attributes(),
        Kind::Symlink => link = Some(dir.read_link(name)?),
        _ => {}
    }
    Ok(Facts { metadata, content, link, xattrs: dir.xattrs(name)?, attributes, group: Vec::new() })
}

/// Says how what came back differs from what was made.
pub(super) fn differences(made: &Tree, back: &Tree, with_owners: bool) -> Vec<String> {
    let mut found = Vec::new();
    let shown = |path: &[u8]| match path {
        [] => "the folder itself".to_owned(),
        _ => crate::system::display_path(path).to_string(),
    };
    for (path, one) in made {
        match back.get(path) {
            None => found.push(format!("{} is missing", shown(path))),
            Some(other) => {
                let told = one.differences(other, with_owners);
                found.extend(told.into_iter().map(|what| format!("{}: {what}", shown(path))));
            }
        }
    }
    found.extend(back.keys().filter(|path| !made.contains_key(*path)).map(|path| format!("{} is new", shown(path))));
    found
}

impl Facts {
    fn differences(&self, other: &Self, with_owners: bool) -> Vec<String> {
        let mut found = Vec::new();
        let (a, b) = (&self.metadata, &other.metadata);
        let mut differ = |what: &str, is_other: bool, values: [String; 2]| {
            if is_other {
                found.push(format!("{what} was {} and is {}", values[0], values[1]));
            }
        };
        let texts = |a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| [format!("{a:?}"), format!("{b:?}")];
        differ("kind", a.kind != b.kind, texts(&a.kind, &b.kind));
        differ("length", a.size_bytes != b.size_bytes, texts(&a.size_bytes, &b.size_bytes));
        differ("content", self.content != other.content, ["one".to_owned(), "another".to_owned()]);
        differ("aim", self.link != other.link, texts(&self.link_text(), &other.link_text()));
        differ("time of change", a.mtime != b.mtime, texts(&a.mtime, &b.mtime));
        differ("mode", a.mode != b.mode, texts(&a.mode, &b.mode));
        differ("owner", with_owners && a.owner != b.owner, texts(&a.owner, &b.owner));
        differ("attributes", self.attributes != other.attributes, texts(&self.attributes, &other.attributes));
        differ("holes", self.has_holes() != other.has_holes(), texts(&self.has_holes(), &other.has_holes()));
        let names = |facts: &Self| facts.group.len();
        differ("number of names", self.group != other.group, texts(&names(self), &names(other)));
        found.extend(xattr_differences(&self.xattrs, &other.xattrs));
        found
    }

    fn link_text(&self) -> Option<String> {
        self.link.as_ref().map(|link| crate::system::display_path(link).to_string())
    }

    /// A file of at least some blocks that takes less than half of its length.
    fn has_holes(&self) -> bool {
        const COUNTS_FROM_BYTES: u64 = 1 << 20;
        let is_large = self.content.is_some() && self.metadata.size_bytes >= COUNTS_FROM_BYTES;
        is_large && self.metadata.blocks.saturating_mul(512) < self.metadata.size_bytes / 2
    }
}

fn xattr_differences(made: &Xattrs, back: &Xattrs) -> Vec<String> {
    let mut names: Vec<&Vec<u8>> = made.iter().chain(back).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        let (one, other) = (ntfs::get(made, name), ntfs::get(back, name));
        if !is_same_value(name, one, other) {
            let name = crate::system::display_path(name);
            found.push(format!("{name} was {} and is {}", shown_value(one), shown_value(other)));
        }
    }
    found
}

/// Returns whether two values of an attribute say the same.
pub(super) fn is_same_value(name: &[u8], one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one == other };
    let number = |value: &[u8]| Some(u32::from_be_bytes(value.try_into().ok()?) & ATTRIBUTES_COMPARED);
    match name {
        ATTRIBUTES => number(one).is_some() && number(one) == number(other),
        ACL => Descriptor::parse(one).is_some() && Descriptor::parse(one) == Descriptor::parse(other),
        _ => one == other,
    }
}

/// Returns the beginning of a value in hexadecimal digits, for people. What tells whose computer or domain it is is dotted.
pub(super) fn shown_value(value: Option<&[u8]>) -> String {
    const SHOWN_BYTES: usize = 120;
    let Some(value) = value else { return "nothing".to_owned() };
    let private = bytes::private_parts(value);
    let shown = value.iter().enumerate().take(SHOWN_BYTES);
    let digits: String = shown
        .map(
            |(at, byte)| {
                if private.iter().any(|part| part.contains(&at)) { "..".into() } else { format!("{byte:02x}") }
            },
        )
        .collect();
    match value.len() > SHOWN_BYTES {
        true => format!("{digits}… ({} bytes)", value.len()),
        false => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::ntfs::EA;

    #[test]
    fn values_are_compared_by_what_they_say() {
        let same = |name, a: &[u8], b: &[u8]| is_same_value(name, Some(a), Some(b));
        assert!(same(ATTRIBUTES, &[0, 0, 0x20, 0x26], &[0, 0, 0x20, 0x06]), "archive is not the file's own");
        assert!(!same(ATTRIBUTES, &[0, 0, 0, 0x26], &[0, 0, 0, 0x24]));
        assert!(!same(ATTRIBUTES, &[1], &[1]), "no number at all");
        let descriptor = |owner: &[u8]| Descriptor { owner: owner.to_vec(), ..Descriptor::default() }.to_bytes();
        let (one, other) = (descriptor(super::super::bytes::EVERYONE), descriptor(super::super::bytes::STRANGER));
        assert!(same(ACL, &one, &one) && !same(ACL, &one, &other));
        assert!(!is_same_value(EA, Some(b"x"), None) && is_same_value(EA, None, None));
        assert_eq!(shown_value(Some(&[1, 0xAB])), "01ab");
    }

    #[test]
    fn a_value_that_is_shown_does_not_tell_whose_computer_it_is() {
        // S-1-5-21-A-B-C-1001, S-1-12-1-A-B-C-D (a user of a cloud), and one that every computer has.
        let local = [&[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0][..], &[0xA5; 12], &[0xE9, 3, 0, 0]].concat();
        let cloud = [&[1, 5, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0][..], &[0xB6; 16]].concat();
        let value = [&local[..], &cloud, super::super::bytes::EVERYONE].concat();
        let shown = shown_value(Some(&value));
        let wanted = [
            "010500000000000515000000",
            &"..".repeat(12),
            "e9030000",
            "010500000000000c01000000",
            &"..".repeat(16),
            "010100000000000100000000",
        ];
        assert_eq!(shown, wanted.concat());
        // Cut off in the middle.
        assert_eq!(shown_value(Some(&local[..20])), format!("010500000000000515000000{}", "..".repeat(8)));
    }

    #[test]
    fn what_differs_in_a_tree_is_named() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path(), hardback_platform::Seam::default()).unwrap();
        for (folder, text) in [("a", "one"), ("b", "two")] {
            dir.make_dir(folder.as_bytes(), 0o700).unwrap();
            let inner = dir.open_dir(folder.as_bytes()).unwrap();
            inner.create_file(b"file", 0o600).unwrap().write_all_at(text.as_bytes(), 0).unwrap();
            inner.create_file(folder.as_bytes(), 0o600).unwrap();
        }
        let [a, b] = ["a", "b"].map(|name| read_tree(&dir.open_dir(name.as_bytes()).unwrap()).unwrap());
        assert_eq!(differences(&a, &a, true), Vec::<String>::new());
        let found = differences(&a, &b, true).join("\n");
        for expected in ["a is missing", "b is new", "file: content was one and is another"] {
            assert!(found.contains(expected), "{found}");
        }
    }
}
