//! What several tests need: a store of their own with a clock that they set, and child processes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessiondir::check::{Event, Finding, check};
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Naming, Options, Session, SessionId, SessionRef, SessionStore,
    UnixMillis,
};

/// When the tests' clocks start: in January 2027.
pub const START: u64 = 1_800_000_000_000;

pub fn time(millis: u64) -> UnixMillis {
    UnixMillis::from_millis(millis).expect("in range")
}

/// The class of the error that `result` has to be.
pub fn class<T: std::fmt::Debug>(result: sessiondir::Result<T>) -> ErrorClass {
    result.expect_err("an error").class()
}

/// A store in a directory of its own, with a clock that the test sets.
pub struct Fixture {
    tmp: tempfile::TempDir,
    pub path: PathBuf,
    now: Arc<AtomicU64>,
    patience: Duration,
    pub store: DirectoryStore,
}

/// What most tests wait for a lock.
const PATIENCE: Duration = Duration::from_millis(100);

impl Fixture {
    pub fn new(naming: Naming, durability: Durability) -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let path = tmp.path().join("sessions");
        let now = Arc::new(AtomicU64::new(START));
        let options = options(&now).create(true).naming(naming).durability(durability);
        let store = options.open(&path).expect("a new store");
        Fixture { tmp, path, now, patience: PATIENCE, store }
    }

    /// The same store for a test with much at work at a time: it is never `busy`, however slow the machine is.
    pub fn patient(mut self) -> Self {
        self.patience = Duration::from_secs(60);
        self.store = self.options().open(&self.path).expect("opens");
        self
    }

    /// A store of naming `plain` and durability `power`.
    pub fn plain() -> Self {
        Fixture::new(Naming::Plain, Durability::Power)
    }

    /// Runs `test` on a store of each naming and durability.
    pub fn each(test: impl Fn(Fixture)) {
        for naming in [Naming::Plain, Naming::Hashed] {
            for durability in [Durability::Power, Durability::Process] {
                test(Fixture::new(naming, durability));
            }
        }
    }

    /// Options with the test's clock and little patience.
    pub fn options(&self) -> Options {
        options(&self.now).patience(self.patience)
    }

    /// A directory beside the store's, where nothing may ever change.
    pub fn outside(&self) -> &Path {
        self.tmp.path()
    }

    pub fn advance(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn set_time(&self, millis: u64) {
        self.now.store(millis, Ordering::SeqCst);
    }

    /// A stored session of the user `ada`, with the attribute `n` = 0.
    pub fn created(&self) -> (SessionRef, Session) {
        let mut session = Session::at(time(START), time(START));
        session.set_user("ada").expect("a text");
        session.insert("n", &0).expect("a number");
        let id = self.store.create(&mut session).expect("created");
        (SessionRef::from(id), session)
    }

    /// A stored session with a given ID.
    pub fn inserted(&self, id: &str) -> (SessionRef, Session) {
        let id = SessionId::new(id).expect("an ID");
        let mut session = Session::at(time(START), time(START));
        session.insert("n", &0).expect("a number");
        self.store.insert(&id, &mut session).expect("inserted");
        (SessionRef::from(id), session)
    }

    /// The session's file.
    pub fn file(&self, session: &SessionRef) -> PathBuf {
        self.path.join(match (self.store.marker().naming, session) {
            (Naming::Plain, SessionRef::Id(id)) => id.expose().to_owned(),
            _ => session.key().to_hex(),
        })
    }

    pub fn n(&self, session: &SessionRef) -> u64 {
        let loaded = self.store.load(session).expect("loads").expect("is there");
        loaded.get("n").expect("a number").expect("is there")
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        check(&self.path, &self.options(), &mut |event| {
            if let Event::Finding(finding) = event {
                found.push(finding.clone());
            }
        })
        .expect("a store");
        found
    }

    pub fn finding_names(&self) -> Vec<&'static str> {
        self.findings().iter().map(|finding| finding.kind.name()).collect()
    }

    pub fn assert_clean(&self) {
        let found = self.findings();
        assert!(found.is_empty(), "{found:?}");
    }

    /// The names in the store's directory, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the store's directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn options(now: &Arc<AtomicU64>) -> Options {
    let now = Arc::clone(now);
    Options::new().clock(move || time(now.load(Ordering::SeqCst))).patience(PATIENCE)
}

/// A process of its own: this test program, which runs its test `child` in the role `role`.
pub struct Helper {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// The variable that tells the test `child` its role; the arguments are in the next ones.
const ROLE: &str = "SESSIONDIR_TEST_ROLE";

/// The role and arguments of this process, if it is a helper.
pub fn role() -> Option<(String, Vec<String>)> {
    let role = std::env::var(ROLE).ok()?;
    let arguments = (0..).map_while(|n| std::env::var(format!("{ROLE}_{n}")).ok()).collect();
    Some((role, arguments))
}

/// What a helper says starts with this; the test harness prints lines of its own.
const MARK: &str = "@@ ";

/// Says a line to the test that started this helper.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).expect("somebody listens");
}

/// Waits for a line of the test that started this helper.
pub fn heed() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("somebody speaks");
    line.trim().to_owned()
}

impl Helper {
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        Helper::run(Command::new(std::env::current_exe().expect("this program")), role, arguments)
    }

    /// A process in which a write ends `blocks` × 512 bytes from the start of a file, and fails from there on.
    pub fn start_with_file_limit(blocks: usize, role: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(std::env::current_exe().expect("this program"));
        Helper::run(command, role, arguments)
    }

    fn run(mut command: Command, role: &str, arguments: &[&str]) -> Self {
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
        for (n, argument) in arguments.iter().enumerate() {
            command.env(format!("{ROLE}_{n}"), argument);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("another of this program");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Helper { child, to, from }
    }

    /// The next line that the helper says.
    pub fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.from.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "the helper has ended");
            if let Some(said) = line.strip_prefix(MARK) {
                return said.trim().to_owned();
            }
        }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.to, "{line}").expect("the helper listens");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Waits for its end, whatever it is, and returns what it has said last.
    pub fn last_words(mut self) -> Option<String> {
        drop(self.to);
        let lines = self.from.lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.strip_prefix(MARK).map(str::to_owned)).last();
        self.child.wait().expect("reaped");
        said
    }

    /// Waits for its end, which has to be a good one.
    pub fn join(mut self) {
        drop(self.to);
        // Whatever else it prints, so that it does not block on a full pipe.
        for line in self.from.lines() {
            let _ = line;
        }
        assert!(self.child.wait().expect("reaped").success(), "the helper failed");
    }
}
