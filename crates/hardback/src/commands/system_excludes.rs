//! What the system declares that no backup should have, as rules of a backup.

use crate::args::ExcludeArgs;
use crate::env::Env;
use hardback_engine::DeclaredRules;
use hardback_engine::exclude::RuleOrigin;
use hardback_engine::system::{file_bytes, is_dir};
use hardback_shadow::{ExclusionList, ExclusionPattern, Expansion, Meaning, SystemExclusion, SystemExclusions};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An entry of the system's lists that is about a source, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SystemRule {
    list: &'static str,
    name: String,
    entry: String,
    /// The patterns that it is for this backup.
    pub(crate) patterns: Vec<String>,
    /// Why there are none.
    pub(crate) why_not: Option<String>,
    /// Windows keeps what it names out of shadow copies all the same, and some of it may be there.
    pub(crate) missing: bool,
    /// That is because it is not understood, which says nothing about the sources.
    #[serde(skip)]
    is_unclear: bool,
    /// There is something where its patterns match.
    #[serde(skip)]
    matches_something: bool,
}

impl SystemRule {
    /// Returns where it comes from, for people.
    pub(crate) fn origin(&self) -> String {
        match self.list {
            WRITER => format!("the writer {} ({})", self.name, self.entry),
            list => format!("Windows' {list} ({}: {})", self.name, self.entry),
        }
    }
}

/// What a program declares while a shadow copy is made.
const WRITER: &str = "writer";

fn code(list: ExclusionList) -> &'static str {
    match list {
        ExclusionList::NotToBackup => "FilesNotToBackup",
        ExclusionList::NotToSnapshot => "FilesNotToSnapshot",
        ExclusionList::Writer => WRITER,
    }
}

/// Returns what writers declare about these sources.
pub(crate) fn writer_rules(declared: &[SystemExclusion], sources: &[PathBuf]) -> Vec<SystemRule> {
    let declared = SystemExclusions { entries: declared.to_vec(), profiles: Vec::new() };
    rules_of(&declared, sources, true, &crate::env::variable, &exists)
}

/// Returns what lets the engine leave out what writers declare.
pub(crate) fn of_writers(args: &ExcludeArgs, sources: &[PathBuf]) -> Option<DeclaredRules> {
    let sources = sources.to_vec();
    let make = move |declared: &[SystemExclusion]| {
        let origin = |rule: &SystemRule| RuleOrigin::System { name: rule.origin() };
        let rules = writer_rules(declared, &sources).into_iter();
        rules
            .flat_map(|rule| rule.patterns.iter().map(|pattern| (pattern.clone(), origin(&rule))).collect::<Vec<_>>())
            .collect()
    };
    (!args.no_system_excludes).then(|| DeclaredRules(Arc::new(make)))
}

fn exists(path: &Path) -> bool {
    is_dir(path) == Some(true) || file_bytes(path).is_some()
}

/// Returns the entries that are about these sources. Those about shadow copies count where such are read.
pub(crate) fn system_rules(args: &ExcludeArgs, sources: &[PathBuf], frozen: bool, env: &Env) -> Vec<SystemRule> {
    if args.no_system_excludes && !frozen {
        return Vec::new();
    }
    match hardback_shadow::system_exclusions() {
        Ok(declared) => {
            let rules = rules_of(&declared, sources, frozen, &crate::env::variable, &exists);
            if args.no_system_excludes { not_wanted(rules) } else { rules }
        }
        Err(error) => {
            env.ui.notice(&format!("what Windows declares that no backup should have cannot be read: {error}"));
            Vec::new()
        }
    }
}

/// Returns what is left of rules that the user does not want: shadow copies lack some files whoever wants them.
fn not_wanted(rules: Vec<SystemRule>) -> Vec<SystemRule> {
    let of_copies = rules.into_iter().filter(|rule| rule.list == code(ExclusionList::NotToSnapshot));
    let not_followed = of_copies.map(|rule| SystemRule {
        missing: rule.missing || rule.matches_something,
        patterns: Vec::new(),
        why_not: Some("--no-system-excludes".to_owned()),
        ..rule
    });
    not_followed.filter(|rule| rule.missing).collect()
}

