//! `SOURCE [--as NAME]... TARGET`: the one place where the order of the arguments counts, so clap's derive cannot say it.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const PATHS: &str = "paths";
const AS_NAME: &str = "as_name";

/// A source as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedSource {
    /// Path of the source.
    pub(crate) path: PathBuf,
    /// Its folder in the snapshot, if the user chose one.
    pub(crate) name: Option<OsString>,
}

/// What to back up, and where to.
#[derive(Debug, Clone)]
pub(crate) struct SourcesAndTarget {
    /// The sources, in order.
    pub(crate) sources: Vec<NamedSource>,
    /// The target: the last path.
    pub(crate) target: PathBuf,
}

impl Args for SourcesAndTarget {
    fn augment_args(command: Command) -> Command {
        let paths = Arg::new(PATHS)
            .value_name("SOURCE")
            .num_args(1..)
            .required(true)
            .action(ArgAction::Append)
            .value_parser(ValueParser::path_buf())
            .value_hint(ValueHint::DirPath)
            .help("Folders to back up, and as the last path the target: the folder that holds the snapshots");
        let as_name = Arg::new(AS_NAME)
            .long("as")
            .value_name("NAME")
            .action(ArgAction::Append)
            .value_parser(ValueParser::os_string())
            .help_heading("What to back up")
            .help("Folder in the snapshot for the source before it [default: the source's last component]");
        command.arg(paths).arg(as_name)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SourcesAndTarget {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut paths = with_places::<PathBuf>(matches, PATHS);
        let Some((target, _)) = paths.pop().filter(|_| !paths.is_empty()) else {
            let text = "a source and a target are needed: name the folder for the snapshots as the last path\n";
            return Err(Error::raw(ErrorKind::MissingRequiredArgument, text));
        };
        let mut sources: Vec<NamedSource> =
            paths.iter().map(|(path, _)| NamedSource { path: path.clone(), name: None }).collect();
        for (name, place) in with_places::<OsString>(matches, AS_NAME) {
            let before = paths.iter().rposition(|(_, path_place)| *path_place < place);
            let source = before.and_then(|i| sources.get_mut(i)).ok_or_else(|| {
                let text =
                    format!("--as {} stands before the first source; it names the source before it\n", name.display());
                Error::raw(ErrorKind::ArgumentConflict, text)
            })?;
            if let Some(other) = source.name.replace(name.clone()) {
                let (path, other, name) = (source.path.display(), other.display(), name.display());
                let text = format!("source {path} has two names: --as {other} and --as {name}\n");
                return Err(Error::raw(ErrorKind::ArgumentConflict, text));
            }
        }
        Ok(Self { sources, target })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns the values of an argument with their places on the command line.
fn with_places<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<(T, usize)> {
    let values = matches.get_many::<T>(id).into_iter().flatten().cloned();
    values.zip(matches.indices_of(id).into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Vec<String>, String), ErrorKind> {
        let command = SourcesAndTarget::augment_args(Command::new("backup").no_binary_name(true))
            .arg(Arg::new("verbose").short('v').action(ArgAction::Count));
        let matches = command.try_get_matches_from(line.split(' ')).map_err(|e| e.kind())?;
        let places = SourcesAndTarget::from_arg_matches(&matches).map_err(|e| e.kind())?;
        let text = |s: &NamedSource| match &s.name {
            Some(name) => format!("{}={}", s.path.display(), name.display()),
            None => s.path.display().to_string(),
        };
        Ok((places.sources.iter().map(text).collect(), places.target.display().to_string()))
    }

    #[test]
    fn as_names_the_source_before_it() {
        let check = |line: &str, sources: &str, target: &str| {
            let expected = (sources.split(' ').map(str::to_owned).collect(), target.to_owned());
            assert_eq!(parse(line), Ok(expected), "{line}");
        };
        check("a t", "a", "t");
        check("a --as x b t", "a=x b", "t");
        check("a b --as y t", "a b=y", "t");
        check("-v a --as x -v b -v --as y -v t", "a=x b=y", "t");
        check("a t --as x", "a=x", "t");
        check("a --as=x b --as=y t", "a=x b=y", "t");
    }

    #[test]
    fn a_name_without_a_source_and_two_names_for_one_are_usage_errors() {
        assert_eq!(parse("--as x a t"), Err(ErrorKind::ArgumentConflict));
        assert_eq!(parse("a --as x --as y t"), Err(ErrorKind::ArgumentConflict));
        assert_eq!(parse("a"), Err(ErrorKind::MissingRequiredArgument));
    }
}
