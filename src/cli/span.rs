//! Spans of time as the command line takes them: `30m`, `500ms`.

use std::time::Duration;

/// The units, with how many milliseconds each is. The longer name first, where one ends like another.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The longest span: the format's last moment, in milliseconds since 1970.
const MOST: u64 = 253_402_300_799_999;

/// A number and a unit, nothing between them.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0);
    let Some((_, millis)) = unit else {
        return Err("give a whole number and a unit (ms, s, m, h or d): 500ms, 30m, 7d".to_owned());
    };
    // A number that is too long for a u64 is too long in any unit.
    let span = number.parse().ok().and_then(|number: u64| number.checked_mul(*millis));
    match span.filter(|span| *span <= MOST) {
        Some(span) => Ok(Duration::from_millis(span)),
        None => Err("that is more than 2932896d, which is the longest there is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("007s", 7000),
            ("30m", 1_800_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("253402300799999ms", MOST),
            ("2932896d", 2_932_896 * 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in
            ["", "0", "30", "m", "1.5h", "-1s", "+1s", " 1s", "1 s", "1s ", "1M", "1min", "1h30m", "１s", "é"]
        {
            assert!(
                parse(text).is_err_and(|why| why.starts_with("give a whole number and a unit")),
                "{text}"
            );
        }
        for text in ["253402300800000ms", "2932897d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err_and(|why| why.starts_with("that is more than")), "{text}");
        }
    }
}
