//! The test vectors of `fixtures/`, compiled in; and directories made of their listings.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

static FIXTURES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fixtures");

static MANIFEST: LazyLock<Value> = LazyLock::new(|| json_of("manifest.json"));

/// Every vector.
pub(crate) fn all() -> &'static [Value] {
    MANIFEST["cases"].as_array().expect("a list of cases")
}

/// A file of `fixtures/` that is JSON.
pub(crate) fn json_of(path: &str) -> Value {
    serde_json::from_slice(file(path)).expect("JSON")
}

fn file(path: &str) -> &'static [u8] {
    FIXTURES.get_file(path).unwrap_or_else(|| panic!("no fixtures/{path}")).contents()
}

/// The text `value[key]`.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Hexadecimal digits as bytes.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let pair =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    pairs.map(|digits| pair(digits).expect("hexadecimal digits")).collect()
}

/// The bytes that a vector is about: a file's, or described.
pub(crate) fn bytes(case: &Value) -> Vec<u8> {
    match case.get("parts") {
        Some(list) => parts(list),
        None => file(text(case, "file")).to_vec(),
    }
}

fn parts(list: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for part in list.as_array().expect("a list of parts") {
        let (kind, value) = part.as_object().and_then(|part| part.iter().next()).expect("a part");
        let string = || value.as_str().expect("a string");
        match kind.as_str() {
            "hex" => out.extend(unhex(string())),
            "text" => out.extend(string().as_bytes()),
            "file" => out.extend(file(string())),
            "repeat" => out.extend(repeat(value)),
            _ => panic!("no part {kind}"),
        }
    }
    out
}

fn repeat(value: &Value) -> Vec<u8> {
    let times = value["times"].as_u64().and_then(|times| usize::try_from(times).ok());
    unhex(text(value, "hex")).repeat(times.expect("a count"))
}

/// Typed JSON in one form: no repetitions, floats as Rust prints them. What is equal then is equal.
pub(crate) fn expand(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.len() == 1 => {
            let (kind, inner) = members.iter().next().expect("one");
            match (kind.as_str(), inner) {
                ("bytes", Value::Object(_)) => json!({ "bytes": hex(&repeat(inner)) }),
                ("float", Value::String(text)) => json!({ "float": decimal(text) }),
                _ => json!({ kind: expand(inner) }),
            }
        }
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), expand(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(expand).collect(),
        other => other.clone(),
    }
}

fn decimal(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(float) if float.is_nan() => "nan".to_owned(),
        Ok(float) => format!("{float:?}"),
        Err(_) => text.to_owned(),
    }
}

/// The text of a marker of version 1.
pub(crate) fn marker(naming: &str, durability: &str) -> String {
    format!("sessiondir\nread 1\nwrite 1\nnaming {naming}\ndurability {durability}\n")
}

/// The listing of a store that holds nothing.
pub(crate) fn empty_store(naming: &str, durability: &str) -> Value {
    json!({ "mode": "700", "skeleton": true, "naming": naming, "durability": durability, "entries": [] })
}

/// Makes the directory that a listing describes, as fixtures/README.md says.
pub(crate) fn materialise(listing: &Value, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    if listing["skeleton"] == true {
        let text = marker(text(listing, "naming"), text(listing, "durability"));
        write(&root.join(".sessiondir"), text.as_bytes(), 0o600)?;
        fs::create_dir(root.join(".lock"))?;
        set_mode(&root.join(".lock"), 0o700)?;
        for index in 0..64 {
            write(&root.join(format!(".lock/{index:02x}")), &[], 0o600)?;
        }
    }
    for entry in listing["entries"].as_array().expect("a list") {
        let path = match entry.get("path_hex") {
            Some(_) => root.join(OsString::from_vec(unhex(text(entry, "path_hex")))),
            None => root.join(text(entry, "path")),
        };
        let kind = text(entry, "type");
        // An entry replaces what is there; a directory that is there keeps what is in it.
        if !(kind == "dir" && path.is_dir()) && path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        match kind {
            "file" => write(&path, &parts(&entry["content"]), mode(entry))?,
            "dir" => {
                fs::create_dir_all(&path)?;
                set_mode(&path, mode(entry))?;
            }
            "symlink" => symlink(text(entry, "target"), &path)?,
            "hardlink" => fs::hard_link(root.join(text(entry, "target")), &path)?,
            "fifo" => {
                nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600))?;
                set_mode(&path, mode(entry))?;
            }
            "absent" => {}
            _ => panic!("no type {kind}"),
        }
    }
    set_mode(root, mode(listing))
}

fn mode(value: &Value) -> u32 {
    u32::from_str_radix(text(value, "mode"), 8).expect("octal digits")
}

/// Makes a file, with that mode whatever the umask.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    fs::write(path, bytes)?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}
