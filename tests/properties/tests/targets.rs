//! Each property has a fuzz target, a corpus that may be empty, and a test that replays it; and there are no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sessiondir_properties::{PROPERTIES, expected};

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    entries.map(|entry| name(entry.expect("an entry"))).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_property_is_fuzzed_and_replayed() {
    let root = root();
    let properties: BTreeSet<String> = PROPERTIES.iter().map(|property| property.name.to_owned()).collect();
    let with =
        |suffix: &str| properties.iter().map(|name| format!("{name}{suffix}")).collect::<BTreeSet<_>>();
    assert_eq!(names(&root.join("fuzz/fuzz_targets")), with(".rs"));
    let corpora = names(&root.join("fuzz/corpus"));
    assert!(corpora.is_subset(&properties), "{corpora:?}");
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    let bins = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    assert_eq!(bins.skip(1).map(str::to_owned).collect::<BTreeSet<_>>(), properties);
    for name in &properties {
        let target = fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{name}.rs"))).expect("a target");
        assert!(target.contains(&format!("{name}::check")), "{name} checks another property");
        assert!(target.lines().count() <= 15, "{name} is more than a wrapper");
        assert!(
            include_str!("replay.rs").contains(&format!("replay(\"{name}\", ")),
            "{name} is not replayed"
        );
    }
}

/// What other implementations are told of the corpus is what this one gives.
#[test]
fn what_is_expected_of_the_corpus_is_written_down() {
    let written = fs::read_to_string(root().join("fuzz/expected.tsv")).expect("fuzz/expected.tsv");
    let again = "cargo run -p sessiondir-properties --example seeds -- --expected > fuzz/expected.tsv";
    assert_eq!(written, expected::lines(), "make it again: {again}");
    assert!(written.lines().count() > 50);
}
