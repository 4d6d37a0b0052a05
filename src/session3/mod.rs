//! The importer of Session3's pickle directories: SPEC.md section 20. What becomes of which value, and how a
//! site is moved, is in docs/session3.md.

mod import;
#[allow(dead_code, reason = "its user follows")]
mod pickle;

pub use import::{ImportEvent, ImportOptions, ImportSummary, import};
