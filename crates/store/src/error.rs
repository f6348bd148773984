use callsheet_types::plan::Refused;

/// A store that cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Being written.
    #[error("{0}")]
    Todo(String),
    /// Changes after the cursor were purged.
    #[error("changes before {oldest} are no longer kept")]
    Expired {
        /// The oldest cursor that can be asked for.
        oldest: u64,
    },
}

/// A snapshot that was not applied.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nothing of it may be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A head moved since the plan was made.
    #[error("the plan is stale")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
