//! Volumes in image files.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::process::{command, output};

/// Kinds of volumes that a target is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    pub const ALL: &[Self] = &[Self::Ext4, Self::Xfs, Self::Btrfs];

    /// Its name, as `mount` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// What makes such a volume.
    pub fn program_and_package(self) -> (&'static str, &'static str) {
        match self {
            Self::Ext4 => ("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => ("mkfs.xfs", "xfsprogs"),
            Self::Btrfs => ("mkfs.btrfs", "btrfs-progs"),
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(*kind),
            None => bail!("volumes are ext4, xfs and btrfs, not {text:?}"),
        }
    }
}

/// A mounted volume in an image file that has no name any more: unmounted when
/// this value goes, or else with the mount namespace.
pub struct Volume {
    mount: PathBuf,
}

impl Volume {
    /// Makes and mounts a volume at `mount`, which must not be there yet. The
    /// image is sparse: `bytes` is how much it can hold. Ext4 has an inode for
    /// every 16 KiB of that.
    pub fn create(kind: Kind, mount: PathBuf, bytes: u64) -> Result<Self> {
        let image = mount.with_extension("img");
        fs::create_dir(&mount).with_context(|| format!("cannot make {}", mount.display()))?;
        let file = fs::File::create_new(&image).with_context(|| format!("cannot make {}", image.display()))?;
        file.set_len(bytes)?;
        let mounted = Self::format_and_mount(kind, &image, &mount);
        // Its room is given back as soon as the loop device lets go of it.
        fs::remove_file(&image)?;
        mounted.map(|()| Self { mount })
    }

    fn format_and_mount(kind: Kind, image: &Path, mount: &Path) -> Result<()> {
        let (program, _) = kind.program_and_package();
        output(command(program).arg("-q").arg(image))?;
        output(command("mount").args(["-t", kind.name(), "-o", "loop"]).args([image, mount]))?;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// What is used of it, once all is written.
    pub fn used_bytes(&self) -> Result<u64> {
        let root = fs::File::open(&self.mount)?;
        rustix::fs::syncfs(&root)?;
        let stat = rustix::fs::fstatvfs(&root)?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = output(command("umount").arg(&self.mount)).map(drop);
        let result = unmounted.and_then(|()| Ok(fs::remove_dir(&self.mount)?));
        if let Err(error) = result {
            eprintln!("    {error:#}");
        }
    }
}
