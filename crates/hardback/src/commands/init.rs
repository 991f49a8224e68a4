//! `hardback init`: a folder becomes a target.

use crate::args::InitArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::system::path_bytes;
use hardback_engine::{Initialised, init_target};
use serde::Serialize;

/// The report of `init`.
#[derive(Serialize)]
struct InitReport {
    target: String,
    id: String,
    created: bool,
}

/// Makes a target.
pub(crate) fn run(args: &InitArgs, env: &Env) -> anyhow::Result<Exit> {
    let path = env.absolute(&args.target)?;
    let known = env.known_targets();
    let known_id = known.as_ref().and_then(|known| known.id_of(&path)).filter(|_| !args.new_disk);
    let Initialised { target, created, holds_others } = init_target(&path, known_id, &env.clock, Default::default())?;
    env.remember_target(known, &path, &target.id);
    if holds_others {
        env.ui.notice(&format!("{} was not empty; what is in it stays, beside the snapshots", path.display()));
    }
    if env.ui.is_json() {
        let report = InitReport { target: text::json_bytes(&path_bytes(&path)), id: target.id, created };
        return Ok(env.ui.report("init", Exit::Done, &report)?);
    }
    if created {
        env.ui.summary(&format!("{} is a target now.", path.display()))?;
        env.ui.summary(&format!("Try next:\n  hardback backup FOLDER {}", text::shell_word(&path)))?;
    } else {
        env.ui.summary(&format!("{} is a target already; nothing was changed.", path.display()))?;
    }
    Ok(Exit::Done)
}
