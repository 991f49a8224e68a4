//! `hardback filter`: what exclude patterns do.

use super::excludes::excludes;
use super::system_excludes::system_rules;
use crate::args::{ExplainArgs, PresetsArgs};
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Usage;
use crate::ui::text;
use hardback_engine::Error;
use hardback_engine::exclude::{DIRECTORY_FILE_NAME, ExcludeError, ExcludeRules, preset, presets as all_presets};
use hardback_engine::system::{file_bytes, is_dir, read_text_file, snapshot_path};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;

/// The report of `filter explain`.
#[derive(Serialize)]
struct ExplainReport {
    path: String,
    excluded: bool,
    rule: Option<String>,
    origin: Option<String>,
    excluded_parent: Option<String>,
}

/// A line of `filter presets`.
#[derive(Serialize)]
struct PresetItem {
    name: &'static str,
    summary: &'static str,
    patterns: &'static str,
}

/// The report of `filter presets`.
#[derive(Serialize)]
struct PresetsReport {
    presets: usize,
}

/// Says which rule keeps a path in or out.
pub(crate) fn explain(args: &ExplainArgs, env: &Env) -> anyhow::Result<Exit> {
    let source = env.absolute(&args.source)?;
    if is_dir(&source).is_none() {
        let what = format!("there is no source {}", source.display());
        return Err(Usage::new(what, "patterns count from the source: name it with --source").into());
    }
    let path = env.absolute(&source.join(&args.path))?;
    let below = path.strip_prefix(&source).ok().filter(|below| !below.as_os_str().is_empty()).ok_or_else(|| {
        Usage::new(
            format!("{} is not below the source {}", path.display(), source.display()),
            "patterns count from the source: name it with --source",
        )
    })?;
    let named_dir = args.path.to_string_lossy().ends_with(std::path::is_separator);
    let sources = std::slice::from_ref(&source);
    // What is left out of shadow copies is explained too: whether one is read is not known here.
    let system = system_rules(&args.exclude, sources, true, env);
    let excludes = excludes(&args.exclude, &system, sources, env)?;
    let rules = match args.exclude.no_ignore_files {
        true => excludes.rules,
        false => with_directory_files(excludes.rules, &source, below)?,
    };
    let below = snapshot_path(below)?;
    let explanation = rules.explain(&below, named_dir || is_dir(&path).unwrap_or(false));
    let is_too_large = args.max_size_file.is_some_and(|max| file_bytes(&path).is_some_and(|bytes| bytes > max));
    let by_size = is_too_large && !explanation.verdict.is_excluded();
    if !excludes.markers.is_empty() {
        env.ui.notice("only patterns are explained; --exclude-if-present and --exclude-caches are not");
    }
    if env.ui.is_json() {
        let rule = explanation.verdict.rule();
        let report = ExplainReport {
            path: text::json_bytes(&below),
            excluded: explanation.verdict.is_excluded() || by_size,
            rule: rule.map(|rule| rule.pattern.clone()),
            origin: rule.map(|rule| rule.origin.to_string()).or_else(|| by_size.then(|| "--max-size-file".to_owned())),
            excluded_parent: explanation.excluded_parent.as_deref().map(text::json_bytes),
        };
        return Ok(env.ui.report("explain", Exit::Done, &report)?);
    }
    if by_size {
        env.ui.line(&format!("{}: excluded\n  excludes: --max-size-file", text::path(&below)))?;
    } else {
        env.ui.line(&explanation.to_string())?;
    }
    Ok(Exit::Done)
}

/// Adds the lists that the folders on the way to a path hold, as a backup does.
fn with_directory_files(mut rules: ExcludeRules, source: &Path, below: &Path) -> anyhow::Result<ExcludeRules> {
    let mut folders: Vec<&Path> = below.ancestors().skip(1).collect();
    folders.reverse();
    for folder in folders {
        match read_text_file(&source.join(folder).join(text::path(DIRECTORY_FILE_NAME))) {
            Ok(list) => rules = rules.with_directory_file(&snapshot_path(folder)?, &list)?,
            Err(Error::Path(error)) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rules)
}

/// Prints the lists that come with hardback.
pub(crate) fn presets(args: &PresetsArgs, env: &Env) -> anyhow::Result<Exit> {
    let chosen = match &args.name {
        Some(name) => vec![preset(name).ok_or_else(|| ExcludeError::UnknownPreset { name: name.clone() })?],
        None => all_presets().iter().collect(),
    };
    if env.ui.is_json() {
        for preset in &chosen {
            let item = PresetItem { name: preset.name, summary: preset.summary, patterns: preset.text };
            env.ui.item("preset", &item)?;
        }
        return Ok(env.ui.report("presets", Exit::Done, &PresetsReport { presets: chosen.len() })?);
    }
    match (&chosen[..], &args.name) {
        ([preset], Some(_)) => env.ui.raw(preset.text.as_bytes())?,
        _ => {
            let heads = [("preset", text::Align::Left), ("leaves out", text::Align::Left)];
            let rows: Vec<_> = chosen.iter().map(|p| [p.name.to_owned(), p.summary.to_owned()]).collect();
            for line in text::table(heads, &rows) {
                env.ui.line(&line)?;
            }
        }
    }
    Ok(Exit::Done)
}
