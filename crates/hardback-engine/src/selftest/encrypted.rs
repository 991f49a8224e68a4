//! A file that the system encrypts for its user (EFS): stored in plain it is listed, stored raw it comes back encrypted.

use super::facts::{differences, read_tree};
use super::{Bench, CheckOutcome, JOB, SelftestReport, cause, problem_lines, shown};
use crate::error::Error;
use crate::job::{BackupOptions, Efs, Job};
use crate::restore::{Answer, Place, RestoreOptions, restore};
use hardback_platform::ntfs::ATTRIBUTES;
use hardback_platform::{Dir, PathError, Seam, encrypt};
use std::path::Path;

const NAME: &[u8] = b"secret.txt";
const TEXT: &[u8] = b"What only its user reads.\n";
const ENCRYPTED: u32 = 0x4000;
/// What is backed up, in the snapshot.
const PATH: &[u8] = b"source/secret.txt";

pub(super) fn test(bench: &Bench<'_>, report: &mut SelftestReport) -> Result<(), Error> {
    let (dir, path) = bench.folder.make_dir("encrypted")?;
    dir.create_file(NAME, 0o600)?.write_all_at(TEXT, 0)?;
    let why_not = match encrypt(&path.join("secret.txt")) {
        Err(error) => Some(cause(&PathError::new("encrypt", NAME, error))),
        Ok(()) if !is_encrypted(&dir)? => Some("the system said that it encrypted a file, and did not".to_owned()),
        Ok(()) => None,
    };
    let cases = [
        ("encrypted file (EFS), stored in plain and listed", Efs::Plain),
        ("encrypted file (EFS), stored raw", Efs::Raw),
    ];
    for (what, efs) in cases {
        bench.ctx.check_cancel()?;
        let outcome = match &why_not {
            // Not every volume and edition of Windows has it.
            Some(why) => CheckOutcome::not_possible(why),
            None => match back_and_forth(bench, &dir, &path, efs) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => CheckOutcome::failed("it is backed up and restored", shown(&error)),
                Ok(outcome) => outcome,
            },
        };
        report.check(what, outcome);
    }
    Ok(())
}

fn is_encrypted(dir: &Dir) -> Result<bool, PathError> {
    let xattrs = dir.xattrs(NAME)?;
    let value = xattrs.iter().find(|(name, _)| name == ATTRIBUTES).and_then(|(_, value)| value[..].try_into().ok());
    Ok(value.map_or(0, u32::from_be_bytes) & ENCRYPTED != 0)
}

fn back_and_forth(bench: &Bench<'_>, dir: &Dir, path: &Path, efs: Efs) -> Result<CheckOutcome, Error> {
    let name = format!("{efs:?}").to_lowercase();
    let job = bench.job(path)?;
    let job = Job { options: BackupOptions { efs, ..job.options.clone() }, ..job };
    let target = bench.target(&format!("target-efs-{name}"))?;
    let made = bench.backup(&target, &job)?;
    if made.totals.problems > 0 {
        return Ok(CheckOutcome::failed("no problem", problem_lines(made.problems.iter())));
    }
    if efs == Efs::Plain && made.encrypted.first != [PATH] {
        let found = format!("{} files are listed", made.encrypted.entries);
        return Ok(CheckOutcome::failed("the file is listed as stored in plain", found));
    }
    let place = bench.folder.path().join(format!("restored-efs-{name}"));
    let snapshot = made.snapshot.unwrap_or_default();
    let options = RestoreOptions::new(JOB, &snapshot, Place::To(place.clone()));
    let restored = restore(&bench.ctx, &target, &options, &mut |_| Answer::Keep)?;
    if restored.problem_count > 0 {
        return Ok(CheckOutcome::failed("no problem with the restore", problem_lines(restored.problems.iter())));
    }
    let back = Dir::open(&place.join("source"), Seam::default())?;
    let content = back.open_file(NAME)?.read_to_vec(TEXT.len())?;
    if content != TEXT {
        return Ok(CheckOutcome::failed("its content comes back", "another content"));
    }
    if efs == Efs::Plain {
        return Ok(CheckOutcome::Passed);
    }
    let differences = differences(&read_tree(dir)?, &read_tree(&back)?, bench.is_privileged);
    Ok(match is_encrypted(&back)? && differences.is_empty() {
        true => CheckOutcome::Passed,
        false => CheckOutcome::failed("it comes back encrypted, with all that it had", differences.join("\n")),
    })
}
