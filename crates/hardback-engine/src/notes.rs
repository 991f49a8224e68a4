//! What people and guards say about snapshots: pins, tags, comments, alarms. Kept beside the trees, a small file for each
//! snapshot that has any, replaced whole.

use crate::catalog::{self, SEAL_BYTES_MAX, Snapshots};
use crate::error::{Error, UnderPath};
use crate::problem::{Problem, ProblemKind};
use crate::target::{Target, layout, replace_file};
use hardback_platform::{Dir, Faults, Lock, PathError};
use std::collections::BTreeMap;

/// Longest comment or tag, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Most tags of a snapshot.
const TAGS_MAX: usize = 64;

/// What is said about a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// The user wants it to stay.
    pub is_pinned: bool,
    /// A guard wants it to stay, for this reason, until the user unpins it.
    pub held: Option<String>,
    /// What a guard found in this snapshot.
    pub alarm: Option<String>,
    /// The user knows of the alarm and has nothing against the snapshot.
    pub is_cleared: bool,
    /// The user's words for it, sorted.
    pub tags: Vec<String>,
    /// What the user says.
    pub comment: Option<String>,
}

impl Note {
    /// Returns whether it stays, whoever wants that.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.is_pinned || self.held.is_some()
    }

    /// Returns the alarm that the user has not answered.
    #[must_use]
    pub fn open_alarm(&self) -> Option<&str> {
        self.alarm.as_deref().filter(|_| !self.is_cleared)
    }

    /// Ends what guards wanted: nothing is held, and an alarm is answered.
    pub fn let_go(&mut self) {
        self.held = None;
        self.is_cleared |= self.alarm.is_some();
    }

    fn from_text(text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        let text = |key: &str| table.get(key).map(|value| value.as_str().map(str::to_owned));
        let flag = |key: &str| table.get(key).map_or(Some(false), toml::Value::as_bool);
        // A value of another type is none of ours: the whole note counts as damaged.
        let optional = |found: Option<Option<String>>| match found {
            Some(None) => None,
            Some(found) => Some(found),
            None => Some(None),
        };
        let tags = match table.get("tags") {
            Some(tags) => tags.as_array()?.iter().map(|tag| tag.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self {
            is_pinned: flag("pinned")?,
            held: optional(text("held"))?,
            alarm: optional(text("alarm"))?,
            is_cleared: flag("cleared")?,
            tags,
            comment: optional(text("comment"))?,
        })
    }

    fn to_text(&self) -> String {
        let mut text = "# What was said about this snapshot; see `hardback pin` and `hardback tag`.\n".to_owned();
        let mut line = |key: &str, value: toml::Value| text.push_str(&format!("{key} = {value}\n"));
        if self.is_pinned {
            line("pinned", true.into());
        }
        let words = [("held", &self.held), ("alarm", &self.alarm), ("comment", &self.comment)];
        for (key, word) in words {
            if let Some(word) = word {
                line(key, word.as_str().into());
            }
        }
        if self.is_cleared {
            line("cleared", true.into());
        }
        if !self.tags.is_empty() {
            line("tags", self.tags.clone().into());
        }
        text
    }

    /// Gives it a tag.
    ///
    /// # Errors
    /// Refused: an empty tag, a very long one, one with control characters or commas, and more tags than anyone reads.
    pub fn add_tag(&mut self, tag: &str) -> Result<(), Error> {
        let is_bad = tag.trim() != tag || tag.is_empty() || tag.contains(',') || tag.chars().any(char::is_control);
        if is_bad || tag.len() > TEXT_BYTES_MAX {
            return Err(Error::refused(format!("{tag:?} cannot be a tag"), "use a word or two, without commas"));
        }
        if let Err(place) = self.tags.binary_search_by(|known| known.as_str().cmp(tag)) {
            if self.tags.len() >= TAGS_MAX {
                return Err(Error::refused(format!("a snapshot has at most {TAGS_MAX} tags"), "remove one first"));
            }
            self.tags.insert(place, tag.to_owned());
        }
        Ok(())
    }

    /// Sets the comment; an empty one removes it.
    ///
    /// # Errors
    /// Refused: a very long one.
    pub fn set_comment(&mut self, comment: &str) -> Result<(), Error> {
        if comment.len() > TEXT_BYTES_MAX {
            return Err(Error::refused(
                format!("a comment has at most {TEXT_BYTES_MAX} bytes"),
                "put a longer text into a file and back it up",
            ));
        }
        self.comment = (!comment.is_empty()).then(|| comment.to_owned());
        Ok(())
    }
}

