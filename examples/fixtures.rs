//! Writes the test vectors: `cargo run --example fixtures -- [DIR]`, DIR being `fixtures` where none is given.
//!
//! It shares no code with the crate: the bytes come from its own CBOR writer, so that the vectors are an
//! expectation of their own and not what the encoder happens to do.

#[path = "fixtures/mod.rs"]
mod vectors;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("fixtures"), PathBuf::from);
    let files = vectors::all();
    for (path, bytes) in &files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    println!("{} files", files.len());
    Ok(())
}
