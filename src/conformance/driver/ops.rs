//! What each op does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::check::{Event, check};
use crate::names::{EntryType, classify};
use crate::sweep::SweepOptions;
use crate::{DirectoryStore, Error, Options, Session, SessionId, SessionRef, SessionStore, UnixMillis, init};
use serde_json::{Value, json};

use super::changes::Changes;
use super::record::{self, finding_json};
use super::request::{Done, Fail, Request, number};
use super::typed;

thread_local! {
    /// The `now` of the request that this thread is carrying out. A store asks for the time on the thread that calls it.
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

impl Opened {
    fn session(&self, session: &Session) -> Done<Value> {
        typed::session(session, self.store.marker().naming)
    }
}

/// What the driver keeps from request to request.
#[derive(Default)]
pub(super) struct State {
    opened: Mutex<BTreeMap<String, Arc<Opened>>>,
    /// By the names of store and session.
    kept: Mutex<BTreeMap<(String, String), Session>>,
}

/// Nothing here is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The request's store. Who has it goes on with it, even where another thread closes it.
    fn opened(&self, request: &Request) -> Done<Arc<Opened>> {
        let opened = lock(&self.opened).get(request.store()).cloned();
        opened.ok_or_else(|| Fail::Bad(format!("no store {:?} is open", request.store())))
    }

    fn close(&self, request: &Request) {
        let closed = lock(&self.opened).remove(request.store());
        drop(closed);
    }

    /// Keeps a session under the name in `as`, if there is one.
    fn keep(&self, request: &Request, session: Option<Session>) -> Done<()> {
        if request.get("as").is_some() {
            let name = (request.store().to_owned(), request.text("as")?.to_owned());
            let mut kept = lock(&self.kept);
            match session {
                Some(session) => kept.insert(name, session),
                None => kept.remove(&name),
            };
        }
        Ok(())
    }

    fn kept(&self, request: &Request) -> Done<Session> {
        let name = (request.store().to_owned(), request.text("as")?.to_owned());
        let kept = lock(&self.kept).get(&name).cloned();
        kept.ok_or_else(|| Fail::Bad(format!("no session is kept as {:?}", name.1)))
    }
}

/// Carries out a request: all but `lock`, and `stop`.
pub(super) fn perform(state: &State, request: &Request) -> Done<Value> {
    NOW.set(request.now()?);
    match request.op() {
        "hello" => Ok(hello()),
        "name" => name(request),
        "classify" => classified(request),
        "decode" => record::decode(request),
        "encode" => record::encode(request),
        "init" => {
            let options = options().naming(request.naming()?).durability(request.durability()?);
            init(request.text("dir")?, &options)?;
            Ok(json!({}))
        }
        "open" => open(state, request),
        "close" => {
            state.close(request);
            Ok(json!({}))
        }
        "load" => load(state, request),
        "list" => list(&*state.opened(request)?),
        "create" => create(state, request),
        "save" => save(state, request),
        "update" => update(&*state.opened(request)?, request),
        "touch" => Ok(json!({ "written": state.opened(request)?.store.touch(&request.session()?)? })),
        "delete" => Ok(json!({ "existed": state.opened(request)?.store.delete(&request.session()?)? })),
        "rotate" => rotate(state, request),
        "sweep" => sweep(&*state.opened(request)?, request),
        "check" => findings(&*state.opened(request)?),
        "worker" => worker(&*state.opened(request)?, request),
        "unlock" => Err(Fail::Bad("its thread holds no lock".to_owned())),
        "fork" => Err(Fail::Skipped("a Rust program with threads does not fork and go on")),
        other => Err(Fail::Bad(format!("no op {other:?}"))),
    }
}

fn options() -> Options {
    Options::new().clock(now)
}

fn hello() -> Value {
    json!({
        "protocol": 1,
        "implementation": "sessiondir",
        "version": env!("CARGO_PKG_VERSION"),
        "language": "rust",
        "classes": ["reader", "writer", "collector", "checker"],
        "features": [
            "name", "classify", "decode", "encode", "init", "list", "threads", "stores", "int64", "bytes",
            "negative-zero", "float", "empty-map",
        ],
        "lock": "process",
    })
}

fn name(request: &Request) -> Done<Value> {
    let key = SessionId::new(request.bytes()?)?.key();
    Ok(json!({
        "d": key.to_hex(),
        "shown": key.shown().to_string(),
        "lock": format!("{:02x}", key.lock_file()),
        "byte": key.lock_byte().to_string(),
    }))
}

fn classified(request: &Request) -> Done<Value> {
    let kind = match request.text("type")? {
        "regular" => EntryType::Regular,
        "directory" => EntryType::Directory,
        "other" => EntryType::Other,
        other => return Err(Fail::Bad(format!("no type of entry: {other:?}"))),
    };
    Ok(json!({ "class": classify(&request.bytes()?, kind, request.naming()?).name() }))
}

fn open(state: &State, request: &Request) -> Done<Value> {
    state.close(request);
    let dir = PathBuf::from(request.text("dir")?);
    let options = match request.wait()? {
        Some(wait) => options().patience(wait),
        None => options(),
    };
    let store = options.open(&dir)?;
    let marker = store.marker();
    let answer = json!({
        "naming": marker.naming.word(),
        "durability": marker.durability.word(),
        "writable": marker.is_writable(),
    });
    lock(&state.opened).insert(request.store().to_owned(), Arc::new(Opened { store, dir, options }));
    Ok(answer)
}

fn load(state: &State, request: &Request) -> Done<Value> {
    let opened = state.opened(request)?;
    let loaded = opened.store.load(&request.session()?)?;
    let session = loaded.as_ref().map(|session| opened.session(session)).transpose()?;
    state.keep(request, loaded)?;
    Ok(json!({ "session": session }))
}

