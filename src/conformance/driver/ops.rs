//! What each op of the protocol does.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::vectors::{hex, unhex};
use super::json::{Failure, change, finding, number, session, session_of, time};
use crate::check::{self, Event};
use crate::error::Error;
use crate::marker::{Durability, Marker};
use crate::names::{self, EntryType, Key, Naming, SessionId, SessionRef};
use crate::open::{Options, init};
use crate::record::{Session, decode_record, encode_record};
use crate::store::{DirectoryStore, SessionStore};
use crate::sweep::SweepOptions;
use crate::time::UnixMillis;

type Done = Result<Value, Failure>;

thread_local! {
    /// What the request that this thread carries out is to take for now.
    static NOW: Cell<Option<UnixMillis>> = const { Cell::new(None) };
}

fn now() -> UnixMillis {
    NOW.get().unwrap_or_else(UnixMillis::now)
}

/// A store that is open, and how it was opened.
struct Opened {
    store: DirectoryStore,
    dir: PathBuf,
    options: Options,
}

/// What the driver has open and keeps.
#[derive(Default)]
pub(super) struct State {
    stores: Mutex<HashMap<String, Arc<Opened>>>,
    /// Sessions by store and by the name that `as` gave them.
    kept: Mutex<HashMap<(String, String), Session>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn opened(&self, request: &Value) -> Result<Arc<Opened>, Failure> {
        let name = request["store"].as_str().unwrap_or_default();
        lock(&self.stores)
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::Request("no such store is open".to_owned()))
    }

    fn keep(&self, request: &Value, session: Session) {
        if let Some(name) = request["as"].as_str() {
            lock(&self.kept).insert(kept_as(request, name), session);
        }
    }

    fn kept(&self, request: &Value) -> Result<Session, Failure> {
        let name = text(request, "as")?;
        let kept = lock(&self.kept).get(&kept_as(request, name)).cloned();
        kept.ok_or_else(|| Failure::Request(format!("no session was kept as {name}")))
    }
}

fn kept_as(request: &Value, name: &str) -> (String, String) {
    (request["store"].as_str().unwrap_or_default().to_owned(), name.to_owned())
}

fn text<'a>(request: &'a Value, key: &str) -> Result<&'a str, Failure> {
    request[key].as_str().ok_or_else(|| Failure::Request(format!("no `{key}`")))
}

fn naming(request: &Value) -> Naming {
    if request["naming"] == "hashed" { Naming::Hashed } else { Naming::Plain }
}

fn options() -> Options {
    Options::new().clock(now)
}

fn wait(request: &Value) -> Option<Duration> {
    request["wait_ms"].as_u64().map(Duration::from_millis)
}

/// The session that a request is about.
fn reference(request: &Value) -> Result<SessionRef, Failure> {
    match request["key"].as_str() {
        Some(key) => {
            let key = Key::from_hex(key.as_bytes()).ok_or_else(|| Failure::Request("no key".to_owned()))?;
            Ok(key.into())
        }
        None => Ok(SessionId::new(text(request, "id")?)?.into()),
    }
}

/// The bytes that are given as `text` or as `hex`.
fn given(request: &Value) -> Result<Vec<u8>, Failure> {
    match request["hex"].as_str() {
        Some(digits) => Ok(unhex(digits)),
        None => Ok(text(request, "text")?.as_bytes().to_vec()),
    }
}

/// Carries out a request.
pub(super) fn perform(state: &State, request: &Value) -> Done {
    NOW.set(request.get("now").map(time).transpose()?);
    let op = text(request, "op")?;
    match op {
        "hello" => Ok(hello()),
        "name" => name(request),
        "classify" => classify(request),
        "decode" => decode(request),
        "encode" => {
            let record = encode_record(number(&request["seq"])?, &session_of(&request["session"])?)?;
            Ok(json!({ "record": hex(&record) }))
        }
        "init" => {
            let durability =
                if request["durability"] == "process" { Durability::Process } else { Durability::Power };
            init(text(request, "dir")?, &options().naming(naming(request)).durability(durability))?;
            Ok(json!({}))
        }
        "open" => open(state, request),
        "close" => {
            lock(&state.stores).remove(request["store"].as_str().unwrap_or_default());
            Ok(json!({}))
        }
        _ => on_a_store(state, &*state.opened(request)?, op, request),
    }
}

