//! The real binary on shadow copies: exit codes, `with-shadow`, hooks, signals.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]
#![cfg(target_os = "linux")]

mod environment;

use environment::TestEnvironment;
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::{run, volume};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn report(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// A volume with a subvolume in a subvolume.
fn with_subvolumes() -> Result<Volume, String> {
    let volume = Volume::mount(VolumeKind::Btrfs, 300)?;
    for name in ["data", "data/inner"] {
        run!("btrfs", "subvolume", "create", volume.root().join(name));
        std::fs::write(volume.root().join(name).join("file"), name).unwrap();
    }
    Ok(volume)
}

macro_rules! subvolumes {
    () => {
        match with_subvolumes() {
            Ok(volume) => volume,
            Err(why) => hardback_testing::skip!("{why}"),
        }
    };
}

fn list(volume: &Volume) -> String {
    let list = run!("btrfs", "subvolume", "list", volume.root());
    list.lines().map(|line| format!("{}\n", line.rsplit(' ').next().unwrap())).collect()
}

#[test]
fn a_shadow_copy_that_was_asked_for_is_made_or_missed_loudly() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let source = volume.root().join("data").display().to_string();
    let before = list(&volume);
    let args = ["backup", &source, "target", "--hot-window", "0", "--shadow"];
    let dry = env.hardback(&[&args[..], &["always", "--dry-run"]].concat()).exits(0);
    assert!(dry.stdout.contains("Shadow copies of the sources can be made"), "{}", dry.stdout);
    let dry = env.hardback(&[&args[..], &["never", "--dry-run"]].concat()).exits(0);
    assert!(!dry.stdout.contains("hadow"), "{}", dry.stdout);
    let done = env.hardback(&[&args[..], &["always"]].concat()).exits(0);
    assert!(done.stdout.contains("frozen    at "), "{}", done.stdout);
    assert!(done.stdout.contains("2 volumes within"), "{}", done.stdout);
    let done = env.hardback(&[&["--json"], &args[..], &["when-available"]].concat()).exits(0);
    let report = report(&done.stdout);
    assert_eq!(report["shadow"]["copies"].as_array().unwrap().len(), 2);
    assert_eq!(report["shadow"]["mode"], "when-available");
    assert_eq!((&report["linked"], &report["bytes_read"]), (&2.into(), &0.into()));
    assert_eq!(list(&volume), before);
}

