//! Programs of which it matters what they say.

use super::{Ended, LAST_WORDS, start, wait};
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most that is kept of what a program says, in bytes; the rest is read and forgotten.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Runs a program; returns how it ended, what it wrote, and what it complained about.
///
/// # Errors
/// It cannot be started.
pub(crate) fn run_and_read(command: &mut Command, limit: Duration) -> io::Result<(Ended, String, String)> {
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let out = Output::of(child.stdout.take());
    let err = Output::of(child.stderr.take());
    let ended = wait(child, limit, &|| false)?.unwrap_or(Ended::TimedOut);
    let patience = match ended {
        Ended::Status(_) => LAST_WORDS,
        Ended::TimedOut => Duration::ZERO,
    };
    Ok((ended, out.text(patience), err.text(patience)))
}

/// What a program writes, read as it comes.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Is disconnected at the end.
    ended: Receiver<()>,
}

impl Output {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let kept = Arc::default();
        let (sender, ended) = channel();
        if let Some(stream) = stream {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || read_all(stream, &kept, sender));
        }
        Self { kept, ended }
    }

    /// Returns what was written by now, or until the end if that comes soon.
    fn text(&self, patience: Duration) -> String {
        self.ended.recv_timeout(patience).ok();
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn read_all(mut stream: impl Read, kept: &Mutex<Vec<u8>>, ended: Sender<()>) {
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    drop(ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn a_program_is_read_to_its_end() {
        let (ended, out, err) =
            run_and_read(&mut shell("echo a; echo b >&2; exit 3"), Duration::from_secs(60)).unwrap();
        assert!(matches!(ended, Ended::Status(status) if status.code() == Some(3)));
        assert_eq!((out.as_str(), err.as_str()), ("a\n", "b\n"));
    }

    #[test]
    fn who_keeps_the_pipes_holds_up_nobody() {
        let began = hardback_platform::monotonic_now();
        // A session of its own is not killed with the group.
        let text = "echo said; setsid sleep 30 & sleep 30";
        let (ended, out, _) = run_and_read(&mut shell(text), Duration::from_millis(300)).unwrap();
        assert!(matches!(ended, Ended::TimedOut));
        assert_eq!(out, "said\n");
        let (ended, out, _) =
            run_and_read(&mut shell("echo said; setsid sleep 30 &"), Duration::from_secs(60)).unwrap();
        assert!(matches!(ended, Ended::Status(status) if status.success()));
        assert_eq!(out, "said\n");
        let took = Duration::from_nanos(hardback_platform::monotonic_now().saturating_sub(began));
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}
