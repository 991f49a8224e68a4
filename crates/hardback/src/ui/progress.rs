//! Progress while a verb works: a thread that looks at the counters. The workers never wait for a display.

use super::events::{Event, Progress};
use super::{Style, Ui, text};
use crate::env::Env;
use hardback_engine::system::KeepAwake;
use hardback_engine::{Context, Counters, Monitor, Phase, Problem};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a terminal is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// How often a JSON line is written.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// Looks that rates are taken over.
const RATE_LOOKS: usize = 50;
/// Before this nobody can tell how long it takes.
const LEFT_AFTER: Duration = Duration::from_secs(2);

/// Passes what a verb tells to the user.
struct UiMonitor<'a> {
    ui: &'a Ui,
    phase: Mutex<&'static str>,
}

impl Monitor for UiMonitor<'_> {
    fn problem(&self, problem: &Problem) {
        if self.ui.is_json() {
            let path = text::json_bytes(&problem.path);
            self.ui.event(&Event::Problem { path, kind: problem.kind.code(), detail: &problem.detail });
        } else if self.ui.verbose {
            self.ui.problem_line(&format!("problem: {problem}"));
        }
    }

    fn notice(&self, text: &str) {
        self.ui.notice(text);
    }

    fn phase(&self, phase: Phase) {
        let name = phase_name(phase);
        if let Ok(mut current) = self.phase.lock() {
            *current = name;
        }
        if self.ui.is_json() {
            self.ui.event(&Event::Phase { phase: name });
        } else if self.ui.verbose {
            self.ui.message(name);
        }
    }
}

/// Returns the word for a step.
fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Freezing => "freezing",
        Phase::Recovering => "recovering",
        Phase::Copying => "copying",
        Phase::Syncing => "syncing",
        Phase::Cleaning => "cleaning",
        Phase::Verifying => "verifying",
        Phase::Restoring => "restoring",
        Phase::Counting => "counting",
        Phase::Repairing => "repairing",
    }
}

impl Env {
    /// Runs a verb of the engine and shows its progress. The computer does not fall asleep meanwhile.
    pub(crate) fn with_progress<T>(&self, verb: impl FnOnce(&Context<'_>) -> T) -> T {
        let _awake = KeepAwake::new();
        let counters = Counters::default();
        let monitor = UiMonitor { ui: &self.ui, phase: Mutex::new("starting") };
        let context = Context { clock: &self.clock, monitor: &monitor, counters: &counters, cancel: &self.cancel };
        let interval = match self.ui.style {
            _ if self.ui.quiet => None,
            Style::Terminal => Some(DRAW_INTERVAL),
            Style::Json => Some(EVENT_INTERVAL),
            Style::Plain => None,
        };
        let Some(interval) = interval else { return verb(&context) };
        let (done, is_done) = channel::<()>();
        std::thread::scope(|scope| {
            let display = Display::new(&self.ui, &counters, &monitor);
            scope.spawn(move || {
                let mut display = display;
                while is_done.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    display.look();
                }
                display.end();
            });
            // Dropped when the verb returns or panics: the display ends either way.
            let _done = done;
            verb(&context)
        })
    }
}

/// Draws or writes what the counters say.
struct Display<'a> {
    ui: &'a Ui,
    counters: &'a Counters,
    monitor: &'a UiMonitor<'a>,
    started: Instant,
    looks: VecDeque<(Instant, u64, u64)>,
}

impl<'a> Display<'a> {
    fn new(ui: &'a Ui, counters: &'a Counters, monitor: &'a UiMonitor<'a>) -> Self {
        if ui.style == Style::Terminal {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {prefix}\n  {wide_msg}").expect("a valid template"));
            if let Ok(mut shared) = ui.bar.lock() {
                *shared = Some(bar);
            }
        }
        Self { ui, counters, monitor, started: Instant::now(), looks: VecDeque::new() }
    }

