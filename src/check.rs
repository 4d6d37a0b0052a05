//! The checker: SPEC.md section 11. It changes nothing, and can look at a store that is being written to.
//!
//! It shares no code with the store but the pure rooms and the lock: a writer's bug must not hide itself.

mod finding;
mod judge;
mod session;

pub use finding::{Finding, FindingKind, Place};
pub(crate) use judge::{Judge, Judged};
#[cfg(any(feature = "seam", feature = "conformance"))]
pub(crate) use session::findings_in;

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, Result};
use crate::locks;
use crate::open::Options;
use crate::rule::Severity;
use crate::scan;

/// What a check has seen, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Session files.
    pub sessions: u64,
    /// Those of them that can be read and are expired.
    pub expired: u64,
    /// Findings of severity error.
    pub errors: u64,
    /// Findings of severity warning.
    pub warnings: u64,
}

/// What a check tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has found something.
    Finding(&'a Finding),
    /// It is through with another session's file.
    Checked,
}

/// Checks the store in the directory `path`, and calls `tell` for each event, on this thread. With
/// [`Options::threads`] other than 1 the order is chance. Memory is bounded by that of one session's file a thread,
/// 32 MiB at most, and of what it means, less than twice as much again.
///
/// # Errors
/// The directory is no store, or cannot be opened or listed. What is wrong with what is in it comes as findings.
pub fn check(path: impl AsRef<Path>, options: &Options, tell: &mut dyn FnMut(Event<'_>)) -> Result<Summary> {
    locks::enter()?;
    let (dir, marker) = options.clone().read_only(true).open_dir(path.as_ref())?;
    let judge = Judge::new(&dir, marker, options)?;
    let mut counted = Summary::default();
    let mut report = |judged: Judged| {
        for finding in &judged.findings {
            match finding.severity() {
                Severity::Error => counted.errors += 1,
                Severity::Warning => counted.warnings += 1,
            }
            tell(Event::Finding(finding));
        }
        if let Some(session) = judged.session {
            counted.sessions += 1;
            counted.expired += u64::from(session.expired);
            tell(Event::Checked);
        }
        ControlFlow::Continue(())
    };
    let _ = report(judge.directory()?.into());
    let _ = report(judge.lock_files()?.into());
    let failed = |error| Error::io("list the store", None, error);
    let entries = dir.entries().map_err(failed)?;
    scan::each(entries, options.threads, |(name, kind)| judge.entry(&name, kind), &mut report)
        .map_err(failed)?;
    Ok(counted)
}
