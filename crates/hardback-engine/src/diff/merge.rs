//! The merge of an old and a new tree.

use super::moves::{MoveKey, Moves};
use super::tree::{Record, Tree};
use super::{Change, DiffReport, Difference};
use crate::context::Context;
use crate::error::Error;
use crate::manifest::Entry;
use crate::problem::{Problem, ProblemKind};
use crate::report::{Counters, Problems};
use hardback_platform::Kind;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Entries of one side that wait, in all open folders, for a folder of the same name on the other side; those above
/// are told as added or removed at once.
const WAITING_MAX: usize = 16_384;

/// On which side an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// A folder that the merge is in.
#[derive(Default)]
struct Level {
    in_old: bool,
    in_new: bool,
    /// Length of the path of the folder around it.
    outer: usize,
    /// The next subfolder of each side; its tree has been entered.
    old_dir: Option<Entry>,
    new_dir: Option<Entry>,
    old_ended: bool,
    new_ended: bool,
    /// Entries of one side only, by name.
    waiting: VecDeque<(Side, Entry)>,
}

/// Two trees side by side.
pub(super) struct Merge<'a, 'c, T> {
    pub(super) ctx: &'a Context<'c>,
    pub(super) old: Record,
    pub(super) new: T,
    pub(super) moves: Moves<'a>,
    pub(super) problems: &'a Problems,
    /// Path of the folder that the merge is in.
    pub(super) path: Vec<u8>,
    /// Entries that wait, in all open folders.
    pub(super) waiting: usize,
    /// The new side knows which contents are stored.
    pub(super) by_content: bool,
}

impl<T: Tree> Merge<'_, '_, T> {
    /// Walks both trees; `top` is the new top folder, where both tops are a source's.
    pub(super) fn run(mut self, top: Option<Entry>) -> Result<DiffReport, Error> {
        if let Some(top) = top {
            let old = self.old.root.clone();
            self.both(&old, &top)?;
        }
        let mut first = Level { in_old: true, in_new: true, ..Level::default() };
        self.files(&mut first)?;
        let mut stack = vec![first];
        while let Some(level) = stack.last_mut() {
            match self.next_level(level)? {
                Some(mut below) => {
                    self.files(&mut below)?;
                    stack.push(below);
                }
                None => {
                    let level = stack.pop().expect("the loop runs on the last level");
                    self.leave(&level)?;
                }
            }
        }
        self.old.finish()?;
        self.new.finish()?;
        self.moves.flush();
        Ok(self.moves.report)
    }

    fn leave(&mut self, level: &Level) -> Result<(), Error> {
        if level.in_old {
            self.old.leave()?;
        }
        if level.in_new {
            self.new.leave()?;
        }
        self.path.truncate(level.outer);
        Ok(())
    }

    /// Compares the entries of a folder that are no folders.
    fn files(&mut self, level: &mut Level) -> Result<(), Error> {
        let (mut old, mut new) = (None, None);
        loop {
            self.ctx.check_cancel()?;
            if level.in_old && old.is_none() {
                old = self.old.next_file()?;
            }
            if level.in_new && new.is_none() {
                new = self.new.next_file()?;
            }
            let Some(order) = order_of(old.as_ref(), new.as_ref()) else { return Ok(()) };
            match (old.take_if(|_| order.is_le()), new.take_if(|_| order.is_ge())) {
                (Some(old), Some(new)) => self.both(&old, &new)?,
                (Some(old), None) => self.wait(level, Side::Old, old),
                (None, Some(new)) if self.new.leaves_out(&new) => self.moves.report.left_out += 1,
                (None, Some(new)) => self.wait(level, Side::New, new),
                (None, None) => {}
            }
        }
    }

    /// Keeps an entry of one side until it is known whether the other side has a folder of its name.
    fn wait(&mut self, level: &mut Level, side: Side, entry: Entry) {
        let other_side = if side == Side::Old { level.in_new } else { level.in_old };
        if other_side && self.waiting < WAITING_MAX {
            self.waiting += 1;
            level.waiting.push_back((side, entry));
        } else {
            self.one_side(side, &entry);
        }
    }

    /// Enters the next subfolder of either side, or of both where the names agree.
    fn next_level(&mut self, level: &mut Level) -> Result<Option<Level>, Error> {
        self.ctx.check_cancel()?;
        if level.in_old && level.old_dir.is_none() && !level.old_ended {
            level.old_dir = self.old.next_dir()?;
            level.old_ended = level.old_dir.is_none();
        }
        if level.in_new && level.new_dir.is_none() && !level.new_ended {
            level.new_dir = self.new.next_dir()?;
            level.new_ended = level.new_dir.is_none();
        }
        let Some(order) = order_of(level.old_dir.as_ref(), level.new_dir.as_ref()) else {
            self.tell_waiting(level, None);
            return Ok(None);
        };
        let old = level.old_dir.take_if(|_| order.is_le());
        let new = level.new_dir.take_if(|_| order.is_ge());
        self.enter(level, old, new).map(Some)
    }

