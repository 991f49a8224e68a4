//! The hardback binary: arguments in, verbs of the engine called, results to stdout, messages to stderr.
//!
//! Read `args` for what a user can say, `commands` for what is done about it, `exit` for what the shell hears.

mod args;
mod commands;
mod env;
mod exit;
mod failure;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    hardback_engine::system::prepare_process();
    let cli = args::parse();
    let env = env::Env::new(&cli.output);
    // A command that runs on shadow copies hears the signals itself.
    let listening = if cli.command.passes_signals_on() { Ok(()) } else { env.listen_for_interrupts() };
    let result = listening.and_then(|()| commands::run(cli.command, &env));
    match result {
        Ok(exit) => exit.into(),
        Err(error) => failure::tell(&error, &env.ui).into(),
    }
}
