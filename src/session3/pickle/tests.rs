//! The pickles of `tests/pickles` and hand-written ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

mod limits;
mod machine;
mod values;

fn pickles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pickles")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(pickles().join(name)).expect(name)
}

fn text(name: &str) -> String {
    String::from_utf8(read(name)).expect(name)
}

/// A session of class `app.Session` whose only attribute `v` is made by these opcodes.
fn session(value: &[u8]) -> Vec<u8> {
    [b"capp\nSession\n)\x81}U\x01v".as_slice(), value, b"sb."].concat()
}

fn load_default(pickle: &[u8]) -> Result<Loaded, PickleError> {
    load(pickle, &Limits::default())
}

fn value(opcodes: &[u8]) -> Plain {
    match load_default(&session(opcodes)) {
        Ok(loaded) => {
            assert_eq!(loaded.class, "app.Session");
            assert_eq!(loaded.attributes.len(), 1);
            loaded.attributes[0].1.clone()
        }
        Err(error) => panic!("{error}: {}", opcodes.escape_ascii()),
    }
}

fn refusal(pickle: &[u8]) -> String {
    match load_default(pickle) {
        Ok(loaded) => panic!("accepted: {loaded:?}"),
        Err(error) => error.to_string(),
    }
}

/// Why a value is refused, without the place.
fn value_refusal(opcodes: &[u8]) -> String {
    let message = refusal(&session(opcodes));
    let (_, why) = message.split_once(": ").expect("a place and a reason");
    why.to_owned()
}

fn list(items: &[Plain]) -> Plain {
    Plain::List(items.to_vec())
}

fn map(entries: &[(&str, Plain)]) -> Plain {
    Plain::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn plain_text(text: &str) -> Plain {
    Plain::Text(text.to_owned())
}

/// BINUNICODE.
fn unicode(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short text");
    [b"X", length.to_le_bytes().as_slice(), text.as_bytes()].concat()
}

/// As `expected.json` spells it.
fn to_json(value: &Plain) -> Value {
    match value {
        Plain::Null => Value::Null,
        Plain::Bool(value) => json!(value),
        Plain::Int(value) => json!(value),
        Plain::Float(value) => json!(format!("float:{}", scalars::float_repr(*value))),
        Plain::Text(text) => json!(text),
        Plain::Bytes(bytes) => {
            let mut hex = String::from("hex:");
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            json!(hex)
        }
        Plain::List(items) => items.iter().map(to_json).collect(),
        Plain::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
    }
}

#[test]
fn python_pickles_of_every_protocol() {
    let expected: Value = serde_json::from_str(&text("expected.json")).expect("JSON");
    for protocol in 0..=5 {
        let loaded = load_default(&read(&format!("rich-{protocol}.pickle")))
            .unwrap_or_else(|error| panic!("protocol {protocol}: {error}"));
        assert_eq!(loaded.class, "__main__.Session");
        let mut want = expected["all"].as_object().expect("object").clone();
        if protocol >= 2 {
            want.extend(expected["from2"].as_object().expect("object").clone());
        }
        let got: Vec<&str> = loaded.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(got.len(), want.len(), "protocol {protocol}");
        for (name, value) in &loaded.attributes {
            assert_eq!(to_json(value), want[name], "protocol {protocol}, {name}");
        }
    }
}

#[test]
fn notes_of_the_rich_object() {
    for protocol in 2..=5 {
        let loaded = load_default(&read(&format!("rich-{protocol}.pickle"))).expect("rich");
        let mut counts = BTreeMap::new();
        for note in &loaded.notes {
            *counts.entry(note.kind.to_string()).or_insert(0) += 1;
        }
        let counts: Vec<(&str, i32)> = counts.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(
            counts,
            [
                ("Decimal became text", 10),
                ("UUID became text", 3),
                ("date became text", 3),
                ("datetime became text", 7),
                ("integer outside 64 bits became text", 15),
                ("key became text", 18),
                ("object of __main__.Bag became plain data", 2),
                ("object of __main__.Money became plain data", 2),
                ("object of __main__.Name became plain data", 1),
                ("object of __main__.Point became plain data", 1),
                ("object of __main__.Slots became plain data", 1),
                ("object of __main__.Stack became plain data", 1),
                ("set became a sorted list", 8),
                ("time became text", 5),
                ("timedelta became seconds", 6),
                ("timezone became text", 4),
            ],
            "protocol {protocol}"
        );
    }
}

#[test]
fn notes_name_their_paths() {
    let loaded = load_default(&read("small-4.pickle")).expect("small");
    let notes: Vec<String> =
        loaded.notes.iter().map(|note| format!("{}: {}", note.path, note.kind)).collect();
    assert_eq!(
        notes,
        [
            "tags: set became a sorted list",
            "when: datetime became text",
            "money: object of __main__.Money became plain data",
            "money.amount: Decimal became text",
            "big: integer outside 64 bits became text",
            "keys[\"1\"]: key became text",
            "keys[\"(2, 'x')\"]: key became text",
            "uuid: UUID became text",
        ]
    );
    let loaded = load_default(&session(b"](cm\nC\n)\x81\x8f(K\x01\x8a\x09\0\0\0\0\0\0\0\0\x01\x90e"));
    let notes: Vec<(String, NoteKind)> =
        loaded.expect("objects").notes.into_iter().map(|note| (note.path, note.kind)).collect();
    let class = "m.C".to_owned();
    assert_eq!(
        notes,
        [
            ("v[0]".to_owned(), NoteKind::Object { class }),
            ("v[1]".to_owned(), NoteKind::Set),
            ("v[1]{}".to_owned(), NoteKind::BigInteger),
        ]
    );
}

#[test]
fn frames_and_batches() {
    let loaded = load_default(&read("long-4.pickle")).expect("long");
    let numbers = |count| (0..count).map(Plain::Int).collect::<Vec<_>>();
    let table = (0..1200).map(|number: i64| (number.to_string(), Plain::Int(number))).collect();
    assert_eq!(
        loaded.attributes,
        [
            ("numbers".to_owned(), Plain::List(numbers(2500))),
            ("table".to_owned(), Plain::Map(table)),
            ("members".to_owned(), Plain::List(numbers(1001))),
            ("text".to_owned(), Plain::Text("é".repeat(33_000))),
        ]
    );
}

#[test]
fn truncation_is_refused_at_every_byte() {
    for name in ["small-0", "small-1", "small-2", "small-3", "small-4", "small-5", "rich-0", "rich-4"] {
        let pickle = read(&format!("{name}.pickle"));
        for length in 0..pickle.len() {
            assert!(load_default(&pickle[..length]).is_err(), "{name}, {length}");
        }
    }
}

#[test]
fn a_changed_byte_never_panics() {
    // Small limits, and a result within them or a refusal.
    let limits = Limits { output_values: 10_000, ..Limits::default() };
    let start = Instant::now();
    let mut loads = 0;
    for protocol in 0..=5 {
        let mut pickle = read(&format!("small-{protocol}.pickle"));
        pickle.extend(b"."); // so that a longer argument finds something
        for at in 0..pickle.len() {
            let was = pickle[at];
            for now in [was ^ 0x01, was ^ 0x80, 0x00, 0xff] {
                pickle[at] = now;
                let _ = load(&pickle, &limits);
                loads += 1;
            }
            pickle[at] = was;
        }
    }
    {
        let mut pickle = read("rich-4.pickle");
        for at in 0..pickle.len() {
            let was = pickle[at];
            for now in [was.wrapping_add(1), was ^ 0x20, b'.', b'('] {
                pickle[at] = now;
                let _ = load(&pickle, &limits);
                loads += 1;
            }
            pickle[at] = was;
        }
    }
    let took = start.elapsed();
    assert!(loads > 30_000);
    assert!(took < Duration::from_secs(240), "{took:?}");
}

/// Where the data set of real sessions is, if it is at all.
fn real_sessions() -> Option<PathBuf> {
    let data = match std::env::var_os("SESSIONDIR_SHARED_DATA") {
        Some(data) => PathBuf::from(data),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let session3 = data.join("session3");
    session3.join("cart.json").is_file().then_some(session3)
}

/// As `cart.json` spells data.
fn cart_json(value: &Plain) -> Value {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    match value {
        Plain::Float(value) => json!(value),
        Plain::Bytes(bytes) => {
            let mut text = String::new();
            for chunk in bytes.chunks(3) {
                let mut three = [0; 4];
                three[1..=chunk.len()].copy_from_slice(chunk);
                let bits = u32::from_be_bytes(three);
                for digit in 0..=chunk.len() {
                    let index = usize::try_from((bits >> (18 - 6 * digit)) & 63).expect("6 bits");
                    text.push(char::from(ALPHABET[index]));
                }
            }
            json!(text)
        }
        Plain::List(items) => items.iter().map(cart_json).collect(),
        Plain::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), cart_json(value))).collect(),
        other => to_json(other),
    }
}

