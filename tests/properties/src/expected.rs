//! What is expected of the inputs of the corpus, in words: for implementations in other languages, which fuzz with the
//! same corpus. Of the seeds `fixtures/manifest.json` says it, and more.

use sessiondir::marker::MarkerError;
use sessiondir::names::{EntryType, classify};
use sessiondir::record::decode_record;
use sessiondir::{Durability, Error, Marker, Naming, SessionId, UnixMillis, probe};

use crate::session_file::{ID, NOW};
use crate::{PROPERTIES, seeds};

/// A line for each input of the corpus that other implementations can use: property, file and result, with tabs between.
#[must_use]
pub fn lines() -> String {
    let mut lines = String::new();
    for property in PROPERTIES {
        for input in seeds::corpus(property.name) {
            if let Some(result) = of(property.name, &input.bytes) {
                lines.extend([property.name, "\t", &input.name, "\t", &result, "\n"]);
            }
        }
    }
    lines
}

/// The result, where there is one for others than this implementation.
fn of(property: &str, input: &[u8]) -> Option<String> {
    let class = |error: Error| error.class().name();
    let result = match property {
        "record" | "differential" => decode_record(input).map_or_else(class, |_| "valid").to_owned(),
        "session_file" => {
            let id = SessionId::new(ID).expect("an ID");
            let marker = Marker::new(Naming::Plain, Durability::Power);
            let now = UnixMillis::from_millis(NOW).expect("in range");
            let judged = probe::judge(input, &id.into(), &marker, now).expect("named by its ID");
            let said = |loaded: Option<_>| if loaded.is_some() { "valid" } else { "absent" };
            judged.loaded.map_or_else(class, said).to_owned()
        }
        "names" => {
            let id = SessionId::new(input).map_or_else(class, |_| "session-id");
            let [plain, hashed] = [Naming::Plain, Naming::Hashed]
                .map(|naming| classify(input, EntryType::Regular, naming).name());
            format!("{id} {plain} {hashed}")
        }
        "marker" => match Marker::parse(input) {
            Ok(_) => "valid",
            Err(MarkerError::Malformed(_)) => "not-a-store",
            Err(MarkerError::Unsupported(..)) => "unsupported",
        }
        .to_owned(),
        _ => return None,
    };
    Some(result)
}
