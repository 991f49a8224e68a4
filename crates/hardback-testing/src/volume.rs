//! Real file systems for tests: images in a temporary folder, mounted by loop devices, gone when dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Which file system a [`Volume`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the file system of its name")]
pub enum VolumeKind {
    Ext4,
    Xfs,
    Btrfs,
    Ntfs3g,
    /// NTFS on which names differ by more than case, and are listed in lower case.
    NtfsFolding,
    /// NTFS with its named streams as files, with access lists and compression.
    NtfsStreams,
}

impl VolumeKind {
    /// The file systems that hold everything a Linux source has.
    pub const NATIVE: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// Smallest image that its tools accept.
    fn mib_min(self) -> u64 {
        match self {
            Self::Ext4 | Self::Ntfs3g | Self::NtfsFolding | Self::NtfsStreams => 16,
            Self::Xfs => 300,
            Self::Btrfs => 128,
        }
    }

    fn make(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
            Self::Ntfs3g | Self::NtfsFolding | Self::NtfsStreams => ("mkntfs", &["-q", "-Q", "-F"]),
        }
    }

    /// Longest text of a symlink.
    pub fn symlink_bytes_max(self) -> usize {
        match self {
            Self::Xfs => 1023,
            Self::Ext4 | Self::Ntfs3g | Self::NtfsFolding | Self::NtfsStreams => 4000,
            Self::Btrfs => 3800,
        }
    }

    /// Returns whether files can share blocks.
    pub fn has_reflinks(self) -> bool {
        matches!(self, Self::Xfs | Self::Btrfs)
    }
}

/// A mounted volume.
#[derive(Debug)]
pub struct Volume {
    root: PathBuf,
    /// Which file system it has.
    pub kind: VolumeKind,
    _temp: tempfile::TempDir,
}

impl Volume {
    /// Makes and mounts a volume of at least `mib` MiB; says why where this machine cannot.
    pub fn mount(kind: VolumeKind, mib: u64) -> Result<Self, String> {
        Self::mount_with(kind, mib, "")
    }

    /// As [`Volume::mount`], with more options, each after a comma.
    pub fn mount_with(kind: VolumeKind, mib: u64, options: &str) -> Result<Self, String> {
        Self::make(kind, mib, &[], options)
    }

    /// Makes an ext4 with room for so many entries.
    pub fn mount_starved(mib: u64, entries: u64) -> Result<Self, String> {
        Self::make(VolumeKind::Ext4, mib, &["-N", &entries.to_string()], "")
    }

    fn make(kind: VolumeKind, mib: u64, more: &[&str], options: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount volumes".into());
        }
        let temp = tempfile::Builder::new().prefix("hardback-volume").tempdir().map_err(|e| e.to_string())?;
        // A user who is nobody must reach what tests make below.
        std::fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (image, root) = (temp.path().join("image"), temp.path().join("mnt"));
        std::fs::create_dir(&root).unwrap();
        std::fs::File::create(&image).unwrap().set_len(mib.max(kind.mib_min()) << 20).unwrap();
        let (tool, arguments) = kind.make();
        try_run(Command::new(tool).args(arguments).args(more).arg(&image))?;
        mount(kind, options, &image, &root)?;
        Ok(Self { root, kind, _temp: temp })
    }

    /// Mounts it again with other options.
    pub fn remount(&self, options: &str) {
        try_run(Command::new("umount").arg(&self.root)).unwrap();
        mount(self.kind, options, &self.root.with_file_name("image"), &self.root).unwrap();
    }

    /// Lets programs look at its image while it is not mounted.
    pub fn unmounted<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        try_run(Command::new("umount").arg(&self.root)).unwrap();
        let image = self.root.with_file_name("image");
        let seen = look(&image);
        mount(self.kind, "", &image, &self.root).unwrap();
        seen
    }

    /// Returns where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a folder at its top.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// Writes everything to the disk and returns the bytes in use.
    pub fn used_bytes(&self) -> u64 {
        let fd = std::fs::File::open(&self.root).unwrap();
        rustix::fs::syncfs(&fd).unwrap();
        let stat = rustix::fs::fstatvfs(&fd).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if try_run(Command::new("umount").arg(&self.root)).is_err() {
            // Something still holds it (a test that failed in the middle): it goes when that does.
            if let Err(error) = try_run(Command::new("umount").arg("-l").arg(&self.root)) {
                eprintln!("cannot unmount {}: {error}", self.root.display());
            }
        }
    }
}

fn mount(kind: VolumeKind, options: &str, image: &Path, root: &Path) -> Result<(), String> {
    let (tool, own) = match kind {
        VolumeKind::Ntfs3g => ("ntfs-3g", "streams_interface=xattr"),
        VolumeKind::NtfsStreams => ("ntfs-3g", "streams_interface=windows,permissions,compression"),
        VolumeKind::NtfsFolding => ("lowntfs-3g", "streams_interface=xattr,ignore_case"),
        _ => ("mount", "loop"),
    };
    try_run(Command::new(tool).args(["-o", &format!("{own}{options}")]).args([image, root]))
}

fn try_run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Mounts a volume, or ends the test that this machine cannot run.
#[macro_export]
macro_rules! volume {
    ($kind:expr, $mib:expr) => {
        match $crate::volume::Volume::mount($kind, $mib) {
            Ok(volume) => volume,
            Err(why) => $crate::skip!("{why}"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_unmounted_when_its_test_panics() {
        let volume = crate::volume!(VolumeKind::Ext4, 16);
        let root = volume.root().to_owned();
        let is_mounted = || std::fs::read_to_string("/proc/self/mounts").unwrap().contains(root.to_str().unwrap());
        assert!(is_mounted());
        let held = std::fs::File::open(volume.root()).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _volume = volume;
            panic!("a test fails");
        }));
        assert!(panicked.is_err());
        assert!(!is_mounted());
        drop(held);
    }
}
