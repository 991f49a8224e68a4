//! Paths relative to a held directory: raw bytes, `/`-joined, never absolute, never `..`.
//!
//! On Unix the bytes are the file system's own; on Windows they are WTF-8. Nothing here resolves a path.

use std::fmt;

/// A path below a root: components of any bytes except `/` and NUL, joined by `/`; empty for the root itself.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

/// Why bytes are not a [`RelPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelPathError {
    /// A component is empty, `.`, or `..`, or the path is absolute.
    #[error("the path has an empty, \".\" or \"..\" component, or is absolute")]
    Component,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
}

impl RelPath {
    /// The root.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks and takes bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RelPathError> {
        if bytes.contains(&0) {
            return Err(RelPathError::Nul);
        }
        let bad = |c: &[u8]| c.is_empty() || c == b"." || c == b"..";
        if !bytes.is_empty() && bytes.split(|&b| b == b'/').any(bad) {
            return Err(RelPathError::Component);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns this path with one more component.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// Appends one component.
    pub fn push(&mut self, name: &[u8]) {
        debug_assert!(!name.is_empty() && !name.contains(&b'/'), "a component");
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// Removes the last component; does nothing at the root.
    pub fn pop(&mut self) {
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        self.0.truncate(end);
    }

    /// Returns the last component.
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => &self.0[slash + 1..],
            None => &self.0,
        }
    }

    /// Returns the path without its last component.
    #[must_use]
    pub fn parent(&self) -> Self {
        let mut path = self.clone();
        path.pop();
        path
    }

    /// Returns the components in order.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }

    /// Returns whether `self` is `other` or below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        other.is_root()
            || self.0 == other.0
            || (self.0.starts_with(&other.0) && self.0.get(other.0.len()) == Some(&b'/'))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", display(&self.0).to_string())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(&self.0).fmt(f)
    }
}

/// Returns the bytes as text for a person: valid UTF-8 as it is, control and other bytes as `\ooo`.
pub fn display(bytes: &[u8]) -> impl fmt::Display + '_ {
    DisplayBytes(bytes)
}

struct DisplayBytes<'a>(&'a [u8]);

impl fmt::Display for DisplayBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    let mut buffer = [0; 4];
                    for b in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "\\{b:03o}")?;
                    }
                } else {
                    f.write_char(c)?;
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\{b:03o}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_dot_absolute_empty_and_nul_components_are_refused() {
        for bad in ["..", "a/..", "/a", "a//b", "a/", "./a", "."] {
            assert_eq!(RelPath::from_bytes(bad.as_bytes()), Err(RelPathError::Component), "{bad}");
        }
        assert_eq!(RelPath::from_bytes(b"a\0b"), Err(RelPathError::Nul));
    }

    #[test]
    fn push_pop_name_and_parent_agree() {
        let mut path = RelPath::from_bytes(b"a/b").unwrap();
        path.push(b"c\xff");
        assert_eq!(path.as_bytes(), b"a/b/c\xff");
        assert_eq!(path.name(), b"c\xff");
        assert_eq!(path.parent().as_bytes(), b"a/b");
        path.pop();
        path.pop();
        path.pop();
        assert!(path.is_root());
    }

    #[test]
    fn a_sibling_with_the_same_prefix_is_not_below() {
        let p = |s: &str| RelPath::from_bytes(s.as_bytes()).unwrap();
        assert!(p("a/b").is_at_or_below(&p("a")));
        assert!(p("a").is_at_or_below(&p("a")));
        assert!(!p("ab").is_at_or_below(&p("a")));
    }

    #[test]
    fn display_escapes_what_a_terminal_would_obey() {
        assert_eq!(display(b"a\x1b[m\xff\xc3\xa4").to_string(), "a\\033[m\\377ä");
    }
}
