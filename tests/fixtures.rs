//! The vectors under fixtures/, run against the public interface.

mod support;

#[path = "../examples/fixtures/mod.rs"]
mod generator;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sessiondir::check::Finding;
use sessiondir::marker::MarkerError;
use sessiondir::names::{EntryType, classify};
use sessiondir::record::{decode_record, encode_record};
use sessiondir::rule::Fault;
use sessiondir::{
    DirectoryStore, Durability, Error, Marker, Naming, Session, SessionId, SessionRef, SessionStore,
    UnixMillis,
};
use support::vectors::{self, bytes, cases, number, text, time};
use support::{at, findings, options, typed};

/// The session that a record without a name of its own is filed under.
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn fault(class: &str, fault: Fault) -> Value {
    json!({ "class": class, "rule": fault.rule.id(), "offset": fault.offset })
}

/// An error as the manifest writes it.
fn error_json(error: &Error) -> Value {
    match error.fault() {
        Some(broken) => fault(error.class().name(), broken),
        None => json!({ "class": error.class().name() }),
    }
}

/// A finding as the manifest writes it; in a directory, with its path.
fn finding_json(finding: &Finding, with_path: bool) -> Value {
    let mut out = json!({
        "finding": finding.kind.name(),
        "rule": finding.rule.id(),
        "severity": finding.severity().name(),
    });
    if with_path {
        out["path"] = json!(finding.place.path(false));
    }
    if let Some(offset) = finding.offset {
        out["offset"] = json!(offset);
    }
    out
}

/// Findings come in no order.
fn sorted(findings: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut all: Vec<_> = findings.into_iter().map(|finding| finding.to_string()).collect();
    all.sort();
    all
}

fn expected_findings(case: &Value) -> Vec<String> {
    sorted(case["findings"].as_array().expect("a list").iter().cloned())
}

/// What the manifest expects of a session, without what the crate's interface does not show.
fn expected_session(value: &Value) -> Value {
    let mut value = typed::expand(value);
    value.as_object_mut().expect("a session").remove("other");
    value
}

/// What loading a session came to, as the manifest writes it.
fn outcome(loaded: Result<Option<Session>, Error>, naming: Naming) -> Value {
    match loaded {
        Ok(Some(session)) => json!({ "result": "valid", "value": typed::session(&session, naming) }),
        Ok(None) => json!({ "result": "absent" }),
        Err(error) => json!({ "result": "invalid", "error": error_json(&error) }),
    }
}

fn expected_outcome(case: &Value) -> Value {
    match text(case, "result") {
        "valid" => json!({ "result": "valid", "value": expected_session(&case["value"]) }),
        "absent" => json!({ "result": "absent" }),
        _ => json!({ "result": "invalid", "error": case["error"] }),
    }
}

/// A store of each naming and durability, in which file after file is put.
struct Stores {
    tmp: tempfile::TempDir,
}

impl Stores {
    fn new() -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        for naming in [Naming::Plain, Naming::Hashed] {
            for durability in [Durability::Power, Durability::Process] {
                let path = Self::path_in(tmp.path(), naming, durability);
                let options = sessiondir::Options::new().naming(naming).durability(durability);
                sessiondir::init(path, &options).expect("a store");
            }
        }
        Stores { tmp }
    }

    fn path_in(tmp: &Path, naming: Naming, durability: Durability) -> PathBuf {
        tmp.join(format!("{}-{}", naming.word(), durability.word()))
    }

    /// Loads and checks a session whose file holds `bytes`.
    fn judge(
        &self,
        (naming, durability): (Naming, Durability),
        id: &SessionId,
        bytes: &[u8],
        now: UnixMillis,
    ) -> (Result<Option<Session>, Error>, Vec<Finding>) {
        let path = Self::path_in(self.tmp.path(), naming, durability);
        let name = match naming {
            Naming::Plain => id.expose().to_owned(),
            Naming::Hashed => id.key().to_hex(),
        };
        vectors::write(&path.join(&name), bytes, 0o600);
        let store = options(now).open(&path).expect("a store");
        let loaded = store.load(&SessionRef::from(id));
        let found = findings(&path, now);
        fs::remove_file(path.join(name)).expect("removed");
        (loaded, found)
    }
}

