//! `sessiondir show`

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{ArgAction, Args};
use sessiondir::{ErrorClass, Session, SessionStore, UnixMillis};

use super::cbor::{self, Style};
use super::output::{Failure, Output, message};
use super::session::{Named, content, data_size, head};
use super::text::{Plain, count, escape, relative, span};
use super::wanted;
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir show /var/lib/app/sessions '#8a5bdb4c'
  sessiondir show --json /var/lib/app/sessions - < id.txt

An ID on the command line can be seen by everybody on the machine (ps) and stays in the
shell's history: give the #digits that list shows, or - and the ID on standard input.

Exit status: 0 the session is shown, 1 it is not there, is expired or cannot be read, 2
the argument is no ID, several sessions start with these digits, or the store could not be
opened.

With --json the session is an object with the members that list gives (without
`data_size`), and `tokens`, `csrf` and `data`. Bytes are base64url without padding; a
float keeps its point or exponent; NaN and the infinities are null.";

/// Show one session, with everything that it holds.
///
/// Form tokens and the CSRF token, which are secrets, are shown too. The ID is not, unless --full-ids is given.
#[derive(Args)]
#[command(after_help = HELP, disable_help_flag = true)]
pub(super) struct Show {
    #[command(flatten)]
    pub(super) store: Store,
    /// A session ID; or # and the first 8 to 64 hexadecimal digits of its SHA-256; or - to read an ID from
    /// standard input
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    session: OsString,
    // Without `-h`, which one in 4,096 IDs starts with.
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

impl Show {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let wanted = [wanted::one(&self.session)?];
        let store = common.open_to_read(dir)?;
        let Some(Some(reference)) = wanted::find(&wanted, &store, dir)?.pop() else {
            return gone("no session's SHA-256 starts with these digits", output);
        };
        match store.load(&reference) {
            Ok(Some(session)) => {
                let named = Named::new(&reference, store.marker().naming, common);
                if output.json {
                    output.object(|object| {
                        head(object, &named, &session)?;
                        content(object, &session)
                    })?;
                } else {
                    output.line(|out| text(out, &named, &session))?;
                }
                Ok(Status::Clean)
            }
            Ok(None) => gone(&format!("session {} is not there, or is expired", reference.shown()), output),
            Err(error) => {
                output.complain(error.class(), &message(dir, &error))?;
                Ok(Status::Found)
            }
        }
    }
}

/// READ-7: that a session is absent is no error of the store; here it is what the status tells.
fn gone(message: &str, output: &mut Output) -> Result<Status, Failure> {
    output.complain(ErrorClass::Gone, &format!("gone: {message}"))?;
    Ok(Status::Found)
}

/// The session for people.
fn text(out: &mut dyn Write, named: &Named, session: &Session) -> io::Result<()> {
    let now = UnixMillis::now();
    let moment = |at: UnixMillis| format!("{at} ({})", relative(at, now));
    writeln!(out, "{:9} {}", named.label, named.name)?;
    writeln!(out, "{:9} {}", "rev", session.rev())?;
    if let Some(user) = session.user_encoded() {
        write!(out, "{:9} ", "user")?;
        cbor::write(out, user, Style::Diagnostic)?;
        writeln!(out)?;
    }
    if let Some(addr) = session.addr() {
        writeln!(out, "{:9} {}", "addr", Plain(addr))?;
    }
    writeln!(out, "{:9} {}", "created", moment(session.created()))?;
    writeln!(out, "{:9} {}", "accessed", moment(session.accessed()))?;
    if let Some(expires) = session.expires() {
        writeln!(out, "{:9} {}", "expires", moment(expires))?;
    }
    if let Some(idle) = session.idle() {
        let millis = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        writeln!(out, "{:9} {} ({millis} ms)", "idle", span(millis))?;
    }
    for token in session.tokens() {
        writeln!(out, "{:9} {}", "token", Plain(token))?;
    }
    if let Some(csrf) = session.csrf() {
        writeln!(out, "{:9} {}", "csrf", Plain(csrf))?;
    }
    let attributes = session.attributes();
    let number = count(attributes.len() as u64, "attribute");
    write!(out, "{:9} {number}, {}", "data", count(data_size(session), "byte"))?;
    for (key, encoded) in attributes {
        write!(out, "\n  ")?;
        escape(out, key, true)?;
        write!(out, ": ")?;
        cbor::write(out, encoded, Style::Diagnostic)?;
    }
    Ok(())
}
