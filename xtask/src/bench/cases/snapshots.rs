//! Further snapshots of a tree that changed little or not at all.
//!
//! hardback has a volume of its own; the others share one, with a full copy to
//! link from, and what one of them made is removed before the next runs.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::copies::BackedUp;
use crate::bench::corpus;
use crate::bench::lab::Lab;
use crate::bench::link_limit::unsynced_field;
use crate::bench::measure::{Cache, Sample, ensure_reported};
use crate::bench::race::{Contender, race, table};
use crate::bench::table::Table;
use crate::bench::tools::{CP_LINKS, RSNAPSHOT, RSYNC, RSYNC_LINK_DEST, link_every_entry, shell};
use crate::bench::volume::{Kind, Volume};
use crate::process::find_program;
use crate::steps::Steps;

const LINK_THREADS: usize = 2;

/// The large change, and by how much a volume with reflinks may grow for it.
const CHANGE_BYTES: u64 = 1 << 20;
const CHANGE_GROWTH_MIB: f64 = 2.0;

/// What the changes of one file of a hundred may add.
const CHANGED_ALLOWANCE: f64 = 1.15;

/// What hardback's time may be of its peers'.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    rsync: Option<f64>,
    rsync_old: Option<f64>,
    cp: Option<f64>,
    linkat: Option<f64>,
}

const SMALL: Limits = Limits { rsync: Some(0.10), rsync_old: Some(0.30), cp: Some(0.65), linkat: Some(1.5) };

pub fn unchanged_small(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    Ok(vec![unchanged(lab, "unchanged-small", lab.small.root(), SMALL)?])
}

/// Snapshots of `source`, which nobody changes, on each kind of volume.
pub fn unchanged(lab: &Lab, title: &str, source: &Path, limits: Limits) -> Result<Table> {
    let mut table = table(title);
    for kind in &lab.options.volumes {
        let ours = BackedUp::new(lab, *kind, source)?;
        let peers = Peers::new(lab, *kind, source)?;
        let rsnapshot = rsnapshot_config(lab, &peers)?;
        for cache in &lab.options.caches {
            let mut contenders = vec![
                Contender::new("hardback", |cache| {
                    let sample = backup(lab, &ours, source, cache)?;
                    ensure_reported(&sample, "new_files", 0)?;
                    Ok(sample)
                }),
                peers.rsync("rsync -aHAX --link-dest", &lab.rsync).ratio_at_most(limits.rsync),
                peers.cp_links().ratio_at_most(limits.cp),
            ];
            contenders.extend(peers.linkat(limits.linkat));
            if let Some(old) = &lab.options.rsync_old {
                contenders.push(peers.rsync("old rsync -aHAX --link-dest", old).ratio_at_most(limits.rsync_old));
            }
            if let Some(config) = &rsnapshot {
                let task = shell(RSNAPSHOT, &[config, peers.volume.path()]);
                contenders.push(Contender::new("rsnapshot", move |cache| lab.timed(cache, &task)));
            }
            race(&mut table, (*kind, *cache), lab.options.runs, &|| lab.read(source), contenders)?;
        }
    }
    Ok(table)
}

