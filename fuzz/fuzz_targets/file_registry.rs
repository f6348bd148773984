//! A registry of files: no panic, and nothing lost between reading, writing and compiling.

#![no_main]

use callsheet_files::registry::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| replay::registry(data));
