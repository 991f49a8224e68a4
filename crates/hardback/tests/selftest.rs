//! `hardback selftest` with the real binary: on this system's own volume, on NTFS mounted by Linux, and under Wine, of
//! which it must not believe what is not so.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]

mod environment;

use environment::TestEnvironment;
use serde_json::Value;
use std::collections::BTreeMap;

/// What came of each check, by what it checks.
fn outcomes(stdout: &str) -> BTreeMap<String, String> {
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap();
    let all: BTreeMap<_, _> = checks.iter().map(|check| (text(&check["what"]), text(&check["outcome"]))).collect();
    assert_eq!(all.len(), checks.len(), "each check has a name of its own");
    let count = |word: &str| all.values().filter(|outcome| *outcome == word).count() as u64;
    assert_eq!(report["passed"].as_u64(), Some(count("passed")));
    assert_eq!(report["failed"].as_u64(), Some(count("failed")));
    assert_eq!(report["not_possible"].as_u64(), Some(count("not possible here")));
    all
}

fn is_wine() -> bool {
    std::env::var_os("HARDBACK_TEST_WINE").is_some()
}

/// What every system and volume that tests run on can do.
const ALWAYS: [&str; 8] = [
    "a first backup",
    "a second backup links all that did not change",
    "both snapshots verify, against the source too",
    "a restore",
    "name with an emoji",
    "path longer than 260 characters",
    "names of one file",
    "all that was made is removed",
];

#[test]
fn it_leaves_nothing_and_its_exit_code_is_that_of_its_checks() {
    let env = TestEnvironment::new();
    env.make_dir("here");
    let code = if is_wine() { 1 } else { 0 };
    if cfg!(windows) && !is_wine() {
        // A real Windows: what comes of it is for its own report, in .github/workflows/windows.yml.
        return;
    }
    let output = env.hardback(&["--json", "selftest", "--folder", "here"]).exits(code);
    let found = outcomes(&output.stdout);
    for what in ALWAYS {
        assert_eq!(found[what], "passed", "{what}: {}", output.stdout);
    }
    assert_eq!(env.names("here"), Vec::<String>::new());
    assert!(!output.stderr.contains("\"event\":\"problem\""), "{}", output.stderr);
    let output = env.hardback(&["selftest", "--folder", "here"]).exits(code);
    assert!(output.stdout.contains("\n  passed        a restore\n"), "{}", output.stdout);
    assert!(!output.stdout.contains("$TMP"), "names a path above the folder:\n{}", output.stdout);
    assert_eq!(output.stdout.contains("\nFAILED: "), is_wine(), "{}", output.stdout);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_no_report() {
    let env = TestEnvironment::new();
    let output = env.hardback(&["selftest", "--folder", "nowhere"]).exits(1);
    assert!(output.stdout.is_empty() && output.stderr.contains("nowhere"), "{}", output.stderr);
}

/// Wine says of each of these that it did it, or does something else; see also that they can pass, on a real system.
#[test]
fn what_wine_only_plays_is_not_passed() {
    const NOT_THERE: [&str; 18] = [
        "symlink to a file",
        "symlink to a folder",
        "symlink to nothing",
        "sparse file",
        "time of creation",
        "alternate stream, small",
        "alternate stream of 100 kB",
        "extended attribute (EA)",
        "access list with a deny entry, protected",
        "owner of another computer",
        "audit list (SACL)",
        "file that is closed to all",
        "junction",
        "compressed file in a compressed folder",
        "encrypted file (EFS), stored in plain and listed",
        "encrypted file (EFS), stored raw",
        "names of one file, up to the limit of the volume",
        "a shadow copy is made, read and removed",
    ];
    if !is_wine() {
        return;
    }
    let env = TestEnvironment::new();
    env.make_dir("here");
    let output = env.hardback(&["--json", "selftest", "--folder", "here"]).exits(1);
    let found = outcomes(&output.stdout);
    for what in NOT_THERE {
        assert_ne!(found[what], "passed", "{what}: {}", output.stdout);
    }
}

#[test]
#[cfg(unix)]
fn without_rights_it_says_what_needs_them() {
    let env = TestEnvironment::new();
    env.make_dir("here");
    std::fs::set_permissions(env.path("here"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let output = env.hardback_as_nobody(&["selftest", "--folder", "here"]).exits(0);
    let said = output.stdout;
    if env.is_root() {
        assert!(said.contains("(needs root, or to be elevated)\n"), "{said}");
    }
    assert!(said.contains("  rights  neither root nor elevated\n"), "{said}");
    assert!(
        said.contains("  not possible  owner of another computer (numbers) (needs root, or to be elevated)\n"),
        "{said}"
    );
    assert!(said.contains("  passed        permission bits\n"), "{said}");
    assert_eq!(env.names("here"), Vec::<String>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn on_ntfs_that_linux_mounts_what_the_volume_answers_comes_back() {
    use hardback_testing::volume::{Volume, VolumeKind};
    let volume = match Volume::mount_with(VolumeKind::Ntfs3g, 64, ",permissions,compression") {
        Ok(volume) => volume,
        Err(why) => hardback_testing::skip!("{why}"),
    };
    let env = TestEnvironment::new();
    let here = volume.dir("here");
    let output = env.hardback(&["--json", "selftest", "--folder", here.to_str().unwrap()]).exits(0);
    let found = outcomes(&output.stdout);
    let on_ntfs = ["name with half a surrogate pair", "name of 255 characters of two bytes", "alternate stream, small"];
    for what in ALWAYS.into_iter().chain(on_ntfs) {
        assert_eq!(found[what], "passed", "{what}: {}", output.stdout);
    }
    assert_eq!(found["name that is no UTF-8"], "not possible here");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
    assert!(!output.stdout.contains(volume.root().to_str().unwrap()), "{}", output.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn on_btrfs_a_shadow_copy_is_made_read_and_removed() {
    use hardback_testing::volume;
    use hardback_testing::volume::{Volume, VolumeKind};
    let volume: Volume = volume!(VolumeKind::Btrfs, 300);
    let env = TestEnvironment::new();
    let here = volume.root().to_str().unwrap().to_owned();
    let output = env.hardback(&["--json", "selftest", "--folder", &here]).exits(0);
    assert_eq!(outcomes(&output.stdout)["a shadow copy is made, read and removed"], "passed", "{}", output.stdout);
    assert!(output.stdout.contains("\"1 made, within "), "{}", output.stdout);
    let listed = hardback_testing::run!("btrfs", "subvolume", "list", volume.root());
    assert_eq!(listed, "", "nothing stays");
}
