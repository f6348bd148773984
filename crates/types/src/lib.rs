//! The words of Callsheet as types: names, addresses, secrets, backends, who is calling.
//!
//! Everything here is plain data that is checked once, where it enters, so that the other crates
//! receive proof instead of strings. The crate must never do I/O, read a clock or know a provider's
//! wire format. Start with [`backend::BackendSpec`], which is what a config file, the API and the
//! command line all say when they mean "this server".

pub mod backend;
mod duration;
mod name;
mod principal;
mod secret;
mod sharded;
mod size;
mod url;

pub use backend::{BackendSpec, BackendType, DiscoverySource, Model};
pub use duration::HumanDuration;
pub use name::{BackendName, NameError};
pub use principal::Principal;
pub use secret::{Secret, SecretError, SecretSource, is_variable_name};
pub use sharded::{LocalArc, Sharded, SharedByAll};
pub use size::ByteSize;
pub use url::{BackendUrl, UrlError};
