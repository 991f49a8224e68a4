//! What became of a job's last run. A run says that it began before it looks at anything, and how it ended: so one that
//! was killed, or found no source, is known to whoever would remove snapshots next.

use crate::clock::timestamp;
use crate::context::Context;
use crate::error::{Error, UnderPath};
use crate::job::JobName;
use crate::target::{Target, holder_words, layout, replace_file_and_keep};
use hardback_platform::{Dir, Faults, FileWrite, PathError};

/// Longest file of a run that is read.
const RUN_BYTES_MAX: usize = 64 << 10;
/// Longest message that is kept, in bytes; quotes and control characters take more when they are written.
const MESSAGE_BYTES_MAX: usize = 512;
/// Length of the file, if the message is no longer than most.
const FILE_BYTES: usize = 1024;

/// How a job's last run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LastRun {
    /// Nothing is known: there was none, or nothing could be written.
    Unknown,
    /// It made a snapshot, or found that there was nothing to make one for.
    Good,
    /// It stopped with an error.
    Failed(String),
    /// The target was full.
    Full,
    /// The target was full, and so much had changed that no snapshot was removed for room. Only a person ends this.
    Suspicious(String),
    /// It was that, and a person has looked and said that it is well: the next run gets its room.
    Answered,
    /// It began and did not say how it ended; it may be at work.
    Unfinished,
}

/// How a run ended, as it is written.
enum Outcome<'a> {
    Running,
    Good,
    Full,
    Suspicious(&'a str),
    Failed(&'a str),
}

/// A run that said that it began.
pub(crate) struct Running<'a> {
    ctx: &'a Context<'a>,
    target: &'a Target,
    /// Open since the beginning: its end is written over it, which a full volume allows too.
    file: Option<FileWrite>,
}

/// Notes that a run begins. A failure is told: then nobody can say later that this run failed.
pub(crate) fn begin<'a>(ctx: &'a Context<'a>, target: &'a Target, job: &str) -> Running<'a> {
    let mut running = Running { ctx, target, file: None };
    match running.create(job) {
        Ok(file) => running.file = Some(file),
        Err(error) => running.tell(&error),
    }
    running
}

impl Running<'_> {
    /// Notes how the run ended.
    pub(crate) fn end(self, error: Option<&Error>, suspicion: Option<&str>) {
        let message;
        let outcome = match (error, suspicion) {
            (None, _) => Outcome::Good,
            (Some(error), Some(why)) if error.is_full() => Outcome::Suspicious(why),
            (Some(error), None) if error.is_full() => Outcome::Full,
            (Some(error), _) => {
                message = error.with_causes();
                Outcome::Failed(&message)
            }
        };
        let Some(file) = &self.file else { return };
        let text = self.text(&outcome);
        if let Err(error) = file.write_all_at(&text, 0).and_then(|()| file.sync()) {
            self.tell(&error.under(&self.target.ours_path(&[layout::RUNS])));
        }
    }

    fn create(&self, job: &str) -> Result<FileWrite, PathError> {
        let dir = self.target.ours_dir(&[layout::RUNS])?;
        let path = self.target.ours_path(&[layout::RUNS]);
        let name = layout::run_name(job);
        // A file that is there is written over: on a full volume nothing else may succeed.
        if let Ok(file) = dir.open_file_to_write(&name)
            && file.metadata().is_ok_and(|there| there.size_bytes >= FILE_BYTES as u64)
        {
            file.write_all_at(&self.text(&Outcome::Running), 0).and_then(|()| file.sync()).under(&path)?;
            return Ok(file);
        }
        replace_file_and_keep(&dir, &name, &self.text(&Outcome::Running)).under(&path)
    }

    /// Returns the text, always of one length.
    fn text(&self, outcome: &Outcome<'_>) -> Vec<u8> {
        let (word, message) = match outcome {
            Outcome::Running => ("running", ""),
            Outcome::Good => ("good", ""),
            Outcome::Full => ("full", ""),
            Outcome::Suspicious(message) => ("suspicious", *message),
            Outcome::Failed(message) => ("failed", *message),
        };
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let text = format!(
            "# What became of the last run of this job.\nat = \"{}\"\noutcome = \"{word}\"\nmessage = {}\n",
            timestamp(self.ctx.clock.now()),
            toml::Value::from(&message[..end]),
        );
        let mut text = text.into_bytes();
        text.resize(FILE_BYTES.max(text.len()), b'\n');
        text
    }

    fn tell(&self, error: &PathError) {
        self.ctx.monitor.notice(&format!("what becomes of this run is not noted: {error}: {}", error.source));
    }
}

/// Notes a run that failed before it had the target: its sources were not there, or not what they should be. While another
/// run is at work that one's word counts.
pub fn note_failed_run(ctx: &Context<'_>, target: &Target, job: &JobName, error: &Error) {
    if let Ok(_lock) = target.lock(&holder_words(ctx, &format!("job {job}"))) {
        // What an earlier run suspected holds until a person says something.
        if !matches!(last_run(target, job.as_str()), Ok(LastRun::Suspicious(_))) {
            begin(ctx, target, job.as_str()).end(Some(error), None);
        }
    }
}

/// Answers a run that was suspicious: the next one gets its room. Returns whether there was one.
pub(crate) fn clear_suspicion(target: &Target, job: &str) -> Result<bool, Error> {
    if !matches!(last_run(target, job)?, LastRun::Suspicious(_)) {
        return Ok(false);
    }
    let path = target.ours_path(&[layout::RUNS]);
    let file = target.ours_dir(&[layout::RUNS])?.open_file_to_write(&layout::run_name(job)).under(&path)?;
    let mut text = b"# What became of the last run of this job.\noutcome = \"answered\"\n".to_vec();
    text.resize(FILE_BYTES, b'\n');
    file.write_all_at(&text, 0)
        .and_then(|()| file.set_len(FILE_BYTES as u64))
        .and_then(|()| file.sync())
        .under(&path)?;
    Ok(true)
}

/// Returns how the last run of a job ended, to be asked while none is at work.
///
/// # Errors
/// It cannot be read, though it is there.
pub(crate) fn last_run(target: &Target, job: &str) -> Result<LastRun, Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::RUNS])? else { return Ok(LastRun::Unknown) };
    let bytes = match read(&dir, job) {
        Err(e) if e.fault() == Faults::Vanished => return Ok(LastRun::Unknown),
        other => other.under(&target.ours_path(&[layout::RUNS]))?,
    };
    Ok(parse(&bytes))
}

fn read(dir: &Dir, job: &str) -> Result<Vec<u8>, PathError> {
    dir.open_file(&layout::run_name(job))?.read_to_vec(RUN_BYTES_MAX)
}

/// What cannot be understood is no proof that all was well.
fn parse(bytes: &[u8]) -> LastRun {
    let table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
    let word = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    match word("outcome") {
        "good" => LastRun::Good,
        "full" => LastRun::Full,
        "answered" => LastRun::Answered,
        "suspicious" => LastRun::Suspicious(word("message").to_owned()),
        "failed" => LastRun::Failed(word("message").to_owned()),
        _ => LastRun::Unfinished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_says_so_was_good() {
        assert_eq!(parse(b"outcome = \"good\""), LastRun::Good);
        assert_eq!(parse(b"outcome = \"answered\""), LastRun::Answered);
        assert_eq!(parse(b"outcome = \"failed\"\nmessage = \"no\""), LastRun::Failed("no".into()));
        for text in [&b""[..], b"\xff", b"outcome = 1", b"outcome = \"running\""] {
            assert_eq!(parse(text), LastRun::Unfinished);
        }
    }
}
