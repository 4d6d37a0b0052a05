//! For people, and JSON.

use serde_json::{Value, json};
use sessiondir::Durability;

use crate::Measured;

pub fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The median of the ratios of the same rounds.
fn ratio(times: &[f64], to: &[f64]) -> Option<f64> {
    median(&times.iter().zip(to).map(|(time, to)| time / to).collect::<Vec<_>>())
}

pub fn print(dir: &str, durability: Durability, size: usize, measured: &[Measured]) {
    println!("\n{dir}, durability {durability:?}, {size} B of attributes: us (times the floor)");
    print!("{:26}", "");
    for (op, _) in &measured[0].times {
        print!("{:>17}", op.name());
    }
    println!();
    for one in measured {
        print!("{:26}", one.name);
        for ((_, times), (_, floor)) in one.times.iter().zip(&measured[0].times) {
            match (median(times), ratio(times, floor)) {
                (Some(median), Some(ratio)) => print!("{:9.2} ({ratio:5.2})", median / 1000.0),
                _ => print!("{:>17}", "-"),
            }
        }
        println!();
    }
}

pub fn json(dir: &str, durability: Durability, size: usize, measured: &[Measured]) -> Value {
    let of = |one: &Measured| {
        let ops: serde_json::Map<String, Value> = one
            .times
            .iter()
            .zip(&measured[0].times)
            .map(|((op, times), (_, floor))| {
                let figures = json!({"median_ns": median(times), "times_floor": ratio(times, floor), "rounds_ns": times});
                (op.name().to_owned(), figures)
            })
            .collect();
        json!({"name": one.name, "operations": ops})
    };
    json!({
        "directory": dir,
        "durability": format!("{durability:?}").to_lowercase(),
        "size": size,
        "contenders": measured.iter().map(of).collect::<Vec<_>>(),
    })
}