#[test]
fn the_manifest_is_what_its_schema_says() {
    let schema: Value =
        serde_json::from_slice(&vectors::fixture("manifest.schema.json")).expect("the schema is JSON");
    let refuse = |what: &str, schema: &Value, instance: &Value| {
        let validator = jsonschema::draft202012::new(schema).expect("a schema");
        let errors: Vec<_> =
            validator.iter_errors(instance).take(5).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}");
    };
    refuse("manifest.json", &schema, vectors::manifest());
    let listing = json!({ "$ref": "#/$defs/listing", "$defs": schema["$defs"] });
    for case in cases("directory") {
        let path = text(case, "file");
        let instance = serde_json::from_slice(&vectors::fixture(path)).expect("JSON");
        refuse(path, &listing, &instance);
    }
}

#[test]
fn there_are_enough_cases_and_no_two_of_one_id() {
    let mut ids = BTreeSet::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for case in vectors::all_cases() {
        assert!(ids.insert(text(case, "id")), "{} is there twice", case["id"]);
        *kinds.entry(text(case, "kind")).or_default() += 1;
        if let Some(file) = case["file"].as_str() {
            let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str());
            assert_eq!(stem, case["id"].as_str(), "a file is named after its case");
        }
    }
    println!("{kinds:?}");
    assert!(ids.len() >= 200, "only {} cases", ids.len());
    for kind in ["record", "file", "name", "lock", "marker", "directory"] {
        assert!(kinds.get(kind).is_some_and(|count| *count >= 10), "too few of kind {kind}: {kinds:?}");
    }
}

