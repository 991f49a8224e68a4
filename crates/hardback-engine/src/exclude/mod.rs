//! Which entries stay out of a snapshot, and the rule that says so.
//!
//! Patterns are gitignore's (see [`PATTERNS_HELP`]): ordered, the last one that matches wins, `!` brings back. This
//! module is pure: it gets paths and texts, and reads neither disk nor clock. It does not know sizes, ages, flags
//! or file systems; those are limits of the walker.
//!
//! All patterns of a list are one automaton in which the last pattern has the highest priority, so one pass over
//! the path's bytes finds the rule that decides, however many there are: 75 ns for 40 rules and a path of 54 bytes.
//! Names need not be UTF-8, and no string is built.

mod builder;
mod error;
mod explain;
mod markers;
mod pattern;
mod presets;
mod rule;
mod source_root;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hardback_platform::path::display;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternID, meta};

pub use builder::ExcludeBuilder;
pub use error::{ExcludeError, PatternFault};
pub use explain::Explanation;
pub use markers::{CACHEDIR_TAG_NAME, CACHEDIR_TAG_SIGNATURE, DirectoryMarkers, MarkerKind, is_cachedir_tag};
pub use presets::{Preset, preset, presets};
pub(crate) use rule::same_folded;
pub use rule::{Rule, RuleOrigin, Verdict, WrittenPattern, WrittenRules};

/// The name of the list that a directory may hold for itself and everything below.
pub const DIRECTORY_FILE_NAME: &[u8] = b".hardbackignore";

/// How many directories above each other may hold a list of their own.
pub const DIRECTORY_FILES_NESTED_MAX: usize = 64;

/// How much memory the compiled patterns of one list may take.
const AUTOMATON_BYTES_MAX: usize = 32 << 20;

/// How much memory one thread may use to remember states of one list's automaton; it is filled as needed.
const STATES_BYTES_MAX: usize = 8 << 20;

/// What users read about patterns; the command line shows it.
pub const PATTERNS_HELP: &str = include_str!("patterns.txt");

/// Compiled rules of a source, or of a directory in it. Cheap to clone; share it between threads.
#[derive(Clone, Debug, Default)]
pub struct ExcludeRules {
    innermost: Option<Arc<Layer>>,
    written: Arc<WrittenRules>,
}

/// The rules of one list; those of the directories above are below it in priority.
#[derive(Debug)]
struct Layer {
    outer: Option<Arc<Layer>>,
    /// The directory the rules count from, with a `/` at the end; empty for the source's root.
    scope: Vec<u8>,
    /// How many directory lists there are from the root to here.
    nested: usize,
    rules: Vec<Rule>,
    /// All rules; asked for directories.
    for_directories: Option<Automaton>,
    /// Those that do not end in `/`; asked for all other kinds. `None` if that is none or all of them.
    for_others: Option<Automaton>,
    /// No rule ends in `/`: `for_directories` serves all kinds.
    one_for_all: bool,
}

impl ExcludeRules {
    /// Returns what the rules say about this entry alone.
    ///
    /// The walker asks once per entry, parents first, and does not descend into an excluded directory; so a parent's
    /// exclusion need not be looked for here. The path is relative to the source's root, its names joined by `/`.
    pub fn check(&self, path: &[u8], is_dir: bool) -> Verdict<'_> {
        if path.is_empty() {
            // `*` is for what the source holds; the source itself was asked for.
            return Verdict::Included;
        }
        let mut layer = self.innermost.as_deref();
        while let Some(current) = layer {
            if let Some(rule) = current.decide(path, is_dir) {
                return Verdict::of(rule);
            }
            layer = current.outer.as_deref();
        }
        Verdict::Included
    }

    /// Returns what the rules say about this entry and every directory above it, for a person to read.
    pub fn explain(&self, path: &[u8], is_dir: bool) -> Explanation<'_> {
        explain::explain(self, path, is_dir)
    }

    /// Tells whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.innermost.is_none()
    }

    /// Returns the rules as they were written, without those of directories' own lists.
    pub fn written(&self) -> &WrittenRules {
        &self.written
    }

    /// Returns these rules with those of a directory's own list on top.
    ///
    /// The new patterns count from that directory, hold for what is below it (not for itself), and win over all
    /// that came before. The walker calls this on entering a directory that holds [`DIRECTORY_FILE_NAME`], uses the
    /// result below it, and falls back to these rules if the list cannot be used, which is a problem.
    pub fn with_directory_file(&self, directory: &[u8], text: &[u8]) -> Result<Self, ExcludeError> {
        let mut scope = directory.to_vec();
        if !scope.is_empty() {
            scope.push(b'/');
        }
        let mut file = scope.clone();
        file.extend_from_slice(DIRECTORY_FILE_NAME);
        let name = display(&file).to_string();
        let rules =
            ExcludeBuilder::new().case_insensitive(self.written.case_insensitive).file(text, &name).compile()?;
        if rules.is_empty() {
            return Ok(self.clone());
        }
        let nested = self.innermost.as_ref().map_or(0, |layer| layer.nested) + 1;
        if nested > DIRECTORY_FILES_NESTED_MAX {
            let directory = display(directory).to_string();
            return Err(ExcludeError::TooDeep { directory, max: DIRECTORY_FILES_NESTED_MAX });
        }
        let layer = Layer::new(rules, scope, nested, self.innermost.clone())?;
        Ok(Self { innermost: Some(Arc::new(layer)), written: self.written.clone() })
    }

    /// Returns every rule that matches this entry, in the order in which they are asked to decide: last one wins.
    fn all_matches(&self, path: &[u8], is_dir: bool) -> Vec<&Rule> {
        let mut matches = Vec::new();
        let mut layer = self.innermost.as_deref().filter(|_| !path.is_empty());
        while let Some(current) = layer {
            matches.extend(current.all_matches(path, is_dir));
            layer = current.outer.as_deref();
        }
        matches.reverse();
        matches
    }
}

