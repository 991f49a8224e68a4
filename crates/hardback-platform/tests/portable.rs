//! What both systems must do alike: run on Linux, and for Windows under Wine.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use hardback_platform::{Call, Dir, Faults, Kind, Lock, Op, PathError, RelPath, Seam, Time, Verdict, Watch};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A directory that is removed with the test.
struct Scratch {
    dir: Dir,
    temp: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self::watched(Seam::default())
    }

    fn watched(seam: Seam) -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self { dir: Dir::open(temp.path(), seam).unwrap(), temp }
    }
}

fn write(dir: &Dir, name: &[u8], content: &[u8]) {
    dir.create_file(name, 0o644).unwrap().write_all_at(content, 0).unwrap();
}

fn read(dir: &Dir, name: &[u8]) -> Vec<u8> {
    dir.open_file(name).unwrap().read_to_vec(1 << 20).unwrap()
}

fn names(dir: &Dir) -> Vec<String> {
    dir.list().unwrap().iter().map(|e| String::from_utf8_lossy(e.name).into_owned()).collect()
}

#[track_caller]
fn check_fault<T>(result: Result<T, PathError>, expected: Faults) {
    match result {
        Ok(_) => panic!("succeeded instead of {expected:?}"),
        Err(error) => assert_eq!(error.fault(), expected, "{error}: {:?}", error.source),
    }
}

/// Lets an error pass that a Unix must not have.
#[track_caller]
fn only_on_windows(error: &PathError) {
    let is_windows = cfg!(windows);
    assert!(is_windows, "{error}: {:?}", error.source);
}

#[test]
fn a_listing_has_the_files_by_name_and_then_the_directories() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    assert!(dir.list().unwrap().is_empty());
    for name in ["b", "a", "d"] {
        write(&dir, name.as_bytes(), b"");
    }
    for name in ["c", "A-dir"] {
        dir.make_dir(name.as_bytes(), 0o755).unwrap();
    }
    let listing = dir.list().unwrap();
    assert_eq!(names(&dir), ["a", "b", "d", "A-dir", "c"]);
    assert_eq!(listing.files_len(), 3);
    assert_eq!((listing.get(0).kind, listing.get(4).kind), (Kind::File, Kind::Dir));
}

#[test]
fn a_directory_of_many_calls_is_listed_whole() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    // More than the 64 KiB that one call fetches.
    let expected: Vec<String> = (0..700).map(|i| format!("{i:04}-{}", "x".repeat(100))).collect();
    for name in &expected {
        write(&dir, name.as_bytes(), b"");
    }
    assert_eq!(names(&dir), expected);
    assert_eq!(names(&dir), expected, "a second listing starts anew");
}

#[test]
fn content_comes_back_and_metadata_tells_it() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let file = dir.create_file(b"a", 0o644).unwrap();
    file.write_all_at(b"world", 6).unwrap();
    file.write_all_at(b"hello ", 0).unwrap();
    file.sync().unwrap();
    let mut buffer = [0; 20];
    assert_eq!(file.read_full_at(&mut buffer, 6).unwrap(), 5);
    let metadata = file.metadata().unwrap();
    drop(file);
    dir.sync().unwrap();
    assert_eq!(read(&dir, b"a"), b"hello world");
    assert_eq!((metadata.kind, metadata.size_bytes, metadata.nlink), (Kind::File, 11, 1));
    assert!(metadata.blocks > 0 && metadata.ctime.is_some());
    assert_eq!(dir.stat(b"a").unwrap().id, metadata.id);
    assert_ne!(metadata.id.file, 0);
    let own = dir.metadata().unwrap();
    assert_eq!((own.kind, own.size_bytes, own.id.volume), (Kind::Dir, 0, metadata.id.volume));
    let opened = dir.open_file(b"a").unwrap();
    assert_eq!(opened.metadata().unwrap(), dir.stat(b"a").unwrap());
    assert_eq!(opened.read_at(&mut buffer, 11).unwrap(), 0);
    check_fault(opened.read_to_vec(10), Faults::Other);
}

