//! The transports against real sockets and real files.

#![allow(clippy::unwrap_used, reason = "a test may fail this way")]
#![allow(clippy::print_stderr, reason = "a test says what it skips, and to its parent what it saw")]

mod download;
mod environment;
mod github;
mod http;
mod hub;
mod tree;
mod trickle;
mod unpack;
