//! Numbers and text as the opcodes spell them.

use std::fmt::Write;

use super::arena::{Arena, Node};
use super::error::PickleErrorKind;

/// Two's complement, least significant byte first: LONG1 and LONG4.
pub(super) fn long(bytes: &[u8], max_digits: usize, arena: &mut Arena) -> Result<Node, PickleErrorKind> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let filler = if negative { 0xff } else { 0x00 };
    let mut bytes = bytes;
    while let [rest @ .., last] = bytes {
        if *last != filler {
            break;
        }
        bytes = rest;
    }
    // The sign bit may have gone with the filler, so one byte less than an i128 has.
    if bytes.len() < size_of::<i128>() {
        let mut wide = [filler; size_of::<i128>()];
        wide[..bytes.len()].copy_from_slice(bytes);
        let value = i128::from_le_bytes(wide);
        return Ok(match i64::try_from(value) {
            Ok(small) => Node::Int(small),
            Err(_) => Node::Big(value.to_string()),
        });
    }
    // A digit takes log2(10) / 8 = 0.4153 bytes.
    let too_many = PickleErrorKind::TooMany("digits", max_digits);
    if bytes.len() > max_digits.saturating_mul(416) / 1000 + 2 {
        return Err(too_many);
    }
    // The conversion is quadratic, so many numbers below the cap need a price too.
    arena.pay_copy(bytes.len() * bytes.len() / 32)?;
    let digits = decimal(bytes, negative);
    if digits.len() - usize::from(negative) > max_digits {
        return Err(too_many);
    }
    Ok(Node::Big(digits))
}

fn decimal(bytes: &[u8], negative: bool) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut magnitude = bytes.to_vec();
    if negative {
        // Every byte inverted, plus one; a power of 256 carries into a new byte.
        let mut carry = true;
        for byte in &mut magnitude {
            let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = over;
        }
        if carry {
            magnitude.push(1);
        }
    }
    let mut limbs: Vec<u32> = magnitude
        .chunks(4)
        .map(|chunk| {
            let mut limb = [0; 4];
            limb[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(limb)
        })
        .collect();
    let mut chunks = Vec::new();
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    while !limbs.is_empty() {
        let mut rest = 0;
        for limb in limbs.iter_mut().rev() {
            let part = (rest << 32) | u64::from(*limb);
            // Below 2^32, because `rest` is below the divisor.
            *limb = u32::try_from(part / CHUNK).unwrap_or(u32::MAX);
            rest = part % CHUNK;
        }
        chunks.push(rest);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    for (count, chunk) in chunks.iter().rev().enumerate() {
        if count == 0 {
            text.push_str(&chunk.to_string());
        } else {
            let _ = write!(text, "{chunk:09}");
        }
    }
    text
}

/// Decimal digits with an optional minus, as INT and LONG write them.
pub(super) fn decimal_int(line: &[u8], max_digits: usize) -> Result<Node, PickleErrorKind> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    if digits.len() > max_digits {
        return Err(PickleErrorKind::TooMany("digits", max_digits));
    }
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return Err(PickleErrorKind::BadNumber);
    }
    let text = std::str::from_utf8(line).map_err(|_| PickleErrorKind::BadNumber)?;
    Ok(match text.parse() {
        Ok(small) => Node::Int(small),
        Err(_) => Node::Big(text.to_owned()),
    })
}

/// Python's `repr` of a float, as FLOAT writes it.
pub(super) fn decimal_float(line: &[u8]) -> Result<f64, PickleErrorKind> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(PickleErrorKind::BadNumber)
}

/// The `repr` of a Python 2 `str`, as STRING writes it.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, PickleErrorKind> {
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else {
        return Err(PickleErrorKind::BadString);
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, tail) = rest.split_first().ok_or(PickleErrorKind::BadString)?;
        rest = tail;
        match escape {
            b'\\' | b'\'' | b'"' => out.push(escape),
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            b'x' => {
                let value = hex(rest, 2).ok_or(PickleErrorKind::BadString)?;
                out.push(u8::try_from(value).map_err(|_| PickleErrorKind::BadString)?);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
                let value = rest[..more]
                    .iter()
                    .fold(u32::from(escape - b'0'), |sum, digit| sum * 8 + u32::from(digit - b'0'));
                out.push(u8::try_from(value).map_err(|_| PickleErrorKind::BadString)?);
                rest = &rest[more..];
            }
            _ => out.extend([b'\\', escape]),
        }
    }
    Ok(out)
}

/// Latin-1 with `\uXXXX` and `\UXXXXXXXX`, as UNICODE writes it.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Result<String, PickleErrorKind> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        out.push(char::from(byte));
        if byte != b'\\' {
            continue;
        }
        let Some((&escape, tail)) = rest.split_first() else {
            break;
        };
        rest = tail;
        let digits = match escape {
            b'u' => 4,
            b'U' => 8,
            _ => {
                out.push(char::from(escape));
                continue;
            }
        };
        let char = hex(rest, digits).and_then(char::from_u32).ok_or(PickleErrorKind::NotUnicode)?;
        // The backslash was an escape after all.
        out.pop();
        out.push(char);
        rest = &rest[digits..];
    }
    Ok(out)
}

fn hex(bytes: &[u8], digits: usize) -> Option<u32> {
    bytes.get(..digits)?.iter().try_fold(0, |sum, &digit| Some((sum << 4) | char::from(digit).to_digit(16)?))
}

/// `repr()` of a float: the shortest digits that give it back, with an exponent
/// below 1e-4 and from 1e16 on.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// `repr()` of bytes.
pub(super) fn bytes_repr(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::from("b");
    out.push(quote);
    for &byte in bytes {
        escape_ascii(char::from(byte), quote, &mut out);
    }
    out.push(quote);
    out
}

/// `repr()` of text, or nothing where it hangs on Python's table of what can be printed.
pub(super) fn text_repr(text: &str) -> Option<String> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::new();
    out.push(quote);
    for char in text.chars() {
        if char.is_ascii() {
            escape_ascii(char, quote, &mut out);
        } else if char.is_alphanumeric() {
            out.push(char);
        } else {
            return None;
        }
    }
    out.push(quote);
    Some(out)
}

/// One character up to U+00FF; past ASCII it stands for a byte.
fn escape_ascii(char: char, quote: char, out: &mut String) {
    match char {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\\' => out.push_str("\\\\"),
        ' '..='~' => {
            if char == quote {
                out.push('\\');
            }
            out.push(char);
        }
        _ => {
            let _ = write!(out, "\\x{:02x}", u32::from(char));
        }
    }
}
