//! A provider as people describe it, and as it is asked.

use super::ProviderKind;
use callsheet_types::{BackendUrl, HumanDuration, ModelKey, Secret, SecretSource, UrlError};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// `[providers.NAME]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// How it lists its models; by its name where nothing is said, else as `OpenAI` does.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProviderKind>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The variable that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Which models to take, by their ids there; all on its list where nothing is said. Replicate,
    /// which has no list, and Hugging Face's hub are asked for these: `owner/name`, and of the hub
    /// also an author's name or `search:words`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How long its whole list may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

/// A description that no provider can be made of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Models' keys begin with the name.
    #[error("{0:?} is no provider's name: expected 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name(String),
    /// Nobody knows where it is.
    #[error("`url` is missing: a provider of type `{0}` may be anywhere")]
    NoUrl(ProviderKind),
    /// Its address is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// There are two keys.
    #[error("`api_key_env` and `api_key_file` are both set; expected one of them")]
    TwoKeys,
}

const TIMEOUT: Duration = Duration::from_mins(1);

/// A provider that can be asked. Its `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What its models' keys begin with.
    pub name: String,
    /// How it lists them.
    pub kind: ProviderKind,
    /// Where it is.
    pub url: BackendUrl,
    /// What it is asked with.
    pub key: Option<Secret>,
    /// Where the key was looked for, for whoever misses it.
    pub key_place: Option<String>,
    /// Which models to take; see [`ProviderSpec::models`].
    pub models: Option<Vec<String>>,
    /// How long its whole list may take.
    pub timeout: Duration,
}

impl ProviderSpec {
    /// Returns how the provider of this name lists its models.
    pub fn kind(&self, name: &str) -> ProviderKind {
        self.kind.unwrap_or_else(|| ProviderKind::of_name(name))
    }

    /// Returns where the provider of this name is, unless nobody knows.
    pub fn address(&self, name: &str) -> Option<String> {
        let default = || self.kind(name).default_url().map(str::to_owned);
        self.url.clone().or_else(default)
    }

    /// Returns where its key is kept: where it says, else in the variable that is usual for it.
    pub fn key_source(&self, name: &str) -> Option<SecretSource> {
        match (&self.api_key_env, &self.api_key_file) {
            (Some(variable), _) => Some(SecretSource::Env(variable.clone())),
            (None, Some(file)) => Some(SecretSource::File(file.clone())),
            (None, None) => {
                self.kind(name).key_variable().map(|name| SecretSource::Env(name.to_owned()))
            }
        }
    }

    /// Makes a provider of the description. Whether it needs a key shows when it is asked.
    pub fn resolve(&self, name: &str, key: Option<Secret>) -> Result<Provider, SpecError> {
        if ModelKey::new(name, "x").is_err() {
            return Err(SpecError::Name(name.to_owned()));
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            return Err(SpecError::TwoKeys);
        }
        let kind = self.kind(name);
        let url = self.address(name).ok_or(SpecError::NoUrl(kind))?;
        Ok(Provider {
            name: name.to_owned(),
            kind,
            url: BackendUrl::new(&url)?,
            key,
            key_place: self.key_source(name).map(|source| match source {
                SecretSource::Env(variable) => variable,
                SecretSource::File(file) => file.display().to_string(),
            }),
            models: self.models.clone(),
            timeout: self.timeout.map_or(TIMEOUT, |timeout| timeout.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<ProviderSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_known_name_says_all_that_is_needed() {
        let provider = spec("").unwrap().resolve("openrouter", None).unwrap();
        assert_eq!(provider.kind, ProviderKind::OpenRouter);
        assert_eq!(provider.url.to_string(), "https://openrouter.ai/api/v1");
        assert_eq!(provider.key_place.as_deref(), Some("OPENROUTER_API_KEY"));
        let mine = spec("type = \"openai\"\nurl = \"http://h:1\"\napi_key_env = \"MINE\"").unwrap();
        let provider = mine.resolve("mine", None).unwrap();
        assert_eq!(provider.kind, ProviderKind::OpenAi);
        assert_eq!(mine.key_source("mine"), Some(SecretSource::Env("MINE".to_owned())));
    }

    #[test]
    fn a_mistake_is_named() {
        assert_eq!(
            spec("").unwrap().resolve("mine", None).unwrap_err(),
            SpecError::NoUrl(ProviderKind::Generic)
        );
        let bad = spec("url = \"ftp://h\"").unwrap().resolve("openai", None).unwrap_err();
        assert!(matches!(bad, SpecError::Url(_)));
        let two = spec("api_key_env = \"A\"\napi_key_file = \"b\"").unwrap();
        assert_eq!(two.resolve("openai", None).unwrap_err(), SpecError::TwoKeys);
        assert!(matches!(spec("").unwrap().resolve("a b", None), Err(SpecError::Name(_))));
        for (text, part) in
            [("kind = \"openai\"", "unknown field"), ("type = \"bard\"", "unknown variant")]
        {
            assert!(spec(text).unwrap_err().to_string().contains(part));
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Secret::new("sk-123", "TEST").unwrap();
        let provider = spec("").unwrap().resolve("openai", Some(key)).unwrap();
        assert!(!format!("{provider:?}").contains("sk-123"));
    }
}
