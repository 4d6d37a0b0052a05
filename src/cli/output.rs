//! Where everything that the command says goes out: lines on standard output, complaints on standard error (with
//! `--json` on standard output too), and a progress bar where somebody watches.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

use sessiondir::error::NotAStore;
use sessiondir::{Error, ErrorClass, SessionId};

use super::Status;
use super::json::Object;
use super::progress::Bar;
use super::text;

/// Why the command cannot be carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the store, and the directory that it is in.
    Store(PathBuf, Error),
    /// One that the command has found itself.
    Own(ErrorClass, String),
    /// Standard output does not take any more.
    Output(io::Error),
}

impl Failure {
    pub(super) fn store(dir: &Path, error: Error) -> Self {
        Failure::Store(dir.to_owned(), error)
    }
}

impl From<io::Error> for Failure {
    /// Only writing to standard output gives bare I/O errors: the library's have their own type.
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// A store's error, with its directory where the error does not name it.
pub(super) fn message(dir: &Path, error: &Error) -> String {
    match error {
        Error::NotAStore { why, .. } => match id_in_place_of(dir, why) {
            Some(id) => {
                let shown = format!("{id} (it looks like a session's; name the directory)");
                error.to_string().replace(&dir.display().to_string(), &shown)
            }
            None => error.to_string(),
        },
        Error::UnsafeDirectory { .. } => error.to_string(),
        _ => format!("{}: {error}", dir.display()),
    }
}

/// An ID that was given for the directory (the arguments in the wrong order), or the name of a session's file at
/// the end of a path. It is not repeated (NAME-8). Any long word could be an ID, so what could well be a
/// directory is taken for one.
fn id_in_place_of(dir: &Path, why: &NotAStore) -> Option<SessionId> {
    let name = dir.file_name()?;
    let suspect = match why {
        NotAStore::Missing => name == dir.as_os_str() || dir.with_file_name(".sessiondir").exists(),
        NotAStore::NotADirectory => true,
        _ => false,
    };
    if !suspect {
        return None;
    }
    SessionId::new(name.as_encoded_bytes()).ok().filter(|id| !id.is_legacy())
}

pub(super) struct Output {
    out: BufWriter<Stdout>,
    pub(super) json: bool,
    /// Whether somebody waits for each line.
    watched: bool,
    bar: Option<Bar>,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let watched = stdout.is_terminal();
        Output { out: BufWriter::with_capacity(1 << 16, stdout), json, watched, bar: None }
    }

    /// Shows progress through the sessions in `dir` from now on, if standard error is a terminal. `scrolls`: the
    /// command writes a line for each step, so that on a terminal these lines are the progress.
    pub(super) fn show_progress(&mut self, dir: &Path, scrolls: bool) {
        if io::stderr().is_terminal() && !(self.watched && (scrolls || self.json)) {
            self.bar = Some(Bar::new(dir));
        }
    }

    pub(super) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.bar.inc(1);
        }
    }

    /// Writes a line.
    pub(super) fn line(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Output { out, watched, bar, .. } = self;
        let put = || {
            write(out)?;
            out.write_all(b"\n")?;
            if *watched { out.flush() } else { Ok(()) }
        };
        match bar {
            Some(bar) if *watched => bar.bar.suspend(put)?,
            _ => put()?,
        }
        Ok(())
    }

    /// Writes a JSON object.
    pub(super) fn object(
        &mut self,
        fill: impl FnOnce(&mut Object<'_>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.line(|out| Object::write(out, fill))
    }

    /// Reports an error: with `--json` as an object, otherwise on standard error.
    pub(super) fn complain(&mut self, class: ErrorClass, message: &str) -> Result<(), Failure> {
        if self.json {
            return self.object(|object| {
                object.text("error", class.name())?;
                object.text("message", message)
            });
        }
        let tell = || {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "sessiondir: {}", text::Plain(message));
        };
        match &self.bar {
            Some(bar) => bar.bar.suspend(tell),
            None => tell(),
        }
        Ok(())
    }

    /// The end of the command: the last words, and the status.
    pub(super) fn end(&mut self, done: Result<Status, Failure>) -> Status {
        if let Some(bar) = self.bar.take() {
            bar.end();
        }
        let told = match done {
            Ok(status) => Ok(status),
            Err(Failure::Store(dir, error)) => {
                self.complain(error.class(), &message(&dir, &error)).map(|()| Status::CouldNot)
            }
            Err(Failure::Own(class, message)) => self.complain(class, &message).map(|()| Status::CouldNot),
            Err(Failure::Output(error)) => Err(Failure::Output(error)),
        };
        let flushed = told.and_then(|status| self.out.flush().map(|()| status).map_err(Failure::Output));
        match flushed {
            Ok(status) => status,
            // Whoever read has had enough (`| head`).
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Status::CouldNot,
            Err(failure) => {
                if let Failure::Output(error) = failure {
                    let _ = writeln!(io::stderr(), "sessiondir: cannot write to standard output: {error}");
                }
                Status::CouldNot
            }
        }
    }
}
