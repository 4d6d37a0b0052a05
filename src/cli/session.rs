//! A session as the command shows it.

use std::io::{self, Write};

use sessiondir::{Naming, Session, SessionRef};

use super::Common;
use super::cbor::{self, Style};
use super::json::Object;

/// How a session is named: `id` or `key` by the store's naming, and the name: `#` and 8 hexadecimal digits
/// unless it is asked for in full (NAME-8).
pub(super) struct Named {
    pub(super) label: &'static str,
    pub(super) name: String,
}

impl Named {
    pub(super) fn new(reference: &SessionRef, naming: Naming, common: &Common) -> Self {
        let label = match naming {
            Naming::Plain => "id",
            Naming::Hashed => "key",
        };
        let name = match (common.full_ids, naming, reference.id()) {
            (false, ..) => reference.shown().to_string(),
            (true, Naming::Plain, Some(id)) => id.expose().to_owned(),
            (true, ..) => reference.key().to_hex(),
        };
        Named { label, name }
    }

    pub(super) fn json(&self, object: &mut Object<'_>) -> io::Result<()> {
        object.text(self.label, &self.name)
    }
}

/// How much the attributes take, in bytes.
pub(super) fn data_size(session: &Session) -> u64 {
    session.attributes().map(|(key, encoded)| (key.len() + encoded.len()) as u64).sum()
}

/// The members that every session's object has.
pub(super) fn head(object: &mut Object<'_>, named: &Named, session: &Session) -> io::Result<()> {
    named.json(object)?;
    object.number("rev", session.rev())?;
    if let Some(user) = session.user_encoded() {
        cbor::write(object.name("user")?, user, Style::Json)?;
    }
    if let Some(addr) = session.addr() {
        object.text("addr", addr)?;
    }
    object.number("created", session.created().as_millis())?;
    object.number("accessed", session.accessed().as_millis())?;
    if let Some(expires) = session.expires() {
        object.number("expires", expires.as_millis())?;
    }
    if let Some(idle) = session.idle() {
        // It was a number of milliseconds within u64.
        write!(object.name("idle")?, "{}", idle.as_millis())?;
    }
    Ok(())
}

/// The members that only a session that was asked for by name has: its secrets and its attributes.
pub(super) fn content(object: &mut Object<'_>, session: &Session) -> io::Result<()> {
    if session.tokens().len() > 0 {
        object.texts("tokens", session.tokens())?;
    }
    if let Some(csrf) = session.csrf() {
        object.text("csrf", csrf)?;
    }
    object.object("data", |data| {
        session.attributes().try_for_each(|(key, encoded)| cbor::write(data.name(key)?, encoded, Style::Json))
    })
}

/// Whether it is the session of the user `wanted`, as the command line names him: by the text that he is, or where he is
/// no text, as JSON.
pub(super) fn is_of(session: &Session, wanted: &str) -> bool {
    let Some(encoded) = session.user_encoded() else { return false };
    if let Ok(Some(user)) = session.user::<String>() {
        return user == wanted;
    }
    let mut json = Vec::new();
    cbor::write(&mut json, encoded, Style::Json).is_ok() && json == wanted.as_bytes()
}

/// A value in diagnostic notation, whole.
pub(super) fn diagnostic(encoded: &[u8]) -> String {
    let mut out: Vec<u8> = Vec::new();
    // The library has decoded these bytes before.
    let _ = cbor::write(&mut out, encoded, Style::Diagnostic).and_then(|()| out.flush());
    String::from_utf8_lossy(&out).into_owned()
}
