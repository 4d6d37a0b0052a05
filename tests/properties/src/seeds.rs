//! The seeds: the vectors of `fixtures/` and the importer's pickles, as inputs of the properties, and the corpus that
//! fuzzing has found beside them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "what reads the vectors for the library's tests; this is a part of it"
)]
#[path = "../../support/vectors.rs"]
mod vectors;

/// An input with the name of what it comes from.
#[derive(Clone, Debug)]
pub struct Seed {
    /// A name for a file.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
    /// What the manifest says of it, where it is a vector that has a result.
    pub result: Option<String>,
}

/// A path in the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Vectors of more bytes than this are no seeds: a fuzzer's inputs are short.
const LONGEST: usize = 80_000;

/// The seeds of a property.
///
/// There are some, or it panics: a replay of nothing proves nothing.
#[must_use]
pub fn of(property: &str) -> Vec<Seed> {
    let mut seeds = match property {
        "record" | "differential" => vectors("record"),
        "session_file" => vectors("file"),
        "names" => [vectors("name"), vectors("lock")].concat(),
        "marker" => vectors("marker"),
        "pickle" => ["tests/pickles", "tests/session3/sessions", "tests/session3/hostile"]
            .iter()
            .flat_map(|dir| files(&at(dir)))
            .filter(|seed| !["py", "json", "txt"].iter().any(|no| seed.name.ends_with(&format!(".{no}"))))
            .collect(),
        // Its inputs are programs; those that there are stand in the corpus.
        "store_ops" => corpus(property),
        _ => panic!("no property {property}"),
    };
    seeds.retain(|seed| seed.bytes.len() <= LONGEST);
    assert!(!seeds.is_empty(), "no seed for {property}");
    seeds
}

/// The committed corpus of a property: what fuzzing has found that reaches more than the seeds do.
#[must_use]
pub fn corpus(property: &str) -> Vec<Seed> {
    files(&at("fuzz/corpus").join(property))
}

/// The vectors of a kind, however long.
#[must_use]
pub fn vectors(kind: &str) -> Vec<Seed> {
    let bytes = match kind {
        "record" | "file" => vectors::bytes,
        "name" | "marker" => vectors::name,
        "lock" => |case: &Value| vectors::text(case, "session_id").into(),
        _ => panic!("no kind {kind}"),
    };
    let seed = |case: &&Value| Seed {
        name: vectors::text(case, "id").to_owned(),
        bytes: bytes(case),
        result: case["result"].as_str().map(str::to_owned),
    };
    vectors::cases(kind).iter().map(seed).collect()
}

/// The files of a directory, by name; none where there is no such directory.
fn files(dir: &Path) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_file())
        .map(|entry| Seed {
            name: entry.file_name().to_string_lossy().into_owned(),
            bytes: fs::read(entry.path()).expect("a readable file"),
            result: None,
        })
        .collect();
    seeds.sort_by(|one, other| one.name.cmp(&other.name));
    seeds
}
