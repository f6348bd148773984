use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A backend's name, such as `gpu-1`: 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a
/// letter or digit.
///
/// A name holds no colon and no slash, so that `name:model` and `/api/v1/backends/name` can be
/// taken apart again. Cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendName(Arc<str>);

/// A text that cannot be a backend's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no backend name: expected 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit"
)]
pub struct NameError(pub String);

impl BackendName {
    /// Checks a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let well_formed = text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if well_formed { Ok(Self(text.into())) } else { Err(NameError(text.to_owned())) }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BackendName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl std::str::FromStr for BackendName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<BackendName> for String {
    fn from(name: BackendName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_stand_in_a_path_and_before_a_colon_are_names() {
        for good in ["a", "gpu-1", "Ollama.local", "7b_box", &"x".repeat(64)] {
            assert_eq!(BackendName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a:b", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert_eq!(BackendName::new(bad), Err(NameError(bad.to_owned())));
        }
    }
}
