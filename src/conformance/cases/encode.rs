//! Each valid record of the fixtures, made from its value.
//!
//! Left out are those of more than 1 MiB, and those whose body has entries that section 7.3 does not name (`other`):
//! a writer keeps such entries (REC-14, in `attributes`), but nothing in the protocol can ask it to make them. A
//! crit that is not empty cannot be asked for either; no valid record of version 1 has one.

use serde_json::{Value, json};

use super::super::case::{Case, Class, Outcome, ensure};
use super::super::vectors;

/// The largest record that is asked for, in bytes.
const MOST: usize = 1 << 20;

pub(crate) fn cases() -> Vec<Case> {
    let valid = vectors::all().iter().filter(|vector| {
        vector["kind"] == "record" && vector["result"] == "valid" && vector["value"].get("other").is_none()
    });
    valid.filter(|vector| vectors::bytes(vector).len() <= MOST).map(case).collect()
}

fn case(vector: &'static Value) -> Case {
    let id = format!("encode/{}", vectors::text(vector, "id"));
    let mut features = vec!["encode"];
    let session = &vector["value"];
    for typed in session.get("user").into_iter().chain(values(&session["data"])) {
        value_features(typed, &mut features);
    }
    let rules = "REC-1 REC-2 REC-3 REC-4 REC-5 REC-6 REC-7 VAL-1 VAL-2 VAL-4 VAL-8";
    let description = format!("a record made from its value: {}", vectors::text(vector, "description"));
    Case::new(id, "7 The record", description, rules, &[Class::Writer], |bench| {
        let request = json!({ "op": "encode", "session": vector["value"], "seq": vector["seq"] });
        let found = bench.ok(request)?;
        same_bytes(&vectors::bytes(vector), &vectors::unhex(vectors::text(&found, "record")))
    })
    .needs(&features)
}

/// The values of a list of pairs; none where there is no list.
fn values(pairs: &Value) -> impl Iterator<Item = &Value> {
    pairs.as_array().into_iter().flatten().map(|pair| &pair[1])
}

/// What an implementation has to be able to tell apart to make this value.
fn value_features(typed: &Value, features: &mut Vec<&'static str>) {
    let Some((kind, inner)) = typed.as_object().and_then(|typed| typed.iter().next()) else { return };
    let mut need = |feature| {
        if !features.contains(&feature) {
            features.push(feature);
        }
    };
    let text = inner.as_str().unwrap_or_default();
    match kind.as_str() {
        "int" => {
            let int = text.parse::<i64>().expect("an integer of 64 bits");
            if int.unsigned_abs() > (1 << 53) - 1 {
                need("int64");
            }
        }
        "bytes" => need("bytes"),
        "float" => {
            let float = text.parse::<f64>().expect("a float");
            if float == 0.0 && float.is_sign_negative() {
                need("negative-zero");
            } else if float.is_finite() && float.fract() == 0.0 {
                need("float");
            }
        }
        "array" => {
            for item in inner.as_array().into_iter().flatten() {
                value_features(item, features);
            }
        }
        "map" => {
            if inner.as_array().is_some_and(Vec::is_empty) {
                need("empty-map");
            }
            for value in values(inner) {
                value_features(value, features);
            }
        }
        _ => {}
    }
}

fn same_bytes(expected: &[u8], found: &[u8]) -> Outcome {
    ensure(expected == found, || {
        let at = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
        let near = |bytes: &[u8]| vectors::hex(&bytes[at.min(bytes.len())..bytes.len().min(at + 16)]);
        format!(
            "the record: expected {} bytes, found {}; they differ from offset {at} on: expected {}, found {}",
            expected.len(),
            found.len(),
            near(expected),
            near(found)
        )
    })
}