fn files_under(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            files_under(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

#[test]
fn the_files_are_those_of_the_manifest() {
    let mut there = BTreeSet::new();
    files_under(&at("fixtures"), "", &mut there);
    for by_hand in ["README.md", "manifest.json", "manifest.schema.json"] {
        assert!(there.remove(by_hand), "fixtures/{by_hand} is missing");
    }
    let named: BTreeSet<String> =
        vectors::all_cases().iter().filter_map(|case| case["file"].as_str().map(str::to_owned)).collect();
    let (no_case, no_file): (Vec<_>, Vec<_>) =
        (there.difference(&named).collect(), named.difference(&there).collect());
    assert!(
        no_case.is_empty() && no_file.is_empty(),
        "without a case: {no_case:?}; without a file: {no_file:?}"
    );
}

#[test]
fn the_files_are_those_that_the_generator_makes() {
    let made = generator::all();
    for (path, bytes) in &made {
        let committed = fs::read(at("fixtures").join(path)).unwrap_or_default();
        assert!(committed == *bytes, "fixtures/{path} is not what `cargo run --example fixtures` writes");
    }
    let mut there = BTreeSet::new();
    files_under(&at("fixtures"), "", &mut there);
    let extra: Vec<_> = there
        .iter()
        .filter(|path| !made.contains_key(*path) && *path != "README.md" && *path != "manifest.schema.json")
        .collect();
    assert!(extra.is_empty(), "not made by the generator: {extra:?}");
}

/// Exercises REC-13.
#[test]
fn records() {
    let mut snapshot = String::new();
    for case in cases("record") {
        let (id, bytes) = (text(case, "id"), bytes(case));
        let decoded = decode_record(&bytes);
        match (text(case, "result"), decoded) {
            ("valid", Ok((seq, session))) => {
                let naming = if case["value"].get("id").is_some() { Naming::Plain } else { Naming::Hashed };
                assert_eq!(seq, number(case, "seq"), "{id}");
                assert_eq!(typed::session(&session, naming), expected_session(&case["value"]), "{id}");
                assert_eq!(typed::session_of_record(&bytes), typed::expand(&case["value"]), "{id}");
                let again = encode_record(seq, &session).expect("encodes");
                assert!(again == bytes, "{id}: decoded and encoded, its bytes are others");
                let _ = writeln!(snapshot, "{id}: record {seq} {}", typed::body_of_record(&bytes));
            }
            ("invalid", Err(error)) => {
                assert_eq!(error_json(&error), case["error"], "{id}");
                let _ = writeln!(snapshot, "{id}: {error}");
            }
            (_, decoded) => panic!("{id}: {decoded:?}"),
        }
    }
    insta::assert_snapshot!("records", snapshot);
}

/// What a record is by itself, it is in a file: its rule, and its offset from where it starts there.
#[test]
fn records_in_files() {
    let stores = Stores::new();
    // Not so late that anything is ahead, nor expired: that is for the cases of kind `file`.
    let now = UnixMillis::from_millis(1_735_689_600_000).expect("in range");
    // Up to REC-8 the answer depends on what else is in the slot.
    let envelope: BTreeSet<String> = (1..=8).map(|n| format!("REC-{n}")).collect();
    let mut count = 0;
    for case in cases("record") {
        let (id, record) = (text(case, "id"), bytes(case));
        if case["error"]["rule"].as_str().is_some_and(|rule| envelope.contains(rule)) {
            continue;
        }
        count += 1;
        let valid = text(case, "result") == "valid";
        let odd = valid && number(case, "seq") % 2 == 1;
        let size = (record.len() + 32).next_power_of_two().max(4096);
        let mut file = vec![0; 2 * size];
        let base = if odd { size } else { 0 };
        file[base..base + record.len()].copy_from_slice(&record);
        let of_its_bytes = |found: Vec<Finding>| {
            sorted(found.iter().filter(|f| f.offset.is_some()).map(|f| finding_json(f, false)))
        };
        let shifted = |finding: &Value| {
            let mut finding = finding.clone();
            finding["offset"] = json!(finding["offset"].as_u64().expect("an offset") + base as u64);
            finding
        };
        if valid && case["value"].get("key").is_some() {
            // A file of that name needs no ID to be checked, which these keys need not have.
            let name = text(&case["value"], "key");
            let path = Stores::path_in(stores.tmp.path(), Naming::Hashed, Durability::Power);
            vectors::write(&path.join(name), &file, 0o600);
            let found = findings(&path, now);
            fs::remove_file(path.join(name)).expect("removed");
            assert_eq!(of_its_bytes(found), expected_findings(case), "{id}");
            continue;
        }
        let name = case["value"]["id"].as_str().unwrap_or(ID);
        let plain = (Naming::Plain, Durability::Power);
        let (loaded, found) = stores.judge(plain, &support::id(name), &file, now);
        let expected = if valid {
            case["findings"].as_array().expect("a list").iter().map(shifted).collect::<Vec<_>>()
        } else {
            let error = &case["error"];
            assert_eq!(error_json(&loaded.expect_err("an error")), *error, "{id}");
            vec![json!({
                "finding": error["class"], "rule": error["rule"], "severity": "error", "offset": error["offset"],
            })]
        };
        assert_eq!(of_its_bytes(found), sorted(expected), "{id}");
    }
    assert!(count > 200, "only {count} records");
}

#[test]
fn files() {
    let stores = Stores::new();
    let mut snapshot = String::new();
    for case in cases("file") {
        let (id, bytes) = (text(case, "id"), bytes(case));
        let (naming, durability) = (vectors::naming(case), vectors::durability(case));
        let session = support::id(text(case, "session_id"));
        let (loaded, found) = stores.judge((naming, durability), &session, &bytes, time(case, "now"));
        let _ = write!(snapshot, "{id} ({}, {}): ", naming.word(), durability.word());
        let _ = match &loaded {
            Ok(Some(session)) => writeln!(snapshot, "rev {} {session:?}", session.rev()),
            Ok(None) => writeln!(snapshot, "absent"),
            Err(error) => writeln!(snapshot, "{error}"),
        };
        for finding in &found {
            let _ = writeln!(snapshot, "    {finding}");
        }
        if text(case, "result") == "valid" {
            // The interface does not show which slot it was; the slot's own record does.
            let half = bytes.len() / 2;
            let from = if case["slot"] == 0 { 0 } else { half };
            let record = only_record(&bytes[from..from + half]);
            let (seq, _) = decode_record(record).expect("the current record");
            assert_eq!(seq, number(case, "seq"), "{id}");
            assert_eq!(typed::session_of_record(record), typed::expand(&case["value"]), "{id}");
        }
        assert_eq!(outcome(loaded, naming), expected_outcome(case), "{id}");
        assert_eq!(sorted(found.iter().map(|f| finding_json(f, false))), expected_findings(case), "{id}");
    }
    insta::assert_snapshot!("files", snapshot);
}

/// The record at the start of a slot, without what follows it.
fn only_record(slot: &[u8]) -> &[u8] {
    let Err(error) = decode_record(slot) else { return slot };
    let fault = error.fault().expect("a fault");
    assert_eq!(fault.rule.id(), "REC-8", "{error}");
    &slot[..fault.offset]
}

/// Exercises NAME-3.
#[test]
fn names() {
    let mut snapshot = String::new();
    for case in cases("name") {
        let (id, name) = (text(case, "id"), vectors::name(case));
        if text(case, "test") == "session-id" {
            match (text(case, "result"), SessionId::new(&name)) {
                ("valid", Ok(session)) => assert_eq!(session.expose().as_bytes(), name, "{id}"),
                ("invalid", Err(error)) => {
                    assert_eq!(error_json(&error), case["error"], "{id}");
                    let text = String::from_utf8_lossy(&name).into_owned();
                    assert!(text.is_empty() || !error.to_string().contains(&text), "{id}: {error}");
                }
                (_, got) => panic!("{id}: {got:?}"),
            }
            continue;
        }
        let kind = match text(case, "type") {
            "regular" => EntryType::Regular,
            "directory" => EntryType::Directory,
            _ => EntryType::Other,
        };
        let class = classify(&name, kind, vectors::naming(case));
        assert_eq!(class.name(), text(case, "class"), "{id}");
        let (naming, kind) = (text(case, "naming"), text(case, "type"));
        let _ = writeln!(snapshot, "{naming:6} {kind:9} {:14} {}", class.name(), name.escape_ascii());
    }
    insta::assert_snapshot!("names", snapshot);
}

#[test]
fn locks() {
    let mut snapshot = String::new();
    for case in cases("lock") {
        let session = support::id(text(case, "session_id"));
        let key = session.key();
        assert_eq!(key.to_hex(), text(case, "d"));
        assert_eq!(key.shown().to_string(), text(case, "shown"));
        assert_eq!(session.to_string(), text(case, "shown"));
        assert_eq!(format!(".lock/{:02x}", key.lock_file()), text(case, "lock_file"));
        assert_eq!(u64::from(key.lock_byte()), number(case, "byte"));
        let _ = writeln!(snapshot, "{key} .lock/{:02x} byte {}", key.lock_file(), key.lock_byte());
    }
    insta::assert_snapshot!("locks", snapshot);
}

#[test]
fn markers() {
    let mut snapshot = String::new();
    for case in cases("marker") {
        let (id, bytes) = (text(case, "id"), vectors::name(case));
        let parsed = Marker::parse(&bytes);
        let _ = writeln!(snapshot, "{id}: {parsed:?}");
        match (text(case, "result"), parsed) {
            ("valid", Ok(marker)) => {
                let said = json!({
                    "read": marker.read_version,
                    "write": marker.write_version,
                    "naming": marker.naming.word(),
                    "durability": marker.durability.word(),
                    "writable": marker.is_writable(),
                });
                assert_eq!(said, case["marker"], "{id}");
                assert!(bytes.starts_with(marker.text().as_bytes()), "{id}");
            }
            ("invalid", Err(MarkerError::Malformed(broken))) => {
                assert_eq!(fault("not-a-store", broken), case["error"], "{id}");
            }
            ("invalid", Err(MarkerError::Unsupported(_, broken))) => {
                assert_eq!(fault("unsupported", broken), case["error"], "{id}");
            }
            (_, parsed) => panic!("{id}: {parsed:?}"),
        }
    }
    insta::assert_snapshot!("markers", snapshot);
}

/// A directory that is removed with all that is in it, whatever modes a case gave it.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Exercises CHK-1, MARK-3, NAME-10.
#[test]
fn directories() {
    let mut snapshot = String::new();
    for case in cases("directory") {
        let id = text(case, "id");
        let listing: Value = serde_json::from_slice(&vectors::fixture(text(case, "file"))).expect("JSON");
        let tmp = scratch();
        let path = tmp.path().join("store");
        vectors::materialise(&listing, &path);
        let now = time(case, "now");
        let before = contents(&path);
        if text(case, "result") == "invalid" {
            let error = options(now).open(&path).expect_err("no store to be used");
            assert_eq!(error_json(&error), case["error"], "{id}");
            let shown = error.to_string().replace(path.to_str().expect("UTF-8"), "DIR");
            let _ = writeln!(snapshot, "{id}: {shown}");
            continue;
        }
        let store = options(now).open(&path).unwrap_or_else(|error| panic!("{id}: {error}"));
        let found = findings(&path, now);
        let _ = writeln!(snapshot, "{id}:");
        for finding in &found {
            let _ = writeln!(snapshot, "    {finding}");
        }
        assert_eq!(sorted(found.iter().map(|f| finding_json(f, true))), expected_findings(case), "{id}");
        for session in case["sessions"].as_array().expect("a list") {
            let reference = SessionRef::from(support::id(text(session, "session_id")));
            let naming = store.marker().naming;
            assert_eq!(
                outcome(store.load(&reference), naming),
                expected_outcome(session),
                "{id}: {reference:?}"
            );
        }
        assert_listed(&store, case, id);
        if !store.marker().is_writable() {
            let error = store.create(&mut Session::new()).expect_err("a store that is not to be changed");
            assert_eq!(error.class().name(), "unsupported", "{id}");
        }
        assert_eq!(contents(&path), before, "{id}: reading and checking change nothing");
    }
    insta::assert_snapshot!("directories", snapshot);
}

/// All that is in a directory: paths, types, modes, sizes and bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stat = path.symlink_metadata().expect("there");
        let bytes = if stat.is_file() { fs::read(&path).expect("readable") } else { vec![] };
        if stat.is_dir() {
            found.extend(contents(&path));
        }
        found.insert(path, (format!("{:?}", stat.permissions()), bytes));
    }
    found
}

