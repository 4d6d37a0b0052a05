//! The `changes` of a request.

use std::time::Duration;

use crate::{Session, UnixMillis};
use ciborium::Value as Cbor;
use serde_json::Value;

use super::request::{Done, Fail, is_decimal, number, text, time};
use super::typed::{pairs, to_cbor};

/// What is to be changed, understood as a whole before anything is.
#[derive(Default)]
pub(super) struct Changes {
    set: Vec<(String, Cbor)>,
    remove: Vec<String>,
    add: Vec<(String, i128)>,
    fields: Vec<Field>,
}

/// What a session has beside its attributes; none where it is to be removed.
enum Field {
    User(Option<Cbor>),
    Expires(Option<UnixMillis>),
    Idle(Option<Duration>),
    Csrf(Option<String>),
    Addr(Option<String>),
    Tokens(Vec<String>),
}

/// The names of the fields.
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
                name => out.fields.push(Field::parse(changes, name)?),
            }
        }
        Ok(out)
    }

    /// What makes a new session the one that fixtures/README.md writes so.
    pub(super) fn of_session(session: &Value) -> Done<Changes> {
        let set = session.get("data").map(pairs).transpose()?.unwrap_or_default();
        let there = FIELDS.iter().filter(|name| session.get(name).is_some());
        let fields = there.map(|name| Field::parse(session, name)).collect::<Done<_>>()?;
        Ok(Changes { set, fields, ..Changes::default() })
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
        self.fields.iter().try_for_each(|field| field.apply(session))
    }
}

impl Field {
    fn parse(members: &Value, name: &str) -> Done<Field> {
        let value = Some(&members[name]).filter(|value| !value.is_null());
        let given = || value.map(|_| text(members, name).map(str::to_owned)).transpose();
        Ok(match name {
            "user" => Field::User(value.map(to_cbor).transpose()?),
            "expires" => Field::Expires(value.map(|_| time(members, name)).transpose()?),
            "idle" => {
                let millis = value.map(|_| number(members, name)).transpose()?;
                Field::Idle(millis.map(Duration::from_millis))
            }
            "csrf" => Field::Csrf(given()?),
            "addr" => Field::Addr(given()?),
            "tokens" => Field::Tokens(value.map(texts).transpose()?.unwrap_or_default()),
            other => return Err(Fail::Bad(format!("no member of `changes`: {other}"))),
        })
    }

    fn apply(&self, session: &mut Session) -> Done<()> {
        match self {
            Field::User(Some(user)) => session.set_user(user)?,
            Field::User(None) => session.clear_user(),
            Field::Expires(expires) => session.set_expires(*expires),
            Field::Idle(idle) => session.set_idle(*idle)?,
            Field::Csrf(Some(csrf)) => session.set_csrf(csrf)?,
            Field::Csrf(None) => session.clear_csrf(),
            Field::Addr(Some(addr)) => session.set_addr(addr)?,
            Field::Addr(None) if session.addr().is_some() => {
                return Err(Fail::Skipped("the crate has no call that removes the address"));
            }
            Field::Addr(None) => {}
            Field::Tokens(tokens) => {
                let old: Vec<String> = session.tokens().map(str::to_owned).collect();
                for token in old {
                    session.remove_token(&token);
                }
                for token in tokens {
                    session.push_token(token)?;
                }
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
