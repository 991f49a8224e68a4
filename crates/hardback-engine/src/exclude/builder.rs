//! Collects patterns in order and compiles them.

use std::sync::Arc;

use hardback_platform::path::display;

use super::error::ExcludeError;
use super::pattern::Pattern;
use super::presets::{self, Preset};
use super::rule::{Rule, RuleOrigin, WrittenPattern, WrittenRules};
use super::source_root::SourceRoot;
use super::{CompiledRule, ExcludeRules, Layer};

/// Collects patterns; what is added later wins over what was added before.
///
/// The usual order is presets, lists, command line: the nearer to the user, the later.
#[derive(Debug, Default)]
pub struct ExcludeBuilder {
    lists: Vec<List>,
    case_insensitive: bool,
    source_root: Option<SourceRoot>,
    written_root: Option<Vec<u8>>,
}

#[derive(Debug)]
enum List {
    Pattern { text: Vec<u8>, origin: RuleOrigin },
    AnyCase { text: Vec<u8>, origin: RuleOrigin },
    Written { pattern: WrittenPattern, index: usize },
    File { text: Vec<u8>, name: String },
    Preset { name: String },
}

impl ExcludeBuilder {
    /// Returns a builder without patterns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a builder of rules that were recorded.
    pub fn from_written(written: &WrittenRules) -> Self {
        let lists = written.patterns.iter().cloned().enumerate();
        Self {
            lists: lists.map(|(index, pattern)| List::Written { pattern, index }).collect(),
            case_insensitive: written.case_insensitive,
            source_root: written.source_root.as_deref().map(SourceRoot::new),
            written_root: written.source_root.clone(),
        }
    }

    /// Adds one pattern as it stands: no comment, no trimming (as `git ls-files --exclude` does it).
    #[must_use]
    pub fn pattern(mut self, text: &[u8], origin: RuleOrigin) -> Self {
        self.lists.push(List::Pattern { text: text.to_vec(), origin });
        self
    }

    /// Adds one pattern as it stands, which matches in any case.
    #[must_use]
    pub fn any_case_pattern(mut self, text: &[u8], origin: RuleOrigin) -> Self {
        self.lists.push(List::AnyCase { text: text.to_vec(), origin });
        self
    }

    /// Adds patterns before all that there are, which match in any case.
    #[must_use]
    pub(crate) fn before_all(mut self, patterns: Vec<(String, RuleOrigin)>) -> Self {
        let first = patterns.into_iter().map(|(text, origin)| List::AnyCase { text: text.into_bytes(), origin });
        self.lists.splice(0..0, first);
        self
    }

    /// Adds the lines of a list: with comments, blank lines, and spaces at the end that do not count.
    #[must_use]
    pub fn file(mut self, text: &[u8], name: &str) -> Self {
        self.lists.push(List::File { text: text.to_vec(), name: name.to_owned() });
        self
    }

    /// Adds the rules of the preset of that name; `build` fails if there is none.
    #[must_use]
    pub fn preset(mut self, name: &str) -> Self {
        self.lists.push(List::Preset { name: name.to_owned() });
        self
    }

    /// Sets whether `A` matches `a`, in all scripts. Presets for Windows do so in any case.
    #[must_use]
    pub fn case_insensitive(mut self, yes: bool) -> Self {
        self.case_insensitive = yes;
        self
    }

    /// Names the source's absolute path, so that patterns may spell it out (see the module `source_root`).
    #[must_use]
    pub fn source_root(mut self, path: &[u8]) -> Self {
        self.source_root = Some(SourceRoot::new(path));
        self.written_root = Some(path.to_vec());
        self
    }

    /// Compiles all patterns, or says which one is wrong.
    pub fn build(self) -> Result<ExcludeRules, ExcludeError> {
        let (case_insensitive, source_root) = (self.case_insensitive, self.written_root.clone());
        let rules = self.compile()?;
        let patterns = rules.iter().map(|each| each.written.clone()).collect();
        let written = Arc::new(WrittenRules { patterns, source_root, case_insensitive });
        let innermost = match rules.is_empty() {
            true => None,
            false => Some(Arc::new(Layer::new(rules, Vec::new(), 0, None)?)),
        };
        Ok(ExcludeRules { innermost, written })
    }

