//! What differs between two entries of one path. Pure.
//!
//! Not compared: ctime, file id and number of names. They belong to the source's inode, not to what was backed up.

use crate::manifest::Entry;
use hardback_platform::{Attributes, Kind};

/// Returns which parts of the metadata differ, of two entries of one kind; attribute bits outside the mask do not
/// count, nor does what only one of the two knows.
pub(crate) fn metadata_changes(old: &Entry, new: &Entry, attributes_mask: u32) -> Vec<&'static str> {
    if old.kind == Kind::Other {
        // Nothing of it was stored: there is nothing to compare.
        return Vec::new();
    }
    let mut changes = Vec::new();
    let mut note = |differs: bool, what| {
        if differs {
            changes.push(what);
        }
    };
    note(old.mode.zip(new.mode).is_some_and(|(a, b)| a != b), "mode");
    note(old.owner.zip(new.owner).is_some_and(|(a, b)| a != b), "owner");
    note(old.mtime != new.mtime, "time");
    note(!old.still_has_xattrs(new.xattrs()), "xattrs");
    note(old.link_text() != new.link_text(), "link");
    note(old.device() != new.device(), "device");
    note((old.attributes().0 ^ new.attributes().0) & attributes_mask != 0, "flags");
    changes
}

/// Returns which parts of the metadata differ between two recorded entries of one kind.
pub(crate) fn recorded_changes(old: &Entry, new: &Entry) -> Vec<&'static str> {
    metadata_changes(old, new, Attributes::KEPT)
}
