//! The verbs of hardback.
