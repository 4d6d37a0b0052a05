//! `sessiondir conformance-driver`: the other side of the kit's protocol, for `sessiondir conformance` itself.

use std::process::ExitCode;

use clap::Args;
use sessiondir::conformance::{Kind, driver, referee};

use super::Status;

const HELP: &str = "\
Examples:
  sessiondir conformance -- sessiondir conformance-driver

Exit status: 0 the input has ended, or it was told to stop; 2 it cannot read or write.";

/// Answer the conformance kit's requests, as the reference implementation.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct ConformanceDriver {
    /// Instead: raw fcntl locks that are owned by the process, over the whole lock file
    #[arg(long, conflicts_with = "referee_ofd")]
    referee_process: bool,
    /// Instead: raw fcntl locks that are owned by the open file description, over the session's byte
    #[arg(long)]
    referee_ofd: bool,
}

impl ConformanceDriver {
    pub(super) fn run(&self) -> Status {
        let ended = if self.referee_process {
            referee(Kind::Process)
        } else if self.referee_ofd {
            referee(Kind::Ofd)
        } else {
            driver()
        };
        if ended == ExitCode::SUCCESS { Status::Clean } else { Status::CouldNot }
    }
}
