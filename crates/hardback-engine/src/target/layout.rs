//! Names in a target. Pure.

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Our folder in a target.
pub(crate) const OURS: &[u8] = b".hardback";
/// The marker that proves which target this is.
pub(crate) const MARKER: &[u8] = b"target.toml";
/// The lock file.
pub(crate) const LOCK: &[u8] = b"lock";
/// Folder of manifests and seals, one folder a job.
pub(crate) const MANIFESTS: &[u8] = b"manifests";
/// Folder of digest lists, one folder a job.
pub(crate) const DIGESTS: &[u8] = b"digests";
/// Folder of snapshots being written, one folder a job.
pub(crate) const PARTIAL: &[u8] = b"partial";
/// Folder of what is being deleted.
pub(crate) const TRASH: &[u8] = b"trash";
/// The lock of whoever empties the trash.
pub(crate) const TRASH_LOCK: &[u8] = b"trash.lock";
/// Folder of the notes that people and guards made about snapshots, one folder a job.
pub(crate) const NOTES: &[u8] = b"notes";
/// The lock of whoever changes notes, or removes snapshots by them.
pub(crate) const NOTES_LOCK: &[u8] = b"notes.lock";
/// The lock that everyone shares who reads snapshots at length, and that removing them needs whole.
pub(crate) const READERS_LOCK: &[u8] = b"readers.lock";
/// The file beside the notes of a job that says which of its snapshots the guards have judged.
pub(crate) const JUDGED: &[u8] = b"judged";
/// Folder of what became of each job's last run.
pub(crate) const RUNS: &[u8] = b"runs";
/// Folder of where the scrubs of the jobs are.
pub(crate) const SCRUB: &[u8] = b"scrub";
/// Folder of what a repair makes, one folder a job.
pub(crate) const REPAIR: &[u8] = b"repair";
/// The tree in a partial snapshot.
pub(crate) const PARTIAL_TREE: &[u8] = b"tree";
/// The manifest in a partial snapshot.
pub(crate) const PARTIAL_MANIFEST: &[u8] = b"manifest.zst";
/// The digest list in a partial snapshot.
pub(crate) const PARTIAL_DIGESTS: &[u8] = b"digests.b3";
/// The explanation for whoever finds the disk.
pub(crate) const README: &[u8] = b"README.txt";
/// The pointer to the newest snapshot of a job.
pub(crate) const LATEST: &[u8] = b"latest";

/// Returns the name of a snapshot's manifest.
pub(crate) fn manifest_name(snapshot: &str) -> Vec<u8> {
    format!("{snapshot}.manifest.zst").into_bytes()
}

/// Returns the name of a snapshot's seal.
pub(crate) fn seal_name(snapshot: &str) -> Vec<u8> {
    format!("{snapshot}.seal").into_bytes()
}

/// Returns the name of the note about a snapshot.
pub(crate) fn note_name(snapshot: &str) -> Vec<u8> {
    format!("{snapshot}.toml").into_bytes()
}

/// Returns the snapshot that a note is about.
pub(crate) fn snapshot_of_note(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()?.strip_suffix(".toml")
}

/// Returns the snapshot that a manifest belongs to.
pub(crate) fn snapshot_of_manifest(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()?.strip_suffix(".manifest.zst")
}

/// Returns the generation that a digest list belongs to.
pub(crate) fn generation_of_digests(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.strip_suffix(".b3")?.parse().ok()
}

/// Returns the name of the file that says what became of a job's last run.
pub(crate) fn run_name(job: &str) -> Vec<u8> {
    format!("{job}.toml").into_bytes()
}

/// Returns the snapshot that a seal belongs to.
pub(crate) fn snapshot_of_seal(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()?.strip_suffix(".seal")
}

/// Returns the name of a generation's digest list.
pub(crate) fn digests_name(generation: u32) -> Vec<u8> {
    format!("{generation:08}.b3").into_bytes()
}

/// Returns the name of the file that says where the scrub of a job is.
pub(crate) fn scrub_name(job: &str) -> Vec<u8> {
    format!("{job}.toml").into_bytes()
}

/// Returns the name of a new snapshot: local time, with `b` behind the hour when clocks were put back and the hour
/// runs for the second time, and with a number where the name is taken.
///
/// `02b.10.00` sorts behind all of `02` and before `03`, so names sort as time runs.
pub(crate) fn snapshot_name(now: Timestamp, zone: &TimeZone, is_taken: impl Fn(&str) -> bool) -> String {
    let local: Zoned = now.to_zoned(zone.clone());
    let repeated = match zone.to_ambiguous_zoned(local.datetime()).offset() {
        AmbiguousOffset::Fold { after, .. } => after == local.offset(),
        _ => false,
    };
    let hour = if repeated { "b" } else { "" };
    let name = format!(
        "{:04}-{:02}-{:02}_{:02}{hour}.{:02}.{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    if !is_taken(&name) {
        return name;
    }
    (2..).map(|n| format!("{name}-{n}")).find(|n| !is_taken(n)).expect("there are more numbers than snapshots")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(utc: &str, taken: &[&str]) -> String {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        snapshot_name(utc.parse().unwrap(), &zone, |n| taken.contains(&n))
    }

    #[test]
    fn a_repeated_hour_sorts_behind_the_first_and_before_the_next() {
        let names = [
            name("2026-10-25T00:30:00Z", &[]),
            name("2026-10-25T01:10:00Z", &[]),
            name("2026-10-25T01:30:00Z", &[]),
            name("2026-10-25T02:10:00Z", &[]),
        ];
        assert_eq!(
            names,
            ["2026-10-25_02.30.00", "2026-10-25_02b.10.00", "2026-10-25_02b.30.00", "2026-10-25_03.10.00"]
        );
        assert!(names.is_sorted());
    }

    #[test]
    fn two_runs_in_one_second_get_ordered_names() {
        let first = name("2026-11-20T17:00:00Z", &[]);
        let second = name("2026-11-20T17:00:00Z", &[&first]);
        let next = name("2026-11-20T17:00:01Z", &[]);
        assert_eq!(second, "2026-11-20_18.00.00-2");
        assert!(first < second && second < next);
    }
}
