//! The guest's only file system: an archive that the kernel unpacks into its
//! memory (cpio in the "newc" form, as its documentation describes it).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::zfs;
use crate::process::{command, output, run, workspace_root};

/// Programs of the packages, which stay where they are.
const PROGRAMS: &[&str] = &[
    "bin/btrfs",
    "bin/busybox",
    "sbin/dmsetup",
    "sbin/lvm",
    "sbin/mke2fs",
    "sbin/mkfs.btrfs",
    "sbin/mkfs.xfs",
    // lvcreate looks a new pool over.
    "usr/sbin/pdata_tools",
];

/// Programs of ZFS, where the guest has it.
const ZFS_PROGRAMS: &[&str] = &["sbin/zfs", "sbin/zpool"];

/// Symlinks to them.
const SYMLINKS: &[(&str, &str)] = &[
    ("sbin/lvchange", "lvm"),
    ("sbin/lvcreate", "lvm"),
    ("sbin/lvremove", "lvm"),
    ("sbin/lvs", "lvm"),
    ("sbin/pvcreate", "lvm"),
    ("sbin/vgcreate", "lvm"),
    ("sbin/mkfs.ext4", "mke2fs"),
    // ZFS mounts what is looked into by this.
    ("usr/bin/env", "/bin/busybox"),
    ("usr/sbin/thin_check", "pdata_tools"),
];

/// The drivers, those that others need first among equals; what they need
/// follows by itself, but for checksums, which the kernel asks for by name.
const MODULES: &[&str] =
    &["crc32c_generic", "virtio_pci", "virtio_blk", "dm-mod", "dm-snapshot", "dm-thin-pool", "ext4", "xfs", "btrfs"];

/// What runs first.
const INIT: &str = "xtask/guest/init.sh";

/// Where the packages have the loader of programs.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// What the archive is made of.
pub(super) struct Parts<'a> {
    /// The packages.
    pub(super) root: &'a Path,
    /// Those of ZFS, where the guest has it.
    pub(super) zfs: Option<&'a Path>,
    pub(super) hardback: &'a Path,
    /// The tests.
    pub(super) script: &'a str,
}

/// Makes the archive; returns the kernel that goes with it.
pub(super) fn build(parts: &Parts<'_>, image: &Path) -> Result<PathBuf> {
    let Parts { root, zfs, hardback, script } = *parts;
    let mut archive = Archive::default();
    let dirs = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
    let roots = [Some(root), zfs].into_iter().flatten();
    let library_dirs: Vec<PathBuf> = roots.flat_map(|root| dirs.map(|dir| root.join(dir))).collect();
    let mut libraries = BTreeMap::new();
    let of_zfs = zfs.into_iter().flat_map(|zfs| ZFS_PROGRAMS.iter().map(move |program| (zfs, program)));
    for (root_of, program) in PROGRAMS.iter().map(|program| (root, program)).chain(of_zfs) {
        let path = root_of.join(program);
        archive.file(program, &path)?;
        libraries.extend(libraries_of(root, &library_dirs, &path)?);
    }
    archive.file("bin/hardback", hardback)?;
    if let Some(zfs) = zfs {
        archive.file("bin/mapped", &zfs.join(zfs::MAPPED))?;
    }
    libraries.extend(libraries_of(root, &library_dirs, hardback)?);
    for (name, library) in libraries {
        archive.file(&format!("lib/x86_64-linux-gnu/{name}"), &library)?;
    }
    archive.file(LOADER, &root.join(LOADER))?;
    for (path, to) in SYMLINKS {
        archive.add(path, 0o120_777, to.as_bytes().to_vec());
    }
    let init = fs::read(workspace_root().join(INIT)).with_context(|| format!("cannot read {INIT}"))?;
    archive.add("init", 0o100_755, init);
    archive.add("tests.sh", 0o100_755, script.as_bytes().to_vec());
    let version = kernel_version(root)?;
    let mut modules = BTreeMap::new();
    find_modules(&root.join(format!("lib/modules/{version}/kernel")), &mut modules)?;
    let mut wanted = MODULES.to_vec();
    if let Some(zfs) = zfs {
        find_modules(&zfs.join(zfs::MODULES), &mut modules)?;
        wanted.push("zfs");
    }
    let mut order = String::new();
    for (name, file) in modules_in_order(&wanted, &modules)? {
        archive.file(&format!("modules/{name}.ko"), &file)?;
        order.push_str(&format!("/modules/{name}.ko\n"));
    }
    archive.add("modules/order", 0o100_644, order.into_bytes());
    for dir in ["dev", "etc/lvm", "mnt", "proc", "run", "sys", "tmp"] {
        archive.dir(dir);
    }
    archive.write(image).with_context(|| format!("cannot write {}", image.display()))?;
    Ok(root.join(format!("boot/vmlinuz-{version}")))
}

/// What is in the archive by its path: mode and content. Folders come before
/// what is in them.
#[derive(Default)]
struct Archive(BTreeMap<String, (u32, Vec<u8>)>);

