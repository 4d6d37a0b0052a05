//! The session map: SPEC.md section 7.3, and the session that a program works with.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RECORD_MAX;
use super::attributes::Attributes;
use super::seen::Seen;
use super::value::{self, IN_BODY, IN_DATA};
use crate::error::{ValueError, ValueErrorKind};
use crate::names::{SessionId, SessionRef};
use crate::time::{self, UnixMillis};

/// The longest `addr`, in bytes (BODY-12).
pub const ADDR_MAX: usize = 64;
/// The longest form token and CSRF token, in bytes (BODY-13, BODY-14).
pub const TOKEN_MAX: usize = 128;
/// The most form tokens (BODY-13).
pub const TOKENS_MAX: usize = 32;

/// What a record takes beside the content of its session, at most: magic, array, version, crit, seq (9), the
/// body's head (5), its map's head (9), `id` (3 + 130) or `key` (4 + 34), `rev` (4 + 9), `created` (8 + 9),
/// `accessed` (9 + 9), `expires` (8 + 9), `idle` (5 + 9), digest (34), and the heads of `data`, `tokens`,
/// `addr`, `csrf` and `user` with their keys.
pub(super) const OVERHEAD: usize = 8 + 1 + 3 + 1 + 9 + 5 + 9 + 133 + 13 + 17 + 18 + 17 + 14 + 34 + 64;

/// A session: what it says of itself, and the application's attributes.
///
/// A new one lives in memory only, until a store's `create` or `save` gives it an ID. Attributes are typed by
/// serde; a value that the format cannot hold is refused when it is inserted (section 7.2), and the bytes of
/// an attribute that is not set again stay as they were (VAL-14).
///
/// `Debug` shows neither the ID nor any content.
///
/// ```
/// let mut session = sessiondir::Session::new();
/// session.set_user("ada")?;
/// session.insert("cart", &vec![("A-1", 2), ("B-7", 1)])?;
/// assert_eq!(session.get::<Vec<(String, u32)>>("cart")?.unwrap()[1].0, "B-7");
/// assert_eq!(session.get::<u32>("absent")?, None);
/// assert!(session.insert("huge", &u64::MAX).is_err(), "no integers beyond 2^63-1");
/// # Ok::<(), sessiondir::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Session {
    /// `None` until it is stored.
    pub(super) reference: Option<SessionRef>,
    /// 0 until it is stored.
    pub(super) rev: u64,
    pub(super) created: UnixMillis,
    pub(super) accessed: UnixMillis,
    pub(super) content: Content,
    /// What it was last read from or written as.
    pub(super) seen: Seen,
}

/// What a save compares to find out whether anything changed: all but the numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) expires: Option<UnixMillis>,
    /// Milliseconds.
    pub(super) idle: Option<u64>,
    /// Encoded.
    pub(super) user: Option<Box<[u8]>>,
    pub(super) addr: Option<Box<str>>,
    pub(super) tokens: Vec<Box<str>>,
    pub(super) csrf: Option<Box<str>>,
    pub(super) data: Attributes,
    /// Entries of the body that this version does not know, encoded (REC-14).
    pub(super) unknown: Attributes,
}

