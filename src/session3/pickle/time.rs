//! Dates and times: the states that `datetime` pickles, and `isoformat()`.

use std::fmt::Write;

const DAY_SECONDS: i128 = 86_400;
const SECOND_MICROS: i128 = 1_000_000;

/// Year (two bytes, big-endian), month, day. `fold` is the month's highest bit.
pub(super) fn date(state: &[u8]) -> Option<String> {
    let &[high, low, month, day] = state else {
        return None;
    };
    let year = u16::from_be_bytes([high, low]);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    let valid = (1..=9999).contains(&year) && (1..=days).contains(&day);
    valid.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// Hour, minute, second, microsecond (three bytes, big-endian). `fold` is the highest bit of
/// the hour; it has no place in `isoformat()`.
pub(super) fn time(state: &[u8]) -> Option<String> {
    let &[hour, minute, second, a, b, c] = state else {
        return None;
    };
    let hour = hour & 0x7f;
    let micros = u32::from_be_bytes([0, a, b, c]);
    if hour > 23 || minute > 59 || second > 59 || micros > 999_999 {
        return None;
    }
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if micros > 0 {
        let _ = write!(text, ".{micros:06}");
    }
    Some(text)
}

/// A date and a time.
pub(super) fn date_time(state: &[u8]) -> Option<String> {
    let (day, clock) = state.split_at_checked(4)?;
    let mut day: [u8; 4] = day.try_into().ok()?;
    day[2] &= 0x7f;
    // Only a `time` alone keeps `fold` in the hour.
    if clock.first().is_some_and(|hour| hour & 0x80 != 0) {
        return None;
    }
    Some(format!("{}T{}", date(&day)?, time(clock)?))
}

/// `+HH:MM`, with seconds and microseconds where there are some.
pub(super) fn offset(micros: i64) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    let rest = micros.unsigned_abs();
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{sign}{hour:02}:{minute:02}");
    if second > 0 || micros > 0 {
        let _ = write!(text, ":{second:02}");
    }
    if micros > 0 {
        let _ = write!(text, ".{micros:06}");
    }
    text
}

/// `timedelta(days, seconds, microseconds)` as whole seconds and microseconds from 0 on.
pub(super) fn normalise(days: i64, seconds: i64, micros: i64) -> Option<(i64, u32)> {
    let seconds = i128::from(days) * DAY_SECONDS + i128::from(seconds);
    let total = seconds * SECOND_MICROS + i128::from(micros);
    let seconds = total.div_euclid(SECOND_MICROS);
    if seconds.div_euclid(DAY_SECONDS).abs() > 999_999_999 {
        return None;
    }
    let micros = u32::try_from(total.rem_euclid(SECOND_MICROS)).ok()?;
    Some((i64::try_from(seconds).ok()?, micros))
}

/// A `timezone`'s offset in microseconds: less than a day either way.
pub(super) fn zone_offset(seconds: i64, micros: u32) -> Option<i64> {
    let total = i128::from(seconds) * SECOND_MICROS + i128::from(micros);
    (total.abs() < DAY_SECONDS * SECOND_MICROS).then(|| i64::try_from(total).ok())?
}

/// `total_seconds()`, rounded once.
pub(super) fn total_seconds(seconds: i64, micros: u32) -> f64 {
    let total = i128::from(seconds) * SECOND_MICROS + i128::from(micros);
    // The division of Python's integers rounds correctly, and so does the parser of decimals.
    format!("{total}e-6").parse().unwrap_or(f64::NAN)
}
