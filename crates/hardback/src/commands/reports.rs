//! JSON forms that several reports share. docs/json.md describes each field; a test compares the two.

use crate::env::Env;
use crate::ui::text::{self, json_bytes};
use hardback_engine::catalog::Snapshot;
use hardback_engine::manifest::Totals;
use hardback_engine::system::path_bytes;
use hardback_engine::{Damage, GoodCopy, Limitation, Note, Noted, Problem, timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Problems that are shown to a person; the record has all.
const PROBLEMS_SHOWN: usize = 20;
/// Entries of a note that are shown to a person.
const NOTED_SHOWN: usize = 10;

/// The sums of a snapshot.
#[derive(Serialize)]
pub(crate) struct TotalsFields {
    entries: u64,
    dirs: u64,
    bytes: u64,
    new_files: u64,
    new_bytes: u64,
    problems: u64,
    excluded: u64,
}

impl TotalsFields {
    /// Takes over the engine's.
    pub(crate) fn new(totals: &Totals) -> Self {
        let Totals { entries, dirs, bytes, new_files, new_bytes, problems, excluded } = *totals;
        Self { entries, dirs, bytes, new_files, new_bytes, problems, excluded }
    }
}

/// A snapshot in a list.
#[derive(Serialize)]
pub(crate) struct SnapshotItem {
    job: String,
    snapshot: String,
    path: String,
    generation: u32,
    started: String,
    sealed: String,
    #[serde(flatten)]
    totals: TotalsFields,
    limitation_kinds: Vec<String>,
    #[serde(flatten)]
    note: NoteFields,
}

impl SnapshotItem {
    /// Takes over what a seal and a note say.
    pub(crate) fn new(target: &Path, snapshot: &Snapshot, note: NoteFields) -> Self {
        let seal = &snapshot.seal;
        Self {
            job: snapshot.job.clone(),
            snapshot: snapshot.name.clone(),
            path: json_bytes(&path_bytes(&target.join(&snapshot.job).join(&snapshot.name))),
            generation: seal.generation,
            started: timestamp(seal.started).to_string(),
            sealed: timestamp(seal.sealed).to_string(),
            totals: TotalsFields::new(&seal.totals),
            limitation_kinds: seal.limitations.clone(),
            note,
        }
    }
}

/// What is said about a snapshot.
#[derive(Serialize)]
pub(crate) struct NoteFields {
    pinned: bool,
    held: Option<String>,
    alarm: Option<String>,
    tags: Vec<String>,
    comment: Option<String>,
}

impl NoteFields {
    /// Takes over the engine's.
    pub(crate) fn new(note: &Note) -> Self {
        Self {
            pinned: note.is_pinned,
            held: note.held.clone(),
            alarm: note.open_alarm().map(str::to_owned),
            tags: note.tags.clone(),
            comment: note.comment.clone(),
        }
    }

    /// Returns it in a line for a person; empty where nothing is said.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.pinned.then(|| "pinned".to_owned()));
        words.extend(self.held.as_ref().map(|why| format!("pinned by a guard ({why})")));
        words.extend(self.alarm.as_ref().map(|why| format!("ALARM: {why}")));
        words.extend((!self.tags.is_empty()).then(|| format!("tags {}", self.tags.join(", "))));
        words.extend(self.comment.as_ref().map(|comment| format!("\"{comment}\"")));
        words.join("; ")
    }
}

/// What a volume cannot keep.
#[derive(Serialize)]
pub(crate) struct LimitationFields {
    kind: &'static str,
    entries: u64,
    example: String,
    detail: String,
}

impl LimitationFields {
    /// Takes over the engine's.
    pub(crate) fn all(limitations: &[Limitation]) -> Vec<Self> {
        let fields = |l: &Limitation| Self {
            kind: l.kind.code(),
            entries: l.entries,
            example: json_bytes(&l.example),
            detail: l.detail.clone(),
        };
        limitations.iter().map(fields).collect()
    }
}

/// Entries that are no problem, and that the user should hear of.
#[derive(Serialize)]
pub(crate) struct NotedFields {
    entries: u64,
    first: Vec<String>,
}

impl NotedFields {
    /// Takes over the engine's.
    pub(crate) fn new(noted: &Noted) -> Self {
        let mut first: Vec<_> = noted.first.iter().map(|path| json_bytes(path)).collect();
        first.sort();
        Self { entries: noted.entries, first }
    }
}

/// An entry that was not handled exactly.
#[derive(Serialize)]
pub(crate) struct ProblemFields {
    path: String,
    kind: &'static str,
    detail: String,
}

