//! What hardback's tests stand on: faults and oracles, real volumes, a tree with everything in it, an independent
//! comparer, a checker of what is never written, and a bench that runs backups.
//!
//! What looks at the disk here does not go through `hardback-platform`: a test that looks with the product's own eyes
//! sees what the product sees.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "test code: it fails loudly, and looks at the disk with other code than the product's"
)]

#[cfg(unix)]
pub mod bench;
#[cfg(unix)]
pub mod checker;
#[cfg(unix)]
pub mod compare;
pub mod fault;
#[cfg(unix)]
pub mod ntfs_zoo;
#[cfg(unix)]
pub mod oracle;
pub mod pair;
pub mod rig;
pub mod scripted_shadow;
#[cfg(unix)]
pub mod volume;
#[cfg(unix)]
pub mod watch;
#[cfg(unix)]
pub mod zoo;

/// Ends a test that this machine cannot run; a failure where `HARDBACK_TEST_NO_SKIP` says that it should.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::skipped(&format!($($why)*));
        return;
    }};
}

/// Tells of a skipped test; panics where nothing may be skipped.
pub fn skipped(why: &str) {
    let forbidden = std::env::var_os("HARDBACK_TEST_NO_SKIP").is_some_and(|v| !v.is_empty() && v != "0");
    assert!(!forbidden, "skipped although HARDBACK_TEST_NO_SKIP is set: {why}");
    eprintln!("skipped: {why}");
}

/// Returns whether the suites that take minutes are asked for.
pub fn is_slow_run() -> bool {
    std::env::var_os("HARDBACK_SLOW").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Runs a program; panics with what it said unless it succeeds.
pub fn run(program: &str, args: &[&std::ffi::OsStr]) -> String {
    let output = std::process::Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}{err}", output.status);
    out
}

/// Runs a program with its arguments as they are written.
#[macro_export]
macro_rules! run {
    ($program:expr $(, $arg:expr)* $(,)?) => {
        $crate::run($program, &[$(std::convert::AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*])
    };
}
