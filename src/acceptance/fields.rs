//! What a session holds survives, bit for bit.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Case, Outcome, Stores, create, equal, good, must, same, there};
use crate::names::SessionRef;
use crate::record::{Session, TOKENS_MAX};
use crate::store::SessionStore;
use crate::time::UnixMillis;

pub(super) const CASES: &[Case] = &[
    ("fields", fields),
    ("fields-at-their-limits", limits),
    ("fields-removed", removed),
    ("typed-attributes", typed),
    ("numbers", numbers),
    ("attributes-set-and-removed", attributes),
    ("large-sessions", large),
];

const SURVIVES: &str = "what a session holds survives, bit for bit";

/// Stores it in every way that there is, and looks each time.
fn survives(stores: &Stores<'_>, session: &Session) -> Outcome {
    let (store, other) = (stores.open()?, stores.open()?);
    let mut created = session.clone();
    let id = create(&*store, &mut created)?;
    same(SURVIVES, &there(SURVIVES, &*other, &id)?, &created)?;

    let mut saved = Session::new();
    let id = create(&*store, &mut saved)?;
    saved.take_content(session);
    good("`save` saves", store.save(&mut saved))?;
    same(SURVIVES, &there(SURVIVES, &*other, &id)?, &saved)?;
    super::same_content(SURVIVES, &saved, session)?;

    let id = create(&*store, &mut Session::new())?;
    let updated = store.update(&id, &mut |stored| {
        *stored = session.clone();
        Ok(())
    });
    let updated = good("`update` updates", updated)?;
    same(SURVIVES, &there(SURVIVES, &*other, &id)?, &updated)?;
    super::same_content(SURVIVES, &updated, session)?;
    listed(&*other, &id, &updated)
}

fn listed(store: &dyn SessionStore, id: &SessionRef, expected: &Session) -> Outcome {
    for session in good("`iter_sessions` lists", store.iter_sessions())? {
        let session = good("`iter_sessions` lists", session)?;
        if session.reference().map(SessionRef::key) == Some(id.key()) {
            return same("`iter_sessions` gives what is stored", &session, expected);
        }
    }
    must("`iter_sessions` gives what is stored", false, || "it is not among them".to_owned())
}

/// A session in which everything is set.
fn full() -> Outcome<Session> {
    let start = UnixMillis::now();
    let mut session = Session::at(start, start);
    session.set_expires(Some(start.plus(Duration::from_millis(86_400_001))));
    let clause = "it is a value";
    good(clause, session.set_idle(Some(Duration::from_millis(7_200_003))))?;
    good(clause, session.set_user(&BTreeMap::from([("name", "ada"), ("role", "")])))?;
    good(clause, session.set_addr("2001:db8::7"))?;
    good(clause, session.push_token("first"))?;
    good(clause, session.push_token("second"))?;
    good(clause, session.set_csrf("csrf"))?;
    good(clause, session.insert("cart", &vec![("A-1", 2), ("B-7", 1)]))?;
    good(clause, session.insert("", &"the empty key"))?;
    good(clause, session.insert("ключ \u{0}\n\"", &"\u{0}\u{1f980}"))?;
    Ok(session)
}

fn fields(stores: &Stores<'_>) -> Outcome {
    survives(stores, &full()?)?;
    let store = stores.open()?;
    // Times to the millisecond, long ago and far ahead.
    for (created, accessed) in [(0, 0), (1, 1_000_000_000_001), (1_700_000_000_999, 1_700_000_001_000)] {
        let at = |ms| UnixMillis::from_millis(ms).unwrap_or(UnixMillis::MAX);
        let mut session = Session::at(at(created), at(accessed));
        session.set_expires(Some(UnixMillis::MAX));
        let id = create(&*store, &mut session)?;
        let loaded = there(SURVIVES, &*store, &id)?;
        equal(SURVIVES, &(loaded.created(), loaded.accessed()), &(at(created), at(accessed)))?;
        equal(SURVIVES, &loaded.expires(), &Some(UnixMillis::MAX))?;
    }
    Ok(())
}

fn limits(stores: &Stores<'_>) -> Outcome {
    let clause = "it is a value";
    let mut session = Session::new();
    good(clause, session.set_idle(Some(Duration::from_millis(UnixMillis::MAX.as_millis()))))?;
    good(clause, session.set_addr(&"a".repeat(crate::record::ADDR_MAX)))?;
    good(clause, session.set_csrf(&"c".repeat(crate::record::TOKEN_MAX)))?;
    for number in 0..TOKENS_MAX {
        good(clause, session.push_token(&format!("{number:0>128}")))?;
    }
    let mut deep = ciborium::Value::from(0);
    for _ in 0..30 {
        deep = ciborium::Value::Array(vec![deep]);
    }
    good(clause, session.insert("deep", &deep))?;
    good(clause, session.insert(&"k".repeat(1000), &1))?;
    survives(stores, &session)
}