fn hello() -> Value {
    json!({
        "protocol": 1,
        "implementation": "sessiondir",
        "version": env!("CARGO_PKG_VERSION"),
        "language": "rust",
        "classes": ["reader", "writer", "collector", "checker"],
        // No `fork`: a program with threads that forks and goes on is not what Rust's library is made for.
        "features": [
            "name", "classify", "decode", "encode", "init", "list", "threads", "stores", "int64", "bytes",
            "negative-zero", "float", "empty-map",
        ],
        "lock": "process",
    })
}

fn name(request: &Value) -> Done {
    let id = SessionId::new(given(request)?)?;
    let d = id.key();
    let digits = d.to_hex();
    let byte = u32::from_str_radix(&digits[2..10], 16).unwrap_or_default() & 0x7fff_ffff;
    let file = u8::from_str_radix(&digits[..2], 16).unwrap_or_default() & 0x3f;
    Ok(json!({
        "d": digits, "shown": id.to_string(), "lock": format!("{file:02x}"), "byte": byte.to_string(),
    }))
}

fn classify(request: &Value) -> Done {
    let kind = match text(request, "type")? {
        "regular" => EntryType::Regular,
        "directory" => EntryType::Directory,
        _ => EntryType::Other,
    };
    let class = names::classify(&given(request)?, kind, naming(request));
    Ok(json!({ "class": class.name() }))
}

fn decode(request: &Value) -> Done {
    let record = fs::read(text(request, "path")?).map_err(|error| Failure::Request(error.to_string()))?;
    let (seq, decoded) = decode_record(&record)?;
    let reference = decoded.reference().cloned().ok_or_else(|| Failure::Request("no session".to_owned()))?;
    let naming = if reference.id().is_some() { Naming::Plain } else { Naming::Hashed };
    // The checker looks at files: at one that holds this record only.
    let size = (record.len() + 32).next_power_of_two().max(4096);
    let base = if seq % 2 == 1 { size } else { 0 };
    let mut file = vec![0; 2 * size];
    file[base..base + record.len()].copy_from_slice(&record);
    let marker = Marker::new(naming, Durability::Power);
    let name = reference.file_name(naming).ok_or_else(|| Failure::Request("no name".to_owned()))?;
    let found = check::findings_in(&file, &marker, &name, decoded.accessed());
    let found = found.iter().filter_map(|found| Some((found, found.offset?))).map(|(found, offset)| {
        let mut shown = finding(found);
        shown["offset"] = (offset - base as u64).into();
        if let Some(members) = shown.as_object_mut() {
            members.remove("path");
        }
        shown
    });
    Ok(json!({
        "seq": seq.to_string(), "session": session(&decoded, naming), "findings": found.collect::<Vec<_>>(),
    }))
}

fn open(state: &State, request: &Value) -> Done {
    let name = request["store"].as_str().unwrap_or_default();
    // Whatever was open under that name is closed first, also where this one does not open.
    lock(&state.stores).remove(name);
    let dir = text(request, "dir")?;
    let mut options = options();
    if let Some(wait) = wait(request) {
        options = options.patience(wait);
    }
    let store = options.open(dir)?;
    let marker = store.marker();
    let answer = json!({
        "naming": marker.naming.word(), "durability": marker.durability.word(), "writable": marker.is_writable(),
    });
    lock(&state.stores).insert(name.to_owned(), Arc::new(Opened { store, dir: dir.into(), options }));
    Ok(answer)
}

