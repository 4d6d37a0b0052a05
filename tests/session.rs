//! Sessions and their attributes: SPEC.md section 7, through the public types.

use std::collections::BTreeMap;
use std::time::Duration;

use ciborium::Value;
use serde::{Deserialize, Serialize};
use sessiondir::error::{ErrorClass, ValueErrorKind};
use sessiondir::record::{RECORD_MAX, decode_record, encode_record};
use sessiondir::{DirectoryStore, Naming, Options, Session, SessionId, SessionRef, SessionStore, UnixMillis};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    owner: Option<String>,
    items: Vec<(String, u32, f64)>,
    #[serde(with = "bytes")]
    blob: Vec<u8>,
}

/// Bytes as a byte string, as the crate `serde_bytes` does it.
mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        ciborium::Value::deserialize(from)?.into_bytes().map_err(|_| serde::de::Error::custom("no bytes"))
    }
}

#[test]
fn attributes_are_typed() {
    let mut session = Session::new();
    let cart = Cart {
        owner: None,
        items: vec![("A-1".to_owned(), 2, 9.99), ("é".to_owned(), 0, -0.0)],
        blob: vec![0, 255],
    };
    session.insert("cart", &cart).expect("fits");
    assert_eq!(session.get::<Cart>("cart").expect("a cart"), Some(cart));
    assert_eq!(session.get::<Cart>("none").expect("absent"), None);
    assert!(session.get::<u8>("cart").is_err());
    assert_eq!(session.attributes().map(|(key, _)| key).collect::<Vec<_>>(), ["cart"]);
    assert!(session.contains("cart") && session.remove("cart") && !session.remove("cart"));
    session.insert("bb", &1).expect("fits");
    session.insert("a", &i64::MIN).expect("fits");
    session.insert("", &u64::MAX.wrapping_shr(1)).expect("fits");
    assert_eq!(
        session.attributes().map(|(key, _)| key).collect::<Vec<_>>(),
        ["", "a", "bb"],
        "shorter first"
    );
    session.clear();
    assert_eq!(session.attributes().len(), 0);
    assert!(!session.has_info());
}

/// What the format cannot hold is refused when it is inserted, with the place in the value.
#[test]
fn what_the_format_cannot_hold() {
    let mut session = Session::new();
    session.insert("kept", &1).expect("fits");
    let deep = |levels: usize| (0..levels).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
    session.insert("deep", &deep(30)).expect("30 and the two around it are 32");
    let cases: [(Value, ValueErrorKind, &str); 7] = [
        (
            deep(31),
            ValueErrorKind::Depth,
            "kept[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
        ),
        (Value::Integer(u64::MAX.into()), ValueErrorKind::IntegerRange, "kept"),
        (Value::serialized(&i128::MIN).expect("a value"), ValueErrorKind::IntegerRange, "kept"),
        (
            Value::Tag(0, Box::new(Value::Text("2025-01-01T00:00:00Z".to_owned()))),
            ValueErrorKind::Tag,
            "kept",
        ),
        (Value::Map(vec![(Value::from(1), Value::Null)]), ValueErrorKind::KeyNotText, "kept"),
        (
            Value::Map(vec![("k".into(), Value::Null), ("k".into(), Value::Null)]),
            ValueErrorKind::DuplicateKey,
            "kept.k",
        ),
        (
            Value::Array(vec![
                Value::Null,
                Value::Map(vec![("a b".into(), Value::Tag(1, Box::new(1.into())))]),
            ]),
            ValueErrorKind::Tag,
            "kept[1].a b",
        ),
    ];
    for (value, kind, path) in cases {
        let error = session.insert("kept", &value).expect_err("refused");
        assert_eq!((error.kind(), error.path()), (&kind, path));
        assert_eq!(session.get::<u32>("kept").expect("a number"), Some(1), "the old value stays");
    }
    assert_eq!(session.set_user(&Value::Null).expect_err("refused").kind(), &ValueErrorKind::Null);
    assert!(session.set_user(&deep(31)).is_ok(), "one around it");
    assert!(session.set_user(&deep(32)).is_err());
    let maps =
        |levels: usize| (0..levels).fold(Value::from(1), |inner, _| Value::Map(vec![("k".into(), inner)]));
    assert!(session.set_user(&maps(31)).is_ok());
    assert!(session.set_user(&maps(32)).is_err());
    let keys: BTreeMap<u32, u32> = BTreeMap::from([(1, 1)]);
    assert_eq!(session.insert("kept", &keys).expect_err("refused").kind(), &ValueErrorKind::KeyNotText);
}

