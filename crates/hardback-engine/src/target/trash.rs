//! Deleting: a rename into the trash, then the unlinking behind it, resumable after any crash.

use super::{Target, layout};
use crate::report::Cancel;
use hardback_platform::{Dir, Faults, Kind, PathError, RelPath};

/// Moves an entry into the trash under a free name.
pub(crate) fn move_to_trash(target: &Target, dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    let trash = target.ours_dir(&[layout::TRASH])?;
    let mut free = name.to_vec();
    for n in 2.. {
        match dir.rename_new(name, &trash, &free) {
            Err(e) if e.fault() == Faults::Exists => free = [name, format!("-{n}").as_bytes()].concat(),
            other => return other,
        }
    }
    Ok(())
}

/// Removes what is in the trash.
pub(crate) fn empty(target: &Target, cancel: &Cancel) -> Result<(), PathError> {
    let Some(trash) = target.ours_dir_if_any(&[layout::TRASH])? else { return Ok(()) };
    for entry in trash.list()?.iter() {
        if cancel.is_cancelled() {
            return Ok(());
        }
        if entry.kind == Kind::Dir {
            remove_tree(&trash, entry.name, cancel)?;
        } else {
            remove_file(&trash, entry.name)?;
        }
    }
    Ok(())
}

fn remove_file(dir: &Dir, name: &[u8]) -> Result<(), PathError> {
    match dir.unlink(name) {
        Err(e) if e.fault() != Faults::Vanished => Err(e),
        _ => Ok(()),
    }
}

/// Removes a tree without recursion and with one open folder a level that still has siblings, so that depth costs no
/// stack; a folder without write permission (a source's own mode) gets it first.
pub(crate) fn remove_tree(parent: &Dir, name: &[u8], cancel: &Cancel) -> Result<(), PathError> {
    let top = parent.try_clone()?;
    let mut path = RelPath::root();
    path.push(name);
    let mut pending: Vec<(RelPath, bool)> = vec![(path, false)];
    while let Some((path, emptied)) = pending.pop() {
        if cancel.is_cancelled() {
            return Ok(());
        }
        let holder = top.open_dir_at(&path.parent())?;
        if emptied {
            holder.remove_dir(path.name())?;
            continue;
        }
        let dir = open_writable(&holder, path.name())?;
        pending.push((path.clone(), true));
        for entry in dir.list()?.iter() {
            if entry.kind == Kind::Dir {
                pending.push((path.join(entry.name), false));
            } else {
                remove_file(&dir, entry.name)?;
            }
        }
    }
    Ok(())
}

fn open_writable(holder: &Dir, name: &[u8]) -> Result<Dir, PathError> {
    let dir = match holder.open_dir(name) {
        Err(e) if e.fault() == Faults::Denied => {
            holder.set_mode(name, 0o700)?;
            holder.open_dir(name)?
        }
        other => other?,
    };
    if dir.metadata()?.mode.is_some_and(|m| m & 0o300 != 0o300) {
        dir.set_mode(b"", 0o700)?;
    }
    Ok(dir)
}
