//! What the kernel's device-mapper says of a device, before any tool is asked.

use crate::error::ShadowError;
use hardback_platform::{Dir, Seam};
use std::path::Path;

/// Longest text of a device-mapper's uuid, in bytes.
const UUID_BYTES_MAX: usize = 256;

/// How the uuids begin of what LVM made.
const LVM: &str = "LVM-";

/// Returns the uuid that the maker of a device-mapper device gave it; `None` where it is no such device.
pub(super) fn mapper_uuid((major, minor): (u32, u32)) -> Option<String> {
    let dir = Dir::open(Path::new(&format!("/sys/dev/block/{major}:{minor}/dm")), Seam::default()).ok()?;
    // One that cannot be read is nobody's.
    let uuid = dir.open_file(b"uuid").and_then(|file| file.read_to_vec(UUID_BYTES_MAX)).unwrap_or_default();
    Some(String::from_utf8_lossy(&uuid).trim().to_owned())
}

/// Returns why there can be no snapshot of a device-mapper device that is no logical volume.
pub(super) fn refusal(uuid: &str, device: &Path) -> Option<ShadowError> {
    if uuid.starts_with(LVM) {
        return None;
    }
    let device = device.display();
    let hint = "use --shadow never to read the live files, which may change meanwhile";
    Some(match uuid.split('-').next() {
        Some("CRYPT") => ShadowError::refused(
            format!("{device} is encrypted (dm-crypt) above the volume that holds it; a snapshot of that is locked"),
            "put logical volumes inside of the encryption, not below it; or use --shadow never to read the live files",
        ),
        Some("mpath") => ShadowError::refused(format!("{device} is a multipath device and no logical volume"), hint),
        _ => ShadowError::refused(format!("{device} is a device-mapper device that LVM did not make"), hint),
    })
}

/// Returns the name under which the device-mapper has a logical volume: a hyphen in a name becomes two.
pub(super) fn mapper_name(group: &str, name: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), name.replace('-', "--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lvm_made_can_have_snapshots() {
        let refusal = |uuid: &str| refusal(uuid, Path::new("/dev/mapper/x")).map(|error| error.to_string());
        assert_eq!(refusal("LVM-2Vg0tL6nRkXcU5dL9pXj0nq3JmO1Zq2b"), None);
        let crypt = refusal("CRYPT-LUKS2-0a1b-luks").unwrap();
        assert!(crypt.starts_with("/dev/mapper/x is encrypted"), "{crypt}");
        assert!(refusal("mpath-3600").unwrap().contains("multipath"));
        // A partition inside of a logical volume.
        assert!(refusal("part1-LVM-2Vg0").unwrap().contains("did not make"));
        assert!(refusal("").unwrap().contains("did not make"));
    }

    #[test]
    fn a_hyphen_in_a_name_becomes_two() {
        assert_eq!(mapper_name("a-b", "c"), "a--b-c");
        assert_eq!(mapper_name("vg0", "hardback-shadow-1"), "vg0-hardback--shadow--1");
    }

    #[test]
    fn a_disk_is_no_device_of_the_mapper() {
        assert_eq!(mapper_uuid((1, 0)), None);
        assert_eq!(mapper_uuid((0, 0)), None);
    }
}
