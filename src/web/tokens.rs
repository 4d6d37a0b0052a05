//! Form tokens and CSRF tokens.

use subtle::ConstantTimeEq;

use crate::error::Result;
use crate::names::SessionId;
use crate::record::TOKENS_MAX;

/// 128 random bits, as 22 characters that need no escape anywhere.
pub(super) fn generate() -> Result<String> {
    // What makes a good session ID makes a good token.
    Ok(SessionId::generate()?.expose().to_owned())
}

/// Adds a form token; of more than a session can have the oldest goes.
pub(super) fn push(tokens: &mut Vec<String>, token: String) {
    if tokens.len() == TOKENS_MAX {
        tokens.remove(0);
    }
    tokens.push(token);
}

/// In a time that depends on the lengths only.
pub(super) fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
