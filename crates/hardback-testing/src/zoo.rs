//! A tree with everything that a Linux source can hold, and changes to it.

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// How rich a zoo is.
#[derive(Debug, Clone, Copy)]
pub struct ZooOptions {
    /// Longest text of a symlink that source and target hold.
    pub symlink_bytes_max: usize,
    /// Levels of the deep tree; beyond `PATH_MAX` from about 2,100 on.
    pub levels: usize,
    /// Everything that only root on a native volume can make: owners, devices, privileged attributes, `chattr`.
    pub privileged: bool,
    /// Names that NTFS cannot hold.
    pub foreign_names: bool,
}

/// A tree with everything.
#[derive(Debug)]
pub struct Zoo {
    root: PathBuf,
    options: ZooOptions,
}

/// Paths that `chattr` was used on, or that have none for comparison.
pub const PATHS_WITH_ATTRIBUTES: &[&str] = &[
    "attributes/nodump",
    "attributes/noatime",
    "immutable",
    "immutable/immutable",
    "immutable/append",
    "contents/one",
];

/// One MiB.
const MIB: u64 = 1 << 20;

impl Zoo {
    /// Makes a zoo in a new folder.
    pub fn make(root: &Path, options: ZooOptions) -> Self {
        fs::create_dir(root).unwrap();
        let zoo = Self { root: root.to_owned(), options };
        zoo.modes_and_owners();
        zoo.attributes();
        zoo.contents();
        zoo.specials();
        zoo.symlinks();
        zoo.link_groups();
        zoo.names();
        zoo.deep();
        zoo.trees();
        zoo.times();
        zoo
    }

