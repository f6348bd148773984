//! Through the public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which the lint does not see")]
#![allow(clippy::print_stderr, reason = "a test says what it skips")]

mod cache;
mod copy;
mod index;
mod registry;
