//! The privileges that are in this process's token, switched on or not.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::rights::privileges_in;
use crate::system::sys::{self, check};
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use windows_sys::Win32::Foundation::{HANDLE, LUID};
use windows_sys::Win32::Security::{GetTokenInformation, LookupPrivilegeValueW, TOKEN_QUERY, TokenPrivileges};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// More than there are privileges: each takes 12 bytes.
const TOKEN_NUMBERS: usize = 512;

/// Opens the token of this process.
pub(super) fn own(access: u32) -> io::Result<OwnedHandle> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: the pseudo handle of this process is always valid; the call writes one handle.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), access, &raw mut token) })?;
    // SAFETY: the call succeeded, so the handle is open and ours to close.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// Returns those of the named privileges that this process holds.
pub(super) fn held<'n>(names: &[&'n str]) -> io::Result<Vec<&'n str>> {
    let list = privileges()?;
    let mut held = Vec::new();
    for name in names {
        // A privilege that this Windows does not know is not held.
        if number_of(name).is_ok_and(|number| list.contains(&(number.LowPart, number.HighPart))) {
            held.push(*name);
        }
    }
    Ok(held)
}

fn privileges() -> io::Result<Vec<(u32, i32)>> {
    let token = own(TOKEN_QUERY)?;
    let mut buffer = [0u64; TOKEN_NUMBERS];
    let length = u32::try_from(size_of_val(&buffer)).expect("a small buffer");
    let mut written = 0;
    // SAFETY: the token is open; the call writes at most `length` bytes into `buffer`.
    check(unsafe {
        let to = buffer.as_mut_ptr().cast();
        GetTokenInformation(token.as_raw_handle(), TokenPrivileges, to, length, &raw mut written)
    })?;
    privileges_in(sys::bytes_of(&buffer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Returns the number of a privilege.
pub(super) fn number_of(name: &str) -> io::Result<LUID> {
    let wide = sys::with_nul(name.as_ref())?;
    let mut number = LUID::default();
    // SAFETY: the name ends with NUL; the call writes one number.
    check(unsafe { LookupPrivilegeValueW(ptr::null(), wide.as_ptr(), &raw mut number) })?;
    Ok(number)
}
