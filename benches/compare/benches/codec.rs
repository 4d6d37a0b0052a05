//! The pure parts, digest included, with their allocations. `cargo bench -p sessiondir-compare`

use divan::{AllocProfiler, Bencher, black_box};
use sessiondir::record::{decode_record, encode_record};
use sessiondir::{Session, SessionStore};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const SIZES: [usize; 4] = [100, 850, 10_000, 1_000_000];

/// A stored session with ten attributes of so many bytes together.
fn session(size: usize) -> Session {
    let mut session = Session::new();
    session.set_user("ada").expect("fits");
    for n in 0..10 {
        session.insert(&format!("k{n}"), &"x".repeat(size / 10)).expect("fits");
    }
    sessiondir::MemoryStore::new().create(&mut session).expect("created");
    session
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher<'_, '_>, size: usize) {
    let session = session(size);
    bencher.bench(|| encode_record(2, black_box(&session)));
}

#[divan::bench(args = SIZES)]
fn decode(bencher: Bencher<'_, '_>, size: usize) {
    let record = encode_record(2, &session(size)).expect("encoded");
    bencher.bench(|| decode_record(black_box(&record)));
}

#[divan::bench(args = SIZES)]
fn sha256(bencher: Bencher<'_, '_>, size: usize) {
    let record = encode_record(2, &session(size)).expect("encoded");
    bencher.bench(|| <sha2::Sha256 as sha2::Digest>::digest(black_box(&record)));
}
