//! The reference implementation's driver for the conformance kit: CONFORMANCE.md says what it is asked and what it
//! answers.
//!
//! ```sh
//! echo '{"request": 1, "op": "hello", "protocol": 1}' | sessiondir conformance-driver
//! ```
//!
//! It is written as any program that uses the crate: what it can only have of the crate's insides is the findings of
//! a record that stands alone (`record.rs`). It does not claim `fork`: the child of a program with threads may do
//! next to nothing, so in Rust that takes `unsafe`, and a Rust program does not fork and go on.

mod changes;
mod ops;
mod record;
mod request;
mod typed;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use ops::State;
use request::{Done, Fail, Request, answer};

/// Answers requests on the standard input until it ends: the reference implementation's driver.
#[must_use]
pub fn driver() -> ExitCode {
    let mut threads = Threads::default();
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                let _ = writeln!(io::stderr(), "cannot read the standard input: {error}");
                return ExitCode::FAILURE;
            }
        }
        match Request::parse(&line) {
            Ok(request) => threads.send(request),
            Err((number, fail)) => say(&number, Err(fail)),
        }
    }
    threads.finish();
    ExitCode::SUCCESS
}

/// The threads that carry out requests. The one without a name is for requests without `thread`.
#[derive(Default)]
struct Threads {
    state: Arc<State>,
    by_name: BTreeMap<Option<String>, (Sender<Request>, JoinHandle<()>)>,
}

impl Threads {
    fn send(&mut self, request: Request) {
        let (queue, _) = self.by_name.entry(request.thread()).or_insert_with(|| {
            let (queue, requests) = channel();
            let state = Arc::clone(&self.state);
            (queue, thread::spawn(move || serve(&state, &requests)))
        });
        if let Err(lost) = queue.send(request) {
            say(lost.0.number(), Err(Fail::Bad("its thread has ended".to_owned())));
        }
    }

    /// Waits until all that was asked is answered. A thread that holds a lock lets go of it, as its queue has ended.
    fn finish(self) {
        let (queues, threads): (Vec<_>, Vec<_>) = self.by_name.into_values().unzip();
        drop(queues);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn serve(state: &State, requests: &Receiver<Request>) {
    while let Ok(request) = requests.recv() {
        match request.op() {
            "stop" => stop(&request),
            "lock" => hold(state, &request, requests),
            _ => say(request.number(), guarded(|| ops::perform(state, &request))),
        }
    }
}

/// Holds a session's lock from within an update, until the request comes that is to release it: the crate has no
/// call that takes a lock and returns.
fn hold(state: &State, request: &Request, requests: &Receiver<Request>) {
    let mut held = false;
    let mut release = None;
    let done = guarded(|| {
        ops::with_lock(state, request, &mut || {
            held = true;
            say(request.number(), Ok(json!({})));
            for next in requests {
                if next.op() == "unlock" && next.get("id") == request.get("id") {
                    release = Some(next);
                    break;
                }
                let wrong = "its thread holds a lock, and takes nothing but the `unlock` of that session";
                say(next.number(), Err(Fail::Bad(wrong.to_owned())));
            }
        })
    });
    match release {
        Some(release) => say(release.number(), done),
        None if !held => say(request.number(), done),
        // The input has ended.
        None => {}
    }
}

/// What `perform` does, or what it panicked with.
fn guarded(perform: impl FnOnce() -> Done<Value>) -> Done<Value> {
    catch_unwind(AssertUnwindSafe(perform)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of an unknown kind");
        Err(Fail::Bad(format!("a panic: {said}")))
    })
}

/// Answers are whole lines, whichever thread they come from.
static OUTPUT: Mutex<()> = Mutex::new(());

fn say(number: &Value, done: Done<Value>) {
    let _one = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    write(number, done);
}

fn write(number: &Value, done: Done<Value>) {
    let mut line = answer(number, done).to_string();
    line.push('\n');
    let mut out = io::stdout().lock();
    // Who does not listen any more has closed the input too.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Ends the program, whatever other threads are at, but within nobody's line.
fn stop(request: &Request) {
    let _one = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    write(request.number(), Ok(json!({})));
    std::process::exit(0);
}
