//! File sets: which files make up a model at a git ref, where they are published, whether they are
//! intact, and how to publish one's own.
//!
//! A [`source::FileSource`] publishes a [`Registry`] at each of its refs. [`Library::sync`] finds it
//! (`discover.rs`) and keeps it; [`Library::resolve`] makes files of an address (`sets.rs`) and has
//! them in the [`Cache`] (`fetch.rs`), which any number of processes share; [`copy_out`] brings them
//! into a workspace. [`index`] makes a registry of a folder. The crate must never print, and never
//! know how it is asked.

pub mod address;
pub mod bootstrap;
mod cache;
mod copy;
mod discover;
pub mod edits;
mod error;
mod fetch;
pub mod index;
mod library;
mod location;
pub mod lock;
mod mirrors;
mod progress;
pub mod publish;
pub mod published;
pub mod registry;
mod sets;
pub mod source;
mod sync;
mod unpacking;
mod upkeep;
mod usage;

pub use bootstrap::{BootstrapError, Overlays, Sources};
pub use cache::{Cache, CacheError, CacheStats, Damaged, Removed};
pub use copy::{CopyError, Existing, Placed, copy_out};
pub use error::FilesError;
pub use library::{Library, Memory, Settings};
pub use progress::{OnProgress, Progress};
pub use registry::{Publishes, Registry, RegistryError};
pub use sets::{FileSet, ResolveAsked, SetFile};
pub use sync::{Failed, Skipped, SyncAsked, SyncReport, Synced};
pub use upkeep::{Cleared, DamagedFile, FilesInfo, Listed, RefView, SourceView, Verified};
pub use usage::{UsageAsked, Used};
