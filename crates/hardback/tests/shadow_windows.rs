//! The real binary on Windows' shadow copies: on the stand-in for `vssapi.dll` (`xtask/windows/vssapi.cpp`), which serves
//! a folder as the device of each copy.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]
#![cfg(windows)]

mod environment;

use environment::{Output, TestEnvironment, begun};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A source that has changed since it was frozen, and a folder that has the frozen one as it is below its volume.
struct Bench {
    env: TestEnvironment,
    device: tempfile::TempDir,
}

impl Bench {
    /// `None` where there is no stand-in.
    fn new() -> Option<Self> {
        if std::env::var_os("HARDBACK_TEST_VSS_STANDIN").is_none() {
            hardback_testing::skipped("there is no stand-in for vssapi.dll");
            return None;
        }
        let bench = Self { env: TestEnvironment::new(), device: tempfile::tempdir().unwrap() };
        bench.env.write("source/same", "the same");
        bench.env.write("source/changed", "live");
        bench.env.write("source/new", "made later");
        for (name, text) in [("same", "the same"), ("changed", "frozen"), ("below/gone", "removed later")] {
            let path = bench.frozen("source").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Some(bench)
    }

    /// Returns where a path of the place is below the device.
    fn frozen(&self, name: &str) -> PathBuf {
        let path = self.env.path(name);
        // Without the prefix and the drive.
        self.device.path().join(path.components().skip(2).collect::<PathBuf>())
    }

    fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let device = format!(r"\\?\{}", self.device.path().display());
        let log = self.env.path("vss.log").display().to_string();
        let own = [("HARDBACK_VSS_DEVICE", device.as_str()), ("HARDBACK_VSS_LOG", log.as_str())];
        own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn run(&self, more: &[(&str, &str)], args: &[&str]) -> Output {
        let variables = self.variables(more);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        self.env.hardback_with(&variables, args)
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.env.path("vss.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, call: &str) -> usize {
        self.log().iter().filter(|line| line.split(' ').next() == Some(call)).count()
    }

    /// All that the service made is released, and nothing is on record.
    #[track_caller]
    fn assert_clean(&self) {
        let log = self.log();
        assert!(log.last().is_none_or(|line| line.ends_with("living=0")), "{log:#?}");
        let listed = self.env.hardback(&["shadow", "list"]).exits(0);
        assert!(listed.stderr.contains("there are no shadow copies"), "{}{}", listed.stdout, listed.stderr);
    }
}

macro_rules! bench {
    () => {
        match Bench::new() {
            Some(bench) => bench,
            None => return,
        }
    };
}

const BACKUP: [&str; 6] = ["backup", "source", "target", "--same-disk", "--hot-window", "0"];

/// Returns all files below a folder with what is in them.
fn tree(top: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn report(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn a_backup_has_what_was_frozen_and_a_restore_gives_it_back() {
    let bench = bench!();
    let args = [&BACKUP[..], &["--shadow", "always"]].concat();
    let done = bench.run(&[], &args).exits(0);
    assert!(done.stdout.contains("frozen    at "), "{}", done.stdout);
    bench.assert_clean();
    let order = ["StartSnapshotSet", "DoSnapshotSet", "GetSnapshotProperties", "BackupComplete", "DeleteSnapshots"];
    let log = bench.log();
    let found = order.map(|call| log.iter().position(|line| line.starts_with(call)).unwrap());
    assert!(found.is_sorted(), "{log:#?}");
    bench.env.hardback(&["restore", "target", "source", "--to", "restored", "--job", "host"]).exits(0).ignore();
    let frozen = tree(&bench.frozen("source"));
    assert_eq!(frozen.len(), 3);
    let restored = bench.env.path("restored");
    let restored = if restored.join("source").exists() { restored.join("source") } else { restored };
    assert_eq!(tree(&restored), frozen);
    assert_ne!(tree(&bench.env.path("source")), frozen);
    // The next run links to this one.
    let again = [&["--json"], &args[..]].concat();
    let writers = "Good,5,00000000;SqlServerWriter,9,800423f2";
    let again = bench.run(&[("HARDBACK_VSS_WRITERS", writers)], &again).exits(0);
    let report = report(&again.stdout);
    assert_eq!((&report["linked"], &report["bytes_read"]), (&3.into(), &0.into()), "{report}");
    assert_eq!(report["shadow"]["copies"][0]["provider"], "vss");
    let warnings = report["shadow"]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().contains("SqlServerWriter"), "{warnings:?}");
    assert!(again.stderr.contains("SqlServerWriter"), "{}", again.stderr);
    bench.env.hardback(&["verify", "target"]).exits(0).ignore();
    bench.assert_clean();
}

#[test]
fn what_cannot_be_frozen_stops_the_run_or_is_told() {
    let bench = bench!();
    let faults = [("HARDBACK_VSS_FAULTS", "DoSnapshotSet*=8004231f")];
    let refused = bench.run(&faults, &[&BACKUP[..], &["--shadow", "always"]].concat()).exits(1);
    assert!(refused.stderr.contains("there is not enough room for shadow copies"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("vssadmin"), "{}", refused.stderr);
    assert_eq!((bench.count("AbortBackup"), bench.count("Release")), (1, 1));
    bench.assert_clean();
    let live = bench.run(&faults, &[&BACKUP[..], &["--shadow", "when-available"]].concat()).exits(3);
    assert!(live.stderr.contains("was read live, without the shadow copy"), "{}", live.stderr);
    assert!(live.stderr.contains("not enough room"), "{}", live.stderr);
    bench.assert_clean();
    let snapshot = bench.env.only_snapshot("target/host");
    assert_eq!(tree(&bench.env.path(&format!("target/host/{snapshot}/source"))), tree(&bench.env.path("source")));
    let denied = [("HARDBACK_VSS_FAULTS", "CreateVssBackupComponents=80070005")];
    let refused = bench.run(&denied, &[&BACKUP[..], &["--shadow", "always"]].concat()).exits(1);
    assert!(refused.stderr.contains("Run as administrator"), "{}", refused.stderr);
    for mode in ["always", "when-available"] {
        let download = ["backup", "source", "other", "--same-disk", "--shadow", mode, "--placeholders", "download"];
        let refused = bench.run(&[], &download).exits(1);
        assert!(refused.stderr.contains("hint: read the live files with --shadow never"), "{}", refused.stderr);
        assert!(!bench.env.path("other").exists());
    }
}

#[test]
fn a_copy_that_is_lost_meanwhile_makes_no_snapshot() {
    let bench = bench!();
    let faults = [("HARDBACK_VSS_FAULTS", "GetSnapshotProperties=80042308@2")];
    let lost = bench.run(&faults, &[&BACKUP[..], &["--shadow", "always"]].concat()).exits(1);
    assert!(lost.stderr.contains("was lost"), "{}", lost.stderr);
    bench.assert_clean();
}

#[test]
fn a_run_that_dies_leaves_nothing_that_the_next_does_not_clear_up() {
    let bench = bench!();
    let args = [&BACKUP[..], &["--shadow", "always"]].concat();
    for call in ["StartSnapshotSet", "DoSnapshotSet", "GetSnapshotProperties", "BackupComplete"] {
        bench.run(&[("HARDBACK_VSS_FAULTS", &format!("{call}$"))], &args).exits(99).ignore();
        let listed = bench.env.hardback(&["shadow", "list"]).exits(0);
        assert!(listed.stdout.contains("left by job host"), "{}", listed.stdout);
        bench.run(&[], &args).exits(0).ignore();
        bench.assert_clean();
    }
}

/// Sends Ctrl-C to the process whose command line has this word: Wine makes it of a signal, which Wine's own process ids
/// know nothing of.
fn interrupt(word: &str) {
    let has_word = |path: &Path| {
        std::fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    let processes = std::fs::read_dir(r"Z:\proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let found: Vec<String> = processes
        .filter(|path| {
            path.file_name().unwrap().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) && has_word(path)
        })
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    // Wine starts a program of the system below, and has no handle on it.
    std::process::Command::new(r"Z:\bin\kill").args(["-INT", &found[0]]).status().ok();
}

#[test]
fn ctrl_c_while_windows_makes_the_copy_ends_all_of_it() {
    let bench = bench!();
    if std::env::var_os("HARDBACK_TEST_WINE").is_none() {
        hardback_testing::skip!("Ctrl-C is sent in Wine's way");
    }
    for (verb, call) in [("backup", "GatherWriterMetadata"), ("backup", "DoSnapshotSet"), ("with", "DoSnapshotSet")] {
        std::fs::remove_file(bench.env.path("vss.log")).ok();
        let target = format!("target-{}-{verb}-{call}", std::process::id());
        let mut command = match verb {
            "backup" => bench.env.start(&["backup", "source", &target, "--same-disk", "--shadow", "always"]),
            _ => bench.env.start(&["with-shadow", "--source", "source", "--", "cmd", "/c", "exit", &target]),
        };
        command.envs(bench.variables(&[("HARDBACK_VSS_FAULTS", &format!("{call}!"))]));
        let mut child = begun(|| command.spawn());
        while bench.count(call) == 0 {
            assert!(child.try_wait().unwrap().is_none(), "{:#?}", bench.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        interrupt(&target);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{:#?}", bench.log());
        assert_eq!(bench.count("AbortBackup"), usize::from(call == "DoSnapshotSet"), "{:#?}", bench.log());
        assert_eq!((bench.count("Cancel"), bench.count("Release")), (1, 1));
        bench.assert_clean();
    }
}

#[test]
fn a_command_gets_a_path_or_a_drive_letter_which_is_free_again_after_it() {
    let bench = bench!();
    let with = |more: &[&str], faults: &str| {
        let args = [&["with-shadow", "--source", "source"], more].concat();
        bench.run(&[("HARDBACK_VSS_FAULTS", faults)], &args)
    };
    // Through the path of the device it reads what was frozen.
    let read = with(&["--", "cmd", "/c", "type", r"{}\changed"], "").exits(0);
    assert_eq!(read.stdout.trim_end(), "frozen", "{}", read.stderr);
    let set = with(&["--", "cmd", "/c", "echo", "%HARDBACK_SHADOW_1%"], "").exits(0);
    assert!(set.stdout.starts_with(r"\\?\"), "{}", set.stdout);
    let letter = || {
        let told = with(&["--drive", "--", "cmd", "/c", "echo", "{}"], "").exits(0);
        let (letter, path) = told.stdout.split_once(':').unwrap_or_else(|| panic!("{}", told.stdout));
        assert!(path.starts_with('\\') && path.trim_end().ends_with("source"), "{}", told.stdout);
        letter.to_owned()
    };
    let first = letter();
    assert_eq!(letter(), first, "it was taken back");
    bench.assert_clean();
    // The next run takes back what a killed one left: this one dies when its command has ended.
    with(&["--drive", "--", "cmd", "/c", "exit 0"], "GetSnapshotProperties$@2").exits(99).ignore();
    assert_eq!(letter(), first);
    bench.assert_clean();
    let ended = with(&["--drive", "--", "cmd", "/c", "exit 7"], "").exits(7);
    assert_eq!(ended.stdout, "");
    let refused = with(&["--in-place", "--", "cmd", "/c", "exit 0"], "").exits(125);
    assert!(refused.stderr.contains("--drive"), "{}", refused.stderr);
    bench.assert_clean();
}

/// Entries in Windows' lists, as long as this lives.
struct Declared {
    name: String,
}

const LISTS: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\BackupRestore";

impl Declared {
    fn new(name: &str, entries: &[(&str, String)]) -> Self {
        let declared = Self { name: format!("hardback {name} {}", std::process::id()) };
        for (list, entry) in entries {
            let key = format!(r"{LISTS}\{list}");
            let args = ["add", &key, "/v", &declared.name, "/t", "REG_MULTI_SZ", "/d", entry, "/f"];
            let added = std::process::Command::new("reg").args(args).output().unwrap();
            assert!(added.status.success(), "{added:?}");
        }
        declared
    }
}

impl Drop for Declared {
    fn drop(&mut self) {
        for list in ["FilesNotToBackup", "FilesNotToSnapshot"] {
            let args = ["delete", &format!(r"{LISTS}\{list}"), "/v", &self.name, "/f"];
            std::process::Command::new("reg").args(args).output().ok();
        }
    }
}

#[test]
fn what_windows_declares_is_left_out_and_listed() {
    let bench = bench!();
    if std::env::var_os("HARDBACK_TEST_WINE").is_none() {
        hardback_testing::skip!("it writes into the registry");
    }
    for name in ["cache/a", "cache/deep/b", "cache/keep/c", "logs/x.LOG", "logs/x.txt", "logs/sub.log/y", "mail.ost"] {
        bench.env.write(&format!("source/{name}"), name);
        let path = bench.frozen("source").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let source = bench.env.path("source").display().to_string();
    let source = source.trim_start_matches(r"\\?\");
    let not_to_backup = format!(r"{source}\Cache\* /s\0{source}\logs\*.log");
    let entries =
        [("FilesNotToBackup", not_to_backup), ("FilesNotToSnapshot", format!(r"%systemdrive%{}\*.ost", &source[2..]))];
    let _declared = Declared::new("lists", &entries);
    let backup = |target: &str, more: &[&str]| {
        let drive = [("SystemDrive", "C:")];
        let args = [&["--json", "backup", "source", target, "--same-disk", "--hot-window", "0"], more].concat();
        let report = report(&bench.run(&drive, &args).exits(0).stdout);
        let snapshot = bench.env.only_snapshot(&format!("{target}/host"));
        let names =
            tree(&bench.env.path(&format!("{target}/host/{snapshot}/source"))).into_iter().map(|(name, _)| name);
        (names.filter(|name| name.contains(['/', '.'])).collect::<Vec<_>>(), report["system_excludes"].clone())
    };
    let (names, told) = backup("live", &[]);
    assert_eq!(names, ["logs/sub.log/y", "logs/x.txt", "mail.ost"], "{told}");
    assert_eq!(told.as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told[1]["list"], "FilesNotToBackup");
    assert_eq!(told[1]["patterns"][0], "/Cache/**");
    let (names, told) = backup("frozen", &["--shadow", "always"]);
    assert_eq!(names, ["below/gone", "logs/sub.log/y", "logs/x.txt"], "{told}");
    assert_eq!(told.as_array().unwrap().len(), 3, "{told}");
    // What a writer declares is known when the copy is made.
    let of_writer =
        [("HARDBACK_VSS_WRITERS", "Mail,5,00000000"), ("HARDBACK_VSS_EXCLUDES", &*format!(r"{source}\below,*,1"))];
    let written = |target: &str, more: &[&str], exit| {
        let args =
            [&["--json", "backup", "source", target, "--same-disk", "--hot-window", "0", "--shadow", "always"], more];
        let report = report(&bench.run(&of_writer, &args.concat()).exits(exit).stdout);
        let snapshot = bench.env.only_snapshot(&format!("{target}/host"));
        let has = bench.env.path(&format!("{target}/host/{snapshot}/source/below/gone")).exists();
        (has, report["system_excludes"].to_string())
    };
    let (has, told) = written("written", &[], 0);
    assert!(!has && told.contains("\"list\":\"writer\"") && told.contains("\"name\":\"Mail\""), "{told}");
    let noted = ["backup", "source", "noted", "--same-disk", "--hot-window", "0", "--shadow", "always"];
    let noted = bench.run(&of_writer, &noted).exits(0).stdout;
    assert!(noted.contains("note: the writer Mail (") && noted.contains(") leaves out 1 entry"), "{noted}");
    assert!(
        written("taken", &["--exclude", "!/below/", "--exclude", "!/below/**"], 0).0,
        "what the user says comes later"
    );
    // Windows keeps what FilesNotToSnapshot names out of the copy, whatever is wanted: that is told, and counts.
    let (has, told) = written("wanted", &["--no-system-excludes"], 3);
    assert!(has && told.contains("\"missing\":true") && told.contains("FilesNotToSnapshot"), "{told}");
    let (names, told) = backup("all", &["--no-system-excludes"]);
    assert_eq!((names.len(), told.as_array().unwrap().len()), (7, 0), "{names:?}");
    let (names, _) = backup("again", &["--exclude", "!/cache/", "--exclude", "!/cache/**"]);
    assert!(names.contains(&"cache/keep/c".to_owned()), "what the user says comes later: {names:?}");
    let said = bench.env.hardback(&["filter", "explain", "cache/a", "--source", "source"]).exits(0);
    assert!(said.stdout.contains("excluded") && said.stdout.contains("Windows' FilesNotToBackup"), "{}", said.stdout);
    // A source that is in such a folder is wanted all the same, and that is told.
    let inside = ["backup", "source/cache", "inside", "--same-disk"];
    let inside = bench.run(&[], &inside).exits(0);
    assert!(inside.stderr.contains("is not followed: it would leave out all of"), "{}", inside.stderr);
}
