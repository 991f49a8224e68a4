//! `hardback init`: a folder becomes a target.

use crate::args::InitArgs;
use crate::env::Env;
use crate::exit::Exit;
use crate::ui::text;
use hardback_engine::system::path_bytes;
use hardback_engine::{init_target, open_or_create_target, open_target};
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
    let (target, created) = match (open_target(&path, Default::default()), known_id) {
        (Ok(target), _) => (target, false),
        // Refuses: the marker that was there before is lost.
        (Err(_), Some(id)) => (open_or_create_target(&path, Some(id), &env.clock, Default::default())?.target, false),
        (Err(_), None) => (init_target(&path, &env.clock, Default::default())?, true),
    };
    env.remember_target(known, &path, &target.id);
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
