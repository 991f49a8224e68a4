//! What a command gets beside its arguments: the one place that reads the environment.

use crate::args::OutputArgs;
use crate::ui::Ui;
use anyhow::Context as _;
use hardback_engine::system::{self, KnownTargets};
use hardback_engine::{Cancel, Error, SystemClock, Target, open_target};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a command gets.
#[derive(Debug)]
pub(crate) struct Env {
    /// The time.
    pub(crate) clock: SystemClock,
    /// Where results and messages go.
    pub(crate) ui: Ui,
    /// The brake.
    pub(crate) cancel: Arc<Cancel>,
    /// Name of this computer.
    pub(crate) host: String,
    /// How to call this program again: as it was called, if that was by a path.
    pub(crate) program: String,
    state_dir: Option<PathBuf>,
}

impl Env {
    /// Looks around.
    #[allow(clippy::disallowed_methods, reason = "the binary reads the environment, here only")]
    pub(crate) fn new(output: &OutputArgs) -> Self {
        Self {
            clock: SystemClock,
            ui: Ui::new(output),
            cancel: Arc::default(),
            host: system::host_name(),
            program: program(std::env::args().next().as_deref()),
            state_dir: system::state_dir(&|name| std::env::var_os(name)),
        }
    }

    /// Lets the first Ctrl-C stop the work at the next entry and the second one end the process at once. A console that is
    /// closed stops the work too, and leaves it what time there is.
    pub(crate) fn listen_for_interrupts(&self) -> anyhow::Result<()> {
        let cancel = Arc::clone(&self.cancel);
        let ui = self.ui.clone();
        ctrlc::set_handler(move || {
            if cancel.is_cancelled() {
                end_at_once();
            }
            cancel.cancel();
            ui.message("stopping (Ctrl-C again ends at once)");
        })
        .context("cannot listen for Ctrl-C")?;
        let cancel = Arc::clone(&self.cancel);
        hardback_shadow::hold_closing_console(move || cancel.cancel())
            .context("cannot listen for a console that is closed")
    }

    /// Returns an absolute path.
    #[allow(clippy::disallowed_methods, reason = "the binary reads the environment, here only")]
    pub(crate) fn absolute(&self, path: &Path) -> anyhow::Result<PathBuf> {
        if path.is_absolute() {
            return Ok(system::absolute_path(path, Path::new("")));
        }
        let current_dir = std::env::current_dir().context("cannot tell the current directory")?;
        Ok(system::absolute_path(path, &current_dir))
    }

    /// Returns the folder for what this computer remembers.
    pub(crate) fn state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// Returns a time as the clock on the wall has it.
    pub(crate) fn local_time(&self, time: jiff::Timestamp) -> String {
        crate::ui::text::time_in(time, &hardback_engine::Clock::zone(&self.clock))
    }

    /// Returns the system's folder for temporary files.
    #[allow(clippy::disallowed_methods, reason = "the binary reads the environment, here only")]
    pub(crate) fn temporary_dir(&self) -> PathBuf {
        std::env::temp_dir()
    }

    /// Reads which targets were seen before; a failure is told and nothing is known.
    pub(crate) fn known_targets(&self) -> Option<KnownTargets> {
        match KnownTargets::open(self.state_dir.as_deref()?) {
            Ok(known) => Some(known),
            Err(error) => {
                self.ui
                    .notice(&format!("cannot tell which targets were seen before: {:#}", anyhow::Error::from(error)));
                None
            }
        }
    }

    /// Opens a target. What was seen before matters where it is not there.
    pub(crate) fn open_target(&self, path: &Path) -> Result<Target, Error> {
        open_target(path, None, Default::default()).or_else(|error| {
            let known = self.known_targets();
            match known.as_ref().and_then(|known| known.id_of(path)) {
                Some(id) => open_target(path, Some(id), Default::default()),
                None => Err(error),
            }
        })
    }

    /// Remembers that a target was seen; a failure is told.
    pub(crate) fn remember_target(&self, known: Option<KnownTargets>, path: &Path, id: &str) {
        if let Some(Err(error)) = known.map(|mut known| known.remember(path, id)) {
            self.ui.notice(&format!(
                "cannot remember this target, so an unmounted disk will not be noticed here: {:#}",
                anyhow::Error::from(error)
            ));
        }
    }
}

#[allow(clippy::exit, clippy::disallowed_methods, reason = "the user asked twice; the engine survives a kill")]
fn end_at_once() -> ! {
    std::process::exit(i32::from(crate::exit::Exit::Interrupted.code()))
}

/// `cargo run` and a path of the user's own name a program that is not on the search path.
fn program(called: Option<&str>) -> String {
    called.filter(|name| name.contains(['/', '\\'])).unwrap_or("hardback").to_owned()
}

/// Returns a variable of the environment, where it is text.
#[allow(clippy::disallowed_methods, reason = "the binary reads the environment, here only")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
