//! From what a pickle describes to a session: the table of docs/session3.md.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::pickle::{Loaded, Plain};
use crate::names::SessionId;
use crate::record::{Session, TOKENS_MAX};
use crate::time::UnixMillis;

/// Session3's and Session2's class whose contents are the application's data. Its subclasses cannot be told
/// from any other class: a pickle names no bases.
const DICT_SESSIONS: [&str; 2] = ["session3.DictSession.DictSession", "session2.DictSession.DictSession"];
/// The attribute that holds a `UserDict`'s contents.
const CONTENTS: &str = "data";

/// A session, and what of it is not as it was.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) session: Session,
    /// Each with its path: `cart.price: Decimal became text`.
    pub(super) notes: Vec<String>,
}

/// Makes a session of what the file named after `id` holds. `modified` is when that file was last written.
///
/// # Errors
/// Why the file is to be refused. Never the ID.
pub(super) fn map(loaded: Loaded, id: &SessionId, modified: UnixMillis) -> Result<Mapped, String> {
    let mut notes: Vec<String> = loaded
        .notes
        .iter()
        .map(|note| match note.path.as_str() {
            "" => note.kind.to_string(),
            path => format!("{path}: {}", note.kind),
        })
        .collect();
    let mut rest = Attributes(loaded.attributes);
    whose(rest.take("id"), id)?;
    let mut session = times(&mut rest, modified, &mut notes);

    match rest.take("user") {
        None => {}
        // Session3 asks `if session.user`; what is false there must not be a login here.
        Some(user) if is_false(&user) => {
            notes.push("user: is false to Python, so nobody; left out".to_owned());
        }
        Some(user) => session.set_user(&user).map_err(|error| error.to_string())?,
    }
    match rest.take("_remote_address") {
        None => {}
        Some(Plain::Text(addr)) if session.set_addr(&addr).is_ok() => {}
        Some(_) => notes.push("_remote_address: is no text of 1 to 64 bytes; left out".to_owned()),
    }
    match rest.take("_csrf_token") {
        None => {}
        Some(Plain::Text(csrf)) if session.set_csrf(&csrf).is_ok() => {}
        Some(_) => notes.push("_csrf_token: is no text of 1 to 128 bytes; left out".to_owned()),
    }
    tokens(rest.take("_form_tokens"), &mut session, &mut notes);

    if DICT_SESSIONS.contains(&loaded.class.as_str()) {
        rest.lift_contents(&mut notes);
    }
    for (name, value) in rest.0 {
        session.insert(&name, &value).map_err(|error| error.to_string())?;
    }
    Ok(Mapped { session, notes })
}

struct Attributes(Vec<(String, Plain)>);

impl Attributes {
    /// Removes an attribute. `None` in Python is none here.
    fn take(&mut self, name: &str) -> Option<Plain> {
        let at = self.0.iter().position(|(there, _)| there == name)?;
        Some(self.0.remove(at).1).filter(|value| *value != Plain::Null)
    }

    /// Puts what `session["key"]` means in a `DictSession` where `get("key")` finds it.
    fn lift_contents(&mut self, notes: &mut Vec<String>) {
        let Some(at) =
            self.0.iter().position(|(name, value)| name == CONTENTS && matches!(value, Plain::Map(_)))
        else {
            return;
        };
        let (name, contents) = self.0.remove(at);
        match contents {
            Plain::Map(entries)
                if !entries.iter().any(|(key, _)| self.0.iter().any(|(name, _)| name == key)) =>
            {
                self.0.extend(entries);
            }
            contents => {
                notes.push(
                    "data: has a key that is an attribute's name too; left as one attribute".to_owned(),
                );
                self.0.insert(at, (name, contents));
            }
        }
    }
}

/// A file holds the session that it is named after, or it is a copy that nobody has logged in to.
fn whose(found: Option<Plain>, id: &SessionId) -> Result<(), String> {
    match found {
        Some(Plain::Text(text)) if text == id.expose() => Ok(()),
        Some(Plain::Text(text)) => Err(match SessionId::new(&text) {
            Ok(other) => format!("holds session {other}: a copied or renamed file; remove it"),
            Err(_) => "holds a session whose ID is no session ID; remove it".to_owned(),
        }),
        Some(_) => Err("holds a session whose ID is no text; remove it".to_owned()),
        None => Err("holds a session without an ID, so it is no Session3 file; remove it".to_owned()),
    }
}

