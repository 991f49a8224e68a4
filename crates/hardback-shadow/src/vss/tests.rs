//! The state machine with a scripted VSS, on every system.

use super::codes::Code;
use super::scripted::{FastTime, Fault, Scripted};
use super::session::{Failure, Frozen, Limits, Session, Surroundings, freeze};
use super::time::{Stop, Time};
use std::cell::RefCell;
use std::time::Duration;

/// The whole way, as WINDOWS has it.
pub(crate) const WAY: [&str; 19] = [
    "CreateVssBackupComponents",
    "InitializeForBackup",
    "SetContext",
    "SetBackupState",
    "GatherWriterMetadata",
    "GetWriterMetadataCount",
    "FreeWriterMetadata",
    "IsVolumeSupported",
    "StartSnapshotSet",
    "AddToSnapshotSet",
    "PrepareForBackup",
    "DoSnapshotSet",
    "GatherWriterStatus",
    "GetWriterStatusCount",
    "FreeWriterStatus",
    "GetSnapshotProperties",
    "BackupComplete",
    "DeleteSnapshots",
    "Release",
];

/// The calls that start something.
pub(crate) const STARTING: [&str; 5] =
    ["GatherWriterMetadata", "PrepareForBackup", "DoSnapshotSet", "GatherWriterStatus", "BackupComplete"];

struct Bench {
    scripted: Scripted,
    time: FastTime,
    stop: Stop,
    told: RefCell<Vec<String>>,
}

impl Bench {
    fn new(script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let (time, stop, told) = (FastTime::default(), Stop::default(), RefCell::default());
        Self { scripted: Scripted::new(script), time, stop, told }
    }

    fn freeze(&self, volumes: &[&str]) -> Result<(Session<'_>, Frozen), Failure> {
        let tell = |text: String| self.told.borrow_mut().push(text);
        let around = Surroundings { limits: Limits::default(), time: &self.time, stop: &self.stop, tell: &tell };
        let volumes: Vec<String> = volumes.iter().map(|&volume| volume.to_owned()).collect();
        freeze(&self.scripted, &volumes, &around)
    }

    /// The calls, without the waiting.
    fn way(&self) -> Vec<String> {
        let calls = self.scripted.calls();
        calls.into_iter().filter(|call| !["Wait", "QueryStatus"].contains(&call.as_str())).collect()
    }
}

pub(super) fn at(call: &'static str, fault: Fault) -> impl Fn(&str, usize) -> Fault {
    move |other, _| if other == call { fault } else { Fault::None }
}

