//! What became of each test, from what the guest said on its console.

use anyhow::{Result, bail};

/// How all lines begin that tell of the tests.
pub(super) const PREFIX: &str = "guest: ";

/// How lines of the script begin that run a test: `run_test NAME FUNCTION…`.
const RUN: &str = "run_test ";

/// The names of the tests that a script runs, in its order.
pub(super) fn tests_of(script: &str) -> Vec<String> {
    let names = script.lines().filter_map(|line| line.strip_prefix(RUN)?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Makes sure that each test told that it is ok, and nothing went wrong besides.
pub(super) fn judge(tests: &[String], said: &str) -> Result<()> {
    let told: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(PREFIX)).collect();
    let mut wrong: Vec<String> =
        told.iter().filter(|line| line.starts_with("FAILED ")).map(ToString::to_string).collect();
    for test in tests {
        let is_of = |line: &&str, word: &str| {
            let rest = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(test.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if !told.iter().any(|line| is_of(line, "ok ") || is_of(line, "FAILED ")) {
            wrong.push(format!("{test} did not come to its end"));
        }
    }
    if !told.contains(&"end") {
        wrong.push("the guest did not come to its end".to_owned());
    }
    if wrong.is_empty() {
        println!("    {} tests are ok", tests.len());
        return Ok(());
    }
    bail!("{}\nthe guest said:\n{said}", wrong.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(said: &str) -> String {
        let tests = tests_of("run_test() {\n}\nrun_test one work a b\n  run_test inner x\nrun_test two\n");
        assert_eq!(tests, ["one", "two"]);
        match judge(&tests, said) {
            Ok(()) => String::new(),
            Err(error) => error.to_string().split("\nthe guest said:").next().unwrap().to_owned(),
        }
    }

    #[test]
    fn each_test_must_say_that_it_is_ok() {
        assert_eq!(judged("x\nguest: ok one (3 s)\nnoise\nguest: ok two\nguest: end\n"), "");
        assert_eq!(judged("guest: ok one\nguest: end\n"), "two did not come to its end");
        assert_eq!(judged("guest: ok one\nguest: ok twofold\nguest: end\n"), "two did not come to its end");
        assert_eq!(judged("guest: ok one\nguest: FAILED two no room\nguest: end\n"), "FAILED two no room");
        assert_eq!(judged("guest: ok one\nguest: ok two\n"), "the guest did not come to its end");
        assert_eq!(judged(" guest: ok one\nguest: ok two\nguest: end\n"), "one did not come to its end");
    }
}
