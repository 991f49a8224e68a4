//! What is made for a selftest: one of each. A thing has a folder of its own, says how it is made, and whether it is
//! there then: a system may say that it did what it did not.

use super::bytes::{
    ALL, AUDIT_SUCCESS, Ace, Descriptor, EVERYONE, EXECUTE, GUESTS, STRANGER, entries, extended_attribute, junction,
};
use super::facts::{is_same_value, shown_value};
use hardback_platform::ntfs::{ACL, ATTRIBUTES, CREATED, EA, REPARSE};
use hardback_platform::{Dir, Faults, Kind, Owner, PathError, Time};
use std::path::Path;

/// Where a thing must be possible: elsewhere it may be, and is then checked all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    Everywhere,
    /// NTFS on Windows.
    Windows,
    /// A file system of Linux.
    Linux,
    /// Wherever it happens to be possible.
    Somewhere,
}

/// Why a thing was not made.
pub(super) enum Trouble {
    Path(PathError),
    Said(String),
}

impl From<PathError> for Trouble {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl Trouble {
    /// Returns whether the user has not the right.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Path(error) if error.fault() == Faults::Denied)
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Path(error) => format!("{error}: {}", error.source),
            Self::Said(text) => text.clone(),
        }
    }
}

type Made = Result<(), Trouble>;
type Make = dyn Fn(&Dir, &Path) -> Made;
/// What is there instead, if the thing is not.
type Instead = Result<Option<String>, PathError>;

/// One thing.
pub(super) struct Thing {
    pub(super) what: String,
    pub(super) expected: Where,
    pub(super) needs_privilege: bool,
    /// A backup may leave it out, if it says so.
    pub(super) may_be_a_problem: bool,
    pub(super) make: Box<Make>,
    pub(super) instead: Box<dyn Fn(&Dir) -> Instead>,
}

const FILE: &[u8] = b"file.txt";
const TEXT: &[u8] = b"What is in it.\n";

impl Thing {
    fn new(
        what: &str,
        expected: Where,
        make: impl Fn(&Dir, &Path) -> Made + 'static,
        instead: impl Fn(&Dir) -> Instead + 'static,
    ) -> Self {
        let (make, instead) = (Box::new(make), Box::new(instead));
        Self { what: what.to_owned(), expected, needs_privilege: false, may_be_a_problem: false, make, instead }
    }

    fn privileged(self) -> Self {
        Self { needs_privilege: true, ..self }
    }
}

/// Returns all of them.
pub(super) fn things() -> Vec<Thing> {
    let mut all = names();
    all.extend(kinds());
    all.extend(metadata());
    all.extend(of_ntfs());
    all
}

fn names() -> Vec<Thing> {
    let wide_name = "é".repeat(255);
    let list: [(&str, &[u8], Where); 12] = [
        ("name with umlauts and spaces", "Äpfel und Birnen.txt".as_bytes(), Where::Everywhere),
        ("name with an emoji", "🦀.txt".as_bytes(), Where::Everywhere),
        ("name of 255 characters of two bytes", wide_name.as_bytes(), Where::Windows),
        ("name of 255 letters", &[b'x'; 255], Where::Everywhere),
        ("name that ends in a dot", b"dot.", Where::Everywhere),
        ("name that ends in a space", b"space ", Where::Everywhere),
        ("name that is a device: CON", b"CON", Where::Everywhere),
        ("name that is a device: aux.txt", b"aux.txt", Where::Everywhere),
        ("name that is a device: COM1", b"COM1", Where::Everywhere),
        ("name with half a surrogate pair", b"half \xED\xA0\x80.txt", Where::Everywhere),
        ("name that is no UTF-8", b"latin \xFC.txt", Where::Linux),
        ("name with characters that Windows forbids", b"a:b?c*\"<|>\\.txt", Where::Linux),
    ];
    let named = |(what, name, expected): (&str, &[u8], Where)| {
        let (name, same) = (name.to_vec(), name.to_vec());
        let make = move |dir: &Dir, _: &Path| write(dir, &name, TEXT);
        Thing::new(what, expected, make, move |dir| has_file(dir, &same))
    };
    let mut all: Vec<_> = list.into_iter().map(named).collect();
    all.push(Thing::new("path longer than 260 characters", Where::Everywhere, make_deep, |dir| {
        let mut inner = dir.try_clone()?;
        for _ in 0..DEEP_LEVELS {
            inner = inner.open_dir(DEEP_NAME)?;
        }
        has_file(&inner, FILE)
    }));
    all
}

