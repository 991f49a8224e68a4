//! `hardback pin`, `unpin` and `tag`: words about single snapshots.

use super::reports::NoteFields;
use crate::args::{PinArgs, TagArgs, UnpinArgs, WhichArgs};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use hardback_engine::catalog::{self, Snapshots};
use hardback_engine::{Clock, Error, Note, Target, change_notes, notes, unpin_all};
use serde::Serialize;

/// The report of `pin`, `unpin` and `tag`.
#[derive(Serialize)]
struct NotesReport {
    job: String,
    snapshots: Vec<NotedSnapshot>,
}

/// A snapshot and what is said about it now.
#[derive(Serialize)]
struct NotedSnapshot {
    snapshot: String,
    #[serde(flatten)]
    note: NoteFields,
}

/// Pins.
pub(crate) fn pin(args: &PinArgs, env: &Env) -> anyhow::Result<Exit> {
    let place = Place::open(&args.which, env)?;
    let changed = place.change(&args.snapshots, env, |note| {
        note.is_pinned = true;
        args.comment.as_deref().map_or(Ok(()), |comment| note.set_comment(comment))
    })?;
    place.tell("pin", "is pinned", changed, env)
}

/// Unpins.
pub(crate) fn unpin(args: &UnpinArgs, env: &Env) -> anyhow::Result<Exit> {
    let place = Place::open(&args.which, env)?;
    let changed = if args.snapshots.is_empty() {
        let names = unpin_all(&place.target, &place.job)?;
        let all = notes(&place.target, &place.job)?;
        names.into_iter().map(|name| (name.clone(), all.of(&name))).collect()
    } else {
        place.change(&args.snapshots, env, |note| {
            note.is_pinned = false;
            note.let_go();
            Ok(())
        })?
    };
    if changed.is_empty() {
        env.ui.message(&format!("job {}: no guard has pinned anything", place.job));
    }
    place.tell("unpin", "is left to the rules", changed, env)
}

/// Tags.
pub(crate) fn tag(args: &TagArgs, env: &Env) -> anyhow::Result<Exit> {
    if args.tags.is_empty() && args.remove.is_empty() && args.comment.is_none() {
        let hint = "name a tag after the snapshot, or use --remove TAG or --comment TEXT";
        return Err(Usage::new("nothing is to be changed", hint).into());
    }
    let place = Place::open(&args.which, env)?;
    let changed = place.change(std::slice::from_ref(&args.snapshot), env, |note| {
        note.tags.retain(|tag| !args.remove.contains(tag));
        args.tags.iter().try_for_each(|tag| note.add_tag(tag))?;
        args.comment.as_deref().map_or(Ok(()), |comment| note.set_comment(comment))
    })?;
    place.tell("tag", "is noted", changed, env)
}

/// A job of a target.
struct Place {
    target: Target,
    job: String,
}

impl Place {
    fn open(which: &WhichArgs, env: &Env) -> anyhow::Result<Self> {
        let target = env.open_target(&env.absolute(&which.target)?)?;
        let job = catalog::choose_job(&target, which.job.as_deref(), &env.host)?;
        Ok(Self { target, job })
    }

    fn change(
        &self,
        when: &[String],
        env: &Env,
        change: impl FnMut(&mut Note) -> Result<(), Error>,
    ) -> anyhow::Result<Vec<(String, Note)>> {
        let all = catalog::snapshots(&self.target, &self.job)?;
        let names = when.iter().map(|when| name_of(&all, when, env)).collect::<Result<Vec<_>, _>>()?;
        Ok(change_notes(&self.target, &self.job, &names, change)?)
    }

    fn tell(&self, verb: &str, what: &str, changed: Vec<(String, Note)>, env: &Env) -> anyhow::Result<Exit> {
        if env.ui.is_json() {
            let noted = |(snapshot, note): (String, Note)| NotedSnapshot { snapshot, note: NoteFields::new(&note) };
            let report = NotesReport { job: self.job.clone(), snapshots: changed.into_iter().map(noted).collect() };
            return Ok(env.ui.report(verb, Exit::Done, &report)?);
        }
        for (snapshot, note) in &changed {
            let words = NoteFields::new(note).words();
            let words = if words.is_empty() { String::new() } else { format!(": {words}") };
            env.ui.summary(&format!("Snapshot {snapshot} of job {} {what}{words}", self.job))?;
        }
        Ok(Exit::Done)
    }
}

/// A snapshot whose seal is of no use has a name, and may be pinned by it.
fn name_of(all: &Snapshots, when: &str, env: &Env) -> Result<String, Error> {
    if all.unsealed.iter().any(|unsealed| unsealed.name == when) {
        return Ok(when.to_owned());
    }
    Ok(catalog::find_snapshot(all, when, env.clock.now(), &env.clock.zone())?.0.name)
}
