//! The client against real sockets, against another client, and against odd answers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which the lint does not see")]

mod answers;
mod backend;
mod corpus;
mod differential;
mod failure;
mod reuse;
mod splits;
mod tls;
mod upload;