/// A session with the times of the pickle, and with the next best where it has none.
fn times(rest: &mut Attributes, modified: UnixMillis, notes: &mut Vec<String>) -> Session {
    let mut time = |name: &str| rest.take(name).as_ref().and_then(millis);
    let (created, accessed) = (time("_creation_time"), time("_access_time"));
    if created.is_none() {
        notes.push("_creation_time: is no time from 1970 to 9999; _access_time taken".to_owned());
    }
    if accessed.is_none() {
        notes.push("_access_time: is no time from 1970 to 9999; the file's time taken".to_owned());
    }
    let accessed = accessed.unwrap_or(modified);
    Session::at(created.unwrap_or(accessed), accessed)
}

/// Seconds since the epoch, rounded down to milliseconds.
fn millis(seconds: &Plain) -> Option<UnixMillis> {
    match seconds {
        Plain::Float(seconds) => {
            let millis = (seconds * 1000.0).floor();
            #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
            let range = 0.0..=UnixMillis::MAX.as_millis() as f64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and in range")]
            range.contains(&millis).then_some(millis as u64).and_then(UnixMillis::from_millis)
        }
        Plain::Int(seconds) => {
            let millis = seconds.checked_mul(1000).and_then(|millis| u64::try_from(millis).ok());
            millis.and_then(UnixMillis::from_millis)
        }
        _ => None,
    }
}

fn tokens(found: Option<Plain>, session: &mut Session, notes: &mut Vec<String>) {
    let tokens = match found {
        None => return,
        Some(Plain::List(tokens)) => tokens,
        Some(_) => return notes.push("_form_tokens: is no list; left out".to_owned()),
    };
    let mut taken = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Plain::Text(token) if session.push_token(token).is_ok() => taken += 1,
            _ => notes.push(format!("_form_tokens[{index}]: is no text of 1 to 128 bytes; left out")),
        }
    }
    if taken > TOKENS_MAX {
        notes.push(format!("_form_tokens: the oldest {} of {taken} left out", taken - TOKENS_MAX));
    }
}

