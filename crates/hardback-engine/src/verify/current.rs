//! The snapshot that is looked at, and whether somebody removes it, or a path in it, meanwhile.

use crate::catalog;
use crate::error::Error;
use crate::manifest::Seal;
use crate::target::{Target, layout};
use hardback_platform::{Dir, Faults, Lock};

/// The snapshot that is looked at.
pub(super) struct Current {
    trees: Dir,
    pub(super) name: String,
    /// It was removed meanwhile, and that is told.
    pub(super) is_gone: bool,
    /// `None` where the readers' lock is held, so that only a person can remove anything.
    unkept: Option<Unkept>,
    /// It was changed meanwhile.
    pub(super) is_changed: bool,
}

/// What notices whoever removes something while the readers' lock is not held.
struct Unkept {
    ours: Dir,
    /// The records of the job.
    records: Dir,
    /// What the snapshot was when it was begun with.
    seal: Seal,
}

impl Current {
    pub(super) fn new(trees: Dir, name: &str) -> Self {
        Self { trees, name: name.to_owned(), is_gone: false, unkept: None, is_changed: false }
    }

    pub(super) fn unkept(trees: Dir, target: &Target, job: &str, seal: &Seal) -> Result<Self, Error> {
        let records = target.ours_dir(&[layout::MANIFESTS, job.as_bytes()])?;
        let unkept = Unkept { ours: target.ours.try_clone()?, records, seal: seal.clone() };
        Ok(Self { unkept: Some(unkept), ..Self::new(trees, &seal.snapshot) })
    }

    /// Returns whether a path, as it is reported, is in it.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Looks whether it is as it was when it was begun with; returns whether it is gone and was not before.
    pub(super) fn look_again(&mut self) -> bool {
        // Whoever is removing something is waited for.
        let _kept = self.unkept.as_ref().and_then(|unkept| Lock::share(&unkept.ours, layout::READERS_LOCK).ok());
        let there = self.trees.stat(self.name.as_bytes());
        let is_seen_first = !self.is_gone && there.is_err_and(|error| error.fault() == Faults::Vanished);
        self.is_gone |= is_seen_first;
        self.is_changed |= self.unkept.as_ref().is_some_and(Unkept::is_changed);
        is_seen_first
    }
}

impl Unkept {
    /// Returns whether the snapshot has another record now.
    fn is_changed(&self) -> bool {
        catalog::seal_in(&self.records, &self.seal.snapshot).is_some_and(|now| now != self.seal)
    }
}
