//! The programs: what a fuzzer's bytes say is to be done.

use arbitrary::{Arbitrary, Unstructured};
use nix::errno::Errno;
use sessiondir::Session;
use sessiondir::seam;

use super::model::Content;

/// A store, and what is done in it.
#[derive(Clone, Debug)]
pub struct Program {
    /// Naming `hashed`.
    pub hashed: bool,
    /// Durability `process`.
    pub process: bool,
    /// At most [`super::STEPS_MOST`].
    pub steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Program {
    /// As many steps as the bytes suffice for: so that more bytes are more steps, and most bytes are many.
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [hashed, process] = bytes.arbitrary()?;
        let mut steps = Vec::new();
        while !bytes.is_empty() && steps.len() < super::STEPS_MOST {
            steps.push(bytes.arbitrary()?);
        }
        Ok(Program { hashed, process, steps })
    }
}

/// An operation, and what fails meanwhile.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Step {
    pub(super) op: Op,
    pub(super) fault: Option<Fault>,
}

/// Which session, of those whose references are known: of as many as there are.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Which {
    pub(super) number: u8,
    /// By its key, as an operator of a store of naming `hashed` does.
    pub(super) by_key: bool,
}

/// Which of the copies that were loaded and kept: of four.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Copy {
    pub(super) number: u8,
    /// A new session in its place.
    pub(super) fresh: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Op {
    Create {
        copy: Copy,
        change: Change,
    },
    Insert {
        id: u8,
        copy: Copy,
        change: Change,
    },
    Load {
        session: Which,
        copy: Copy,
    },
    Save {
        copy: Copy,
        change: Change,
    },
    Update {
        session: Which,
        change: Change,
    },
    /// The function fails, after it has tried to call the store.
    FailingUpdate {
        session: Which,
        change: Change,
    },
    Touch {
        session: Which,
    },
    Delete {
        session: Which,
    },
    Rotate {
        copy: Copy,
        change: Change,
    },
    Sweep {
        idle: Option<Span>,
        dry_run: bool,
    },
    Clock {
        span: Span,
        back: bool,
    },
    /// The store is closed and opened again, as by another process.
    Reopen,
}

/// How long.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Span {
    Instant,
    Seconds30,
    Minutes2,
    Hour,
    Hours25,
    Days40,
}

impl Span {
    pub(super) fn millis(self) -> u64 {
        match self {
            Span::Instant => 1,
            Span::Seconds30 => 30_000,
            Span::Minutes2 => 120_000,
            Span::Hour => 3_600_000,
            Span::Hours25 => 90_000_000,
            Span::Days40 => 3_456_000_000,
        }
    }
}

/// A change of a session's content. What `Some` sets `None` removes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Change {
    Nothing,
    Number(u8),
    /// So that the record fits its slot, or just does not, or would fit a much smaller one.
    Pad(Option<Size>),
    User(Option<u8>),
    /// From now on.
    Expires(Option<Span>),
    Idle(Option<Span>),
    Token(u8),
    Csrf(Option<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Size {
    /// Near the end of the smallest slot: 3,800 bytes and this.
    Edge(u8),
    Bytes100,
    Bytes5000,
    Bytes17000,
}

impl Size {
    fn bytes(self) -> usize {
        match self {
            Size::Edge(more) => 3_800 + usize::from(more),
            Size::Bytes100 => 100,
            Size::Bytes5000 => 5_000,
            Size::Bytes17000 => 17_000,
        }
    }
}

impl Change {
    /// Makes the change, in the session and in the model of it.
    pub(super) fn apply(self, session: &mut Session, content: &mut Content, now: u64) {
        let word = |number: u8| format!("w{number}");
        match self {
            Change::Nothing => {}
            Change::Number(number) => {
                session.insert("n", &number).expect("a number");
                content.number = Some(number.into());
            }
            Change::Pad(size) => {
                content.pad = size.map(Size::bytes);
                match content.pad {
                    Some(bytes) => session.insert("pad", &"x".repeat(bytes)).expect("a text"),
                    None => drop(session.remove("pad")),
                }
            }
            Change::User(user) => {
                content.user = user.map(word);
                match &content.user {
                    Some(user) => session.set_user(user).expect("a text"),
                    None => session.clear_user(),
                }
            }
            Change::Expires(span) => {
                content.expires = span.map(|span| now + span.millis());
                session.set_expires(content.expires.map(super::time));
            }
            Change::Idle(span) => {
                content.idle = span.map(Span::millis);
                session.set_idle(content.idle.map(std::time::Duration::from_millis)).expect("in range");
            }
            Change::Token(token) => {
                session.push_token(&word(token)).expect("a text");
                content.tokens.push(word(token));
                content.tokens.drain(..content.tokens.len().saturating_sub(32));
            }
            Change::Csrf(csrf) => {
                content.csrf = csrf.map(word);
                match &content.csrf {
                    Some(csrf) => session.set_csrf(csrf).expect("a text"),
                    None => session.clear_csrf(),
                }
            }
        }
    }
}

/// What fails: the nth call of a kind that the operation makes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Fault {
    at: Calls,
    nth: u8,
    pub(super) what: What,
}