/// What `if value` does not hold for in Python.
fn is_false(value: &Plain) -> bool {
    match value {
        Plain::Null | Plain::Bool(false) | Plain::Int(0) => true,
        Plain::Float(float) => *float == 0.0,
        Plain::Text(text) => text.is_empty(),
        Plain::Bytes(bytes) => bytes.is_empty(),
        Plain::List(items) => items.is_empty(),
        // An object without attributes becomes one too, and is true; but it says nobody's name.
        Plain::Map(entries) => entries.is_empty(),
        Plain::Bool(true) | Plain::Int(_) => false,
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Plain::Null => serializer.serialize_none(),
            Plain::Bool(value) => serializer.serialize_bool(*value),
            Plain::Int(value) => serializer.serialize_i64(*value),
            Plain::Float(value) => serializer.serialize_f64(*value),
            Plain::Text(text) => serializer.serialize_str(text),
            Plain::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Plain::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Plain::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::{Note, NoteKind};
    use super::*;

    const ID: &str = "0SJaaIqvMIA";
    const MODIFIED: u64 = 1_700_000_000_123;

    fn text(text: &str) -> Plain {
        Plain::Text(text.to_owned())
    }

    fn map_of(entries: &[(&str, Plain)]) -> Plain {
        Plain::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::from_millis(ms).expect("in range")
    }

    /// A session with an ID and times, and these attributes over them.
    fn loaded(class: &str, attributes: &[(&str, Plain)]) -> Loaded {
        let mut all = vec![
            ("id".to_owned(), text(ID)),
            ("_creation_time".to_owned(), Plain::Float(1.5)),
            ("_access_time".to_owned(), Plain::Float(2.25)),
        ];
        for (name, value) in attributes {
            all.retain(|(there, _)| there != name);
            all.push(((*name).to_owned(), value.clone()));
        }
        Loaded { class: class.to_owned(), attributes: all, notes: Vec::new() }
    }

    fn mapped(attributes: &[(&str, Plain)]) -> Mapped {
        map_loaded(loaded("app.Session", attributes)).expect("maps")
    }

    fn map_loaded(loaded: Loaded) -> Result<Mapped, String> {
        map(loaded, &SessionId::new(ID).expect("an ID"), at(MODIFIED))
    }

    #[test]
    fn every_part_has_its_place() {
        let Mapped { session, notes } = mapped(&[
            ("user", text("ada")),
            ("_remote_address", text("127.0.0.1")),
            ("_form_tokens", Plain::List(vec![text("a"), text("b")])),
            ("_csrf_token", text("c")),
            ("cart", Plain::List(vec![Plain::Int(1), Plain::Bytes(vec![0xff]), Plain::Null])),
            ("_private", Plain::Float(f64::NAN)),
        ]);
        assert_eq!(notes, [""; 0]);
        assert_eq!((session.created(), session.accessed()), (at(1500), at(2250)));
        assert_eq!(session.user::<String>().expect("text").as_deref(), Some("ada"));
        assert_eq!(session.addr(), Some("127.0.0.1"));
        assert_eq!(session.tokens().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(session.csrf(), Some("c"));
        let data: Vec<(&str, &[u8])> = session.attributes().collect();
        assert_eq!(data, [("cart", b"\x83\x01\x41\xff\xf6".as_slice()), ("_private", b"\xf9\x7e\x00")]);
    }

    #[test]
    fn nothing_is_none() {
        for absent in [true, false] {
            let mut all = loaded("app.Session", &[]);
            for name in ["user", "_remote_address", "_form_tokens", "_csrf_token"] {
                if !absent {
                    all.attributes.push((name.to_owned(), Plain::Null));
                }
            }
            let Mapped { session, notes } = map_loaded(all).expect("maps");
            assert_eq!(notes, [""; 0]);
            assert!(!session.has_info());
            assert_eq!(session.addr(), None);
        }
        let Mapped { session, notes } = mapped(&[("_form_tokens", Plain::List(Vec::new()))]);
        assert_eq!((session.tokens().len(), notes.len()), (0, 0));
    }

    #[test]
    fn a_user_that_is_false_is_nobody() {
        for user in [
            text(""),
            Plain::Int(0),
            Plain::Bool(false),
            Plain::Float(-0.0),
            Plain::Bytes(Vec::new()),
            Plain::List(Vec::new()),
            map_of(&[]),
        ] {
            let Mapped { session, notes } = mapped(&[("user", user)]);
            assert!(!session.has_user());
            assert_eq!(notes, ["user: is false to Python, so nobody; left out"]);
        }
        for user in [text("0"), Plain::Int(7), Plain::Bool(true), map_of(&[("name", Plain::Null)])] {
            let Mapped { session, notes } = mapped(&[("user", user)]);
            assert!(session.has_user());
            assert_eq!(notes, [""; 0]);
        }
    }

    #[test]
    fn times_are_whole_milliseconds_or_the_next_best() {
        let times = |created: Plain, accessed: Plain| {
            let Mapped { session, notes } =
                mapped(&[("_creation_time", created), ("_access_time", accessed)]);
            (session.created().as_millis(), session.accessed().as_millis(), notes.len())
        };
        let float = Plain::Float;
        assert_eq!(times(float(1.999_9), float(2.000_1)), (1999, 2000, 0));
        assert_eq!(times(Plain::Int(3), Plain::Int(4)), (3000, 4000, 0));
        assert_eq!(times(float(0.0), float(253_402_300_799.0)), (0, 253_402_300_799_000, 0));
        for no in [
            float(f64::NAN),
            float(f64::INFINITY),
            float(f64::NEG_INFINITY),
            float(-0.001),
            float(253_402_300_800.0),
            float(f64::MAX),
            Plain::Int(-1),
            Plain::Int(i64::MAX),
            text("1.5"),
            Plain::Bool(true),
            Plain::Null,
        ] {
            assert_eq!(times(no.clone(), float(2.0)), (2000, 2000, 1), "{no:?}");
            assert_eq!(times(float(2.0), no.clone()), (2000, MODIFIED, 1), "{no:?}");
            assert_eq!(times(no.clone(), no.clone()), (MODIFIED, MODIFIED, 2), "{no:?}");
        }
        let mut all = loaded("app.Session", &[]);
        all.attributes.truncate(1);
        let Mapped { session, notes } = map_loaded(all).expect("maps");
        assert_eq!(session.created().as_millis(), MODIFIED);
        assert_eq!(
            notes,
            [
                "_creation_time: is no time from 1970 to 9999; _access_time taken",
                "_access_time: is no time from 1970 to 9999; the file's time taken",
            ]
        );
    }

    #[test]
    fn what_the_format_cannot_hold_is_left_out() {
        let long = "x".repeat(129);
        let Mapped { session, notes } = mapped(&[
            ("_remote_address", text(&"x".repeat(65))),
            ("_csrf_token", text(&long)),
            ("_form_tokens", Plain::List(vec![text("a"), text(""), Plain::Int(1), text(&long), text("b")])),
        ]);
        assert_eq!((session.addr(), session.csrf()), (None, None));
        assert_eq!(session.tokens().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            notes,
            [
                "_remote_address: is no text of 1 to 64 bytes; left out",
                "_csrf_token: is no text of 1 to 128 bytes; left out",
                "_form_tokens[1]: is no text of 1 to 128 bytes; left out",
                "_form_tokens[2]: is no text of 1 to 128 bytes; left out",
                "_form_tokens[3]: is no text of 1 to 128 bytes; left out",
            ]
        );
        let many = (0..35).map(|number| text(&number.to_string())).collect();
        let Mapped { session, notes } = mapped(&[("_form_tokens", Plain::List(many))]);
        assert_eq!(session.tokens().next(), Some("3"));
        assert_eq!(notes, ["_form_tokens: the oldest 3 of 35 left out"]);
        let Mapped { notes, .. } = mapped(&[("_form_tokens", text("abc"))]);
        assert_eq!(notes, ["_form_tokens: is no list; left out"]);
    }

    #[test]
    fn a_dict_session_opens_up() {
        let contents = ("data", map_of(&[("cart", Plain::Int(1)), ("id", Plain::Int(2))]));
        let keys = |class: &str, more: &[(&str, Plain)]| {
            let attributes = [std::slice::from_ref(&contents), more].concat();
            let Mapped { session, notes } = map_loaded(loaded(class, &attributes)).expect("maps");
            (session.attributes().map(|(key, _)| key.to_owned()).collect::<Vec<_>>(), notes)
        };
        let dict_session = DICT_SESSIONS[0];
        assert_eq!(keys(dict_session, &[]), (vec!["id".to_owned(), "cart".to_owned()], vec![]));
        assert_eq!(keys("app.MySession", &[]), (vec!["data".to_owned()], vec![]));
        let (found, notes) = keys(dict_session, &[("cart", Plain::Int(3))]);
        assert_eq!(found, ["cart", "data"]);
        assert_eq!(notes, ["data: has a key that is an attribute's name too; left as one attribute"]);
        let Mapped { session, .. } =
            map_loaded(loaded(dict_session, &[("data", Plain::Int(1))])).expect("maps");
        assert!(session.contains("data"), "what is no map is not opened");
    }

    /// Exercises NAME-8.
    #[test]
    fn the_id_is_the_files_name() {
        let refusal = |id: Plain| map_loaded(loaded("app.Session", &[("id", id)])).expect_err("refused");
        assert_eq!(
            refusal(text("AAAAAAAAAAAAAAAAAAAAAA")),
            "holds session #8a5bdb4c: a copied or renamed file; remove it"
        );
        assert_eq!(refusal(text("../evil")), "holds a session whose ID is no session ID; remove it");
        assert_eq!(refusal(Plain::Int(1)), "holds a session whose ID is no text; remove it");
        let none = "holds a session without an ID, so it is no Session3 file; remove it";
        assert_eq!(refusal(Plain::Null), none);
        let mut all = loaded("app.Session", &[]);
        all.attributes.remove(0);
        assert_eq!(map_loaded(all).expect_err("refused"), none);
    }

    #[test]
    fn what_the_interpreter_notes_is_passed_on() {
        let mut all = loaded("app.Session", &[]);
        all.notes = vec![
            Note { path: String::new(), kind: NoteKind::Trailing(3) },
            Note { path: "cart[0].price".to_owned(), kind: NoteKind::Decimal },
        ];
        let Mapped { notes, .. } = map_loaded(all).expect("maps");
        assert_eq!(notes, ["3 bytes after the end ignored", "cart[0].price: Decimal became text"]);
    }

    #[test]
    fn a_session_beyond_the_limit_is_refused() {
        let half = text(&"x".repeat(9 << 20));
        let why =
            map_loaded(loaded("app.Session", &[("a", half.clone()), ("b", half)])).expect_err("refused");
        assert!(why.contains("16777152 bytes"), "{why}");
    }
}
