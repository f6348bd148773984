//! File sets: which files make up a model at a git ref, where they are published, whether they are
//! intact, and how to publish one's own.
//!
//! What a source publishes at a ref is a [`Registry`]; its bytes are kept once each in a [`Cache`]
//! that any number of processes share. The crate must never print, and never know how it is asked.

mod cache;
mod copy;
pub mod index;
pub mod registry;

pub use cache::{Cache, CacheError, CacheStats, Damaged, Removed};
pub use copy::{CopyError, Existing, Placed, copy_out};
pub use registry::{Registry, RegistryError};
