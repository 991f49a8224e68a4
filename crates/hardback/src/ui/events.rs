//! The lines on stderr of a run with `--json`. docs/json.md describes each field; a test compares the two.

use serde::Serialize;

/// A line.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) schema: u32,
    #[serde(flatten)]
    pub(super) event: &'a Event<'a>,
}

/// What happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event<'a> {
    /// A step of the verb began.
    Phase { phase: &'a str },
    /// How far it is; once a second.
    Progress(Progress),
    /// One entry was not handled exactly.
    Problem { path: String, kind: &'a str, detail: &'a str },
    /// Something that the user should know.
    Notice { text: &'a str },
}

/// How far it is.
#[derive(Serialize)]
pub(super) struct Progress {
    pub(super) current: String,
    pub(super) entries: u64,
    pub(super) expected_entries: Option<u64>,
    pub(super) linked: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) expected_bytes: Option<u64>,
    pub(super) entries_per_s: u64,
    pub(super) bytes_per_s: u64,
    pub(super) problems: u64,
    pub(super) elapsed_s: f64,
    pub(super) left_s: Option<u64>,
}