/// A rule and its regular expression; `None` if it names nothing in this source.
#[derive(Debug)]
struct CompiledRule {
    rule: Rule,
    written: WrittenPattern,
    regex: Option<String>,
}

impl Layer {
    fn new(
        compiled: Vec<CompiledRule>,
        scope: Vec<u8>,
        nested: usize,
        outer: Option<Arc<Self>>,
    ) -> Result<Self, ExcludeError> {
        let one_for_all = compiled.iter().all(|each| !each.rule.directories_only);
        let for_directories = Automaton::new(&compiled, |_| true)?;
        let for_others = match one_for_all {
            true => None,
            false => Automaton::new(&compiled, |rule| !rule.directories_only)?,
        };
        let rules = compiled.into_iter().map(|each| each.rule).collect();
        Ok(Self { outer, scope, nested, rules, for_directories, for_others, one_for_all })
    }

    fn decide(&self, path: &[u8], is_dir: bool) -> Option<&Rule> {
        let below = path.strip_prefix(self.scope.as_slice())?;
        self.rules.get(self.automaton(is_dir)?.first_match(below)?)
    }

    /// Returns the rules that match, the one that decides first.
    fn all_matches(&self, path: &[u8], is_dir: bool) -> Vec<&Rule> {
        let below = path.strip_prefix(self.scope.as_slice());
        match (below, self.automaton(is_dir)) {
            (Some(below), Some(automaton)) => {
                automaton.all_matches(below).filter_map(|index| self.rules.get(index)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn automaton(&self, is_dir: bool) -> Option<&Automaton> {
        if is_dir || self.one_for_all { self.for_directories.as_ref() } else { self.for_others.as_ref() }
    }
}

/// Many patterns, run at once.
#[derive(Debug)]
struct Automaton {
    regex: meta::Regex,
    /// The rule's index for each pattern. The last rule is the first pattern: leftmost-first semantics prefers it.
    rules: Vec<usize>,
}

impl Automaton {
    fn new(compiled: &[CompiledRule], wanted: impl Fn(&Rule) -> bool) -> Result<Option<Self>, ExcludeError> {
        let (rules, patterns): (Vec<usize>, Vec<&str>) = compiled
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, each)| wanted(&each.rule))
            .filter_map(|(index, each)| Some((index, each.regex.as_deref()?)))
            .unzip();
        if rules.is_empty() {
            return Ok(None);
        }
        // All patterns are anchored at both ends, so a search for a literal to start at would only cost time, and
        // the place of the match is known. `WhichCaptures::None` is not allowed here.
        let config = meta::Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .utf8_empty(false)
            .auto_prefilter(false)
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .hybrid_cache_capacity(STATES_BYTES_MAX);
        let regex = meta::Regex::builder()
            .syntax(syntax::Config::new().utf8(false))
            .configure(config)
            .build_many(&patterns)
            .map_err(|error| ExcludeError::TooLarge { count: patterns.len(), source: Box::new(error) })?;
        Ok(Some(Self { regex, rules }))
    }

    /// Returns the rule that decides.
    fn first_match(&self, path: &[u8]) -> Option<usize> {
        let found = self.regex.search_half(&Input::new(path).anchored(Anchored::Yes))?;
        self.rules.get(found.pattern().as_usize()).copied()
    }

    /// Returns all rules that match, the one that decides first.
    fn all_matches<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        self.rules.iter().enumerate().filter_map(move |(pattern, rule)| {
            let pattern = PatternID::new(pattern).ok()?;
            let input = Input::new(path).anchored(Anchored::Pattern(pattern));
            self.regex.search_half(&input).map(|_| *rule)
        })
    }
}
