//! A program in the foreground: it hears the signals that we hear, and we end as it ends.

use crate::process;
use crate::set::ShadowSet;
use std::io;
use std::process::Command;

/// Listens to the signals that ask a program to stop or to say something, and passes them on to one.
///
/// Made before anything is frozen: from then on no signal ends this process, which has to clear up first. A signal that is
/// ignored from the start, as `nohup` has it, stays so, for the program too.
#[derive(Debug)]
pub struct Forward(system::Forward);

impl Forward {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> io::Result<Self> {
        system::Forward::listen().map(Self)
    }

    /// Returns the code to end with where a signal asked to stop while there was no program: 128 and its number.
    pub fn stopped(&self) -> Option<u8> {
        self.0.stopped()
    }

    /// Returns how many signals asked to stop while there was no program.
    pub fn stops(&self) -> u32 {
        self.0.stops()
    }
}

impl ShadowSet {
    /// Runs a program that sees the views, and passes signals on to it. Returns its exit code as a shell tells it: 128
    /// and the number of the signal where one ended it, or asked to stop before it was started.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, mut command: Command, forward: &Forward) -> io::Result<u8> {
        process::as_started(&mut command);
        forward.0.run(|| self.spawn(command))
    }
}

impl Forward {
    /// Runs a program without any views, as [`ShadowSet::run`] does.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, mut command: Command) -> io::Result<u8> {
        process::as_started(&mut command);
        self.0.run(|| command.spawn())
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "one system call, which is given only memory of its own function")]
mod system {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithOrigin;
    use signal_hook::low_level::siginfo::Cause;
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    /// What is passed on; the first four ask to stop.
    const SIGNALS: [i32; 7] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];
    const STOPPING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

    #[derive(Debug, Default)]
    struct State {
        child: Option<Pid>,
        /// The first signal that asked to stop while there was no child.
        stopped: Option<i32>,
        stops: u32,
    }

    impl State {
        fn code(&self) -> Option<u8> {
            self.stopped.and_then(|signal| u8::try_from(128 + signal).ok())
        }
    }

    #[derive(Debug)]
    pub(super) struct Forward(Arc<Mutex<State>>);

    impl Forward {
        pub(super) fn listen() -> io::Result<Self> {
            let state = Arc::new(Mutex::new(State::default()));
            let mut signals = SignalsInfo::<WithOrigin>::new(SIGNALS.iter().filter(|signal| !is_ignored(**signal)))?;
            let shared = Arc::clone(&state);
            std::thread::Builder::new().name("signals".into()).spawn(move || {
                for origin in signals.forever() {
                    pass_on(&shared, origin.signal, matches!(origin.cause, Cause::Kernel));
                }
            })?;
            Ok(Self(state))
        }

        pub(super) fn stopped(&self) -> Option<u8> {
            self.state().code()
        }

        pub(super) fn stops(&self) -> u32 {
            self.state().stops
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn run(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<u8> {
            let mut child = {
                // A signal that comes now is passed on right after.
                let mut state = self.state();
                // One that came since anybody looked is for us.
                if let Some(code) = state.code() {
                    return Ok(code);
                }
                let child = spawn()?;
                state.child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                child
            };
            let pid = self.state().child;
            if let Some(pid) = pid {
                // The number is the program's own until it is fetched below: nobody else is signalled.
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            }
            self.state().child = None;
            let status = child.wait()?;
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }

    fn pass_on(state: &Mutex<State>, signal: i32, is_by_kernel: bool) {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // What a terminal sends, it sends to all that are in its foreground.
        let from_terminal = is_by_kernel && [SIGINT, SIGQUIT, SIGWINCH].contains(&signal);
        match (state.child, Signal::from_named_raw(signal)) {
            (Some(child), Some(named)) if !from_terminal => drop(kill_process(child, named)),
            (None, _) if STOPPING.contains(&signal) => {
                state.stopped.get_or_insert(signal);
                state.stops += 1;
            }
            _ => {}
        }
    }

    /// Returns whether this process was started to ignore a signal.
    fn is_ignored(signal: i32) -> bool {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: nothing is set; what is asked for is written to memory of its type, for which all zeros are valid too.
        let action = unsafe {
            libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
            action.assume_init()
        };
        action.sa_sigaction == libc::SIG_IGN
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn nothing_is_started_after_a_signal_to_stop() {
            let stopped = State { stopped: Some(SIGTERM), stops: 1, child: None };
            let forward = Forward(Arc::new(Mutex::new(stopped)));
            let started = forward.run(|| panic!("it is started"));
            assert_eq!(started.unwrap(), 143);
        }

        #[test]
        fn only_signals_that_ask_to_stop_count_and_the_first_is_the_code() {
            let state = Mutex::new(State::default());
            for signal in [SIGUSR1, SIGWINCH, SIGHUP, SIGINT] {
                pass_on(&state, signal, true);
            }
            let forward = Forward(Arc::new(state));
            assert_eq!((forward.stopped(), forward.stops()), (Some(129), 2));
        }
    }
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "one system call, which is given a function")]
mod system {
    use std::io;
    use std::process::Child;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
    use windows_sys::core::BOOL;

    /// What Ctrl-C ends with, as elsewhere: 128 and the number of the signal.
    const INTERRUPTED: u8 = 130;
    /// What a console that is closed ends with. Of a logoff and of a shutdown Windows tells services alone.
    const HUNG_UP: u8 = 129;

    /// The handler is a plain function, so what it knows is the process's.
    static STOPS: AtomicU32 = AtomicU32::new(0);
    static IS_HUNG_UP: AtomicBool = AtomicBool::new(false);
    static HAS_CHILD: AtomicBool = AtomicBool::new(false);

    /// Hears what the console says, in a thread of the system's. All programs of the console hear it, the child too.
    unsafe extern "system" fn handle(event: u32) -> BOOL {
        let is_key = [CTRL_C_EVENT, CTRL_BREAK_EVENT].contains(&event);
        if !is_key || !HAS_CHILD.load(Ordering::SeqCst) {
            IS_HUNG_UP.fetch_or(!is_key, Ordering::SeqCst);
            STOPS.fetch_add(1, Ordering::SeqCst);
        }
        if !is_key {
            // The process ends when this returns, or some five seconds later: what was made is removed meanwhile.
            loop {
                std::thread::park();
            }
        }
        1
    }

    #[derive(Debug)]
    pub(super) struct Forward;

    impl Forward {
        pub(super) fn listen() -> io::Result<Self> {
            // SAFETY: the function lives as long as the process.
            match unsafe { SetConsoleCtrlHandler(Some(handle), 1) } {
                0 => Err(io::Error::last_os_error()),
                _ => Ok(Self),
            }
        }

        pub(super) fn stopped(&self) -> Option<u8> {
            let code = if IS_HUNG_UP.load(Ordering::SeqCst) { HUNG_UP } else { INTERRUPTED };
            (self.stops() > 0).then_some(code)
        }

        pub(super) fn stops(&self) -> u32 {
            STOPS.load(Ordering::SeqCst)
        }

        pub(super) fn run(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<u8> {
            HAS_CHILD.store(true, Ordering::SeqCst);
            // What came since anybody looked is for us.
            if let Some(code) = self.stopped() {
                HAS_CHILD.store(false, Ordering::SeqCst);
                return Ok(code);
            }
            let status = spawn().and_then(|mut child| child.wait());
            HAS_CHILD.store(false, Ordering::SeqCst);
            let code = status?.code().and_then(|code| u8::try_from(code).ok());
            Ok(code.unwrap_or(u8::MAX))
        }
    }
}

#[cfg(not(any(unix, windows)))]
mod system {
    use std::io;
    use std::process::Child;

    #[derive(Debug)]
    pub(super) struct Forward;

    impl Forward {
        #[allow(clippy::unnecessary_wraps, reason = "one signature on all systems")]
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn stopped(&self) -> Option<u8> {
            None
        }

        pub(super) fn stops(&self) -> u32 {
            0
        }

        pub(super) fn run(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<u8> {
            let status = spawn()?.wait()?;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }
}
