//! SPEC.md as a test: its examples are run, its tables are those of the code, and each of its rules is one that the
//! code knows and that something exercises.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use ciborium::Value as Cbor;
use sessiondir::check::FindingKind;
use sessiondir::marker::MarkerError;
use sessiondir::names::{EntryType, classify};
use sessiondir::rule::Rule;
use sessiondir::{
    Durability, ErrorClass, Marker, Naming, Options, Session, SessionId, SessionStore, UnixMillis,
};
use support::vectors::{self, text};
use support::{at, id};

static SPEC: LazyLock<String> = LazyLock::new(|| fs::read_to_string(at("SPEC.md")).expect("SPEC.md"));

/// A fenced block: what stands after the fence, and its lines.
struct Block {
    info: String,
    lines: Vec<&'static str>,
    /// The line of SPEC.md on which it starts.
    line: usize,
}

impl Block {
    fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// The blocks, and the lines outside of them with their numbers; blank ones too.
fn parse() -> (Vec<Block>, Vec<(usize, &'static str)>) {
    let (mut blocks, mut outside) = (Vec::new(), Vec::new());
    let mut open: Option<Block> = None;
    for (line, text) in SPEC.lines().enumerate() {
        match (text.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some(Block { info: info.to_owned(), lines: vec![], line: line + 1 }),
            (Some(info), Some(block)) => {
                assert_eq!(info, "", "line {}: a block within a block", line + 1);
                blocks.push(block);
                outside.push((line + 1, ""));
            }
            (None, Some(mut block)) => {
                block.lines.push(text);
                open = Some(block);
            }
            (None, None) => outside.push((line + 1, text)),
        }
    }
    assert!(open.is_none(), "a block without an end");
    (blocks, outside)
}

/// Those of the blocks whose info string is `kind`, or starts with it and a space; what follows it, and the block.
fn blocks(kind: &str) -> Vec<(String, Block)> {
    let found: Vec<_> = parse()
        .0
        .into_iter()
        .filter_map(|block| {
            let rest = block.info.strip_prefix(kind)?;
            let rest = if rest.is_empty() { "" } else { rest.strip_prefix(' ')? };
            Some((rest.to_owned(), block))
        })
        .collect();
    assert!(!found.is_empty(), "SPEC.md has no block `{kind}`");
    found
}

#[test]
fn every_block_is_of_a_known_kind() {
    // Grammars and drawings are for people; all else is run by a test of this file.
    let for_people = ["abnf", "text"];
    let run = ["accept session-id", "reject session-id", "marker accept", "hex session-file", "cddl"];
    let with_argument = ["classify", "marker reject", "digest"];
    for block in parse().0 {
        let known = for_people.contains(&block.info.as_str())
            || run.contains(&block.info.as_str())
            || with_argument
                .iter()
                .any(|kind| block.info.strip_prefix(kind).is_some_and(|r| r.starts_with(' ')));
        assert!(known, "line {}: what is a block `{}`?", block.line, block.info);
        assert!(!block.lines.is_empty(), "line {}: an empty block", block.line);
    }
}

#[test]
fn session_ids() {
    for (_, block) in blocks("accept session-id") {
        for line in block.lines {
            assert!(SessionId::new(line).is_ok(), "{line}");
        }
    }
    for (_, block) in blocks("reject session-id") {
        for line in block.lines {
            let text: String = serde_json::from_str(line).expect("a JSON string");
            assert!(SessionId::new(&text).is_err(), "{line}");
        }
    }
}

#[test]
fn classes() {
    let mut seen = BTreeSet::new();
    for (naming, block) in blocks("classify") {
        let naming = match naming.as_str() {
            "plain" => Naming::Plain,
            "hashed" => Naming::Hashed,
            other => panic!("line {}: naming {other}", block.line),
        };
        seen.insert(naming.word());
        for line in block.lines {
            let (class, name) = line.split_once(char::is_whitespace).expect("a class and a name");
            let name = name.trim_start();
            assert_eq!(classify(name.as_bytes(), EntryType::Regular, naming).name(), class, "{line}");
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn markers() {
    for (_, block) in blocks("marker accept") {
        let parsed = Marker::parse(block.text().as_bytes());
        assert!(parsed.is_ok(), "line {}: {parsed:?}", block.line);
    }
    for (rule, block) in blocks("marker reject") {
        let fault = match Marker::parse(block.text().as_bytes()) {
            Err(MarkerError::Malformed(fault) | MarkerError::Unsupported(_, fault)) => fault,
            Ok(marker) => panic!("line {}: {marker:?}", block.line),
        };
        assert_eq!(fault.rule.id(), rule, "line {}", block.line);
    }
}

#[test]
fn digests() {
    for (session, block) in blocks("digest") {
        let key = id(&session).key();
        let expected = format!(
            "d     = {}\nshown = {}\nlock  = .lock/{:02x}\nbyte  = {}\n",
            key.to_hex(),
            key.shown(),
            key.lock_file(),
            key.lock_byte()
        );
        assert_eq!(block.text(), expected, "line {}", block.line);
    }
}

/// The bytes that a block `hex` writes.
fn hex_block(block: &Block) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in &block.lines {
        let line = line.split(';').next().unwrap_or_default().trim();
        match line.strip_prefix('*') {
            Some(zeros) => {
                let count: usize =
                    zeros.trim().strip_suffix(" 00").expect("`* n 00`").parse().expect("a count");
                bytes.resize(bytes.len() + count, 0);
            }
            None => bytes.extend(vectors::unhex(&line.replace(' ', ""))),
        }
    }
    bytes
}

/// The worked example is the fixture of that name, and what a store writes that does what section 7.6 tells.
///
/// Exercises SLOT-4, SLOT-5, WRITE-2, WRITE-3.
#[test]
fn the_worked_example() {
    let examples = blocks("hex session-file");
    assert_eq!(examples.len(), 1);
    let bytes = hex_block(&examples[0].1);
    assert!(bytes == vectors::fixture("files/worked-example.session"), "not the fixture worked-example");

    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("store");
    let moment = |millis| UnixMillis::from_millis(millis).expect("in range");
    let (created, saved) = (moment(1_735_689_600_000), moment(1_735_689_660_000));
    let store = Options::new().create(true).clock(move || saved).open(&path).expect("a store");
    let mut session = Session::at(created, created);
    let session_id = id("AAAAAAAAAAAAAAAAAAAAAA");
    store.insert(&session_id, &mut session).expect("created");
    session.set_user("ada").expect("a user");
    session.insert("n", &1).expect("an attribute");
    store.save(&mut session).expect("saved");
    let written = fs::read(path.join(session_id.expose())).expect("its file");
    assert!(written == bytes, "not what a store writes");
}

/// The rules that are about a record's shape: who breaks one of them, the CDDL refuses.
const SHAPE_RULES: &[&str] = &[
    "REC-1", "REC-2", "REC-3", "REC-4", "REC-5", "REC-6", "REC-9", "BODY-1", "BODY-2", "BODY-3", "BODY-4",
    "BODY-6", "BODY-7", "BODY-8", "BODY-9", "BODY-10", "BODY-11", "BODY-12", "BODY-13", "BODY-14", "BODY-15",
];

/// The exceptions: what is beyond CDDL, as section 7.4 says, and what this validator lets through.
const NOT_SEEN: &[&str] = &[
    // How something is encoded.
    "array-head-not-shortest",
    "body-head-not-shortest",
    "body-indefinite",
    "crit-head-not-shortest",
    "crit-indefinite",
    "crit-name-head-not-shortest",
    "crit-name-indefinite",
    "seq-bignum",
    "seq-not-shortest-64",
    "seq-not-shortest-8",
    "version-not-shortest-16",
    "version-not-shortest-8",
    // Bytes after the end.
    "byte-after-the-map",
    "garbage-after-the-map",
    "map-after-the-map",
    // `* tstr => value` takes the key that the choice has left over.
    "id-and-key",
    // The validator does not anchor regular expressions, takes a byte string for a number or a text in ranges and
    // sizes, and a number for a text.
    "accessed-bytes",
    "addr-bytes",
    "addr-int",
    "created-bytes",
    "crit-name-is-bytes",
    "crit-name-is-int",
    "csrf-bytes",
    "csrf-int",
    "expires-bytes",
    "id-of-129-characters",
    "id-with-newline",
    "id-with-nul",
    "idle-bytes",
    "key-that-is-text",
    "rev-bytes",
    "seq-bytes",
    "tokens-with-bytes",
    "tokens-with-int",
];

/// The body of a record that has its five parts.
fn body_of(record: &[u8]) -> Option<Vec<u8>> {
    let Cbor::Tag(_, inner) = ciborium::from_reader(record).ok()? else { return None };
    let Cbor::Tag(_, inner) = *inner else { return None };
    inner.as_array()?.get(3)?.as_bytes().cloned()
}

/// The encodings of all values in the maps that `value` is or encloses.
fn map_values(value: &Cbor, found: &mut BTreeSet<Vec<u8>>) {
    match value {
        Cbor::Map(entries) => {
            for (_, value) in entries {
                let mut encoded = Vec::new();
                ciborium::into_writer(value, &mut encoded).expect("a vector takes all");
                found.insert(encoded);
                map_values(value, found);
            }
        }
        Cbor::Array(items) => items.iter().for_each(|item| map_values(item, found)),
        _ => {}
    }
}

#[test]
fn cddl() {
    let schema: String = blocks("cddl").iter().map(|(_, block)| block.text()).collect();
    // The validator has two faults: it takes `.cbor` on an item of an array for one on the array, and refuses a map
    // as the value of a key that is a type. So it gets the parts one by one: the envelope, the body (the first rule
    // is the one that it starts from), and each value of a map.
    let (embedded, entry) = ("bstr .cbor session", "tstr => value");
    assert!(schema.matches(embedded).count() == 1 && schema.matches(entry).count() == 3);
    let envelope = schema.replace(embedded, "bstr").replace(entry, "tstr => any");
    let (body, item) = (format!("body = session\n\n{envelope}"), format!("item = value\n\n{envelope}"));
    let run = |schema: &str, bytes: &[u8]| {
        cddl::validate_cbor_from_slice(schema, bytes, None).map_err(|error| error.to_string())
    };
    let mut known = BTreeSet::new();
    let mut validate = |bytes: &[u8]| {
        run(&envelope, bytes)?;
        let inner = body_of(bytes).ok_or("no body")?;
        run(&body, &inner)?;
        let mut values = BTreeSet::new();
        map_values(&ciborium::from_reader(&inner[..]).map_err(|_| "no CBOR")?, &mut values);
        for value in values.difference(&known) {
            run(&item, value)?;
        }
        known.append(&mut values);
        Ok::<(), String>(())
    };
    let (mut count, mut count_invalid) = (0, 0);
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for case in vectors::cases("record") {
        let bytes = vectors::bytes(case);
        // The validator takes minutes for 16 MiB.
        if bytes.len() > 1 << 20 {
            continue;
        }
        let id = text(case, "id");
        match (text(case, "result"), validate(&bytes)) {
            ("valid", Ok(())) => count += 1,
            ("valid", Err(error)) => refused.push(format!("{id}: {error:.300}")),
            (_, verdict) if SHAPE_RULES.contains(&text(&case["error"], "rule")) => {
                count_invalid += 1;
                if verdict.is_ok() != NOT_SEEN.contains(&id) {
                    accepted.push(id);
                }
            }
            _ => {}
        }
    }
    assert!(refused.is_empty(), "sound records that the CDDL refuses: {refused:#?}");
    assert!(accepted.is_empty(), "not as expected of records whose shape is wrong: {accepted:?}");
    assert!(count >= 100 && count_invalid >= 100, "only {count} sound records and {count_invalid} others");
}

/// A paragraph outside of blocks: its section, its first line's number, and its lines joined.
struct Paragraph {
    section: String,
    line: usize,
    text: String,
}

fn paragraphs() -> Vec<Paragraph> {
    let mut found: Vec<Paragraph> = Vec::new();
    let mut section = String::new();
    let mut within = false;
    for (line, text) in parse().1 {
        if let Some(heading) = text.strip_prefix('#') {
            let number = heading.trim_start_matches('#').split_whitespace().next().unwrap_or_default();
            number.trim_end_matches('.').clone_into(&mut section);
            within = false;
        } else if text.trim().is_empty() {
            within = false;
        } else if let (true, Some(last)) = (within, found.last_mut()) {
            last.text.push('\n');
            last.text.push_str(text);
        } else {
            found.push(Paragraph { section: section.clone(), line, text: text.to_owned() });
            within = true;
        }
    }
    found
}

/// The id with which a paragraph starts, if it is a rule's.
fn rule_id(paragraph: &str) -> Option<&str> {
    let (id, rest) = paragraph.strip_prefix("**")?.split_once(".** ")?;
    let (prefix, number) = id.split_once('-')?;
    let well_formed = !prefix.is_empty()
        && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0')
        && !rest.is_empty();
    well_formed.then_some(id)
}

fn has_key_word(text: &str) -> bool {
    let words = ["MUST", "SHOULD", "MAY", "SHALL", "REQUIRED", "RECOMMENDED", "OPTIONAL"]
        .into_iter()
        .collect::<BTreeSet<_>>();
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(word))
}

#[test]
fn key_words_stand_in_rules_and_rules_have_key_words() {
    for Paragraph { line, text, .. } in paragraphs() {
        let is_rule = rule_id(&text).is_some();
        let defines = text.starts_with("The key words \"MUST\"");
        assert_eq!(is_rule || defines, has_key_word(&text), "line {line}: {text}");
        // Two rules in one paragraph would hide the second.
        assert!(
            text.matches("\n**").next().is_none() || !is_rule,
            "line {line}: a blank line is missing: {text}"
        );
    }
}

#[test]
fn the_rules_are_those_of_the_code() {
    let written: Vec<(String, String)> = paragraphs()
        .into_iter()
        .filter_map(|paragraph| Some((rule_id(&paragraph.text)?.to_owned(), paragraph.section)))
        .collect();
    let mut ids = BTreeSet::new();
    for (id, section) in &written {
        assert!(ids.insert(id), "{id} is there twice, the second time in section {section}");
    }
    let known: Vec<(String, String)> =
        Rule::ALL.iter().map(|rule| (rule.id().to_owned(), rule.section().to_owned())).collect();
    for (one, other) in written.iter().zip(&known) {
        assert_eq!(one, other, "SPEC.md, and then the code");
    }
    assert_eq!(written.len(), known.len(), "SPEC.md, and then the code");
}

/// The `.rs` files under a directory.
fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rules that a test's doc comment says it exercises: `Exercises RULE-1, RULE-2.`, right before `#[test]`.
fn exercised_by_tests() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    for dir in ["src", "tests"] {
        sources(&at(dir), &mut files);
    }
    let mut rules = BTreeMap::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("UTF-8");
        let mut comment = String::new();
        for line in source.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                comment.push(' ');
                comment.push_str(text.trim());
                continue;
            }
            // `Exercises` begins a sentence of a comment; elsewhere the word is a word.
            if let Some((_, list)) = comment.split_once(" Exercises ")
                && rule_id(&format!("**{}.** x", list.split([',', '.']).next().unwrap_or_default())).is_some()
            {
                let list = list.split('.').next().unwrap_or_default();
                let runs = line == "#[test]" || is_listed(&source, line);
                assert!(runs, "{}: `Exercises {list}.` stands before no test: {line}", file.display());
                for rule in list.split(',') {
                    rules.insert(rule.trim().to_owned(), file.display().to_string());
                }
            }
            comment.clear();
        }
    }
    rules
}

