//! A long listing, written while the engine finds it.

use crate::env::Env;
use crate::ui::Ui;
use hardback_engine::Error;
use std::io;

/// Writes a listing and stops the verb at the first line that cannot be written.
pub(crate) struct Output<'a> {
    env: &'a Env,
    failure: Option<io::Error>,
}

impl<'a> Output<'a> {
    /// Starts a listing.
    pub(crate) fn new(env: &'a Env) -> Self {
        Self { env, failure: None }
    }

    /// Writes a line, unless one could not be written before.
    pub(crate) fn write(&mut self, line: impl FnOnce(&Ui) -> io::Result<()>) {
        if self.failure.is_none()
            && let Err(error) = line(&self.env.ui)
        {
            self.failure = Some(error);
            self.env.cancel.cancel();
        }
    }

    /// Returns what the verb returned, or why its listing could not be written.
    pub(crate) fn finish<T>(self, result: Result<T, Error>) -> anyhow::Result<T> {
        match self.failure {
            Some(error) => Err(anyhow::Error::from(error).context("cannot write the result")),
            None => Ok(result?),
        }
    }
}
