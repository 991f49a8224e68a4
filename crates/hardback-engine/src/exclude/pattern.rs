//! One pattern in gitignore's language, taken apart and written as a regular expression over bytes.
//!
//! Follows `man gitignore`, and is compared with `git check-ignore` in `tests/exclude_git.rs`. It differs on
//! purpose where git is silent about a mistake: a pattern that can match nothing (`a//b`, `./a`, `[z-a]`, `[a`,
//! a last `\`) is an error here, and so is `\` before a letter, because that is a Windows path and not an escape.
//! `?` and `[!a]` take one character where git takes one byte; in a name that is not UTF-8 they take one byte too.
//! And `a**/b` is `a*/b`, as the manual says and git's shortcut for literal prefixes does not do.
//!
//! The `ignore` crate is not used: of 24 odd patterns it decided 10 unlike git (braces, POSIX classes, `\` in a
//! class, a tab at the end), it folds case in ASCII only, reads Windows names lossily, and costs four times as
//! much per path.

use std::fmt::Write as _;

use super::error::PatternFault;
use super::source_root::SourceRoot;

/// The longest pattern that is accepted: no path is longer on Linux (`PATH_MAX`).
pub(super) const PATTERN_BYTES_MAX: usize = 4096;

/// Any run of bytes, `/` included.
const ANY_PATH: &str = "(?s-u:.)";
/// Any number of directories, each with its `/`.
const ANY_DIRECTORIES: &str = "(?:(?s-u:.)*/)?";
/// A byte that is no character: names need not be UTF-8.
const STRAY_BYTE: &str = r"(?-u:[\x80-\xFF])";

/// A parsed pattern; `regex` turns it into something that can be run.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Written with `!`.
    pub(super) reincludes: bool,
    /// Written with a `/` at the end.
    pub(super) directories_only: bool,
    /// Holds a `/` elsewhere: counted from the root, not from any directory.
    anchored: bool,
    components: Vec<Component>,
}

/// What stands between two slashes.
#[derive(Debug)]
enum Component {
    /// `**` alone.
    AnyDirectories,
    Name(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    /// `?`
    AnyCharacter,
    /// `*`, or `**` next to something else, which means the same.
    AnyRun {
        doubled: bool,
    },
    /// `[…]`, already a regular expression.
    Class(String),
}

impl Pattern {
    /// Returns the pattern, or why it can match nothing.
    ///
    /// With a source root, a pattern that spells an absolute path below it is understood as below the source.
    /// `None` means that the pattern is good and names something outside this source, or the source itself.
    pub(super) fn parse(
        text: &[u8],
        source_root: Option<&SourceRoot>,
        case_insensitive: bool,
    ) -> Result<(Self, Option<String>), PatternFault> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternFault::TooLong);
        }
        let (reincludes, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let native = source_root.and_then(|root| root.slashed(text));
        let is_native = native.is_some();
        let text = native.as_deref().unwrap_or(text);
        let (directories_only, text) = match text.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let anchored = text.contains(&b'/');
        let rooted = text.starts_with(b"/");
        let text = text.strip_prefix(b"/").unwrap_or(text);
        if text.is_empty() {
            return Err(PatternFault::Empty);
        }
        let components = parse_components(text)?;
        let mut pattern = Self { reincludes, directories_only, anchored, components };

        let below = match source_root {
            Some(root) if rooted => pattern.components_below(root, case_insensitive),
            _ => None,
        };
        let elsewhere = match below {
            Some(count) => {
                pattern.components.drain(..count);
                pattern.components.is_empty()
            }
            None => is_native,
        };
        let regex = (!elsewhere).then(|| pattern.regex(case_insensitive));
        Ok((pattern, regex))
    }

    /// Returns how many leading components spell the source root, or `None` if they do not.
    fn components_below(&self, root: &SourceRoot, case_insensitive: bool) -> Option<usize> {
        let count = root.components.len();
        let spelled = self.components.get(..count)?;
        let same = spelled.iter().zip(&root.components).all(|(component, name)| match component {
            Component::Name(pieces) => match pieces.as_slice() {
                [Piece::Text(text)] => root.same_name(text, name, case_insensitive),
                _ => false,
            },
            Component::AnyDirectories => false,
        });
        (same && count > 0).then_some(count)
    }

    fn regex(&self, case_insensitive: bool) -> String {
        let mut regex = String::from(if case_insensitive { r"(?i)\A" } else { r"\A" });
        if !self.anchored {
            regex.push_str(ANY_DIRECTORIES);
        }
        let last = self.components.len().saturating_sub(1);
        for (index, component) in self.components.iter().enumerate() {
            match component {
                Component::AnyDirectories if index == last => {
                    regex.push_str(ANY_PATH);
                    regex.push('+');
                }
                Component::AnyDirectories => regex.push_str(ANY_DIRECTORIES),
                Component::Name(pieces) => {
                    pieces.iter().for_each(|piece| push_piece(&mut regex, piece));
                    if index != last {
                        regex.push('/');
                    }
                }
            }
        }
        regex.push_str(r"\z");
        regex
    }
}