fn rules_of(
    declared: &SystemExclusions,
    sources: &[PathBuf],
    frozen: bool,
    variable: &dyn Fn(&str) -> Option<String>,
    exists: &dyn Fn(&Path) -> bool,
) -> Vec<SystemRule> {
    let long_path = &hardback_shadow::long_path;
    let expansion = Expansion { variable, long_path, profiles: &declared.profiles };
    let is_due = |entry: &&SystemExclusion| frozen || entry.list == ExclusionList::NotToBackup;
    let entries = declared.entries.iter().filter(is_due);
    let mut rules: Vec<SystemRule> = entries.filter_map(|entry| rule_of(entry, sources, &expansion, exists)).collect();
    // What takes folders back in comes before what leaves out whole trees.
    rules.sort_by_key(|rule| !rule.patterns.iter().any(|pattern| pattern.starts_with('!')));
    rules
}

/// Returns what an entry is for all sources; `None` where it is about none of them.
fn rule_of(
    exclusion: &SystemExclusion,
    sources: &[PathBuf],
    expansion: &Expansion<'_>,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<SystemRule> {
    let SystemExclusion { list, name, entry } = exclusion;
    let (list, name, entry) = (code(*list), name.clone(), entry.clone());
    let is_of_copies = exclusion.list == ExclusionList::NotToSnapshot;
    let (patterns, why_not) = (Vec::new(), None);
    let rule = SystemRule {
        list,
        name,
        entry,
        patterns,
        why_not,
        missing: false,
        is_unclear: false,
        matches_something: false,
    };
    let refused = |why: String| Some(SystemRule { why_not: Some(why), missing: is_of_copies, ..rule.clone() });
    let mut found: Vec<Vec<ExclusionPattern>> = Vec::new();
    for source in sources {
        match exclusion.meaning(source, expansion) {
            Meaning::Patterns(patterns) => found.push(patterns),
            Meaning::AllOfIt => return refused(format!("it would leave out all of {}", source.display())),
            Meaning::Unclear(why) => {
                return refused(why).map(|rule| SystemRule { is_unclear: true, missing: false, ..rule });
            }
        }
    }
    let mut all: Vec<ExclusionPattern> = Vec::new();
    for pattern in found.iter().flatten() {
        if !all.contains(pattern) {
            all.push(pattern.clone());
        }
    }
    // Patterns are the same for all sources: in another one they might leave out what nobody declared.
    for (source, patterns) in sources.iter().zip(&found) {
        let other = all.iter().find(|pattern| !patterns.contains(pattern) && exists(&source.join(&pattern.below)));
        if let Some(other) = other {
            let (pattern, source) = (&other.pattern, source.display());
            return refused(format!("it is {pattern} for another source, and might match in {source} too"));
        }
    }
    let is_there = |(source, patterns): (&PathBuf, &Vec<ExclusionPattern>)| {
        patterns.iter().any(|pattern| exists(&source.join(&pattern.below)))
    };
    let matches_something = sources.iter().zip(&found).any(is_there);
    let patterns: Vec<String> = all.into_iter().map(|pattern| pattern.pattern).collect();
    (!patterns.is_empty()).then_some(SystemRule { patterns, matches_something, ..rule })
}