#[test]
fn limits_of_the_other_fields() {
    let mut session = Session::new();
    for (length, fits) in [(0, false), (1, true), (64, true), (65, false)] {
        assert_eq!(session.set_addr(&"a".repeat(length)).is_ok(), fits, "{length}");
    }
    for (length, fits) in [(0, false), (1, true), (128, true), (129, false)] {
        assert_eq!(session.set_csrf(&"a".repeat(length)).is_ok(), fits, "{length}");
        assert_eq!(session.push_token(&"a".repeat(length)).is_ok(), fits, "{length}");
    }
    for n in 0..40 {
        session.push_token(&format!("token {n}")).expect("short");
    }
    let tokens: Vec<_> = session.tokens().map(str::to_owned).collect();
    assert_eq!((tokens.len(), tokens[0].as_str(), tokens[31].as_str()), (32, "token 8", "token 39"));
    assert!(session.remove_token("token 9") && !session.remove_token("token 9"));
    let max = UnixMillis::MAX.as_millis();
    for (millis, fits) in [(0, false), (1, true), (max, true), (max + 1, false)] {
        assert_eq!(session.set_idle(Some(Duration::from_millis(millis))).is_ok(), fits, "{millis}");
    }
    session.clear_csrf();
    assert_eq!((session.csrf(), session.addr().map(str::len)), (None, Some(64)));
}

/// What an application asks a session, and each answer by the one thing that makes it.
#[test]
fn whether_a_session_holds_anything() {
    type Change = fn(&mut Session);
    let changes: [(Change, bool); 6] = [
        (|s| s.set_user("ada").expect("fits"), true),
        (|s| s.push_token("t").expect("fits"), true),
        (|s| s.set_csrf("c").expect("fits"), true),
        (|s| s.insert("k", &1).expect("fits"), true),
        // How long it lives, and from where it came, is nothing that it holds.
        (|s| s.set_addr("127.0.0.1").expect("fits"), false),
        (|s| s.set_expires(Some(UnixMillis::MAX)), false),
    ];
    for (n, (change, holds)) in changes.into_iter().enumerate() {
        let mut session = Session::new();
        assert!(!session.has_info() && !session.has_user());
        change(&mut session);
        assert_eq!((session.has_info(), session.has_user()), (holds, n == 0), "{n}");
        session.clear_user();
        assert!(!session.has_user());
    }
}

/// Exercises REC-5, BODY-2, BODY-3.
#[test]
fn a_record_that_stands_alone_is_named_as_its_session_is_known() {
    let (store, mut session) = (sessiondir::MemoryStore::new(), Session::new());
    let id = store.create(&mut session).expect("created");
    let most = (1 << 53) - 1;
    for seq in [1, 2, most] {
        let record = encode_record(seq, &session).expect("encoded");
        let (read_seq, read) = decode_record(&record).expect("decoded");
        assert_eq!((read_seq, read.reference()), (seq, Some(&SessionRef::Id(id.clone()))));
    }
    let refused = |seq, session: &Session| encode_record(seq, session).expect_err("refused").class();
    assert_eq!(refused(0, &session), ErrorClass::InvalidValue);
    assert_eq!(refused(most + 1, &session), ErrorClass::TooLarge);
    assert_eq!(refused(1, &Session::new()), ErrorClass::InvalidValue);

    let tmp = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new().create(true).naming(Naming::Hashed);
    let hashed = options.open(tmp.path().join("s")).expect("a store");
    let id = hashed.create(&mut Session::new()).expect("created");
    let by_key = SessionRef::Key(id.key());
    let record = encode_record(1, &hashed.load(&by_key).expect("loads").expect("there")).expect("encoded");
    assert_eq!(decode_record(&record).expect("decoded").1.reference(), Some(&by_key));
}