/// Whether `line` begins a function that a driver without the test harness has in its list of tests, as `("name", name)`.
fn is_listed(source: &str, line: &str) -> bool {
    let name = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')).map(|(name, _)| name);
    name.is_some_and(|name| source.contains(&format!("\"{name}\",")))
}

#[test]
fn what_is_exercised_are_rules() {
    let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    for (rule, file) in exercised_by_tests() {
        assert!(ids.contains(rule.as_str()), "{file} exercises {rule}, which is no rule");
    }
    for case in vectors::all_cases() {
        for rule in case["rules"].as_array().expect("a list") {
            let rule = rule.as_str().expect("text");
            assert!(ids.contains(rule), "{} exercises {rule}, which is no rule", case["id"]);
        }
    }
}

#[test]
fn every_rule_is_exercised() {
    let by_tests = exercised_by_tests();
    let by_fixtures: BTreeSet<&str> = vectors::all_cases()
        .iter()
        .flat_map(|case| case["rules"].as_array().expect("a list"))
        .filter_map(|rule| rule.as_str())
        .collect();
    let missing: Vec<_> = Rule::ALL
        .iter()
        .map(|rule| rule.id())
        .filter(|rule| !by_fixtures.contains(rule) && !by_tests.contains_key(*rule))
        .collect();
    assert!(
        missing.is_empty(),
        "{} rules that no fixture and no test exercises: {}",
        missing.len(),
        missing.join(", ")
    );
}

