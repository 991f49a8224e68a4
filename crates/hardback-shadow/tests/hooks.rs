//! Hooks as programs of the system: how the shell takes them, and what ends them.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look at the disk with other code than the product's"
)]

use hardback_shadow::{HookTime, Hooks};
use std::path::Path;

fn hooks(command: String) -> Hooks {
    Hooks { before_shadow: vec![command.into()], ..Hooks::default() }
}

/// Makes a program that writes what it is given into the file `said` beside it.
fn make_program(path: &Path) {
    let text = match cfg!(windows) {
        true => "@echo %~1,%~2>\"%~dp0said\"\r\n",
        false => "#!/bin/sh\necho \"$1,$2\" > \"${0%/*}/said\"\n",
    };
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn a_command_keeps_all_its_quotes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("Program Files");
    std::fs::create_dir(&dir).unwrap();
    let program = dir.join(if cfg!(windows) { "say it.cmd" } else { "say it" });
    make_program(&program);
    let program = program.display();
    for command in [format!("\"{program}\" start \"My DB\""), format!("\"{program}\" \"start\" \"My DB\"")] {
        let failed = hooks(command.clone()).run(HookTime::BeforeShadow, &[], &|| false);
        assert_eq!(failed, [], "{command}");
        assert_eq!(std::fs::read_to_string(dir.join("said")).unwrap().trim_end(), "start,My DB", "{command}");
        std::fs::remove_file(dir.join("said")).unwrap();
    }
}

#[cfg(windows)]
mod ctrl_c {
    use super::hooks;
    use hardback_shadow::HookTime;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    const DIR: &str = "HARDBACK_TEST_HOOK_DIR";

    fn wait_for(path: &Path) {
        while !path.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Is the hook of the test below.
    #[test]
    #[ignore = "it is started by another test"]
    fn hook() {
        let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
        std::fs::write(dir.join("started"), "").unwrap();
        wait_for(&dir.join("go on"));
        std::fs::write(dir.join("done"), "").unwrap();
    }

    /// Sends Ctrl-C to all processes whose command line has a word. Wine makes it of a signal, which reaches only one
    /// each; Windows sends it to all of the console.
    fn interrupt(word: &str) -> usize {
        let has_word = |path: &Path| {
            std::fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
        };
        let processes = std::fs::read_dir(r"Z:\proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let found: Vec<String> = processes
            .filter(|path| path.file_name().unwrap().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
            .filter(|path| has_word(path))
            .map(name)
            .collect();
        for process in &found {
            std::process::Command::new(r"Z:\bin\kill").args(["-INT", process]).status().ok();
        }
        found.len()
    }

    #[test]
    fn a_hook_survives_it_and_is_killed_when_it_is_to_stop() {
        if std::env::var_os("HARDBACK_TEST_WINE").is_none() {
            hardback_testing::skip!("Ctrl-C is sent in Wine's way");
        }
        let temp = tempfile::tempdir().unwrap();
        let word = format!("hook-of-{}", std::process::id());
        let program = std::env::current_exe().unwrap();
        let command = format!("\"{}\" --ignored --exact ctrl_c::hook --skip {word}", program.display());
        let variables = [(DIR, temp.path().as_os_str().to_owned())];
        let (started, done) = (temp.path().join("started"), temp.path().join("done"));
        std::thread::scope(|scope| {
            let hook = scope.spawn(|| hooks(command.clone()).run(HookTime::BeforeShadow, &variables, &|| false));
            wait_for(&started);
            assert!(interrupt(&word) > 0);
            // Wine hears the signal when it comes to it.
            std::thread::sleep(Duration::from_millis(500));
            std::fs::write(temp.path().join("go on"), "").unwrap();
            assert_eq!(hook.join().unwrap(), []);
        });
        assert!(done.exists());
        for name in ["started", "go on", "done"] {
            std::fs::remove_file(temp.path().join(name)).unwrap();
        }
        let failed = hooks(command).run(HookTime::BeforeShadow, &variables, &|| started.exists());
        assert_eq!(failed.len(), 1);
        assert!(failed[0].why.contains("was killed"), "{failed:?}");
        // Wine's taskkill ends the shell alone.
        std::fs::write(temp.path().join("go on"), "").unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }
}
