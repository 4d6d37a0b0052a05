//! Names: the grammar, the classifier and what is shown, against section 4 written again.

use sessiondir::check::Place;
use sessiondir::names::{EntryClass, EntryType, classify};
use sessiondir::{Error, Key, Naming, SessionId, SessionRef};
use sha2::{Digest, Sha256};

use crate::hex;

const ID_CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The property.
pub fn check(name: &[u8]) {
    session_id(name);
    for naming in [Naming::Plain, Naming::Hashed] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Other] {
            let class = classify(name, kind, naming);
            assert_eq!(class, class_of(name, kind, naming), "{kind:?} {naming:?} {}", name.escape_ascii());
        }
    }
    let place = Place::Entry(name.to_vec());
    assert_eq!(place.path(false), shown(name));
    assert_eq!(format!("{place:?}"), shown(name));
    assert_eq!(place.path(true), name.escape_ascii().to_string());
    match (Key::from_hex(name), is_key(name)) {
        (Some(key), true) => {
            assert_eq!(key.to_hex().as_bytes(), name);
            assert_eq!(Key::from_bytes(*key.as_bytes()), key);
        }
        (key, is_key) => assert!(key.is_none() && !is_key, "{}", name.escape_ascii()),
    }
}

fn is_id(name: &[u8]) -> bool {
    name.len() >= 11 && name.len() <= 128 && name.iter().all(|byte| ID_CHARS.contains(byte))
}

fn is_key(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(|byte| b"0123456789abcdef".contains(byte))
}

/// The table of section 4.4, row by row.
fn class_of(name: &[u8], kind: EntryType, naming: Naming) -> EntryClass {
    let is_name = |name: &[u8]| match naming {
        Naming::Plain => is_id(name),
        Naming::Hashed => is_key(name),
    };
    let temp_of = name.strip_prefix(b".tmp.");
    match (name, kind) {
        (b".sessiondir", EntryType::Regular) => EntryClass::Marker,
        (b".sessiondir.tmp", EntryType::Regular) => EntryClass::MarkerTemp,
        (b".lock", EntryType::Directory) => EntryClass::LockDirectory,
        (b".quarantine", EntryType::Directory) => EntryClass::Quarantine,
        (b".imports", EntryType::Regular) => EntryClass::Imports,
        (_, EntryType::Regular) if temp_of.is_some_and(is_name) => EntryClass::Temp,
        (_, EntryType::Regular) if is_name(name) => EntryClass::Session,
        _ => EntryClass::Foreign,
    }
}

fn session_id(name: &[u8]) {
    let id = match SessionId::new(name) {
        Ok(id) => id,
        Err(error) => {
            assert!(!is_id(name), "refused: {}", name.escape_ascii());
            assert!(matches!(error, Error::InvalidId));
            // NAME-2: it is the same text, whatever was refused.
            assert_eq!(error.to_string(), SessionId::new("").expect_err("no ID").to_string());
            return;
        }
    };
    assert!(is_id(name), "accepted: {}", name.escape_ascii());
    assert_eq!(id.expose().as_bytes(), name);
    assert_eq!(id.is_legacy(), name.len() < 22);
    assert_eq!(id.expose().parse::<SessionId>().expect("its own text"), id);

    let d: [u8; 32] = Sha256::digest(name).into();
    let key = id.key();
    assert_eq!(key.as_bytes(), &d);
    assert_eq!(Key::from_hex(hex(&d).as_bytes()), Some(key));
    // LOCK-2.
    assert_eq!(key.lock_file(), d[0] % 64);
    let byte = d[1..5].iter().fold(0u64, |sum, byte| sum * 256 + u64::from(*byte)) % (1 << 31);
    assert_eq!(u64::from(key.lock_byte()), byte);

    // NAME-8: whatever shows it shows this and no more.
    let expected = format!("#{}", &hex(&d)[..8]);
    assert_eq!(shown(name), expected);
    let reference = SessionRef::from(&id);
    let texts = [
        id.to_string(),
        format!("{id:?}"),
        key.to_string(),
        format!("{key:?}"),
        reference.shown().to_string(),
    ];
    assert!(texts.iter().all(|text| *text == expected), "{texts:?}");
    assert_eq!(format!("{reference:?}"), format!("Id({expected})"));
    assert_eq!(Place::Session(reference.clone()).path(false), expected);
    assert_eq!(Place::Session(reference.clone()).path(true).as_bytes(), name);
    assert_eq!(Place::Temp(reference).path(false), format!(".tmp.{expected}"));
}

/// How an entry is shown that is no session's (section 4.3).
fn shown(name: &[u8]) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|byte| ID_CHARS.contains(byte)).count();
        out.push(match first {
            _ if run >= 11 => format!("#{}", &hex(&Sha256::digest(&rest[..run]))[..8]),
            _ if run > 0 => String::from_utf8(rest[..run].to_vec()).expect("ASCII"),
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\\' | b'\'' | b'"' => format!("\\{}", char::from(*first)),
            b' '..=b'~' => char::from(*first).to_string(),
            other => format!("\\x{other:02x}"),
        });
        rest = &rest[run.max(1)..];
    }
    out.concat()
}
