//! `cargo run --release --example compare -- DIR…` measures sessiondir beside the bare system calls and other session stores,
//! as docs/performance.md describes: it runs the program of benches/compare. That is a package of its own because an example
//! is built with what the tests need (the seam before each system call), which would be measured too.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "sessiondir-compare", "--"])
        .args(std::env::args_os().skip(1))
        .status();
    match ran {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: cannot run cargo: {error}; run it from a clone of the repository");
            ExitCode::FAILURE
        }
    }
}
