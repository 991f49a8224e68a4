//! What a snapshot must be: full copies of trees in memory, and a check of a target against them.
//!
//! Trees are read with the standard library and `*xattr` calls, not with the product's code; only manifests, whose
//! format is the product's, are read with its reader.

#![allow(clippy::disallowed_methods, reason = "an oracle looks at the disk with other code than the product's")]

use crate::rig::{JOB, Rig};
use hardback_engine::manifest::{Entry, Line, Reader};
use hardback_engine::{DigestLists, Target, catalog};
use hardback_platform::{FileRead, Kind};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// One entry of a tree, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Content of a file, text of a symlink.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Time of the last change: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// User and group.
    pub owner: (u32, u32),
    /// Number of a device.
    pub device: u64,
    /// Extended attributes of `user.`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// First path of the file, where it has several in this tree.
    pub group: Option<Vec<u8>>,
    /// Number of the inode.
    pub inode: u64,
}

/// A tree by path, the top as an empty path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Snapshots that must stay as they are, by name.
pub type Known = BTreeMap<String, Tree>;

/// Reads a tree.
pub fn read_tree(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first_names = HashMap::new();
    read_below(top, Vec::new(), &mut tree, &mut first_names);
    tree
}

fn read_below(path: &Path, below: Vec<u8>, tree: &mut Tree, first_names: &mut HashMap<u64, Vec<u8>>) {
    let metadata = fs::symlink_metadata(path).expect("the tree stands still");
    let is_dir = metadata.is_dir();
    let mut node = read_node(path, &metadata);
    if !is_dir {
        let first = first_names.entry(metadata.ino()).or_insert_with(|| below.clone()).clone();
        if first != below {
            tree.get_mut(&first).expect("the first name was read before").group = Some(first.clone());
            node.group = Some(first);
        }
    }
    tree.insert(below.clone(), node);
    if is_dir {
        let mut names: Vec<_> =
            fs::read_dir(path).expect("readable").map(|e| e.expect("readable").file_name()).collect();
        names.sort();
        for name in names {
            let mut deeper = below.clone();
            if !deeper.is_empty() {
                deeper.push(b'/');
            }
            deeper.extend_from_slice(name.as_bytes());
            read_below(&path.join(name), deeper, tree, first_names);
        }
    }
}

fn read_node(path: &Path, metadata: &Metadata) -> Node {
    let file_type = metadata.file_type();
    let kind = if file_type.is_dir() {
        Kind::Dir
    } else if file_type.is_file() {
        Kind::File
    } else if file_type.is_symlink() {
        Kind::Symlink
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_socket() {
        Kind::Socket
    } else if file_type.is_block_device() {
        Kind::BlockDevice
    } else {
        Kind::CharDevice
    };
    let content = match kind {
        Kind::File => fs::read(path).expect("readable"),
        Kind::Symlink => fs::read_link(path).expect("readable").into_os_string().into_vec(),
        _ => Vec::new(),
    };
    Node {
        kind,
        content,
        mode: if kind == Kind::Symlink { 0 } else { metadata.mode() & 0o7777 },
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        owner: (metadata.uid(), metadata.gid()),
        device: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { metadata.rdev() } else { 0 },
        xattrs: read_xattrs(path),
        group: None,
        inode: metadata.ino(),
    }
}

fn read_xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut xattrs = BTreeMap::new();
    for name in names[..length].split(|&b| b == 0).filter(|n| n.starts_with(b"user.")) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("listed");
        value.truncate(length);
        xattrs.insert(name.to_vec(), value);
    }
    xattrs
}

/// What two trees are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// All but the inodes: two trees of which one is a copy of the other.
    Everything,
    /// Kinds and contents only.
    Content,
    /// All and the inodes: a tree and its earlier self.
    Identity,
}

/// Returns in what two trees differ, one line a path.
pub fn differences(expected: &Tree, found: &Tree, by: By) -> Vec<String> {
    let paths: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut all = Vec::new();
    for path in paths {
        let name = String::from_utf8_lossy(path);
        match (expected.get(path), found.get(path)) {
            (Some(_), None) => all.push(format!("{name}: missing")),
            (None, Some(_)) => all.push(format!("{name}: should not be there")),
            (Some(a), Some(b)) => all.extend(difference(a, b, by).map(|what| format!("{name}: {what}"))),
            (None, None) => {}
        }
    }
    all
}

