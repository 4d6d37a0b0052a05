//! The importer of Session3's pickle directories.
// The importer that uses it is not written yet.
#[allow(dead_code)]
mod pickle;