impl Session {
    /// A new session, created and accessed now, with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Session::at(UnixMillis::now(), UnixMillis::now())
    }

    /// A new session with the times of another store's: for migrators.
    #[must_use]
    pub fn at(created: UnixMillis, accessed: UnixMillis) -> Self {
        Session {
            reference: None,
            rev: 0,
            created,
            accessed,
            content: Content::default(),
            seen: Seen::default(),
        }
    }

    /// What the store knows the session by; `None` until it is stored.
    #[must_use]
    pub fn reference(&self) -> Option<&SessionRef> {
        self.reference.as_ref()
    }

    /// The ID: `None` until the session is stored, and in a store of naming `hashed` for a session that was not
    /// loaded by its ID.
    #[must_use]
    pub fn id(&self) -> Option<&SessionId> {
        self.reference.as_ref().and_then(SessionRef::id)
    }

    /// The revision: 0 before the session is stored, then 1 and one more with each change of its content.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> UnixMillis {
        self.created
    }

    /// When it was last accessed, as far as that has been written down.
    #[must_use]
    pub fn accessed(&self) -> UnixMillis {
        self.accessed
    }

    /// From when on it is expired, whatever its use.
    #[must_use]
    pub fn expires(&self) -> Option<UnixMillis> {
        self.content.expires
    }

    /// Sets or removes the time from which on it is expired.
    pub fn set_expires(&mut self, expires: Option<UnixMillis>) {
        self.content.expires = expires;
    }

    /// After how long without an access it is expired.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        self.content.idle.map(Duration::from_millis)
    }

    /// Sets or removes the time without an access after which it is expired; fractions of a millisecond are
    /// dropped.
    ///
    /// # Errors
    /// Less than a millisecond, or more than 253402300799999 (BODY-10).
    pub fn set_idle(&mut self, idle: Option<Duration>) -> Result<(), ValueError> {
        let millis = match idle.map(|idle| u64::try_from(idle.as_millis())) {
            None => None,
            Some(Ok(millis)) if (1..=UnixMillis::MAX.as_millis()).contains(&millis) => Some(millis),
            _ => return Err(limit("idle", "from 1 ms to 253402300799999 ms")),
        };
        self.content.idle = millis;
        Ok(())
    }

    /// Whether it is expired at `now` (TIME-1).
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        time::expired(now, self.accessed, self.content.expires, self.content.idle)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// The user is no `T`.
    pub fn user<T: DeserializeOwned>(&self) -> Result<Option<T>, ValueError> {
        decode_at("user", self.content.user.as_deref())
    }

    /// Who is logged in, as CBOR in the format's one encoding.
    #[must_use]
    pub fn user_encoded(&self) -> Option<&[u8]> {
        self.content.user.as_deref()
    }

    /// Whether somebody is logged in.
    #[must_use]
    pub fn has_user(&self) -> bool {
        self.content.user.is_some()
    }

    /// Sets who is logged in: usually a text, but any value other than null.
    ///
    /// # Errors
    /// Null (BODY-11), or a value that the format cannot hold.
    pub fn set_user<T: Serialize + ?Sized>(&mut self, user: &T) -> Result<(), ValueError> {
        let encoded = value::encode(user, IN_BODY).map_err(|e| e.inside("user"))?;
        if encoded == NULL {
            return Err(ValueError::new("user", ValueErrorKind::Null));
        }
        self.set_user_encoded(&encoded)
    }

    /// Sets the user to a value that is encoded already.
    pub(crate) fn set_user_encoded(&mut self, encoded: &[u8]) -> Result<(), ValueError> {
        let old = self.content.user.as_ref().map_or(0, |user| user.len());
        self.room_for("user", encoded.len(), old)?;
        self.content.user = Some(encoded.into());
        Ok(())
    }

    /// Nobody is logged in any more.
    pub fn clear_user(&mut self) {
        self.content.user = None;
    }

    /// The client's address when the session was created.
    #[must_use]
    pub fn addr(&self) -> Option<&str> {
        self.content.addr.as_deref()
    }

    /// Sets the client's address.
    ///
    /// # Errors
    /// Empty, or longer than 64 bytes (BODY-12).
    pub fn set_addr(&mut self, addr: &str) -> Result<(), ValueError> {
        if addr.is_empty() || addr.len() > ADDR_MAX {
            return Err(limit("addr", "from 1 to 64 bytes"));
        }
        self.content.addr = Some(addr.into());
        Ok(())
    }

    /// The outstanding form tokens, oldest first.
    #[must_use]
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        self.content.tokens.iter().map(|token| &**token)
    }

    /// Adds a form token; beyond 32 the oldest goes.
    ///
    /// # Errors
    /// Empty, or longer than 128 bytes (BODY-13).
    pub fn push_token(&mut self, token: &str) -> Result<(), ValueError> {
        if token.is_empty() || token.len() > TOKEN_MAX {
            return Err(limit("tokens", "from 1 to 128 bytes each"));
        }
        if self.content.tokens.len() == TOKENS_MAX {
            self.content.tokens.remove(0);
        }
        self.content.tokens.push(token.into());
        Ok(())
    }

    /// Removes a form token, and says whether it was there.
    pub fn remove_token(&mut self, token: &str) -> bool {
        let found = self.content.tokens.iter().position(|t| **t == *token);
        if let Some(index) = found {
            self.content.tokens.remove(index);
        }
        found.is_some()
    }

    /// The session's CSRF token.
    #[must_use]
    pub fn csrf(&self) -> Option<&str> {
        self.content.csrf.as_deref()
    }

    /// Sets the session's CSRF token.
    ///
    /// # Errors
    /// Empty, or longer than 128 bytes (BODY-14).
    pub fn set_csrf(&mut self, csrf: &str) -> Result<(), ValueError> {
        if csrf.is_empty() || csrf.len() > TOKEN_MAX {
            return Err(limit("csrf", "from 1 to 128 bytes"));
        }
        self.content.csrf = Some(csrf.into());
        Ok(())
    }

    /// Removes the CSRF token.
    pub fn clear_csrf(&mut self) {
        self.content.csrf = None;
    }

    /// The attribute `key` as a `T`; `None` where there is none.
    ///
    /// # Errors
    /// The attribute is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ValueError> {
        let encoded = self.content.data.encoded(key);
        decode_at("", encoded).map_err(|e: ValueError| e.inside(&key.escape_debug().to_string()))
    }

    /// Sets the attribute `key`.
    ///
    /// # Errors
    /// A value that the format cannot hold (section 7.2), or a session that would be larger than 16 MiB − 64
    /// with it (REC-8). The old value stays.
    pub fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), ValueError> {
        let encoded = value::encode(value, IN_DATA).map_err(|e| e.inside(&key.escape_debug().to_string()))?;
        self.insert_encoded(key, &encoded)
    }

    /// Sets the attribute `key` to a value that is encoded already.
    pub(crate) fn insert_encoded(&mut self, key: &str, encoded: &[u8]) -> Result<(), ValueError> {
        let old = self.content.data.size_of(key);
        self.room_for(&key.escape_debug().to_string(), Attributes::size(key, encoded), old)?;
        self.content.data.set(key, encoded);
        Ok(())
    }

    /// The attribute `key`, encoded.
    #[cfg(feature = "web")]
    pub(crate) fn encoded(&self, key: &str) -> Option<&[u8]> {
        self.content.data.encoded(key)
    }

    /// Removes the attribute `key`, and says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.content.data.remove(key)
    }

    /// Removes every attribute.
    pub fn clear(&mut self) {
        self.content.data = Attributes::default();
    }

    /// Whether there is an attribute `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.content.data.encoded(key).is_some()
    }

    /// The attributes' keys and values, the values as CBOR in the format's one encoding; in the order of
    /// VAL-8 (shorter keys first).
    #[must_use]
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.content.data.iter()
    }

    /// Whether the session holds anything: a user, a form token, a CSRF token or an attribute.
    #[must_use]
    pub fn has_info(&self) -> bool {
        let Content { user, tokens, csrf, data, .. } = &self.content;
        user.is_some() || !tokens.is_empty() || csrf.is_some() || !data.is_empty()
    }

    /// Whether every entry of the body is one that this version knows.
    pub(crate) fn knows_all(&self) -> bool {
        self.content.unknown.is_empty()
    }

    /// Whether a save of `self` over `other` would change anything (WRITE-9).
    pub(crate) fn has_same_content(&self, other: &Session) -> bool {
        self.content == other.content
    }

    /// Whether `current` is the revision that `self` was loaded from (WRITE-1).
    pub(crate) fn is_based_on(&self, current: &Session) -> bool {
        self.rev == current.rev && self.created == current.created
    }

    /// Takes over all that `other` holds, and none of its numbers.
    pub(crate) fn take_content(&mut self, other: &Session) {
        self.content = other.content.clone();
    }

    /// How long its record is at most, in bytes.
    pub(crate) fn size(&self) -> usize {
        let Content { user, addr, tokens, csrf, data, unknown, .. } = &self.content;
        OVERHEAD
            + user.as_ref().map_or(0, |user| user.len())
            + addr.as_ref().map_or(0, |addr| addr.len())
            + tokens.iter().map(|token| token.len() + 2).sum::<usize>()
            + csrf.as_ref().map_or(0, |csrf| csrf.len())
            + data.total()
            + unknown.total()
    }

    /// Refuses `new` more bytes of content in the place of `old` where the record would break REC-8.
    fn room_for(&self, what: &str, new: usize, old: usize) -> Result<(), ValueError> {
        if self.size() - old + new > RECORD_MAX {
            let limit = "the session's record would be larger than 16777152 bytes (16 MiB - 64)";
            return Err(ValueError::new(what, ValueErrorKind::Room(limit)));
        }
        Ok(())
    }

    /// The session that is stored as `reference`, which the record may know by its key only.
    pub(crate) fn known_as(mut self, reference: &SessionRef) -> Self {
        if self.reference.as_ref() != Some(reference) {
            self.reference = Some(reference.clone());
        }
        self
    }

    /// The next revision of `current`, its content replaced by that of `self` at `now`.
    pub(crate) fn next(&self, current: &Session, now: UnixMillis) -> Session {
        let mut next = self.clone();
        next.become_next(current, now);
        next
    }

    /// The record that it was last read from or written as; empty where that is not known.
    pub(crate) fn seen(&self) -> &[u8] {
        self.seen.record()
    }

    /// Notes the record that it has been read from or written as.
    pub(crate) fn see(&mut self, seen: Seen) {
        self.seen = seen;
    }

    /// Becomes the next revision of `current`, with the content that it has.
    pub(crate) fn become_next(&mut self, current: &Session, now: UnixMillis) {
        (self.rev, self.accessed) = current.numbers_after(now);
        self.created = current.created;
        // Whatever an update's function has put in the place of the session, its name stays (BODY-5).
        if self.reference != current.reference {
            self.reference.clone_from(&current.reference);
        }
    }

    /// `rev` and `accessed` of the revision after this one, made at `now`.
    pub(super) fn numbers_after(&self, now: UnixMillis) -> (u64, UnixMillis) {
        (self.rev + 1, time::accessed_at(now, self.accessed))
    }

    /// What a touch moves `accessed` to; `None` where it would move by less than `resolution`, or a tenth of `idle` if
    /// that is less. WRITE-17.
    pub(crate) fn accessed_by_touch(&self, now: UnixMillis, resolution: Duration) -> Option<UnixMillis> {
        let accessed = time::accessed_at(now, self.accessed);
        let resolution = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let least = self.content.idle.map_or(resolution, |idle| resolution.min(idle / 10)).max(1);
        let moves = accessed.millis_since(self.accessed).max(self.accessed.millis_since(accessed));
        (moves >= least).then_some(accessed)
    }

    /// The session as a touch leaves it; `None` where it leaves it alone. WRITE-16, WRITE-17.
    pub(crate) fn touched(&self, now: UnixMillis, resolution: Duration) -> Option<Session> {
        Some(self.clone().into_accessed(self.accessed_by_touch(now, resolution)?))
    }

    /// The session with `accessed` moved and nothing else (WRITE-16).
    pub(crate) fn into_accessed(self, accessed: UnixMillis) -> Session {
        Session { accessed, ..self }
    }

    /// The session, its `accessed` set to `now` where it is too far ahead of that (TIME-2).
    pub(crate) fn with_sane_access(mut self, now: UnixMillis) -> Session {
        if self.accessed.is_far_ahead_of(now) {
            self.accessed = now;
        }
        self
    }

    /// Takes over what `newer`, which a migrator has read again, holds. `expires` and `idle` stay: a second
    /// import does not make a session live longer. Says whether anything changed.
    #[cfg(feature = "session3")]
    pub(crate) fn take_over(&mut self, newer: &Session) -> bool {
        let Content { expires, idle, unknown, .. } = self.content.clone();
        let content = Content { expires, idle, unknown, ..newer.content.clone() };
        if content == self.content {
            return false;
        }
        self.content = content;
        self.content.unknown.set(IMPORTED, &imported(self.rev + 1));
        true
    }

    /// Whether nobody but a migrator has changed the session: it is of the first revision, or of the one that
    /// [`Session::take_over`] noted.
    #[cfg(feature = "session3")]
    pub(crate) fn is_as_imported(&self) -> bool {
        self.rev == 1 || self.content.unknown.encoded(IMPORTED) == Some(&*imported(self.rev))
    }

    /// The first revision of a session under `reference`.
    pub(crate) fn first(&self, reference: SessionRef) -> Session {
        let mut first = self.clone();
        first.become_first(reference);
        first
    }

    /// Becomes the first revision under `reference`.
    pub(crate) fn become_first(&mut self, reference: SessionRef) {
        self.reference = Some(reference);
        self.rev = 1;
        self.seen = Seen::default();
    }

    /// The session under a new ID, after a rotation of `current` at `now` (ROT-3).
    pub(crate) fn rotated(&self, current: &Session, reference: SessionRef, now: UnixMillis) -> Session {
        let mut next = self.first(reference);
        next.created = current.created;
        next.accessed = time::accessed_at(now, current.accessed);
        next.content.tokens.clear();
        next.content.csrf = None;
        next
    }
}

