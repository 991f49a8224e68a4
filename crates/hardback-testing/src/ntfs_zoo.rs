//! One of each thing that NTFS has, made by ntfs-3g's own attributes, and all of it read back: nothing here goes through
//! `hardback-platform`.

use crate::volume::{Volume, VolumeKind};
use rustix::fs::XattrFlags;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// All that is known about an entry: the facts by name.
pub type Facts = BTreeMap<String, Vec<u8>>;

/// A small tree with everything that NTFS keeps.
#[derive(Debug)]
pub struct NtfsZoo {
    root: PathBuf,
}

/// `S-1-5-21-1-2-3-1001` and its like.
fn sid(authority: u8, numbers: &[u32]) -> Vec<u8> {
    let mut sid = vec![1, u8::try_from(numbers.len()).unwrap(), 0, 0, 0, 0, 0, authority];
    sid.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    sid
}

/// An ACE: type, flags, mask, what comes before the SID, the SID, what comes behind it.
fn ace(kind: u8, flags: u8, mask: u32, before: &[u8], sid: &[u8], behind: &[u8]) -> Vec<u8> {
    let body = [&mask.to_le_bytes(), before, sid, behind].concat();
    let length = u16::try_from(body.len() + 4).unwrap();
    [&[kind, flags][..], &length.to_le_bytes(), &body].concat()
}

fn acl(revision: u8, aces: &[Vec<u8>]) -> Vec<u8> {
    let body = aces.concat();
    let (length, count) = (u16::try_from(body.len() + 8).unwrap(), u16::try_from(aces.len()).unwrap());
    [&[revision, 0][..], &length.to_le_bytes(), &count.to_le_bytes(), &[0, 0], &body].concat()
}