    /// Returns where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.root.join(path.as_ref())
    }

    fn dir(&self, path: impl AsRef<OsStr>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir(&path).unwrap();
        path
    }

    fn file(&self, path: impl AsRef<OsStr>, content: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::write(&path, content).unwrap();
        path
    }

    fn modes_and_owners(&self) {
        self.dir("modes");
        for mode in [0o0, 0o111, 0o400, 0o600, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711] {
            let file = self.file(format!("modes/file-{mode:04o}"), format!("mode {mode:o}").as_bytes());
            let dir = self.dir(format!("modes/dir-{mode:04o}"));
            self.file(format!("modes/dir-{mode:04o}/inside"), b"inside");
            if self.options.privileged {
                chown(&file, 1000, 65534);
                chown(&dir, 65534, 1000);
            }
            for path in [&file, &dir] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let tmp = self.dir("modes/tmp");
        fs::set_permissions(tmp, fs::Permissions::from_mode(0o1777)).unwrap();
    }

    fn attributes(&self) {
        self.dir("attributes");
        let file = self.file("attributes/note", b"with a note");
        set_xattr(&file, "user.note", b"a note with \n newline and \0 NUL");
        set_xattr(&file, "user.empty", b"");
        set_xattr(&self.file("attributes/empty-with-note", b""), "user.note", b"x");
        set_xattr(&self.dir("attributes/dir"), "user.note", b"of a folder");
        if !self.options.privileged {
            return;
        }
        set_xattr(&file, "trusted.secret", b"root only");
        set_xattr(&file, "security.selinux", b"system_u:object_r:etc_t:s0\0");
        let program = self.file("attributes/program", b"#!/bin/sh\n");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&program, 1000, 1000);
        // VFS_CAP_REVISION_2 with the effective bit: cap_net_raw.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_xattr(&program, "security.capability", &capability);
        let acl = acl(&[(1, 6, 0), (2, 4, 1000), (2, 7, 65534), (4, 4, 0), (8, 5, 1000), (16, 7, 0), (32, 0, 0)]);
        set_xattr(&self.file("attributes/acl", b"acl"), "system.posix_acl_access", &acl);
        let dir = self.dir("attributes/acl-dir");
        self.file("attributes/acl-dir/made-before", b"no acl");
        set_xattr(&dir, "system.posix_acl_access", &acl);
        set_xattr(&dir, "system.posix_acl_default", &acl);
        self.file("attributes/acl-dir/inherits", b"acl from its folder");
        self.dir("attributes/acl-dir/sub");
        for (name, flags) in [("nodump", IFlags::NODUMP), ("noatime", IFlags::NOATIME)] {
            set_flags(&self.file(format!("attributes/{name}"), name.as_bytes()), flags);
        }
    }

    /// Sets the flags that forbid changes; last, and not on what later changes touch.
    pub fn make_immutable(&self) {
        let dir = self.dir("immutable");
        for (name, flags) in [("immutable", IFlags::IMMUTABLE), ("append", IFlags::APPEND)] {
            set_flags(&self.file(format!("immutable/{name}"), name.as_bytes()), flags);
        }
        set_mtime(&dir, 1_000_000_000, 5);
        set_flags(&dir, IFlags::IMMUTABLE);
    }

    fn contents(&self) {
        self.dir("contents");
        self.file("contents/empty", b"");
        self.file("contents/one", b"1");
        self.file("contents/page", &noise(4096, 1));
        self.file("contents/large", &noise(3 * MIB as usize + 17, 2));
        self.sparse("contents/hole-first", 5 * MIB, &[(4 * MIB, 100_000)]);
        self.sparse("contents/hole-last", 5 * MIB, &[(0, 100_000)]);
        self.sparse("contents/holes", 9 * MIB, &[(MIB, 70_000), (5 * MIB, 70_000)]);
        self.sparse("contents/only-hole", 3 * MIB + 5, &[]);
        if self.options.privileged {
            self.sparse("contents/huge", (4 << 30) + 1, &[(0, 4096), (2 << 30, 4096), (4 << 30, 1)]);
        }
    }

    fn sparse(&self, path: &str, size: u64, data: &[(u64, usize)]) {
        let file = fs::File::create(self.path(path)).unwrap();
        for &(at, length) in data {
            file.write_all_at(&noise(length, at), at).unwrap();
        }
        file.set_len(size).unwrap();
    }

    fn specials(&self) {
        self.dir("specials");
        if !self.options.privileged {
            return;
        }
        let nodes = [
            ("fifo", FileType::Fifo, (0, 0)),
            ("socket", FileType::Socket, (0, 0)),
            ("null", FileType::CharacterDevice, (1, 3)),
            ("char-large", FileType::CharacterDevice, (511, 262_143)),
            ("block", FileType::BlockDevice, (7, 200)),
        ];
        for (name, kind, (major, minor)) in nodes {
            let path = self.path(format!("specials/{name}"));
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::from_raw_mode(0o640), device).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o624)).unwrap();
            chown(&path, 1000, 65534);
            set_mtime(&path, 1_234_567_890, 987_654_321);
        }
    }

    fn symlinks(&self) {
        self.dir("symlinks");
        let long = "long/".repeat(self.options.symlink_bytes_max / 5);
        let texts = [
            ("dangling", "no/such/thing"),
            ("absolute", "/etc/passwd"),
            ("up", "../contents/one"),
            ("dir", "../contents"),
            ("self", "self"),
            ("long", &long),
        ];
        for (name, text) in texts {
            let path = self.path(format!("symlinks/{name}"));
            symlink(text, &path).unwrap();
            set_mtime(&path, -86_400, 1);
            if self.options.privileged {
                chown(&path, 65534, 1000);
                set_xattr(&path, "trusted.of-a-link", name.as_bytes());
            }
        }
    }

    fn link_groups(&self) {
        for dir in ["groups", "groups/a", "groups/b", "groups/b/deeper"] {
            self.dir(dir);
        }
        let link = |old: &str, new: &str| fs::hard_link(self.path(old), self.path(new)).unwrap();
        self.file("groups/a/one", b"in one folder");
        link("groups/a/one", "groups/a/two");
        self.file("groups/b/across", &noise(2 * MIB as usize, 7));
        link("groups/b/across", "groups/a/across");
        link("groups/b/across", "groups/b/deeper/across");
        self.file("groups/a/empty", b"");
        link("groups/a/empty", "groups/b/empty");
        symlink("text", self.path("groups/a/link")).unwrap();
        link("groups/a/link", "groups/b/link");
        // Equal, but not one file.
        self.file("groups/a/equal", b"equal");
        self.file("groups/b/equal", b"equal");
        self.file("groups/a/pair", b"separated later");
        link("groups/a/pair", "groups/a/pair-2");
        self.file("groups/a/will-lose", b"loses a name later");
        link("groups/a/will-lose", "groups/b/will-lose");
        if self.options.privileged {
            link("specials/null", "groups/a/null");
            link("specials/fifo", "groups/b/fifo");
        }
    }

    fn names(&self) {
        let dir = self.dir("names");
        let mut names: Vec<Vec<u8>> = [
            "with space",
            "-dash",
            "--delete",
            "quote'",
            "My a",
            "My b",
            "ümlaut",
            "u\u{308}mlaut",
            "日本",
            "🦀",
            "Foo",
            "#hash",
            "..hidden",
            "percent%20",
            "$HOME",
            "~",
            ".hardback",
            "latest",
        ]
        .iter()
        .map(|n| n.as_bytes().to_vec())
        .collect();
        names.push(vec![b'n'; 255]);
        if self.options.foreign_names {
            let foreign = [
                "foo",
                "new\nline",
                "quote\"",
                "trailing.",
                "trailing ",
                "CON",
                "aux.txt",
                "a:b",
                "back\\slash",
                "tab\t",
                "\u{1}",
            ];
            names.extend(foreign.iter().map(|n| n.as_bytes().to_vec()));
            names.push(b"not-\xff-utf8".to_vec());
            names.push(b"\x80".to_vec());
            names.push([&[0xfe; 4][..], &[b'x'; 251]].concat());
        }
        for name in names {
            let os: OsString = OsString::from_vec(name);
            fs::write(dir.join(&os), os.as_bytes()).unwrap();
            let sub = [b"d".as_slice(), &os.as_bytes()[..os.len().min(254)]].concat();
            let sub = dir.join(OsString::from_vec(sub));
            fs::create_dir(&sub).unwrap();
            fs::write(sub.join("inside"), b"inside").unwrap();
        }
    }

    fn deep(&self) {
        let mut dir = open_dir(&self.dir("deep"));
        for level in 0..self.options.levels {
            rustix::fs::mkdirat(&dir, "d", Mode::from_raw_mode(0o755)).unwrap();
            dir = rustix::fs::openat(&dir, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            if level % 1000 == 999 || level + 1 == self.options.levels {
                let flags = OFlags::WRONLY | OFlags::CREATE;
                let file = rustix::fs::openat(&dir, "bottom", flags, Mode::from_raw_mode(0o644)).unwrap();
                rustix::io::write(&file, format!("level {level}").as_bytes()).unwrap();
            }
        }
    }

    fn trees(&self) {
        self.dir("empty");
        self.dir("plain");
        for n in 0..40 {
            self.file(format!("plain/{n:02}"), format!("plain file {n}").as_bytes());
        }
        self.dir("moving");
        self.dir("moving/below");
        for n in 0..20 {
            self.file(format!("moving/below/{n}"), &noise(5000, n));
        }
        self.dir("replaced-by-file");
        self.file("replaced-by-file/inside", b"inside");
        self.file("replaced-by-dir", b"a file");
        self.file("replaced-by-link", b"a file");
        self.dir("deleted");
        self.file("deleted/file", b"deleted");
        self.file("app.log", b"first line\n");
    }

    fn times(&self) {
        self.dir("times");
        for (name, seconds, nanos) in [
            ("before-1970", -1_000_000_000, 123_456_789),
            ("just-before-1970", -1, 999_999_999),
            ("zero", 0, 0),
            ("after-2038", 4_102_444_800, 1),
            ("in-2100", 4_133_980_799, 999_999_999),
        ] {
            set_mtime(&self.file(format!("times/{name}"), name.as_bytes()), seconds, nanos);
            let dir = self.dir(format!("times/dir-{name}"));
            self.file(format!("times/dir-{name}/inside"), b"inside");
            set_mtime(&dir, seconds, nanos);
        }
        set_mtime(&self.path("times"), 1_600_000_000, 42);
        set_mtime(&self.root, 1_500_000_000, 77);
    }

    /// Changes contents, metadata and names; `round` from 1 to 3.
    pub fn change(&self, round: u32) {
        match round {
            1 => self.edit(),
            2 => self.rename_and_replace(),
            _ => self.put_back(),
        }
    }

    fn edit(&self) {
        self.file("contents/one", b"2");
        let large = fs::File::options().write(true).open(self.path("contents/large")).unwrap();
        large.write_all_at(b"changed in the middle", MIB).unwrap();
        let holes = fs::File::options().write(true).open(self.path("contents/holes")).unwrap();
        holes.write_all_at(&noise(8192, 99), 7 * MIB).unwrap();
        let grown = fs::File::options().write(true).open(self.path("contents/hole-last")).unwrap();
        grown.set_len(200 * MIB).unwrap();
        let cut = fs::File::options().write(true).open(self.path("contents/hole-first")).unwrap();
        cut.set_len(4 * MIB + 50_000).unwrap();
        fs::set_permissions(self.path("plain/01"), fs::Permissions::from_mode(0o604)).unwrap();
        set_xattr(&self.path("plain/02"), "user.new", b"value");
        set_xattr(&self.path("attributes/note"), "user.note", b"another");
        rustix::fs::removexattr(self.path("attributes/empty-with-note"), "user.note").unwrap();
        if self.options.privileged {
            chown(&self.path("plain/03"), 1000, 1000);
            chown(&self.path("symlinks/dangling"), 1, 1);
            fs::set_permissions(self.path("modes/dir-4755"), fs::Permissions::from_mode(0o2700)).unwrap();
        }
        set_mtime(&self.path("plain/04"), 999_999_999, 1);
        fs::hard_link(self.path("groups/a/one"), self.path("groups/b/three")).unwrap();
        fs::remove_file(self.path("groups/b/will-lose")).unwrap();
        // The pair becomes two files that are equal in everything but being one.
        let pair = self.path("groups/a/pair-2");
        let modified = fs::metadata(&pair).unwrap().modified().unwrap();
        fs::remove_file(&pair).unwrap();
        fs::write(&pair, b"separated later").unwrap();
        fs::File::options().write(true).open(&pair).unwrap().set_modified(modified).unwrap();
    }

    fn rename_and_replace(&self) {
        let rename = |old: &str, new: &str| fs::rename(self.path(old), self.path(new)).unwrap();
        rename("plain/05", "plain/05-renamed");
        rename("moving", "moved");
        rename("plain/06", "empty/06");
        rename("groups/b/deeper", "groups/deeper-moved");
        fs::remove_dir_all(self.path("deleted")).unwrap();
        fs::remove_file(self.path("plain/07")).unwrap();
        fs::remove_dir_all(self.path("replaced-by-file")).unwrap();
        self.file("replaced-by-file", b"now a file");
        fs::remove_file(self.path("replaced-by-dir")).unwrap();
        self.dir("replaced-by-dir");
        self.file("replaced-by-dir/inside", b"in what was a file");
        fs::remove_file(self.path("replaced-by-link")).unwrap();
        symlink("plain", self.path("replaced-by-link")).unwrap();
        rename("app.log", "app.log.1");
        self.file("app.log", b"second line\n");
        fs::set_permissions(self.path("groups/a/across"), fs::Permissions::from_mode(0o640)).unwrap();
        // One name of a group becomes a file of its own, with another content.
        fs::remove_file(self.path("groups/a/two")).unwrap();
        self.file("groups/a/two", b"not linked any more");
    }

    fn put_back(&self) {
        let rename = |old: &str, new: &str| fs::rename(self.path(old), self.path(new)).unwrap();
        rename("moved", "moving");
        fs::remove_file(self.path("replaced-by-file")).unwrap();
        self.dir("replaced-by-file");
        self.file("replaced-by-file/inside", b"inside");
        fs::remove_dir_all(self.path("replaced-by-dir")).unwrap();
        self.file("replaced-by-dir", b"a file");
        fs::remove_file(self.path("replaced-by-link")).unwrap();
        self.file("replaced-by-link", b"a file");
        rename("app.log.1", "app.log.2");
        rename("app.log", "app.log.1");
        self.file("app.log", b"third line\n");
        fs::set_permissions(self.path("plain/01"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::File::options().write(true).open(self.path("contents/page")).unwrap().set_len(100).unwrap();
        let holes = fs::File::options().write(true).open(self.path("contents/holes")).unwrap();
        holes.set_len(0).unwrap();
        holes.set_len(9 * MIB).unwrap();
        self.file("contents/only-hole", b"");
        if self.options.privileged {
            let huge = fs::File::options().write(true).open(self.path("contents/huge")).unwrap();
            huge.write_all_at(&noise(100, 5), 3 << 30).unwrap();
        }
    }
}

/// Bytes that do not compress and differ by seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Sets the time of the last change to the nanosecond, of a symlink itself.
pub fn set_mtime(path: &Path, seconds: i64, nanos: i64) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
    };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Sets owner and group, of a symlink itself.
pub fn chown(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
}

/// Sets an extended attribute, of a symlink itself.
pub fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("cannot set {name} of {}: {e}", path.display()));
}

fn set_flags(path: &Path, flags: IFlags) {
    let file = fs::File::open(path).unwrap();
    let old = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, old | flags).unwrap();
}

fn open_dir(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Builds a POSIX ACL as the kernel takes it: (tag, permissions, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for &(tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        let id = if matches!(tag, 2 | 8) { id } else { u32::MAX };
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}
