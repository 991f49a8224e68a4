//! The real binary in a temporary directory: wiring, messages, exit codes. What the verbs do is tested in the engine.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]

mod environment;

use environment::TestEnvironment;
use serde_json::Value;

#[test]
fn first_backup_makes_the_target_and_says_what_to_try_next() {
    let env = TestEnvironment::new();
    env.write("source/letter", "dear");
    let output = env.hardback(&["backup", "source", "target", "--same-disk", "--job", "laptop"]).exits(0);
    assert_eq!(output.stderr, "$TMP/target is a new target\n");
    let place = env.only_snapshot("target/laptop");
    // A shell of Windows needs quotes around its paths, and the program is named as it was called.
    let said = output.stdout.replace('\'', "");
    for end in [
        format!("{} $TMP/target/laptop/{place}", if cfg!(windows) { "dir" } else { "ls" }),
        " snapshots $TMP/target".to_owned(),
        " restore $TMP/target source --job laptop --to DIR".to_owned(),
        " verify $TMP/target".to_owned(),
    ] {
        assert!(said.lines().any(|line| line.ends_with(&end)), "{end} in {said}");
    }
    assert_eq!(env.read(&format!("target/laptop/{place}/source/letter")), "dear");

    let output = env.hardback(&["backup", "source", "target", "--same-disk", "--job", "laptop"]).exits(0);
    assert!(!output.stdout.contains("Try next"), "{}", output.stdout);
    assert_eq!(output.stderr, "");
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let env = TestEnvironment::with_target();
    let output = env.hardback(&["-q", "backup", "source", "target", "--same-disk"]).exits(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
}

#[test]
fn usage_errors_exit_2() {
    let env = TestEnvironment::with_target();
    for args in [
        &["backup", "source"][..],
        &["backup", "--as", "x", "source", "target"],
        &["backup", "source", "target", "--max-size-file", "5X"],
        &["backup", "source", "target", "--job", "a/b"],
        &["backup", "source", "target", "--exclude", "[a"],
        &["backup", "source", "target", "--preset", "nonsense"],
        &["backup", "source", "--as", "x", "target", "--root"],
        &["restore", "target"],
        &["restore", "target", "--to", "x", "--in-place"],
        &["verify", "target", "--quick", "--full"],
        &["du", "target", "--depth", "x"],
        &["nonsense"],
    ] {
        let output = env.hardback(args).exits(2);
        assert!(output.stderr.starts_with("error: "), "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[test]
fn an_error_tells_cause_and_hint() {
    let env = TestEnvironment::new();
    env.write("source/a", "");
    let output = env.hardback(&["snapshots", "nowhere"]).exits(1);
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(lines[0], "error: cannot open the folder $TMP/nowhere");
    assert!(lines[1].starts_with("caused by: "), "{lines:?}");

    let output = env.hardback(&["backup", "source", "target", "--preset", "nonsense"]).exits(2);
    let expected = "error: there is no exclude preset 'nonsense'\nhint: the presets are linux-home, ";
    assert!(output.stderr.starts_with(expected), "{}", output.stderr);
}

#[test]
fn a_folder_that_holds_other_things_is_no_target() {
    let env = TestEnvironment::new();
    env.write("source/a", "");
    env.write("target/my own file", "");
    let output = env.hardback(&["backup", "source", "target", "--same-disk"]).exits(1);
    let expected = "error: $TMP/target is not empty and no backup target\n\
                    hint: give an empty or new folder, or make it a target on purpose with `hardback init \
                    $TMP/target`\n";
    assert_eq!(output.stderr, expected);
    let dry_run = env.hardback(&["backup", "source", "target", "--same-disk", "--dry-run"]).exits(1);
    assert_eq!(dry_run.stderr, expected);
    assert_eq!(env.names("target"), ["my own file"]);

    let output = env.hardback(&["init", "target"]).exits(0);
    let expected = "note: $TMP/target was not empty; what is in it stays, beside the snapshots\n";
    assert_eq!(output.stderr, expected);
    env.hardback(&["backup", "source", "target", "--same-disk"]).exits(0).ignore();
}

#[test]
fn a_target_that_lost_its_marker_is_refused_until_the_user_says_new_disk() {
    let env = TestEnvironment::with_target();
    env.remove("target");
    for (name, args) in [
        ("missing", &["backup", "source", "target", "--same-disk"][..]),
        ("missing", &["init", "target"]),
        ("missing", &["snapshots", "target"]),
        ("empty", &["backup", "source", "target", "--same-disk"]),
        // An empty mount point is on the disk of its folder: that is not what is wrong.
        ("empty", &["backup", "source", "target"]),
        ("empty", &["backup", "source", "target", "--same-disk", "--dry-run"]),
        ("empty", &["init", "target"]),
        ("empty", &["snapshots", "target"]),
        ("empty", &["restore", "target", "--to", "out"]),
    ] {
        if name == "empty" {
            env.make_dir("target");
        }
        let output = env.hardback(args).exits(1);
        assert!(output.stderr.contains("was target "), "{}", output.stderr);
        let hint =
            "hint: mount the disk; if this really is a new disk, say so with `hardback init --new-disk $TMP/target`";
        assert!(output.stderr.contains(hint), "{}", output.stderr);
    }
    assert_eq!(env.names("target"), [""; 0]);
    env.hardback(&["init", "target", "--new-disk"]).exits(0).ignore();
    env.hardback(&["backup", "source", "target", "--same-disk"]).exits(0).ignore();
}

#[test]
fn there_is_no_target_inside_a_target() {
    let env = TestEnvironment::with_target();
    let before = (env.names("target"), env.names("target/host"));
    for inside in ["target/new", "target/host", "target/host/new"] {
        for args in [
            &["init", inside][..],
            &["backup", "source", inside, "--same-disk"],
            &["backup", "source", inside, "--same-disk", "--dry-run"],
        ] {
            let output = env.hardback(args).exits(1);
            let expected = format!(
                "error: $TMP/{inside} is inside a backup target\n\
                 hint: $TMP/target is one: give that, or a folder elsewhere\n"
            );
            assert_eq!(output.stderr, expected);
        }
    }
    assert_eq!((env.names("target"), env.names("target/host")), before);
    let output = env.hardback(&["snapshots", "target/host"]).exits(1);
    assert!(output.stderr.contains("\nhint: $TMP/target is one, and this is in it: give that\n"), "{}", output.stderr);
    let output = env.hardback(&["snapshots", "source"]).exits(1);
    let hint = "\nhint: is the disk mounted? `hardback init $TMP/source` makes a new target\n";
    assert!(output.stderr.contains(hint), "{}", output.stderr);
}

#[test]
fn the_same_disk_must_be_allowed_and_nothing_is_made_before() {
    let env = TestEnvironment::new();
    env.write("source/a", "");
    let output = env.hardback(&["backup", "source", "target"]).exits(1);
    assert!(output.stderr.contains("on the same volume as the source $TMP/source"), "{}", output.stderr);
    assert!(output.stderr.contains("--same-disk"), "{}", output.stderr);
    assert_eq!(env.names(""), ["source"]);
}

#[test]
fn a_source_that_is_missing_or_empty_makes_no_target() {
    let env = TestEnvironment::new();
    env.make_dir("empty");
    for (source, what) in
        [("missing", "cannot open the folder $TMP/missing"), ("empty", "the source of empty is empty")]
    {
        let output = env.hardback(&["backup", source, "target", "--same-disk"]).exits(1);
        assert!(output.stderr.starts_with(&format!("error: {what}")), "{}", output.stderr);
    }
    assert_eq!(env.names(""), ["empty"]);
    env.hardback(&["backup", "empty", "target", "--same-disk", "--allow-empty"]).exits(0).ignore();
}

#[test]
fn a_target_inside_its_source_is_refused_and_nothing_is_made_before() {
    let env = TestEnvironment::new();
    env.write("source/a", "");
    for target in ["source", "source/target"] {
        let output = env.hardback(&["backup", "source", target, "--same-disk"]).exits(1);
        assert!(output.stderr.contains("the target is inside the source $TMP/source"), "{}", output.stderr);
    }
    assert_eq!(env.names("source"), ["a"]);
}

#[test]
fn names_of_sources_collide_before_anything_is_made() {
    let env = TestEnvironment::new();
    env.write("a/data/x", "1");
    env.write("b/data/x", "2");
    let output = env.hardback(&["backup", "a/data", "b/data", "target", "--same-disk"]).exits(2);
    assert!(output.stderr.contains("would both become the folder \"data\""), "{}", output.stderr);
    assert!(output.stderr.contains("hint: give each a name of its own with --as NAME"), "{}", output.stderr);
    let same = ["backup", "a/data", "--as", "x", "b/data", "--as", "X", "target", "--same-disk"];
    env.hardback(&same).exits(2).ignore();
    let slash = ["backup", "a/data", "--as", "x/y", "b/data", "target", "--same-disk"];
    env.hardback(&slash).exits(2).ignore();
    assert_eq!(env.names(""), ["a", "b"]);

    let good = ["backup", "a/data", "--as", "one", "b/data", "target", "--same-disk", "--job", "j"];
    env.hardback(&good).exits(0).ignore();
    let snapshot = format!("target/j/{}", env.only_snapshot("target/j"));
    assert_eq!(env.names(&snapshot), ["data", "one"]);
    assert_eq!(env.read(&format!("{snapshot}/one/x")), "1");
}

#[test]
fn root_puts_the_content_at_the_top() {
    let env = TestEnvironment::new();
    env.write("source/a", "");
    env.hardback(&["backup", "--root", "source", "target", "--same-disk", "--job", "j"]).exits(0).ignore();
    assert_eq!(env.names(&format!("target/j/{}", env.only_snapshot("target/j"))), ["a"]);
    env.write("other/a", "");
    env.hardback(&["backup", "--root", "source", "other", "target", "--same-disk"]).exits(2).ignore();
}

#[test]
fn a_second_run_at_the_same_time_exits_4() {
    let env = TestEnvironment::with_target();
    let lock = std::fs::File::options().append(true).create(true).open(env.path("target/.hardback/lock")).unwrap();
    lock.lock().unwrap();
    let output = env.hardback(&["backup", "source", "target", "--same-disk"]).exits(4);
    assert!(output.stderr.starts_with("error: another run is at work on the target"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: wait for it to end"), "{}", output.stderr);
    drop(lock);
    env.hardback(&["backup", "source", "target", "--same-disk"]).exits(0).ignore();
}

#[test]
fn a_dry_run_writes_nothing_and_names_what_it_would_copy() {
    let env = TestEnvironment::with_target();
    env.write("source/new", "12345");
    let before = env.names("target");
    let output = env.hardback(&["backup", "source", "target", "--same-disk", "--dry-run"]).exits(0);
    assert!(output.stdout.starts_with("Dry run; nothing was written."), "{}", output.stdout);
    assert!(output.stdout.lines().any(|l| l.contains("5 B") && l.contains("source/new")), "{}", output.stdout);
    assert!(output.stdout.contains("\n  new       1 file, 5 B\n"), "{}", output.stdout);
    assert_eq!(env.names("target"), before);
    env.hardback(&["backup", "source", "nowhere", "--same-disk", "--dry-run"]).exits(0).ignore();
    assert_eq!(env.names(""), ["source", "target"]);
}

#[test]
fn excludes_of_all_kinds_leave_out() {
    let env = TestEnvironment::new();
    let text = "0123456789".repeat(10);
    for path in ["keep", "a.o", "b.tmp", "marked/.nobackup", "marked/x", "big", "listed/x"] {
        env.write(&format!("source/{path}"), if path == "big" { &text } else { "" });
    }
    env.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    env.write("source/cache/x", "");
    env.write("list", "# not needed\n/listed\n");
    let excluded = env.path("source/b.tmp").display().to_string();
    env.hardback(&[
        "backup",
        "source",
        "target",
        "--same-disk",
        "--job",
        "j",
        "--root",
        "--exclude",
        "*.o",
        "--exclude",
        &excluded,
        "--exclude-from",
        "list",
        "--exclude-if-present",
        ".nobackup",
        "--exclude-caches",
        "--max-size-file",
        "99",
    ])
    .exits(0)
    .ignore();
    let snapshot = format!("target/j/{}", env.only_snapshot("target/j"));
    assert_eq!(env.names(&snapshot), ["cache", "keep", "marked"]);
    assert_eq!(env.names(&format!("{snapshot}/cache")), ["CACHEDIR.TAG"]);
    assert_eq!(env.names(&format!("{snapshot}/marked")), [".nobackup"]);
}

#[test]
fn a_source_that_lost_all_it_had_is_refused_until_the_user_allows_it() {
    let env = TestEnvironment::with_target();
    env.remove("source");
    env.make_dir("source");
    let output = env.hardback(&["backup", "source", "target", "--same-disk"]).exits(1);
    assert!(output.stderr.contains("--allow-empty"), "{}", output.stderr);
    env.hardback(&["backup", "source", "target", "--same-disk", "--allow-empty"]).exits(0).ignore();
}

#[test]
fn snapshots_are_listed_in_columns() {
    let env = TestEnvironment::with_target();
    let output = env.hardback(&["snapshots", "target"]).exits(0);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "job host:");
    assert!(lines[1].starts_with("snapshot             when"), "{lines:?}");
    assert!(lines[2].ends_with(" -"), "{lines:?}");
    let output = env.hardback(&["snapshots", "target", "--job", "other"]).exits(1);
    assert!(output.stderr.contains("there is no job \"other\""), "{}", output.stderr);
}

#[test]
fn diff_tells_what_changed_between_two_snapshots_and_against_the_source() {
    let env = TestEnvironment::with_target();
    let [first, second] = env.two_snapshots();
    let output = env.hardback(&["diff", "target", &first, "latest"]).exits(0);
    let expected = "m source/  (time)\nM source/a  (5 B to 14 B)\n+ source/new  (1 B)\n";
    // Wine has no time of creation: what it tells moves with that of the last change.
    let is_wine = std::env::var_os("HARDBACK_TEST_WINE").is_some();
    let told = |stdout: &str| if is_wine { stdout.replace("(time, xattrs)", "(time)") } else { stdout.to_owned() };
    assert_eq!(told(&output.stdout), expected);
    assert!(output.stderr.starts_with(&format!("from {first} to {second}: 1 added (1 B)")), "{}", output.stderr);
    let output = env.hardback(&["-q", "diff", "target", "latest"]).exits(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    env.write("source/newer", "");
    let output = env.hardback(&["-q", "diff", "target", "latest"]).exits(0);
    assert_eq!(told(&output.stdout), "m source/  (time)\n+ source/newer  (0 B)\n");
    env.write("source/secret.txt", "secret");
    env.hardback(&["backup", "source", "target", "--same-disk", "--exclude", "*.txt"]).exits(0).ignore();
    let output = env.hardback(&["diff", "target", "latest"]).exits(0);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("1 left out by the backup's rules"), "{}", output.stderr);
    env.hardback(&["diff", "target", "someday"]).exits(1).ignore();
}

#[test]
fn a_damaged_seal_is_a_problem_and_hides_no_other_snapshot() {
    let env = TestEnvironment::with_target();
    let [first, second] = env.two_snapshots();
    env.write(&format!("target/.hardback/manifests/host/{second}.seal"), "no seal");
    let problem = format!("1 problem:\n  host/{second} has no whole seal (its seal is damaged)\n");
    for args in [
        &["snapshots", "target"][..],
        &["find", "target", "a"],
        &["versions", "target", "source/a"],
        &["diff", "target", "latest"],
        &["restore", "target", "--to", "out"],
    ] {
        let output = env.hardback(args).exits(3);
        assert!(output.stderr.ends_with(&problem), "{args:?}: {}", output.stderr);
        let output = env.hardback(&[&["--json"][..], args].concat()).exits(3);
        let report: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
        let told = (&report["problems"], &report["first_problems"][0]["path"]);
        assert_eq!(told, (&1.into(), &format!("host/{second}").into()), "{args:?}");
    }
    let output = env.hardback(&["verify", "target", "latest"]).exits(3);
    assert!(output.stderr.contains(&format!("  {second} has no whole seal")), "{}", output.stderr);
    // What was not asked for is no problem.
    env.hardback(&["restore", "target", "--to", "out", "--at", &first]).exits(0).ignore();
    env.hardback(&["verify", "target", &first]).exits(0).ignore();
    let output = env.hardback(&["restore", "target", "--to", "out", "--at", &second]).exits(1);
    assert!(output.stderr.contains("hint: its files are plain files"), "{}", output.stderr);

    let output = env.hardback(&["backup", "source", "target", "--same-disk"]).exits(0);
    assert!(output.stderr.contains(&format!("note: snapshot {second} is left alone")), "{}", output.stderr);
}

#[test]
fn versions_tells_each_version_of_a_path_once() {
    let env = TestEnvironment::with_target();
    let [first, second] = env.two_snapshots();
    let lines = env.hardback(&["versions", "target", "source/a"]).exits(0).stdout;
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with(&first) && lines[1].ends_with("5 B  first version"), "{lines:?}");
    assert!(lines[2].starts_with(&second) && lines[2].ends_with("14 B  content"), "{lines:?}");
    let output = env.hardback(&["versions", "target", "source/b"]).exits(1);
    assert_eq!(
        output.stderr,
        "error: no snapshot has source/b\nhint: the nearest folder is source; `hardback find` looks in all snapshots\n"
    );
    let output = env.hardback(&["versions", "target", "a"]).exits(1);
    assert_eq!(output.stderr, "error: no snapshot has a\nhint: did you mean source/a?\n");
    env.hardback(&["versions", "target", "../a"]).exits(1).ignore();
}

#[test]
fn find_tells_where_a_name_is() {
    let env = TestEnvironment::with_target();
    let [_, second] = env.two_snapshots();
    let output = env.hardback(&["find", "target", "new"]).exits(0);
    assert!(output.stdout.starts_with(&second) && output.stdout.ends_with("  source/new\n"), "{}", output.stdout);
    assert_eq!(output.stderr, "1 path in 2 snapshots\n");
    let output = env.hardback(&["find", "target", "NEW"]).exits(0);
    assert_eq!(output.stderr, "0 paths in 2 snapshots\n");
    for option in ["-i", "--ignore-case"] {
        let output = env.hardback(&["find", "target", "NEW", option]).exits(0);
        assert_eq!(output.stderr, "1 path in 2 snapshots\n");
    }
    env.hardback(&["find", "target", "[a"]).exits(2).ignore();
}

#[test]
fn restore_brings_back_a_path_and_keeps_what_is_there() {
    let env = TestEnvironment::with_target();
    let [first, second] = env.two_snapshots();
    let output = env.hardback(&["restore", "target", "source/a", "--to", "out"]).exits(0);
    let expected = format!("Restored from snapshot {second} of job host to $TMP/out:\n");
    assert!(output.stdout.starts_with(&expected), "{}", output.stdout);
    assert_eq!(env.names("out/source"), ["a"]);

    env.hardback(&["restore", "target", "--at", &first, "--to", "out"]).exits(0).ignore();
    assert_eq!(env.read("out/source/a"), "second version");
    let dry = ["restore", "target", "--at", &first, "--to", "out", "--overwrite", "always", "--dry-run"];
    let output = env.hardback(&dry).exits(0);
    assert!(output.stdout.contains("  replace     source/a\n"), "{}", output.stdout);
    assert_eq!(env.read("out/source/a"), "second version");
    env.hardback(&dry[..dry.len() - 1]).exits(0).ignore();
    assert_eq!(env.read("out/source/a"), "first");

    env.write("source/newest", "");
    env.hardback(&["restore", "target", "source", "--at", &first, "--in-place", "--overwrite", "always", "--delete"])
        .exits(0)
        .ignore();
    assert_eq!(env.read("source/a"), "first");
    assert!(!env.names("source").contains(&"newest".to_owned()));

    let names = env.names("");
    for (path, hint) in [
        ("a", "did you mean source/a?"),
        ("source/none", "the nearest folder is source;"),
        ("source/an", "source has a"),
    ] {
        for place in [&["--to", "new"][..], &["--to", "new/deep"], &["--to", "new", "--dry-run"], &["--in-place"]] {
            let output = env.hardback(&[&["restore", "target", path][..], place].concat()).exits(1);
            let expected = format!("error: {path} is not in snapshot {second} of job ");
            assert!(output.stderr.starts_with(&expected), "{}", output.stderr);
            assert!(output.stderr.contains(&format!("\nhint: {hint}")), "{}", output.stderr);
        }
    }
    assert_eq!(env.names(""), names);
    // As it is written where it was backed up from.
    let full = env.path("source/a").display().to_string();
    let output = env.hardback(&["restore", "target", &full, "--to", "new"]).exits(1);
    assert!(cfg!(windows) || output.stderr.ends_with("\nhint: did you mean source/a?\n"), "{}", output.stderr);
    let output = env.hardback(&["restore", "target", "source/a", "a", "--to", "new"]).exits(3);
    let expected = "(there is no such path in the snapshot; did you mean source/a?)";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    env.hardback(&["restore", "target", "--to", "out", "--overwrite", "ask"]).exits(2).ignore();
}

#[test]
fn restore_with_delete_protects_what_the_backup_left_out() {
    let env = TestEnvironment::new();
    for path in ["keep", "a.o", "sub/b.o", "listed/x"] {
        env.write(&format!("source/{path}"), path);
    }
    env.write("source/listed/.hardbackignore", "x\n");
    let backup = ["backup", "source", "target", "--same-disk", "--exclude", "*.o", "--json"];
    let output = env.hardback(&backup).exits(0);
    let report: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(report["excluded"], 3);
    env.write("source/new", "");

    let restore = ["restore", "target", "source", "--in-place", "--delete"];
    let with = |more: &[&str]| env.hardback(&[&restore[..], more].concat());
    let output = with(&["--dry-run", "--exclude", "new"]).exits(0);
    assert!(!output.stdout.contains("delete"), "{}", output.stdout);

    let output = with(&[]).exits(0);
    assert!(output.stdout.contains("  delete      source/new\n"), "{}", output.stdout);
    assert_eq!(env.names("source"), ["a.o", "keep", "listed", "sub"]);
    assert_eq!(env.names("source/sub"), ["b.o"]);
    assert_eq!(env.names("source/listed"), [".hardbackignore", "x"]);

    for wrong in [&["--delete-excluded", "--exclude", "*.o"][..], &["--exclude", "[a"]] {
        with(wrong).exits(2).ignore();
    }
    env.hardback(&["restore", "target", "--in-place", "--exclude", "*.o"]).exits(2).ignore();
    env.hardback(&["restore", "target", "--in-place", "--delete-excluded"]).exits(2).ignore();

    with(&["--delete-excluded"]).exits(0).ignore();
    assert_eq!(env.names("source"), ["keep", "listed", "sub"]);
    assert_eq!(env.names("source/listed"), [".hardbackignore"]);
}

#[test]
fn a_restore_that_makes_nothing_does_not_say_that_it_made_something() {
    let env = TestEnvironment::with_target();
    let restore = ["restore", "target", "--in-place", "--overwrite", "always", "--no-keep"];
    let output = env.hardback(&restore).exits(0);
    assert!(!output.stdout.contains("made") && output.stdout.contains("  unchanged  "), "{}", output.stdout);
    env.write("source/a", "edited");
    let output = env.hardback(&restore).exits(0);
    assert!(!output.stdout.contains("made"), "{}", output.stdout);
    assert!(
        output.stdout.contains("  replaced   1\n") && output.stdout.contains("  written    5 B\n"),
        "{}",
        output.stdout
    );
}

#[test]
fn restore_without_keeping_leaves_nothing_beside() {
    let env = TestEnvironment::with_target();
    env.write("source/a", "edited");
    let restore = ["restore", "target", "--in-place", "--overwrite", "always", "--no-keep", "--numeric-owner"];
    env.hardback(&restore).exits(0).ignore();
    assert_eq!((env.names("source"), env.read("source/a")), (vec!["a".to_owned()], "first".to_owned()));
}

#[test]
fn verify_finds_damage_and_exits_3() {
    let env = TestEnvironment::with_target();
    let [first, second] = env.two_snapshots();
    let output = env.hardback(&["verify", "target"]).exits(0);
    assert!(output.stdout.starts_with("All is well: 2 snapshots, "), "{}", output.stdout);
    env.write("source/a", "third version");
    env.write("nothing/a", "a");
    env.hardback(&["backup", "nothing", "elsewhere", "--same-disk"]).exits(0).ignore();
    let output = env.hardback(&["verify", "elsewhere", "--against-source"]).exits(0);
    let compared = format!("\nNothing changed at the source since {}.\n", env.only_snapshot("elsewhere/host"));
    assert!(output.stdout.ends_with(&compared), "{}", output.stdout);
    let output = env.hardback(&["verify", "target", "latest", "--quick", "--against-source"]).exits(0);
    assert!(output.stdout.contains(&format!(" changed at the source since {second}:\n")), "{}", output.stdout);
    assert!(output.stdout.contains("\n  source/a\n"), "{}", output.stdout);

    env.write(&format!("target/host/{first}/source/a"), "FIRST");
    env.hardback(&["verify", "target", &second]).exits(0).ignore();
    let output = env.hardback(&["-q", "verify", "target", "--full"]).exits(3);
    assert!(output.stderr.contains(&format!("  {first}/source/a is damaged")), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn filter_explain_names_the_rule() {
    let env = TestEnvironment::new();
    env.write("source/build/x.o", "");
    let explain = |args: &[&str]| env.hardback(&[&["filter", "explain"][..], args].concat()).exits(0).stdout;
    let excluded = explain(&["build", "--source", "source", "--exclude", "build/"]);
    assert_eq!(excluded, "build: excluded\n  excludes: --exclude 'build/'\n");
    let included = explain(&["source/build/x.o", "--exclude", "*.c"]);
    assert_eq!(included, "source/build/x.o: included\n  no rule matches\n");
    let dir_by_slash = explain(&["not/there/", "--exclude", "there/"]);
    assert!(dir_by_slash.starts_with("not/there: excluded"), "{dir_by_slash}");
    env.write("source/build/.hardbackignore", "*.o\n");
    let by_list = explain(&["build/x.o", "--source", "source"]);
    assert_eq!(by_list, "build/x.o: excluded\n  excludes: '*.o' (build/.hardbackignore:1)\n");
    let without = explain(&["build/x.o", "--source", "source", "--no-ignore-files"]);
    assert_eq!(without, "build/x.o: included\n  no rule matches\n");
    env.write("source/large", &"x".repeat(2000));
    let by_size = explain(&["large", "--source", "source", "--max-size-file", "1K"]);
    assert_eq!(by_size, "large: excluded\n  excludes: --max-size-file\n");
    let small = explain(&["large", "--source", "source", "--max-size-file", "2K"]);
    assert_eq!(small, "large: included\n  no rule matches\n");
    let output = env.hardback(&["filter", "explain", "large", "--source", "none"]).exits(2);
    assert!(output.stderr.contains("there is no source $TMP/none"), "{}", output.stderr);
    let output = env.hardback(&["filter", "explain", "/etc", "--source", "source"]).exits(2);
    assert!(output.stderr.contains("is not below the source"), "{}", output.stderr);
}

#[test]
fn presets_are_printed() {
    let env = TestEnvironment::new();
    let all = env.hardback(&["filter", "presets"]).exits(0).stdout;
    assert!(all.contains("linux-home") && all.contains("developer"), "{all}");
    let one = env.hardback(&["filter", "presets", "linux-home"]).exits(0).stdout;
    assert!(one.lines().any(|line| line.starts_with('#')), "{one}");
    env.hardback(&["filter", "presets", "nonsense"]).exits(2).ignore();
}

#[test]
fn completions_and_man_pages_cover_every_command() {
    let env = TestEnvironment::new();
    let script = env.hardback(&["completions", "bash"]).exits(0).stdout;
    let page = env.hardback(&["man"]).exits(0).stdout;
    env.hardback(&["man", "--out", "pages/man1"]).exits(0).ignore();
    let pages = env.names("pages/man1");
    for command in ["init", "backup", "snapshots", "diff", "versions", "find", "restore", "verify", "du", "filter"] {
        assert!(script.contains(command), "{command}");
        assert!(page.contains(command), "{command}");
        assert!(pages.contains(&format!("hardback-{command}.1")), "{pages:?}");
    }
    env.write("file", "");
    let output = env.hardback(&["man", "--out", "file/man1"]).exits(1);
    assert!(output.stderr.contains("file") && output.stderr.contains("\nhint: "), "{}", output.stderr);
}

#[test]
fn json_is_one_report_on_stdout_and_events_on_stderr() {
    let env = TestEnvironment::with_target();
    let output = env.hardback(&["--json", "backup", "source", "target", "--same-disk"]).exits(0);
    let report: Value = serde_json::from_str(&output.stdout).expect("one line");
    assert_eq!((&report["schema"], &report["report"], &report["exit"]), (&1.into(), &"backup".into(), &0.into()));
    assert_eq!(report["base"].as_str(), env.names("target/host").first().map(String::as_str));
    for line in output.stderr.lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        assert_eq!(event["schema"], 1);
        assert!(event["event"].is_string(), "{line}");
    }

    let output = env.hardback(&["--json", "snapshots", "nowhere"]).exits(1);
    let report: Value = serde_json::from_str(&output.stdout).expect("one line");
    assert_eq!((&report["report"], &report["exit"]), (&"error".into(), &1.into()));
}

#[test]
fn every_json_field_is_documented() {
    let env = TestEnvironment::with_target();
    env.write("source/new", "x");
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md")).unwrap();
    let documented = |line: &str| {
        let mut keys = Vec::new();
        collect_keys(&serde_json::from_str(line).expect("JSON"), &mut keys);
        for key in keys {
            assert!(docs.contains(&format!("| `{key}` |")), "docs/json.md lacks {key} of {line}");
        }
    };
    for args in [
        &["init", "other"][..],
        &["backup", "source", "target", "--same-disk", "--dry-run"],
        &["backup", "source", "target", "--same-disk"],
        &["snapshots", "target"],
        &["filter", "explain", "x.o", "--exclude", "*.o"],
        &["filter", "presets"],
        &["snapshots", "nowhere"],
        &["diff", "target", "latest"],
        &["versions", "target", "source/a"],
        &["find", "target", "new"],
        &["restore", "target", "--to", "out"],
        &["restore", "target", "--in-place", "--overwrite", "always", "--dry-run"],
        &["verify", "target", "--sample", "50%"],
        &["pin", "target", "latest", "--comment", "x"],
        &["tag", "target", "latest", "x"],
        &["prune", "target", "--keep-last", "1", "--dry-run"],
        &["backup", "source", "target", "--same-disk", "--keep-last", "1"],
        &["prune", "target", "--finish"],
        &["unpin", "target", "latest"],
        &["selftest", "--folder", "."],
        &["du", "target", "latest", "--depth", "1"],
        &["du", "target"],
        &["purge", "target", "source/new"],
        &["scrub", "target"],
        &["backup", "source", "target", "--same-disk", "--scrub", "100%"],
        &["drill", "target"],
    ] {
        let output = env.hardback(&[&["--json"][..], args].concat());
        output.stdout.lines().chain(output.stderr.lines()).for_each(documented);
    }
    damage(&env, "source/a");
    for args in [&["verify", "target"][..], &["scrub", "target", "--share", "100%"], &["repair", "target"]] {
        let output = env.hardback(&[&["--json"][..], args].concat()).exits(3);
        assert!(output.stdout.contains("\"why\""), "{}", output.stdout);
        output.stdout.lines().chain(output.stderr.lines()).for_each(documented);
    }
}

/// Changes the content of a stored file, in all snapshots that share it.
fn damage(env: &TestEnvironment, path: &str) {
    let snapshots = env.path("target/host");
    let mut names: Vec<_> = std::fs::read_dir(&snapshots).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let stored = snapshots.join(&names[0]).join(path);
    let content = std::fs::read(&stored).unwrap();
    let time = std::fs::metadata(&stored).unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).truncate(true).open(&stored).unwrap();
    std::io::Write::write_all(&mut &file, &content.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn a_scrub_behind_a_backup_tells_damage_and_exits_3() {
    let env = TestEnvironment::with_target();
    env.write("source/other", "other");
    env.hardback(&["backup", "source", "target", "--same-disk", "--scrub", "100%"]).exits(0).ignore();
    damage(&env, "source/a");
    let output = env.hardback(&["backup", "source", "target", "--same-disk", "--scrub", "100%"]).exits(3);
    assert!(output.stdout.contains("is complete"), "{}", output.stdout);
    assert!(output.stdout.contains("Not all is well"), "{}", output.stdout);
    assert!(output.stderr.contains("source/a is damaged"), "{}", output.stderr);
    let output = env.hardback(&["repair", "target", "--recorded"]).exits(3);
    assert!(output.stderr.contains("--from-source takes it from there"), "{}", output.stderr);
    let output = env.hardback(&["repair", "target", "--recorded", "--from-source"]).exits(0);
    assert!(output.stdout.contains("Repaired: 1 damaged file with 3 names"), "{}", output.stdout);
    env.hardback(&["verify", "target"]).exits(0).ignore();
    env.hardback(&["scrub", "target", "--share", "100%"]).exits(0).ignore();
    let output = env.hardback(&["repair", "target", "--recorded"]).exits(0);
    assert!(output.stdout.contains("Nothing was repaired"), "{}", output.stdout);
}

#[test]
fn a_drill_leaves_nothing_behind_but_where_it_is_told_to() {
    let env = TestEnvironment::with_target();
    let output = env.hardback(&["drill", "target"]).exits(0);
    // Under Wine the place cannot keep all of it.
    assert!(output.stdout.contains("came back as it was backed up: 1 file"), "{}", output.stdout);
    let output = env.hardback(&["drill", "target", "--to", "try", "--files", "3"]).exits(0);
    assert!(output.stdout.contains("the files are in"), "{}", output.stdout);
    assert!(env.path("try").is_dir());
    env.hardback(&["drill", "target", "--to", "try"]).exits(1).ignore();
    damage(&env, "source/a");
    let output = env.hardback(&["drill", "target"]).exits(3);
    assert!(output.stderr.contains("source/a is damaged"), "{}", output.stderr);
}

fn collect_keys(value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                keys.push(key.clone());
                collect_keys(value, keys);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[cfg(unix)]
#[test]
fn a_run_as_root_in_between_stops_no_run_of_the_user() {
    let env = TestEnvironment::new();
    env.write("source/a", "a");
    let backup = ["backup", "source", "target", "--same-disk"];
    env.hardback_as_nobody(&backup).exits(0).ignore();
    env.hardback(&backup).exits(0).ignore();
    // Without root both runs are the same user's, and the test says little.
    let exit = if env.is_root() { 3 } else { 0 };
    let output = env.hardback_as_nobody(&["snapshots", "target"]).exits(exit);
    assert_eq!(output.stderr.contains("could not be read (its seal cannot be read: Permission denied"), exit == 3);
    env.hardback_as_nobody(&backup).exits(0).ignore();

    // A job of root's is closed as a whole.
    env.hardback(&["backup", "source", "target", "--same-disk", "--job", "system"]).exits(0).ignore();
    let all_jobs =
        [&["snapshots", "target"][..], &["find", "target", "a"], &["verify", "target", "--quick"], &["du", "target"]];
    for args in all_jobs {
        let output = env.hardback_as_nobody(args).exits(exit);
        let told = output.stderr.contains("  system could not be read (cannot open the folder: Permission denied");
        assert_eq!(told, exit == 3, "{args:?}: {}", output.stderr);
    }
    env.hardback_as_nobody(&backup).exits(0).ignore();
    env.hardback_as_nobody(&["diff", "target", "latest", "--job", "host"]).exits(0).ignore();
}

#[cfg(unix)]
#[test]
fn unreadable_directory_is_a_problem_and_exit_3() {
    let env = TestEnvironment::new();
    env.write("source/readable", "a");
    env.write("source/closed/b", "b");
    env.close_to_others("source/closed");
    let output = env.hardback_as_nobody(&["backup", "source", "target", "--same-disk", "-q"]).exits(3);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("1 problem:\n  source/closed could not be read"), "{}", output.stderr);
    let output = env.hardback_as_nobody(&["--json", "backup", "source", "target", "--same-disk"]).exits(3);
    let report: Value = serde_json::from_str(&output.stdout).expect("one line");
    assert_eq!((&report["problems"], &report["first_problems"][0]["path"]), (&1.into(), &"source/closed".into()));
    assert!(output.stderr.contains("\"event\":\"problem\""), "{}", output.stderr);

    let output = env.hardback(&["verify", "target"]).exits(0);
    assert!(output.stdout.starts_with("All that was stored is well: 2 snapshots"), "{}", output.stdout);
    assert_eq!(output.stdout.matches("note: 1 entry was missing or not exact when 20").count(), 2);
    let output = env.hardback(&["--json", "verify", "target"]).exits(0);
    let report: Value = serde_json::from_str(&output.stdout).expect("one line");
    assert_eq!(report["incomplete"][1]["problems"], 1);
    let output = env.hardback(&["restore", "target", "--to", "out"]).exits(3);
    assert!(output.stderr.contains("source/closed could not be restored"), "{}", output.stderr);
}