/// The notes of a job.
#[derive(Debug, Default)]
#[must_use = "a note that cannot be read is a problem"]
pub struct Notes {
    by_snapshot: BTreeMap<String, Note>,
    /// The guards have judged the snapshots up to this generation.
    pub(crate) judged: u32,
    /// Notes that cannot be read or understood; their snapshots count as pinned.
    pub problems: Vec<Problem>,
}

impl Notes {
    /// Returns the note about a snapshot; an empty one if there is none.
    #[must_use]
    pub fn of(&self, snapshot: &str) -> Note {
        self.by_snapshot.get(snapshot).cloned().unwrap_or_default()
    }

    /// Returns the snapshots that notes are about.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_snapshot.keys().map(String::as_str)
    }
}

/// Reads the notes of a job.
///
/// # Errors
/// The folder of the notes cannot be listed. A single note that cannot be read is a problem, and pins its snapshot.
pub fn notes(target: &Target, job: &str) -> Result<Notes, Error> {
    let mut notes = Notes::default();
    let Some(dir) = target.ours_dir_if_any(&[layout::NOTES, job.as_bytes()])? else { return Ok(notes) };
    let path = target.ours_path(&[layout::NOTES, job.as_bytes()]);
    // What cannot be read is judged again.
    if let Ok(bytes) = dir.open_file(layout::JUDGED).and_then(|file| file.read_to_vec(SEAL_BYTES_MAX)) {
        notes.judged = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    }
    for entry in dir.list().under(&path)?.iter() {
        let Some(snapshot) = layout::snapshot_of_note(entry.name) else { continue };
        let note = match read(&dir, entry.name) {
            Ok(Some(note)) => note,
            failed => {
                let why = match &failed {
                    Err(error) => format!("its note cannot be read, so it counts as pinned: {}", error.source),
                    Ok(_) => "its note is damaged, so it counts as pinned; `hardback unpin` makes a new one".to_owned(),
                };
                let place = format!("{job}/{snapshot}");
                notes.problems.push(Problem::with_detail(place.as_bytes(), ProblemKind::Metadata, why));
                Note { is_pinned: true, ..Note::default() }
            }
        };
        notes.by_snapshot.insert(snapshot.to_owned(), note);
    }
    Ok(notes)
}

/// Returns a note; `None` for one that is damaged.
fn read(dir: &Dir, name: &[u8]) -> Result<Option<Note>, PathError> {
    let bytes = dir.open_file(name)?.read_to_vec(SEAL_BYTES_MAX)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(Note::from_text))
}

/// Notes up to which generation the guards have judged a job's snapshots.
pub(crate) fn set_judged(_lock: &Lock, target: &Target, job: &str, generation: u32) -> Result<(), Error> {
    let dir = target.ours_dir(&[layout::NOTES, job.as_bytes()])?;
    let text = format!("{generation}\n");
    Ok(replace_file(&dir, layout::JUDGED, text.as_bytes())
        .under(&target.ours_path(&[layout::NOTES, job.as_bytes()]))?)
}

/// Keeps others from changing notes, and from removing snapshots by them. Held for moments.
pub(crate) fn lock(target: &Target) -> Result<Lock, Error> {
    let info = format!("process {}\n", std::process::id());
    Ok(Lock::take(&target.ours, layout::NOTES_LOCK, info.as_bytes()).under(&target.ours_path(&[]))?)
}