pub fn changed_one_percent(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("changed-1pct");
    let source = lab.small.root();
    let allowed = |limit: Option<f64>| limit.map(|limit| limit * CHANGED_ALLOWANCE);
    for kind in &lab.options.volumes {
        let ours = BackedUp::new(lab, *kind, source)?;
        let peers = Peers::new(lab, *kind, source)?;
        for cache in &lab.options.caches {
            let mut contenders = vec![
                Contender::new("hardback", |cache| {
                    let changed = lab.small.change_one_percent(lab.next_change())?;
                    lab.last_change.now();
                    lab.last_change.wait_until_past();
                    let sample = backup(lab, &ours, source, cache)?;
                    ensure_reported(&sample, "new_files", changed)?;
                    Ok(sample)
                }),
                Contender::new("hardback, nothing changed", |cache| {
                    let sample = backup(lab, &ours, source, cache)?;
                    ensure_reported(&sample, "new_files", 0)?;
                    Ok(sample)
                })
                .ratio_at_most(CHANGED_ALLOWANCE),
                peers.rsync_chain("rsync -aHAX --link-dest", &lab.rsync).ratio_at_most(allowed(SMALL.rsync)),
                peers.cp_links().ratio_at_most(allowed(SMALL.cp)),
            ];
            contenders.extend(peers.linkat(allowed(SMALL.linkat)));
            if let Some(old) = &lab.options.rsync_old {
                let old = peers.rsync_chain("old rsync -aHAX --link-dest", old);
                contenders.push(old.ratio_at_most(allowed(SMALL.rsync_old)));
            }
            race(&mut table, (*kind, *cache), lab.options.runs, &|| lab.read(source), contenders)?;
        }
    }
    Ok(vec![table])
}

pub fn large_change(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("large-1mib-change");
    let source = &lab.source("large");
    for kind in &lab.options.volumes {
        let ours = BackedUp::new(lab, *kind, source)?;
        let peers = Peers::new(lab, *kind, source)?;
        let has_reflinks = *kind != Kind::Ext4;
        let hardback = Contender::new("hardback", |cache| {
            let change = lab.next_change();
            corpus::change_middle(&corpus::large_file(source, change % 4), CHANGE_BYTES, change)?;
            lab.last_change.now();
            let sample = backup(lab, &ours, source, cache)?;
            ensure_reported(&sample, "new_files", 1)?;
            Ok(sample)
        })
        .written_at_most(has_reflinks.then_some(CHANGE_GROWTH_MIB));
        let rsync = peers.rsync_chain("rsync -aHAX --link-dest", &lab.rsync);
        // The growth matters here: more runs or a cold cache do not change it,
        // and no second run means no wait for the hot file of the first.
        race(&mut table, (*kind, Cache::Warm), 1, &|| lab.read(source), vec![hardback, rsync])?;
    }
    Ok(vec![table])
}

pub fn renamed(lab: &Lab, _: &mut Steps) -> Result<Vec<Table>> {
    let mut table = table("renamed-5gb");
    let source = &lab.source("moved");
    let data_mib = lab.options.sizes.moved_bytes as f64 / 1024.0 / 1024.0;
    for kind in &lab.options.volumes {
        let ours = BackedUp::new(lab, *kind, source)?;
        let peers = Peers::new(lab, *kind, source)?;
        for cache in &lab.options.caches {
            let hardback = Contender::new("hardback", |cache| {
                rename_album(source, lab.next_change())?;
                let sample = backup(lab, &ours, source, cache)?;
                ensure_reported(&sample, "new_bytes", 0)?;
                Ok(sample)
            })
            // Folders and our record, but no data.
            .written_at_most(data_mib / 100.0);
            let rsync = peers.rsync("rsync -aHAX --link-dest", &lab.rsync);
            let contenders = [hardback, rsync].into_iter().chain(peers.linkat(None)).collect();
            race(&mut table, (*kind, *cache), lab.options.runs, &|| lab.read(source), contenders)?;
        }
    }
    Ok(vec![table])
}

/// Gives the only folder in `source` another name.
fn rename_album(source: &Path, change: u64) -> Result<()> {
    for entry in fs::read_dir(source)? {
        fs::rename(entry?.path(), source.join(format!("renamed-{change}")))?;
    }
    Ok(())
}

fn backup(lab: &Lab, ours: &BackedUp, source: &Path, cache: Cache) -> Result<Sample> {
    let sample = lab.timed_on(cache, &lab.hardback.backup(source, &ours.target), &ours.volume)?;
    ensure_reported(&sample, "problems", 0)?;
    Ok(sample)
}

/// The volume of the other tools.
struct Peers<'l> {
    lab: &'l Lab,
    source: &'l Path,
    volume: Volume,
    /// A full copy.
    base: PathBuf,
    serial: Cell<u32>,
}

