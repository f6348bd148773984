//! Transports: how bytes come in, from a directory, an archive or over HTTP.
//!
//! Everything that is read is bounded, and a hostile archive or server costs an error, never the
//! process. The crate must never know a format: what the bytes mean is the business of whoever
//! asked for them. Start with [`Http::get`], [`Http::download`] and [`GitHub`] for what comes over
//! the network, and with [`Tree::read_path`] and [`unpack()`] for what is on the disk.

mod github;
mod http;
mod tree;
mod unpack;

pub use github::{Asset, GitHub, GitHubHosts, GitHubTokens, RefKind, Release, Resolved};
pub use http::{
    Downloaded, FetchError, Fetched, Http, HttpSettings, OnBytes, Request, bearer, secret_value,
};
pub use tree::{Tree, TreeError, TreeLimits};
pub use unpack::{Member, MemberKind, UnpackLimits, decompress, unpack};
