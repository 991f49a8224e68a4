//! What can be wrong with exclude rules, and what to write instead.

use super::rule::RuleOrigin;

/// The rules cannot be used. Nothing is guessed: a rule that silently matches nothing, or too much, is worse.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// One pattern cannot match anything.
    #[error("cannot use the exclude pattern '{pattern}' ({origin}): {fault}")]
    BadPattern {
        /// Where the pattern was written.
        origin: RuleOrigin,
        /// The pattern as it was written, other bytes as `\ooo`.
        pattern: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A list of patterns holds zero bytes.
    #[error("cannot read the exclude patterns in {name}: line {line} holds a zero byte")]
    NotText {
        /// The list's name.
        name: String,
        /// The first line with a zero byte, from 1.
        line: usize,
    },
    /// There is no preset of that name.
    #[error("there is no exclude preset '{name}'")]
    UnknownPreset {
        /// The name that was asked for.
        name: String,
    },
    /// All patterns together need more memory than is allowed.
    #[error("cannot compile {count} exclude patterns")]
    TooLarge {
        /// How many patterns there are.
        count: usize,
        /// Which limit was hit.
        source: Box<regex_automata::meta::BuildError>,
    },
    /// Too many directories above each other hold a list of their own.
    #[error("cannot use the exclude patterns of {directory}: more than {max} lists are nested")]
    TooDeep {
        /// The directory whose list is one too many.
        directory: String,
        /// The limit.
        max: usize,
    },
}

impl ExcludeError {
    /// Returns what the user can do about it, for the `hint:` line.
    pub fn hint(&self) -> String {
        match self {
            Self::BadPattern { fault, .. } => fault.hint(),
            Self::NotText { .. } => "save the file as UTF-8; this looks like UTF-16".to_owned(),
            Self::UnknownPreset { .. } => {
                let names: Vec<&str> = super::presets::presets().iter().map(|preset| preset.name).collect();
                format!("the presets are {}", names.join(", "))
            }
            Self::TooLarge { .. } => "exclude whole directories instead of single files".to_owned(),
            Self::TooDeep { .. } => "move the patterns into a list further up".to_owned(),
        }
    }
}

/// Why a pattern can match nothing, or not what its author meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// Empty, or nothing but `!` and `/`.
    #[error("it names nothing")]
    Empty,
    /// `a//b`
    #[error("it holds two slashes in a row, which no path does")]
    EmptyComponent,
    /// `./a` or `../a`
    #[error("it holds the name \".\" or \"..\", which no path below the source does")]
    DotComponent,
    /// `[a`
    #[error("a \"[\" has no \"]\"")]
    UnclosedClass,
    /// `[z-a]`
    #[error("the range {0}-{1} is backwards")]
    BackwardRange(char, char),
    /// `[[:letter:]]`
    #[error("there is no character class [:{0}:]")]
    UnknownClass(String),
    /// A byte that is not UTF-8 between `[` and `]`.
    #[error("a \"[…]\" holds a byte that is not UTF-8")]
    ByteInClass,
    /// `a\`
    #[error("it ends in a backslash")]
    TrailingBackslash,
    /// `a\b`
    #[error("the backslash before {0:?} has no meaning")]
    NeedlessEscape(char),
    /// Longer than any path.
    #[error("it is longer than any path can be")]
    TooLong,
}

impl PatternFault {
    /// Returns what to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Empty => r"to exclude everything write '*'; '/' and '!' are only parts of a pattern",
            Self::EmptyComponent => "write one slash, or '/**/' for any number of directories between",
            Self::DotComponent => "patterns count from the source's root: write '/name' instead of './name'",
            Self::UnclosedClass => r"write '\[' for the character itself",
            Self::BackwardRange(..) => r"write the lower end first, or '\-' for the hyphen itself",
            Self::UnknownClass(_) => {
                "the classes are alnum, alpha, blank, cntrl, digit, graph, lower, print, punct, space, upper, xdigit"
            }
            Self::ByteInClass => "write '?' or '*' instead, or save the list as UTF-8",
            Self::TrailingBackslash | Self::NeedlessEscape(_) => {
                r"separate names by '/', on Windows too; '\' is for the characters '*?[\!#' and the space"
            }
            Self::TooLong => "write one pattern a line",
        }
        .to_owned()
    }
}
