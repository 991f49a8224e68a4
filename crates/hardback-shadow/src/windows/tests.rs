//! The whole way through COM: the adapter and the state machine on the stand-in for `vssapi.dll`
//! (`xtask/windows/vssapi.cpp`), which writes down what it is asked and what lives.
#![allow(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "tests read the stand-in's log, and tell it by the environment what to do"
)]

use super::com;
use super::letters::SystemLetters;
use crate::vss::codes::tests::FAILURES;
use crate::vss::scripted::FastTime;
use crate::vss::session::{Failure, Frozen, Limits, Session, Surroundings, freeze};
use crate::vss::tests::{STARTING, WAY};
use crate::vss::time::{RealTime, Stop, Time};
use crate::vss::{Code, Library, Tools, Vss};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The environment is one for all tests.
static ENVIRONMENT: Mutex<()> = Mutex::new(());

/// What the stand-in is told, and its log.
struct StandIn {
    _alone: MutexGuard<'static, ()>,
    _temp: tempfile::TempDir,
    log: PathBuf,
}

const VARIABLES: [&str; 6] = [
    "HARDBACK_VSS_LOG",
    "HARDBACK_VSS_DEVICE",
    "HARDBACK_VSS_FAULTS",
    "HARDBACK_VSS_WRITERS",
    "HARDBACK_VSS_EXCLUDES",
    "HARDBACK_VSS_WAIT",
];

fn set(name: &str, value: &str) {
    // SAFETY: on Windows the environment may be changed while others read it.
    unsafe { std::env::set_var(name, value) };
}

impl StandIn {
    /// Tells it what to do; `None` where this Windows has a service of its own.
    fn new(variables: &[(&str, &str)]) -> Option<Self> {
        if std::env::var_os("HARDBACK_TEST_VSS_STANDIN").is_none() {
            hardback_testing::skipped("there is no stand-in for vssapi.dll");
            return None;
        }
        let alone = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("log");
        for name in VARIABLES {
            // SAFETY: as in `set`.
            unsafe { std::env::remove_var(name) };
        }
        set("HARDBACK_VSS_LOG", log.to_str().unwrap());
        variables.iter().for_each(|(name, value)| set(name, value));
        Some(Self { _alone: alone, _temp: temp, log })
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The names of the calls.
    fn calls(&self) -> Vec<String> {
        self.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|other| *other == call).count()
    }

    #[track_caller]
    fn assert_all_released(&self) {
        let lines = self.lines();
        assert!(lines.last().is_none_or(|line| line.ends_with("living=0")), "{lines:#?}");
        let created = lines.iter().filter(|line| line.starts_with("CreateVssBackupComponents -> 00000000")).count();
        assert_eq!(created, self.count("Release"), "{lines:#?}");
    }
}

macro_rules! stand_in {
    ($($variable:expr),* $(,)?) => {
        match StandIn::new(&[$($variable),*]) {
            Some(stand_in) => stand_in,
            None => return,
        }
    };
}

fn short() -> Limits {
    let limit = Duration::from_millis(300);
    Limits { writers: limit, making: limit, completing: limit, cancelling: limit, ..Limits::default() }
}