#[test]
fn the_calls_come_in_their_order_and_all_is_released() {
    let bench = Bench::new(|_, _| Fault::None);
    let (session, frozen) = bench.freeze(&[r"\\?\Volume{1}\"]).unwrap();
    assert_eq!(frozen.devices, [r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1"]);
    assert!(frozen.failed_writers.is_empty());
    assert_eq!(bench.scripted.living(), 1);
    session.check(0).unwrap();
    assert_eq!(session.check(1).unwrap_err(), Code::OBJECT_NOT_FOUND);
    drop(session);
    let way: Vec<String> = bench.way();
    let asked = way.iter().filter(|call| *call == "GetSnapshotProperties").count();
    assert_eq!(asked, 2, "once for the path, once for the check");
    let mut once = way.clone();
    once.dedup();
    assert_eq!(once, WAY);
    assert_eq!(bench.scripted.living(), 0);
}

#[test]
fn all_volumes_are_one_set() {
    let bench = Bench::new(|_, _| Fault::None);
    let (session, frozen) = bench.freeze(&["a", "b", "c"]).unwrap();
    assert_eq!(frozen.devices.len(), 3);
    assert_eq!((bench.scripted.count("StartSnapshotSet"), bench.scripted.count("AddToSnapshotSet")), (1, 3));
    assert_eq!(bench.scripted.count("DoSnapshotSet"), 1);
    drop(session);
    let (most, too_many) = (vec!["v"; super::VOLUMES_MAX], vec!["v"; super::VOLUMES_MAX + 1]);
    drop(bench.freeze(&most).unwrap());
    assert_eq!(bench.freeze(&too_many).err().unwrap(), Failure::TooMany);
}

/// Whether `AbortBackup` is due where a call fails: a set is started, and not made.
fn is_abort_due(call: &str) -> bool {
    ["AddToSnapshotSet", "PrepareForBackup", "DoSnapshotSet"].contains(&call)
}

/// Whether the failure of a call is no failure of the freezing.
fn is_survived(call: &str) -> bool {
    let of_writers = ["GetWriterMetadataCount", "GatherWriterStatus", "GetWriterStatusCount", "FreeWriterStatus"];
    of_writers.contains(&call) || ["BackupComplete", "DeleteSnapshots"].contains(&call)
}

#[track_caller]
fn check_failed(bench: &Bench, call: &'static str, result: Result<(Session<'_>, Frozen), Failure>, expected: &Failure) {
    if is_survived(call) {
        let (session, frozen) = result.unwrap_or_else(|failure| panic!("{call}: {failure:?}"));
        let of_writers = !["GetWriterMetadataCount", "BackupComplete", "DeleteSnapshots"].contains(&call);
        assert_eq!(frozen.failed_writers.len(), usize::from(of_writers), "{call}");
        drop(session);
    } else {
        let failure = result.map(drop).unwrap_err();
        assert_eq!(failure, *expected, "{call}");
    }
    let aborts = bench.scripted.count("AbortBackup");
    assert_eq!(aborts, usize::from(is_abort_due(call)), "AbortBackup after {call}");
    let is_made = bench.scripted.count("GatherWriterStatus") > 0;
    assert_eq!(bench.scripted.count("DeleteSnapshots"), usize::from(is_made), "DeleteSnapshots after {call}");
    assert_eq!(bench.scripted.living(), 0, "{call}");
    let released = bench.way().last().is_none_or(|last| last == "Release");
    assert!(released || call == "CreateVssBackupComponents", "{call}: {:?}", bench.way());
}

#[test]
fn each_call_that_fails_gives_its_error_and_abort_is_called_when_it_is_due() {
    let codes = [Code::ACCESS_DENIED, Code::BAD_STATE, Code::INSUFFICIENT_STORAGE, Code::UNEXPECTED, Code(0x8004_2399)];
    for call in &WAY[..WAY.len() - 1] {
        for code in codes {
            let bench = Bench::new(at(call, Fault::Answers(code)));
            let volume = ["IsVolumeSupported", "AddToSnapshotSet", "GetSnapshotProperties"].contains(call).then_some(0);
            let result = bench.freeze(&["a"]);
            check_failed(&bench, call, result, &Failure::Call { call, code, volume });
        }
    }
}

#[test]
fn each_operation_that_fails_or_hangs_ends_in_its_way() {
    for call in STARTING {
        for code in [Code::WRITER_INFRASTRUCTURE, Code::CANCELLED, Code::INSUFFICIENT_STORAGE] {
            let bench = Bench::new(at(call, Fault::Ends(code)));
            let result = bench.freeze(&["a"]);
            check_failed(&bench, call, result, &Failure::Call { call, code, volume: None });
        }
        let bench = Bench::new(at(call, Fault::Hangs));
        let result = bench.freeze(&["a"]);
        let limits = Limits::default();
        let limit = if call == "DoSnapshotSet" { limits.making } else { limits.writers };
        check_failed(&bench, call, result, &Failure::TimedOut { call, limit });
        assert_eq!(bench.scripted.count("Cancel"), 1, "{call}");
    }
}

#[test]
fn a_wait_that_fails_ends_the_attempt() {
    for call in ["Wait", "QueryStatus"] {
        let bench = Bench::new(at(call, Fault::Answers(Code::UNEXPECTED)));
        let failure = bench.freeze(&["a"]).map(drop).unwrap_err();
        assert_eq!(failure, Failure::Call { call: "GatherWriterMetadata", code: Code::UNEXPECTED, volume: None });
        assert_eq!(bench.scripted.living(), 0);
    }
}

#[test]
fn an_operation_of_which_nobody_can_tell_is_cancelled_before_the_abort() {
    for call in ["Wait", "QueryStatus"] {
        let is_making = std::sync::atomic::AtomicBool::new(false);
        let bench = Bench::new(move |other, _| {
            is_making.fetch_or(other == "DoSnapshotSet", std::sync::atomic::Ordering::SeqCst);
            let fails = other == call && is_making.load(std::sync::atomic::Ordering::SeqCst);
            if fails { Fault::Answers(Code::UNEXPECTED) } else { Fault::None }
        });
        let failure = bench.freeze(&["a"]).map(drop).unwrap_err();
        assert_eq!(failure, Failure::Call { call: "DoSnapshotSet", code: Code::UNEXPECTED, volume: None });
        let way = bench.way();
        assert!(way.ends_with(&["DoSnapshotSet", "Cancel", "AbortBackup", "Release"].map(String::from)), "{way:?}");
        assert_eq!(bench.time.now(), Limits::default().cancelling, "it was waited for");
    }
    // It fails once, and the cancelled operation turns out to have made the copies.
    let failed = std::sync::atomic::AtomicUsize::new(0);
    let bench = Bench::new(move |call, _| {
        let number = (call == "QueryStatus").then(|| failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        if number == Some(2) { Fault::Answers(Code::UNEXPECTED) } else { Fault::None }
    });
    assert!(matches!(bench.freeze(&["a"]).map(drop).unwrap_err(), Failure::Call { call: "DoSnapshotSet", .. }));
    assert_eq!((bench.scripted.count("AbortBackup"), bench.scripted.count("DeleteSnapshots")), (0, 1));
}

#[test]
fn what_finishes_while_it_is_cancelled_is_removed_and_not_aborted() {
    let bench = Bench::new(at("DoSnapshotSet", Fault::FinishesLate));
    assert!(matches!(bench.freeze(&["a"]).map(drop).unwrap_err(), Failure::TimedOut { .. }));
    assert_eq!((bench.scripted.count("AbortBackup"), bench.scripted.count("DeleteSnapshots")), (0, 1));
    assert_eq!(bench.scripted.living(), 0);
}

#[test]
fn a_wish_to_stop_is_heard_in_each_operation() {
    for call in STARTING.into_iter().filter(|call| *call != "BackupComplete") {
        let bench = Bench::new(|_, _| Fault::None);
        let stop = bench.stop.clone();
        let bench = Bench {
            scripted: Scripted::new(move |other, _| {
                if other != call {
                    return Fault::None;
                }
                stop.set();
                Fault::Hangs
            }),
            ..bench
        };
        assert_eq!(bench.freeze(&["a"]).map(drop).unwrap_err(), Failure::Interrupted, "{call}");
        assert!(bench.time.now() < Duration::from_secs(1), "{call}: {:?}", bench.time.now());
        assert_eq!(bench.scripted.count("AbortBackup"), usize::from(is_abort_due(call)), "{call}");
        assert_eq!(bench.scripted.living(), 0, "{call}");
    }
    let bench = Bench::new(|_, _| Fault::None);
    bench.stop.set();
    assert_eq!(bench.freeze(&["a"]).map(drop).unwrap_err(), Failure::Interrupted);
    assert_eq!(bench.scripted.count("GatherWriterMetadata"), 0);
}

#[test]
fn errors_that_pass_are_tried_again_as_often_as_they_are_worth() {
    let cases = [
        (Code::SET_IN_PROGRESS, 30, 290, 1),
        (Code::FLUSH_WRITES_TIMEOUT, 3, 1200, 2),
        (Code::HOLD_WRITES_TIMEOUT, 3, 1200, 2),
        (Code::PROVIDER_VETO, 3, 1200, 2),
        (Code::INSUFFICIENT_STORAGE, 1, 0, 0),
        (Code::ACCESS_DENIED, 1, 0, 0),
    ];
    for (code, attempts, seconds, told) in cases {
        let bench = Bench::new(at("StartSnapshotSet", Fault::Answers(code)));
        drop(bench.freeze(&["a"]).map(drop).unwrap_err());
        assert_eq!(bench.scripted.count("StartSnapshotSet"), attempts, "{code}");
        assert_eq!(bench.scripted.count("Release"), attempts, "{code}");
        assert_eq!(bench.time.now(), Duration::from_secs(seconds), "{code}");
        assert_eq!(bench.told.borrow().len(), told, "{:?}", bench.told);
    }
    // The second attempt is a new one from the start, and may do it.
    let failed = std::sync::atomic::AtomicBool::new(false);
    let bench = Bench::new(move |call, _| {
        let is_first = call == "DoSnapshotSet" && !failed.swap(true, std::sync::atomic::Ordering::SeqCst);
        if is_first { Fault::Ends(Code::FLUSH_WRITES_TIMEOUT) } else { Fault::None }
    });
    drop(bench.freeze(&["a"]).unwrap());
    assert_eq!((bench.scripted.count("AbortBackup"), bench.scripted.count("Release")), (1, 2));
}

#[test]
fn writers_that_failed_are_told_and_the_copy_is_good() {
    let bench = Bench::new(|_, _| Fault::None);
    let scripted = bench.scripted.clone().with_writer("Good", 5, Code::OK).with_writer("SQL", 9, Code::WRITER_TIMEOUT);
    let bench = Bench { scripted, ..bench };
    let (session, frozen) = bench.freeze(&["a"]).unwrap();
    let declared: Vec<&str> = frozen.exclusions.iter().map(|files| files.entry.as_str()).collect();
    assert_eq!(declared, [r"C:\Good\*.tmp /s", r"C:\SQL\*.tmp /s"]);
    assert_eq!(frozen.failed_writers.len(), 1);
    let text = frozen.failed_writers[0].to_string();
    assert!(text.contains("\"SQL\" failed when it was to hold still: it was not ready in time"), "{text}");
    drop(session);
    assert_eq!(bench.scripted.living(), 0);
}

#[test]
fn a_volume_that_is_not_supported_is_named() {
    let bench = Bench::new(|_, _| Fault::None);
    let failure = bench.freeze(&["a", "FAT"]).map(drop).unwrap_err();
    let error = failure.into_error(&["volume C:\\".into(), "volume E:\\".into()]);
    let text = error.to_string();
    assert!(text.contains(r"volume E:\") && text.contains("of this kind") && !text.contains("C:"), "{text}");
    assert!(error.hint().unwrap().contains("NTFS"), "{error:?}");
    assert_eq!(bench.scripted.count("StartSnapshotSet"), 0);
}

#[test]
fn a_panic_on_the_way_ends_all() {
    for call in &WAY[..WAY.len() - 1] {
        let bench = Bench::new(at(call, Fault::Panics));
        let frozen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(bench.freeze(&["a"]))));
        assert!(frozen.is_err(), "{call}");
        assert_eq!(bench.scripted.living(), 0, "{call}");
    }
}

/// Numbers that are always the same: xorshift.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn a_thousand_random_aborts_leave_nothing() {
    let mut next = numbers(0x5EED_5EED);
    let codes = [Code::UNEXPECTED, Code::SET_IN_PROGRESS, Code::FLUSH_WRITES_TIMEOUT, Code::INSUFFICIENT_STORAGE];
    let mut failed = 0;
    for round in 0..1000 {
        let (place, kind, code) = (next() % 30, next() % 5, codes[(next() % 4) as usize]);
        let fault = match kind {
            0 => Fault::Answers(code),
            1 => Fault::Ends(code),
            2 => Fault::Hangs,
            3 => Fault::FinishesLate,
            _ => Fault::Panics,
        };
        let bench = Bench::new(move |_, number| if number as u64 == place { fault } else { Fault::None });
        let volumes = ["a", "b"];
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.freeze(&volumes).map(drop).is_ok()));
        failed += usize::from(!matches!(done, Ok(true)));
        let calls = bench.scripted.calls();
        assert_eq!(bench.scripted.living(), 0, "round {round}: {calls:?}");
        let (made, released) = (bench.scripted.count("CreateVssBackupComponents"), bench.scripted.count("Release"));
        let is_refused = |call: &str| call == "CreateVssBackupComponents";
        let refused = usize::from(place == 0 && is_refused(&calls[0]) && matches!(kind, 0 | 4));
        assert_eq!(made - refused, released, "round {round}: {calls:?}");
    }
    assert!(failed > 250, "{failed} of 1000 rounds failed");
}
