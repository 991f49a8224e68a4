//! A writer that keeps two files equal, so that a copy of both tells whether it is of one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// The files; others can be put between them by name, so that a live copy takes its time from one to the other.
const NAMES: [&str; 2] = ["a-of-pair", "z-of-pair"];
const LINES: usize = 500;

/// The writer, at work until it is dropped.
#[derive(Debug)]
pub struct PairWriter {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl PairWriter {
    /// Begins to write the same number into two files of a folder, again and again.
    pub fn start(dir: &Path) -> Self {
        write(dir, 0);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count, dir) = (Arc::clone(&stop), Arc::clone(&rounds), dir.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                write(&dir, count.fetch_add(1, Ordering::Relaxed) + 1);
            }
        });
        Self { stop, rounds, thread: Some(thread) }
    }

    /// Returns how often it has written both.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for PairWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn write(dir: &Path, number: u64) {
    for name in NAMES {
        let new: PathBuf = dir.join("new-of-pair");
        std::fs::write(&new, format!("{number}\n").repeat(LINES)).unwrap();
        std::fs::rename(&new, dir.join(name)).unwrap();
    }
}

/// Returns the number in a copy of the pair; panics unless that is of one moment.
pub fn number_in(copy: &Path) -> u64 {
    let number = |name: &str| {
        let text = std::fs::read_to_string(copy.join(name)).unwrap();
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.len() == LINES && numbers.iter().all(|n| *n == numbers[0]), "{name} is torn: {text}");
        numbers[0]
    };
    let [first, second] = NAMES.map(number);
    // The first is written first: at any moment it has the same number, or the next.
    assert!(first == second || first == second + 1, "{first} and {second} are of two moments");
    second
}
