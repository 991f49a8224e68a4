//! The other half of the seam: what is mounted where, and how frozen parts become one view.

use crate::error::ShadowError;
use crate::provider::{MountedVolume, Place};
use hardback_platform::{Dir, Seam};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// What is asked for: sources to be read as they are at one moment.
pub struct Request<'a> {
    /// Folders.
    pub sources: Vec<PathBuf>,
    /// Stay on the volume that each source lies on.
    pub one_file_system: bool,
    /// Show the top folder of what is not to be read as it is, with its mode and times: for a reader that does not enter
    /// it. Otherwise an empty folder is there.
    pub shows_unwanted: bool,
    /// Whether what is in a folder of a source is to be read: the source's number, and the folder below it. It is asked
    /// about folders at which a volume begins.
    pub wants: &'a (dyn Fn(usize, &Path) -> bool + Sync),
}

impl Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// A source's view: a tree, and others that are put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPlan {
    /// Which source.
    pub source: usize,
    /// Where the source's top is read from.
    pub top: PathBuf,
    /// Flags that the view's mount of it is to have, with commas between them.
    pub flags: String,
    /// What is put into it, those above first.
    pub grafts: Vec<Graft>,
}

/// A folder that is put into a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graft {
    /// Where, below the source.
    pub below: PathBuf,
    /// Where it is read from.
    pub from: PathBuf,
    /// Flags that the view's mount of it is to have, with commas between them.
    pub flags: String,
    /// Whether anything in it is to be read: what is not may be missing.
    pub is_wanted: bool,
    /// Of what is read live: number of its device (major, minor) and of its top, when it was looked at.
    pub live: Option<((u32, u32), u64)>,
}

/// A computer: its mounts, and views that are made of them.
pub trait Machine: Send + Sync + Debug {
    /// Returns the places that the sources consist of: of each its top first, then what is mounted below it.
    ///
    /// # Errors
    /// A source is not there, or what is mounted cannot be told.
    fn survey(&self, request: &Request<'_>) -> Result<Vec<Place>, ShadowError>;

    /// Looks anew at what is mounted where, before anything is shown.
    fn refresh(&self) {}

    /// Makes views; returns the path of each, as those see it that were started by [`Machine::spawn`].
    ///
    /// # Errors
    /// A part cannot be put into its place.
    fn assemble(&self, plans: &[ViewPlan]) -> Result<Vec<PathBuf>, ShadowError>;

    /// Shows views in the place of what they are views of, to those that are started by [`Machine::spawn`].
    ///
    /// # Errors
    /// They cannot be shown there.
    fn show_in_place(&self, views: &[(PathBuf, PathBuf)]) -> Result<(), ShadowError>;

    /// Opens a folder of a view.
    ///
    /// # Errors
    /// As [`Dir::open`].
    fn open(&self, path: &Path, seam: Seam) -> Result<Dir, hardback_platform::PathError>;

    /// Returns whether there is anything at a path in a view.
    fn has(&self, path: &Path) -> bool;

    /// Starts a program that sees the views.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    fn spawn(&self, command: Command) -> io::Result<Child>;

    /// Takes the views apart. Handles in them keep what they have.
    ///
    /// # Errors
    /// They cannot be taken apart.
    fn dismantle(&self) -> Result<(), ShadowError>;

    /// Returns a number or name that is another after each start of the computer.
    fn boot_id(&self) -> String;
}

/// A computer of which nothing is known but paths: each source is one place, and a view is the frozen folder itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainMachine;

impl Machine for PlainMachine {
    fn survey(&self, request: &Request<'_>) -> Result<Vec<Place>, ShadowError> {
        let places = request.sources.iter().enumerate().map(|(source, path)| Place {
            source,
            path: path.clone(),
            below: PathBuf::new(),
            volume: MountedVolume { inside: path.clone(), ..MountedVolume::default() },
            is_wanted: true,
            is_file: false,
            one_file_system: request.one_file_system,
            covered: Vec::new(),
        });
        Ok(places.collect())
    }

    fn assemble(&self, plans: &[ViewPlan]) -> Result<Vec<PathBuf>, ShadowError> {
        let view = |plan: &ViewPlan| match plan.grafts.is_empty() {
            true => Ok(plan.top.clone()),
            false => Err(ShadowError::refused(
                format!("{} consists of several volumes, which cannot be shown as one here", plan.top.display()),
                "back up each volume as a source of its own",
            )),
        };
        plans.iter().map(view).collect()
    }

    fn show_in_place(&self, _views: &[(PathBuf, PathBuf)]) -> Result<(), ShadowError> {
        Err(ShadowError::refused(
            "a shadow copy cannot be shown in the place of its volume here",
            "use {} in the command, which becomes the path of the shadow copy (on Windows with --drive: one with a drive letter)",
        ))
    }

    fn open(&self, path: &Path, seam: Seam) -> Result<Dir, hardback_platform::PathError> {
        Dir::open(path, seam)
    }

    fn has(&self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        Dir::open(parent, Seam::default()).is_ok_and(|dir| dir.stat(name.as_encoded_bytes()).is_ok())
    }

    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.spawn()
    }

    fn dismantle(&self) -> Result<(), ShadowError> {
        Ok(())
    }

    fn boot_id(&self) -> String {
        String::new()
    }
}
