//! What the crate promises, in one binary.

mod cards_diff;
mod cards_presets;
mod merge;
mod merge_fixture;
mod merge_properties;
mod pins;
