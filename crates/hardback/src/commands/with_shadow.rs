//! `hardback with-shadow`: any command on frozen views.

use super::shadow;
use crate::args::WithShadowArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::failure::{self, Usage};
use hardback_engine::Clock;
use hardback_engine::system::{KeepAwake, is_dir};
use hardback_shadow::{Forward, Request, RunResult, ShadowError, ShadowSet, Told, Window, WindowPlan};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// hardback itself failed, as with `env` and `timeout`.
const FAILED: Exit = Exit::Of(125);

/// Runs a command on shadow copies. Its stdout is the command's own.
pub(crate) fn run(args: &WithShadowArgs, env: &Env) -> anyhow::Result<Exit> {
    if env.ui.is_json() {
        return Err(Usage::new("with-shadow has no results of its own", "leave out --json").into());
    }
    match work(args, env) {
        Ok(exit) => Ok(exit),
        Err(error) if error.is::<Usage>() => Err(error),
        Err(error) => {
            failure::tell(&error, &env.ui);
            Ok(FAILED)
        }
    }
}

fn work(args: &WithShadowArgs, env: &Env) -> anyhow::Result<Exit> {
    let forward = Forward::listen()?;
    let hooks = args.hooks.hooks();
    let Some(sources) = sources(args, env)? else {
        // A push, or a question about versions: nothing is read here.
        let command = command(&args.rsync, &args.command, env)?;
        return Ok(started(forward.run(command), &args.rsync, env));
    };
    let shadows = shadow::shadows(args.shadow_size, env)?;
    let _awake = KeepAwake::new();
    let request = Request {
        sources: sources.clone(),
        one_file_system: args.one_file_system || (args.rsync_compat && stays_on_volume(&args.command)),
        shows_unwanted: false,
        wants: &|_, _| true,
    };
    let plan = WindowPlan {
        shadows: &shadows,
        mode: args.shadow.mode(),
        request,
        purpose: purpose(args),
        hooks: &hooks,
        variables: Vec::new(),
        now: &|| env.clock.now(),
        stops: &|| forward.stops(),
        tell: &|told| tell(&told, env),
    };
    let mut window = Window::new(plan);
    let opened = window.open().and_then(|()| if args.drive { window.give_letters() } else { Ok(()) });
    let result = opened.map_err(anyhow::Error::from).and_then(|()| {
        let exit = on_views(args, window.set(), &sources, &forward, env);
        // What was read from a copy that was lost is of no use, whatever the command says; nobody asks again.
        window.set().map_or(Ok(()), ShadowSet::check_last)?;
        exit
    });
    let ended = match &result {
        Ok(exit) if exit.code() == 0 => RunResult::Done,
        _ if forward.stopped().is_some() => RunResult::Interrupted,
        _ => RunResult::Failed,
    };
    window.close(ended);
    match (result, forward.stopped()) {
        (Err(error), Some(code)) if matches!(error.downcast_ref(), Some(ShadowError::Interrupted)) => {
            Ok(Exit::Of(code))
        }
        (result, _) => result,
    }
}

/// Tells at once what is not as it should be: there is no report at the end.
fn tell(told: &Told<'_>, env: &Env) {
    match told {
        Told::Leftover(text) => env.ui.notice(text),
        Told::Waiting(text) => env.ui.notice(text),
        Told::FailedHook(hook) => env.ui.problem_line(&hook.to_string()),
        Told::Left(copy, error) => {
            let (name, of, why) = (&copy.name, &copy.volume.shown, error.in_a_line());
            env.ui.problem_line(&format!("the shadow copy {name} of {of} is still there: {why}"));
        }
        _ => {}
    }
}

/// Runs the command on the views.
fn on_views(
    args: &WithShadowArgs,
    set: Option<&ShadowSet>,
    sources: &[PathBuf],
    forward: &Forward,
    env: &Env,
) -> anyhow::Result<Exit> {
    let in_place = args.in_place || args.rsync_compat;
    if let Some(set) = set {
        set.report().live.iter().for_each(|live| shadow::tell_live(live, env));
        set.report().warnings.iter().for_each(|warning| env.ui.notice(warning));
        for made in set.report().made.iter().filter(|_| env.ui.is_verbose()) {
            env.ui.message(&format!("{} is frozen as {}", made.volume, made.name));
        }
        for path in &set.report().in_memory {
            env.ui.message(&format!("{} is in memory and is read as it is", path.display()));
        }
        if in_place {
            set.show_in_place()?;
        } else if !names_views(&args.command) {
            env.ui
                .message("the command has no {} in it: unless it looks at HARDBACK_SHADOW_1, it reads the live files");
        }
    }
    let view = |number: usize| match set.and_then(|set| set.view(number)) {
        Some(view) if !in_place => view.to_path_buf(),
        _ => sources[number].clone(),
    };
    let views: Vec<PathBuf> = (0..sources.len()).map(view).collect();
    let (program, arguments) = match args.rsync_compat {
        true => (&args.rsync, args.command.clone()),
        false => (&args.command[0], put_in(&args.command[1..], &views)?),
    };
    let mut command = command(program, &arguments, env)?;
    for (number, view) in views.iter().enumerate() {
        command.env(format!("HARDBACK_SHADOW_{}", number + 1), view);
    }
    if let Some(first) = views.first() {
        command.env("HARDBACK_SHADOW_0", first);
    }
    let code = match set {
        Some(set) => set.run(command, forward),
        None => forward.run(command),
    };
    Ok(started(code, program, env))
}

