//! A registry file, read as a catalog and changed in place: no panic, and nothing lost between reading and writing.

#![no_main]

use callsheet_models::formats::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| replay::registry_file(data));