const DEEP_LEVELS: usize = 12;
const DEEP_NAME: &[u8] = b"a folder with a name of fifty characters, or so it is";

fn make_deep(dir: &Dir, _: &Path) -> Made {
    let mut inner = dir.try_clone()?;
    for _ in 0..DEEP_LEVELS {
        inner.make_dir(DEEP_NAME, 0o700)?;
        inner = inner.open_dir(DEEP_NAME)?;
    }
    write(&inner, FILE, TEXT)
}

fn kinds() -> Vec<Thing> {
    let symlink = |aim: &'static [u8]| {
        move |dir: &Dir, _: &Path| {
            write(dir, FILE, TEXT)?;
            dir.make_dir(b"folder", 0o700)?;
            Ok(dir.symlink(aim, b"link")?)
        }
    };
    let leads = |aim: &'static [u8]| {
        move |dir: &Dir| {
            let found = dir.read_link(b"link")?;
            Ok((found != aim).then(|| format!("a link to {}", crate::system::display_path(&found))))
        }
    };
    vec![
        Thing::new(
            "empty folder",
            Where::Everywhere,
            |dir, _| Ok(dir.make_dir(b"empty", 0o700)?),
            |dir| Ok((dir.stat(b"empty")?.kind != Kind::Dir).then(|| "no folder".to_owned())),
        ),
        Thing::new(
            "empty file",
            Where::Everywhere,
            |dir, _| write(dir, b"empty", b""),
            |dir| Ok((dir.stat(b"empty")?.size_bytes != 0).then(|| "a file that is not empty".to_owned())),
        ),
        Thing::new("symlink to a file", Where::Everywhere, symlink(FILE), leads(FILE)),
        Thing::new("symlink to a folder", Where::Everywhere, symlink(b"folder"), leads(b"folder")),
        Thing::new("symlink to nothing", Where::Everywhere, symlink(b"nowhere"), leads(b"nowhere")),
        Thing::new("names of one file", Where::Everywhere, make_links, |dir| {
            let ids = [dir.stat(FILE)?, dir.stat(b"second")?];
            let is_one = ids[0].id == ids[1].id && ids[0].nlink == 2;
            Ok((!is_one).then(|| format!("files with {} and {} names", ids[0].nlink, ids[1].nlink)))
        }),
        Thing::new("sparse file", Where::Everywhere, make_sparse, |dir| {
            let found = dir.stat(FILE)?;
            let room = found.blocks.saturating_mul(512);
            if room > SPARSE_BYTES / 2 {
                return Ok(Some(format!("a file of {} bytes that takes {room}", found.size_bytes)));
            }
            // Room may be saved below Windows, and a copy there would not know.
            if super::is_windows() { has_attribute(dir, SPARSE) } else { Ok(None) }
        }),
    ]
}

const SPARSE_BYTES: u64 = 8 << 20;

fn make_links(dir: &Dir, _: &Path) -> Made {
    write(dir, FILE, TEXT)?;
    Ok(dir.link(FILE, dir, b"second")?)
}

fn make_sparse(dir: &Dir, _: &Path) -> Made {
    let file = dir.create_file(FILE, 0o600)?;
    file.set_len(SPARSE_BYTES)?;
    file.write_all_at(TEXT, 0)?;
    Ok(file.write_all_at(TEXT, SPARSE_BYTES - TEXT.len() as u64)?)
}

fn metadata() -> Vec<Thing> {
    /// 3 February 2001, 04:05:06.7 UTC.
    const OLD: Time = Time { seconds: 981_173_106, nanos: 700_000_000 };
    const STRANGE_OWNER: Owner = Owner { uid: 54_321, gid: 54_322 };
    vec![
        Thing::new(
            "time of change, also of a folder",
            Where::Everywhere,
            |dir, _| {
                write(dir, FILE, TEXT)?;
                dir.make_dir(b"folder", 0o700)?;
                dir.set_mtime(b"folder", OLD)?;
                Ok(dir.set_mtime(FILE, OLD)?)
            },
            |dir| {
                let found = [dir.stat(FILE)?.mtime, dir.stat(b"folder")?.mtime];
                Ok((found != [OLD; 2]).then(|| format!("{found:?}")))
            },
        ),
        Thing::new(
            "permission bits",
            Where::Linux,
            |dir, _| {
                write(dir, FILE, TEXT)?;
                Ok(dir.set_mode(FILE, 0o751)?)
            },
            |dir| {
                let found = dir.stat(FILE)?.mode;
                Ok((found != Some(0o751)).then(|| format!("{found:?}")))
            },
        ),
        Thing::new(
            "owner of another computer (numbers)",
            Where::Linux,
            |dir, _| {
                write(dir, FILE, TEXT)?;
                Ok(dir.set_owner(FILE, STRANGE_OWNER)?)
            },
            |dir| {
                let found = dir.stat(FILE)?.owner;
                Ok((found != Some(STRANGE_OWNER)).then(|| format!("{found:?}")))
            },
        )
        .privileged(),
        with_xattr("access list that denies (POSIX)", Where::Somewhere, b"system.posix_acl_access", POSIX_ACL.to_vec()),
        Thing::new("file that is closed to all", Where::Everywhere, make_closed, |dir| has_file(dir, FILE))
            .privileged(),
    ]
}

