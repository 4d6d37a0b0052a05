//! Many sessions.
use crate::{Result, Wanted};
pub fn run(_wanted: &Wanted) -> Result<()> { Ok(()) }
pub fn worker(_args: impl Iterator<Item = String>) -> Result<()> { Ok(()) }
