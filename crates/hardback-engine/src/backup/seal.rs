//! Sealing: the order in which a finished tree becomes a snapshot. Until the last rename it does not exist.

use super::collect::Recorded;
use super::shared::Shared;
use crate::error::Error;
use crate::manifest::Seal;
use crate::report::Phase;
use crate::target::{PRIVATE_DIR, Target, layout, open_or_make_dir};
use hardback_platform::{Dir, Faults, PathError, Time};

/// What sealing needs to know.
pub(super) struct Sealing<'a> {
    pub(super) target: &'a Target,
    pub(super) job: &'a str,
    pub(super) snapshot: &'a str,
    pub(super) generation: u32,
    pub(super) started: Time,
    pub(super) utc_offset_s: i32,
    /// The folder of the unfinished snapshot.
    pub(super) partial: &'a Dir,
}

impl Sealing<'_> {
    /// Makes the snapshot final. A sync error is final too: the kernel reports it once, so nothing here is retried,
    /// and the unfinished snapshot is not offered for taking over.
    pub(super) fn seal(&self, shared: &Shared<'_>, recorded: Recorded) -> Result<Seal, Error> {
        shared.ctx.monitor.phase(Phase::Syncing);
        let synced = self.sync_all(shared, &recorded);
        if let Err(error) = synced {
            self.poison(shared);
            return Err(error);
        }
        let manifests = self.target.ours_dir(&[layout::MANIFESTS, self.job.as_bytes()])?;
        let digests = self.target.ours_dir(&[layout::DIGESTS, self.job.as_bytes()])?;
        let seal = self.text(shared, &recorded);
        drop(recorded);
        self.partial.rename_over(layout::PARTIAL_DIGESTS, &digests, &layout::digests_name(self.generation))?;
        self.partial.rename_over(layout::PARTIAL_MANIFEST, &manifests, &layout::manifest_name(self.snapshot))?;
        digests.sync()?;
        manifests.sync()?;
        let file = manifests.create_file(&layout::seal_name(self.snapshot), 0o600)?;
        file.write_all_at(seal.to_text().as_bytes(), 0)?;
        file.sync()?;
        drop(file);
        manifests.sync()?;
        let trees = open_or_make_dir(&self.target.root, self.job.as_bytes(), PRIVATE_DIR)?;
        self.target.root.sync()?;
        self.partial.rename_new(layout::PARTIAL_TREE, &trees, self.snapshot.as_bytes())?;
        trees.sync()?;
        point_latest(self.target, &trees, self.snapshot)?;
        Ok(seal)
    }

    fn sync_all(&self, shared: &Shared<'_>, recorded: &Recorded) -> Result<(), Error> {
        if shared.target.volume_sync {
            self.partial.sync_volume()?;
        }
        recorded.digests.sync()?;
        recorded.manifest.sink.sync()
    }

    fn poison(&self, shared: &Shared<'_>) {
        // Without its record nothing of the tree is taken over.
        if let Err(error) = self.partial.unlink(layout::PARTIAL_MANIFEST) {
            shared.ctx.monitor.notice(&format!("{error}: {}", error.source));
        }
    }

    fn text(&self, shared: &Shared<'_>, recorded: &Recorded) -> Seal {
        Seal {
            snapshot: self.snapshot.to_owned(),
            generation: self.generation,
            started: self.started,
            utc_offset_s: self.utc_offset_s,
            sealed: shared.ctx.clock.now(),
            manifest: recorded.manifest.digest,
            manifest_bytes: recorded.manifest.written_bytes,
            digests: recorded.digests_digest,
            generations: recorded.manifest.generations.clone(),
            totals: recorded.manifest.totals,
            limitations: shared.limitations.list().iter().map(|l| l.kind.code().to_owned()).collect(),
        }
    }
}

/// Points `latest` to a snapshot: a symlink, or a text file where the volume has none.
pub(super) fn point_latest(target: &Target, trees: &Dir, snapshot: &str) -> Result<(), PathError> {
    let temporary = b"latest.new";
    match target.ours.unlink(temporary) {
        Err(e) if e.fault() != Faults::Vanished => return Err(e),
        _ => {}
    }
    match target.ours.symlink(snapshot.as_bytes(), temporary) {
        Ok(()) => {}
        Err(e) if matches!(e.fault(), Faults::Denied | Faults::Unsupported | Faults::BadName) => {
            let file = target.ours.create_file(temporary, 0o600)?;
            file.write_all_at(snapshot.as_bytes(), 0)?;
            file.write_all_at(b"\n", snapshot.len() as u64)?;
        }
        Err(e) => return Err(e),
    }
    target.ours.rename_over(temporary, trees, layout::LATEST)?;
    trees.sync()
}
