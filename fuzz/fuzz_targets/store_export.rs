//! The export of a store: no panic, and nothing left behind of what is refused.

#![no_main]

use callsheet_store::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| replay::export(data));
