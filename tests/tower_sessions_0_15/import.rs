//! The program that takes over tower-sessions-file-store's sessions, on files that this crate has written.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sessiondir::tower_sessions_0_15::DirectorySessionStore;
use sessiondir::{Naming, Options, SessionStore as _};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_file_store::FileSessionStorage;

use self::program::{Summary, import};
use super::reference;

#[allow(dead_code, reason = "its main")]
#[path = "../../examples/import_tower_sessions_file_store.rs"]
mod program;

struct Source {
    tmp: tempfile::TempDir,
    files: FileSessionStorage,
}

impl Source {
    fn new() -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let path = tmp.path().join("source");
        fs::create_dir(&path).expect("made");
        Source { tmp, files: FileSessionStorage::new_in_folder(path) }
    }

    fn path(&self) -> PathBuf {
        self.tmp.path().join("source")
    }

    fn store(&self) -> PathBuf {
        self.tmp.path().join("store")
    }

    /// A session that the crate stores.
    async fn has(&self, id: Id, data: serde_json::Value, lives: Duration) -> Record {
        let data = serde_json::from_value(data).expect("a map");
        let mut record = Record { id, data, expiry_date: OffsetDateTime::now_utc() + lives };
        self.files.create(&mut record).await.expect("created");
        record
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), bytes).expect("written");
    }

    fn import(&self) -> (Summary, Vec<String>) {
        let mut told = Vec::new();
        let before = contents(&self.path());
        let summary = import(&self.path(), &self.store(), &mut |line| told.push(line.to_owned()));
        assert_eq!(contents(&self.path()), before, "the source is only read");
        (summary.expect("a source and a store"), told)
    }
}

