//! The reference implementation's driver for the conformance kit, asked as the kit asks it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A time long ago, so that the system's clock is never taken for it.
const NOW: &str = "1735689600000";
/// What no driver takes for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running driver; it is killed with its test.
struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<Value>,
    requests: u64,
}

impl Driver {
    fn start() -> Driver {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessiondir"));
        command.arg("conformance-driver");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the driver starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (said, answers) = channel();
        thread::spawn(move || {
            for line in output.lines() {
                let answer = serde_json::from_str(&line.expect("UTF-8")).expect("an answer is JSON");
                if said.send(answer).is_err() {
                    break;
                }
            }
        });
        Driver { input: child.stdin.take(), child, answers, requests: 0 }
    }

    fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open");
        input.write_all(format!("{line}\n").as_bytes()).expect("the driver reads");
    }

    /// Sends a request, with a number of its own, which is returned.
    fn send(&mut self, mut request: Value) -> u64 {
        self.requests += 1;
        request["request"] = json!(self.requests);
        if request.get("now").is_none() {
            request["now"] = json!(NOW);
        }
        self.write(&request.to_string());
        self.requests
    }

    fn receive(&mut self) -> Value {
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    fn ask(&mut self, request: Value) -> Value {
        let number = self.send(request);
        let mut answer = self.receive();
        assert_eq!(answer["request"], number, "{answer}");
        answer.as_object_mut().expect("an object").remove("request");
        answer
    }

    /// The answer to what is to be done.
    fn done(&mut self, request: Value) -> Value {
        let answer = self.ask(request);
        assert!(answer["ok"].is_object(), "{answer}");
        answer["ok"].clone()
    }

    /// The class of the error that a request is answered with.
    fn class(&mut self, request: Value) -> String {
        let answer = self.ask(request);
        assert!(answer["error"]["message"].is_string(), "{answer}");
        answer["error"]["class"].as_str().expect("a class").to_owned()
    }

    /// What the driver says of a request that it cannot carry out.
    fn errored(&mut self, request: Value) -> String {
        let answer = self.ask(request);
        answer["errored"]["context"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Makes and opens a store, and returns its directory.
    fn open_new(&mut self, tmp: &tempfile::TempDir, naming: &str) -> PathBuf {
        let dir = tmp.path().join("sessions");
        self.done(json!({ "op": "init", "dir": dir, "naming": naming, "durability": "process" }));
        let opened = self.done(json!({ "op": "open", "dir": dir }));
        assert_eq!(opened, json!({ "naming": naming, "durability": "process", "writable": true }));
        dir
    }

    /// Makes a session and returns its ID.
    fn create(&mut self, changes: &Value) -> String {
        let made = self.done(json!({ "op": "create", "changes": changes }));
        made["id"].as_str().expect("an ID").to_owned()
    }

    fn load(&mut self, id: &str) -> Value {
        self.done(json!({ "op": "load", "id": id }))["session"].clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tmp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn it_says_what_it_is_and_ends_when_told() {
    let mut driver = Driver::start();
    let hello = driver.done(json!({ "op": "hello", "protocol": 1 }));
    assert_eq!(hello["protocol"], 1);
    assert_eq!(hello["classes"], json!(["reader", "writer", "collector", "checker"]));
    assert_eq!(hello["lock"], "process");
    // What it does not claim it skips.
    let fork = driver.ask(json!({ "op": "fork", "then": { "op": "close" } }));
    assert!(fork["skipped"]["reason"].is_string(), "{fork}");
    driver.done(json!({ "op": "stop" }));
    assert!(driver.child.wait().expect("it ends").success());

    let mut other = Driver::start();
    let number = other.send(json!({ "op": "hello", "protocol": 1 }));
    other.input = None;
    assert_eq!(other.receive()["request"], number, "what was asked before the end is answered");
    assert!(other.child.wait().expect("it ends").success());
}

#[test]
fn a_session_from_its_creation_to_its_end() {
    let (tmp, mut driver) = (tmp(), Driver::start());
    driver.open_new(&tmp, "plain");
    let values = json!([
        ["a", { "int": "9007199254740993" }],
        ["b", { "float": "-0.0" }],
        ["c", { "map": [] }],
        ["d", { "bytes": "00ff" }],
        ["e", { "float": "2.0" }],
        ["f", { "array": [{ "null": null }, { "bool": true }, { "map": [["k", { "float": "nan" }]] }] }],
    ]);
    let id = driver.create(&json!({
        "set": values, "user": { "text": "ada" }, "idle": "3600000", "expires": "1735776000000",
        "addr": "192.0.2.1", "csrf": "token", "tokens": ["one", "two"],
    }));
    assert_eq!(
        driver.load(&id),
        json!({
            "id": id, "rev": "1", "created": NOW, "accessed": NOW, "expires": "1735776000000", "idle": "3600000",
            "user": { "text": "ada" }, "addr": "192.0.2.1", "tokens": ["one", "two"], "csrf": "token",
            "data": values,
        })
    );
    let changes = json!({
        "set": [["z", { "text": "new" }]], "remove": ["a", "b", "c", "d", "e", "f"],
        "add": [["n", "-3"]], "user": null, "expires": null, "idle": null, "csrf": null, "tokens": ["three"],
    });
    let updated = driver
        .done(json!({ "op": "update", "id": id, "changes": changes, "now": "1735689601000" }))["session"]
        .clone();
    assert_eq!(
        updated,
        json!({
            "id": id, "rev": "2", "created": NOW, "accessed": "1735689601000", "addr": "192.0.2.1",
            "tokens": ["three"], "data": [["n", { "int": "-3" }], ["z", { "text": "new" }]],
        })
    );
    let touch = |now: &str| json!({ "op": "touch", "id": id, "now": now });
    assert_eq!(driver.done(touch("1735689602000")), json!({ "written": false }));
    assert_eq!(driver.done(touch("1735689800000")), json!({ "written": true }));
    assert_eq!(driver.load(&id)["accessed"], "1735689800000");
    assert_eq!(driver.load(&id)["rev"], "2");
    let removal = driver.ask(json!({ "op": "update", "id": id, "changes": { "addr": null } }));
    assert!(removal["skipped"]["reason"].is_string(), "{removal}");
    let delete = json!({ "op": "delete", "id": id });
    assert_eq!(driver.done(delete.clone()), json!({ "existed": true }));
    assert_eq!(driver.done(delete), json!({ "existed": false }));
    assert_eq!(driver.load(&id), Value::Null);
    assert_eq!(driver.class(json!({ "op": "update", "id": id, "changes": {} })), "gone");
    assert_eq!(driver.class(json!({ "op": "load", "id": "abcdefghij" })), "invalid-id");
}

/// Exercises WRITE-1, ROT-3.
#[test]
fn what_was_loaded_is_saved_or_refused() {
    let (tmp, mut driver) = (tmp(), Driver::start());
    let dir = driver.open_new(&tmp, "plain");
    let id = driver.create(&json!({ "csrf": "token" }));
    for name in ["first", "second"] {
        driver.done(json!({ "op": "load", "id": id, "as": name }));
    }
    let save =
        |name: &str| json!({ "op": "save", "as": name, "changes": { "set": [["by", { "text": name }]] } });
    assert_eq!(driver.done(save("first"))["session"]["rev"], "2");
    assert_eq!(driver.class(save("second")), "conflict");
    assert_eq!(driver.class(save("second")), "conflict", "it is still the one that was loaded");
    assert_eq!(driver.load(&id)["data"], json!([["by", { "text": "first" }]]));

    assert_eq!(driver.class(json!({ "op": "rotate", "as": "second", "changes": {} })), "conflict");
    let rotate = json!({ "op": "rotate", "as": "first", "changes": { "user": { "text": "ada" } } });
    let new = driver.done(rotate)["id"].as_str().expect("an ID").to_owned();
    assert_eq!(driver.load(&id), Value::Null);
    let rotated = driver.load(&new);
    assert_eq!(rotated["user"], json!({ "text": "ada" }));
    assert_eq!(rotated["data"], json!([["by", { "text": "first" }]]));
    assert_eq!(rotated.get("csrf"), None);

    // Two stores at once, of one directory.
    driver.done(json!({ "op": "open", "dir": dir, "store": "other" }));
    let there = driver.done(json!({ "op": "list", "store": "other" }));
    assert_eq!(there, json!({ "sessions": [rotated], "failed": "0" }));
    driver.done(json!({ "op": "close" }));
    assert!(driver.errored(json!({ "op": "list" })).contains("no store"));
    assert_eq!(driver.done(json!({ "op": "list", "store": "other" })), there);
}

/// Exercises LOCK-10.
#[test]
fn a_lock_that_one_thread_holds_is_busy_for_all_others() {
    let (tmp, mut holder, mut other) = (tmp(), Driver::start(), Driver::start());
    let dir = holder.open_new(&tmp, "plain");
    let id = holder.create(&json!({}));
    other.done(json!({ "op": "open", "dir": dir, "wait_ms": 0 }));
    let hold = |wait: u64| json!({ "op": "lock", "id": id, "thread": "a", "wait_ms": wait });
    let unlock = json!({ "op": "unlock", "id": id, "thread": "a" });
    let update = json!({ "op": "update", "id": id, "changes": { "add": [["n", "1"]] } });

    assert_eq!(holder.done(hold(0)), json!({}));
    assert_eq!(other.class(update.clone()), "busy");
    assert_eq!(other.class(hold(0)), "busy");
    let in_another_thread = json!({ "op": "lock", "id": id, "thread": "b", "wait_ms": 0 });
    assert_eq!(holder.class(in_another_thread), "busy");
    assert!(holder.errored(json!({ "op": "load", "id": id, "thread": "a" })).contains("unlock"));
    assert_eq!(holder.load(&id)["rev"], "1", "readers go on");

    // One who waits has it as soon as it is free.
    let waiting = other.send(hold(30_000));
    assert_eq!(holder.done(unlock.clone()), json!({}));
    assert_eq!(other.receive(), json!({ "request": waiting, "ok": {} }));
    let mut update_at_once = update.clone();
    update_at_once["thread"] = json!("c");
    let blocked = holder.send(update_at_once);
    assert_eq!(other.done(unlock), json!({}));
    let updated = holder.receive();
    assert_eq!(updated["request"], blocked);
    assert_eq!(updated["ok"]["session"]["rev"], "2", "holding a lock has written nothing");

    // Who ends lets go.
    other.done(hold(0));
    other.input = None;
    assert!(other.child.wait().expect("it ends").success());
    assert_eq!(holder.done(update)["session"]["rev"], "3");

    assert!(holder.errored(json!({ "op": "unlock", "id": id, "thread": "a" })).contains("no lock"));
    assert!(holder.errored(json!({ "op": "lock", "id": id })).contains("thread"));
    assert_eq!(holder.class(json!({ "op": "lock", "id": "A".repeat(22), "thread": "a" })), "gone");
}

#[test]
fn workers_of_two_processes_lose_nothing() {
    let (tmp, mut one, mut two) = (tmp(), Driver::start(), Driver::start());
    let dir = one.open_new(&tmp, "hashed");
    let ids: Vec<String> = (0..2).map(|_| one.create(&json!({}))).collect();
    two.done(json!({ "op": "open", "dir": dir, "wait_ms": 0 }));
    let work = json!({ "op": "worker", "ids": ids, "times": 20, "threads": 2 });
    let numbers = [one.send(work.clone()), two.send(work)];
    for (driver, number) in [&mut one, &mut two].into_iter().zip(numbers) {
        assert_eq!(driver.receive(), json!({ "request": number, "ok": { "done": "40" } }));
    }
    for id in &ids {
        let session = one.load(id);
        assert_eq!(session["data"], json!([["n", { "int": "40" }]]), "{session}");
        let by_key = one.done(json!({ "op": "load", "key": session["key"] }))["session"].clone();
        assert_eq!(by_key, session, "a store of naming hashed shows keys, and finds by them");
    }
}

#[test]
fn sweeps_and_checks() {
    let (tmp, mut driver) = (tmp(), Driver::start());
    let dir = driver.open_new(&tmp, "plain");
    driver.create(&json!({ "expires": "1735689600001" }));
    let idle = driver.create(&json!({}));
    let sweep = |driver: &mut Driver, idle: &str| {
        driver.done(json!({ "op": "sweep", "now": "1735689601000", "idle_ms": idle }))
    };
    assert_eq!(sweep(&mut driver, "1000"), json!({ "deleted": "1", "failed": "0" }), "the expired one");
    assert!(driver.load(&idle).is_object(), "not accessed for a second is not longer than a second");
    assert_eq!(sweep(&mut driver, "999"), json!({ "deleted": "1", "failed": "0" }));

    assert_eq!(driver.done(json!({ "op": "check" })), json!({ "findings": [] }));
    std::fs::write(dir.join("AAAAAAAAAAAAAAAAAAAAAA"), "no session").expect("written");
    let findings = driver.done(json!({ "op": "check" }))["findings"].clone();
    let corrupt = json!({
        "finding": "corrupt", "rule": "SLOT-1", "severity": "error", "path": "#8a5bdb4c", "offset": 0,
    });
    assert!(findings.as_array().is_some_and(|all| all.contains(&corrupt)), "{findings}");
    let fault = driver.ask(json!({ "op": "load", "id": "A".repeat(22) }))["error"].clone();
    assert_eq!([&fault["class"], &fault["rule"]], ["corrupt", "SLOT-1"], "{fault}");
    assert_eq!(sweep(&mut driver, "0"), json!({ "deleted": "0", "failed": "1" }));
    assert_eq!(driver.done(json!({ "op": "list" })), json!({ "sessions": [], "failed": "1" }));
}

/// Exercises REC-13.
#[test]
fn records_and_names_of_the_vectors() {
    let mut driver = Driver::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let manifest = std::fs::read(fixtures.join("manifest.json")).expect("there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let case = |id: &str| -> Value {
        let mut cases = manifest["cases"].as_array().expect("a list").iter();
        cases.find(|case| case["id"] == id).unwrap_or_else(|| panic!("no case {id}")).clone()
    };
    for id in ["int-0", "private-keys-with-any-value", "unknown-key-empty"] {
        let case = case(id);
        let path = fixtures.join(case["file"].as_str().expect("a file"));
        let decoded = driver.done(json!({ "op": "decode", "path": path }));
        let expected = json!({ "seq": case["seq"], "session": case["value"], "findings": case["findings"] });
        assert_eq!(decoded, expected, "{id}");
        let encode = json!({ "op": "encode", "session": case["value"], "seq": case["seq"] });
        let record = driver.done(encode)["record"].as_str().expect("digits").to_owned();
        let bytes = std::fs::read(path).expect("there");
        let pairs: Vec<_> = record.as_bytes().chunks(2).collect();
        assert_eq!(pairs.len(), bytes.len(), "{id}");
        let same = pairs.iter().zip(&bytes).all(|(pair, byte)| format!("{byte:02x}").as_bytes() == *pair);
        assert!(same, "{id}: {record}");
    }
    let lock = case("lock-1");
    let named = driver.done(json!({ "op": "name", "text": lock["session_id"] }));
    assert_eq!(named, json!({ "d": lock["d"], "shown": lock["shown"], "lock": "0a", "byte": lock["byte"] }));
    assert_eq!(driver.class(json!({ "op": "name", "hex": "ff" })), "invalid-id");
    let temp = json!({ "op": "classify", "naming": "plain", "type": "regular", "text": ".sessiondir" });
    assert_eq!(driver.done(temp), json!({ "class": "marker" }));
}

#[test]
fn what_is_no_request_is_answered_and_the_next_is_done() {
    let (tmp, mut driver) = (tmp(), Driver::start());
    for line in ["garbage", "", "[]", r#"{"op": "hello"}"#] {
        driver.write(line);
        let answer = driver.receive();
        assert_eq!(answer["request"], Value::Null, "{answer}");
        assert!(answer["errored"]["context"].is_string(), "{answer}");
    }
    assert!(driver.errored(json!({})).contains("`op`"));
    assert!(driver.errored(json!({ "op": "juggle" })).contains("juggle"));
    assert!(driver.errored(json!({ "op": "load", "id": "A".repeat(22) })).contains("no store"));
    driver.open_new(&tmp, "plain");
    for wrong in [
        json!({ "op": "create" }),
        json!({ "op": "create", "changes": { "colour": "red" } }),
        json!({ "op": "create", "changes": { "set": [["k", { "int": "1", "text": "1" }]] } }),
        json!({ "op": "create", "changes": { "set": [["k", { "bytes": "0g" }]] } }),
        json!({ "op": "create", "changes": { "add": [["k", 1]] } }),
        json!({ "op": "save", "as": "nobody", "changes": {} }),
        json!({ "op": "decode", "path": "/no/such/file" }),
        json!({ "op": "worker", "ids": [], "times": 1, "threads": 1 }),
        json!({ "op": "list", "now": "yesterday" }),
    ] {
        driver.errored(wrong);
    }
    for value in [
        json!({ "set": [["k", { "int": "9223372036854775808" }]] }),
        json!({ "set": [["k", { "map": [["a", { "null": null }], ["a", { "null": null }]] }]] }),
        json!({ "user": { "null": null } }),
        json!({ "expires": "253402300800000" }),
        json!({ "idle": "0" }),
        json!({ "csrf": "" }),
        json!({ "set": [["k", { "int": "9223372036854775807" }]], "add": [["k", "1"]] }),
        json!({ "set": [["k", { "text": "1" }]], "add": [["k", "1"]] }),
    ] {
        assert_eq!(driver.class(json!({ "op": "create", "changes": value })), "invalid-value", "{value}");
    }
    assert_eq!(driver.done(json!({ "op": "list" })), json!({ "sessions": [], "failed": "0" }));
}
