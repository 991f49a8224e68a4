//! A provider that freezes folders by copying them, and does what a script says at each step.
//!
//! What it made is on the disk, so it outlives a process that is killed; every making and removing is a line in a
//! journal, and at the end they must balance.

use hardback_shadow::{
    Answer, Copy, Meanwhile, Piece, Place, PlainMachine, Read, ShadowError, ShadowProvider, Shadows, Volume,
};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where a fault can be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Before a place is looked at.
    Look,
    /// Before a copy is made.
    Create,
    /// When a copy is made, but nobody was told.
    Created,
    /// Before a copy is checked.
    Check,
    /// Before a copy is removed.
    Remove,
}

/// What a script says at a step; the number counts the steps of all kinds.
pub type Script = dyn Fn(Step, u64) -> Fault + Send + Sync;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What should.
    None,
    /// It fails.
    Fails,
    /// It panics.
    Panics,
    /// The process is killed.
    Dies,
}

/// The provider.
pub struct Scripted {
    dir: PathBuf,
    script: Mutex<Arc<Script>>,
    steps: AtomicU64,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("dir", &self.dir).finish_non_exhaustive()
    }
}

const JOURNAL: &str = "journal";

impl Scripted {
    /// Keeps copies and journal in a folder.
    pub fn new(dir: &Path) -> Arc<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let script: Arc<Script> = Arc::new(|_, _| Fault::None);
        Arc::new(Self { dir: dir.to_owned(), script: Mutex::new(script), steps: AtomicU64::new(0) })
    }

    /// Does from now on as a script says, whose steps count from 0.
    pub fn follow(&self, script: impl Fn(Step, u64) -> Fault + Send + Sync + 'static) {
        *self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(script);
        self.steps.store(0, Ordering::SeqCst);
    }

    /// Returns what makes shadow copies with this provider alone; the records are beside the copies.
    pub fn shadows(self: &Arc<Self>) -> Shadows {
        let records = self.dir.join("records");
        Shadows::new(Arc::new(PlainMachine), vec![self.clone() as Arc<dyn ShadowProvider>], records)
    }

    /// Returns how many steps there were since the script was given.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Returns the names of the copies that are there.
    pub fn living(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().file_name());
        let names = entries.map(|name| name.into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("hardback-shadow-")).collect();
        names.sort();
        names
    }

    /// Returns how many copies were made, and how many removed.
    pub fn balance(&self) -> (usize, usize) {
        let journal = std::fs::read_to_string(self.dir.join(JOURNAL)).unwrap_or_default();
        let count = |word: &str| journal.lines().filter(|line| line.starts_with(word)).count();
        (count("made "), count("removed "))
    }

    fn note(&self, word: &str, name: &str) {
        let mut journal = std::fs::File::options().create(true).append(true).open(self.dir.join(JOURNAL)).unwrap();
        writeln!(journal, "{word} {name}").unwrap();
    }

    fn step(&self, step: Step) -> Result<(), ShadowError> {
        let script = self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let number = self.steps.fetch_add(1, Ordering::SeqCst);
        match script(step, number) {
            Fault::None => Ok(()),
            Fault::Fails => {
                Err(ShadowError::system(format!("do step {number}, {step:?}"), io::Error::other("scripted")))
            }
            Fault::Panics => panic!("scripted at step {number}, {step:?}"),
            Fault::Dies => std::process::abort(),
        }
    }
}

impl ShadowProvider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn look(&self, place: &Place, _wants: &dyn Fn(&Path) -> bool) -> Answer {
        if let Err(error) = self.step(Step::Look) {
            return Answer::Cannot(error);
        }
        let path = place.path.to_str().unwrap().to_owned();
        let shown = format!("folder {path}");
        let fields = BTreeMap::from([("path".to_owned(), path)]);
        let volume = Volume { provider: "scripted".into(), shown, fields };
        Answer::Can(vec![Piece { below: PathBuf::new(), read: Read::Frozen { volume, inside: PathBuf::new() } }])
    }

    fn create(&self, copies: &[Copy], _: &Meanwhile<'_>) -> Result<Vec<PathBuf>, ShadowError> {
        let make = |copy: &Copy| {
            self.step(Step::Create)?;
            let place = self.dir.join(&copy.name);
            copy_tree(Path::new(copy.volume.field("path")?), &place);
            self.note("made", &copy.name);
            self.step(Step::Created)?;
            Ok(place)
        };
        copies.iter().map(make).collect()
    }

    fn check(&self, copy: &Copy) -> Result<(), ShadowError> {
        self.step(Step::Check).map_err(|error| ShadowError::Lost {
            volume: copy.volume.shown.clone(),
            why: error.in_a_line(),
            hint: None,
        })
    }

    fn remove(&self, copy: &Copy) -> Result<(), ShadowError> {
        self.step(Step::Remove)?;
        match std::fs::remove_dir_all(self.dir.join(&copy.name)) {
            Ok(()) => {
                self.note("removed", &copy.name);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ShadowError::system("remove a copy", error)),
        }
    }
}

/// Copies a tree with its times.
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            copy_tree(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), &place).unwrap();
            let file = std::fs::File::options().write(true).open(&place).unwrap();
            file.set_modified(metadata.modified().unwrap()).unwrap();
        }
    }
}