/// Returns how to end; tells where the command could not be started.
fn started(code: std::io::Result<u8>, program: &OsStr, env: &Env) -> Exit {
    let error = match code {
        Ok(code) => return Exit::Of(code),
        Err(error) => error,
    };
    env.ui.error_line("error", &format!("cannot start {}: {error}", program.display()));
    match error.kind() {
        ErrorKind::NotFound => Exit::Of(127),
        ErrorKind::PermissionDenied => Exit::Of(126),
        _ => FAILED,
    }
}

/// Returns whether a command says where it wants to have the views.
fn names_views(command: &[OsString]) -> bool {
    let has = |word: &OsString, text: &str| word.to_string_lossy().contains(text);
    command.iter().any(|word| has(word, "{}") || has(word, "{1}") || has(word, "HARDBACK_SHADOW"))
}

/// Puts the views in the place of `{}`, all of them where it stands alone, and of `{1}`, `{2}`…
fn put_in(arguments: &[OsString], views: &[PathBuf]) -> anyhow::Result<Vec<OsString>> {
    let mut out = Vec::new();
    for argument in arguments {
        match (argument.to_str(), views) {
            (Some("{}"), _) => out.extend(views.iter().map(|view| view.clone().into_os_string())),
            (Some(text), [_, _, ..]) if text.contains("{}") => {
                let hint =
                    "with several sources write {1}, {2} … for the view of each, or {} as an argument of its own";
                return Err(Usage::new(format!("it is not clear which source {text:?} means"), hint).into());
            }
            (Some(text), _) => out.push(replaced(text, views)),
            (None, _) => out.push(argument.clone()),
        }
    }
    Ok(out)
}

/// Replaces each `{}`, `{1}`, `{2}`… in an argument; other braces stay.
fn replaced(text: &str, views: &[PathBuf]) -> OsString {
    let mut out = OsString::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from_brace) = rest.split_at(start);
        out.push(before);
        let inner = from_brace[1..].split_once('}').map(|(inner, _)| inner);
        let number = match inner {
            Some("") => Some(1),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<usize>().ok(),
            _ => None,
        };
        let view = number.and_then(|number| views.get(number.checked_sub(1)?));
        match (view, inner) {
            (Some(view), Some(inner)) => {
                out.push(view);
                rest = &from_brace[inner.len() + 2..];
            }
            // Only the brace: there may be another one behind it.
            _ => {
                out.push("{");
                rest = &from_brace[1..];
            }
        }
    }
    out.push(rest);
    out
}

/// Makes a command that looks its current folder up anew: it may be one that is shown frozen.
#[allow(clippy::disallowed_methods, reason = "running a command is what was asked for")]
fn command(program: &OsStr, arguments: &[OsString], env: &Env) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env.absolute(Path::new("."))?);
    Ok(command)
}

fn purpose(args: &WithShadowArgs) -> String {
    let words = if args.rsync_compat { &[][..] } else { &args.command[..1] };
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    if args.rsync_compat { "with-shadow for rsync".to_owned() } else { format!("with-shadow {}", words.join(" ")) }
}

