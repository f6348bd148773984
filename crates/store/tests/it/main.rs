//! The store on both databases, each test with one body.

mod entries;
mod support;
