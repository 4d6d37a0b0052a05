//! Test drivers that need fork(2) and ptrace(2). Both take `unsafe`, which the library forbids itself, so they live
//! in a package of their own; `cargo test` of the workspace runs them.