#[test]
fn data_is_found_and_the_end_is_known() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    const SIZE: u64 = 1 << 20;
    let file = dir.create_file(b"sparse", 0o644).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"data", SIZE / 2).unwrap();
    drop(file);
    let file = dir.open_file(b"sparse").unwrap();
    assert_eq!(file.metadata().unwrap().size_bytes, SIZE);
    let first = file.next_data(0, SIZE).unwrap().unwrap();
    assert!(first.start <= SIZE / 2 && first.end >= SIZE / 2 + 4 && first.end <= SIZE, "{first:?}");
    assert_eq!(file.next_data(SIZE, SIZE).unwrap(), None);
    let mut buffer = [1; 8];
    assert_eq!(file.read_full_at(&mut buffer, SIZE / 2 - 2).unwrap(), 8);
    assert_eq!(&buffer, b"\0\0data\0\0");
}

#[test]
fn a_hard_link_is_one_more_name_of_the_same_file() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"sub", 0o755).unwrap();
    let sub = dir.open_dir(b"sub").unwrap();
    write(&dir, b"a", b"same");
    dir.link(b"a", &sub, b"b").unwrap();
    let (a, b) = (dir.stat(b"a").unwrap(), sub.stat(b"b").unwrap());
    assert_eq!((a.id, a.nlink), (b.id, 2));
    assert_eq!(b.nlink, 2);
    write(&dir, b"c", b"other");
    check_fault(dir.link(b"c", &sub, b"b"), Faults::Exists);
    check_fault(dir.link(b"none", &sub, b"d"), Faults::Vanished);
    dir.unlink(b"a").unwrap();
    assert_eq!(read(&sub, b"b"), b"same");
    assert_eq!(sub.stat(b"b").unwrap().nlink, 1);
}

#[test]
fn rename_new_refuses_a_taken_name_and_rename_over_replaces_it() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    write(&dir, b"a", b"a");
    write(&dir, b"b", b"b");
    dir.make_dir(b"dir", 0o755).unwrap();
    let sub = dir.open_dir(b"dir").unwrap();
    check_fault(dir.rename_new(b"a", &dir, b"b"), Faults::Exists);
    assert_eq!((read(&dir, b"a"), read(&dir, b"b")), (b"a".to_vec(), b"b".to_vec()));
    dir.rename_new(b"a", &sub, b"c").unwrap();
    sub.rename_over(b"c", &dir, b"b").unwrap();
    assert_eq!(read(&dir, b"b"), b"a");
    assert_eq!(names(&dir), ["b", "dir"]);
    drop(sub);
    dir.make_dir(b"taken", 0o755).unwrap();
    check_fault(dir.rename_new(b"dir", &dir, b"taken"), Faults::Exists);
    dir.rename_new(b"dir", &dir, b"moved").unwrap();
    assert_eq!(names(&dir), ["b", "moved", "taken"]);
}

#[test]
fn a_file_that_is_open_can_be_renamed_and_removed() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let file = dir.create_file(b"a.partial", 0o644).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    dir.rename_new(b"a.partial", &dir, b"a").unwrap();
    file.write_all_at(b"y", 1).unwrap();
    drop(file);
    let reader = dir.open_file(b"a").unwrap();
    dir.unlink(b"a").unwrap();
    assert_eq!(reader.read_to_vec(10).unwrap(), b"xy");
    drop(reader);
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn a_taken_name_is_not_created_again() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    write(&dir, b"a", b"old");
    dir.make_dir(b"dir", 0o755).unwrap();
    check_fault(dir.create_file(b"a", 0o644), Faults::Exists);
    check_fault(dir.create_file(b"dir", 0o644), Faults::Exists);
    check_fault(dir.make_dir(b"a", 0o755), Faults::Exists);
    check_fault(dir.make_dir(b"dir", 0o755), Faults::Exists);
    assert_eq!(read(&dir, b"a"), b"old");
}