    fn enter(&mut self, level: &mut Level, old: Option<Entry>, new: Option<Entry>) -> Result<Level, Error> {
        let name = old.as_ref().or(new.as_ref()).map(|e| e.name.clone()).unwrap_or_default();
        self.tell_waiting(level, Some(&name));
        let (mut in_old, mut in_new) = (old.is_some(), new.is_some());
        match (&old, &new) {
            (Some(old), Some(new)) => self.both(old, new)?,
            (Some(dir), None) => self.dir_of_one_side(level, Side::Old, dir),
            (None, Some(dir)) if self.new.leaves_out(dir) => {
                self.moves.report.left_out += 1;
                self.new.leave()?;
                in_new = false;
            }
            (None, Some(dir)) => self.dir_of_one_side(level, Side::New, dir),
            (None, None) => {}
        }
        if in_old && in_new && self.new.is_unknown() {
            // Nothing is known of what is in it: neither that it is still there nor that it is gone.
            self.old.leave()?;
            in_old = false;
        }
        let outer = self.path.len();
        join(&mut self.path, &name);
        Ok(Level { in_old, in_new, outer, ..Level::default() })
    }

    /// Tells of a folder of one side, with what the other side has under its name.
    fn dir_of_one_side(&mut self, level: &mut Level, side: Side, dir: &Entry) {
        let other = level.waiting.pop_front_if(|(other, entry)| *other != side && entry.name == dir.name);
        let Some((_, entry)) = other else { return self.one_side(side, dir) };
        self.waiting -= 1;
        let (old, new) = if side == Side::Old { (dir, &entry) } else { (&entry, dir) };
        self.tell(old, new, Change::Kind);
    }

    /// Tells of the entries that wait and whose name is before the given one.
    fn tell_waiting(&mut self, level: &mut Level, before: Option<&[u8]>) {
        while let Some((side, entry)) = level.waiting.pop_front_if(|(_, e)| before.is_none_or(|name| &*e.name < name)) {
            self.waiting -= 1;
            self.one_side(side, &entry);
        }
    }

    fn both(&mut self, old: &Entry, new: &Entry) -> Result<(), Error> {
        Counters::add(&self.ctx.counters.entries, 1);
        self.tell_unread(old, new);
        if old.kind == Kind::Other || new.kind == Kind::Other {
            // Nothing is known of one of them but that it is there.
            return Ok(());
        }
        let change = if old.kind == new.kind { self.new.compare(&self.path, old, new)? } else { Some(Change::Kind) };
        match change {
            Some(change) => self.tell(old, new, change),
            None => self.moves.report.unchanged += 1,
        }
        Ok(())
    }

    /// What was not read when a snapshot was made cannot be compared: an older version of it is stored, or nothing.
    fn tell_unread(&self, old: &Entry, new: &Entry) {
        if self.new.snapshot().is_none() && new.problem().is_some() {
            // It cannot be read at the source, and that is told.
            return;
        }
        let was_read = |problem| matches!(problem, ProblemKind::Changing | ProblemKind::Metadata);
        let sides = [(old, Some(&*self.old.snapshot)), (new, self.new.snapshot())];
        let unread = sides.into_iter().find_map(|(entry, snapshot)| {
            let problem = entry.problem().filter(|problem| !was_read(*problem))?;
            snapshot.map(|snapshot| (problem, snapshot))
        });
        if let Some((problem, snapshot)) = unread {
            let what = format!("when {snapshot} was made: that has an older version of it, or nothing");
            let path = path_of(&self.path, &new.name);
            self.problems.tell(self.ctx, Problem::with_detail(&path, problem, what));
        }
    }

    fn tell(&mut self, old: &Entry, new: &Entry, change: Change) {
        let (old_bytes, new_bytes) = (file_bytes(old), file_bytes(new));
        let path = path_of(&self.path, &new.name);
        self.moves.push(Difference { path, kind: new.kind, change, old_bytes, new_bytes }, None);
    }

    fn one_side(&mut self, side: Side, entry: &Entry) {
        Counters::add(&self.ctx.counters.entries, 1);
        let (change, old_bytes, new_bytes) = match side {
            Side::Old => (Change::Removed, file_bytes(entry), None),
            Side::New => (Change::Added, None, file_bytes(entry)),
        };
        let difference =
            Difference { path: path_of(&self.path, &entry.name), kind: entry.kind, change, old_bytes, new_bytes };
        self.moves.push(difference, MoveKey::of(entry, self.by_content));
    }
}

/// Returns how the names of the next entries compare; `None` when there are none.
fn order_of(old: Option<&Entry>, new: Option<&Entry>) -> Option<Ordering> {
    match (old, new) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(old), Some(new)) => Some(old.name.cmp(&new.name)),
    }
}

fn file_bytes(entry: &Entry) -> Option<u64> {
    (entry.kind == Kind::File).then_some(entry.size_bytes)
}

/// Returns the path of an entry of a folder; the top folder is called `.` and has an empty path.
pub(super) fn path_of(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    if name != b"." {
        join(&mut path, name);
    }
    path
}

fn join(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
