//! Sealing: the order in which a finished tree becomes a snapshot. Until the last rename it does not exist.

use super::collect::Recorded;
use super::shared::Shared;
use crate::context::Context;
use crate::error::{Error, UnderPath};
use crate::manifest::Seal;
use crate::report::{LimitationKind, Phase};
use crate::target::{PRIVATE_DIR, Target, layout, open_or_make_dir};
use hardback_platform::{Dir, Faults, PathError, REPLACES_LINKS_TO_FOLDERS, Time};
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
        let (target, job) = (self.target, self.job.as_bytes());
        let trees = target.root.open_dir(job).under(&target.shown_path(&[]))?;
        let in_trees = target.shown_path(&[job]);
        self.partial.rename_new(layout::PARTIAL_TREE, &trees, self.snapshot.as_bytes()).under(&in_trees)?;
        trees.sync().under(&in_trees)?;
        point_latest(&shared.ctx, self.target, &trees, self.snapshot);
        Ok(seal)
    }

    /// Brings tree and record to the disk and writes the seal.
    fn write_seal(&self, shared: &Shared<'_>, recorded: Recorded) -> Result<Seal, Failure> {
        let (target, job) = (self.target, self.job.as_bytes());
        // Made before the sync, so that it covers them.
        let manifests = target.ours_dir(&[layout::MANIFESTS, job])?;
        let digests = target.ours_dir(&[layout::DIGESTS, job])?;
        let top = target.shown_path(&[]);
        open_or_make_dir(&target.root, job, PRIVATE_DIR).under(&top)?;
        let in_partial = target.ours_path(&[layout::PARTIAL, job, self.snapshot.as_bytes()]);
        if shared.target.volume_sync {
            synced(self.partial.sync_volume().under(&top))?;
        }
        synced(recorded.digests.sync().under(layout::PARTIAL_DIGESTS).under(&in_partial))?;
        synced(recorded.manifest.sink.sync().under(layout::PARTIAL_MANIFEST).under(&in_partial))?;
        synced(target.root.sync().under(&top))?;
        let seal = self.text(shared, &recorded);
        drop(recorded);
        let in_digests = target.ours_path(&[layout::DIGESTS, job]);
        let in_manifests = target.ours_path(&[layout::MANIFESTS, job]);
        let (list, manifest) = (layout::digests_name(self.generation), layout::manifest_name(self.snapshot));
        // A list of this generation would be that of another snapshot.
        self.partial.rename_new(layout::PARTIAL_DIGESTS, &digests, &list).under(&in_digests)?;
        self.partial.rename_over(layout::PARTIAL_MANIFEST, &manifests, &manifest).under(&in_manifests)?;
        synced(digests.sync().under(&in_digests))?;
        synced(manifests.sync().under(&in_manifests))?;
        let name = layout::seal_name(self.snapshot);
        let file = manifests.create_file(&name, 0o600).under(&in_manifests)?;
        file.write_all_at(seal.to_text().as_bytes(), 0).under(&name).under(&in_manifests)?;
        synced(file.sync().under(&name).under(&in_manifests))?;
        drop(file);
        synced(manifests.sync().under(&in_manifests))?;
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
            renamed: shared.sums.renamed.load(Ordering::Relaxed),
            base: self.base.map(Into::into),
        }
    }
}

/// Points `latest` to a snapshot. It is a convenience: the snapshot is sealed whatever becomes of it.
pub(super) fn point_latest(ctx: &Context<'_>, target: &Target, trees: &Dir, snapshot: &str) {
    if let Err(error) = try_point_latest(target, trees, snapshot) {
        ctx.monitor.notice(&format!("`latest` still points to an older snapshot: {error}: {}", error.source));
    }
}

/// Makes a symlink, or a text file where the volume has none, and where one could not be replaced by the next run.
fn try_point_latest(target: &Target, trees: &Dir, snapshot: &str) -> Result<(), PathError> {
    let temporary = b"latest.new";
    match target.ours.unlink(temporary) {
        Err(e) if e.fault() != Faults::Vanished => return Err(e),
        _ => {}
    }
    match REPLACES_LINKS_TO_FOLDERS.then(|| target.ours.symlink(snapshot.as_bytes(), temporary)) {
        Some(Ok(())) => {}
        Some(Err(e)) if !matches!(e.fault(), Faults::Denied | Faults::Unsupported | Faults::BadName) => return Err(e),
        Some(Err(_)) | None => {
            let file = target.ours.create_file(temporary, 0o600)?;
            file.write_all_at(format!("{snapshot}\n").as_bytes(), 0)?;
            file.sync()?;
        }
    }
    target.ours.rename_over(temporary, trees, layout::LATEST)?;
    trees.sync()
}
