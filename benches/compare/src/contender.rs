//! What is measured, and of whom.

use std::time::Instant;

use crate::Result;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Load,
    Save,
    /// A save over what another process has saved.
    SaveOther,
    Update,
    /// One that is due.
    Touch,
    Create,
    Delete,
}

impl Op {
    /// A deletion removes what the creation before it has made.
    pub const ALL: &[Op] =
        &[Op::Load, Op::Save, Op::SaveOther, Op::Update, Op::Touch, Op::Create, Op::Delete];

    pub fn name(self) -> &'static str {
        match self {
            Op::Load => "load",
            Op::Save => "save",
            Op::SaveOther => "save-other",
            Op::Update => "update",
            Op::Touch => "touch",
            Op::Create => "create",
            Op::Delete => "delete",
        }
    }
}

/// One that is measured.
pub trait Contender {
    fn name(&self) -> String;
    /// Nanoseconds an operation, of `count` of them; `None` where it has no such operation.
    fn run(&mut self, op: Op, count: usize) -> Result<Option<f64>>;
}

/// How many sessions the operations go round.
pub fn pool(size: usize) -> usize {
    if size > 100_000 { 4 } else { 100 }
}

/// The attributes of a session of `size`: ten texts.
pub fn attributes(size: usize) -> Vec<(String, String)> {
    (0..10).map(|n| (format!("k{n}"), "x".repeat(size / 10))).collect()
}

/// Adds up the time of what is to be measured, and of nothing else.
#[derive(Default)]
pub struct Watch(u128, u32);

impl Watch {
    pub fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        self.0 += start.elapsed().as_nanos();
        self.1 += 1;
        result
    }

    /// Nanoseconds a call.
    #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    #[allow(clippy::unnecessary_wraps, reason = "as a contender answers")]
    pub fn each(&self) -> Option<f64> {
        Some(self.0 as f64 / f64::from(self.1.max(1)))
    }
}
