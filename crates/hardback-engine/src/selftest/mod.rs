//! The selftest: on the user's own volume, one of each thing is made, backed up, restored, and compared.
//!
//! Much of what Windows does is written here from its documentation, and was proven elsewhere, if at all. This is how
//! whoever has that system proves it in one command. So nothing is taken for granted: what was made is read back before
//! it is backed up, a system that says it did what it did not fails, and what a volume cannot do is not possible rather
//! than passed. Everything goes through `hardback-platform` and the verbs, as in a backup.

mod bytes;
mod encrypted;
mod facts;
mod held;
mod links;
mod measure;
mod place;
mod report;
mod roundtrip;
mod things;

use crate::context::Context;
use crate::error::Error;
use crate::excludes::Excludes;
use crate::job::{BackupOptions, Job, JobName, JobSource};
use crate::problem::Problem;
use crate::report::{BackupReport, Counters, Silent};
use crate::system::path_bytes;
use crate::target::{Target, open_or_create_target};
use hardback_platform::{PathError, Seam, VolumeKind, is_privileged, missing_rights, system_version};
use hardback_shadow::Shadows;
use place::TestFolder;
use std::path::{Path, PathBuf};
use things::Where;

pub use report::{Check, CheckOutcome, Measured, SelftestReport};

/// Name of all jobs of a selftest.
const JOB: &str = "selftest";

/// What to test.
#[derive(Debug, Clone)]
pub struct SelftestOptions {
    /// A folder on the volume to test; the test makes a folder of its own in it.
    pub folder: PathBuf,
    /// What makes shadow copies here; one is made where that is possible.
    pub shadows: Option<Shadows>,
}

/// What the parts of a selftest know.
struct Bench<'a> {
    ctx: Context<'a>,
    folder: TestFolder,
    kind: VolumeKind,
    is_privileged: bool,
    shadows: Option<Shadows>,
}

/// Tests hardback on a volume. What fails is in the report.
///
/// # Errors
/// The folder cannot be used, or the user asked to stop. What the test made is removed even so.
pub fn selftest(ctx: &Context<'_>, options: &SelftestOptions) -> Result<SelftestReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let folder = TestFolder::make(&options.folder)?;
    // What goes wrong is a check that failed, and told as that; some of it is meant to go wrong.
    // What a progress display says of them would be of many small runs.
    let counters = Counters::default();
    let ctx = Context { monitor: &Silent, counters: &counters, ..*ctx };
    let asked = folder.open().and_then(|dir| dir.volume());
    let kind = asked.as_ref().map_or(VolumeKind::Other, |traits| traits.kind);
    let bench = Bench { ctx, folder, kind, is_privileged: is_privileged(), shadows: options.shadows.clone() };
    let mut report = SelftestReport {
        system: system_version(),
        volume: format!("{kind:?}").to_lowercase(),
        is_privileged: bench.is_privileged,
        missing_rights: missing_rights(),
        ..SelftestReport::default()
    };
    if let Err(error) = asked {
        report.check("the volume says what it is", CheckOutcome::failed("an answer", cause(&error)));
    }
    let tested = bench.test(&mut report);
    let removed = match bench.folder.remove() {
        Ok(None) => CheckOutcome::Passed,
        Ok(Some(left)) => CheckOutcome::failed("nothing stays", left),
        Err(error) => CheckOutcome::failed("nothing stays", shown(&error)),
    };
    tested?;
    report.check("all that was made is removed", removed);
    report.hide(&bench.folder.path().display().to_string());
    report.hide(&options.folder.display().to_string());
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began_ns);
    Ok(report)
}

impl Bench<'_> {
    fn test(&self, report: &mut SelftestReport) -> Result<(), Error> {
        roundtrip::test(self, report)?;
        self.part(report, "names of one file, up to the limit of the volume", links::limit)?;
        self.part(report, "a name of a read-only file goes, and the file stays read-only", links::read_only)?;
        self.part(report, "the name of an open file goes at once", links::open)?;
        encrypted::test(self, report)?;
        held::test(self, report)?;
        measure::change_times(self, report)?;
        Ok(())
    }

    /// Makes one check that stands for itself. That the system fails at it is its outcome.
    fn part(
        &self,
        report: &mut SelftestReport,
        what: &str,
        check: fn(&Self, &mut SelftestReport) -> Result<CheckOutcome, PathError>,
    ) -> Result<(), Error> {
        self.ctx.check_cancel()?;
        let outcome = check(self, report).unwrap_or_else(|error| match self.is_expected(Where::Everywhere) {
            true => CheckOutcome::failed("it works", cause(&error)),
            false => CheckOutcome::not_possible(cause(&error)),
        });
        report.check(what, outcome);
        Ok(())
    }

    /// Returns whether this volume must be able to do what is possible there.
    fn is_expected(&self, place: Where) -> bool {
        use VolumeKind::{Btrfs, Ext, F2fs, Ntfs, Xfs, Zfs};
        let windows = is_windows() && self.kind == Ntfs;
        let linux = !is_windows() && matches!(self.kind, Ext | Xfs | Btrfs | Zfs | F2fs);
        match place {
            Where::Everywhere => windows || linux,
            Where::Windows => windows,
            Where::Linux => linux,
            Where::Somewhere => false,
        }
    }

    /// Returns the backup of a folder of the test.
    fn job(&self, source: &Path) -> Result<Job, Error> {
        let source = JobSource { folder: b"source".to_vec(), path_bytes: path_bytes(source), path: source.to_owned() };
        // What was made just now counts as made: the second run is to link it.
        let options = BackupOptions { same_disk: true, hot_window_s: 0, ..BackupOptions::default() };
        Job::new(JobName::new(JOB)?, vec![source], options)
    }

    fn target(&self, name: &str) -> Result<Target, Error> {
        let path = self.folder.path().join(name);
        Ok(open_or_create_target(&path, None, self.ctx.clock, Seam::default())?.target)
    }

    fn backup(&self, target: &Target, job: &Job) -> Result<BackupReport, Error> {
        crate::backup(&self.ctx, target, job, &Excludes::default())
    }
}

/// The engine is told by the environment, not by the compiler, which system this is.
fn is_windows() -> bool {
    std::env::consts::FAMILY == "windows"
}

/// Returns an error with its causes, and with what it advises.
fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn cause(error: &PathError) -> String {
    format!("{error}: {}", error.source)
}

/// The first problems, for people.
fn problem_lines<'p>(problems: impl Iterator<Item = &'p Problem>) -> String {
    const SHOWN: usize = 5;
    problems.take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
