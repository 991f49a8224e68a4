//! Names of entries: made, changed and removed. Whoever looks at new files, a virus scanner or an indexer, is in the way for a
//! moment, and is waited for.

use crate::metadata::Kind;
use crate::system::dir::{ITSELF, open};
use crate::system::{kind_of, os_error, sys, sys_names};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use windows_sys::Win32::Foundation as code;
use windows_sys::Win32::Storage::FileSystem as fs;

/// The first pause before a call is tried again; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long a folder is waited for: it cannot be renamed while anybody has anything below it open, and scanners took up to
/// half a minute over a new one.
const PATIENCE_WITH_FOLDERS: Duration = Duration::from_secs(30);
/// How long anything else is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many waits in a row that were in vain nothing but folders is waited for: it is no scanner that is in the way of a
/// restore into a folder of others.
const IN_VAIN_MAX: u32 = 8;

/// How many waits in a row were in vain.
static IN_VAIN: AtomicU32 = AtomicU32::new(0);

/// Gives a file one more name.
///
/// `CreateHardLink` opens the file without the wish to back it up, so even who has the right to restore must be let in by the
/// file's access list.
pub(super) fn link(old: &OsStr, new: &OsStr) -> io::Result<()> {
    let file = open(old, fs::FILE_WRITE_ATTRIBUTES, ITSELF)?;
    match sys_names::link(&file, new) {
        Err(e) if is_unknown(&e) => std::fs::hard_link(old, new),
        other => other,
    }
}

/// Renames an entry, with `MOVEFILE_*` flags.
pub(super) fn rename(old: &OsStr, new: &OsStr, flags: fs::MOVE_FILE_FLAGS) -> io::Result<()> {
    let patience = || match open(old, fs::FILE_READ_ATTRIBUTES, ITSELF).and_then(|file| kind_of(&file)) {
        Ok(Kind::Dir) => PATIENCE_WITH_FOLDERS,
        Ok(_) => PATIENCE,
        Err(_) => Duration::ZERO,
    };
    let is_in_the_way = |e: &io::Error| sys::is(e, code::ERROR_ACCESS_DENIED) || is_shared(e);
    patiently(is_in_the_way, patience, || match sys::move_file(old, new, flags) {
        Err(e) if flags & fs::MOVEFILE_REPLACE_EXISTING != 0 && sys::is(&e, code::ERROR_ACCESS_DENIED) => {
            replace(old, new, e)
        }
        other => other,
    })
}

/// Renames an entry over one that is read-only, or that somebody has open.
fn replace(old: &OsStr, new: &OsStr, refusal: io::Error) -> io::Result<()> {
    let file = open(old, fs::DELETE, ITSELF | fs::FILE_FLAG_WRITE_THROUGH)?;
    match sys_names::replace(&file, new) {
        Err(e) if is_unknown(&e) => replace_read_only(old, new, refusal),
        Err(_) => Err(refusal),
        Ok(()) => Ok(()),
    }
}

/// Renames an entry over a read-only file where that can only be done in steps. The attribute belongs to the file, and a file
/// that is open is not replaced, so one with other names would stay without it.
fn replace_read_only(old: &OsStr, new: &OsStr, refusal: io::Error) -> io::Result<()> {
    let open = || open(new, fs::FILE_READ_ATTRIBUTES | fs::FILE_WRITE_ATTRIBUTES, ITSELF);
    let file = open()?;
    let information = sys::by_handle(&file)?;
    let attributes = information.dwFileAttributes;
    if attributes & fs::FILE_ATTRIBUTE_READONLY == 0 || information.nNumberOfLinks > 1 {
        return Err(refusal);
    }
    set_attributes(&file, attributes & !fs::FILE_ATTRIBUTE_READONLY)?;
    drop(file);
    let moved = sys::move_file(old, new, fs::MOVEFILE_REPLACE_EXISTING | fs::MOVEFILE_WRITE_THROUGH);
    if moved.is_err() {
        set_attributes(&open()?, attributes)?;
    }
    moved
}

/// Removes the entry itself by handle, so that what is removed is what was looked at.
pub(super) fn remove(path: &OsStr, is_wanted: impl Fn(Kind) -> bool) -> io::Result<()> {
    let open = || open(path, fs::DELETE | fs::FILE_READ_ATTRIBUTES, ITSELF);
    let file = patiently(is_shared, || PATIENCE, open)?;
    if !is_wanted(kind_of(&file)?) {
        return Err(os_error(code::ERROR_DIRECTORY));
    }
    match sys::remove_now(&file) {
        // Before Windows 10 1809, and on volumes other than NTFS.
        Err(e) if is_unknown(&e) => match sys::remove_on_close(&file) {
            Err(e) if sys::is(&e, code::ERROR_ACCESS_DENIED) => remove_read_only(path, e),
            other => other,
        },
        other => other,
    }
}

