//! Shadow copies: frozen views of live volumes, and the certainty that they are removed again.
//!
//! A backup of a live volume is a smear of moments unless it reads a frozen view. [`Shadows`] finds out which volumes a
//! request's sources lie on, has each frozen by a [`ShadowProvider`], and makes of the frozen parts one view for each
//! source, in which everything is where it is in the live file system. Nothing else in hardback knows where a tree
//! comes from.
//!
//! What was begun is on record before it exists, so it is removed whatever happens: by [`ShadowSet::release`] on every
//! way out, or by the next [`Shadows::sweep`] where a process was killed.

mod closing;
mod error;
mod exclusions;
mod forward;
mod hooks;
#[cfg(target_os = "linux")]
mod linux;
mod machine;
mod prepared;
mod process;
mod provider;
mod record;
mod set;
#[cfg(any(windows, test))]
mod vss;
mod window;
#[cfg(windows)]
mod windows;

pub use closing::hold_closing_console;
pub use error::ShadowError;
pub use exclusions::{ExclusionList, ExclusionPattern, Expansion, Meaning, SystemExclusion, SystemExclusions};
pub use forward::Forward;
pub use hooks::{FailedHook, HOOK_LIMIT, HookFailure, HookTime, Hooks};
pub use machine::{Graft, Machine, PlainMachine, Request, ViewPlan};
pub use prepared::{Live, Prepared};
pub use provider::{
    Answer, Copy, Meanwhile, Mode, MountedVolume, NAME_PREFIX, Piece, Place, Read, ShadowProvider, ShadowSize, Volume,
    is_name_of_copy,
};
pub use record::{Listed, Record, Records};
pub use set::{Made, ShadowReport, ShadowSet, Shadows, Swept};
pub use window::{Closed, RunResult, Told, Window, WindowPlan};

use std::path::PathBuf;

/// Returns what makes shadow copies on this computer. `records` is the folder for what was begun.
pub fn system(records: PathBuf) -> Shadows {
    system_with_size(records, ShadowSize::default())
}

/// Does the same, with another size of copies that need room of their own.
pub fn system_with_size(records: PathBuf, size: ShadowSize) -> Shadows {
    #[cfg(target_os = "linux")]
    return linux::system(records, size);
    #[cfg(windows)]
    return windows::system(records, size);
    #[cfg(not(any(target_os = "linux", windows)))]
    {
        // Nothing here makes any.
        let _: ShadowSize = size;
        Shadows::new(std::sync::Arc::new(PlainMachine), Vec::new(), records)
    }
}

/// Reads what the system declares that no backup should have; on other systems than Windows nothing.
///
/// # Errors
/// It cannot be read.
#[cfg_attr(not(windows), allow(clippy::unnecessary_wraps, reason = "one signature on all systems"))]
pub fn system_exclusions() -> std::io::Result<SystemExclusions> {
    #[cfg(windows)]
    return windows::exclusions();
    #[cfg(not(windows))]
    Ok(SystemExclusions::default())
}

/// Returns a path without short names such as `ANNALI~1`, where the system has them.
pub fn long_path(path: &str) -> Option<String> {
    #[cfg(windows)]
    return windows::long_path(path);
    #[cfg(not(windows))]
    Some(path.to_owned())
}
