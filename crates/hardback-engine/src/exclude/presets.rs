//! Lists of what no backup needs, for people to read before they use them.
//!
//! A backup that lacks a file is worse than one that is too large. So a line is here only if a program or the
//! system makes the files again without being told what was in them, or if they cannot be read sensibly at all;
//! each line says which. Doubtful ones are there as comments. The texts are printed as they are.

/// A named list of patterns.
#[derive(Debug)]
pub struct Preset {
    /// What users write.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// The list, with a comment for every pattern.
    pub text: &'static str,
    /// Whether the patterns match in any case.
    pub case_insensitive: bool,
}

static PRESETS: [Preset; 5] = [
    Preset {
        name: "linux-home",
        summary: "caches, trash and mounts in the home directories of a Linux desktop",
        text: include_str!("presets/linux-home.txt"),
        case_insensitive: false,
    },
    Preset {
        name: "linux-system",
        summary: "kernel views, temporary files, mounts and swap of a Linux system; the source is /",
        text: include_str!("presets/linux-system.txt"),
        case_insensitive: false,
    },
    Preset {
        name: "developer",
        summary: "downloads and caches of compilers and package managers",
        text: include_str!("presets/developer.txt"),
        case_insensitive: false,
    },
    Preset {
        name: "windows-user",
        summary: "caches and temporary files in Windows user profiles",
        text: include_str!("presets/windows-user.txt"),
        case_insensitive: true,
    },
    Preset {
        name: "windows-system",
        summary: "page files, Windows' own copies of itself, and what Windows says not to back up; the source is a drive",
        text: include_str!("presets/windows-system.txt"),
        case_insensitive: true,
    },
];

/// Names that presets had before: jobs that say them go on.
const FORMER_NAMES: [(&str, &str); 1] = [("windows-home", "windows-user")];

/// Returns all presets.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// Returns the preset of this name, or of this former name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let name = FORMER_NAMES.iter().find(|(former, _)| *former == name).map_or(name, |(_, name)| name);
    presets().iter().find(|preset| preset.name == name)
}