/// Listing the sessions gives those that the case says can be read, and no other.
fn assert_listed(store: &DirectoryStore, case: &Value, id: &str) {
    let listed: BTreeSet<String> = store
        .iter_sessions()
        .expect("lists")
        .filter_map(Result::ok)
        .map(|session| session.reference().expect("stored").key().to_hex())
        .collect();
    let expected: BTreeSet<String> = case["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|session| session["result"] == "valid")
        .map(|session| support::id(text(session, "session_id")).key().to_hex())
        .collect();
    assert_eq!(listed, expected, "{id}");
}

/// A store that is given the session of a file as a new one writes that file, to the byte.
///
/// Exercises SLOT-4, SLOT-5.
#[test]
fn a_store_writes_the_files() {
    let stores = Stores::new();
    let mut sizes = BTreeSet::new();
    for case in cases("file") {
        let as_made = case["seq"] == "2" && case["value"]["rev"] == "1" && case["naming"] == "plain";
        // These have slots larger than need be, or something in the other slot.
        let bytes = bytes(case);
        let record = only_record_of(&bytes).filter(|_| as_made);
        let Some(record) =
            record.filter(|record| (record.len() + 32).next_power_of_two().max(4096) == bytes.len() / 2)
        else {
            continue;
        };
        let (_, mut session) = decode_record(record).expect("sound");
        let path = Stores::path_in(stores.tmp.path(), Naming::Plain, vectors::durability(case));
        let store = options(time(case, "now")).open(&path).expect("a store");
        let session_id = support::id(text(case, "session_id"));
        store.insert(&session_id, &mut session).expect("stored");
        let file = path.join(session_id.expose());
        assert!(fs::read(&file).expect("written") == bytes, "{}", case["id"]);
        fs::remove_file(file).expect("removed");
        sizes.insert(bytes.len());
    }
    assert_eq!(sizes, BTreeSet::from([8192, 16384]), "both sides of the limit");
}

/// The record of a file that has one, in slot 0, and zeros everywhere else.
fn only_record_of(file: &[u8]) -> Option<&[u8]> {
    let slot = file.get(..file.len() / 2)?;
    let end = decode_record(slot).err()?.fault().filter(|fault| fault.rule.id() == "REC-8")?.offset;
    let record = slot.get(..end)?;
    (decode_record(record).is_ok() && file[end..].iter().all(|byte| *byte == 0)).then_some(record)
}

/// A save keeps the bytes of the entries that it does not know and of the attributes that are not set.
///
/// Exercises REC-14, VAL-14, BODY-16.
#[test]
fn a_save_keeps_what_it_does_not_change() {
    let stores = Stores::new();
    let path = Stores::path_in(stores.tmp.path(), Naming::Plain, Durability::Power);
    let now = UnixMillis::from_millis(1_735_689_600_000).expect("in range");
    let store = options(now).open(&path).expect("a store");
    let mut with_other = 0;
    for case in cases("record") {
        let value = &case["value"];
        let wanted = value["id"] == ID && case.get("file").is_some() && value["rev"] == "1";
        if !wanted || value.get("expires").is_some() || value.get("idle").is_some() {
            continue;
        }
        let (seq, record) = (number(case, "seq"), bytes(case));
        if seq != 2 {
            continue;
        }
        let file = path.join(ID);
        let size = (record.len() + 64).next_power_of_two().max(4096);
        let mut bytes = record.clone();
        bytes.resize(2 * size, 0);
        vectors::write(&file, &bytes, 0o600);
        let mut session = store.load(&SessionRef::from(support::id(ID))).expect("loads").expect("is there");
        session.insert("set by this test", &1).expect("fits");
        store.save(&mut session).expect("saved");
        let written = fs::read(&file).expect("written");
        assert!(written.starts_with(&record), "{}: the older record stays as it was", case["id"]);
        let mut after = typed::session_of_record(only_record(&written[written.len() / 2..]));
        let data = after["data"].as_array_mut().expect("attributes");
        data.retain(|entry| entry[0] != "set by this test");
        let mut before = typed::expand(value);
        if data.is_empty() {
            after.as_object_mut().expect("a session").remove("data");
        }
        before["rev"] = json!("2");
        before["accessed"] = after["accessed"].clone();
        assert_eq!(after, before, "{}", case["id"]);
        with_other += usize::from(value.get("other").is_some());
        fs::remove_file(file).expect("removed");
    }
    assert!(with_other >= 3, "only {with_other} with entries that are not known");
}

#[test]
fn every_finding_that_can_be_staged_is() {
    let staged: BTreeSet<&str> = cases("directory")
        .iter()
        .filter_map(|case| case["findings"].as_array())
        .flatten()
        .map(|finding| text(finding, "finding"))
        .collect();
    for kind in sessiondir::check::FindingKind::ALL {
        // These need another user, or a writer at work.
        let elsewhere = ["owner", "unreadable", "busy"].contains(&kind.name());
        assert_ne!(staged.contains(kind.name()), elsewhere, "{}", kind.name());
    }
}
