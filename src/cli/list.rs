//! `sessiondir list`

use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::Args;
use sessiondir::{Naming, Session, UnixMillis};

use super::output::{Failure, Output, message};
use super::session::{Named, data_size, head, is_of};
use super::text::{clip, count, relative};
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir list /var/lib/app/sessions
  sessiondir list --json --user ada /var/lib/app/sessions

Exit status: 0 every session is listed, 1 some cannot be read (an error is shown for
each), 2 the store could not be listed to the end.

With --json each session is an object with `id` (in a store of naming hashed: `key`),
`rev`, `created`, `accessed` and `data_size`, and `user`, `addr`, `expires` and `idle`
where it has them; times are milliseconds since 1970, idle is milliseconds, data_size
bytes.";

/// List the sessions that are not expired.
///
/// In no order, one a line. What they hold is shown by `show` alone.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) store: Store,
    /// Only this user's sessions; a user who is no text is given as JSON: --user 42
    #[arg(long, value_name = "U", allow_hyphen_values = true)]
    user: Option<String>,
}

/// How many characters of a user are shown in the table.
const USER_WIDTH: usize = 40;

impl List {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let failed = |error| Failure::store(dir, error);
        let store = common.scanning().read_only(true).open(dir).map_err(failed)?;
        let naming = store.marker().naming;
        output.show_progress(dir, true);
        let now = UnixMillis::now();
        // The widths of a name: `#` and 8 digits; an ID of the usual length; a whole key.
        let width = match (common.full_ids, naming) {
            (false, _) => 9,
            (true, Naming::Plain) => 22,
            (true, Naming::Hashed) => 64,
        };
        if !output.json {
            output.line(|out| header(out, width))?;
        }
        let (mut listed, mut unreadable, mut told) = (0, 0, Ok(()));
        let scanned = store.scan(&mut |session| {
            output.step();
            told = match session {
                Ok(session) if self.user.as_ref().is_none_or(|user| is_of(&session, user)) => {
                    listed += 1;
                    show(&session, naming, common, now, width, output)
                }
                Ok(_) => Ok(()),
                Err(error) => {
                    unreadable += 1;
                    output.complain(error.class(), &message(dir, &error))
                }
            };
            // Nobody listens any more.
            if told.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        told?;
        scanned.map_err(failed)?;
        if !output.json {
            output.line(|out| {
                write!(out, "{}", count(listed, "session"))?;
                if unreadable > 0 { write!(out, ", {unreadable} that cannot be read") } else { Ok(()) }
            })?;
        }
        Ok(if unreadable > 0 { Status::Found } else { Status::Clean })
    }
}

fn show(
    session: &Session,
    naming: Naming,
    common: &Common,
    now: UnixMillis,
    width: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    // A session that comes from a store has a name.
    let Some(reference) = session.reference() else { return Ok(()) };
    let named = Named::new(reference, naming, common);
    if output.json {
        return output.object(|object| {
            head(object, &named, session)?;
            object.number("data_size", data_size(session))
        });
    }
    output.line(|out| {
        let (age, size) = (relative(session.accessed(), now), data_size(session));
        write!(out, "{:width$}  {:>5}  {}  ", named.name, session.rev(), session.created())?;
        write!(out, "{}  {age:>10}  {size:>8}  {}", session.accessed(), user(session))
    })
}

fn header(out: &mut dyn Write, width: usize) -> io::Result<()> {
    write!(out, "{:width$}  {:>5}  {:24}  ", "SESSION", "REV", "CREATED")?;
    write!(out, "{:24}  {:>10}  {:>8}  USER", "ACCESSED", "AGE", "BYTES")
}

/// The user, as a column of a table.
fn user(session: &Session) -> String {
    match (session.user_encoded(), session.user::<String>()) {
        (None, _) => "-".to_owned(),
        (_, Ok(Some(text))) => clip(&text, USER_WIDTH),
        (Some(encoded), _) => clip(&super::session::diagnostic(encoded), USER_WIDTH),
    }
}
