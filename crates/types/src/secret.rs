use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, sync::Arc};

/// A text that cannot be printed: its `Debug` shows that it is there and nothing else, and it can
/// be neither displayed nor serialized.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

/// Where a secret is kept: an environment variable or a file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// The whole of this file, less the line end.
    File(PathBuf),
}

/// A secret that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// What should name an environment variable cannot. It is not repeated: where people mix them
    /// up, it is the secret itself.
    #[error(
        "what stands there cannot be the name of an environment variable; expected one such as GPU1_KEY, and never the secret itself"
    )]
    NoVariable,
    /// The file cannot be read.
    #[error("the file {path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The text is empty, or holds a byte that no HTTP header can carry.
    #[error("{0} holds no usable secret: it is empty, or has a control or non-ASCII character")]
    Unusable(String),
}

/// Returns whether a text can be the name of an environment variable: letters, digits and `_`.
pub fn is_variable_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Secret {
    /// Checks a secret; `origin` says where it came from, for the error.
    pub fn new(text: &str, origin: &str) -> Result<Self, SecretError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(SecretError::Unusable(origin.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Returns the text, to be sent and never to be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration where the texts differ.
    pub fn matches(&self, offered: &str) -> bool {
        let (mine, offered) = (self.0.as_bytes(), offered.as_bytes());
        let mut difference = mine.len() ^ offered.len();
        for (i, byte) in offered.iter().enumerate() {
            difference |= usize::from(byte ^ mine[i % mine.len()]);
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("sk-123\n", "TEST").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), "sk-123");
    }

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::new("token", "TEST").unwrap();
        assert!(secret.matches("token"));
        for other in ["", "toke", "tokens", "tokentoken", "Token"] {
            assert!(!secret.matches(other), "{other:?}");
        }
    }

    #[test]
    fn a_secret_that_no_header_can_carry_is_refused() {
        for bad in ["", "\n", "a\nb", "schlüssel"] {
            assert!(Secret::new(bad, "TEST").is_err(), "{bad:?}");
        }
    }
}
