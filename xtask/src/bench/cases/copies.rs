//! Whole copies onto empty volumes: first backups and restores.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::lab::Lab;
use crate::bench::measure::{Cache, ensure_reported};
use crate::bench::race::{Contender, race, table};
use crate::bench::table::Table;
use crate::bench::tools::{CP, RSYNC, TAR, shell};
use crate::bench::volume::{Kind, Volume};
use crate::steps::Steps;

/// What hardback's time may be of its peers'.
#[derive(Clone, Copy, Default)]
pub struct FirstLimits {
    rsync: Option<f64>,
    tar: Option<f64>,
}

pub fn first_small(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let limits = FirstLimits { rsync: Some(0.5), tar: Some(0.85) };
    Ok(vec![first(lab, "first-small", lab.small.root(), limits)?])
}

pub fn first_large(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    Ok(vec![first(lab, "first-large", &lab.source("large"), FirstLimits::default())?])
}

/// First backups of `source` on each kind of volume.
pub fn first(lab: &Lab, title: &str, source: &Path, limits: FirstLimits) -> Result<Table> {
    let mut table = table(title);
    for kind in &lab.options.volumes {
        for cache in &lab.options.caches {
            let rsync = lab.rsync.as_path();
            let mut contenders = vec![
                backup(lab, *kind, source),
                copy(lab, *kind, "rsync -aHAX", source, RSYNC, Some(rsync)).ratio_at_most(limits.rsync),
                copy(lab, *kind, "tar \\| tar", source, TAR, None).ratio_at_most(limits.tar),
                copy(lab, *kind, "cp -a", source, CP, None),
            ];
            if let Some(old) = &lab.options.rsync_old {
                contenders.push(copy(lab, *kind, "old rsync -aHAX", source, RSYNC, Some(old)));
            }
            race(&mut table, (*kind, *cache), lab.options.runs, &|| lab.read(source), contenders)?;
        }
    }
    Ok(table)
}

fn backup<'l>(lab: &'l Lab, kind: Kind, source: &'l Path) -> Contender<'l> {
    Contender::new("hardback", move |cache| {
        lab.last_change.wait_until_past();
        let volume = lab.volume(kind)?;
        let task = lab.hardback.backup(source, &volume.path().join("target"));
        let sample = lab.timed_on(cache, &task, &volume)?;
        ensure_reported(&sample, "problems", 0)?;
        Ok(sample)
    })
}

/// A copy of `source` onto an empty volume by `script`.
fn copy<'l>(
    lab: &'l Lab,
    kind: Kind,
    name: &str,
    source: &'l Path,
    script: &'static str,
    program: Option<&'l Path>,
) -> Contender<'l> {
    Contender::new(name, move |cache| {
        let volume = lab.volume(kind)?;
        let copy = volume.path().join("copy");
        let task = shell(script, &[source, &copy, program.unwrap_or(Path::new(""))]);
        lab.timed_on(cache, &task, &volume)
    })
}

pub fn restore_small(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("restore-small");
    for kind in &lab.options.volumes {
        let backed_up = BackedUp::new(lab, *kind, lab.small.root())?;
        for cache in &lab.options.caches {
            let hardback = Contender::new("hardback restore", |cache| {
                let volume = lab.volume(Kind::Ext4)?;
                let task = lab.hardback.restore(&backed_up.target, &volume.path().join("restored"));
                lab.timed_on(cache, &task, &volume)
            });
            let cp = copy(lab, Kind::Ext4, "cp -a", &backed_up.tree, CP, None).ratio_at_most(1.0);
            let warm_up = || lab.read(&backed_up.tree);
            race(&mut table, (*kind, *cache), lab.options.runs, &warm_up, vec![hardback, cp])?;
        }
    }
    Ok(vec![table])
}

/// A volume with one snapshot.
pub struct BackedUp {
    pub target: PathBuf,
    /// The snapshot.
    pub tree: PathBuf,
    pub volume: Volume,
}

impl BackedUp {
    pub fn new(lab: &Lab, kind: Kind, source: &Path) -> Result<Self> {
        lab.last_change.wait_until_past();
        let volume = lab.volume(kind)?;
        let target = volume.path().join("target");
        let sample = lab.timed(Cache::Warm, &lab.hardback.backup(source, &target))?;
        let tree = sample.report["path"].as_str().context("hardback did not say where the snapshot is")?.into();
        Ok(Self { target, tree, volume })
    }
}
