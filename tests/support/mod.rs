//! What the tests that work on the vectors have in common.
#![allow(dead_code, reason = "each test uses its own part of it")]

pub(crate) mod typed;
pub(crate) mod vectors;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sessiondir::check::{Event, Finding, check};
use sessiondir::{Options, SessionId, UnixMillis};

/// The directory of the crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A path in the directory of the crate.
pub(crate) fn at(path: &str) -> PathBuf {
    root().join(path)
}

/// Options whose clock stands at `now`.
pub(crate) fn options(now: UnixMillis) -> Options {
    Options::new().clock(move || now).patience(Duration::from_millis(500))
}

/// All that a check finds, in an order of its own.
pub(crate) fn findings(path: &Path, now: UnixMillis) -> Vec<Finding> {
    let mut found = Vec::new();
    check(path, &options(now), &mut |event| {
        if let Event::Finding(finding) = event {
            found.push(finding.clone());
        }
    })
    .expect("a store");
    found.sort_by_key(|finding| (finding.place.path(false), finding.kind, finding.offset));
    found
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).expect("a session ID")
}