/// Freezes volumes on a thread of its own, and lets `then` do something with them.
fn with_frozen<T: Send>(
    volumes: &[&str],
    time: &(dyn Time + Sync),
    stop: &Stop,
    then: impl FnOnce(Result<(&Session<'_>, Frozen), Failure>) -> T + Send,
) -> T {
    let work = || {
        let library: Box<dyn Library> = com::connect().unwrap();
        let around = Surroundings { limits: short(), time, stop, tell: &|_| {} };
        let volumes: Vec<String> = volumes.iter().map(|&volume| volume.to_owned()).collect();
        match freeze(&*library, &volumes, &around) {
            Ok((session, frozen)) => then(Ok((&session, frozen))),
            Err(failure) => then(Err(failure)),
        }
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn freeze_and_end(volumes: &[&str]) -> Result<Frozen, Failure> {
    with_frozen(volumes, &RealTime, &Stop::default(), |result| result.map(|(_, frozen)| frozen))
}

#[test]
fn the_calls_reach_the_library_in_their_order_with_what_they_are_about() {
    let excludes = r"%TEMP%\sql\,*.tmp,1;C:\mail,box.ost,0";
    let stand_in =
        stand_in!(("HARDBACK_VSS_WRITERS", "Good,5,00000000;SQL,8,800423f3"), ("HARDBACK_VSS_EXCLUDES", excludes));
    let frozen = with_frozen(&["C:\\", "D:\\"], &RealTime, &Stop::default(), |result| {
        let (session, frozen) = result.unwrap();
        assert_eq!((session.check(0), session.check(1)), (Ok(()), Ok(())));
        frozen
    });
    let device = r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy";
    assert_eq!(frozen.devices, [format!("{device}1"), format!("{device}2")]);
    let declared: Vec<&str> = frozen.exclusions.iter().map(|files| files.entry.as_str()).collect();
    assert_eq!(declared, [r"%TEMP%\sql\*.tmp /s", r"C:\mail\box.ost", r"%TEMP%\sql\*.tmp /s", r"C:\mail\box.ost"]);
    let failed: Vec<String> = frozen.failed_writers.iter().map(ToString::to_string).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("\"SQL\"") && failed[0].contains("0x800423f3"), "{failed:?}");
    let expected = [
        "CreateVssBackupComponents",
        "InitializeForBackup",
        "SetContext",
        "SetBackupState",
        "GatherWriterMetadata",
        "ReleaseAsync GatherWriterMetadata",
        "GetWriterMetadataCount",
        "GetWriterMetadata",
        "GetIdentity Good",
        "GetFileCounts Good",
        "GetExcludeFile Good",
        "GetExcludeFile Good",
        "GetWriterMetadata",
        "GetIdentity SQL",
        "GetFileCounts SQL",
        "GetExcludeFile SQL",
        "GetExcludeFile SQL",
        "FreeWriterMetadata",
        r"IsVolumeSupported C:\",
        r"IsVolumeSupported D:\",
        "StartSnapshotSet",
        r"AddToSnapshotSet C:\",
        r"AddToSnapshotSet D:\",
        "PrepareForBackup",
        "ReleaseAsync PrepareForBackup",
        "DoSnapshotSet",
        "ReleaseAsync DoSnapshotSet",
        "GatherWriterStatus",
        "ReleaseAsync GatherWriterStatus",
        "GetWriterStatusCount",
        "GetWriterStatus",
        "GetWriterStatus",
        "FreeWriterStatus",
        "GetSnapshotProperties",
        "VssFreeSnapshotProperties",
        "GetSnapshotProperties",
        "VssFreeSnapshotProperties",
        // These two are the checks.
        "GetSnapshotProperties",
        "VssFreeSnapshotProperties",
        "GetSnapshotProperties",
        "VssFreeSnapshotProperties",
        "BackupComplete",
        "ReleaseAsync BackupComplete",
        "DeleteSnapshots",
        "Release",
    ];
    let lines = stand_in.lines();
    let said: Vec<&str> = lines.iter().map(|line| line.split(" -> ").next().unwrap()).collect();
    assert_eq!(said, expected);
    assert!(lines.iter().all(|line| line.contains(" -> 00000000 ")), "{lines:#?}");
    stand_in.assert_all_released();
}

/// In a time in which pauses pass at once.
fn freeze_fast() -> Result<Frozen, Failure> {
    let time = FastTime::default();
    with_frozen(&["C:\\"], &time, &Stop::default(), |result| result.map(|(_, frozen)| frozen))
}

/// The calls that can fail, in their order: all but the last.
const CALLS: &[&str] = WAY.split_at(WAY.len() - 1).0;

fn check_failed(stand_in: &StandIn, call: &'static str, result: Result<Frozen, Failure>, expected: &Failure) {
    let of_writers = ["GatherWriterStatus", "GetWriterStatusCount", "FreeWriterStatus"].contains(&call);
    match &result {
        Ok(frozen) => {
            let is_survived = ["GetWriterMetadataCount", "BackupComplete", "DeleteSnapshots"].contains(&call);
            assert!(of_writers || is_survived, "{call} did not fail");
            assert_eq!(frozen.failed_writers.len(), usize::from(of_writers), "{call}");
        }
        Err(failure) => assert_eq!(failure, expected, "{call}"),
    }
    let attempts = match expected {
        Failure::Call { code, .. } if result.is_err() => code.retry().map_or(1, |retry| retry.attempts as usize),
        _ => 1,
    };
    let is_due = ["AddToSnapshotSet", "PrepareForBackup", "DoSnapshotSet"].contains(&call);
    let (aborts, deletions) = (stand_in.count("AbortBackup"), stand_in.count("DeleteSnapshots"));
    assert_eq!(aborts, if is_due { attempts } else { 0 }, "{call}: {:#?}", stand_in.lines());
    let is_made = stand_in.count("GatherWriterStatus") > 0;
    assert_eq!(deletions, if is_made { attempts } else { 0 }, "{call}: {:#?}", stand_in.lines());
    assert_eq!(stand_in.count("CreateVssBackupComponents"), attempts, "{call}");
    stand_in.assert_all_released();
}

#[test]
fn each_fault_at_each_call_gives_its_error_and_leaves_nothing() {
    let is_failure = |code: &Code| code.is_failure();
    for call in CALLS {
        for code in FAILURES.into_iter().filter(is_failure) {
            let faults = format!("{call}={:08x}", code.0);
            let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", &faults), ("HARDBACK_VSS_WAIT", "0"));
            let volume = ["IsVolumeSupported", "AddToSnapshotSet", "GetSnapshotProperties"].contains(call).then_some(0);
            check_failed(&stand_in, call, freeze_fast(), &Failure::Call { call, code, volume });
        }
    }
    for call in STARTING {
        for code in FAILURES {
            let faults = format!("{call}*={:08x}", code.0);
            let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", &faults), ("HARDBACK_VSS_WAIT", "0"));
            check_failed(&stand_in, call, freeze_fast(), &Failure::Call { call, code, volume: None });
        }
        let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", &format!("{call}!")));
        let limit = Duration::from_millis(300);
        check_failed(&stand_in, call, freeze_and_end(&["C:\\"]), &Failure::TimedOut { call, limit });
        assert_eq!(stand_in.count("Cancel"), 1, "{call}");
    }
    for call in ["Wait", "QueryStatus"] {
        let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", &format!("{call}=8000ffff")));
        let failure = freeze_and_end(&["C:\\"]).unwrap_err();
        assert_eq!(failure, Failure::Call { call: "GatherWriterMetadata", code: Code::UNEXPECTED, volume: None });
        stand_in.assert_all_released();
    }
}

#[test]
fn a_volume_that_is_not_supported_is_not_added() {
    let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", "IsVolumeSupported=00000001"));
    let expected = Failure::Call { call: "IsVolumeSupported", code: Code::VOLUME_NOT_SUPPORTED, volume: Some(0) };
    assert_eq!(freeze_and_end(&["C:\\"]).unwrap_err(), expected);
    assert_eq!(stand_in.count("StartSnapshotSet"), 0);
    stand_in.assert_all_released();
}

#[test]
fn what_is_made_by_another_thread_is_held_and_released_by_the_provider() {
    use crate::provider::{Copy, Meanwhile, ShadowProvider, Volume};
    use crate::vss::Letters;
    let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", "GetSnapshotProperties=80042308@3"));
    let letters = Arc::new(SystemLetters);
    let tools = Tools { connect: Arc::new(com::connect), letters, time: Arc::new(RealTime), limits: short() };
    let vss = Vss::new(tools, || true);
    let copy = |number: usize| {
        let fields = [("volume".to_owned(), format!(r"\\?\Volume{{{number}}}\"))].into();
        let volume = Volume { provider: "vss".into(), shown: format!("volume {number}"), fields };
        Copy { name: format!("hardback-shadow-0123456789abcdef-{number}"), volume }
    };
    let mut copies = [copy(0), copy(1)];
    let roots = vss.create(&copies, &Meanwhile::ALONE).unwrap();
    assert_eq!(roots.len(), 2);
    vss.choose_letter(&mut copies[0], &roots[0]).unwrap();
    let letter = vss.give_letter(&copies[0]).unwrap().to_str().unwrap().chars().next().unwrap();
    let leads_to = SystemLetters.target(letter).unwrap();
    assert_eq!(leads_to.as_deref(), Some(r"\Device\HarddiskVolumeShadowCopy1"));
    assert!(vss.check(&copies[1]).unwrap_err().in_a_line().contains("was lost"));
    vss.check(&copies[1]).unwrap();
    copies.iter().for_each(|copy| vss.remove(copy).unwrap());
    assert_eq!(SystemLetters.target(letter).unwrap(), None);
    assert_eq!((stand_in.count("BackupComplete"), stand_in.count("DeleteSnapshots")), (1, 1));
    stand_in.assert_all_released();
    drop(vss.create(&copies[..1], &Meanwhile::ALONE).unwrap());
    drop(vss);
    stand_in.assert_all_released();
}

#[test]
fn a_wish_to_stop_is_heard_and_undoes_what_was_begun() {
    for call in ["GatherWriterMetadata", "PrepareForBackup", "DoSnapshotSet", "GatherWriterStatus"] {
        let stand_in = stand_in!(("HARDBACK_VSS_FAULTS", &format!("{call}!")));
        let stop = Stop::default();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                while stand_in.count(call) == 0 {
                    std::thread::yield_now();
                }
                stop.set();
            });
            let failure = with_frozen(&["C:\\"], &RealTime, &stop, |result| result.map(drop).unwrap_err());
            assert_eq!(failure, Failure::Interrupted, "{call}");
            asking.join().unwrap();
        });
        let is_due = ["PrepareForBackup", "DoSnapshotSet"].contains(&call);
        assert_eq!(stand_in.count("AbortBackup"), usize::from(is_due), "{call}");
        stand_in.assert_all_released();
    }
}

/// Creations and releases balance, whatever is aborted where.
#[test]
fn random_aborts_leave_nothing() {
    let rounds = if hardback_testing::is_slow_run() { 5000 } else { 1000 };
    let mut state = 0x5EED_5EED_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let calls = [CALLS, &["Wait", "QueryStatus", "Cancel", "GetWriterStatus", "AbortBackup"]].concat();
    let of_metadata = ["GetWriterMetadata", "GetIdentity", "GetFileCounts", "GetExcludeFile", "GetPath"];
    let calls = [&calls[..], &of_metadata].concat();
    let codes = [Code::UNEXPECTED, Code::SET_IN_PROGRESS, Code::FLUSH_WRITES_TIMEOUT, Code::INSUFFICIENT_STORAGE];
    let mut failed = 0;
    for round in 0..rounds {
        let mut faults = String::new();
        for _ in 0..=next(2) {
            let (call, starting, code) = (calls[next(calls.len())], STARTING[next(5)], codes[next(4)]);
            let fault = match next(3) {
                0 => format!("{call}={:08x}", code.0),
                1 => format!("{starting}*={:08x}", code.0),
                _ => format!("{starting}!"),
            };
            faults = format!("{faults};{fault}");
        }
        let writers = "Good,5,00000000;SQL,8,800423f3";
        let stand_in = stand_in!(
            ("HARDBACK_VSS_FAULTS", &faults),
            ("HARDBACK_VSS_WAIT", "0"),
            ("HARDBACK_VSS_WRITERS", writers),
            ("HARDBACK_VSS_EXCLUDES", r"C:\mail,box.ost,0")
        );
        let volumes = &["C:\\", "D:\\", "E:\\"][..=next(3)];
        let stop = Stop::default();
        if next(4) == 0 {
            stop.set();
        }
        let is_done = with_frozen(volumes, &FastTime::default(), &stop, |result| result.is_ok());
        failed += usize::from(!is_done);
        eprintln!("round {round}: {faults}: {is_done}");
        stand_in.assert_all_released();
    }
    assert!(failed > rounds / 3, "{failed} of {rounds} rounds failed");
}