#[test]
fn what_is_not_there_has_vanished() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    check_fault(dir.stat(b"none"), Faults::Vanished);
    check_fault(dir.open_file(b"none"), Faults::Vanished);
    check_fault(dir.open_dir(b"none"), Faults::Vanished);
    check_fault(dir.open_dir_at(&RelPath::from_bytes(b"none/below").unwrap()), Faults::Vanished);
    check_fault(dir.unlink(b"none"), Faults::Vanished);
    check_fault(dir.remove_dir(b"none"), Faults::Vanished);
    check_fault(dir.set_mtime(b"none", Time::default()), Faults::Vanished);
    check_fault(dir.rename_over(b"none", &dir, b"a"), Faults::Vanished);
}

#[test]
fn the_wrong_kind_is_refused() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    write(&dir, b"file", b"x");
    dir.make_dir(b"dir", 0o755).unwrap();
    check_fault(dir.open_dir(b"file"), Faults::WrongKind);
    check_fault(dir.open_dir_at(&RelPath::from_bytes(b"file").unwrap()), Faults::WrongKind);
    check_fault(dir.unlink(b"dir"), Faults::WrongKind);
    check_fault(dir.remove_dir(b"file"), Faults::WrongKind);
    check_fault(dir.open_file(b"dir"), Faults::WrongKind);
    for (name, kind) in [(&b"fifo"[..], Kind::Fifo), (b"socket", Kind::Socket)] {
        if dir.make_node(name, kind, 0o600, (0, 0)).is_ok() {
            check_fault(dir.open_file(name), Faults::WrongKind);
            dir.unlink(name).unwrap();
        }
    }
    if dir.symlink(b"file", b"link").is_ok() {
        check_fault(dir.open_file(b"link"), Faults::WrongKind);
        dir.unlink(b"link").unwrap();
    }
    assert_eq!(names(&dir), ["file", "dir"]);
}

#[test]
fn a_directory_with_entries_is_not_removed() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"dir", 0o755).unwrap();
    let sub = dir.open_dir(b"dir").unwrap();
    write(&sub, b"a", b"x");
    check_fault(dir.remove_dir(b"dir"), Faults::Other);
    sub.unlink(b"a").unwrap();
    drop(sub);
    dir.remove_dir(b"dir").unwrap();
    assert!(dir.list().unwrap().is_empty());
}

#[test]
fn a_path_of_600_characters_is_an_ordinary_one() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let mut path = RelPath::root();
    let mut deepest = dir.try_clone().unwrap();
    for i in 0..6 {
        let name = format!("{i}{}", "long".repeat(25)).into_bytes();
        deepest.make_dir(&name, 0o755).unwrap();
        deepest = deepest.open_dir(&name).unwrap();
        path.push(&name);
    }
    assert!(path.as_bytes().len() > 600);
    write(&deepest, b"file", b"deep");
    deepest.link(b"file", &dir, b"shallow").unwrap();
    deepest.rename_new(b"file", &deepest, b"renamed").unwrap();
    deepest.set_mtime(b"renamed", Time { seconds: 1, nanos: 0 }).unwrap();
    assert!(deepest.free_space().unwrap().total_bytes > 0);
    let again = dir.open_dir_at(&path).unwrap();
    assert_eq!(again.metadata().unwrap().id, deepest.metadata().unwrap().id);
    assert_eq!(read(&again, b"renamed"), b"deep");
    assert_eq!(dir.stat(b"shallow").unwrap().nlink, 2);
    assert_eq!(names(&again), ["renamed"]);
    again.unlink(b"renamed").unwrap();
}

