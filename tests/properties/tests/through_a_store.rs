//! What the pure functions of the probe say of a session's file is what a store and a check say of it on disk: so what
//! the fuzzer sees of the one holds for the other.

use std::fs;
use std::path::{Path, PathBuf};

use sessiondir::check::{Event, Finding, check};
use sessiondir::{
    Durability, Error, Marker, Naming, Options, SessionId, SessionRef, SessionStore, UnixMillis, probe,
};
use sessiondir_properties::chance::{self, Chance};
use sessiondir_properties::{mutate, seeds};

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const NOW: u64 = 1_735_689_700_000;

fn options() -> Options {
    Options::new()
        .clock(|| UnixMillis::from_millis(NOW).expect("in range"))
        .patience(std::time::Duration::ZERO)
}

fn same(path: &Path, file: &[u8], of: &str) {
    let store = options().open(path).expect("a store");
    let session = SessionRef::from(SessionId::new(ID).expect("an ID"));
    let name = match store.marker().naming {
        Naming::Plain => ID.to_owned(),
        Naming::Hashed => session.key().to_hex(),
    };
    let name = path.join(name);
    fs::write(&name, file).expect("written");
    fs::set_permissions(&name, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let now = UnixMillis::from_millis(NOW).expect("in range");
    let judged = probe::judge(file, &session, store.marker(), now).expect("a session of that naming");
    let plain =
        |loaded: Result<Option<sessiondir::Session>, Error>| loaded.map_err(|error| error.to_string());
    assert_eq!(plain(store.load(&session)), plain(judged.loaded), "{of}");
    let mut findings: Vec<Finding> = Vec::new();
    let told = check(path, &options(), &mut |event| {
        if let Event::Finding(finding) = event {
            findings.push(finding.clone());
        }
    });
    told.expect("a store");
    assert_eq!(findings, judged.findings, "{of}");
}

#[test]
fn the_probe_says_what_a_store_and_a_check_say() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let mut stores = Vec::new();
    for naming in [Naming::Plain, Naming::Hashed] {
        for durability in [Durability::Power, Durability::Process] {
            let path = tmp.path().join(format!("{}-{}", naming.word(), durability.word()));
            sessiondir::init(&path, &options().naming(naming).durability(durability)).expect("a new store");
            assert_eq!(options().open(&path).expect("a store").marker(), &Marker::new(naming, durability));
            stores.push(path);
        }
    }
    let seeds = seeds::of("session_file");
    let mut chance = Chance::new(20_261_125);
    for seed in &seeds {
        for path in &stores {
            same(path, &seed.bytes, &seed.name);
        }
    }
    for number in 0..500 {
        let seed = chance.pick(&seeds);
        let mut data = seed.bytes.clone();
        let size = data.len();
        data.resize(size + 8, 0);
        let mutation = u32::from_be_bytes(std::array::from_fn(|_| chance.byte()));
        let size = mutate::session_file(&mut data, size, size + 8, mutation, &mut |data, size, most| {
            let mut spoilt = data[..size].to_vec();
            chance::spoil(&mut chance, &mut spoilt, b"\x61a");
            let size = spoilt.len().min(most);
            data[..size].copy_from_slice(&spoilt[..size]);
            size
        });
        let path = chance.pick::<PathBuf>(&stores);
        same(path, &data[..size], &format!("{}, mutated ({number})", seed.name));
    }
}
