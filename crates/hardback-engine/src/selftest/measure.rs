//! Whether the change time of a file moves on each kind of change: only then it may be trusted where size and time of
//! change are as before.

use super::bytes::{ALL, Ace, Descriptor, EVERYONE, entries, extended_attribute};
use super::{Bench, Check, CheckOutcome, Measured, SelftestReport, cause};
use crate::error::Error;
use hardback_platform::ntfs::{ACL, ATTRIBUTES, EA};
use hardback_platform::{Dir, FileWrite, PathError, Time};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than the step in which any clock of a file system goes.
const BETWEEN: Duration = Duration::from_millis(30);
const NAME: &[u8] = b"measured";
const OLD: Time = Time { seconds: 981_173_106, nanos: 0 };

/// Changes a file; an error is that it cannot be changed in this way here.
type Change = fn(&Dir, &FileWrite) -> Result<(), PathError>;

const CHANGES: [(&str, Change); 8] = [
    ("content, with the time put back", |_, file| {
        file.write_all_at(b"OTHER", 0)?;
        file.set_mtime(OLD)
    }),
    ("time of change", |dir, _| dir.set_mtime(NAME, Time { seconds: OLD.seconds + 1, nanos: 0 })),
    ("permission bits", |dir, _| dir.set_mode(NAME, 0o640)),
    ("access list", |dir, _| {
        let xattrs = dir.xattrs(NAME)?;
        let old = xattrs.iter().find(|(name, _)| name == ACL).and_then(|(_, value)| Descriptor::parse(value));
        let old =
            old.ok_or_else(|| PathError::new("read the access list of", NAME, std::io::ErrorKind::Unsupported))?;
        let all = Ace { kind: 0, flags: 0, mask: ALL, who: EVERYONE };
        let new = Descriptor { dacl: Some(entries(&[all])), is_protected: true, ..old };
        dir.set_xattr(NAME, ACL, &new.to_bytes())
    }),
    ("attributes", |dir, _| dir.set_xattr(NAME, ATTRIBUTES, &0x22_u32.to_be_bytes())),
    ("alternate stream or extended attribute", |dir, _| dir.set_xattr(NAME, b"user.measured", b"1")),
    ("extended attribute (EA)", |dir, _| dir.set_xattr(NAME, EA, &extended_attribute("MEASURED", b"1"))),
    ("another name", |dir, _| dir.link(NAME, dir, b"another name")),
];

/// Measures all kinds of change. Where the engine trusts the change time, one that stays is a failure.
pub(super) fn change_times(bench: &Bench<'_>, report: &mut SelftestReport) -> Result<(), Error> {
    let (dir, _) = bench.folder.make_dir("measured")?;
    let is_trusted = dir.volume()?.reliable_ctime;
    let mut staying = Vec::new();
    for (number, (what, change)) in CHANGES.into_iter().enumerate() {
        bench.ctx.check_cancel()?;
        let name = number.to_string();
        dir.make_dir(name.as_bytes(), 0o700)?;
        let moved = moves(&dir.open_dir(name.as_bytes())?, change);
        if matches!(moved, Ok(Some(false))) {
            staying.push(what);
        }
        let found = match moved {
            Ok(Some(true)) => "moves".to_owned(),
            Ok(Some(false)) => "stays".to_owned(),
            Ok(None) => "the volume has none".to_owned(),
            Err(error) => format!("not possible here: {}", cause(&error)),
        };
        report.measured.push(Measured { what: format!("change time on: {what}"), found });
    }
    let outcome = match (is_trusted, staying.is_empty()) {
        (false, _) => CheckOutcome::not_possible("it is not relied on here; see what was measured"),
        (true, true) => CheckOutcome::Passed,
        (true, false) => {
            CheckOutcome::failed("it moves on every change", format!("it stays on: {}", staying.join(", ")))
        }
    };
    report.checks.push(Check { what: "the change time can be relied on".to_owned(), outcome });
    Ok(())
}

fn moves(dir: &Dir, change: Change) -> Result<Option<bool>, PathError> {
    let file = dir.create_file(NAME, 0o600)?;
    file.write_all_at(b"first", 0)?;
    file.set_mtime(OLD)?;
    let Some(before) = dir.stat(NAME)?.ctime else { return Ok(None) };
    wait();
    change(dir, &file)?;
    Ok(dir.stat(NAME)?.ctime.map(|after| after != before))
}

/// Lets the clock go on. Nobody sends anything: the time runs out.
fn wait() {
    let (_sender, receiver) = mpsc::channel::<()>();
    receiver.recv_timeout(BETWEEN).ok();
}
