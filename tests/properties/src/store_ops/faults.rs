//! Running an operation while something fails, and what it has asked of the operating system.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use nix::errno::Errno;
use sessiondir::seam::{self, Op};
use sessiondir::{ErrorClass, Result};

use super::program::{Fault, What};

/// A call, and whether it was refused, or not come to: the operation was killed in front of it, or within its write.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) op: Op,
    pub(super) path: String,
    pub(super) refused: bool,
    /// Refused by a signal, which says nothing of what was asked for.
    pub(super) interrupted: bool,
}

/// What an operation came to.
#[derive(Debug)]
pub(super) struct Attempt<T> {
    /// `None`: it was killed.
    pub(super) result: Option<Result<T>>,
    pub(super) calls: Vec<Made>,
    /// The fault, if it came to that.
    pub(super) fault: Option<What>,
}

/// Whether the call changes a file or the directory.
pub(super) fn is_changing(op: Op) -> bool {
    matches!(op, Op::Create | Op::Pwrite | Op::Write | Op::Sync | Op::SyncDir | Op::Rename | Op::Unlink)
}

/// What a killed operation unwinds with. No panic: nobody's hook is to hear of it.
struct Killed;

#[derive(Default)]
struct Log {
    calls: Vec<Made>,
    matching: usize,
    fired: bool,
    dead: bool,
}

impl<T> Attempt<T> {
    /// Runs `run` with the fault. `tear` is called before a kill that cuts off a write in place, with the number of bytes
    /// that are to be there.
    pub(super) fn new(
        fault: Option<Fault>,
        tear: impl Fn(usize) + 'static,
        run: impl FnOnce() -> Result<T>,
    ) -> Self {
        let log = Rc::new(RefCell::new(Log::default()));
        let writes = Rc::clone(&log);
        let hook = seam::install(move |call| {
            let mut log = writes.borrow_mut();
            if log.dead {
                return None;
            }
            let answer = fault.and_then(|fault| log.answer(fault, call));
            let refused = answer.is_some();
            let interrupted = matches!(answer, Some(Answer::Refuse(Errno::EINTR)));
            log.calls.push(Made { op: call.op, path: call.path.to_owned(), refused, interrupted });
            match answer {
                None => None,
                Some(Answer::Refuse(errno)) => Some(errno as i32),
                Some(Answer::Kill(bytes)) => {
                    log.dead = true;
                    let in_place = call.op == Op::Pwrite && !log.has_temp();
                    drop(log);
                    if in_place {
                        tear(bytes);
                    }
                    resume_unwind(Box::new(Killed))
                }
            }
        });
        // What the library holds is in order after a panic: that is a promise of its own.
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => Some(result),
            Err(panic) if panic.is::<Killed>() => None,
            Err(panic) => resume_unwind(panic),
        };
        drop(hook);
        let log = log.take();
        Attempt { result, calls: log.calls, fault: fault.map(|fault| fault.what).filter(|_| log.fired) }
    }

    pub(super) fn is_killed(&self) -> bool {
        self.result.is_none()
    }

    /// Whether it has made a call that changes something.
    pub(super) fn may_have_changed(&self) -> bool {
        self.is_killed() || self.calls.iter().any(|call| is_changing(call.op))
    }

    /// Whether the fault can leave debris. An error that came once cannot: what failed is cleaned up (WRITE-15).
    pub(super) fn may_leave_debris(&self) -> bool {
        matches!(self.fault, Some(What::Forever(_) | What::Kill(_)))
    }

    /// Whether the error number that the operation met can have led to an error of that class.
    pub(super) fn explains(&self, class: ErrorClass) -> bool {
        let Some(What::Once(number) | What::Forever(number)) = self.fault else { return false };
        let refused = |op: Op| self.calls.iter().any(|call| call.refused && call.op == op);
        let errno = number.errno();
        match class {
            ErrorClass::Busy => matches!(errno, Errno::EAGAIN | Errno::EACCES) && refused(Op::Lock),
            ErrorClass::NoSpace => matches!(errno, Errno::ENOSPC | Errno::EDQUOT),
            ErrorClass::OutcomeUnknown => refused(Op::Sync) || refused(Op::SyncDir),
            ErrorClass::Io => true,
            _ => false,
        }
    }
}

enum Answer {
    Refuse(Errno),
    Kill(usize),
}

impl Log {
    fn answer(&mut self, fault: Fault, call: seam::Call<'_>) -> Option<Answer> {
        // A lock file that is open but not identified stays open for ever, rightly (closing it might drop a lock); but a
        // fuzzer would soon have none left.
        let opens_lock = |call: &Made| call.op == Op::Open && call.path.starts_with(".lock/");
        if call.op == Op::Fstat && self.calls.last().is_some_and(opens_lock) {
            return None;
        }
        if !fault.is_at(call.op) {
            return None;
        }
        self.matching += 1;
        let (now, later) = (self.matching == fault.nth(), self.matching > fault.nth());
        let answer = match fault.what {
            What::Once(number) if now => Answer::Refuse(number.errno()),
            // A signal that never ends would be a hang.
            What::Forever(number) if now || (later && number.errno() != Errno::EINTR) => {
                Answer::Refuse(number.errno())
            }
            // Not while a lock is taken or given back: a process that is killed has none, but this one goes on.
            What::Kill(bytes) if (now || later) && !matches!(call.op, Op::Lock | Op::Unlock) => {
                Answer::Kill(bytes.into())
            }
            _ => return None,
        };
        self.fired = true;
        Some(answer)
    }

    /// Whether the file that is being written is a temp.
    fn has_temp(&self) -> bool {
        has_temp(&self.calls)
    }
}

/// Whether, after these calls, the file that is being written is a temp.
pub(super) fn has_temp(calls: &[Made]) -> bool {
    calls.iter().filter(|call| !call.refused).fold(false, |temp, call| match call.op {
        Op::Create => true,
        Op::Rename => false,
        Op::Unlink if call.path.starts_with(".tmp.") => false,
        _ => temp,
    })
}
