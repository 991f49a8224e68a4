//! The hardback binary.
fn main() {}
