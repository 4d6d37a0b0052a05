//! `sessiondir man`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};
use sessiondir::ErrorClass;

use super::output::{Failure, Output};
use super::text::Plain;
use super::{Cli, Status};

const HELP: &str = "\
Examples:
  sessiondir man | man -l -
  sessiondir man sweep | man -l -
  sessiondir man --dir /usr/share/man/man1

Exit status: 0 it is written, 2 it is not.";

/// Write the manual.
///
/// The page of the command itself, or of one of its subcommands, on standard output; with --dir all of them, each
/// in a file.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Man {
    /// The subcommand whose page is wanted
    command: Vec<String>,
    /// Write all pages into this directory, which exists
    #[arg(long, value_name = "OUT", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, output: &mut Output) -> Result<Status, Failure> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        if let Some(dir) = &self.dir {
            return pages(&root, dir, output).map(|()| Status::Clean);
        }
        let mut command = &root;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                let message = "invalid-value: there is no such subcommand; `sessiondir help` shows all";
                Failure::Own(ErrorClass::InvalidValue, message.to_owned())
            })?;
        }
        let page = page(command)?;
        output.line(|out| out.write_all(page.trim_ascii_end()))?;
        Ok(Status::Clean)
    }
}

/// Writes the page of `command` and those of its subcommands, each into its file.
fn pages(command: &Command, dir: &Path, output: &mut Output) -> Result<(), Failure> {
    let path = dir.join(Page::new(command.clone()).get_filename());
    let shown = path.to_string_lossy();
    std::fs::write(&path, page(command)?).map_err(|error| {
        Failure::Own(
            ErrorClass::Io,
            format!("io: cannot write {shown}: {error}; name a directory that exists"),
        )
    })?;
    if output.json {
        output.object(|object| object.text("written", &shown))?;
    } else {
        output.line(|out| write!(out, "{}", Plain(&shown)))?;
    }
    command.get_subcommands().try_for_each(|command| pages(command, dir, output))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Page::new(command.clone()).source(format!("sessiondir {}", env!("CARGO_PKG_VERSION")));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let rest = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    page.write_all(&sections(&rest))?;
    Ok(page)
}

/// What stands below a command's help, as sections.
fn sections(text: &str) -> Vec<u8> {
    let mut sections = [("EXAMPLES", Vec::new()), ("EXIT STATUS", Vec::new()), ("NOTES", Vec::new())];
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let (section, body) = match paragraph.split_once(':') {
            Some(("Example" | "Examples", body)) => (0, body),
            Some(("Exit status", body)) => (1, body),
            _ => (2, paragraph),
        };
        sections[section].1.push(body.trim_matches('\n'));
    }
    let mut roff = Roff::new();
    for (title, bodies) in sections.iter().filter(|(_, bodies)| !bodies.is_empty()) {
        roff.control("SH", [*title]);
        for (index, body) in bodies.iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            // Examples keep their lines.
            if *title == "EXAMPLES" {
                roff.control("nf", []);
            }
            for line in body.lines() {
                roff.text([roman(line.trim())]);
            }
            if *title == "EXAMPLES" {
                roff.control("fi", []);
            }
        }
    }
    roff.to_roff().into_bytes()
}
