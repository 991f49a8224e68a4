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
#[derive(Default, Serialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_event_is_documented() {
        let docs = include_str!("../../../../docs/json.md");
        let events = [
            Event::Phase { phase: "copying" },
            Event::Progress(Progress::default()),
            Event::Problem { path: String::new(), kind: "other", detail: "" },
            Event::Notice { text: "" },
        ];
        for event in &events {
            let line = serde_json::to_value(Line { schema: super::super::SCHEMA, event }).unwrap();
            for key in line.as_object().unwrap().keys() {
                assert!(docs.contains(&format!("| `{key}` |")), "docs/json.md lacks {key}");
            }
            let name = line["event"].as_str().unwrap();
            assert!(docs.contains(&format!("\n`{name}`: ")), "docs/json.md lacks the event {name}");
        }
    }
}