    fn look(&mut self) {
        let progress = self.progress();
        let Some(bar) = self.ui.bar.lock().ok().and_then(|bar| bar.clone()) else {
            return self.ui.event(&Event::Progress(progress));
        };
        let phase = self.monitor.phase.lock().map(|p| *p).unwrap_or_default();
        bar.set_prefix(sentence(phase, &progress));
        let current = self.counters.current();
        bar.set_message(if current.is_empty() { String::new() } else { text::path(&current) });
        bar.tick();
    }

    fn end(&self) {
        if let Some(bar) = self.ui.bar.lock().ok().and_then(|mut bar| bar.take()) {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self) -> Progress {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let known = |counter| Some(load(counter)).filter(|n| *n > 0);
        let c = self.counters;
        let (entries, bytes_read) = (load(&c.entries), load(&c.bytes_read));
        let now = Instant::now();
        self.looks.push_back((now, entries, bytes_read));
        if self.looks.len() > RATE_LOOKS {
            self.looks.pop_front();
        }
        let (then, entries_then, bytes_then) = self.looks.front().copied().unwrap_or((self.started, 0, 0));
        let span = now.duration_since(then);
        let elapsed = now.duration_since(self.started);
        let (expected_entries, expected_bytes) = (known(&c.expected_entries), known(&c.expected_bytes));
        let left_s = match expected_bytes {
            Some(expected) => seconds_left(bytes_read, expected, elapsed),
            None => expected_entries.and_then(|expected| seconds_left(entries, expected, elapsed)),
        };
        Progress {
            current: text::json_bytes(&c.current()),
            entries,
            expected_entries,
            linked: load(&c.linked),
            bytes_read,
            bytes_written: load(&c.bytes_written),
            expected_bytes,
            entries_per_s: per_second(entries.saturating_sub(entries_then), span),
            bytes_per_s: per_second(bytes_read.saturating_sub(bytes_then), span),
            problems: load(&c.problems),
            elapsed_s: elapsed.as_secs_f64(),
            left_s,
        }
    }
}

/// Returns the first line of the display.
fn sentence(phase: &str, progress: &Progress) -> String {
    let mut sentence = format!("{phase}  {}", text::count(progress.entries));
    if let Some(expected) = progress.expected_entries {
        sentence += &format!(" of about {}", text::count(expected));
    }
    sentence += &format!(" entries ({}/s)", text::count(progress.entries_per_s));
    if progress.bytes_read > 0 {
        let (bytes, rate) = (text::size(progress.bytes_read), text::size(progress.bytes_per_s));
        sentence += &format!("  {bytes} read ({rate}/s)");
    }
    if progress.problems > 0 {
        sentence += &format!("  {}", text::counted(progress.problems, "problem", "problems"));
    }
    if let Some(left_s) = progress.left_s {
        sentence += &format!("  about {} left", text::duration(Duration::from_secs(left_s)));
    }
    sentence
}

fn per_second(n: u64, span: Duration) -> u64 {
    let rate = (u128::from(n) * 1000).checked_div(span.as_millis()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Returns how long it takes if it goes on like this; `None` while that is a guess.
fn seconds_left(done: u64, expected: u64, elapsed: Duration) -> Option<u64> {
    if elapsed < LEFT_AFTER || done < expected / 100 || done == 0 {
        return None;
    }
    let left = u128::from(expected.saturating_sub(done));
    u64::try_from(elapsed.as_millis() * left / u128::from(done) / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_part_that_is_done() {
        let s = Duration::from_secs;
        assert_eq!(seconds_left(50, 100, s(10)), Some(10));
        assert_eq!(seconds_left(100, 100, s(10)), Some(0));
        assert_eq!(seconds_left(200, 100, s(10)), Some(0));
        assert_eq!(seconds_left(50, 100, s(1)), None);
        assert_eq!(seconds_left(0, 50, s(10)), None);
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(per_second(500, Duration::from_millis(2500)), 200);
        assert_eq!(per_second(500, Duration::ZERO), 0);
    }
}
