//! What Windows declares that no backup should have: the registry's lists `FilesNotToBackup` and `FilesNotToSnapshot`,
//! translated into patterns below a source.
//!
//! An entry of the first is `[drive][path]\filename [/s]`: without a drive it is about all volumes, `%NAME%` stands for a
//! variable, the file's name may have wildcards, and `/s` means the folders below too. One of the second is a full path, in
//! which `$UserProfile$` stands for the folder of each user and `$AllVolumes$` for each volume. (Microsoft: "Registry Keys
//! and Values for Backup and Restore", "Excluding Files from Shadow Copies".) Nothing is looked up here.

use std::fmt;
use std::path::{Path, PathBuf};

/// Which list an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExclusionList {
    /// For every backup.
    NotToBackup,
    /// Windows removes these from shadow copies.
    NotToSnapshot,
    /// What a program declares to Windows while a shadow copy is made.
    Writer,
}

impl fmt::Display for ExclusionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotToBackup => "FilesNotToBackup",
            Self::NotToSnapshot => "FilesNotToSnapshot",
            Self::Writer => "writer",
        })
    }
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemExclusion {
    /// The list.
    pub list: ExclusionList,
    /// The name that it has there: a program, or a part of Windows.
    pub name: String,
    /// What is left out, as it stands there.
    pub entry: String,
}

/// What Windows declares.
#[derive(Debug, Clone, Default)]
pub struct SystemExclusions {
    /// The entries of the lists.
    pub entries: Vec<SystemExclusion>,
    /// The folders of the users.
    pub profiles: Vec<String>,
}

/// What an entry needs to be understood.
pub struct Expansion<'a> {
    /// Returns a variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Returns a path without names of the kind `ANNALI~1`.
    pub long_path: &'a dyn Fn(&str) -> Option<String>,
    /// The folders of the users.
    pub profiles: &'a [String],
}

impl fmt::Debug for Expansion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expansion").field("profiles", &self.profiles).finish_non_exhaustive()
    }
}

/// A pattern below a source, in the manner of .gitignore.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExclusionPattern {
    /// The pattern; it begins with `/`, or with `!/` where folders are taken back in.
    pub pattern: String,
    /// What it leaves out is at or below this path, as far as the pattern says.
    pub below: PathBuf,
}

/// What an entry means for a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// These patterns; none where it is about something else.
    Patterns(Vec<ExclusionPattern>),
    /// All of the source would be left out, which is not what is wanted of it.
    AllOfIt,
    /// It cannot be understood, for this reason.
    Unclear(String),
}

/// An entry, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    /// The drive in upper case; none: all volumes.
    drive: Option<char>,
    dirs: Vec<String>,
    file: String,
    is_recursive: bool,
}

impl SystemExclusion {
    /// Returns what the entry means for a source.
    pub fn meaning(&self, source: &Path, expansion: &Expansion<'_>) -> Meaning {
        let Some((drive, folders)) = source.to_str().and_then(on_drive) else { return Meaning::Patterns(Vec::new()) };
        let expanded = match self.expanded(expansion) {
            Ok(expanded) => expanded,
            Err(why) => return Meaning::Unclear(why),
        };
        let mut patterns = Vec::new();
        for text in expanded {
            let Some(parsed) = parse(&text) else {
                return Meaning::Unclear(format!("{text:?} is no path of a drive with the name of a file"));
            };
            if self.list == ExclusionList::Writer && parsed.drive.is_none() {
                // Its folder is empty, or none of a drive: that would be files of that name everywhere.
                return Meaning::Unclear(format!("{text:?} does not say on which drive"));
            }
            if parsed.drive.is_some_and(|other| other != drive) {
                continue;
            }
            match parsed.below(&folders) {
                Some(found) => patterns.extend(found),
                None => return Meaning::AllOfIt,
            }
        }
        patterns.dedup();
        Meaning::Patterns(patterns)
    }

    /// Returns the entry with nothing in it that stands for something else: one text for each user, if it is about all.
    fn expanded(&self, expansion: &Expansion<'_>) -> Result<Vec<String>, String> {
        let text = self.entry.trim();
        let text = with_variables(text, expansion.variable)?;
        if let Some(rest) = without_prefix(&text, "$AllVolumes$") {
            return Ok(vec![rest.to_owned()]);
        }
        if let Some(rest) = without_prefix(&text, "$UserProfile$") {
            let of_user = |profile: &String| {
                let profile = with_variables(profile, expansion.variable)?;
                Ok(format!("{}{rest}", profile.trim_end_matches('\\')))
            };
            return expansion.profiles.iter().map(of_user).collect();
        }
        // Short names are those of what is there: of the folder at least.
        let (folder, file) = text.rsplit_once('\\').unwrap_or(("", &text));
        let long = folder.contains('~').then(|| (expansion.long_path)(folder)).flatten();
        Ok(vec![long.map_or(text.clone(), |long| format!(r"{long}\{file}"))])
    }
}

