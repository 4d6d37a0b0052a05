//! Makes a store with many sessions, to see how the command fares on a big one:
//!
//! ```sh
//! cargo run --release --example many_sessions -- /var/tmp/many 1000000
//! /usr/bin/time -v target/release/sessiondir check /var/tmp/many
//! ```

use std::process::ExitCode;

use sessiondir::{DirectoryStore, Durability, Options, Session, SessionStore, UnixMillis};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, count) = match &arguments[..] {
        [directory, count] => match count.parse::<u64>() {
            Ok(count) => (directory, count),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    // Nobody minds if a power failure takes it back.
    let options = Options::new().create(true).durability(Durability::Process);
    let made = options.open(directory).and_then(|store| make(&store, count));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many_sessions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: many_sessions DIRECTORY COUNT");
    ExitCode::from(2)
}

fn make(store: &DirectoryStore, count: u64) -> sessiondir::Result<()> {
    let now = UnixMillis::now().as_millis();
    for n in 0..count {
        // Last used within a month, evenly.
        let used = UnixMillis::from_millis(now.saturating_sub(n * 2_592_000_000 / count))
            .unwrap_or(UnixMillis::now());
        let mut session = Session::at(used, used);
        session.set_user(&format!("user-{}", n % 1000))?;
        session.insert("cart", &vec![(format!("article-{n}"), n % 7); 10])?;
        session.insert("text", &"x".repeat(300))?;
        store.create(&mut session)?;
    }
    Ok(())
}