#[test]
fn names_are_kept_as_they_are() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let longest = "l".repeat(255);
    let kept = [
        "Umlaut \u{e4}",
        "Umlaut a\u{308}",
        "emoji \u{1f600}",
        "dot.",
        "space ",
        " lead",
        "...",
        "CON",
        "nul.txt",
        &longest,
    ];
    dir.make_dir(b"of files", 0o755).unwrap();
    dir.make_dir(b"of folders", 0o755).unwrap();
    let (files, folders) = (dir.open_dir(b"of files").unwrap(), dir.open_dir(b"of folders").unwrap());
    for name in kept.map(str::as_bytes) {
        write(&files, name, name);
        folders.make_dir(name, 0o755).unwrap();
    }
    let mut expected = kept;
    expected.sort_unstable();
    assert_eq!(names(&files), expected);
    assert_eq!(names(&folders), expected);
    for name in kept.map(str::as_bytes) {
        assert_eq!(read(&files, name), name);
        folders.open_dir(name).unwrap();
        files.rename_over(name, &dir, b"renamed").unwrap();
        dir.rename_new(b"renamed", &files, name).unwrap();
        files.unlink(name).unwrap();
        folders.remove_dir(name).unwrap();
    }
    assert!(files.list().unwrap().is_empty() && folders.list().unwrap().is_empty());
}

#[test]
#[cfg(windows)]
fn a_name_that_leads_elsewhere_or_that_windows_cannot_hold_is_a_bad_name() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"sub", 0o755).unwrap();
    write(&dir, b"a", b"x");
    let bad: &[&[u8]] =
        &[b"sub\\x", b"sub/x", b"a:stream", b"a::$DATA", b"x\0", b"x?", b"x*", b"x|", b"x\xff", b"..", b".", b""];
    for name in bad {
        check_fault(dir.create_file(name, 0o644), Faults::BadName);
        check_fault(dir.rename_new(b"a", &dir, name), Faults::BadName);
    }
    assert_eq!(names(&dir), ["a", "sub"]);
}

#[test]
fn a_time_that_is_set_is_the_one_that_is_read() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"dir", 0o755).unwrap();
    let times = [
        Time { seconds: 1_600_000_000, nanos: 123_456_700 },
        Time { seconds: -1, nanos: 999_999_900 },
        Time { seconds: -1_000_000_000, nanos: 0 },
        Time { seconds: 4_102_444_800, nanos: 100 },
    ];
    for time in times {
        let file = dir.create_file(b"a", 0o644).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.set_mtime(time).unwrap();
        drop(file);
        dir.set_mtime(b"dir", time).unwrap();
        assert_eq!(dir.stat(b"a").unwrap().mtime, time);
        assert_eq!(dir.stat(b"dir").unwrap().mtime, time);
        dir.unlink(b"a").unwrap();
        dir.set_mtime(b"", time).unwrap();
        assert_eq!(dir.metadata().unwrap().mtime, time);
    }
}

#[test]
fn a_second_lock_is_refused_and_the_holder_is_named() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let first = Lock::try_take(&dir, b"lock", b"host 1, process 2\n").unwrap().unwrap();
    assert!(Lock::try_take(&dir, b"lock", b"another").unwrap().is_none());
    assert_eq!(Lock::holder(&dir, b"lock").as_deref(), Some("host 1, process 2"));
    drop(first);
    assert_eq!(Lock::holder(&dir, b"lock").as_deref(), Some(""));
    let _second = Lock::try_take(&dir, b"lock", b"another").unwrap().unwrap();
    assert_eq!(Lock::holder(&dir, b"lock").as_deref(), Some("another"));
}

#[test]
fn a_symlink_is_made_and_read_or_refused_but_never_pretended() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"real", 0o755).unwrap();
    for (text, name) in [("nowhere", "dangling"), ("real", "to-dir")] {
        match dir.symlink(text.as_bytes(), name.as_bytes()) {
            Ok(()) => {
                let link = dir.stat(name.as_bytes()).unwrap();
                assert_eq!((link.kind, link.size_bytes), (Kind::Symlink, text.len() as u64));
                assert_eq!(dir.read_link(name.as_bytes()).unwrap(), text.as_bytes());
                check_fault(dir.open_file(name.as_bytes()), Faults::WrongKind);
                check_fault(dir.open_dir(name.as_bytes()), Faults::WrongKind);
                let below = RelPath::from_bytes(name.as_bytes()).unwrap().join(b"x");
                check_fault(dir.open_dir_at(&below), Faults::WrongKind);
                dir.unlink(name.as_bytes()).unwrap();
            }
            Err(error) => {
                // No right to make one on Windows, or no symlinks in Wine.
                only_on_windows(&error);
                assert!(matches!(error.fault(), Faults::Unsupported | Faults::Denied), "{:?}", error.source);
            }
        }
    }
    assert_eq!(names(&dir), ["real"]);
}

