//! Reading the extended attributes of the sources' entries: what could be read is recorded, what could not is told.

use super::shared::Shared;
use crate::manifest::Entry;
use crate::problem::{Problem, ProblemKind};
use hardback_platform::{Kind, PathError, XattrsRead, ntfs};

/// Takes what was read of an entry into its record. What could not be read is a problem, which is told unless it was.
pub(super) fn take(
    shared: &Shared<'_>,
    entry: &mut Entry,
    read: Result<XattrsRead, PathError>,
    is_told: &mut bool,
    path: &dyn Fn() -> Vec<u8>,
) {
    let lost = match read {
        Ok(XattrsRead { mut xattrs, lost }) => {
            if entry.kind == Kind::File {
                // Its content is here, whatever it was fetched from.
                ntfs::drop_reparse(&mut xattrs);
            }
            if !xattrs.is_empty() {
                entry.extra_mut().xattrs = xattrs;
            }
            lost
        }
        Err(error) => Some(error),
    };
    if let Some(error) = lost {
        entry.extra_mut().problem = Some(ProblemKind::Metadata);
        if !std::mem::replace(is_told, true) {
            shared.problem(Problem::new(&path(), ProblemKind::Metadata, &error));
        }
    }
}