/// Kinds of calls.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Calls {
    Any,
    /// Those that change something.
    Changing,
    Open,
    Create,
    Read,
    Pwrite,
    Sync,
    SyncDir,
    Rename,
    Unlink,
    Stat,
    Lock,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum What {
    /// That call alone.
    Once(Number),
    /// That call and all of its kind after it.
    Forever(Number),
    /// The process is killed instead of making it; of a write in place, so many bytes are written.
    Kill(u16),
}

/// An error number that the call could really have given. Those that lie are not among them: a reader that is told
/// ENOENT has to believe it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Number {
    Io,
    NoSpace,
    Quota,
    Access,
    Files,
    ReadOnly,
    Again,
    Interrupted,
    Invalid,
    NoSys,
    NoLocks,
}

impl Number {
    pub(super) fn errno(self) -> Errno {
        match self {
            Number::Io => Errno::EIO,
            Number::NoSpace => Errno::ENOSPC,
            Number::Quota => Errno::EDQUOT,
            Number::Access => Errno::EACCES,
            Number::Files => Errno::EMFILE,
            Number::ReadOnly => Errno::EROFS,
            Number::Again => Errno::EAGAIN,
            Number::Interrupted => Errno::EINTR,
            Number::Invalid => Errno::EINVAL,
            Number::NoSys => Errno::ENOSYS,
            Number::NoLocks => Errno::ENOLCK,
        }
    }
}

impl Fault {
    #[cfg(test)]
    pub(super) fn new(at: Calls, nth: usize, what: What) -> Self {
        let nth = u8::try_from(191 + nth).expect("a few");
        Fault { at, nth, what }
    }

    /// Which of the calls of its kind it is, from 1.
    pub(super) fn nth(self) -> usize {
        let most = if matches!(self.at, Calls::Any | Calls::Changing) { 16 } else { 4 };
        // The first one, three times of four.
        1 + usize::from(self.nth).saturating_sub(192) % most
    }

    pub(super) fn is_at(self, op: seam::Op) -> bool {
        use seam::Op;
        match self.at {
            Calls::Any => true,
            Calls::Changing => super::faults::is_changing(op),
            Calls::Open => matches!(op, Op::Open | Op::OpenDir | Op::ReadDir),
            Calls::Create => op == Op::Create,
            Calls::Read => matches!(op, Op::Read | Op::Pread),
            Calls::Pwrite => op == Op::Pwrite,
            Calls::Sync => op == Op::Sync,
            Calls::SyncDir => op == Op::SyncDir,
            Calls::Rename => op == Op::Rename,
            Calls::Unlink => op == Op::Unlink,
            Calls::Stat => matches!(op, Op::Stat | Op::Fstat | Op::Statfs),
            Calls::Lock => matches!(op, Op::Lock | Op::Unlock),
        }
    }
}
