//! What the crate promises, in one binary.

mod merge;
mod merge_fixture;
mod merge_properties;
mod pins;