#[test]
fn without_a_provider_always_stops_and_when_available_is_a_problem() {
    let env = TestEnvironment::new();
    let volume = volume!(VolumeKind::Ext4, 16);
    std::fs::write(volume.root().join("file"), "x").unwrap();
    let source = volume.root().display().to_string();
    let refused = env.hardback(&["backup", &source, "target", "--shadow", "always"]).exits(1);
    assert!(refused.stderr.contains("no shadow copy can be made of"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert!(!env.path("target/host").exists());
    let dry = env.hardback(&["backup", &source, "target", "--shadow", "always", "--dry-run"]).exits(3);
    assert!(
        dry.stderr.contains("no shadow copy can be made of") && dry.stderr.contains("would stop"),
        "{}",
        dry.stderr
    );
    let dry = ["--json", "backup", &source, "target", "--shadow", "when-available", "--dry-run"];
    let dry = report(&env.hardback(&dry).exits(3).stdout);
    assert_eq!((dry["shadow"]["live"].as_array().unwrap().len(), &dry["exit"]), (1, &3.into()));
    let made = env.hardback(&["backup", &source, "target", "--shadow", "when-available"]).exits(3);
    assert!(made.stderr.contains("was read live, without the shadow copy that was asked for"), "{}", made.stderr);
    let json = env.hardback(&["--json", "backup", &source, "target", "--shadow", "when-available"]).exits(3);
    let report = report(&json.stdout);
    assert_eq!(report["shadow"]["live"].as_array().unwrap().len(), 1);
    assert_eq!((&report["shadow"]["copies"], &report["exit"]), (&Value::Array(Vec::new()), &3.into()));
    let refused = env.hardback(&["with-shadow", "--source", &source, "--", "true"]).exits(125);
    assert!(refused.stderr.contains("no shadow copy can be made of"), "{}", refused.stderr);
    let ran = ["with-shadow", "--source", &source, "--shadow", "when-available", "--", "cat", "{}/file"];
    let ran = env.hardback(&ran).exits(0);
    assert_eq!(ran.stdout, "x");
    assert!(ran.stderr.contains("was read live"), "{}", ran.stderr);
}

#[test]
fn a_volume_below_a_source_can_be_left_out_and_the_hint_says_so() {
    let env = TestEnvironment::new();
    let (volume, other) = (subvolumes!(), volume!(VolumeKind::Ext4, 16));
    let source = volume.root().join("data");
    std::fs::create_dir(source.join("below")).unwrap();
    let backup = |more: &str| {
        let (hardback, from) = (env!("CARGO_BIN_EXE_hardback"), other.root().display());
        let words = format!("{hardback} backup {0} target --job host --shadow always {more}", source.display());
        let script = format!("mount --bind {from} {}/below && exec {words}", source.display());
        env.other("unshare", &["--mount", "--propagation", "private", "sh", "-c", &script])
    };
    let refused = backup("").exits(1);
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("--one-file-system"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--exclude"), "{}", refused.stderr);
    backup("--one-file-system").exits(0).ignore();
    backup("--exclude /below").exits(0).ignore();
}

#[test]
fn a_user_without_rights_hears_what_is_missing() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let source = volume.root().join("data").display().to_string();
    let refused = env.hardback_as_nobody(&["backup", &source, "target", "--shadow", "always"]).exits(1);
    assert!(refused.stderr.contains("needs root"), "{}", refused.stderr);
}

#[test]
fn a_command_reads_the_frozen_view_and_ends_as_it_likes() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let source = volume.root().join("data").display().to_string();
    let other = volume.root().join("data/inner").display().to_string();
    let before = list(&volume);
    let with = |args: &[&str]| env.hardback(&[&["with-shadow", "--source", &source], args].concat());
    let script = format!("echo later > '{source}/file'; cat {{}}/file {{}}/inner/file; exit 7");
    assert_eq!(with(&["--", "sh", "-c", &script]).exits(7).stdout, "datadata/inner");
    let script = format!("cat '{source}/file'; echo even later > '{source}/file'");
    let ran = with(&["--in-place", "--", "sh", "-c", &script]).exits(2);
    assert_eq!(ran.stdout, "later\n");
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    let two = with(&["--source", &other, "--", "sh", "-c", "cat $HARDBACK_SHADOW_1/file $HARDBACK_SHADOW_2/file"]);
    assert_eq!(two.exits(0).stdout, "later\ndata/inner");
    let two = with(&["--source", &other, "--", "ls", "{}"]).exits(0);
    assert_eq!(two.stdout.matches("file").count(), 2, "{}", two.stdout);
    let missing = with(&["--", "no-such-program"]).exits(127);
    assert!(missing.stderr.contains("cannot start no-such-program"), "{}", missing.stderr);
    with(&["--", &format!("{source}/file")]).exits(126).ignore();
    with(&["--", "sh", "-c", "kill -9 $$"]).exits(137).ignore();
    env.hardback(&["--json", "with-shadow", "--", "true"]).exits(2).ignore();
    assert_eq!(list(&volume), before);
}

#[test]
fn the_root_itself_can_be_shown_frozen() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let file = volume.root().join("data/file");
    // The root of this machine has no provider; what is mounted below it has.
    let script = format!("echo later > '{}'; cat '{0}'; ls /proc/self/exe /etc/passwd", file.display());
    // Other tests mount and unmount theirs meanwhile, and count what is on them: this one has mounts of its own, and none
    // of theirs.
    let alone = "for other in $(findmnt -rnt btrfs -o TARGET | grep -vxF \"$1\"); do umount \"$other\"; done; shift; exec \"$@\"";
    let root = volume.root().display().to_string();
    let hardback = [env!("CARGO_BIN_EXE_hardback"), "with-shadow", "--source", "/", "--shadow", "when-available"];
    let words = ["--mount", "--propagation", "private", "sh", "-c", alone, "sh", &root];
    let ran = env.other("unshare", &[&words[..], &hardback, &["--in-place", "--", "sh", "-c", &script]].concat());
    assert_eq!(ran.stdout, "data/etc/passwd\n/proc/self/exe\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
}

#[test]
fn hooks_are_words_of_the_command_line() {
    let env = TestEnvironment::new();
    env.write("source/a", "x");
    let log = env.path("log");
    let say = format!("echo $HARDBACK_HOOK $HARDBACK_RESULT >> '{}'", log.display());
    let hooks = ["--before-shadow", &say, "--after-shadow", &say, "--after-run", &say];
    let run =
        |more: &[&str]| env.hardback(&[&["backup", "source", "target", "--same-disk"], &hooks[..], more].concat());
    run(&[]).exits(0).ignore();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "before-shadow\nafter-shadow\nafter-run done\n");
    let hangs = run(&["--before-shadow", "sleep 60", "--hook-timeout", "200ms"]).exits(1);
    assert!(hangs.stderr.contains("`sleep 60` did not end within 0.2 s"), "{}", hangs.stderr);
    let told = run(&["--after-run", "exit 9", "--hook-failure", "report"]).exits(3);
    assert!(told.stderr.contains("the after-run hook `exit 9` failed"), "{}", told.stderr);
    let json = [&["--json", "backup", "source", "target", "--same-disk", "--after-run", "exit 9"][..]].concat();
    let json = env.hardback(&json).exits(3);
    assert_eq!(report(&json.stdout)["shadow"]["failed_hooks"][0]["time"], "after-run");
}

