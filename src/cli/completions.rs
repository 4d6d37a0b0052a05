//! `sessiondir completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::{Failure, Output};
use super::{Cli, Status};

const HELP: &str = "\
Examples:
  sessiondir completions bash > /usr/share/bash-completion/completions/sessiondir
  sessiondir completions zsh > /usr/share/zsh/site-functions/_sessiondir
  sessiondir completions fish > ~/.config/fish/completions/sessiondir.fish

Exit status: 0 it is written, 2 it is not.";

/// Write the completions of this command for a shell.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, output: &mut Output) -> Result<Status, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sessiondir", &mut script);
        // The line that is written ends itself.
        output.line(|out| out.write_all(script.trim_ascii_end()))?;
        Ok(Status::Clean)
    }
}
