//! `sessiondir conformance-driver`: this implementation's end of the kit's protocol, and the kit's referee.

use clap::Args;

use super::Status;

/// Answer the conformance kit's requests, as the reference implementation.
#[derive(Args)]
pub(super) struct ConformanceDriver {}

impl ConformanceDriver {
    #[allow(clippy::unused_self, reason = "as every subcommand")]
    pub(super) fn run(&self) -> Status {
        if sessiondir::conformance::driver() == std::process::ExitCode::SUCCESS {
            Status::Clean
        } else {
            Status::CouldNot
        }
    }
}
