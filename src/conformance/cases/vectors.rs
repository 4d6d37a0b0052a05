//! The vectors of `fixtures/`: each as far as an implementation's classes go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::bench::Bench;
use super::super::case::{Case, Class, Failure, Outcome, done, ensure, failed, refused, same};
use super::super::protocol::Fault;
use super::super::vectors::{self, bytes, empty_store, expand, materialise, text, write};
use crate::names::SessionId;

/// Who is asked to read.
const READERS: &[Class] = &[Class::Reader, Class::Checker];

/// The session of a record that names none that could be told.
const SOME_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// When the records of the vectors are neither expired nor of the future.
const THEN: &str = "1735689600000";

pub(crate) fn cases() -> Vec<Case> {
    vectors::all().iter().flat_map(case).collect()
}

fn case(vector: &'static Value) -> Vec<Case> {
    let (kind, id) = (text(vector, "kind"), text(vector, "id"));
    let make = |group: &str, section, run: fn(&mut Bench<'_>, &Value) -> Outcome| Case {
        id: format!("{group}/{id}"),
        section,
        description: text(vector, "description").to_owned(),
        rules: vector["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        classes: READERS.to_vec(),
        also: None,
        features: Vec::new(),
        run: Box::new(move |bench| run(bench, vector)),
    };
    match kind {
        "record" => {
            let alone = make("record", "7 The record", record).needs(&["decode"]);
            let within =
                in_a_file(vector).then(|| make("record-in-a-file", "7 The record", record_in_a_file));
            std::iter::once(alone).chain(within).collect()
        }
        "file" => vec![make("file", "6 The session file", file)],
        "name" if text(vector, "test") == "classify" => {
            vec![make("name", "4 Names", classify).needs(&["classify"])]
        }
        "name" => {
            // Without the op `name` an ID can be tried by loading it, if it is text.
            let is_loaded = vector.get("text").is_some();
            let loaded = is_loaded.then(|| Case {
                classes: vec![Class::Reader],
                ..make("name-loaded", "4 Names", name_loaded)
            });
            std::iter::once(make("name", "4 Names", name).needs(&["name"])).chain(loaded).collect()
        }
        "lock" => vec![make("lock", "9 Locks", lock).needs(&["name"])],
        "marker" => vec![make("marker", "5 The directory", marker)],
        "directory" => vec![make("directory", "5 The directory", directory)],
        _ => panic!("no kind {kind}"),
    }
}

/// The result of loading or decoding, by the class of what went wrong, and for a checker by rule and offset.
fn judge_error(bench: &Bench<'_>, what: &str, expected: &Value, found: &Fault) -> Outcome {
    if bench.hello.is(Class::Checker) {
        // Where the vector names a class only, the rest is the implementation's own.
        let mut expected = expected.clone();
        for (key, own) in [("rule", json!(found.rule)), ("offset", json!(found.offset))] {
            if expected.get(key).is_none() {
                expected[key] = own;
            }
        }
        let (expected, found) =
            (&expected, json!({ "class": found.class, "rule": found.rule, "offset": found.offset }));
        return same(&format!("{what}: the error"), expected, &found);
    }
    Ok(())
}

/// Fails unless the session is that of the vector. One that does not show `other` need not (fixtures/README.md).
fn judge_session(what: &str, expected: &Value, found: &Value) -> Outcome {
    let (mut expected, found) = (expand(expected), expand(found));
    if let (None, Some(members)) = (found.get("other"), expected.as_object_mut()) {
        members.remove("other");
    }
    same(what, &expected, &found)
}

fn record(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let path = bench.path("record.cbor");
    write(&path, &bytes(vector), 0o600)?;
    let answer = bench.ask(json!({ "op": "decode", "path": path }))?;
    if text(vector, "result") == "invalid" {
        let fault = refused("`decode`", text(&vector["error"], "class"), answer)?;
        return judge_error(bench, "`decode`", &vector["error"], &fault);
    }
    let decoded = done("`decode`", answer)?;
    same("seq", &vector["seq"], &decoded["seq"])?;
    judge_session("the session", &vector["value"], &decoded["session"])?;
    if bench.grades(Class::Checker) {
        return judge_findings(&vector["findings"], &decoded["findings"], |finding| finding);
    }
    Ok(())
}

/// Whether the vector can stand in a session's file: up to REC-8 the answer depends on what else is in the slot, and the
/// ID behind a key is not always known.
fn in_a_file(vector: &Value) -> bool {
    let of_envelope =
        (1..=8).any(|number| vector["error"]["rule"].as_str() == Some(&*format!("REC-{number}")));
    !of_envelope && vector["value"].get("key").is_none()
}

/// The same record in the slot of its parity, where a reader finds it. fixtures/README.md says how.
fn record_in_a_file(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let record = bytes(vector);
    let is_odd = vector["seq"].as_str().is_some_and(|seq| seq.ends_with(['1', '3', '5', '7', '9']));
    let size = (record.len() + 32).next_power_of_two().max(4096);
    let base = if is_odd { size } else { 0 };
    let mut file = vec![0; 2 * size];
    file[base..base + record.len()].copy_from_slice(&record);
    let id = vector["value"]["id"].as_str().unwrap_or(SOME_ID);
    let store = bench.path("store");
    materialise(&empty_store("plain", "power"), &store)?;
    write(&store.join(id), &file, 0o600)?;
    let mut expected = vector.clone();
    if ends_by(&vector["value"], THEN) {
        expected["result"] = "absent".into();
    }
    let shift = |offset: &mut Value| *offset = json!(offset.as_u64().unwrap_or_default() + base as u64);
    if let Some(offset) = expected["error"].get_mut("offset") {
        shift(offset);
    }
    bench.ok(json!({ "op": "open", "dir": store }))?;
    if bench.grades(Class::Reader) {
        load(bench, id, THEN, &expected)?;
    }
    if bench.grades(Class::Checker) {
        let checked = bench.ok(json!({ "op": "check", "now": THEN }))?;
        for finding in expected["findings"].as_array_mut().into_iter().flatten() {
            shift(&mut finding["offset"]);
        }
        if text(vector, "result") == "invalid" {
            let error = &expected["error"];
            let finding = json!({
                "finding": error["class"], "rule": error["rule"], "severity": "error", "offset": error["offset"],
            });
            expected["findings"] = json!([finding]);
        }
        // Those of the ID or the clock are another vector's.
        let of_bytes: Vec<Value> =
            list(&checked["findings"]).filter(|finding| finding.get("offset").is_some()).cloned().collect();
        judge_findings(&expected["findings"], &json!(of_bytes), without_path)?;
    }
    Ok(())
}

/// Whether the session is expired then. TIME-1.
fn ends_by(session: &Value, now: &str) -> bool {
    let number = |digits: &str| digits.parse::<u64>().unwrap_or_default();
    let then = |key: &str| session[key].as_str().map(number);
    let since = number(now).saturating_sub(then("accessed").unwrap_or_default());
    then("expires").is_some_and(|end| end <= number(now)) || then("idle").is_some_and(|idle| since >= idle)
}

/// Loads a session, which has to come out as the vector says.
fn load(bench: &mut Bench<'_>, id: &str, now: &str, expected: &Value) -> Outcome {
    let answer = bench.ask(json!({ "op": "load", "id": id, "now": now }))?;
    match text(expected, "result") {
        "valid" => match (&expected["value"], done("`load`", answer)?["session"].take()) {
            (value, Value::Null) => same("the session", &expand(value), &Value::Null),
            (value, session) => judge_session("the session", value, &session),
        },
        "absent" => same("a session that is absent", &Value::Null, &done("`load`", answer)?["session"]),
        _ => {
            let fault = refused("`load`", text(&expected["error"], "class"), answer)?;
            judge_error(bench, "`load`", &expected["error"], &fault)
        }
    }
}

fn file(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let (id, now) = (text(vector, "session_id"), text(vector, "now"));
    let store = bench.path("store");
    materialise(&empty_store(text(vector, "naming"), text(vector, "durability")), &store)?;
    let session = SessionId::new(id).map_err(|error| Failure::Errored(error.to_string()))?;
    let name = if text(vector, "naming") == "plain" { id.to_owned() } else { session.key().to_hex() };
    write(&store.join(name), &bytes(vector), 0o600)?;
    let before = contents(&store)?;
    bench.ok(json!({ "op": "open", "dir": store }))?;
    if bench.grades(Class::Reader) {
        load(bench, id, now, vector)?;
    }
    if bench.grades(Class::Checker) {
        let checked = bench.ok(json!({ "op": "check", "now": now }))?;
        judge_findings(&vector["findings"], &checked["findings"], without_path)?;
        let paths: BTreeSet<&str> =
            list(&checked["findings"]).filter_map(|finding| finding["path"].as_str()).collect();
        let shown = session.to_string();
        ensure(paths.iter().all(|path| *path == shown), || {
            format!("findings are about {shown} (NAME-8), found some about {paths:?}")
        })?;
    }
    unchanged(&store, &before)
}

fn name(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let mut request = json!({ "op": "name" });
    let form = if vector.get("hex").is_some() { "hex" } else { "text" };
    request[form] = vector[form].clone();
    if text(vector, "result") == "valid" {
        return bench.ok(request).map(drop);
    }
    let fault = bench.refused(text(&vector["error"], "class"), request)?;
    not_repeated(vector, &fault)
}

/// NAME-2: what is no ID is not repeated.
fn not_repeated(vector: &Value, fault: &Fault) -> Outcome {
    let (given, message) =
        (vector["text"].as_str().unwrap_or_default(), fault.message.as_deref().unwrap_or_default());
    ensure(given.len() < 8 || !message.contains(given), || {
        "the error's message repeats the text (NAME-2)".to_owned()
    })
}

fn name_loaded(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let store = bench.path("store");
    materialise(&empty_store("plain", "power"), &store)?;
    let before = contents(&store)?;
    bench.ok(json!({ "op": "open", "dir": store }))?;
    let request = json!({ "op": "load", "id": vector["text"] });
    if text(vector, "result") == "valid" {
        same("a session that is not there", &Value::Null, &bench.ok(request)?["session"])?;
    } else {
        let fault = bench.refused(text(&vector["error"], "class"), request)?;
        not_repeated(vector, &fault)?;
    }
    unchanged(&store, &before)
}

fn classify(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let mut request = json!({ "op": "classify", "naming": vector["naming"], "type": vector["type"] });
    let form = if vector.get("hex").is_some() { "hex" } else { "text" };
    request[form] = vector[form].clone();
    same("the class", &vector["class"], &bench.ok(request)?["class"])
}

fn lock(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let found = bench.ok(json!({ "op": "name", "text": vector["session_id"] }))?;
    for key in ["d", "shown", "byte"] {
        same(key, &vector[key], &found[key])?;
    }
    let file = found["lock"].as_str().map(|digits| format!(".lock/{digits}"));
    same("the lock file", &vector["lock_file"], &json!(file))
}

fn marker(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let store = bench.path("store");
    materialise(&empty_store("plain", "power"), &store)?;
    let bytes = match vector.get("hex") {
        Some(_) => vectors::unhex(text(vector, "hex")),
        None => text(vector, "text").as_bytes().to_vec(),
    };
    write(&store.join(".sessiondir"), &bytes, 0o600)?;
    let before = contents(&store)?;
    let request = json!({ "op": "open", "dir": store });
    if text(vector, "result") == "valid" {
        let (opened, marker) = (bench.ok(request)?, &vector["marker"]);
        for key in ["naming", "durability"] {
            same(key, &marker[key], &opened[key])?;
        }
        // What a reader could write, nobody asks.
        if bench.hello.is(Class::Writer) {
            same("writable", &marker["writable"], &opened["writable"])?;
        }
    } else {
        let fault = bench.refused(text(&vector["error"], "class"), request)?;
        judge_error(bench, "`open`", &vector["error"], &fault)?;
    }
    unchanged(&store, &before)
}

fn directory(bench: &mut Bench<'_>, vector: &Value) -> Outcome {
    let (store, now) = (bench.path("store"), text(vector, "now"));
    materialise(&vectors::json_of(text(vector, "file")), &store)?;
    let before = contents(&store)?;
    let answer = bench.ask(json!({ "op": "open", "dir": store, "now": now }))?;
    if text(vector, "result") == "invalid" {
        let fault = refused("`open`", text(&vector["error"], "class"), answer)?;
        judge_error(bench, "`open`", &vector["error"], &fault)?;
        return unchanged(&store, &before);
    }
    let opened = done("`open`", answer)?;
    if bench.grades(Class::Reader) {
        for session in list(&vector["sessions"]) {
            load(bench, text(session, "session_id"), now, session)?;
        }
        if bench.hello.has("list") {
            let listed = bench.ok(json!({ "op": "list", "now": now }))?;
            let valid = list(&vector["sessions"]).filter(|session| session["result"] == "valid");
            let expected: Value = valid.map(|session| session["value"].clone()).collect();
            let (expected, found) = (by_name(&expected), by_name(&listed["sessions"]));
            ensure(expected.keys().eq(found.keys()), || {
                format!("`list`: expected {} sessions, found {}, or others", expected.len(), found.len())
            })?;
            for (name, value) in &expected {
                judge_session("a session in the list", value, found[name])?;
            }
        }
    }
    if bench.grades(Class::Checker) {
        let checked = bench.ok(json!({ "op": "check", "now": now }))?;
        judge_findings(&vector["findings"], &checked["findings"], |finding| finding)?;
    }
    if bench.grades(Class::Writer) && opened["writable"] == false {
        bench.refused("unsupported", json!({ "op": "create", "changes": {}, "now": now }))?;
    }
    unchanged(&store, &before)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn by_name(sessions: &Value) -> BTreeMap<&str, &Value> {
    list(sessions).filter_map(|s| Some((s["id"].as_str().or(s["key"].as_str())?, s))).collect()
}

fn without_path(mut finding: Value) -> Value {
    if let Some(members) = finding.as_object_mut() {
        members.remove("path");
    }
    finding
}

/// Findings as sets: those that are missing, and those that are too many.
fn judge_findings(expected: &Value, found: &Value, form: fn(Value) -> Value) -> Outcome {
    let set = |findings: &Value| -> BTreeSet<String> {
        list(findings).map(|finding| form(finding.clone()).to_string()).collect()
    };
    let (wanted, seen) = (set(expected), set(found));
    ensure(wanted == seen, || {
        let (missing, extra) = (wanted.difference(&seen), seen.difference(&wanted));
        let (missing, extra): (Vec<_>, Vec<_>) = (missing.collect(), extra.collect());
        format!("findings: missing {missing:?}, not expected {extra:?}")
    })?;
    // A set does not show what is reported twice.
    let (wanted, seen) = (list(expected).count(), list(found).count());
    ensure(wanted == seen, || format!("findings: expected {wanted}, found {seen}: some of them twice"))
}

/// All that is in a directory.
type Contents = BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>;

/// All that is in a directory: paths, types and modes, sizes, times of modification, and bytes.
fn contents(dir: &Path) -> io::Result<Contents> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stat = path.symlink_metadata()?;
        let bytes = if stat.is_file() { fs::read(&path)? } else { Vec::new() };
        if stat.is_dir() {
            found.extend(contents(&path)?);
        }
        found.insert(path, (stat.mode(), stat.mtime(), stat.mtime_nsec(), bytes));
    }
    Ok(found)
}