#[test]
fn hooks_around_a_command_run_whatever_comes_of_it() {
    let env = TestEnvironment::new();
    let log = env.path("log");
    let say = format!("echo $HARDBACK_HOOK $HARDBACK_RESULT$HARDBACK_JOB$HARDBACK_TARGET >> '{}'", log.display());
    let hooks = ["--before-shadow", &say, "--after-shadow", &say, "--after-run", &say];
    let check = |more: &[&str], code: i32, result: &str| {
        let ran = env.hardback(&[&["with-shadow", "--shadow", "never"], &hooks[..], more].concat()).exits(code);
        let expected = format!("before-shadow\nafter-shadow\nafter-run {result}\n");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), expected, "{more:?}");
        std::fs::remove_file(&log).unwrap();
        ran
    };
    check(&["--", "/bin/sh", "-c", "exit 0"], 0, "done").ignore();
    check(&["--", "/bin/sh", "-c", "exit 7"], 7, "failed").ignore();
    check(&["--", "no-such-program"], 127, "failed").ignore();
    let held = check(&["--before-shadow", "exit 3", "--", "/bin/sh", "-c", "echo ran"], 125, "failed");
    assert!(
        held.stderr.contains("the before-shadow hook `exit 3` failed") && held.stdout.is_empty(),
        "{}",
        held.stderr
    );
    assert!(held.stderr.contains("hint: what it says stands above"), "{}", held.stderr);
    check(&["--after-shadow", "exit 3", "--", "/bin/sh", "-c", "echo ran"], 125, "failed").ignore();
}

#[test]
fn programs_of_the_user_have_the_mask_and_the_limits_of_the_user() {
    let env = TestEnvironment::new();
    let (log, hardback) = (env.path("log"), env!("CARGO_BIN_EXE_hardback"));
    let say = format!("umask >> '{0}'; ulimit -Sn >> '{0}'", log.display());
    env.write("rsync", &format!("#!/bin/sh\n{say}\n"));
    run!("chmod", "+x", env.path("rsync"));
    env.write("source/a", "x");
    let check = |args: &str, times: usize| {
        let script = format!("umask 027; ulimit -Sn 99; ulimit -Hn 999; say=\"{say}\"; {hardback} {args}");
        env.other("sh", &["-c", &script]).exits(0).ignore();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "0027\n99\n".repeat(times), "{args}");
        std::fs::remove_file(&log).unwrap();
    };
    let hooks = "--before-shadow \"$say\" --after-shadow \"$say\" --after-run \"$say\"";
    check(&format!("with-shadow --shadow never {hooks} -- sh -c \"$say\""), 4);
    // A push, and a pull.
    check("with-shadow --shadow never --rsync-compat --rsync ./rsync --server . /", 1);
    check("with-shadow --shadow never --rsync-compat --rsync ./rsync --server --sender . .", 1);
    check(&format!("backup source target --same-disk --job host {hooks}"), 3);
    // What the engine makes has its own mode all the same.
    assert_eq!(
        run!("stat", "-c", "%a", env.path("source/a")),
        run!("stat", "-Lc", "%a", env.path("target/host/latest/source/a"))
    );
    let Ok(volume) = with_subvolumes() else { return };
    let data = volume.root().join("data").display().to_string();
    check(&format!("with-shadow --source '{data}' -- sh -c \"$say\""), 1);
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([format!("-{name}"), child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: it never came to be");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command line of hooks that tell that they ran; the first before the freezing hangs.
fn hanging_hooks(env: &TestEnvironment) -> [String; 6] {
    let touch = |name: &str| format!("touch '{}'", env.path(name).display());
    let hangs = format!("{}; sleep 60; {}", touch("held"), touch("survived"));
    [
        "--before-shadow".into(),
        hangs,
        "--after-shadow".into(),
        touch("let-go"),
        "--after-run".into(),
        format!("echo $HARDBACK_RESULT > '{}'", env.path("over").display()),
    ]
}

#[test]
fn a_signal_ends_a_hook_that_hangs_and_what_is_due_after_it_runs() {
    for (words, name, code) in [
        (&["with-shadow", "--shadow", "never"][..], "TERM", 143),
        (&["with-shadow", "--shadow", "never"], "INT", 130),
        (&["backup", "source", "target", "--same-disk"], "TERM", 130),
        (&["backup", "source", "target", "--same-disk"], "INT", 130),
    ] {
        let env = TestEnvironment::new();
        env.write("source/a", "x");
        let mut command = env.start(words);
        command.args(hanging_hooks(&env));
        if words[0] == "with-shadow" {
            command.args(["--", "touch", "started"]);
        }
        let (began, mut child) = (Instant::now(), command.spawn().unwrap());
        until("the hook", || env.path("held").exists());
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{words:?} {name}");
        assert!(began.elapsed() < Duration::from_secs(30), "{words:?} {name}");
        assert!(env.path("let-go").exists(), "{words:?} {name}");
        assert_eq!(env.read("over"), "interrupted\n", "{words:?} {name}");
        assert!(!env.path("survived").exists() && !env.path("started").exists() && !env.path("target/host").exists());
    }
}

#[test]
fn the_first_signal_spares_what_lets_go_and_the_second_does_not() {
    let env = TestEnvironment::new();
    let hangs = format!("touch '{0}'; sleep 60; touch '{0}2'", env.path("letting-go").display());
    let quick = format!("touch '{0}'; sleep 1; touch '{0}2'", env.path("over").display());
    let mut command = env.start(&["with-shadow", "--shadow", "never", "--after-shadow", &hangs, "--after-run", &quick]);
    let mut child = command.args(["--", "touch", "started"]).spawn().unwrap();
    until("the hook", || env.path("letting-go").exists());
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None, "what lets go was killed by the first");
    assert!(!env.path("over").exists());
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!env.path("letting-go2").exists() && env.path("over2").exists() && !env.path("started").exists());
}