    /// Translates all patterns, in order.
    pub(super) fn compile(self) -> Result<Vec<CompiledRule>, ExcludeError> {
        let mut rules = Vec::new();
        for list in &self.lists {
            match list {
                List::Pattern { text, origin } => {
                    rules.push(self.compile_pattern(text, origin.clone(), self.case_insensitive)?);
                }
                List::AnyCase { text, origin } => rules.push(self.compile_pattern(text, origin.clone(), true)?),
                List::Written { pattern, index } => {
                    let origin = RuleOrigin::File { name: "the snapshot's record".to_owned(), line: index + 1 };
                    rules.push(self.compile_pattern(&pattern.text, origin, pattern.any_case)?);
                }
                List::File { text, name } => {
                    let origin = |line| RuleOrigin::File { name: name.clone(), line };
                    self.compile_lines(&mut rules, text, name, origin, self.case_insensitive)?;
                }
                List::Preset { name } => {
                    let preset =
                        presets::preset(name).ok_or_else(|| ExcludeError::UnknownPreset { name: name.clone() })?;
                    self.compile_preset(&mut rules, preset)?;
                }
            }
        }
        Ok(rules)
    }

    fn compile_preset(&self, rules: &mut Vec<CompiledRule>, preset: &Preset) -> Result<(), ExcludeError> {
        let origin = |line| RuleOrigin::Preset { name: preset.name, line };
        let case_insensitive = self.case_insensitive || preset.case_insensitive;
        self.compile_lines(rules, preset.text.as_bytes(), preset.name, origin, case_insensitive)
    }

    fn compile_lines(
        &self,
        rules: &mut Vec<CompiledRule>,
        text: &[u8],
        name: &str,
        origin: impl Fn(usize) -> RuleOrigin,
        case_insensitive: bool,
    ) -> Result<(), ExcludeError> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        for (line, content) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            // Names cannot hold one; a list in UTF-16 does, and would match nothing without a word.
            if content.contains(&0) {
                return Err(ExcludeError::NotText { name: name.to_owned(), line });
            }
            if let Some(pattern) = pattern_of_line(content) {
                rules.push(self.compile_pattern(pattern, origin(line), case_insensitive)?);
            }
        }
        Ok(())
    }

    fn compile_pattern(
        &self,
        text: &[u8],
        origin: RuleOrigin,
        case_insensitive: bool,
    ) -> Result<CompiledRule, ExcludeError> {
        let written = match text {
            [] => String::new(),
            _ => display(text).to_string(),
        };
        match Pattern::parse(text, self.source_root.as_ref(), case_insensitive) {
            Ok((pattern, regex)) => {
                let Pattern { reincludes, directories_only, .. } = pattern;
                let rule = Rule { pattern: written, origin, reincludes, directories_only };
                Ok(CompiledRule {
                    rule,
                    written: WrittenPattern { text: text.to_vec(), any_case: case_insensitive },
                    regex,
                })
            }
            Err(fault) => Err(ExcludeError::BadPattern { origin, pattern: written, fault }),
        }
    }
}

/// Returns the pattern that a line of a list holds, or `None` for a comment or a blank line.
fn pattern_of_line(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"#") {
        return None;
    }
    let pattern = line.get(..length_without_spaces(line)).unwrap_or(line);
    (!pattern.is_empty()).then_some(pattern)
}

/// Returns the length without the spaces at the end, except for one that a `\` keeps.
fn length_without_spaces(line: &[u8]) -> usize {
    let mut length = 0;
    let mut is_escaped = false;
    for (end, byte) in (1..).zip(line) {
        if is_escaped || *byte != b' ' {
            length = end;
        }
        is_escaped = !is_escaped && *byte == b'\\';
    }
    length
}
