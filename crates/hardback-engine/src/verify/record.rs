//! Proves the records: seals, manifests, digest lists.

use super::Findings;
use crate::catalog::{self, Seals};
use crate::error::Error;
use crate::manifest::{DIGEST_BYTES, Digest, Seal};
use crate::problem::ProblemKind;
use crate::target::{Target, layout};
use hardback_platform::{Dir, Faults, Kind, PathError};
use std::collections::BTreeSet;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// Returns what is wrong with the manifest of a sealed snapshot, if anything.
pub(crate) fn manifest_fault(target: &Target, job: &str, seal: &Seal) -> Result<Option<String>, Error> {
    let dir = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])?;
    let found = digest_of(dir.as_ref(), &layout::manifest_name(&seal.snapshot));
    Ok(fault("record", found, seal.manifest, seal.manifest_bytes))
}

/// Returns what is wrong with the digest list of a sealed snapshot's own generation, if anything.
fn digests_fault(target: &Target, job: &str, seal: &Seal) -> Option<String> {
    match target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()]) {
        Ok(lists) => list_fault(lists.as_ref(), seal),
        Err(error) => Some(format!("its digest list cannot be read: {}", error.source)),
    }
}

/// Returns what is wrong with the digest list of a seal's generation in the folder of the lists, if anything.
pub(crate) fn list_fault(lists: Option<&Dir>, seal: &Seal) -> Option<String> {
    let found = digest_of(lists, &layout::digests_name(seal.generation));
    fault("digest list", found, seal.digests, seal.totals.new_files.saturating_mul(DIGEST_BYTES as u64))
}

fn fault(what: &str, found: Result<Option<(Digest, u64)>, PathError>, digest: Digest, bytes: u64) -> Option<String> {
    match found {
        Ok(None) => Some(format!("its {what} is missing")),
        Ok(Some((_, found))) if found != bytes => Some(format!("its {what} has {found} bytes and should have {bytes}")),
        Ok(Some((found, _))) if found != digest => Some(format!("its {what} is not the one that was sealed")),
        Ok(Some(_)) => None,
        Err(error) => Some(format!("its {what} cannot be read: {}", error.source)),
    }
}

/// Hashes a file from the disk; `None` where there is none.
fn digest_of(dir: Option<&Dir>, name: &[u8]) -> Result<Option<(Digest, u64)>, PathError> {
    let Some(dir) = dir else { return Ok(None) };
    let file = match dir.open_file(name) {
        Err(error) if error.fault() == Faults::Vanished => return Ok(None),
        other => other?,
    };
    file.drop_cache();
    file.advise_sequential();
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    loop {
        let n = file.read_full_at(&mut buffer, offset)?;
        hasher.update(&buffer[..n]);
        offset += n as u64;
        if n < buffer.len() {
            return Ok(Some((*hasher.finalize().as_bytes(), offset)));
        }
    }
}

