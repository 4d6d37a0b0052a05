//! JSON and the format; times; what other programs have put into a session.

use std::fs;

use ciborium::Value as Cbor;
use serde_json::json;
use sessiondir::UnixMillis;
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::Id;

use super::support::time;
use super::{Both, NAMINGS, after, record, told, vector};

#[tokio::test]
async fn json_comes_back_as_it_was() {
    let values = json!({
        "null": null, "true": true, "false": false,
        "0": 0, "-1": -1, "max": i64::MAX, "min": i64::MIN, "u32": u32::MAX,
        "two": 2.0, "minus nought": -0.0, "tenth": 0.1, "most": f64::MAX, "least": f64::MIN_POSITIVE,
        "2^63": 9_223_372_036_854_775_808.0,
        "": "", "text": "\u{0}\u{e9}\u{1f980}\"\\", "key with \u{e9} and\nline": 1, "long": "x".repeat(100_000),
        "list": [], "map": {}, "mixed": [1, 1.0, "1", [null, {"b": 2, "a": [1.5]}]],
    });
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut made = record([]);
        made.data = serde_json::from_value(values.clone()).expect("a map");
        both.tower.create(&mut made).await.expect("created");
        let loaded = both.tower.load(&made.id).await.expect("loads").expect("is there");
        assert_eq!(loaded, made);
        // Equal, and of the same kind.
        assert!(loaded.data["two"].is_f64() && loaded.data["u32"].is_u64());
        assert!(loaded.data["minus nought"].as_f64().is_some_and(f64::is_sign_negative));
        both.fixture.assert_clean();
    }
}

#[tokio::test]
async fn the_formats_own_values_are_what_other_programs_see() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([("int", json!(2)), ("float", json!(2.0)), ("map", json!({"n": [1]}))]);
    both.tower.create(&mut made).await.expect("created");
    let session = both.session(made.id);
    let stored: Vec<_> = session.attributes().collect();
    let expected: [(&str, &[u8]); 3] =
        [("int", &[0x02]), ("map", &[0xa1, 0x61, b'n', 0x81, 0x01]), ("float", &[0xf9, 0x40, 0x00])];
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn what_the_format_cannot_hold_is_refused_by_its_key() {
    let mut deep = json!(1);
    for _ in 0..31 {
        deep = json!([deep]);
    }
    let refused = [
        ("big", json!(u64::MAX), "big: an integer outside"),
        ("over", json!(9_223_372_036_854_775_808_u64), "over: an integer outside"),
        ("inner", json!({"a": [0, u64::MAX]}), "inner.a[1]: an integer outside"),
        ("deep", deep, "deep[0]"),
        ("fat", json!("x".repeat(16 << 20)), "too-large: "),
    ];
    for (key, value, message) in refused {
        let both = Both::new(NAMINGS[0]);
        let mut bad = record([(key, value.clone())]);
        let id = bad.id;
        let (kind, text) = told(both.tower.create(&mut bad).await, id);
        assert!(kind == "encode" && text.contains(message), "{kind}: {text}");
        assert!(!both.file(id).exists());

        let mut made = record([("n", json!(1))]);
        both.tower.create(&mut made).await.expect("created");
        let mut changed = made.clone();
        changed.data.insert("n".to_owned(), json!(2));
        changed.data.insert(key.to_owned(), value);
        let (kind, text) = told(both.tower.save(&changed).await, made.id);
        assert!(kind == "encode" && text.contains(message), "{kind}: {text}");
        assert_eq!(both.tower.load(&made.id).await.expect("loads"), Some(made), "all or nothing");
    }
}

/// Byte strings, NaN and infinities: not shown, and not lost.
#[tokio::test]
async fn what_json_cannot_say_is_hidden_and_stays() {
    let hidden = [
        ("bytes", Cbor::Bytes(vec![0xff, 0])),
        ("nan", Cbor::Float(f64::NAN)),
        ("infinity", Cbor::Float(f64::NEG_INFINITY)),
        ("list", Cbor::Array(vec![Cbor::Integer(1.into()), Cbor::Float(f64::NAN)])),
        ("map", Cbor::Map(vec![(Cbor::Text("b".into()), Cbor::Bytes(vec![]))])),
    ];
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut made = record([("n", json!(1)), ("gone", json!(true))]);
        both.tower.create(&mut made).await.expect("created");
        both.change(made.id, |session| {
            for (key, value) in &hidden {
                session.insert(key, value).expect("fits");
            }
        });
        let mut loaded = both.tower.load(&made.id).await.expect("loads").expect("is there");
        assert_eq!(loaded, made);

        loaded.data.remove("gone");
        loaded.data.insert("n".to_owned(), json!(2));
        both.tower.save(&loaded).await.expect("saved");
        let session = both.session(made.id);
        assert_eq!(session.attributes().len(), hidden.len() + 1);
        for (key, value) in &hidden {
            let stored: Cbor = session.get(key).expect("a value").expect("is there");
            // NaN equals nothing.
            assert_eq!(format!("{stored:?}"), format!("{value:?}"), "{key}");
        }

        // What the application sets itself is set.
        loaded.data.insert("nan".to_owned(), json!(0));
        both.tower.save(&loaded).await.expect("saved");
        assert_eq!(both.tower.load(&made.id).await.expect("loads"), Some(loaded));
    }
}