#[test]
fn what_is_ignored_from_the_start_is_ignored_by_the_command() {
    let env = TestEnvironment::new();
    let with = format!("{} with-shadow --shadow never --", env!("CARGO_BIN_EXE_hardback"));
    // The mask of ignored signals, by their numbers: SIGHUP is 1, SIGUSR1 is 10.
    let ignored = |trap: &str| {
        let ran = env.other("sh", &["-c", &format!("{trap} exec {with} grep SigIgn /proc/self/status")]).exits(0);
        let mask = ran.stdout.trim().rsplit('\t').next().unwrap().to_owned();
        u64::from_str_radix(&mask, 16).unwrap() & 0b10_0000_0001
    };
    assert_eq!(ignored("trap '' HUP;"), 1);
    assert_eq!(ignored("trap '' HUP USR1;"), 0b10_0000_0001);
    assert_eq!(ignored(""), 0);
}

#[test]
fn signals_go_to_the_command_and_the_shadow_copy_goes_with_it() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let (source, before) = (volume.root().join("data"), list(&volume));
    let ready = env.path("ready");
    let script = format!("trap 'exit 42' TERM USR1; touch '{}'; while :; do sleep 0.05; done", ready.display());
    for name in ["TERM", "USR1"] {
        let mut command = env.start(&["with-shadow"]);
        let mut child = command.arg("--source").arg(&source).args(["--", "sh", "-c", &script]).spawn().unwrap();
        until("the command", || ready.exists());
        std::fs::remove_file(&ready).unwrap();
        let listed = env.hardback(&["shadow", "list"]).exits(0);
        assert_eq!(listed.stdout.matches("in use by with-shadow sh").count(), 2, "{}", listed.stdout);
        assert!(env.hardback(&["shadow", "sweep"]).exits(0).stderr.contains("nothing to remove"));
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(42), "{name}");
        assert_eq!(list(&volume), before, "{name}");
    }
}

#[test]
fn the_command_of_a_killed_hardback_keeps_its_view_until_it_ends() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let (source, before) = (volume.root().join("data"), list(&volume));
    let (ready, go) = (env.path("ready"), env.path("go"));
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done; cat {{}}/file > '{}'",
        ready.display(),
        go.display(),
        env.path("read").display()
    );
    let mut command = env.start(&["with-shadow"]);
    let mut child = command.arg("--source").arg(&source).args(["--", "sh", "-c", &script]).spawn().unwrap();
    until("the command", || ready.exists());
    signal(&child, "KILL");
    child.wait().unwrap();
    std::fs::write(source.join("file"), "later").unwrap();
    assert!(env.hardback(&["shadow", "sweep"]).exits(0).stderr.contains("nothing to remove"));
    std::fs::write(&go, "").unwrap();
    until("what was read", || std::fs::read_to_string(env.path("read")).is_ok_and(|text| text == "data"));
    until("the end of the command", || {
        env.hardback(&["shadow", "list"]).exits(0).stdout.contains("left by with-shadow")
    });
    let swept = env.hardback(&["shadow", "sweep"]).exits(0);
    assert_eq!(swept.stdout.matches("removed hardback-shadow-").count(), 2, "{}", swept.stdout);
    assert_eq!(list(&volume), before);
}

