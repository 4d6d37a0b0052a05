//! The `changes` of a request.

use std::time::Duration;

use crate::{Session, UnixMillis};
use ciborium::Value as Cbor;
use serde_json::Value;

use super::request::{Done, Fail, is_decimal, number, text, time};
use super::typed::{pairs, to_cbor};

/// What is to be changed, understood as a whole before anything is. A member that is to be removed is `Some(None)`.
#[derive(Default)]
pub(super) struct Changes {
    set: Vec<(String, Cbor)>,
    remove: Vec<String>,
    add: Vec<(String, i128)>,
    user: Option<Option<Cbor>>,
    expires: Option<Option<UnixMillis>>,
    idle: Option<Option<Duration>>,
    csrf: Option<Option<String>>,
    addr: Option<Option<String>>,
    tokens: Option<Vec<String>>,
}

/// The values that a session as fixtures/README.md writes it has in members of its own.
const FIELDS: [&str; 6] = ["user", "expires", "idle", "csrf", "addr", "tokens"];

impl Changes {
    pub(super) fn parse(changes: &Value) -> Done<Changes> {
        let members = changes.as_object().ok_or_else(|| Fail::Bad("no object in `changes`".to_owned()))?;
        let mut out = Changes::default();
        for (member, value) in members {
            match member.as_str() {
                "set" => out.set = pairs(value)?,
                "remove" => out.remove = texts(value)?,
                "add" => out.add = numbers(value)?,
                field => out.field(changes, field)?,
            }
        }
        Ok(out)
    }

    /// What makes a new session the one that fixtures/README.md writes so.
    pub(super) fn of_session(session: &Value) -> Done<Changes> {
        let mut out = Changes::default();
        if let Some(data) = session.get("data") {
            out.set = pairs(data)?;
        }
        for field in FIELDS.iter().filter(|field| session.get(field).is_some()) {
            out.field(session, field)?;
        }
        Ok(out)
    }

    fn field(&mut self, members: &Value, field: &str) -> Done<()> {
        let value = Some(&members[field]).filter(|value| !value.is_null());
        let given = || value.map(|_| text(members, field).map(str::to_owned)).transpose();
        match field {
            "user" => self.user = Some(value.map(to_cbor).transpose()?),
            "expires" => self.expires = Some(value.map(|_| time(members, field)).transpose()?),
            "idle" => {
                let idle = value.map(|_| number(members, field)).transpose()?;
                self.idle = Some(idle.map(Duration::from_millis));
            }
            "csrf" => self.csrf = Some(given()?),
            "addr" => self.addr = Some(given()?),
            "tokens" => self.tokens = Some(value.map(texts).transpose()?.unwrap_or_default()),
            other => return Err(Fail::Bad(format!("no member of `changes`: {other}"))),
        }
        Ok(())
    }

    pub(super) fn apply(&self, session: &mut Session) -> Done<()> {
        for (key, value) in &self.set {
            session.insert(key, value)?;
        }
        for key in &self.remove {
            session.remove(key);
        }
        for (key, number) in &self.add {
            let there = i128::from(session.get::<i64>(key)?.unwrap_or(0));
            // Wide enough for any sum of two of 64 bits; the crate refuses what is none.
            session.insert(key, &Cbor::from(there.saturating_add(*number)))?;
        }
        match &self.user {
            Some(Some(user)) => session.set_user(user)?,
            Some(None) => session.clear_user(),
            None => {}
        }
        if let Some(expires) = self.expires {
            session.set_expires(expires);
        }
        if let Some(idle) = self.idle {
            session.set_idle(idle)?;
        }
        match &self.csrf {
            Some(Some(csrf)) => session.set_csrf(csrf)?,
            Some(None) => session.clear_csrf(),
            None => {}
        }
        match &self.addr {
            Some(Some(addr)) => session.set_addr(addr)?,
            Some(None) if session.addr().is_some() => {
                return Err(Fail::Skipped("the crate has no call that removes the address"));
            }
            Some(None) | None => {}
        }
        if let Some(tokens) = &self.tokens {
            let old: Vec<String> = session.tokens().map(str::to_owned).collect();
            for token in old {
                session.remove_token(&token);
            }
            for token in tokens {
                session.push_token(token)?;
            }
        }
        Ok(())
    }
}

fn texts(list: &Value) -> Done<Vec<String>> {
    let texts = list.as_array().and_then(|list| list.iter().map(|text| text.as_str()).collect::<Option<_>>());
    let texts: Vec<&str> = texts.ok_or_else(|| Fail::Bad("no list of texts".to_owned()))?;
    Ok(texts.into_iter().map(str::to_owned).collect())
}

/// A list of `[key, number as a text]`.
fn numbers(list: &Value) -> Done<Vec<(String, i128)>> {
    let bad = || Fail::Bad("no list of [key, number]".to_owned());
    let list = list.as_array().ok_or_else(bad)?;
    list.iter()
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(key), Value::String(number)]) if is_decimal(number) => {
                let number = number.parse();
                Ok((key.clone(), number.map_err(|_| Fail::Value("no integer of the format".to_owned()))?))
            }
            _ => Err(bad()),
        })
        .collect()
}
