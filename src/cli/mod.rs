//! The command line: what it accepts, and what its exit status says. One file a subcommand; each opens the store
//! as any program would, and uses nothing but the crate's public interface.

mod cbor;
mod check;
#[cfg(feature = "session3")]
mod import;
mod init;
mod json;
mod list;
mod output;
mod session;
mod show;
mod text;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sessiondir::{DirectoryStore, Options, SessionId};

use output::{Failure, Output};

/// The crate's version, and the format's.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (format version 1)");

/// What the exit status says. Scripts depend on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Done, and nothing is wrong.
    Clean = 0,
    /// Done, but something is wrong with what is in the store or the source.
    Found = 1,
    /// Not done, or not to the end.
    CouldNot = 2,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

const EXIT: &str = "\
Exit status: 0 all is well, 1 something is wrong with a session or the store, 2 the
command could not be carried out (usage, not a store, an error of the system). Each
command's --help says what that means for it.

Session IDs are credentials: they are shown as # and 8 hexadecimal digits of their
SHA-256, unless --full-ids is given.";

/// Looks at and works on directories of web sessions in the sessiondir format.
#[derive(Parser)]
#[command(name = "sessiondir", version = VERSION, after_help = EXIT)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// The options that every subcommand has.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
struct Common {
    /// Write JSON, one object a line, on standard output; errors too
    #[arg(long, global = true)]
    json: bool,
    /// Show session IDs in full: whoever reads them can take the sessions over
    #[arg(long, global = true)]
    full_ids: bool,
    /// Accept a store on a network or user-space file system, where locks may not lock
    #[arg(long, global = true)]
    allow_remote: bool,
    /// The store is shared with its directory's group (modes 0660 and 0770)
    #[arg(long, global = true)]
    group: bool,
}

impl Common {
    fn options(&self) -> Options {
        Options::new().allow_remote(self.allow_remote).group(self.group)
    }

    /// Opens a store to look at it. Root may look at another user's.
    fn open_to_read(&self, dir: &Path) -> Result<DirectoryStore, Failure> {
        self.options().read_only(true).open(dir).map_err(|error| Failure::store(dir, error))
    }
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    List(list::List),
    Show(show::Show),
    #[cfg(feature = "session3")]
    #[command(subcommand)]
    Import(import::Import),
}

/// A store's directory.
#[derive(Args)]
struct Store {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut output = Output::new(cli.common.json);
    let done = match &cli.command {
        Command::Init(init) => init.run(&cli.common, &mut output),
        Command::Check(check) => check.run(&cli.common, &mut output),
        Command::List(list) => list.run(&cli.common, &mut output),
        Command::Show(show) => show.run(&cli.common, &mut output),
        #[cfg(feature = "session3")]
        Command::Import(import) => import.run(&cli.common, &mut output),
    };
    output.end(done).into()
}

/// Help, the version, or what is wrong with the arguments. An ID that came to stand in the wrong place is not
/// repeated (NAME-8).
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe: nobody reads the help.
        let _ = error.print();
        return Status::Clean.into();
    }
    let mut text = error.render().to_string();
    let mut hidden = false;
    for argument in std::env::args_os().skip(1) {
        let argument = argument.to_string_lossy();
        // An option's name may look like an ID; two hyphens say that it is none.
        if let (false, Ok(id)) = (argument.starts_with("--"), SessionId::new(&*argument)) {
            hidden |= text.contains(&*argument);
            text = text.replace(&*argument, &id.to_string());
        }
    }
    if hidden {
        let _ = std::io::stderr().write_all(text.as_bytes());
    } else {
        let _ = error.print();
    }
    Status::CouldNot.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_names_the_format_that_the_crate_writes() {
        assert!(VERSION.ends_with(&format!("(format version {})", sessiondir::record::VERSION)));
    }
}
