//! The protocol of `CONFORMANCE.md`: requests and answers, held to its JSON Schema.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// How long a line of the protocol can be, in bytes.
pub(crate) const LONGEST_LINE: usize = 64 << 20;

const SCHEMA: &str = include_str!("../../docs/conformance.schema.json");

/// Of each op, what its requests and its answers have to look like.
static VALIDATORS: LazyLock<BTreeMap<String, [Validator; 2]>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let defs = schema["$defs"].as_object().expect("definitions");
    let ops = defs.keys().filter_map(|name| name.strip_prefix("call-"));
    let validator = |name: String| {
        let part = json!({ "$schema": schema["$schema"], "$ref": format!("#/$defs/{name}"), "$defs": defs });
        jsonschema::validator_for(&part).expect("a schema")
    };
    ops.map(|op| (op.to_owned(), [format!("call-{op}"), format!("answer-{op}")].map(&validator))).collect()
});

/// What a driver can answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// It was done.
    Ok(Value),
    /// The implementation reported an error.
    Error(Fault),
    /// The implementation cannot do that.
    Skipped(String),
    /// Something went wrong that the protocol has no word for.
    Errored(String),
}

/// An error that an implementation reported.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) class: String,
    pub(crate) rule: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) message: Option<String>,
}

/// Checks a request of ours.
///
/// # Panics
/// It is none: the kit is at fault.
pub(crate) fn check_request(request: &Value) {
    let op = request["op"].as_str().expect("an op");
    let [validator, _] = VALIDATORS.get(op).unwrap_or_else(|| panic!("no op {op}"));
    if let Err(error) = validator.validate(request) {
        panic!("the kit's request is none: {error}: {}", shorten(&request.to_string()));
    }
}

/// The number of an answer, and what it is, if it can be one to a request with that op.
pub(crate) fn parse_answer(
    line: &[u8],
    op_of: impl Fn(u64) -> Option<String>,
) -> Result<(u64, Answer), String> {
    let shown = || shorten(&String::from_utf8_lossy(line));
    let value: Value =
        serde_json::from_slice(line).map_err(|error| format!("no JSON ({error}): {}", shown()))?;
    let number =
        value["request"].as_u64().ok_or_else(|| format!("no answer, as it has no `request`: {}", shown()))?;
    let op = op_of(number).ok_or_else(|| format!("an answer to nothing that was asked: {}", shown()))?;
    if let Err(error) = VALIDATORS[&op][1].validate(&value) {
        let at = error.instance_path().to_string();
        let why = shorten(&error.to_string());
        return Err(format!(
            "no answer to `{op}` (docs/conformance.schema.json, at {at:?}): {why}: {}",
            shown()
        ));
    }
    let answer = answer(value).ok_or_else(|| format!("no answer to `{op}`: {}", shown()))?;
    Ok((number, answer))
}

/// The answer within an object that has passed the schema.
pub(crate) fn answer(mut value: Value) -> Option<Answer> {
    let members: &mut Map<String, Value> = value.as_object_mut()?;
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    if let Some(done) = members.remove("ok") {
        return Some(Answer::Ok(done));
    }
    if let Some(error) = members.get("error") {
        return Some(Answer::Error(Fault {
            class: text(error, "class")?,
            rule: text(error, "rule"),
            offset: error["offset"].as_u64(),
            message: text(error, "message"),
        }));
    }
    if let Some(skipped) = members.get("skipped") {
        let issue = text(skipped, "issue_url").map_or(String::new(), |url| format!(" ({url})"));
        return Some(Answer::Skipped(text(skipped, "reason")? + &issue));
    }
    Some(Answer::Errored(text(members.get("errored")?, "context")?))
}

/// The beginning of a long text, for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 300;
    if text.len() <= MOST {
        return text.escape_debug().to_string().replace("\\\"", "\"");
    }
    let end = (0..=MOST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}… ({} bytes)", text[..end].escape_debug().to_string().replace("\\\"", "\""), text.len())
}