impl ProblemFields {
    /// Takes over the engine's.
    pub(crate) fn all(problems: &[Problem]) -> Vec<Self> {
        let fields = |p: &Problem| Self { path: json_bytes(&p.path), kind: p.kind.code(), detail: p.detail.clone() };
        problems.iter().map(fields).collect()
    }
}

/// A damaged stored file.
#[derive(Serialize)]
pub(crate) struct DamageFields {
    job: String,
    path: String,
    why: String,
    names: Vec<String>,
    name_count: u64,
    snapshots: Vec<String>,
    good_copy: Option<String>,
    good_copy_at: Option<&'static str>,
    repaired: bool,
}

impl DamageFields {
    /// Takes over the engine's.
    pub(crate) fn all(damage: &[Damage]) -> Vec<Self> {
        let fields = |d: &Damage| Self {
            job: d.job.clone(),
            path: json_bytes(&d.path),
            why: d.why.clone(),
            names: d.names.iter().map(|name| json_bytes(name)).collect(),
            name_count: d.name_count,
            snapshots: d.snapshots.clone(),
            good_copy: d.good_copy.as_ref().map(|copy| json_bytes(copy.path())),
            good_copy_at: d.good_copy.as_ref().map(|copy| match copy {
                GoodCopy::Stored(_) => "target",
                GoodCopy::Source(_) => "source",
            }),
            repaired: d.is_repaired,
        };
        damage.iter().map(fields).collect()
    }
}

/// Returns two lines for each limitation.
pub(crate) fn limitation_lines(limitations: &[Limitation]) -> Vec<String> {
    let mut lines = Vec::new();
    for limitation in limitations {
        let entries = text::counted(limitation.entries, "entry", "entries");
        let detail = if limitation.detail.is_empty() { String::new() } else { format!(": {}", limitation.detail) };
        lines.push(format!("note: {}", limitation.kind));
        lines.push(format!("      {entries}, such as {}{detail}", text::path(&limitation.example)));
    }
    lines
}

/// Returns a line about entries that are no problem, and one for each of the first.
pub(crate) fn noted_lines(noted: &Noted, what: &str) -> Vec<String> {
    if noted.entries == 0 {
        return Vec::new();
    }
    let mut paths: Vec<_> = noted.first.iter().collect();
    paths.sort();
    let mut lines = vec![format!("note: {} {what}", text::counted(noted.entries, "file is", "files are"))];
    lines.extend(paths.iter().take(NOTED_SHOWN).map(|path| format!("      {}", text::path(path))));
    if let Some(more @ 1..) = noted.entries.checked_sub(NOTED_SHOWN as u64) {
        lines.push(format!("      … and {} more; --json lists them", text::count(more)));
    }
    lines
}

/// Returns a line for each rule of the system that left something out, and what to do about it.
pub(crate) fn left_out_lines(by_system: &BTreeMap<String, u64>) -> Vec<String> {
    let line = |(rule, entries): (&String, &u64)| {
        format!("note: {rule} leaves out {}", text::counted(*entries, "entry", "entries"))
    };
    let mut lines: Vec<String> = by_system.iter().map(line).collect();
    if !lines.is_empty() {
        lines.push("      (a folder counts once) --no-system-excludes backs all of it up".to_owned());
    }
    lines
}

/// Tells the first problems, also to those who want silence.
pub(crate) fn tell_problems(count: u64, problems: &[Problem], env: &Env) {
    if count == 0 {
        return;
    }
    env.ui.problem_line(&format!("{}:", text::counted(count, "problem", "problems")));
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        env.ui.problem_line(&format!("  {problem}"));
    }
    let shown = problems.len().min(PROBLEMS_SHOWN) as u64;
    if count > shown {
        env.ui.problem_line(&format!("  … and {} more", text::count(count - shown)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_system_that_left_something_out_are_notes() {
        let counts = BTreeMap::from([("the writer Mail (C:\\x.ost)".to_owned(), 1), ("the writer SQL".to_owned(), 7)]);
        let lines = left_out_lines(&counts);
        assert_eq!(lines[0], "note: the writer Mail (C:\\x.ost) leaves out 1 entry");
        assert_eq!(lines[1], "note: the writer SQL leaves out 7 entries");
        assert!(lines[2].contains("--no-system-excludes") && lines.len() == 3, "{lines:?}");
        assert!(left_out_lines(&BTreeMap::new()).is_empty());
    }
}