fn push_piece(regex: &mut String, piece: &Piece) {
    match piece {
        Piece::Text(text) => push_text(regex, text),
        Piece::AnyCharacter => {
            regex.push_str("(?:[^/]|");
            regex.push_str(STRAY_BYTE);
            regex.push(')');
        }
        Piece::AnyRun { .. } => regex.push_str("(?-u:[^/])*"),
        Piece::Class(class) => regex.push_str(class),
    }
}

fn push_text(regex: &mut String, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(regex, character);
        }
        for byte in chunk.invalid() {
            write!(regex, r"(?-u:\x{byte:02X})").expect("a string takes all writes");
        }
    }
}

fn push_character(regex: &mut String, character: char) {
    if character.is_ascii_alphanumeric() {
        regex.push(character);
    } else {
        write!(regex, r"\x{{{:X}}}", u32::from(character)).expect("a string takes all writes");
    }
}

/// A character of the pattern, or a byte that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Character(char),
    Byte(u8),
}

fn parse_components(text: &[u8]) -> Result<Vec<Component>, PatternFault> {
    let mut cursor = Cursor::new(text);
    let mut components = Vec::new();
    let mut pieces = Vec::new();
    while let Some(unit) = cursor.next() {
        match unit {
            Unit::Character('/') => components.push(component(std::mem::take(&mut pieces))?),
            Unit::Character('*') => {
                let mut doubled = false;
                while cursor.eat('*') {
                    doubled = true;
                }
                pieces.push(Piece::AnyRun { doubled });
            }
            Unit::Character('?') => pieces.push(Piece::AnyCharacter),
            Unit::Character('[') => pieces.push(Piece::Class(parse_class(&mut cursor)?)),
            // The slash is a separator, escaped or not: no name can hold one.
            Unit::Character('\\') if cursor.peek() == Some(Unit::Character('/')) => {}
            Unit::Character('\\') => {
                let escaped = cursor.escaped()?;
                push_unit(&mut pieces, escaped);
            }
            other => push_unit(&mut pieces, other),
        }
    }
    components.push(component(pieces)?);
    Ok(components)
}

fn component(pieces: Vec<Piece>) -> Result<Component, PatternFault> {
    match pieces.as_slice() {
        [] => Err(PatternFault::EmptyComponent),
        [Piece::AnyRun { doubled: true }] => Ok(Component::AnyDirectories),
        [Piece::Text(text)] if text == b"." || text == b".." => Err(PatternFault::DotComponent),
        _ => Ok(Component::Name(pieces)),
    }
}