#[tokio::test]
async fn the_rest_of_the_record_stays() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut made = record([("n", json!(1))]);
        both.tower.create(&mut made).await.expect("created");
        both.change(made.id, |session| {
            session.set_user("ada").expect("a text");
            session.set_addr("192.0.2.1").expect("an address");
            session.push_token("token").expect("a token");
            session.set_csrf("csrf").expect("a token");
            session.set_idle(Some(std::time::Duration::from_secs(3600))).expect("in range");
        });
        let before = both.session(made.id);
        made.data.clear();
        both.tower.save(&made).await.expect("saved");
        let session = both.session(made.id);
        assert_eq!(session.attributes().len(), 0);
        assert_eq!(session.user::<String>(), Ok(Some("ada".to_owned())));
        assert_eq!((session.addr(), session.csrf()), (Some("192.0.2.1"), Some("csrf")));
        assert_eq!(session.tokens().collect::<Vec<_>>(), ["token"]);
        assert_eq!((session.idle(), session.created()), (before.idle(), before.created()));
        assert_eq!(session.rev(), before.rev() + 1);
    }
}

/// Entries that a later version of the format may have.
#[tokio::test]
async fn unknown_entries_stay() {
    let both = Both::new(NAMINGS[0]);
    fs::write(both.file(Id(0)), vector("unknown-key-in-slot-1.session")).expect("written");
    let mut loaded = both.tower.load(&Id(0)).await.expect("loads").expect("is there");
    loaded.data.insert("n".to_owned(), json!("changed"));
    both.tower.save(&loaded).await.expect("saved");
    let bytes = fs::read(both.file(Id(0))).expect("read");
    let current = &bytes[..4096];
    let has = |what: &[u8]| current.windows(what.len()).any(|window| window == what);
    assert!(has(b"changed") && has(b"dzoneax"), "the new record has the unknown entry");
}

#[tokio::test]
async fn a_save_that_changes_nothing_writes_nothing() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([("n", json!(2.0)), ("list", json!([1, "x"]))]);
    both.tower.create(&mut made).await.expect("created");
    let before = fs::read(both.file(made.id)).expect("read");
    both.tower.save(&made).await.expect("saved");
    assert_eq!(fs::read(both.file(made.id)).expect("read"), before);
    assert_eq!(both.session(made.id).rev(), 1);
}

/// The whole map comes with each save: the later one counts. Said in the module's documentation.
#[tokio::test]
async fn of_two_saves_the_later_counts() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([]);
    both.tower.create(&mut made).await.expect("created");
    let (mut one, mut other) = (made.clone(), made.clone());
    one.data.insert("one".to_owned(), json!(1));
    other.data.insert("other".to_owned(), json!(2));
    both.tower.save(&one).await.expect("saved");
    both.tower.save(&other).await.expect("saved");
    assert_eq!(both.tower.load(&made.id).await.expect("loads"), Some(other));
}

#[tokio::test]
async fn no_session_lives_longer_than_it_is_to() {
    let ns = Duration::nanoseconds;
    let last = UnixMillis::MAX;
    let cases = [
        (after(1000), after(1000)),
        (after(1000) + ns(1), after(1000)),
        (after(1000) + ns(999_999), after(1000)),
        (after(1000) - ns(1), after(999)),
        // A date with an offset is the same moment.
        (after(5).to_offset(time::UtcOffset::from_hms(5, 30, 0).expect("an offset")), after(5)),
    ];
    for naming in NAMINGS {
        let both = Both::new(naming);
        for (asked, stored) in cases {
            let mut made = record([]);
            made.expiry_date = asked;
            both.tower.create(&mut made).await.expect("created");
            let loaded = both.tower.load(&made.id).await.expect("loads").expect("is there");
            assert_eq!(loaded.expiry_date, stored);
            made.expiry_date = asked;
            both.tower.save(&made).await.expect("saved");
            assert_eq!(both.session(made.id).rev(), 1, "the same date, rounded");
        }
        // The ends of the format's range, and what is before them.
        let latest = OffsetDateTime::new_utc(time::Date::MAX, time::Time::MAX);
        let mut made = record([]);
        made.expiry_date = latest;
        both.tower.create(&mut made).await.expect("created");
        assert_eq!(both.session(made.id).expires(), Some(last));
        for early in [
            OffsetDateTime::UNIX_EPOCH - ns(1),
            OffsetDateTime::new_utc(time::Date::MIN, time::Time::MIDNIGHT),
        ] {
            let mut made = record([]);
            made.expiry_date = early;
            both.tower.create(&mut made).await.expect("created");
            assert_eq!(both.tower.load(&made.id).await.expect("loads"), None);
        }
    }
}

#[tokio::test]
async fn a_session_that_never_expires_is_shown_with_the_last_date() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([]);
    both.tower.create(&mut made).await.expect("created");
    both.change(made.id, |session| session.set_expires(None));
    let loaded = both.tower.load(&made.id).await.expect("loads").expect("is there");
    assert_eq!(loaded.expiry_date.year(), 9999);
    // And that date is one that the format has.
    both.tower.save(&loaded).await.expect("saved");
    assert_eq!(both.session(made.id).expires(), Some(time(253_402_300_799_999)));
}
