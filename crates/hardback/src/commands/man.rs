//! `hardback man`: the manual, made from the help texts.

use crate::args::{self, ManArgs};
use crate::env::Env;
use crate::exit::Exit;
use clap_mangen::Man;
use hardback_engine::Error;
use hardback_engine::system::write_text_file;
use std::io;

/// Prints the main page, or writes all pages into a folder.
pub(crate) fn run(args: &ManArgs, env: &Env) -> anyhow::Result<Exit> {
    let mut command = args::command();
    command.build();
    match &args.out {
        None => env.ui.raw(&page(&command)?)?,
        Some(dir) => {
            let dir = env.absolute(dir)?;
            for (name, text) in pages(&command)? {
                write_text_file(&dir, &name, &text).map_err(with_hint)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Where the engine has no hint, the folder is one that cannot be made.
fn with_hint(error: Error) -> Error {
    match error {
        Error::Path(cause) => {
            let message = format!("{cause}: {}", cause.source);
            let hint = Error::Path(cause).hint();
            Error::refused(message, hint.unwrap_or_else(|| "give --out a folder that is there or can be made".into()))
        }
        other => other,
    }
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}

/// Returns the pages of a command and of all below it, by file name.
fn pages(command: &clap::Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = vec![(Man::new(command.clone()).get_filename(), page(command)?)];
    for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
        all.extend(pages(below)?);
    }
    Ok(all)
}