/// Reads the seals of the snapshots of a job, oldest first; whatever looks like a snapshot and has no whole seal is a
/// problem. Those that were asked for; `missing` loses the names that were found.
pub(super) fn seals(
    findings: &Findings<'_>,
    target: &Target,
    job: &str,
    wanted: &[String],
    missing: &mut Vec<String>,
) -> Result<Vec<Seal>, Error> {
    let Seals { mut whole, mut broken } = catalog::seals(target, job)?;
    let mut trees = names(target.job_dir_if_any(job)?)?;
    // A run that died before its tree got its name is no snapshot that was deleted.
    let unfinished = unfinished(target, job)?;
    let mut deleted = Vec::new();
    let mut has_tree = |name: &str| {
        let has_tree = trees.contains(name.as_bytes());
        if !has_tree && !unfinished.contains(name.as_bytes()) {
            deleted.push(name.to_owned());
        }
        has_tree
    };
    whole.retain(|s| has_tree(&s.snapshot));
    broken.retain(|u| has_tree(&u.name));
    tell_deleted(findings, job, &deleted);
    missing.retain(|name| !trees.contains(name.as_bytes()));
    for name in whole.iter().map(|s| &s.snapshot).chain(broken.iter().map(|u| &u.name)) {
        trees.remove(name.as_bytes());
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    for unsealed in broken.iter().filter(|u| is_wanted(&u.name)) {
        findings.tell(unsealed.problem_of_job());
    }
    for name in trees.iter().filter(|name| is_wanted(&String::from_utf8_lossy(name))) {
        let what = "there is no record of it, so nothing proves that it is complete";
        findings.problem(name, ProblemKind::Unsealed, what.into());
    }
    whole.retain(|s| is_wanted(&s.snapshot));
    whole.sort_by_key(|s| s.generation);
    Ok(whole)
}

/// Returns the names of the snapshots of a job that runs are, or were, at.
pub(crate) fn unfinished(target: &Target, job: &str) -> Result<BTreeSet<Vec<u8>>, Error> {
    names(target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])?)
}

/// Returns the names of the folders in a folder.
fn names(dir: Option<Dir>) -> Result<BTreeSet<Vec<u8>>, Error> {
    let listing = dir.map(|dir| dir.list()).transpose()?.unwrap_or_default();
    Ok(listing.iter().filter(|e| e.kind == Kind::Dir).map(|e| e.name.to_vec()).collect())
}

/// To delete a dated folder is a user's good right. One line for all: their records stay, and nobody need do anything.
pub(crate) fn tell_deleted(findings: &Findings<'_>, job: &str, deleted: &[String]) {
    let what = match deleted {
        [] => return,
        [one] => format!("snapshot {one} of job {job} was deleted by hand; its record stays"),
        all => format!("{} snapshots of job {job} were deleted by hand; their records stay", all.len()),
    };
    findings.notice(format!("{what}, as others may need the digests in it"));
}

/// Proves the record of one snapshot; returns whether the manifest can be relied on.
pub(super) fn check(findings: &Findings<'_>, target: &Target, job: &str, seal: &Seal) -> Result<bool, Error> {
    let name = seal.snapshot.as_bytes();
    if let Some(fault) = digests_fault(target, job, seal) {
        findings.problem(name, ProblemKind::Damaged, fault);
    }
    match manifest_fault(target, job, seal)? {
        Some(fault) => {
            findings.problem(name, ProblemKind::Damaged, fault);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// Tells of what interrupted runs left behind, or that a run is at work: what it makes is no leftover.
pub(super) fn leftovers(findings: &Findings<'_>, target: &Target, jobs: &[String]) -> Result<(), Error> {
    if let Some(holder) = target.holder() {
        findings.notice(format!("a backup is at work ({holder}); what it has not finished is not looked at"));
        return Ok(());
    }
    for job in jobs {
        let partial = match target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()]) {
            // Another user's, who hears of it.
            Err(error) if error.fault() == Faults::Denied => None,
            other => other?,
        };
        let count = partial.map(|dir| dir.list()).transpose()?.map_or(0, |l| l.len());
        if count > 0 {
            findings.notice(format!("job {job} has {count} unfinished snapshot(s); the next backup takes them over"));
        }
    }
    for job in jobs {
        let repair = target.ours_dir_if_any(&[layout::REPAIR, job.as_bytes()])?;
        let count = repair.map(|dir| dir.list()).transpose()?.map_or(0, |l| l.len());
        if count > 0 {
            findings.notice(format!("a repair of job {job} was interrupted; `hardback repair` goes on with it"));
        }
    }
    let trash = target.ours_dir_if_any(&[layout::TRASH])?;
    let count = trash.map(|dir| dir.list()).transpose()?.map_or(0, |l| l.len());
    if count > 0 {
        findings.notice(format!("{count} entries wait in the trash; the next backup removes them"));
    }
    Ok(())
}