/// Exercises REC-8.
#[test]
fn the_largest_record() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = Options::new().create(true).open(tmp.path().join("s")).expect("a store");
    let mut session = Session::new();
    let mut largest = 0;
    // Find the largest text that can be inserted, from above.
    for length in (RECORD_MAX - 2000..RECORD_MAX).rev() {
        if session.insert("big", &"x".repeat(length)).is_ok() {
            largest = length;
            break;
        }
    }
    assert!(largest > RECORD_MAX - 600, "{largest}: the bound is near the limit");
    let id = SessionRef::from(store.create(&mut session).expect("what can be inserted can be stored"));
    let loaded = store.load(&id).expect("loads").expect("is there");
    assert_eq!(loaded, session);
    let error = session.insert("more", &"x".repeat(1000)).expect_err("refused at once");
    assert!(matches!(error.kind(), ValueErrorKind::Room(_)), "{error}");
    // A user of that size, too.
    assert!(session.set_user(&"x".repeat(1000)).is_err());

    // At the codec: one byte more than the limit, with a digest that holds.
    let limit = padded_record(RECORD_MAX);
    assert_eq!(limit.len(), RECORD_MAX);
    decode_record(&limit).expect("at the limit");
    let error = decode_record(&padded_record(RECORD_MAX + 1)).expect_err("over it");
    assert_eq!(error.fault().map(|fault| fault.rule.id()), Some("REC-8"));
}

/// A record of `length` bytes, made without the crate's encoder.
fn padded_record(length: usize) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut record = b"\xd9\xd9\xf7\xda\x53\x45\x53\x44\x85\x01\x80\x02\x5a".to_vec();
    let body_len = length - record.len() - 4 - 34;
    record.extend(u32::try_from(body_len).expect("small").to_be_bytes());
    let mut body = b"\xa5\x62id\x76AAAAAAAAAAAAAAAAAAAAAA\x63rev\x01\x64data\xa1\x61x\x7a".to_vec();
    let tail = b"\x67created\x00\x68accessed\x00";
    let text = body_len - body.len() - 4 - tail.len();
    body.extend(u32::try_from(text).expect("small").to_be_bytes());
    body.extend(std::iter::repeat_n(b'x', text));
    body.extend(tail);
    record.extend(body);
    let digest = Sha256::digest(&record);
    record.extend([0x58, 0x20]);
    record.extend(digest);
    record
}

/// Exercises VAL-14, REC-13.
#[test]
fn the_bytes_of_what_is_not_set_stay() {
    // 2.0, -0.0, {}, [], bytes, 2^53+1, {"1": …}: what other languages cannot tell from something else.
    let values: [(&str, Value, &[u8]); 7] = [
        ("a", Value::Float(2.0), b"\xf9\x40\x00"),
        ("b", Value::Float(-0.0), b"\xf9\x80\x00"),
        ("c", Value::Map(vec![]), b"\xa0"),
        ("d", Value::Array(vec![]), b"\x80"),
        ("e", Value::Bytes(vec![1]), b"\x41\x01"),
        ("f", Value::from((1i64 << 53) + 1), b"\x1b\x00\x20\x00\x00\x00\x00\x00\x01"),
        ("g", Value::Map(vec![("1".into(), 2.into())]), b"\xa1\x611\x02"),
    ];
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store: DirectoryStore = Options::new().create(true).open(tmp.path().join("s")).expect("a store");
    let mut session = Session::new();
    for (key, value, _) in &values {
        session.insert(key, value).expect("fits");
    }
    let id = SessionRef::from(store.create(&mut session).expect("created"));
    for n in 0..3 {
        store.update(&id, &mut |s| Ok(s.insert("n", &n)?)).expect("updated");
        let loaded = store.load(&id).expect("loads").expect("is there");
        let encoded: BTreeMap<_, _> = loaded.attributes().collect();
        for (key, _, bytes) in &values {
            assert_eq!(encoded[key], *bytes, "{key}");
        }
        let record = encode_record(7, &loaded).expect("encodes");
        assert_eq!(decode_record(&record).expect("decodes"), (7, loaded));
    }
}

