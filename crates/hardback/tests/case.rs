//! The real binary on sources whose volume takes `Cache` and `CACHE` for one name, and on others.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]

mod environment;

use environment::TestEnvironment;

/// Asks the volume with other code than the product's.
fn ignores_case(env: &TestEnvironment) -> bool {
    std::fs::metadata(env.path("source/cACHE")).is_ok()
}

/// What is in the only snapshot's folder of the source.
fn stored(env: &TestEnvironment) -> Vec<String> {
    let snapshot = env.only_snapshot("target/host");
    env.names(&format!("target/host/{snapshot}/source"))
}

fn source() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("source/Cache/x", "x");
    env.write("source/Straße/x", "x");
    env.write("source/ÄPFEL.txt", "x");
    env.write("source/keep", "x");
    env
}

const ALL: [&str; 4] = ["Cache", "Straße", "keep", "ÄPFEL.txt"];

#[test]
fn patterns_of_a_user_match_in_any_case_where_the_volume_ignores_it() {
    let env = source();
    let args = ["backup", "source", "target", "--same-disk", "--exclude", "/cache/", "--exclude", "*pfel.TXT"];
    env.hardback(&args).exits(0).ignore();
    let left_in: &[&str] = if ignores_case(&env) { &["Straße", "keep"] } else { &ALL };
    assert_eq!(stored(&env), left_in);
}

#[test]
fn lists_in_files_and_in_folders_and_markers_do_as_the_volume_does() {
    let env = source();
    env.write("list", "KEEP\n");
    env.write("source/.hardbackignore", "/STRASSE\n/STRAßE\n");
    env.write("source/Cache/.NoBackup", "");
    let options = ["--exclude-from", "list", "--exclude-if-present", ".NOBACKUP"];
    let args = [&["backup", "source", "target", "--same-disk"][..], &options].concat();
    env.hardback(&args).exits(0).ignore();
    let mut left_in = stored(&env);
    left_in.retain(|name| !name.starts_with('.'));
    match ignores_case(&env) {
        // `ß` is a letter of its own in the simple folding, not `ss`.
        true => assert_eq!(left_in, ["Cache", "ÄPFEL.txt"]),
        false => assert_eq!(left_in, ALL),
    }
    let snapshot = env.only_snapshot("target/host");
    let in_cache = env.names(&format!("target/host/{snapshot}/source/Cache"));
    assert_eq!(in_cache.contains(&"x".to_owned()), !ignores_case(&env), "{in_cache:?}");
}

#[test]
fn a_pattern_may_spell_the_sources_path_in_another_case() {
    let env = source();
    // On Windows the drive's letter, too: `c:\users` for `C:\Users`.
    let path = env.path("source").display().to_string();
    let path = path.strip_prefix(r"\\?\").unwrap_or(&path);
    let swapped: String =
        path.chars().map(|c| if c.is_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }).collect();
    let separator = if path.contains('\\') { '\\' } else { '/' };
    let pattern = format!("{swapped}{separator}CACHE");
    env.hardback(&["backup", "source", "target", "--same-disk", "--exclude", &pattern]).exits(0).ignore();
    assert_eq!(stored(&env).contains(&"Cache".to_owned()), !ignores_case(&env), "{pattern}");
    let explained =
        env.hardback(&["filter", "explain", "Cache/", "--source", "source", "--exclude", &pattern]).exits(0);
    assert_eq!(explained.stdout.contains("excluded"), ignores_case(&env), "{}", explained.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn on_linux_it_is_the_volume_that_says_so() {
    use hardback_testing::volume;
    use hardback_testing::volume::{Volume, VolumeKind};
    for (kind, any_case) in [(VolumeKind::NtfsFolding, true), (VolumeKind::Ntfs3g, false)] {
        let volume: Volume = volume!(kind, 16);
        let env = TestEnvironment::new();
        let source = volume.dir("source");
        std::fs::write(source.join("Letter.txt"), "x").unwrap();
        std::fs::write(source.join("other"), "x").unwrap();
        let source = source.display().to_string();
        let args = ["backup", &source, "target", "--exclude", "LETTER.*"];
        env.hardback(&args).exits(0).ignore();
        let stored = stored(&env);
        assert_eq!(stored.len(), if any_case { 1 } else { 2 }, "{kind:?}: {stored:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn where_the_volumes_of_the_sources_differ_case_counts_and_that_is_said() {
    use hardback_testing::volume;
    use hardback_testing::volume::{Volume, VolumeKind};
    let volume: Volume = volume!(VolumeKind::NtfsFolding, 16);
    let env = source();
    let folding = volume.dir("folding");
    std::fs::write(folding.join("Letter.txt"), "x").unwrap();
    let folding = folding.display().to_string();
    let args = ["backup", &folding, "source", "target", "--same-disk", "--exclude", "LETTER.*"];
    let said = env.hardback(&args).exits(0).stderr;
    assert!(said.contains("capitals count in all exclude patterns"), "{said}");
    let snapshot = env.only_snapshot("target/host");
    assert_eq!(env.names(&format!("target/host/{snapshot}/folding")).len(), 1);
}