impl Default for Session {
    fn default() -> Self {
        Session::new()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("reference", &self.reference)
            .field("rev", &self.rev)
            .field("created", &self.created)
            .field("accessed", &self.accessed)
            .field("attributes", &self.content.data.len())
            .finish_non_exhaustive()
    }
}

/// The private entry (BODY-17) that holds the revision which a later run of a migrator has made. The first
/// run needs none: it makes revision 1.
#[cfg(feature = "session3")]
const IMPORTED: &str = "sessiondir.imported";

#[cfg(feature = "session3")]
fn imported(rev: u64) -> Box<[u8]> {
    let mut encoded = Vec::with_capacity(9);
    super::cbor::put_head(&mut encoded, super::cbor::UNSIGNED, rev);
    encoded.into()
}

/// The encoding of null.
pub(super) const NULL: [u8; 1] = [0xf6];

pub(super) fn limit(what: &str, limit: &'static str) -> ValueError {
    ValueError::new(what, ValueErrorKind::Limit(limit))
}

fn decode_at<T: DeserializeOwned>(path: &str, encoded: Option<&[u8]>) -> Result<Option<T>, ValueError> {
    encoded.map(value::decode).transpose().map_err(|e| e.inside(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ID_MAX, Naming};
    use crate::record::{COUNTER_MAX, decode_record};

    /// Exercises REC-8. A session that could be made but not stored would be found out too late.
    #[test]
    fn no_record_is_longer_than_the_size_says() {
        let mut session = Session::new();
        session.set_user("u").expect("fits");
        session.set_addr(&"a".repeat(ADDR_MAX)).expect("fits");
        session.set_csrf(&"c".repeat(TOKEN_MAX)).expect("fits");
        for _ in 0..TOKENS_MAX {
            session.push_token(&"t".repeat(TOKEN_MAX)).expect("fits");
        }
        session.set_expires(Some(UnixMillis::MAX));
        session.set_idle(Some(Duration::from_millis(UnixMillis::MAX.as_millis()))).expect("fits");
        session.insert("k", &vec![0u8; 70_000]).expect("fits");
        let id = SessionId::new("A".repeat(ID_MAX)).expect("an ID");
        let latest = UnixMillis::MAX;
        let session = Session {
            reference: Some(SessionRef::Id(id)),
            rev: COUNTER_MAX,
            created: latest,
            accessed: latest,
            ..session
        };
        let record = session.encode(COUNTER_MAX, Naming::Plain).expect("encoded");
        assert!(decode_record(&record).is_ok());
        // The map's head is 8 bytes shorter than the longest, and the 64 for five heads and their keys are more than enough.
        assert_eq!(session.size() - record.len(), 44);
    }

    /// Exercises REC-8.
    #[test]
    fn an_attribute_may_fill_the_record_and_be_replaced_by_one_as_long() {
        let mut session = Session::new();
        session.insert("x", "").expect("fits");
        // Its head becomes four bytes longer.
        let room = "x".repeat(RECORD_MAX - session.size() - 4);
        session.insert("x", &room).expect("fills it");
        assert_eq!(session.size(), RECORD_MAX);
        session.insert("x", &room).expect("takes the place of the other");
        session.insert("x", &format!("{room}x")).expect_err("a byte more");
        session.set_user("u").expect_err("more");
        assert_eq!(session.get::<String>("x").expect("a text"), Some(room));
    }
}
