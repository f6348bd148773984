//! Providers' lists: how each is read, and how each is asked.

pub(crate) mod asking;
mod parsing;
mod properties;
