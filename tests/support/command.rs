//! The command as a program, and stores for it to work on.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sessiondir::{DirectoryStore, Durability, Naming, Options, Session, SessionId, SessionRef, UnixMillis};

/// A command that takes longer hangs.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// An ID that the tests store, and its digest.
pub const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
pub const SHOWN: &str = "#8a5bdb4c";
pub const KEY: &str = "8a5bdb4cc15164126c6ef2668de9dd240d299ce6397a42c95a9411b93d080ed8";
/// 2025-01-01T00:00:00Z
pub const START: u64 = 1_735_689_600_000;
/// "nobody", where the tests run as root.
pub const NOBODY: u32 = 65534;

/// What a run of the command has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn both(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        self.out.lines().map(parse).collect()
    }
}

pub fn command(args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessiondir"));
    command.args(args.iter().map(AsRef::as_ref));
    command
}

/// Runs the command to its end; `input` is written to its standard input.
#[track_caller]
pub fn finish(mut command: Command, input: Option<&[u8]>) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().expect("the command starts");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input.map(<[u8]>::to_vec)) {
        // The command need not read all of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).expect("a pipe can be read");
            String::from_utf8(bytes).expect("the command writes UTF-8")
        })
    };
    let out = reader(Box::new(child.stdout.take().expect("piped")));
    let err = reader(Box::new(child.stderr.take().expect("piped")));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if start.elapsed() > TIMEOUT {
            child.kill().expect("a child can be killed");
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (out, err) = (out.join().expect("read"), err.join().expect("read"));
    let status = status.code().unwrap_or_else(|| panic!("{command:?} was killed: {status}; {err}"));
    assert!(!err.contains("panicked"), "{err}");
    Ran { status, out, err }
}

#[allow(unused_macros, reason = "as the functions")]
macro_rules! run {
    ($($arg:expr),* $(,)?) => { finish(command(&[$(&$arg),*]), None) };
}

/// Every entry below `root` (itself included) with its type, mode, owner, size, modification time and contents.
pub fn snapshot(root: &Path) -> Vec<String> {
    fn visit(path: &Path, into: &mut Vec<String>) {
        let meta = fs::symlink_metadata(path).expect("there");
        let contents = match meta.file_type() {
            kind if kind.is_file() => fs::read(path).map_or_else(|e| e.to_string(), |b| format!("{b:x?}")),
            kind if kind.is_symlink() => fs::read_link(path).expect("a link").to_string_lossy().into_owned(),
            _ => String::new(),
        };
        let (mode, uid, size, links) = (meta.mode(), meta.uid(), meta.size(), meta.nlink());
        let (s, ns) = (meta.mtime(), meta.mtime_nsec());
        let path_bytes = path.as_os_str().as_bytes().escape_ascii();
        into.push(format!("{path_bytes} {mode:o} {uid} {size} {links} {s}.{ns} {contents}"));
        if meta.is_dir()
            && let Ok(entries) = fs::read_dir(path)
        {
            let mut paths: Vec<_> = entries.map(|e| e.expect("listed").path()).collect();
            paths.sort();
            for path in paths {
                visit(&path, into);
            }
        }
    }
    let mut all = Vec::new();
    visit(root, &mut all);
    all
}

pub fn at(ms: u64) -> UnixMillis {
    UnixMillis::from_millis(ms).expect("in range")
}

pub struct Fixture {
    pub tmp: tempfile::TempDir,
    pub dir: PathBuf,
    pub store: DirectoryStore,
}

pub fn fixture(naming: Naming) -> Fixture {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let dir = tmp.path().join("s");
    // Nothing here is about power: so the tests are quick on a disk.
    let options = Options::new().create(true).naming(naming).durability(Durability::Process);
    let store = options.open(&dir).expect("a new store");
    Fixture { tmp, dir, store }
}

