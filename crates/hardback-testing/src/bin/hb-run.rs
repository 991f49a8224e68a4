//! Backs up a source into a target with one worker, for tests that kill it: `hb-run SOURCE TARGET`. With a number behind
//! it removes all but so many snapshots instead; with `shadow DIR` it reads shadow copies of the scripted provider, with
//! `system DIR` those of this computer, whose records are in DIR.

use hardback_engine::JobShadow;
use hardback_platform::Seam;
use hardback_shadow::{Hooks, Mode};
use hardback_testing::rig::{Rig, Seams};
use hardback_testing::scripted_shadow::Scripted;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let mut rig = Rig::below(&source);
    rig.source = source;
    rig.target = target;
    let next = arguments.next();
    let word = next.as_deref().and_then(Path::to_str);
    if let Some(word @ ("shadow" | "system")) = word {
        let Some(dir) = arguments.next() else { return ExitCode::from(2) };
        let shadows = if word == "system" { hardback_shadow::system(dir) } else { Scripted::new(&dir).shadows() };
        rig.shadow = Some(JobShadow { shadows, mode: Mode::Always, hooks: Hooks::default(), declared: None });
    } else if let Some(last) = next {
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
