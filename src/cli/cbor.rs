//! Stored values, from their encoding straight to the output: as JSON (RFC 8949, section 6.1) for programs, in
//! diagnostic notation (section 8) for people.
//!
//! | CBOR | JSON | diagnostic |
//! |---|---|---|
//! | bytes | text: base64url without padding | `h'01ff'` |
//! | integer | number | the same |
//! | float | number with a point or an exponent | the same |
//! | NaN, ±infinity | `null` | `NaN`, `Infinity`, `-Infinity` |
//!
//! The bytes have passed the library's strict codec: shortest heads, definite lengths, text keys, no tags, 32
//! levels at most.

use std::io::{self, Write};

use super::text;

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Diagnostic,
}

/// Writes the value that `encoded` encodes.
pub(super) fn write(out: &mut dyn Write, encoded: &[u8], style: Style) -> io::Result<()> {
    let mut walk = Walk { rest: encoded, out, style };
    walk.item()?;
    if walk.rest.is_empty() { Ok(()) } else { Err(foreign()) }
}

/// Bytes that the library would not have let through.
fn foreign() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a stored value is not in the format's encoding")
}

struct Walk<'a, 'o> {
    rest: &'a [u8],
    out: &'o mut dyn Write,
    style: Style,
}

impl<'a> Walk<'a, '_> {
    /// One value with all that it encloses; it calls itself at most 32 deep (VAL-12).
    fn item(&mut self) -> io::Result<()> {
        let &[first] = self.take(1)? else { return Err(foreign()) };
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..24 => u64::from(info),
            24..28 => self.take(1 << (info - 24))?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            _ => return Err(foreign()),
        };
        match major {
            0 => write!(self.out, "{argument}"),
            1 => write!(self.out, "{}", -1 - i128::from(argument)),
            2 => {
                let bytes = self.string(argument)?;
                match self.style {
                    Style::Json => base64url(self.out, bytes),
                    Style::Diagnostic => hex(self.out, bytes),
                }
            }
            3 => self.text(argument),
            4 => self.container(argument, "[", "]", Walk::item),
            5 => self.container(argument, "{", "}", Walk::entry),
            7 => match info {
                20 | 21 => write!(self.out, "{}", info == 21),
                22 => self.out.write_all(b"null"),
                25 => {
                    self.float(half::f16::from_bits(u16::try_from(argument).map_err(|_| foreign())?).to_f64())
                }
                26 => self.float(f64::from(f32::from_bits(u32::try_from(argument).map_err(|_| foreign())?))),
                27 => self.float(f64::from_bits(argument)),
                _ => Err(foreign()),
            },
            _ => Err(foreign()),
        }
    }

    fn container(
        &mut self,
        length: u64,
        open: &str,
        close: &str,
        mut each: impl FnMut(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.out.write_all(open.as_bytes())?;
        for index in 0..length {
            if index > 0 {
                self.out.write_all(if self.style == Style::Json { b"," } else { b", " })?;
            }
            each(self)?;
        }
        self.out.write_all(close.as_bytes())
    }

    fn entry(&mut self) -> io::Result<()> {
        self.item()?;
        self.out.write_all(if self.style == Style::Json { b":" } else { b": " })?;
        self.item()
    }

    fn text(&mut self, length: u64) -> io::Result<()> {
        let text = std::str::from_utf8(self.string(length)?).map_err(|_| foreign())?;
        text::escape(self.out, text, true)
    }

    fn float(&mut self, float: f64) -> io::Result<()> {
        match (self.style, float) {
            // Debug: the shortest digits that read back as the same number, and always a point or an exponent.
            (_, float) if float.is_finite() => write!(self.out, "{float:?}"),
            (Style::Json, _) => self.out.write_all(b"null"),
            (_, float) if float.is_nan() => self.out.write_all(b"NaN"),
            (_, float) => write!(self.out, "{}Infinity", if float < 0.0 { "-" } else { "" }),
        }
    }

    fn string(&mut self, length: u64) -> io::Result<&'a [u8]> {
        self.take(usize::try_from(length).map_err(|_| foreign())?)
    }

    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(foreign)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn hex(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(b"h'")?;
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.write_all(b"'")
}

fn base64url(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    out.write_all(b"\"")?;
    for three in bytes.chunks(3) {
        let byte = |index| usize::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letters = [18, 12, 6, 0].map(|shift| LETTERS[bits >> shift & 63]);
        out.write_all(&letters[..=three.len()])?;
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(encoded: &[u8], style: Style) -> String {
        let mut out = Vec::new();
        write(&mut out, encoded, style).expect("well-formed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values() {
        for (encoded, json, diagnostic) in [
            (&b"\x00"[..], "0", "0"),
            (b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", "9223372036854775807", "9223372036854775807"),
            (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", "-9223372036854775808", "-9223372036854775808"),
            (b"\x20", "-1", "-1"),
            (b"\xf9\x40\x00", "2.0", "2.0"),
            (b"\xf9\x80\x00", "-0.0", "-0.0"),
            (b"\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1", "0.1"),
            (b"\xfa\x7f\x7f\xff\xff", "3.4028234663852886e38", "3.4028234663852886e38"),
            (b"\xfb\x7f\xef\xff\xff\xff\xff\xff\xff", "1.7976931348623157e308", "1.7976931348623157e308"),
            (b"\xf9\x7e\x00", "null", "NaN"),
            (b"\xf9\x7c\x00", "null", "Infinity"),
            (b"\xf9\xfc\x00", "null", "-Infinity"),
            (b"\xf4", "false", "false"),
            (b"\xf5", "true", "true"),
            (b"\xf6", "null", "null"),
            (b"\x40", "\"\"", "h''"),
            (b"\x41\xff", "\"_w\"", "h'ff'"),
            (b"\x42\xff\xfe", "\"__4\"", "h'fffe'"),
            (b"\x43\xff\xfe\xfd", "\"__79\"", "h'fffefd'"),
            (b"\x61\x1b", r#""\u001b""#, r#""\u001b""#),
            (b"\x80", "[]", "[]"),
            (b"\x83\x01\x81\x02\xa0", "[1,[2],{}]", "[1, [2], {}]"),
            (b"\xa2\x61a\x01\x61b\x80", r#"{"a":1,"b":[]}"#, r#"{"a": 1, "b": []}"#),
        ] {
            assert_eq!(rendered(encoded, Style::Json), json);
            assert_eq!(rendered(encoded, Style::Diagnostic), diagnostic);
            serde_json::from_str::<serde_json::Value>(json).expect("JSON");
        }
    }

    #[test]
    fn what_the_library_refuses_is_no_panic() {
        for encoded in [
            &b""[..],
            b"\x18",
            b"\x1f",
            b"\x62a",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xc1\x00",
            b"\xf7",
            b"\x00\x00",
            b"\x61\xff",
        ] {
            assert!(write(&mut Vec::new(), encoded, Style::Json).is_err(), "{encoded:x?}");
        }
    }
}
