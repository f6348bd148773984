//! What the crate promises, in one binary.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which the lint does not see")]

mod cards_diff;
mod cards_names;
mod cards_presets;
mod formats;
mod formats_arbitrary;
mod formats_corpus;
mod formats_properties;
mod formats_real;
mod formats_registry_file;
mod merge;
mod merge_fixture;
mod merge_properties;
mod pins;
mod providers;
mod refresh;
