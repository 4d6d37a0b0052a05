//! A driver's process: starting it, asking it, and ending it whatever it does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::protocol::{Answer, LONGEST_LINE, check_request, parse_answer, shorten};

/// How much of what a driver writes to standard error is kept, in bytes.
const KEPT: usize = 4096;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// It ended, or wrote what is no answer.
    Errored(String),
    /// It did not answer in time.
    Hang(String),
}

/// A driver that runs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: Sender<Vec<u8>>,
    lines: Receiver<Result<Vec<u8>, String>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    timeout: Duration,
    next: u64,
    /// The ops of what has been asked and not answered yet.
    asked: BTreeMap<u64, String>,
    /// Answers that came before they were waited for.
    early: BTreeMap<u64, Answer>,
}

impl Process {
    /// Starts `command`, in a process group of its own.
    pub(crate) fn start(command: &[OsString], timeout: Duration) -> Result<Self, Trouble> {
        let [program, arguments @ ..] = command else {
            return Err(Trouble::Errored("no command".to_owned()));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Trouble::Errored(format!("{} cannot be started: {error}", program.display())))?;
        // Written by a thread of its own: a driver that does not read its input must not stop the kit.
        let mut stdin = child.stdin.take().expect("piped");
        let (input, requests) = channel::<Vec<u8>>();
        thread::spawn(move || {
            while let Ok(line) = requests.recv()
                && stdin.write_all(&line).is_ok()
            {}
        });
        let output = child.stdout.take().expect("piped");
        let mut errors = child.stderr.take().expect("piped");
        // A driver that writes without end waits for the kit to read.
        let (send, lines) = sync_channel(64);
        thread::spawn(move || read_lines(output, |line| send.send(line).is_ok()));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        thread::spawn(move || {
            let mut buffer = [0; KEPT];
            while let Ok(count @ 1..) = errors.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let excess = kept.len().saturating_sub(KEPT);
                kept.drain(..excess);
            }
        });
        let (asked, early) = (BTreeMap::new(), BTreeMap::new());
        Ok(Process { child, input, lines, stderr, timeout, next: 1, asked, early })
    }

    /// Sends a request, and returns its number.
    pub(crate) fn send(&mut self, mut request: Value) -> u64 {
        let number = self.next;
        self.next += 1;
        request["request"] = number.into();
        check_request(&request);
        let op = request["op"].as_str().unwrap_or_default().to_owned();
        let mut line = request.to_string();
        line.push('\n');
        self.asked.insert(number, op);
        // Whether it still reads shows when the answer is waited for.
        let _ = self.input.send(line.into_bytes());
        number
    }

    /// The answer to the request of that number; waits for it as long as is usual, or as `within` says.
    pub(crate) fn receive(&mut self, number: u64, within: Option<Duration>) -> Result<Answer, Trouble> {
        let timeout = within.unwrap_or(self.timeout);
        let until = Instant::now() + timeout;
        loop {
            if let Some(answer) = self.early.remove(&number) {
                self.asked.remove(&number);
                return Ok(answer);
            }
            let op = || self.asked.get(&number).cloned().unwrap_or_default();
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(line)) => match parse_answer(&line, |number| self.asked.get(&number).cloned()) {
                    Ok((number, answer)) => drop(self.early.insert(number, answer)),
                    Err(why) => {
                        return Err(self.with_stderr(&format!("while `{}` was waited for: {why}", op())));
                    }
                },
                Ok(Err(why)) => return Err(self.with_stderr(&format!("at `{}`: {why}", op()))),
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!(
                        "no answer to `{}` within {:.1} s (see --timeout)",
                        op(),
                        timeout.as_secs_f64()
                    );
                    let Trouble::Errored(what) = self.with_stderr(&what) else { unreachable!() };
                    return Err(Trouble::Hang(what));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(&format!("at `{}`", op()))),
            }
        }
    }

    /// Whether that request has not been answered after so long.
    pub(crate) fn waits(&mut self, number: u64, so_long: Duration) -> Result<bool, Trouble> {
        match self.receive(number, Some(so_long)) {
            Ok(answer) => {
                self.early.insert(number, answer);
                Ok(false)
            }
            Err(Trouble::Hang(_)) => Ok(true),
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: Value) -> Result<Answer, Trouble> {
        self.ask_within(request, None)
    }

    /// The same, with another time to wait.
    pub(crate) fn ask_within(&mut self, request: Value, within: Option<Duration>) -> Result<Answer, Trouble> {
        let number = self.send(request);
        self.receive(number, within)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"))
    }

    /// Stops it, with all that it has started, until [`Process::go_on`].
    pub(crate) fn stop(&self) {
        let _ = killpg(self.pid(), Signal::SIGSTOP);
        // A thread of it may still be on its way out of a system call.
        thread::sleep(Duration::from_millis(20));
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        let _ = killpg(self.pid(), Signal::SIGCONT);
    }

    /// Kills it, with all that it has started.
    pub(crate) fn kill(&mut self) {
        // It leads its own group, which is there until it has been waited for.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ended(&mut self, at: &str) -> Trouble {
        // It may only have closed its output.
        let until = Instant::now() + Duration::from_secs(1);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.to_string(),
                _ if Instant::now() > until => break "it runs, but has closed its output".to_owned(),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        };
        self.with_stderr(&format!("it ended {at} ({status})"))
    }

    fn with_stderr(&self, what: &str) -> Trouble {
        // What it wrote last may still be on its way.
        thread::sleep(Duration::from_millis(20));
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let text = text.trim();
        let last = text.char_indices().rev().nth(1000).map_or(text, |(at, _)| &text[at..]);
        Trouble::Errored(if last.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; on standard error: {}", shorten(last))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands on each line, as long as it is wanted. A line that is too long ends it.
fn read_lines(output: impl Read, mut hand_on: impl FnMut(Result<Vec<u8>, String>) -> bool) {
    let mut output = BufReader::with_capacity(1 << 16, output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > LONGEST_LINE => {
                hand_on(Err(format!("a line of more than {} MiB", LONGEST_LINE >> 20)));
                return;
            }
            Ok(_) => {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                if !hand_on(Ok(line)) {
                    return;
                }
            }
        }
    }
}
