//! Proves the records: seals, manifests, digest lists.

use super::Findings;
use crate::catalog;
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
    fault("record", found, seal.manifest, seal.manifest_bytes)
}

/// Returns what is wrong with the digest list of a sealed snapshot's own generation, if anything.
fn digests_fault(target: &Target, job: &str, seal: &Seal) -> Result<Option<String>, Error> {
    let dir = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()])?;
    let found = digest_of(dir.as_ref(), &layout::digests_name(seal.generation));
    fault("digest list", found, seal.digests, seal.totals.new_files.saturating_mul(DIGEST_BYTES as u64))
}

fn fault(
    what: &str,
    found: Result<Option<(Digest, u64)>, PathError>,
    digest: Digest,
    bytes: u64,
) -> Result<Option<String>, Error> {
    Ok(match found {
        Ok(None) => Some(format!("its {what} is missing")),
        Ok(Some((_, found))) if found != bytes => Some(format!("its {what} has {found} bytes and should have {bytes}")),
        Ok(Some((found, _))) if found != digest => Some(format!("its {what} is not the one that was sealed")),
        Ok(Some(_)) => None,
        Err(error) => Some(format!("its {what} cannot be read: {}", error.source)),
    })
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

/// Reads the seals of a job, oldest first; whatever looks like a snapshot and has no whole seal is a problem.
pub(super) fn seals(findings: &Findings<'_>, target: &Target, job: &str) -> Result<Vec<Seal>, Error> {
    let mut seals = catalog::seals(target, job)?;
    seals.sort_by_key(|s| s.generation);
    let whole: BTreeSet<&[u8]> = seals.iter().map(|s| s.snapshot.as_bytes()).collect();
    let mut broken = BTreeSet::new();
    if let Some(dir) = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])? {
        for entry in dir.list()?.iter() {
            let name = layout::snapshot_of_seal(entry.name).filter(|name| !whole.contains(name.as_bytes()));
            if let Some(name) = name {
                findings.problem(name.as_bytes(), ProblemKind::Unsealed, "its seal is damaged".into());
                broken.insert(name.as_bytes().to_vec());
            }
        }
    }
    if let Some(trees) = target.job_dir_if_any(job)? {
        for entry in trees.list()?.iter().filter(|e| e.kind == Kind::Dir) {
            if !whole.contains(entry.name) && !broken.contains(entry.name) {
                let what = "there is no record of it, so nothing proves that it is complete";
                findings.problem(entry.name, ProblemKind::Unsealed, what.into());
            }
        }
    }
    drop(whole);
    Ok(seals)
}

/// Proves the record of one snapshot; returns whether the manifest can be relied on.
pub(super) fn check(findings: &Findings<'_>, target: &Target, job: &str, seal: &Seal) -> Result<bool, Error> {
    let name = seal.snapshot.as_bytes();
    if let Some(fault) = digests_fault(target, job, seal)? {
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

/// Tells of what interrupted runs left behind.
pub(super) fn leftovers(findings: &Findings<'_>, target: &Target, jobs: &[String]) -> Result<(), Error> {
    for job in jobs {
        let partial = target.ours_dir_if_any(&[layout::PARTIAL, job.as_bytes()])?;
        let count = partial.map(|dir| dir.list()).transpose()?.map_or(0, |l| l.len());
        if count > 0 {
            findings.notice(format!("job {job} has {count} unfinished snapshot(s); the next backup takes them over"));
        }
    }
    let trash = target.ours_dir_if_any(&[layout::TRASH])?;
    let count = trash.map(|dir| dir.list()).transpose()?.map_or(0, |l| l.len());
    if count > 0 {
        findings.notice(format!("{count} entries wait in the trash; the next backup removes them"));
    }
    Ok(())
}
