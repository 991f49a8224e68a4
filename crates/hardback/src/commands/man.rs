//! `hardback man`: the manual, made from the help texts.

use crate::args::{self, ManArgs};
use crate::env::Env;
use crate::exit::Exit;
use clap_mangen::Man;
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
                write_text_file(&dir, &name, &text)?;
            }
        }
    }
    Ok(Exit::Done)
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