#[test]
fn a_root_may_be_named_by_a_relative_or_linked_path_and_a_file_is_none() {
    let Scratch { dir, temp } = Scratch::new();
    write(&dir, b"file", b"");
    dir.make_dir(b"sub", 0o755).unwrap();
    let dotted = temp.path().join("sub").join("..").join("sub");
    let sub = Dir::open(&dotted, Seam::default()).unwrap();
    assert_eq!(sub.metadata().unwrap().id, dir.stat(b"sub").unwrap().id);
    check_fault(Dir::open(&temp.path().join("file"), Seam::default()), Faults::WrongKind);
    check_fault(Dir::open(&temp.path().join("none"), Seam::default()), Faults::Vanished);
}

#[test]
fn a_directory_that_is_replaced_while_it_is_held_is_not_taken_for_the_new_one() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    dir.make_dir(b"sub", 0o755).unwrap();
    let held = dir.open_dir(b"sub").unwrap();
    write(&held, b"old", b"");
    dir.rename_new(b"sub", &dir, b"moved").unwrap();
    dir.make_dir(b"sub", 0o755).unwrap();
    write(&dir.open_dir(b"sub").unwrap(), b"new", b"");
    match held.list() {
        Ok(listing) => assert_eq!(listing.get(0).name, b"old"),
        Err(error) => {
            only_on_windows(&error);
            assert_eq!(error.fault(), Faults::Vanished);
        }
    }
}

#[test]
fn the_volume_tells_its_room_and_its_kind() {
    let Scratch { dir, temp: _temp } = Scratch::new();
    let space = dir.free_space().unwrap();
    assert!(space.free_bytes > 0 && space.total_bytes >= space.free_bytes);
    dir.volume().unwrap();
    match dir.sync_volume() {
        Ok(()) => {}
        Err(error) => assert_eq!(error.fault(), Faults::Unsupported, "{:?}", error.source),
    }
}

#[test]
fn clocks_go_forward_and_the_host_has_a_name() {
    let start = hardback_platform::monotonic_now();
    assert!(hardback_platform::now().seconds > 1_700_000_000);
    assert!(hardback_platform::monotonic_now() >= start);
    let host = hardback_platform::local_host_name();
    assert!(!host.is_empty() && !host.contains('.'), "{host}");
}

/// Fails the nth call, and counts all.
struct FailNth {
    nth: usize,
    seen: AtomicUsize,
}

impl Watch for FailNth {
    fn before(&self, call: &Call<'_>) -> Verdict {
        match self.seen.fetch_add(1, Ordering::SeqCst) == self.nth {
            true if call.op == Op::Write => Verdict::Short(2, io::Error::other("injected")),
            true => Verdict::Fail(io::Error::other("injected")),
            false => Verdict::Go,
        }
    }
}

/// A run of calls, as long as they succeed.
fn steps(dir: &Dir) -> Result<(), PathError> {
    dir.make_dir(b"dir", 0o755)?;
    let sub = dir.open_dir(b"dir")?;
    let file = sub.create_file(b"a", 0o644)?;
    file.write_all_at(b"content", 0)?;
    file.set_len(7)?;
    file.set_mtime(Time { seconds: 5, nanos: 0 })?;
    file.metadata()?;
    file.sync()?;
    drop(file);
    sub.link(b"a", dir, b"b")?;
    dir.rename_new(b"b", dir, b"c")?;
    dir.rename_over(b"c", dir, b"d")?;
    dir.open_file(b"d")?.read_at(&mut [0; 7], 0)?;
    dir.list()?;
    dir.unlink(b"d")?;
    sub.unlink(b"a")?;
    sub.sync()?;
    drop(sub);
    dir.remove_dir(b"dir")
}

