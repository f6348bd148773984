//! The store on both databases, each test with one body.

mod cards;
mod entries;
mod feed;
mod maintenance;
mod open;
mod processes;
mod properties;
mod support;
