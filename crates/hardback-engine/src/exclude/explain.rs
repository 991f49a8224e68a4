//! Why an entry is in or out, in words.

use std::fmt;

use hardback_platform::path::display;

use super::ExcludeRules;
use super::rule::{Rule, Verdict};

/// The answer to "why is this in my backup", or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The path that was asked about.
    pub path: Vec<u8>,
    /// Whether it is in the snapshot, and the rule that decided.
    pub verdict: Verdict<'a>,
    /// The first directory above that is excluded, and so decides for everything below.
    pub excluded_parent: Option<Vec<u8>>,
    /// The rules that match the path, or that directory if there is one; the last decides.
    pub matched: Vec<&'a Rule>,
    /// The `!` rules that match the path itself and do not count, because that directory is not looked into.
    pub unheard: Vec<&'a Rule>,
}

pub(super) fn explain<'a>(rules: &'a ExcludeRules, path: &[u8], is_dir: bool) -> Explanation<'a> {
    let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(end, _)| path.get(..end));
    for parent in parents {
        let verdict = rules.check(parent, true);
        if verdict.is_excluded() {
            let own = rules.all_matches(path, is_dir);
            return Explanation {
                path: path.to_vec(),
                verdict,
                excluded_parent: Some(parent.to_vec()),
                matched: rules.all_matches(parent, true),
                unheard: own.into_iter().filter(|rule| rule.reincludes).collect(),
            };
        }
    }
    Explanation {
        path: path.to_vec(),
        verdict: rules.check(path, is_dir),
        excluded_parent: None,
        matched: rules.all_matches(path, is_dir),
        unheard: Vec::new(),
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.verdict.is_excluded() { "excluded" } else { "included" };
        write!(formatter, "{}: {state}", display(&self.path))?;
        if let Some(parent) = &self.excluded_parent {
            write!(formatter, "\n  the directory {} is excluded:", display(parent))?;
        }
        if self.matched.is_empty() {
            write!(formatter, "\n  no rule matches")?;
        }
        for (index, rule) in self.matched.iter().enumerate() {
            let verb = if rule.reincludes { "brings back" } else { "excludes" };
            write!(formatter, "\n  {verb}: {rule}")?;
            if index + 1 == self.matched.len() && index > 0 {
                write!(formatter, "; the last rule decides")?;
            }
        }
        for rule in &self.unheard {
            write!(formatter, "\n  without effect: {rule}; what is below an excluded directory is not looked at")?;
        }
        if let (Some(rule), Some(parent), false) = (self.verdict.rule(), &self.excluded_parent, self.unheard.is_empty())
        {
            let parent = display(parent);
            write!(formatter, "\n  hint: '/{parent}/*' instead of '{}' leaves room for '!'", rule.pattern)?;
        }
        Ok(())
    }
}