fn on_a_store(state: &State, opened: &Opened, op: &str, request: &Value) -> Done {
    let store = &opened.store;
    let show = |shown: &Session| session(shown, store.marker().naming);
    match op {
        "load" => {
            let loaded = store.load(&reference(request)?)?;
            let shown = loaded.as_ref().map(show);
            if let Some(loaded) = loaded {
                state.keep(request, loaded);
            }
            Ok(json!({ "session": shown }))
        }
        "list" => {
            let (mut sessions, mut failed) = (Vec::new(), 0_u64);
            for listed in store.iter_sessions()? {
                match listed {
                    Ok(listed) => sessions.push(show(&listed)),
                    Err(_) => failed += 1,
                }
            }
            Ok(json!({ "sessions": sessions, "failed": failed.to_string() }))
        }
        "create" => {
            let mut new = Session::at(now(), now());
            change(&mut new, &request["changes"])?;
            let id = store.create(&mut new)?.expose().to_owned();
            state.keep(request, new);
            Ok(json!({ "id": id }))
        }
        "save" => {
            let mut kept = state.kept(request)?;
            change(&mut kept, &request["changes"])?;
            store.save(&mut kept)?;
            let shown = show(&kept);
            state.keep(request, kept);
            Ok(json!({ "session": shown }))
        }
        "update" => Ok(json!({ "session": show(&update(store, request)?) })),
        "touch" => Ok(json!({ "written": store.touch(&reference(request)?)? })),
        "delete" => Ok(json!({ "existed": store.delete(&reference(request)?)? })),
        "rotate" => {
            let mut kept = state.kept(request)?;
            change(&mut kept, &request["changes"])?;
            let id = store.rotate(&mut kept)?.expose().to_owned();
            state.keep(request, kept);
            Ok(json!({ "id": id }))
        }
        "sweep" => {
            let idle = request.get("idle_ms").map(number).transpose()?.map(Duration::from_millis);
            let swept = store.sweep(&SweepOptions { idle, ..SweepOptions::default() })?;
            Ok(json!({ "deleted": swept.removed.to_string(), "failed": swept.failed.to_string() }))
        }
        "check" => check(&opened.dir),
        "worker" => worker(store, request),
        "fork" => Err(Failure::Skipped("a Rust program does not fork and go on")),
        "lock" | "unlock" => Err(Failure::Request(format!("`{op}` takes a thread"))),
        _ => Err(Failure::Request(format!("no op {op}"))),
    }
}

fn check(dir: &Path) -> Done {
    let mut findings = Vec::new();
    check::check(dir, &options(), &mut |event| {
        if let Event::Finding(found) = event {
            findings.push(finding(found));
        }
    })?;
    Ok(json!({ "findings": findings }))
}

/// What an update's own function refuses is carried past the store, whose errors have no place for it.
fn update(store: &DirectoryStore, request: &Value) -> Result<Session, Failure> {
    let mut refused = None;
    let updated = store.update(&reference(request)?, &mut |current| {
        change(current, &request["changes"]).map_err(|failure| match failure {
            Failure::Store(error) => error,
            other => {
                refused = Some(other);
                Error::Reentrant
            }
        })
    });
    match refused {
        Some(failure) => Err(failure),
        None => Ok(updated?),
    }
}

/// Runs `within` under a session's lock.
pub(super) fn update_locked(state: &State, request: &Value, within: &mut dyn FnMut()) -> Result<(), Failure> {
    NOW.set(request.get("now").map(time).transpose()?);
    let opened = state.opened(request)?;
    let reference = reference(request)?;
    let mut hold = |store: &DirectoryStore| {
        store.update(&reference, &mut |_| {
            within();
            Ok(())
        })
    };
    match wait(request) {
        // Another handle with another patience: they share the locks.
        Some(wait) => hold(&opened.options.clone().patience(wait).open(&opened.dir)?)?,
        None => hold(&opened.store)?,
    };
    Ok(())
}

fn worker(store: &DirectoryStore, request: &Value) -> Done {
    let ids = request["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = ids.iter().filter_map(Value::as_str).map(|id| SessionId::new(id).map(SessionRef::from));
    let ids: Vec<SessionRef> = ids.collect::<Result<_, _>>()?;
    let count = |key: &str| request[key].as_u64().ok_or_else(|| Failure::Request(format!("no `{key}`")));
    let (times, threads) = (count("times")?, count("threads")?);
    let increment = |reference: &SessionRef| {
        loop {
            let done = store.update(reference, &mut |session| {
                let sum = session.get::<i64>("n")?.unwrap_or(0) + 1;
                Ok(session.insert("n", &sum)?)
            });
            if !matches!(done, Err(Error::Busy { .. })) {
                return done.map(drop);
            }
        }
    };
    let work = || (0..times).zip(ids.iter().cycle()).try_for_each(|(_, reference)| increment(reference));
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            thread.join().map_err(|_| Failure::Request("a thread panicked".to_owned()))??;
        }
        Ok(json!({ "done": (times * threads).to_string() }))
    })
}
