//! Which snapshots a target has, from their seals. Nothing is cached: a seal is a few hundred bytes.

use crate::clock::timestamp;
use crate::error::Error;
use crate::manifest::{Reader, Seal};
use crate::problem::{Problem, ProblemKind};
use crate::target::{Target, layout};
use hardback_platform::{Dir, Faults, FileRead, Kind, PathError};
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

/// The snapshots of a job.
#[derive(Debug, Clone, Default)]
#[must_use = "a snapshot without a whole seal is a problem"]
pub struct Snapshots {
    /// Those with a whole seal, oldest first (by generation).
    pub sealed: Vec<Snapshot>,
    /// Those that are there and whose seal cannot be read or is damaged, oldest first (by name).
    pub unsealed: Vec<Unsealed>,
}

/// A snapshot whose seal is of no use: nothing is known of it but its name, and nothing of it is ever touched.
#[derive(Debug, Clone)]
pub struct Unsealed {
    /// Job.
    pub job: String,
    /// Name.
    pub name: String,
    /// What is wrong with the seal, or with the folder.
    pub why: String,
    kind: ProblemKind,
}

impl Unsealed {
    fn new(job: &str, name: &str, failure: Option<&PathError>) -> Self {
        let (kind, why) = match failure {
            Some(error) => (ProblemKind::Unreadable, format!("its seal cannot be read: {}", error.source)),
            None => (ProblemKind::Unsealed, "its seal is damaged".to_owned()),
        };
        Self { job: job.to_owned(), name: name.to_owned(), why, kind }
    }

    fn unseen(job: &str, name: &str, error: &PathError) -> Self {
        let why = format!("its folder cannot be looked at: {}", error.source);
        Self { job: job.to_owned(), name: name.to_owned(), why, kind: ProblemKind::Unreadable }
    }

    /// Returns it as a problem of the target.
    pub fn problem(&self) -> Problem {
        Problem::with_detail(format!("{}/{}", self.job, self.name).as_bytes(), self.kind, self.why.clone())
    }

    /// Returns it as a problem at its name alone.
    pub(crate) fn problem_of_job(&self) -> Problem {
        Problem::with_detail(self.name.as_bytes(), self.kind, self.why.clone())
    }

    fn refusal(&self) -> Error {
        Error::refused(
            format!("snapshot {} cannot be used: {}", self.name, self.why),
            "its files are plain files and can be copied; `hardback verify` tells more",
        )
    }
}

/// Returns the snapshots of a job.
///
/// # Errors
/// The target cannot be listed. A single snapshot that cannot be looked at is among the unsealed.
pub fn snapshots(target: &Target, job: &str) -> Result<Snapshots, Error> {
    let mut snapshots = Snapshots::default();
    let Some(trees) = target.job_dir_if_any(job)? else { return Ok(snapshots) };
    let seals = seals(target, job)?;
    for seal in seals.whole {
        let name = seal.snapshot.clone();
        match trees.stat(name.as_bytes()) {
            Ok(m) if m.kind == Kind::Dir => snapshots.sealed.push(Snapshot { job: job.to_owned(), name, seal }),
            Err(e) if e.fault() != Faults::Vanished => snapshots.unsealed.push(Unsealed::unseen(job, &name, &e)),
            // Its tree was deleted, or has not got its name yet.
            _ => {}
        }
    }
    for unsealed in seals.broken {
        match trees.stat(unsealed.name.as_bytes()) {
            Ok(m) if m.kind != Kind::Dir => {}
            Err(e) if e.fault() == Faults::Vanished => {}
            _ => snapshots.unsealed.push(unsealed),
        }
    }
    snapshots.sealed.sort_by_key(|s| s.seal.generation);
    snapshots.unsealed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(snapshots)
}

