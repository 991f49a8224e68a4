//! Trees, volumes, checkers and oracles for tests.
