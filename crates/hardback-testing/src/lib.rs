//! Trees, volumes, checkers and oracles for tests.

pub mod fault;
#[cfg(unix)]
pub mod oracle;
pub mod rig;
