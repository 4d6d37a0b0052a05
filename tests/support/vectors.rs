//! The manifest, the bytes that it describes, and directories made of its listings.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::LazyLock;

use nix::sys::stat::Mode;
use serde_json::Value;
use sessiondir::{Durability, Naming, UnixMillis};

use super::at;

static MANIFEST: LazyLock<Value> = LazyLock::new(|| {
    let text = fs::read(at("fixtures/manifest.json")).expect("the manifest");
    serde_json::from_slice(&text).expect("JSON")
});

pub(crate) fn manifest() -> &'static Value {
    &MANIFEST
}

/// Every case.
pub(crate) fn all_cases() -> &'static [Value] {
    manifest()["cases"].as_array().expect("a list")
}

/// The cases of a kind: that there are none is a failure, so that no loop over them passes by not running.
pub(crate) fn cases(kind: &str) -> Vec<&'static Value> {
    let cases: Vec<_> = all_cases().iter().filter(|case| case["kind"] == kind).collect();
    assert!(!cases.is_empty(), "no case of kind {kind}");
    cases
}

/// The text `value[key]`.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

pub(crate) fn number(value: &Value, key: &str) -> u64 {
    text(value, key).parse().expect("a number")
}

pub(crate) fn time(value: &Value, key: &str) -> UnixMillis {
    UnixMillis::from_millis(number(value, key)).expect("a time")
}

pub(crate) fn naming(value: &Value) -> Naming {
    match text(value, "naming") {
        "plain" => Naming::Plain,
        _ => Naming::Hashed,
    }
}

pub(crate) fn durability(value: &Value) -> Durability {
    match text(value, "durability") {
        "power" => Durability::Power,
        _ => Durability::Process,
    }
}

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte: {digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

/// What is written as `text`, or as `hex`.
pub(crate) fn name(case: &Value) -> Vec<u8> {
    match case.get("hex") {
        Some(_) => unhex(text(case, "hex")),
        None => text(case, "text").as_bytes().to_vec(),
    }
}

/// The bytes that a case is about: a file's, or described.
pub(crate) fn bytes(case: &Value) -> Vec<u8> {
    match case.get("parts") {
        Some(list) => parts(list),
        None => fixture(text(case, "file")),
    }
}

/// A file under `fixtures`.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    fs::read(at("fixtures").join(path)).unwrap_or_else(|error| panic!("fixtures/{path}: {error}"))
}

fn parts(list: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for part in list.as_array().expect("a list of parts") {
        let (kind, value) = part.as_object().and_then(|part| part.iter().next()).expect("a part");
        match kind.as_str() {
            "hex" => out.extend(unhex(value.as_str().expect("hexadecimal"))),
            "text" => out.extend(value.as_str().expect("text").as_bytes()),
            "file" => out.extend(fixture(value.as_str().expect("a path"))),
            "repeat" => out.extend(repeat(value)),
            _ => panic!("unknown part {kind}"),
        }
    }
    out
}

/// So many times the same bytes.
pub(crate) fn repeat(value: &Value) -> Vec<u8> {
    let times = usize::try_from(value["times"].as_u64().expect("a count")).expect("a count");
    unhex(text(value, "hex")).repeat(times)
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn mode(value: &Value) -> u32 {
    u32::from_str_radix(text(value, "mode"), 8).expect("octal")
}

/// Makes the directory that a listing describes, as fixtures/README.md says.
pub(crate) fn materialise(listing: &Value, root: &Path) {
    fs::create_dir(root).expect("a new directory");
    if listing["skeleton"] == true {
        let (naming, durability) = (text(listing, "naming"), text(listing, "durability"));
        let marker = format!("sessiondir\nread 1\nwrite 1\nnaming {naming}\ndurability {durability}\n");
        write(&root.join(".sessiondir"), marker.as_bytes(), 0o600);
        fs::create_dir(root.join(".lock")).expect("a directory");
        set_mode(&root.join(".lock"), 0o700);
        for index in 0..64 {
            write(&root.join(format!(".lock/{index:02x}")), &[], 0o600);
        }
    }
    for entry in listing["entries"].as_array().expect("a list") {
        let path = match entry.get("path_hex") {
            Some(_) => root.join(std::ffi::OsString::from_vec(unhex(text(entry, "path_hex")))),
            None => root.join(text(entry, "path")),
        };
        let kind = text(entry, "type");
        // An entry replaces what is there; a directory that is there keeps what is in it.
        if !(kind == "dir" && path.is_dir()) && path.symlink_metadata().is_ok() {
            fs::remove_file(&path).expect("removed");
        }
        match kind {
            "file" => write(&path, &parts(&entry["content"]), mode(entry)),
            "dir" => {
                fs::create_dir_all(&path).expect("a directory");
                set_mode(&path, mode(entry));
            }
            "symlink" => symlink(text(entry, "target"), &path).expect("a link"),
            "hardlink" => fs::hard_link(root.join(text(entry, "target")), &path).expect("a link"),
            "fifo" => {
                nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).expect("a FIFO");
                set_mode(&path, mode(entry));
            }
            "absent" => {}
            _ => panic!("unknown type {kind}"),
        }
    }
    set_mode(root, mode(listing));
}

/// Writes a file of that mode, leaving a hole for the zeros at its end.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    fs::write(path, &bytes[..end]).expect("written");
    let file = fs::OpenOptions::new().write(true).open(path).expect("opens");
    file.set_len(bytes.len() as u64).expect("extended");
    set_mode(path, mode);
}
