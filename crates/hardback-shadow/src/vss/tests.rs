//! The state machine and the provider, with a scripted VSS, on every system.

use super::calls::Library;
use super::codes::Code;
use super::letters::tests::FakeLetters;
use super::scripted::{FastTime, Fault, Scripted};
use super::session::{Failure, Frozen, Limits, Session, Surroundings, freeze};
use super::time::{RealTime, Stop, Time};
use super::worker::Tools;
use super::{NETWORK, Vss};
use crate::error::ShadowError;
use crate::machine::{Machine, PlainMachine, Request, ViewPlan};
use crate::provider::{Answer, Copy, Meanwhile, Mode, MountedVolume, Piece, Place, Read, ShadowProvider};
use crate::set::Shadows;
use hardback_platform::{Dir, PathError, Seam};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

/// The whole way, as WINDOWS has it.
const WAY: [&str; 19] = [
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
const STARTING: [&str; 5] =
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

fn at(call: &'static str, fault: Fault) -> impl Fn(&str, usize) -> Fault {
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

fn provider(scripted: &Scripted, is_privileged: fn() -> bool) -> Vss {
    let scripted = scripted.clone();
    let connect = move || Ok(Box::new(scripted.clone()) as Box<dyn Library>);
    let (time, letters) = (Arc::new(FastTime::default()), Arc::new(FakeLetters::default()));
    let tools = Tools { connect: Arc::new(connect), letters, time, limits: Limits::default() };
    Vss::new(tools, is_privileged)
}

fn place(kind: &str) -> Place {
    Place {
        source: 0,
        path: PathBuf::from("/mnt/c/users/anna"),
        below: PathBuf::new(),
        volume: MountedVolume {
            file_system: kind.into(),
            device: PathBuf::from(r"\\?\Volume{1}\"),
            inside: PathBuf::from("users/anna"),
            ..MountedVolume::default()
        },
        is_wanted: true,
        is_file: false,
        one_file_system: false,
        covered: Vec::new(),
    }
}

fn copies(vss: &Vss, kinds: &[&str]) -> Vec<Copy> {
    let volume = |kind: &&str| match vss.look(&place(kind), &|_| true) {
        Answer::Can(pieces) => match pieces.into_iter().next() {
            Some(Piece { read: Read::Frozen { volume, .. }, .. }) => volume,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let name = |number| format!("hardback-shadow-0123456789abcdef-{number}");
    kinds.iter().map(volume).enumerate().map(|(n, volume)| Copy { name: name(n), volume }).collect()
}

#[test]
fn a_place_says_what_is_frozen_or_why_not() {
    let vss = provider(&Scripted::new(|_, _| Fault::None), || true);
    let Answer::Can(pieces) = vss.look(&place("NTFS"), &|_| true) else { panic!("it cannot") };
    let [Piece { below, read: Read::Frozen { volume, inside } }] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!((below.as_path(), inside.as_path()), (Path::new(""), Path::new("users/anna")));
    assert_eq!(volume.shown, "volume /mnt/c");
    let why = |vss: &Vss, kind: &str| match vss.look(&place(kind), &|_| true) {
        Answer::Cannot(error) => (error.to_string(), error.hint().unwrap()),
        other => panic!("{other:?}"),
    };
    assert!(why(&vss, "exFAT").0.contains("exFAT"));
    assert!(why(&vss, "FAT32").1.contains("--shadow never"));
    assert!(why(&vss, NETWORK).0.contains("network share"));
    let user = provider(&Scripted::new(|_, _| Fault::None), || false);
    let (message, hint) = why(&user, "NTFS");
    assert!(message.contains("administrator") && hint.contains("Run as administrator"), "{message}; {hint}");
}

#[test]
fn the_provider_holds_a_set_until_its_last_copy_is_removed() {
    let scripted = Scripted::new(|_, _| Fault::None).with_writer("SQL", 8, Code::WRITER_RETRYABLE);
    let vss = provider(&scripted, || true);
    let mut copies = copies(&vss, &["NTFS", "NTFS"]);
    copies[1].volume.fields.insert("volume".into(), r"\\?\Volume{2}\".into());
    let paths = vss.create(&copies, &Meanwhile::ALONE).unwrap();
    let device = |n: u32| PathBuf::from(format!(r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy{n}\"));
    assert_eq!(paths, [device(1), device(2)]);
    assert_eq!((vss.warnings().len(), vss.warnings().len()), (1, 0));
    copies.iter().for_each(|copy| vss.check(copy).unwrap());
    vss.remove(&copies[1]).unwrap();
    assert_eq!(scripted.count("Release"), 0);
    vss.check(&copies[0]).unwrap();
    vss.remove(&copies[0]).unwrap();
    assert_eq!((scripted.count("BackupComplete"), scripted.count("Release"), scripted.living()), (1, 1, 0));
    // What is not there any more is no error.
    vss.remove(&copies[0]).unwrap();
    vss.check(&copies[0]).unwrap();
}

#[test]
fn a_volume_that_is_mounted_twice_is_frozen_once() {
    let scripted = Scripted::new(|_, _| Fault::None);
    let vss = provider(&scripted, || true);
    let mut copies = copies(&vss, &["NTFS", "NTFS"]);
    copies[1].volume.shown = "volume elsewhere".into();
    let paths = vss.create(&copies, &Meanwhile::ALONE).unwrap();
    assert_eq!(paths[0], paths[1]);
    assert_eq!(scripted.count("AddToSnapshotSet"), 1);
    drop(vss);
    assert_eq!(scripted.living(), 0);
}

#[test]
fn a_copy_that_windows_dropped_is_lost() {
    let asked = std::sync::atomic::AtomicBool::new(false);
    let scripted = Scripted::new(move |call, _| {
        let is_again = call == "GetSnapshotProperties" && asked.swap(true, std::sync::atomic::Ordering::SeqCst);
        if is_again { Fault::Answers(Code::OBJECT_NOT_FOUND) } else { Fault::None }
    });
    let vss = provider(&scripted, || true);
    let copies = copies(&vss, &["NTFS"]);
    vss.create(&copies, &Meanwhile::ALONE).unwrap();
    let lost = vss.check(&copies[0]).unwrap_err();
    assert!(matches!(&lost, ShadowError::Lost { volume, .. } if volume == "volume /mnt/c"), "{lost:?}");
}

#[test]
fn what_cannot_be_made_is_asked_for_once() {
    let scripted = Scripted::new(at("DoSnapshotSet", Fault::Ends(Code::INSUFFICIENT_STORAGE)));
    let vss = provider(&scripted, || true);
    let copies = copies(&vss, &["NTFS"]);
    for _ in 0..2 {
        let error = vss.create(&copies, &Meanwhile::ALONE).unwrap_err();
        assert!(error.to_string().contains("not enough room"), "{error}");
        assert!(error.hint().unwrap().contains("vssadmin"), "{error:?}");
        assert_eq!(scripted.count("DoSnapshotSet"), 1);
    }
    vss.create(&copies, &Meanwhile::ALONE).unwrap_err();
    assert_eq!(scripted.count("DoSnapshotSet"), 2);
}

#[test]
fn the_provider_hears_a_wish_to_stop_and_tells_of_pauses() {
    let scripted = Scripted::new(at("DoSnapshotSet", Fault::Ends(Code::PROVIDER_VETO)));
    let vss = provider(&scripted, || true);
    let told = RefCell::new(Vec::new());
    let tell = |text: &str| told.borrow_mut().push(text.to_owned());
    vss.create(&copies(&vss, &["NTFS"]), &Meanwhile { is_stopped: &|| false, tell: &tell }).unwrap_err();
    assert!(told.borrow()[0].contains("attempt 2 of 3 begins in 600 s"), "{told:?}");
    let mut vss = provider(&scripted, || true);
    vss.tools.time = Arc::new(RealTime);
    let error = vss.create(&copies(&vss, &["NTFS"]), &Meanwhile { is_stopped: &|| true, tell: &|_| {} }).unwrap_err();
    assert!(matches!(error, ShadowError::Interrupted), "{error:?}");
    assert_eq!(scripted.living(), 0);
}

#[test]
fn a_panic_in_the_thread_is_an_error_here() {
    let scripted = Scripted::new(at("PrepareForBackup", Fault::Panics));
    let vss = provider(&scripted, || true);
    let error = vss.create(&copies(&vss, &["NTFS"]), &Meanwhile::ALONE).unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(scripted.living(), 0);
}

/// A computer on which each source is inside of a volume.
#[derive(Debug)]
struct TestMachine;

impl Machine for TestMachine {
    fn survey(&self, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
        Ok((0..request.sources.len()).map(|source| Place { source, ..place("NTFS") }).collect())
    }
    fn assemble(&self, plans: &[ViewPlan]) -> Result<Vec<PathBuf>, ShadowError> {
        PlainMachine.assemble(plans)
    }
    fn show_in_place(&self, views: &[(PathBuf, PathBuf)]) -> Result<(), ShadowError> {
        PlainMachine.show_in_place(views)
    }
    fn open(&self, path: &Path, seam: Seam) -> Result<Dir, PathError> {
        PlainMachine.open(path, seam)
    }
    fn has(&self, _: &Path) -> bool {
        true
    }
    fn spawn(&self, command: Command) -> std::io::Result<Child> {
        PlainMachine.spawn(command)
    }
    fn dismantle(&self) -> Result<(), ShadowError> {
        Ok(())
    }
    fn boot_id(&self) -> String {
        String::new()
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]
fn a_letter_is_on_record_and_goes_with_the_set_or_by_the_next_sweep() {
    let temp = tempfile::tempdir().unwrap();
    let records = temp.path().join("records");
    let scripted = Scripted::new(|_, _| Fault::None);
    let letters = Arc::new(FakeLetters::default());
    letters.set('Z', "other");
    let mut vss = provider(&scripted, || true);
    vss.tools.letters = letters.clone();
    let shadows = Shadows::new(Arc::new(TestMachine), vec![Arc::new(vss)], records.clone());
    let sources = vec![PathBuf::from("a"), PathBuf::from("b")];
    let request = Request { sources, one_file_system: false, shows_unwanted: true, wants: &|_, _| true };
    let now = || hardback_platform::Time { seconds: 0, nanos: 0 };
    let freeze = || shadows.prepare(&request, Mode::Always).unwrap().freeze(Mode::Always, "test", &now).unwrap();
    let mut set = freeze();
    assert!(set.view(0).unwrap().to_str().unwrap().starts_with(r"\\?\GLOBALROOT"));
    set.give_letters().unwrap();
    assert_eq!(letters.all(), "YZ");
    let view = Path::new(r"Y:\").join("users/anna");
    assert_eq!((set.view(0), set.view(1)), (Some(&*view), Some(&*view)), "one volume, one letter");
    let files: Vec<PathBuf> = std::fs::read_dir(&records).unwrap().map(|entry| entry.unwrap().path()).collect();
    let record = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "toml")).unwrap();
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(set.release().is_empty());
    assert_eq!((letters.all().as_str(), scripted.living()), ("Z", 0));
    // As if that run had been killed.
    let target = r"\Device\HarddiskVolumeShadowCopy1";
    for (leads_to, left) in [(target, "Z"), ("somewhere else", "YZ")] {
        std::fs::write(&record, &text).unwrap();
        letters.set('Y', leads_to);
        assert_eq!(shadows.sweep().unwrap().removed.len(), 1);
        assert_eq!(letters.all(), left);
    }
    assert!(shadows.records().list().unwrap().0.is_empty());
}