fn without_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Puts the variables in.
fn with_variables(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('%') {
        out.push_str(before);
        let Some((name, after)) = from.split_once('%') else {
            out.push('%');
            rest = from;
            continue;
        };
        let value = variable(name).ok_or_else(|| format!("there is no variable %{name}%"))?;
        out.push_str(value.trim_end_matches('\\'));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Takes an entry without variables apart.
fn parse(text: &str) -> Option<Parsed> {
    let text = text.trim();
    let (text, is_recursive) = match text.len().checked_sub(2).and_then(|at| text.split_at_checked(at)) {
        Some((path, end)) if end.eq_ignore_ascii_case("/s") && path.ends_with([' ', '\t']) => (path.trim_end(), true),
        _ => (text, false),
    };
    let text = text.trim_matches('"');
    let text = text.strip_prefix(r"\\?\").unwrap_or(text);
    let (drive, path) = match text.as_bytes() {
        [letter, b':', b'\\', ..] if letter.is_ascii_alphabetic() => {
            (Some(char::from(letter.to_ascii_uppercase())), &text[2..])
        }
        [b'\\', b'\\', ..] => return None,
        [b'\\', ..] => (None, text),
        _ => return None,
    };
    let mut names: Vec<String> = path.split('\\').skip(1).map(str::to_owned).collect();
    let file = names.pop().filter(|file| !file.is_empty())?;
    let is_name = |name: &String| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', ':']);
    (names.iter().all(is_name) && is_name(&file)).then_some(Parsed { drive, dirs: names, file, is_recursive })
}

/// Returns the drive of a path, in upper case, and its folders; none where it is on no drive.
fn on_drive(path: &str) -> Option<(char, Vec<String>)> {
    let path = path.strip_prefix(r"\\?\").unwrap_or(path);
    let (letter, rest) = (path.chars().next()?, path.get(1..)?.strip_prefix(':')?);
    let folders = rest.split(['\\', '/']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    letter.is_ascii_alphabetic().then_some((letter.to_ascii_uppercase(), folders))
}

impl Parsed {
    /// Returns the patterns below a source with these folders; `None` where they would leave out all of it.
    fn below(&self, source: &[String]) -> Option<Vec<ExclusionPattern>> {
        let shared = self.dirs.iter().zip(source).take_while(|(dir, folder)| is_like(dir, folder)).count();
        let (is_inside, is_above) = (shared == source.len(), shared == self.dirs.len());
        let is_everything = matches!(self.file.as_str(), "*" | "*.*");
        if is_above && self.is_recursive && is_everything {
            // The source is the folder that is to be left out, or in it.
            return None;
        }
        let concerns = is_inside || (is_above && self.is_recursive);
        if !concerns {
            return Some(Vec::new());
        }
        let dirs = self.dirs.get(source.len()..).unwrap_or_default();
        let mut path: String = dirs.iter().map(|dir| format!("/{}", escaped(dir))).collect();
        let mut below: PathBuf = dirs.iter().take_while(|dir| !has_wildcard(dir)).collect();
        let is_plain = below.components().count() == dirs.len() && !has_wildcard(&self.file) && !self.is_recursive;
        if is_plain {
            below.push(&self.file);
        }
        let whole = |pattern: String| ExclusionPattern { pattern, below: below.clone() };
        if self.is_recursive && is_everything {
            return Some(vec![whole(format!("{path}/**"))]);
        }
        if self.is_recursive {
            path.push_str("/**");
        }
        let file = if is_everything { "*".to_owned() } else { escaped(&self.file) };
        // It is about files: a folder of such a name stays.
        Some(vec![whole(format!("{path}/{file}")), whole(format!("!{path}/{file}/"))])
    }
}

/// Returns whether a folder of an entry, which may have wildcards, is that folder.
fn is_like(pattern: &str, name: &str) -> bool {
    let fold = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    matches(&fold(pattern), &fold(name))
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (['?', pattern @ ..], [_, name @ ..]) => matches(pattern, name),
        ([one, pattern @ ..], [other, name @ ..]) => one == other && matches(pattern, name),
        _ => false,
    }
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Returns a name as a pattern: with its wildcards, and without a meaning for anything else in it.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if matches!(letter, '[' | ']' | '\\' | ' ') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(entry: &str, source: &str) -> Meaning {
        let variable = |name: &str| match name.to_ascii_uppercase().as_str() {
            "TEMP" => Some(r"C:\Users\ANNALI~1\AppData\Local\Temp".to_owned()),
            "SYSTEMROOT" => Some(r"C:\Windows".to_owned()),
            "SYSTEMDRIVE" => Some("C:".to_owned()),
            _ => None,
        };
        let long_path = |path: &str| Some(path.replace("ANNALI~1", "Anna Livia"));
        let profiles = [r"%SystemDrive%\Users\Anna Livia".to_owned(), r"D:\Users\bob".to_owned()];
        let expansion = Expansion { variable: &variable, long_path: &long_path, profiles: &profiles };
        let (name, entry) = ("test".into(), entry.into());
        SystemExclusion { list: ExclusionList::NotToBackup, name, entry }.meaning(Path::new(source), &expansion)
    }

    #[track_caller]
    fn check(entry: &str, source: &str, expected: &[&str]) {
        match meaning(entry, source) {
            Meaning::Patterns(found) => {
                let found: Vec<&str> = found.iter().map(|found| found.pattern.as_str()).collect();
                assert_eq!(found, expected, "{entry} for {source}");
            }
            other => panic!("{entry} for {source}: {other:?}"),
        }
    }

    #[test]
    fn entries_become_patterns_below_the_source() {
        check(r"\Pagefile.sys", r"C:\", &["/Pagefile.sys", "!/Pagefile.sys/"]);
        check(r"\Pagefile.sys", r"d:\", &["/Pagefile.sys", "!/Pagefile.sys/"]);
        check(r"\Pagefile.sys", r"C:\Users", &[]);
        check(r"\Pagefile.sys", r"\\server\share", &[]);
        check(r"%TEMP%\* /s", r"C:\Users", &[r"/Anna\ Livia/AppData/Local/Temp/**"]);
        check(r"%TEMP%\* /s", r"\\?\c:\USERS\Anna Livia", &["/AppData/Local/Temp/**"]);
        check(r"%TEMP%\* /S", r"D:\Users", &[]);
        check(r"%SystemRoot%\*.log", r"C:\", &["/Windows/*.log", "!/Windows/*.log/"]);
        check(r"%SystemRoot%\*.log", r"C:\Windows\System32", &[]);
        check(r"%systemroot%\*.log /s", r"C:\", &["/Windows/**/*.log", "!/Windows/**/*.log/"]);
        check(r"%SystemRoot%\*.log /s", r"C:\Windows\System32", &["/**/*.log", "!/**/*.log/"]);
        check(r"C:\a\*.* /s", r"C:\", &["/a/**"]);
        check(r"C:\a\*.*", r"C:\", &["/a/*", "!/a/*/"]);
        check(r#""C:\a b\c[1].txt""#, r"C:\", &[r"/a\ b/c\[1\].txt", r"!/a\ b/c\[1\].txt/"]);
        check(r"C:\*\cache\x", r"C:\some", &["/cache/x", "!/cache/x/"]);
    }

    #[test]
    fn a_writer_must_name_a_drive() {
        let variable = |name: &str| (name == "DATA").then(|| r"C:\Data".to_owned());
        let expansion = Expansion { variable: &variable, long_path: &|_| None, profiles: &[] };
        let meaning = |entry: &str| {
            let (list, name, entry) = (ExclusionList::Writer, "Mail".into(), entry.into());
            SystemExclusion { list, name, entry }.meaning(Path::new(r"C:\"), &expansion)
        };
        for entry in [r"\*.ost /s", r"\Data\*.ost", r"$AllVolumes$\*.ost /s", r"$AllVolumes$\Data\x"] {
            assert!(matches!(meaning(entry), Meaning::Unclear(why) if why.contains("which drive")), "{entry}");
        }
        for entry in [r"C:\Data\*.ost /s", r"%DATA%\*.ost /s"] {
            assert!(
                matches!(meaning(entry), Meaning::Patterns(found) if found[0].pattern == "/Data/**/*.ost"),
                "{entry}"
            );
        }
    }

    #[test]
    fn users_and_volumes_are_all_of_them() {
        check(r"$UserProfile$\x\*.ost", r"C:\Users\Anna Livia", &["/x/*.ost", "!/x/*.ost/"]);
        check(r"$UserProfile$\x\* /s", r"D:\", &["/Users/bob/x/**"]);
        check(r"$AllVolumes$\Temp\*.* /s", r"E:\", &["/Temp/**"]);
    }

    #[test]
    fn a_source_that_is_in_a_folder_to_be_left_out_is_wanted_all_the_same() {
        let source = r"C:\Users\Anna Livia\AppData\Local\Temp";
        assert_eq!(meaning(r"%TEMP%\* /s", source), Meaning::AllOfIt);
        assert_eq!(meaning(r"%TEMP%\* /s", &format!(r"{source}\work")), Meaning::AllOfIt);
        check(r"%TEMP%\*", &format!(r"{source}\work"), &[]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for entry in [r"%NONE%\x", "x", r"\\server\share\x", r"C:\a\", r"C:\a\..\x", r"C:\a\x:stream", ""] {
            assert!(matches!(meaning(entry, r"C:\"), Meaning::Unclear(_)), "{entry:?}");
        }
    }

    #[test]
    fn a_pattern_says_where_it_can_match() {
        let below = |entry: &str| match meaning(entry, r"C:\") {
            Meaning::Patterns(found) => found[0].below.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(below(r"\Pagefile.sys"), Path::new("Pagefile.sys"));
        assert_eq!(below(r"C:\a\*.log"), Path::new("a"));
        assert_eq!(below(r"C:\a\b* /s"), Path::new("a"));
        assert_eq!(below(r"C:\a*\b"), Path::new(""));
    }
}