fn list(opened: &Opened) -> Done<Value> {
    let (mut sessions, mut failed) = (Vec::new(), 0_u64);
    for session in opened.store.iter_sessions()? {
        match session {
            Ok(session) => sessions.push(opened.session(&session)?),
            Err(_) => failed += 1,
        }
    }
    Ok(json!({ "sessions": sessions, "failed": failed.to_string() }))
}

fn changes(request: &Request) -> Done<Changes> {
    Changes::parse(request.get("changes").ok_or_else(|| Fail::Bad("no `changes`".to_owned()))?)
}

fn create(state: &State, request: &Request) -> Done<Value> {
    let opened = state.opened(request)?;
    let now = now();
    let mut session = Session::at(now, now);
    changes(request)?.apply(&mut session)?;
    let id = opened.store.create(&mut session)?;
    state.keep(request, Some(session))?;
    Ok(json!({ "id": id.expose() }))
}

/// What is kept is changed by what was done, as it is in a program that goes on with its session; where nothing was
/// done it stays as it was loaded.
fn save(state: &State, request: &Request) -> Done<Value> {
    let opened = state.opened(request)?;
    let mut session = state.kept(request)?;
    changes(request)?.apply(&mut session)?;
    opened.store.save(&mut session)?;
    let saved = opened.session(&session)?;
    state.keep(request, Some(session))?;
    Ok(json!({ "session": saved }))
}

fn rotate(state: &State, request: &Request) -> Done<Value> {
    let opened = state.opened(request)?;
    let mut session = state.kept(request)?;
    changes(request)?.apply(&mut session)?;
    let id = opened.store.rotate(&mut session)?;
    state.keep(request, Some(session))?;
    Ok(json!({ "id": id.expose() }))
}

fn update(opened: &Opened, request: &Request) -> Done<Value> {
    let changes = changes(request)?;
    let mut failed = None;
    let updated = opened.store.update(&request.session()?, &mut |session| {
        changes.apply(session).map_err(|fail| match fail {
            Fail::Error(error) => error,
            // What no error of the crate says is carried past the store; any error makes it write nothing.
            other => {
                failed = Some(other);
                Error::InvalidId
            }
        })
    });
    match failed {
        Some(fail) => Err(fail),
        None => Ok(json!({ "session": opened.session(&updated?)? })),
    }
}

fn sweep(opened: &Opened, request: &Request) -> Done<Value> {
    let idle = match request.get("idle_ms") {
        // The crate sweeps what was not accessed for so long; the protocol, for longer.
        Some(value) => Some(number(&json!({ "idle_ms": value }), "idle_ms")?.saturating_add(1)),
        None => None,
    };
    let idle = idle.map(Duration::from_millis);
    let swept = opened.store.sweep(&SweepOptions { idle, ..SweepOptions::default() })?;
    Ok(json!({ "deleted": swept.removed.to_string(), "failed": swept.failed.to_string() }))
}

fn findings(opened: &Opened) -> Done<Value> {
    let mut findings = Vec::new();
    check(&opened.dir, &opened.options, &mut |event| {
        if let Event::Finding(finding) = event {
            let mut out = finding_json(finding);
            out["path"] = json!(finding.place.path(false));
            findings.push(out);
        }
    })?;
    Ok(json!({ "findings": findings }))
}

/// Runs `within` while the session's lock is held: within the function of an update, which changes nothing.
pub(super) fn with_lock(state: &State, request: &Request, within: &mut dyn FnMut()) -> Done<Value> {
    NOW.set(request.now()?);
    if request.thread().is_none() {
        return Err(Fail::Bad("no `thread`: one that holds a lock can do nothing else".to_owned()));
    }
    let opened = state.opened(request)?;
    let hold = |store: &DirectoryStore, within: &mut dyn FnMut()| {
        store.update(&request.session()?, &mut |_| {
            within();
            Ok(())
        })?;
        Ok(json!({}))
    };
    match request.wait()? {
        // How long to wait is settled when a store is opened. Handles of one process share its locks.
        Some(wait) => hold(&opened.options.clone().patience(wait).open(&opened.dir)?, within),
        None => hold(&opened.store, within),
    }
}

fn worker(opened: &Opened, request: &Request) -> Done<Value> {
    let bad = || Fail::Bad("no list of session IDs in `ids`".to_owned());
    let ids = request.get("ids").and_then(Value::as_array).filter(|ids| !ids.is_empty()).ok_or_else(bad)?;
    let ids = ids.iter().map(|id| Ok(SessionId::new(id.as_str().ok_or_else(bad)?)?.into()));
    let ids = ids.collect::<Done<Vec<SessionRef>>>()?;
    let (times, threads) = (request.count("times")?, request.count("threads")?);
    let now = request.now()?;
    let work = || {
        NOW.set(now);
        let mut done = 0_u64;
        for (_, id) in (0..times).zip(ids.iter().cycle()) {
            increment(&opened.store, id)?;
            done += 1;
        }
        Ok::<u64, Fail>(done)
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut done = 0;
        for thread in running {
            done += thread.join().map_err(|_| Fail::Bad("a thread of `worker` panicked".to_owned()))??;
        }
        Ok(json!({ "done": done.to_string() }))
    })
}

/// Adds 1 to `n`, however often that takes.
fn increment(store: &DirectoryStore, id: &SessionRef) -> Done<()> {
    loop {
        let done = store.update(id, &mut |session| {
            let n: i64 = session.get("n")?.unwrap_or(0);
            // A sum beyond 64 bits is the crate's to refuse.
            Ok(session.insert("n", &(i128::from(n) + 1))?)
        });
        match done {
            Err(Error::Busy { .. }) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}
