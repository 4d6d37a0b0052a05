//! The `sessiondir` command.
fn main() {}