/// A self-relative security descriptor.
fn descriptor(control: u16, owner: &[u8], group: &[u8], sacl: Option<Vec<u8>>, dacl: Option<Vec<u8>>) -> Vec<u8> {
    const SELF_RELATIVE: u16 = 0x8000;
    let present = if sacl.is_some() { 0x10 } else { 0 } | if dacl.is_some() { 4 } else { 0 };
    let mut bytes = [&[1, 0][..], &(control | present | SELF_RELATIVE).to_le_bytes(), &[0; 16]].concat();
    let mut put = |at: usize, part: Option<&[u8]>| {
        if let Some(part) = part {
            let offset = u32::try_from(bytes.len()).unwrap();
            bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    };
    put(12, sacl.as_deref());
    put(16, dacl.as_deref());
    put(4, Some(owner));
    put(8, Some(group));
    bytes
}

/// Security descriptors of all kinds, by name.
pub fn descriptors() -> Vec<(&'static str, Vec<u8>)> {
    let admins = sid(5, &[32, 544]);
    let system = sid(5, &[18]);
    let everyone = sid(1, &[0]);
    let foreign = sid(5, &[21, 111, 222, 333, 1001]);
    let full = |who: &[u8]| ace(0, 0, 0x001f_01ff, &[], who, &[]);
    let guid = [&1u32.to_le_bytes()[..], &[7; 16]].concat();
    vec![
        ("allowed", descriptor(0, &admins, &system, None, Some(acl(2, &[full(&everyone)])))),
        ("protected", descriptor(0x1000, &admins, &admins, None, Some(acl(2, &[full(&admins), full(&system)])))),
        (
            "inherited",
            descriptor(0x0400, &admins, &admins, None, Some(acl(2, &[ace(0, 0x10, 0x001f_01ff, &[], &everyone, &[])]))),
        ),
        (
            "denied",
            descriptor(
                0,
                &admins,
                &admins,
                None,
                Some(acl(2, &[ace(1, 0, 0x10000, &[], &foreign, &[]), full(&everyone)])),
            ),
        ),
        ("foreign", descriptor(0, &foreign, &foreign, None, Some(acl(2, &[full(&foreign)])))),
        (
            "audited",
            descriptor(
                0,
                &admins,
                &admins,
                Some(acl(2, &[ace(2, 0xC0, 0x10000, &[], &everyone, &[])])),
                Some(acl(2, &[full(&everyone)])),
            ),
        ),
        ("object", descriptor(0, &admins, &admins, None, Some(acl(4, &[ace(5, 0, 0x10, &guid, &everyone, &[])])))),
        (
            "callback",
            descriptor(
                0,
                &admins,
                &admins,
                None,
                Some(acl(2, &[ace(9, 0, 0x12_0089, &[], &everyone, b"artx\xf8\0\0\0")])),
            ),
        ),
        ("empty", descriptor(0, &admins, &admins, None, Some(acl(2, &[])))),
    ]
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn reparse(tag: u32, data: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &u16::try_from(data.len()).unwrap().to_le_bytes(), &[0, 0], data].concat()
}

/// The reparse point of a junction (no flags) or a symlink.
fn link(flags: Option<u32>, object: &str, shown: &str) -> Vec<u8> {
    let (object, shown) = (wide(object), wide(shown));
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap();
    let gap = if flags.is_none() { 2 } else { 0 };
    let numbers = [0, length(&object), length(&object) + gap, length(&shown)];
    let mut data: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    data.extend(flags.map(u32::to_le_bytes).into_iter().flatten());
    let end = vec![0; usize::from(gap)];
    data.extend([object, end.clone(), shown, end].concat());
    reparse(if flags.is_none() { 0xA000_0003 } else { 0xA000_000C }, &data)
}

/// Reparse points by name: whether the entry is a directory, more attributes, the bytes.
pub fn reparse_points() -> Vec<(&'static str, bool, u32, Vec<u8>)> {
    vec![
        ("junction", true, 0, link(None, r"\??\C:\Users\Ännä", r"C:\Users\Ännä")),
        ("mounted", true, 0, link(None, r"\??\Volume{00112233-4455-6677-8899-aabbccddeeff}\", "")),
        ("symlink-file", false, 0, link(Some(0), r"\??\C:\Windows\win.ini", r"C:\Windows\win.ini")),
        ("symlink-dir", true, 0, link(Some(0), r"\??\C:\Windows", r"C:\Windows")),
        ("symlink-relative", false, 0, link(Some(1), r"..\links\one", r"..\links\one")),
        // A file of OneDrive that is not here (FILE_ATTRIBUTE_OFFLINE), an alias of a program, a symlink of WSL.
        ("cloud.jpg", false, 0x1000, reparse(0x9000_601A, &[9; 132])),
        (
            "winget.exe",
            false,
            0,
            reparse(0x8000_001B, &[&3u32.to_le_bytes()[..], &wide("App\0App!x\0C:\\a.exe\0")].concat()),
        ),
        ("wsl-link", false, 0, reparse(0xA000_001D, &[&2u32.to_le_bytes()[..], b"target"].concat())),
    ]
}

/// A list of two EAs as they are on the disk.
fn eas() -> Vec<u8> {
    let ea = |name: &[u8], value: &[u8]| {
        let lengths = [0, u8::try_from(name.len()).unwrap()];
        let mut ea =
            [&[0; 4][..], &lengths, &u16::try_from(value.len()).unwrap().to_le_bytes(), name, &[0], value].concat();
        ea.resize(ea.len().next_multiple_of(4), 0);
        let length = u32::try_from(ea.len()).unwrap();
        ea[..4].copy_from_slice(&length.to_le_bytes());
        ea
    };
    [ea(b"$LXUID", &1000u32.to_le_bytes()), ea(b"NOTE", b"by OS/2")].concat()
}

/// Sets an attribute of ntfs-3g.
pub fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("{name} of {}: {e}", path.display()));
}

/// Reads an attribute of ntfs-3g; `None` where there is none.
pub fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 65_536];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

impl NtfsZoo {
    /// Makes it in a new folder of a volume that shows streams as files.
    pub fn make(root: &Path) -> Self {
        let zoo = Self { root: root.to_owned() };
        fs::create_dir(root).unwrap();
        zoo.make_streams();
        zoo.make_security();
        zoo.make_attributes();
        zoo.make_reparse_points();
        zoo.make_contents();
        zoo.make_names();
        zoo
    }