/// Removes a name of a read-only file where that attribute is in the way. It belongs to the file, so it is put back
/// for the names that stay.
fn remove_read_only(path: &OsStr, refusal: io::Error) -> io::Result<()> {
    let access = fs::DELETE | fs::FILE_READ_ATTRIBUTES | fs::FILE_WRITE_ATTRIBUTES;
    let file = open(path, access, ITSELF)?;
    let attributes = sys::by_handle(&file)?.dwFileAttributes;
    if attributes & fs::FILE_ATTRIBUTE_READONLY == 0 {
        return Err(refusal);
    }
    set_attributes(&file, attributes & !fs::FILE_ATTRIBUTE_READONLY)?;
    let removed = sys::remove_on_close(&file);
    set_attributes(&file, attributes)?;
    removed
}

/// Sets all attributes of an open entry. None at all is a word of its own; 0 would change none.
fn set_attributes(file: &File, attributes: u32) -> io::Result<()> {
    sys::set_attributes(file, if attributes == 0 { fs::FILE_ATTRIBUTE_NORMAL } else { attributes })
}

/// Tries again, after longer and longer pauses, what others are in the way of; for as long as `patience` says.
fn patiently<T>(
    is_in_the_way: impl Fn(&io::Error) -> bool,
    patience: impl FnOnce() -> Duration,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut refusal = match tried(&is_in_the_way, call()) {
        Ok(result) => return result,
        Err(refusal) => refusal,
    };
    let patience = match patience() {
        short if short <= PATIENCE && IN_VAIN.load(Ordering::Relaxed) >= IN_VAIN_MAX => Duration::ZERO,
        patience => patience,
    };
    if patience.is_zero() {
        return Err(refusal);
    }
    let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    while waited < patience {
        std::thread::park_timeout(pause);
        (waited, pause) = (waited + pause, (2 * pause).min(LONGEST_PAUSE));
        refusal = match tried(&is_in_the_way, call()) {
            Ok(result) => return result,
            Err(refusal) => refusal,
        };
    }
    IN_VAIN.fetch_add(1, Ordering::Relaxed);
    Err(refusal)
}

/// Returns the error if somebody is in the way, else the answer of the call.
fn tried<T>(is_in_the_way: impl Fn(&io::Error) -> bool, answer: io::Result<T>) -> Result<io::Result<T>, io::Error> {
    match answer {
        Err(e) if is_in_the_way(&e) => Err(e),
        other => {
            if other.is_ok() {
                IN_VAIN.store(0, Ordering::Relaxed);
            }
            Ok(other)
        }
    }
}

fn is_shared(error: &io::Error) -> bool {
    sys::is(error, code::ERROR_SHARING_VIOLATION)
}

/// Returns whether an error says that this system or volume does not know the call.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    const CODES: [u32; 4] = [
        code::ERROR_INVALID_PARAMETER,
        code::ERROR_INVALID_FUNCTION,
        code::ERROR_NOT_SUPPORTED,
        code::ERROR_CALL_NOT_IMPLEMENTED,
    ];
    CODES.iter().any(|code| sys::is(error, *code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_the_way_is_waited_for_and_not_for_ever() {
        let denied = || os_error(code::ERROR_ACCESS_DENIED);
        let is_denied = |e: &io::Error| sys::is(e, code::ERROR_ACCESS_DENIED);
        let mut calls = 0;
        let mut in_the_way_for = |times: u32, patience| {
            calls = 0;
            let result = patiently(
                is_denied,
                || patience,
                || {
                    calls += 1;
                    if calls > times { Ok(calls) } else { Err(denied()) }
                },
            );
            (result.ok(), calls)
        };
        assert_eq!(in_the_way_for(0, Duration::ZERO), (Some(1), 1));
        assert_eq!(in_the_way_for(2, PATIENCE), (Some(3), 3));
        assert_eq!(in_the_way_for(9, Duration::ZERO), (None, 1));
        assert_eq!(in_the_way_for(99, 3 * FIRST_PAUSE), (None, 3));
        let other = patiently(is_denied, || PATIENCE, || Err::<(), _>(os_error(code::ERROR_DISK_FULL)));
        assert!(sys::is(&other.unwrap_err(), code::ERROR_DISK_FULL));
        // After many in vain only folders are waited for, until a call succeeds again.
        assert_eq!(in_the_way_for(0, PATIENCE), (Some(1), 1));
        for _ in 0..IN_VAIN_MAX {
            assert_eq!(in_the_way_for(99, FIRST_PAUSE), (None, 2));
        }
        assert_eq!(in_the_way_for(2, PATIENCE), (None, 1));
        assert_eq!(in_the_way_for(2, PATIENCE_WITH_FOLDERS), (Some(3), 3));
        assert_eq!(in_the_way_for(2, PATIENCE), (Some(3), 3));
    }
}
