//! Which snapshots a target has, from their seals. Nothing is cached: a seal is a few hundred bytes.

use crate::clock::timestamp;
use crate::error::Error;
use crate::manifest::{Reader, Seal};
use crate::target::{Target, layout};
use hardback_platform::{Faults, FileRead, Kind};
use jiff::tz::TimeZone;

/// Longest seal that is read.
pub(crate) const SEAL_BYTES_MAX: usize = 1 << 20;

/// A sealed snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Job.
    pub job: String,
    /// Name.
    pub name: String,
    /// What its seal says.
    pub seal: Seal,
}

/// Returns the names of the jobs that have snapshots.
pub fn jobs(target: &Target) -> Result<Vec<String>, Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::MANIFESTS])? else { return Ok(Vec::new()) };
    let listing = dir.list()?;
    let names = listing.iter().filter(|e| e.kind == Kind::Dir);
    Ok(names.filter_map(|e| String::from_utf8(e.name.to_vec()).ok()).collect())
}

/// Returns the sealed snapshots of a job, oldest first (by generation).
pub fn snapshots(target: &Target, job: &str) -> Result<Vec<Snapshot>, Error> {
    let Some(trees) = target.job_dir_if_any(job)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for seal in seals(target, job)? {
        match trees.stat(seal.snapshot.as_bytes()) {
            Ok(m) if m.kind == Kind::Dir => {
                all.push(Snapshot { job: job.to_owned(), name: seal.snapshot.clone(), seal });
            }
            // Its tree was deleted, or has not got its name yet.
            Err(e) if e.fault() != Faults::Vanished => return Err(e.into()),
            _ => {}
        }
    }
    all.sort_by_key(|s| s.seal.generation);
    Ok(all)
}

/// Returns all whole seals of a job, those without a tree too.
pub(crate) fn seals(target: &Target, job: &str) -> Result<Vec<Seal>, Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])? else { return Ok(Vec::new()) };
    let mut seals = Vec::new();
    for entry in dir.list()?.iter() {
        let Some(name) = layout::snapshot_of_seal(entry.name) else { continue };
        let bytes = dir.open_file(entry.name)?.read_to_vec(SEAL_BYTES_MAX).map_err(|e| e.under(entry.name))?;
        if let Some(seal) = std::str::from_utf8(&bytes).ok().and_then(Seal::from_text)
            && seal.snapshot == name
        {
            seals.push(seal);
        }
    }
    Ok(seals)
}

/// Opens the manifest of a snapshot.
pub fn open_manifest(target: &Target, job: &str, snapshot: &str) -> Result<Reader<FileRead>, Error> {
    let dir = target.ours_dir(&[layout::MANIFESTS, job.as_bytes()])?;
    let file = dir.open_file(&layout::manifest_name(snapshot))?;
    Reader::open(file).map_err(|source| Error::Manifest { snapshot: snapshot.to_owned(), source })
}

/// Opens the file of a manifest.
pub(crate) fn open_manifest_file(target: &Target, job: &str, snapshot: &str) -> Result<FileRead, Error> {
    let dir = target.ours_dir(&[layout::MANIFESTS, job.as_bytes()])?;
    Ok(dir.open_file(&layout::manifest_name(snapshot))?)
}

/// Returns the highest generation that has a digest list, 0 if there is none: a generation is never used again.
pub(crate) fn highest_digest_list(target: &Target, job: &str) -> Result<u32, Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()])? else { return Ok(0) };
    let number = |name: &[u8]| std::str::from_utf8(name).ok()?.strip_suffix(".b3")?.parse::<u32>().ok();
    Ok(dir.list()?.iter().filter_map(|e| number(e.name)).max().unwrap_or(0))
}

/// Finds the job that is meant: the given one, or the only one.
pub fn choose_job(target: &Target, job: Option<&str>, host: &str) -> Result<String, Error> {
    let all = jobs(target)?;
    let listed = || all.join(", ");
    match job {
        Some(job) if all.iter().any(|j| j == job) => Ok(job.to_owned()),
        Some(job) => Err(Error::NotFound(format!("there is no job {job:?} in this target (it has: {})", listed()))),
        None => match &all[..] {
            [only] => Ok(only.clone()),
            [] => Err(Error::NotFound("this target has no snapshots yet".into())),
            _ if all.iter().any(|j| j == host) => Ok(host.to_owned()),
            _ => Err(Error::refused(format!("this target has several jobs: {}", listed()), "name one with --job")),
        },
    }
}

/// Finds the snapshot that is meant by a name, `latest`, a date, a date and time, or a span such as "2 days ago".
///
/// A point in time means the newest snapshot that was started at or before it; a bare date means the end of that day.
pub fn find_snapshot(
    all: &[Snapshot],
    when: &str,
    now: hardback_platform::Time,
    zone: &TimeZone,
) -> Result<Snapshot, Error> {
    let none = || Error::NotFound(format!("there is no snapshot for {when:?}"));
    let newest = all.last().ok_or_else(|| Error::NotFound("there is no snapshot yet".into()))?;
    if when == "latest" {
        return Ok(newest.clone());
    }
    if let Some(named) = all.iter().find(|s| s.name == when) {
        return Ok(named.clone());
    }
    let point = point_in_time(when, timestamp(now), zone).ok_or_else(|| {
        Error::refused(
            format!("{when:?} is neither the name of a snapshot nor a time"),
            "give a name from `hardback snapshots`, latest, 2026-11-20, \"2026-11-20 18:00\" or \"2 days ago\"",
        )
    })?;
    let at_or_before = all.iter().filter(|s| timestamp(s.seal.started) <= point);
    at_or_before.max_by_key(|s| s.seal.generation).cloned().ok_or_else(none)
}

fn point_in_time(when: &str, now: jiff::Timestamp, zone: &TimeZone) -> Option<jiff::Timestamp> {
    if let Some(span) = when.strip_suffix("ago") {
        let span: jiff::Span = span.trim().parse().ok()?;
        return now.to_zoned(zone.clone()).checked_sub(span).ok().map(|z| z.timestamp());
    }
    if let Ok(timestamp) = when.parse::<jiff::Timestamp>() {
        return Some(timestamp);
    }
    let whole_day = |date: jiff::civil::Date| date.at(23, 59, 59, 999_999_999);
    let local = match when {
        "today" => whole_day(now.to_zoned(zone.clone()).date()),
        "yesterday" => whole_day(now.to_zoned(zone.clone()).date().yesterday().ok()?),
        _ if when.len() == 10 => whole_day(when.parse().ok()?),
        _ => when.replace('_', " ").parse().ok()?,
    };
    local.to_zoned(zone.clone()).ok().map(|z| z.timestamp())
}
