//! Removing a snapshot, beside `rm -rf` of another one on the same volume.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::copies::BackedUp;
use crate::bench::lab::Lab;
use crate::bench::measure::Cache;
use crate::bench::race::{Contender, race, table};
use crate::bench::table::Table;
use crate::bench::tools::{RM, STAT_ALL, shell};
use crate::bench::volume::Kind;
use crate::steps::Steps;

const SNAPSHOTS: usize = 10;

/// How long the target may be locked, in seconds.
const LOCKED_S_MAX: f64 = 1.0;

pub fn one_of_ten(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("prune");
    let mut locked_s: f64 = 0.0;
    for kind in &lab.options.volumes {
        let ours = BackedUp::new(lab, *kind, lab.small.root())?;
        let backup = lab.hardback.backup(lab.small.root(), &ours.target);
        // Each contender removes one a run; what both need is made before the race, as it would warm only one of them.
        for _ in 1..SNAPSHOTS + 2 * (lab.options.runs - 1) {
            lab.timed(Cache::Warm, &backup)?;
        }
        let job = ours.tree.parent().context("a snapshot lies in its job's folder")?;
        let mut contenders = Vec::new();
        contenders.push(Contender::new("hardback prune", |_| {
            let keep = snapshots(job)?.len() - 1;
            let sample = lab.timed(Cache::Warm, &lab.hardback.prune(&ours.target, keep))?;
            locked_s = locked_s.max(sample.report["locked_s"].as_f64().context("no locked_s")?);
            Ok(sample)
        }));
        let rm = |cache| lab.timed(cache, &shell(RM, &[&oldest(job)?, ours.volume.path()]));
        contenders.push(Contender::new("rm -rf", rm).ratio_at_most(ratio_max(*kind)));
        let warm_up = || lab.timed(Cache::Warm, &shell(STAT_ALL, &[&oldest(job)?])).map(drop);
        race(&mut table, (*kind, Cache::Warm), lab.options.runs, &warm_up, contenders)?;
    }
    table.note = format!("The target was locked for {locked_s:.3} s at most (limit {LOCKED_S_MAX} s).");
    Ok(vec![table])
}

fn ratio_max(kind: Kind) -> f64 {
    match kind {
        Kind::Ext4 => 0.6,
        Kind::Xfs => 0.8,
        Kind::Btrfs => 1.0,
    }
}

/// The dated folders of a job, oldest first.
fn snapshots(job: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(job)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

fn oldest(job: &Path) -> Result<PathBuf> {
    snapshots(job)?.into_iter().next().context("no snapshot is left")
}
