//! Stand-ins that are real servers on port 0, and the real daemon as a test sees it.
//!
//! [`FakeBackend`] speaks `OpenAI`'s protocol over HTTP/1.1 and misbehaves on demand, down to single
//! bytes; [`FakeProvider`] lists models as the known providers do; [`FakeGitHub`] publishes
//! releases, refs, files and archives; [`TestServer`] runs the `callsheet` binary from a config file
//! in a folder of its own; [`client`] is the small HTTP client that both sides of a test share.
//! Nothing here may know how the product works inside: it sees what a client, a backend or an
//! operator would see. This crate is a dependency of tests and benchmarks only, never of a release
//! build.
//!
//! Start reading at [`FakeBackend::start`] and [`TestServer::builder`].

mod backend;
mod behaviour;
pub mod client;
mod deadline;
mod gate;
mod github;
pub mod postgres;
mod provider;
pub mod s3;
mod server;

pub use backend::{Builder as FakeBackendBuilder, FakeBackend, Kind, Recorded};
pub use behaviour::{Behaviour, Chunking, End, RawStep};
pub use client::{Reply, StreamEnd, StreamReply};
pub use deadline::{PATIENCE, within};
pub use gate::Gate;
pub use github::{
    ArchiveKind, FakeGitHub, FakeRepository, FakeTree, GitHubFault, GitHubHost, GitHubProxy,
    GitHubRequest,
};
pub use provider::{Builder as FakeProviderBuilder, FakeModel, FakeProvider, Fault, Speaks};
pub use rustix::process::Signal;
pub use s3::FakeS3;
pub use server::{Builder as TestServerBuilder, Output, TestServer};
