//! Time: Unix milliseconds, and the rules of SPEC.md section 8.
//!
//! Below the public edge of the crate "now" is always an argument, so every rule about time can be tested.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: milliseconds since 1970-01-01T00:00:00Z, from 0 to 253402300799999 (the end of the year 9999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

/// The length of a day: how far a stored time may be ahead of the clock before it is set back (TIME-2).
pub(crate) const DAY: u64 = 86_400_000;

impl UnixMillis {
    /// The last moment that the format can hold: 9999-12-31T23:59:59.999Z.
    pub const MAX: UnixMillis = UnixMillis(253_402_300_799_999);

    /// The moment `millis` milliseconds after the epoch, or `None` where the format cannot hold it.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis <= Self::MAX.0 { Some(UnixMillis(millis)) } else { None }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The system's clock; a clock outside the format's range is taken to stand at its nearer end.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(0).plus(since)
    }

    /// This moment and `duration`, at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(self.0.saturating_add(millis).min(Self::MAX.0))
    }

    /// Milliseconds from `earlier` to this moment; zero where `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether this moment is more than a day ahead of `now` (TIME-2, CHK-11).
    #[must_use]
    pub const fn is_far_ahead_of(self, now: Self) -> bool {
        self.millis_since(now) > DAY
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// The Gregorian date of a day, days being counted from 1970-01-01 (Howard Hinnant's `civil_from_days`, for
/// days that are not negative).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// TIME-1: whether a session is expired.
pub(crate) fn expired(
    now: UnixMillis,
    accessed: UnixMillis,
    expires: Option<UnixMillis>,
    idle: Option<u64>,
) -> bool {
    expires.is_some_and(|at| now >= at) || idle.is_some_and(|idle| now.millis_since(accessed) >= idle)
}

/// TIME-2: what `accessed` becomes on a write at `now`.
pub(crate) fn accessed_at(now: UnixMillis, stored: UnixMillis) -> UnixMillis {
    if stored.is_far_ahead_of(now) { now } else { stored.max(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::from_millis(ms).expect("in range")
    }

    #[test]
    fn range() {
        assert_eq!(UnixMillis::from_millis(253_402_300_799_999), Some(UnixMillis::MAX));
        assert_eq!(UnixMillis::from_millis(253_402_300_800_000), None);
        assert_eq!(UnixMillis::MAX.plus(Duration::from_millis(1)), UnixMillis::MAX);
        assert!(UnixMillis::now() > at(1_700_000_000_000));
    }

    #[test]
    fn rfc3339() {
        assert_eq!(at(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999).to_string(), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_735_689_600_000).to_string(), "2025-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }

    /// Exercises TIME-1.
    #[test]
    fn expiry_is_inclusive_and_ignores_negative_ages() {
        assert!(!expired(at(99), at(0), Some(at(100)), None));
        assert!(expired(at(100), at(0), Some(at(100)), None));
        assert!(!expired(at(109), at(100), None, Some(10)));
        assert!(expired(at(110), at(100), None, Some(10)));
        assert!(!expired(at(0), at(100), None, Some(1)), "an age below zero counts as zero");
        assert!(!expired(UnixMillis::MAX, at(0), None, None));
    }

    /// Exercises TIME-2.
    #[test]
    fn accessed_moves_forward_unless_absurd() {
        assert_eq!(accessed_at(at(10), at(5)), at(10));
        assert_eq!(accessed_at(at(5), at(10)), at(10));
        assert_eq!(accessed_at(at(5), at(5 + DAY)), at(5 + DAY));
        assert_eq!(accessed_at(at(5), at(6 + DAY)), at(5));
    }
}
