//! A session's file after a writer has written to it: SPEC.md section 6, to the last byte.

use super::content::Content;
use super::scene::{Entry, Store};
use crate::conformance::case::{Outcome, ensure, failed};
use crate::record;
use crate::record::envelope::Envelope;
use crate::rule::Fault;
use crate::slots::{self, Verdict};

/// How a record came into its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Into the other slot, and no other byte has changed.
    InPlace,
    /// In a new file in the place of the old one, or where none was.
    NewFile,
    /// As the writer likes.
    Either,
}

/// Judges the file `name`, which `before` was and `after` is: its current record has to be that of `content` with
/// that seq.
pub(super) fn written(
    store: Store,
    name: &str,
    before: Option<&Entry>,
    after: &Entry,
    (content, seq): (&Content, u64),
    how: How,
) -> Outcome {
    ensure(after.kind == "file", || format!("{name}: expected a file, found a {}", after.kind))?;
    let (envelope, index) = current(store, name, &after.bytes)?;
    let size = after.bytes.len() / 2;
    let slot = &after.bytes[index * size..][..size];
    let record = &slot[..envelope.end];
    ensure(envelope.seq == seq, || {
        format!(
            "{name}: expected a current record of seq {seq} (WRITE-2), found {} in slot {index}",
            envelope.seq
        )
    })?;
    same_record(store, name, (content, seq), (record, &envelope))?;
    if let Some(stray) = slot[envelope.end..].iter().position(|byte| *byte != 0) {
        let at = index * size + envelope.end + stray;
        return failed(format!(
            "{name}: expected zeros after the record (SLOT-4), found another byte at {at}"
        ));
    }
    let other = |bytes: &[u8]| bytes[(1 - index) * size..][..size].to_vec();
    let in_place = before.is_some_and(|before| before.inode == after.inode);
    match (how, in_place) {
        (How::InPlace, false) => failed(format!(
            "{name}: expected that the record is written in place (WRITE-3), found another file under that name"
        )),
        (How::NewFile, true) => {
            failed(format!("{name}: expected that the file is replaced (WRITE-6), found the same one"))
        }
        (_, true) => {
            let before = before.expect("the same file was there");
            ensure(before.bytes.len() == after.bytes.len(), || {
                let (before, after) = (before.bytes.len(), after.bytes.len());
                format!("{name}: expected that its size stays {before} (SLOT-1), found {after}")
            })?;
            ensure(before.mode == after.mode, || {
                format!("{name}: expected that its mode stays {:o}, found {:o}", before.mode, after.mode)
            })?;
            ensure(other(&before.bytes) == other(&after.bytes), || {
                format!(
                    "{name}: expected that slot {} stays as it was (WRITE-3), found other bytes",
                    1 - index
                )
            })
        }
        (_, false) => {
            let expected = 2 * slots::slot_for(envelope.end);
            ensure(after.bytes.len() == expected, || {
                let found = after.bytes.len();
                format!("{name}: expected a new file of {expected} bytes (SLOT-5), found {found}")
            })?;
            ensure(after.mode == 0o600, || {
                format!("{name}: expected a new file of mode 600 (DIR-6), found {:o}", after.mode)
            })?;
            ensure(other(&after.bytes).iter().all(|byte| *byte == 0), || {
                format!("{name}: expected zeros in slot {} of a new file, found other bytes", 1 - index)
            })
        }
    }
}

/// The file's current record, which has to be beyond doubt, and the slot that holds it.
fn current(
    store: Store,
    name: &str,
    file: &[u8],
) -> Result<(Envelope, usize), crate::conformance::case::Failure> {
    let broken = |Fault { rule, offset, .. }: Fault| {
        failed(format!("{name}: expected a current record, found that {rule} is broken at {offset}"))
    };
    match slots::choose(file, store.durability == "process") {
        Verdict::Current(index, envelope) => Ok((envelope, index)),
        Verdict::Candidate { index, .. } => failed(format!(
            "{name}: expected that the slot beside the current record is empty or holds the record before, found \
             neither beside slot {index}"
        )),
        Verdict::Stillborn => failed(format!("{name}: expected a current record, found a stillborn file")),
        Verdict::None(fault) => broken(fault),
    }
}

fn same_record(
    store: Store,
    name: &str,
    (content, seq): (&Content, u64),
    (record, envelope): (&[u8], &Envelope),
) -> Outcome {
    if record == content.record(seq) {
        return Ok(());
    }
    if let Some(difference) = Content::read(record, envelope).and_then(|found| content.difference(&found)) {
        return failed(format!("{name}, record {seq}, {difference}"));
    }
    let file_name = crate::names::session_name(name.as_bytes(), store.naming);
    let fault = match record::decode(record, envelope, file_name.as_ref()) {
        Ok(_) => String::new(),
        Err(refusal) => format!(": {} is broken at {}", refusal.fault().rule, refusal.fault().offset),
    };
    failed(format!("{name}, record {seq}: expected the one encoding of its session, found another{fault}"))
}