/// Exercises REC-1, REC-2, REC-3, REC-4, REC-5, REC-6, REC-7, REC-8. A record that ends early says where, wherever it ends.
#[test]
fn a_record_that_ends_anywhere() {
    // Of version 1, with two names in crit, seq 300 and a body of 30 bytes, which nobody gets to see.
    let parts: [(&[u8], &str); 9] = [
        (b"\xd9\xd9\xf7\xda\x53\x45\x53\x44", "REC-1"),
        (b"\x85", "REC-2"),
        (b"\x01", "REC-3"),
        (b"\x82", "REC-4"),
        (b"\x61a", "REC-4"),
        (b"\x64abcd", "REC-4"),
        (b"\x19\x01\x2c", "REC-5"),
        (b"\x58\x1e", "REC-6"),
        (&[0xff; 30], "REC-8"),
    ];
    let whole: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
    let fault = |bytes: &[u8]| {
        let fault = decode_record(bytes).expect_err("not whole").fault().expect("a fault");
        (fault.rule.id(), fault.offset)
    };
    let mut at = 0;
    for (bytes, rule) in parts {
        // Of a body that ends early it is the head that lies.
        let offset = if rule == "REC-8" { at - 2 } else { at };
        for length in at..at + bytes.len() {
            assert_eq!(fault(&whole[..length]), (rule, offset), "{length} bytes");
        }
        at += bytes.len();
    }
    // From there on it is the digest that is not there, or wrong.
    for length in 0..40 {
        assert_eq!(fault(&[&whole[..], &vec![0x58; length]].concat()), ("REC-7", at), "{length} more");
    }
}

/// Exercises NAME-4. No character says anything of the next one: 21,000 pairs are nearly all of the 4,096 that there are.
#[test]
fn generated_ids_are_random_in_every_bit() {
    let ids: Vec<SessionId> = (0..1000).map(|_| SessionId::generate().expect("random bytes")).collect();
    for apart in [1, 2, 7] {
        let pairs: std::collections::BTreeSet<(u8, u8)> = ids
            .iter()
            .flat_map(|id| {
                let text = id.expose().as_bytes();
                (1..22 - apart).map(move |at| (text[at], text[at + apart]))
            })
            .collect();
        // Of 14,000 pairs or more 3,960 differ on average, give or take 11.
        assert!(pairs.len() > 3800, "{} pairs of characters {apart} apart", pairs.len());
    }
    assert!(ids.iter().all(|id| !id.is_legacy()));
    let legacy = |length| SessionId::new("A".repeat(length)).expect("an ID").is_legacy();
    assert_eq!([11, 21, 22, 128].map(legacy), [true, true, false, false]);
    // The first has two bits.
    let first: std::collections::BTreeSet<u8> = ids.iter().map(|id| id.expose().as_bytes()[0]).collect();
    assert_eq!(first, (b'A'..=b'D').collect());
}

#[test]
fn nothing_secret_is_shown() {
    let mut session = Session::new();
    session.set_user("ada-the-user").expect("fits");
    session.insert("key-of-it", &"value-of-it").expect("fits");
    session.push_token("token-of-it").expect("fits");
    session.set_csrf("csrf-of-it").expect("fits");
    session.set_addr("192.0.2.1").expect("fits");
    let shown = format!("{session:?}");
    for secret in ["ada", "key-of", "value-of", "token-of", "csrf-of", "192.0.2.1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
