use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A model's key, `PROVIDER:ID`, such as `openrouter:qwen/qwen3-8b:free`; the first colon divides.
///
/// The provider has 1 to 64 letters, digits, `.`, `_` or `-`; the id 1 to 512 bytes without control
/// characters or spaces at its ends. Cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelKey {
    text: Arc<str>,
    colon: u8,
}

/// A text that cannot be a model's key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no model key: expected PROVIDER:ID, such as \"openrouter:qwen/qwen3-8b\"")]
pub struct ModelKeyError(pub String);

impl ModelKey {
    /// Puts a key together.
    pub fn new(provider: &str, id: &str) -> Result<Self, ModelKeyError> {
        let wrong = || ModelKeyError(format!("{provider}:{id}"));
        let is_provider = (1..=64).contains(&provider.len())
            && provider
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let is_id =
            (1..=512).contains(&id.len()) && id.trim() == id && !id.contains(char::is_control);
        if !is_provider || !is_id {
            return Err(wrong());
        }
        let colon = u8::try_from(provider.len()).map_err(|_| wrong())?;
        Ok(Self { text: format!("{provider}:{id}").into(), colon })
    }

    /// Reads `PROVIDER:ID`.
    pub fn parse(text: &str) -> Result<Self, ModelKeyError> {
        let (provider, id) = text.split_once(':').ok_or_else(|| ModelKeyError(text.to_owned()))?;
        Self::new(provider, id)
    }

    /// Returns who provides the model.
    pub fn provider(&self) -> &str {
        &self.text[..usize::from(self.colon)]
    }

    /// Returns the id by which the provider knows it.
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.colon) + 1..]
    }

    /// Returns the whole key.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for ModelKey {
    type Error = ModelKeyError;
    fn try_from(text: String) -> Result<Self, ModelKeyError> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for ModelKey {
    type Err = ModelKeyError;
    fn from_str(text: &str) -> Result<Self, ModelKeyError> {
        Self::parse(text)
    }
}

impl From<ModelKey> for String {
    fn from(key: ModelKey) -> Self {
        key.text.as_ref().to_owned()
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_divides() {
        let key = ModelKey::parse("openrouter:qwen/qwen3-8b:free").unwrap();
        assert_eq!((key.provider(), key.id()), ("openrouter", "qwen/qwen3-8b:free"));
        for bad in ["", "a", ":a", "a:", "a b:c", "a: b", "a:b\n", "a/b:c"] {
            assert_eq!(ModelKey::parse(bad), Err(ModelKeyError(bad.to_owned())));
        }
        assert!(ModelKey::new("a", &"x".repeat(513)).is_err());
    }
}
