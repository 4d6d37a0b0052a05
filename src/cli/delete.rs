//! `sessiondir delete`

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Args};
use sessiondir::{DirectoryStore, SessionStore};

use super::output::{Failure, Output, message};
use super::session::{Named, is_of};
use super::text::count;
use super::wanted;
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir delete /var/lib/app/sessions '#8a5bdb4c'
  sessiondir delete /var/lib/app/sessions - < ids.txt
  sessiondir delete /var/lib/app/sessions --user ada

An ID on the command line can be seen by everybody on the machine (ps) and stays in the
shell's history: give the #digits that list shows, or - and the IDs on standard input.

Exit status: 0 none of them is there any more, whether or not it was, 1 some could not be
deleted, or with --user could not be read and so may be that user's, 2 an argument is no
ID, several sessions start with these digits, or the store could not be opened; nothing
was deleted.

With --json there is an object for each session, {\"deleted\": session}, {\"absent\":
session} or an error; the last line is {\"summary\": {\"deleted\", \"absent\", \"failed\"}}.
With --user there is only {\"summary\": {\"deleted\", \"remaining\", \"failed\"}}.";

const USAGE: &str = "sessiondir delete [OPTIONS] <DIR> <ID>...
       sessiondir delete [OPTIONS] <DIR> --user <U>";

/// Delete sessions: log their users out.
///
/// Whatever their files hold, so also what is corrupt. A program that has such a session loaded cannot save it any
/// more.
#[derive(Args)]
#[command(after_help = HELP, override_usage = USAGE, disable_help_flag = true)]
pub(super) struct Delete {
    #[command(flatten)]
    pub(super) store: Store,
    /// A session ID; or # and the first 8 to 64 hexadecimal digits of its SHA-256; or - to read such from standard
    /// input, one a line
    #[arg(
        value_name = "ID",
        allow_hyphen_values = true,
        required_unless_present = "user",
        conflicts_with = "user"
    )]
    sessions: Vec<OsString>,
    /// All sessions of this user; a user who is no text is given as JSON: --user 42
    #[arg(long, value_name = "U", allow_hyphen_values = true)]
    user: Option<String>,
    // Without `-h`, which one in 4,096 IDs starts with.
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What became of the sessions that were named.
#[derive(Default)]
struct Done {
    deleted: u64,
    absent: u64,
    failed: u64,
}

impl Delete {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        if let Some(user) = &self.user {
            let store = common.scanning().open(dir).map_err(|error| Failure::store(dir, error))?;
            return delete_user(user, &store, dir, output);
        }
        let wanted = wanted::all(&self.sessions)?;
        let store = common.open(dir)?;
        let found = wanted::find(&wanted, &store, dir)?;
        let mut done = Done::default();
        // Where the report cannot be written, the deleting goes on all the same: it is what was asked for.
        let mut written = Ok(());
        for (wanted, reference) in wanted.iter().zip(found) {
            let (fate, name) = match reference {
                None => (Ok(false), wanted.shown()),
                Some(reference) => {
                    let name = Named::new(&reference, store.marker().naming, common).name;
                    (store.delete(&reference), name)
                }
            };
            match fate {
                Ok(true) => done.deleted += 1,
                Ok(false) => done.absent += 1,
                Err(_) => done.failed += 1,
            }
            if written.is_ok() {
                written = report(&fate, &name, dir, output);
            }
        }
        written?;
        done.summarize(output)?;
        Ok(if done.failed > 0 { Status::Found } else { Status::Clean })
    }
}

fn report(
    fate: &sessiondir::Result<bool>,
    name: &str,
    dir: &Path,
    output: &mut Output,
) -> Result<(), Failure> {
    let (label, words) = match fate {
        Ok(true) => ("deleted", "deleted"),
        Ok(false) => ("absent", "was not there"),
        Err(error) => return output.complain(error.class(), &message(dir, error)),
    };
    if output.json {
        output.object(|object| object.text(label, name))
    } else {
        output.line(|out| write!(out, "{words}: {name}"))
    }
}

impl Done {
    fn summarize(&self, output: &mut Output) -> Result<(), Failure> {
        let Done { deleted, absent, failed } = *self;
        if output.json {
            return output.object(|object| {
                object.object("summary", |object| {
                    object.number("deleted", deleted)?;
                    object.number("absent", absent)?;
                    object.number("failed", failed)
                })
            });
        }
        output.line(|out| {
            write!(out, "{} deleted, {absent} not there, {failed} failed", count(deleted, "session"))
        })
    }
}

fn delete_user(
    user: &str,
    store: &DirectoryStore,
    dir: &Path,
    output: &mut Output,
) -> Result<Status, Failure> {
    let done =
        store.delete_where(&|session| is_of(session, user)).map_err(|error| Failure::store(dir, error))?;
    if output.json {
        output.object(|object| {
            object.object("summary", |object| {
                object.number("deleted", done.deleted)?;
                object.number("remaining", done.remaining)?;
                object.number("failed", done.failed)
            })
        })?;
    } else {
        output.line(|out| {
            write!(out, "{} deleted, {} left", count(done.deleted, "session"), done.remaining)?;
            if done.failed > 0 {
                let failed = done.failed;
                write!(out, ", {failed} that cannot be read or deleted and may be this user's; `sessiondir check` shows them")?;
            }
            Ok(())
        })?;
    }
    Ok(if done.failed > 0 { Status::Found } else { Status::Clean })
}