fn push_unit(pieces: &mut Vec<Piece>, unit: Unit) {
    if !matches!(pieces.last(), Some(Piece::Text(_))) {
        pieces.push(Piece::Text(Vec::new()));
    }
    if let Some(Piece::Text(text)) = pieces.last_mut() {
        match unit {
            Unit::Character(character) => {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Unit::Byte(byte) => text.push(byte),
        }
    }
}

/// Returns the regular expression of a bracket expression; the `[` is already taken.
fn parse_class(cursor: &mut Cursor) -> Result<String, PatternFault> {
    let negated = cursor.eat('!') || cursor.eat('^');
    let mut items = String::new();
    let mut is_first = true;
    loop {
        let unit = cursor.next().ok_or(PatternFault::UnclosedClass)?;
        if unit == Unit::Character(']') && !is_first {
            break;
        }
        is_first = false;
        if unit == Unit::Character('[')
            && let Some(name) = cursor.named_class()?
        {
            write!(items, "[:{name}:]").expect("a string takes all writes");
            continue;
        }
        let low = cursor.class_character(unit)?;
        push_character(&mut items, low);
        if cursor.range_follows() {
            cursor.next();
            let unit = cursor.next().ok_or(PatternFault::UnclosedClass)?;
            let high = cursor.class_character(unit)?;
            if high < low {
                return Err(PatternFault::BackwardRange(low, high));
            }
            items.push('-');
            push_character(&mut items, high);
        }
    }
    // A class never matches the separator, whatever it lists.
    Ok(if negated { format!(r"(?:[^/{items}]|{STRAY_BYTE})") } else { format!("[{items}&&[^/]]") })
}

/// Reads the pattern from left to right.
struct Cursor {
    units: Vec<Unit>,
    at: usize,
}

/// The names that POSIX gives; `regex-automata` knows the same ones, and two more.
const NAMED_CLASSES: [&str; 12] =
    ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];

impl Cursor {
    fn new(text: &[u8]) -> Self {
        let mut units = Vec::with_capacity(text.len());
        for chunk in text.utf8_chunks() {
            units.extend(chunk.valid().chars().map(Unit::Character));
            units.extend(chunk.invalid().iter().copied().map(Unit::Byte));
        }
        Self { units, at: 0 }
    }

    fn next(&mut self) -> Option<Unit> {
        let unit = self.peek()?;
        self.at += 1;
        Some(unit)
    }

    fn peek(&self) -> Option<Unit> {
        self.units.get(self.at).copied()
    }

    fn eat(&mut self, character: char) -> bool {
        let eaten = self.peek() == Some(Unit::Character(character));
        self.at += usize::from(eaten);
        eaten
    }

    /// Returns what follows a `\`, if a `\` before it has a meaning.
    fn escaped(&mut self) -> Result<Unit, PatternFault> {
        match self.next() {
            None => Err(PatternFault::TrailingBackslash),
            Some(Unit::Character(character)) if begins_a_name(character) => {
                Err(PatternFault::NeedlessEscape(character))
            }
            Some(unit) => Ok(unit),
        }
    }

    /// Returns the character that `unit` stands for inside a class.
    fn class_character(&mut self, unit: Unit) -> Result<char, PatternFault> {
        let unit = match unit {
            Unit::Character('\\') => self.next().ok_or(PatternFault::UnclosedClass)?,
            other => other,
        };
        match unit {
            Unit::Character(character) => Ok(character),
            Unit::Byte(_) => Err(PatternFault::ByteInClass),
        }
    }

    /// Tells whether a `-` and the upper end of a range come next.
    fn range_follows(&self) -> bool {
        self.peek() == Some(Unit::Character('-'))
            && !matches!(self.units.get(self.at + 1), None | Some(Unit::Character(']')))
    }

    /// Takes the rest of `[:name:]`, if that is what the `[` begins.
    fn named_class(&mut self) -> Result<Option<&'static str>, PatternFault> {
        if self.peek() != Some(Unit::Character(':')) {
            return Ok(None);
        }
        let rest = self.units.get(self.at + 1..).unwrap_or_default();
        let length = rest.iter().position(|unit| *unit == Unit::Character(']')).ok_or(PatternFault::UnclosedClass)?;
        let Some((Unit::Character(':'), name)) = rest.get(..length).and_then(<[Unit]>::split_last) else {
            return Ok(None);
        };
        let name: String = name
            .iter()
            .map(|unit| match unit {
                Unit::Character(character) => *character,
                Unit::Byte(_) => char::REPLACEMENT_CHARACTER,
            })
            .collect();
        let known = NAMED_CLASSES.into_iter().find(|known| *known == name);
        self.at += length + 2;
        known.map(Some).ok_or(PatternFault::UnknownClass(name))
    }
}

/// Tells whether a `\` before this character is more likely a Windows separator than an escape.
fn begins_a_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '$' | '%' | '~')
}