fn contents(directory: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, std::time::SystemTime)> {
    let entries = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries
        .map(|path| {
            let modified = fs::symlink_metadata(&path).and_then(|meta| meta.modified()).expect("a time");
            (path.clone(), fs::read(path).ok(), modified)
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn sessions_keep_their_ids_their_data_and_their_dates() {
    for naming in [None, Some(Naming::Plain), Some(Naming::Hashed)] {
        let source = Source::new();
        if let Some(naming) = naming {
            Options::new().create(true).naming(naming).open(source.store()).expect("made before");
        }
        let data = json!({"user": "ada", "two": 2.0, "cart": [{"n": 1}], "null": null});
        let mut records = Vec::new();
        for id in [Id(0), Id(-1), Id(i128::MIN), Id(i128::MAX), Id::default()] {
            records.push(source.has(id, data.clone(), Duration::hours(1)).await);
        }
        assert_eq!(source.import(), (Summary { imported: 5, ..Summary::default() }, vec![]));

        let store = Options::new().open(source.store()).expect("opens");
        assert_eq!(store.marker().naming, naming.unwrap_or(Naming::Hashed));
        let tower = DirectorySessionStore::new(store);
        for record in records {
            let loaded = tower.load(&record.id).await.expect("loads").expect("is there");
            assert_eq!((loaded.id, &loaded.data), (record.id, &record.data));
            let early = record.expiry_date - loaded.expiry_date;
            assert!(early >= Duration::ZERO && early < Duration::milliseconds(1), "{early}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_without_its_id() {
    let source = Source::new();
    let live = source.has(Id::default(), json!({"n": 1}), Duration::hours(1)).await;
    let over = source.has(Id::default(), json!({"n": 1}), Duration::seconds(-1)).await;
    let big = source.has(Id::default(), json!({"big": u64::MAX}), Duration::hours(1)).await;
    let text = fs::read(source.path().join(live.id.to_string())).expect("read");
    let [copied, empty, torn, no_json, other, secret] = [(); 6].map(|()| Id::default());
    source.write(&copied.to_string(), &text);
    source.write(&empty.to_string(), "");
    source.write(&torn.to_string(), &text[..text.len() / 2]);
    source.write(&no_json.to_string(), "id: 1");
    source.write(&other.to_string(), r#"{"user": "ada"}"#);
    // What serde would repeat in its message.
    source.write(&secret.to_string(), format!(r#"{{"id": "{secret}", "data": {{}}, "expiry_date": 0}}"#));
    // No session's.
    source.write("README", "sessions");
    source.write(&format!("{}.bak", live.id), &text);
    fs::create_dir(source.path().join(Id::default().to_string())).expect("made");
    std::os::unix::fs::symlink(source.path().join("README"), source.path().join(Id::default().to_string()))
        .expect("made");

    let (summary, mut told) = source.import();
    assert_eq!(summary, Summary { imported: 1, kept: 0, expired: 1, refused: 7, others: 4 });
    assert_eq!(summary.to_string(), "1 imported, 0 kept, 1 expired, 7 refused; 4 other entries");
    let mut expected = [
        (big.id, "invalid-value: big: an integer outside -2^63 to 2^63-1; store it as text"),
        (copied, "holds another session: a copied or renamed file"),
        (empty, "is empty or cut off, as a killed save leaves it"),
        (torn, "is empty or cut off, as a killed save leaves it"),
        (no_json, "is no session's JSON, at line 1 column 1"),
        (other, "is no session's JSON, at line 1 column 15"),
        (secret, "is no session's JSON, at line 1 column 8"),
    ]
    .map(|(id, why)| format!("refused: {}: {why}", super::session_id(id)));
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert!(told.iter().all(|line| line.starts_with("refused: #") && !line.contains(&secret.to_string())));

    let store = Options::new().open(source.store()).expect("opens");
    assert_eq!(store.iter_sessions().expect("listed").count(), 1);
    assert!(!store.has(&reference(over.id)).expect("loads"));
}

#[tokio::test]
async fn a_second_run_keeps_what_the_store_has() {
    let source = Source::new();
    let record = source.has(Id::default(), json!({"n": 1}), Duration::hours(1)).await;
    source.import();
    let tower = DirectorySessionStore::new(Options::new().open(source.store()).expect("opens"));
    let mut used = record.clone();
    used.data.insert("n".to_owned(), json!(2));
    tower.save(&used).await.expect("saved");
    assert_eq!(source.import(), (Summary { kept: 1, ..Summary::default() }, vec![]));
    let loaded = tower.load(&record.id).await.expect("loads").expect("is there");
    assert_eq!(loaded.data, used.data);
}

#[test]
fn a_source_that_is_not_there_makes_no_store() {
    let source = Source::new();
    fs::remove_dir(source.path()).expect("removed");
    let error = import(&source.path(), &source.store(), &mut |_| ()).expect_err("no source");
    assert!(error.to_string().starts_with("cannot list "), "{error}");
    assert!(!source.store().exists());
}

/// As it is run: 0 if all is taken over, 1 if something was refused, 2 if it could not run.
#[tokio::test]
async fn its_exit_status_says_what_became_of_it() {
    let tests = std::env::current_exe().expect("this program");
    let target = tests.parent().and_then(Path::parent).expect("the target directory");
    let program = target.join("examples/import_tower_sessions_file_store");
    assert!(
        program.exists(),
        "{} is not there; `cargo test` builds it, and `cargo build --examples`",
        program.display()
    );
    let source = Source::new();
    source.has(Id::default(), json!({"n": 1}), Duration::hours(1)).await;
    let run = |arguments: &[&Path]| {
        let run = std::process::Command::new(&program).args(arguments).output().expect("runs");
        run.status.code()
    };
    assert_eq!(run(&[&source.path(), &source.store()]), Some(0));
    source.write(&Id::default().to_string(), "{");
    assert_eq!(run(&[&source.path(), &source.store()]), Some(1));
    assert_eq!(run(&[Path::new("/nowhere"), &source.store()]), Some(2));
    assert_eq!(run(&[]), Some(2));
}
