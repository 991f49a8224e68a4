//! Writers: programs that make their own data ready before a volume is frozen. That one of them fails makes no copy
//! useless; it is told.

use super::calls::{Called, Components, Metadata, WriterStatus};
use super::codes::Code;
use super::session::Failure;
use crate::exclusions::{ExclusionList, SystemExclusion};
use std::fmt;

/// How many writers are asked, and for how much of what each declares.
const WRITERS_MAX: u32 = 1000;
const EXCLUDES_MAX: u32 = 1000;

/// The first and the last `VSS_WRITER_STATE` of a writer that failed.
const FAILED: std::ops::RangeInclusive<i32> = 6..=15;

/// When a writer failed, from the first state of one that did.
const FAILED_AT: [&str; 10] = [
    "when it was asked what it has",
    "when it was to prepare for a backup",
    "when it was to prepare for the shadow copy",
    "when it was to hold still",
    "when it was to go on",
    "after the shadow copy",
    "when it was told of the end of the backup",
    "before a restore",
    "after a restore",
    "when the backup was given up",
];

/// A writer that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriterFailure(String);

impl WriterFailure {
    /// Nobody knows what the writers say.
    pub(crate) fn unknown(failure: &Failure) -> Self {
        let why = match failure {
            Failure::Call { code, .. } => code.to_string(),
            Failure::TimedOut { limit, .. } => format!("no answer within {} s", limit.as_secs()),
            other => format!("{other:?}"),
        };
        Self(format!("nobody can tell whether all programs made their data ready for the shadow copy: {why}"))
    }
}

impl fmt::Display for WriterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns what the writers declare that no backup should have. A writer that cannot be asked declares nothing: then more
/// is backed up than need be.
pub(crate) fn exclusions(components: &dyn Components) -> Vec<SystemExclusion> {
    let count = components.writer_metadata_count().unwrap_or(0);
    let writers = (0..count.min(WRITERS_MAX)).filter_map(|number| components.writer_metadata(number).ok());
    writers.flat_map(|writer| exclusions_of(&*writer).unwrap_or_default()).collect()
}

fn exclusions_of(writer: &dyn Metadata) -> Called<Vec<SystemExclusion>> {
    let name = writer.name()?;
    let mut found = Vec::new();
    for number in 0..writer.exclude_count()?.min(EXCLUDES_MAX) {
        let files = writer.exclude(number)?;
        let (path, names) = (files.path.trim_end_matches('\\'), files.names);
        let end = if files.is_recursive { " /s" } else { "" };
        let (list, name) = (ExclusionList::Writer, name.clone());
        found.push(SystemExclusion { list, name, entry: format!(r"{path}\{names}{end}") });
    }
    Ok(found)
}

/// Returns what failed, if it did.
pub(crate) fn failure_of(status: &WriterStatus) -> Option<WriterFailure> {
    let at = usize::try_from(status.state - FAILED.start()).ok().and_then(|at| FAILED_AT.get(at))?;
    let why = match status.failure {
        Code::OK => String::new(),
        code => format!(": {code}"),
    };
    let name = &status.name;
    Some(WriterFailure(format!(
        "the writer \"{name}\" failed {at}{why}; the files of its program may be in the backup as after a power cut"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_has_failed_in_the_states_6_to_15() {
        for state in -1..20 {
            let status = WriterStatus { name: "SQL".into(), state, failure: Code::WRITER_TIMEOUT };
            let failure = failure_of(&status);
            assert_eq!(failure.is_some(), FAILED.contains(&state), "{state}");
            if let Some(failure) = failure {
                let text = failure.to_string();
                assert!(text.contains("\"SQL\"") && text.contains("it was not ready in time (0x800423f2)"), "{text}");
            }
        }
    }
}