impl<'l> Peers<'l> {
    fn new(lab: &'l Lab, kind: Kind, source: &'l Path) -> Result<Self> {
        let volume = lab.volume(kind)?;
        let base = volume.path().join("base");
        lab.timed(Cache::Warm, &shell(RSYNC, &[source, &base, &lab.rsync]))?;
        Ok(Self { lab, source, volume, base, serial: Cell::new(0) })
    }

    fn new_folder(&self) -> PathBuf {
        let serial = self.serial.replace(self.serial.get() + 1);
        self.volume.path().join(format!("new-{serial}"))
    }

    /// Measures what makes the folder `new`.
    fn timed(&self, cache: Cache, task: &Command) -> Result<Sample> {
        self.lab.timed_on(cache, task, &self.volume)
    }

    /// Measures what makes a new folder, and removes that.
    fn timed_and_removed(&self, cache: Cache, task: impl FnOnce(&Path) -> Result<Command>) -> Result<Sample> {
        let new = self.new_folder();
        let sample = self.timed(cache, &task(&new)?)?;
        fs::remove_dir_all(new)?;
        Ok(sample)
    }

    /// rsync, always from the full copy.
    fn rsync<'p>(&'p self, name: &str, program: &'p Path) -> Contender<'p> {
        Contender::new(name, |cache| {
            self.timed_and_removed(cache, |new| Ok(shell(RSYNC_LINK_DEST, &[self.source, new, program, &self.base])))
        })
    }

    /// rsync, from what it made last.
    fn rsync_chain<'p>(&'p self, name: &str, program: &'p Path) -> Contender<'p> {
        let last = RefCell::new(self.base.clone());
        Contender::new(name, move |cache| {
            let new = self.new_folder();
            let task = shell(RSYNC_LINK_DEST, &[self.source, &new, program, &last.borrow()]);
            let sample = self.timed(cache, &task)?;
            let before = last.replace(new);
            if before != self.base {
                fs::remove_dir_all(before)?;
            }
            Ok(sample)
        })
    }

    fn cp_links(&self) -> Contender<'_> {
        Contender::new("cp -al", |cache| self.timed_and_removed(cache, |new| Ok(shell(CP_LINKS, &[&self.base, new]))))
    }

    /// The bare links, without and with the sync behind them.
    fn linkat(&self, ratio_max: Option<f64>) -> [Contender<'_>; 2] {
        let name = format!("linkat, {LINK_THREADS} threads");
        let run = |cache| self.timed_and_removed(cache, |new| link_every_entry(&self.base, new, LINK_THREADS));
        let unsynced = Contender { unsynced: Some(unsynced_field), ..Contender::new(name.clone(), run) };
        [unsynced.ratio_at_most(ratio_max), Contender::new(format!("{name}, and sync"), run)]
    }
}

/// A configuration for rsnapshot, where it is installed, with a first snapshot.
fn rsnapshot_config(lab: &Lab, peers: &Peers) -> Result<Option<PathBuf>> {
    if find_program("rsnapshot").is_none() {
        return Ok(None);
    }
    let root = peers.volume.path().join("rsnapshot");
    let config = lab.options.dir.join("rsnapshot.conf");
    let lines = [
        ("config_version", "1.2".to_owned()),
        ("snapshot_root", format!("{}/", root.display())),
        ("cmd_cp", "/bin/cp".to_owned()),
        ("cmd_rm", "/bin/rm".to_owned()),
        ("cmd_rsync", lab.rsync.display().to_string()),
        ("rsync_short_args", "-aHAX".to_owned()),
        ("link_dest", "1".to_owned()),
        ("retain", "alpha\t1000".to_owned()),
        ("backup", format!("{}/\tcopy/", peers.source.display())),
    ];
    fs::write(&config, lines.map(|(name, value)| format!("{name}\t{value}\n")).concat())?;
    lab.timed(Cache::Warm, &shell(RSNAPSHOT, &[&config, peers.volume.path()]))?;
    Ok(Some(config))
}
