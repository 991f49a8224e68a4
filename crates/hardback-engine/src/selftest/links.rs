//! Names: how many a file takes, and how one of them goes.

use super::facts::is_same_value;
use super::things::Where;
use super::{Bench, CheckOutcome, Measured, SelftestReport, is_windows};
use hardback_platform::ntfs::ATTRIBUTES;
use hardback_platform::{Dir, Faults, PathError, VolumeKind};

/// Most names of a file of NTFS on Windows.
const NTFS_NAMES_MAX: u64 = 1024;
/// So many are tried.
const NAMES_TRIED: u64 = 1100;
const TEXT: &[u8] = b"What stays.\n";
const READ_ONLY: u32 = 0x1;

/// Gives a file names until the volume refuses one.
pub(super) fn limit(bench: &Bench<'_>, report: &mut SelftestReport) -> Result<CheckOutcome, PathError> {
    let (dir, _) = bench.folder.make_dir("links")?;
    dir.create_file(b"1", 0o600)?.write_all_at(TEXT, 0)?;
    let refused = (2..=NAMES_TRIED).find_map(|number| {
        let error = dir.link(b"1", &dir, number.to_string().as_bytes()).err()?;
        Some((number, error))
    });
    let found = match &refused {
        None => format!("{NAMES_TRIED} names of one file and no refusal"),
        Some((number, error)) => format!("name {number} is refused: {}", error.source),
    };
    report.measured.push(Measured { what: "names of one file".to_owned(), found: found.clone() });
    let counted = dir.stat(b"1")?.nlink;
    let made = refused.as_ref().map_or(NAMES_TRIED, |(number, _)| number - 1);
    if counted != made {
        return Ok(CheckOutcome::failed(format!("a file that says it has {made} names"), format!("it says {counted}")));
    }
    if !(is_windows() && bench.kind == VolumeKind::Ntfs) {
        return Ok(match refused {
            None => CheckOutcome::Passed,
            Some((_, error)) if error.fault() == Faults::TooManyLinks => CheckOutcome::Passed,
            Some((2, _)) if !bench.is_expected(Where::Everywhere) => CheckOutcome::not_possible(found),
            Some(_) => CheckOutcome::failed("all of them, or a refusal for too many links", found),
        });
    }
    let is_right =
        |(number, error): &(u64, PathError)| *number == NTFS_NAMES_MAX + 1 && error.fault() == Faults::TooManyLinks;
    Ok(match refused.as_ref().is_some_and(is_right) {
        true => CheckOutcome::Passed,
        false => CheckOutcome::failed("name 1025 is refused with error 1142 (too many links)", found),
    })
}

/// Removes one name of a read-only file: the other, and that it is read-only, must stay. Both names share it.
pub(super) fn read_only(bench: &Bench<'_>, _: &mut SelftestReport) -> Result<CheckOutcome, PathError> {
    let (dir, _) = bench.folder.make_dir("read-only")?;
    dir.create_file(b"goes", 0o600)?.write_all_at(TEXT, 0)?;
    dir.link(b"goes", &dir, b"stays")?;
    let value = READ_ONLY.to_be_bytes();
    if let Err(error) = dir.set_mode(b"goes", 0o400) {
        match error.fault() {
            Faults::Unsupported => dir.set_xattr(b"goes", ATTRIBUTES, &value)?,
            _ => return Err(error),
        }
    }
    let before = read_only_facts(&dir)?;
    dir.unlink(b"goes")?;
    let after = read_only_facts(&dir)?;
    let content = dir.open_file(b"stays")?.read_to_vec(TEXT.len())?;
    Ok(match (before == after, content == TEXT, dir.stat(b"goes").is_err()) {
        (true, true, true) => CheckOutcome::Passed,
        (_, _, false) => CheckOutcome::failed("the name is gone", "it is there"),
        (_, false, _) => CheckOutcome::failed("the content is there by the other name", "it is another"),
        (false, ..) => CheckOutcome::failed(format!("{before:?}"), format!("{after:?}")),
    })
}

/// Whether it is read-only, by mode and by attribute, as far as this volume has them.
fn read_only_facts(dir: &Dir) -> Result<(Option<u32>, Option<bool>), PathError> {
    let mode = dir.stat(b"stays")?.mode;
    let xattrs = dir.xattrs(b"stays")?;
    let value = xattrs.iter().find(|(name, _)| name == ATTRIBUTES).map(|(_, value)| &value[..]);
    let with_it = value.and_then(|value| value.try_into().ok()).map(|value| u32::from_be_bytes(value) | READ_ONLY);
    let is_read_only = with_it.map(|with_it| is_same_value(ATTRIBUTES, value, Some(&with_it.to_be_bytes())));
    Ok((mode, is_read_only))
}

/// Removes the name of a file that is open: it must be free for another at once, and what is open must stay readable.
pub(super) fn open(bench: &Bench<'_>, _: &mut SelftestReport) -> Result<CheckOutcome, PathError> {
    let (dir, _) = bench.folder.make_dir("open")?;
    dir.create_file(b"name", 0o600)?.write_all_at(TEXT, 0)?;
    let open = dir.open_file(b"name")?;
    dir.unlink(b"name")?;
    if dir.stat(b"name").is_ok() {
        return Ok(CheckOutcome::failed("the name is gone", "it is there until the file is closed"));
    }
    if let Err(error) = dir.create_file(b"name", 0o600) {
        return Ok(CheckOutcome::failed("another file can have the name", super::cause(&error)));
    }
    Ok(match open.read_to_vec(TEXT.len())? == TEXT {
        true => CheckOutcome::Passed,
        false => CheckOutcome::failed("the open file stays as it was", "another content"),
    })
}