#[test]
fn a_hundred_aborted_runs_leave_nothing_behind() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let (source, before) = (volume.root().join("data"), list(&volume));
    for n in 0..300 {
        std::fs::write(source.join(format!("f{n}")), n.to_string()).unwrap();
    }
    let target = env.path("target");
    let run = || {
        let mut command = env.start(&["backup", "--shadow", "always", "--job", "host"]);
        command.arg(&source).arg(&target);
        command
    };
    assert!(run().status().unwrap().success());
    let whole = Instant::now();
    assert!(run().status().unwrap().success());
    let whole = whole.elapsed();
    let (mut interrupted, mut killed, mut left) = (0, 0, 0);
    for round in 0..100_u32 {
        let name = ["INT", "TERM", "HUP", "KILL"][round as usize % 4];
        let mut child = run().spawn().unwrap();
        std::thread::sleep(whole * (round * 37 % 100) / 110);
        signal(&child, name);
        let status = child.wait().unwrap();
        match status.code() {
            // The signal came when all was done, or before anybody listened.
            Some(0) => {}
            Some(130) => interrupted += 1,
            None => killed += 1,
            Some(code) => panic!("round {round}, {name}: ended with {code}"),
        }
        if status.code().is_some() {
            assert_eq!(list(&volume), before, "round {round}, {name}");
        }
        left += list(&volume).lines().count() - before.lines().count();
        env.hardback(&["shadow", "sweep"]).exits(0).ignore();
        assert_eq!(list(&volume), before, "round {round}, {name}");
    }
    assert!(interrupted > 10 && killed > 10 && left > 0, "{interrupted} interrupted, {killed} killed, {left} left");
    println!("{interrupted} interrupted, {killed} killed, which left {left} snapshots, all removed");
    assert!(run().status().unwrap().success());
    assert_eq!(list(&volume), before);
}

#[test]
fn a_view_that_stays_on_one_volume_shows_nothing_of_others_and_no_view_lets_anything_be_written() {
    let env = TestEnvironment::new();
    let volume = subvolumes!();
    let other = volume!(VolumeKind::Ext4, 16);
    std::fs::write(other.root().join("file"), "live").unwrap();
    let disk = volume.root().join("data/disk");
    std::fs::create_dir(&disk).unwrap();
    run!("mount", "--bind", other.root(), &disk);
    let source = volume.root().join("data").display().to_string();
    let with = |args: &[&str]| env.hardback(&[&["with-shadow", "--source", &source], args].concat());
    // Frozen under `always`, as there is nothing else to be seen.
    let ran = with(&["-x", "--", "sh", "-c", "cat {}/file; ls {}/inner {}/disk; touch {}/inner/x"]).exits(1);
    assert_eq!((ran.stdout.contains("data"), ran.stdout.contains("live")), (true, false), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("file").count(), 0, "{}", ran.stdout);
    assert!(ran.stderr.contains("cannot touch"), "{}", ran.stderr);
    let ran = with(&["--shadow", "when-available", "--", "sh", "-c", "cat {}/disk/file; rm {}/disk/file"]).exits(1);
    assert!(ran.stdout.contains("live") && ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    run!("umount", &disk);
    assert!(other.root().join("file").exists());
    let quiet = with(&["--", "true"]).exits(0);
    assert!(quiet.stderr.contains("has no {} in it"), "{}", quiet.stderr);
    let refused = with(&["--source", &format!("{source}/inner"), "--", "cat", "{}/file"]).exits(2);
    assert!(refused.stderr.contains("write {1}, {2}"), "{}", refused.stderr);
}

#[test]
fn a_target_is_not_made_for_a_run_that_cannot_be() {
    let env = TestEnvironment::new();
    let volume = volume!(VolumeKind::Ext4, 16);
    std::fs::write(volume.root().join("file"), "x").unwrap();
    let source = volume.root().display().to_string();
    env.hardback(&["backup", &source, "target", "--shadow", "always"]).exits(1).ignore();
    assert!(!env.path("target").exists());
}
