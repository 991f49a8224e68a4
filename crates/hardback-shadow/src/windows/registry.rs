//! What of the registry is read: lists, and the folders of the users.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use super::volume::{until_nul, with_nul};
use crate::exclusions::{ExclusionList, SystemExclusion, SystemExclusions};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS, ERROR_SUCCESS};
use windows_sys::Win32::Storage::FileSystem::GetLongPathNameW;
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_READ, KEY_WOW64_64KEY, REG_EXPAND_SZ, REG_MULTI_SZ, REG_SZ, RegCloseKey,
    RegEnumKeyExW, RegEnumValueW, RegOpenKeyExW,
};

const LISTS: &str = r"SYSTEM\CurrentControlSet\Control\BackupRestore";
const PROFILES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
const PROFILE_PATH: &str = "ProfileImagePath";
const PREFETCH: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
const BOOT_ID: &str = "BootId";

/// Longest name of a value or key in 16-bit units, with the NUL.
const NAME_UNITS_MAX: u32 = 16_384;
/// Most bytes of a value that are read.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Reads what Windows declares that no backup should have.
pub(crate) fn exclusions() -> io::Result<SystemExclusions> {
    let mut entries = Vec::new();
    for list in [ExclusionList::NotToBackup, ExclusionList::NotToSnapshot] {
        let Some(key) = Key::open(&format!(r"{LISTS}\{list}"))? else { continue };
        for (name, kind, value) in key.values()? {
            if ![REG_MULTI_SZ, REG_SZ, REG_EXPAND_SZ].contains(&kind) {
                continue;
            }
            let texts = texts_of(&value).into_iter();
            entries.extend(texts.map(|entry| SystemExclusion { list, name: name.clone(), entry }));
        }
    }
    Ok(SystemExclusions { entries, profiles: profiles()? })
}

fn profiles() -> io::Result<Vec<String>> {
    let mut profiles = Vec::new();
    let Some(key) = Key::open(PROFILES)? else { return Ok(profiles) };
    for user in key.keys()? {
        let Some(key) = Key::open(&format!(r"{PROFILES}\{user}"))? else { continue };
        let values = key.values()?.into_iter().filter(|(name, ..)| name.eq_ignore_ascii_case(PROFILE_PATH));
        profiles.extend(values.flat_map(|(_, _, value)| texts_of(&value)));
    }
    Ok(profiles)
}

/// Returns a number that counts the starts of the computer; empty where nobody counts.
pub(super) fn boot_id() -> String {
    let values = Key::open(PREFETCH).ok().flatten().and_then(|key| key.values().ok()).unwrap_or_default();
    let found = values.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(BOOT_ID));
    found.map(|(_, _, value)| value.iter().rev().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}

/// Returns a path without short names.
pub(crate) fn long_path(path: &str) -> Option<String> {
    let path = with_nul(OsStr::new(path)).ok()?;
    let mut long = vec![0; usize::from(u16::MAX)];
    // SAFETY: the path ends with NUL; the call writes at most that many units.
    let units = unsafe { GetLongPathNameW(path.as_ptr(), long.as_mut_ptr(), u16::MAX.into()) };
    let is_found = units > 0 && units < u16::MAX.into();
    is_found.then(|| until_nul(&long).to_str().map(str::to_owned)).flatten()
}

/// An open key.
struct Key(HKEY);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key is open, ours, and used no more.
        unsafe { RegCloseKey(self.0) };
    }
}

fn error_of(answer: u32) -> io::Error {
    io::Error::from_raw_os_error(answer.cast_signed())
}

impl Key {
    /// Opens a key of this computer; `None` where there is none.
    fn open(path: &str) -> io::Result<Option<Self>> {
        let path = with_nul(OsStr::new(path))?;
        let mut key = ptr::null_mut();
        // SAFETY: the path ends with NUL; the call writes one handle.
        let answer =
            unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), 0, KEY_READ | KEY_WOW64_64KEY, &raw mut key) };
        match answer {
            ERROR_SUCCESS => Ok(Some(Self(key))),
            ERROR_FILE_NOT_FOUND => Ok(None),
            other => Err(error_of(other)),
        }
    }

    /// Returns the names of the keys below.
    fn keys(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut name = vec![0; NAME_UNITS_MAX as usize];
        for number in 0.. {
            let mut length = NAME_UNITS_MAX;
            // SAFETY: the key is open; the call writes at most `length` units, and nothing where it is given null.
            let answer = unsafe {
                let none = ptr::null_mut();
                let to = (name.as_mut_ptr(), &raw mut length);
                RegEnumKeyExW(self.0, number, to.0, to.1, ptr::null(), none, none.cast(), none.cast())
            };
            match answer {
                ERROR_SUCCESS => found.push(text_of(&name[..length as usize])),
                ERROR_NO_MORE_ITEMS => break,
                other => return Err(error_of(other)),
            }
        }
        Ok(found)
    }

    /// Returns the values: name, type, bytes. One that is too long is left out.
    fn values(&self) -> io::Result<Vec<(String, u32, Vec<u8>)>> {
        let mut found = Vec::new();
        let (mut name, mut value) = (vec![0; NAME_UNITS_MAX as usize], vec![0; VALUE_BYTES_MAX]);
        for number in 0.. {
            let (mut length, mut kind) = (NAME_UNITS_MAX, 0);
            let mut bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
            // SAFETY: the key is open; the call writes at most the two lengths, and nothing where it is given null.
            let answer = unsafe {
                let to = (name.as_mut_ptr(), &raw mut length, value.as_mut_ptr(), &raw mut bytes);
                RegEnumValueW(self.0, number, to.0, to.1, ptr::null(), &raw mut kind, to.2, to.3)
            };
            match answer {
                ERROR_SUCCESS => {
                    found.push((text_of(&name[..length as usize]), kind, value[..bytes as usize].to_vec()));
                }
                ERROR_MORE_DATA => {}
                ERROR_NO_MORE_ITEMS => break,
                other => return Err(error_of(other)),
            }
        }
        Ok(found)
    }
}

fn text_of(units: &[u16]) -> String {
    OsString::from_wide(units).to_string_lossy().into_owned()
}

/// Returns the texts of a value, each of which ends with NUL, or with the value.
fn texts_of(bytes: &[u8]) -> Vec<String> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    units.split(|unit| *unit == 0).map(text_of).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_texts_is_taken_apart() {
        let bytes = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_eq!(texts_of(&bytes("a\0b c\0\0")), ["a", "b c"]);
        assert_eq!(texts_of(&bytes("a")), ["a"]);
        assert!(texts_of(&bytes("\0")).is_empty());
    }

    #[test]
    fn keys_that_are_missing_are_no_error() {
        assert!(Key::open(r"SOFTWARE\hardback\no such key").unwrap().is_none());
        let key = Key::open(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion").unwrap().unwrap();
        assert!(key.values().unwrap().iter().any(|(name, ..)| name.eq_ignore_ascii_case("CurrentVersion")));
        assert!(!key.keys().unwrap().is_empty());
        exclusions().unwrap();
    }
}
