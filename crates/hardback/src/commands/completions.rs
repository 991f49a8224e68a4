//! `hardback completions`: a script for a shell.

use crate::args::{self, CompletionsArgs};
use crate::env::Env;
use crate::exit::Exit;

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs, env: &Env) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "hardback", &mut script);
    env.ui.raw(&script)?;
    Ok(Exit::Done)
}