impl Fixture {
    pub fn insert(&self, id: &str, session: &mut Session) {
        self.store.insert(&SessionId::new(id).expect("an ID"), session).expect("inserted");
    }

    /// A session with a bit of everything.
    pub fn rich(&self, id: &str) {
        let mut session = Session::at(at(START), at(START + 1500));
        session.set_user("ada").expect("fits");
        session.set_addr("192.0.2.1").expect("fits");
        session.set_expires(Some(UnixMillis::MAX));
        session.set_idle(Some(Duration::from_secs(253_402_300_799))).expect("fits");
        session.push_token("token-1").expect("fits");
        session.push_token("token-2").expect("fits");
        session.set_csrf("csrf-1").expect("fits");
        session.insert("int", &i64::MIN).expect("fits");
        session.insert("two", &2.0).expect("fits");
        session.insert("nan", &f64::NAN).expect("fits");
        session.insert("inf", &f64::NEG_INFINITY).expect("fits");
        session.insert("bytes", &ciborium::Value::Bytes(vec![0xff, 0xfe])).expect("fits");
        session.insert("list", &(1, true, None::<u8>, "x")).expect("fits");
        session.insert("map", &std::collections::BTreeMap::from([("k", 1), ("l", 2)])).expect("fits");
        self.insert(id, &mut session);
    }

    pub fn plain(&self, id: &str, user: &str) {
        let mut session = Session::at(at(START), at(START));
        session.set_user(user).expect("fits");
        self.insert(id, &mut session);
    }

    /// Gives the store to nobody, and opens the way to it. What only root can do.
    pub fn give_to_nobody(&self) {
        fn give(path: &Path) {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
            if fs::symlink_metadata(path).expect("there").is_dir() {
                for entry in fs::read_dir(path).expect("listed") {
                    give(&entry.expect("listed").path());
                }
            }
        }
        fs::set_permissions(self.tmp.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        give(&self.dir);
    }

    pub fn file(&self, id: &str) -> PathBuf {
        match self.store.marker().naming {
            Naming::Plain => self.dir.join(id),
            Naming::Hashed => self.dir.join(SessionId::new(id).expect("an ID").key().to_hex()),
        }
    }
}

pub fn id(text: &str) -> SessionRef {
    SessionId::new(text).expect("an ID").into()
}

/// Whether the tests run as root, to whom a file `made` by them belongs.
pub fn is_root(made: &Path) -> bool {
    fs::metadata(made).expect("made").uid() == 0
}

/// Runs the command as a user who is not root, to see what permissions do.
pub fn as_nobody(args: &[&dyn AsRef<std::ffi::OsStr>], bin: &Path) -> Ran {
    let mut command = Command::new(bin);
    command.args(args.iter().map(AsRef::as_ref));
    if is_root(bin) {
        command.uid(NOBODY).gid(NOBODY);
    }
    finish(command, None)
}

/// A second one.
pub const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBB";

pub fn shown(id: &str) -> String {
    SessionId::new(id).expect("an ID").to_string()
}

/// A file that no reader can make sense of.
pub fn damage(f: &Fixture, id: &str) {
    f.plain(id, "ada");
    fs::write(f.file(id), b"\xd9\xd9\xf7\xdaSESD").expect("written");
}

pub fn done(out: &str) -> Ran {
    Ran { status: 0, out: out.to_owned(), err: String::new() }
}

/// The owners, user and group, of all that is in `root`, itself included.
pub fn owners(root: &Path) -> BTreeSet<(u32, u32)> {
    fn visit(path: &Path, into: &mut BTreeSet<(u32, u32)>) {
        let meta = fs::symlink_metadata(path).expect("there");
        into.insert((meta.uid(), meta.gid()));
        if meta.is_dir() {
            for entry in fs::read_dir(path).expect("listed") {
                visit(&entry.expect("listed").path(), into);
            }
        }
    }
    let mut owners = BTreeSet::new();
    visit(root, &mut owners);
    owners
}
