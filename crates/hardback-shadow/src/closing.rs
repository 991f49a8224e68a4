//! A console that is closed while a run is under way: Windows ends the process as soon as it has heard of that.

use std::io;

/// Has `stop` called when the console of this process is closed, and then holds Windows up until the process ends by
/// itself: Windows waits some five seconds. To be called after all else that listens to Ctrl-C, which this leaves to them.
///
/// Of a logoff and of a shutdown Windows tells no program of a console anything. On other systems it is a signal that
/// says that a terminal is gone, so nothing is done here.
///
/// # Errors
/// The system refuses, or this was called before.
#[cfg_attr(not(windows), allow(clippy::unnecessary_wraps, reason = "one signature on all systems"))]
pub fn hold_closing_console(stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    #[cfg(windows)]
    return system::hold(Box::new(stop));
    #[cfg(not(windows))]
    {
        drop(stop);
        Ok(())
    }
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "one system call, which is given a function")]
mod system {
    use std::io;
    use std::sync::OnceLock;
    use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
    use windows_sys::core::BOOL;

    type Stop = Box<dyn Fn() + Send + Sync>;

    /// The handler is a plain function, so what it calls is the process's.
    static STOP: OnceLock<Stop> = OnceLock::new();

    /// Hears what the console says before those that were made known earlier, in a thread of the system's.
    unsafe extern "system" fn handle(event: u32) -> BOOL {
        if [CTRL_C_EVENT, CTRL_BREAK_EVENT].contains(&event) {
            return 0;
        }
        if let Some(stop) = STOP.get() {
            stop();
        }
        // The process ends when this returns, or some seconds later: what was made is removed meanwhile.
        loop {
            std::thread::park();
        }
    }

    pub(super) fn hold(stop: Stop) -> io::Result<()> {
        STOP.set(stop).map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
        // SAFETY: the function lives as long as the process.
        match unsafe { SetConsoleCtrlHandler(Some(handle), 1) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
