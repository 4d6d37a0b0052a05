//! `seeds DIR` lays the seeds out as files, `DIR/<property>/<name>`: for a fuzzer, of this implementation or another.
//! `seeds --expected` prints what is expected of the corpus beside them: `fuzz/expected.tsv`.

use std::path::Path;

use sessiondir_properties::{PROPERTIES, expected, seeds};

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds DIR, or seeds --expected");
        std::process::exit(2);
    };
    if dir == "--expected" {
        print!("{}", expected::lines());
        return Ok(());
    }
    for property in PROPERTIES {
        let dir = Path::new(&dir).join(property.name);
        std::fs::create_dir_all(&dir)?;
        let seeds = seeds::of(property.name);
        for seed in &seeds {
            std::fs::write(dir.join(&seed.name), &seed.bytes)?;
        }
        println!("{}: {} seeds", property.name, seeds.len());
    }
    Ok(())
}
