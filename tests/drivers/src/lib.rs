//! Test drivers that need fork(2) and ptrace(2). Both take `unsafe`, which the library forbids itself, so they live
//! in a package of their own; `cargo test` of the workspace runs them, and `docs/reliability.md` says what they find.
//!
//! - [`child`]: a process that is stopped at each of its system calls, there to be killed, or to have a call fail;
//! - [`fault`]: calls that fail, or read and write too little;
//! - [`disk`]: file systems of its own, and power cuts;
//! - [`block_log`]: every write that reaches a disk, to be made again in part;
//! - [`sequence`]: operations in a row;
//! - [`chance`]: pseudo-random numbers, those of the properties;
//! - [`site`]: a directory that can be put back to how it was, and what can be seen of its sessions;
//! - [`case`]: the states that a session's file can be in, and what is done to it;
//! - [`verdict`]: what has to hold after a kill or an error;
//! - [`schedule`]: every order in which processes can make their system calls;
//! - [`history`]: operations that went on at the same time, and whether they could have been one after the other;
//! - [`storm`]: processes in two languages on one store, killed at any moment;
//! - [`share`]: how much of all that is tried, and by how many processes.

pub mod block_log;
pub mod case;
#[path = "../../properties/src/chance.rs"]
pub mod chance;
pub mod child;
pub mod disk;
pub mod fault;
pub mod history;
pub mod schedule;
pub mod sequence;
pub mod share;
pub mod site;
pub mod storm;
pub mod verdict;
