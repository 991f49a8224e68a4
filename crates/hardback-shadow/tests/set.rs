//! Sets of shadow copies with the scripted provider: what is frozen, and that everything made is removed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look at the disk with other code than the product's"
)]

use hardback_platform::{Seam, Time};
use hardback_shadow::{Mode, Request, ShadowError, ShadowSet, Shadows};
use hardback_testing::scripted_shadow::{Fault, Scripted, Step};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Bench {
    temp: tempfile::TempDir,
    scripted: Arc<Scripted>,
    shadows: Shadows,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir_all(temp.path().join(name).join("below")).unwrap();
            std::fs::write(temp.path().join(name).join("below/file"), name).unwrap();
        }
        let scripted = Scripted::new(&temp.path().join("copies"));
        let shadows = scripted.shadows();
        Self { temp, scripted, shadows }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn freeze(&self, names: &[&str], mode: Mode) -> Result<ShadowSet, ShadowError> {
        let sources = names.iter().map(|name| self.path(name)).collect();
        let request = Request { sources, one_file_system: false, shows_unwanted: true, wants: &|_, _| true };
        self.shadows.prepare(&request, mode)?.freeze(mode, "test", &|| Time { seconds: 7, nanos: 0 })
    }

    /// Everything that was made is removed, and nothing is on record.
    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.scripted.living(), Vec::<String>::new());
        let (made, removed) = self.scripted.balance();
        assert_eq!(made, removed);
        assert_eq!(self.shadows.records().list().unwrap().0, []);
        let records = std::fs::read_dir(self.path("copies/records")).map_or(0, Iterator::count);
        assert_eq!(records, 0, "records and locks");
    }
}

fn content(set: &ShadowSet, source: usize) -> String {
    let dir = set.open(source, &Seam::default()).unwrap().unwrap().open_dir(b"below").unwrap();
    String::from_utf8(dir.open_file(b"file").unwrap().read_to_vec(100).unwrap()).unwrap()
}

#[test]
fn a_view_stays_as_it_was_and_is_gone_after_the_release() {
    let bench = Bench::new();
    let set = bench.freeze(&["a", "b"], Mode::Always).unwrap();
    std::fs::write(bench.path("a/below/file"), "changed").unwrap();
    assert_eq!((content(&set, 0), content(&set, 1)), ("a".into(), "b".into()));
    assert_eq!(set.report().made.len(), 2);
    assert_eq!(set.report().frozen, Some(Time { seconds: 7, nanos: 0 }));
    let (listed, unread) = bench.shadows.records().list().unwrap();
    assert_eq!((listed.len(), listed[0].is_in_use, listed[0].record.copies.len(), unread.len()), (1, true, 2, 0));
    assert!(bench.shadows.sweep().unwrap().removed.is_empty(), "what is in use is left alone");
    assert!(set.release().is_empty());
    bench.assert_clean();
}

#[test]
fn a_volume_of_two_sources_is_frozen_once() {
    let bench = Bench::new();
    let set = bench.freeze(&["a", "a"], Mode::Always).unwrap();
    assert_eq!(set.report().made.len(), 1);
    assert_eq!((content(&set, 0), content(&set, 1)), ("a".into(), "a".into()));
    drop(set);
    bench.assert_clean();
}

#[test]
fn a_dropped_set_is_released() {
    let bench = Bench::new();
    drop(bench.freeze(&["a"], Mode::Always).unwrap());
    assert_eq!(bench.scripted.balance(), (1, 1));
    bench.assert_clean();
}

#[test]
fn a_copy_that_fails_half_way_leaves_nothing() {
    for step in [Step::Create, Step::Created] {
        for nth in 0..2 {
            let bench = Bench::new();
            let seen = std::sync::atomic::AtomicU64::new(0);
            bench.scripted.follow(move |at, _| match at == step {
                true if seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth => Fault::Fails,
                _ => Fault::None,
            });
            let error = bench.freeze(&["a", "b"], Mode::Always).unwrap_err();
            assert!(error.in_a_line().contains("scripted"), "{error}");
            bench.assert_clean();
        }
    }
}

#[test]
fn what_cannot_be_frozen_is_told_and_read_live_or_refused() {
    let bench = Bench::new();
    let fails_second = |at, number| if at == Step::Look && number == 1 { Fault::Fails } else { Fault::None };
    bench.scripted.follow(fails_second);
    let set = bench.freeze(&["a", "b"], Mode::WhenAvailable).unwrap();
    assert!(set.view(0).is_some() && set.view(1).is_none());
    let live: Vec<&Path> = set.report().live.iter().map(|live| live.path.as_path()).collect();
    assert_eq!(live, [bench.path("b")]);
    drop(set);
    bench.scripted.follow(fails_second);
    let error = bench.freeze(&["a", "b"], Mode::Always).unwrap_err();
    assert!(error.to_string().contains(bench.path("b").to_str().unwrap()), "{error}");
    bench.assert_clean();
}