    /// Returns where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.root.join(name);
        fs::create_dir(&dir).unwrap();
        dir
    }

    fn make_streams(&self) {
        let dir = self.dir("streams");
        fs::write(dir.join("one.txt"), "content").unwrap();
        fs::write(dir.join("one.txt:Zone.Identifier"), "[ZoneTransfer]\r\nZoneId=3\r\n").unwrap();
        fs::write(dir.join("one.txt:ä 😀"), "named").unwrap();
        fs::write(dir.join("one.txt:empty"), "").unwrap();
        fs::write(dir.join("one.txt:large"), vec![b'x'; 100_000]).unwrap();
        fs::write(dir.join("nothing-else"), "").unwrap();
        fs::write(dir.join("nothing-else:all"), "there is").unwrap();
        fs::create_dir(dir.join("of-a-folder")).unwrap();
        fs::write(dir.join("of-a-folder:note"), "folders have them too").unwrap();
    }

    fn make_security(&self) {
        let dir = self.dir("security");
        for (name, descriptor) in descriptors() {
            fs::write(dir.join(name), name).unwrap();
            set(&dir.join(name), "system.ntfs_acl", &descriptor);
            let folder = dir.join(format!("{name}-folder"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("inside"), name).unwrap();
            set(&folder, "system.ntfs_acl", &descriptor);
        }
    }

    fn make_attributes(&self) {
        let dir = self.dir("attributes");
        for bits in [0, 0x1u32, 0x2, 0x4, 0x20, 0x100, 0x1000, 0x2000, 0x3127] {
            let file = dir.join(format!("{bits:04x}"));
            fs::write(&file, "content").unwrap();
            set(&file, "system.ntfs_attrib_be", &bits.to_be_bytes());
            let folder = dir.join(format!("folder-{bits:04x}"));
            fs::create_dir(&folder).unwrap();
            set(&folder, "system.ntfs_attrib_be", &bits.to_be_bytes());
        }
        for (n, created) in [1u64, 116_444_736_000_000_001, 133_000_000_001_234_567].into_iter().enumerate() {
            let file = dir.join(format!("created-{n}"));
            fs::write(&file, "content").unwrap();
            set(&file, "system.ntfs_crtime_be", &created.to_be_bytes());
        }
        let links = self.dir("links");
        fs::write(links.join("one"), "several names").unwrap();
        fs::write(links.join("one:stream"), "of all names").unwrap();
        fs::hard_link(links.join("one"), links.join("two")).unwrap();
        fs::hard_link(links.join("one"), dir.join("three")).unwrap();
        fs::write(links.join("read-only"), "several names").unwrap();
        fs::hard_link(links.join("read-only"), links.join("read-only-2")).unwrap();
        set(&links.join("read-only"), "system.ntfs_attrib_be", &1u32.to_be_bytes());
        let eas_dir = self.dir("eas");
        fs::write(eas_dir.join("file"), "with EAs").unwrap();
        set(&eas_dir.join("file"), "system.ntfs_ea", &eas());
        set(&eas_dir, "system.ntfs_ea", &eas());
    }

    fn make_reparse_points(&self) {
        let dir = self.dir("reparse");
        for (name, is_dir, attributes, bytes) in reparse_points() {
            let path = dir.join(name);
            if is_dir {
                fs::create_dir(&path).unwrap()
            } else {
                fs::write(&path, "").unwrap()
            }
            if attributes != 0 {
                set(&path, "system.ntfs_attrib_be", &attributes.to_be_bytes());
            }
            set(&path, "system.ntfs_reparse_data", &bytes);
            // ntfs-3g answers EIO until the kernel has looked anew.
            fs::symlink_metadata(&path).ok();
            set(&path, "system.ntfs_crtime_be", &133_000_000_007_654_321u64.to_be_bytes());
        }
    }

    fn make_contents(&self) {
        let dir = self.dir("contents");
        let sparse = fs::File::create(dir.join("sparse")).unwrap();
        sparse.write_all_at(b"behind a hole", 50 << 20).unwrap();
        let compressed = dir.join("compressed");
        fs::create_dir(&compressed).unwrap();
        set(&compressed, "system.ntfs_attrib_be", &0x800u32.to_be_bytes());
        fs::write(compressed.join("text"), "all the same ".repeat(100_000)).unwrap();
        fs::create_dir(compressed.join("deeper")).unwrap();
        fs::write(compressed.join("deeper/text"), "all the same ".repeat(10_000)).unwrap();
        fs::write(dir.join("plain"), "content").unwrap();
    }

    fn make_names(&self) {
        let dir = self.dir("names");
        let names: [&[u8]; 12] = [
            b"CON",
            b"nul.txt",
            b"dot.",
            b"space ",
            b"a<b|c?d*e\"f",
            b"back\\slash",
            b"new\nline",
            b"lone \xED\xA0\x80 surrogate",
            "ä😀".as_bytes(),
            b"Case",
            b"case",
            &[b'x'; 255],
        ];
        for name in names {
            fs::write(dir.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
        }
    }
}

/// Reads all there is about each entry below a folder, by path.
pub fn read_all(root: &Path) -> BTreeMap<Vec<u8>, Facts> {
    let mut all = BTreeMap::new();
    let mut files = BTreeMap::new();
    read_below(root, root, &mut all, &mut files);
    all
}

fn read_below(root: &Path, path: &Path, all: &mut BTreeMap<Vec<u8>, Facts>, files: &mut BTreeMap<u64, String>) {
    let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut facts = Facts::new();
    for name in ["acl", "attrib_be", "crtime_be", "reparse_data", "ea"] {
        let value = get(path, &format!("system.ntfs_{name}"));
        facts.extend(value.map(|value| (name.to_owned(), value)));
    }
    facts.extend(get(path, "user.ntfs.efsinfo").map(|value| ("efsinfo".to_owned(), value)));
    facts.insert("modified".into(), format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()).into());
    if !metadata.is_dir() {
        // Which names are one file: that of the first of them.
        let first = files.entry(metadata.ino()).or_insert_with(|| String::from_utf8_lossy(&below).into_owned());
        facts.insert("file".into(), first.clone().into());
        facts.insert("links".into(), metadata.nlink().to_string().into());
    }
    if metadata.is_file() {
        facts.insert("content".into(), fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    }
    let streams = get(path, "ntfs.streams.list").expect("a volume that shows streams as files");
    for name in streams.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let stream = [path.as_os_str().as_bytes(), b":", name].concat();
        let content = fs::read(std::ffi::OsString::from_vec(stream)).unwrap();
        facts.insert(format!("stream {}", String::from_utf8_lossy(name)), content);
    }
    all.insert(below, facts);
    if metadata.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            read_below(root, &path.join(name), all, files);
        }
    }
}

