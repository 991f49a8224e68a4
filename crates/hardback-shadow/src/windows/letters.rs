//! The drive letters of Windows.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use super::volume::{until_nul, with_nul};
use crate::vss::{Letters, Logon};
use std::ffi::OsString;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, HANDLE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_STATISTICS, TokenStatistics};
use windows_sys::Win32::Storage::FileSystem::{
    DDD_EXACT_MATCH_ON_REMOVE, DDD_RAW_TARGET_PATH, DDD_REMOVE_DEFINITION, DefineDosDeviceW, QueryDosDeviceW,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Longest target of a letter in 16-bit units.
const TARGET_UNITS_MAX: u32 = 32_768;

/// The letters of this logon: who runs as administrator has others than who does not.
#[derive(Debug)]
pub(super) struct SystemLetters;

impl Letters for SystemLetters {
    fn target(&self, letter: char) -> io::Result<Option<String>> {
        let name = name(letter)?;
        let mut target = vec![0; TARGET_UNITS_MAX as usize];
        // SAFETY: the name ends with NUL; the call writes at most that many units.
        if unsafe { QueryDosDeviceW(name.as_ptr(), target.as_mut_ptr(), TARGET_UNITS_MAX) } > 0 {
            return Ok(Some(until_nul(&target).to_string_lossy().into_owned()));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == i32::try_from(ERROR_FILE_NOT_FOUND).ok() => Ok(None),
            error => Err(error),
        }
    }

    fn define(&self, letter: char, target: &str) -> io::Result<()> {
        define(DDD_RAW_TARGET_PATH, letter, target)
    }

    fn remove(&self, letter: char, target: &str) -> io::Result<()> {
        define(DDD_RAW_TARGET_PATH | DDD_REMOVE_DEFINITION | DDD_EXACT_MATCH_ON_REMOVE, letter, target)
    }

    fn logon(&self) -> io::Result<Logon> {
        let mut token: HANDLE = ptr::null_mut();
        // SAFETY: the pseudo handle of this process is always valid; the call writes one handle.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the handle is open and ours to close.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let mut statistics = TOKEN_STATISTICS::default();
        let (length, mut written) = (size_of::<TOKEN_STATISTICS>() as u32, 0);
        // SAFETY: the token is open; the call writes at most the length of the structure into it.
        let is_done = unsafe {
            let to = (&raw mut statistics).cast();
            GetTokenInformation(token.as_raw_handle(), TokenStatistics, to, length, &raw mut written)
        };
        if is_done == 0 {
            return Err(io::Error::last_os_error());
        }
        let id = statistics.AuthenticationId;
        let session = format!("{:x}-{:x}", id.HighPart.cast_unsigned(), id.LowPart);
        Ok(Logon { boot: super::registry::boot_id(), session })
    }
}

fn name(letter: char) -> io::Result<Vec<u16>> {
    with_nul(&OsString::from(format!("{letter}:")))
}

fn define(flags: u32, letter: char, target: &str) -> io::Result<()> {
    let (name, target) = (name(letter)?, with_nul(&OsString::from(target))?);
    // SAFETY: both texts end with NUL and live over the call.
    match unsafe { DefineDosDeviceW(flags, name.as_ptr(), target.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "Wine differs, and the environment says that it is Wine")]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_logon() {
        let logon = SystemLetters.logon().unwrap();
        // Wine has no logons.
        assert_eq!(logon.session == "0-0", std::env::var_os("HARDBACK_TEST_WINE").is_some());
        assert_eq!(SystemLetters.logon().unwrap(), logon);
    }

    #[test]
    fn a_letter_leads_somewhere_until_it_is_taken_back() {
        let temp = tempfile::tempdir().unwrap();
        let letter = ('D'..='Z').rev().find(|letter| SystemLetters.target(*letter).unwrap().is_none()).unwrap();
        let target = format!(r"\??\{}", temp.path().display());
        SystemLetters.define(letter, &target).unwrap();
        assert_eq!(SystemLetters.target(letter).unwrap().as_deref(), Some(&target[..]));
        // Wine removes whatever there is.
        if std::env::var_os("HARDBACK_TEST_WINE").is_none() {
            let other = SystemLetters.remove(letter, r"\??\C:\elsewhere");
            assert_eq!(other.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(SystemLetters.target(letter).unwrap().as_deref(), Some(&target[..]));
        }
        SystemLetters.remove(letter, &target).unwrap();
        assert_eq!(SystemLetters.target(letter).unwrap(), None);
        let again = SystemLetters.remove(letter, &target);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
