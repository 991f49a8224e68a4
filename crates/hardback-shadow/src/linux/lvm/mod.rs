//! LVM: a snapshot of the logical volume that a file system is on, mounted read-only.
//!
//! A snapshot of a thick volume has room of its own, in which it keeps what is overwritten on the volume; when that is
//! full it is lost, and everything that was read from it is in doubt. One of a thin volume shares the room of its pool.
//! All snapshots of a set are made first and mounted after, so that they are as close together as can be.

mod device;
mod report;
mod room;

use super::flush;
use super::namespace::{BASE, Namespace, make_dirs, unmount_frozen};
use super::tool::{Done, REMOVE_TRIES, TOOL_LIMIT, Tool, pause};
use crate::error::ShadowError;
use crate::provider::{Answer, Copy, Meanwhile, NAME_PREFIX, Piece, Place, Read, ShadowProvider, ShadowSize, Volume};
use report::{FIELDS, LogicalVolume};
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Fields of a [`Volume`] of this provider.
const GROUP: &str = "group";
const NAME: &str = "name";
const UUID: &str = "uuid";
const FILE_SYSTEM: &str = "filesystem";

/// Mark of snapshots of ours, for people who look at them with `lvs`.
const TAG: &str = "hardback";

/// How long the freezing may take: the file system writes what it has in memory, and killing the tool in the middle of
/// that could leave the volume suspended.
const FREEZE_LIMIT: Duration = Duration::from_secs(300);

/// Kinds of file systems, and how a frozen one is mounted without anything being written or replayed: the freezing has
/// left nothing to replay.
const KINDS: &[(&str, &str)] = &[
    ("ext2", ""),
    ("ext3", "noload"),
    ("ext4", "noload"),
    ("f2fs", "norecovery"),
    ("jfs", ""),
    // Its copy has the same UUID, and the original is mounted.
    ("xfs", "nouuid,norecovery"),
];

const INSTALL: &str = "install LVM's tools: apt install lvm2, or dnf install lvm2";

const LVS: Tool = Tool {
    program: "lvs",
    install: INSTALL,
    hint: "what does `lvs` say as root? --shadow never reads the live files",
    limit: TOOL_LIMIT,
};
const LVCREATE: Tool = Tool {
    program: "lvcreate",
    install: INSTALL,
    hint: "is there room in the volume group (vgs), and in the pool (lvs)? --shadow never reads the live files",
    limit: FREEZE_LIMIT,
};
const LVREMOVE: Tool = Tool {
    program: "lvremove",
    install: INSTALL,
    hint: "end what uses it, then run `hardback shadow sweep`",
    limit: TOOL_LIMIT,
};
const DMSETUP: Tool =
    Tool { program: "dmsetup", install: "install dmsetup", hint: "what does `dmsetup info` say?", limit: TOOL_LIMIT };

/// Makes snapshots of logical volumes.
#[derive(Debug)]
pub(super) struct Lvm {
    namespace: Arc<Namespace>,
    /// How much room a snapshot of a thick volume gets.
    size: ShadowSize,
}

impl Lvm {
    /// Makes the provider.
    pub(super) fn new(namespace: Arc<Namespace>, size: ShadowSize) -> Self {
        Self { namespace, size }
    }

    fn pieces(&self, place: &Place) -> Result<Vec<Piece>, ShadowError> {
        let mounted = &place.volume;
        let kind = mounted.file_system.as_str();
        if options_of(kind).is_none() {
            let message = format!("nobody knows how a frozen {kind} is mounted without writing to it");
            return Err(ShadowError::refused(message, "use --shadow never to read the live files"));
        }
        let volume =
            found_in(list()?, |volume| volume.is_device(mounted.device_id), &mounted.device.to_string_lossy())?;
        if let Some(refusal) = volume.refusal() {
            return Err(refusal);
        }
        let inside = mounted.inside.strip_prefix("/").unwrap_or(&mounted.inside).to_owned();
        let read = Read::Frozen { volume: volume_of(&volume, kind), inside };
        Ok(vec![Piece { below: PathBuf::new(), read }])
    }
}

