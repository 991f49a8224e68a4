//! What a backup leaves out, as its manifest says it: enough to decide again, years later and for new names.

use crate::exclude::{DirectoryMarkers, WrittenPattern, WrittenRules};

/// What a backup leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExcludeRecord {
    /// Patterns.
    pub rules: WrittenRules,
    /// Names that mark a folder whose content is left out.
    pub markers: DirectoryMarkers,
    /// Files above this many bytes.
    pub max_size_file_bytes: Option<u64>,
    /// What has the attribute "no dump".
    pub nodump: bool,
    /// What is on another volume than its source.
    pub one_file_system: bool,
    /// Lists of patterns in folders were not read.
    pub no_ignore_files: bool,
}

impl ExcludeRecord {
    /// Returns it as lines of the header: key and value.
    pub(super) fn lines(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut lines = Vec::new();
        lines.extend(self.rules.source_root.iter().map(|root| ("exclude-root", root.clone())));
        for pattern in &self.rules.patterns {
            lines.push((if pattern.any_case { "exclude-any-case" } else { "exclude" }, pattern.text.clone()));
        }
        lines.extend(self.markers.if_present.iter().map(|name| ("exclude-if-present", name.clone())));
        lines.extend(self.max_size_file_bytes.map(|max| ("max-size-file", max.to_string().into_bytes())));
        let flags = [
            ("exclude-caches", self.markers.caches),
            ("exclude-nodump", self.nodump),
            ("one-file-system", self.one_file_system),
            ("no-ignore-files", self.no_ignore_files),
            ("lists-any-case", self.rules.case_insensitive),
            ("markers-any-case", self.markers.case_insensitive),
        ];
        lines.extend(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| (key, Vec::new())));
        lines
    }

    /// Takes a line of the header; returns whether it was one of these.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let pattern = |any_case| WrittenPattern { text: value.to_vec(), any_case };
        match key {
            b"exclude-root" => self.rules.source_root = Some(value.to_vec()),
            b"exclude" => self.rules.patterns.push(pattern(false)),
            b"exclude-any-case" => self.rules.patterns.push(pattern(true)),
            b"exclude-if-present" => self.markers.if_present.push(value.to_vec()),
            b"max-size-file" => match super::text::parse_number(value) {
                Some(max) => self.max_size_file_bytes = Some(max),
                None => return false,
            },
            b"exclude-caches" => self.markers.caches = true,
            b"exclude-nodump" => self.nodump = true,
            b"one-file-system" => self.one_file_system = true,
            b"no-ignore-files" => self.no_ignore_files = true,
            b"lists-any-case" => self.rules.case_insensitive = true,
            b"markers-any-case" => self.markers.case_insensitive = true,
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Header, ManifestWriter, Reader};

    fn record() -> ExcludeRecord {
        let pattern = |text: &[u8], any_case| WrittenPattern { text: text.to_vec(), any_case };
        ExcludeRecord {
            rules: WrittenRules {
                patterns: vec![pattern(b"*.o", false), pattern(b"Thumbs.db", true), pattern(b"!# \xff\\ /", false)],
                source_root: Some(b"/home/anna anna".to_vec()),
                case_insensitive: true,
            },
            markers: DirectoryMarkers {
                if_present: vec![b".no backup".to_vec(), b"x".to_vec()],
                caches: true,
                case_insensitive: true,
            },
            max_size_file_bytes: Some(500),
            nodump: true,
            one_file_system: true,
            no_ignore_files: true,
        }
    }

    fn written(excludes: Option<ExcludeRecord>) -> Option<ExcludeRecord> {
        let header = Header { excludes, ..Header::default() };
        let bytes = ManifestWriter::create(Vec::new(), &header).unwrap().finish().unwrap().sink;
        Reader::open(bytes).unwrap().header().excludes.clone()
    }

    #[test]
    fn what_was_left_out_comes_back_and_nothing_said_is_not_nothing_left_out() {
        for excludes in [None, Some(ExcludeRecord::default()), Some(record())] {
            assert_eq!(written(excludes.clone()), excludes);
        }
    }

    #[test]
    fn a_kind_of_rule_that_is_not_known_makes_all_of_them_unknown() {
        let mut taken = ExcludeRecord::default();
        assert!(!taken.take(b"exclude-if-full-moon", b"") && !taken.take(b"max-size-file", b"many"));
        let text =
            |count| format!("#mtree\n# hardback manifest 1\n# excludes {count}\n# exclude *.o\n# exclude-new x\n");
        let excludes = |count| super::super::reader::parse_header(text(count).as_bytes()).unwrap().excludes;
        assert!(excludes(1).is_some() && excludes(2).is_none());
    }
}
