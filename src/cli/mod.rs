//! The command line: what it accepts, and what its exit status says. One file a subcommand; each opens the store
//! as any program would, and uses nothing but the crate's public interface.

mod cbor;
mod check;
mod completions;
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "conformance")]
mod conformance_driver;
mod convert;
mod delete;
#[cfg(feature = "session3")]
mod import;
mod init;
mod json;
mod list;
mod man;
#[cfg(not(feature = "conformance"))]
mod no_conformance;
mod output;
mod owner;
mod progress;
mod repair;
mod session;
mod set;
mod show;
mod span;
mod stats;
mod sweep;
mod text;
mod wanted;

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use sessiondir::{DirectoryStore, Error, Options, SessionId};

use output::{Failure, Output};

/// The crate's version, and the format's.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (format version 1)");

/// How many threads look at a store at most: more wait for each other and for the disk.
const THREADS: usize = 4;

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
SHA-256, unless --full-ids is given.

Run as root on a directory of another user, every command works as that user.";

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
    /// The store is shared with its directory's group (modes 0660 and 2770)
    #[arg(long, global = true)]
    group: bool,
    /// The user that root works as, where the store is not root's.
    #[arg(skip)]
    owner: Option<u32>,
}

impl Common {
    fn options(&self) -> Options {
        Options::new().allow_remote(self.allow_remote).group(self.group)
    }

    /// For what looks at every session: with some of the machine's processors.
    fn scanning(&self) -> Options {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        self.options().threads(threads.min(THREADS))
    }

    /// What to add to an error for want of permission where root, who has them all, has asked and wonders.
    fn note_owner(&self, error: &Error) -> String {
        let (Error::Source { source, .. } | Error::Io { source, .. }) = error else { return String::new() };
        match self.owner {
            Some(user) if source.kind() == io::ErrorKind::PermissionDenied => {
                format!(" (root works as the store's owner, user {user}, who has to have access)")
            }
            _ => String::new(),
        }
    }

    fn open(&self, dir: &Path) -> Result<DirectoryStore, Failure> {
        self.options().open(dir).map_err(|error| Failure::store(dir, error))
    }

    /// Opens a store to look at it.
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
    Delete(delete::Delete),
    Sweep(sweep::Sweep),
    Repair(repair::Repair),
    Stats(stats::Stats),
    Set(set::Set),
    Convert(convert::Convert),
    #[cfg(feature = "session3")]
    #[command(subcommand)]
    Import(import::Import),
    #[cfg(feature = "conformance")]
    Conformance(conformance::Conformance),
    #[cfg(feature = "conformance")]
    ConformanceDriver(conformance_driver::ConformanceDriver),
    #[cfg(not(feature = "conformance"))]
    Conformance(no_conformance::Conformance),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// The directory whose owner root works as.
    fn dir(&self) -> Option<&Path> {
        let store = match self {
            Command::Init(init) => &init.store,
            Command::Check(check) => &check.store,
            Command::List(list) => &list.store,
            Command::Show(show) => &show.store,
            Command::Delete(delete) => &delete.store,
            Command::Sweep(sweep) => &sweep.store,
            Command::Repair(repair) => &repair.store,
            Command::Stats(stats) => &stats.store,
            Command::Set(set) => &set.store,
            Command::Convert(convert) => return Some(&convert.source),
            #[cfg(feature = "session3")]
            Command::Import(import::Import::Session3(import)) => &import.store,
            #[cfg(feature = "conformance")]
            Command::Conformance(_) | Command::ConformanceDriver(_) => return None,
            #[cfg(not(feature = "conformance"))]
            Command::Conformance(_) => return None,
            Command::Completions(_) | Command::Man(_) => return None,
        };
        Some(&store.dir)
    }

    fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        match self {
            Command::Init(init) => init.run(common, output),
            Command::Check(check) => check.run(common, output),
            Command::List(list) => list.run(common, output),
            Command::Show(show) => show.run(common, output),
            Command::Delete(delete) => delete.run(common, output),
            Command::Sweep(sweep) => sweep.run(common, output),
            Command::Repair(repair) => repair.run(common, output),
            Command::Stats(stats) => stats.run(common, output),
            Command::Set(set) => set.run(common, output),
            Command::Convert(convert) => convert.run(common, output),
            #[cfg(feature = "session3")]
            Command::Import(import) => import.run(common, output),
            #[cfg(feature = "conformance")]
            Command::Conformance(conformance) => conformance.run(common, output),
            #[cfg(feature = "conformance")]
            Command::ConformanceDriver(driver) => Ok(driver.run()),
            #[cfg(not(feature = "conformance"))]
            Command::Conformance(absent) => absent.run(),
            Command::Completions(completions) => completions.run(output),
            Command::Man(man) => man.run(output),
        }
    }
}

/// A store's directory.
#[derive(Args)]
struct Store {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn main() -> ExitCode {
    let mut cli = match Cli::try_parse_from(options_first(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut output = Output::new(cli.common.json);
    // Before anything else happens, and before there is a second thread.
    let done = cli.command.dir().map_or(Ok(None), owner::become_owner).and_then(|owner| {
        cli.common.owner = owner;
        cli.command.run(&cli.common, &mut output)
    });
    output.end(done).into()
}

/// The options that every subcommand has, moved to the front: behind the first of several IDs, which may begin with
/// hyphens, they would be taken for another one.
fn options_first(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut first, mut rest): (Vec<OsString>, Vec<OsString>) = (Vec::new(), Vec::new());
    for argument in arguments {
        let last = rest.last().and_then(|last| last.to_str());
        let is_option = ["--json", "--full-ids", "--allow-remote", "--group"].iter().any(|o| argument == *o);
        if is_option && last != Some("--user") && !rest.iter().any(|argument| argument == "--") {
            first.push(argument);
        } else {
            rest.push(argument);
        }
    }
    // The program's own name stays where it is.
    let after_name = rest.len().min(1);
    rest.splice(after_name..after_name, first);
    rest
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
    // Some of their names could be IDs; the command's own words are none.
    let command = Cli::command();
    let is_subcommand =
        |part: &str| command.get_subcommands().any(|subcommand| subcommand.get_name() == part);
    for argument in std::env::args_os().skip(1) {
        let argument = argument.to_string_lossy();
        // Also a part of an argument: `session=…`, as a cookie has it.
        for part in argument.split(|char: char| !(char.is_ascii_alphanumeric() || char == '-' || char == '_'))
        {
            // An option's name may look like an ID; two hyphens say that it is none, unless it is longer than any.
            let is_option = part.starts_with("--") && part.len() < 22;
            if let (false, Ok(id)) = (is_option || is_subcommand(part), SessionId::new(part)) {
                hidden |= text.contains(part);
                text = text.replace(part, &id.to_string());
            }
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

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_that_every_subcommand_has_may_stand_anywhere() {
        for (given, expected) in [
            ("p delete d i --json j --group", "p --json --group delete d i j"),
            ("p delete d -- --allow-remote", "p delete d -- --allow-remote"),
            ("p list d --user --json --full-ids", "p --full-ids list d --user --json"),
            ("p", "p"),
        ] {
            let given = options_first(given.split(' ').map(OsString::from));
            assert_eq!(given.join(std::ffi::OsStr::new(" ")), expected);
        }
    }

    /// `options_first` names them all.
    #[test]
    fn no_option_of_all_subcommands_is_forgotten() {
        let command = Cli::command();
        let global = command.get_arguments().filter(|argument| argument.is_global_set());
        let mut count = 0;
        for option in global.filter_map(|argument| argument.get_long()) {
            let moved = options_first(["p", "check", &format!("--{option}")].map(OsString::from).into_iter());
            assert_eq!(moved[1].to_str(), Some(&*format!("--{option}")));
            count += 1;
        }
        assert_eq!(count, 4);
    }

    #[test]
    fn the_version_names_the_format_that_the_crate_writes() {
        assert!(VERSION.ends_with(&format!("(format version {})", sessiondir::record::VERSION)));
    }
}