/// Returns the problem of a job that another user closed, for verbs that look at all jobs: the others are not worse for
/// it.
///
/// # Errors
/// Any other error is returned as it is.
pub fn closed_job(job: &str, error: Error) -> Result<Problem, Error> {
    match error {
        Error::Path(e) if e.fault() == Faults::Denied => {
            Ok(Problem::with_detail(job.as_bytes(), ProblemKind::Unreadable, format!("cannot {}: {}", e.op, e.source)))
        }
        error => Err(error),
    }
}

impl Snapshots {
    /// Returns the snapshot of a name.
    ///
    /// # Errors
    /// There is none, or its seal is of no use.
    pub(crate) fn named(&self, job: &str, name: &str) -> Result<&Snapshot, Error> {
        if let Some(unsealed) = self.unsealed.iter().find(|u| u.name == name) {
            return Err(unsealed.refusal());
        }
        let missing = || Error::not_found(format!("job {job:?} has no snapshot {name:?}"));
        self.sealed.iter().find(|s| s.name == name).ok_or_else(missing)
    }
}

/// The seals of a job, those without a tree too.
#[derive(Debug, Default)]
pub(crate) struct Seals {
    /// Those that are whole.
    pub(crate) whole: Vec<Seal>,
    /// Those that are there and cannot be read or are damaged.
    pub(crate) broken: Vec<Unsealed>,
}

impl Seals {
    /// Returns whether a snapshot of this name has, or had, a seal.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.whole.iter().any(|s| s.snapshot == name) || self.broken.iter().any(|u| u.name == name)
    }
}

/// Reads all seals of a job.
pub(crate) fn seals(target: &Target, job: &str) -> Result<Seals, Error> {
    let mut seals = Seals::default();
    let Some(dir) = target.ours_dir_if_any(&[layout::MANIFESTS, job.as_bytes()])? else { return Ok(seals) };
    for entry in dir.list()?.iter() {
        let Some(name) = layout::snapshot_of_seal(entry.name) else { continue };
        match dir.open_file(entry.name).and_then(|file| file.read_to_vec(SEAL_BYTES_MAX)) {
            Ok(bytes) => match whole_seal(&bytes).filter(|seal| seal.snapshot == name) {
                Some(seal) => seals.whole.push(seal),
                None => seals.broken.push(Unsealed::new(job, name, None)),
            },
            Err(error) => seals.broken.push(Unsealed::new(job, name, Some(&error))),
        }
    }
    Ok(seals)
}

/// Reads the seal of a snapshot in the folder of the records of its job; `None` where there is none that is whole.
pub(crate) fn seal_in(records: &Dir, snapshot: &str) -> Option<Seal> {
    let bytes = records.open_file(&layout::seal_name(snapshot)).and_then(|file| file.read_to_vec(SEAL_BYTES_MAX));
    whole_seal(&bytes.ok()?).filter(|seal| seal.snapshot == snapshot)
}

/// Parses a seal; `None` for anything that is no whole seal.
pub(crate) fn whole_seal(bytes: &[u8]) -> Option<Seal> {
    Seal::from_text(std::str::from_utf8(bytes).ok()?)
}