fn removed(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = full()?;
    let id = create(&*store, &mut session)?;
    let removals: [fn(&mut Session); 8] = [
        |session| session.set_expires(None),
        |session| drop(session.set_idle(None)),
        Session::clear_user,
        |session| {
            session.remove_token("first");
        },
        |session| {
            session.remove_token("second");
        },
        Session::clear_csrf,
        |session| {
            session.remove("cart");
        },
        Session::clear,
    ];
    for (revision, remove) in (2..).zip(removals) {
        remove(&mut session);
        good("`save` saves", store.save(&mut session))?;
        let clause = "what is removed from a session is gone from the store";
        let loaded = there(clause, &*store, &id)?;
        same(clause, &loaded, &session)?;
        equal("a removal is a change", &loaded.rev(), &revision)?;
    }
    must("what is removed from a session is gone from the store", !session.has_info(), || {
        "something is left".to_owned()
    })
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Typed {
    none: Option<u8>,
    some: Option<String>,
    unit: (),
    yes: bool,
    list: Vec<(i64, f64, char)>,
    map: BTreeMap<String, Kind>,
    nested: Box<Option<Typed>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Of(u32),
    With { text: String },
}

fn typed(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let value = |nested| Typed {
        none: None,
        some: Some("\u{e9}".to_owned()),
        unit: (),
        yes: true,
        list: vec![(i64::MIN, -0.0, 'x'), (i64::MAX, 0.1, '\u{1f980}')],
        map: BTreeMap::from([
            ("a".to_owned(), Kind::Plain),
            ("b".to_owned(), Kind::Of(7)),
            ("c".to_owned(), Kind::With { text: String::new() }),
        ]),
        nested: Box::new(nested),
    };
    let mut session = Session::new();
    good("it is a value", session.insert("typed", &value(Some(value(None)))))?;
    good("it is a value", session.set_user(&value(None)))?;
    let id = create(&*store, &mut session)?;
    let loaded = there(SURVIVES, &*store, &id)?;
    equal(SURVIVES, &good(SURVIVES, loaded.get::<Typed>("typed"))?, &Some(value(Some(value(None)))))?;
    equal(SURVIVES, &good(SURVIVES, loaded.user::<Typed>())?, &Some(value(None)))?;
    survives(stores, &session)
}

fn numbers(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let ints = [i64::MIN, -4_294_967_297, -25, -24, -1, 0, 23, 24, 255, 256, 65_536, 4_294_967_296, i64::MAX];
    let floats =
        [0.0, -0.0, 1.0, 1.5, 0.1, 65_504.0, 1e300, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
    let mut session = Session::new();
    let clause = "it is a value";
    good(clause, session.insert("ints", &ints))?;
    good(clause, session.insert("floats", &floats))?;
    good(clause, session.insert("nan", &f64::NAN))?;
    // A float stays one, where it could be an integer too.
    good(clause, session.insert("two", &2.0))?;
    good(clause, session.insert("bytes", &ciborium::Value::Bytes(vec![0, 255, 10])))?;
    let id = create(&*store, &mut session)?;
    let loaded = there(SURVIVES, &*store, &id)?;
    equal(SURVIVES, &get::<Vec<i64>>(&loaded, "ints")?[..], &ints[..])?;
    let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    equal(SURVIVES, &bits(&get::<Vec<f64>>(&loaded, "floats")?), &bits(&floats))?;
    must(SURVIVES, get::<f64>(&loaded, "nan")?.is_nan(), || "NaN is a number now".to_owned())?;
    equal(SURVIVES, &get::<ciborium::Value>(&loaded, "two")?, &ciborium::Value::Float(2.0))?;
    equal(SURVIVES, &get::<ciborium::Value>(&loaded, "bytes")?, &ciborium::Value::Bytes(vec![0, 255, 10]))?;
    survives(stores, &session)
}

fn get<T: DeserializeOwned>(session: &Session, key: &str) -> Outcome<T> {
    match good(SURVIVES, session.get(key))? {
        Some(value) => Ok(value),
        None => Err(super::Broken { clause: SURVIVES, seen: format!("the attribute {key:?} is absent") }),
    }
}

/// Against a model, so that no order of additions and removals is special.
fn attributes(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    let id = create(&*store, &mut session)?;
    let mut model = BTreeMap::new();
    let mut random = 1u64;
    for step in 0..100u64 {
        for _ in 0..4 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key =
                "k".repeat(usize::try_from(random >> 61).unwrap_or(0)) + &(random >> 40 & 7).to_string();
            if (random >> 33).is_multiple_of(4) {
                session.remove(&key);
                model.remove(&key);
            } else {
                good("it is a value", session.insert(&key, &step))?;
                model.insert(key, step);
            }
        }
        good("`save` saves", store.save(&mut session))?;
        session = there(SURVIVES, &*store, &id)?;
        let mut seen = BTreeMap::new();
        for (key, _) in session.attributes() {
            seen.insert(key.to_owned(), get::<u64>(&session, key)?);
        }
        equal(SURVIVES, &seen, &model)?;
    }
    Ok(())
}

/// A session grows and shrinks.
fn large(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    let id = create(&*store, &mut session)?;
    for size in [10, 3_000, 5_000, 100_000, 1 << 20, 40_000, 4_000, 0, 70_000] {
        let text: String =
            (0..size).map(|at: usize| char::from(b'a' + u8::try_from(at % 25).unwrap_or(0))).collect();
        good("it is a value", session.insert("text", &text))?;
        good("`save` saves, whatever the size", store.save(&mut session))?;
        let loaded = there(SURVIVES, &*stores.open()?, &id)?;
        same(SURVIVES, &loaded, &session)?;
        equal(SURVIVES, &get::<String>(&loaded, "text")?.len(), &size)?;
    }
    Ok(())
}
