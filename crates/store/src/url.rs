use std::path::PathBuf;

/// Where the database is: a file of SQLite, or a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:///path/catalog.db`
    Sqlite(PathBuf),
    /// `postgres://user@host/database`
    Postgres(String),
}

/// A text that is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreUrlError(pub String);

impl std::str::FromStr for StoreUrl {
    type Err = StoreUrlError;
    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        Err(StoreUrlError(text.to_owned()))
    }
}
