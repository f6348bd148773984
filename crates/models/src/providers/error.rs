//! Why a provider's list is not used.

use super::ProviderKind;
use callsheet_sources::FetchError;
use std::error::Error as _;

/// A body that is no list of models.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is no JSON, or only the beginning of some.
    #[error("it is no JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is an error, whatever its status said.
    #[error("it says: {0}")]
    Error(String),
    /// It is something else.
    #[error("it is no list of models: `{expected}` is missing, or of another type")]
    NoList {
        /// What every list has.
        expected: &'static str,
    },
    /// Its next page is on another host.
    #[error("its next page is elsewhere: {0}")]
    Strays(String),
    /// It has no end.
    #[error("its pages have no end")]
    Endless,
}

/// A list that is not used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It lists nothing to those who have no key.
    #[error("{provider} needs an API key, and {place} holds none")]
    NoKey {
        /// The provider.
        provider: String,
        /// Where it was looked for.
        place: String,
    },
    /// It has no list, and nobody said what to ask for.
    #[error("{provider} has no list of its own models: name them in `models`")]
    NothingAsked {
        /// The provider.
        provider: String,
        /// Its kind.
        kind: ProviderKind,
    },
    /// It could not be asked.
    #[error("{provider} could not be asked")]
    Fetch {
        /// The provider.
        provider: String,
        /// Why not.
        source: FetchError,
    },
    /// What it answered is no list, or not a whole one.
    #[error("{provider} answered {path} with something unusable")]
    Unusable {
        /// The provider.
        provider: String,
        /// What it was asked for.
        path: String,
        /// What is wrong with it.
        source: ListError,
    },
    /// It answered with an empty list.
    #[error("{provider} came back with no models at all")]
    Empty {
        /// The provider.
        provider: String,
    },
}

impl ProviderError {
    /// Returns all that there is to say in one line: what, why, and what might help.
    pub fn explain(&self) -> String {
        match self {
            Self::Fetch { source, .. } => format!("{self}: {}", source.explain()),
            Self::NoKey { place, .. } => format!("{self} (set {place}, or `api_key_env`)"),
            Self::Empty { .. } => format!("{self} (--allow-shrink takes it at its word)"),
            _ => {
                let mut text = self.to_string();
                let mut cause = self.source();
                while let Some(inner) = cause {
                    text.push_str(&format!(": {inner}"));
                    cause = inner.source();
                }
                text
            }
        }
    }
}