/// Returns in what two entries differ.
pub fn difference(a: &Node, b: &Node, by: By) -> Option<String> {
    if a.kind != b.kind {
        return Some(format!("{:?} became {:?}", a.kind, b.kind));
    }
    if a.content != b.content {
        return Some(format!("content of {} bytes became another of {}", a.content.len(), b.content.len()));
    }
    let metadata = |n: &Node| (n.mode, n.mtime, n.owner, n.device, n.xattrs.clone(), n.group.clone());
    if by != By::Content && metadata(a) != metadata(b) {
        return Some(format!("metadata {:?} became {:?}", metadata(a), metadata(b)));
    }
    (by == By::Identity && a.inode != b.inode).then(|| "another inode".to_owned())
}

/// Checks all of a target: every listed snapshot verifies, those known are as they were, and nothing of a snapshot
/// that is not sealed is visible. Returns the snapshots.
///
/// # Panics
/// With what is wrong.
#[track_caller]
pub fn check_target(rig: &Rig, known: &Known, context: &str) -> Vec<catalog::Snapshot> {
    let target = rig.open().unwrap_or_else(|e| panic!("{context}: the target does not open: {e:?}"));
    let all = catalog::snapshots(&target, JOB).unwrap_or_else(|e| panic!("{context}: no list: {e}"));
    assert!(all.unsealed.is_empty(), "{context}: without a whole seal: {:?}", all.unsealed);
    let all = all.sealed;
    let mut wrong = Vec::new();
    for snapshot in &all {
        let found = verify(rig, &target, snapshot);
        wrong.extend(found.into_iter().map(|w| format!("{}: {w}", snapshot.name)));
    }
    for (name, tree) in known {
        if !all.iter().any(|s| s.name == *name) {
            wrong.push(format!("{name}: not listed any more"));
            continue;
        }
        let found = differences(tree, &read_tree(&rig.snapshot(name)), By::Identity);
        wrong.extend(found.into_iter().map(|w| format!("{name} was changed: {w}")));
    }
    for name in names_in(&rig.target.join(JOB)) {
        if name != "latest" && !all.iter().any(|s| s.name == name) {
            wrong.push(format!("{name}: visible but not sealed"));
        }
    }
    assert!(wrong.is_empty(), "{context}:\n{}", wrong.join("\n"));
    all
}

/// Returns what is left over of runs: in the folders of unfinished snapshots and of trash, and records of snapshots
/// that do not exist.
pub fn leftovers(rig: &Rig, snapshots: &[catalog::Snapshot]) -> Vec<String> {
    let ours = rig.target.join(".hardback");
    let mut left = Vec::new();
    for dir in [format!("partial/{JOB}"), "trash".to_owned()] {
        left.extend(names_in(&ours.join(&dir)).into_iter().map(|n| format!("{dir}/{n}")));
    }
    let sealed = |file: &str| snapshots.iter().any(|s| file.starts_with(&format!("{}.", s.name)));
    let manifests = names_in(&ours.join("manifests").join(JOB));
    left.extend(manifests.into_iter().filter(|n| !sealed(n)).map(|n| format!("manifests/{n}")));
    let lists = names_in(&ours.join("digests").join(JOB));
    let of_snapshot = |n: &str| snapshots.iter().any(|s| n == format!("{:08}.b3", s.seal.generation));
    left.extend(lists.into_iter().filter(|n| !of_snapshot(n)).map(|n| format!("digests/{n}")));
    left
}

fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