#[test]
fn a_copy_that_cannot_be_made_is_read_live_when_that_is_allowed() {
    let bench = Bench::new();
    bench.scripted.follow(|at, _| if at == Step::Created { Fault::Fails } else { Fault::None });
    let set = bench.freeze(&["a"], Mode::WhenAvailable).unwrap();
    assert!(set.view(0).is_none() && set.report().made.is_empty());
    assert!(set.report().live[0].why.contains("scripted"));
    assert_eq!(set.report().live[0].path, bench.path("a"));
    assert!(set.release().is_empty());
    bench.assert_clean();
}

#[test]
fn what_cannot_be_removed_stays_on_record_until_a_sweep_removes_it() {
    let bench = Bench::new();
    let set = bench.freeze(&["a", "b"], Mode::Always).unwrap();
    let name = set.report().made[1].name.clone();
    // The last is removed first.
    bench.scripted.follow(|at, number| if at == Step::Remove && number == 0 { Fault::Fails } else { Fault::None });
    let left = set.release();
    assert_eq!(left.iter().map(|(copy, _)| copy.name.as_str()).collect::<Vec<_>>(), [name.as_str()]);
    assert_eq!(bench.scripted.living(), std::slice::from_ref(&name));
    let (listed, _) = bench.shadows.records().list().unwrap();
    assert_eq!((listed[0].is_in_use, listed[0].record.copies.len()), (false, 1));
    let swept = bench.shadows.sweep().unwrap();
    assert_eq!(swept.removed.iter().map(|copy| copy.name.as_str()).collect::<Vec<_>>(), [name.as_str()]);
    bench.assert_clean();
}

#[test]
fn a_lost_copy_is_an_error() {
    let bench = Bench::new();
    let set = bench.freeze(&["a"], Mode::Always).unwrap();
    set.check().unwrap();
    bench.scripted.follow(|at, _| if at == Step::Check { Fault::Fails } else { Fault::None });
    assert!(matches!(set.check(), Err(ShadowError::Lost { .. })));
}

#[test]
fn a_record_that_is_not_ours_removes_nothing() {
    let bench = Bench::new();
    drop(bench.freeze(&["a"], Mode::Always).unwrap());
    let records = bench.path("copies/records");
    let id = "0123456789abcdef";
    let record = |id: &str, name: &str| {
        format!(
            "id = \"{id}\"\nboot_id = \"\"\npid = 1\ncreated_s = 0\npurpose = \"\"\n[[copies]]\nname = \"{name}\"\n\
             [copies.volume]\nprovider = \"scripted\"\nshown = \"x\"\n[copies.volume.fields]\npath = \"x\"\n"
        )
    };
    let cases = [
        (id, record(id, "home")),
        (id, record(id, "hardback-shadow-fedcba9876543210-0")),
        (id, record("fedcba9876543210", "hardback-shadow-fedcba9876543210-0")),
        ("", record("", "hardback-shadow-")),
        (id, "no record".into()),
        (id, record(id, "hardback-shadow-0123456789abcdef-0").replace("id =", "ix =")),
    ];
    bench.scripted.follow(|at, _| if at == Step::Remove { Fault::Panics } else { Fault::None });
    for (file, text) in cases {
        let path = records.join(format!("{file}.toml"));
        std::fs::write(&path, &text).unwrap();
        let swept = bench.shadows.sweep().unwrap();
        assert_eq!((swept.removed.len(), swept.failed.len(), swept.unread.len()), (0, 0, 1), "{text}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_sweep_of_what_was_never_made_ends_the_record() {
    let bench = Bench::new();
    let set = bench.freeze(&["a"], Mode::Always).unwrap();
    let name = set.report().made[0].name.clone();
    bench.scripted.follow(|at, _| if at == Step::Remove { Fault::Fails } else { Fault::None });
    assert_eq!(set.release().len(), 1);
    bench.scripted.follow(|_, _| Fault::None);
    std::fs::remove_dir_all(bench.path("copies").join(&name)).unwrap();
    assert_eq!(bench.shadows.sweep().unwrap().removed.len(), 1);
    assert_eq!(bench.shadows.records().list().unwrap().0, []);
}