/// Tells what became of the entries: of all where the user wants to hear much, else of those that are not followed.
pub(crate) fn tell(rules: &[SystemRule], env: &Env) {
    for rule in rules {
        let origin = rule.origin();
        match &rule.why_not {
            Some(why) if rule.missing => env.ui.problem_line(&format!(
                "{origin} is not followed: {why}. Windows keeps these files out of shadow copies all the same: what is \
                 there of them is not in the snapshot (--shadow never reads it)"
            )),
            Some(why) if !rule.is_unclear || env.ui.is_verbose() => {
                env.ui.message(&format!("{origin} is not followed: {why}"))
            }
            None if env.ui.is_verbose() => {
                env.ui.message(&format!("{origin} leaves out {}", rule.patterns.join(", ")));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[(ExclusionList, &str)], sources: &[&str], frozen: bool, there: &str) -> Vec<SystemRule> {
        let entry = |(list, entry): &(ExclusionList, &str)| SystemExclusion {
            list: *list,
            name: "test".into(),
            entry: (*entry).into(),
        };
        let declared = SystemExclusions { entries: entries.iter().map(entry).collect(), profiles: Vec::new() };
        let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
        rules_of(&declared, &sources, frozen, &|_| None, &|path| !there.is_empty() && path.starts_with(there))
    }

    use ExclusionList::{NotToBackup, NotToSnapshot};

    #[test]
    fn what_is_not_in_shadow_copies_counts_where_such_are_read() {
        let entries = [(NotToSnapshot, r"C:\a\x"), (NotToBackup, r"C:\a\y"), (NotToBackup, r"D:\a\y")];
        let count = |frozen| rules(&entries, &[r"C:\a"], frozen, "").len();
        assert_eq!((count(false), count(true)), (1, 2));
    }

    #[test]
    fn what_no_copy_has_is_missing_where_no_rule_leaves_it_out() {
        let entries = [(NotToSnapshot, r"C:\a\x"), (NotToBackup, r"C:\a\y"), (NotToSnapshot, r"C:\a\* /s")];
        let found = rules(&entries, &[r"C:\a"], true, r"C:\a");
        let missing = |rules: &[SystemRule]| rules.iter().map(|rule| rule.missing).collect::<Vec<_>>();
        // All of the source: Windows does so, whatever we do.
        let all: Vec<_> = found.iter().filter(|rule| rule.missing).map(|rule| rule.entry.clone()).collect();
        assert_eq!(all, [r"C:\a\* /s"]);
        assert_eq!(missing(&not_wanted(found)), [true, true]);
        // Nothing is there that could be missing.
        assert_eq!(missing(&not_wanted(rules(&entries[..2], &[r"C:\a"], true, ""))), [false; 0]);
    }

    #[test]
    fn whole_trees_come_last() {
        let found = rules(&[(NotToBackup, r"C:\a\b\* /s"), (NotToBackup, r"C:\a\*")], &[r"C:\a"], false, "");
        let patterns: Vec<String> = found.into_iter().flat_map(|rule| rule.patterns).collect();
        assert_eq!(patterns, ["/*", "!/*/", "/b/**"]);
    }

    #[test]
    fn what_would_match_in_another_source_is_not_followed() {
        let entries = [(NotToBackup, r"C:\one\cache\* /s")];
        let sources = [r"C:\one", r"C:\two"];
        let alone = rules(&entries, &sources, false, "");
        assert_eq!((alone[0].patterns.len(), &alone[0].why_not), (1, &None));
        let both = rules(&entries, &sources, false, r"C:\two");
        assert!(both[0].patterns.is_empty() && both[0].why_not.as_ref().unwrap().contains("might match"), "{both:?}");
        let volumes = rules(&[(NotToBackup, r"\Pagefile.sys")], &[r"C:\", r"D:\"], false, r"C:\");
        assert_eq!(volumes[0].patterns, ["/Pagefile.sys", "!/Pagefile.sys/"]);
    }

    #[test]
    fn all_of_a_source_is_not_left_out() {
        let found = rules(&[(NotToBackup, r"C:\temp\* /s")], &[r"C:\temp\work"], false, "");
        assert!(found[0].patterns.is_empty() && found[0].why_not.as_ref().unwrap().contains("all of"), "{found:?}");
    }
}
