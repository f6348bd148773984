use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A place that publishes entries, written `LAYER/NAME`: `import/models.dev`, `provider/openrouter`,
/// `local/api`. The layer says how much its word counts; cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(Arc<str>);

/// How much a source's word counts where several speak of one thing: the later goes before the
/// earlier.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Comes with the program.
    Shipped,
    /// A catalog that somebody imported.
    Import,
    /// A registry elsewhere that is followed.
    Remote,
    /// Whoever serves the thing speaks of it.
    Provider,
    /// This installation's own: its config file, its API, its command line.
    Local,
    /// What a person said against all others.
    Pin,
}

impl Layer {
    /// Every layer, from the least to the most.
    pub const ALL: [Self; 6] =
        [Self::Shipped, Self::Import, Self::Remote, Self::Provider, Self::Local, Self::Pin];

    /// Returns the layer's name, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Import => "import",
            Self::Remote => "remote",
            Self::Provider => "provider",
            Self::Local => "local",
            Self::Pin => "pin",
        }
    }

    /// Returns whether its sources are asked over a network, and may answer with less than they
    /// have.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Import | Self::Remote | Self::Provider)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that cannot be a source's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no source: expected a layer (shipped, import, remote, provider, local or pin), `/`, and 1 to 64 letters, digits, `.`, `_` or `-`"
)]
pub struct SourceNameError(pub String);

impl SourceName {
    /// Puts a name together.
    pub fn new(layer: Layer, name: &str) -> Result<Self, SourceNameError> {
        Self::parse(&format!("{layer}/{name}"))
    }

    /// Reads `LAYER/NAME`.
    pub fn parse(text: &str) -> Result<Self, SourceNameError> {
        let wrong = || SourceNameError(text.to_owned());
        let (layer, name) = text.split_once('/').ok_or_else(wrong)?;
        let is_layer = Layer::ALL.iter().any(|known| known.as_str() == layer);
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if is_layer && is_name { Ok(Self(text.into())) } else { Err(wrong()) }
    }

    /// The source of what people say against all others.
    pub fn pins() -> Self {
        Self("pin/user".into())
    }

    /// The source of what is changed through the API.
    pub fn api() -> Self {
        Self("local/api".into())
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how much its word counts.
    pub fn layer(&self) -> Layer {
        let layer = self.0.split('/').next();
        let known = Layer::ALL.into_iter().find(|known| Some(known.as_str()) == layer);
        known.unwrap_or(Layer::Shipped)
    }

    /// Returns the name without its layer.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl TryFrom<String> for SourceName {
    type Error = SourceNameError;
    fn try_from(text: String) -> Result<Self, SourceNameError> {
        Self::parse(&text)
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_its_layer() {
        for layer in Layer::ALL {
            let source = SourceName::new(layer, "x.y").unwrap();
            assert_eq!((source.layer(), source.name()), (layer, "x.y"));
        }
        for bad in ["", "import", "import/", "other/x", "import/a/b", "import/a b"] {
            assert_eq!(SourceName::parse(bad), Err(SourceNameError(bad.to_owned())));
        }
        assert_eq!(SourceName::pins().layer(), Layer::Pin);
        assert_eq!(SourceName::api().layer(), Layer::Local);
    }
}
