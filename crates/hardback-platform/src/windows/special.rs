//! What only a selftest asks of the system.
#![allow(unsafe_code, reason = "system calls; each block passes only memory of its own function")]

use crate::system::sys_facts;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;

/// A file that nobody else can open while this lives.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Opens a file so that nobody else can.
///
/// # Errors
/// It cannot be opened, or somebody has it open.
pub fn hold_exclusively(path: &Path) -> io::Result<Held> {
    let file = OpenOptions::new().read(true).write(true).share_mode(0).open(path)?;
    Ok(Held { _file: file })
}

/// Has the system encrypt a file for its user (EFS).
///
/// # Errors
/// The volume or this edition of Windows cannot.
pub fn encrypt(path: &Path) -> io::Result<()> {
    sys_facts::encrypt(path.as_os_str())
}

/// Returns the system and its version, for people.
pub fn system_version() -> String {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: u32::try_from(size_of::<OSVERSIONINFOW>()).expect("a small structure"),
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the call fills the structure, whose size it is told. It never fails.
    unsafe { RtlGetVersion(&raw mut version) };
    let OSVERSIONINFOW { dwMajorVersion, dwMinorVersion, dwBuildNumber, .. } = version;
    let system = format!("Windows {dwMajorVersion}.{dwMinorVersion}.{dwBuildNumber}");
    if is_wine() { format!("{system}, as Wine plays it") } else { system }
}

/// Wine tells its version by a function that Windows has not.
fn is_wine() -> bool {
    // SAFETY: both texts end with NUL; ntdll is in every process and stays.
    unsafe {
        let ntdll = GetModuleHandleA(c"ntdll.dll".as_ptr().cast());
        !ntdll.is_null() && GetProcAddress(ntdll, c"wine_get_version".as_ptr().cast()).is_some()
    }
}