/// Returns what is wrong with a snapshot, by its seal, its record and its tree.
fn verify(rig: &Rig, target: &Target, snapshot: &catalog::Snapshot) -> Vec<String> {
    let ours = rig.target.join(".hardback");
    let seal = &snapshot.seal;
    let mut wrong = Vec::new();
    let manifest = fs::read(ours.join(format!("manifests/{JOB}/{}.manifest.zst", snapshot.name)));
    match manifest {
        Ok(bytes) if *blake3::hash(&bytes).as_bytes() == seal.manifest && bytes.len() as u64 == seal.manifest_bytes => {
        }
        Ok(_) => wrong.push("the manifest is not the sealed one".to_owned()),
        Err(error) => return vec![format!("no manifest: {error}")],
    }
    match fs::read(ours.join(format!("digests/{JOB}/{:08}.b3", seal.generation))) {
        Ok(bytes) if *blake3::hash(&bytes).as_bytes() == seal.digests => {}
        Ok(_) => wrong.push("the digest list is not the sealed one".to_owned()),
        Err(error) => wrong.push(format!("no digest list: {error}")),
    }
    let reader = match catalog::open_manifest(target, JOB, &snapshot.name) {
        Ok(reader) => reader,
        Err(error) => return vec![format!("the manifest does not open: {error}")],
    };
    let tree = read_tree(&rig.snapshot(&snapshot.name));
    match compare_with_record(reader, &tree, target, snapshot) {
        Ok(found) => wrong.extend(found),
        Err(error) => wrong.push(error),
    }
    wrong
}

fn compare_with_record(
    mut reader: Reader<FileRead>,
    tree: &Tree,
    target: &Target,
    snapshot: &catalog::Snapshot,
) -> Result<Vec<String>, String> {
    let lists = DigestLists::open(target, JOB);
    let mut wrong = Vec::new();
    let mut recorded = BTreeSet::new();
    let mut dir: Vec<Vec<u8>> = Vec::new();
    let mut ended = false;
    while let Some((line, _)) = reader.next_line().map_err(|e| format!("the manifest cannot be read: {e}"))? {
        match line {
            Line::Entry(entry) => {
                let mut path = dir.clone();
                if *entry.name != *b"." {
                    path.push(entry.stored_name().to_vec());
                }
                let joined = path.join(&b'/');
                if entry.is_in_tree() {
                    let found = compare_entry(&entry, tree.get(&joined), &lists, snapshot, path.is_empty());
                    wrong.extend(found.map(|what| format!("{}: {what}", String::from_utf8_lossy(&joined))));
                    recorded.insert(joined);
                }
                if entry.is_dir() {
                    dir = path;
                }
            }
            Line::Up => {
                dir.pop();
            }
            Line::End => ended = true,
            Line::Unstored(..) | Line::User(..) | Line::Group(..) => {}
        }
    }
    if !ended || reader.totals() != snapshot.seal.totals {
        wrong.push("the record does not end as the seal says".to_owned());
    }
    let unknown = tree.keys().filter(|path| !recorded.contains(*path));
    wrong.extend(unknown.map(|path| format!("{}: in the tree but not in the record", String::from_utf8_lossy(path))));
    Ok(wrong)
}

fn compare_entry(
    entry: &Entry,
    node: Option<&Node>,
    lists: &DigestLists,
    snapshot: &catalog::Snapshot,
    is_top: bool,
) -> Option<String> {
    let Some(node) = node else { return Some("in the record but not in the tree".to_owned()) };
    let limited = |code: &str| snapshot.seal.limitations.iter().any(|l| l == code);
    if node.kind != entry.kind {
        return Some(format!("recorded as {:?}, is {:?}", entry.kind, node.kind));
    }
    if entry.kind == Kind::File {
        if node.content.len() as u64 != entry.size_bytes {
            return Some(format!("recorded with {} bytes, has {}", entry.size_bytes, node.content.len()));
        }
        let digest = entry.content.map(|c| lists.get(c).map_err(|e| e.to_string()));
        match digest {
            None if entry.size_bytes == 0 => {}
            Some(Ok(digest)) if digest == *blake3::hash(&node.content).as_bytes() => {}
            other => return Some(format!("content is not the recorded one ({other:?})")),
        }
    }
    if entry.kind == Kind::Symlink && entry.link_text() != Some(&node.content[..]) {
        return Some("another symlink".to_owned());
    }
    if is_top {
        return None;
    }
    if !limited("times") && (entry.mtime.seconds, i64::from(entry.mtime.nanos)) != node.mtime {
        return Some(format!("recorded mtime {:?}, has {:?}", entry.mtime, node.mtime));
    }
    if !limited("modes") && entry.kind != Kind::Symlink && entry.mode != Some(node.mode) {
        return Some(format!("recorded mode {:?}, has {:o}", entry.mode, node.mode));
    }
    if !limited("owners") && entry.owner.is_some_and(|o| (o.uid, o.gid) != node.owner) {
        return Some(format!("recorded owner {:?}, has {:?}", entry.owner, node.owner));
    }
    None
}
