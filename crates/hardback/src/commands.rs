//! What is done about a command: arguments become a call of the engine, its report becomes text or JSON.

mod backup;
mod completions;
mod diff;
mod drill;
mod du;
mod excludes;
mod filter;
mod find;
mod init;
mod man;
mod named;
mod notes;
mod output;
mod prune;
mod purge;
mod repair;
mod reports;
mod restore;
mod rights;
mod scrub;
mod selftest;
mod shadow;
mod snapshots;
mod system_excludes;
mod verify;
mod versions;
mod with_shadow;

use crate::args::{Command, FilterCommand, ShadowCommand};
use crate::env::Env;
use crate::exit::Exit;

/// Runs a command.
pub(crate) fn run(command: Command, env: &Env) -> anyhow::Result<Exit> {
    match command {
        Command::Init(args) => init::run(&args, env),
        Command::Backup(args) => backup::run(&args, env),
        Command::Snapshots(args) => snapshots::run(&args, env),
        Command::Diff(args) => diff::run(&args, env),
        Command::Versions(args) => versions::run(&args, env),
        Command::Find(args) => find::run(&args, env),
        Command::Restore(args) => restore::run(&args, env),
        Command::Verify(args) => verify::run(&args, env),
        Command::Prune(args) => prune::run(&args, env),
        Command::Purge(args) => purge::run(&args, env),
        Command::Pin(args) => notes::pin(&args, env),
        Command::Unpin(args) => notes::unpin(&args, env),
        Command::Tag(args) => notes::tag(&args, env),
        Command::Du(args) => du::run(&args, env),
        Command::Scrub(args) => scrub::run(&args, env),
        Command::Repair(args) => repair::run(&args, env),
        Command::Drill(args) => drill::run(&args, env),
        Command::WithShadow(args) => with_shadow::run(&args, env),
        Command::Shadow(ShadowCommand::List(_)) => shadow::list(env),
        Command::Shadow(ShadowCommand::Sweep(_)) => shadow::sweep(env),
        Command::Filter(FilterCommand::Explain(args)) => filter::explain(&args, env),
        Command::Filter(FilterCommand::Presets(args)) => filter::presets(&args, env),
        Command::Selftest(args) => selftest::run(&args, env),
        Command::Completions(args) => completions::run(&args, env),
        Command::Man(args) => man::run(&args, env),
    }
}