/// Returns the folders to freeze; `None` where rsync was called for something that reads none.
fn sources(args: &WithShadowArgs, env: &Env) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let absolute = |path: &PathBuf| env.absolute(path);
    if !args.rsync_compat {
        let current = [PathBuf::from(".")];
        let sources = if args.source.is_empty() { &current[..] } else { &args.source };
        return Ok(Some(sources.iter().map(absolute).collect::<Result<_, _>>()?));
    }
    let asked = asked_by_rsync(&args.command);
    if matches!(asked, Asked::Nothing) {
        return Ok(None);
    }
    // What is named is frozen beside what is asked for.
    let mut sources: Vec<PathBuf> = args.source.iter().map(absolute).collect::<Result<_, _>>()?;
    let paths = match asked {
        Asked::For(paths) => paths,
        _ if !sources.is_empty() => Vec::new(),
        _ => {
            return Err(Usage::new(
                "an rsync daemon does not say on its command line what it will read",
                "name the folder of the module: with-shadow --source PATH --rsync-compat",
            )
            .into());
        }
    };
    for path in paths {
        let path = env.absolute(Path::new(path))?;
        // What is no folder is read through the one that has it; what is not there is rsync's to tell.
        let folder = path.ancestors().find(|path| is_dir(path) == Some(true));
        sources.extend(folder.map(Path::to_path_buf));
    }
    sources.sort();
    sources.dedup();
    if sources.is_empty() {
        return Err(Usage::new(
            "rsync does not say on its command line what it wants to read",
            "with rsync's --secluded-args (-s) or --files-from, name the folder: with-shadow --source PATH --rsync-compat",
        )
        .into());
    }
    Ok(Some(sources))
}

/// What the rsync of another computer asks this one for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    /// To receive, or for its version: nothing is read.
    Nothing,
    /// To send these.
    For(Vec<&'a OsString>),
    /// To be a daemon for one connection (`host::module` through a remote shell), which says later what it wants.
    Daemon,
}

/// Returns what rsync is asked for: `--server --sender OPTIONS . PATH...`, or `--server --daemon .`; rsync(1).
fn asked_by_rsync(arguments: &[OsString]) -> Asked<'_> {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--daemon") {
        return Asked::Daemon;
    }
    if !has("--server") || !has("--sender") {
        return Asked::Nothing;
    }
    let dot = arguments.iter().position(|argument| argument == ".");
    Asked::For(dot.map(|dot| arguments[dot + 1..].iter().collect()).unwrap_or_default())
}

/// Returns whether rsync was told to stay on a file system: `-x`, among the short options before the `e` that ends them.
fn stays_on_volume(arguments: &[OsString]) -> bool {
    let is_so = |argument: &OsString| match argument.to_string_lossy().strip_prefix('-') {
        Some(long) if long.starts_with('-') => long == "-one-file-system",
        Some(short) => short.split('e').next().is_some_and(|letters| letters.contains('x')),
        None => false,
    };
    arguments.iter().take_while(|argument| *argument != ".").any(is_so)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn braces_become_the_views() {
        let views = [PathBuf::from("/v/0"), PathBuf::from("/v/1")];
        let check = |text: &str, expected: &str| assert_eq!(put_in(&words(text), &views).unwrap(), words(expected));
        check("-C {} .", "-C /v/0 /v/1 .");
        check("{2}/a --x={1}:{2} {3} {now} {{1}", "/v/1/a --x=/v/0:/v/1 {3} {now} {/v/0");
        assert!(put_in(&words("{}/a"), &views).is_err());
        assert_eq!(put_in(&words("{}/a --x={}:{} {"), &views[..1]).unwrap(), words("/v/0/a --x=/v/0:/v/0 {"));
        assert_eq!(put_in(&words("{}"), &views[..1]).unwrap(), words("/v/0"));
    }

    #[test]
    fn rsync_tells_whether_it_stays_on_a_file_system() {
        let stays = |text: &str| stays_on_volume(&words(text));
        assert!(stays("--server --sender -vlHogDtprxe.iLsfxCIvu --numeric-ids . /srv/"));
        assert!(!stays("--server --sender -vlHogDtpre.iLsfxCIvu --numeric-ids . /srv/"));
        assert!(!stays("--server --sender -vlHogDtpre.iLsfxCIvu . -x"));
    }

    #[test]
    fn what_rsync_asks_for_is_read_from_its_arguments() {
        let check = |text: &str, expected: &str| {
            let (given, expected) = (words(text), words(expected));
            assert_eq!(asked_by_rsync(&given), Asked::For(expected.iter().collect()), "{text}");
        };
        check("--server --sender -logDtpre.iLsfxCIvu . /srv/ /etc", "/srv/ /etc");
        check("--server --sender -logDtpre.iLsfxCIvu --numeric-ids . a", "a");
        assert_eq!(asked_by_rsync(&words("--server --sender -s")), Asked::For(Vec::new()));
        assert_eq!(asked_by_rsync(&words("--server -logDtpre.iLsfxCIvu . /srv/")), Asked::Nothing);
        assert_eq!(asked_by_rsync(&words("--version")), Asked::Nothing);
        assert_eq!(asked_by_rsync(&words("--server --daemon .")), Asked::Daemon);
        assert_eq!(asked_by_rsync(&words("--server --config=/etc/x --daemon .")), Asked::Daemon);
    }
}
