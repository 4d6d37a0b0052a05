#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sessiondir_properties::names::check(input));