impl ShadowProvider for Lvm {
    fn name(&self) -> &'static str {
        "lvm"
    }

    fn look(&self, place: &Place, _wants: &dyn Fn(&Path) -> bool) -> Answer {
        // Btrfs makes snapshots by itself.
        if place.volume.file_system == "btrfs" {
            return Answer::NotMine;
        }
        let Some(uuid) = device::mapper_uuid(place.volume.device_id) else { return Answer::NotMine };
        if let Some(refusal) = device::refusal(&uuid, &place.volume.device) {
            return Answer::Cannot(refusal);
        }
        match self.pieces(place) {
            Ok(pieces) => Answer::Can(pieces),
            Err(error) => Answer::Cannot(error),
        }
    }

    fn create(&self, copies: &[Copy], _: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
        let listed = list()?;
        let mut origins = Vec::new();
        for copy in copies {
            let uuid = copy.volume.field(UUID)?;
            origins.push(found_in(listed.clone(), |volume| volume.uuid == uuid, &copy.volume.shown)?);
        }
        let extents = room::extents(&origins.iter().collect::<Vec<_>>(), self.size);
        // The freezing is shorter then, and so is the spread of a set. What cannot be written now, that writes.
        for origin in &origins {
            flush(|mount| origin.is_device(mount.device_id)).ok();
        }
        for ((copy, origin), extents) in copies.iter().zip(&origins).zip(extents) {
            create(&copy.name, origin, extents)?;
        }
        let mut paths = Vec::new();
        for (copy, origin) in copies.iter().zip(&origins) {
            let device = Path::new("/dev").join(&origin.group).join(&copy.name);
            let (point, kind) = (mount_point(&copy.name), copy.volume.field(FILE_SYSTEM)?.to_owned());
            let at = point.clone();
            self.namespace.run(move || mount_frozen(&device, &at, &kind))?;
            paths.push(point);
        }
        Ok(paths)
    }

    fn check(&self, copy: &Copy) -> Result<(), ShadowError> {
        report::check(&list()?, &copy.name, &copy.volume.shown)
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        // Whatever stands in a record, a name that is not ours is not touched.
        if !copy.name.starts_with(NAME_PREFIX) {
            return Err(ShadowError::refused(format!("{} is none of our names", copy.name), "remove it by hand"));
        }
        // Another process's mounts went with it.
        if self.namespace.is_started() {
            let point = mount_point(&copy.name);
            self.namespace.run(move || unmount_frozen(&point))?;
        }
        let mut tries = 1;
        loop {
            let Some(path) = report::removable(&list()?, &copy.name)? else { return Ok(()) };
            match LVREMOVE.run(&["-f", &path])?.checked() {
                Ok(_) => return Ok(()),
                Err(error) if tries == REMOVE_TRIES => return Err(error),
                Err(_) => pause(),
            }
            tries += 1;
        }
    }
}

/// Returns all logical volumes that can be seen.
fn list() -> Result<Vec<LogicalVolume>, ShadowError> {
    volumes_of(LVS.run(&["--reportformat", "json", "--units", "b", "--nosuffix", "-o", FIELDS])?)
}

fn volumes_of(done: Done) -> Result<Vec<LogicalVolume>, ShadowError> {
    // It fails where any group lacks a disk, and lists the others all the same.
    match (report::parse(&done.out), done.failure) {
        (Ok(volumes), None) => Ok(volumes),
        (Ok(volumes), Some(_)) if !volumes.is_empty() => Ok(volumes),
        (_, Some(failure)) => Err(failure),
        (Err(why), None) => {
            let message = format!("nobody understands what `lvs` says: {why}");
            Err(ShadowError::Tool {
                message,
                hint: Some("it should be version 2.02.158 or later: lvs --version".into()),
            })
        }
    }
}

fn found_in(
    volumes: Vec<LogicalVolume>,
    is_it: impl Fn(&LogicalVolume) -> bool,
    shown: &str,
) -> Result<LogicalVolume, ShadowError> {
    volumes.into_iter().find(is_it).ok_or_else(|| {
        let message = format!("LVM does not know the logical volume {shown}");
        ShadowError::refused(message, "what does `lvs` say as root? is it left out by a filter in lvm.conf?")
    })
}

fn volume_of(volume: &LogicalVolume, kind: &str) -> Volume {
    let fields = [(GROUP, &volume.group), (NAME, &volume.name), (UUID, &volume.uuid), (FILE_SYSTEM, &kind.to_owned())];
    Volume {
        provider: "lvm".into(),
        shown: format!("logical volume {}", volume.path()),
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
    }
}

/// Makes a snapshot.
fn create(name: &str, origin: &LogicalVolume, extents: Option<u64>) -> Result<(), ShadowError> {
    let path = origin.path();
    let mut arguments = vec!["--snapshot", "--name", name, "--addtag", TAG, "--permission", "r"];
    let extents = extents.map(|extents| extents.to_string());
    match &extents {
        Some(extents) => arguments.extend(["--extents", extents]),
        // Thin snapshots are not activated by themselves.
        None => arguments.extend(["--setactivationskip", "n", "--activate", "y"]),
    }
    arguments.push(&path);
    match LVCREATE.run(&arguments) {
        Ok(done) => done.checked().map(drop),
        Err(error) => {
            // It may have been killed while the volume stood still, and everybody waits for that.
            drop(DMSETUP.run(&["resume", &device::mapper_name(&origin.group, &origin.name)]));
            Err(error)
        }
    }
}

fn options_of(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, options)| *options)
}

/// Where a snapshot is mounted, inside of the namespace.
fn mount_point(name: &str) -> PathBuf {
    Path::new(BASE).join("lvm").join(name)
}

fn mount_frozen(device: &Path, point: &Path, kind: &str) -> Result<(), ShadowError> {
    make_dirs(point)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    let options = CString::new(options_of(kind).unwrap_or_default()).unwrap_or_default();
    mount(device, point, kind, flags, options.as_c_str())
        .map_err(|e| ShadowError::system(format!("mount the snapshot {} read-only", device.display()), e))
}

#[cfg(test)]
mod tests;
