//! What only a selftest asks of the system.

use std::io;
use std::path::Path;

/// A file that nobody else can open: there is no such thing on Unix.
#[derive(Debug)]
pub struct Held;

/// Opens a file so that nobody else can: not on Unix, where nothing keeps a reader out.
///
/// # Errors
/// Always.
pub fn hold_exclusively(_path: &Path) -> io::Result<Held> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has the system encrypt a file for its user (EFS): not on Unix.
///
/// # Errors
/// Always.
pub fn encrypt(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the system and its version, for people.
pub fn system_version() -> String {
    let system = rustix::system::uname();
    format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy())
}