#[test]
fn real_sessions_load() {
    let Some(root) = real_sessions() else {
        let mut out = std::io::stderr();
        let _ = writeln!(out, "SKIP real_sessions_load: no shared data (SESSIONDIR_SHARED_DATA)");
        return;
    };
    let expected = std::fs::read_to_string(root.join("cart.json")).expect("cart.json");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let mut count = 0;
    for file in std::fs::read_dir(root.join("cart")).expect("cart") {
        let file = file.expect("entry");
        let id = file.file_name().into_string().expect("UTF-8");
        let loaded = load_default(&std::fs::read(file.path()).expect("readable"))
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(loaded.class, "__main__.CartSession");
        let mut rest: BTreeMap<String, Plain> = loaded.attributes.into_iter().collect();
        let want = &expected[&id];
        let mut take = |name: &str| cart_json(&rest.remove(name).expect(name));
        assert_eq!(take("id"), json!(id));
        assert_eq!(take("user"), want["user"], "{id}");
        assert_eq!(take("_remote_address"), want["addr"], "{id}");
        for (name, key) in [("_creation_time", "created"), ("_access_time", "accessed")] {
            let seconds = take(name).as_f64().expect("float");
            let millis = format!("{:.0}", (seconds * 1000.0).floor());
            assert_eq!(millis, want[key].to_string(), "{id}");
        }
        let tokens = take("_form_tokens");
        match want.get("tokens") {
            Some(want) => assert_eq!(tokens, *want, "{id}"),
            None => assert_eq!(tokens, json!([]), "{id}"),
        }
        let data: Value = rest.iter().map(|(name, value)| (name.clone(), cart_json(value))).collect();
        assert_eq!(data, want["data"], "{id}");
        count += 1;
    }
    assert_eq!(count, 44);
}