/// Fails unless the directory is as it was.
fn unchanged(dir: &Path, before: &Contents) -> Outcome {
    let now = contents(dir)?;
    for path in before.keys().chain(now.keys()) {
        if before.get(path) != now.get(path) {
            let name = path.strip_prefix(dir).unwrap_or(path);
            return failed(format!(
                "reading and checking change nothing (CHK-1), but {} is not as it was",
                name.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::Answer;
    use super::*;

    #[test]
    fn there_is_a_case_for_every_vector() {
        let cases = cases();
        let names: BTreeSet<&str> = cases.iter().filter_map(|case| case.id.split('/').nth(1)).collect();
        assert!(vectors::all().len() > 900);
        assert_eq!(names.len(), vectors::all().len());
    }

    #[test]
    fn findings_that_are_missing_superfluous_or_doubled_are_told() {
        let (a, b) = (json!({ "finding": "a" }), json!({ "finding": "b" }));
        let judge = |expected: Value, found: Value| judge_findings(&expected, &found, |finding| finding);
        assert_eq!(judge(json!([a, b]), json!([b, a])), Ok(()));
        for found in [json!([a]), json!([a, b, b]), json!([]), json!([b, a, { "finding": "c" }])] {
            assert!(judge(json!([a, b]), found.clone()).is_err(), "{found}");
        }
    }

    #[test]
    fn a_session_is_graded_without_what_a_reader_need_not_show() {
        let expected = json!({ "id": "x", "rev": "1", "other": [["a.b", { "int": "1" }]] });
        assert_eq!(judge_session("it", &expected, &json!({ "id": "x", "rev": "1" })), Ok(()));
        assert_eq!(judge_session("it", &expected, &expected), Ok(()));
        let wrong = json!({ "id": "x", "rev": "1", "other": [["a.b", { "int": "2" }]] });
        assert!(judge_session("it", &expected, &wrong).is_err());
        assert!(judge_session("it", &expected, &json!({ "id": "x", "rev": "2" })).is_err());
        let (zero, minus) = (json!({ "float": "0.0" }), json!({ "float": "-0.0" }));
        assert!(judge_session("it", &json!({ "user": zero }), &json!({ "user": minus })).is_err());
        assert_eq!(
            judge_session(
                "it",
                &json!({ "user": { "float": "1e3" } }),
                &json!({ "user": { "float": "1000.0" } })
            ),
            Ok(())
        );
    }

    #[test]
    fn unused_answers_are_no_success() {
        assert!(matches!(done("x", Answer::Skipped("no".to_owned())), Err(Failure::Skipped(_))));
        assert!(matches!(refused("x", "gone", Answer::Skipped("no".to_owned())), Err(Failure::Skipped(_))));
        assert!(matches!(refused("x", "gone", Answer::Ok(json!({}))), Err(Failure::Failed(_))));
    }
}
