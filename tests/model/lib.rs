//! Models of a session's file, small enough to read, that are explored to their end: what [`readers`] without a lock
//! can see while others write (SPEC.md section 12.2), and what cuts of the [`power`] can leave (section 12.1).

pub mod power;
pub mod readers;