/// Returns what differs between two trees, one line for each fact; nothing where they are the same.
pub fn differences(one: &BTreeMap<Vec<u8>, Facts>, other: &BTreeMap<Vec<u8>, Facts>) -> Vec<String> {
    let none = Facts::new();
    let mut lines = Vec::new();
    let paths: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for path in paths {
        let (a, b) = (one.get(path).unwrap_or(&none), other.get(path).unwrap_or(&none));
        let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
        for name in names.into_iter().filter(|name| a.get(*name) != b.get(*name)) {
            let shown = |facts: &Facts| facts.get(name).map(|v| v[..v.len().min(200)].escape_ascii().to_string());
            lines.push(format!("{} {name}: {:?} {:?}", path.escape_ascii(), shown(a), shown(b)));
        }
    }
    lines
}

/// Mounts an NTFS that shows streams as files and keeps security and compression; says why where this machine cannot.
pub fn mount(mib: u64) -> Result<Volume, String> {
    Volume::mount(VolumeKind::NtfsStreams, mib)
}

/// Returns what programs that read the image by themselves say about entries below a folder: ntfsinfo, ntfssecaudit, and
/// ntfscat of each stream. The paths are those of [`read_all`]; names that the programs' command lines cannot take are
/// left out.
pub fn seen_by_tools(volume: &Volume, root: &Path, all: &BTreeMap<Vec<u8>, Facts>) -> BTreeMap<Vec<u8>, Facts> {
    let top = Path::new("/").join(root.strip_prefix(volume.root()).unwrap());
    volume.unmounted(|image| {
        let is_plain = |path: &&Vec<u8>| path.iter().all(|&b| b.is_ascii_graphic() && b != b'\\');
        let look =
            |path: &Vec<u8>| (path.clone(), seen_of(image, &top.join(std::ffi::OsStr::from_bytes(path)), &all[path]));
        all.keys().filter(is_plain).map(look).collect()
    })
}

fn seen_of(image: &Path, path: &Path, facts: &Facts) -> Facts {
    let mut seen = Facts::new();
    let mut section = "";
    let mut streams = Vec::new();
    let text = crate::run!("ntfsinfo", "-f", "-F", path, image);
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("Dumping attribute ") {
            section = rest.split(' ').next().unwrap();
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let wanted = match section {
            "" => name.starts_with("Number of Hard Links"),
            "$STANDARD_INFORMATION" => ["File Creation Time", "File Altered Time", "File attributes"].contains(&name),
            "$DATA" => {
                let stream = value.trim().trim_matches('\'');
                streams.extend((name == "Attribute name").then(|| stream.to_owned()));
                ["Attribute name", "Attribute flags"].contains(&name)
            }
            "$REPARSE_POINT" | "$EA" | "$EA_INFORMATION" => !name.contains("instance"),
            _ => false,
        };
        if wanted {
            let value = value.trim();
            seen.entry(format!("{section} {name}")).or_default().extend(format!("{value}\n").bytes());
        }
    }
    let audited = crate::run!("ntfssecaudit", "-v", image, path);
    // Its key is a number on this volume.
    let is_of_place = |line: &&str| ["File ", "Directory ", "Security key"].iter().any(|word| line.starts_with(word));
    let security = audited.lines().filter(|line| !is_of_place(line));
    seen.insert("security".into(), security.collect::<Vec<_>>().join("\n").into());
    for stream in streams {
        let printed = std::process::Command::new("ntfscat").args(["-f", "-n", &stream]).arg(image).arg(path).output();
        let printed = printed.unwrap();
        assert!(printed.status.success(), "ntfscat -n {stream} {}", path.display());
        seen.insert(format!("stream {stream}"), printed.stdout);
    }
    let streams = |facts: &Facts| facts.keys().filter(|name| name.starts_with("stream ")).count();
    assert_eq!(streams(&seen), streams(facts), "streams of {}: {seen:?}", path.display());
    seen
}