/// Returns the highest generation that a job has used, as far as that can be told: by its seals, by the records of those
/// whose seal is of no use, and by its digest lists. A generation is never used again.
pub(crate) fn highest_generation(target: &Target, job: &str, seals: &Seals) -> Result<u32, Error> {
    let of_seals = seals.whole.iter().map(|s| s.generation);
    let of_record = |u: &Unsealed| Some(open_manifest(target, job, &u.name).ok()?.header().generation);
    let of_records = seals.broken.iter().filter_map(of_record);
    let highest = of_seals.chain(of_records).max().unwrap_or(0);
    Ok(highest.max(highest_digest_list(target, job)?))
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

/// Returns the highest generation that has a digest list, 0 if there is none.
fn highest_digest_list(target: &Target, job: &str) -> Result<u32, Error> {
    let Some(dir) = target.ours_dir_if_any(&[layout::DIGESTS, job.as_bytes()])? else { return Ok(0) };
    Ok(dir.list()?.iter().filter_map(|e| layout::generation_of_digests(e.name)).max().unwrap_or(0))
}

/// Finds the job that is meant: the given one, or the only one.
pub fn choose_job(target: &Target, job: Option<&str>, host: &str) -> Result<String, Error> {
    let all = jobs(target)?;
    let listed = || all.join(", ");
    match job {
        Some(job) if all.iter().any(|j| j == job) => Ok(job.to_owned()),
        Some(job) => Err(Error::not_found(format!("there is no job {job:?} in this target (it has: {})", listed()))),
        None => match &all[..] {
            [only] => Ok(only.clone()),
            [] => Err(Error::not_found("this target has no snapshots yet")),
            _ if all.iter().any(|j| j == host) => Ok(host.to_owned()),
            _ => Err(Error::refused(format!("this target has several jobs: {}", listed()), "name one with --job")),
        },
    }
}

/// Finds the snapshot that is meant by a name, `latest`, a date, a date and time, or a span such as "2 days ago".
///
/// A point in time means the newest snapshot that was started at or before it; a bare date means the end of that day.
/// Returns with it the snapshots that may be what was meant and whose seal is of no use.
///
/// # Errors
/// There is none, or its seal is of no use.
pub fn find_snapshot(
    all: &Snapshots,
    when: &str,
    now: hardback_platform::Time,
    zone: &TimeZone,
) -> Result<(Snapshot, Vec<Unsealed>), Error> {
    if let Some(named) = all.sealed.iter().find(|s| s.name == when) {
        return Ok((named.clone(), Vec::new()));
    }
    if let Some(unsealed) = all.unsealed.iter().find(|u| u.name == when) {
        return Err(unsealed.refusal());
    }
    let (newest, oldest) = match (all.sealed.last(), all.sealed.first(), all.unsealed.last()) {
        (Some(newest), Some(oldest), _) => (newest, oldest),
        (_, _, Some(unsealed)) => return Err(unsealed.refusal()),
        _ => return Err(Error::not_found("there is no snapshot yet")),
    };
    if when == "latest" {
        return Ok((newest.clone(), passed_over(all, newest, None)));
    }
    let point = point_in_time(when, timestamp(now), zone).ok_or_else(|| {
        if is_like_a_name(when) {
            let hint = "`hardback snapshots` lists those that there are".to_owned();
            return Error::NotFound { message: format!("there is no snapshot {when}"), hint: Some(hint) };
        }
        Error::refused(
            format!("{when:?} is neither the name of a snapshot nor a time"),
            "give a name from `hardback snapshots`, latest, 2026-11-20, \"2026-11-20 18:00\" or \"2 days ago\"",
        )
    })?;
    let at_or_before = all.sealed.iter().filter(|s| timestamp(s.seal.started) <= point);
    let found = at_or_before.max_by_key(|s| s.seal.generation).ok_or_else(|| {
        Error::refused(format!("there is no snapshot for {when:?}"), format!("the oldest is {}", oldest.name))
    })?;
    // Names tell the time as they sort.
    Ok((found.clone(), passed_over(all, found, Some(&layout::snapshot_name(point, zone, |_| false)))))
}

/// Returns the snapshots without a whole seal that are newer than the one found and not newer than what was asked for.
fn passed_over(all: &Snapshots, found: &Snapshot, until: Option<&str>) -> Vec<Unsealed> {
    let is_between = |u: &&Unsealed| u.name > found.name && until.is_none_or(|until| *u.name <= *until);
    all.unsealed.iter().filter(is_between).cloned().collect()
}

/// Returns whether a text could be the name of a snapshot; as a time it is not meant then.
fn is_like_a_name(text: &str) -> bool {
    let date = text.split_once('_').and_then(|(date, _)| date.parse::<jiff::civil::Date>().ok());
    date.is_some() && text.contains('.')
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
