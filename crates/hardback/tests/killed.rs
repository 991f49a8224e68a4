//! The real binary, killed at any time (SIGKILL; TerminateProcess on Windows): the next run goes on, and loses nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests make trees, start the binary and stop at what is wrong"
)]

mod environment;

use environment::{TestEnvironment, begun};
use std::time::Instant;

const FOLDERS: usize = 10;
const FILES: usize = 30;
const KILLS: u32 = 6;

fn content(folder: usize, file: usize, round: u32) -> String {
    format!("{folder} {file} {round} ").repeat(1 + file * 40)
}

#[test]
fn a_run_that_is_killed_at_any_time_is_taken_up_by_the_next() {
    let env = TestEnvironment::new();
    for folder in 0..FOLDERS {
        for file in 0..FILES {
            env.write(&format!("source/{folder}/{file}"), &content(folder, file, 0));
        }
    }
    let args = ["backup", "source", "target", "--same-disk", "--job", "host", "--hot-window", "0"];
    let began = Instant::now();
    env.hardback(&args).exits(0).ignore();
    let mut most = began.elapsed();
    let mut killed = 0;
    for round in 1..=KILLS {
        for folder in (0..FOLDERS).step_by(2) {
            for file in 0..FILES {
                env.write(&format!("source/{folder}/{file}"), &content(folder, file, round));
            }
        }
        let mut run = begun(|| env.start(&args).spawn());
        // The times of dying are spread over the run; who ends before is given less time.
        std::thread::sleep(most * (1 + round * 5 % (KILLS + 1)) / (KILLS + 1));
        run.kill().unwrap();
        match run.wait().unwrap().success() {
            true => most /= 3,
            false => killed += 1,
        }
        // What is listed is whole, whenever the run died.
        env.hardback(&["verify", "target", "--job", "host"]).exits(0).ignore();
    }
    assert!(killed > 0, "no run was killed before its end");
    env.hardback(&args).exits(0).ignore();
    env.hardback(&["verify", "target", "--job", "host", "--against-source"]).exits(0).ignore();
    env.hardback(&["restore", "target", "--job", "host", "--to", "back"]).exits(0).ignore();
    for folder in 0..FOLDERS {
        for file in 0..FILES {
            let round = if folder % 2 == 0 { KILLS } else { 0 };
            let there = std::fs::read_to_string(env.path(&format!("back/source/{folder}/{file}"))).unwrap();
            assert_eq!(there, content(folder, file, round), "{folder}/{file}");
        }
    }
    for left in ["target/.hardback/partial/host", "target/.hardback/trash"] {
        assert_eq!(env.names(left), Vec::<String>::new(), "{left}");
    }
}
