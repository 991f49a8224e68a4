//! Sealing: the order in which a finished tree becomes a snapshot. Until the last rename it does not exist.

use super::collect::Recorded;
use super::shared::Shared;
use crate::context::Context;
use crate::error::Error;
use crate::manifest::Seal;
use crate::report::{LimitationKind, Phase};
use crate::target::{PRIVATE_DIR, Target, layout, open_or_make_dir};
use hardback_platform::{Dir, Faults, PathError, Time};
use std::sync::atomic::Ordering;

/// What sealing needs to know.
pub(super) struct Sealing<'a> {
    pub(super) target: &'a Target,
    pub(super) job: &'a str,
    pub(super) snapshot: &'a str,
    pub(super) generation: u32,
    pub(super) started: Time,
    pub(super) utc_offset_s: i32,
    pub(super) base: Option<&'a Seal>,
    /// The folder of the unfinished snapshot.
    pub(super) partial: &'a Dir,
}

/// Why sealing failed.
enum Failure {
    /// A sync failed: the kernel reports that once, and nothing tells what is on the disk.
    Sync(Error),
    Other(Error),
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self::Other(error.into())
    }
}

fn synced(result: Result<(), PathError>) -> Result<(), Failure> {
    result.map_err(|e| Failure::Sync(e.into()))
}

impl Sealing<'_> {
    /// Makes the snapshot final. A sync error is final too: nothing here is retried, and the unfinished snapshot is not
    /// offered for taking over.
    pub(super) fn seal(&self, shared: &Shared<'_>, recorded: Recorded) -> Result<Seal, Error> {
        shared.ctx.monitor.phase(Phase::Syncing);
        let seal = match self.write_seal(shared, recorded) {
            Ok(seal) => seal,
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Sync(error)) => {
                self.poison(shared);
                return Err(error);
            }
        };
        let trees = self.target.root.open_dir(self.job.as_bytes())?;
        self.partial.rename_new(layout::PARTIAL_TREE, &trees, self.snapshot.as_bytes())?;
        trees.sync()?;
        point_latest(&shared.ctx, self.target, &trees, self.snapshot);
        Ok(seal)
    }

    /// Brings tree and record to the disk and writes the seal.
    fn write_seal(&self, shared: &Shared<'_>, recorded: Recorded) -> Result<Seal, Failure> {
        // Made before the sync, so that it covers them.
        let manifests = self.target.ours_dir(&[layout::MANIFESTS, self.job.as_bytes()])?;
        let digests = self.target.ours_dir(&[layout::DIGESTS, self.job.as_bytes()])?;
        open_or_make_dir(&self.target.root, self.job.as_bytes(), PRIVATE_DIR)?;
        if shared.target.volume_sync {
            synced(self.partial.sync_volume())?;
        }
        synced(recorded.digests.sync())?;
        synced(recorded.manifest.sink.sync())?;
        synced(self.target.root.sync())?;
        let seal = self.text(shared, &recorded);
        drop(recorded);
        self.partial.rename_over(layout::PARTIAL_DIGESTS, &digests, &layout::digests_name(self.generation))?;
        self.partial.rename_over(layout::PARTIAL_MANIFEST, &manifests, &layout::manifest_name(self.snapshot))?;
        synced(digests.sync())?;
        synced(manifests.sync())?;
        let file = manifests.create_file(&layout::seal_name(self.snapshot), 0o600)?;
        file.write_all_at(seal.to_text().as_bytes(), 0)?;
        synced(file.sync())?;
        drop(file);
        synced(manifests.sync())?;
        Ok(seal)
    }

    /// Returns what the tree lacks: by this run, and in the files that it links.
    fn limitations(&self, shared: &Shared<'_>) -> Vec<String> {
        let mut kinds: Vec<LimitationKind> = shared.limitations.list().iter().map(|l| l.kind).collect();
        if shared.sums.linked.load(Ordering::Relaxed) > 0 {
            let of_base = self.base.map_or(&[][..], |base| &base.limitations);
            let stay = [
                LimitationKind::Owners,
                LimitationKind::Modes,
                LimitationKind::Times,
                LimitationKind::TimeSteps,
                LimitationKind::Xattrs,
                LimitationKind::Names,
            ];
            kinds.extend(stay.into_iter().filter(|kind| of_base.iter().any(|code| code == kind.code())));
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds.into_iter().map(|kind| kind.code().to_owned()).collect()
    }

    /// Without its record nothing of the tree is taken over.
    fn poison(&self, shared: &Shared<'_>) {
        let removed = |dir: Result<Dir, PathError>, name: &[u8]| match dir.and_then(|dir| dir.unlink(name)) {
            Err(e) if e.fault() != Faults::Vanished => {
                shared.ctx.monitor.notice(&format!("{e}: {}", e.source));
            }
            _ => {}
        };
        let manifests = || self.target.ours_dir(&[layout::MANIFESTS, self.job.as_bytes()]);
        removed(manifests(), &layout::seal_name(self.snapshot));
        removed(manifests(), &layout::manifest_name(self.snapshot));
        removed(self.partial.try_clone(), layout::PARTIAL_MANIFEST);
        let digests = self.target.ours_dir(&[layout::DIGESTS, self.job.as_bytes()]);
        removed(digests, &layout::digests_name(self.generation));
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
            limitations: self.limitations(shared),
        }
    }
}

/// Points `latest` to a snapshot. It is a convenience: the snapshot is sealed whatever becomes of it.
pub(super) fn point_latest(ctx: &Context<'_>, target: &Target, trees: &Dir, snapshot: &str) {
    if let Err(error) = try_point_latest(target, trees, snapshot) {
        ctx.monitor.notice(&format!("`latest` still points to an older snapshot: {error}: {}", error.source));
    }
}

/// Makes a symlink, or a text file where the volume has none.
fn try_point_latest(target: &Target, trees: &Dir, snapshot: &str) -> Result<(), PathError> {
    let temporary = b"latest.new";
    match target.ours.unlink(temporary) {
        Err(e) if e.fault() != Faults::Vanished => return Err(e),
        _ => {}
    }
    match target.ours.symlink(snapshot.as_bytes(), temporary) {
        Ok(()) => {}
        Err(e) if matches!(e.fault(), Faults::Denied | Faults::Unsupported | Faults::BadName) => {
            let file = target.ours.create_file(temporary, 0o600)?;
            file.write_all_at(format!("{snapshot}\n").as_bytes(), 0)?;
            file.sync()?;
        }
        Err(e) => return Err(e),
    }
    target.ours.rename_over(temporary, trees, layout::LATEST)?;
    trees.sync()
}