/// The rows of the table that has this head, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let paragraph = paragraphs().into_iter().find(|paragraph| paragraph.text.starts_with(head));
    let text = paragraph.unwrap_or_else(|| panic!("no table `{head}`")).text;
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = text.lines().skip(2).map(cells).collect();
    assert!(!rows.is_empty());
    rows
}

#[test]
fn the_findings_are_those_of_the_code() {
    let rows = table("| finding | severity | rules | meaning |");
    let written: Vec<(String, String)> =
        rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone())).collect();
    let known: Vec<(String, String)> = FindingKind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), kind.severity().name().to_owned()))
        .collect();
    assert_eq!(written, known, "SPEC.md, and then the code");
    // The rules of the vectors' findings are those of the table.
    let rules: BTreeMap<&str, &str> =
        rows.iter().map(|row| (row[0].trim_matches('`'), row[2].as_str())).collect();
    for case in vectors::all_cases() {
        for finding in case["findings"].as_array().into_iter().flatten() {
            let (name, rule) = (text(finding, "finding"), text(finding, "rule"));
            let named = |row: &str| row.split(", ").any(|there| there == rule);
            let fits = match name {
                "corrupt" => !rules.values().any(|row| named(row)),
                "stale-record" => ["REC-", "VAL-", "BODY-"].iter().any(|prefix| rule.starts_with(prefix)),
                name => named(rules[name]),
            };
            assert!(fits, "{}: {name} of {rule}", case["id"]);
        }
    }
}

/// Exercises ERR-1.
#[test]
fn the_error_classes_are_those_of_the_code() {
    let written: Vec<(String, String)> = table("| number | class | meaning | what to do |")
        .iter()
        .map(|row| (row[0].clone(), row[1].trim_matches('`').to_owned()))
        .collect();
    let known: Vec<(String, String)> =
        ErrorClass::ALL.iter().map(|class| (class.number().to_string(), class.name().to_owned())).collect();
    assert_eq!(written, known, "SPEC.md, and then the code");
}

/// The marker of section 5.2 is the one that the code writes.
#[test]
fn the_first_marker_is_the_default() {
    let (_, block) = &blocks("marker accept")[0];
    assert_eq!(block.text(), Marker::new(Naming::Plain, Durability::Power).text());
}
