#![no_main]

use sessiondir_properties::{mutate, session_file::check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(input));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    mutate::session_file(data, size, most, seed, &mut libfuzzer_sys::fuzzer_mutate)
});
