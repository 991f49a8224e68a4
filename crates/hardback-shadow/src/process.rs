//! Programs with a time limit: the tools of the providers, and the hooks of a job.
#![allow(clippy::disallowed_methods, reason = "providers are driven by the system's tools, hooks are programs")]

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Most that is kept of what a program says, in bytes; the rest is read and forgotten.
#[cfg(target_os = "linux")]
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// How often it is looked whether a program is to be ended before its time.
const STOP_PAUSE: Duration = Duration::from_millis(100);

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
    let mut child = start(command)?;
    let group = child.id();
    let (sender, ended) = channel();
    let waiting = std::thread::spawn(move || drop(sender.send(child.wait())));
    let mut left = limit;
    let result = loop {
        let pause = left.min(STOP_PAUSE);
        match ended.recv_timeout(pause) {
            Ok(status) => break status.map(|status| Some(Ended::Status(status))),
            Err(RecvTimeoutError::Disconnected) => break Err(io::Error::other("a thread panicked")),
            Err(RecvTimeoutError::Timeout) => left -= pause,
        }
        let is_stopped = is_stopped();
        if is_stopped || left.is_zero() {
            kill_group(group);
            break Ok((!is_stopped).then_some(Ended::TimedOut));
        }
    };
    drop(waiting.join());
    result
}

/// Runs a program; returns how it ended, what it wrote, and what it complained about.
///
/// # Errors
/// It cannot be started.
#[cfg(target_os = "linux")]
pub(crate) fn run_and_read(command: &mut Command, limit: Duration) -> io::Result<(Ended, String, String)> {
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let group = child.id();
    let readers = [child.stdout.take().map(spawn_reader), child.stderr.take().map(spawn_reader)];
    let (sender, ended) = channel();
    let waiting = std::thread::spawn(move || drop(sender.send(child.wait())));
    let status = match ended.recv_timeout(limit) {
        Ok(status) => status?,
        Err(_) => {
            kill_group(group);
            drop(waiting.join());
            // What it started may hold its pipes for ever.
            return Ok((Ended::TimedOut, String::new(), String::new()));
        }
    };
    drop(waiting.join());
    let [out, err] = readers.map(|reader| reader.and_then(|reader| reader.join().ok()).unwrap_or_default());
    Ok((Ended::Status(status), out, err))
}

#[cfg(target_os = "linux")]
fn spawn_reader(mut stream: impl io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            let room = OUTPUT_BYTES_MAX - kept.len();
            kept.extend_from_slice(&buffer[..n.min(room)]);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// Starts a program in a group of its own, so that it can be ended with all that it starts.
fn start(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
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
    let mut kill = Command::new("taskkill");
    let kill = kill.args(["/T", "/F", "/PID", &leader.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    drop(kill.status());
}
