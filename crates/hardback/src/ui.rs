//! Where results, messages and progress go: stdout is for results, stderr for everything else.

mod events;
mod progress;
pub(crate) mod text;

use crate::args::OutputArgs;
use crate::exit::Exit;
use events::Event;
use indicatif::ProgressBar;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

/// Version of all JSON that is written; docs/json.md describes it.
pub(crate) const SCHEMA: u32 = 1;

/// How to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A person looks on.
    Terminal,
    /// A file or a pipe.
    Plain,
    /// A program.
    Json,
}

/// Where results, messages and progress go. Clones share the progress display.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    style: Style,
    quiet: bool,
    verbose: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

/// The last line of a run with `--json`.
#[derive(Serialize)]
struct Envelope<'a, T> {
    schema: u32,
    report: &'a str,
    exit: u8,
    #[serde(flatten)]
    body: &'a T,
}

/// A line of a listing with `--json`.
#[derive(Serialize)]
struct Item<'a, T> {
    schema: u32,
    item: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl Ui {
    /// Chooses how to talk.
    pub(crate) fn new(output: &OutputArgs) -> Self {
        let style = match (output.json, io::stderr().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Terminal,
            (false, false) => Style::Plain,
        };
        Self { style, quiet: output.quiet, verbose: output.verbose, bar: Arc::default() }
    }

    /// Returns whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.style == Style::Json
    }

    /// Returns whether the user wants to hear more.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Returns whether someone is there to answer a question.
    pub(crate) fn can_ask(&self) -> bool {
        self.style == Style::Terminal && io::stdin().is_terminal()
    }

    /// Asks a question and returns the answer in lower case; `None` at the end of the input. The progress display waits.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        self.suspended(|| {
            let mut stderr = anstream::stderr();
            write!(stderr, "{question}").and_then(|()| stderr.flush()).ok()?;
            let mut answer = String::new();
            let bytes = io::stdin().read_line(&mut answer).ok()?;
            (bytes > 0).then(|| answer.trim().to_lowercase())
        })
    }

    /// Writes a line of a result to stdout.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.suspended(|| writeln!(anstream::stdout(), "{text}"))
    }

    /// Writes a line of a summary to stdout, unless the user wants silence.
    pub(crate) fn summary(&self, text: &str) -> io::Result<()> {
        if self.quiet { Ok(()) } else { self.line(text) }
    }

    /// Writes text as it is to stdout.
    pub(crate) fn raw(&self, text: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout();
        stdout.write_all(text)?;
        stdout.flush()
    }

    /// Writes the report that ends a run with `--json`; returns the exit that it names.
    pub(crate) fn report(&self, report: &str, exit: Exit, body: &impl Serialize) -> io::Result<Exit> {
        self.json_line(&Envelope { schema: SCHEMA, report, exit: exit.code(), body })?;
        Ok(exit)
    }

    /// Writes one line of a listing as JSON.
    pub(crate) fn item(&self, item: &str, body: &impl Serialize) -> io::Result<()> {
        self.json_line(&Item { schema: SCHEMA, item, body })
    }

    fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.raw(&line)
    }

    /// Tells something on stderr, unless the user wants silence.
    pub(crate) fn message(&self, text: &str) {
        if self.is_json() {
            self.event(&Event::Notice { text });
        } else if !self.quiet {
            self.to_stderr(text);
        }
    }

    /// Tells something that the user should know and need not act upon.
    pub(crate) fn notice(&self, text: &str) {
        if self.is_json() {
            self.event(&Event::Notice { text });
        } else if !self.quiet {
            self.to_stderr(&format!("\x1b[33mnote:\x1b[0m {text}"));
        }
    }

    /// Tells of problems on stderr, silence or not.
    pub(crate) fn problem_line(&self, text: &str) {
        if !self.is_json() {
            self.to_stderr(text);
        }
    }

    /// Writes a line of an error to stderr.
    pub(crate) fn error_line(&self, label: &str, text: &str) {
        let colour = if label == "hint" { "\x1b[36m" } else { "\x1b[1;31m" };
        self.to_stderr(&format!("{colour}{label}:\x1b[0m {text}"));
    }

    fn event(&self, event: &Event<'_>) {
        if let Ok(line) = serde_json::to_string(&events::Line { schema: SCHEMA, event }) {
            self.to_stderr(&line);
        }
    }

    /// A message that cannot be written has nobody who could be told.
    fn to_stderr(&self, text: &str) {
        self.suspended(|| writeln!(anstream::stderr(), "{text}")).ok();
    }

    /// Takes the progress display away while something else is written.
    fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = self.bar.lock().ok().and_then(|bar| bar.clone());
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
