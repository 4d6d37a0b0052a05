//! Markers: the parser against the grammar of section 5.2, read again line by line; and what is written is read.

use sessiondir::marker::MarkerError;
use sessiondir::rule::Rule;
use sessiondir::{Durability, Marker, Naming};

/// What a marker is.
#[derive(Debug, PartialEq)]
enum Said {
    Marker(Marker),
    /// The rule, and where: the line that breaks it.
    Broken(Rule, usize),
}

/// The property.
pub fn check(text: &[u8]) {
    let said = match Marker::parse(text) {
        Ok(marker) => Said::Marker(marker),
        Err(MarkerError::Malformed(fault) | MarkerError::Unsupported(_, fault)) => {
            Said::Broken(fault.rule, fault.offset)
        }
    };
    let shown = text.escape_ascii();
    assert_eq!(read(text), said, "the grammar, and then the parser, of {shown}");
    if let Said::Marker(marker) = said {
        let written = marker.text();
        assert_eq!(Marker::parse(written.as_bytes()), Ok(marker), "{shown}");
        // There is one way to write it, but for the lines that a later version may add.
        assert!(text.starts_with(written.as_bytes()), "{shown}");
        assert_eq!(marker.is_writable(), marker.write_version == 1);
        assert!(text.len() == written.len() || !marker.is_writable(), "{shown}");
    }
}

/// MARK-1, MARK-2 and MARK-4, in the order in which the lines come.
fn read(text: &[u8]) -> Said {
    // Where each line begins; what follows the last line feed is no line.
    let mut lines: Vec<(usize, &[u8])> = Vec::new();
    let mut from = 0;
    for part in text.split_inclusive(|byte| *byte == b'\n') {
        lines.extend(part.strip_suffix(b"\n").map(|line| (from, line)));
        from += part.len();
    }
    let rest_at = lines.last().map_or(0, |(at, line)| at + line.len() + 1);
    let line = |number: usize| lines.get(number).copied().unwrap_or((rest_at, b"\n"));
    let broken = |number: usize| Said::Broken(Rule::Mark1, line(number).0);
    let version = |number: usize, word: &str| {
        let digits = line(number).1.strip_prefix(word.as_bytes())?;
        let plain = !digits.starts_with(b"0") && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
        if plain { std::str::from_utf8(digits).ok()?.parse::<u32>().ok() } else { None }
    };

    if line(0).1 != b"sessiondir" {
        return broken(0);
    }
    let Some(read_version) = version(1, "read ") else { return broken(1) };
    let Some(write_version) = version(2, "write ") else { return broken(2) };
    if read_version > 1 {
        return Said::Broken(Rule::Mark2, line(1).0);
    }
    if text.len() > 512 {
        return Said::Broken(Rule::Mark1, 0);
    }
    let naming = match line(3).1 {
        b"naming plain" => Naming::Plain,
        b"naming hashed" => Naming::Hashed,
        _ => return broken(3),
    };
    let durability = match line(4).1 {
        b"durability power" => Durability::Power,
        b"durability process" => Durability::Process,
        _ => return broken(4),
    };
    for number in 5..lines.len() {
        let later = line(number).1;
        if later.is_empty() || later.iter().any(|byte| !(b' '..=b'~').contains(byte)) {
            return broken(number);
        }
        if write_version == 1 {
            return Said::Broken(Rule::Mark4, line(number).0);
        }
    }
    if rest_at < text.len() {
        return Said::Broken(Rule::Mark1, rest_at);
    }
    Said::Marker(Marker { read_version, write_version, naming, durability })
}
