//! Why the registry refused a change.

/// A change that the registry refused; nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// A backend of this id is there already.
    #[error("backend already exists: {0}")]
    DuplicateBackend(String),
    /// No backend has this id.
    #[error("backend not found: {0}")]
    BackendNotFound(String),
}
