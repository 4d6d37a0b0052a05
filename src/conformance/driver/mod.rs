//! The reference implementation's driver: its end of the protocol of `CONFORMANCE.md`, on standard input and output.
//! It uses the store as any program would, and of the crate's insides only what has no public name: the checker's
//! findings on a record that stands alone, and a session of a given revision to be encoded.

mod json;
mod ops;

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use json::{Failure, answer};
use ops::State;

/// Answers requests until `stop`, or the end of the input.
pub fn driver() -> ExitCode {
    let state = Arc::new(State::default());
    let mut threads: HashMap<String, Sender<Value>> = HashMap::new();
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { return ExitCode::FAILURE };
        let request: Value = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => {
                // Without a number there is nobody to answer.
                let _ = writeln!(io::stderr(), "no JSON: {error}");
                continue;
            }
        };
        if let Some(name) = request["thread"].as_str() {
            let queue = threads.entry(name.to_owned()).or_insert_with(|| {
                let (queue, requests) = channel();
                let state = Arc::clone(&state);
                thread::spawn(move || serve(&state, &requests));
                queue
            });
            // A thread that has ended has panicked; the kit then waits in vain, and sees why on standard error.
            let _ = queue.send(request);
            continue;
        }
        if request["op"] == "stop" {
            say(&request, Ok(json!({})));
            return ExitCode::SUCCESS;
        }
        say(&request, ops::perform(&state, &request));
    }
    ExitCode::SUCCESS
}

/// Carries out the requests for one thread.
fn serve(state: &State, requests: &Receiver<Value>) {
    while let Ok(request) = requests.recv() {
        if request["op"] == "lock" {
            hold(state, &request, requests);
        } else {
            say(&request, ops::perform(state, &request));
        }
    }
}

/// Holds a session's lock from within an update, which waits for the request that is to release it.
fn hold(state: &State, request: &Value, requests: &Receiver<Value>) {
    let mut release = None;
    let held = ops::update_locked(state, request, &mut || {
        say(request, Ok(json!({})));
        release = requests.recv().ok();
    });
    match (held, release) {
        (Ok(()), Some(release)) if release["op"] == "unlock" => say(&release, Ok(json!({}))),
        (Ok(()), Some(other)) => {
            say(
                &other,
                Err(Failure::Request("a thread that holds a lock takes nothing but unlock".to_owned())),
            );
        }
        (Ok(()), None) => {}
        (Err(failure), None) => say(request, Err(failure)),
        (Err(failure), Some(release)) => say(&release, Err(failure)),
    }
}

/// One line at a time.
static OUTPUT: Mutex<()> = Mutex::new(());

fn say(request: &Value, done: Result<Value, Failure>) {
    let mut line = answer(done);
    line["request"] = request["request"].clone();
    let _one = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = io::stdout().lock();
    // Nobody listens any more: the input ends too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
