//! The importer of Session3's pickle directories: SPEC.md section 20. What becomes of which value, and how a
//! site is moved, is in docs/session3.md.
//!
//! `pickle` is the interpreter, which knows nothing of sessions; `map` makes sessions of what it gives;
//! `source` is the directory that is read, `notes` what a store remembers of earlier runs; `import` is the run.

mod import;
mod map;
mod notes;
mod pickle;
mod source;

pub use import::{ImportEvent, ImportOptions, ImportSummary, import};
