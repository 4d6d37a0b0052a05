//! What has to hold for any input, one module a property, each with a function `check` that panics where it does not.
//!
//! The fuzz targets in `fuzz/` call these functions and nothing else. The tests of this crate call them too, on stable
//! Rust: on every seed, on the committed corpus, and on what a generator of pseudo-random numbers makes of both.
#![cfg(feature = "properties")]

pub mod chance;
pub mod differential;
pub mod expected;
pub mod marker;
mod memory;
pub mod mutate;
pub mod names;
pub mod oracle;
pub mod pickle;
pub mod record;
pub mod seeds;
pub mod session_file;
pub mod store_ops;

/// A property: its name, which is that of its fuzz target and of its corpus, and what checks it.
pub struct Property {
    /// The name.
    pub name: &'static str,
    /// Panics where the input breaks the property.
    pub check: fn(&[u8]),
}

/// All of them.
pub const PROPERTIES: [Property; 7] = [
    Property { name: "record", check: record::check },
    Property { name: "session_file", check: session_file::check },
    Property { name: "names", check: names::check },
    Property { name: "marker", check: marker::check },
    Property { name: "pickle", check: pickle::check },
    Property { name: "store_ops", check: store_ops::check },
    Property { name: "differential", check: differential::check },
];

/// A number made of the input, for choices within a property: the same input makes the same choices.
fn choice(input: &[u8]) -> chance::Chance {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(input);
    chance::Chance::new(u64::from_be_bytes(std::array::from_fn(|at| digest[at])))
}

/// Bytes as people can copy them.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
