//! Windows: volumes, and the Volume Shadow Copy Service.
//!
//! A view is a folder below the copy's device, which is opened as it is: no drive letter, no link, nothing to be cleaned
//! up. The walk follows no junction and enters no volume that is mounted in a folder, so a view is made of one volume.

#[allow(unsafe_code, reason = "declarations of COM interfaces")]
mod bindings;
mod com;
mod letters;
mod registry;
#[cfg(test)]
mod tests;
mod volume;

pub(crate) use registry::{exclusions, long_path};

use crate::error::ShadowError;
use crate::machine::{Machine, PlainMachine, Request, ViewPlan};
use crate::provider::{Place, ShadowProvider, ShadowSize};
use crate::set::Shadows;
use crate::vss::{Limits, RealTime, Tools, Vss};
use hardback_platform::{Dir, PathError, Seam};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

/// Returns what makes shadow copies on Windows. Their room is what Windows has set aside for them.
pub(super) fn system(records: PathBuf, _size: ShadowSize) -> Shadows {
    let tools = Tools {
        connect: Arc::new(com::connect),
        letters: Arc::new(letters::SystemLetters),
        time: Arc::new(RealTime),
        limits: Limits::default(),
    };
    let vss: Arc<dyn ShadowProvider> = Arc::new(Vss::new(tools, hardback_platform::is_privileged));
    Shadows::new(Arc::new(WindowsMachine), vec![vss], records)
}

/// A Windows computer.
#[derive(Debug)]
struct WindowsMachine;

impl Machine for WindowsMachine {
    fn survey(&self, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
        let place = |(source, path): (usize, &PathBuf)| {
            let found = volume::of(path)?;
            Ok(Place {
                source,
                path: found.path,
                below: PathBuf::new(),
                volume: found.volume,
                is_wanted: true,
                is_file: false,
                one_file_system: request.one_file_system,
                covered: Vec::new(),
            })
        };
        request.sources.iter().enumerate().map(place).collect()
    }

    fn assemble(&self, plans: &[ViewPlan]) -> Result<Vec<PathBuf>, ShadowError> {
        PlainMachine.assemble(plans)
    }

    fn show_in_place(&self, views: &[(PathBuf, PathBuf)]) -> Result<(), ShadowError> {
        PlainMachine.show_in_place(views)
    }

    fn open(&self, path: &Path, seam: Seam) -> Result<Dir, PathError> {
        Dir::open(path, seam)
    }

    fn has(&self, path: &Path) -> bool {
        PlainMachine.has(path)
    }

    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.spawn()
    }

    fn dismantle(&self) -> Result<(), ShadowError> {
        Ok(())
    }

    fn boot_id(&self) -> String {
        registry::boot_id()
    }
}
