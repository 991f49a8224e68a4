//! The path of the source on this machine, for patterns that spell it out.
//!
//! People write `/home/anna/.cache` or `C:\Users\anna\AppData` although `/` means the source's root. Both readings
//! differ only if the source holds its own path again (`/home/anna/home/anna`), so the absolute one is taken.

use super::rule::same_folded;

/// The components of an absolute path.
#[derive(Clone, Debug)]
pub(super) struct SourceRoot {
    pub(super) components: Vec<Vec<u8>>,
    is_windows: bool,
}

impl SourceRoot {
    /// Reads a path as the user or the system spells it: `/home/anna`, `C:\Users`, `\\?\C:\`, `\\server\share`.
    pub(super) fn new(path: &[u8]) -> Self {
        let is_windows = is_windows_absolute(path);
        let slashed = if is_windows { with_slashes(path) } else { path.to_vec() };
        let components = slashed.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        Self { components: components.map(<[u8]>::to_vec).collect(), is_windows }
    }

    /// Returns a Windows absolute path as a pattern with a leading `/`, its `\` being separators.
    ///
    /// `None` for every other text, and for every text if the source is not a Windows path: there `\` escapes.
    pub(super) fn slashed(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        if !self.is_windows || !is_windows_absolute(pattern) {
            return None;
        }
        let slashed = with_slashes(pattern);
        let names = slashed.iter().position(|byte| *byte != b'/').unwrap_or(slashed.len());
        let mut text = vec![b'/'];
        text.extend_from_slice(slashed.get(names..).unwrap_or_default());
        Some(text)
    }

    /// Tells whether two names are the same on the source's system.
    pub(super) fn same_name(&self, left: &[u8], right: &[u8], case_insensitive: bool) -> bool {
        left == right || ((self.is_windows || case_insensitive) && same_folded(left, right))
    }
}

/// Tells whether the text begins with a drive (`C:` and a separator or nothing) or with `\\`.
fn is_windows_absolute(text: &[u8]) -> bool {
    match text {
        [b'\\', b'\\', ..] => true,
        [drive, b':'] => drive.is_ascii_alphabetic(),
        [drive, b':', b'/' | b'\\', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Turns `\` into `/` and drops the `\\?\` that means "take this path literally".
fn with_slashes(text: &[u8]) -> Vec<u8> {
    let text = match text.strip_prefix(br"\\?\UNC\") {
        Some(share) => share,
        None => text.strip_prefix(br"\\?\").unwrap_or(text),
    };
    text.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}
