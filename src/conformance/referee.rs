//! The referee: raw fcntl locks, as a driver. It shares nothing with the reference's locks, so that a mistake in them
//! is not taken for what SPEC.md asks for.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::{Value, json};

use crate::names::SessionId;

/// Between two attempts.
const PAUSE: Duration = Duration::from_micros(500);

/// Who owns the locks, and what they cover: the two ends of what LOCK-1 and LOCK-2 leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Owned by the process, over the whole lock file.
    Process,
    /// Owned by the open file description, over the session's byte.
    Ofd,
}

/// Answers requests on the standard input until it ends: a locker, and nothing else.
#[must_use]
pub fn referee(kind: Kind) -> ExitCode {
    let (send, lines) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let mut referee = Referee { kind, dir: PathBuf::new(), files: Vec::new(), held: Vec::new() };
    match referee.serve(&lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "the referee: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A lock that is wanted.
struct Wanted {
    request: Value,
    id: SessionId,
    until: Instant,
}

/// A lock that is held.
struct Held {
    thread: Value,
    id: SessionId,
    /// Which of `files` it is on.
    file: usize,
}

struct Referee {
    kind: Kind,
    dir: PathBuf,
    /// Every lock file that was ever opened. They stay open, as closing one could drop a lock (LOCK-8).
    files: Vec<File>,
    held: Vec<Held>,
}

impl Referee {
    /// One thread does it all, so that there is nothing between the requests and the kernel: who waits is asked for
    /// again and again.
    fn serve(&mut self, lines: &Receiver<String>) -> io::Result<()> {
        let mut waiting: Vec<Wanted> = Vec::new();
        loop {
            let line = if waiting.is_empty() {
                lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                lines.recv_timeout(PAUSE)
            };
            match line {
                Ok(line) => {
                    let request: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
                    if request["op"] == "lock" {
                        waiting.push(wanted(request)?);
                    } else {
                        let is_last = request["op"] == "stop";
                        let done = self.perform(&request)?;
                        say(&request, "ok", &done)?;
                        if is_last {
                            return Ok(());
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let mut still = Vec::new();
            for wanted in waiting {
                // Once at least, also where there is no time.
                let is_late = Instant::now() >= wanted.until;
                if self.take(&wanted)? {
                    say(&wanted.request, "ok", &json!({}))?;
                } else if is_late {
                    let message = "another holds the lock";
                    say(&wanted.request, "error", &json!({ "class": "busy", "message": message }))?;
                } else {
                    still.push(wanted);
                }
            }
            waiting = still;
        }
    }

    fn perform(&mut self, request: &Value) -> io::Result<Value> {
        match request["op"].as_str() {
            Some("hello") => Ok(json!({
                "protocol": 1, "implementation": "referee", "version": env!("CARGO_PKG_VERSION"),
                "language": "rust", "classes": ["writer"], "features": ["threads"],
                "lock": if self.kind == Kind::Process { "process" } else { "ofd" },
            })),
            Some("open") => {
                self.dir = PathBuf::from(request["dir"].as_str().unwrap_or_default());
                // It locks whatever is there, and does not look.
                Ok(json!({ "naming": "plain", "durability": "process", "writable": true }))
            }
            Some("unlock") => {
                let is_it =
                    |held: &Held| held.thread == request["thread"] && request["id"] == held.id.expose();
                let at =
                    self.held.iter().position(is_it).ok_or_else(|| io::Error::other("nothing to unlock"))?;
                let held = self.held.remove(at);
                self.set(&self.files[held.file], libc::F_UNLCK, &held.id)?;
                Ok(json!({}))
            }
            Some("stop") => Ok(json!({})),
            other => Err(io::Error::other(format!("no op of the referee: {other:?}"))),
        }
    }

    /// Asks for a lock once.
    fn take(&mut self, wanted: &Wanted) -> io::Result<bool> {
        let path = self.dir.join(format!(".lock/{:02x}", wanted.id.key().lock_file()));
        loop {
            let at = self.open(&path)?;
            let file = &self.files[at];
            // The kernel would let one process have it twice (LOCK-7).
            let is_ours = |held: &Held| held.file == at;
            if self.kind == Kind::Process && self.held.iter().any(is_ours) {
                return Ok(false);
            }
            if !self.set(file, libc::F_WRLCK, &wanted.id)? {
                return Ok(false);
            }
            // LOCK-6.
            if identity(&path)? == Some(of(file)?) {
                let thread = wanted.request["thread"].clone();
                self.held.push(Held { thread, id: wanted.id.clone(), file: at });
                return Ok(true);
            }
            self.set(file, libc::F_UNLCK, &wanted.id)?;
        }
    }

    /// The lock file at `path`, made if need be: for locks that the process owns, one descriptor for all; else one for
    /// each lock, as the descriptor is the owner.
    fn open(&mut self, path: &Path) -> io::Result<usize> {
        if let Some(there) = identity(path)? {
            for (at, file) in self.files.iter().enumerate() {
                let is_free = self.kind == Kind::Process || self.held.iter().all(|held| held.file != at);
                if is_free && of(file)? == there {
                    return Ok(at);
                }
            }
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        self.files.push(options.custom_flags(flags).open(path)?);
        Ok(self.files.len() - 1)
    }

    /// Takes or releases; false where another holds it.
    fn set(&self, file: &File, kind: i32, id: &SessionId) -> io::Result<bool> {
        let (from, length) = match self.kind {
            Kind::Process => (0, 0),
            Kind::Ofd => (i64::from(id.key().lock_byte()), 1),
        };
        let narrow = |number: i32| libc::c_short::try_from(number).map_err(io::Error::other);
        let lock = libc::flock {
            l_type: narrow(kind)?,
            l_whence: narrow(libc::SEEK_SET)?,
            l_start: from,
            l_len: length,
            l_pid: 0,
        };
        let argument = match self.kind {
            Kind::Process => FcntlArg::F_SETLK(&lock),
            Kind::Ofd => FcntlArg::F_OFD_SETLK(&lock),
        };
        match fcntl(file, argument) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn wanted(request: Value) -> io::Result<Wanted> {
    let id = SessionId::new(request["id"].as_str().unwrap_or_default()).map_err(io::Error::other)?;
    // As long as an open store waits that was not told otherwise.
    let wait = Duration::from_millis(request["wait_ms"].as_u64().unwrap_or(5000));
    Ok(Wanted { request, id, until: Instant::now() + wait })
}

/// Device and inode.
fn of(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|data| (data.dev(), data.ino()))
}

fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match path.symlink_metadata() {
        Ok(data) => Ok(Some((data.dev(), data.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn say(request: &Value, member: &str, what: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", json!({ "request": request["request"], member: what }))?;
    out.flush()
}
