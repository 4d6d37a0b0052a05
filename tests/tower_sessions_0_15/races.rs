//! Many at once.

use std::collections::HashSet;

use serde_json::json;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::Id;

use super::{Both, NAMINGS, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_of_one_id_become_a_hundred() {
    for naming in NAMINGS {
        let both = Both::patient(naming);
        let wanted = Id::default();
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let tower = both.tower.clone();
                tokio::spawn(async move {
                    let mut made = record([("n", json!(n))]);
                    made.id = wanted;
                    tower.create(&mut made).await.expect("created");
                    made
                })
            })
            .collect();
        let mut ids = HashSet::new();
        for task in tasks {
            let made = task.await.expect("no panic");
            assert!(ids.insert(made.id), "two have the same ID");
            assert_eq!(both.tower.load(&made.id).await.expect("loads"), Some(made));
        }
        assert!(ids.contains(&wanted), "one of them has it");
        both.fixture.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_save_undoes_a_deletion() {
    for naming in NAMINGS {
        let both = Both::patient(naming);
        for round in 0..5 {
            let mut made = record([("n", json!(-1))]);
            both.tower.create(&mut made).await.expect("created");
            let save = |n: i32| {
                let (tower, mut made) = (both.tower.clone(), made.clone());
                tokio::spawn(async move {
                    made.data.insert("n".to_owned(), json!(n));
                    tower.save(&made).await
                })
            };
            let mut tasks: Vec<_> = (0..10 * round).map(save).collect();
            let (tower, id) = (both.tower.clone(), made.id);
            tasks.push(tokio::spawn(async move { tower.delete(&id).await }));
            tasks.extend((10 * round..100).map(save));
            for task in tasks {
                task.await.expect("no panic").expect("no error");
            }
            assert_eq!(both.tower.load(&id).await.expect("loads"), None);
            assert!(!both.file(id).exists());
        }
        both.fixture.assert_clean();
    }
}

/// A reader beside writers sees one of their records, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_load_sees_half_of_a_save() {
    let both = Both::patient(NAMINGS[0]);
    let mut made = record([("a", json!(0)), ("b", json!("0".repeat(2000)))]);
    both.tower.create(&mut made).await.expect("created");
    let writers: Vec<_> = (1..5)
        .map(|writer| {
            let (tower, mut made) = (both.tower.clone(), made.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    made.data.insert("a".to_owned(), json!(writer));
                    made.data.insert("b".to_owned(), json!(writer.to_string().repeat(2000)));
                    tower.save(&made).await.expect("saved");
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let seen = both.tower.load(&made.id).await.expect("loads").expect("is there");
        assert_eq!(seen.data["b"], json!(seen.data["a"].to_string().repeat(2000)));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
}
