//! A program in the foreground: it hears the signals that we hear, and we end as it ends.

use crate::process;
use crate::set::ShadowSet;
use std::io;
use std::process::Command;

/// Listens to the signals that ask a program to stop or to say something, and passes them on to one.
///
/// Made before anything is frozen: from then on no signal ends this process, which has to clear up first.
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

    /// Returns the code to end with where a signal came before there was a program.
    pub fn stopped(&self) -> Option<u8> {
        self.0.stopped()
    }
}

impl ShadowSet {
    /// Runs a program that sees the views, and passes signals on to it. Returns its exit code as a shell tells it: 128
    /// and the number of the signal where one ended it.
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
mod system {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithOrigin;
    use signal_hook::low_level::siginfo::{Cause, Origin};
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;
    use std::sync::{Arc, Mutex, PoisonError};

    /// What is passed on; the first four ask to stop.
    const SIGNALS: [i32; 7] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];
    const STOPPING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

    #[derive(Debug, Default)]
    struct State {
        child: Option<Pid>,
        stopped: Option<i32>,
    }

    #[derive(Debug)]
    pub(super) struct Forward(Arc<Mutex<State>>);

    impl Forward {
        pub(super) fn listen() -> io::Result<Self> {
            let state = Arc::new(Mutex::new(State::default()));
            let mut signals = SignalsInfo::<WithOrigin>::new(SIGNALS)?;
            let shared = Arc::clone(&state);
            std::thread::Builder::new().name("signals".into()).spawn(move || {
                for origin in signals.forever() {
                    pass_on(&shared, &origin);
                }
            })?;
            Ok(Self(state))
        }

        pub(super) fn stopped(&self) -> Option<u8> {
            let stopped = self.0.lock().unwrap_or_else(PoisonError::into_inner).stopped?;
            u8::try_from(128 + stopped).ok()
        }

        pub(super) fn run(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<u8> {
            let mut child = {
                // A signal that comes now is passed on right after.
                let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let child = spawn()?;
                state.child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                child
            };
            let pid = self.0.lock().unwrap_or_else(PoisonError::into_inner).child;
            if let Some(pid) = pid {
                // The number is the program's own until it is fetched below: nobody else is signalled.
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner).child = None;
            let status = child.wait()?;
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }

    fn pass_on(state: &Mutex<State>, origin: &Origin) {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // What a terminal sends, it sends to all that are in its foreground.
        let from_terminal =
            matches!(origin.cause, Cause::Kernel) && [SIGINT, SIGQUIT, SIGWINCH].contains(&origin.signal);
        match (state.child, Signal::from_named_raw(origin.signal)) {
            (Some(child), Some(signal)) if !from_terminal => drop(kill_process(child, signal)),
            (None, _) if STOPPING.contains(&origin.signal) => state.stopped = Some(origin.signal),
            _ => {}
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;
    use std::process::Child;

    /// Ctrl-C goes to all programs of a console; the binary's own handler keeps this one alive.
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

        pub(super) fn run(&self, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<u8> {
            let status = spawn()?.wait()?;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }
}