impl Archive {
    fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode();
        self.add(path, 0o100_000 | (mode & 0o777), content);
        Ok(())
    }

    fn dir(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.dir(above);
        }
        self.0.insert(path.to_owned(), (0o040_755, Vec::new()));
    }

    fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.dir(above);
        }
        self.0.insert(path.to_owned(), (mode, content));
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut out = BufWriter::new(fs::File::create(path)?);
        for (number, (name, (mode, content))) in self.0.iter().enumerate() {
            write_entry(&mut out, number + 1, name, *mode, content)?;
        }
        write_entry(&mut out, 0, "TRAILER!!!", 0, &[])?;
        out.flush()?;
        Ok(())
    }
}

/// One entry: a head of thirteen numbers in hexadecimal, the name, the content;
/// both are filled up to a multiple of four bytes.
fn write_entry(out: &mut impl Write, inode: usize, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let sizes = (u32::try_from(content.len())?, u32::try_from(name.len() + 1)?);
    let fields = [u32::try_from(inode)?, mode, 0, 0, links, 0, sizes.0, 0, 0, 0, 0, sizes.1, 0];
    let mut head = String::from("070701");
    fields.iter().for_each(|field| head.push_str(&format!("{field:08x}")));
    head.push_str(name);
    head.push('\0');
    for bytes in [head.as_bytes(), content] {
        out.write_all(bytes)?;
        out.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])?;
    }
    Ok(())
}

/// The shared libraries that a program needs, as the packages' own loader finds
/// them.
fn libraries_of(root: &Path, dirs: &[PathBuf], program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let path = dirs.iter().map(|dir| dir.to_string_lossy()).collect::<Vec<_>>().join(":");
    let mut loader = command(root.join(LOADER));
    let Ok(list) = output(loader.arg("--library-path").arg(path).arg("--list").arg(program)) else {
        // A static one has none.
        return Ok(BTreeMap::new());
    };
    ensure!(!list.contains("not found"), "{} needs libraries that are missing: {list}", program.display());
    let found = list.lines().filter_map(|line| line.split_once("=> ")?.1.split(" (").next());
    let named = |path: &str| Some((path.rsplit('/').next()?.to_owned(), PathBuf::from(path)));
    Ok(found.filter_map(named).collect())
}

/// Which kernel was unpacked.
pub(super) fn kernel_version(root: &Path) -> Result<String> {
    let mut kernels = Vec::new();
    for entry in fs::read_dir(root.join("boot"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        kernels.extend(name.strip_prefix("vmlinuz-").map(str::to_owned));
    }
    let [version] = &kernels[..] else { anyhow::bail!("not one kernel was unpacked: {kernels:?}") };
    Ok(version.clone())
}

/// The modules that are wanted and those that they need, each after what it
/// needs.
fn modules_in_order(wanted: &[&str], files: &BTreeMap<String, PathBuf>) -> Result<Vec<(String, PathBuf)>> {
    let mut order = Vec::new();
    for name in wanted {
        add_module(name, files, &mut order)?;
    }
    Ok(order)
}

fn add_module(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<(String, PathBuf)>) -> Result<()> {
    // The kernel takes both signs for one.
    let key = name.replace('-', "_");
    if order.iter().any(|(known, _)| *known == key) {
        return Ok(());
    }
    let file = files.get(&key).with_context(|| format!("the kernel has no module {name}"))?;
    let file = unpacked(file)?;
    for needed in needed_modules(&fs::read(&file)?) {
        add_module(&needed, files, order)?;
    }
    order.push((key, file));
    Ok(())
}

fn find_modules(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, files)?;
        } else if let Some((name, _)) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split_once(".ko")) {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Newer kernels come with packed modules.
fn unpacked(module: &Path) -> Result<PathBuf> {
    if module.extension().is_some_and(|extension| extension == "xz") {
        run(command("xz").arg("-d").arg(module))?;
        return Ok(module.with_extension(""));
    }
    Ok(module.to_owned())
}

/// What a module says that it needs: `depends=a,b` among its texts.
fn needed_modules(module: &[u8]) -> Vec<String> {
    let texts = module.split(|byte| *byte == 0);
    let Some(names) = texts.into_iter().find_map(|text| text.strip_prefix(b"depends=")) else { return Vec::new() };
    let names = String::from_utf8_lossy(names);
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_filled_up_to_four_bytes() {
        let mut out = Vec::new();
        write_entry(&mut out, 3, "a/b", 0o100_644, b"hello").unwrap();
        let expected = "07070100000003000081a400000000000000000000000100000000\
            00000005000000000000000000000000000000000000000400000000a/b\0\0\0hello\0\0\0";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.add("a/b/c", 0o100_644, Vec::new());
        archive.dir("a/b");
        let names: Vec<_> = archive.0.iter().map(|(name, (mode, _))| (name.as_str(), *mode)).collect();
        assert_eq!(names, [("a", 0o040_755), ("a/b", 0o040_755), ("a/b/c", 0o100_644)]);
    }

    #[test]
    fn a_module_says_what_it_needs() {
        assert_eq!(needed_modules(b"\0license=GPL\0depends=dm-mod,dm-bufio\0x"), ["dm-mod", "dm-bufio"]);
        assert!(needed_modules(b"\0depends=\0").is_empty());
    }
}
