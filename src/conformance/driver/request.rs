//! Requests, and the answers to them.

use std::time::Duration;

use crate::error::ValueError;
use crate::{Durability, Error, Key, Naming, SessionId, SessionRef, UnixMillis};
use serde_json::{Value, json};

use super::typed::unhex;

/// Why a request was not done.
pub(super) enum Fail {
    /// The crate's error.
    Error(Error),
    /// A number that the crate's types do not take, so that there is no call that could refuse it.
    Value(String),
    /// The crate has no way to do that.
    Skipped(&'static str),
    /// The request is not understood, or something else went wrong that the protocol has no word for.
    Bad(String),
}

pub(super) type Done<T> = Result<T, Fail>;

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Fail::Error(error)
    }
}

impl From<ValueError> for Fail {
    fn from(error: ValueError) -> Self {
        Fail::Error(error.into())
    }
}

/// The answer to the request of that number.
pub(super) fn answer(number: &Value, done: Done<Value>) -> Value {
    let (member, value) = match done {
        Ok(value) => ("ok", value),
        Err(Fail::Error(error)) => ("error", error_json(&error)),
        Err(Fail::Value(message)) => ("error", json!({ "class": "invalid-value", "message": message })),
        Err(Fail::Skipped(reason)) => ("skipped", json!({ "reason": reason })),
        Err(Fail::Bad(context)) => ("errored", json!({ "context": context })),
    };
    json!({ "request": number, member: value })
}

fn error_json(error: &Error) -> Value {
    let mut out = json!({ "class": error.class().name(), "message": error.to_string() });
    if let Some(fault) = error.fault() {
        out["rule"] = json!(fault.rule.id());
        out["offset"] = json!(fault.offset);
    }
    out
}

/// A request: an object that has a number and an op.
pub(super) struct Request {
    number: Value,
    op: String,
    members: Value,
}

impl Request {
    /// # Errors
    /// What is wrong with it, and its number, null where it has none: that is no answer to anything, but the runner
    /// then need not wait for one.
    pub(super) fn parse(line: &[u8]) -> Result<Request, (Value, Fail)> {
        let members: Value = serde_json::from_slice(line)
            .map_err(|error| (Value::Null, Fail::Bad(format!("a line that is no JSON: {error}"))))?;
        let number = members["request"].clone();
        if !number.is_u64() {
            return Err((Value::Null, Fail::Bad("a line without a number in `request`".to_owned())));
        }
        match members["op"].as_str().map(str::to_owned) {
            Some(op) => Ok(Request { number, op, members }),
            None => Err((number, Fail::Bad("no text in `op`".to_owned()))),
        }
    }

    pub(super) fn number(&self) -> &Value {
        &self.number
    }

    pub(super) fn op(&self) -> &str {
        &self.op
    }

    pub(super) fn thread(&self) -> Option<String> {
        self.members["thread"].as_str().map(str::to_owned)
    }

    pub(super) fn get(&self, member: &str) -> Option<&Value> {
        self.members.get(member)
    }

    pub(super) fn text(&self, member: &str) -> Done<&str> {
        text(&self.members, member)
    }

    /// The name of the store that it is about.
    pub(super) fn store(&self) -> &str {
        self.members["store"].as_str().unwrap_or_default()
    }

    pub(super) fn now(&self) -> Done<Option<UnixMillis>> {
        self.get("now").map(|_| time(&self.members, "now")).transpose()
    }

    /// `wait_ms`.
    pub(super) fn wait(&self) -> Done<Option<Duration>> {
        self.get("wait_ms").map(|_| Ok(Duration::from_millis(self.count("wait_ms")?))).transpose()
    }

    /// A JSON number.
    pub(super) fn count(&self, member: &str) -> Done<u64> {
        self.members[member].as_u64().ok_or_else(|| Fail::Bad(format!("no number in `{member}`")))
    }

    pub(super) fn naming(&self) -> Done<Naming> {
        match self.text("naming")? {
            "plain" => Ok(Naming::Plain),
            "hashed" => Ok(Naming::Hashed),
            other => Err(Fail::Bad(format!("no naming: {other}"))),
        }
    }

    pub(super) fn durability(&self) -> Done<Durability> {
        match self.text("durability")? {
            "power" => Ok(Durability::Power),
            "process" => Ok(Durability::Process),
            other => Err(Fail::Bad(format!("no durability: {other}"))),
        }
    }

    /// The bytes in `text` or `hex`.
    pub(super) fn bytes(&self) -> Done<Vec<u8>> {
        match self.get("hex") {
            Some(_) => unhex(self.text("hex")?),
            None => Ok(self.text("text")?.as_bytes().to_vec()),
        }
    }

    /// The session in `id` or `key`.
    pub(super) fn session(&self) -> Done<SessionRef> {
        match self.get("key") {
            Some(_) => Ok(key(self.text("key")?)?.into()),
            None => Ok(SessionId::new(self.text("id")?)?.into()),
        }
    }
}

pub(super) fn text<'a>(members: &'a Value, member: &str) -> Done<&'a str> {
    members[member].as_str().ok_or_else(|| Fail::Bad(format!("no text in `{member}`")))
}

pub(super) fn key(digits: &str) -> Done<Key> {
    Key::from_hex(digits.as_bytes()).ok_or_else(|| Fail::Bad("a key has 64 digits 0-9a-f".to_owned()))
}

/// A number that is written as a text.
pub(super) fn number(members: &Value, member: &str) -> Done<u64> {
    let digits = text(members, member)?;
    if !is_decimal(digits) {
        return Err(Fail::Bad(format!("no decimal digits in `{member}`")));
    }
    digits.parse().map_err(|_| Fail::Value(format!("`{member}` is no number of 64 bits: {digits}")))
}

/// A time that is written as a text, in milliseconds.
pub(super) fn time(members: &Value, member: &str) -> Done<UnixMillis> {
    let millis = number(members, member)?;
    let beyond = || Fail::Value(format!("`{member}` is beyond the year 9999: {millis}"));
    UnixMillis::from_millis(millis).ok_or_else(beyond)
}

/// Whether it is an integer of whatever size.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
