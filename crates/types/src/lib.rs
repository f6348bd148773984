//! The words of Callsheet as types: names, addresses, secrets, backends, who is calling; and the
//! engine's: entries, what a source publishes of them, and what is to be done about it.
//!
//! Everything here is plain data that is checked once, where it enters, so that the other crates
//! receive proof instead of strings. The crate must never do I/O, read a clock or know a provider's
//! wire format. Start with [`backend::BackendSpec`], which is what a config file, the API and the
//! command line all say when they mean "this server", or with [`plan`].

pub mod backend;
mod causes;
mod digest;
mod duration;
mod encoded;
mod entry;
mod file_path;
mod model_key;
mod name;
pub mod plan;
mod preset;
mod principal;
mod repository;
mod secret;
mod sharded;
mod size;
mod source;
mod url;

pub use backend::{BackendSpec, BackendType, DiscoverySource, Model};
pub use causes::with_causes;
pub use digest::{Digest, DigestError};
pub use duration::HumanDuration;
pub use encoded::encoded;
pub use entry::{Body, Entry, EntryId, Kind, KindError, Nature};
pub use file_path::{FilePath, FilePathError};
pub use model_key::{ModelKey, ModelKeyError};
pub use name::{BackendName, NameError};
pub use plan::{Plan, Problem, Snapshot};
pub use preset::Preset;
pub use principal::Principal;
pub use repository::{GitRef, GitRefError, Repository, RepositoryError};
pub use secret::{Secret, SecretError, SecretSource, is_variable_name};
pub use sharded::{LocalArc, Sharded, SharedByAll};
pub use size::ByteSize;
pub use source::{Layer, SourceName, SourceNameError};
pub use url::{BackendUrl, UrlError};
