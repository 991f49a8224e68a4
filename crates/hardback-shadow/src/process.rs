//! Programs with a time limit: the tools of the providers, and the hooks of a job.
#![allow(clippy::disallowed_methods, reason = "providers are driven by the system's tools, hooks are programs")]

#[cfg(target_os = "linux")]
mod output;

#[cfg(target_os = "linux")]
pub(crate) use output::run_and_read;

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long is waited for a program that was killed, and for the end of what one that ended wrote: a device that hangs
/// holds up even the killing, and something that was started in the background may keep the pipes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often it is looked whether a program is to be ended before its time.
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// `CREATE_NEW_PROCESS_GROUP`
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Status(ExitStatus),
    /// It was killed, with all that it started, as its time was over.
    TimedOut,
}

/// Runs a program and waits for it, no longer than its limit. `None`: it was killed, with all that it started, as
/// `is_stopped` said so.
///
/// # Errors
/// It cannot be started.
pub(crate) fn run(command: &mut Command, limit: Duration, is_stopped: &dyn Fn() -> bool) -> io::Result<Option<Ended>> {
    wait(start(command)?, limit, is_stopped)
}

/// Waits for a program, no longer than its limit. `None`: it was killed, as `is_stopped` said so.
fn wait(mut child: Child, limit: Duration, is_stopped: &dyn Fn() -> bool) -> io::Result<Option<Ended>> {
    let group = child.id();
    let (sender, ended) = channel();
    // It is not joined: a program that hangs in the kernel cannot be killed, and nobody waits for it here.
    let waiting = std::thread::Builder::new().name("tool".into());
    waiting.spawn(move || drop(sender.send(child.wait())))?;
    let mut left = limit;
    loop {
        let pause = left.min(STOP_PAUSE);
        match ended.recv_timeout(pause) {
            Ok(status) => return status.map(|status| Some(Ended::Status(status))),
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("a thread panicked")),
            Err(RecvTimeoutError::Timeout) => left -= pause,
        }
        let is_stopped = is_stopped();
        if is_stopped || left.is_zero() {
            kill_group(group);
            drop(ended.recv_timeout(LAST_WORDS));
            return Ok((!is_stopped).then_some(Ended::TimedOut));
        }
    }
}

/// Starts a program in a group of its own: it can be ended with all that it starts, and Ctrl-C, which goes to all that are
/// in the foreground of the terminal, is not for it.
fn start(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    // Such a group, and what is started in it, ignores Ctrl-C.
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
    as_started(command);
    command.spawn()
}

/// Gives a program what this process was started with, and has changed for itself: the mask of permissions, and the limit
/// of open files (select(2) breaks above 1024).
#[cfg_attr(unix, allow(unsafe_code, reason = "something must be done between fork and exec"))]
pub(crate) fn as_started(command: &mut Command) {
    #[cfg(unix)]
    {
        let inherited = hardback_platform::Inherited::of_process();
        // SAFETY: what runs in the child makes two system calls with numbers of its own; it takes no memory, no lock and
        // looks at nothing that another thread may have held when the process was forked.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(command, move || inherited.give_back());
        }
    }
    #[cfg(not(unix))]
    let _: &mut Command = command;
}

#[cfg(unix)]
fn kill_group(leader: u32) {
    let leader = i32::try_from(leader).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(leader) = leader {
        rustix::process::kill_process_group(leader, rustix::process::Signal::KILL).ok();
    }
}

#[cfg(not(unix))]
fn kill_group(leader: u32) {
    // The tool of the system ends what the program started too.
    use std::process::Stdio;
    let mut kill = Command::new("taskkill");
    let kill = kill.args(["/T", "/F", "/PID", &leader.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    drop(kill.status());
}
