//! A catalog in `LiteLLM`'s format: no panic, and nothing lost between reading and writing.

#![no_main]

use callsheet_models::formats::{Format, replay};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| replay::catalog(Format::LiteLlm, data));
