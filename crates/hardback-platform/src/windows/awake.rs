//! A computer that does not fall asleep by itself.
#![allow(unsafe_code, reason = "system calls; each is given numbers only")]

use std::marker::PhantomData;
use windows_sys::Win32::System::Power::{ES_CONTINUOUS, ES_SYSTEM_REQUIRED, SetThreadExecutionState};

/// Keeps the computer from falling asleep because nobody uses it, as long as this lives. The display may go dark. Where the
/// system refuses nothing happens.
#[derive(Debug)]
pub struct KeepAwake {
    /// The wish is that of a thread, which takes it back.
    _of_thread: PhantomData<*const ()>,
}

impl KeepAwake {
    /// Begins.
    #[allow(clippy::new_without_default, reason = "it is made to have an effect")]
    pub fn new() -> Self {
        // SAFETY: it is given a number.
        unsafe { SetThreadExecutionState(ES_CONTINUOUS | ES_SYSTEM_REQUIRED) };
        Self { _of_thread: PhantomData }
    }
}

impl Drop for KeepAwake {
    fn drop(&mut self) {
        // SAFETY: it is given a number.
        unsafe { SetThreadExecutionState(ES_CONTINUOUS) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what was wished for so far.
    fn wish(next: u32) -> u32 {
        // SAFETY: it is given a number.
        unsafe { SetThreadExecutionState(next) }
    }

    #[test]
    fn the_system_is_required_until_the_end() {
        let awake = KeepAwake::new();
        let wished = wish(ES_CONTINUOUS | ES_SYSTEM_REQUIRED);
        assert_eq!(wished & (ES_CONTINUOUS | ES_SYSTEM_REQUIRED), ES_CONTINUOUS | ES_SYSTEM_REQUIRED);
        drop(awake);
        assert_eq!(wish(ES_CONTINUOUS) & ES_SYSTEM_REQUIRED, 0);
    }
}
