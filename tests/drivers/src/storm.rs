//! Storms: processes of two threads each, in two languages, work on one store while one after the other is killed.
//!
//! - [`journal`]: what each thread notes before and after each operation;
//! - [`worker`]: the operations;
//! - [`gang`]: the processes, their kills, and what is left when all are stopped;
//! - [`history`]: those notes, put in order by session;
//! - [`judge`]: what has to hold of them.

pub mod gang;
pub mod history;
pub mod journal;
pub mod judge;
pub mod worker;

/// How many processes work at the same time.
pub const WORKERS: usize = 8;
/// How many threads each of them has.
pub const THREADS: usize = 2;
/// The sessions that everybody knows. Others are made on the way, and known to whoever made them.
pub const SESSIONS: usize = 20;
/// The counter of whoever judges, beside one for each thread.
pub const JUDGE: usize = WORKERS * THREADS;

/// The ID of one of the sessions that everybody knows.
#[must_use]
pub fn fixed(number: usize) -> String {
    format!("storm{number:02}-known-to-everybody")
}
