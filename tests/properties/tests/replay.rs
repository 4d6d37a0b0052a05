//! Each property on its seeds, on the committed corpus, and on what pseudo-random numbers make of both.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use arbitrary::{Arbitrary, Unstructured};
use sessiondir_properties::chance::{self, Chance};
use sessiondir_properties::seeds::{self, Seed};
use sessiondir_properties::store_ops::{Program, Tally, run};
use sessiondir_properties::{PROPERTIES, mutate};

/// Where the pseudo-random numbers start. Another number makes other inputs; a failure prints its own.
const SEED: u64 = 20_261_125;

/// Runs `run`, and where it panics keeps the input and says what it was.
fn guarded<T>(property: &str, of: &str, input: &[u8], run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let file = std::env::temp_dir().join(format!("sessiondir-{property}-{}", std::process::id()));
        let kept = std::fs::write(&file, input)
            .map_or_else(|error| error.to_string(), |()| file.display().to_string());
        eprintln!("{property} is broken by {of}; the input, {} bytes, is in {kept}", input.len());
        resume_unwind(panic)
    })
}

fn check(property: &str, of: &str, input: &[u8]) {
    let check = PROPERTIES.iter().find(|it| it.name == property).expect("a property").check;
    guarded(property, of, input, || check(input));
}

/// The seeds, then the corpus, then `count` inputs made of them.
fn replay(property: &str, count: u64) {
    // Miri takes thousands of times as long, and minutes for the manifest alone: a share of the corpus, and no seeds.
    let (seeds, corpus, count) = if cfg!(miri) {
        (Vec::new(), share(seeds::corpus(property)), MIRI_MUTATIONS)
    } else {
        (seeds::of(property), seeds::corpus(property), count)
    };
    let all: Vec<&Seed> = seeds.iter().chain(&corpus).collect();
    for seed in &all {
        check(property, &seed.name, &seed.bytes);
    }
    println!(
        "{property}: {} seeds, {} of the corpus, {count} mutations from seed {SEED}",
        seeds.len(),
        corpus.len()
    );
    let short: Vec<&Seed> = all.into_iter().filter(|seed| seed.bytes.len() <= 20_000).collect();
    let mut chance = Chance::new(SEED);
    for number in 0..count {
        let one = *chance.pick(&short);
        let other = *chance.pick(&short);
        let input = mutated(property, &mut chance, &one.bytes, &other.bytes);
        check(property, &format!("{}, mutated (number {number} from seed {SEED})", one.name), &input);
    }
}

/// How many mutations Miri looks at, and how many bytes of the corpus.
const MIRI_MUTATIONS: u64 = 5;
const MIRI_BYTES: usize = 1_000;

/// The first of them, as many as Miri has time for.
fn share(mut corpus: Vec<Seed>) -> Vec<Seed> {
    let mut bytes = 0;
    corpus.retain(|seed| {
        bytes += seed.bytes.len();
        bytes <= MIRI_BYTES
    });
    assert!(!corpus.is_empty(), "a replay of nothing proves nothing");
    corpus
}

fn mutated(property: &str, chance: &mut Chance, one: &[u8], other: &[u8]) -> Vec<u8> {
    let most = one.len() + 256;
    let mut data = one.to_vec();
    data.resize(most, 0);
    let seed = u32::from_be_bytes(std::array::from_fn(|_| chance.byte()));
    let mut spoil = |data: &mut [u8], size: usize, most: usize| {
        let mut spoilt = data[..size].to_vec();
        chance::spoil(chance, &mut spoilt, &other[..other.len().min(400)]);
        let size = spoilt.len().min(most);
        data[..size].copy_from_slice(&spoilt[..size]);
        size
    };
    let size = match property {
        "record" | "differential" => mutate::record(&mut data, one.len(), most, seed, &mut spoil),
        "session_file" => mutate::session_file(&mut data, one.len(), most, seed, &mut spoil),
        _ => spoil(&mut data, one.len(), most),
    };
    data.truncate(size);
    data
}

#[test]
fn record() {
    replay("record", 20_000);
}

#[test]
fn differential() {
    replay("differential", 20_000);
}

#[test]
fn session_file() {
    replay("session_file", 4_000);
}

#[test]
fn names() {
    replay("names", 20_000);
}

#[test]
fn marker() {
    replay("marker", 20_000);
}

#[test]
fn pickle() {
    replay("pickle", 4_000);
}

/// Of programs, what pseudo-random numbers make is as good as what they change.
#[test]
fn store_ops() {
    replay("store_ops", 0);
    let mut chance = Chance::new(SEED);
    let mut tally = [0; 9];
    for number in 0..400 {
        let bytes: Vec<u8> = (0..100 + chance.below(900)).map(|_| chance.byte()).collect();
        let program =
            Program::arbitrary_take_rest(Unstructured::new(&bytes)).expect("any bytes are a program");
        let Tally { operations, changes, survived, failed, unknown, killed, killed_late, debris, conflicts } =
            guarded("store_ops", &format!("program {number} from seed {SEED}"), &bytes, || run(&program));
        let all = [operations, changes, survived, failed, unknown, killed, killed_late, debris, conflicts];
        tally.iter_mut().zip(all).for_each(|(sum, one)| *sum += one);
    }
    println!(
        "operations, changes, survived, failed, unknown, killed, killed late, debris, conflicts: {tally:?}"
    );
    // Programs that never come to something prove nothing about it.
    let [operations, rest @ ..] = tally;
    assert!(operations > 5_000 && rest.iter().all(|number| *number > 12), "{tally:?}");
}