/// Changes the notes about some snapshots of a job.
///
/// # Errors
/// There is no such snapshot, the change is refused, or a note cannot be written. Those before it are changed.
pub fn change_notes(
    target: &Target,
    job: &str,
    snapshots: &[String],
    change: impl FnMut(&mut Note) -> Result<(), Error>,
) -> Result<Vec<(String, Note)>, Error> {
    let lock = lock(target)?;
    let all = catalog::snapshots(target, job)?;
    for snapshot in snapshots {
        require(&all, job, snapshot)?;
    }
    change_locked(&lock, target, job, snapshots, change)
}

/// Changes notes while their lock is held.
pub(crate) fn change_locked(
    _lock: &Lock,
    target: &Target,
    job: &str,
    snapshots: &[String],
    mut change: impl FnMut(&mut Note) -> Result<(), Error>,
) -> Result<Vec<(String, Note)>, Error> {
    let dir = target.ours_dir(&[layout::NOTES, job.as_bytes()])?;
    let path = target.ours_path(&[layout::NOTES, job.as_bytes()]);
    let mut changed = Vec::new();
    for snapshot in snapshots {
        let name = layout::note_name(snapshot);
        let before = match read(&dir, &name) {
            // A damaged one is made anew. It may have been a pin, so it is one until the user says otherwise.
            Ok(note) => note.unwrap_or(Note { is_pinned: true, ..Note::default() }),
            Err(e) if e.fault() == Faults::Vanished => Note::default(),
            Err(e) => return Err(e.under(&path).into()),
        };
        let mut note = before.clone();
        change(&mut note)?;
        if note == Note::default() {
            remove(&dir, snapshot).under(&path)?;
        } else if note != before {
            replace_file(&dir, &name, note.to_text().as_bytes()).under(&path)?;
        }
        changed.push((snapshot.clone(), note));
    }
    Ok(changed)
}

/// Removes the note about a snapshot, if there is one.
pub(crate) fn remove(dir: &Dir, snapshot: &str) -> Result<(), PathError> {
    match dir.unlink(&layout::note_name(snapshot)) {
        Err(e) if e.fault() != Faults::Vanished => Err(e),
        _ => Ok(()),
    }
}

fn require(all: &Snapshots, job: &str, snapshot: &str) -> Result<(), Error> {
    // One whose seal is of no use may be pinned as well: it is a tree that somebody wants.
    let is_there = all.sealed.iter().any(|s| s.name == snapshot) || all.unsealed.iter().any(|u| u.name == snapshot);
    if is_there { Ok(()) } else { Err(Error::not_found(format!("job {job:?} has no snapshot {snapshot:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let mut note = Note { is_pinned: true, held: Some("shrank\nby \"half\"".into()), ..Note::default() };
        note.alarm = Some("60 % of the files".into());
        note.is_cleared = true;
        note.set_comment("before the move — ä\\").unwrap();
        for tag in ["release", "a b", "release"] {
            note.add_tag(tag).unwrap();
        }
        assert_eq!(note.tags, ["a b", "release"]);
        assert_eq!(Note::from_text(&note.to_text()), Some(note));
        assert_eq!(Note::from_text(&Note::default().to_text()), Some(Note::default()));
    }

    #[test]
    fn a_note_with_anything_else_in_it_is_damaged() {
        for text in ["pinned = 1", "tags = \"a\"", "tags = [1]", "comment = true", "pinned", "\u{0}"] {
            assert_eq!(Note::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn tags_that_could_not_be_told_apart_are_refused() {
        let mut note = Note::default();
        for tag in ["", " a", "a,b", "a\nb"] {
            assert!(note.add_tag(tag).is_err(), "{tag:?}");
        }
        assert!(note.set_comment(&"x".repeat(5000)).is_err());
        assert_eq!(note, Note::default());
    }
}
