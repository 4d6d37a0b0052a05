//! tower-sessions-file-store.

use std::collections::HashMap;
use std::path::Path;

use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_file_store::FileSessionStorage;

use crate::Result;
use crate::contender::{Contender, Op, Watch, attributes, pool};

pub struct FileStore {
    runtime: Runtime,
    store: FileSessionStorage,
    pool: Vec<Record>,
    turn: usize,
    made: Vec<Id>,
}

fn record(n: usize, size: usize) -> Record {
    let mut data: HashMap<_, _> =
        attributes(size).into_iter().map(|(key, value)| (key, serde_json::Value::from(value))).collect();
    data.insert("user".to_owned(), "ada".into());
    Record { id: Id(n as i128 + 1), data, expiry_date: OffsetDateTime::now_utc() + Duration::days(1) }
}

impl FileStore {
    pub fn new(path: &Path, size: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let store = FileSessionStorage::new_in_folder(path.to_owned());
        let mut pool: Vec<Record> = (0..pool(size)).map(|n| record(n, size)).collect();
        for record in &mut pool {
            runtime.block_on(store.create(record))?;
        }
        Ok(FileStore { runtime, store, pool, turn: 0, made: Vec::new() })
    }
}

impl Contender for FileStore {
    fn name(&self) -> String {
        "tower-sessions-file-store".to_owned()
    }

    fn run(&mut self, op: Op, count: usize) -> Result<Option<f64>> {
        let mut watch = Watch::default();
        let FileStore { runtime, store, pool, .. } = self;
        let length = pool.len();
        for _ in 0..count {
            self.turn += 1;
            let n = self.turn;
            let record = &mut pool[n % length];
            match op {
                Op::Load => {
                    watch.time(|| runtime.block_on(store.load(&record.id)))?.ok_or("a session is gone")?;
                }
                Op::Save | Op::Touch => {
                    record.data.insert("n".to_owned(), n.into());
                    watch.time(|| runtime.block_on(store.save(record)))?;
                }
                Op::Update => watch.time(|| -> Result<()> {
                    let mut record = runtime.block_on(store.load(&record.id))?.ok_or("a session is gone")?;
                    record.data.insert("n".to_owned(), n.into());
                    Ok(runtime.block_on(store.save(&record))?)
                })?,
                Op::SaveOther => return Ok(None),
                Op::Create => {
                    let mut fresh = Record { id: Id(n as i128 + 1_000_000), ..record.clone() };
                    watch.time(|| runtime.block_on(store.create(&mut fresh)))?;
                    self.made.push(fresh.id);
                }
                Op::Delete => {
                    let Some(made) = self.made.pop() else { break };
                    watch.time(|| runtime.block_on(store.delete(&made)))?;
                }
            }
        }
        Ok(watch.each())
    }
}
