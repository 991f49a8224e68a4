//! `--exclude` and its relatives become the engine's excludes.

use super::system_excludes::SystemRule;
use crate::args::ExcludeArgs;
use crate::env::Env;
use crate::failure::Usage;
use anyhow::Context as _;
use hardback_engine::exclude::{DirectoryMarkers, ExcludeBuilder, RuleOrigin};
use hardback_engine::system::{path_bytes, read_text_file};
use hardback_engine::{Excludes, ignores_case};
use std::path::{Path, PathBuf};

/// Makes the excludes of sources at absolute paths. What the system declares comes first, then presets, then files, then
/// single patterns: what is nearer to the user wins.
pub(crate) fn excludes(
    args: &ExcludeArgs,
    system: &[SystemRule],
    sources: &[PathBuf],
    env: &Env,
) -> anyhow::Result<Excludes> {
    let any_case = any_case(args, sources, env);
    let builder = ExcludeBuilder::new().case_insensitive(any_case);
    let patterns = system.iter().flat_map(|rule| rule.patterns.iter().map(move |pattern| (rule, pattern)));
    let of_system = patterns.fold(builder, |builder, (rule, pattern)| {
        builder.any_case_pattern(pattern.as_bytes(), RuleOrigin::System { name: rule.origin() })
    });
    let mut builder = args.preset.iter().fold(of_system, |builder, name| builder.preset(name));
    // Rules are the same for all sources, so a pattern can spell out the path of a single source only.
    if let [source] = sources {
        builder = builder.source_root(&path_bytes(source));
    }
    for file in &args.exclude_from {
        let text = read_text_file(&env.absolute(file)?).context("cannot use --exclude-from")?;
        builder = builder.file(&text, &file.display().to_string());
    }
    for (index, pattern) in args.exclude.iter().enumerate() {
        refuse_spelled_out(pattern.as_encoded_bytes(), sources)?;
        if std::env::consts::FAMILY == "windows" {
            refuse_backslash(pattern.as_encoded_bytes())?;
        }
        builder = builder.pattern(pattern.as_encoded_bytes(), RuleOrigin::CommandLine { index });
    }
    let if_present = args.exclude_if_present.iter().map(|name| name.as_encoded_bytes().to_vec()).collect();
    let markers = DirectoryMarkers { if_present, caches: args.exclude_caches, case_insensitive: any_case };
    Ok(Excludes { rules: builder.build()?, markers })
}

/// Returns whether rules match in any case: as the volumes of the sources do it. Rules are the same for all sources, so
/// where these differ, case counts, and too much is in the backup rather than too little.
fn any_case(args: &ExcludeArgs, sources: &[PathBuf], env: &Env) -> bool {
    let ignoring = sources.iter().filter(|source| ignores_case(source)).count();
    let has_rules = !(args.exclude.is_empty() && args.exclude_from.is_empty() && args.exclude_if_present.is_empty());
    if has_rules && ignoring > 0 && ignoring < sources.len() {
        env.ui.notice("capitals count in all exclude patterns, as they do on the volumes of some sources, not of all");
    }
    ignoring > 0 && ignoring == sources.len()
}

/// No name of Windows has these characters: who writes a backslash before one means a separator.
fn refuse_backslash(pattern: &[u8]) -> Result<(), Usage> {
    let path = pattern.strip_prefix(b"!").unwrap_or(pattern);
    let is_whole_path = matches!(path, [letter, b':', ..] if letter.is_ascii_alphabetic()) || path.starts_with(br"\\");
    if is_whole_path || !pattern.windows(2).any(|pair| pair == br"\*" || pair == br"\?") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(pattern);
    Err(Usage::new(
        format!("the pattern {text} has a backslash before a wildcard, and would match nothing"),
        format!("separate names by '/', on Windows too: {}", text.replace('\\', "/")),
    ))
}

/// Such a pattern would match nothing, without a word.
fn refuse_spelled_out(pattern: &[u8], sources: &[PathBuf]) -> Result<(), Usage> {
    if sources.len() < 2 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(pattern);
    let path = Path::new(text.strip_prefix('!').unwrap_or(&text));
    match sources.iter().find(|source| path.starts_with(source)) {
        None => Ok(()),
        Some(source) => Err(Usage::new(
            format!("the pattern {text} spells out the source {}, of several", source.display()),
            "with several sources, patterns count from each source: write what follows the source's path",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_before_a_wildcard_is_refused_with_what_to_write() {
        let refused = refuse_backslash(br"Documents\*.BIN").unwrap_err();
        assert!(format!("{refused:?}").contains("Documents/*.BIN"), "{refused:?}");
        assert!(refuse_backslash(br"a\?").is_err());
        for fine in [&br"Documents/*.bin"[..], br"!C:\Users\*.txt", br"\\?\C:\Users\*.txt", br"a\[b\]", b"a"] {
            assert!(refuse_backslash(fine).is_ok());
        }
    }
}
