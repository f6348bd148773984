//! A backend's answer, read whole and in pieces: no panic, and always the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| callsheet_upstream::replay::fuzz_answer(data));
