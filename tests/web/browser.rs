//! What the tests share: a store that can be watched and broken, a browser, a log that can be read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request};
use sessiondir::store::Deleted;
use sessiondir::web::{Config, Error, Outcome, RequestSession, SessionManager};
use sessiondir::{MemoryStore, Result, Session, SessionId, SessionRef, SessionStore};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the error that a broken store gives.
type Broken = dyn Fn() -> sessiondir::Error + Send + Sync;

/// A store in memory that counts its calls, and fails when it is told to.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) inner: MemoryStore,
    reads: AtomicUsize,
    writes: AtomicUsize,
    broken_reads: Mutex<Option<Box<Broken>>>,
    /// Which operation is broken (all, if it is empty), and how.
    broken_writes: Mutex<Option<(&'static str, Box<Broken>)>>,
}

impl Watched {
    pub(crate) fn with(options: &sessiondir::Options) -> Self {
        Watched { inner: MemoryStore::with(options), ..Watched::default() }
    }

    /// Calls that read, and calls that may write, since this was last asked.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.reads.swap(0, Ordering::SeqCst), self.writes.swap(0, Ordering::SeqCst))
    }

    pub(crate) fn break_reads(&self, error: impl Fn() -> sessiondir::Error + Send + Sync + 'static) {
        *lock(&self.broken_reads) = Some(Box::new(error));
    }

    pub(crate) fn break_writes(&self, error: impl Fn() -> sessiondir::Error + Send + Sync + 'static) {
        self.break_write("", error);
    }

    /// Breaks one operation.
    pub(crate) fn break_write(
        &self,
        operation: &'static str,
        error: impl Fn() -> sessiondir::Error + Send + Sync + 'static,
    ) {
        *lock(&self.broken_writes) = Some((operation, Box::new(error)));
    }

    pub(crate) fn mend(&self) {
        *lock(&self.broken_reads) = None;
        *lock(&self.broken_writes) = None;
    }

    fn read(&self) -> Result<&MemoryStore> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        lock(&self.broken_reads).as_ref().map_or(Ok(&self.inner), |broken| Err(broken()))
    }

    fn write(&self, operation: &str) -> Result<&MemoryStore> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        match &*lock(&self.broken_writes) {
            Some((broken, error)) if broken.is_empty() || *broken == operation => Err(error()),
            _ => Ok(&self.inner),
        }
    }
}

impl SessionStore for Watched {
    fn load(&self, session: &SessionRef) -> Result<Option<Session>> {
        self.read()?.load(session)
    }
    fn create(&self, session: &mut Session) -> Result<SessionId> {
        self.write("create")?.create(session)
    }
    fn save(&self, session: &mut Session) -> Result<()> {
        self.write("save")?.save(session)
    }
    fn update(
        &self,
        session: &SessionRef,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Session> {
        self.write("update")?.update(session, change)
    }
    fn touch(&self, session: &SessionRef) -> Result<bool> {
        self.write("touch")?.touch(session)
    }
    fn delete(&self, session: &SessionRef) -> Result<bool> {
        self.write("delete")?.delete(session)
    }
    fn rotate(&self, session: &mut Session) -> Result<SessionId> {
        let rotated = self.write("rotate")?.rotate(session)?;
        // As `after rotate`: it is done, and an error all the same.
        self.write("after rotate")?;
        Ok(rotated)
    }
    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
        self.inner.iter_sessions()
    }
    fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted> {
        self.write("delete_old_sessions")?.delete_old_sessions(minutes)
    }
    fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
        self.write("delete_where")?.delete_where(which)
    }
    fn delete_if(&self, session: &SessionRef, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool> {
        self.write("delete_if")?.delete_if(session, which)
    }
    fn touch_is_due(&self, session: &Session) -> bool {
        self.inner.touch_is_due(session)
    }
    fn is_multiprocess_safe(&self) -> bool {
        false
    }
}

pub(crate) fn manager(config: Config) -> SessionManager<Watched> {
    SessionManager::new(Watched::default(), config).expect("a good configuration")
}

/// All sessions of a store.
pub(crate) fn all(store: &dyn SessionStore) -> Vec<Session> {
    store.iter_sessions().expect("lists").map(|session| session.expect("can be read")).collect()
}

/// The only session of a store.
pub(crate) fn only(store: &dyn SessionStore) -> Session {
    let mut sessions = all(store);
    assert_eq!(sessions.len(), 1, "sessions");
    sessions.remove(0)
}

/// One browser: its cookie, and nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Browser::default()
    }

    pub(crate) fn with(id: &SessionId) -> Self {
        Browser { cookie: Some(format!("session={}", id.expose())) }
    }

    pub(crate) fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(COOKIE, HeaderValue::from_str(cookie).expect("a header"));
        }
        request
    }

    /// Takes over what a response says of the cookie, and says whether it said anything.
    pub(crate) fn receive(&mut self, headers: &HeaderMap) -> bool {
        assert!(headers.get_all(SET_COOKIE).iter().count() <= 1, "more than one cookie: {headers:?}");
        let Some(cookie) = headers.get(SET_COOKIE) else { return false };
        let cookie = cookie.to_str().expect("text");
        let pair = cookie.split(';').next().expect("a pair");
        let is_removal = cookie.contains("Max-Age=0");
        self.cookie = (!is_removal).then(|| pair.to_owned());
        true
    }

    /// A request that does `work` with its session and succeeds; panics where that fails.
    pub(crate) fn visit<S: SessionStore + 'static, T>(
        &mut self,
        manager: &SessionManager<S>,
        work: impl FnOnce(&RequestSession) -> std::result::Result<T, Error>,
    ) -> (T, Outcome) {
        let session = manager.start_request(&self.request());
        let done = work(&session).expect("the work succeeds");
        let mut headers = HeaderMap::new();
        let outcome = manager.finish_successful_request(&session, &mut headers).expect("commits");
        self.receive(&headers);
        (done, outcome)
    }
}

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<u64>>);

impl Clock {
    pub(crate) fn new() -> Self {
        Clock(Arc::new(Mutex::new(sessiondir::UnixMillis::now().as_millis())))
    }

    pub(crate) fn forward(&self, millis: u64) {
        *lock(&self.0) += millis;
    }

    pub(crate) fn options(&self) -> sessiondir::Options {
        let clock = self.clone();
        sessiondir::Options::new()
            .clock(move || sessiondir::UnixMillis::from_millis(*lock(&clock.0)).expect("a time"))
    }
}

struct Log(Mutex<Vec<String>>);

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("sessiondir") {
            lock(&self.0).push(format!("{} {}", record.level(), record.args()));
        }
    }
    fn flush(&self) {}
}

/// The lines of the log in which `part` is. The log is the whole process's.
pub(crate) fn logged(part: &str) -> Vec<String> {
    static LOG: OnceLock<Log> = OnceLock::new();
    static SET: Once = Once::new();
    let log = LOG.get_or_init(|| Log(Mutex::default()));
    SET.call_once(|| {
        log::set_logger(log).expect("the first logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
    lock(&log.0).iter().filter(|line| line.contains(part)).cloned().collect()
}