#[test]
fn the_seam_fails_each_call_in_turn_and_that_call_is_not_made() {
    const CALLS: usize = 18;
    for nth in 0..=CALLS {
        let temp = tempfile::tempdir().unwrap();
        // The opening of the root is a call as well; it is not counted.
        let watch = Arc::new(FailNth { nth: nth + 1, seen: AtomicUsize::new(0) });
        let dir = Dir::open(temp.path(), Seam::watched(Arc::clone(&watch) as Arc<dyn Watch>)).unwrap();
        let result = steps(&dir);
        if nth == CALLS {
            result.unwrap();
            assert_eq!(watch.seen.load(Ordering::SeqCst), CALLS + 1, "the steps make {CALLS} calls");
            continue;
        }
        assert_eq!(result.unwrap_err().source.to_string(), "injected", "call {nth}");
        assert_eq!(watch.seen.load(Ordering::SeqCst), nth + 2, "no call after the failed one");
        let unwatched = Dir::open(temp.path(), Seam::default()).unwrap();
        match nth {
            0 => assert!(unwatched.list().unwrap().is_empty()),
            3 => assert_eq!(read(&unwatched.open_dir(b"dir").unwrap(), b"a"), b"co"),
            _ => {}
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the attribute of both systems is set by the standard library")]
fn a_name_of_a_read_only_file_goes_and_the_other_stays_read_only() {
    let Scratch { dir, temp } = Scratch::new();
    write(&dir, b"a", b"x");
    dir.link(b"a", &dir, b"b").unwrap();
    let path = temp.path().join("b");
    let is_read_only = || std::fs::metadata(&path).unwrap().permissions().readonly();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    dir.unlink(b"a").unwrap();
    assert_eq!(names(&dir), ["b"]);
    assert!(is_read_only());
    dir.unlink(b"b").unwrap();
    assert!(names(&dir).is_empty());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "somebody else does this, with the standard library")]
fn a_read_only_file_is_replaced_and_its_other_name_stays_read_only() {
    let Scratch { dir, temp } = Scratch::new();
    write(&dir, b"stored", b"old");
    dir.link(b"stored", &dir, b"other").unwrap();
    let set_read_only = |name: &str, is_wanted| {
        let path = temp.path().join(name);
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(is_wanted);
        std::fs::set_permissions(&path, permissions).unwrap();
    };
    set_read_only("stored", true);
    // Wine replaces nothing that is open.
    let reader = std::env::var_os("HARDBACK_TEST_WINE").is_none().then(|| dir.open_file(b"stored").unwrap());
    dir.link(b"stored", &dir, b"third").unwrap();
    write(&dir, b"new", b"new");
    dir.rename_over(b"new", &dir, b"stored").unwrap();
    assert_eq!((read(&dir, b"stored"), read(&dir, b"other")), (b"new".to_vec(), b"old".to_vec()));
    assert!(reader.is_none_or(|reader| reader.read_to_vec(10).unwrap() == b"old"));
    for (name, is_read_only) in [("stored", false), ("other", true), ("third", true)] {
        let permissions = std::fs::metadata(temp.path().join(name)).unwrap().permissions();
        assert_eq!(permissions.readonly(), is_read_only, "{name}");
    }
    set_read_only("other", false);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "somebody else does this, with the standard library")]
fn a_directory_knows_whether_it_is_still_there() {
    let Scratch { dir, temp } = Scratch::new();
    dir.make_dir(b"held", 0o755).unwrap();
    let held = dir.open_dir(b"held").unwrap();
    held.check_is_there().unwrap();
    std::fs::rename(temp.path().join("held"), temp.path().join("elsewhere")).unwrap();
    match held.check_is_there() {
        Ok(()) => write(&held, b"found", b""),
        Err(error) => {
            only_on_windows(&error);
            assert_eq!(error.fault(), Faults::Vanished, "{error}: {:?}", error.source);
            // Another one in its place is not it.
            dir.make_dir(b"held", 0o755).unwrap();
            check_fault(held.check_is_there(), Faults::Vanished);
        }
    }
}
