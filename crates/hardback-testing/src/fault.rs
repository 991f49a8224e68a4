//! A watch that makes the n-th call fail, so that a test can try every n.

use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies: this and every later call fails.
    Stop,
    /// The call fails once with the system's error of this number.
    Once(i32),
    /// This and every later call fails with the system's error of this number: a device that is gone.
    FromNowOn(i32),
    /// A write stores this many bytes and then fails with the system's error of this number; other calls fail.
    Short(usize, i32),
}

/// Which calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// All.
    All,
    /// Those that can change a volume.
    Changing,
}

/// Counts calls and lets one of them fail.
#[derive(Debug)]
pub struct FaultyWatch {
    calls: Calls,
    at: u64,
    fault: Fault,
    seen: AtomicU64,
    struck: AtomicBool,
    where_struck: Mutex<Option<String>>,
}

impl FaultyWatch {
    /// Only counts.
    pub fn counting(calls: Calls) -> Arc<Self> {
        Self::failing(calls, 0, Fault::Stop)
    }

    /// Lets the n-th call fail, from 1.
    pub fn failing(calls: Calls, at: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            calls,
            at,
            fault,
            seen: AtomicU64::new(0),
            struck: AtomicBool::new(false),
            where_struck: Mutex::new(None),
        })
    }

    /// Returns a seam that this watches.
    pub fn seam(self: &Arc<Self>) -> Seam {
        Seam::watched(self.clone())
    }

    /// Returns how many calls were counted.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Returns which call failed, once one has.
    pub fn struck(&self) -> Option<String> {
        self.where_struck.lock().expect("no panic while the call is held").clone()
    }

    fn error(&self, op: Op) -> Verdict {
        match self.fault {
            Fault::Stop => Verdict::Fail(io::Error::other("the process is dead")),
            Fault::Once(number) | Fault::FromNowOn(number) => Verdict::Fail(io::Error::from_raw_os_error(number)),
            Fault::Short(bytes, number) if op == Op::Write => {
                Verdict::Short(bytes, io::Error::from_raw_os_error(number))
            }
            Fault::Short(_, number) => Verdict::Fail(io::Error::from_raw_os_error(number)),
        }
    }
}

impl Watch for FaultyWatch {
    fn before(&self, call: &Call<'_>) -> Verdict {
        let lasting = matches!(self.fault, Fault::Stop | Fault::FromNowOn(_));
        if lasting && self.struck.load(Ordering::SeqCst) {
            return self.error(call.op);
        }
        if self.calls == Calls::Changing && !call.op.changes() {
            return Verdict::Go;
        }
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return Verdict::Go;
        }
        self.struck.store(true, Ordering::SeqCst);
        let place = format!("{:?} {}", call.op, String::from_utf8_lossy(call.name));
        *self.where_struck.lock().expect("no panic while the call is held") = Some(place);
        self.error(call.op)
    }
}

/// Does something at the n-th call and lets all calls go: a source that changes during a run.
pub struct Meddler {
    at: u64,
    seen: AtomicU64,
    act: Box<dyn Fn() + Send + Sync>,
}

impl Meddler {
    /// Acts before the n-th call, from 1.
    pub fn acting(at: u64, act: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { at, seen: AtomicU64::new(0), act: Box::new(act) })
    }

    /// Returns a seam that this watches.
    pub fn seam(self: &Arc<Self>) -> Seam {
        Seam::watched(self.clone())
    }

    /// Returns whether it came to the call.
    pub fn has_acted(&self) -> bool {
        self.seen.load(Ordering::SeqCst) >= self.at
    }
}

impl std::fmt::Debug for Meddler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meddler at {}", self.at)
    }
}

impl Watch for Meddler {
    fn before(&self, _: &Call<'_>) -> Verdict {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            (self.act)();
        }
        Verdict::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(fault: Fault, ops: &[Op]) -> Vec<bool> {
        let watch = FaultyWatch::failing(Calls::Changing, 2, fault);
        let goes = |op: &Op| matches!(watch.before(&Call { op: *op, name: b"x", handle: -1 }), Verdict::Go);
        ops.iter().map(goes).collect()
    }

    #[test]
    fn the_second_changing_call_fails_and_a_dead_process_reads_nothing() {
        let ops = [Op::Link, Op::Stat, Op::Unlink, Op::Stat, Op::Link];
        assert_eq!(verdicts(Fault::Once(5), &ops), [true, true, false, true, true]);
        assert_eq!(verdicts(Fault::Stop, &ops), [true, true, false, false, false]);
    }
}