/// Version 2, then tag, permissions and number: owner rw, user 12345 nothing, group r, mask rw, others nothing.
const POSIX_ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0x39, 0x30, 0, 0, 4, 0, 4, 0, 0xFF, 0xFF, 0xFF, 0xFF,
    16, 0, 6, 0, 0xFF, 0xFF, 0xFF, 0xFF, 32, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
];

/// Nobody may read it; a backup that has the right to does so all the same.
fn make_closed(dir: &Dir, _: &Path) -> Made {
    write(dir, FILE, TEXT)?;
    match dir.set_mode(FILE, 0) {
        Err(error) if error.fault() == Faults::Unsupported => {
            let descriptor = Descriptor { dacl: Some(Vec::new()), is_protected: true, ..descriptor_of(dir, FILE)? };
            Ok(dir.set_xattr(FILE, ACL, &descriptor.to_bytes())?)
        }
        other => Ok(other?),
    }
}

fn of_ntfs() -> Vec<Thing> {
    /// 3 February 2001, 04:05:06.7 UTC, in 100 ns since 1601.
    const OLD: u64 = 126_256_467_067_000_000;
    let attributes = |bits: u32| bits.to_be_bytes().to_vec();
    vec![
        with_xattr("attributes hidden, system, not indexed", Where::Windows, ATTRIBUTES, attributes(0x2026)),
        with_xattr("read-only file", Where::Windows, ATTRIBUTES, attributes(0x21)),
        with_xattr("time of creation", Where::Windows, CREATED, OLD.to_be_bytes().to_vec()),
        with_xattr("alternate stream, small", Where::Windows, b"user.Zone.Identifier", b"[ZoneTransfer]".to_vec()),
        with_xattr(
            "alternate stream of 100 kB",
            Where::Windows,
            b"user.large",
            (0..100_000u32).map(|n| n as u8).collect(),
        ),
        with_xattr("extended attribute (EA)", Where::Windows, EA, extended_attribute("HARDBACK.TEST", b"some value")),
        with_descriptor("access list with a deny entry, protected", |old| Descriptor {
            dacl: Some(entries(&[
                Ace { kind: 1, flags: 0, mask: EXECUTE, who: GUESTS },
                Ace { kind: 0, flags: 0, mask: ALL, who: EVERYONE },
            ])),
            is_protected: true,
            ..old
        }),
        with_descriptor("owner of another computer", |old| Descriptor { owner: STRANGER.to_vec(), ..old }).privileged(),
        with_descriptor("audit list (SACL)", |old| Descriptor {
            sacl: Some(entries(&[Ace { kind: 2, flags: AUDIT_SUCCESS, mask: ALL, who: EVERYONE }])),
            ..old
        })
        .privileged(),
        Thing::new("junction", Where::Windows, make_junction, |dir| {
            let wanted = junction(JUNCTION_AIM);
            let found = dir.xattrs(b"junction")?;
            let found = found.iter().find(|(name, _)| name == REPARSE).map(|(_, value)| &value[..]);
            Ok((found != Some(&wanted[..])).then(|| shown_value(found)))
        }),
        Thing::new("compressed file in a compressed folder", Where::Windows, make_compressed, is_compressed),
        Thing { may_be_a_problem: true, ..encrypted() },
    ]
}

/// Nothing is there, on any computer.
const JUNCTION_AIM: &str = r"C:\hardback-selftest-leads-nowhere";

fn make_junction(dir: &Dir, _: &Path) -> Made {
    Ok(dir.make_reparse(b"junction", true, &junction(JUNCTION_AIM))?)
}

const DIRECTORY_COMPRESSED: u32 = 0x810;
const SPARSE: u32 = 0x200;
const COMPRESSED: u32 = 0x800;
const ENCRYPTED: u32 = 0x4000;

