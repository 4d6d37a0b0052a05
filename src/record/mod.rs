//! Records: SPEC.md section 7. One encoding for each session, and one reading of any bytes.
//!
//! `envelope` finds out whether a record is whole; `session` is what its body means; `cbor` is the strict
//! codec under both, and `value` the way from and to a program's types. Nothing here makes a system call.

mod attributes;
mod body;
pub(crate) mod cbor;
pub(crate) mod envelope;
pub(crate) mod seen;
mod session;
pub(crate) mod value;

pub(crate) use body::{Draft, KEYS, for_each_key};
pub use session::{ADDR_MAX, Session, TOKEN_MAX, TOKENS_MAX};

use crate::error::{Error, Unsupported};
use crate::names::FileName;
use crate::rule::{Fault, Rule};

/// The record version that this implementation writes, and the only one that it reads.
pub const VERSION: u16 = 1;
/// The longest record, in bytes (REC-8).
pub const RECORD_MAX: usize = (16 << 20) - 64;
/// The smallest slot, in bytes: a page, so that slots share neither page nor sector (SLOT-1).
pub(crate) const SLOT_MIN: usize = 4096;
/// What a record may grow by when only its numbers do (SLOT-5).
pub(crate) const SPARE: usize = 32;

/// The smallest slot for a record of `length` bytes. SLOT-5.
pub(crate) fn slot_for(length: usize) -> usize {
    (length + SPARE).next_power_of_two().max(SLOT_MIN)
}

/// The highest seq and rev: 2^53−1 (REC-5, BODY-6), so that JavaScript can count them.
pub const COUNTER_MAX: u64 = (1 << 53) - 1;

/// Why a whole record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It breaks a rule.
    Corrupt(Fault),
    /// It needs a newer implementation.
    Unsupported(Unsupported, Fault),
}

impl Refusal {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Refusal::Corrupt(fault) | Refusal::Unsupported(_, fault) => *fault,
        }
    }

    /// The error of a reader, `base` being where the record starts in its file.
    pub(crate) fn into_error(self, base: usize) -> Error {
        match self {
            Refusal::Corrupt(fault) => Error::Corrupt { session: None, fault: fault.within(base) },
            Refusal::Unsupported(what, fault) => {
                Error::Unsupported { session: None, what, fault: fault.within(base) }
            }
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Corrupt(fault)
    }
}

/// Judges a whole record, of which `envelope` is the outline: REC-9 to REC-12, VAL, BODY. With `named_by`, also
/// BODY-5: whether it names the session whose file it stands in.
pub(crate) fn decode(
    record: &[u8],
    envelope: &envelope::Envelope,
    named_by: Option<&FileName>,
) -> Result<Session, Refusal> {
    if envelope.version != VERSION {
        let what = Unsupported::RecordVersion(envelope.version);
        return Err(Refusal::Unsupported(what, Fault::new(Rule::Rec9, envelope.version_at)));
    }
    let crit = envelope.crit(record)?;
    Session::decode(record, envelope, &crit, named_by)
}

/// Decodes a record that stands alone, and returns its seq and its session. For a record in a file, a store
/// does this.
///
/// # Errors
/// [`Error::Corrupt`] with the rule and the offset in `record`, or [`Error::Unsupported`].
pub fn decode_record(record: &[u8]) -> Result<(u64, Session), Error> {
    let corrupt = |fault| Error::Corrupt { session: None, fault };
    let envelope = envelope::Envelope::read(record).map_err(|damage| corrupt(damage.fault))?;
    if envelope.end != record.len() {
        return Err(corrupt(Fault::new(Rule::Rec8, envelope.end)));
    }
    let session = decode(record, &envelope, None).map_err(|refusal| refusal.into_error(0))?;
    Ok((envelope.seq, session))
}

/// Encodes a stored or new session as record `seq` that stands alone.
///
/// # Errors
/// [`Error::InvalidValue`] for a session without an ID and for a `seq` that is out of range,
/// [`Error::TooLarge`] for a record beyond [`RECORD_MAX`].
pub fn encode_record(seq: u64, session: &Session) -> Result<Vec<u8>, Error> {
    session.encode_alone(seq)
}
