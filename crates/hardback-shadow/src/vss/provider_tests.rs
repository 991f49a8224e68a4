//! The provider on a scripted VSS: what it says of a place, what it holds, and drive letters on record.

use super::calls::Library;
use super::codes::Code;
use super::letters::tests::FakeLetters;
use super::scripted::{FastTime, Fault, Scripted};
use super::session::Limits;
use super::tests::at;
use super::time::{RealTime, Stop, Time};
use super::watched::CALL_LIMIT;
use super::worker::Tools;
use super::{NETWORK, UNMANAGED, Vss};
use crate::error::ShadowError;
use crate::machine::{Machine, PlainMachine, Request, ViewPlan};
use crate::provider::{Answer, Copy, Meanwhile, Mode, MountedVolume, Piece, Place, Read, ShadowProvider};
use crate::set::Shadows;
use hardback_platform::{Dir, PathError, Seam};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    let (message, hint) = why(&vss, UNMANAGED);
    assert!(message.contains("mount manager") && hint.contains("--shadow when-available"), "{message}; {hint}");
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
fn what_writers_say_is_told_once_where_volumes_are_frozen_one_by_one() {
    let scripted = Scripted::new(|_, _| Fault::None).with_writer("SQL", 8, Code::OK).with_writer("Good", 5, Code::OK);
    let vss = provider(&scripted, || true);
    let copies = copies(&vss, &["NTFS", "NTFS"]);
    for copy in &copies {
        vss.create(std::slice::from_ref(copy), &Meanwhile::ALONE).unwrap();
    }
    assert_eq!((vss.warnings().len(), vss.exclusions().len()), (1, 2));
    // The next run hears it again.
    vss.create(&copies[..1], &Meanwhile::ALONE).unwrap();
    assert_eq!((vss.warnings().len(), vss.exclusions().len()), (1, 2));
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
fn each_alone_is_attempted_once_behind_all_attempts_together() {
    let scripted = Scripted::new(at("DoSnapshotSet", Fault::Ends(Code::PROVIDER_VETO)));
    let vss = provider(&scripted, || true);
    let copies = copies(&vss, &["NTFS", "NTFS", "NTFS"]);
    vss.create(&copies, &Meanwhile::ALONE).unwrap_err();
    assert_eq!((scripted.count("DoSnapshotSet"), vss.tools.time.now()), (3, Duration::from_mins(20)));
    for (copy, count) in copies.iter().zip(4..) {
        vss.create(std::slice::from_ref(copy), &Meanwhile::ALONE).unwrap_err();
        assert_eq!((scripted.count("DoSnapshotSet"), vss.tools.time.now()), (count, Duration::from_mins(20)));
    }
    // Others are worth as much as ever.
    let mut other = copies[0].clone();
    other.name = "hardback-shadow-0123456789abcdef-9".into();
    vss.create(&[other], &Meanwhile::ALONE).unwrap_err();
    assert_eq!(scripted.count("DoSnapshotSet"), 9);
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

/// A script that lets a call not return until the sender is dropped, from the time on that it was made so often.
fn blocking(
    call: &'static str,
    after: usize,
    time: Arc<FastTime>,
) -> (impl Fn(&str, usize) -> Fault + Send + Sync + 'static, Sender<()>) {
    let (keep, dropped) = channel::<()>();
    let (dropped, made) = (Mutex::new(dropped), AtomicUsize::new(0));
    let script = move |other: &str, _: usize| {
        if other == call && made.fetch_add(1, Ordering::SeqCst) >= after {
            time.pause(CALL_LIMIT, &Stop::default());
            dropped.lock().unwrap().recv().ok();
        }
        Fault::None
    };
    (script, keep)
}

#[test]
fn a_call_that_never_returns_is_given_up_and_named() {
    let calls = ["CreateVssBackupComponents", "GetWriterMetadata", "StartSnapshotSet", "AddToSnapshotSet", "Wait"];
    for call in calls {
        let time = Arc::new(FastTime::default());
        let (script, keep) = blocking(call, 0, time.clone());
        let scripted = Scripted::new(script).with_writer("SQL", 5, Code::OK);
        let mut vss = provider(&scripted, || true);
        vss.tools.time = time;
        let mut copies = copies(&vss, &["NTFS", "NTFS"]);
        copies[1].volume.fields.insert("volume".into(), r"\\?\Volume{2}\".into());
        copies[1].volume.shown = "volume E:".into();
        let error = vss.create(&copies, &Meanwhile::ALONE).unwrap_err();
        let (text, hint) = (error.to_string(), error.hint().unwrap());
        assert!(text.contains(&format!("did not return from {call} within 600 s")), "{text}");
        assert_eq!(text.contains("volume E:"), call != "AddToSnapshotSet", "{text}");
        assert!(text.contains("volume /mnt/c") && hint.contains("services.msc"), "{text}; {hint}");
        // It is not waited for a second time, not for each alone either.
        let calls = scripted.count(call);
        for copy in &copies {
            let error = vss.create(std::slice::from_ref(copy), &Meanwhile::ALONE).unwrap_err();
            assert_eq!((error.to_string(), scripted.count(call)), (text.clone(), calls));
        }
        // What it began ends when it returns after all.
        drop(keep);
        while scripted.living() > 0 || scripted.count("Release") != scripted.count("CreateVssBackupComponents") {
            std::thread::yield_now();
        }
        assert_eq!(scripted.count("DoSnapshotSet"), 0);
    }
}

#[test]
fn no_answer_is_good_enough_for_a_look_but_not_for_the_last_one() {
    let time = Arc::new(FastTime::default());
    let (script, keep) = blocking("GetSnapshotProperties", 1, time);
    let scripted = Scripted::new(script);
    let mut vss = provider(&scripted, || true);
    let limit = Duration::from_millis(50);
    vss.tools.limits = Limits { checking: limit, checking_last: limit, ..Limits::default() };
    let copies = copies(&vss, &["NTFS"]);
    vss.create(&copies, &Meanwhile::ALONE).unwrap();
    // Dropped before the provider, which waits for the thread.
    let keep = keep;
    vss.check(&copies[0]).unwrap();
    let lost = vss.check_last(&copies[0]).unwrap_err();
    assert!(matches!(&lost, ShadowError::Lost { why, .. } if why.contains("did not tell")), "{lost:?}");
    drop(keep);
    vss.remove(&copies[0]).unwrap();
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
