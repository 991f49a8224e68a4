//! Cases that are not only a race.

use std::path::Path;

use anyhow::Result;

use super::copies::{self, BackedUp, FirstLimits};
use super::snapshots::{self, Limits};
use crate::bench::corpus::SmallFiles;
use crate::bench::lab::Lab;
use crate::bench::measure::{Cache, ensure_reported};
use crate::bench::race::{Contender, race, table};
use crate::bench::table::{Table, met};
use crate::bench::tools::{TAR_READ, shell};
use crate::bench::volume::Kind;
use crate::steps::Steps;

/// What an unchanged run may add beside the tree for each entry.
const RECORD_BYTES_MAX: f64 = 24.0;
/// What the extrapolation is for.
const MANY_ENTRIES: f64 = 10_000_000.0;
const MANY_SNAPSHOTS: f64 = 200.0;

const MEMORY_MIB_MAX: f64 = 64.0;
const HUGE_MEMORY_MIB_MAX: f64 = 96.0;

/// An inode of 512 bytes a file in the biggest tree, and room.
const HUGE_VOLUME_BYTES: u64 = 256 << 30;

pub fn record_size(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    lab.last_change.wait_until_past();
    let volume = lab.volume(Kind::Ext4)?;
    let target = volume.path().join("target");
    let task = lab.hardback.backup(lab.small.root(), &target);
    let mut table = Table::new("record-size", &["run", "entries", "bytes an entry", "expected at most", "met"]);
    let mut per_entry = [0.0; 2];
    for (run, per_entry) in ["first", "unchanged"].into_iter().zip(&mut per_entry) {
        let sample = lab.timed(Cache::Warm, &task)?;
        let entries = sample.reported("entries")?;
        *per_entry = sample.reported("record_bytes")? as f64 / entries as f64;
        let (expected, verdict) = match run {
            "unchanged" => (RECORD_BYTES_MAX.to_string(), met(*per_entry, RECORD_BYTES_MAX)),
            _ => Default::default(),
        };
        table.row([run.to_owned(), entries.to_string(), format!("{per_entry:.1}"), expected, verdict]);
    }
    let [first, unchanged] = per_entry;
    let all = MANY_ENTRIES * (first + unchanged * (MANY_SNAPSHOTS - 1.0));
    table.note = format!(
        "{MANY_SNAPSHOTS} snapshots of {} million entries, of which nothing changed, would keep {:.1} GB beside the trees.",
        MANY_ENTRIES / 1e6,
        all / 1e9,
    );
    Ok(vec![table])
}

pub fn memory(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    lab.last_change.wait_until_past();
    Ok(vec![memory_of(lab, "memory", lab.small.root(), Kind::Ext4, MEMORY_MIB_MAX)?])
}

pub fn memory_huge(lab: &Lab, steps: &mut Steps) -> Result<Vec<Table>> {
    if !lab.options.huge {
        steps.skip("memory-huge", "no --huge");
        return Ok(Vec::new());
    }
    let volume = lab.volume_of(Kind::Xfs, HUGE_VOLUME_BYTES)?;
    let tree = SmallFiles::nearly_empty(volume.path().join("huge"), lab.options.sizes.huge_files);
    tree.write()?;
    lab.last_change.now();
    lab.last_change.wait_until_past();
    Ok(vec![memory_of(lab, "memory-huge", tree.root(), Kind::Xfs, HUGE_MEMORY_MIB_MAX)?])
}

fn memory_of(lab: &Lab, title: &str, source: &Path, kind: Kind, max_mib: f64) -> Result<Table> {
    let volume = lab.volume_of(kind, HUGE_VOLUME_BYTES)?;
    let task = lab.hardback.backup(source, &volume.path().join("target"));
    let mut table = Table::new(title, &["run", "entries", "wall s", "peak MiB", "expected below", "met"]);
    for run in ["first", "unchanged"] {
        let sample = lab.timed(Cache::Warm, &task)?;
        let peak = sample.peak_mib;
        table.row([
            run.to_owned(),
            sample.reported("entries")?.to_string(),
            format!("{:.1}", sample.wall_s),
            format!("{peak:.1}"),
            max_mib.to_string(),
            met(peak, max_mib),
        ]);
    }
    Ok(table)
}

pub fn verify_full(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("verify-full");
    for kind in &lab.options.volumes {
        let backed_up = BackedUp::new(lab, *kind, lab.small.root())?;
        for cache in &lab.options.caches {
            let hardback = Contender::new("hardback verify --full", |cache| {
                let sample = lab.timed(cache, &lab.hardback.verify_full(&backed_up.target))?;
                ensure_reported(&sample, "exit", 0)?;
                Ok(sample)
            });
            let tar = Contender::new("tar, all read", |cache| lab.timed(cache, &shell(TAR_READ, &[&backed_up.tree])))
                .ratio_at_most(1.2);
            let warm_up = || lab.read(&backed_up.tree);
            race(&mut table, (*kind, *cache), lab.options.runs, &warm_up, vec![hardback, tar])?;
        }
    }
    Ok(vec![table])
}

pub fn linux_source(lab: &Lab, steps: &mut Steps) -> Result<Vec<Table>> {
    if !lab.has_linux {
        steps.skip("linux-source", "there is no source of Linux");
        return Ok(Vec::new());
    }
    let source = &lab.source("linux");
    Ok(vec![
        copies::first(lab, "linux-source, first", source, FirstLimits::default())?,
        snapshots::unchanged(lab, "linux-source, unchanged", source, Limits::default())?,
    ])
}
