//! `sessiondir conformance` of a command that was built without the kit: says where to get it.

use std::ffi::OsString;

use clap::Args;
use sessiondir::ErrorClass;

use super::Status;
use super::output::Failure;

/// Test another implementation of the format (not in this build)
#[derive(Args)]
#[command(hide = true)]
pub(super) struct Conformance {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

impl Conformance {
    pub(super) fn run(&self) -> Result<Status, Failure> {
        let _ = &self.rest;
        let why = "this command was built without the conformance kit; one that has it comes from \
                   `cargo install --path . --features conformance` in a clone (CONFORMANCE.md)";
        Err(Failure::Own(ErrorClass::Unsupported, why.to_owned()))
    }
}