fn make_compressed(dir: &Dir, _: &Path) -> Made {
    dir.make_dir(b"folder", 0o700)?;
    dir.set_xattr(b"folder", ATTRIBUTES, &DIRECTORY_COMPRESSED.to_be_bytes())?;
    let inner = dir.open_dir(b"folder")?;
    // What was compressed is there in full length: it must not come back shorter.
    write(&inner, FILE, &TEXT.repeat(20_000))
}

fn is_compressed(dir: &Dir) -> Instead {
    let inner = dir.open_dir(b"folder")?;
    has_attribute(&inner, COMPRESSED)
}

fn encrypted() -> Thing {
    let make = |dir: &Dir, path: &Path| {
        write(dir, FILE, TEXT)?;
        let place = path.join("file.txt");
        hardback_platform::encrypt(&place).map_err(|error| Trouble::Path(PathError::new("encrypt", FILE, error)))
    };
    // Not every edition of Windows has it.
    Thing::new("encrypted file (EFS)", Where::Somewhere, make, |dir| has_attribute(dir, ENCRYPTED))
}

fn has_attribute(dir: &Dir, bit: u32) -> Instead {
    let xattrs = dir.xattrs(FILE)?;
    let value = xattrs.iter().find(|(name, _)| name == ATTRIBUTES).map(|(_, value)| &value[..]);
    let number = value.and_then(|value| value.try_into().ok()).map_or(0, u32::from_be_bytes);
    Ok((number & bit == 0).then(|| format!("a file with the attributes: {}", shown_value(value))))
}

/// A file with an extended attribute.
fn with_xattr(what: &str, expected: Where, name: &'static [u8], value: Vec<u8>) -> Thing {
    let wanted = value.clone();
    let make = move |dir: &Dir, _: &Path| {
        write(dir, FILE, TEXT)?;
        Ok(dir.set_xattr(FILE, name, &value)?)
    };
    Thing::new(what, expected, make, move |dir| has_xattr(dir, name, &wanted))
}

/// A file whose security descriptor is another than that of a new file.
fn with_descriptor(what: &str, change: impl Fn(Descriptor) -> Descriptor + Clone + 'static) -> Thing {
    let same = change.clone();
    let make = move |dir: &Dir, _: &Path| {
        write(dir, b"new", TEXT)?;
        write(dir, FILE, TEXT)?;
        Ok(dir.set_xattr(FILE, ACL, &change(descriptor_of(dir, FILE)?).to_bytes())?)
    };
    let instead = move |dir: &Dir| match descriptor_of(dir, b"new") {
        Ok(of_new) => has_xattr(dir, ACL, &same(of_new).to_bytes()),
        Err(trouble) => Ok(Some(trouble.text())),
    };
    Thing::new(what, Where::Windows, make, instead)
}

fn descriptor_of(dir: &Dir, name: &[u8]) -> Result<Descriptor, Trouble> {
    let xattrs = dir.xattrs(name)?;
    let value = xattrs.iter().find(|(name, _)| name == ACL).map(|(_, value)| &value[..]);
    let value = value.ok_or_else(|| Trouble::Said("no security descriptor is answered for a file".to_owned()))?;
    Descriptor::parse(value)
        .ok_or_else(|| Trouble::Said(format!("a security descriptor is malformed: {}", shown_value(Some(value)))))
}

fn has_xattr(dir: &Dir, name: &[u8], wanted: &[u8]) -> Instead {
    let xattrs = dir.xattrs(FILE)?;
    let found = xattrs.iter().find(|(found, _)| found == name).map(|(_, value)| &value[..]);
    Ok((!is_same_value(name, Some(wanted), found)).then(|| shown_value(found)))
}

/// Says what is there instead of a file with our text, by the list of the folder and by opening it.
fn has_file(dir: &Dir, name: &[u8]) -> Instead {
    let listing = dir.list()?;
    if !listing.iter().any(|entry| entry.name == name) {
        let names: Vec<_> = listing.iter().map(|e| crate::system::display_path(e.name).to_string()).collect();
        return Ok(Some(format!("the names {names:?}")));
    }
    let content = dir.open_file(name)?.read_to_vec(TEXT.len())?;
    Ok((content != TEXT).then(|| "another content".to_owned()))
}

fn write(dir: &Dir, name: &[u8], text: &[u8]) -> Made {
    Ok(dir.create_file(name, 0o600)?.write_all_at(text, 0)?)
}
