//! The store on both databases, each test with one body.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which the lint does not see")]
#![allow(clippy::print_stderr, reason = "a test says on which database it is, or is not")]

mod blobs;
mod blobs_places;
mod blobs_s3;
mod cards;
mod corpus;
mod entries;
mod feed;
mod maintenance;
mod open;
mod processes;
mod properties;
mod silence;
mod support;
mod tls;
