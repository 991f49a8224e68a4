//! Backs up a source into a target with one worker, for tests that kill it: `hb-run SOURCE TARGET`. With a number behind
//! it removes all but so many snapshots instead.

use hardback_platform::Seam;
use hardback_testing::rig::{Rig, Seams};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let mut rig = Rig::below(&source);
    rig.source = source;
    rig.target = target;
    if let Some(last) = arguments.next() {
        let Some(last) = last.to_str().and_then(|last| last.parse().ok()) else { return ExitCode::from(2) };
        return match rig.prune(last, Seam::default()) {
            Ok(report) if report.problem_count == 0 && report.suspended.is_empty() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::from(3),
            Err(_) => ExitCode::from(1),
        };
    }
    match rig.backup(Seams::default()) {
        Ok(report) if report.totals.problems == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(_) => ExitCode::from(1),
    }
}
