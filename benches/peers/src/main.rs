//! tower-sessions-sqlx-store on SQLite in WAL mode: sessiondir-peers DIRECTORY process|power SIZE POOL.
//!
//! `process` is synchronous=NORMAL, which a power cut may cost the last commits; `power` is FULL. Reads lines
//! `OP COUNT`, and answers each with nanoseconds an operation, or `-`.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::SessionStore;
use tower_sessions_sqlx_store::SqliteStore;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn record(n: usize, size: usize) -> Record {
    let mut data: HashMap<_, _> = (0..10).map(|n| (format!("k{n}"), "x".repeat(size / 10).into())).collect();
    data.insert("user".to_owned(), "ada".into());
    Record { id: Id(n as i128 + 1), data, expiry_date: OffsetDateTime::now_utc() + Duration::days(1) }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, durability, size, pool] = &args[..] else { return Err("DIRECTORY process|power SIZE POOL".into()) };
    std::fs::create_dir_all(dir)?;
    let (size, length): (usize, usize) = (size.parse()?, pool.parse()?);
    let synchronous = if durability == "power" { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let options = SqliteConnectOptions::new()
        .filename(format!("{dir}/sessions.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = runtime.block_on(async {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let store = SqliteStore::new(pool);
        store.migrate().await?;
        Result::Ok(store)
    })?;
    let mut pool: Vec<Record> = (0..length).map(|n| record(n, size)).collect();
    for record in &mut pool {
        runtime.block_on(store.create(record))?;
    }
    let (mut turn, mut made) = (0, Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (op, count) = line.split_once(' ').ok_or("OP COUNT")?;
        let count: u32 = count.parse()?;
        let mut nanos = 0;
        for _ in 0..count {
            turn += 1;
            let record = &mut pool[turn % length];
            record.data.insert("n".to_owned(), turn.into());
            let mut fresh = Record { id: Id(turn as i128 + 1_000_000), ..record.clone() };
            let last = made.last().copied();
            let start = Instant::now();
            match op {
                "load" => {
                    runtime.block_on(store.load(&record.id))?.ok_or("a session is gone")?;
                }
                "save" | "touch" => runtime.block_on(store.save(record))?,
                "update" => {
                    let mut record = runtime.block_on(store.load(&record.id))?.ok_or("a session is gone")?;
                    record.data.insert("n".to_owned(), (turn + 1).into());
                    runtime.block_on(store.save(&record))?;
                }
                "create" => runtime.block_on(store.create(&mut fresh))?,
                "delete" => runtime.block_on(store.delete(&last.ok_or("none was made")?))?,
                _ => {}
            }
            nanos += start.elapsed().as_nanos();
            match op {
                "create" => made.push(fresh.id),
                "delete" => drop(made.pop()),
                _ => {}
            }
        }
        if op == "save-other" {
            println!("-");
        } else {
            println!("{}", nanos as f64 / f64::from(count));
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
