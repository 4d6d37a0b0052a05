//! `sessiondir show`

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use clap::{ArgAction, Args};
use sessiondir::{
    DirectoryStore, ErrorClass, Key, Naming, Session, SessionId, SessionRef, SessionStore, UnixMillis,
};

use super::cbor::{self, Style};
use super::output::{Failure, Output, message};
use super::session::{Named, content, data_size, head};
use super::text::{Plain, count, escape, relative, span};
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
    store: Store,
    /// A session ID; or # and the first 8 to 64 hexadecimal digits of its SHA-256; or - to read an ID from
    /// standard input
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    session: OsString,
    // Without `-h`, which one in 4,096 IDs starts with.
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What an argument names.
enum Wanted {
    Session(SessionRef),
    /// The first digits of a key, in lower case.
    Digits(String),
}

/// What is read of standard input at most: an ID is far shorter.
const INPUT_MAX: u64 = 1024;

impl Show {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let wanted = self.wanted()?;
        let store = common.open_to_read(dir)?;
        let reference = match wanted {
            Wanted::Session(reference) => Some(reference),
            Wanted::Digits(digits) => self.find(&store, &digits)?,
        };
        let Some(reference) = reference else {
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

    /// What the argument names. It is looked at before anything is opened, and never repeated (NAME-2).
    fn wanted(&self) -> Result<Wanted, Failure> {
        let argument = self.session.as_bytes();
        if argument == b"-" {
            return id(&from_stdin()?).map(Wanted::Session);
        }
        let Some(digits) = argument.strip_prefix(b"#") else { return id(argument).map(Wanted::Session) };
        match String::from_utf8(digits.to_ascii_lowercase()) {
            Ok(digits)
                if (8..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Ok(Wanted::Digits(digits))
            }
            _ => Err(invalid()),
        }
    }

    /// The only session whose key starts with `digits`.
    fn find(&self, store: &DirectoryStore, digits: &str) -> Result<Option<SessionRef>, Failure> {
        let failed = |error| Failure::store(&self.store.dir, error);
        if store.marker().naming == Naming::Hashed
            && let Some(key) = Key::from_hex(digits.as_bytes())
        {
            return Ok(Some(SessionRef::Key(key)));
        }
        let mut found = None;
        for reference in store.references().map_err(failed)? {
            let reference = reference.map_err(failed)?;
            if reference.key().to_hex().starts_with(digits) && found.replace(reference).is_some() {
                let message = "invalid-id: several sessions start with these digits; give more of them (list --full-ids shows all)";
                return Err(Failure::Own(ErrorClass::InvalidId, message.to_owned()));
            }
        }
        Ok(found)
    }
}

fn invalid() -> Failure {
    let message = "invalid-id: this is no session ID (11 to 128 letters, digits, '-' or '_'), nor # and 8 to 64 hexadecimal digits; `sessiondir list` shows what there is";
    Failure::Own(ErrorClass::InvalidId, message.to_owned())
}

fn id(text: &[u8]) -> Result<SessionRef, Failure> {
    SessionId::new(text).map(SessionRef::Id).map_err(|_| invalid())
}

/// An ID from standard input, without the newline that ends it. Of a longer text there is enough to see that it
/// is none.
fn from_stdin() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    io::stdin().lock().take(INPUT_MAX).read_to_end(&mut text).map_err(|error| {
        Failure::Own(ErrorClass::Io, format!("io: cannot read an ID from standard input: {error}"))
    })?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(text)
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
